"""The transport of an assistant that cannot start the command: HTTP on this machine, a request and its answer each.

Without sessions and without streams, which a server that only answers does not need. Who asks has to have a token:
others who have an account on the machine reach a port, too, and so does each web page that a browser on it has open.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio

from hubwire.listeners.dashboard import Access, Person
from hubwire.listeners.dashboard.serving import Serving

from ...errors import ConfigurationError
from ..output import say
from .speaking import INVALID_REQUEST, PARSE_ERROR, Speaker, encoded, failure, version_of

__all__ = ("TOKEN_VARIABLE", "serve")

TOKEN_VARIABLE = "HUBWIRE_MCP_TOKEN"  # noqa: S105 - the name of a variable
PATH = "/mcp"
HEADER_MISMATCH = -32020
_BODY_BYTES_MAX = 1024 * 1024
_AT_ONCE = 8
_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


async def serve(speaker: Speaker, port: int) -> None:
    """Answer requests at a port of this machine until Ctrl-C or SIGTERM."""
    access = _access()
    serving = Serving(OverHttp(speaker, access), port=port)
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        try:
            await serving.__aenter__()
        except ConfigurationError as error:
            raise ConfigurationError(str(error).replace("dashboard.serve()", "mcp --http")) from error
        try:
            say(f"{serving.address.rstrip('/')}{PATH}")
            if access.made_token is not None:
                say(f"hubwire: it asks for the header Authorization: Bearer {access.made_token}", sys.stderr)
                say(f"hubwire: another token with each start; the variable {TOKEN_VARIABLE} sets one", sys.stderr)
            async for _ in signals:
                break
        finally:
            await serving.__aexit__(None, None, None)


def _access() -> Access:
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        return Access()
    try:
        return Access([Person(name="assistant", token=token)])
    except ConfigurationError as error:
        raise ConfigurationError(f"{TOKEN_VARIABLE} holds no token: {error}") from error


class OverHttp:
    """Answers the requests of assistants, one by one."""

    def __init__(self, speaker: Speaker, access: Access) -> None:
        self._speaker = speaker
        self._access = access
        self._room = anyio.Semaphore(_AT_ONCE)

    @property
    def access(self) -> Access:
        """Who may ask."""
        return self._access

    def add_host(self, name: str) -> None:
        """It is served on this machine alone, whose names are known."""

    def note_malformed(self) -> None:
        """A request that is none was answered by the server itself: there is nothing to tell of it here."""

    def end_streams(self) -> None:
        """There are none."""

    async def aclose(self) -> None:
        """Nothing is open but what is closed where it was opened."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refused(scope, headers)
        status, message = refused or await self._answered(headers, receive)
        body = b"" if message is None else encoded(message)
        more = [(b"allow", b"POST")] if status == 405 else []
        more += [(b"www-authenticate", b"Bearer")] if status == 401 else []
        told = [(b"content-type", b"application/json"), (b"cache-control", b"no-store"), *more]
        told.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": told})
        await send({"type": "http.response.body", "body": body})

    def _refused(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, dict[str, Any]] | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if host.rpartition(":")[0] not in _NAMES and host not in _NAMES:
            return 421, failure(None, INVALID_REQUEST, "this host is not served here: ask 127.0.0.1")
        if origin is not None and origin != f"http://{host}":
            return 403, failure(None, INVALID_REQUEST, "pages of other places may not ask")
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or self._access.by_token(token.strip()) is None:
            said = "give the token that the command has printed, as the header Authorization: Bearer …"
            return 401, failure(None, INVALID_REQUEST, said)
        if scope["path"].rstrip("/") != PATH:
            return 404, failure(None, INVALID_REQUEST, f"there is nothing here but {PATH}")
        if scope["method"] != "POST":
            return 405, failure(None, INVALID_REQUEST, "requests are posted: there are no streams, and no sessions")
        return None

    async def _answered(self, headers: Mapping[str, str], receive: Receive) -> tuple[int, dict[str, Any] | None]:
        content = b""
        while True:
            piece = await receive()
            content += piece.get("body", b"")
            if len(content) > _BODY_BYTES_MAX:
                return 413, failure(None, INVALID_REQUEST, f"a message has more than {_BODY_BYTES_MAX:,} bytes")
            if not piece.get("more_body"):
                break
        try:
            message = json.loads(content)
        except (ValueError, RecursionError):
            return 400, failure(None, PARSE_ERROR, "a message is one JSON object, in UTF-8")
        if type(message) is not dict or message.get("jsonrpc") != "2.0":
            return 400, failure(None, INVALID_REQUEST, 'a message is one object, with "jsonrpc": "2.0"')
        if "id" not in message or "method" not in message:  # what needs no answer
            return 202, None
        identifier, version = message["id"], version_of(message)
        if type(identifier) not in (str, int):
            return 400, failure(None, INVALID_REQUEST, "the id of a request is text, or a whole number")
        told = headers.get("mcp-protocol-version"), headers.get("mcp-method")
        if version is not None and told != (version, message["method"]):
            return 400, failure(identifier, HEADER_MISMATCH, "the headers are of another version, or method")
        async with self._room:
            answer = await self._speaker.answer(message)
        return (200 if "result" in answer else _STATUS.get(answer["error"]["code"], 200)), answer


_STATUS = {-32600: 400, -32602: 400, -32022: 400, -32601: 404}
