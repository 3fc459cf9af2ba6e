"""Expectations: what has to happen in a channel in time, and what follows if it does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import pytest
from anyio import wait_all_tasks_blocked

from hubwire import Agent, BaseHubListener, Channel, Hub
from hubwire.channel_types import Conversation, Manifest
from hubwire.errors import CommandRejected, ConfigurationError, PostRejected
from hubwire.events import ExpectationViolated
from hubwire.expectations import AcksWithin, Expectation, MaxSilence, Owed, Situation
from hubwire.ports import KnowledgeStore
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock, Recorder

ANSWER = Expectation(name="reply_within", params={"seconds": 60})


class World:
    """A hub with a clock and three agents; :meth:`restart` makes the next one on the same store."""

    def __init__(self, store: KnowledgeStore | None = None, **settings: Any) -> None:
        self.store = store or MemoryStore()
        self.settings = settings
        self.clock = ManualClock()
        self.recorder = Recorder()
        self.hub = Hub(self.store, listeners=[self.recorder], clock=self.clock, **self.settings)
        self.a: Agent
        self.b: Agent
        self.c: Agent

    async def __aenter__(self) -> Self:
        await self.hub.start()
        self.a, self.b, self.c = [await self.hub.agents.register(name) for name in "abc"]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hub.aclose()

    async def restart(self, *evaluators: Any) -> None:
        await self.hub.aclose()
        self.recorder = Recorder()
        self.hub = Hub(self.store, listeners=[self.recorder], clock=self.clock, **self.settings)
        for each in evaluators:
            self.hub.channels.register_evaluator(each)
        await self.hub.start()
        self.a, self.b, self.c = [self.hub.agents.get(each.id) for each in (self.a, self.b, self.c)]

    async def open(self, *expectations: Expectation | Mapping[str, Any], **settings: Any) -> Channel:
        return await self.hub.channels.open([self.a, self.b, self.c], expectations=expectations, **settings)

    async def after(self, seconds: float) -> None:
        await self.settle()
        self.clock.advance(seconds)
        await self.settle()

    async def settle(self) -> None:
        """Return when the timers have nothing left to do: whatever is due was put, and committed."""
        await wait_all_tasks_blocked()
        await self.hub.flush()
        await wait_all_tasks_blocked()
        await self.hub.flush()

    @property
    def violated(self) -> list[Any]:
        """What this hub has told of, without what the one before it did."""
        return [event for event in self.recorder.events if isinstance(event, ExpectationViolated)]

    @property
    def violators(self) -> list[tuple[str, ...]]:
        return [event.violators for event in self.violated]


def store_of(kind: str, folder: Path) -> KnowledgeStore:
    return MemoryStore() if kind == "memory" else FileStore(folder)


async def notices(agent: Agent, count: int) -> list[Any]:
    inbox = agent.inbox()
    read = [(await anext(inbox)).event for _ in range(count)]
    return [event for event in read if event.is_notice]


# --- evaluators -------------------------------------------------------------------------------------------------------


async def test_who_is_invited_answers_within_the_time_that_acks_have() -> None:
    async with World() as world:
        channel = await world.open({"name": "acks_within"}, invite=True, required_acks=1, invite_timeout_seconds=1000)
        await channel.accept(world.b)
        await world.after(29.999)
        assert world.violators == []
        await world.after(0.001)
        (violated,) = world.violated
        assert (violated.violators, violated.channel_id) == ((world.c.id,), channel.id)
        assert violated.detail == {"elapsed_seconds": 30.0, "threshold_seconds": 30.0}
        assert violated.params == {"seconds": 30}
        await world.after(500)
        assert len(world.violated) == 1


async def test_an_envelope_is_answered_in_time_by_posting_to_its_sender() -> None:
    async with World() as world:
        channel = await world.open(ANSWER)
        asked = await channel.post(world.a, "?", to=[world.b])
        await world.after(30)
        await channel.post(world.b, "not to a", to=[world.c])
        await channel.post(world.c, "!", to=[world.b])
        await world.after(29)
        assert world.violators == []
        await world.after(1)
        (violated,) = world.violated
        assert (violated.violators, violated.since_seqs) == ((world.b.id,), (asked.seq,))
        assert violated.detail["elapsed_seconds"] == 60.0


async def test_an_answer_needs_no_answer() -> None:
    async with World() as world:
        channel = await world.open(ANSWER)
        await channel.post(world.a, "?", to=[world.b])
        await channel.post(world.b, "!", to=[world.a])
        await world.after(1000)
        assert world.violators == []


async def test_asking_again_does_not_put_an_answer_off() -> None:
    async with World() as world:
        channel = await world.open(ANSWER)
        await channel.post(world.a, "?", to=[world.b])
        await world.after(59)
        await channel.post(world.a, "??", to=[world.b])
        await world.after(1)
        assert world.violators == [(world.b.id,)]


async def test_whose_turn_it_is_posts_within_the_time_of_a_turn() -> None:
    async with World() as world:
        channel = await world.open({"name": "turn_within"}, type="discussion")
        await world.after(100)
        await channel.post(world.a, "one")
        await world.after(119)
        assert world.violators == []
        await world.after(1)
        assert world.violators == [(world.b.id,)]
        await channel.post(world.b, "two")
        await world.after(120)
        assert world.violators == [(world.b.id,), (world.c.id,)]


async def test_who_joins_gives_nobody_a_longer_turn() -> None:
    async with World() as world:
        channel = await world.hub.channels.open(
            [world.a, world.b], type="discussion", expectations=[{"name": "turn_within"}]
        )
        await world.after(100)
        await channel.join(world.c)
        await world.after(20)
        assert world.violators == [(world.a.id,)]


async def test_one_who_broadcasts_has_a_turn_after_each_post() -> None:
    async with World() as world:
        channel = await world.open({"name": "turn_within"}, type="broadcast")
        await world.after(100)
        await channel.post(world.a, "news")
        await world.after(100)
        assert world.violators == []
        await world.after(20)
        assert world.violators == [(world.a.id,)]


async def test_nobody_has_a_turn_in_a_conversation() -> None:
    async with World() as world:
        await world.open({"name": "turn_within"})
        await world.after(10_000)
        assert world.violators == []


async def test_a_channel_is_not_silent_for_longer_than_it_may() -> None:
    async with World() as world:
        channel = await world.open({"name": "max_silence", "params": {"seconds": 10}})
        await world.after(9)
        await channel.post(world.a, "hello")
        await world.after(9)
        assert world.violated == []
        await world.after(1)
        (violated,) = world.violated
        assert (violated.violators, violated.detail["elapsed_seconds"]) == ((), 10.0)
        await channel.post(world.a, "hello")
        await world.after(10)
        assert len(world.violated) == 2
        assert [each.number for each in world.violated] == [1, 2]


# --- whom they apply to -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["id", "role"])
async def test_an_expectation_binds_only_those_to_whom_it_applies(by: str) -> None:
    async with World() as world:
        applies_to = [world.c.id] if by == "id" else ["reviewer"]
        expectation = {"name": "reply_within", "params": {"seconds": 60}, "applies_to": applies_to}
        channel = await world.open(expectation, roles={world.c.id: "reviewer"})
        await channel.post(world.a, "?")
        await world.after(60)
        assert world.violators == [(world.c.id,)]


async def test_a_silence_of_some_is_broken_only_by_them() -> None:
    async with World() as world:
        channel = await world.open({"name": "max_silence", "params": {"seconds": 10}, "applies_to": [world.b.id]})
        await world.after(5)
        await channel.post(world.a, "hello")
        await world.after(5)
        assert len(world.violated) == 1
        await channel.post(world.b, "hello")
        await world.after(9)
        assert len(world.violated) == 1
        await world.after(1)
        assert len(world.violated) == 2


# --- once -------------------------------------------------------------------------------------------------------------


class Fired(BaseHubListener):
    def __init__(self) -> None:
        self.calls: list[tuple[str, Any, Any]] = []

    async def on_expectation_fired(self, channel_id: str, expectation: Any, violation: Any) -> None:
        self.calls.append((channel_id, expectation, violation))


async def test_a_violation_by_several_is_told_once_with_all_of_them() -> None:
    fired = Fired()
    async with World() as world:
        world.hub.attach(fired)
        channel = await world.open(Expectation(name="reply_within", on_violation="notify_channel"))
        await channel.post(world.a, "?")
        await world.after(600)
        assert world.violators == [(world.b.id, world.c.id)]
        ((channel_id, expectation, violation),) = fired.calls
        assert channel_id == channel.id
        assert (expectation.name, expectation.on_violation) == ("reply_within", "notify_channel")
        assert violation.violator_ids == (world.b.id, world.c.id)
        assert len(await notices(world.a, 1)) == 1
        assert world.hub.statistics().envelopes_pending == 2 + 3


async def test_those_who_are_late_at_different_moments_are_told_of_at_different_moments() -> None:
    async with World() as world:
        channel = await world.open(ANSWER)
        await channel.post(world.a, "?", to=[world.b])
        await world.after(10)
        await channel.post(world.a, "?", to=[world.c])
        await world.after(50)
        assert world.violators == [(world.b.id,)]
        await world.after(10)
        assert world.violators == [(world.b.id,), (world.c.id,)]


@pytest.mark.parametrize("kind", ["memory", "file"])
@pytest.mark.parametrize("snapshot_bytes", [1, 1 << 20], ids=["snapshot", "replay"])
async def test_a_violation_is_told_once_across_restarts_and_anew_when_it_happens_anew(
    kind: str, snapshot_bytes: int, tmp_path: Path
) -> None:
    async with World(store_of(kind, tmp_path), snapshot_bytes=snapshot_bytes) as world:
        channel = await world.open(ANSWER)
        await channel.post(world.a, "?", to=[world.b])
        await world.restart()
        await world.after(59)
        assert world.violators == []
        await world.after(1)
        await world.recorder.wait_for("expectation.violated")
        await world.restart()
        await world.after(1000)
        assert world.violators == []
        channel = world.hub.channels.get(channel.id)
        await channel.post(world.b, "!", to=[world.a])
        asked = await channel.post(world.a, "?", to=[world.b])
        await world.restart()
        await world.after(60)
        violated: Any = await world.recorder.wait_for("expectation.violated")
        assert (violated.violators, violated.since_seqs, violated.number) == ((world.b.id,), (asked.seq,), 2)
        await world.restart()
        await world.after(1000)
        assert world.violators == []


async def test_what_became_overdue_while_no_hub_ran_is_told_at_the_next_start() -> None:
    async with World() as world:
        channel = await world.open(ANSWER)
        await channel.post(world.a, "?", to=[world.b])
        world.clock.advance(0)
        await world.hub.aclose()
        world.clock.advance(3600)
        await world.restart()
        await world.settle()
        assert world.violators == [(world.b.id,)]


async def test_expectations_are_forgotten_with_their_channel() -> None:
    async with World() as world:
        channel = await world.open(ANSWER, {"name": "max_silence", "on_violation": "notify_channel"})
        await channel.post(world.a, "?", to=[world.b])
        await world.after(60)
        assert len(world.hub._state.expectations) == 1
        await channel.close()
        assert len(world.hub._state.expectations) == 0
        assert world.hub._state.next_due_ns() is None
        await world.after(10_000)
        assert len(world.violated) == 1


async def test_a_participant_who_has_left_owes_nothing_and_is_owed_nothing() -> None:
    async with World() as world:
        channel = await world.open(ANSWER)
        await channel.post(world.a, "?", to=[world.b])
        await channel.post(world.b, "?", to=[world.c])
        await channel.leave(world.b)
        await world.after(1000)
        assert world.violators == []


# --- what follows -----------------------------------------------------------------------------------------------------


async def late_reply(world: World, on_violation: str, **settings: Any) -> Channel:
    """Let b and c be late with their answers to a."""
    channel = await world.open({"name": "reply_within", "on_violation": on_violation}, **settings)
    await channel.post(world.a, "?")
    await world.after(600)
    assert world.violators == [(world.b.id, world.c.id)]
    return channel


async def test_an_audit_is_the_event_alone() -> None:
    async with World() as world:
        await late_reply(world, "audit")
        assert world.recorder.kinds[-1] == "expectation.violated"
        assert world.hub.statistics().envelopes_pending == 2


async def test_a_warning_is_for_those_who_violated_it() -> None:
    async with World() as world:
        channel = await late_reply(world, "warn")
        posted = world.recorder.events[-1]
        assert posted.agent_id is None
        for agent in (world.b, world.c):
            (notice,) = await notices(agent, 2)
            assert notice.recipients == (world.b.id, world.c.id)
            assert notice.channel_id == channel.id
            assert notice.content["expectation"] == "reply_within"
            assert notice.content["violators"] == (world.b.id, world.c.id)
            assert notice.content["detail"]["threshold_seconds"] == 600.0


async def test_a_notice_to_the_channel_is_for_everybody() -> None:
    async with World() as world:
        await late_reply(world, "notify_channel")
        posted: Any = world.recorder.events[-1]
        assert posted.is_notice
        assert posted.recipients == (world.a.id, world.b.id, world.c.id)


async def test_who_is_removed_takes_part_no_more() -> None:
    async with World() as world:
        channel = await late_reply(world, "remove")
        assert channel.participants == (world.a.id,)
        removed: Any = world.recorder.events[-1]
        assert (removed.kind, removed.reason) == (
            "channel.participant_removed",
            "expectation reply_within was violated",
        )


async def test_a_channel_that_is_closed_says_why() -> None:
    async with World() as world:
        channel = await late_reply(world, "auto_close")
        closed: Any = world.recorder.events[-1]
        assert (closed.kind, closed.channel_id) == ("channel.closed", channel.id)
        assert closed.reason == "expectation reply_within was violated"
        assert not channel.is_open


async def test_who_is_hidden_loses_its_turn_and_its_voice_until_it_is_shown() -> None:
    async with World() as world:
        channel = await world.open(
            {"name": "turn_within", "on_violation": "warn"},
            {"name": "turn_within", "params": {"seconds": 600}, "on_violation": "hide"},
            type="discussion",
        )
        await channel.post(world.a, "one")
        await world.after(120)
        assert len(await notices(world.b, 2)) == 1
        await world.after(480)
        assert channel.hidden == (world.b.id,)
        assert channel.participants == (world.a.id, world.b.id, world.c.id)
        assert channel.expected == (world.a.id,), "who was next has left: the round begins anew"
        with pytest.raises(PostRejected, match="hidden") as refused:
            await channel.post(world.b, "two")
        assert refused.value.code == "hidden"
        posted = await channel.post(world.a, "two")
        assert posted.recipients == (world.b.id, world.c.id)
        assert channel.expected == (world.c.id,)
        await world.restart()
        channel = world.hub.channels.get(channel.id)
        assert channel.hidden == (world.b.id,)
        await channel.show(world.b)
        await channel.post(world.c, "three")
        await channel.post(world.a, "four")
        assert channel.expected == (world.b.id,)
        await channel.post(world.b, "five")


async def test_a_channel_of_which_everybody_is_hidden_is_closed() -> None:
    async with World() as world:
        channel = await world.open()
        for agent in (world.a, world.b, world.c):
            await channel.hide(agent, "a rest")
        await world.settle()
        closed: Any = world.recorder.events[-1]
        assert (closed.kind, closed.reason) == ("channel.closed", "all participants are hidden")


async def test_hiding_and_showing_are_refused_where_they_make_no_sense() -> None:
    async with World() as world:
        channel = await world.hub.channels.open([world.a, world.b])
        await channel.hide(world.b)
        before = world.hub._state.snapshot()
        for command in (channel.hide(world.b), channel.hide(world.c), channel.show(world.a)):
            with pytest.raises(CommandRejected):
                await command
        assert world.hub._state.snapshot() == before


async def test_who_was_invited_and_does_not_answer_can_be_warned_or_removed() -> None:
    async with World() as world:
        channel = await world.open(
            {"name": "acks_within", "params": {"seconds": 5}, "on_violation": "warn"},
            {"name": "acks_within", "params": {"seconds": 8}, "on_violation": "remove"},
            invite=True,
            required_acks=1,
        )
        await channel.accept(world.c)
        await world.after(5)
        assert len(await notices(world.b, 1)) == 1
        await world.after(3)
        declined: Any = world.recorder.events[-1]
        assert (declined.kind, declined.agent_id) == ("channel.declined", world.b.id)
        assert channel.is_open


async def test_what_follows_a_violation_ends_when_the_channel_does() -> None:
    async with World() as world:
        await world.open(
            {"name": "max_silence", "params": {"seconds": 5}, "on_violation": "auto_close"},
            {"name": "max_silence", "params": {"seconds": 5}, "on_violation": "notify_channel"},
        )
        await world.after(5)
        assert world.recorder.kinds[-1] == "channel.closed"
        assert world.hub._state.next_due_ns() is None


# --- notices are no content -------------------------------------------------------------------------------------------


async def test_a_notice_neither_ends_a_silence_nor_answers_nor_asks_nor_takes_a_turn() -> None:
    async with World() as world:
        channel = await world.open(
            {"name": "max_silence", "params": {"seconds": 10}, "on_violation": "notify_channel"},
            {"name": "reply_within", "params": {"seconds": 15}},
            {"name": "turn_within", "params": {"seconds": 20}},
            type="discussion",
        )
        await channel.post(world.a, "?", to=[world.b])
        state = world.hub._state.channels.get(channel.id).channel_state
        await world.after(10)
        assert len(await notices(world.c, 1)) == 1
        await world.after(5)
        await world.after(5)
        await world.after(1000)
        assert [(each.expectation, each.violators) for each in world.violated] == [
            ("max_silence", ()),
            ("reply_within", (world.b.id,)),
            ("turn_within", (world.b.id,)),
        ]
        assert world.hub._state.channels.get(channel.id).channel_state == state


@pytest.mark.parametrize("overflow", ["reject", "drop_newest", "drop_oldest"])
async def test_a_notice_is_not_lost_silently_where_an_inbox_is_full(overflow: str) -> None:
    async with World() as world:
        await world.b.set_rule({"inbox": {"capacity": 1, "overflow": overflow}})
        channel = await world.open({"name": "reply_within", "on_violation": "warn"})
        await channel.post(world.a, "?", to=[world.b])
        await world.after(600)
        assert world.violators == [(world.b.id,)]
        notice: Any = next(each for each in world.recorder.events if getattr(each, "is_notice", False))
        about = [each for each in world.recorder.events if getattr(each, "envelope_id", "") == notice.envelope_id]
        last: Any = about[-1]
        if overflow == "drop_oldest":
            assert notice.recipients == (world.b.id,)
        elif overflow == "reject":
            assert (last.kind, last.recipient_id) == ("envelope.dispatch_failed", world.b.id)
        else:
            assert (last.kind, last.agent_id) == ("envelope.dropped", world.b.id)


# --- evaluators of one's own ------------------------------------------------------------------------------------------


class Quorum:
    """At least so many have posted, in time after the channel was opened."""

    name = "quorum"
    seconds = 30.0
    names_agents = True

    def __init__(self, version: int = 1) -> None:
        self.version = version
        self.asked = 0
        self.broken = False

    def refuse_params(self, params: Mapping[str, Any]) -> str | None:
        return None if params.get("count") else "a quorum has a count"

    def owed(self, situation: Situation) -> Iterable[Owed]:
        self.asked += 1
        if self.broken:
            raise ZeroDivisionError("no idea")
        silent = [each for each in situation.manifest.participants if situation.posted_by(each) is None]
        have_posted = len(situation.manifest.participants) - len(silent)
        if situation.opened is None or have_posted >= situation.params["count"]:
            return []
        return [Owed(agent_id, situation.opened) for agent_id in silent]


QUORUM = Expectation(name="quorum", params={"count": 2})


async def own(world: World, evaluator: Any) -> Channel:
    await world.restart(evaluator)
    return await world.open(QUORUM)


async def test_an_evaluator_of_ones_own_says_what_is_owed() -> None:
    async with World() as world:
        channel = await own(world, Quorum())
        await channel.post(world.b, "here")
        await world.after(30)
        assert world.violators == [(world.a.id, world.c.id)]
        await world.restart(Quorum())
        await world.after(1000)
        assert world.violators == []


@pytest.mark.parametrize("snapshot_bytes", [1, 1 << 20], ids=["snapshot", "replay"])
async def test_an_evaluator_is_asked_once_a_period_and_not_for_events_nor_by_a_replay(snapshot_bytes: int) -> None:
    async with World(snapshot_bytes=snapshot_bytes) as world:
        evaluator = Quorum()
        channel = await own(world, evaluator)
        for _ in range(200):
            await channel.post(world.b, "here", to=[world.a])
        await world.after(29)
        assert evaluator.asked == 0
        await world.restart(again := Quorum())
        await world.settle()
        # What a snapshot does not hold is asked for once, whatever the history.
        assert again.asked == (snapshot_bytes == 1)
        again.asked = 0
        await world.after(1)
        assert world.violators == [(world.a.id, world.c.id)]
        assert again.asked == 2, "once when it was due, and once for what is owed still"


async def test_an_evaluator_that_raises_is_told_of_once_and_asked_again_by_the_next_hub() -> None:
    async with World() as world:
        evaluator = Quorum()
        await own(world, evaluator)
        evaluator.broken = True
        await world.after(30)
        (failed,) = [each for each in world.recorder.events if each.kind == "expectation.failed"]
        said: Any = failed
        assert (said.expectation, said.version, said.place) == ("quorum", 1, 0)
        assert said.reason == "ZeroDivisionError: no idea"
        await world.after(1000)
        assert world.recorder.kinds.count("expectation.failed") == 1
        assert world.violators == []
        await world.restart(Quorum())
        await world.settle()
        assert world.violators == [(world.a.id, world.b.id, world.c.id)]


async def test_an_evaluator_that_is_missing_after_a_restart_is_told_of_and_may_come_back() -> None:
    async with World() as world:
        await own(world, Quorum())
        await world.after(10)
        await world.restart(Quorum(version=2))
        await world.after(20)
        failed: Any = await world.recorder.wait_for("expectation.failed")
        assert "no version 1" in failed.reason
        await world.after(20)
        assert world.violators == []
        await world.restart(Quorum(), Quorum(version=2))
        await world.settle()
        assert len(world.violated) == 1
        await world.open(QUORUM)
        created: Any = await world.recorder.wait_for("channel.created")
        assert created.expectations[0]["version"] == 2


async def test_an_evaluator_that_names_a_stranger_is_told_of() -> None:
    class Blames(Quorum):
        def owed(self, situation: Situation) -> Iterable[Owed]:
            return [Owed("a stranger", situation.created)]

    async with World() as world:
        await own(world, Blames())
        await world.after(30)
        failed: Any = await world.recorder.wait_for("expectation.failed")
        assert "a stranger" in failed.reason
        assert world.violators == []


async def test_a_channel_type_that_fails_is_told_of_where_turns_are_expected() -> None:
    class Broken(Conversation):
        name = "broken"

        def expected(self, manifest: Manifest, state: Any) -> tuple[str, ...] | None:
            raise LookupError("whose?")

    world = World()
    world.hub.channels.register_type(Broken())
    async with world:
        await world.open({"name": "turn_within"}, type="broken")
        await world.after(120)
        failed: Any = await world.recorder.wait_for("expectation.failed")
        assert "whose?" in failed.reason


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expectation", "match"),
    [
        ({"name": "seance"}, "no evaluator 'seance'"),
        ({"name": "max_silence", "version": 7}, "no version 7"),
        ({"name": "max_silence", "on_violation": "shout"}, "on_violation is one of"),
        ({"name": "max_silence", "on_violation": "remove"}, "does not name agents"),
        ({"name": "reply_within", "params": {"seconds": 0}}, "positive number"),
        ({"name": "reply_within", "params": {"seconds": "10"}}, "positive number"),
        ({"name": "reply_within", "params": {"minutes": 1}}, "no parameter minutes"),
        ({"name": "reply_within", "params": 7}, "must map names to values"),
        ({"name": "reply_within", "applies_to": "role"}, "list of ids and roles"),
        ({"name": "reply_within", "applies_to": []}, "list of ids and roles"),
        ({"name": "reply_within", "applies_to": 7}, "list of ids and roles"),
        ({"name": ["reply_within"]}, "no evaluator"),
        ({"on_violation": "audit"}, "an expectation is"),
        ({"name": "reply_within", "seconds": 7}, "an expectation is"),
        ("reply_within", "an expectation is"),
    ],
)
async def test_an_expectation_that_cannot_be_kept_is_refused_and_opens_nothing(expectation: Any, match: str) -> None:
    async with World() as world:
        before = world.hub._state.snapshot()
        with pytest.raises(CommandRejected, match=match):
            await world.open(expectation)
        assert world.hub._state.snapshot() == before


async def test_no_channel_has_more_expectations_than_are_worth_looking_at() -> None:
    async with World() as world:
        with pytest.raises(CommandRejected, match="at most 100"):
            await world.open(*[ANSWER] * 101)


async def test_evaluators_are_registered_whole_once_and_before_the_start() -> None:
    hub = Hub()
    with pytest.raises(ConfigurationError, match="registered already"):
        hub.channels.register_evaluator(MaxSilence())
    with pytest.raises(ConfigurationError, match="a name"):
        hub.channels.register_evaluator(object())  # type: ignore[arg-type]

    class Half:
        name = "half"
        version = 1

    with pytest.raises(ConfigurationError, match="is incomplete"):
        hub.channels.register_evaluator(Half())  # type: ignore[arg-type]
    async with hub:
        with pytest.raises(ConfigurationError, match="started already"):
            hub.channels.register_evaluator(Quorum())


async def test_nobody_emits_a_violation() -> None:
    async with World() as world:
        with pytest.raises(CommandRejected, match="the hub itself"):
            await world.hub.emit(
                ExpectationViolated(
                    expectation="reply_within", version=1, place=0, number=1, on_violation="audit", params={}
                )
            )


async def test_an_evaluator_that_refuses_params_by_raising_opens_nothing() -> None:
    class Raises(AcksWithin):
        name = "raises"

        def refuse_params(self, params: Mapping[str, Any]) -> str | None:
            raise KeyError("x")

    world = World()
    world.hub.channels.register_evaluator(Raises())
    async with world:
        with pytest.raises(CommandRejected, match="mend it"):
            await world.open({"name": "raises"})
        assert world.hub.statistics().channels == 0


# --- price ------------------------------------------------------------------------------------------------------------


async def test_a_deadline_looks_at_the_channels_that_are_due_and_at_no_others() -> None:
    asked: list[str] = []

    class Counted(MaxSilence):
        name = "counted"

        def owed(self, situation: Situation) -> Iterable[Owed]:
            asked.append(situation.manifest.topic)
            return super().owed(situation)

    world = World()
    world.hub.channels.register_evaluator(Counted())
    async with world:
        for number in range(500):
            await world.open({"name": "counted", "params": {"seconds": 1000}}, topic=str(number))
        await world.open({"name": "counted", "params": {"seconds": 10}}, topic="due")
        await world.after(10)
        assert asked == ["due", "due"]
        assert len(world.violated) == 1
