"""What those who begin give channels, turns and expectations: names and topics where an id is meant."""

from __future__ import annotations

from typing import Any, cast

import pytest

from hubwire import Hub, RetryPolicy, Rule, RuleArbiter, Turn
from hubwire.errors import AskFailed, CommandRejected, NotFound, PostRejected
from hubwire.expectations import Expectation
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder


async def test_the_topic_of_a_channel_is_not_its_id() -> None:
    async with Hub() as hub:
        boss, clerk = [await hub.agents.register(name) for name in ("boss", "clerk")]
        channel = await hub.channels.open([boss, clerk], topic="the build")
        for look in (hub.channels.get, hub.channels.recall):
            with pytest.raises(
                NotFound, match=rf"no channel has the id 'the build'; .* topic of channel {channel.id}: "
            ):
                look("the build")
            with pytest.raises(NotFound, match="'the bild'"):
                look("the bild")
        assert [each.id for each in hub.channels.list() if each.topic == "the build"] == [channel.id]
        await channel.close()
        with pytest.raises(NotFound, match="was closed, or never existed"):
            hub.channels.get("the build")


async def test_a_misspelt_reader_of_a_channel_is_refused() -> None:
    async with Hub() as hub:
        boss, clerk, _ = [await hub.agents.register(name) for name in ("boss", "clerk", "eve")]
        channel = await hub.channels.open([boss, clerk])
        for read in (channel.history, channel.view):
            with pytest.raises(NotFound, match=r"no agent 'clark' is registered; .*did you mean 'clerk'\?"):
                await read(agent="clark")
            with pytest.raises(CommandRejected, match=r"^agent 'eve' is not a participant of channel"):
                await read(agent="eve")
            assert not await read(agent="clerk")


@pytest.mark.parametrize("form", [list, tuple, "an object"])
async def test_an_expectation_binds_agents_by_their_names(form: Any) -> None:
    """As everywhere, a name means what the id means; the other participants are not bound, also after a restart."""
    clock, recorder, store = ManualClock(), Recorder(), MemoryStore()
    async with Hub(store, clock=clock) as hub:
        boss, ann, bob = [await hub.agents.register(name) for name in ("boss", "ann", "bob")]
        names = ["ann"]
        expected: Any = {"name": "reply_within", "params": {"seconds": 5}, "applies_to": names}
        if form != "an object":
            expected = Expectation(**{**expected, "applies_to": form(names)})
        channel = await hub.channels.open([boss, ann, bob], expectations=[expected])
        await channel.post(boss, "are you there?")
    clock.advance(6)
    async with Hub(store, clock=clock, listeners=[recorder]):
        violated: Any = await recorder.wait_for("expectation.violated")
        assert violated.violators == (ann.id,)
        assert bob.id not in violated.violators


@pytest.mark.parametrize("form", [tuple, list, "an object"])
async def test_an_arbiter_binds_agents_by_their_names(form: Any) -> None:
    """What a rule expects of channels that do not say names agents as they do, and roles before these."""
    clock, recorder = ManualClock(), Recorder()
    expected: Any = {"name": "reply_within", "params": {"seconds": 5}, "applies_to": ["ann", "second"]}
    if form != "an object":
        expected = Expectation(**{**expected, "applies_to": form(expected["applies_to"])})
    arbiter = RuleArbiter({"boss": Rule(expectations={"*": (expected,)})})
    async with Hub(clock=clock, listeners=[recorder], arbiter=arbiter) as hub:
        boss, ann, bob, eve = [await hub.agents.register(name) for name in ("boss", "ann", "bob", "eve")]
        channel = await hub.channels.open([boss, ann, bob, eve], roles={"bob": "second"})
        await channel.post(boss, "are you there?")
        clock.advance(6)
        violated: Any = await recorder.wait_for("expectation.violated")
        assert set(violated.violators) == {ann.id, bob.id}


async def test_a_role_comes_before_a_name() -> None:
    clock, recorder = ManualClock(), Recorder()
    async with Hub(clock=clock, listeners=[recorder]) as hub:
        boss, ann, bob = [await hub.agents.register(name) for name in ("boss", "ann", "bob")]
        expected = Expectation(name="reply_within", params={"seconds": 5}, applies_to=("ann",))
        channel = await hub.channels.open([boss, ann, bob], expectations=[expected], roles={"bob": "ann"})
        await channel.post(boss, "are you there?")
        clock.advance(6)
        violated: Any = await recorder.wait_for("expectation.violated")
        assert violated.violators == (bob.id,)


async def test_a_misspelt_parameter_names_the_one_there_is() -> None:
    async with Hub() as hub:
        boss, clerk = [await hub.agents.register(name) for name in ("boss", "clerk")]
        expected = Expectation(name="reply_within", params={"second": 5})
        with pytest.raises(CommandRejected, match=r"reply_within has no parameter second; it has seconds$"):
            await hub.channels.open([boss, clerk], expectations=[expected])


async def test_a_turn_names_its_own_methods() -> None:
    """The error names what was called, and not what that calls."""
    errors: list[PostRejected] = []

    async def clerk(turn: Turn) -> None:
        for call in (
            turn.post("x", to=cast(Any, "boss")),
            turn.post("x", priority="high"),
            turn.reply("x", idempotency_key=cast(Any, 5)),
            turn.remind(cast(Any, "1h"), "x"),
            turn.remind(-1, "x"),
        ):
            try:
                await call
            except PostRejected as error:
                errors.append(error)

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        boss = await hub.agents.register("boss")
        channel = await hub.channels.open([boss, (await hub.spawn(clerk)).agent])
        await channel.post(boss, "go")
        await recorder.wait_for("envelope.acked")
    assert [str(error).partition(",")[0] for error in errors] == [
        "turn.post(): to is a list of agents",
        "turn.post(): priority is one of urgent",
        "turn.reply(): idempotency_key is text",
        "turn.remind(): seconds is a number of seconds",
        "turn.remind(): seconds is a number of seconds",
    ]
    assert {error.code for error in errors} == {"malformed"}


async def test_refusals_name_agents_and_not_their_ids() -> None:
    """Types of channels know ids alone; who reads the error knows names."""

    async def clerk(turn: Turn) -> None:
        raise RuntimeError("stuck")

    async with Hub() as hub:
        boss, ann = [await hub.agents.register(name) for name in ("boss", "ann")]
        channel = await hub.channels.open([boss, ann], type="discussion")
        with pytest.raises(PostRejected, match=r"does not allow it: agent 'ann' may not post now; 'boss' may$"):
            await channel.post(ann, "me first")
        await hub.spawn(clerk, retry=RetryPolicy(attempts_max=1))
        with pytest.raises(AskFailed, match=r"^agent 'clerk' will not answer: .*RuntimeError: stuck"):
            await hub.ask(boss, "clerk", "file this")
