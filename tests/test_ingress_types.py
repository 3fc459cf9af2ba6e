"""What is acknowledged replays: an event is stamped as one that decodes to an equal event of its class, or refused."""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
import math
import pathlib
import typing
import uuid
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from hubwire import Event, GenericEvent, codec, event
from hubwire.errors import CallerError, EventInvalid
from hubwire.events import FrozenDict, evolve
from hubwire.events._event import own_fields
from support.hostile import (
    HAS_NUMPY,
    HEADER,
    HOSTILE,
    KINDS,
    TRACE,
    Colour,
    EvilInt,
    EvilText,
    Level,
    OfEvilMeta,
    Shaped,
    View,
    Word,
    events_of,
    hostile,
    named,
)
from support.payloads import check_line, stamped


def check_replays(made: Event) -> Event:
    """See that a stamped event is read back as an equal one of its class; return that."""
    body = codec.encode(made)
    check_line(body)
    read = codec.decode(body)
    assert type(read) is type(made)
    assert read == made
    assert codec.encode(read) == body
    assert codec.encode(evolve(read)) == body
    return read


def shaped(**fields: Any) -> Any:
    made = stamped(Shaped(**{"text": "t"} | fields))
    check_replays(made)
    return made


# --- every kind -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("cls", KINDS, ids=lambda cls: cls.__name__)
@given(data=st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_every_kind_is_read_back_equal(cls: type[Event], data: st.DataObject) -> None:
    """Whatever values of their types its fields have, those that JSON cannot hold too."""
    made = stamped(data.draw(events_of(cls)))
    check_replays(made)
    check_replays(stamped(made))
    assert evolve(stamped(made), seq=0) == evolve(made, seq=0)


@pytest.mark.slow
@pytest.mark.parametrize("cls", KINDS, ids=lambda cls: cls.__name__)
def test_any_value_is_fitted_or_refused(cls: type[Event]) -> None:
    """Every field of every kind is given every hostile value, and once those of the context."""
    hints = typing.get_type_hints(cls)
    fitting = {"text": "t"} if cls is Shaped else {name: FITTING.get(hints[name]) for name in own_fields(cls)}
    for name in (*own_fields(cls), *(HEADER if cls is Shaped else ())):
        for value in hostile():
            made = fit_or_refuse(cls(**fitting | {name: value}), name)
            if made is not None:
                check_replays(made)
                assert name == "implied" or has_type(getattr(made, name), hints.get(name)), (name, named(value))


def fit_or_refuse(event: Event, field: str) -> Event | None:
    """Return the event stamped, or None if it was refused because of this field."""
    try:
        return stamped(event)
    except EventInvalid as error:
        refused = error
    assert (refused.kind, refused.field) == (event.kind, field)
    assert len(str(refused)) < 600
    return None


FITTING: dict[Any, Any] = {
    str: "x",
    int: 1,
    float: 1.5,
    bool: True,
    tuple[str, ...]: (),
    tuple[int, ...]: (),
    tuple[Any, ...]: (),
    Mapping[str, Any]: {},
}


def has_type(value: Any, hint: Any) -> bool:
    """Tell whether a value is of a type, as far as its outermost class says."""
    simple: dict[Any, Any] = {str: str, str | None: str, int: int, int | None: int, bool: bool}
    simple |= {float: (int, float), float | None: (int, float)}
    if hint not in simple or value is None:
        return value is not None or hint not in (str, int, bool, float)
    return type(value) is simple[hint] or (isinstance(simple[hint], tuple) and type(value) in simple[hint])


def test_nothing_hostile_escapes_generic_events() -> None:
    for value in hostile():
        for data in ({"a": value}, {"a": [value]}, {"a": {"b": {"c": {"d": value}}}}, value):
            made = fit_or_refuse(GenericEvent(kind="user.came", data=data), "data")
            if made is not None:
                check_replays(made)
            else:
                assert data is value


# --- what fits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "given", "held"),
    [
        ("text", Word.YES, "yes"),
        ("text", EvilText("a\u2028"), "a\u2028"),
        ("text", uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("text", dt.date(2026, 1, 2), "2026-01-02"),
        ("text", pathlib.PurePosixPath("/a/b"), "/a/b"),
        ("text", "req-\udcff", "req-\\udcff"),
        ("user", "u\ud800", "u\\ud800"),
        ("implied", None, None),
        ("number", Level.LOW, 1),
        ("number", EvilInt(5), 5),
        ("number", 2**53, 2**53),
        ("number", -(10**700), -(10**700)),
        ("real", 3, 3),
        ("real", 2**60, float(2**60)),
        ("real", math.inf, math.inf),
        ("flag", True, True),
        ("names", ["a", "b"], ("a", "b")),
        ("names", [Word.YES, "\ud800"], ("yes", "\\ud800")),
        ("pair", [1, "x"], (1, "x")),
        ("many", [2**60, None], (2**60, None)),
        ("items", [1, 2.5, -math.inf], (1, 2.5, -math.inf)),
        ("deep", [["a"], ["b", "c"]], (("a",), ("b", "c"))),
        ("details", {"b": 1, "a": {2}}, {"a": {"$set": (2,)}, "b": 1}),
        ("details", View(name="v", parts=("p",)), {"name": "v", "parts": ("p",)}),
        ("details", {1: "a"}, {"$map": ((1, "a"),)}),
        ("table", {"a": 2**60}, {"a": 2**60}),
        ("labels", {"a": "\ud800"}, {"a": "\\ud800"}),
        ("level", 3, 3),
        ("either", 2**60, 2**60),
        ("number_or_more", [math.inf], (math.inf,)),
        ("text_or_mapping", "\ud800", "\\ud800"),
        ("text_or_mapping", {"a": 1}, {"a": 1}),
        ("raw", b"%PDF", {"$bytes": "JVBERg=="}),
        ("when", dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "2026-01-02T00:00:00.000000Z"),
        ("money", decimal.Decimal("1.10"), {"$decimal": "1.10"}),
        ("colour", Colour.ODD, ("a", 1)),
        ("view", View(name="v"), {"name": "v", "parts": ()}),
        ("metadata", {"b": 1, "a": 2}, {"a": 2, "b": 1}),
        ("session_id", uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("traceparent", TRACE, TRACE),
    ],
    ids=map(str, itertools.count()),
)
def test_values_are_fitted_without_loss(field: str, given: Any, held: Any) -> None:
    value = getattr(shaped(**{field: given}), field)
    assert value == held
    assert type(value) is type(held) or type(value) is FrozenDict


def test_a_nan_is_equal_to_itself() -> None:
    made = shaped(real=math.nan, items=[math.nan, 1.0])
    assert math.isnan(made.real)
    assert made == codec.decode(codec.encode(made))
    assert b'"real":{"$float":"nan"}' in codec.encode(made)


@pytest.mark.parametrize(
    ("field", "given", "wanted"),
    [
        ("text", 5, "takes text, and was given 5"),
        ("text", None, "takes text, and was given None"),
        ("text", b"x", "takes text, and was given b'x'"),
        ("number", "42", "takes a whole number, and was given '42'"),
        ("number", True, "takes a whole number, and was given True"),
        ("number", 4.0, "takes a whole number, and was given 4.0"),
        ("real", "1.5", "takes a number, and"),
        ("real", False, "takes a number, and"),
        ("real", 2**53 + 1, "takes a number, and"),
        ("flag", 1, "takes True or False, and was given 1"),
        ("maybe", 5, "takes text or None, and was given 5"),
        ("nothing", 5, "takes None, and"),
        ("names", "abc", "takes a tuple or a list of text, and was given 'abc'"),
        ("names", ["a", 5], "takes a tuple or a list of text, and"),
        ("names", {"a", "b"}, "takes a tuple or a list of text, and"),
        ("pair", (1, 2), "takes a tuple or a list of a whole number, text or None"),
        ("pair", (1,), "takes a tuple"),
        ("deep", [["a", 5]], "takes a tuple or a list of a tuple or a list of text"),
        ("details", "note", "takes a mapping or None, and"),
        ("details", b"x", "takes a mapping or None, and"),
        ("details", ["a"], "takes a mapping or None, and"),
        ("table", {"a": "x"}, "takes a mapping whose values are a whole number or None"),
        ("labels", {"a": 5}, "takes a mapping whose values are text"),
        ("level", "dry", "takes one of 'low', 'high', 3, and was given 'dry'"),
        ("level", 3.0, "takes one of"),
        ("either", 1.5, "takes a whole number or text or None"),
        ("raw", "text", "takes of the class bytes"),
        ("colour", "blue", "Colour"),
        ("when", 5, "datetime or None"),
        ("view", "v", "View or None"),
        ("metadata", "note", "field 'metadata' takes a mapping or None, and was given 'note'; give it such"),
        ("metadata", ["urgent"], "takes a mapping or None"),
        ("correlation_id", 5, "takes text or None"),
        ("occurred_at", 5, "takes text or None"),
        ("severity", {}, "takes one of 'info', 'warning', 'error', or None, and was given {}"),
        ("severity", "critical", "takes one of 'info', 'warning', 'error', or None, and was given 'critical'"),
        ("severity", Colour.RED, "takes one of 'info'"),
        ("outcome", "succeeded", "takes one of 'success', 'failure', 'denied', or None, and was given 'succeeded'"),
        ("traceparent", "x", "W3C Trace Context"),
        ("tenant", OfEvilMeta(), "takes text or None"),
    ],
    ids=map(str, itertools.count()),
)
def test_other_values_are_refused(field: str, given: Any, wanted: str) -> None:
    """The message says what, which field, what it takes, and what to do."""
    with pytest.raises(EventInvalid) as caught:
        shaped(**{field: given})
    assert wanted in str(caught.value)
    assert "'hostile_tests.shaped' is refused" in str(caught.value)
    assert (caught.value.kind, caught.value.field) == ("hostile_tests.shaped", field)
    assert isinstance(caught.value, CallerError)


@pytest.mark.skipif(not HAS_NUMPY, reason="numpy is not installed")
def test_numbers_of_numpy_become_numbers() -> None:
    np: Any = import_module("numpy")

    made = shaped(
        number=np.int64(3), real=np.float32(0.5), flag=np.bool_(True), text=np.str_("n"), table={"a": np.int8(1)}
    )
    assert (made.number, made.real, made.flag, made.text, made.table) == (3, 0.5, True, "n", {"a": 1})
    assert [type(each) for each in (made.number, made.real, made.flag, made.text)] == [int, float, bool, str]
    assert shaped(anything={"a": np.int64(3), "b": [np.float64("nan")]}).anything == {"a": 3, "b": ({"$float": "nan"},)}
    assert shaped(number=np.uint64(2**64 - 1)).number == 2**64 - 1
    for wrong in (
        {"number": np.float64(3)},
        {"flag": np.int64(1)},
        {"number": np.array([3])},
        {"names": np.array(["a"])},
    ):
        with pytest.raises(EventInvalid):
            shaped(**wrong)


def test_a_field_may_have_any_class() -> None:
    """A converter and a validator see the value that is given, not what is made of it."""

    def positive(_: object, attribute: attrs.Attribute[Any], value: decimal.Decimal) -> None:
        assert isinstance(value, decimal.Decimal)
        assert value > 0, attribute.name

    @event("ingress_tests.priced")
    class Priced(Event):
        price: decimal.Decimal = attrs.field(validator=positive)
        times: int = attrs.field(default=1, converter=lambda number: number * 2)

    made = stamped(Priced(price=decimal.Decimal(5), times=2))
    read: Any = codec.decode(codec.encode(made))
    assert type(read) is Priced
    assert read == made
    assert read.times == 4


def test_a_refusal_shows_no_hostile_text() -> None:
    """The text of an object is its own to write: it may raise, be endless, or say what is not true."""
    wrong: Any
    for wrong in hostile():
        if wrong is None:
            continue
        with pytest.raises(EventInvalid) as caught:
            stamped(Shaped(text="t", nothing=wrong))
        assert len(str(caught.value)) < 400


def test_there_are_many_hostile_values() -> None:
    assert len(HOSTILE) > 100
