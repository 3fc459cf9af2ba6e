"""What the hub's constructor and its other calls accept: argument checks that no part of the hub makes itself."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from ._commands import Core
from ._commands.agents import id_of
from ._commands.channel import channel_id_of
from ._delivery.matcher import FILTERS, Filters
from ._delivery.settings import Options
from ._foreign.arguments import Call, has_method, is_a, shown
from ._state.turns import WatchLimits
from .errors import ConfigurationError
from .events import canonical
from .limits import Limits
from .position import Position

if TYPE_CHECKING:
    from .redaction.ingress import IngressRedaction

__all__ = (
    "ACTING_AS",
    "ATTACH",
    "DETACH",
    "EVENTS",
    "FOR_TENANT",
    "LISTENER_TIMEOUT_SECONDS",
    "MAILBOX",
    "MATCHER",
    "ON",
    "SUPERVISE",
    "check_plug_ins",
    "check_settings",
    "checked_listeners",
    "filters_of",
    "limits_with",
    "name_to_forget",
    "options_of",
    "pattern_of",
    "reading_of",
    "redaction_by",
    "seconds_to_flush",
    "tenant_of",
)

LISTENER_TIMEOUT_SECONDS = 30.0
MAILBOX = 1000
ACTING_AS = Call("hub.acting_as()")
FOR_TENANT = Call("hub.for_tenant()")
ATTACH = Call("hub.attach()", ConfigurationError)
DETACH = Call("hub.detach()", ConfigurationError)
EVENTS = Call("hub.events()", ConfigurationError)
MATCHER = Call("hub.matcher()", ConfigurationError)
ON = Call("hub.on()", ConfigurationError)
SUPERVISE = Call("hub.supervise()", ConfigurationError)
_HUB = Call("Hub()", ConfigurationError)
_FORGET = Call("hub.forget()", ConfigurationError)
_FLUSH = Call("hub.flush()", ConfigurationError)

_PATTERNS_MAX = 1000

_CONCURRENCY_MAX = 1000
"""Each call that is under way has a task, of a sync function a thread."""

_KEYS = (
    *("kind", "tenant", "source", "actor", "agent_id", "session_id", "turn_id", "channel_id", "task_id"),
    *("correlation_id", "causation_id"),
)
"""The fields of each event by which those that belong together can be told."""

_OWN = {field.name for field in attrs.fields(Options)} - {"filters"}
_SETTINGS = (*sorted(_OWN), *FILTERS, "in_loop", "priority")
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
    dead_letters: object = None,
    validation: object = None,
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
    if dead_letters is not None:
        from ._delivery.letter import DeadLetterPolicy  # noqa: PLC0415 - few programs give one, and have imported it

        _HUB.instance("dead_letters", dead_letters, DeadLetterPolicy, advice="write DeadLetterPolicy(...)")
    if validation is not None:
        from .validation import Validation  # noqa: PLC0415 - as with approvals

        wanted = "a hubwire.validation.Validation"
        _HUB.instance("validation", validation, Validation, wanted=wanted, advice="write Validation(EventRule(...))")
    for argument, value, kind in (("watch", watch, WatchLimits), ("limits", limits, Limits)):
        if value is not None:
            _HUB.instance(argument, value, kind, advice=f"write {kind.__name__}(...)")


def redaction_by(redactor: object, limits: Limits) -> IngressRedaction | None:
    """Return what redacts all that a hub takes in; None if it is to take everything as it comes."""
    if redactor is None:
        return None
    from .redaction.choice import redacting  # noqa: PLC0415 - few hubs redact what they take in
    from .redaction.ingress import IngressRedaction  # noqa: PLC0415

    chosen = redacting("Hub()", redactor)
    return None if chosen is None else IngressRedaction(chosen.redactor, limits.event_bytes_max)


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


def options_of(*, pattern: Any, in_loop: object, **settings: Any) -> Options:
    """Return what the caller of ``attach`` has chosen; what depends on the listener is checked with it."""
    chosen = {name: _CHECKS[name](ATTACH, value) if name in _CHECKS else value for name, value in settings.items()}
    _CHECKS["in_loop"](ATTACH, in_loop)
    return Options(pattern=None if pattern is None else pattern_of(ATTACH, pattern), **chosen)


def check_settings(settings: Mapping[str, object], not_for_it: Container[str] = ()) -> None:
    """Check what :meth:`hubwire.Hub.on` hands on: errors name the call that was made."""
    ON.keys("it", settings, [each for each in _SETTINGS if each not in not_for_it])
    for name, value in settings.items():
        if name in _CHECKS:
            _CHECKS[name](ON, value)


def _key_of(call: Call, key: Any) -> Any:
    """Return what says which events are handled one after the other: the name of a field, a function, or None."""
    if key is None or (callable(key) and not is_a(key, str)):
        return key
    if not is_a(key, str):
        raise call.refusal("key", key, f"one of {', '.join(_KEYS)}, or a function of the event")
    return call.one_of("key", key, _KEYS)


_CHECKS: Mapping[str, Callable[[Call, Any], Any]] = {
    "name": lambda call, value: call.text("name", value, is_optional=True),
    "in_loop": lambda call, value: call.flag("in_loop", value),
    "once": lambda call, value: call.flag("once", value),
    "concurrency": lambda call, value: call.whole("concurrency", value, least=1, most=_CONCURRENCY_MAX),
    "key": _key_of,
    "metadata": lambda call, value: (
        {} if value is None else call.mapping("metadata", value, wanted="a mapping, or None")
    ),
}
"""The settings that do not depend on the listener."""


def pattern_of(call: Call, pattern: Any) -> str | tuple[str, ...]:
    if is_a(pattern, str):
        return call.text("pattern", pattern)
    kinds = call.items("pattern", pattern, of="kinds", most=_PATTERNS_MAX)
    return tuple(call.text("each of pattern", each) for each in kinds)


def filters_of(core: Core, call: Call, given: Mapping[str, Any]) -> Filters | None:
    """Return what selects events by their headers: by a tenant, an agent and a channel; None if nothing does."""
    tenant, agent, channel = given.get("tenant"), given.get("agent"), given.get("channel")
    if (own := core.acting.tenant) is not None:
        tenant = own
    if tenant is None and agent is None and channel is None:
        return None
    for name, value in (("agent", agent), ("channel", channel)):
        if is_a(value, str) and not str.__str__(value):  # a subclass may answer for itself as it likes
            raise call.refusal(name, value, f"the id of {'an' if name == 'agent' else 'a'} {name}, not empty")
    return Filters(
        tenant=None if tenant is None else tenant_of(call, tenant),
        agent=None if agent is None else id_of(core, agent, call),
        channel=channel_id_of(core, channel, call),
        id_of=core.acting.id_of,
        is_all_there_is=own is not None,
    )


def tenant_of(call: Call, tenant: object) -> str:
    """Return the name of a tenant: a text of a bounded length, as events have it, that is not empty and has no NUL."""
    text = call.id("tenant", tenant, wanted="the name of a tenant")
    if not text.strip() or "\0" in text or canonical(text) != text:
        raise call.refusal("tenant", text, "the name of a tenant, text that is not empty and has no NUL")
    return text


def name_to_forget(name: object) -> str:
    return _FORGET.text("name", name, wanted="the name of a listener")


# --- reading --------------------------------------------------------------------------------------------------------


def reading_of(after: object, pattern: object, history: object) -> tuple[Position | None, int | None, Any, bool]:
    """Return the position that is given, if it is one, where to read after, and the others as they are gone on with."""
    position = None if after is None else _position_of(after)
    after = EVENTS.whole("after", position.seq if position else after, least=-1, is_optional=True)
    return position, after, pattern_of(EVENTS, pattern), EVENTS.flag("history", history)


def _position_of(after: object) -> Position | None:
    """Return a position that is given as itself or as its text; None for a number."""
    if is_a(after, Position):
        return Position.parse(str(after))
    return Position.parse(EVENTS.text("after", after)) if is_a(after, str) else None


def seconds_to_flush(timeout: object) -> float | None:
    return _FLUSH.seconds("timeout", timeout, is_zero_ok=True, is_optional=True)
