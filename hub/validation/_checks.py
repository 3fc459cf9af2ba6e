"""Rules as they are checked: those for one kind, together, on frozen values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import attrs

from .._foreign.guards import class_name, clean, guarded_call, repr_of, text_of
from ..context import Context
from ..errors import EventInvalid, Fault
from ..events import Event, FrozenDict, GenericEvent, Outcome, Severity, canonical
from ..events._canonical import json_numbers
from ..events._event import field_names, own_fields
from ..events._shown import FAULTS_MAX, is_a, shown
from ..events._stamp import stamp
from ..patterns import Patterns
from ._paths import MISSING, Field, Path
from ._schemas import Schema
from ._types import Misfit, Type

__all__ = ("Checks", "Examined", "Rule", "examine")

_MEMBERS = (Severity, Outcome)
"""In the header these are, and rules are about their texts."""

_NONE = frozenset[str]()
_TEXT_MAX = 200
_RULE_MAX = 100


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Rule:
    """One rule, compiled."""

    patterns: Patterns
    mode: str | None
    allowed: Patterns | None
    required: tuple[Path, ...]
    types: tuple[Type, ...]
    schema: Schema | None
    check: Callable[[Any], Any] | None
    check_name: str
    is_failure_a_fault: bool

    @property
    def name(self) -> str:
        """What a fault calls it: its patterns."""
        return clean(", ".join(self.patterns.patterns), _RULE_MAX)


@attrs.define(eq=False, repr=False)
class Examined:
    """What was found of an event."""

    event: Any
    """The event, frozen if a rule is for its kind."""
    faults: tuple[Fault, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    """The checks of the program's own that failed: the name of the rule, and the class of what was raised."""

    @property
    def is_refused(self) -> bool:
        return any(fault.mode == "strict" for fault in self.faults)


@attrs.frozen(eq=False, repr=False)
class Checks:
    """The rules for one kind, each with its mode, in their order."""

    rules: tuple[tuple[Rule, str], ...]
    known: tuple[Fault, ...]
    """What is wrong with every event of the kind: that there is one."""
    are_values_needed: bool

    @classmethod
    def of(cls, rules: Sequence[Rule], kind: str, mode: str) -> Checks | None:
        """Return those of the rules that are for a kind; None if there is none."""
        matching = tuple((rule, rule.mode or mode) for rule in rules if rule.patterns.matches(kind))
        known = tuple(
            Fault("kind", f"one of {', '.join(rule.allowed.patterns)}"[:_TEXT_MAX], shown(kind), rule.name, mode)
            for rule, mode in matching
            if rule.allowed is not None and not rule.allowed.matches(kind)
        )
        needing = tuple((rule, mode) for rule, mode in matching if _looks_at_values(rule))
        return cls(needing, known, bool(needing)) if needing or known else None


def _looks_at_values(rule: Rule) -> bool:
    return bool(rule.required or rule.types) or rule.schema is not None or rule.check is not None


def examine(checks: Checks, event: Event, bytes_max: int, around: Context) -> Examined:
    """Freeze an event, and find all that is wrong with it.

    Raises :class:`~hubwire.errors.EventTooLarge`, as stamping it would.
    """
    if not checks.are_values_needed:
        return Examined(event, checks.known)
    faults, failures = list(checks.known), list[tuple[str, str]]()
    try:
        frozen = stamp(event, -1, "", "", "", around, bytes_max)
    except EventInvalid as error:
        # What cannot be stamped has other faults, too; of the fields that do not fit there is no more to say.
        faults += error.faults
        misfits = frozenset(fault.path for fault in error.faults)
        field = _canonical_fields(event, around, bytes_max)
        for rule, mode in checks.rules:
            faults += _value_faults(rule, mode, field, misfits)
        return Examined(event, _bounded(faults))
    field = _fields_of(frozen)
    for rule, mode in checks.rules:
        found = list(_value_faults(rule, mode, field, _NONE))
        if rule.schema is not None:
            found += _schema_faults(rule.schema, rule.name, mode, frozen)
        if not found and rule.check is not None:
            found, failure = _own_faults(rule, mode, frozen)
            failures += failure
        faults += found
    return Examined(frozen, _bounded(faults), tuple(failures))


