"""The hub's state machines: pure and synchronous.

``decide`` methods are named as the commands are. They return the events that a command leads to, or raise
:class:`~hubwire.errors.CommandRejected` and have changed nothing. ``apply`` makes an event's change, live and on
replay alike; it cannot fail. Nothing else changes the state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..events import Event
from .agents import Agents
from .channels import Channels
from .inboxes import Inboxes

__all__ = ("State",)


class State:
    """All state machines of a hub."""

    def __init__(self) -> None:
        self.agents: Agents = Agents()
        self.channels: Channels = Channels(self.agents)
        self.inboxes: Inboxes = Inboxes()
        self._appliers: dict[type[Event], tuple[Callable[[Any], None], ...]] = {}
        for machine in (self.agents, self.channels, self.inboxes):
            for kind, apply in machine.appliers().items():
                self._appliers[kind] = (*self._appliers.get(kind, ()), apply)

    def settle(self) -> list[Event]:
        """Decide, after a replay, what becomes of commands of which a crash has kept only the first events."""
        return self.channels.settle()

    def apply(self, event: Event) -> None:
        """Make the changes that the event tells of."""
        for apply in self._appliers.get(type(event), ()):
            apply(event)
