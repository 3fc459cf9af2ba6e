"""Expectations of a channel, each: ``owed -- violated --> reported -- handled --> (quiet) -- owed anew``.

The machine keeps what evaluators decide by, and calls them when an expectation may be overdue: never later than
``seconds`` after an event of the channel. Between two such moments a channel may have any number of events, and each
costs one look. There is no sweep over channels, and no log is read.
"""

from __future__ import annotations

from collections import Counter
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
from ..events._shown import shown
from .channel_types import ChannelTypes
from .channels import ChannelEntry, Channels
from .endings import Endings
from .envelopes import Envelopes
from .evaluators import NEEDS_AGENT, Evaluators, Moment, Owed, check_owed
from .guests import text_of
from .ledgers import ChannelSituation, Ledger, Ledgers, Unhandled, WatchEntry
from .moments import Deadlines, deadline_ns

__all__ = ("Expectations",)

_ParticipantsChanged = (
    ChannelAccepted
    | ChannelParticipantHidden
    | ChannelParticipantJoined
    | ChannelParticipantRemoved
    | ChannelParticipantShown
)


_MOVES_MAX = 3
"""An evaluator that gives another moment each time is not waited for: it is no function of what it sees."""

OWED_MAX = 100_000
"""How many obligations an evaluator may return at once: one that never ends would block the hub."""


class _Looks:
    """When to call evaluators again: never too late. The exact moments are not part of the state."""

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
        """Call one at this moment (None: not at all), and not at the one that was planned before."""
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
        """Return those whose moment has come, at most ``limit`` of them."""
        return dict.fromkeys(islice(self._deadlines.passed(now_ns), limit))


