"""What an event is, how kinds are declared, and what stamping makes of one."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar

import attrs
import pytest

import hubwire.events
from hubwire import Event, GenericEvent, UnknownEvent, event
from hubwire.context import EMPTY, Context
from hubwire.errors import ConfigurationError, HubError
from hubwire.events import AgentRegistered, FrozenDict, ToolCompleted, evolve, kind_class
from hubwire.events._event import own_fields
from hubwire.events._stamp import stamp


@event("event_tests.charged")
class Charged(Event):
    """A kind as users declare it."""

    amount: int
    currency: str = "EUR"
    lines: tuple[str, ...] = ()
    details: Mapping[str, Any] | None = None

    rounding: ClassVar[int] = 2

    @property
    def cents(self) -> int:
        return self.amount * 100


AT = "2026-11-21T09:30:00.000001Z"


def stamped(event: Event, *, context: Context = EMPTY) -> Any:
    return stamp(event, seq=7, id="an id", at=AT, hub="a hub", context=context, bytes_max=1 << 20)


# --- frozen ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "each",
    [
        Charged(amount=1),
        stamped(Charged(amount=1)),
        GenericEvent(kind="user.came"),
        UnknownEvent(kind="user.came"),
        AgentRegistered(name="planner"),
    ],
)
def test_an_event_is_immutable(each: Event) -> None:
    """No field can be set, added or deleted."""
    before = pickle.dumps(each)
    for name in ("seq", "kind", "amount", "new", "_body", "__class__"):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(each, name, 1)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            delattr(each, name)
    with pytest.raises((AttributeError, TypeError)):
        vars(each)
    assert pickle.dumps(each) == before


def test_a_stamped_payload_is_frozen_throughout() -> None:
    made = stamped(GenericEvent(kind="user.came", data={"a": [{"b": {"c": [1]}}]}, metadata={"m": {"n": 1}}))
    inner = made.data["a"][0]["b"]
    assert type(made.data["a"]) is tuple
    assert type(inner["c"]) is tuple
    changes: tuple[Callable[[Any], object], ...] = (
        lambda found: found.update(x=1),
        lambda found: found.setdefault("x", 1),
        lambda found: found.pop("c", None),
        lambda found: found.popitem(),
        lambda found: found.clear(),
        lambda found: found.__setitem__("x", 1),
        lambda found: found.__delitem__("c"),
        lambda found: found.__ior__({"x": 1}),
    )
    for found in (made.data, made.metadata, made.metadata["m"], inner):
        for change in changes:
            with pytest.raises(TypeError, match=r"copy it with dict\(\.\.\.\)"):
                change(found)
    assert made.data == {"a": ({"b": {"c": (1,)}},)}
    assert made.metadata == {"m": {"n": 1}}


def test_a_payload_can_be_copied_and_changed() -> None:
    data = stamped(GenericEvent(kind="user.came", data={"a": 1})).data
    for changeable in (dict(data), data.copy(), data | {}):
        changeable["b"] = 2
    assert data == {"a": 1}


def test_the_payload_is_copied() -> None:
    """The caller's payload is neither changed by the hub nor shared with it."""
    given: dict[str, Any] = {"b": [1, {"z": 1, "a": {2, 3}}], "a": float("nan")}
    picture = repr(given)
    unstamped = GenericEvent(kind="user.came", data=given)
    made = stamped(unstamped)
    assert unstamped.data is given
    assert repr(given) == picture
    assert (unstamped.seq, unstamped.id, unstamped.at, unstamped.hub) == (-1, "", "", "")
    given["b"][1]["z"] = "changed later"
    assert made.data["b"][1]["z"] == 1


# --- stamping -------------------------------------------------------------------------------------------------------


def test_stamping_sets_only_the_header() -> None:
    unstamped = Charged(amount=3, currency="CHF", lines=("a",), agent_id="planner", severity="warning")
    made = stamped(unstamped)
    assert made is not unstamped
    assert type(made) is Charged
    assert (made.seq, made.id, made.at, made.hub) == (7, "an id", AT, "a hub")
    assert evolve(made, seq=-1, id="", at="", hub="") == unstamped


def test_an_event_can_be_emitted_again() -> None:
    """It gets a new number, and is encoded anew."""
    once = stamped(Charged(amount=3))
    hubwire.codec.encode(once)
    again = stamp(once, seq=8, id="another", at=AT, hub="a hub", context=EMPTY, bytes_max=1 << 20)
    assert (again.seq, again.id) == (8, "another")
    assert b'"seq":8' in hubwire.codec.encode(again)
    assert again == evolve(once, seq=8, id="another")


