"""What is compiled for each kind: how it is made, and how the hub stamps what it has made itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import attrs
import pytest

from hubwire import Event, Hub, event
from hubwire.context import EMPTY, Context
from hubwire.errors import EventInvalid, EventTooLarge
from hubwire.events import EnvelopePosted, FrozenDict, TurnStarted
from hubwire.events._canonical import Freezer
from hubwire.events._declare import declared_kinds, kind_class
from hubwire.events._event import evolve, own_fields
from hubwire.events._fit import FieldType, Misfit, types_of
from hubwire.events._making import event_maker, maker
from hubwire.events._stamp import stamp, stamp_own

AT = "2026-11-21T09:30:00.000001Z"
CONTEXTS = {
    "none": EMPTY,
    "correlated": Context(tenant="acme", correlation_id="c", causation_id="because", depth=3, traceparent=None),
    "placed": Context(agent_id="a", session_id="s", turn_id="t", channel_id="ch", task_id="ta"),
}


class Colour(StrEnum):
    RED = "red"


VALUES = [
    "text", "ünïcode " * 60, 3, 2**60, 2.5, float("nan"), True, ("a", "b"), ["a", "b"], ("a", 1), tuple("abc") * 40,
    {"b": [1, {"c": None}], "a": 2}, {"a": "b"}, {}, Colour.RED, AT, None, object,
]  # fmt: skip


@event("in_place.odd")
class Odd(Event):
    """Its defaults are not what fields hold."""

    text: str = "x" * 300
    number: float = float("nan")
    texts: tuple[str, ...] = tuple("abc") * 40
    colour: str = Colour.RED
    anything: Any = 2**60


def fitting(type_: FieldType) -> object:
    """Return a value that a field takes as it is."""
    candidates: tuple[object, ...] = ("text", 1, 1.5, True, (), {})
    for value in candidates:
        try:
            if type_.fit(Freezer(1 << 20), value) == value:
                return value
        except Misfit:
            continue
    return type_.hint.__args__[0]  # one of a few words


def stampings(cls: Any, values: dict[str, object], context: Context) -> tuple[Any, Any, Any]:
    """Return a copy and the event itself, stamped; or what each was refused with."""
    given = cls(**values)
    done: list[Any] = []
    for way in (stamp, stamp_own):
        try:
            done.append(way(given, 7, "id", AT, "hub", context, 1 << 20))
        except EventInvalid as error:
            done.append(str(error))
    return given, done[0], done[1]


@pytest.mark.slow
@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS)
def test_what_is_stamped_in_place_is_equal_to_a_stamped_copy(context: Context) -> None:
    outcomes: Counter[type] = Counter()
    for kind in declared_kinds():
        cls: Any = kind_class(kind)
        if not cls.__module__.startswith("hubwire.") and cls is not Odd:
            continue
        types = types_of(cls)
        needed = {each.name: each.default for each in attrs.fields(cls) if each.init and each.name in types}
        right = {name: fitting(types[name]) for name, default in needed.items() if default is attrs.NOTHING}
        for name in types:
            for value in VALUES:
                given, copy, own = stampings(cls, right | {name: value}, context)
                assert type(given) is cls
                outcomes[type(copy)] += 1
                if isinstance(copy, str):
                    assert own == copy
                    continue
                assert own is given
                assert repr(own) == repr(copy)
                assert own._weight == copy._weight
                assert type(getattr(own, name)) is type(getattr(copy, name))
    assert min(outcomes[str], outcomes[Odd]) > 10


def test_an_event_that_cannot_be_stamped_in_place_is_frozen_afterwards() -> None:
    large = EnvelopePosted(envelope_id="e", content=[{"text": "x" * 9_000, "odd": {1}}], recipients=())
    with pytest.raises(EventTooLarge, match="payload"):
        stamp_own(large, 7, "id", AT, "hub", EMPTY, 1_000)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        large.seq = 8  # type: ignore[misc]
    with pytest.raises(EventInvalid, match="traceparent"):
        stamp_own(TurnStarted(traceparent="odd"), 7, "id", AT, "hub", EMPTY, 1_000)


async def test_an_event_that_a_program_emits_is_not_touched() -> None:
    async with Hub() as hub:
        given = TurnStarted(turn_id="t", metadata={"b": [1], "a": 2})
        first, second = await hub.emit(given), hub.emit_nowait(given)
        assert hub.offer(given)
        third = await hub.acting_as(await hub.agents.register("actor")).emit(given)
    assert (first.seq, second.seq, third.seq > second.seq) == (given.seq + first.seq + 1, first.seq + 1, True)
    assert (given.seq, given.id, given.at, given.hub) == (-1, "", "", "")
    assert given.metadata == {"b": [1], "a": 2}
    assert type(given.metadata) is dict


# --- how they are made ----------------------------------------------------------------------------------------------


@event("in_place.named")
class Named(Event):
    """Its fields have the names that a compiled function could use itself."""

    frozen: int
    set_class: str = "s"
    open_class: tuple[str, ...] = ()
    value: float = 1.5
    kind_: bool = False
    new: Mapping[str, Any] = attrs.field(factory=dict)
    event: str | None = None
    context: str = "c"
    default_value: int = 3


@event("in_place.computed")
class Computed(Event):
    """What needs more than fields that are set."""

    low: int = attrs.field(converter=int)
    high: int = attrs.field(validator=attrs.validators.gt(0))
    middle: float = attrs.Factory(lambda self: (self.low + self.high) / 2, takes_self=True)


@event("in_place.counted")
class Counted(Event):
    """It looks at itself when it is made."""

    count: int

    def __attrs_post_init__(self) -> None:
        if self.count < 0:
            raise ValueError("less than nothing")


def test_fields_may_have_any_names() -> None:
    first, second = Named(frozen=1), Named(frozen=1)
    first_new: Any = first.new
    first_new["x"] = 1
    assert second.new == {}
    given = Named(frozen=2, new={"a": 1}, event="e", kind_=True, default_value=9)
    for done in (stamp(given, 7, "id", AT, "hub", EMPTY, 9_000), stamp_own(given, 7, "id", AT, "hub", EMPTY, 9_000)):
        assert [getattr(done, name) for name in own_fields(Named)] == [
            2,
            "s",
            (),
            1.5,
            True,
            FrozenDict({"a": 1}),
            "e",
            "c",
            9,
        ]


def test_converters_validators_and_what_comes_after_are_heeded() -> None:
    low: Any = "3"
    assert Computed(low=low, high=5).middle == 4.0
    with pytest.raises(ValueError, match="high"):
        Computed(low=1, high=0)
    assert Computed(low=1, high=5, middle=2.0).middle == 2.0
    assert Counted(count=4).count == 4
    with pytest.raises(ValueError, match="less than nothing"):
        Counted(count=-4)


@pytest.mark.parametrize("arguments", [{}, {"frozen": 1, "frosen": 2}], ids=["missing", "unknown"])
def test_wrong_arguments_are_refused_by_the_name_of_the_kind(arguments: Any) -> None:
    for _ in range(2):  # the first time it is compiled
        with pytest.raises(TypeError, match=r"Named\.__init__\(\).*(frozen|frosen)"):
            Named(**arguments)
    with pytest.raises(TypeError, match="positional"):
        Named(*[1])  # type: ignore[call-arg]


MAKERS = [
    (EnvelopePosted, {"envelope_id": "e", "content": "c", "recipients": ("a",), "hops": 1, "topic": None}),
    (TurnStarted, {"agent_id": "a", "turn_id": "t", "envelope_id": "e"}),
    (Odd, {"text": "y", "anything": None}),
]


@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS)
@pytest.mark.parametrize(("cls", "values"), MAKERS, ids=lambda each: getattr(each, "__name__", ""))
def test_what_a_maker_makes_is_what_its_class_makes(cls: Any, values: dict[str, Any], context: Context) -> None:
    """Also when it is stamped, in place or as a copy, and whatever the fields hold that it is given."""
    make = event_maker(cls, *values)
    for name, right in values.items():
        for value in [right, *VALUES]:
            given = values | {name: value}
            made, called = make(**given), cls(**given)
            assert type(made) is cls
            assert made == called
            assert repr(made) == repr(called)
            _, *stamped = stampings(cls, given, context)
            copy, own = stamped_twice(made, context)
            assert [repr(copy), repr(own)] == list(map(repr, stamped))
            assert not isinstance(own, Event) or own._weight == copy._weight >= 0


def stamped_twice(made: Event, context: Context) -> tuple[Any, Any]:
    done: list[Any] = []
    for way in (stamp, stamp_own):
        try:
            done.append(way(made, 7, "id", AT, "hub", context, 1 << 20))
        except EventInvalid as error:
            done.append(str(error))
    return done[0], done[1]


def test_what_a_maker_makes_is_frozen() -> None:
    made = event_maker(TurnStarted, "turn_id")(turn_id="t")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        made.seq = 8  # type: ignore[misc]
    assert evolve(made, turn_id="u") == TurnStarted(turn_id="u")


def test_what_is_known_is_not_looked_at() -> None:
    value: Any = 3
    make = event_maker(TurnStarted, "turn_id", "agent_id", known=("turn_id",))
    assert stamp_own(make(turn_id=value, agent_id="a"), 7, "id", AT, "hub", EMPTY, 1 << 20).turn_id == value
    with pytest.raises(EventInvalid, match="agent_id"):
        stamp_own(make(turn_id="t", agent_id=value), 7, "id", AT, "hub", EMPTY, 1 << 20)


def test_a_maker_makes_objects_of_any_class_of_attrs() -> None:
    """Frozen ones, such as refuse to have some fields set, and those that set some when they are made."""

    @attrs.frozen
    class Frozen:
        number: int
        numbers: list[int] = attrs.Factory(list)

    @attrs.define(on_setattr=attrs.setters.frozen)
    class Kept:
        _number: int
        twice: int = attrs.field(init=False)

        def __attrs_post_init__(self) -> None:
            object.__setattr__(self, "twice", 2 * self._number)

    frozen = maker(Frozen, "number")
    assert frozen(3) == frozen(number=3) == Frozen(3)
    assert frozen(3).numbers is not frozen(3).numbers
    kept = maker(Kept, "number")(3)
    assert (type(kept), kept) == (Kept, Kept(3))
    for made in (frozen(3), kept):
        with pytest.raises(AttributeError):
            made.number = 4  # type: ignore[misc, union-attr]
    with pytest.raises(TypeError):
        frozen(3, numbers=[])
