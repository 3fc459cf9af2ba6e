"""Kinds that are imported when they are needed, severity and outcome, previews, and facts that are instructions."""

from __future__ import annotations

import enum
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import hubwire.events
from hubwire import Event, GenericEvent, Hub, Outcome, Severity, UnknownEvent, codec, event
from hubwire.context import EMPTY
from hubwire.errors import CommandRejected, ConfigurationError, EventInvalid
from hubwire.events import (
    ErrorRaised,
    FactWritten,
    InstructionAudited,
    InstructionPromoted,
    InstructionQuarantined,
    LoopBlocked,
    LoopWarned,
    SkillUsed,
    TokenIssued,
    ToolCalled,
    ToolCompleted,
    ToolFailed,
    TurnEnded,
    TurnStarted,
    evolve,
    instruction_event,
    is_instruction_fact,
    kind_class,
)
from hubwire.events._late import LATE, LATE_NAMES
from hubwire.events._stamp import stamp
from hubwire.listeners import AuditLog, Metrics
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder, history
from support import AT

OF_THE_STATE = {"followers", "seats"}
"""Modules of kinds that a state machine decides: no program emits them."""

KINDS = [kind for kinds in LATE.values() for kind in kinds]


def stamped(made: Event) -> Any:
    return stamp(made, seq=7, id="an id", at=AT, hub="a hub", context=EMPTY, bytes_max=1 << 20)


