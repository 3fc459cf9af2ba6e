"""A hub at the address of its dashboard: what the verbs ask it over HTTP, and its errors as ours.

By httpx2, and not by the standard library: a stream has to end at Ctrl-C, which a thread in a read does not.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, urlsplit, urlunsplit

import attrs
import msgspec

from ..errors import ConfigurationError
from .failures import CommandFailed
from .output import complain

__all__ = ("HubClient", "HubRefused", "HubUnreachable", "Message", "is_hub", "token_file")

TOKEN_VARIABLE = "HUBWIRE_TOKEN"  # noqa: S105 - the name of a variable
token_file: ContextVar[str | None] = ContextVar("token_file", default=None)
"""The file that has the token, if one is given to the command."""

_ANSWER_SECONDS = 30.0
_SILENT_SECONDS = 60.0
"""A stream without a heartbeat for so long is taken for lost; one comes every 15 s."""
_LINE_BYTES_MAX = 64 * 1024 * 1024
_CURSOR = "Hubwire-Cursor"
_STREAMS_MAX = 8
"""A reader has one stream, and a few that have ended."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


T = TypeVar("T")


class HubUnreachable(CommandFailed):
    """There is no answer from the address, or not at present."""


class HubRefused(CommandFailed):
    """The hub has answered with an error."""

    def __init__(self, message: str, *, status: int, code: str = "", details: Any = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = details


@attrs.frozen
class Message:
    """One server-sent event."""

    event: str
    id: str
    data: bytes


def is_hub(target: str) -> bool:
    """Tell whether a target is the address of a hub's dashboard, and no store."""
    return target.lower().startswith(("http://", "https://"))


class HubClient:
    """Asks the dashboard of one hub."""

    def __init__(self, address: str) -> None:
        try:
            parts = urlsplit(address)
            host, _ = parts.hostname or "", parts.port
        except ValueError as error:
            raise ConfigurationError(f"{address!r:.200} is no address: {error}") from error
        if not host:
            raise ConfigurationError(f"{address!r:.200} names no host; write http://127.0.0.1:8765")
        token = _token() or parse_qs(parts.fragment).get("token", [""])[0]
        if token and parts.scheme == "http" and host not in _LOOPBACK:
            complain(f"the token goes unencrypted to {host}; write https:// if it has that")
        self.name: str = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._has_token = bool(token)
        self._streams: list[AsyncGenerator[Any, None]] = []
        """Those that were begun: the loop would end them all at once, one within the other, and complain."""
        self._library = _library()
        self._client = self._library.AsyncClient(
            base_url=f"{self.name}/",
            headers=self._headers,
            timeout=self._library.Timeout(_ANSWER_SECONDS),
            trust_env=host not in _LOOPBACK,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the streams, also those that a reader has left in the middle, and the connections."""
        for stream in self._streams:
            if not getattr(stream, "ag_running", False):  # else the task that reads it ends it
                await stream.aclose()
        await self._client.aclose()

    # -- one question --

    async def get(self, path: str, **parameters: Any) -> Any:
        """Return the answer to a question. What is None or empty is not asked."""
        return await self._ask("GET", path, params=_given(parameters))

    async def post(self, path: str, body: Any = None, *, seconds: float = _ANSWER_SECONDS) -> Any:
        """Have an action done; return the answer, which may take so long."""
        # The server checks where a request is from: this one is from its own page, or as good as.
        parts = urlsplit(self.name)
        return await self._ask(
            "POST",
            path,
            json={} if body is None else body,
            headers={"Origin": f"{parts.scheme}://{parts.netloc}"},
            timeout=self._library.Timeout(_ANSWER_SECONDS, read=seconds),
        )

    async def _asked(self, method: str, path: str, **more: Any) -> Any:
        try:
            response = await self._client.request(method, path, **more)
        except self._library.HTTPError as error:
            raise self._unreachable(error) from error
        self._check(response)
        return response

    async def _ask(self, method: str, path: str, **more: Any) -> Any:
        response = await self._asked(method, path, **more)
        if not response.content:
            return None
        try:
            return msgspec.json.decode(response.content)
        except msgspec.MsgspecError as error:
            raise self._no_dashboard(response) from error

    async def page(self, path: str, **parameters: Any) -> tuple[bytes, str | None]:
        """Return a page of a download, and the cursor behind which the next one begins; None for the last page."""
        timeout = self._library.Timeout(_ANSWER_SECONDS, read=_SILENT_SECONDS)
        response = await self._asked("GET", path, params=_given(parameters), timeout=timeout)
        return response.content, response.headers.get(_CURSOR)

    # -- streams --

    def lines(self, path: str, **parameters: Any) -> AsyncGenerator[bytes, None]:
        """Iterate over the lines of a download, without their line feeds."""
        return self._begun(self._lines(path, parameters))

    def messages(self, path: str, last_id: str | None, **parameters: Any) -> AsyncGenerator[Message, None]:
        """Iterate over server-sent events, from behind the one of this id on, until the server closes the stream."""
        return self._begun(self._messages(path, last_id, parameters))

    def _begun(self, stream: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        self._streams = [*self._streams[-_STREAMS_MAX:], stream]
        return stream

    async def _lines(self, path: str, parameters: dict[str, Any]) -> AsyncGenerator[bytes, None]:
        async with (
            self._opened(path, _given(parameters), {}) as response,
            aclosing(self._split(response)) as lines,
        ):
            async for line in lines:
                if line:
                    yield line

    async def _messages(
        self, path: str, last_id: str | None, parameters: dict[str, Any]
    ) -> AsyncGenerator[Message, None]:
        headers = {"Accept": "text/event-stream", **({} if last_id is None else {"Last-Event-ID": last_id})}
        async with (
            self._opened(path, _given(parameters), headers) as response,
            aclosing(self._split(response)) as lines,
        ):
            event, identifier, data = "", last_id or "", list[bytes]()
            async for raw in lines:
                line = raw.rstrip(b"\r")
                name, _, value = line.partition(b":")
                value = value.removeprefix(b" ")
                if not line:
                    if data:
                        yield Message(event or "message", identifier, b"\n".join(data))
                    event, data = "", []
                elif name == b"event":
                    event = value.decode(errors="replace")
                elif name == b"id" and b"\0" not in value:
                    identifier = value.decode(errors="replace")
                elif name == b"data":
                    data.append(value)

    @asynccontextmanager
    async def _opened(self, path: str, parameters: dict[str, Any], headers: dict[str, str]) -> AsyncIterator[Any]:
        timeout = self._library.Timeout(_ANSWER_SECONDS, read=_SILENT_SECONDS)
        try:
            async with self._client.stream(
                "GET", path, params=parameters, headers=headers, timeout=timeout
            ) as response:
                if response.status_code != 200:
                    await response.aread()
                    self._check(response)
                yield response
        except self._library.HTTPError as error:
            raise self._unreachable(error) from error

    async def _split(self, response: Any) -> AsyncGenerator[bytes, None]:
        rest = b""
        async with aclosing(response.aiter_bytes()) as pieces:
            async for content in pieces:
                *lines, rest = (rest + content).split(b"\n")
                for line in lines:
                    yield line
                if len(rest) > _LINE_BYTES_MAX:
                    raise CommandFailed(
                        f"{self.name} has sent a line of more than {_LINE_BYTES_MAX:,} bytes, and no end"
                    )
        if rest:
            yield rest

    # -- errors --

    def _check(self, response: Any) -> None:
        status = response.status_code
        if 200 <= status < 300:
            return
        try:
            body = msgspec.json.decode(response.content)
            error = body["error"]
            code, message = str(error["code"]), str(error["message"])
            suggestion = str(error.get("suggestion") or "")
        except (msgspec.MsgspecError, LookupError, TypeError, AttributeError):
            raise self._no_dashboard(response) from None
        if status == 401:
            suggestion = (
                "the token that was given is not one of its tokens"
                if self._has_token
                else f"give its token by the variable {TOKEN_VARIABLE}, or by --token-file"
            )
        said = f"{self.name}: {message.rstrip('.')}{f'; {suggestion}' if suggestion else ''}"
        if status in (429, 502, 503, 504):
            raise HubUnreachable(said)
        raise HubRefused(said, status=status, code=code, details=body)

    def _no_dashboard(self, response: Any) -> CommandFailed:
        if response.status_code in (502, 503, 504):
            return HubUnreachable(f"{self.name} answers {response.status_code}")
        moved = "; it has moved elsewhere, name that address" if response.is_redirect else ""
        return CommandFailed(
            f"{self.name} answers {response.status_code} as no dashboard of a hub does{moved}; name the address that"
            " hubwire serve prints, with the path it is mounted at"
        )

    def _unreachable(self, error: Exception) -> HubUnreachable:
        return HubUnreachable(
            f"{self.name} cannot be reached: {str(error) or type(error).__name__}; is the program that serves its"
            " dashboard running there?"
        )


def _given(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value not in (None, "", (), [])}


def _token() -> str:
    path = token_file.get()
    if path is None:
        return os.environ.get(TOKEN_VARIABLE, "").strip()
    try:
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"--token-file {path} cannot be read: {reason}") from error
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigurationError(f"--token-file {path} has no token: it is one word, alone in its file")
    return token


def _library() -> Any:
    try:
        import httpx2
    except ImportError as error:
        raise CommandFailed("the address of a hub needs the library httpx2: pip install 'hubwire[web]'") from error
    return httpx2
