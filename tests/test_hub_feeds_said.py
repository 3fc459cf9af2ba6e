"""What feeds say of themselves, and what is given as one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from hubwire import Hub
from hubwire.errors import ConfigurationError
from support.feeds import Idle, Saying, said
from support.odd import ODD, Hostile, HostileDict, HostileInt, HostileList, HostileText

# --- what it says ---------------------------------------------------------------------------------------------------


async def test_what_a_feed_says_is_in_health_and_statistics() -> None:
    async with Hub() as hub:
        feed = Saying(["line 3 of a.jsonl is damaged"], {"lines": 12})
        hub.feed(feed)
        assert hub.health().problems == ("feed 'Saying': line 3 of a.jsonl is damaged",)
        assert hub.statistics().feeds[0].numbers == {"lines": 12}
        hash(hub.statistics().feeds[0])
        feed.answers["problems"] = ()
        assert hub.health().healthy


def endless() -> Iterator[str]:
    while True:
        yield "x" * 100_000


async def test_an_endless_answer_is_cut() -> None:
    async with Hub() as hub:
        hub.feed(Saying(endless(), {f"{number}": number for number in range(1000)}))
        problems = hub.health().problems
        assert len(problems) == 10
        assert all(len(each) < 1100 for each in problems)
        assert len(hub.statistics().feeds[0].numbers) == 100


HOSTILE_TEXTS = [
    *("a text", b"bytes", 5, None, {"a": "b"}, [5], [None], Hostile(), [Hostile()], HostileList(["a"])),
    *(RuntimeError("x"), SystemExit(1), asyncio.CancelledError(), GeneratorExit()),
]
HOSTILE_NUMBERS = [
    *("a text", [("a", 1)], {"a": "1"}, {"a": 1.5}, {"a": True}, {"a": None}, {1: 1}, {"a": 10**30}, {"a": Hostile()}),
    *(HostileDict(a=1), Hostile(), RuntimeError("x"), SystemExit(1), asyncio.CancelledError()),
]


@pytest.mark.parametrize("answer", HOSTILE_TEXTS, ids=range(len(HOSTILE_TEXTS)))
async def test_hostile_problems_are_a_problem(answer: Any) -> None:
    async with Hub() as hub:
        hub.feed(Saying(answer))
        (problem,) = hub.health().problems
        assert "its problems() has failed" in problem


@pytest.mark.parametrize("answer", HOSTILE_NUMBERS, ids=range(len(HOSTILE_NUMBERS)))
async def test_hostile_numbers_are_a_problem(answer: Any) -> None:
    async with Hub() as hub:
        hub.feed(Saying((), answer))
        assert hub.statistics().feeds[0].numbers == {}
        (problem,) = hub.health().problems
        assert "its statistics() has failed" in problem


async def test_hostile_texts_and_numbers_come_out_plain() -> None:
    async with Hub() as hub:
        hub.feed(Saying([HostileText("bad \ud800")], {HostileText("n"): HostileInt(3)}))
        (problem,) = hub.health().problems
        problem.encode()
        ((name, number),) = hub.statistics().feeds[0].numbers.items()
        assert (type(name), type(number), name, number) == (str, int, "n", 3)


# --- what is given --------------------------------------------------------------------------------------------------


class SyncRun:
    def run(self, hub: Hub) -> None: ...


class NoHub:
    async def run(self) -> None: ...


class SyncFinish(Idle):
    def finish(self) -> None: ...


class AsyncProblems(Idle):
    async def problems(self) -> list[str]:
        return []


class TextStatistics(Idle):
    statistics = "text"


class Lying(Idle):
    @property
    def finish(self) -> Any:
        raise SystemExit(1)


@pytest.mark.parametrize(
    ("feed", "said"),
    [
        (Idle, "give an instance of it"),
        (SyncRun(), r"async def run\(self, hub\)"),
        (NoHub(), r"write async def run\(self, hub\)"),
        (SyncFinish(), r"async def finish\(self\)"),
        (AsyncProblems(), r"def problems\(self\)"),
        (TextStatistics(), r"def statistics\(self\)"),
        (Lying(), "reading finish"),
        (lambda hub: None, r"async def run\(self, hub\)"),
    ],
    ids=lambda each: type(each).__name__ if not isinstance(each, str) else "",
)
async def test_what_is_no_feed_is_refused(feed: Any, said: str) -> None:
    hub = Hub()
    with pytest.raises(ConfigurationError, match=rf"^hub\.feed\(\).*{said}"):
        hub.feed(feed)
    assert hub.feeds == ()


async def test_odd_values_are_no_feeds() -> None:
    async with Hub() as hub:
        for make in ODD:
            with contextlib.suppress(ConfigurationError):
                hub.feed(make())
            with contextlib.suppress(ConfigurationError):
                hub.feed(Idle(), name=make())
        await hub.emit(said())
        names = [each.name for each in hub.feeds]
        assert len(set(names)) == len(names)


async def test_an_object_feeds_a_hub_once() -> None:
    """Unless it was removed, or has returned; and a name is taken once."""
    async with Hub() as hub:
        feed = Idle()
        handle = hub.feed(feed, name="one")
        with pytest.raises(ConfigurationError, match="feeds the hub already, as 'one'"):
            hub.feed(feed)
        with pytest.raises(ConfigurationError, match="a feed named 'one' is there already"):
            hub.feed(Idle(), name="one")
        assert hub.feeds == (handle,)
        await handle.remove()
        hub.feed(feed, name="one")


async def test_names_are_made_unique() -> None:
    class Named(Idle):
        name = "bus\n"

    class Hostilely(Idle):
        name = HostileText("odd")

    class Numbered(Idle):
        name = 5

    hub = Hub()
    for feed in (Idle(), Idle(), Idle(), Named(), Named(), Hostilely(), Numbered()):
        hub.feed(feed)
    assert [each.name for each in hub.feeds] == ["Idle", "Idle-2", "Idle-3", "bus?", "bus?-2", "odd", "Numbered"]


async def test_a_long_name_is_cut() -> None:
    class Long(Idle):
        name = "x" * 100_000

    hub = Hub()
    assert len(hub.feed(Long()).name) == 200


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\ud800", "x" * 501, 5, b"a"], ids=repr)
async def test_a_name_that_cannot_be_shown_is_refused(name: Any) -> None:
    hub = Hub()
    with pytest.raises(ConfigurationError, match=r"^hub\.feed\(\): name is the feed's name, a text"):
        hub.feed(Idle(), name=name)
    assert hub.feeds == ()