def printed(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


# --- kinds that come late -------------------------------------------------------------------------------------------


def test_the_table_of_late_kinds_is_true() -> None:
    for module, kinds in LATE.items():
        for kind, name in kinds.items():
            cls: Any = getattr(hubwire.events, name)
            assert (cls.kind, cls.__module__) == (kind, f"hubwire.events.{module}")
            assert (cls.command is None) == (module not in OF_THE_STATE)
            assert kind_class(kind) is cls
    assert set(LATE_NAMES) <= set(hubwire.events.__all__) <= set(dir(hubwire.events))


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_that_is_read_finds_its_class(kind: str) -> None:
    """In a process that has never heard of the kind before."""
    cls: Any = kind_class(kind)
    texts = dict.fromkeys(("tool", "hook", "error_type", "skill", "dimension", "action", "fact_id", "peer_id"), "x")
    texts |= dict.fromkeys(("fact_entity", "fact_relation", "token_id", "manifest_id", "key_id", "direction"), "x")
    texts |= {"from_algorithm": "x", "to_algorithm": "x", "runtime": "x", "node": "x"}
    texts |= {"follower_id": "x", "name": "x", "digest": "x"}
    fields = {name: value for name, value in texts.items() if hasattr(cls, name)}
    numbers = {name: 5 for name in ("skew_ms", "count", "number", "seat") if hasattr(cls, name)}
    made = stamped(cls(**fields, **numbers))
    body = codec.encode(made)
    program = (
        "import sys; from hubwire import codec\n"
        f"before = {cls.__module__!r} in sys.modules; read = codec.decode({body!r})\n"
        f"print(before, type(read).__name__, read.kind, read.at == {AT!r})"
    )
    assert printed(program) == ["False", cls.__name__, kind, "True"]


async def test_a_journal_gives_late_kinds_back_as_their_classes() -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        made = [
            await hub.emit(LoopWarned(tool="search", pattern="same arguments", call_count=5)),
            await hub.emit(TokenIssued(token_id="t", scopes=("read",), detail={"by": "cli"})),
        ]
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        found = [each for each in await history(hub) if each.kind in KINDS]
        assert found == made
        assert [type(each) for each in found] == [LoopWarned, TokenIssued]


async def test_a_generic_event_of_a_late_kind_is_refused() -> None:
    """As of any kind that is declared."""
    async with Hub() as hub:
        with pytest.raises(CommandRejected, match=r"'key\.rotated' is declared; emit its class, KeyRotated"):
            await hub.emit(GenericEvent(kind="key.rotated", data={"key_id": "k"}))


def test_a_generic_event_of_before_a_kind_came_is_read_as_its_class() -> None:
    """If it has its fields; else it stays what it was."""
    old = stamped(GenericEvent(kind="skill.used", data={"skill": "sums", "duration_ms": 4.0}))
    read = codec.decode(codec.encode(old))
    assert isinstance(read, SkillUsed)
    assert (read.skill, read.duration_ms, read.severity) == ("sums", 4.0, None)
    other = codec.decode(codec.encode(stamped(GenericEvent(kind="skill.used", data={"who": "me"}))))
    assert type(other) is GenericEvent


def test_a_late_kind_is_taken() -> None:
    """Also in a process that has not imported its class."""
    program = (
        "from hubwire import Event, event\nfrom hubwire.errors import ConfigurationError\n"
        "class Mine(Event): pass\n"
        "try:\n    event('fact.read')(Mine)\nexcept ConfigurationError as error: print(error)"
    )
    assert " ".join(printed(program)) == "kind 'fact.read' is declared by hubwire.events.facts.FactRead already"
    with pytest.raises(ConfigurationError, match=r"declared by hubwire\.events\.facts\.FactRead already"):

        @event("fact.read")
        class Mine(Event):
            pass


def test_names_that_are_not_there_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'FactForgotten'"):
        hubwire.events.FactForgotten  # type: ignore[attr-defined]  # noqa: B018 - looking it up is the point


async def test_a_pattern_of_a_late_kind_matches_before_its_class_is_there() -> None:
    seen = Recorder()
    async with Hub() as hub:
        hub.attach(seen, pattern="loop.*")
        await hub.emit(LoopBlocked(tool="t"))
        await hub.emit(SkillUsed(skill="s"))
        await hub.flush()
    assert [each.kind for each in seen.events] == ["loop.blocked"]


def test_late_events_are_pickled() -> None:
    made = stamped(FactWritten(fact_id="f", entity="e", detail={"a": 1}))
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 - it is ours


class Mine(enum.Enum):
    X = "error"


# --- severity and outcome -------------------------------------------------------------------------------------------


@event("late_tests.warned", severity="warning")
class Warned(Event):
    text: str = ""


def test_members_are_text() -> None:
    assert [*Severity] == ["info", "warning", "error"]
    assert [*Outcome] == ["success", "failure", "denied"]
    assert f"{Severity.ERROR} {Outcome.DENIED}" == "error denied"


@pytest.mark.parametrize("given", ["error", Severity.ERROR, Mine.X], ids=repr)
def test_text_becomes_the_member(given: Any) -> None:
    """Live and read back, it is the same member."""
    made = stamped(GenericEvent(kind="a.b", severity=given, outcome="denied"))
    assert made.severity is Severity.ERROR
    assert made.outcome is Outcome.DENIED
    read = codec.decode(codec.encode(made))
    assert read.severity is Severity.ERROR
    assert read.outcome is Outcome.DENIED
    assert b'"severity":"error"' in codec.encode(made)


@pytest.mark.parametrize("field", ["severity", "outcome"])
@pytest.mark.parametrize("given", ["", "ERROR", "fatal", "info ", "\ud800", 1, True, b"error", ["error"], object()])
async def test_other_values_are_refused(field: str, given: Any) -> None:
    async with Hub() as hub:
        with pytest.raises(EventInvalid, match=f"its field '{field}' takes one of '(info|success)'"):
            await hub.emit(GenericEvent(kind="a.b", **{field: given}))


def test_what_an_earlier_version_has_written_is_read() -> None:
    """It took any text."""
    body = codec.encode(stamped(Warned(text="x", outcome="failure")))
    old = body.replace(b'"severity":"warning"', b'"severity":"fatal"').replace(b'"failure"', b'"so so"')
    read = codec.decode(old)
    assert type(read) is Warned
    assert (read.severity, read.outcome) == ("fatal", "so so")
    assert codec.encode(read) == old
    number = codec.decode(body.replace(b'"severity":"warning"', b'"severity":5'))
    assert type(number) is UnknownEvent


@pytest.mark.parametrize(
    ("kind", "severity"),
    [
        ("loop.warned", "warning"),
        ("loop.blocked", "error"),
        ("tool.failed", "error"),
        ("model.failed", "error"),
        ("turn.failed", "error"),
        ("error.raised", "error"),
        ("quota.breached", "warning"),
        ("replay.rejected", "warning"),
        ("peer.clock_skewed", "warning"),
        ("instruction.quarantined", "warning"),
        ("tool.called", None),
        ("skill.used", None),
        ("fact.written", None),
        ("hook.mutated", None),
    ],
)
def test_kinds_have_a_severity_of_their_own(kind: str, severity: str | None) -> None:
    cls: Any = kind_class(kind)
    default = {field.name: field.default for field in cls.__attrs_attrs__}["severity"]
    assert default == severity
    assert default is None or type(default) is Severity


def test_a_severity_that_is_given_counts() -> None:
    assert Warned().severity is Severity.WARNING
    assert stamped(Warned(severity="info")).severity is Severity.INFO
    assert stamped(Warned(severity=None)).severity is None
    assert codec.decode(codec.encode(stamped(Warned(severity=None)))).severity is None
    assert evolve(Warned(text="x"), severity=None).severity is None
    assert "severity" not in repr(Warned())


def test_an_old_event_does_not_get_a_severity() -> None:
    """What a record does not say was not said."""
    body = codec.encode(stamped(ToolFailed(tool="t", call_id="c", severity=None)))
    assert b"severity" not in body
    assert codec.decode(body).severity is None


@pytest.mark.parametrize("wrong", ["fatal", "", 1, True, [], Outcome.DENIED, object()])
def test_a_severity_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no severity; write one of"):
        event("late_tests.wrong", severity=wrong)


async def test_listeners_count_by_severity() -> None:
    metrics = Metrics()
    async with Hub(listeners=[metrics]) as hub:
        await hub.emit(LoopWarned(tool="t"))
        await hub.emit(ErrorRaised(error_type="ValueError"))
        await hub.emit(GenericEvent(kind="a.b", severity="error", outcome=Outcome.FAILURE))
        await hub.flush()
        counts = metrics.snapshot()
    assert counts.by_severity == {"warning": 1, "error": 2}
    assert counts.by_outcome == {"failure": 1}


# --- previews -------------------------------------------------------------------------------------------------------

PREVIEWS: list[Callable[[Any], str]] = [
    lambda value: ToolCalled(tool="t", call_id="c", arguments=value).arguments_preview,
    lambda value: ToolCompleted(tool="t", call_id="c", result=value).result_preview,
    lambda value: TurnStarted(prompt=value).prompt_preview,
    lambda value: TurnEnded(content=value).content_preview,
    lambda value: stamped(ToolCalled(tool="t", call_id="c", arguments=value)).arguments_preview,
]


@pytest.mark.parametrize("preview", PREVIEWS, ids=["arguments", "result", "prompt", "content", "stamped"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        ("", ""),
        ({}, ""),
        ([], ""),
        (0, ""),
        (False, ""),
        ("short", "short"),
        ("x" * 201, "x" * 200),
        ({"b": [1, "two", None], "c": {"d": 1.5}}, '{"b": [1, "two", null], "c": {"d": 1.5}}'),
        (["x" * 300], '["' + "x" * 198),
        (list(range(1000)), str(list(range(1000)))[:200]),
        (True, "true"),
        (42, "42"),
    ],
)
def test_a_preview_is_the_first_two_hundred_characters(
    preview: Callable[[Any], str], value: Any, expected: str
) -> None:
    assert preview(value) == expected


def test_a_preview_looks_at_no_more_than_it_shows() -> None:
    class Counted(dict[str, Any]):
        pass

    cyclic: list[Any] = []
    cyclic.append(cyclic)
    deep: Any = "end"
    for _ in range(5000):
        deep = [deep]
    assert TurnStarted(prompt=cyclic).prompt_preview == "[" * 200
    assert TurnStarted(prompt=deep).prompt_preview == "[" * 200
    assert TurnStarted(prompt=Counted(a=1)).prompt_preview == "an object of class Counted"
    assert len(TurnStarted(prompt=10**5000).prompt_preview) < 200
    assert len(TurnStarted(prompt="x" * 10**7).prompt_preview) == 200


# --- facts that are instructions --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entity", "relation", "interpret_as", "expected"),
    [
        ("user:1", "likes", None, False),
        ("user:1", "likes", "instruction", True),
        ("user:1", "likes", "Instruction", False),
        ("user:1", "likes", "instructions", False),
        ("instruction:1", "says", None, True),
        ("user:1", "instruction:follow", "text", True),
        ("my-instruction:1", "says", None, False),
        ("instruction", "says", "", False),
        ("Instruction:1", "says", None, False),
        ("", "", None, False),
    ],
)
def test_which_facts_are_instructions(entity: str, relation: str, interpret_as: str | None, expected: bool) -> None:
    assert is_instruction_fact(entity, relation, interpret_as) is expected
    fact = FactWritten(fact_id="f", entity=entity, relation=relation, interpret_as=interpret_as)
    assert fact.is_instruction is expected
    made = instruction_event(
        InstructionAudited,
        fact_id="f",
        fact_entity=entity,
        fact_relation=relation,
        fact_interpret_as=interpret_as,
        actor="agent:1",
    )
    assert (made is not None) is expected