def test_the_hub_counts_depth() -> None:
    """The depth of an event is the hub's to set, its cause the caller's to name."""
    around = Context(depth=3, causation_id="the cause", tenant="around", correlation_id="c", traceparent="t")
    made = stamped(Charged(amount=1, depth=1, causation_id="mine", tenant="mine"), context=around)
    assert (made.depth, made.causation_id, made.tenant) == (3, "mine", "mine")
    assert (made.correlation_id, made.traceparent) == ("c", "t")


def test_values_may_refuse_comparison() -> None:
    """A value whose comparison or truth raises, as numpy's arrays do, is stamped and shown all the same."""

    class Array:
        """As numpy's arrays: comparing gives no answer that has a truth."""

        def __eq__(self, other: object) -> bool:
            raise ValueError("ambiguous")

        def __bool__(self) -> bool:
            raise ValueError("ambiguous")

        __hash__ = None  # type: ignore[assignment]

        def __str__(self) -> str:
            return "[1 2]"

    result = ToolCompleted(tool="t", call_id="c", result=Array())
    assert "result=" in repr(result)
    made = stamped(result)
    assert made.result["text"] == "[1 2]"


# --- equality, copies, repr -----------------------------------------------------------------------------------------


def test_equal_events_have_equal_kinds_and_fields() -> None:
    assert Charged(amount=1) == Charged(amount=1)
    assert Charged(amount=1) != Charged(amount=2)
    assert stamped(Charged(amount=1)) != Charged(amount=1)
    one, other = GenericEvent(kind="user.came"), GenericEvent(kind="user.went")
    assert one != other
    assert GenericEvent(kind="user.came") != UnknownEvent(kind="user.came")
    assert Charged(amount=1) != "Charged(amount=1)"


def test_equal_events_have_equal_hashes() -> None:
    """Events may hold values that cannot be hashed."""
    unhashable = {"a": [1]}
    assert hash(Charged(amount=1, details=unhashable)) == hash(Charged(amount=1, details={"a": [1]}))
    assert len({Charged(amount=1), Charged(amount=1), stamped(Charged(amount=1))}) == 2
    one, other = FrozenDict({"a": 1, "b": 2}), FrozenDict({"b": 2, "a": 1})
    assert one == other
    assert hash(one) == hash(other)


