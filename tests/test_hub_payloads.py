"""An event is never lost because of its payload: stamping makes marked substitutes of what JSON cannot hold."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import sys
import types
import uuid
from collections import OrderedDict, UserDict, UserString, deque, namedtuple
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, ClassVar, NoReturn

import attrs
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from hubwire import GenericEvent, Hub, codec
from hubwire.context import EMPTY
from hubwire.errors import EventTooLarge
from hubwire.events import EnvelopePosted, Event, FrozenDict, ToolCompleted, canonical, evolve
from hubwire.events._canonical import DEPTH_MAX, INT_MAX, Freezer, is_plain
from hubwire.events._stamp import stamp

AT = "2026-11-21T09:30:00.000001Z"
MEBIBYTE = 1024 * 1024


def stamped(event: Event, *, bytes_max: int = 8 * MEBIBYTE) -> Event:
    return stamp(event, seq=7, id="an id", at=AT, hub="a hub", context=EMPTY, bytes_max=bytes_max)


def keep(value: Any) -> Any:
    """Return what becomes of a value on its way, stamped, encoded, decoded; see that it is one line of JSON."""
    made = stamped(ToolCompleted(tool="t", call_id="c", result=value))
    assert isinstance(made, ToolCompleted)
    body = codec.encode(made)
    check_line(body)
    read = codec.decode(body)
    assert read == made
    assert type(read) is ToolCompleted
    check_frozen(made.result)
    assert codec.encode(evolve(read)) == body
    return made.result


def check_line(body: bytes) -> dict[str, Any]:
    """See that the bytes are what every reader of lines and of JSON can read; return what they hold."""
    assert body.split(b"\n") == [body]
    text = body.decode()
    assert text.splitlines() == [text]
    for raw in ("\u2028", "\u2029", "\u0085", "\u007f"):
        assert raw not in text
    assert not any(ord(character) < 0x20 for character in text)

    def refuse(name: str) -> NoReturn:
        raise AssertionError(f"{name} is no JSON")

    def check_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        assert keys == sorted(set(keys))
        return dict(pairs)

    fields = json.loads(text, parse_constant=refuse, object_pairs_hook=check_keys)
    assert isinstance(fields, dict)
    return fields


def check_frozen(value: Any) -> None:
    if isinstance(value, dict):
        assert type(value) is FrozenDict
        for key, item in value.items():
            assert type(key) is str
            check_frozen(item)
    elif isinstance(value, tuple):
        assert type(value) is tuple
        for item in value:
            check_frozen(item)
    else:
        assert value is None or type(value) in (str, int, float, bool)


# --- what JSON holds ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -1,
        INT_MAX,
        -INT_MAX,
        0.0,
        1.5,
        1e300,
        5e-324,
        1e16,
        "",
        "plain",
        "\0",
        "\x1f\x7f\x80\x85\x9f",
        "a\u2028b\u2029c\u0085d\u007f",
        "line\nfeed\rreturn\ttab",
        "\ufeffbom\uffff\ufffe",
        "e\u0301 é \U0001f600 \U0010ffff",
        '"quoted" \\ back \\u2028 \\n',
        "x" * MEBIBYTE,
        "\u2028" * 100_000,
        (),
        (1, (2, (3,))),
    ],
    ids=map(str, count()),
)
def test_json_values_are_kept(value: Any) -> None:
    kept = keep(value)
    assert kept == value
    assert type(kept) is type(value)


def test_minus_zero_keeps_its_sign() -> None:
    assert math.copysign(1, keep(-0.0)) == -1


def test_lists_become_tuples_and_mappings_sorted() -> None:
    assert keep([1, [2]]) == (1, (2,))
    assert list(keep({"b": 1, "a": 2, "\u2028": 3, "B": 4})) == ["B", "a", "b", "\u2028"]
    assert keep({}) == FrozenDict()
    assert keep({"": {"": ""}}) == {"": {"": ""}}
    for mapping in (OrderedDict(b=1, a=2), types.MappingProxyType({"b": 1, "a": 2}), UserDict({"b": 1, "a": 2})):
        assert keep(mapping) == {"a": 2, "b": 1}


def test_a_key_may_be_any_clean_text() -> None:
    keys = ("\0", "\n", "\u2028", "\u0085", "\x7f", "é", "\U0001f600", '"', "k" * 100_000)
    assert keep(dict.fromkeys(keys, 1)) == dict.fromkeys(keys, 1)


# --- what it does not hold ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "substitute"),
    [
        (math.nan, {"$float": "nan"}),
        (math.inf, {"$float": "inf"}),
        (-math.inf, {"$float": "-inf"}),
        (2**53, {"$int": "9007199254740992"}),
        (-(2**53), {"$int": "-9007199254740992"}),
        (2**64, {"$int": "18446744073709551616"}),
        ("a\ud800b", {"$text": "a\\ud800b"}),
        ("\udfff", {"$text": "\\udfff"}),
        (b"", {"$bytes": ""}),
        (b"\0\xff", {"$bytes": "AP8="}),
        (bytearray(b"a"), {"$bytes": "YQ=="}),
        (memoryview(b"abcd")[::2], {"$bytes": "YWM="}),
        (set(), {"$set": ()}),
        ({3, 1, 2}, {"$set": (1, 2, 3)}),
        (frozenset({"b", "a"}), {"$set": ("a", "b")}),
        ({"b": 1}.keys(), {"$set": ("b",)}),
        ({1: "a"}, {"$map": ((1, "a"),)}),
        ({None: 1, "b": 2}, {"$map": ((None, 1), ("b", 2))}),
        ({(1, 2): 3}, {"$map": (((1, 2), 3),)}),
        ({"\ud800": 1}, {"$map": (({"$text": "\\ud800"}, 1),)}),
        ({True: 1}, {"$map": ((True, 1),)}),
        ({b"a": 1}, {"$map": (({"$bytes": "YQ=="}, 1),)}),
        (decimal.Decimal("1.10"), {"$decimal": "1.10"}),
        (decimal.Decimal("sNaN"), {"$decimal": "sNaN"}),
        (deque([1]), {"$object": "collections.deque", "text": "deque([1])"}),
        (1j, {"$object": "builtins.complex", "text": "1j"}),
        (UserString("a"), {"$object": "collections.UserString", "text": "a"}),
    ],
    ids=map(str, count()),
)
def test_other_values_become_marked_substitutes(value: Any, substitute: Any) -> None:
    """What JSON cannot hold becomes a dictionary whose key says what it was."""
    assert keep(value) == substitute
    assert keep([value]) == (substitute,)
    assert keep({"k": value}) == {"k": substitute}
    assert type(keep(value)) is FrozenDict


def test_a_huge_integer_is_kept_in_hexadecimal() -> None:
    huge = 10**5000
    for value in (huge, -huge):
        assert int(keep(value)["$int"], 16) == value


def test_a_huge_integer_survives_digit_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is kept although the interpreter refuses to write that many digits."""
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        for value in (10**600, 10**639, 10**640, 10**641, 10**4300):
            text = keep(value)["$int"]
            assert int(text, 16 if text.startswith("0x") else 10) == value
    finally:
        sys.set_int_max_str_digits(before)


