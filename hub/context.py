"""The context of an emit, which is not passed to it: correlation, trace, tenant, place, and the causing event.

The place is the agent, session, turn, channel and task that the code is at work for.

It is kept in context variables, so it follows the code: into child tasks, ``asyncio.to_thread`` and
``anyio.to_thread``. An event takes its values over when it is emitted, unless it has its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar, Token
from itertools import islice
from types import MappingProxyType, NoneType
from typing import Any, Protocol

import attrs

from .clock import uuid_of_now
from .errors import ConfigurationError
from .events import Event
from .events._fit import TRACEPARENT
from .events._shown import is_a, shown, type_name
from .events._stamp import EMPTY, Context

__all__ = (
    "CORRELATION_HEADER",
    "EMPTY",
    "Context",
    "HasId",
    "baggage",
    "cause",
    "current",
    "headers",
    "scope",
    "scope_from",
)

CORRELATION_HEADER = "X-Correlation-ID"
"""The header of HTTP that :func:`headers` writes a ``correlation_id`` to, and :func:`scope_from` reads it from."""

_BAGGAGE_HEADER = "baggage"
_HEADERS_MAX = 1000
"""How many headers are looked through; servers take a hundred or so."""
_VALUE = re.compile(r"[!-~](?:[ -~]{0,254}[!-~])?")
"""What may be a correlation id in a header: printable ASCII of one line, and so no header of its own."""


class HasId(Protocol):
    """What is known by an id, as an agent, a channel and a task are."""

    @property
    def id(self) -> str: ...


class _Scope:
    """A scope that was entered; ``is_left`` if it was left in another context, and that one still refers to it."""

    __slots__ = ("baggage", "context", "is_left", "outer")

    def __init__(self, context: Context, outer: _Scope | None, baggage: Mapping[str, str]) -> None:
        self.context = context
        self.outer = outer
        self.baggage = baggage
        self.is_left = False

    def present(self) -> _Scope:
        """Return the innermost scope that was not left."""
        scope = self
        while scope.is_left and scope.outer is not None:
            scope = scope.outer
        return scope


_NONE = _Scope(EMPTY, None, MappingProxyType({}))

_scope: ContextVar[_Scope] = ContextVar("hubwire.scope", default=_NONE)
_cause: ContextVar[Event | None] = ContextVar("hubwire.cause", default=None)


def current() -> Context:
    """Return the context that an event emitted here would inherit."""
    entered, event = _scope.get(), _cause.get()
    scope = entered.present().context if entered.is_left else entered.context
    if event is None:
        return scope
    return attrs.evolve(
        scope,
        tenant=scope.tenant or event.tenant,
        correlation_id=scope.correlation_id or event.correlation_id,
        traceparent=scope.traceparent or event.traceparent,
        causation_id=event.id,
        depth=event.depth + 1,
    )


def baggage() -> Mapping[str, str]:
    """Return the baggage of this place: what :func:`scope_from` has let in, or :func:`scope` was given.

    It goes on to other services by :func:`headers`. It is in no event: give what belongs there to the event itself.
    """
    return _scope.get().present().baggage


def cause(event: Event) -> None:
    """Name, in a listener that takes batches, the event being handled as the cause of the events emitted next.

    Without this call, the last event of the batch is their cause.
    """
    _cause.set(event)


@contextmanager
def scope(
    *,
    correlation_id: str | None = None,
    tenant: str | None = None,
    traceparent: str | None = None,
    agent: HasId | str | None = None,
    session: str | None = None,
    turn: HasId | str | None = None,
    channel: HasId | str | None = None,
    task: HasId | str | None = None,
    baggage: Mapping[str, str] | None = None,
) -> Iterator[Context]:
    """Set the context that events emitted inside inherit; values not given stay as they are outside. Scopes nest.

    All are text, and ``traceparent`` is a W3C Trace Context header value; any other value raises
    :class:`~hubwire.errors.ConfigurationError`. Lone surrogates, which UTF-8 cannot hold, are written as escapes.

    ``agent``, ``session``, ``turn``, ``channel`` and ``task`` are ids, or what has one as its ``id``: an
    :class:`~hubwire.Agent`, a turn. So the callbacks of a framework need not know whose turn it is. An inner
    scope of another agent is outside of the turn and the task of the outer one.

    ``baggage`` goes to other services, beside that of the outer scope: a mapping of texts; keys are tokens of HTTP.

    It may be left in another context, as by an async generator that another task closes: it counts no more, in both.
    """
    given = {
        "correlation_id": correlation_id,
        "tenant": tenant,
        "traceparent": traceparent,
        "agent_id": _id_of(agent),
        "session_id": session,
        "turn_id": _id_of(turn),
        "channel_id": _id_of(channel),
        "task_id": _id_of(task),
    }
    if wrong := [name for name, value in given.items() if not is_a(value, (str, NoneType))]:
        raise ConfigurationError(f"scope(): {', '.join(wrong)} must be text; write it out with str(...)")
    if traceparent is not None and not TRACEPARENT.fullmatch(traceparent):
        raise ConfigurationError(
            f"scope(): traceparent {shown(traceparent)} is not a W3C Trace Context value (00-<32 hex>-<16 hex>-<2 hex>)"
        )
    carried = _carried(baggage)
    outer = _scope.get()
    present = outer.present()
    around = present.context
    changes: dict[str, Any] = {name: _written(value) for name, value in given.items() if value is not None}
    if changes.get("agent_id", around.agent_id) != around.agent_id:
        changes = {"turn_id": None, "task_id": None, **changes}
    inner = attrs.evolve(around, **changes)
    entered = _Scope(inner, outer, MappingProxyType({**present.baggage, **carried}) if carried else present.baggage)
    token = _scope.set(entered)
    try:
        yield inner
    finally:
        _leave(entered, token)


def scope_from(
    received: Mapping[str, str] | Mapping[bytes, bytes] | Iterable[tuple[str, str]] | Iterable[tuple[bytes, bytes]],
    *,
    baggage: Iterable[str] = (),
) -> AbstractContextManager[Context]:
    """Return the scope that the headers of a request name, to be entered by ``with``.

    The ``correlation_id`` is that of ``X-Correlation-ID``; a new one where that is not there, or no printable ASCII of
    up to 256 characters. The ``traceparent`` is that of the header of this name; one that is malformed is left out, as
    W3C Trace Context says. Upper and lower case of names are one; of a header that is given twice, the first counts.
    Both come from outside: take them for a hint of what belongs together, not for an identity.

    ``baggage``: the keys of the header of this name that are let in, as W3C Baggage has it; by default none is. They
    are what :func:`baggage` returns inside, and :func:`headers` passes on.

    ``received`` is a mapping, or pairs as ASGI has them, of text or bytes; its first 1,000 headers are looked at. What
    is neither, or fails when it is read, raises :class:`~hubwire.errors.ConfigurationError`.
    """
    allowed = _allowed(baggage)
    found: dict[str, str] = {}
    try:
        pairs = received.items() if is_a(received, Mapping) else received  # type: ignore[union-attr]
        for name, value in islice(iter(pairs), _HEADERS_MAX):
            found.setdefault(_ascii(name).lower(), _ascii(value).strip(" \t"))
    except Exception as error:
        raise ConfigurationError(
            f"scope_from(): headers are a mapping of names and values, or pairs of them, not a {type_name(received)}"
        ) from error
    correlation_id = found.get(CORRELATION_HEADER.lower(), "")
    traceparent = found.get("traceparent", "")
    return scope(
        correlation_id=correlation_id if _VALUE.fullmatch(correlation_id) else str(uuid_of_now()),
        traceparent=traceparent if TRACEPARENT.fullmatch(traceparent) else None,
        baggage=_let_in(found.get(_BAGGAGE_HEADER, ""), allowed) if allowed else None,
    )


def headers() -> dict[str, str]:
    """Return the headers that pass the context of this place on to another service, for :func:`scope_from` there.

    They are ``X-Correlation-ID``, ``traceparent`` and ``baggage``, each where the context has it. A correlation id that
    is no printable ASCII of up to 256 characters cannot be in a header, and is left out.
    """
    here = current()
    passed = {}
    if here.correlation_id is not None and _VALUE.fullmatch(here.correlation_id):
        passed[CORRELATION_HEADER] = here.correlation_id
    if here.traceparent is not None:
        passed["traceparent"] = here.traceparent
    if carried := baggage():
        from ._baggage import written_baggage  # noqa: PLC0415 - few programs have any

        passed[_BAGGAGE_HEADER] = written_baggage(carried)
    return passed


def _let_in(header: str, allowed: frozenset[str]) -> dict[str, str]:
    from ._baggage import read_baggage  # noqa: PLC0415 - as above

    return read_baggage(header, allowed)


def _carried(given: object) -> dict[str, str]:
    if given is None:
        return {}
    from ._baggage import is_baggage  # noqa: PLC0415 - as above

    try:
        members = dict(given)  # type: ignore[call-overload]
    except Exception as error:
        raise ConfigurationError(f"scope(): baggage is a mapping of texts, not a {type_name(given)}") from error
    if len(members) > _HEADERS_MAX or not all(is_baggage(key, value) for key, value in members.items()):
        raise ConfigurationError(
            "scope(): baggage is a mapping of texts, whose keys are tokens of HTTP: letters, digits, dashes, dots"
        )
    return {key: str(_written(value)) for key, value in members.items()}


def _allowed(keys: object) -> frozenset[str]:
    try:
        found = None if is_a(keys, (str, bytes)) else tuple(islice(iter(keys), _HEADERS_MAX))  # type: ignore[call-overload]
    except Exception:  # noqa: BLE001 - it is a stranger's object: then it is refused
        found = None
    if found is None or not all(type(key) is str for key in found):
        raise ConfigurationError('scope_from(): baggage names the keys that are let in, such as baggage=["tenant"]')
    return frozenset(found)


def _ascii(text: Any) -> str:
    """Return the name or value of a header; empty if it is neither text nor bytes, or no ASCII."""
    if is_a(text, bytes):
        text = bytes.decode(text, "ascii", "replace")
    elif is_a(text, str):
        text = str.__str__(text)
    return text if type(text) is str and text.isascii() else ""


def _id_of(value: HasId | str | None) -> Any:
    """Return the id; what has none as it is, to be refused."""
    if value is None or is_a(value, str):
        return value
    try:
        return value.id  # type: ignore[union-attr]
    except Exception:  # noqa: BLE001 - it is a stranger's object: then it is refused
        return value


def _written(text: str) -> str | None:
    """Return the text as every event will have it: these ids come from headers, files and arguments of programs."""
    return str.encode(text, errors="backslashreplace").decode()


def _leave(entered: _Scope, token: Token[_Scope]) -> None:
    """Leave a scope, where it was entered or in another context: a generator may be closed by another task."""
    try:
        _scope.reset(token)
    except ValueError:
        entered.is_left = True


def leave_all() -> None:
    """Forget, in this task, the scope that it was started in."""
    _scope.set(_NONE)
    _cause.set(None)
