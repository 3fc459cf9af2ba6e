"""The checks of arguments: what they take, what they refuse, and what their errors say."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from hubwire._foreign.arguments import Call, number_of, shown, whole_of
from hubwire.errors import CommandRejected, ConfigurationError

CALL = Call("thing.do()")


class Hostile:
    """Raises wherever it is looked at."""

    def __repr__(self) -> str:
        raise SystemExit("its text was asked for")

    __str__ = __repr__

    @property
    def __class__(self) -> Any:
        raise RuntimeError("its class was asked for")

    @__class__.setter
    def __class__(self, _: Any) -> None: ...

    def __index__(self) -> int:
        raise RuntimeError

    def __eq__(self, _: object) -> bool:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]


class Colour(enum.Enum):
    RED = 1


class MyText(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError


class MyInt(int):
    def __lt__(self, _: int) -> bool:
        raise RuntimeError

    __le__ = __gt__ = __ge__ = __lt__


SHOWN: list[tuple[object, str]] = [
    (Hostile(), "an object of class Hostile"),
    ("\ud800\n", r"'\ud800\n'"),
    (10**400, "a whole number of 1329 bits"),
    ([Hostile()], "[an object of class Hostile]"),
    ({"a": [[[1]]]}, "{'a': [[…]]}"),
    (list(range(9)), "[0, 1, 2, 3, … 9 in all]"),
    (Colour.RED, "Colour.RED"),
    (Hostile, "the class Hostile"),
    (timedelta(seconds=5), "datetime.timedelta(seconds=5)"),
]


def test_no_foreign_text_method_is_called() -> None:
    """What a value is is said without its ``__repr__``."""
    for value, text in SHOWN:
        assert shown(value) == text


def test_what_is_shown_is_bounded() -> None:
    """However long or deep the value is."""
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    for value in ("x" * 10**6, ["y" * 1000] * 1000, deep, {str(each) * 50: each for each in range(100)}):
        assert len(shown(value)) <= 200


def test_an_error_names_call_argument_and_value() -> None:
    """It says what is wanted, what was given, and what to do."""
    with pytest.raises(CommandRejected) as caught:
        CALL.items("to", "abc", of="agents")
    assert str(caught.value) == "thing.do(): to is a list of agents, not 'abc'; write ['abc']"
    with pytest.raises(ConfigurationError, match=r"^set\.up\(\): timeout is a number of seconds, more than 0"):
        Call("set.up()", ConfigurationError).seconds("timeout", "1")


def test_what_is_no_positive_time_is_refused() -> None:
    """Booleans, texts, and numbers without an end."""
    values: list[object] = [None, True, 0, -1.0, float("nan"), float("inf"), 10**400, "1", [1], Hostile(), 1j]
    for value in values:
        with pytest.raises(CommandRejected):
            CALL.seconds("ttl_seconds", value)


def test_what_is_no_count_is_refused() -> None:
    """Whole numbers from 0 on are taken, and no others."""
    values: list[object] = [None, True, -1, 1.0, float("nan"), "1", 2**60, Hostile(), Decimal(1)]
    for value in values:
        with pytest.raises(CommandRejected):
            CALL.whole("count", value)


def test_what_is_no_text_is_refused() -> None:
    """Nor is text that UTF-8 cannot hold."""
    values: list[object] = [None, 1, b"x", "\ud800", Hostile(), ["x"]]
    for value in values:
        with pytest.raises(CommandRejected):
            CALL.text("reason", value)


def test_subclasses_become_plain_values() -> None:
    """So that no later comparison calls what a stranger wrote."""
    assert type(CALL.text("reason", MyText("x"))) is str
    assert type(CALL.whole("count", MyInt(3))) is int
    assert type(CALL.seconds("ttl", MyInt(3))) is float
    assert CALL.seconds("ttl", Decimal("2.5")) == 2.5
    assert whole_of(Decimal("2.5")) is None
    assert number_of(Decimal("nan")) is None


def test_a_list_without_an_end_is_refused() -> None:
    """And one that raises while it is read, with the cause chained."""

    def broken() -> Iterator[int]:
        yield 1
        raise KeyError("x")

    with pytest.raises(CommandRejected, match="at most 100000 agents"):
        CALL.items("to", count(), of="agents")
    with pytest.raises(CommandRejected, match="raised an exception") as caught:
        CALL.items("to", broken(), of="agents")
    assert isinstance(caught.value.__cause__, KeyError)
    for value in ("abc", b"abc", {"a": 1}, 3, None, Hostile()):
        with pytest.raises(CommandRejected):
            CALL.items("to", value, of="agents")


def test_the_nearest_known_name_is_offered() -> None:
    """For a key that is not known, and a word that is none of a few."""
    with pytest.raises(CommandRejected, match="has no 'capacty'; it has capacity, overflow; did you mean capacity"):
        CALL.keys("inbox", ["capacty"], ("capacity", "overflow"))
    with pytest.raises(CommandRejected, match="did you mean urgent"):
        CALL.one_of("priority", "urgnt", ("urgent", "normal"))
    with pytest.raises(CommandRejected):
        CALL.one_of("priority", Hostile(), ("urgent", "normal"))