def _bounded(faults: list[Fault]) -> tuple[Fault, ...]:
    """Return so many faults as an error holds: those that refuse the event come first, and are never left out."""
    if len(faults) > FAULTS_MAX:
        faults.sort(key=lambda fault: fault.mode != "strict")
    return tuple(faults[:FAULTS_MAX])


# --- fields ---------------------------------------------------------------------------------------------------------


_names: dict[type[Event], frozenset[str]] = {}
"""The names of the fields of each class: to list them takes as long as to stamp an event."""


def _fields_of(frozen: Event) -> Field:
    cls = type(frozen)
    names = _names.get(cls) or _names.setdefault(cls, frozenset(field_names(cls)))

    def field(name: str) -> Any:
        value = getattr(frozen, name) if name in names else MISSING
        return str(value) if type(value) in _MEMBERS else value

    return field


def _canonical_fields(event: Event, around: Context, bytes_max: int) -> Field:
    """Return the fields of an event that cannot be stamped, each frozen by itself."""
    values: dict[str, Any] = {}
    for name in field_names(type(event)):
        value = getattr(event, name)
        values[name] = getattr(around, name, None) if value is None else canonical(value, bytes_max=bytes_max)
    return lambda name: values.get(name, MISSING)


def _value_faults(rule: Rule, mode: str, field: Field, misfits: frozenset[str]) -> Iterator[Fault]:
    for path in rule.required:
        if path.field not in misfits:
            value = path.value(field)
            if value is None or value is MISSING or (type(value) is str and not value.strip()):
                yield Fault(path.text, "given and not blank", _given(value), rule.name, mode)
    for type_ in rule.types:
        if type_.path.field not in misfits:
            value = type_.path.value(field)
            if value is not None and value is not MISSING:
                try:
                    type_.check(value)
                except Misfit:
                    yield Fault(type_.path.text, type_.wanted, shown(value), rule.name, mode)


def _given(value: Any) -> str:
    return "not given" if value is MISSING or value is None else shown(value)


# --- schemas --------------------------------------------------------------------------------------------------------


def _schema_faults(schema: Schema, rule: str, mode: str, frozen: Event) -> Iterator[Fault]:
    is_generic = type(frozen) is GenericEvent
    payload: Any = frozen.data if is_generic else _own_payload(frozen)  # type: ignore[attr-defined]
    for keys, wanted in schema(payload, FAULTS_MAX):
        whole = ("data", *keys) if is_generic else keys
        value = Path("", "payload", keys).value(lambda _: payload)
        yield Fault(".".join(whole), wanted, _given(value), rule, mode)


def _own_payload(frozen: Event) -> Mapping[str, Any]:
    """Return the own fields of a declared kind; a number that JSON cannot hold is none there."""
    return FrozenDict({name: json_numbers(getattr(frozen, name)) for name in own_fields(type(frozen))})


# --- checks of the program's own ------------------------------------------------------------------------------------


def _own_faults(rule: Rule, mode: str, frozen: Event) -> tuple[list[Fault], list[tuple[str, str]]]:
    assert rule.check is not None
    try:
        texts = _texts(_called(rule.check, frozen))
    except Exception as error:  # noqa: BLE001 - it is a guest's
        text = text_of(error)[:_TEXT_MAX]
        fault = Fault("", f"found right by {rule.check_name}", f"not: the check failed ({text})", rule.name, mode)
        # The text may hold what is not for the log; the caller gets it.
        return ([fault] if rule.is_failure_a_fault else []), [(rule.name, class_name(error))]
    return [Fault("", f"as {rule.check_name} says ({text})", "not", rule.name, mode) for text in texts], []


def _called(check: Callable[[Any], Any], frozen: Event) -> Any:
    """Call a check; by the name of this function the hub knows whose code it is that holds up the event loop."""
    answer = guarded_call(check, frozen)
    if guarded_call(inspect.isawaitable, answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise TypeError("it would have to be awaited; a check answers at once")
    return answer


def _texts(answer: Any) -> list[str]:
    if answer is None:
        return []
    items = [answer] if is_a(answer, str) else answer if type(answer) in (list, tuple) else None
    if items is None or not all(is_a(each, str) for each in islice(items, FAULTS_MAX)):
        raise TypeError(f"it returned {repr_of(answer)}, not None, a text or a list of texts")
    return [clean(str.__str__(each), _TEXT_MAX) for each in islice(items, FAULTS_MAX)]
