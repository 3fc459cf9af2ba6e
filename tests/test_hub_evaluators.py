"""Evaluators of one's own, refused expectations, and what a deadline costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from hubwire import Channel, Hub, JournalStatistics
from hubwire.channel_types import Conversation, Manifest
from hubwire.errors import CommandRejected, ConfigurationError
from hubwire.events import ExpectationViolated
from hubwire.expectations import AcksWithin, Expectation, MaxSilence, Owed, Situation
from hubwire.testing import peek
from support import until
from support.expectations import ANSWER, World

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


async def test_a_custom_evaluator_decides_what_is_owed() -> None:
    async with World() as world:
        channel = await own(world, Quorum())
        await channel.post(world.b, "here")
        await world.after(30)
        assert world.violators == [(world.a.id, world.c.id)]
        await world.restart(Quorum())
        await world.after(1000)
        assert world.violators == []


def journal_of(world: World) -> JournalStatistics:
    journal = world.hub.statistics().journal
    assert journal is not None
    return journal


@pytest.mark.parametrize("snapshot_bytes", [1, 1 << 20], ids=["snapshot", "replay"])
async def test_an_evaluator_is_called_once_a_period(snapshot_bytes: int) -> None:
    """It is called neither for each event nor by a replay."""
    async with World(snapshot_bytes=snapshot_bytes) as world:
        evaluator = Quorum()
        channel = await own(world, evaluator)
        for _ in range(200):
            await channel.post(world.b, "here", to=[world.a])
        await world.after(29)
        assert evaluator.asked == 0
        if snapshot_bytes == 1:  # it is made in a thread; a close does not wait for one under way
            await until(lambda: (journal_of(world).snapshot_seq or 0) > 20)
        await world.restart(again := Quorum())
        await world.settle()
        # What a snapshot does not hold is asked for once, whatever the history.
        assert again.asked == (snapshot_bytes == 1)
        again.asked = 0
        await world.after(1)
        assert world.violators == [(world.a.id, world.c.id)]
        assert again.asked == 2, "once when it was due, and once for what is owed still"


async def test_a_failing_evaluator_is_reported_once() -> None:
    """The next hub calls it again."""
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


async def test_a_missing_evaluator_is_reported() -> None:
    """After a restart with the right version its expectation holds again."""
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


async def test_an_evaluator_may_not_blame_strangers() -> None:
    class Blames(Quorum):
        def owed(self, situation: Situation) -> Iterable[Owed]:
            return [Owed("a stranger", situation.created)]

    async with World() as world:
        await own(world, Blames())
        await world.after(30)
        failed: Any = await world.recorder.wait_for("expectation.failed")
        assert "a stranger" in failed.reason
        assert world.violators == []


async def test_a_failing_channel_type_is_reported() -> None:
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
        ({"name": "reply_within", "params": 7}, "map names to values"),
        ({"name": "reply_within", "applies_to": "role"}, "list of ids and roles"),
        ({"name": "reply_within", "applies_to": []}, "list of ids and roles"),
        ({"name": "reply_within", "applies_to": 7}, "list of ids and roles"),
        ({"name": ["reply_within"]}, "no evaluator"),
        ({"on_violation": "audit"}, "an expectation is"),
        ({"name": "reply_within", "seconds": 7}, "an expectation is"),
        ("reply_within", "an expectation is"),
    ],
)
async def test_an_impossible_expectation_is_refused(expectation: Any, match: str) -> None:
    async with World() as world:
        before = peek(world.hub)
        with pytest.raises(CommandRejected, match=match):
            await world.open(expectation)
        assert peek(world.hub) == before


async def test_expectations_of_a_channel_are_bounded() -> None:
    async with World() as world:
        with pytest.raises(CommandRejected, match="at most 100"):
            await world.open(*[ANSWER] * 101)


async def test_evaluators_are_registered_before_the_start() -> None:
    """Each is complete, and registered once."""
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


async def test_violations_cannot_be_emitted() -> None:
    async with World() as world:
        with pytest.raises(CommandRejected, match="the hub itself"):
            await world.hub.emit(
                ExpectationViolated(
                    expectation="reply_within", version=1, place=0, number=1, on_violation="audit", params={}
                )
            )


async def test_params_may_be_refused_by_raising() -> None:
    """The channel is not opened."""

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


async def test_a_deadline_looks_at_due_channels_only() -> None:
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
