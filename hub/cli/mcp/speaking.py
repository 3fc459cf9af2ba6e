"""The Model Context Protocol, as far as a server with tools alone speaks it: JSON-RPC 2.0.

Of its versions up to 2025-11-25, which begin with ``initialize``, and of 2026-07-28, whose requests say by themselves
of which version they are. https://modelcontextprotocol.io/specification
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import attrs

from ..._version import installed_version

__all__ = (
    "INVALID_REQUEST",
    "PARSE_ERROR",
    "Answered",
    "Refused",
    "Speaker",
    "Toolbox",
    "encoded",
    "failure",
    "version_of",
)

HANDSHAKE_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN_VERSIONS = ("2026-07-28",)

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
UNSUPPORTED_VERSION = -32022

_META = "io.modelcontextprotocol/"
_VERSION_KEY, _CAPABILITIES_KEY, _SERVER_KEY = (
    f"{_META}protocolVersion",
    f"{_META}clientCapabilities",
    f"{_META}serverInfo",
)
_CAPABILITIES: Mapping[str, Any] = {"tools": {"listChanged": False}}

Params = Mapping[str, Any]


@attrs.frozen
class Answered:
    """What a tool has answered."""

    text: str
    is_error: bool = False


class Toolbox(Protocol):
    """The tools of a server."""

    instructions: str

    def described(self) -> Sequence[Mapping[str, Any]]: ...
    async def call(self, name: str, arguments: Params) -> Answered: ...


class Refused(Exception):
    """A request that cannot be answered, as JSON-RPC says it."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


def failure(identifier: Any, code: int, message: str, data: Any = None) -> dict[str, Any]:
    """Return the response that says why there is no result."""
    error = {"code": code, "message": message, **({} if data is None else {"data": data})}
    return {"jsonrpc": "2.0", "id": identifier, "error": error}


class Speaker:
    """Answers requests. It keeps nothing of a client: each request says all that it is answered by."""

    def __init__(self, tools: Toolbox) -> None:
        self._tools = tools
        self._methods: Mapping[str, Callable[[Params], Awaitable[dict[str, Any]]]] = {
            "initialize": self._initialize,
            "server/discover": self._discover,
            "ping": self._ping,
            "tools/list": self._list,
            "tools/call": self._call,
        }

    async def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the response to a request; it never raises for what that holds."""
        identifier = request.get("id")
        try:
            return {"jsonrpc": "2.0", "id": identifier, "result": await self._result(request)}
        except Refused as refused:
            return failure(identifier, refused.code, str(refused), refused.data)

    async def _result(self, request: Mapping[str, Any]) -> dict[str, Any]:
        method, params = request.get("method"), request.get("params")
        if type(method) is not str or not (params is None or type(params) is dict):
            raise Refused(INVALID_REQUEST, "a request has a method, which is text, and params, which are an object")
        params = params or {}
        is_modern = _is_modern(method, params)
        run = self._methods.get(method)
        if run is None or (method == "server/discover" and not is_modern):
            raise Refused(METHOD_NOT_FOUND, f"there is no method {method[:80]!r} here", method[:80])
        result = await run(params)
        if is_modern:
            result = {"resultType": "complete", **result, "_meta": {_SERVER_KEY: _SERVER}}
            if method in ("server/discover", "tools/list"):
                result |= {"ttlMs": 0, "cacheScope": "private"}
        return result

    async def _initialize(self, params: Params) -> dict[str, Any]:
        wanted = params.get("protocolVersion")
        if type(wanted) is not str:
            raise Refused(INVALID_PARAMS, "initialize: protocolVersion is missing, or no text")
        version = wanted if wanted in HANDSHAKE_VERSIONS else HANDSHAKE_VERSIONS[-1]
        return {
            "protocolVersion": version,
            "capabilities": _CAPABILITIES,
            "serverInfo": _SERVER,
            "instructions": self._tools.instructions,
        }

    async def _discover(self, _: Params) -> dict[str, Any]:
        return {
            "supportedVersions": [*MODERN_VERSIONS],
            "capabilities": _CAPABILITIES,
            "instructions": self._tools.instructions,
        }

    async def _ping(self, _: Params) -> dict[str, Any]:
        return {}

    async def _list(self, _: Params) -> dict[str, Any]:
        return {"tools": [*self._tools.described()]}

    async def _call(self, params: Params) -> dict[str, Any]:
        name, arguments = params.get("name"), params.get("arguments")
        if type(name) is not str or not (arguments is None or type(arguments) is dict):
            raise Refused(INVALID_PARAMS, "tools/call: name is the name of a tool, and arguments are an object")
        answered = await self._tools.call(name, arguments or {})
        return {"content": [{"type": "text", "text": answered.text}], "isError": answered.is_error}


_SERVER: Mapping[str, Any] = {"name": "hubwire", "title": "hubwire", "version": installed_version()}


def version_of(request: Mapping[str, Any]) -> Any:
    """Return the version that a request says it is of; None for one that does not, as those up to 2025-11-25."""
    params = request.get("params")
    meta = params.get("_meta") if type(params) is dict else None
    return meta.get(_VERSION_KEY) if type(meta) is dict else None


def _is_modern(method: str, params: Params) -> bool:
    """Tell whether a request says by itself of which version it is. Raises :class:`Refused` if that is not spoken."""
    meta = params.get("_meta")
    if method == "initialize" or type(meta) is not dict or _VERSION_KEY not in meta:
        return False
    version = meta[_VERSION_KEY]
    if type(version) is not str or _CAPABILITIES_KEY not in meta:
        raise Refused(INVALID_PARAMS, f"params._meta has {_VERSION_KEY}, which is text, and {_CAPABILITIES_KEY}")
    if version not in MODERN_VERSIONS:
        known = {"supported": [*MODERN_VERSIONS], "requested": version[:80]}
        raise Refused(UNSUPPORTED_VERSION, "this version of the protocol is not spoken here", known)
    return True


def encoded(message: Mapping[str, Any]) -> bytes:
    """Return a message as a line."""
    return json.dumps(message, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
