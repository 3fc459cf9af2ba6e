"""An event is never lost because of its payload: stamping makes marked substitutes of what JSON cannot hold."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import math
import pathlib
import sys
import types
import uuid
from collections import OrderedDict, UserDict, UserString, deque, namedtuple
from itertools import count
from typing import Any, ClassVar

import attrs
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from hubwire import GenericEvent, Hub, codec
from hubwire.errors import EventTooLarge
from hubwire.events import EnvelopePosted, FrozenDict, canonical
from hubwire.events._canonical import INT_MAX
from hubwire.events._plain import is_plain
from support.payloads import (
    MEBIBYTE,
    EvilDict,
    EvilField,
    EvilMapping,
    EvilPath,
    NoText,
    Raising,
    check_line,
    check_weight,
    keep,
    stamped,
)

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


@pytest.mark.slow
@given(payloads)
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
def test_any_value_survives_the_whole_way(value: Any) -> None:
    """The way is stamping, encoding and decoding."""
    kept = keep(value)
    assert keep(kept) == kept
    check_weight(value)


@given(st.dictionaries(texts, payloads, max_size=4), st.one_of(st.none(), texts), st.one_of(st.none(), texts))
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_any_header_and_any_data_are_kept(data: dict[str, Any], tenant: str | None, actor: str | None) -> None:
    made = stamped(GenericEvent(kind="user.came", data=data, tenant=tenant, actor=actor))
    assert isinstance(made, GenericEvent)
    fields = check_line(codec.encode(made))
    assert ("tenant" in fields) == (tenant is not None)
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


class _List(list[Any]):
    pass


def _in_itself() -> list[Any]:
    cycle: list[Any] = [1]
    cycle.append(cycle)
    return cycle


LISTS: dict[str, Any] = {
    "empty": [],
    "plain": [1, 2.5, "x", None, True],
    "a tuple": (1, (2, 3)),
    "deep": [1, [2, [3, [4, [5]]]]],
    "of objects": [{"b": 1, "a": [1, 2]}, {"c": {"d": ()}}],
    "no numbers": [float("nan"), float("inf"), 2**60],
    "no text": ["\ud800", b"bytes", {1: 2}],
    "a subclass": _List([1, 2]),
    "with a set": [{1, 2}],
    "long": list(range(1000)),
    "in itself": _in_itself(),
}


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_is_frozen_as_any_payload(name: str) -> None:
    """The quick way for plain ones ends where the thorough one does; the caller's own list is not shared."""
    given = LISTS[name]
    async with Hub() as hub:
        boss, worker = await hub.agents.register("boss"), await hub.agents.register("worker")
        channel = await hub.channels.open([boss, worker])
        event = await channel.post(boss, given)
        assert event.content == canonical(given)
        assert type(event.content) is type(canonical(given))
        assert codec.decode(codec.encode(event)) == event
