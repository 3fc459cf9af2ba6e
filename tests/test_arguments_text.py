"""Text of a class that answers for itself: what is checked is the text, and the text is what a hub goes on with."""

from __future__ import annotations

from typing import Any

from hubwire import Hub
from hubwire.approvals import NameScorer
from hubwire.arbiter import Rule, RuleArbiter
from hubwire.stores import MemoryStore
from support.odd import HostileFloat, HostileInt, HostileText


class Idle:
    async def on_envelope(self, turn: Any) -> None: ...


class Named(Idle):
    name = HostileText("named")


async def test_spawn_takes_plain_text_and_numbers() -> None:
    """A name and a number that raise when they are looked at are what they are without their class."""
    store = MemoryStore()
    async with Hub(store) as hub:
        group = hub.supervise("group")
        one = await group.spawn(Idle, name=HostileText("one"), concurrency=HostileInt(3))
        assert type(one.name) is str
        named = await group.spawn(Named)
        assert type(named.name) is str
    async with Hub(store) as hub:
        assert {each.name for each in hub.agents.list()} == {"one", "named"}


def test_rules_and_scores_are_plain() -> None:
    """Keys of mappings are not believed either."""
    rule = Rule()
    arbiter = RuleArbiter({HostileText("a*"): rule})
    assert arbiter.rule_of("ab") is rule
    scorer = NameScorer({HostileText("fly"): HostileFloat(0.25)})
    assert {type(each) for each in (*scorer._words, *scorer._words.values())} == {str, float}
