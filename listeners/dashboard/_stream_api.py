"""The place of the interface that is the stream."""

from __future__ import annotations

from typing import get_args

from hubwire.words import Outcome

from ._asked import Asked, Endpoint
from ._frames import Form
from ._http import Reply, refused
from ._source import Which
from ._stream import LAST, Client, StreamReply

__all__ = ("endpoints",)

_LAST_MAX = 100_000
_BOARD_SECONDS = 0.4
"""Rows do not wait longer for the board of a long log: the ticks that follow have what it has got to."""


async def _stream(asked: Asked) -> Reply:
    streams = asked.parts.streams
    form = _form(asked)
    last = asked.whole("last", LAST, most=_LAST_MAX)
    feed = await asked.parts.boards.feed(asked.tenant, _BOARD_SECONDS) if asked.flag("boards") else None
    cursor = asked.request.headers.get("last-event-id") or asked.text("since")
    await streams.source.open()
    if asked.request.method == "HEAD":
        return Reply(b"", 200, {}, "text/event-stream")
    sessions, request = asked.parts.sessions, asked.request
    client = Client(streams, form, feed, lambda: sessions.lasts(request, asked.person))
    streams.add(client)
    try:
        first = client.begin(cursor, last)
    except BaseException:
        streams.remove(client)
        raise
    return StreamReply(streams, client, first)


def _form(asked: Asked) -> Form:
    outcomes = asked.texts("outcome")
    for each in outcomes:
        if each not in get_args(Outcome):
            raise refused(f"{each[:80]!r} is no outcome", f"one of {', '.join(get_args(Outcome))}")
    which = Which(asked.texts("kind"), asked.tenant, asked.text("agent"), asked.text("channel"))
    return Form(which, asked.contents, asked.flag("raw"), asked.texts("task"), outcomes)


def endpoints() -> tuple[Endpoint, ...]:
    """Return the place of the stream."""
    return (Endpoint("GET", "/api/stream", _stream, says="events as they come, as text/event-stream"),)
