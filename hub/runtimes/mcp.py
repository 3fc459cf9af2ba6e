"""The MCP SDK: what clients ask of a server becomes events of a hub.

::

    recorder = mcp.record(hub)
    server = MCPServer("tools", middleware=[recorder.middleware])  # a low-level Server: server.middleware.append(...)

Every ``tools/call``, ``resources/read`` and ``prompts/get`` is a turn of the client that sent it, with the call in it:
arguments, and result or error. Calls that belong to a trace of the client have its id as their ``correlation_id``.

A tool that asks its client for more, with ``InputRequiredResult``, has not been called: the turn says what it waits
for, and the request that comes with the answers is a new one. An answer of the client's user is no approval by itself:
say so with :meth:`Recorder.record_verdict` where it is. :func:`approvals` asks the hub before a tool is called.

What the SDK hides: the error that a tool of ``MCPServer`` raised, unless that is a ``ToolError`` (the answer says only
"Error executing tool ..."), and its class in any case; which client it is, beyond what that calls itself; which calls
belong together, where clients send no trace; what a tool does inside. Lists, pings and subscriptions are not recorded.
For FastMCP there is :mod:`hubwire.runtimes.fastmcp`, which sees more.

Tested with mcp 2.0 to 2.3.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .. import Hub, HubThread
from ..errors import ConfigurationError
from ..events._shown import is_a
from ._opening import imported, opened
from ._served import Outcome, Request, asked, asker_of, correlation_of, serve, tools_named, waits_for
from .recorder import Recorder

__all__ = ("MCPRecorder", "approvals", "record")

_METHODS = frozenset({"tools/call", "resources/read", "prompts/get"})


class MCPRecorder(Recorder):
    """A recorder with the middleware that servers are given: ``MCPServer(..., middleware=[recorder.middleware])``."""

    middleware: Any
    """A middleware of :class:`mcp.server.MCPServer` and :class:`mcp.server.lowlevel.Server`, for any number of servers.
    It may stay when the recorder is closed, and does nothing then."""


def record(hub: Hub | HubThread, **settings: Any) -> MCPRecorder:
    """Record in a hub what is asked of servers that have the recorder's ``middleware``.

    Agents are named as clients call themselves, ``client`` where they do not. ``settings`` are those of
    :class:`~hubwire.runtimes.Recorder`. Called again for the same hub, it returns the same recorder, and refuses other
    settings.
    """
    imported("mcp.server", "mcp")

    def install(recorder: MCPRecorder) -> None:
        recorder.middleware = _middleware(recorder)

    return opened(hub, "mcp", install, settings, kind=MCPRecorder, defaults={"agent": "client"})


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
    types = imported("mcp_types", "mcp")

    async def hubwire_approvals(context: Any, call_next: Any) -> Any:
        params = context.params
        if context.method != "tools/call" or context.request_id is None or not isinstance(params, Mapping):
            return await call_next(context)
        if params.get("name") not in names:
            return await call_next(context)
        denied, arguments = await asked(recorder, _request(context), asker)
        if denied is not None:
            return types.CallToolResult(content=[types.TextContent(type="text", text=denied)], is_error=True)
        if arguments is not params.get("arguments"):
            context = dataclasses.replace(context, params={**params, "arguments": arguments})
        return await call_next(context)

    return hubwire_approvals


def _middleware(recorder: Recorder) -> Any:
    async def hubwire_middleware(context: Any, call_next: Any) -> Any:
        if context.method not in _METHODS or context.request_id is None:
            return await call_next(context)
        return await serve(recorder, lambda: _request(context), lambda: call_next(context), _outcome)

    return hubwire_middleware


def _request(context: Any) -> Request:
    params = context.params if isinstance(context.params, Mapping) else {}
    client = context.session.client_params
    headers = getattr(context.request, "headers", None)
    return Request(
        method=context.method,
        name=f"{params.get('uri') or params.get('name') or ''}",
        arguments=params.get("arguments"),
        client=None if client is None else client.client_info.name,
        server=None,
        request_id=context.request_id,
        correlation=correlation_of(context.meta),
        session=None if headers is None else headers.get("mcp-session-id"),
        answers=params.get("inputResponses"),
    )


def _outcome(result: Any) -> Outcome:
    if not isinstance(result, Mapping):
        result = result.model_dump(mode="json", by_alias=True)
    if result.get("resultType") == "input_required":
        return Outcome(waits=waits_for(result.get("inputRequests")))
    content = result.get("content")
    if result.get("isError"):
        return Outcome(error="\n".join(_texts(content)) or "the tool says that it has failed")
    structured = result.get("structuredContent")
    if isinstance(structured, Mapping):
        return Outcome(structured["result"] if list(structured) == ["result"] else structured)
    if content is None:
        return Outcome(result.get("contents") or result.get("messages"))
    texts = _texts(content)
    return Outcome(texts[0] if len(texts) == len(content) == 1 else content)


def _texts(content: Any) -> list[str]:
    return [each["text"] for each in content or () if isinstance(each, Mapping) and type(each.get("text")) is str]
