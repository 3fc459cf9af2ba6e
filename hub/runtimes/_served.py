"""Requests that a server of the Model Context Protocol answers: what its adapters have in common."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import attrs

from ..errors import ConfigurationError
from ._capture import captured
from ._settings import name_of
from .recorder import Recorder

__all__ = ("Call", "Outcome", "Request", "asked", "asker_of", "correlation_of", "serve", "tools_named", "waits_for")

T = TypeVar("T")

_HELD_SECONDS: Final = 0.5
"""A tool that asks its client for more does so at once: one that has worked for longer is recorded as called."""

_TRACE_CHARS: Final = 32


@attrs.frozen
class Request:
    """What a client wants."""

    method: str
    name: str
    """The tool or the prompt, or the address of the resource."""
    arguments: Any
    client: str | None
    """What the client calls itself."""
    server: object
    request_id: object
    correlation: str | None = None
    session: str | None = None
    answers: Any = None
    """What the client has answered to what it was asked before, where the request comes again with that."""

    @property
    def tool(self) -> str:
        return self.name if self.method == "tools/call" else self.method

    @property
    def given(self) -> Any:
        if self.method == "tools/call":
            return self.arguments
        return {"uri" if self.method == "resources/read" else "name": self.name, **(self.arguments or {})}

    @property
    def prompt(self) -> Any:
        said = f"{self.method} {self.name}"
        return {"request": said, "answers": self.answers} if self.answers else said


@attrs.frozen
class Outcome:
    """What a request was answered with."""

    result: Any = None
    error: str | None = None
    waits: Any = None
    """What the client is asked for before it may come again."""


@attrs.define(eq=False)
class Call:
    """A request that is being answered."""

    recorder: Recorder
    request: Request
    above: Call | None
    """The one of the same recorder that it is made in."""
    around: Call | None
    """The one of any recorder."""
    turn: str
    """The key of the turn, or of the call above, that it belongs to."""
    key: str
    denied: str | None = None
    """Why it was never made."""
    is_answered: bool = False
    """What is done later, by tasks that it has begun, is in no request any more."""

    def begin(self, arguments: Any) -> None:
        recorder, request = self.recorder, self.request
        recorder.begin_tool(
            self.key,
            request.tool,
            agent=request.client,
            parent=self.turn,
            arguments=arguments,
            is_held=True,
            held_seconds=_HELD_SECONDS,
        )

    def leave(self, reason: str) -> None:
        """It is not made, or not yet."""
        self.recorder.discard(self.key, reason)

    def begin_anew(self, arguments: Any) -> None:
        """It has its verdict, and is made with these arguments."""
        self.key = _new_key()
        self.begin(arguments)

    def deny(self, reason: str) -> None:
        self.denied = reason


_newest: ContextVar[Call | None] = ContextVar("hubwire.runtimes.served", default=None)
"""The request that this code answers."""


async def serve(
    recorder: Recorder,
    read: Callable[[], Request | None],
    answer: Callable[[], Awaitable[T]],
    look: Callable[[T], Outcome],
) -> T:
    """Answer a request as it would be answered without this, and record it.

    ``read`` says what is wanted, and ``look`` what came of it. What they raise is counted, and does no harm.
    """
    call = None if recorder.is_closed else _harmless(recorder, lambda: _begun(recorder, read()))
    if call is None:
        return await answer()
    token = _newest.set(call)
    try:
        result = await answer()
    except BaseException as error:
        _failed(call, error)
        raise
    finally:
        call.is_answered = True
        _newest.reset(token)
    if (outcome := _harmless(recorder, lambda: look(result))) is None:
        outcome = Outcome()
    _ended(call, outcome)
    return result


def _begun(recorder: Recorder, request: Request | None) -> Call | None:
    if request is None:
        return None
    above = _nearest(recorder)
    if above is not None and _is_mount(above.request, request):
        return None
    key = _new_key()
    turn = f"{key}-turn" if above is None else above.key
    call = Call(recorder, request, above, _newest.get(), turn, key)
    if above is None:
        recorder.begin_turn(
            turn,
            agent=request.client,
            prompt=request.prompt,
            session=request.session,
            correlation=request.correlation,
        )
    call.begin(request.given)
    return call


def _failed(call: Call, error: BaseException) -> None:
    recorder = call.recorder
    if call.denied is not None:
        _end_turn(call, {"denied": call.request.tool, "reason": call.denied})
        return
    found = _harmless(recorder, lambda: _cause_of(error))
    cause = error if found is None else found
    recorder.fail(call.key, cause)
    if call.above is None:
        recorder.fail(call.turn, cause)


def _cause_of(error: BaseException) -> BaseException:
    """Return what a tool has raised: FastMCP wraps it in one of its own, "Error calling tool ..."."""
    is_wrapped = isinstance(error, Exception) and f"{error}".startswith("Error ")
    return error.__cause__ if is_wrapped and error.__cause__ is not None else error


def _ended(call: Call, outcome: Outcome) -> None:
    recorder = call.recorder
    if call.denied is not None:
        _end_turn(call, {"denied": call.request.tool, "reason": call.denied})
    elif outcome.waits is not None:
        recorder.discard(call.key, "it waits for what its client is asked")
        _end_turn(call, {"waits_for_input": outcome.waits})
    elif outcome.error is not None:
        recorder.fail(call.key, outcome.error)
        if call.above is None:
            recorder.fail(call.turn, outcome.error)
    else:
        recorder.end(call.key, outcome.result)
        _end_turn(call, outcome.result)


def _end_turn(call: Call, content: Any) -> None:
    if call.above is None:
        call.recorder.end(call.turn, content)


# -- approvals --


async def asked(recorder: Recorder, request: Request, agent: str | None) -> tuple[str | None, Any]:
    """Ask the hub for approval of a call; return why it is denied or None, and the arguments to make it with.

    It is asked in the name of ``agent``; None: of that which the client calls itself.

    The protocol has no id of a call that is unique for good, so each call is a question of its own.
    """
    calls = _calls_of(request)
    for call in calls:
        call.leave("its approval is asked")
    parent = next((call.turn for call in calls if call.recorder is recorder), None)
    verdict = await recorder.decide(
        f"mcp-{_new_key()}", request.name, request.arguments, agent=agent or request.client, parent=parent
    )
    if not verdict.is_approved:
        for call in calls:
            call.deny(verdict.reason or "denied")
        if not verdict.approval_id:
            return f"The tool call was not made, because its approval could not be asked for: {verdict.reason}", None
        return f"The tool call was denied: {verdict.reason or 'no reason was given'}", None
    arguments = dict(verdict.arguments) if verdict.is_modified else request.arguments
    for call in calls:
        call.begin_anew(arguments)
    return None, arguments


def _calls_of(request: Request) -> list[Call]:
    """Return what the recorders that there are have of a request: it may have come here through a mounted server."""
    calls: list[Call] = []
    call = _newest.get()
    while call is not None and not call.is_answered and _is_same(call.request, request):
        if any(each.recorder is call.recorder for each in calls):
            break  # a tool that calls one whose name ends its own
        calls.append(call)
        call = call.around
    return calls


def tools_named(function: str, tools: Collection[Any]) -> frozenset[str]:
    """Return the names of tools; raise for what is none."""
    for each in tools:
        if type(each) is not str or not each:
            raise ConfigurationError(f"{function}() takes names of tools, not {captured(each, 100)!r}")
    if not tools:
        raise ConfigurationError(f"{function}() takes the names of the tools whose calls have to be approved")
    return frozenset(tools)


def asker_of(agent: Any) -> str | None:
    """Return in whose name a hub is asked; raise for what is no name."""
    return None if agent is None else name_of("agent", agent)


# -- parts --


def correlation_of(meta: Any) -> str | None:
    """Return the id of the trace that the client says its request belongs to."""
    parent = meta.get("traceparent") if isinstance(meta, Mapping) else None
    if type(parent) is not str or len(parent) > 200:
        return None
    parts = parent.split("-")
    if len(parts) < 4 or len(parts[1]) != _TRACE_CHARS or not parts[1].strip("0"):
        return None
    return parts[1] if parts[1].isalnum() and parts[1].isascii() else None


def waits_for(requests: Any) -> Any:
    """Return what a client is asked for, as the messages that its user reads."""
    if not isinstance(requests, Mapping):
        return []
    return [_message_of(each) for each in requests.values()]


def _message_of(request: Any) -> Any:
    params = request.get("params") if isinstance(request, Mapping) else getattr(request, "params", None)
    message = params.get("message") if isinstance(params, Mapping) else getattr(params, "message", None)
    return message or (request.get("method") if isinstance(request, Mapping) else getattr(request, "method", ""))


def _is_mount(above: Request, request: Request) -> bool:
    """Tell whether a request is only handed on to a server that is mounted in another one, which has recorded it."""
    return above.server is not request.server and _is_same(above, request)


def _is_same(above: Request, request: Request) -> bool:
    """Tell whether two are one request, seen twice: a server that mounts another one puts a name before its tools."""
    return (
        above.method == request.method
        and above.request_id == request.request_id
        and above.name.endswith(request.name.partition("://")[2] or request.name)
        and (above.arguments or {}) == (request.arguments or {})
    )


def _nearest(recorder: Recorder) -> Call | None:
    call = _newest.get()
    while call is not None and (call.recorder is not recorder or call.is_answered):
        call = call.around
    return call


def _new_key() -> str:
    return os.urandom(16).hex()


def _harmless(recorder: Recorder, function: Callable[[], T]) -> T | None:
    try:
        return function()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a request that cannot be read is answered all the same
        recorder.failed("serve", error)
        return None
