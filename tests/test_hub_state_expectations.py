"""Expectations as a state machine: any history, against one that reads the whole of it again every second."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hubwire import codec
from hubwire._state import State
from hubwire._state.moments import deadline_ns
from hubwire.clock import timestamp
from hubwire.context import EMPTY
from hubwire.errors import CommandRejected
from hubwire.events import (
    ChannelOpened,
    ChannelParticipantHidden,
    ChannelParticipantRemoved,
    ChannelParticipantShown,
    EnvelopePosted,
    Event,
    ExpectationViolated,
)
from hubwire.events._stamp import stamp
from support import restored

START_NS = 1_767_225_600_000_000_000
SECOND_NS = 1_000_000_000
AGENTS = ("a", "b", "c")
Found = tuple[str, int, str | None, int]
"""Channel, place of the expectation, agent, and the event since which something was expected."""

ASKED: list[int] = []
"""One for each time that an evaluator is asked."""


class History:
    """What is to be told of, found by reading everything that has happened."""

    def __init__(self, events: list[Event]) -> None:
        self.events = events

    def overdue(self, channel_id: str, manifest: tuple[Mapping[str, Any], ...], now_ns: int) -> set[Found]:
        seconds_ago = {each.seq: (now_ns - _ns(each)) / 1e9 for each in self.events}
        found: set[Found] = set()
        for place, expectation in enumerate(manifest):
            for agent_id, seq in self._owed(channel_id, expectation["name"]):
                bound = agent_id is None or not expectation["applies_to"] or agent_id in expectation["applies_to"]
                if bound and seconds_ago[seq] >= expectation["params"]["seconds"]:
                    found.add((channel_id, place, agent_id, seq))
        return found

    def _owed(self, channel_id: str, name: str) -> list[tuple[str | None, int]]:
        spoken = 0
        asked: dict[tuple[str, str], int] = {}
        hidden: set[str] = set()
        for event in (each for each in self.events if each.channel_id == channel_id):
            if isinstance(event, ChannelOpened):
                spoken = event.seq
            elif isinstance(event, EnvelopePosted) and event.agent_id is not None:
                spoken = event.seq
                for other in event.recipients:
                    is_answer = asked.pop((event.agent_id, other), None) is not None
                    if not is_answer and other != event.agent_id and other not in hidden:
                        asked.setdefault((other, event.agent_id), event.seq)
            elif isinstance(event, ChannelParticipantHidden):
                hidden.add(event.agent_id or "")
                asked = {pair: seq for pair, seq in asked.items() if event.agent_id != pair[0]}
            elif isinstance(event, ChannelParticipantShown):
                hidden.discard(event.agent_id or "")
            elif isinstance(event, ChannelParticipantRemoved):
                hidden.discard(event.agent_id or "")
                asked = {pair: seq for pair, seq in asked.items() if event.agent_id not in pair}
        if name == "max_silence":
            return [(None, spoken)]
        return [(who, seq) for (who, _), seq in asked.items()]


def _ns(event: Event) -> int:
    return deadline_ns(event.at, 0)


class Rules(RuleBasedStateMachine):
    """Channels with expectations, and a hub that is restarted at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.state = _state()
        self.history: list[bytes] = []
        self.events: list[Event] = []
        self.now_ns = START_NS
        self.told: set[Found] = set()
        self.manifests: dict[str, tuple[Mapping[str, Any], ...]] = {}

    def do(self, events: list[Event]) -> None:
        for each in events:
            seq = len(self.history)
            at = timestamp(self.now_ns)
            made = stamp(each, seq=seq, id=f"id {seq}", at=at, hub="a hub", context=EMPTY, bytes_max=1 << 20)
            self.history.append(codec.encode(made))
            self.state.apply(made)
            self.events.append(made)

    def command(self, decide: Callable[[], list[Event]]) -> None:
        before = self.state.snapshot()
        asked = len(ASKED)
        try:
            events = decide()
        except CommandRejected:
            assert self.state.snapshot() == before
            return
        self.do(events)
        assert len(ASKED) == asked, "an event asks no evaluator"

    def settle(self, steps: int = 1000) -> None:
        """Do what the timers do; a hub that is killed meanwhile takes only some steps."""
        for _ in range(steps):
            before = self.state.snapshot()
            events = self.state.due(self.now_ns, 2)
            assert self.state.snapshot() == before
            if not events:
                due_ns = self.state.next_due_ns()
                assert due_ns is None or due_ns > self.now_ns, "something is due, and nothing is decided"
                unhandled = [entry.unhandled for entry in self.state.expectations.snapshot()]
                assert not any(unhandled), "what follows a violation was forgotten"
                return
            self.do(events)
        assert steps < 1000, "what is due never comes to an end"

    @initialize(
        first=st.sampled_from(["audit", "warn", "notify_channel", "hide", "remove", "auto_close"]),
        second=st.sampled_from(["audit", "notify_channel", "auto_close"]),
        seconds=st.integers(1, 5),
    )
    def begin(self, first: str, second: str, seconds: int) -> None:
        for agent_id in AGENTS:
            self.do(self.state.agents.register(f"name of {agent_id}", (), agent_id=agent_id))
        many = [
            {"name": "reply_within", "params": {"seconds": seconds}, "on_violation": first},
            {"name": "max_silence", "params": {"seconds": 4}, "on_violation": second},
            {"name": "reply_within", "params": {"seconds": 3}, "applies_to": ["b"]},
        ]
        few = [{"name": "max_silence", "params": {"seconds": 3}}, {"name": "reply_within", "params": {"seconds": 2}}]
        for channel_id, expectations in (("many", many), ("few", few), ("none", [])):
            self.do(self.state.membership.open(AGENTS, "", channel_id=channel_id, expectations=expectations))
            self.manifests[channel_id] = self.state.channels.get(channel_id).expectations

    @rule(
        channel_id=st.sampled_from(["many", "few", "none"]),
        sender=st.sampled_from(AGENTS),
        to=st.none() | st.lists(st.sampled_from(AGENTS), min_size=1, max_size=2),
    )
    def post(self, channel_id: str, sender: str, to: list[str] | None) -> None:
        envelope_id = f"envelope {len(self.history)}"
        self.command(lambda: self.state.envelopes.post(channel_id, sender, "hi", to, envelope_id=envelope_id))

    @rule(channel_id=st.sampled_from(["many", "few"]), agent_id=st.sampled_from(AGENTS), what=st.sampled_from("jlhs"))
    def takes_part(self, channel_id: str, agent_id: str, what: str) -> None:
        membership = self.state.membership
        self.command(
            {
                "j": lambda: membership.join(channel_id, agent_id, ""),
                "l": lambda: membership.leave(channel_id, agent_id, ""),
                "h": lambda: membership.hide(channel_id, agent_id, ""),
                "s": lambda: membership.show(channel_id, agent_id),
            }[what]
        )

    @rule(seconds=st.integers(1, 8))
    def time_goes_by(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now_ns += SECOND_NS
            self.see_what_is_told(self.settle)

    @rule(steps=st.sampled_from([1, 0, 2, 3]), snapshot=st.booleans())
    def the_hub_is_killed_and_starts_again(self, steps: int, snapshot: bool) -> None:
        self.now_ns += SECOND_NS
        self.see_what_is_told(lambda: self.killed(steps, snapshot))

    def killed(self, steps: int, snapshot: bool) -> None:
        self.settle(steps)
        self.state = restored(self.state, _state()) if snapshot else self.replayed()
        self.settle()

    def see_what_is_told(self, act: Callable[[], None]) -> None:
        """See that exactly what is overdue is told of, whatever follows from it, and nothing twice."""
        place = len(self.events)
        before = History([*self.events])
        there = [each for each in self.manifests if each in self.state.channels]
        overdue = set[Found]().union(*(before.overdue(each, self.manifests[each], self.now_ns) for each in there))
        act()
        told: set[Found] = set()
        for event in self.events[place:]:
            if isinstance(event, ExpectationViolated):
                assert event.channel_id is not None
                for agent_id, seq in zip(event.violators or (None,), event.since_seqs, strict=True):
                    found = (event.channel_id, event.place, agent_id, seq)
                    assert found not in self.told | told, "told of twice"
                    # Whatever of an agent is overdue by then is told of with it.
                    told |= {each for each in overdue if each[:3] == found[:3] and each[3] < seq} | {found}
        assert told <= overdue, "told of what was kept"
        # What a violation leads to may end a channel, or let an agent leave or hide it, before the next one is decided.
        for channel_id, _, agent_id, _ in overdue - self.told - told:
            if channel_id in self.state.channels:
                channel = self.state.channels.get(channel_id)
                assert agent_id is not None
                assert agent_id not in channel.participants or agent_id in channel.hidden
        self.told |= told

    def replayed(self) -> State:
        state = _state()
        asked = len(ASKED)
        for body in self.history:
            state.apply(codec.decode(body))
        assert len(ASKED) == asked, "a replay asks no evaluator"
        return state

    @invariant()
    def a_replay_is_what_was_live_and_so_is_a_snapshot(self) -> None:
        assert self.replayed().snapshot() == self.state.snapshot()
        assert restored(self.state, _state()).snapshot() == self.state.snapshot()

    @invariant()
    def nothing_is_kept_of_what_has_ended(self) -> None:
        watched = {entry.channel_id for entry in self.state.expectations.snapshot()}
        assert watched == {each for each in ("many", "few") if each in self.state.channels}


def _state() -> State:
    """A state whose evaluators count how often they are asked."""
    state = State()
    for name in ("reply_within", "max_silence"):
        evaluator: Any = state.evaluators.get(name)
        evaluator.owed = _counted(evaluator.owed)
    return state


def _counted(owed: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def ask(situation: Any) -> Any:
        ASKED.append(1)
        return owed(situation)

    return ask


# It replays its history at each step, which takes a busy machine more than a minute.
TestExpectations = pytest.mark.timeout(600)(pytest.mark.slow(Rules.TestCase))
TestExpectations.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)


def test_consequences_survive_a_crash() -> None:
    """The crash comes between a violation and what follows it."""
    bench = Rules()
    for agent_id in AGENTS:
        bench.do(bench.state.agents.register(f"name of {agent_id}", (), agent_id=agent_id))
    expected = {"name": "reply_within", "params": {"seconds": 1}, "on_violation": "notify_channel"}
    bench.do(bench.state.membership.open(AGENTS, "", channel_id="many", expectations=[expected]))
    bench.do(bench.state.envelopes.post("many", "a", "?", None, envelope_id="envelope"))
    bench.now_ns += SECOND_NS
    bench.settle(1)
    assert [each.kind for each in bench.events[-1:]] == ["expectation.violated"]
    for state in (bench.replayed(), restored(bench.state, _state())):
        assert state.next_due_ns() == 0
        (notice,) = state.due(bench.now_ns, 256)
        assert isinstance(notice, EnvelopePosted)
        assert notice.is_notice
