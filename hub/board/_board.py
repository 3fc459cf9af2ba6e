"""The board: events in, what people look at out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs
import msgspec

from .._foreign.arguments import Call, is_a
from ..errors import ConfigurationError
from ..events import Event
from ._agents import NOT_HEARD, Agents
from ._asked import Now, cut, id_of, moment
from ._channels import Channels
from ._counts import ATTENTION, WIDTHS, WRONG, Counts, meaning_of
from ._hub_views import CountsView, GapView, HubView, ListenerView, TroubleView
from ._keeping import VERSION, BoardKept, damaged, read_kept
from ._life import Life
from ._limits import BoardLimits
from ._place import Place
from ._reading import NAME_MAX, TEXT_MAX, Misfit, identifier, readable, text_or, time_of
from ._runs import Runs
from ._showing import STATES, Showing, Waits
from ._talk_showing import TalkShowing
from ._talk_views import AgentView, ChannelView, LinkView, Transcript
from ._troubles import Troubles
from ._view import Rows
from ._work import Approvals, Listeners, Tasks
from ._work_showing import WorkShowing
from ._work_views import ApprovalView, RunView, TaskView, Waterfall

__all__ = ("Board",)

_RATE_SECONDS = 10


class Board:
    """What people look at: agents, channels, runs, tasks, approvals and listeners, made out of events alone.

    ``board.fold(event)`` for each event, in the order of ``seq``: of a live hub, of a log without one, of an import.
    It is pure: no clock, no I/O, no task; the same events give the same board, and what depends on the time is told as
    of ``now``: seconds since 1970, a ``datetime`` with a zone, or a text as events have it. None is the time of the
    newest event. Use it in one thread, or loop, at a time.

    It is bounded in every dimension, by ``limits``. With a ``tenant`` it folds the events of that tenant alone.

    Raises :class:`~hubwire.errors.ConfigurationError` for limits or a tenant that are none.
    """

    def __init__(self, *, tenant: str | None = None, limits: BoardLimits | None = None) -> None:
        call = Call("Board()", ConfigurationError)
        if limits is not None and not is_a(limits, BoardLimits):
            raise call.refusal("limits", limits, "a BoardLimits, or None")
        self.tenant: str | None = (
            None if tenant is None else call.text("tenant", tenant, wanted="the name of a tenant", is_empty_ok=False)
        )
        self.limits: BoardLimits = limits or BoardLimits()
        # Of others' events, which lie between those of a tenant, a board may not be given any.
        self._place = Place(self.limits.gaps, may_skip=self.tenant is not None)
        self._at = self._before = ""
        self._life = Life()
        self._misfits = 0
        self._counts = Counts(self.limits)
        self._troubles = Troubles(self.limits.troubles)
        self._agents = Agents(self.limits)
        self._runs = Runs(self.limits, self._agents)
        self._channels = Channels(self.limits, self._agents, self._runs)
        self._tasks = Tasks(self.limits, self._agents, self._runs)
        self._approvals = Approvals(self.limits, self._runs)
        self._listeners = Listeners(self.limits)
        self._handlers = self._table()

    def __repr__(self) -> str:
        whose = "" if self.tenant is None else f" of tenant {self.tenant!r:.80}"
        return f"<Board{whose} up to event {self.seq}>"

    def _table(self) -> Mapping[str, tuple[Callable[[Any], None], ...]]:
        table: dict[str, tuple[Callable[[Any], None], ...]] = {
            "hub.started": (self._hub_started,),
            "hub.stopped": (self._hub_stopped,),
        }
        parts = (self._agents, self._runs, self._channels, self._tasks, self._approvals, self._listeners)
        for part in parts:
            for kind, handler in part.handlers().items():
                table[kind] = (*table.get(kind, ()), handler)
        return table

    # -- folding --

    @property
    def seq(self) -> int:
        """The ``seq`` of the last event that was folded, -1 before the first: go on with the one after it."""
        return self._place.seq

    def fold(self, event: Event) -> None:
        """Take in an event; one that the board has seen before changes nothing.

        It never raises for what an event holds. A ``seq`` that is left out is a gap, and told.

        Raises :class:`~hubwire.errors.ConfigurationError` for what is no event.
        """
        self._fold(event)

    def fold_all(self, events: Iterable[Event]) -> int:
        """Take in events, as :meth:`fold` does; return how many of them the board had not seen before."""
        return sum(map(self._fold, events))

    def _fold(self, event: Event) -> bool:
        """Return whether an event is new."""
        try:
            seq, hub, at, kind = event.seq, event.hub, event.at, event.kind
        except AttributeError:
            raise Call("board.fold()", ConfigurationError).refusal("event", event, "an Event") from None
        place = self._place
        if seq == place.seq + 1 and hub == place.hub:
            place.seq = seq
        elif place.is_known(seq, hub, at):
            return False
        elif place.go(seq, hub, at):
            self._replaced(at)
        if self.tenant is not None and event.tenant != self.tenant:
            return True
        try:
            self._take(event, at, kind)
        except Misfit:
            self._misfits += 1
        return True

    def missed(self, first_seq: int, last_seq: int, reason: str = "") -> None:
        """Tell the board of events that it will not get, for this ``reason``: it goes on after ``last_seq``.

        What it has seen of them already, or all of it, changes nothing.
        """
        call = Call("board.missed()", ConfigurationError)
        first = max(call.whole("first_seq", first_seq), self._place.seq + 1)
        last, reason = call.whole("last_seq", last_seq), call.text("reason", reason)
        if last >= first:
            self._place.gap(first, last, text_or(reason, "", TEXT_MAX), self._at)
            self._place.seq = last

    def _replaced(self, at: str) -> None:
        """The events are those of another hub from now on: what the one before had in memory is gone."""
        self._life.replaced()
        self._runs.lose(_At(at))
        for part in (self._agents, self._channels, self._tasks, self._approvals, self._listeners):
            part.lose(at)

    def _take(self, event: Event, at: str, kind: str) -> None:
        severity, outcome = event.severity, event.outcome
        meaning = meaning_of(kind, severity, outcome)
        self._counts.add(at, kind, meaning)
        self._before, self._at = self._at, at
        agent_id, tenant, occurred_at = event.agent_id, event.tenant, event.occurred_at
        if tenant is not None and (type(tenant) is not str or len(tenant) > NAME_MAX):
            raise Misfit
        if occurred_at is not None and (type(occurred_at) is not str or len(occurred_at) > NAME_MAX):
            raise Misfit
        if agent_id is not None:
            identifier(agent_id)
            if kind not in NOT_HEARD:
                self._agents.heard(agent_id, at, tenant)
            if meaning == WRONG:
                self._agents.erred(agent_id, self._counts.second // 60)
        handlers = self._handlers.get(kind)
        if handlers is None and not meaning:
            return
        fields = readable(event)
        if meaning:
            self._troubles.add(fields, kind, meaning)
        if handlers is not None:
            for handler in handlers:
                handler(fields)

    def _hub_started(self, event: Any) -> None:
        self._life.started(text_or(event.version), event.at, self._before)
        # Who listens, and which actors there are, the hub says anew.
        self._listeners.lose(event.at, "the hub was started again")
        self._agents.restarted()

    def _hub_stopped(self, event: Any) -> None:
        self._life.stopped()
        self._listeners.lose(event.at, "the hub was stopped")

    # -- what it shows --

    def hub(self, *, now: Now = None) -> HubView:
        """Return the hub as a whole, and how many of what need a look."""
        at = moment("board.hub()", now, self._at)
        states = dict.fromkeys(STATES, 0)
        showing, waits = self._showing(at), self._waits()
        for each in self._agents.kept:
            states[showing.state(each, waits)[0]] += 1
        rate = self._counts.ring("second", _RATE_SECONDS, int(at) - 1)
        return HubView(
            hub=self._place.hub,
            tenant=self.tenant,
            state=self._life.phase,
            version=self._life.version,
            started_at=self._life.started_at,
            seq=self._place.seq,
            first_seq=self._place.first_seq,
            at=self._at,
            events=self._counts.total,
            wrong=self._counts.meanings[2],
            attention=self._counts.meanings[1],
            kinds=dict(self._counts.kinds),
            kinds_not_shown=self._counts.kinds_more,
            missing=self._place.missing,
            misfits=self._misfits,
            agents=states,
            approvals_waiting=len(self._approvals.kept.going),
            listeners_troubled=sum(each.is_troubled for each in self.listeners()),
            events_per_second=sum(sum(counts) for _, counts in rate) / _RATE_SECONDS,
        )

    @property
    def gaps(self) -> Rows[GapView]:
        """The events that the board was not given, the newest gaps last."""
        return self._place.rows()

    def troubles(self, *, limit: int | None = None) -> Rows[TroubleView]:
        """Return the events that were wrong, or need attention, the newest first."""
        counted = self._counts.meanings[ATTENTION] + self._counts.meanings[WRONG]
        entries, showing = list(reversed(self._troubles.entries)), self._work()
        return cut("board.troubles()", entries, counted - len(entries), limit, showing.trouble)

    def agents(self, *, now: Now = None, limit: int | None = None) -> Rows[AgentView]:
        """Return the agents, those that need a look first: failing, waiting for a person, silent.

        Then come those at work, the fullest inbox first, and then the others.
        """
        call = "board.agents()"
        showing, waits = self._showing(moment(call, now, self._at)), self._waits()
        # Views are made of those alone that are shown: an order needs little of what a view has.
        found = sorted(self._agents.kept, key=lambda entry: showing.place(entry, waits))
        return cut(call, found, self._agents.kept.not_shown, limit, lambda entry: showing.agent(entry, waits))

    def agent(self, agent_id: str, *, now: Now = None) -> AgentView | None:
        """Return an agent by its id; None if the board does not have it."""
        entry = self._agents.kept.find(id_of("board.agent()", "agent_id", agent_id))
        if entry is None:
            return None
        return self._showing(moment("board.agent()", now, self._at)).agent(entry, self._waits())

    def channels(self, *, limit: int | None = None) -> Rows[ChannelView]:
        """Return the channels: those with violations, refusals or failures first, then those of the newest events."""
        showing = self._talk()
        entries = sorted(self._channels.kept, key=lambda each: each.last_at, reverse=True)
        entries.sort(key=lambda each: (bool(each.ended_at), not (each.violations or each.rejected or each.failed)))
        return cut("board.channels()", entries, self._channels.kept.not_shown, limit, showing.channel)

    def channel(self, channel_id: str, *, now: Now = None) -> Transcript | None:
        """Return what was said in a channel, and who talks to whom; None if the board does not have it."""
        entry = self._channels.kept.find(id_of("board.channel()", "channel_id", channel_id))
        if entry is None:
            return None
        return self._talk(moment("board.channel()", now, self._at)).transcript(entry)

    def links(self, *, limit: int | None = None) -> Rows[LinkView]:
        """Return who writes to whom in the whole hub, the most used first; envelopes of topics and asks count, too."""
        found = self._talk().links(self._channels.links)
        return cut("board.links()", found, self._channels.links_more, limit)

    def runs(self, *, now: Now = None, limit: int | None = None) -> Rows[RunView]:
        """Return the runs: those that are open or wait for people, failed ones, and the others, the newest first."""
        kept, showing = self._runs.kept, self._work(moment("board.runs()", now, self._at))
        entries = sorted(kept, key=lambda each: time_of(each.last_at) or 0.0, reverse=True)
        entries.sort(key=lambda each: (not (each.open or showing.waiting[each.run_id]), not each.failed))
        return cut("board.runs()", entries, kept.not_shown, limit, showing.run)

    def run(self, run_id: str, *, now: Now = None) -> Waterfall | None:
        """Return a run with its turns, calls and tasks; None if the board does not have it."""
        entry = self._runs.kept.find(id_of("board.run()", "run_id", run_id, most=1000))
        if entry is None:
            return None
        showing = self._work(moment("board.run()", now, self._at))
        spans = showing.spans([self._runs.spans[number] for number in entry.spans])
        restarts = showing.restarts(entry, self._life.restarts)
        return Waterfall(run=showing.run(entry), spans=spans, hand_overs=showing.hand_overs(entry), restarts=restarts)

    def tasks(self, *, now: Now = None, limit: int | None = None) -> Rows[TaskView]:
        """Return the tasks: those that run, the oldest first, then those that have ended, the newest first."""
        kept = self._tasks.kept
        entries = [*kept.going.values(), *reversed(kept.ended.values())]
        showing = self._work(moment("board.tasks()", now, self._at))
        return cut("board.tasks()", entries, kept.not_shown, limit, showing.task)

    def approvals(self, *, now: Now = None, limit: int | None = None) -> Rows[ApprovalView]:
        """Return the approvals: those that wait, the oldest first, then those that are decided, the newest first."""
        kept = self._approvals.kept
        entries = [*kept.going.values(), *reversed(kept.ended.values())]
        showing = self._work(moment("board.approvals()", now, self._at))
        return cut("board.approvals()", entries, kept.not_shown, limit, showing.approval)

    def approval(self, approval_id: str, *, now: Now = None) -> ApprovalView | None:
        """Return an approval by its id; None if the board does not have it."""
        entry = self._approvals.kept.find(id_of("board.approval()", "approval_id", approval_id))
        return None if entry is None else self._work(moment("board.approval()", now, self._at)).approval(entry)

    def listeners(self) -> Rows[ListenerView]:
        """Return the listeners, the troubled ones first, and the detached ones last."""
        kept = self._listeners.kept
        found = [self._work().listener(each) for each in kept]
        found.sort(key=lambda each: (each.state == "detached", not each.is_troubled, each.listener))
        return Rows(tuple(found), kept.not_shown)

    def counts(self, per: str = "second", *, buckets: int = 60, now: Now = None) -> CountsView:
        """Return how many events there were in each of the last seconds, minutes or hours, by when the hub took them.

        ``per`` is ``second``, ``minute`` or ``hour``; how far back it goes, the limits say.
        """
        call = Call("board.counts()", ConfigurationError)
        per = call.one_of("per", per, tuple(WIDTHS))
        number = call.whole("buckets", buckets, least=1, most=10_000)
        return self._counts.view(per, number, int(moment(call.name, now, self._at)))

    def _showing(self, now: float = 0.0) -> Showing:
        return Showing(self._agents, now, self.limits.silent_seconds)

    def _talk(self, now: float = 0.0) -> TalkShowing:
        return TalkShowing(self._agents, now, self._approvals.by_channel())

    def _work(self, now: float = 0.0) -> WorkShowing:
        return WorkShowing(self._agents, now, self._runs.spans, self._channels.kept, self._approvals.by_run())

    def _waits(self) -> Waits:
        """Return for what agents wait, by agent: the oldest approval, the newest question and task of each."""
        return Waits(
            {each.agent_id: each for each in self._approvals.waiting()},
            {each.asker_id: each for each in self._agents.asks.values()},
            {each.owner_id: each for each in self._tasks.kept.going.values()},
        )

    # -- snapshots --

    def snapshot(self) -> dict[str, Any]:
        """Return all that the board remembers, as JSON can hold it; it does not change later."""
        kept = BoardKept(
            VERSION,
            self.tenant,
            self._at,
            self._life.snapshot(),
            self._misfits,
            self._place.snapshot(),
            self._counts.snapshot(),
            self._troubles.snapshot(),
            self._agents.snapshot(),
            self._channels.snapshot(),
            self._runs.snapshot(),
            self._tasks.snapshot(),
            self._approvals.snapshot(),
            self._listeners.snapshot(),
        )
        return dict(msgspec.to_builtins(kept))

    @classmethod
    def restore(cls, snapshot: Mapping[str, Any], *, limits: BoardLimits | None = None) -> Board:
        """Return the board of a snapshot, also one that was JSON meanwhile; folding goes on after its :attr:`seq`.

        Give it the ``limits`` of the board that the snapshot is of. With others, what is beyond them leaves with the
        next events.

        Raises :class:`~hubwire.errors.InvalidRecord` for what is no snapshot, or one of another version: fold the log
        from its beginning instead.
        """
        kept = read_kept(snapshot)
        board = cls(tenant=kept.tenant, limits=limits)
        try:
            board._take_back(kept)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise damaged(error) from error
        return board

    def _take_back(self, kept: BoardKept) -> None:
        self._at, self._misfits = kept.at, kept.misfits
        self._life.restore(kept.life)
        self._place.restore(kept.place)
        self._counts.restore(kept.counts)
        self._troubles.restore(kept.troubles)
        self._agents.restore(kept.agents)
        self._runs.restore(kept.runs)
        self._channels.restore(kept.channels)
        self._tasks.restore(kept.tasks)
        self._approvals.restore(kept.approvals)
        self._listeners.restore(kept.listeners)


@attrs.frozen
class _At:
    """A moment, where an event would tell it."""

    at: str
    occurred_at: str | None = None
