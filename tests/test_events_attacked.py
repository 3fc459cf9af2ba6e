"""Kinds that are declared oddly, events that are made oddly, and what is in them: none of it harms a hub."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

import attrs
import pytest

from hubwire import Event, GenericEvent, Hub, codec, event
from hubwire.errors import ConfigurationError, EventInvalid
from hubwire.events import evolve
from hubwire.events._making import event_maker, maker
from hubwire.stores import MemoryStore

T = TypeVar("T")


@event("attacked.generic")
class Boxed(Event, Generic[T]):
    item: Any
    tags: tuple[str, ...] = ()


@event("attacked.plain")
class Plain(Event):
    count: int
    note: str | None = None
    found: dict[str, int] = attrs.field(factory=dict)


def declared(kind: str, annotations: dict[str, Any], **body: Any) -> type[Any]:
    body |= {"__annotations__": annotations, "__module__": __name__, "__qualname__": "Odd"}
    made: type[Any] = event(kind)(type("Odd", (Event,), body))
    return made


def pickled(one: Event) -> Any:
    return pickle.loads(pickle.dumps(one))  # noqa: S301 - it was made here


# --- declarations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["self", "class", "None", "a b", "a=1): pass\nimport os", "ſ", "ﬁeld", "", "1a"])
def test_a_name_that_is_no_argument_is_refused(name: str) -> None:
    """At the declaration, and not with the first event."""
    with pytest.raises(ConfigurationError, match="cannot be the name of an argument; rename it"):
        declared("attacked.named", {name: int})


def test_odd_names_that_are_arguments_can_be_used() -> None:
    """Among them those that the compiled code uses itself."""
    names = ["event", "value", "copy", "weight", "freezer", "context", "bytes_max", "cls", "new", "open_class", "é"]
    names += ["mro", "print", "made", "plain", "kind_", "EMPTY", "type_event", "default_event"]
    cls = declared("attacked.odd_names", dict.fromkeys(names, int))
    given = {name: number for number, name in enumerate(names)}
    one = cls(**given)
    assert {name: getattr(one, name) for name in names} == given
    assert attrs.evolve(one, made=5).made == 5


@pytest.mark.parametrize("default", [[], {}, set(), bytearray(), attrs.field(default=[])], ids=repr)
def test_a_default_that_one_event_could_change_for_all_is_refused(default: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"declares tags with one \w+ as the default of all.*attrs.field\(factory="
    ):
        declared("attacked.shared", {"tags": list}, tags=default)


def test_events_with_a_factory_share_nothing() -> None:
    one, other = Plain(count=1), Plain(count=2)
    one.found["x"] = 1
    assert other.found == {}
    assert Plain(count=3).found == {}


def test_an_alias_is_refused() -> None:
    """Records, copies and queries know a field by one name."""
    with pytest.raises(ConfigurationError, match=r"declares count with the alias 'n'.*call the field so"):
        declared("attacked.aliased", {"count": int}, count=attrs.field(alias="n"))
    assert declared("attacked.same_alias", {"count": int}, count=attrs.field(alias="count"))(count=1).count == 1


@pytest.mark.parametrize("method", ["__init__", "__new__", "__setattr__", "__delattr__", "__getattribute__"])
def test_methods_by_which_events_are_made_are_not_declared(method: str) -> None:
    def own(*_: Any, **__: Any) -> None:
        raise AssertionError

    with pytest.raises(ConfigurationError, match=f"defines {method}, but events are also made by copying"):
        declared("attacked.making", {"count": int}, **{method: own})


def test_a_kind_that_is_declared_twice_is_refused_and_the_first_stays() -> None:
    with pytest.raises(ConfigurationError, match=r"'attacked\.plain' is declared by .*Plain already"):
        declared("attacked.plain", {"other": str})
    assert type(codec.decode(codec.encode(evolve(Plain(count=1), seq=1, id="i", at="a", hub="h")))) is Plain


async def test_a_generic_kind_takes_parameters() -> None:
    made = Boxed[int](item=3)
    assert type(made) is Boxed
    async with Hub() as hub:
        stamped = await hub.emit(made)
        assert (await hub.emit(Boxed(item="x"))).item == "x"
    assert codec.decode(codec.encode(stamped)) == stamped
    assert pickled(stamped) == stamped


# --- events ---------------------------------------------------------------------------------------------------------


class Raising:
    """An object that raises what no program catches, whatever it is asked."""

    def __init__(self, error: type[BaseException]) -> None:
        self.__dict__["error"] = error

    def _fail(self, *_: Any) -> Any:
        raise object.__getattribute__(self, "__dict__")["error"]

    __class__ = property(_fail)
    __str__ = __repr__ = __eq__ = __hash__ = __bool__ = __len__ = __iter__ = _fail


class Stop(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError, Stop, SystemExit, GeneratorExit], ids=lambda each: each.__name__)
async def test_an_object_that_raises_is_a_marked_substitute(error: type[BaseException]) -> None:
    """Also what no ``except Exception`` catches: the event is kept, and the hub goes on."""
    store = MemoryStore()
    async with Hub(store) as hub:
        stamped = await hub.emit(GenericEvent(kind="user.noted", data={"odd": Raising(error), "n": 1}))
        assert stamped.data["odd"] == {"$object": f"{__name__}.Raising", "error": error.__name__}
        with pytest.raises(EventInvalid, match="its field 'count' takes a whole number"):
            await hub.emit(Plain(count=Raising(error)))  # type: ignore[arg-type]
        following = await hub.emit(Plain(count=1))
        assert following.seq == stamped.seq + 1
    async with Hub(store) as hub:
        read = await anext(aiter(hub.events(after=stamped.seq - 1)))
        assert read == stamped


async def test_what_was_not_made_by_calling_its_class_is_refused() -> None:
    """It has no fields; a refused event takes no number."""
    async with Hub() as hub:
        before = await hub.emit(Plain(count=1))
        with pytest.raises(
            EventInvalid, match=r"the Plain is refused: it has no \w+, because it was not made by calling"
        ):
            await hub.emit(Plain.__new__(Plain))
        with pytest.raises(ConfigurationError, match="not a kind of event"):
            await hub.emit(GenericEvent.__new__(GenericEvent))
        assert (await hub.emit(Plain(count=2))).seq == before.seq + 1


async def test_an_event_is_the_same_after_each_way_to_copy_it() -> None:
    async with Hub() as hub:
        stamped = await hub.emit(Plain(count=1, found={"a": 1}, metadata={"k": (1, {"x": None})}))
    assert copy.copy(stamped) is copy.deepcopy(stamped) is stamped
    read = pickled(stamped)
    assert read == stamped
    assert hash(read) == hash(stamped)
    assert codec.encode(read) == codec.encode(stamped)
    changed = evolve(stamped, count=2)
    assert (changed.count, stamped.count) == (2, 1)
    assert b'"count":2' in codec.encode(changed)
    for forbidden in ("count", "seq", "new", "__class__"):
        with pytest.raises(AttributeError):
            setattr(stamped, forbidden, 1)
    with pytest.raises(TypeError):
        stamped.found["b"] = 1


async def test_two_hubs_stamp_one_event_each_for_itself() -> None:
    given = Plain(count=1, found={"a": 1})
    async with Hub() as one, Hub() as other:
        await other.emit(Plain(count=0))
        first, second = await one.emit(given), await other.emit(given)
        again = await other.emit(first)
    assert (given.seq, given.hub) == (-1, "")
    assert first.hub != second.hub
    assert second.seq == first.seq + 1
    assert (again.seq, again.hub) == (second.seq + 1, second.hub)
    assert first.id != again.id
    assert b'"hub":"' + second.hub.encode() in codec.encode(again)


# --- threads at the first use ---------------------------------------------------------------------------------------


def in_threads(count: int, work: Callable[[], Any]) -> list[Any]:
    """Return what the work gives in threads that begin together; raise what it raises."""
    together, results = threading.Barrier(count), list[Any]()

    def run() -> None:
        together.wait(10)
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - it is looked at below
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(results) == count
    for each in results:
        if isinstance(each, BaseException):
            raise each
    return results


def test_threads_that_use_a_kind_first_make_equal_events() -> None:
    for number in range(30):
        cls: Any = declared(f"attacked.raced_{number}", {"count": int, "tags": tuple[str, ...]}, tags=("a",))
        made = in_threads(8, partial(cls, count=1))
        assert {type(each) for each in made} == {cls}
        assert all(each == made[0] for each in made)
        with pytest.raises(AttributeError):
            made[0].count = 2


def test_threads_that_use_a_maker_first_make_equal_events() -> None:
    for number in range(30):
        cls = declared(f"attacked.made_{number}", {"count": int, "found": dict}, found=attrs.field(factory=dict))
        make, make_plain = event_maker(cls, "count"), maker(cls, "count")
        made = in_threads(8, partial(make, count=1)) + in_threads(8, partial(make_plain, 1))
        assert {type(each) for each in made} == {cls}
        assert all(each == made[0] for each in made)
        assert len({id(each.found) for each in made}) == len(made)


def test_a_maker_takes_no_other_arguments_than_its_own() -> None:
    make: Any = event_maker(Plain, "count")
    for _ in range(2):  # before and after it is compiled
        for arguments in ({}, {"count": 1, "note": "x"}, {"counts": 1}):
            with pytest.raises(TypeError, match=r"count|note"):
                make(**arguments)
    assert make(count=3) == Plain(count=3)
