"""FastMCP: what clients ask of a server becomes events of a hub.

::

    recorder = fastmcp.record(hub)
    server = FastMCP("tools", middleware=[recorder.middleware])

Every ``tools/call``, ``resources/read`` and ``prompts/get`` is a turn of the client that sent it, with the call in it:
arguments, result or the error that the tool raised. A tool that calls another one of the same server has that in it. A
request that is handed on to a mounted server is recorded once, by the outermost one that has the middleware. Calls that
belong to a trace of the client have its id as their ``correlation_id``.

A tool that asks its client for more, with ``InputRequiredResult``, has not been called: the turn says what it waits
for, and the request that comes with the answers is a new one. An answer of the client's user is no approval by itself:
say so with :meth:`Recorder.record_verdict` where it is. :func:`approvals` asks the hub before a tool is called.

What FastMCP hides: which client it is, beyond what that calls itself; which calls belong together, where clients send
no trace (sessions and request ids are no keys: both are new or come again with each request); progress and log
messages; what a tool does inside. Lists, pings and subscriptions are not recorded.

Tested with fastmcp 4.0 to 4.2.
"""

from __future__ import annotations

from typing import Any

from .. import Hub, HubThread
from ..errors import ConfigurationError
from ..events._shown import is_a
from ._opening import imported, opened
from ._served import Outcome, Request, asked, asker_of, correlation_of, serve, tools_named, waits_for
from .recorder import Recorder

__all__ = ("FastMCPRecorder", "approvals", "record")


class FastMCPRecorder(Recorder):
    """A recorder with the middleware that servers are given: ``FastMCP(..., middleware=[recorder.middleware])``."""

    middleware: Any
    """A :class:`fastmcp.server.middleware.Middleware`, for any number of servers. It may stay when the recorder is
    closed, and does nothing then."""


def record(hub: Hub | HubThread, **settings: Any) -> FastMCPRecorder:
    """Record in a hub what is asked of servers that have the recorder's ``middleware``.

    Agents are named as clients call themselves, ``client`` where they do not. ``settings`` are those of
    :class:`~hubwire.runtimes.Recorder`. Called again for the same hub, it returns the same recorder, and refuses other
    settings.
    """
    imported("fastmcp.server.middleware", "fastmcp")

    def install(recorder: FastMCPRecorder) -> None:
        recorder.middleware = _middleware(recorder)

    return opened(hub, "fastmcp", install, settings, kind=FastMCPRecorder, defaults={"agent": "client"})


def approvals(recorder: Recorder, *tools: str, agent: str | None = "client") -> Any:
    """Return a middleware that asks the hub for approval before these tools are called.

    It comes after the recorder's own: ``middleware=[recorder.middleware, approvals(recorder, "deploy")]``. The request
    waits meanwhile, so its client needs a timeout that is long enough. What is denied is answered with an error that
    says the reason; a hub that cannot be asked approves nothing. Each call is a question of its own.

    ``agent`` is in whose name the hub is asked. None: in that which the client calls itself, and no client proves: then
    it has the trust that an agent of that name has earned.

    Raises :class:`~hubwire.errors.ConfigurationError` for what is no recorder and no name.
    """
    names, asker = tools_named("approvals", tools), asker_of(agent)
    if not is_a(recorder, Recorder):
        raise ConfigurationError("approvals(): its first argument is a recorder, as record(hub) returns it")
    base: Any = imported("fastmcp.server.middleware", "fastmcp").Middleware
    error: Any = imported("fastmcp.exceptions", "fastmcp").ToolError

    class HubwireApprovals(base):  # type: ignore[misc]  # its class is known when it is installed
        """Asks a hub before tools are called."""

        async def on_call_tool(self, context: Any, call_next: Any) -> Any:
            message = context.message
            if message.name not in names:
                return await call_next(context)
            denied, arguments = await asked(recorder, _request("tools/call", message.name, context), asker)
            if denied is not None:
                raise error(denied)
            if arguments is not message.arguments:
                context = context.copy(message=message.model_copy(update={"arguments": arguments}))
            return await call_next(context)

    return HubwireApprovals()


def _middleware(recorder: Recorder) -> Any:
    base: Any = imported("fastmcp.server.middleware", "fastmcp").Middleware

    class HubwireMiddleware(base):  # type: ignore[misc]  # its class is known when it is installed
        """Tells a recorder what is asked of a server."""

        async def on_call_tool(self, context: Any, call_next: Any) -> Any:
            def read() -> Request:
                return _request("tools/call", context.message.name, context)

            return await serve(recorder, read, lambda: call_next(context), _outcome_of_tool)

        async def on_read_resource(self, context: Any, call_next: Any) -> Any:
            def read() -> Request:
                return _request("resources/read", f"{context.message.uri}", context)

            return await serve(recorder, read, lambda: call_next(context), _outcome_of_read)

        async def on_get_prompt(self, context: Any, call_next: Any) -> Any:
            def read() -> Request:
                return _request("prompts/get", context.message.name, context)

            return await serve(recorder, read, lambda: call_next(context), _outcome_of_prompt)

    return HubwireMiddleware()


def _request(method: str, name: str, context: Any) -> Request:
    message, server = context.message, context.fastmcp_context
    request = None if server is None else server.request_context  # None where a program calls its own server
    params = None if request is None else request.session.client_params
    http = None if request is None else request.request
    return Request(
        method=method,
        name=name,
        arguments=getattr(message, "arguments", None),
        client=None if params is None else params.client_info.name,
        server=None if server is None else server.fastmcp,
        request_id=None if request is None else request.request_id,
        correlation=None if request is None else correlation_of(request.meta),
        session=None if http is None else http.headers.get("mcp-session-id"),
        answers=getattr(message, "input_responses", None),
    )


def _outcome_of_tool(result: Any) -> Outcome:
    if (asking := result.__dict__.get("input_required")) is not None:
        return Outcome(waits=waits_for(asking.input_requests))
    if result.is_error:
        return Outcome(error="\n".join(_texts(result.content)) or "the tool says that it has failed")
    return Outcome(_content(result))


def _outcome_of_read(result: Any) -> Outcome:
    if (asking := result.__dict__.get("input_required")) is not None:
        return Outcome(waits=waits_for(asking.input_requests))
    contents = [each.content for each in result.contents]
    return Outcome(contents[0] if len(contents) == 1 else contents)


def _outcome_of_prompt(result: Any) -> Outcome:
    if (asking := result.__dict__.get("input_required")) is not None:
        return Outcome(waits=waits_for(asking.input_requests))
    return Outcome(result.messages)


def _content(result: Any) -> Any:
    """Return a result as the tool has given it: FastMCP wraps what is no mapping."""
    structured = result.structured_content
    if type(structured) is dict:
        return structured["result"] if list(structured) == ["result"] else structured
    texts = _texts(result.content)
    return texts[0] if len(texts) == len(result.content) == 1 else result.content


def _texts(content: Any) -> list[str]:
    return [each.text for each in content or () if type(getattr(each, "text", None)) is str]