@pytest.mark.parametrize("kind", [InstructionAudited, InstructionQuarantined, InstructionPromoted])
async def test_the_event_of_an_instruction(kind: Any) -> None:
    """Its source is the actor, unless another one is given."""
    about: dict[str, Any] = {"fact_id": "f", "fact_entity": "instruction:1", "fact_relation": "says"}
    about["actor"] = "agent:1"
    given: list[Any] = [
        instruction_event(kind, **about),
        instruction_event(kind, **about, source="node:2", detail={"chunks": 3}, scope="local"),
    ]
    async with Hub() as hub:
        one, other = await hub.emit_many(given)
    assert (one.actor, one.source, one.detail) == ("agent:1", "agent:1", None)
    assert {name: getattr(one, name) for name in about} == about
    assert one.fact_interpret_as is None
    assert (other.source, other.detail, other.scope) == ("node:2", {"chunks": 3}, "local")


@pytest.mark.parametrize("wrong", [None, 5, b"x", ["x"], object()])
def test_what_is_no_text_is_no_fact(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"is_instruction_fact\(\): entity must be text"):
        is_instruction_fact(wrong, "x")
    with pytest.raises(ConfigurationError, match=r"is_instruction_fact\(\): relation must be text"):
        is_instruction_fact("x", wrong)
    if wrong is not None:
        with pytest.raises(ConfigurationError, match=r"is_instruction_fact\(\): interpret_as must be text"):
            is_instruction_fact("x", "x", wrong)
    given: Any = {"fact_id": "f", "fact_entity": wrong, "fact_relation": "x", "actor": "a"}
    with pytest.raises(ConfigurationError, match=r"instruction_event\(\): fact_entity must be text"):
        instruction_event(InstructionAudited, **given)


def test_an_instruction_event_is_of_one_of_three_kinds() -> None:
    given: Any = {"fact_id": "f", "fact_entity": "instruction:1", "fact_relation": "x", "actor": "a"}
    others: list[Any] = [FactWritten, "instruction.audited", None, InstructionAudited(**given)]
    for wrong in others:
        with pytest.raises(ConfigurationError, match="makes events of InstructionAudited"):
            instruction_event(wrong, **given)
    with pytest.raises(ConfigurationError, match=r"unexpected keyword argument 'shape'.*give it fields of Instruct"):
        instruction_event(InstructionAudited, **given, shape="round")
