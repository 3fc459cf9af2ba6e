"""Traces of the program itself: its functions as spans, and the ids of traces in its log lines.

OpenTelemetry is used where it is installed and set up by the program. Without it all of this works, and makes no spans.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import cache, wraps
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal, ParamSpec, TypeVar, cast, overload

from .context import current, scope
from .errors import ConfigurationError
from .events._fit import TRACEPARENT
from .events._shown import is_a, shown, type_name

__all__ = ("LogIds", "add_log_ids", "current_traceparent", "is_available", "log_ids", "traced")

P = ParamSpec("P")
R = TypeVar("R")

Kind = Literal["internal", "client", "server", "producer", "consumer"]
_KINDS = ("internal", "client", "server", "producer", "consumer")

_IDS = ("correlation_id", "tenant", "agent_id", "session_id", "turn_id", "channel_id", "task_id")
_ALL_IDS = ("trace_id", "span_id", *_IDS)


@cache
def _api() -> Any:
    """Return the module of OpenTelemetry that makes spans; None where it is not installed."""
    try:
        return import_module("opentelemetry.trace")
    except ImportError:
        return None


def is_available() -> bool:
    """Tell whether OpenTelemetry is installed: whether :func:`traced` can make spans."""
    return _api() is not None


def current_traceparent() -> str | None:
    """Return the W3C Trace Context of the span that this code is in; else that of the context of events, or None.

    The span is that of OpenTelemetry, if the program uses it. Nothing is imported to find out.
    """
    return _of_span() or current().traceparent


def _of_span() -> str | None:
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    place = trace.get_current_span().get_span_context()
    if not place.is_valid:
        return None
    return f"00-{place.trace_id:032x}-{place.span_id:016x}-{int(place.trace_flags) & 1:02x}"


# --- functions ------------------------------------------------------------------------------------------------------


@overload
def traced(name: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def traced(
    name: str | None = None, *, kind: Kind = "internal", attributes: Mapping[str, Any] | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def traced(
    name: Any = None, *, kind: Kind = "internal", attributes: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """Decorate a function, sync or async, so that each call of it is a span of OpenTelemetry.

    ``@traced``, ``@traced("charge")`` or ``@traced(name="charge", kind="client", attributes={"peer": "bank"})``. The
    name is that of the function by default. The span is OK when the function returns, and an ERROR with the exception
    when it raises. It is part of the span that the code is in, or else of the ``traceparent`` of the context; events
    that are emitted inside have the span as theirs, so what agents do in the function is part of it.

    Without OpenTelemetry the function is only called. Raises :class:`~hubwire.errors.ConfigurationError` for what is no
    function, and for a generator, whose work is not done when it returns.
    """
    if (callable(name) and not is_a(name, str)) or is_a(name, classmethod):
        return _traced(name, None, kind, {})
    if name is not None and (not is_a(name, str) or not name):
        raise ConfigurationError(f"traced(): name is a text that is not empty, not {shown(name)}")
    if kind not in _KINDS:
        raise ConfigurationError(f"traced(): kind is one of {', '.join(_KINDS)}, not {shown(kind)}")
    if attributes is not None and not is_a(attributes, (dict, MappingProxyType)):
        raise ConfigurationError(f"traced(): attributes is a dictionary, not a {type_name(attributes)}")
    given = dict(attributes or {})
    return lambda function: _traced(function, name, kind, given)


def _traced(function: Any, name: str | None, kind: str, attributes: Mapping[str, Any]) -> Callable[..., Any]:
    if is_a(function, (staticmethod, classmethod)):
        raise ConfigurationError(f"traced() decorates the function itself: write @{type_name(function)} above @traced")
    if not callable(function) or is_a(function, type):
        raise ConfigurationError(f"traced() decorates a function, not a {type_name(function)}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError("traced() decorates no generator: its work is not done when it returns")
    title = str(name or getattr(function, "__qualname__", type(function).__name__))
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):

        @wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            with _span(title, kind, attributes):
                return await function(*args, **kwargs)

        return call_async

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with _span(title, kind, attributes):
            return function(*args, **kwargs)

    return call


@contextmanager
def _span(name: str, kind: str, attributes: Mapping[str, Any]) -> Iterator[None]:
    trace = _api()
    if trace is None:
        yield
        return
    outer = None
    if not trace.get_current_span().get_span_context().is_valid and (traceparent := current().traceparent):
        propagation = import_module("opentelemetry.trace.propagation.tracecontext")
        outer = propagation.TraceContextTextMapPropagator().extract({"traceparent": traceparent})
    tracer = trace.get_tracer("hubwire")
    with tracer.start_as_current_span(
        name, context=outer, kind=getattr(trace.SpanKind, kind.upper()), attributes=dict(attributes)
    ) as span:
        with scope(traceparent=_of_span()):
            yield
        span.set_status(trace.Status(trace.StatusCode.OK))


# --- log lines ------------------------------------------------------------------------------------------------------


def log_ids() -> dict[str, str]:
    """Return the ids of this place that there are: of trace and span, correlation, tenant, agent, turn, and so on."""
    here = current()
    found = {name: value for name in _IDS if (value := cast(str | None, getattr(here, name))) is not None}
    traceparent = current_traceparent()
    if traceparent is not None and TRACEPARENT.fullmatch(traceparent):
        _, trace_id, span_id, _ = traceparent.split("-", 3)
        found |= {"trace_id": trace_id, "span_id": span_id}
    return found


def add_log_ids(_logger: Any, _method: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add :func:`log_ids` to a line: a processor of structlog. A key that the line has already stays as it is."""
    for name, value in log_ids().items():
        event_dict.setdefault(name, value)
    return event_dict


class LogIds(logging.Filter):
    """Adds :func:`log_ids` to each record of standard logging, as attributes; those that there are not are empty.

    ``handler.addFilter(LogIds())``, and a format such as ``"%(message)s trace=%(trace_id)s"``.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the ids, and let the record pass."""
        found = log_ids()
        for name in _ALL_IDS:
            if not hasattr(record, name):
                setattr(record, name, found.get(name, ""))
        return True
