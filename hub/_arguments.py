"""What the hub's constructor and its other calls accept: argument checks that no part of the hub makes itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from ._delivery.settings import Options
from ._foreign.arguments import Call, has_method, is_a, shown
from ._state.turns import WatchLimits
from .errors import ConfigurationError
from .limits import Limits
from .position import Position

__all__ = (
    "ACTING_AS",
    "ATTEMPTS_MAX",
    "LISTENER_TIMEOUT_SECONDS",
    "MAILBOX",
    "ON",
    "SUPERVISE",
    "check_plug_ins",
    "check_settings",
    "checked_listeners",
    "limits_with",
    "name_to_forget",
    "options_of",
    "pattern_of",
    "reading_of",
    "seconds_to_flush",
)

LISTENER_TIMEOUT_SECONDS = 30.0
MAILBOX = 1000
ATTEMPTS_MAX = 16
"""With the pauses between them, two minutes on average."""

ACTING_AS = Call("hub.acting_as()")
ON = Call("hub.on()", ConfigurationError)
SUPERVISE = Call("hub.supervise()", ConfigurationError)
_HUB = Call("Hub()", ConfigurationError)
_ATTACH = Call("hub.attach()", ConfigurationError)
_FORGET = Call("hub.forget()", ConfigurationError)
_EVENTS = Call("hub.events()", ConfigurationError)
_FLUSH = Call("hub.flush()", ConfigurationError)

_PATTERNS_MAX = 1000

_SETTINGS = (*(field.name for field in attrs.fields(Options) if field.name != "pattern"), "in_loop")
"""What :meth:`hubwire.Hub.on` takes by keyword."""


# --- the constructor ------------------------------------------------------------------------------------------------


def check_plug_ins(
    store: object,
    journal: object,
    clock: object,
    arbiter: object,
    approvals: object,
    watch: object,
    limits: object,
    validation: object,
) -> None:
    """Refuse what cannot be a part of a hub, before a part is made; None stands for a part's default."""
    path = shown(store) if is_a(store, str) else "'./data'"
    for argument, value, methods, wanted, advice in (
        ("store", store, ("read", "append", "list"), "a KnowledgeStore", f"write FileStore({path})"),
        ("journal", journal, ("open", "append", "replay"), "a Journal", "Hub(store) makes one on its store"),
        ("clock", clock, ("now_ns", "monotonic", "sleep"), "a Clock", ""),
        ("arbiter", arbiter, ("authorize",), "an Arbiter", "of rules, RuleArbiter({...}) makes one"),
    ):
        if value is not None and (not all(has_method(value, each) for each in methods)):
            raise _HUB.refusal(argument, value, f"{wanted} with {', '.join(methods)}", advice)
    if approvals is not None:
        from .approvals import ApprovalPolicy  # noqa: PLC0415 - few programs give one, and they have imported it

        _HUB.instance("approvals", approvals, ApprovalPolicy, advice="write ApprovalPolicy(...)")
    if validation is not None:
        from .validation import Validation  # noqa: PLC0415 - as with approvals

        wanted = "a hubwire.validation.Validation"
        _HUB.instance("validation", validation, Validation, wanted=wanted, advice="write Validation(EventRule(...))")
    for argument, value, kind in (("watch", watch, WatchLimits), ("limits", limits, Limits)):
        if value is not None:
            _HUB.instance(argument, value, kind, advice=f"write {kind.__name__}(...)")


def checked_listeners(listeners: object) -> tuple[Any, ...]:
    if has_method(listeners, "on_events"):
        raise _HUB.refusal("listeners", listeners, "a list of listeners", "put it into a list")
    return _HUB.items("listeners", listeners, of="listeners")


def limits_with(limits: Limits | None, **keywords: Any) -> Limits:
    """Return the limits with those of the hub's keywords that were given instead."""
    limits = Limits() if limits is None else limits
    given = {name: value for name, value in keywords.items() if value is not None}
    return attrs.evolve(limits, **given) if given else limits


# --- listeners ------------------------------------------------------------------------------------------------------


def options_of(*, name: object, pattern: Any, in_loop: object, **settings: Any) -> Options:
    """Return what the caller of ``attach`` has chosen; what depends on the listener is checked with it."""
    name = _ATTACH.text("name", name, is_optional=True)
    _ATTACH.flag("in_loop", in_loop)
    return Options(name=name, pattern=None if pattern is None else pattern_of(_ATTACH, pattern), **settings)


def check_settings(settings: Mapping[str, object]) -> None:
    ON.keys("it", settings, _SETTINGS)


def pattern_of(call: Call, pattern: Any) -> str | tuple[str, ...]:
    if is_a(pattern, str):
        return call.text("pattern", pattern)
    kinds = call.items("pattern", pattern, of="kinds", most=_PATTERNS_MAX)
    return tuple(call.text("each of pattern", each) for each in kinds)


def name_to_forget(name: object) -> str:
    return _FORGET.text("name", name, wanted="the name of a listener")


# --- reading --------------------------------------------------------------------------------------------------------


def reading_of(after: object, pattern: object, history: object) -> tuple[Position | None, int | None, Any, bool]:
    """Return the position that is given, if it is one, where to read after, and the others as they are gone on with."""
    position = None if after is None else _position_of(after)
    after = _EVENTS.whole("after", position.seq if position else after, least=-1, is_optional=True)
    return position, after, pattern_of(_EVENTS, pattern), _EVENTS.flag("history", history)


def _position_of(after: object) -> Position | None:
    """Return a position that is given as itself or as its text; None for a number."""
    if is_a(after, Position):
        return Position.parse(str(after))
    return Position.parse(_EVENTS.text("after", after)) if is_a(after, str) else None


def seconds_to_flush(timeout: object) -> float | None:
    return _FLUSH.seconds("timeout", timeout, is_zero_ok=True, is_optional=True)