def test_encoding_changes_neither_equality_nor_hash() -> None:
    one, other = stamped(Charged(amount=1)), stamped(Charged(amount=1))
    hubwire.codec.encode(one)
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    "each",
    [
        Charged(amount=1, details={"a": 1}),
        stamped(Charged(amount=1, details={"a": [{"b": 1}]})),
        stamped(GenericEvent(kind="user.came", data={"a": {"b": 1}})),
        UnknownEvent(kind="user.came", fields={"a": 1}, body=b"{}"),
        stamped(AgentRegistered(name="planner")),
    ],
)
def test_an_event_can_be_pickled(each: Event) -> None:
    """Its copy is the event itself."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        loaded = pickle.loads(pickle.dumps(each, protocol))  # noqa: S301 - our own bytes
        assert loaded == each
        assert type(loaded) is type(each)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            loaded.seq = 9  # type: ignore[misc]
    assert copy.copy(each) is each
    assert copy.deepcopy(each) is each


def test_a_pickled_payload_is_still_frozen() -> None:
    data = pickle.loads(pickle.dumps(stamped(GenericEvent(kind="a.b", data={"a": {"b": 1}})))).data  # noqa: S301
    assert type(data["a"]) is FrozenDict
    assert copy.deepcopy(data) is data


def test_evolve_makes_a_changed_copy() -> None:
    before = stamped(Charged(amount=1, lines=("a",)))
    after = evolve(before, amount=2)
    assert (before.amount, after.amount, after.lines, after.seq) == (1, 2, ("a",), 7)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        after.amount = 3
    with pytest.raises(TypeError):
        evolve(before, unknown=1)


def test_repr_shows_only_what_is_set() -> None:
    assert repr(Charged(amount=1)) == "Charged(amount=1)"
    assert repr(Charged(amount=1, currency="EUR", agent_id=None)) == "Charged(amount=1)"
    assert repr(Charged(amount=0, lines=("a",))) == "Charged(amount=0, lines=('a',))"
    assert repr(GenericEvent(kind="user.came", data={"a": 1})) == "GenericEvent(kind='user.came', data={'a': 1})"
    assert repr(stamped(Charged(amount=1))) == f"Charged(seq=7, id='an id', at='{AT}', hub='a hub', amount=1)"
    hubwire.codec.encode(made := stamped(Charged(amount=1)))
    assert "body" not in repr(made)
    assert "weight" not in repr(made)


def test_a_kind_may_have_constants_and_methods() -> None:
    assert Charged.rounding == 2
    assert stamped(Charged(amount=3)).cents == 300
    assert own_fields(Charged) == ("amount", "currency", "lines", "details")


# --- declaring ------------------------------------------------------------------------------------------------------


def test_methods_may_call_those_of_event() -> None:
    @event("event_tests.shown")
    class Shown(Event):
        text: str = attrs.field(default="hello", converter=str)

        def __repr__(self) -> str:
            return f"<{super().__repr__()}>"

    assert repr(Shown(text=12)) == "<Shown(text='12')>"  # type: ignore[arg-type]


def test_a_field_needs_a_type() -> None:
    with pytest.raises(ConfigurationError, match="declares amount without a type"):
        event("event_tests.untyped")(type("Untyped", (Event,), {"amount": attrs.field(default=1)}))


@pytest.mark.parametrize("look", [attrs.fields, attrs.fields_dict, lambda cls: cls(amount=1), own_fields])
def test_fields_exist_before_the_first_event(look: Callable[[Any], Any]) -> None:
    """A kind is completed at its first use, whether that is its fields, a look at them or an event."""

    @event("event_tests.lazy")
    class Lazy(Event):
        amount: int
        unit: str = "EUR"

    look(Lazy)
    assert own_fields(Lazy) == ("amount", "unit")
    assert [field.name for field in attrs.fields(Lazy)][-2:] == ["amount", "unit"]
    assert (Lazy(amount=2).amount, Lazy(amount=2).unit) == (2, "EUR")


def test_threads_may_make_the_first_event() -> None:
    """Many threads may make the first event of a kind at once."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        _make_the_first_event_in_many_threads()
    finally:
        sys.setswitchinterval(interval)


def _make_the_first_event_in_many_threads() -> None:
    for _ in range(20):

        @event("event_tests.contended")
        class Contended(Event):
            amount: int
            unit: str = "EUR"

        make = partial(Contended, amount=1)
        together = threading.Barrier(4)

        def first(make: Callable[[], Event] = make, together: threading.Barrier = together) -> Event:
            together.wait()
            return make()

        with ThreadPoolExecutor(4) as threads:
            events = [each.result() for each in [threads.submit(first) for _ in range(4)]]
        assert events == [Contended(amount=1, unit="EUR")] * 4


def test_a_declared_kind_is_found_by_name() -> None:
    assert kind_class("event_tests.charged") is Charged
    assert Charged.kind == Charged(amount=1).kind == "event_tests.charged"
    assert Charged.command is None
    assert AgentRegistered.command == "hub.agents.register()"
    assert kind_class("never.declared") is None
    assert Charged.__doc__ == "A kind as users declare it."


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "login",
        ".login",
        "user.",
        "user..login",
        "User.login",
        "user.Login",
        "user login",
        "user.login ",
        "user.login\n",
        "\nuser.login",
        "user.log\u0131n",
        "1user.login",
        "user.1login",
        "_user.login",
        "user-agent.came",
        "user.login*",
        "user\0.login",
        None,
        5,
        b"user.login",
        ["user.login"],
    ],
)
def test_a_misspelled_kind_is_refused(kind: Any) -> None:
    with pytest.raises(ConfigurationError, match="not a kind of event"):
        event(kind)


@pytest.mark.parametrize("kind", ["user.login", "a.b", "a.b.c.d", "api_token.made_anew", "x2.done"])
def test_kinds_are_lower_case_words_with_dots(kind: str) -> None:
    class Anything(Event):
        pass

    try:
        assert event(kind)(Anything).kind == kind
    finally:
        hubwire.events._declare._kinds.pop(kind, None)


def test_a_kind_is_declared_once() -> None:
    """A second declaration is refused and changes nothing."""
    with pytest.raises(ConfigurationError, match=r"declared by .*test_hub_events\.Charged already"):

        @event("event_tests.charged")
        class Other(Event):
            pass

    assert kind_class("event_tests.charged") is Charged
    with pytest.raises(ConfigurationError, match="AgentRegistered already"):
        event("agent.registered")(type("Mine", (Event,), {}))
    assert kind_class("agent.registered") is AgentRegistered