def test_standard_types_become_standard_text() -> None:
    """These are times, ids, paths and enumerations."""

    class Colour(enum.Enum):
        RED = "red"
        ODD = ("a", 1)

    class Word(enum.StrEnum):
        YES = "yes"

    class Level(enum.IntEnum):
        LOW = 1

    zone = dt.timezone(dt.timedelta(hours=2))
    assert keep(dt.datetime(2026, 11, 21, 11, 30, 0, 5, zone)) == "2026-11-21T09:30:00.000005Z"
    assert keep(dt.datetime(2026, 11, 21, 11, 30)) == "2026-11-21T11:30:00"  # noqa: DTZ001 - naive is what is tested
    assert keep(dt.date(2026, 11, 21)) == "2026-11-21"
    assert keep(dt.time(11, 30)) == "11:30:00"
    assert keep(uuid.UUID(int=1)) == "00000000-0000-0000-0000-000000000001"
    assert keep(pathlib.PurePosixPath("/a/b")) == "/a/b"
    assert keep(pathlib.PurePosixPath("/\udcff")) == {"$text": "/\\udcff"}
    assert keep(Colour.RED) == "red"
    assert keep(Colour.ODD) == ("a", 1)
    assert (keep(Word.YES), type(keep(Word.YES))) == ("yes", str)
    assert (keep(Level.LOW), type(keep(Level.LOW))) == (1, int)


