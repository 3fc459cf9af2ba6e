"""Any sequence of commands and of time going by: what is refused changes nothing, and a replay is what was live."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hubwire import InboxOverflow, InboxRule, codec
from hubwire._journal.entries import decode_entry, encode_entry
from hubwire._state import State
from hubwire._state.channels import ChannelState
from hubwire._state.delivering import InboxesBlock
from hubwire.context import EMPTY
from hubwire.errors import CommandRejected
from hubwire.events import Event
from hubwire.events._stamp import stamp

TYPES = ("conversation", "discussion", "consulting", "broadcast", "notification", "auction", "workflow")
CONTENTS = (None, "hello", {"bid": 1}, {"bid": 7}, {"award": True}, {"finish": "done"}, {"handoff": "id1"})
places = st.integers(0, 19)
"""Which of those that are there, whoever they are; the last is one that may be there no more."""


class Rules(RuleBasedStateMachine):
    """The machines of agents, channels, envelopes and inboxes, and their timers."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.history: list[bytes] = []
        self.ids = (f"id{number}" for number in count())
        self.now = datetime(2026, 11, 21, tzinfo=UTC)
        self.acked: set[tuple[str, str]] = set()

    @property
    def now_ns(self) -> int:
        return (self.now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000

    def command(self, decide: Callable[[], list[Event]]) -> list[Event]:
        """Carry a command out as the hub does; return nothing if it is refused, which changes nothing."""
        before = self.state.snapshot()
        try:
            decided = decide()
        except CommandRejected:
            assert self.state.snapshot() == before
            return []
        assert self.state.snapshot() == before
        made = [self.apply(each) for each in decided]
        while self.state.timers.next_due_ns() == 0:  # those whose owner is gone are cancelled at once
            for each in self.state.timers.due(self.now_ns, 3):
                self.apply(each)
        return made

    def apply(self, event: Event) -> Event:
        at = f"{self.now.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
        seq = len(self.history)
        made = stamp(event, seq=seq, id=f"event{seq}", at=at, hub="a hub", context=EMPTY, bytes_max=1 << 20)
        self.history.append(codec.encode(made))
        self.state.apply(made)
        return made

    def agent(self, place: int) -> str:
        """Choose an agent, mostly one that is there."""
        there = [each.agent_id for each in self.state.agents.all()]
        return there[place % len(there)] if there and place < 19 else "id0"

    def channel(self, place: int) -> str:
        there = [each.channel_id for each in self.state.channels]
        return there[place % len(there)] if there and place < 19 else "id3"

    def member(self, channel_id: str, place: int) -> str:
        """Choose an agent, mostly one that the channel knows."""
        if place % 4 == 3 or channel_id not in self.state.channels:
            return self.agent(place)
        entry = self.state.channels.get(channel_id)
        known = (*entry.participants, *entry.invited)
        return known[place % len(known)]

    @initialize()
    def some_agents(self) -> None:
        self.inbox_rule = InboxRule(capacity=2, high_water=2, deliveries_max=2)
        for overflow in InboxOverflow:
            self.register(overflow)
        for channel_type in ("conversation", "conversation", "discussion", "auction"):
            self.open([0, 1, 2], channel_type, False, None, None, None, {})
        self.open([2, 1, 0], "conversation", True, 1, None, None, {})

    @rule(overflow=st.sampled_from(list(InboxOverflow)))
    def register(self, overflow: InboxOverflow) -> None:
        if len(self.state.agents) >= 5:
            return
        agent_id = next(self.ids)
        inbox_rule = attrs.evolve(self.inbox_rule, overflow=overflow)
        agents = self.state.agents
        self.command(
            lambda: agents.register(f"name of {agent_id}", ["x"], agent_id=agent_id, rule={"inbox": inbox_rule})
        )

    @rule(who=places)
    def unregister(self, who: int) -> None:
        agent_id = self.agent(who)
        self.command(lambda: self.state.endings.unregister(agent_id))

    @rule(who=places, capability=st.sampled_from("xyz"), task_id=st.sampled_from("12"))
    def observe(self, who: int, capability: str, task_id: str) -> None:
        agent_id = self.agent(who)
        agents = self.state.agents
        self.command(lambda: agents.observe(agent_id, task_id=task_id, capability=capability, ended="completed"))

    @rule(
        who=st.lists(st.integers(0, 4), min_size=1, max_size=4),
        channel_type=st.sampled_from(TYPES),
        invite=st.booleans(),
        acks=st.sampled_from([None, 1, 2]),
        ttl=st.sampled_from([None, 50.0]),
        parent=st.none() | places,
        expects=st.sampled_from([{}, {"rounds_max": 1}, {"turns_max": 2, "otherwise": "id1"}]),
    )
    def open(
        self,
        who: list[int],
        channel_type: str,
        invite: bool,
        acks: int | None,
        ttl: float | None,
        parent: int | None,
        expects: dict[str, Any],
    ) -> None:
        if len(self.state.channels) >= 8:
            return
        channel_id = next(self.ids)
        participants = list(dict.fromkeys(map(self.agent, who)))
        self.command(
            lambda: self.state.membership.open(
                participants,
                "topic",
                channel_id=channel_id,
                type=channel_type,
                invite=invite,
                required_acks=acks if invite else None,
                invite_timeout_seconds=20,
                ttl_seconds=ttl,
                parent_id=None if parent is None else self.channel(parent),
                knobs=expects,
            )
        )

    @rule(where=places, who=places, word=st.sampled_from(["accept", "accept", "decline", "join", "leave"]))
    def answer(self, where: int, who: int, word: str) -> None:
        channel_id = self.channel(where)
        agent_id = self.member(channel_id, who)
        more = () if word == "accept" else ("",)
        self.command(lambda: getattr(self.state.membership, word)(channel_id, agent_id, *more))

    @rule(who=places, word=st.sampled_from(["accept", "decline"]))
    def answer_an_invitation(self, who: int, word: str) -> None:
        for entry in self.state.channels:
            if entry.invited:
                agent_id = entry.invited[who % len(entry.invited)]
                more = () if word == "accept" else ("",)
                assert self.command(partial(getattr(self.state.membership, word), entry.channel_id, agent_id, *more))
                return

    @rule(where=places)
    def close(self, where: int) -> None:
        channel_id = self.channel(where)
        self.command(lambda: self.state.endings.close(channel_id, "done"))
        assert channel_id not in self.state.channels

    @rule(
        where=places,
        who=places,
        to=st.none() | st.lists(places, max_size=2),
        content=st.sampled_from(CONTENTS),
        priority=st.sampled_from(["urgent", "normal", "background"]),
        ttl=st.sampled_from([None, 10.0]),
        key=st.sampled_from([None, None, "k"]),
    )
    def post(
        self,
        where: int,
        who: int,
        to: list[int] | None,
        content: Any,
        priority: str,
        ttl: float | None,
        key: str | None,
    ) -> None:
        channel_id = self.channel(where)
        sender = self.member(channel_id, who)
        audience = None if to is None else [self.member(channel_id, each) for each in to]
        envelope_id = next(self.ids)
        envelopes = self.state.envelopes

        def decide() -> list[Event]:
            if envelopes.find(channel_id, sender, content, audience, key):
                return []
            try:
                return envelopes.post(
                    channel_id,
                    sender,
                    content,
                    audience,
                    envelope_id=envelope_id,
                    priority=priority,
                    ttl_seconds=ttl,
                    idempotency_key=key,
                )
            except InboxesBlock:  # it waits, and has changed nothing
                return []

        self.command(decide)

    @rule(where=places, who=places, ttl=st.sampled_from([None, 5.0]))
    def say(self, where: int, who: int, ttl: float | None) -> None:
        self.post(where, who, None, "hello", "normal", ttl, None)

    @rule(who=places, place=st.integers(0, 2))
    def ack(self, who: int, place: int) -> None:
        agent_id = self.agent(who)
        pending = [each.envelope.envelope_id for each in self.state.inboxes.pending(agent_id)]
        envelope_id = next(iter(pending[place:]), "an envelope that is not there")
        if self.command(lambda: self.state.inboxes.ack(agent_id, envelope_id)):
            assert (agent_id, envelope_id) not in self.acked, "acked twice"
            self.acked.add((agent_id, envelope_id))

    @rule(who=places, delay=st.sampled_from([0.0, 5.0]), place=st.integers(0, 2))
    def nack(self, who: int, delay: float, place: int) -> None:
        agent_id = self.agent(who)
        for waiting in self.state.inboxes.pending(agent_id)[place : place + 1]:
            self.command(partial(self.state.inboxes.nack, agent_id, waiting.envelope.envelope_id, delay, "busy"))

    @rule(place=st.integers(0, 2), is_given_up=st.booleans())
    def attend_to_a_dead_letter(self, place: int, *, is_given_up: bool) -> None:
        """Have it delivered again, or give it up."""
        letters = self.state.dead_letters
        for letter in tuple(letters)[place : place + 1]:
            decide = letters.discard if is_given_up else letters.redeliver
            self.command(partial(decide, letter.agent_id, letter.envelope_id, "it was looked at"))

    @rule(who=places, where=places, every=st.sampled_from([None, 5.0]), times_max=st.sampled_from([None, 1, 3]))
    def set_a_timer(self, who: int, where: int, every: float | None, times_max: int | None) -> None:
        timer_id, agent_id, channel_id = next(self.ids), self.agent(who), self.channel(where)
        self.command(
            lambda: self.state.timers.set(
                5.0,
                timer_id=timer_id,
                every_seconds=every,
                times_max=times_max,
                name="a timer",
                payload=None,
                agent_id=agent_id,
                channel_id=channel_id,
                task_id=None,
            )
        )

    @rule(place=st.integers(0, 2))
    def cancel_a_timer(self, place: int) -> None:
        for timer in tuple(self.state.timers)[place : place + 1]:
            self.command(partial(self.state.timers.cancel, timer.timer_id, "it is of no use"))

    @rule(seconds=st.sampled_from([1.0, 6.0, 30.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        for _ in range(10_000):
            if not (decided := self.state.due(self.now_ns, 3)):
                break
            for each in decided:
                self.apply(each)
        else:
            pytest.fail("what is due never ends")

    @invariant()
    def nothing_is_due_late(self) -> None:
        due_ns = self.state.next_due_ns()
        assert due_ns is None or due_ns > self.now_ns

    @invariant()
    def every_channel_is_in_a_state_that_there_is(self) -> None:
        for entry in self.state.channels:
            assert entry.state in (ChannelState.PENDING, ChannelState.ACTIVE)
            assert entry.participants
            assert not entry.to_invite
            assert all(each in self.state.agents for each in (*entry.participants, *entry.invited))
            assert not set(entry.participants) & set(entry.invited)
            if entry.parent_id is not None:
                assert entry.parent_id in self.state.channels
            if entry.state is ChannelState.PENDING:
                assert entry.accepted < entry.required_acks <= entry.accepted + len(entry.invited)

    @invariant()
    def no_inbox_holds_more_than_it_may(self) -> None:
        total = 0
        for agent in self.state.agents.all():
            pending = self.state.inboxes.pending(agent.agent_id)
            assert len(pending) == self.state.inboxes.count(agent.agent_id) <= 2
            assert not {(agent.agent_id, each.envelope.envelope_id) for each in pending} & self.acked
            priorities = [("urgent", "normal", "background").index(each.envelope.priority) for each in pending]
            assert priorities == sorted(priorities)
            total += len(pending)
        assert total == self.state.inboxes.pending_total()

    @invariant()
    def an_index_knows_exactly_what_there_is(self) -> None:
        for capability in "xyz":
            having = {each.agent_id for each in self.state.agents.all() if capability in set(each.all_capabilities())}
            assert {each.agent_id for each in self.state.agents.all(capability)} == having
        for agent in self.state.agents.all():
            of_agent = {each.channel_id for each in self.state.channels.of(agent.agent_id)}
            everywhere = {
                each.channel_id for each in self.state.channels if agent.agent_id in (*each.participants, *each.invited)
            }
            assert of_agent == everywhere

    def teardown(self) -> None:
        replayed = State()
        for body in self.history:
            replayed.apply(codec.decode(body))
        assert replayed.snapshot() == self.state.snapshot()
        assert replayed.next_due_ns() == self.state.next_due_ns()
        restored = State()
        restored.restore(
            {
                name: [
                    decode_entry(type(each), msgspec.json.decode(msgspec.json.encode(encode_entry(each))))
                    for each in entries
                ]
                for name, entries in self.state.snapshot().items()
            }
        )
        assert restored.snapshot() == self.state.snapshot()
        assert restored.next_due_ns() == self.state.next_due_ns()
        # Nothing is kept of what has ended: when all is closed and everybody gone, nothing is left.
        for entry in tuple(self.state.channels):
            if entry.channel_id in self.state.channels:
                self.command(partial(self.state.endings.close, entry.channel_id, ""))
        for agent in self.state.agents.all():
            self.command(partial(self.state.endings.unregister, agent.agent_id))
        for name, machine in self.state.machines.items():
            if name in ("agents", "channels", "envelopes", "inboxes"):
                left = {key: value for key, value in vars(machine).items() if isinstance(value, dict) and value}
                assert not left, name


TestRules = pytest.mark.slow(Rules.TestCase)
TestRules.settings = settings(max_examples=150, stateful_step_count=50)
