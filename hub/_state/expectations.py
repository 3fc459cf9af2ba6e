"""Expectations: ``owed -- violated --> told of -- handled --> (quiet) -- owed anew``, for each of a channel's.

The machine keeps what its channels' evaluators decide by, and asks them when something may have become overdue: never
later than ``seconds`` after an event of the channel, so that between two such moments a channel may have any number of
events, each at the price of a look. Nothing is swept, and no log is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

import attrs

from ..errors import CommandRejected
from ..events import (
    ChannelAccepted,
    ChannelClosed,
    ChannelClosing,
    ChannelCreated,
    ChannelDeclined,
    ChannelExpired,
    ChannelOpened,
    ChannelParticipantHidden,
    ChannelParticipantJoined,
    ChannelParticipantRemoved,
    ChannelParticipantShown,
    EnvelopePosted,
    Event,
    ExpectationFailed,
    ExpectationViolated,
    FrozenDict,
    HubStarted,
)
from .channel_types import ChannelTypes
from .channels import ChannelEntry, Channels
from .endings import Endings
from .envelopes import Envelopes
from .evaluators import NEEDS_AGENT, Evaluators, Moment, Owed
from .moments import Deadlines, deadline_ns
from .watches import Unhandled, Watch, WatchedSituation, WatchEntry

__all__ = ("Expectations",)

_ParticipantsChanged = (
    ChannelAccepted
    | ChannelParticipantHidden
    | ChannelParticipantJoined
    | ChannelParticipantRemoved
    | ChannelParticipantShown
)


class _Looks:
    """When to ask the evaluators of channels again: never too late, and for the rest no part of the state."""

    def __init__(self) -> None:
        self._moments: dict[tuple[str, int], int] = {}
        """By channel and place of the expectation."""
        self._timed: dict[tuple[str, int, int], None] = {}
        self._deadlines: Deadlines[tuple[str, int, int]] = Deadlines(self._timed)

    @property
    def next_ns(self) -> int | None:
        return self._deadlines.next_ns

    def is_planned(self, channel_id: str, place: int) -> bool:
        return (channel_id, place) in self._moments

    def plan(self, channel_id: str, place: int, moment_ns: int | None) -> None:
        """Ask at this moment, with None at none, and not when it was planned before."""
        planned = self._moments.get((channel_id, place))
        if planned == moment_ns:
            return
        if planned is not None:
            del self._moments[channel_id, place], self._timed[channel_id, place, planned]
        if moment_ns is not None:
            self._moments[channel_id, place] = moment_ns
            self._timed[channel_id, place, moment_ns] = None
            self._deadlines.add(moment_ns, (channel_id, place, moment_ns))
        self._deadlines.tidy()

    def passed(self, now_ns: int, limit: int) -> Iterable[tuple[str, int, int]]:
        """Return some of those whose moment has come, at most ``limit``; nothing if there are none."""
        return dict.fromkeys(islice(self._deadlines.passed(now_ns), limit))


class Expectations:
    """The expectations of the channels that have some and have not ended."""

    entry_types: ClassVar[tuple[type, ...]] = (WatchEntry,)

    def __init__(
        self, channels: Channels, types: ChannelTypes, endings: Endings, envelopes: Envelopes, evaluators: Evaluators
    ) -> None:
        self._channels = channels
        self._types = types
        self._endings = endings
        self._envelopes = envelopes
        self._evaluators = evaluators
        self._watches: dict[str, Watch] = {}
        self._to_handle: dict[str, None] = {}
        """The channels with violations for which something has still to be done."""
        self._failed: dict[str, None] = {}
        self._looks = _Looks()

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        return {
            ChannelCreated: self._created,
            ChannelAccepted: self._participates,
            ChannelDeclined: self._left,
            ChannelOpened: self._opened,
            ChannelParticipantJoined: self._participates,
            ChannelParticipantRemoved: self._left,
            ChannelParticipantHidden: self._hidden,
            ChannelParticipantShown: self._participates,
            ChannelClosing: self._ended,
            ChannelClosed: self._ended,
            ChannelExpired: self._ended,
            EnvelopePosted: self._posted,
            ExpectationViolated: self._violated,
            ExpectationFailed: self._not_evaluated,
            HubStarted: self._started,
        }

    def snapshot(self) -> list[WatchEntry]:
        return [watch.entry() for watch in self._watches.values()]

    def restore(self, entries: Sequence[WatchEntry]) -> None:
        for entry in entries:
            watch = self._watches[entry.channel_id] = Watch(entry)
            if watch.unhandled:
                self._to_handle[entry.channel_id] = None
            if watch.failed:
                self._failed[entry.channel_id] = None
            # What is owed is for the evaluators to say, and they are asked when all is there.
            self._look_at_all(entry.channel_id, None)

    def __len__(self) -> int:
        return len(self._watches)

    # -- what happens by itself --

    def next_due_ns(self) -> int | None:
        return 0 if self._to_handle else self._looks.next_ns

    def due(self, now_ns: int, limit: int) -> list[Event]:
        if self._to_handle:
            return self._handle(limit)
        events: list[Event] = []
        while not events:
            passed = self._looks.passed(now_ns, limit)
            if not passed:
                break
            numbered: set[str] = set()
            for channel_id, place, _ in passed:
                # Violations of a channel are numbered: the next one is decided when this one is applied.
                if channel_id not in numbered and (found := self._evaluate(channel_id, place, now_ns)):
                    events += found
                    numbered.add(channel_id)
        return events

    def _evaluate(self, channel_id: str, place: int, now_ns: int) -> list[Event]:
        """Decide whether an expectation is violated now; if not, find out when it may be."""
        watch, channel = self._watches[channel_id], self._channels.get(channel_id)
        expectation = channel.expectations[place]
        about = {"channel_id": channel_id, "expectation": expectation["name"], "version": expectation["version"]}
        try:
            owed = self._owed(watch, channel, expectation)
        except Exception as error:  # noqa: BLE001 - anybody may have written the evaluator, or the channel's type
            reason = str(error) if isinstance(error, CommandRejected) else f"{type(error).__name__}: {error}"
            return [ExpectationFailed(**about, place=place, reason=reason)]
        patience_ns = round(watch.head.seconds[place] * 1e9)
        untold = [each for each in owed if each.since.seq > watch.told.get((place, each.agent_id), -1)]
        overdue = [each for each in untold if each.since.ns + patience_ns <= now_ns]
        if not overdue:
            self._looks.plan(channel_id, place, min((each.since.ns + patience_ns for each in untold), default=None))
            return []
        agents = [each for each in overdue if each.agent_id is not None]
        # An evaluator that speaks of agents and of the channel is told of in two: of those who are named first.
        overdue = agents or overdue
        newest: dict[str | None, int] = {}
        for each in overdue:
            newest[each.agent_id] = max(each.since.seq, newest.get(each.agent_id, -1))
        elapsed_ns = now_ns - min(each.since.ns for each in overdue)
        return [
            ExpectationViolated(
                **about,
                place=place,
                number=watch.head.violations + 1,
                on_violation=expectation["on_violation"],
                params=expectation["params"],
                violators=tuple(agent_id for agent_id in newest if agent_id is not None),
                since_seqs=tuple(newest.values()),
                detail=FrozenDict(elapsed_seconds=elapsed_ns / 1e9, threshold_seconds=watch.head.seconds[place]),
            )
        ]

    def _owed(self, watch: Watch, channel: ChannelEntry, expectation: Mapping[str, Any]) -> list[Owed]:
        """Ask the evaluator; return what binds those whom the expectation applies to."""
        evaluator = self._evaluators.get(expectation["name"], expectation["version"])
        situation = WatchedSituation(watch, channel, expectation, self._types)
        present = {*channel.participants, *situation.invited, None}
        owed: list[Owed] = []
        for each in evaluator.owed(situation):
            if not isinstance(each, Owed) or each.agent_id not in present:
                raise CommandRejected(f"evaluator {evaluator.name!r} says that {each!r}, who is not in the channel")
            if each.agent_id is None or situation.applies_to(each.agent_id):
                owed.append(each)
        return owed

    def _handle(self, limit: int) -> list[Event]:
        """Decide what follows violations, one step for each channel: what is next depends on it."""
        events: list[Event] = []
        gone: set[str] = set()
        for channel_id in self._to_handle:
            if len(events) >= limit:
                break
            if channel_id not in gone:
                unhandled = next(iter(self._watches[channel_id].unhandled.values()))
                events += self._follow(self._channels.get(channel_id), unhandled, gone, limit - len(events))
        return events

    def _follow(self, channel: ChannelEntry, unhandled: Unhandled, gone: set[str], limit: int) -> list[Event]:
        violated = unhandled.violated
        reason = f"expectation {violated.expectation} was violated"
        match violated.on_violation:
            case "auto_close":
                return self._endings.end(channel.channel_id, reason, limit=limit, gone=gone)
            case "remove":
                return self._endings.remove(channel, unhandled.agents[0], reason, gone, limit)
            case "hide":
                return self._endings.hide(channel, unhandled.agents[0], reason, gone, limit)
            case _:
                recipients = unhandled.agents if violated.on_violation == "warn" else channel.participants
                content = {
                    "expectation": violated.expectation,
                    "violators": violated.violators,
                    "params": violated.params,
                    "detail": violated.detail,
                }
                return self._envelopes.notice(
                    channel.channel_id, content, recipients, envelope_id=_notice_id(channel.channel_id, violated.number)
                )

    # -- applying --

    def _look_at_all(self, channel_id: str, at_ns: int | None) -> None:
        """Something has happened: what is owed by it, and was not before, is overdue ``seconds`` later.

        If an evaluator will be asked before, that is early enough: it says then when to ask again. With None, now.
        """
        watch = self._watches[channel_id]
        for place, seconds in enumerate(watch.head.seconds):
            if not self._looks.is_planned(channel_id, place) and place not in watch.failed:
                self._looks.plan(channel_id, place, 0 if at_ns is None else at_ns + round(seconds * 1e9))

    def _created(self, event: ChannelCreated) -> None:
        if not event.expectations:
            return
        assert event.channel_id is not None
        moment = _moment(event)
        self._watches[event.channel_id] = Watch(
            WatchEntry(
                channel_id=event.channel_id,
                seconds=tuple(float(each["params"]["seconds"]) for each in event.expectations),
                created=moment,
                turn=moment,
            )
        )
        self._look_at_all(event.channel_id, moment.ns)

    def _change(self, event: Event, **changes: Any) -> Watch | None:
        """Note what an event changes, if its channel has expectations."""
        watch = self._watches.get(event.channel_id or "")
        if watch is None:
            return None
        assert event.channel_id is not None
        watch.head = attrs.evolve(watch.head, **changes)
        self._look_at_all(event.channel_id, deadline_ns(event.at, 0))
        return watch

    def _changed(self, event: _ParticipantsChanged) -> Watch | None:
        if event.channel_id not in self._watches:
            return None
        # This machine applies an event before the channels do, so what their types remembered is still there.
        before = self._channels.get(event.channel_id).channel_state
        return self._change(event, **({} if event.channel_state == before else {"turn": _moment(event)}))

    def _participates(self, event: ChannelAccepted | ChannelParticipantJoined | ChannelParticipantShown) -> None:
        self._changed(event)

    def _opened(self, event: ChannelOpened) -> None:
        if event.channel_id in self._watches:
            moment = _moment(event)
            self._change(event, opened=moment, turn=moment)

    def _left(self, event: ChannelDeclined | ChannelParticipantRemoved) -> None:
        watch = self._change(event) if isinstance(event, ChannelDeclined) else self._changed(event)
        if watch is not None:
            assert event.agent_id is not None
            watch.forget(event.agent_id)
            self._done_to(watch, event.agent_id, NEEDS_AGENT)

    def _hidden(self, event: ChannelParticipantHidden) -> None:
        watch = self._changed(event)
        if watch is not None:
            assert event.agent_id is not None
            self._done_to(watch, event.agent_id, frozenset({"hide"}))

    def _posted(self, event: EnvelopePosted) -> None:
        if event.channel_id not in self._watches:
            return
        if event.is_notice:
            self._noticed(event)
            return
        assert event.agent_id is not None
        moment = _moment(event)
        changes = {"posted": moment} if event.channel_state is None else {"posted": moment, "turn": moment}
        watch = self._change(event, **changes)
        assert watch is not None
        watch.post(event.agent_id, event.recipients, moment)

    def _ended(self, event: ChannelClosing | ChannelClosed | ChannelExpired) -> None:
        watch = self._watches.pop(event.channel_id or "", None)
        if watch is not None:
            assert event.channel_id is not None
            self._to_handle.pop(event.channel_id, None)
            self._failed.pop(event.channel_id, None)
            for place in range(len(watch.head.seconds)):
                self._looks.plan(event.channel_id, place, None)

    def _violated(self, event: ExpectationViolated) -> None:
        assert event.channel_id is not None
        watch = self._watches[event.channel_id]
        watch.head = attrs.evolve(watch.head, violations=event.number)
        for agent_id, seq in zip(event.violators or (None,), event.since_seqs, strict=True):
            watch.told[event.place, agent_id] = seq
        agents = event.violators if event.on_violation in NEEDS_AGENT else ()
        if event.on_violation == "hide":
            hidden = self._channels.get(event.channel_id).hidden
            agents = tuple(each for each in agents if each not in hidden)
        if agents or event.on_violation in ("notify_channel", "auto_close"):
            watch.unhandled[event.number] = Unhandled(event, agents)
            self._to_handle[event.channel_id] = None
        self._looks.plan(event.channel_id, event.place, deadline_ns(event.at, 0))

    def _done_to(self, watch: Watch, agent_id: str, handlings: frozenset[str]) -> None:
        """What follows violations was done to an agent, or cannot be any more."""
        for number, unhandled in [*watch.unhandled.items()]:
            if unhandled.violated.on_violation in handlings and agent_id in unhandled.agents:
                rest = tuple(each for each in unhandled.agents if each != agent_id)
                watch.unhandled[number] = attrs.evolve(unhandled, agents=rest)
                if not rest:
                    self._handled(watch, number)

    def _noticed(self, event: EnvelopePosted) -> None:
        watch = self._watches[event.channel_id or ""]
        for number in [*watch.unhandled]:
            if _notice_id(watch.head.channel_id, number) == event.envelope_id:
                self._handled(watch, number)

    def _handled(self, watch: Watch, number: int) -> None:
        del watch.unhandled[number]
        if not watch.unhandled:
            del self._to_handle[watch.head.channel_id]

    def _not_evaluated(self, event: ExpectationFailed) -> None:
        assert event.channel_id is not None
        self._watches[event.channel_id].failed[event.place] = None
        self._failed[event.channel_id] = None
        self._looks.plan(event.channel_id, event.place, None)

    def _started(self, _: HubStarted) -> None:
        """What could not be evaluated may be able to now: other code runs."""
        for channel_id in self._failed:
            self._watches[channel_id].failed.clear()
            self._look_at_all(channel_id, None)
        self._failed.clear()


def _moment(event: Event) -> Moment:
    return Moment(event.seq, deadline_ns(event.at, 0))


def _notice_id(channel_id: str, number: int) -> str:
    return f"{channel_id}-violation-{number}"
