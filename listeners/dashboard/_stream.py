"""The stream: rows as they come, for each client from its own place, as server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs
from starlette.responses import Response

from hubwire.errors import HubError, InvalidCursor
from hubwire.waking import start_later

from ._boards import BoardFeed
from ._frames import Form, Frames, told
from ._http import Problem
from ._line import Line
from ._rows import Item, Rows
from ._source import Gap, Reader, Source, hub_of_cursor
from ._ticks import tick_frame
from ._verifying import Verifying

__all__ = ("ABORT", "LAST", "Client", "StreamReply", "Streams")

_Send = Callable[[dict[str, Any]], Awaitable[None]]

LAST = 2000
_REST_SECONDS = 0.05
"""After a write a client that is up to date waits so long, and gets then what has come meanwhile: a hundred clients
that are each written to at each event would take the loop from the hub."""
_FULL = 256
"""A client that has so many events to read does not wait."""
_REST_SECONDS_EACH = 0.001
"""For each client that reads, all rest so much, if that is longer: the hub has most of the loop, however many."""
_LONG = 5000
_PAUSE_SECONDS = 0.002
"""A client that reads a long history pauses so long after each write."""
_HEARTBEAT_SECONDS = 15.0
_TICK_SECONDS = 1.0
_PATIENCE_SECONDS = 1.0
"""How long one read of what there is may take, at first."""
_SLOW_SECONDS = 20.0
"""How long a write may wait for a client that does not read."""
BEHIND_MAX = 200_000
"""How many events a client may fall behind since it has caught up, or began."""
ABORT = "hubwire.abort"
"""Where the scope of a request has the function that ends its connection, whatever waits to be sent."""

_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)


@attrs.define
class StreamCounts:
    """What was sent, to all clients together."""

    opened: int = 0
    refused: int = 0
    slow: int = 0
    events: int = 0
    bytes: int = 0


class Streams:
    """All clients that read."""

    def __init__(self, source: Source, rows: Rows, verifying: Verifying, *, streams_max: int) -> None:
        self.source: Source = source
        self.verifying: Verifying = verifying
        self.frames: Frames = Frames(rows)
        self.counts: StreamCounts = StreamCounts()
        self.line: Line = Line(source)
        self._streams_max = streams_max
        self._clients: set[Client] = set()

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def rest_seconds(self) -> float:
        """How long a client that is up to date rests after a write."""
        return max(_REST_SECONDS, len(self._clients) * _REST_SECONDS_EACH)

    def add(self, client: Client) -> None:
        if len(self._clients) >= self._streams_max:
            self.counts.refused += 1
            raise Problem(
                503,
                "overloaded",
                f"{self._streams_max} clients read already",
                "try again later, or give the Dashboard a larger streams_max",
                headers={"Retry-After": "5"},
            )
        self._clients.add(client)
        self.counts.opened += 1

    def remove(self, client: Client) -> None:
        self._clients.discard(client)

    def end_all(self) -> None:
        """Tell all clients that the server stops, and end them."""
        for client in list(self._clients):
            client.end()

    async def close(self) -> None:
        """End all clients, and all tasks."""
        self.end_all()
        await self.line.close()


class Client:
    """One client, and its place."""

    def __init__(
        self, streams: Streams, form: Form, feed: BoardFeed | None, lasts: Callable[[], Awaitable[bool]]
    ) -> None:
        """``lasts``: whether the session has not ended, by which it may read."""
        self._streams = streams
        self._form = form
        self._feed = feed
        self._lasts = lasts
        self._looks_at = 0.0
        """When it is asked next."""
        self._reader: Reader | None = None
        self._send: _Send = _nowhere
        self._behind = BEHIND_MAX
        self._due = 0.0 if feed is not None else time.monotonic() + _HEARTBEAT_SECONDS
        """When the next tick is, or the next sign of life."""
        self._rests_until = 0.0
        self._patience = _PATIENCE_SECONDS
        self._was_at = ""
        """Where it was when it last had waited in vain."""
        self._place = streams.line.place()
        self._is_new = True
        """Whether it has asked for the newest events: then it misses none that were before."""
        self._has_read = False
        self.is_gone: bool = False

    # -- its place --

    def begin(self, cursor: str | None, last: int) -> bytes:
        """Go to its place; return what it is told first.

        Raises what reading a hub raises that cannot be read.
        """
        source = self._streams.source
        stale = b""
        if cursor is not None:
            try:
                self._reader, self._is_new = source.read(cursor, self._form.which), False
            except InvalidCursor as error:
                stale = self._stale(cursor, error)
        if self._reader is None:
            after = source.cursor_after(max(-1, source.newest_seq - last))
            self._reader = source.read(after, self._form.which)
            if stale:
                stale = stale.replace(b"data:", b"id: %b\ndata:" % after.encode(), 1)
        self._behind = max(BEHIND_MAX, self._reader.lag + BEHIND_MAX)
        return stale

    def _stale(self, cursor: str, error: Exception) -> bytes:
        was, now = hub_of_cursor(cursor), self._streams.source.id or None
        code = "other_hub" if was is not None and was != now else "cursor"
        return told("stale", {"code": code, "text": str(error)[:300], "was": was, "is": now})

    # -- reading and sending --

    async def run(self, send: _Send, first: bytes) -> bool:
        """Send until the client goes, the server stops, or there is no more; return whether it was told the end."""
        self._send = send
        code, text = "ended", "the server has stopped, the hub was closed, or the session has ended"
        try:
            await self._write(b"retry: 2000\n\n" + first)
            while not self.is_gone and await self._step():
                pass
        except InvalidCursor as error:  # the place was proved to be one of another history
            code, text = "cursor", str(error)[:300]
        except HubError as error:
            text = str(error)[:300]
        except _Slow as error:
            self._streams.counts.slow += 1
            code, text = "slow", str(error)
            if error.is_stuck:
                return False
        source = self._streams.source
        try:
            last = told("stale", {"code": code, "text": text, "was": source.id, "is": source.id})
            await self._write(last, is_last=True)
        except _Slow:
            return False
        return True

    async def _step(self) -> bool:
        """Wait for its turn, and send what there is; return whether there may be more."""
        reader = self._reader
        assert reader is not None
        lag = reader.lag
        due = min(self._due, 0.0 if _FULL <= lag <= _LONG else self._rests_until) if lag else self._due
        is_over = await self._place.wait(due, None if lag else self._rests_until)
        if self.is_gone:
            return False
        now = time.monotonic()
        if now >= self._looks_at:
            self._looks_at = now + _HEARTBEAT_SECONDS
            if not await self._lasts():
                return False
        first = self._regular(now)
        if (lag := reader.lag) > self._behind:
            raise _Slow(f"this client is {lag:,} events behind")
        if not lag:
            self._behind = BEHIND_MAX
        batch = await self._taken(reader, is_over=is_over)
        content = first if batch is None else first + await self._shown(batch)
        if content:
            await self._write(content)
        if batch and not isinstance(batch, Gap):
            pause = _PAUSE_SECONDS if reader.lag > _LONG else self._streams.rest_seconds
            self._rests_until = time.monotonic() + pause
        return batch is None or bool(batch) or not is_over

    def _regular(self, now: float) -> bytes:
        """Return what is sent from time to time, if it is due: a tick, or a sign of life."""
        if now < self._due:
            return b""
        streams, feed = self._streams, self._feed
        self._due = now + (_HEARTBEAT_SECONDS if feed is None else _TICK_SECONDS)
        if feed is None:
            return b":\n\n"
        return tick_frame(streams.source, feed, streams.verifying, contents=self._form.contents)

    async def _taken(self, reader: Reader, *, is_over: bool) -> Sequence[Item] | Gap | None:
        """Return what there is to read; None if that takes so long that it is told first what is due."""
        seconds = max(self._due - time.monotonic(), self._patience)
        try:
            async with asyncio.timeout(seconds):
                # What is over is read to its end, and that is told by an error if it was one.
                found = await reader.take(waits=is_over)
        except TimeoutError:  # the store needs longer to read it, and gets it
            before, self._was_at = self._was_at, reader.cursor
            self._patience = min(_HEARTBEAT_SECONDS, self._patience * 2) if before == self._was_at else self._patience
            return None
        self._patience = _PATIENCE_SECONDS
        return found

    async def _shown(self, batch: Sequence[Item] | Gap) -> bytes:
        if isinstance(batch, Gap):
            return b"" if self._is_new else told("gap", self._gap(batch), batch.cursor)
        if not batch:
            return b""
        self._is_new, self._has_read = False, True
        if frames := await self._streams.frames.of(batch, self._form):
            self._streams.counts.events += len(batch)
        return frames

    def _gap(self, gap: Gap) -> dict[str, Any]:
        code = "behind" if self._has_read else "journal"
        why = "this page was too far behind" if self._has_read else "they are no longer kept"
        text = f"events {gap.first_seq:,} to {gap.last_seq:,} are gone: {why}"
        return {"first_seq": gap.first_seq, "last_seq": gap.last_seq, "code": code, "text": text}

    async def _write(self, content: bytes, *, is_last: bool = False) -> None:
        seconds = 1.0 if is_last else _SLOW_SECONDS
        try:
            async with asyncio.timeout(seconds):
                await self._send({"type": "http.response.body", "body": content, "more_body": not is_last})
        except TimeoutError as error:
            raise _Slow(f"this client has read nothing for {seconds:.0f} s", is_stuck=True) from error
        self._streams.counts.bytes += len(content)

    def end(self) -> None:
        """End it: what it was waiting for does not come."""
        self.is_gone = True
        self._place.end()
        if self._reader is not None:
            self._reader.end()


class _Slow(Exception):
    def __init__(self, text: str, *, is_stuck: bool = False) -> None:
        super().__init__(text)
        self.is_stuck = is_stuck
        """Whether it reads nothing at all, so that it cannot be told."""


async def _nowhere(_: dict[str, Any]) -> None:
    """Before it is known where to."""


class StreamReply(Response):
    """Answers a request with a stream."""

    def __init__(self, streams: Streams, client: Client, first: bytes) -> None:
        super().__init__()
        self._streams = streams
        self._client = client
        self._first = first

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        watching = start_later(self._watch(receive), name="hubwire dashboard client")
        is_told = True
        try:
            await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
            is_told = await self._client.run(send, self._first)
        finally:
            self._streams.remove(self._client)
            watching.cancel()
            await asyncio.wait([watching])
        if not is_told and callable(abort := scope.get(ABORT)):
            abort()
            await asyncio.sleep(0)  # the server knows then that the client has gone, and complains of nothing

    async def _watch(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._client.end()
