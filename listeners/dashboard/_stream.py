"""The stream: rows as they come, for each client from its own place, as server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs
from starlette.responses import Response

from hubwire.errors import HubError, InvalidCursor
from hubwire.waking import Waker, start_later

from ._boards import BoardFeed
from ._http import Problem, encoded
from ._rows import Item, Rows, joined, pieces
from ._source import Gap, Reader, Source, Which, hub_of_cursor
from ._ticks import tick_frame
from ._verifying import Verifying

__all__ = ("ABORT", "LAST", "Client", "Form", "StreamReply", "Streams")

_Send = Callable[[dict[str, Any]], Awaitable[None]]

ROWS_MAX = 64
"""Of one frame. What a reader got at once is several frames, and one write."""
LAST = 2000
_REST_SECONDS = 0.05
"""After a write a client that is up to date waits so long, and gets then what has come meanwhile: a hundred clients
that are each written to at each event would take the loop from the hub."""
_FULL = 256
"""A client that has so many events to read does not wait."""
_SLICE = 8
"""So many clients are written to in one turn of the loop, so that the hub has its turns in between."""
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
_FRAMES_HELD = 128
_FRAME_BYTES_HELD = 32 * 1024 * 1024

ABORT = "hubwire.abort"
"""Where the scope of a request has the function that ends its connection, whatever waits to be sent."""

_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)


@attrs.frozen
class Form:
    """How a client gets events: equal ones share what was made."""

    which: Which
    contents: bool
    raw: bool
    tasks: tuple[str, ...]
    outcomes: tuple[str, ...]


class Frames:
    """Makes frames, and keeps the newest: clients at the same place get the very same bytes."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._held: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()
        self._bytes = 0

    def of(self, items: Sequence[Item], form: Form) -> bytes:
        """Return these events as frames: empty, if the form takes none of them."""
        key = (items[0].event.id, items[-1].event.id, len(items), form)
        found = self._held.get(key)
        if found is None:
            found = self._held[key] = b"".join(map(self._frame(form), pieces(self._taken(items, form), ROWS_MAX)))
            self._bytes += len(found)
            while len(self._held) > _FRAMES_HELD or (self._bytes > _FRAME_BYTES_HELD and len(self._held) > 1):
                self._bytes -= len(self._held.popitem(last=False)[1])
        return found

    def _taken(self, items: Sequence[Item], form: Form) -> Sequence[Item]:
        if not form.tasks and not form.outcomes:
            return items
        found = []
        for item in items:
            row = self._rows.row(item.event, contents=False)
            is_of_task = not form.tasks or row.get("task_id") in form.tasks
            if is_of_task and (not form.outcomes or row.get("outcome") in form.outcomes):
                found.append(item)
        return found

    def _frame(self, form: Form) -> Callable[[Sequence[Item]], bytes]:
        encode = self._rows.encoded_event if form.raw else self._rows.encoded_row
        name = b"events" if form.raw else b"rows"

        def made(items: Sequence[Item]) -> bytes:
            data = joined(encode(item, contents=form.contents) for item in items)
            return b"event: %b\nid: %b\ndata: %b\n\n" % (name, items[-1].cursor.encode(), data)

        return made


def told(name: str, value: Any, cursor: str | None = None) -> bytes:
    """Return a frame of its own."""
    line = b"" if cursor is None else b"id: %b\n" % cursor.encode()
    return b"event: %b\n%bdata: %b\n\n" % (name.encode(), line, encoded(value))


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
        self.line: Waker = Waker(_SLICE)
        self._streams_max = streams_max
        self._clients: set[Client] = set()

    def __len__(self) -> int:
        return len(self._clients)

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
        self._due = 0.0
        """When the next tick is."""
        self._rests_until = 0.0
        self._patience = _PATIENCE_SECONDS
        self._place = ""
        """Where it was when it last had waited in vain."""
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
        """Send what comes next; return whether there may be more."""
        reader = self._reader
        assert reader is not None
        now = time.monotonic()
        if now >= self._looks_at:
            self._looks_at = now + _HEARTBEAT_SECONDS
            if not await self._lasts():
                return False
        if self._feed is not None and now >= self._due:
            streams, contents = self._streams, self._form.contents
            await self._write(tick_frame(streams.source, self._feed, streams.verifying, contents=contents))
            self._due = now + _TICK_SECONDS
        if self._rests_until > now and reader.lag < _FULL and not self.is_gone:
            await asyncio.sleep(self._rests_until - now)
            now = time.monotonic()
        if lag := reader.lag:
            if lag > self._behind:
                raise _Slow(f"this client is {lag:,} events behind")
        else:
            self._behind = BEHIND_MAX
        before = self._place
        seconds = _HEARTBEAT_SECONDS if self._feed is None else max(self._due - now, self._patience if lag else 0.0)
        try:
            async with asyncio.timeout(seconds):
                batch = await reader.take()
        except TimeoutError:
            # There was nothing for it; or the store needs longer to read it, and gets it.
            self._place = reader.cursor
            is_slow = lag and before == self._place
            self._patience = min(_HEARTBEAT_SECONDS, self._patience * 2) if is_slow else _PATIENCE_SECONDS
            if self._feed is None:
                await self._write(b":\n\n")
            return True
        return await self._pass_on(batch)

    async def _pass_on(self, batch: Sequence[Item] | Gap) -> bool:
        if isinstance(batch, Gap):
            if not self._is_new:
                await self._write(told("gap", self._gap(batch), batch.cursor))
            return True
        if not batch:
            return False
        self._is_new, self._has_read = False, True
        if frames := self._streams.frames.of(batch, self._form):
            self._streams.counts.events += len(batch)
            await self._streams.line.wait_in_line()
            await self._write(frames)
            if self._reader is not None and self._reader.lag > _LONG:
                await asyncio.sleep(_PAUSE_SECONDS)
            self._rests_until = time.monotonic() + _REST_SECONDS
        return True

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
