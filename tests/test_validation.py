"""Rules for the events that callers emit: what they find, what they refuse, and what they let pass."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from typing import Any, Literal

import pytest

from hubwire import Event, GenericEvent, Hub, event, scope
from hubwire.arbiter import Allow, Command
from hubwire.errors import CallerError, CommandRejected, ConfigurationError, EventInvalid, EventTooLarge, Fault
from hubwire.events import HubEventQuestioned, HubGuestFailed, evolve
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, history, peek
from hubwire.validation import EventRule, Validation, action_of, domain_of, is_kind
from support import until, until_idle
from support.odd import ODD


@event("validation_tests.charged")
class Charged(Event):
    amount: int
    currency: str
    note: str | None = None
    sizes: tuple[float, ...] = ()


class Currency(enum.Enum):
    EUR = "EUR"
    USD = "USD"


def login(source: str | None = None, **data: Any) -> GenericEvent:
    return GenericEvent(kind="user.login", source=source, data=data)


def found(rule: EventRule, given: Event) -> list[tuple[str, str, str]]:
    """Return path, wanted and given of what a rule finds."""
    return [(each.path, each.wanted, each.given) for each in Validation(rule).faults(given)]


def paths(rule: EventRule, given: Event) -> list[str]:
    return [each.path for each in Validation(rule).faults(given)]


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "domain", "action"),
    [
        ("user.login", "user", "login"),
        ("user_1.card.charged", "user_1", "card.charged"),
        ("user.login\n", None, None),
        ("user", None, None),
        ("User.login", None, None),
        ("_user.login", None, None),
        ("1user.login", None, None),
        ("user..login", None, None),
        ("", None, None),
        (5, None, None),
    ],
)
def test_a_kind_has_a_domain_and_an_action(text: Any, domain: str | None, action: str | None) -> None:
    """What is spelt as no kind is has neither."""
    assert is_kind(text) == (domain is not None)
    assert (domain_of(text), action_of(text)) == (domain, action)


async def test_a_kind_outside_the_allowed_domains_is_refused() -> None:
    rule = EventRule("*", kinds=["user.*", "billing.*"])
    async with Hub(validation=Validation(rule)) as hub:
        await hub.emit(login())
        with pytest.raises(EventInvalid, match=r"kind has to be one of user\.\*, billing\.\*, and is 'usr\.login'"):
            await hub.emit(GenericEvent(kind="usr.login"))


async def test_a_name_that_is_no_kind_is_refused_before_the_rules() -> None:
    """A line break at its end makes it another name."""
    async with Hub(validation=Validation(EventRule("*", required=["source"]))) as hub:
        with pytest.raises(ConfigurationError, match="is not a kind of event"):
            await hub.emit(GenericEvent(kind="user.login\n"))


async def test_the_kinds_of_a_hub_may_be_a_closed_set() -> None:
    """Of names, not of domains alone."""
    kinds = ["gate.approved", "gate.denied", "gate.expired"]
    async with Hub(validation=Validation(EventRule("*", kinds=kinds))) as hub:
        for kind in kinds:
            await hub.emit(GenericEvent(kind=kind))
        with pytest.raises(EventInvalid, match=r"one of gate\.approved, gate\.denied, gate\.expired"):
            await hub.emit(GenericEvent(kind="gate.aproved"))


async def test_a_reserved_domain_may_be_warned_of() -> None:
    """What a program keeps for some kinds; the domains of the hub itself are refused anyway."""
    known = ["system.started", "system.stopped"]
    async with Hub(validation=Validation(EventRule("system.*", kinds=known, mode="warn"))) as hub:
        await hub.emit(GenericEvent(kind="system.started"))
        assert hub.statistics().events_questioned == 0
        await hub.emit(GenericEvent(kind="system.crashed"))
        assert hub.statistics().events_questioned == 1
        with pytest.raises(CommandRejected, match="a kind of the hub's own"):
            await hub.emit(GenericEvent(kind="hub.crashed"))


def test_a_policy_of_audits_is_a_rule_for_all_kinds() -> None:
    """Who did it, for whom, and how it ended: of each event, and of these words."""
    rule = EventRule(
        "*", required=["actor", "tenant", "outcome", "severity"], types={"outcome": Literal["success", "failure"]}
    )
    right = evolve(login(), actor="jane", tenant="t1", outcome="success", severity="info")
    assert found(rule, right) == []
    assert paths(rule, evolve(right, actor=None, outcome="denied")) == ["actor", "outcome"]
    assert paths(rule, evolve(right, severity="fatal")) == ["severity"]  # its class says that already


@pytest.mark.parametrize("data", [5, "x", ["a"], None])
async def test_a_payload_that_is_no_mapping_is_refused(data: Any) -> None:
    """With rules as without; a rule about what is in it has nothing to add."""
    rules = Validation(EventRule("*", required=["data.id", "source"]))
    assert [each.path for each in rules.faults(GenericEvent(kind="user.login", data=data))] == ["data", "source"]


def test_a_rule_is_for_a_kind_a_domain_or_the_hub() -> None:
    one, domain, every = (
        EventRule("user.login", required=["data.a"]),
        EventRule("user.*", required=["data.b"]),
        EventRule(["*"], required=["data.c"]),
    )
    rules = Validation(one, domain, every)
    assert [each.path for each in rules.faults(login())] == ["data.a", "data.b", "data.c"]
    assert [each.path for each in rules.faults(GenericEvent(kind="user.left"))] == ["data.b", "data.c"]
    assert [each.path for each in rules.faults(GenericEvent(kind="other.left"))] == ["data.c"]
    assert [each.rule for each in rules.faults(login())] == ["user.login", "user.*", "*"]


# --- required ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [None, "", "  \n"])
def test_a_required_source_is_neither_missing_nor_blank(source: str | None) -> None:
    rule = EventRule("*", required=["source"])
    assert paths(rule, login(source)) == ["source"]
    assert paths(rule, login("crm")) == []


@pytest.mark.parametrize("name", ["tenant", "correlation_id", "session_id", "task_id"])
async def test_what_an_event_inherits_counts_as_given(name: str) -> None:
    """The rule sees the event as it is committed."""
    validation = Validation(EventRule("*", required=[name]))
    async with Hub(validation=validation) as hub:
        with pytest.raises(EventInvalid):
            await hub.emit(login())
        about: dict[str, Any] = {{"session_id": "session", "task_id": "task"}.get(name, name): "x"}
        with scope(**about):
            assert getattr(await hub.emit(login()), name) == "x"
            assert validation.faults(login()) == ()


def test_payload_fields_are_found_by_their_paths() -> None:
    rule = EventRule("*", required=["data.items.1.price", "data.user.name", "metadata.run"])
    right = evolve(login(items=[{}, {"price": 0}], user={"name": "n"}), metadata={"run": False})
    assert found(rule, right) == []
    wrong = login(items=[{"price": 1}], user="n")
    assert paths(rule, wrong) == ["data.items.1.price", "data.user.name", "metadata.run"]
    assert {each[2] for each in found(rule, wrong)} == {"not given"}


def test_fields_of_a_declared_kind_have_their_names() -> None:
    rule = EventRule("*", required=["note", "currency", "colour"])
    assert found(rule, Charged(amount=1, currency=" ")) == [
        ("note", "given and not blank", "not given"),
        ("currency", "given and not blank", "' '"),
        ("colour", "given and not blank", "not given"),
    ]


# --- types ------------------------------------------------------------------------------------------------------------

RIGHT_AND_WRONG: list[tuple[Any, Any, Any, str]] = [
    (str, "x", 5, "text"),
    (int, 5, 5.0, "a whole number"),
    (int, 2**70, True, "a whole number"),
    (float, 5, "5", "a number"),
    (bool, True, 1, "True or False"),
    (list[str], ["a"], ["a", 1], "a tuple or a list of text"),
    (dict[str, int], {"a": 1}, {"a": "b"}, "a mapping whose values are a whole number"),
    (Literal["EUR", "USD"], "EUR", "GBP", "one of 'EUR', 'USD'"),
    (Currency, Currency.EUR, "GBP", "of the class Currency"),
    (str | int, 5, [], "a whole number or text"),
    (tuple[int, str], [1, "a"], [1], "a tuple or a list of a whole number, text"),
]


@pytest.mark.parametrize(("hint", "right", "wrong", "wanted"), RIGHT_AND_WRONG)
def test_a_field_has_the_type_that_a_rule_says(hint: Any, right: Any, wrong: Any, wanted: str) -> None:
    rule = EventRule("*", types={"data.x": hint})
    assert found(rule, login(x=right)) == []
    ((path, said, _),) = found(rule, login(x=wrong))
    assert path == "data.x"
    assert sorted(said.replace(" or ", " ").split()) == sorted(wanted.replace(" or ", " ").split())


@pytest.mark.parametrize("given", [login(), login(x=None), login(y=1)])
def test_a_field_that_is_missing_has_no_wrong_type(given: Event) -> None:
    """That it has to be there is another rule."""
    assert found(EventRule("*", types={"data.x": int}), given) == []


def test_a_rule_may_narrow_the_type_of_a_declared_field() -> None:
    rule = EventRule("*", types={"currency": Literal["EUR"], "severity": Literal["error"]})
    assert found(rule, Charged(amount=1, currency="EUR", severity="error")) == []
    assert paths(rule, Charged(amount=1, currency="USD", severity="info")) == ["currency", "severity"]


# --- every fault ------------------------------------------------------------------------------------------------------


async def test_a_refusal_says_every_fault() -> None:
    """Of all rules, and of the types that the class declares."""
    rules = Validation(
        EventRule("*", kinds=["user.*"], required=["source", "amount", "note"]),
        EventRule("*.charged", required=["tenant"], types={"currency": Literal["EUR"]}, mode="warn"),
    )
    wrong: Any = Charged(amount="many", currency=["EUR"], sizes=(1.0, "x"))  # type: ignore[arg-type]
    async with Hub(validation=rules) as hub:
        before = peek(hub)
        with pytest.raises(EventInvalid) as caught:
            await hub.emit(wrong)
        assert peek(hub) == before
    assert [(each.path, each.mode) for each in caught.value.faults] == [
        ("kind", "strict"),
        ("amount", "strict"),
        ("currency", "strict"),
        ("sizes", "strict"),
        ("source", "strict"),
        ("note", "strict"),
        ("tenant", "warn"),
    ]
    assert (caught.value.kind, caught.value.field) == ("validation_tests.charged", "kind")
    assert "and 2 more; correct it and emit it again" in str(caught.value)


async def test_an_event_without_rules_has_all_misfits_said() -> None:
    """What a class declares is one field after the other, and the error says all."""
    wrong: Any = Charged(amount="many", currency=5, note=7)  # type: ignore[arg-type]
    async with Hub() as hub:
        with pytest.raises(EventInvalid) as caught:
            hub.emit_nowait(wrong)
    assert [each.path for each in caught.value.faults] == ["amount", "currency", "note"]
    assert str(caught.value).count("has to be") == 2


def test_faults_are_bounded_and_safe_to_show() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError

    names = [f"data.{'n' * 400}{number}" for number in range(500)]
    faults = Validation(EventRule("*", required=names, types={"data.odd": int, "data.long": int})).faults(
        login(odd=Odd(), long="\ud800" + "x" * 100_000)
    )
    assert len(faults) == 100
    for fault in faults:
        str(fault).encode()
        assert len(str(fault)) < 1000
    faults = Validation(EventRule("*", types={"data.odd": int, "data.long": int})).faults(
        login(odd=Odd(), long="\ud800" + "x" * 100_000)
    )
    assert [each.path for each in faults] == ["data.odd", "data.long"]
    assert all(len(each.given) <= 200 for each in faults)


async def test_a_strict_fault_is_not_lost_among_many_others() -> None:
    """An error holds a hundred; that the event is refused is among them."""
    many = EventRule("*", required=[f"data.n{number}" for number in range(500)], mode="warn")
    async with Hub(validation=Validation(many, EventRule("*", required=["source"]))) as hub:
        with pytest.raises(EventInvalid) as caught:
            await hub.emit(login())
    assert caught.value.field == "source"
    assert len(caught.value.faults) == 100


class Falsy:
    """A check that has no truth value, and answers all the same."""

    def __bool__(self) -> bool:
        raise RuntimeError

    def __call__(self, given: Event) -> str:
        return "never right"


def test_a_check_may_be_any_object_that_is_called() -> None:
    (fault,) = Validation(EventRule("*", check=Falsy())).faults(login())
    assert fault.wanted == "as a Falsy says (never right)"


async def test_a_refusal_is_bounded_text() -> None:
    rule = EventRule("*", required=[f"data.{'n' * 400}{number}" for number in range(500)])
    async with Hub(validation=Validation(rule)) as hub:
        with pytest.raises(EventInvalid) as caught:
            await hub.emit(login())
    assert len(str(caught.value)) < 2000
    assert "and 95 more" in str(caught.value)


def test_a_fault_is_a_sentence() -> None:
    assert str(Fault("source", "given", "None")) == "source has to be given, and is None"
    assert str(Fault("", "as it says", "not")) == "the event has to be as it says, and is not"


# --- modes ------------------------------------------------------------------------------------------------------------


async def test_what_breaks_a_rule_to_warn_is_committed_and_reported() -> None:
    """The report says what has to be, and nothing of what was given: that may be secret."""
    store, seen = MemoryStore(), Recorder()
    rules = Validation(EventRule("*", types={"data.pin": int}, required=["source"]), mode="warn")
    async with Hub(store, validation=rules, listeners=[seen]) as hub:
        made = await hub.emit(login(pin="s3cret"))
        report: Any = await seen.wait_for("hub.event_questioned")
        assert hub.statistics().events_questioned == 1
        assert hub.statistics().events_refused == 0
        assert made.seq < report.seq
        assert made in await history(hub)
    assert report.event_kind == "user.login"
    assert report.count == 1
    assert report.faults == ("source has to be given and not blank", "data.pin has to be a whole number")
    assert "s3cret" not in repr(report)
    assert HubEventQuestioned.command == "the hub itself"


async def test_reports_of_a_kind_are_one_in_a_second() -> None:
    """They say how many events they stand for, and none is forgotten at the end."""
    clock, seen = ManualClock(), Recorder()
    rules = Validation(EventRule("user.*", required=["source"], mode="warn"))
    async with Hub(clock=clock, validation=rules, listeners=[seen]) as hub:
        for _ in range(50):
            await hub.emit(login())
        await until_idle()
        assert [each.count for each in seen.of("hub.event_questioned")] == [1]
        clock.advance(1.0)
        await until(lambda: len(seen.of("hub.event_questioned")) == 2)
        assert hub.statistics().events_questioned == 50
    assert [each.count for each in seen.of("hub.event_questioned")] == [1, 49]


async def test_many_kinds_are_reported_together() -> None:
    """A program that invents kinds makes few reports."""
    seen = Recorder()
    rules = Validation(EventRule("*", required=["source"], mode="warn"))
    async with Hub(clock=ManualClock(), validation=rules, listeners=[seen]) as hub:
        for number in range(1000):
            hub.emit_nowait(GenericEvent(kind=f"made.k{number}"))
            await until_idle()
        reports: Any = seen.of("hub.event_questioned")
        assert len(reports) == 101
        assert reports[-1].event_kind == "*"
    assert sum(each.count for each in seen.of("hub.event_questioned")) == 1000


async def test_a_strict_rule_refuses_where_another_would_let_pass() -> None:
    """Each rule has its mode, or that of all."""
    rules = Validation(
        EventRule("*", required=["source"]),
        EventRule("user.*", required=["data.id"], mode="strict"),
        mode="warn",
    )
    async with Hub(validation=rules) as hub:
        await hub.emit(login(id=1))
        with pytest.raises(EventInvalid):
            await hub.emit(login("crm"))
        statistics = hub.statistics()
    assert (statistics.event_rules, statistics.events_refused, statistics.events_questioned) == (2, 1, 1)


async def test_a_hub_is_not_validating_unless_it_is_asked() -> None:
    """Then it has no rules, and takes the way of a hub that has no arbiter either."""
    async with Hub() as hub:
        await hub.emit(login())
        assert hub.statistics().event_rules == 0
        assert not hub._is_guarded
        assert hub._parts.emitting.validating is None


# --- what is checked --------------------------------------------------------------------------------------------------


class Allowing:
    def authorize(self, command: Command, /) -> Allow:
        return Allow()


@pytest.mark.parametrize("arbiter", [None, Allowing()], ids=["no arbiter", "arbiter"])
async def test_what_commands_and_the_hub_make_is_not_checked(arbiter: Any) -> None:
    """A rule for all kinds is about those that callers emit."""
    rules = Validation(EventRule("*", kinds=["user.*"], required=["source"]))
    async with Hub(MemoryStore(), validation=rules, arbiter=arbiter) as hub:
        a, b = await hub.agents.register("a"), await hub.agents.register("b")
        channel = await hub.channels.open([a, b])
        await channel.post(a, "hello")
        async with hub.turns.tool("search", agent=a):
            pass
        await hub.timers.after(60.0)
        assert hub.statistics().events_refused == 0
        with pytest.raises(EventInvalid):
            await hub.emit(login())


async def test_events_that_newer_rules_refuse_replay() -> None:
    """What was acknowledged is in the journal, whatever the rules are now."""
    store = MemoryStore()
    async with Hub(store) as hub:
        made = await hub.emit(login(pin="x"))
    rules = Validation(EventRule("*", required=["source"], types={"data.pin": int}))
    async with Hub(store, validation=rules) as hub:
        assert made in await history(hub)
        assert hub.statistics().events_refused == 0
        with pytest.raises(EventInvalid):
            await hub.emit(login(pin="x"))
        await hub.emit(login("crm", pin=1))
    async with Hub(store) as hub:
        assert [each.source for each in await history(hub) if each.kind == "user.login"] == [None, "crm"]


async def test_kinds_that_come_late_are_checked() -> None:
    """Their class is imported with the first event, and a rule is there before."""
    from hubwire.events import SkillUsed

    rules = Validation(EventRule("skill.*", required=["source"]))
    async with Hub(validation=rules) as hub:
        used = SkillUsed(skill="search")
        with pytest.raises(EventInvalid, match="source"):
            await hub.emit(used)
        await hub.emit(evolve(used, source="crm"))


async def test_a_kind_that_is_declared_later_is_checked_as_its_class() -> None:
    """The same rule was for generic events of the kind."""
    validation = Validation(EventRule("validation_late.said", required=["text"]))
    assert paths(validation.rules[0], GenericEvent(kind="validation_late.said", data={"text": "x"})) == ["text"]

    @event("validation_late.said")
    class Said(Event):
        text: str = ""

    assert [each.path for each in validation.faults(Said())] == ["text"]
    assert validation.faults(Said(text="x")) == ()


async def test_two_hubs_share_rules_and_count_by_themselves() -> None:
    rules = Validation(EventRule("*", required=["source"]))
    async with Hub(validation=rules) as one, Hub(validation=rules) as other:
        with pytest.raises(EventInvalid):
            await one.emit(login())
        await other.emit(login("crm"))
        assert (one.statistics().events_refused, other.statistics().events_refused) == (1, 0)


async def test_an_event_that_is_too_large_is_refused_as_too_large() -> None:
    rules = Validation(EventRule("*", required=["data.x"]))
    async with Hub(validation=rules, event_bytes_max=10_000) as hub:
        with pytest.raises(EventTooLarge):
            await hub.emit(login(x="x" * 20_000))
        await hub.emit(login(x="x" * 5_000))


@pytest.mark.slow
async def test_a_hundred_thousand_kinds_leave_little() -> None:
    validation = Validation(EventRule("*", required=["source"]))
    for number in range(100_000):
        validation.faults(GenericEvent(kind=f"made.k{number}", source="s"))
    assert len(validation._known) <= 10_000


# --- checks of one's own ----------------------------------------------------------------------------------------------


def total(given: Any) -> str | None:
    return None if sum(given.data["parts"]) == given.data["total"] else "the parts are not the total"


async def test_a_check_of_ones_own_says_what_is_wrong() -> None:
    async with Hub(validation=Validation(EventRule("cart.*", types={"data.total": int}, check=total))) as hub:
        await hub.emit(GenericEvent(kind="cart.filled", data={"parts": [1, 2], "total": 3}))
        with pytest.raises(EventInvalid, match=r"as total says \(the parts are not the total\)") as caught:
            await hub.emit(GenericEvent(kind="cart.filled", data={"parts": [1, 2], "total": 4}))
        assert caught.value.field == ""
        with pytest.raises(EventInvalid, match="a whole number") as caught:  # what is wrong already is not asked about
            await hub.emit(GenericEvent(kind="cart.filled", data={"parts": [1, 2], "total": "x"}))
        assert hub.statistics().checks_failed == 0


@pytest.mark.parametrize(
    ("answer", "texts"),
    [(None, []), ("a", ["a"]), (["a", "b"], ["a", "b"]), ((), []), ([], []), ("x" * 999, ["x" * 200])],
)
def test_a_check_answers_none_a_text_or_texts(answer: Any, texts: list[str]) -> None:
    faults = Validation(EventRule("*", check=lambda given: answer)).faults(login())
    assert [each.wanted.partition("(")[2][:-1] for each in faults] == texts


def raises(error: BaseException) -> Callable[[Any], Any]:
    def check(given: Any) -> Any:
        raise error

    return check


class Liar:
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError


BAD_CHECKS: dict[str, Callable[[Any], Any]] = {
    "raises": raises(ValueError("s3cret")),
    "exits": raises(SystemExit(1)),
    "cancels": raises(asyncio.CancelledError()),
    "ends": raises(StopIteration()),
    "true": lambda given: True,
    "false": lambda given: False,
    "number": lambda given: 5,
    "numbers": lambda given: [5],
    "liar": lambda given: Liar(),
    "awaitable": lambda given: asyncio.sleep(0),
    "endless": lambda given: iter(int, 1),
}


@pytest.mark.parametrize("name", BAD_CHECKS)
async def test_a_check_that_fails_refuses_or_lets_pass(name: str) -> None:
    """The rule says which; the failure is counted, and reported without its text."""
    for when, mode in (("fault", "strict"), ("fault", "warn"), ("pass", "strict")):
        seen = Recorder()
        rule = EventRule("user.*", check=BAD_CHECKS[name], when_check_fails=when, mode=mode)  # type: ignore[arg-type]
        async with Hub(validation=Validation(rule), listeners=[seen]) as hub:
            if (when, mode) == ("fault", "strict"):
                with pytest.raises(EventInvalid, match="the check failed"):
                    await hub.emit(login())
            else:
                await hub.emit(login())
            failed: Any = await seen.wait_for("hub.guest_failed")
            assert isinstance(failed, HubGuestFailed)
            assert failed.guest == "the check of the rule for user.*"
            assert "s3cret" not in repr(failed)
            assert hub.statistics().checks_failed == 1
            assert hub.statistics().events_questioned == (1 if (when, mode) == ("fault", "warn") else 0)
            assert hub.health().healthy


def test_what_a_check_raises_is_bounded() -> None:
    """And so are the texts that it answers."""
    for check in (raises(ValueError("x" * 100_000)), lambda given: ["y" * 100_000] * 1000):
        faults = Validation(EventRule("*", check=check)).faults(login())
        assert 1 <= len(faults) <= 100
        assert all(len(str(each)) < 600 for each in faults)


async def test_a_check_that_emits_has_failed() -> None:
    """It would be asked about that event, too, and so on without end."""
    hub: Hub

    def check(given: Any) -> None:
        hub.emit_nowait(login())

    async with Hub(validation=Validation(EventRule("user.*", check=check))) as hub:
        with pytest.raises(EventInvalid, match="the check failed"):
            await hub.emit(login())
        await hub.emit(GenericEvent(kind="other.said"))
        assert [each.kind for each in await history(hub) if not each.kind.startswith("hub.")] == ["other.said"]


# --- arguments --------------------------------------------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "it says nothing of the events"),
    ({"required": "source"}, r"required is a list of names of fields, not 'source'; write \['source'\]"),
    ({"required": [5]}, "required is the name of a field"),
    ({"required": ["seq"]}, "the hub sets this one"),
    ({"required": ["at"]}, "the hub sets this one"),
    ({"required": ["kind"]}, "it is no field"),
    ({"required": ["_body"]}, "it is no field"),
    ({"required": ["__class__.x"]}, "it is no field"),
    ({"required": ["data..x"]}, "a path as"),
    ({"required": ["."]}, "a path as"),
    ({"required": ["data." + "x" * 1000]}, "a path as"),
    ({"types": {"data.x": "int"}}, "a type that can be checked"),
    ({"types": {"data.x": Any}}, "a type that can be checked"),
    ({"types": {"data.x": object}}, "a type that can be checked"),
    ({"types": {"data.x": 5}}, "a type that can be checked"),
    ({"types": ["data.x"]}, "types is a mapping from names of fields to types"),
    ({"types": {5: int}}, "types is the name of a field"),
    ({"check": 5}, "check is a function"),
    ({"check": asyncio.sleep}, "check is a function that is called with the event, and is not async"),
    ({"kinds": "Billing.*"}, "kinds are lower-case"),
    ({"required": ["source"], "mode": "strcit"}, "mode is one of strict, warn, not 'strcit'; did you mean strict?"),
    ({"required": ["source"], "when_check_fails": True}, "when_check_fails is one of fault, pass"),
]


@pytest.mark.parametrize(("arguments", "text"), WRONG)
def test_a_wrong_rule_is_refused_where_it_is_made(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        EventRule("*", **arguments)


@pytest.mark.parametrize("pattern", ["", "Billing.*", "billing", [], 5, None, ["user.*", 5]])
def test_a_wrong_pattern_is_refused(pattern: Any) -> None:
    with pytest.raises(ConfigurationError):
        EventRule(pattern, required=["source"])


def test_a_validation_takes_rules_alone() -> None:
    with pytest.raises(ConfigurationError, match="give 1 to 1000 rules, not 0"):
        Validation()
    with pytest.raises(ConfigurationError, match=r"write Validation\(EventRule"):
        Validation([EventRule("*", required=["source"])])  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="mode is one of strict, warn"):
        Validation(EventRule("*", required=["source"]), mode="on")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"Hub\(\): validation is a hubwire.validation.Validation"):
        Hub(validation=EventRule("*", required=["source"]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "argument", ["pattern", "kinds", "required", "types", "schema", "check", "mode", "when_check_fails"]
)
def test_odd_arguments_of_a_rule_are_refused(argument: str) -> None:
    """Or they make a rule that can be used; no other error comes out."""
    for make in ODD:
        given = {"pattern": "*", "required": ["source"], argument: make()}
        try:
            rule = EventRule(**given)
            Validation(rule).faults(login())
        except CallerError as error:
            text = str(error)
        else:
            text = ""
        text.encode()
        assert len(text) < 2000


def test_odd_values_of_events_are_found_or_right() -> None:
    """No value that an event is given harms a rule."""
    rule = EventRule("*", required=["source", "data.x"], types={"data.x": int | list[str], "tenant": str})
    for make in ODD:
        for given in (login(x=make()), login(make()), evolve(login(), data=make()), evolve(login(), tenant=make())):
            for fault in Validation(rule).faults(given):
                str(fault).encode()
    for make in ODD:
        try:
            Validation(rule).faults(make())
        except CallerError:
            continue
        raise AssertionError("what is no event has no faults")