def test_a_reloaded_module_declares_its_kinds_again() -> None:
    def load() -> type[Event]:
        @event("event_tests.reloaded")
        class Reloaded(Event):
            pass

        return Reloaded

    first, second = load(), load()
    assert first is not second
    assert kind_class("event_tests.reloaded") is second


@pytest.mark.parametrize(
    "name", ["d", "h", "kind", "command", "seq", "id", "at", "hub", "agent_id", "metadata", "depth", "_body"]
)
def test_reserved_fields_cannot_be_declared(name: str) -> None:
    """Every event or record has them already."""
    with pytest.raises(ConfigurationError, match=rf"declares {name}\b"):
        event("event_tests.clashed")(type("Clashed", (Event,), {"__annotations__": {name: "str"}}))
    assert kind_class("event_tests.clashed") is None


def test_hidden_fields_cannot_be_declared() -> None:
    """A field that would not be in the record is refused."""
    with pytest.raises(ConfigurationError, match="_secret"):

        @event("event_tests.hidden")
        class Hidden(Event):
            _secret: int = 0

    with pytest.raises(ConfigurationError, match="later"):

        @event("event_tests.hidden")
        class Later(Event):
            later: int = attrs.field(init=False, default=0)

    assert kind_class("event_tests.hidden") is None


def test_an_undecorated_class_cannot_be_made() -> None:
    """The message says what is missing."""

    class Forgotten(Event):
        amount: int = 0

    with pytest.raises(ConfigurationError, match=r"Forgotten is not a kind of event; declare it with @event"):
        Forgotten()
    with pytest.raises(ConfigurationError, match="Event is not a kind of event"):
        Event()


def test_kinds_do_not_inherit_from_each_other() -> None:
    with pytest.raises(ConfigurationError, match="kinds do not inherit from each other"):

        class Undecorated(Charged):
            pass

    with pytest.raises(ConfigurationError, match="kinds do not inherit from each other"):

        @event("event_tests.charged_twice")
        class ChargedTwice(Charged):
            pass

    with pytest.raises(ConfigurationError, match="kinds do not inherit from each other"):

        class MyGeneric(GenericEvent):
            pass

    class Between(Event):
        pass

    with pytest.raises(ConfigurationError, match="must inherit from Event itself"):

        @event("event_tests.charged_twice")
        class Indirect(Between):
            pass

    with pytest.raises(ConfigurationError, match="must inherit from Event itself"):
        event("event_tests.charged_twice")(type("NoEvent", (), {}))
    assert kind_class("event_tests.charged_twice") is None


def test_fields_are_keywords_and_complete() -> None:
    wrong: tuple[Callable[[], object], ...] = (
        lambda: Charged(currency="CHF"),  # type: ignore[call-arg]
        lambda: Charged(1),  # type: ignore[call-arg]
        lambda: Charged(amount=1, colour="red"),  # type: ignore[call-arg]
        lambda: GenericEvent(data={}),  # type: ignore[call-arg]
        lambda: Charged(amount=1, _body=b""),  # type: ignore[call-arg]
    )
    for make in wrong:
        with pytest.raises(TypeError):
            make()


def test_refusals_are_errors_of_the_library() -> None:
    with pytest.raises(HubError):
        event("Nonsense")


# --- the two that are not declared ------------------------------------------------------------------------------------


def test_a_generic_event_has_any_kind_and_data() -> None:
    made = stamped(GenericEvent(kind="user.came", data={"ip": "10.0.0.1"}))
    assert (made.kind, made.data) == ("user.came", {"ip": "10.0.0.1"})
    assert GenericEvent(kind="user.came").data == {}


def test_generic_events_share_no_default() -> None:
    one, other = GenericEvent(kind="user.came"), GenericEvent(kind="user.came")
    assert one.data is not other.data


def test_every_shipped_kind_is_exported() -> None:
    exported = [each for name in hubwire.events.__all__ if isinstance(each := getattr(hubwire.events, name), type)]
    kinds = {each for each in exported if issubclass(each, Event)} - {Event, GenericEvent, UnknownEvent}
    assert kinds >= {AgentRegistered, ToolCompleted}
    for each in kinds:
        assert kind_class(each.kind) is each
    declared = hubwire.events._declare._kinds.items()
    ours = {name for name, each in declared if each.__module__.startswith("hubwire.events.")}
    assert ours == {each.kind for each in kinds}
