"""Values that no call was written for: wrong types, hostile text, huge and strange numbers, objects that raise."""

from __future__ import annotations

import datetime as dt
import enum
import functools
import numbers
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import count
from typing import Any

__all__ = ("ODD", "Hostile", "Stranger", "fuzz_rounds")

SECONDS = float(os.environ.get("HUBWIRE_FUZZ_SECONDS", "0"))
"""How long each fuzzer runs; 0: one round of a fixed seed."""


def fuzz_rounds() -> Iterator[int]:
    """Yield the seeds of the rounds: one, or as many as fit into the seconds that the environment gives."""
    yield 1
    end = time.monotonic() + SECONDS
    seed = int(os.environ.get("HUBWIRE_FUZZ_SEED", "0")) or time.time_ns() % 2**32
    while time.monotonic() < end:
        seed += 1
        yield seed


class Hostile:
    """Raises wherever it is looked at."""

    def _raise(self, *_: object) -> Any:
        raise RuntimeError("hostile")

    __repr__ = __str__ = __bytes__ = __format__ = __len__ = __bool__ = __index__ = __int__ = __float__ = _raise
    __iter__ = __next__ = __getitem__ = __contains__ = __call__ = __lt__ = __le__ = __gt__ = __ge__ = _raise
    __eq__ = __ne__ = __hash__ = _raise
    __enter__ = __exit__ = __aenter__ = __aexit__ = __await__ = __aiter__ = __anext__ = __reduce__ = _raise

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"hostile {name}")


class Stranger:
    """An object that is nothing to the hub. Unlike that of ``object()``, its text is the same in every process."""

    def __repr__(self) -> str:
        return "<a stranger>"


class Nameless:
    """Its class cannot be asked for."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("hostile class")


class HostileText(str):
    __slots__ = ()

    def _raise(self, *_: object) -> Any:
        raise RuntimeError("hostile text")

    __str__ = __repr__ = __len__ = __format__ = encode = strip = __iter__ = __add__ = __contains__ = _raise  # type: ignore[assignment]
    __hash__ = str.__hash__
    __eq__ = str.__eq__


class HostileInt(int):
    def _raise(self, *_: object) -> Any:
        raise RuntimeError("hostile number")

    __lt__ = __le__ = __gt__ = __ge__ = __repr__ = __str__ = __index__ = __int__ = __float__ = __add__ = __mul__ = (
        _raise
    )


class HostileFloat(float):
    def _raise(self, *_: object) -> Any:
        raise RuntimeError("hostile number")

    __lt__ = __le__ = __gt__ = __ge__ = __repr__ = __str__ = __int__ = __float__ = __add__ = __mul__ = _raise


class HostileList(list[Any]):
    def _raise(self, *_: object) -> Any:
        raise RuntimeError("hostile list")

    __iter__ = __len__ = __getitem__ = __repr__ = _raise


class HostileDict(dict[Any, Any]):
    def _raise(self, *_: object) -> Any:
        raise RuntimeError("hostile dict")

    __iter__ = __len__ = __getitem__ = __repr__ = keys = values = items = get = _raise


class HostileMapping(Mapping[Any, Any]):
    def __getitem__(self, key: Any) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[Any]:
        yield "a"

    def __len__(self) -> int:
        return 1


class Whole:
    """As numbers of numpy are: no int, and registered as one."""

    def __index__(self) -> int:
        return 3


class Real:
    def __float__(self) -> float:
        return 2.5


class Lying:
    def __float__(self) -> float:
        return float("nan")


numbers.Integral.register(Whole)
numbers.Real.register(Real)
numbers.Real.register(Lying)


class Word(enum.StrEnum):
    NORMAL = "normal"


class Number(enum.IntEnum):
    ONE = 1


def broken() -> Iterator[Any]:
    yield "a"
    raise ZeroDivisionError("broken")


def deep() -> list[Any]:
    found: list[Any] = []
    for _ in range(5000):
        found = [found]
    return found


def cycle() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["self"] = [found]
    return found


_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 5, -1, 1.5, -0.0, 10**30, 2**63, -(2**63), 10**5000),
    *(float("nan"), float("inf"), float("-inf"), 1e308, 5e-324, 1j),
    *(Decimal(2), Decimal("2.5"), Decimal("NaN"), Decimal("sNaN"), Decimal("1e99999"), Fraction(1, 3)),
    *("", " ", "x", "a\nb\x00", "\ud800", "a\udcffb", "\u202etext", "x" * 100_000, "0" * 32, "*", "../..", "%s{0}"),
    *(b"x", bytearray(b"x"), [1], [None], ["a", "a"], ["\ud800"], [[]], ("x", 5), {"a": 1}, {1: 2}, {"a": None}),
    *({"\ud800": 1}, {"a"}, frozenset({1}), {"$object": "x"}, {"inbox": 5}, {"seconds": 1}),
    *(uuid.UUID(int=5), dt.timedelta(seconds=5), dt.datetime(2030, 1, 1), dt.date(2030, 1, 1)),  # noqa: DTZ001
    *(object(), object, int, len, lambda: 1, ValueError("e"), Exception, KeyboardInterrupt("k"), ...),
    *(Word.NORMAL, Number.ONE, Whole(), Real(), Lying(), HostileText("x"), HostileInt(3), HostileFloat(2.5)),
)

_MAKERS: tuple[Callable[[], Any], ...] = (
    *(Hostile, Nameless, HostileMapping, lambda: HostileList(["a"]), lambda: HostileDict(a=1)),
    *(count, broken, deep, cycle, lambda: iter(["a"]), lambda: iter(())),
)

ODD: tuple[Callable[[], Any], ...] = (*(functools.partial(lambda value: value, each) for each in _VALUES), *_MAKERS)
"""Functions that make them: some can be used once only."""