def test_an_impossible_time_zone_is_a_substitute() -> None:
    """A time that no time zone can express."""
    first = dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=2)))
    assert keep(first) == {"$object": "datetime.datetime", "error": "OverflowError"}


def test_objects_with_fields_become_their_fields() -> None:
    @attrs.define
    class ByAttrs:
        b: int
        a: Any
        _hidden: int = 0

    @dataclasses.dataclass
    class ByDataclass:
        b: int
        a: Any

    class ByPydantic:
        """As pydantic's models look from outside."""

        model_fields: ClassVar[dict[str, object]] = {"b": object(), "a": object()}

        def __init__(self, b: int, a: Any) -> None:
            self.b, self.a = b, a

    pair = namedtuple("pair", "b a")  # noqa: PYI024 - untyped is what is tested
    for made in (ByAttrs(1, {2}), ByDataclass(1, {2}), ByPydantic(1, {2})):
        assert keep(made) == {"a": {"$set": (2,)}, "b": 1}
    assert keep(pair(1, 2)) == (1, 2)
    assert keep(ByAttrs)["$object"] == "builtins.type"


def test_subclasses_count_as_their_json_type() -> None:
    """What they override does not count."""

    class Text(str):
        __slots__ = ()

        def __str__(self) -> str:
            raise ValueError

        __repr__ = __str__

        def __len__(self) -> int:
            return 0

    class Number(int):
        def __pos__(self) -> int:
            return 5

        def __str__(self) -> str:
            return "not a number"

    class Real(float):
        def __pos__(self) -> float:
            return 5.0

    class Items(list[int]):
        pass

    for value, base in ((Text("a\u2028"), "a\u2028"), (Number(2), 2), (Real(1.5), 1.5), (Items([1]), (1,))):
        kept = keep(value)
        assert (kept, type(kept)) == (base, type(base))
    assert keep(Number(2**60)) == {"$int": str(2**60)}
    assert keep(Real("nan")) == {"$float": "nan"}
    assert keep({Text("a"): 1}) == {"$map": (("a", 1),)}


# --- what does harm -------------------------------------------------------------------------------------------------


class Raising:
    def __str__(self) -> str:
        raise RuntimeError("I am nobody's text")


class EvilDict(dict[str, Any]):
    def items(self) -> NoReturn:
        raise RuntimeError("no items")


class LyingDict(dict[str, Any]):
    def items(self) -> Any:
        return [1, 2]


