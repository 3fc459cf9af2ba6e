"""CorrelationMiddleware: the context of events from the headers of each request, for web applications in ASGI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from .context import CORRELATION_HEADER, headers, scope, scope_from
from .errors import ConfigurationError
from .events._shown import is_a, type_name
from .tracing import current_traceparent

__all__ = ("CorrelationMiddleware",)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_NAME = CORRELATION_HEADER.lower().encode()
_STARTS = ("http.response.start", "websocket.accept")


class CorrelationMiddleware:
    """Runs each request of an ASGI application in the scope that its headers name.

    That is the one of :func:`~hubwire.context.scope_from`: events that are emitted while the request is answered have
    its correlation id and its trace. The response says the id in ``X-Correlation-ID``. Where the program makes spans of
    requests by OpenTelemetry, events are part of that span. ``baggage``: the keys of the header ``baggage`` that are
    let in.

    ``app.add_middleware(CorrelationMiddleware, baggage=["tier"])`` of Starlette and FastAPI, or
    ``CorrelationMiddleware(app)`` around any application. Raises :class:`~hubwire.errors.ConfigurationError` for what
    is none.
    """

    def __init__(self, app: Application, *, baggage: Iterable[str] = ()) -> None:
        if not callable(app) or is_a(app, type):
            raise ConfigurationError(f"CorrelationMiddleware(): app is an ASGI application, not a {type_name(app)}")
        self._app = app
        self._baggage = None if is_a(baggage, (str, bytes)) else tuple(baggage)
        scope_from((), baggage=baggage if self._baggage is None else self._baggage)  # refuses what cannot be keys

    async def __call__(self, scope_of_request: Scope, receive: Receive, send: Send) -> None:
        if scope_of_request["type"] not in ("http", "websocket"):
            await self._app(scope_of_request, receive, send)
            return
        with scope_from(scope_of_request.get("headers", ()), baggage=self._baggage or ()):
            answer = headers().get(CORRELATION_HEADER, "").encode()

            async def send_with_id(message: Message) -> None:
                if message["type"] in _STARTS:
                    given = [pair for pair in message.get("headers", ()) if _bytes_of(pair[0]).lower() != _NAME]
                    message = {**message, "headers": [*given, (_NAME, answer)]}
                await send(message)

            with scope(traceparent=current_traceparent()):
                await self._app(scope_of_request, receive, send_with_id)


def _bytes_of(name: Any) -> bytes:
    """Return the name of a header, which the application may have written as text: the server says what it takes."""
    return str.encode(name, errors="replace") if is_a(name, str) else bytes(name)
