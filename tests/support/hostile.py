"""Values that no field expects, and kinds of events with a field of every type."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import importlib.util
import itertools
import math
import pathlib
import types
import typing
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Literal, NoReturn

import attrs
from hypothesis import strategies as st

import hubwire.events
from hubwire import Event, GenericEvent, UnknownEvent, event
from hubwire.events import FrozenDict, Outcome, Severity
from hubwire.events._event import own_fields

HAS_NUMPY = importlib.util.find_spec("numpy") is not None

TRACE = f"00-{'ab' * 16}-{'cd' * 8}-01"

HEADER = (
    *("tenant", "source", "source_id", "occurred_at", "actor", "agent_id", "session_id", "turn_id", "channel_id"),
    *("task_id", "correlation_id", "causation_id", "traceparent", "severity", "outcome", "metadata"),
)


class Colour(enum.Enum):
    RED = "red"
    ODD = ("a", 1)


class Word(enum.StrEnum):
    YES = "yes"


class Level(enum.IntEnum):
    LOW = 1


@attrs.frozen
class View:
    """A value as an application hands it over: an attrs class."""

    name: str
    parts: tuple[str, ...] = ()


UserId = typing.NewType("UserId", str)


@event("hostile_tests.shaped")
class Shaped(Event):
    """Every type a field may have, and some that people write all the same."""

    text: str
    number: int = 0
    real: float = 0.0
    flag: bool = False
    maybe: str | None = None
    implied: str = None  # type: ignore[assignment]
    nothing: None = None
    user: UserId = UserId("")
    names: tuple[str, ...] = ()
    pair: tuple[int, str] | None = None
    many: tuple[int | None, ...] = ()
    items: list[float] = attrs.field(factory=list)
    lines: Sequence[str] = ()
    deep: tuple[tuple[str, ...], ...] = ()
    details: Mapping[str, Any] | None = None
    table: dict[str, int] | None = None
    labels: Mapping[str, str] | None = None
    level: Literal["low", "high", 3] = "low"
    either: int | str | None = None
    number_or_more: int | float | tuple[float, ...] = 0
    text_or_mapping: str | Mapping[str, Any] = ""
    raw: bytes = b""
    when: dt.datetime | None = None
    money: decimal.Decimal | str = ""
    colour: Colour = Colour.RED
    view: View | None = None
    odd: Callable[[], None] | None = None
    anything: Any = None


def shipped_kinds() -> list[type[Event]]:
    exported = [getattr(hubwire.events, name) for name in hubwire.events.__all__]
    kinds = [each for each in exported if isinstance(each, type) and issubclass(each, Event)]
    return [each for each in kinds if each not in (Event, GenericEvent, UnknownEvent)]


KINDS: list[type[Event]] = [*shipped_kinds(), Shaped]


# --- values that fit ------------------------------------------------------------------------------------------------

texts = st.one_of(
    st.text(max_size=8),
    st.text(st.characters(), max_size=8),  # lone surrogates too
    st.sampled_from(["\ud800", "a\udcffb", "\0", "\u2028", "\u0085\x7f", '"\\\n', "é" * 300, "x" * 300]),
)
integers = st.integers() | st.sampled_from([2**53, -(2**64), 10**700, -(10**30)])
numbers = st.floats() | integers.filter(lambda number: abs(number) < 2**53 or float_is(number))
plain = st.none() | st.booleans() | integers | st.floats() | texts | st.binary(max_size=3)
payloads = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3) | st.sets(st.integers(), max_size=2)
    ),
    max_leaves=6,
)


def float_is(number: int) -> bool:
    try:
        return float(number) == number
    except OverflowError:
        return False


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Return values of a field's type, among them those that JSON cannot hold."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(values_of, args))
    if origin is Literal:
        return st.sampled_from(args)
    if origin is tuple and args[-1] is not Ellipsis:
        return st.tuples(*map(values_of, args))
    if origin in (tuple, list, Sequence):
        return st.lists(values_of(args[0]), max_size=3) | st.lists(values_of(args[0]), max_size=3).map(tuple)
    if origin in (Mapping, dict):
        return st.dictionaries(texts, values_of(args[1]), max_size=3)
    known: dict[Any, st.SearchStrategy[Any]] = {
        str: texts,
        UserId: texts,
        int: integers,
        float: numbers,
        bool: st.booleans(),
        type(None): st.none(),
        bytes: st.binary(max_size=4),
        dt.datetime: st.datetimes(timezones=st.just(dt.UTC)),
        decimal.Decimal: st.decimals(),
        Colour: st.sampled_from(Colour),
        View: st.builds(View, name=texts, parts=st.lists(texts, max_size=2)),
    }
    return known.get(hint, payloads)


def events_of(cls: type[Event]) -> st.SearchStrategy[Event]:
    """Return events of a class whose fields, those of the context too, have values of their types."""
    hints = typing.get_type_hints(cls)
    fields = {name: values_of(hints[name]) for name in own_fields(cls)}
    header = {name: st.none() | values_of(str) for name in HEADER}
    header["metadata"] = st.none() | st.dictionaries(texts, payloads, max_size=3)
    header["traceparent"] = st.sampled_from([None, TRACE])
    header["severity"] = st.sampled_from([None, "info", *Severity])
    header["outcome"] = st.sampled_from([None, "denied", *Outcome])
    return st.builds(cls, **fields, **header)


# --- values that may not --------------------------------------------------------------------------------------------


class Raising:
    """An object that raises whatever it is asked."""

    def _raise(self, *_: object) -> NoReturn:
        raise RuntimeError("I answer no question")

    __str__ = __repr__ = __eq__ = __bool__ = __len__ = __iter__ = __index__ = __float__ = __fspath__ = _raise
    __hash__ = None  # type: ignore[assignment]


class Posing:
    """An object that says it is of every class."""

    @property
    def __class__(self) -> Any:
        raise RuntimeError("guess")

    @__class__.setter
    def __class__(self, _: Any) -> None: ...


class EvilText(str):
    """Text whose methods lie or raise."""

    __slots__ = ()

    def __str__(self) -> str:
        raise ValueError("no text")

    def __eq__(self, _: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("yes")

    def __len__(self) -> int:
        return 0

    def isascii(self) -> bool:
        return True

    def encode(self, *_: Any, **__: Any) -> NoReturn:
        raise ValueError("no bytes")

    def partition(self, _: Any) -> Any:
        return ("user", ".", "came")


class EvilInt(int):
    def __pos__(self) -> int:
        return 7

    def __le__(self, _: object) -> bool:
        raise ValueError("no order")

    __ge__ = __lt__ = __gt__ = __le__


class EvilDict(dict[str, Any]):
    def items(self) -> NoReturn:
        raise RuntimeError("no items")

    __iter__ = __len__ = keys = values = items


class EvilMeta(type):
    def __bool__(cls) -> bool:
        raise RuntimeError("no truth")

    def __len__(cls) -> int:
        return 0

    def __eq__(cls, _: object) -> bool:
        return True

    def __hash__(cls) -> int:
        return hash(str)


class OfEvilMeta(metaclass=EvilMeta):
    pass


@dataclasses.dataclass
class EvilField:
    a: int = 1

    def __getattribute__(self, name: str) -> Any:
        if name == "a":
            raise RuntimeError("no a")
        return super().__getattribute__(name)


class Endless(Sequence[int]):
    def __getitem__(self, _: Any) -> Any:
        return 1

    def __len__(self) -> int:
        return 3


class UnsortedKey(str):
    __slots__ = ()

    def __lt__(self, _: object) -> bool:
        raise RuntimeError("no order")


def cycle() -> Any:
    one: dict[str, Any] = {}
    one["me"] = [one]
    return one


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


def numpy_values() -> list[Callable[[], Any]]:
    if not HAS_NUMPY:
        return []
    np: Any = import_module("numpy")

    made = [np.int8(3), np.int64(2**62), np.uint64(2**64 - 1), np.float16(1.5), np.float32(0.1), np.float64("nan")]
    made += [np.bool_(True), np.str_("np\ud800"), np.bytes_(b"x"), np.arange(3), np.array(5), np.array([]), np.nan]
    made += [np.longdouble("0.1"), np.longdouble(2), np.complex64(1), np.datetime64("2026-01-01"), np.float64(2.5)]
    return [lambda value=value: value for value in made]  # type: ignore[misc]


HOSTILE: list[Callable[[], Any]] = [
    *(
        (lambda value=value: value)
        for value in (
            *(None, True, False, 0, 1, -1, 5, 2**53, -(2**64), 10**5000, 1.0, 1.5, -0.0, 1e308, 5e-324),
            *(math.nan, math.inf, -math.inf, 1j, decimal.Decimal("1.10"), decimal.Decimal("sNaN")),
            *(fractions.Fraction(1, 3), fractions.Fraction(4, 2), "", "x", "yes", "\ud800", "a\udcffb", "\0"),
            *("\u2028\u2029\u0085\x7f", "line\nfeed", "x" * 10_000, "é" * 1000, b"", b"\xff\0", bytearray(b"x")),
            *((), [], {}, set(), [1], ["a", None], ("x", 5), [("a",), ("b",)], {"a": 1}, {1: 2}, {"a": None}),
            *({"\ud800": 1}, {None: 1}, {"$int": "5"}, {"$text": "t"}, {"$float": "nan"}, {"$map": 5}, {"$x": {}}),
            *({"$int": "no"}, {"$float": "0.5"}, {"$text": 5}, {"b": {"d": [1, {"c": 2}]}, "a": 1}),
            *(
                {1, 2},
                frozenset("ab"),
                {"b": 1}.keys(),
                range(3),
                FrozenDict({"b": 1}),
                types.MappingProxyType({"a": 1}),
            ),
            *(uuid.UUID(int=1), dt.date(2026, 1, 1), dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.timedelta(seconds=5)),
            *(
                pathlib.PurePosixPath("/a"),
                pathlib.PurePosixPath("/\udcff"),
                Colour.RED,
                Colour.ODD,
                Word.YES,
                Level.LOW,
            ),
            *(View(name="v"), View, object(), ValueError("e"), lambda: 1, NotImplemented, ..., type(None), int),
            *(collections.deque([1]), collections.OrderedDict(b=1, a=2), collections.UserString("a"), 0xFFFF_FFFF),
        )
    ),
    lambda: (each for each in "abc"),
    itertools.count,
    lambda: memoryview(b"abcd")[::2],
    cycle,
    lambda: nested(63),
    lambda: nested(65),
    lambda: nested(5_000),
    Raising,
    lambda: {"a": Raising()},
    lambda: [Raising()],
    Posing,
    lambda: EvilText("agent.registered"),
    lambda: EvilText("\ud800"),
    lambda: {EvilText("b"): 1, "a": 2},
    lambda: {UnsortedKey("b"): 1, UnsortedKey("a"): 2},
    lambda: EvilInt(5),
    lambda: EvilInt(2**70),
    lambda: EvilDict(a=1),
    OfEvilMeta,
    lambda: OfEvilMeta,
    EvilField,
    Endless,
    lambda: [EvilText("x"), EvilInt(1)],
    lambda: ["x"] * 500,
    *numpy_values(),
]


def hostile() -> Iterator[Any]:
    """Yield one of each."""
    for make in HOSTILE:
        yield make()


def named(value: Any) -> str:
    """Return what a failing test calls a value: no method of it is called."""
    return f"{type.__repr__(type(value))} at {id(value):x}"
