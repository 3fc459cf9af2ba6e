"""A URL: lines of JSON, or server-sent events (HTML standard, 9.2), which go on after a lost connection."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import anyio

from ..failures import CommandFailed
from ..output import complain
from .lines import LINE_BYTES_MAX, Line, Splitter, TooLong

__all__ = ("Url", "is_url")

_SSE = "text/event-stream"
_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 60.0
"""A stream may be silent for as long as it likes, but its server says at once that it is one."""
_PAUSE_SECONDS, _PAUSE_SECONDS_MAX = 0.5, 30.0
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


def is_url(text: str) -> bool:
    """Tell whether an argument is a URL and no file."""
    return text.startswith(("http://", "https://"))


class Url:
    """A stream at a URL. Server-sent events go on behind the last one; a response of lines ends the stream."""

    def __init__(self, url: str, *, headers: Mapping[str, str], once: bool) -> None:
        parts = urlsplit(url)
        self.name: str = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self._url = url
        self._headers = dict(headers)
        self._once = once
        self.last_event_id: str | None = None
        self._count = 0
        self._is_sse = False
        self._is_first = True

    async def batches(self) -> AsyncIterator[Sequence[Line]]:
        library = _library()
        pause = _PAUSE_SECONDS
        while True:
            try:
                async for lines in self._one_response(library):
                    pause = _PAUSE_SECONDS
                    yield lines
                if self._once or not self._is_sse:
                    return
            except (library.TransportError, _Transient) as error:
                if self._once or (self._count and not self._is_sse):
                    raise CommandFailed(f"{self.name} broke off: {_reason(error)}") from error
                complain(f"{self.name} cannot be read: {_reason(error)}; trying again in {pause:g} s")
            await anyio.sleep(pause)
            pause = min(2 * pause, _PAUSE_SECONDS_MAX)

    async def _one_response(self, library: Any) -> AsyncIterator[Sequence[Line]]:
        headers = {"Accept": f"{_SSE}, application/x-ndjson, application/json", "Cache-Control": "no-store"}
        if self.last_event_id is not None:
            headers["Last-Event-ID"] = self.last_event_id
        timeout = library.Timeout(_CONNECT_SECONDS, read=None)
        try:
            async with AsyncExitStack() as opened:
                client = await opened.enter_async_context(library.AsyncClient(timeout=timeout))
                stream = client.stream("GET", self._url, headers={**headers, **self._headers})
                with anyio.move_on_after(_ANSWER_SECONDS) as waiting:
                    response = await opened.enter_async_context(stream)
                if waiting.cancelled_caught:
                    raise _Transient(f"it has not answered within {_ANSWER_SECONDS:g} s")
                self._check(response)
                self._is_sse = response.headers.get("Content-Type", "").startswith(_SSE)
                splitter, event, self._is_first = Splitter(), _Event(self.last_event_id), True
                ends = _Ends()
                async for content in response.aiter_bytes():
                    if lines := self._lines(splitter.feed(ends.of(content) if self._is_sse else content), event):
                        yield lines
                # Server-sent events end with a blank line: what has none is not complete.
                if not self._is_sse and (lines := self._lines(splitter.end(), event)):
                    yield lines
        except (library.InvalidURL, library.UnsupportedProtocol, library.LocalProtocolError) as error:
            raise CommandFailed(f"{self.name} cannot be read: {_reason(error)}") from error

    def _check(self, response: Any) -> None:
        code = response.status_code
        if code in _TRANSIENT:
            raise _Transient(f"it answers {code}")
        if code == 204:
            raise CommandFailed(f"{self.name} answers 204: it has no more events")
        if response.is_redirect:
            target = _without_secrets(response.headers.get("Location", "another place"))
            raise CommandFailed(f"{self.name} answers {code}: it has moved to {target}; name that")
        if code != 200:
            hint = "; give what it asks for with --header" if code in (401, 403) else ""
            raise CommandFailed(f"{self.name} answers {code}{hint}")

    def _lines(self, contents: list[bytes | TooLong], event: _Event) -> list[Line]:
        made = []
        for content in contents:
            line = content.rstrip(b"\r\n") if isinstance(content, bytes) else content
            if not self._is_sse:
                made.append(self._line(line, None))
                continue
            if self._is_first and isinstance(line, bytes):
                line = line.removeprefix(codecs.BOM_UTF8)
            self._is_first = False
            if (data := event.feed(line)) is not None:
                self.last_event_id = event.last_id
                made.append(self._line(data, event.last_id))
        return made

    def _line(self, content: bytes | TooLong, event_id: str | None) -> Line:
        self._count += 1
        place = f"event {self._count:,}"
        if isinstance(content, TooLong):
            return Line(b"", place, refusal=content.refusal)
        return Line(content, place, event_id=event_id or None)


class _Ends:
    """Makes a line feed of each end of a line of server-sent events: CR LF, LF, or CR alone."""

    def __init__(self) -> None:
        self._is_behind_cr = False

    def of(self, content: bytes) -> bytes:
        if self._is_behind_cr:
            content = content.removeprefix(b"\n")
            self._is_behind_cr = False
        if content:
            self._is_behind_cr = content.endswith(b"\r")
        return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


class _Event:
    """A server-sent event while it is read, field by field."""

    def __init__(self, last_id: str | None) -> None:
        self.last_id = last_id
        self._data: list[bytes] = []
        self._size = 0
        """Of its data, also of what is not kept: an event that never ends does not fill the memory."""

    def feed(self, line: bytes | TooLong) -> bytes | TooLong | None:
        """Take in a line; return the data of the event that ends with it, None if none does."""
        if isinstance(line, TooLong):
            self._add(b"", line.size)
            return None
        if not line:
            data, size, self._data, self._size = self._data, self._size, [], 0
            if size > LINE_BYTES_MAX:
                return TooLong(size, "")
            return b"\n".join(data) if data else None
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._add(value, len(value) + 1)
        elif name == b"id" and b"\0" not in value:
            self.last_id = value.decode(errors="replace")
        return None

    def _add(self, value: bytes, size: int) -> None:
        self._size += size
        if self._size <= LINE_BYTES_MAX:
            self._data.append(value)
        else:
            self._data.clear()


def _without_secrets(url: str) -> str:
    """Return a URL without what may be a secret: user, password, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "another place"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class _Transient(Exception):
    """The server is not ready to answer."""


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _library() -> Any:
    try:
        import httpx2
    except ImportError as error:
        raise CommandFailed("a URL needs the library httpx2: pip install 'hubwire[webhooks]'") from error
    return httpx2