class EvilMapping(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


class EvilClass:
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("no class")


class EvilPath:
    def __fspath__(self) -> str:
        raise RuntimeError("no path")


class NoText:
    def __str__(self) -> Any:
        return 5  # noqa: PLE0307 - that is what is wrong with it


@dataclasses.dataclass
class EvilField:
    a: int = 1

    def __getattribute__(self, name: str) -> Any:
        if name == "a":
            raise RuntimeError("no a")
        return super().__getattribute__(name)


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


def test_any_field_may_hold_a_substitute() -> None:
    made = stamped(ToolCompleted(tool="\ud800", call_id="c", duration_ms=math.nan))
    assert codec.decode(codec.encode(made)) == made
    assert made.tool == {"$text": "\\ud800"}  # type: ignore[attr-defined]
    assert made.duration_ms == {"$float": "nan"}  # type: ignore[attr-defined]


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


def check_weight(value: Any) -> None:
    freezer = Freezer(bytes_max=sys.maxsize)
    size = len(codec.encode_fields({"": freezer.freeze(value)})) - len(b'{"":}')
    assert freezer.weight - DEPTH_MAX - 1 <= size <= 6 * freezer.weight


# --- anything at all ------------------------------------------------------------------------------------------------

texts = st.text(st.characters(), max_size=8)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    texts,
    st.sampled_from(["\u2028", "\u0085", "\x7f", "\0", "\ud800", "a\ud800\udc00b", "$int", "line\nfeed"]),
    st.binary(max_size=8),
    st.dates(),
    st.datetimes(timezones=st.just(dt.UTC)),
    st.times(),
    st.uuids(),
    st.decimals(),
    st.complex_numbers(),
    st.integers(600, 5000).map(lambda exponent: 10**exponent),
    st.sampled_from([2**53, -(2**64)]),
    st.sampled_from([Raising, EvilDict, EvilMapping, EvilPath, NoText, EvilField]).map(lambda cls: cls()),
)
hashables = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts, st.binary(max_size=4))
payloads = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(texts, inner, max_size=4),
        st.dictionaries(hashables, inner, max_size=3),
        st.sets(hashables, max_size=4),
        st.builds(EnvelopePosted, envelope_id=texts, content=inner, recipients=st.just(())),
    ),
    max_leaves=20,
)


@given(payloads)
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
def test_any_value_survives_the_whole_way(value: Any) -> None:
    """The way is stamping, encoding and decoding."""
    kept = keep(value)
    assert keep(kept) == kept
    check_weight(value)


@given(st.dictionaries(texts, payloads, max_size=4), st.one_of(st.none(), texts), st.one_of(st.none(), payloads))
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_any_header_and_any_data_are_kept(data: dict[str, Any], tenant: str | None, actor: Any) -> None:
    made = stamped(GenericEvent(kind="user.came", data=data, tenant=tenant, actor=actor))
    assert isinstance(made, GenericEvent)
    fields = check_line(codec.encode(made))
    assert ("tenant" in fields) == (tenant is not None)
    if type(made.data) is FrozenDict and type(made.actor) in (str, type(None), FrozenDict):
        assert codec.decode(codec.encode(made)) == made


# --- records made by hand -------------------------------------------------------------------------------------------

plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=3)
nested = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner) | st.sets(st.integers())
    ),
)


@pytest.mark.slow
@given(st.dictionaries(st.text(), nested))
def test_a_record_is_the_same_canonical_or_plain(record: dict[str, Any]) -> None:
    """A plain record is not made canonical, and gives the same line as if it were."""
    body = codec.encode_record(record)
    assert body == codec.encode_fields(canonical(record))
    check_line(body)


def test_only_plain_values_pass_as_plain() -> None:
    assert is_plain({"a": 1, "b": ["x", 2.5, None], "c": {"d": True}, "e": ()})
    hostile: list[Any] = [math.nan, 2**53, "\ud800", b"x", {1: 2}, {"a": math.inf}, [{1}], {"\ud800": 1}, OrderedDict()]
    for value in [*hostile, "x" * 2000, list(range(100)), [[[1]]]]:
        assert not is_plain({"key": value}), value
    assert not is_plain({str(number): number for number in range(100)})
    shared: Any = ["x"]
    for _ in range(100):
        shared = [shared] * 60
    assert not is_plain({"bomb": shared})


def test_a_large_record_is_refused() -> None:
    with pytest.raises(EventTooLarge):
        codec.encode_record({"text": "x" * 2000}, bytes_max=1000)
