"""Payloads that do harm, or are too large."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import json
import math
import sys
import uuid
from itertools import count
from typing import Any, NoReturn

import pytest

from hubwire import Hub, codec
from hubwire.errors import EventTooLarge
from hubwire.events import ToolCompleted, canonical
from hubwire.events._canonical import DEPTH_MAX, INT_MAX
from support.payloads import EvilDict, EvilField, EvilMapping, EvilPath, NoText, Raising, check_weight, keep, stamped

# --- what does harm -------------------------------------------------------------------------------------------------


class LyingDict(dict[str, Any]):
    def items(self) -> Any:
        return [1, 2]


class EvilClass:
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("no class")


class ExitingError(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (Raising(), "RuntimeError"),
        (EvilDict(a=1), "RuntimeError"),
        (LyingDict(a=1), "TypeError"),
        (EvilMapping(), "KeyError"),
        (EvilClass(), "RuntimeError"),
        (EvilPath(), "RuntimeError"),
        (NoText(), "TypeError"),
        (EvilField(), "RuntimeError"),
        (ExitingError(), "ValueError"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_raising_object_is_named(value: Any, error: str) -> None:
    """The rest of the payload goes on."""
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    assert keep({"before": 1, "evil": value, "for": 2}) == {
        "before": 1,
        "evil": {"$object": name, "error": error},
        "for": 2,
    }


def test_a_class_may_have_an_impossible_name() -> None:
    """An instance of a class whose name is not text, or raises, loses no event."""
    named = type("Named", (), {"__module__": "\ud800"})
    assert keep(named())["$object"] == {"$text": "\\ud800.Named"}

    class Meta(type):
        @property
        def __module__(cls) -> NoReturn:  # type: ignore[override]
            raise RuntimeError

    class Nameless(metaclass=Meta):
        __slots__ = ()

        def __str__(self) -> str:
            return "shown"

    assert keep(Nameless()) == {"$object": "?.RuntimeError", "text": "shown"}


def test_text_from_objects_is_cleaned() -> None:
    class Broken:
        def __str__(self) -> str:
            return "\ud800\u2028"

    assert keep(Broken())["text"] == {"$text": "\\ud800\u2028"}


def test_a_cycle_is_marked_where_it_closes() -> None:
    inner: list[Any] = [1]
    inner.append(inner)
    assert keep(inner) == (1, {"$cycle": 1})
    outer: dict[str, Any] = {"a": {"b": [2]}}
    outer["a"]["b"].append(outer)
    assert keep(outer) == {"a": {"b": (2, {"$cycle": 3})}}
    node = dataclasses.make_dataclass("Node", ["next"])
    one, other = node(None), node(None)
    one.next, other.next = other, one
    assert keep(one) == {"next": {"next": {"$cycle": 2}}}


def test_a_repeated_object_is_not_a_cycle() -> None:
    shared = {"a": [1]}
    assert keep([shared, shared]) == ({"a": (1,)}, {"a": (1,)})


def test_too_deep_values_are_marked() -> None:
    """What lies above is kept."""

    def nest(depth: int) -> Any:
        value: Any = "bottom"
        for _ in range(depth):
            value = [value]
        return value

    def unpack(value: Any) -> Any:
        while type(value) is tuple:
            (value,) = value
        return value

    assert unpack(keep(nest(DEPTH_MAX))) == "bottom"
    assert unpack(keep(nest(DEPTH_MAX + 1))) == {"$depth": DEPTH_MAX}
    assert unpack(keep(nest(100_000))) == {"$depth": DEPTH_MAX}


def test_the_deepest_substitutes_are_read_back() -> None:
    """A payload of the allowed depth, each level of which needs a substitute."""
    value: Any = {1}
    for _ in range(DEPTH_MAX - 1):
        value = {5: value}
    kept = keep(value)
    for _ in range(DEPTH_MAX - 1):
        ((_, kept),) = kept["$map"]
    assert kept == {"$set": (1,)}


def test_little_stack_loses_no_payload() -> None:
    def descend(levels: int) -> Any:
        return descend(levels - 1) if levels else keep({"a": [{"b": 1}]})

    frame, used = sys._getframe(), 0
    while frame.f_back is not None:
        frame, used = frame.f_back, used + 1
    assert descend(sys.getrecursionlimit() - used - 400) == {"a": ({"b": 1},)}


def test_lookalikes_of_substitutes_are_kept() -> None:
    assert keep({"$int": "5"}) == {"$int": "5"}
    assert keep({"$cycle": {"a": 1}, "other": 2}) == {"$cycle": {"a": 1}, "other": 2}


def test_canonical_values_stay_the_same() -> None:
    once = keep({"a": [math.nan, {1}, b"x", {1: 2}, "\ud800", 2**60]})
    assert keep(once) == once
    assert canonical(once) == once


def test_declared_fields_keep_their_type() -> None:
    """What JSON cannot hold is text or a number all the same; only the line has a substitute."""
    made = stamped(ToolCompleted(tool="\ud800", call_id="c", duration_ms=math.nan))
    assert codec.decode(codec.encode(made)) == made
    assert made.tool == "\\ud800"  # type: ignore[attr-defined]
    assert math.isnan(made.duration_ms)  # type: ignore[attr-defined]
    assert b'"duration_ms":{"$float":"nan"}' in codec.encode(made)


# --- size -----------------------------------------------------------------------------------------------------------


def billion_laughs(leaf: Any) -> Any:
    value = [leaf]
    for _ in range(30):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        billion_laughs("ha"),
        billion_laughs([]),
        billion_laughs({}),
        billion_laughs(None),
        billion_laughs(math.nan),
        billion_laughs(Raising()),
        {"a": billion_laughs(0)},
        "x" * 200_000,
        "\ud800" * 200_000,
        b"x" * 200_000,
        {"k" * 200_000: 1},
        {1: "x" * 200_000},
        1 << 2_000_000,
        [10**4000] * 100,
        [math.pi] * 50_000,
        [None] * 200_000,
        [b""] * 50_000,
        [math.inf] * 50_000,
        [{1}] * 50_000,
        {(number,): None for number in range(50_000)},
        [uuid.UUID(int=0)] * 10_000,
        [dt.date(2026, 1, 1)] * 20_000,
        [decimal.Decimal("1e-999999")] * 10_000,
        [Raising()] * 10_000,
        [NoText()] * 10_000,
    ],
    ids=map(str, count()),
)
async def test_a_large_event_is_refused_before_it_is_made(value: Any) -> None:
    async with Hub(event_bytes_max=128 * 1024) as hub:
        applied = hub.statistics().applied
        with pytest.raises(EventTooLarge, match=r"store (it|the payload) elsewhere") as caught:
            await hub.emit(ToolCompleted(tool="t", call_id="c", result=value))
        assert caught.value.kind == "tool.completed"
        assert caught.value.limit_bytes == 128 * 1024
        assert caught.value.size_bytes > caught.value.limit_bytes
        assert hub.statistics().applied == applied


def test_shared_objects_are_expanded() -> None:
    """An object that occurs many times in a payload is written out each time."""

    def wrap(value: Any, levels: int) -> Any:
        for _ in range(levels):
            value = [value]
        return value

    shared: Any = {"a": [1, {2}], "b": math.nan}
    tall = wrap(shared, 40)
    value = ["x" * 100_000, shared, [shared, {"c": shared}], tall, tall, wrap(tall, 30), tall, wrap(shared, 70), shared]
    own = json.loads(json.dumps(value, default=lambda each: {"$set": list(each)}))
    expected = canonical(own)
    assert canonical(value) == expected
    assert keep(value) == expected
    turning: list[Any] = ["x" * 100_000, shared]
    turning += [turning, [turning], shared]
    frozen = canonical(shared)
    assert canonical(turning) == ("x" * 100_000, frozen, {"$cycle": 1}, ({"$cycle": 2},), frozen)


def test_a_large_hand_made_value_is_refused() -> None:
    with pytest.raises(EventTooLarge):
        canonical(billion_laughs("ha"), bytes_max=128 * 1024)
    assert canonical(["x" * 1000], bytes_max=2000) == ("x" * 1000,)


async def test_the_size_of_an_event_is_exact() -> None:
    """An event is as large as its JSON, to the byte."""
    probe = stamped(ToolCompleted(tool="t", call_id="c", result=""))
    async with Hub(event_bytes_max=128 * 1024) as hub:
        first = await hub.emit(ToolCompleted(tool="t", call_id="c", result=""))
        room = 128 * 1024 - len(codec.encode(first))
        exact = await hub.emit(ToolCompleted(tool="t", call_id="c", result="x" * room))
        assert len(codec.encode(exact)) == 128 * 1024
        with pytest.raises(EventTooLarge):
            await hub.emit(ToolCompleted(tool="t", call_id="c", result="x" * (room + 1)))
    assert len(codec.encode(probe)) < 128 * 1024


@pytest.mark.parametrize(
    "value",
    [
        [0] * 1000,
        [8] * 1000,
        [-INT_MAX] * 1000,
        [0.0] * 1000,
        [1e16] * 1000,
        [-1.2345678901234567e-05] * 1000,
        [-0.00012345678901234567] * 1000,
        [-2.2250738585072014e-308] * 1000,
        [None, True, False] * 1000,
        ["", "x", "\0", "\ud800", "\u2028", "\U0001f600"] * 1000,
        "\ud800" * 1000,
        "\0" * 1000,
        [[], {}, set(), b"", b"xyz"] * 1000,
        [math.nan, 2**53, 10**599, 10**5000] * 100,
        {number: number for number in range(1000)},
        {str(number): {} for number in range(1000)},
        [Raising(), NoText(), decimal.Decimal(1), uuid.UUID(int=0), dt.date(2026, 1, 1)] * 100,
    ],
    ids=map(str, count()),
)
def test_the_counted_size_bounds_the_real_one(value: Any) -> None:
    """What is counted while a value is walked bounds its size from both sides."""
    check_weight(value)
