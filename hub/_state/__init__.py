"""The hub's state machines: pure and synchronous.

Methods that **decide** are named as the commands are. They return the events that a command leads to, or raise
:class:`~hubwire.errors.CommandRejected` and leave the state as it was. Methods that **apply** make an event's change,
live and on replay alike; they cannot fail. The state has no other way to change.

A snapshot of the state saves a start the replay of all history. So each machine says what its state is made of, as
:class:`Machine` requires, and is in :class:`State` under the name that its entries have in a snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

from ..events import EnvelopeAcked, EnvelopePosted, Event, ModelCompleted, ToolCompleted, TurnEnded
from .actor_states import ActorStates
from .agents import Agents
from .approvals import Approvals
from .auction import Auction
from .channel_types import Broadcast, ChannelTypes, Consulting, Conversation, Discussion, Notification
from .channels import Channels
from .commits import Commits
from .dead_letters import DeadLetters
from .endings import Endings
from .envelopes import Envelopes
from .evaluators import AcksWithin, Evaluators, MaxSilence, ReplyWithin, TurnWithin
from .expectations import Expectations
from .followers import Followers
from .inboxes import Inboxes
from .membership import Membership
from .memories import Memories
from .quotas import Quotas
from .seats import Seats
from .subscriptions import Subscriptions
from .tasks import Tasks
from .timers import TimerTable
from .turns import Turns, WatchLimits
from .violations import Violations
from .workflow import Workflow

__all__ = ("Machine", "State", "Timed")


class Machine(Protocol):
    """What every state machine offers besides its commands.

    Its state is made of **entries**: frozen attrs classes, named in ``entry_types``, whose fields are what a snapshot
    can hold and read back by their annotations: JSON values (``Any`` for a payload), enumerations (kept by value),
    tuples, frozen sets of text (kept sorted), other such classes, events (annotated by their class), and each of these
    or None. All else that it remembers, such as an index, follows from the entries.

    A field that a later version adds has a default, so that it can read the snapshots of this one.
    """

    entry_types: ClassVar[tuple[type, ...]]
    """The classes of its entries. Their names are in snapshots: rename none, use none twice in one machine."""

    def appliers(self) -> Mapping[type[Event], Callable[[Any], None]]:
        """Return the functions that apply events, by kind of event."""

    def snapshot(self) -> Sequence[Any]:
        """Return all entries, in their order: a copy of references, made at once while no other code runs."""

    def restore(self, entries: Sequence[Any]) -> None:
        """Become the machine of which ``entries`` was the snapshot. It is empty before, and no command has run."""


@runtime_checkable
class Timed(Protocol):
    """What a machine with deadlines offers besides; :class:`~hubwire._commit.timers.Timers` calls it.

    Deadlines count in nanoseconds since the epoch, from the ``at`` of the event that set them. Each machine keeps a
    heap of them (:class:`~hubwire._state.moments.Deadlines`), which follows from its entries.
    """

    def next_due_ns(self) -> int | None:
        """Return when :meth:`due` will return events: a moment, 0 for now, None for never. Takes O(1)."""

    def due(self, now_ns: int, limit: int) -> list[Event]:
        """Decide what has become due: at most about ``limit`` events, and none before the next moment.

        It decides as commands do: what it returns is applied before another command is decided. When called again
        after that, it must not return the same events.
        """


_NEVER_EARLIER = {
    ("channels", EnvelopePosted),
    ("inboxes", EnvelopeAcked),
    ("turns", TurnEnded),
    ("turns", ModelCompleted),
    ("turns", ToolCompleted),
}
"""After these, a machine is due no earlier than before: they end what had a deadline. They are frequent."""


_Appliers: TypeAlias = tuple[Sequence[Callable[[Any], None]], Sequence[Timed]]


class _ByKind(dict[type[Event], _Appliers | None]):
    """What applies the events of a kind; None for those that no machine takes.

    Kinds that few hubs have are declared late: their classes are not known before their first event.
    """

    def __init__(self, late: Mapping[str, Callable[[Any], None]]) -> None:
        super().__init__()
        self._late = late

    def __missing__(self, kind: type[Event]) -> _Appliers | None:
        applier = self._late.get(kind.kind) if kind.command is not None else None
        found = self[kind] = None if applier is None else ((applier,), ())
        return found


class State:
    """All state machines of a hub."""

    def __init__(self, watch: WatchLimits | None = None) -> None:
        self.channel_types: ChannelTypes = ChannelTypes(
            (Conversation(), Discussion(), Consulting(), Broadcast(), Notification(), Auction(), Workflow())
        )
        self.evaluators: Evaluators = Evaluators((AcksWithin(), ReplyWithin(), TurnWithin(), MaxSilence()))
        self.agents: Agents = Agents()
        self.channels: Channels = Channels(self.agents)
        self.endings: Endings = Endings(self.agents, self.channels, self.channel_types)
        self.membership: Membership = Membership(
            self.agents, self.channels, self.channel_types, self.endings, self.evaluators
        )
        self.inboxes: Inboxes = Inboxes(self.agents)
        self.dead_letters: DeadLetters = DeadLetters(self.agents, self.inboxes)
        self.subscriptions: Subscriptions = Subscriptions(self.agents)
        self.envelopes: Envelopes = Envelopes(
            self.agents, self.channels, self.channel_types, self.endings, self.inboxes, self.subscriptions
        )
        self.memories: Memories = Memories(self.channels, self.inboxes)
        self.expectations: Expectations = Expectations(
            self.channels, self.channel_types, self.endings, self.envelopes, self.evaluators
        )
        self.violations: Violations = Violations()
        self.quotas: Quotas = Quotas()
        self.turns: Turns = Turns(watch)
        self.actor_states: ActorStates = ActorStates(self.agents)
        self.seats: Seats = Seats(self.agents, self.inboxes, self.turns)
        self.commits: Commits = Commits()
        self.tasks: Tasks = Tasks(self.agents, self.channels)
        self.timers: TimerTable = TimerTable(self.agents, self.channels, self.tasks)
        self.approvals: Approvals = Approvals(self.agents)
        self.followers: Followers = Followers()
        self.machines: Mapping[str, Machine] = self._in_order()
        """By the names that they have in snapshots, in the order in which they apply an event."""
        self.on_change: Callable[[Sequence[Timed]], None] | None = None
        """Called after an event has been applied by a machine, live and on replay alike, with those whose next deadline
        may be earlier than before."""
        self.timed: tuple[Timed, ...] = (
            self.endings,
            *(each for each in self.machines.values() if isinstance(each, Timed)),
        )
        """The machines with deadlines, in the order in which they decide what is due."""
        self._by_kind: _ByKind = _ByKind({**self.followers.late_appliers(), **self.seats.late_appliers()})
        """What applies the events of a kind, and whose next deadline they may bring forward."""
        self._index_kinds()

    def _in_order(self) -> dict[str, Machine]:
        return {
            "agents": self.agents,
            "expectations": self.expectations,
            "violations": self.violations,
            "memories": self.memories,
            "channels": self.channels,
            "envelopes": self.envelopes,
            "dead_letters": self.dead_letters,
            "inboxes": self.inboxes,
            "quotas": self.quotas,
            "turns": self.turns,
            "actor_states": self.actor_states,
            "commits": self.commits,
            "tasks": self.tasks,
            "timers": self.timers,
            "approvals": self.approvals,
            "subscriptions": self.subscriptions,
            "followers": self.followers,
            "seats": self.seats,
        }

    def _index_kinds(self) -> None:
        elsewhere: dict[Machine, object] = {self.channels: self.endings, self.dead_letters: self.inboxes}
        for name, machine in self.machines.items():
            # Deadlines of a machine change by its own events; but some are in another one.
            holder = elsewhere.get(machine, machine)
            timed = (holder,) if isinstance(holder, Timed) else ()
            for kind, apply in machine.appliers().items():
                appliers, changed = self._by_kind.get(kind) or ((), ())
                earlier = () if (name, kind) in _NEVER_EARLIER else timed
                self._by_kind[kind] = ((*appliers, apply), (*changed, *earlier))

    def repair(self) -> list[Event]:
        """Decide, after a replay, what becomes of what a crash interrupted: half a command, turns, approvals."""
        turns = self.turns.repair(self.inboxes.interrupted, goes_on=self.seats.is_taken)
        return [*self.endings.repair(), *turns, *self.approvals.repair()]

    def apply(self, event: Event) -> None:
        """Make the changes that the event stands for."""
        if (of_kind := self._by_kind[type(event)]) is None:
            return
        appliers, changed = of_kind
        for apply in appliers:
            apply(event)
        if changed and self.on_change is not None:
            self.on_change(changed)

    def next_due_ns(self, machines: Sequence[Timed] | None = None) -> int | None:
        """Return when :meth:`due` will return events: a moment, 0 for now, None for never."""
        machines = self.timed if machines is None else machines
        moments = [moment for machine in machines if (moment := machine.next_due_ns()) is not None]
        return min(moments, default=None)

    def due(self, now_ns: int, limit: int, machines: Sequence[Timed] | None = None) -> list[Event]:
        """Decide what has become due in one machine, the first with events; call again for the others.

        It is one machine at a time, because the others decide by what has been applied. ``machines``: only these.
        """
        for machine in self.timed if machines is None else machines:
            moment = machine.next_due_ns()
            if moment is not None and moment <= now_ns and (events := machine.due(now_ns, limit)):
                return events
        return []

    def snapshot(self) -> dict[str, Sequence[Any]]:
        """Return the entries of all machines, as of one moment. It copies references: entries never change."""
        return {name: machine.snapshot() for name, machine in self.machines.items()}

    def restore(self, snapshot: Mapping[str, Sequence[Any]]) -> None:
        """Become what the snapshot was taken of. A machine that it does not have, because it is newer, stays empty."""
        for name, entries in snapshot.items():
            self.machines[name].restore(entries)
