"""Who is to lead which hub: found by each node alone, from what it has heard."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from hubwire._cluster.placement import order, placed, too_many
from hubwire._cluster.roster import SILENT_SECONDS, Roster
from hubwire.testing import ManualClock
from support import until, until_idle

NODES = ["one", "two", "three"]


def hubs_on(nodes: list[str], count: int) -> dict[str, list[str]]:
    return {f"hub-{number}": list(nodes) for number in range(count)}


@pytest.mark.parametrize("count", [0, 1, 2, 3, 49, 50, 51, 52])
def test_hubs_are_spread_within_one(count: int) -> None:
    found = placed(hubs_on(NODES, count), {})
    assert len(found) == count
    held = Counter(dict.fromkeys(NODES, 0))
    held.update(found.values())
    assert max(held.values()) - min(held.values()) <= 1


def test_fifty_hubs_stay_spread_however_they_are_taken() -> None:
    """Each hub is taken by the node that is to lead it, in any order, while others are led already."""
    dice = random.Random(7)
    for _ in range(20):
        hubs, leads = hubs_on(NODES, 50), {node: list[str]() for node in NODES}
        names = list(hubs)
        dice.shuffle(names)
        for name in names:
            leads[placed(hubs, leads)[name]].append(name)
        held = [len(each) for each in leads.values()]
        assert sum(held) == 50
        assert max(held) - min(held) <= 1


def test_the_hubs_of_a_node_that_dies_go_to_the_others_evenly() -> None:
    hubs = hubs_on(NODES, 50)
    leads = placed(hubs, {})
    left = {name: ["one", "two"] for name in hubs}
    kept = {name: node for name, node in leads.items() if node != "three"}
    found = placed(left, {node: [name for name in kept if kept[name] == node] for node in NODES})
    assert set(found) == set(hubs) - set(kept)
    held = Counter({**kept, **found}.values())
    assert held == {"one": 25, "two": 25}


def test_an_order_is_the_same_everywhere_and_keeps_when_others_go() -> None:
    for name in hubs_on(NODES, 50):
        found = order(name, NODES)
        assert found == order(name, list(reversed(NODES)))
        assert [node for node in found if node != "two"] == order(name, ["one", "three"])
    assert len({tuple(order(name, NODES)) for name in hubs_on(NODES, 50)}) == 6


def test_a_hub_that_only_some_can_lead_goes_to_one_of_these() -> None:
    hubs = {f"hub-{number}": ["one"] for number in range(9)} | {"other": ["two"], "none": []}
    assert set(placed(hubs, {}).values()) == {"one", "two"}
    assert placed({}, {}) == {}
    assert placed({"hub": ["one"]}, {"gone": ["hub"]}) == {}


def test_a_node_that_leads_too_many_hands_over() -> None:
    assert [too_many(leading, 50, 3) for leading in (17, 18, 19)] == [False, False, True]
    assert not too_many(0, 0, 0)


class Told:
    """Signs that a test gives."""

    def __init__(self) -> None:
        self.send, self._receive = anyio.create_memory_object_stream[Any](1000)
        self.said: list[bytes] = []
        self.fault: BaseException | None = None

    async def say(self, body: bytes) -> None:
        if self.fault is not None:
            raise self.fault
        self.said.append(body)

    async def heard(self) -> AsyncIterator[bytes]:
        async with self.send, self._receive:
            async for body in self._receive:
                yield body

    async def aclose(self) -> None:
        return


def sign(node: Any, **hubs: Any) -> bytes:
    return json.dumps({"node": node, "hubs": hubs}).encode()


HOSTILE: list[Any] = [
    b"",
    b"[" * 100_000,
    b"null",
    b"{}",
    b'{"node": "x"}',
    b"\xff\xfe",
    3,
    None,
    sign(None),
    sign(""),
    sign("a\nb"),
    sign("x" * 201),
    sign("x", hub=1),
    json.dumps({"node": "x", "hubs": ["a"]}).encode(),
]


async def test_what_no_node_has_said_is_not_heard() -> None:
    signs = Told()
    roster = Roster("me", signs, ManualClock(), lambda: {"hub": True})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(roster.run)
        for body in HOSTILE:
            signs.send.send_nowait(body)
        signs.send.send_nowait(sign("you", hub=False))
        await until(lambda: len(roster.nodes()) == 2)
        assert [(each.name, each.hubs, each.leads) for each in roster.nodes()] == [
            ("me", ("hub",), ("hub",)),
            ("you", ("hub",), ()),
        ]
        tasks.cancel_scope.cancel()


async def test_a_node_that_is_silent_is_gone_and_one_that_led_is_not_waited_for() -> None:
    signs, clock = Told(), ManualClock()
    roster = Roster("me", signs, clock, lambda: {"hub": False})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(roster.run)
        signs.send.send_nowait(sign("you", hub=False))
        signs.send.send_nowait(sign("he", hub=True))
        await until(lambda: len(roster.nodes()) == 3)
        assert roster.rank("hub") + roster.rank("hub", "you") + roster.rank("hub", "he") > 0
        assert roster.rank("hub", "he") in (0, 1)
        assert roster.rank("other") == 0
        clock.advance(SILENT_SECONDS + 1)
        assert [each.name for each in roster.nodes()] == ["me"]
        assert roster.rank("hub") == 0
        tasks.cancel_scope.cancel()


async def test_a_newcomer_is_told_at_once_and_faults_are_tried_again() -> None:
    signs, clock = Told(), ManualClock()
    roster = Roster("me", signs, clock, dict)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(roster.run)
        await until(lambda: len(signs.said) == 1)
        signs.send.send_nowait(sign("you"))
        await until(lambda: len(signs.said) >= 2)
        signs.fault = SystemExit(3)
        roster.say_soon()
        await until_idle()
        signs.fault = None
        said = len(signs.said)
        clock.advance(1)
        roster.say_soon()
        await until(lambda: len(signs.said) > said)
        tasks.cancel_scope.cancel()
