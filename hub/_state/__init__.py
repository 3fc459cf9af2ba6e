"""The hub's state machines: pure and synchronous.

``decide`` methods are named as the commands are. They return the events that a command leads to, or raise
:class:`~hubwire.errors.CommandRejected` and have changed nothing. ``apply`` makes an event's change, live and on
replay alike; it cannot fail. Nothing else changes the state.

A snapshot of the state saves a start the replay of all history. So each machine says what its state is made of, as
:class:`Machine` tells, and adds itself to :class:`State` under the name that its entries have in a snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from ..events import Event
from .agents import Agents
from .channels import Channels
from .inboxes import Inboxes

__all__ = ("Machine", "State")


class Machine(Protocol):
    """What every state machine offers besides its commands.

    Its state is dictionaries of **entries**: frozen attrs classes, named in ``entry_types``, whose fields are what a
    snapshot can hold and read back by their annotations: JSON values (``Any`` for a payload), enumerations (kept by
    value), tuples, frozen sets of text (kept sorted), other such classes, events (annotated by their class), and each
    of these or None. Everything else it remembers, such as an index, follows from the entries.

    A field that a later version adds has a default, so that it can read the snapshots of this one.
    """

    entry_types: ClassVar[tuple[type, ...]]
    """The classes of its entries. Their names are in snapshots: rename none, use none twice in one machine."""

    def appliers(self) -> Mapping[type[Event], Callable[[Any], None]]:
        """Return what applies which kind of event."""

    def snapshot(self) -> Sequence[Any]:
        """Return all entries, in their order: a copy of references, made at once while nothing else runs."""

    def restore(self, entries: Sequence[Any]) -> None:
        """Become the machine of which ``entries`` was the snapshot. It is empty before, and nothing else has run."""


class State:
    """All state machines of a hub."""

    def __init__(self) -> None:
        self.agents: Agents = Agents()
        self.channels: Channels = Channels(self.agents)
        self.inboxes: Inboxes = Inboxes()
        self.machines: Mapping[str, Machine] = {
            "agents": self.agents,
            "channels": self.channels,
            "inboxes": self.inboxes,
        }
        """By the names that they have in snapshots, in the order in which they apply an event."""
        self._appliers: dict[type[Event], tuple[Callable[[Any], None], ...]] = {}
        for machine in self.machines.values():
            for kind, apply in machine.appliers().items():
                self._appliers[kind] = (*self._appliers.get(kind, ()), apply)

    def settle(self) -> list[Event]:
        """Decide, after a replay, what becomes of commands of which a crash has kept only the first events."""
        return self.channels.settle()

    def apply(self, event: Event) -> None:
        """Make the changes that the event tells of."""
        for apply in self._appliers.get(type(event), ()):
            apply(event)

    def snapshot(self) -> dict[str, Sequence[Any]]:
        """Return the entries of all machines, as of one moment. It copies references: entries never change."""
        return {name: machine.snapshot() for name, machine in self.machines.items()}

    def restore(self, snapshot: Mapping[str, Sequence[Any]]) -> None:
        """Become what the snapshot was taken of. A machine that it does not have, because it is newer, stays empty."""
        for name, entries in snapshot.items():
            self.machines[name].restore(entries)
