"""Rules for events, as a program writes them."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import attrs

from .._foreign.arguments import Call
from .._foreign.guards import class_name, clean, guarded_call, is_async
from .._values import Shown
from ..context import current
from ..errors import ConfigurationError, Fault
from ..events import Event, GenericEvent, UnknownEvent
from ..patterns import Patterns
from ._checks import Checks, Examined, Rule, examine
from ._names import is_kind
from ._paths import path_of
from ._schemas import schema_of
from ._types import Type, type_of

__all__ = ("MODES", "EventRule", "Mode", "Validation")

Mode = Literal["strict", "warn"]
Check = Callable[[Any], str | Iterable[str] | None]

MODES = ("strict", "warn")
_FAILINGS = ("fault", "pass")
_RULES_MAX = 1000
_FIELDS_MAX = 1000
_KINDS_MAX = 10_000
"""How many kinds are remembered. Programs have hundreds, but what they import may invent kinds without end."""
_NAME_MAX = 100
_BYTES_MAX = 8 * 1024 * 1024

_RULE = Call("EventRule()", ConfigurationError)
_VALIDATION = Call("Validation()", ConfigurationError)
_FAULTS = Call("validation.faults()", ConfigurationError)

_NAMED = (types.FunctionType, types.MethodType, types.BuiltinFunctionType)

_set = object.__setattr__


@attrs.frozen(eq=False, repr=False)
class EventRule(Shown):
    """What events of some kinds have to be like. All that is said holds together; what is not said is not looked at.

    ``pattern``: the kinds that it is for: one, ``"billing.charged"``; a domain, ``"billing.*"``; all, ``"*"``; or
    several of these.

    ``kinds``: the kinds there may be among them, as patterns: ``EventRule("*", kinds=["billing.*", "support.*"])``
    allows two domains.

    ``required``: the fields that have to be given: neither None nor blank text. ``"source"``, ``"tenant"`` and the
    like are of every event, and count as given where they are taken from :func:`hubwire.scope`. A field of a declared
    kind has its name; what a :class:`~hubwire.GenericEvent` holds has a path into its ``data``: ``"data.amount"``,
    ``"data.items.0.price"``.

    ``types``: the types of fields, by the same names and paths, as annotations of declared kinds are written:
    ``{"data.amount": float, "data.currency": Literal["EUR", "USD"], "data.tags": list[str]}``. A field that is missing,
    or None, has no type to be wrong. Nothing is converted.

    ``schema``: a JSON Schema of the payload: the ``data`` of a generic event, the own fields of a declared kind. It
    needs ``pip install 'hubwire[validation]'``. Formats are checked; nothing is fetched: what ``$ref`` names is in the
    schema itself; patterns are those without looks around and back references.

    ``check``: a function that is called with the event as it will be committed, but for number, id and time, and
    returns None if it is right, or a text that says what is wrong, or a list of texts. It is called on the event loop,
    for each event that is otherwise right by this rule, of a batch twice: it has to answer at once, and to change
    nothing. If it raises, or answers otherwise, ``when_check_fails`` says whether that is a ``"fault"`` of the event,
    or lets it ``"pass"``; both are counted, and reported by ``hub.guest_failed``.

    ``mode``: ``"strict"`` refuses an event at fault, ``"warn"`` lets it pass, and reports it; None: as the
    :class:`Validation` says.

    Raises :class:`~hubwire.errors.ConfigurationError` for what is no rule: a field that the hub sets, a type that
    cannot be checked, a schema that is wrong.
    """

    pattern: str | Iterable[str]
    kinds: str | Iterable[str] | None = attrs.field(default=None, kw_only=True)
    required: Iterable[str] = attrs.field(default=(), kw_only=True)
    types: Mapping[str, Any] = attrs.field(factory=dict, kw_only=True)
    schema: Mapping[str, Any] | bool | None = attrs.field(default=None, kw_only=True, repr=False)
    check: Check | None = attrs.field(default=None, kw_only=True)
    when_check_fails: Literal["fault", "pass"] = attrs.field(default="fault", kw_only=True)
    mode: Mode | None = attrs.field(default=None, kw_only=True)
    _compiled: Rule = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        patterns = Patterns(self.pattern)
        allowed = None if self.kinds is None else Patterns(self.kinds)
        required = [path_of(_RULE, "required", each) for each in _names(self.required)]
        kept = _types(self.types)
        schema = None if self.schema is None else schema_of(_RULE, self.schema)
        if self.check is not None and (is_async(self.check) or not _is_callable(self.check)):
            raise _RULE.refusal("check", self.check, "a function that is called with the event, and is not async")
        failing = _RULE.one_of("when_check_fails", self.when_check_fails, _FAILINGS)
        if self.mode is not None:
            _set(self, "mode", _RULE.one_of("mode", self.mode, MODES))
        if allowed is None and schema is None and self.check is None and not required and not kept:
            raise ConfigurationError(
                "EventRule(): it says nothing of the events; give kinds, required, types, schema or check"
            )
        _set(self, "pattern", patterns.patterns)
        _set(self, "kinds", None if allowed is None else allowed.patterns)
        _set(self, "required", tuple(path.text for path in required))
        _set(self, "types", {type_.path.text: type_.hint for type_ in kept})
        rule = Rule(
            patterns=patterns,
            mode=self.mode,
            allowed=allowed,
            required=tuple(required),
            types=kept,
            schema=schema,
            check=self.check,
            check_name="" if self.check is None else _name_of(self.check),
            is_failure_a_fault=failing == "fault",
        )
        _set(self, "_compiled", rule)


class Validation:
    """The rules of a hub for the events that callers emit: ``Hub(validation=Validation(EventRule(...), ...))``.

    They are checked by every way to emit, before the caller waits for room and before an arbiter is asked: ``emit``,
    ``emit_nowait``, ``offer``, ``emit_many``, ``batch``, ``emit_threadsafe``, and these as an agent has them. What
    commands and the hub itself make is not checked, nor is what is read: the journal replays events that newer rules
    would refuse.

    ``mode`` is that of the rules that have none of their own. If an event breaks a strict rule, the call raises
    :class:`~hubwire.errors.EventInvalid` with all its faults, also those by rules of the mode ``warn``, and nothing has
    happened. If it breaks rules of the mode ``warn`` alone, it is taken; ``hub.statistics()`` counts it, and
    ``hub.event_questioned`` reports it, at most once in a second for each kind.

    Kinds that no rule is for cost a look into a dictionary. It may be given to several hubs.
    """

    def __init__(self, *rules: EventRule, mode: Mode = "strict") -> None:
        """Raises :class:`~hubwire.errors.ConfigurationError` for what is no rule, and without any."""
        if not 0 < len(rules) <= _RULES_MAX:
            raise ConfigurationError(f"Validation(): give 1 to {_RULES_MAX} rules, not {len(rules)}")
        for each in rules:
            if not issubclass(type(each), EventRule):
                raise _VALIDATION.refusal("each rule", each, "an EventRule", "write Validation(EventRule(...), ...)")
        self.rules: Sequence[EventRule] = rules
        """The rules, in the order in which they are checked."""
        self.mode: str = _VALIDATION.one_of("mode", mode, MODES)
        """``strict`` or ``warn``: that of the rules that have none of their own."""
        self._known: dict[Any, Checks | None] = {}

    def __repr__(self) -> str:
        return f"<a validation by {len(self.rules)} rules>"

    def faults(self, event: Event) -> tuple[Fault, ...]:
        """Return what a hub with these rules would find, emitting this event here; empty if it is right.

        ``fault.mode`` tells what refuses it from what it would be let pass with. Raises
        :class:`~hubwire.errors.ConfigurationError` for what is no event, and for the name of a kind that is none.
        """
        if not issubclass(type(event), Event):
            raise _FAULTS.refusal("event", event, "an event")
        if type(event) is UnknownEvent or not is_kind(event.kind):
            raise _FAULTS.refusal("event", event, "an event of a kind that can be emitted")
        return self._examine(event, _BYTES_MAX, current()).faults

    def _examine(self, event: Any, bytes_max: int, around: Any) -> Examined:
        """Look at an event; a frozen copy comes back, where a rule is for its kind."""
        checks = self._checks_for(event)
        return Examined(event) if checks is None else examine(checks, event, bytes_max, around)

    def _checks_for(self, event: Any) -> Checks | None:
        """Return the rules for the kind of an event; None if there is none."""
        cls = type(event)
        key = cls if cls is not GenericEvent else event.kind if type(event.kind) is str else str.__str__(event.kind)
        try:
            return self._known[key]
        except KeyError:
            return self._compile(key, str.__str__(event.kind))

    def _compile(self, key: Any, kind: str) -> Checks | None:
        if len(self._known) >= _KINDS_MAX:
            self._known.clear()
        rules = [each._compiled for each in self.rules]  # noqa: SLF001 - compiled for this
        checks = Checks.of(rules, kind, self.mode)
        self._known[key] = checks
        return checks


# --- arguments ------------------------------------------------------------------------------------------------------


def _names(names: object) -> tuple[Any, ...]:
    return _RULE.items("required", names, of="names of fields", most=_FIELDS_MAX)


def _types(hints: object) -> tuple[Type, ...]:
    given = _RULE.mapping("types", hints, wanted="a mapping from names of fields to types")
    if len(given) > _FIELDS_MAX:
        raise _RULE.refusal("types", given, f"a mapping of at most {_FIELDS_MAX} fields")
    return tuple(type_of(_RULE, name, hint) for name, hint in given.items())


def _is_callable(check: object) -> bool:
    try:
        return guarded_call(callable, check)
    except Exception:  # noqa: BLE001 - the object may be of any class: then it is refused
        return False


def _name_of(check: object) -> str:
    while type(check) is functools.partial:
        check = check.func
    name = check.__qualname__ if isinstance(check, _NAMED) and type(check) in _NAMED else ""
    return clean(name, _NAME_MAX) or f"a {class_name(check)}"
