"""The context of an emit, which is not passed to it: correlation id, trace context, tenant, and the causing event.

It is kept in context variables, so it follows the code: into child tasks, ``asyncio.to_thread`` and
``anyio.to_thread``. An event takes its values over when it is emitted, unless it has its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import NoneType

import attrs

from .errors import ConfigurationError
from .events import Event
from .events._stamp import EMPTY, Context

__all__ = ("EMPTY", "Context", "cause", "current", "scope")


_scope: ContextVar[Context] = ContextVar("hubwire.scope", default=EMPTY)
_cause: ContextVar[Event | None] = ContextVar("hubwire.cause", default=None)

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def current() -> Context:
    """Return the context that an event emitted here would inherit."""
    scope, event = _scope.get(), _cause.get()
    if event is None:
        return scope
    return Context(
        tenant=scope.tenant or event.tenant,
        correlation_id=scope.correlation_id or event.correlation_id,
        traceparent=scope.traceparent or event.traceparent,
        causation_id=event.id,
        depth=event.depth + 1,
    )


def cause(event: Event) -> None:
    """Name, in a listener that takes batches, the event being handled as the cause of the events emitted next.

    Without this call, the last event of the batch is their cause.
    """
    _cause.set(event)


@contextmanager
def scope(
    *, correlation_id: str | None = None, tenant: str | None = None, traceparent: str | None = None
) -> Iterator[Context]:
    """Set the context that events emitted inside inherit; values not given stay as they are outside. Scopes nest.

    All are text, and ``traceparent`` is a W3C Trace Context header value; any other value raises
    :class:`~hubwire.errors.ConfigurationError`.
    """
    given = {"correlation_id": correlation_id, "tenant": tenant, "traceparent": traceparent}
    if wrong := [name for name, value in given.items() if not isinstance(value, (str, NoneType))]:
        raise ConfigurationError(f"{', '.join(wrong)} must be text; write it out with str(...)")
    if traceparent is not None and not _TRACEPARENT.fullmatch(traceparent):
        raise ConfigurationError(
            f"traceparent {traceparent!r} is not a W3C Trace Context value (00-<32 hex>-<16 hex>-<2 hex>)"
        )
    outer = _scope.get()
    inner = attrs.evolve(
        outer,
        correlation_id=outer.correlation_id if correlation_id is None else correlation_id,
        tenant=outer.tenant if tenant is None else tenant,
        traceparent=outer.traceparent if traceparent is None else traceparent,
    )
    token = _scope.set(inner)
    try:
        yield inner
    finally:
        _scope.reset(token)


def leave_all() -> None:
    """Forget, in this task, the scope that it was started in."""
    _scope.set(EMPTY)
    _cause.set(None)
