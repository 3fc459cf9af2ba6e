"""Rules say what the channels and tasks of an agent have where the caller does not."""

from __future__ import annotations

from typing import Any

import pytest

from hubwire import Hub
from hubwire.arbiter import Allow, Rule, RuleArbiter
from hubwire.errors import CallerError
from hubwire.expectations import Expectation
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import advance
from support.odd import Stranger

RULE = Rule(
    channel_ttl_seconds=100,
    task_ttl_seconds=50,
    expectations={
        "consulting": (Expectation(name="reply_within", params={"seconds": 10}, on_violation="auto_close"),),
        "*": (Expectation(name="max_silence", params={"seconds": 20}),),
    },
)


@pytest.mark.parametrize("is_registered", [False, True])
async def test_a_rule_gives_what_was_not_said(is_registered: bool) -> None:
    """A rule of the arbiter, or the one that the agent is registered with, after a restart too."""
    clock, recorder, store = ManualClock(), Recorder(), MemoryStore()
    arbiter = RuleArbiter() if is_registered else RuleArbiter({"a": RULE})
    async with Hub(store, arbiter=arbiter, clock=clock) as hub:
        await hub.agents.register("a", rule=RULE if is_registered else None)
        await hub.agents.register("b")
    async with Hub(store, arbiter=arbiter, clock=clock, listeners=[recorder]) as hub:
        a, b = hub.agents.find("a"), hub.agents.find("b")
        assert a is not None
        assert b is not None
        asked = await hub.channels.open([a, b], type="consulting")
        talk = await hub.channels.open([a, b])
        task = await hub.tasks.start(a, "work")
        await asked.post(a, "?")
        await advance(clock, 12)
        assert (await asked.ended()).reason == "expectation reply_within was violated"
        await advance(clock, 12)
        assert [event.kind for event in recorder.events].count("expectation.violated") == 2
        await advance(clock, 30)
        assert not task.is_running
        assert talk.is_open
        await advance(clock, 60)
        assert (await talk.ended()).how == "expired"


async def test_what_is_said_counts_more_than_a_rule() -> None:
    """None and an empty list are said, too; other agents have no such rule."""
    clock = ManualClock()
    async with Hub(arbiter=RuleArbiter({"a": RULE}), clock=clock) as hub:
        a, b = [await hub.agents.register(name) for name in "ab"]
        said = await hub.channels.open([a, b], ttl_seconds=None, expectations=[])
        others = await hub.channels.open([b, a])
        task = await hub.tasks.start(a, "work", ttl_seconds=None)
        await advance(clock, 10_000)
        assert said.is_open
        assert others.is_open
        assert task.is_running


@pytest.mark.parametrize("odd", [0, -1, "soon", float("nan"), True, Stranger()], ids=repr)
async def test_odd_terms_of_rules_are_refused(odd: Any) -> None:
    for kind in (Rule, Allow):
        for name in ("channel_ttl_seconds", "task_ttl_seconds"):
            with pytest.raises(CallerError, match=name):
                kind(**{name: odd})
    wrong: list[Any] = [odd, {"*": odd}, {7: ()}]
    for expectations in wrong:
        with pytest.raises(CallerError, match="expectations"):
            Rule(expectations=expectations)
    async with Hub() as hub:
        a = await hub.agents.register("a")
        with pytest.raises(CallerError, match="ttl_seconds"):
            await hub.channels.open([a], ttl_seconds=odd)
        with pytest.raises(CallerError, match="ttl_seconds"):
            await hub.tasks.start(a, "work", ttl_seconds=odd)