class Expectations:
    """The expectations of the channels that have not ended."""

    entry_types: ClassVar[tuple[type, ...]] = (WatchEntry,)

    def __init__(
        self, channels: Channels, types: ChannelTypes, endings: Endings, envelopes: Envelopes, evaluators: Evaluators
    ) -> None:
        self._channels = channels
        self._types = types
        self._endings = endings
        self._envelopes = envelopes
        self._evaluators = evaluators
        self._ledgers = Ledgers()
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
        return self._ledgers.entries()

    def restore(self, entries: Sequence[WatchEntry]) -> None:
        for entry in entries:
            self._ledgers.add(entry)
            # Only the evaluators know what is owed, and they are called when all machines are restored.
            self._look_at_all(entry.channel_id, None)
        self._ledgers.sort_to_handle()

    def __len__(self) -> int:
        return len(self._ledgers)

    # -- what happens by itself --

    def next_due_ns(self) -> int | None:
        return 0 if self._ledgers.to_handle else self._looks.next_ns

    def due(self, now_ns: int, limit: int) -> list[Event]:
        if self._ledgers.to_handle:
            return self._handle(limit)
        events: list[Event] = []
        moves: Counter[tuple[str, int]] = Counter()
        while not events:
            passed = self._looks.passed(now_ns, limit)
            if not passed:
                break
            # Some moments are only estimates, after a restart all: the exact ones first, so that the order is theirs.
            found = [self._look(*each) for each in passed]
            moved = [each[:2] for each, (is_moved, _) in zip(passed, found, strict=True) if is_moved]
            moves.update(moved)
            if any(moves[each] <= _MOVES_MAX for each in moved):
                continue
            numbered: set[str] = set()
            for (channel_id, place, _), (_, unreported) in zip(passed, found, strict=True):
                if channel_id in numbered:
                    break  # violations of a channel are numbered: the next one is decided after this one is applied
                if (judged := self._judged(channel_id, place, now_ns, unreported)) is not None:
                    events.append(judged)
                    numbered.add(channel_id)
        return events

    def _look(self, channel_id: str, place: int, planned_ns: int) -> tuple[bool, list[Owed] | str]:
        """Return what is owed and was not reported, or why it is not known.

        Plan the moment at which that is overdue, and return, too, whether it is another one than was planned.
        """
        ledger, channel = self._ledgers[channel_id], self._channels.get(channel_id)
        try:
            owed = self._owed(ledger, channel, channel.expectations[place])
        except BaseException as error:  # noqa: BLE001 - the evaluator and the channel's type are guests
            return False, text_of(error)
        unreported = [each for each in owed if each.since.seq > ledger.reported.get((place, each.agent_id), -1)]
        patience_ns = round(ledger.head.seconds[place] * 1e9)
        moment_ns = min((each.since.ns + patience_ns for each in unreported), default=None)
        self._looks.plan(channel_id, place, moment_ns)
        return moment_ns != planned_ns, unreported

    def _judged(self, channel_id: str, place: int, now_ns: int, unreported: list[Owed] | str) -> Event | None:
        """Return the event for what is overdue, or could not be evaluated; None if no obligation is."""
        ledger, expectation = self._ledgers[channel_id], self._channels.get(channel_id).expectations[place]
        about = {"channel_id": channel_id, "expectation": expectation["name"], "version": expectation["version"]}
        if isinstance(unreported, str):
            return ExpectationFailed(**about, place=place, reason=unreported)
        patience_ns = round(ledger.head.seconds[place] * 1e9)
        overdue = [each for each in unreported if each.since.ns + patience_ns <= now_ns]
        if not overdue:
            return None
        # An evaluator that names agents and the channel as a whole leads to two events: first that of the agents.
        overdue = [each for each in overdue if each.agent_id is not None] or overdue
        newest: dict[str | None, int] = {}
        for each in overdue:
            newest[each.agent_id] = max(each.since.seq, newest.get(each.agent_id, -1))
        elapsed_ns = now_ns - min(each.since.ns for each in overdue)
        return ExpectationViolated(
            **about,
            place=place,
            number=ledger.head.violations + 1,
            on_violation=expectation["on_violation"],
            params=expectation["params"],
            violators=tuple(agent_id for agent_id in newest if agent_id is not None),
            since_seqs=tuple(newest.values()),
            detail=FrozenDict(elapsed_seconds=elapsed_ns / 1e9, threshold_seconds=ledger.head.seconds[place]),
        )

    def _owed(self, ledger: Ledger, channel: ChannelEntry, expectation: Mapping[str, Any]) -> list[Owed]:
        """Call the evaluator; return what is owed by agents that the expectation applies to."""
        evaluator = self._evaluators.get(expectation["name"], expectation["version"])
        situation = ChannelSituation(ledger, channel, expectation, self._types)
        present = {*channel.participants, *situation.invited, None}
        owed: list[Owed] = []
        for number, each in enumerate(evaluator.owed(situation)):
            if number == OWED_MAX:
                raise CommandRejected(f"evaluator {shown(evaluator.name)} returned more than {OWED_MAX} obligations")
            check_owed(each, evaluator.name, present)
            if each.agent_id is None or (each.agent_id not in channel.hidden and situation.applies_to(each.agent_id)):
                owed.append(each)
        return owed

    def _handle(self, limit: int) -> list[Event]:
        """Decide the consequences of violations, one step for each channel: the next depends on it."""
        events: list[Event] = []
        gone: set[str] = set()
        for channel_id in self._ledgers.to_handle:
            if len(events) >= limit:
                break
            if channel_id not in gone:
                unhandled = next(iter(self._ledgers[channel_id].unhandled.values()))
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
        """An event has come: what is owed because of it, and was not before, is overdue ``seconds`` later.

        Where an evaluator will be called before that, it is early enough: it says then when to call it again. With
        None, call all now.
        """
        ledger = self._ledgers[channel_id]
        for place, seconds in enumerate(ledger.head.seconds):
            if not self._looks.is_planned(channel_id, place) and place not in ledger.failed:
                self._looks.plan(channel_id, place, 0 if at_ns is None else at_ns + round(seconds * 1e9))

    def _created(self, event: ChannelCreated) -> None:
        if not event.expectations:
            return
        assert event.channel_id is not None
        moment = _moment(event)
        self._ledgers.add(
            WatchEntry(
                channel_id=event.channel_id,
                seconds=tuple(float(each["params"]["seconds"]) for each in event.expectations),
                created=moment,
                turn=moment,
            )
        )
        self._look_at_all(event.channel_id, moment.ns)

    def _change(self, event: Event, **changes: Any) -> Ledger | None:
        """Note what an event changes; return the ledger of its channel, if it has one."""
        ledger = self._ledgers.find(event.channel_id)
        if ledger is not None:
            assert event.channel_id is not None
            ledger.head = attrs.evolve(ledger.head, **changes)
            self._look_at_all(event.channel_id, deadline_ns(event.at, 0))
        return ledger

    def _changed(self, event: _ParticipantsChanged) -> Ledger | None:
        if self._ledgers.find(event.channel_id) is None:
            return None
        # This machine applies an event before the channels do, so their types' states are still the earlier ones.
        before = self._channels.get(event.channel_id or "").channel_state
        return self._change(event, **({} if event.channel_state == before else {"turn": _moment(event)}))

    def _participates(self, event: ChannelAccepted | ChannelParticipantJoined | ChannelParticipantShown) -> None:
        self._changed(event)

    def _opened(self, event: ChannelOpened) -> None:
        if self._ledgers.find(event.channel_id) is not None:
            moment = _moment(event)
            self._change(event, opened=moment, turn=moment)

    def _left(self, event: ChannelDeclined | ChannelParticipantRemoved) -> None:
        ledger = self._change(event) if isinstance(event, ChannelDeclined) else self._changed(event)
        if ledger is not None:
            assert event.channel_id is not None
            assert event.agent_id is not None
            ledger.forget(event.agent_id)
            self._ledgers.handled_for(event.channel_id, event.agent_id, NEEDS_AGENT)

    def _hidden(self, event: ChannelParticipantHidden) -> None:
        if (ledger := self._changed(event)) is not None:
            assert event.channel_id is not None
            assert event.agent_id is not None
            ledger.release(event.agent_id)
            self._ledgers.handled_for(event.channel_id, event.agent_id, frozenset({"hide"}))

    def _posted(self, event: EnvelopePosted) -> None:
        ledger = self._ledgers.find(event.channel_id)
        if ledger is None:
            return
        if event.is_notice:
            self._noticed(ledger, event.envelope_id)
            return
        assert event.agent_id is not None
        moment = _moment(event)
        self._change(event, posted=moment, **({} if event.channel_state is None else {"turn": moment}))
        hidden = self._channels.get(event.channel_id or "").hidden
        ledger.post(event.agent_id, event.recipients, moment, hidden=hidden, answered=event.answers)

    def _ended(self, event: ChannelClosing | ChannelClosed | ChannelExpired) -> None:
        assert event.channel_id is not None
        ledger = self._ledgers.remove(event.channel_id)
        if ledger is not None:
            for place in range(len(ledger.head.seconds)):
                self._looks.plan(event.channel_id, place, None)

    def _violated(self, event: ExpectationViolated) -> None:
        assert event.channel_id is not None
        ledger = self._ledgers[event.channel_id]
        ledger.head = attrs.evolve(ledger.head, violations=event.number)
        for agent_id, seq in zip(event.violators or (None,), event.since_seqs, strict=True):
            ledger.reported[event.place, agent_id] = seq
        agents = event.violators if event.on_violation in NEEDS_AGENT else ()
        if event.on_violation == "hide":
            hidden = self._channels.get(event.channel_id).hidden
            agents = tuple(each for each in agents if each not in hidden)
        if agents or event.on_violation in ("notify_channel", "auto_close"):
            self._ledgers.add_unhandled(event.channel_id, Unhandled(event, agents))
        self._looks.plan(event.channel_id, event.place, deadline_ns(event.at, 0))

    def _noticed(self, ledger: Ledger, envelope_id: str) -> None:
        channel_id = ledger.head.channel_id
        for number in [*ledger.unhandled]:
            if _notice_id(channel_id, number) == envelope_id:
                self._ledgers.handled(channel_id, number)

    def _not_evaluated(self, event: ExpectationFailed) -> None:
        assert event.channel_id is not None
        self._ledgers.add_failed(event.channel_id, event.place)
        self._looks.plan(event.channel_id, event.place, None)

    def _started(self, _: HubStarted) -> None:
        """Plan again what could not be evaluated: with the code of this start it may be."""
        for channel_id in self._ledgers.clear_failed():
            self._look_at_all(channel_id, None)


def _moment(event: Event) -> Moment:
    return Moment(event.seq, deadline_ns(event.at, 0))


def _notice_id(channel_id: str, number: int) -> str:
    return f"{channel_id}-violation-{number}"
