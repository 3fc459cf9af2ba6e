"""The connections of webhooks: what is read of an answer, and what is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import h11
import pytest
from hypothesis import given, settings, strategies as st
from webhook_endpoint import Connection, Endpoint, Request

from hubwire.listeners.webhook._wire import Response, Wire
from support import until
from support.webhooks import numbers, order, sending


class Transport(asyncio.Transport):
    """A transport of which only the pauses matter."""

    def __init__(self) -> None:
        super().__init__()
        self.is_reading_now = True

    def pause_reading(self) -> None:
        self.is_reading_now = False

    def resume_reading(self) -> None:
        self.is_reading_now = True


async def read(pieces: list[bytes]) -> tuple[int, bytes, bool]:
    """Return status and body of the answer that comes in these pieces, and whether the connection can be used again."""
    wire = Wire()
    wire.connection_made(Transport())

    async def feed() -> None:
        for piece in pieces:
            wire.data_received(piece)
            await asyncio.sleep(0)
        wire.eof_received()

    feeding = asyncio.create_task(feed())
    try:
        response = await Response.read(wire, 5)
        body = b"".join([part async for part in response.stream])
        return response.status_code, body, response.is_over and not wire.buffer
    finally:
        await feeding


def said_by_h11(status: int, body: bytes, framing: str, interim: list[int]) -> bytes:
    """Return an answer as the library writes it of which most servers in Python are made."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    while type(server.next_event()) is not h11.EndOfMessage:
        pass
    fields = {"sized": [("Content-Length", str(len(body)))], "chunked": [("Transfer-Encoding", "chunked")]}
    said = b"".join(server.send(h11.InformationalResponse(status_code=each, headers=[])) or b"" for each in interim)
    headers = [*fields.get(framing, [("Connection", "close")]), ("X-More", "a"), ("X-More", "b")]
    said += server.send(h11.Response(status_code=status, headers=headers, http_version=b"1.1")) or b""
    for at in range(0, len(body), 7):
        said += server.send(h11.Data(body[at : at + 7])) or b""
    return said + (server.send(h11.EndOfMessage()) or b"")


@settings(max_examples=200, deadline=None)
@given(
    status=st.sampled_from([200, 201, 302, 400, 410, 503]),
    body=st.binary(max_size=60),
    framing=st.sampled_from(["sized", "chunked", "close"]),
    interim=st.lists(st.sampled_from([100, 102, 103]), max_size=3),
    cuts=st.sets(st.integers(1, 400), max_size=20),
)
def test_answers_are_read_as_others_write_them(
    status: int, body: bytes, framing: str, interim: list[int], cuts: set[int]
) -> None:
    """Wherever the pieces that come over the network are cut."""
    said = said_by_h11(status, body, framing, interim)
    at = [0, *sorted(cut for cut in cuts if cut < len(said)), len(said)]
    pieces = [said[begin:end] for begin, end in pairwise(at)]
    assert asyncio.run(read(pieces)) == (status, body, framing != "close")


_PARTS = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 \r\n\r\n",
    b"\r\n",
    b"\n",
    b"Content-Length: 3\r\n",
    b"abc",
    b":",
    b"x",
]
_PARTS += [
    b"Transfer-Encoding: chunked\r\n",
    b"5\r\n",
    b"0\r\n\r\n",
    b"ffffffff\r\n",
    b"-1\r\n",
    b"\xff\x00",
    b"Content-Length: -1\r\n",
]
_PARTS += [b"Content-Length: 99999999999999999999\r\n", b"HTTP/1.1 204 No\r\n\r\n", b"HTTP/0.9 1"]


@settings(max_examples=500, deadline=None)
@given(pieces=st.lists(st.sampled_from(_PARTS) | st.binary(max_size=5), max_size=12))
def test_what_is_no_answer_is_an_error_of_the_connection(pieces: list[bytes]) -> None:
    try:
        status, _, _ = asyncio.run(read(pieces))
    except ConnectionError:
        return
    assert 101 <= status <= 999


async def flood_of_interim_answers(connection: Connection) -> None:
    connection.writer.write(b"HTTP/1.1 102 Wait\r\n\r\n" * 100_000)
    await connection.writer.drain()


async def one_too_many(connection: Connection) -> None:
    connection.writer.write(b"HTTP/1.1 102 Wait\r\n\r\n" * 101 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await connection.writer.drain()


@pytest.mark.parametrize("deed", [flood_of_interim_answers, one_too_many])
async def test_a_flood_of_interim_answers_is_no_answer(deed: Callable[[Connection], Any]) -> None:
    """They come without a pause, and each would take its time of the loop: a hundred are read."""
    rest = [deed]

    async def answering(_: Request, connection: Connection) -> None:
        await (rest.pop()(connection) if rest else connection.say(200))

    async with Endpoint(answering) as endpoint, sending(endpoint) as (hub, webhook, _):
        await hub.emit(order(0))
        await until(lambda: webhook.statistics().failed == 1)
        assert "more than 100 answers 1xx" in str(webhook.statistics().last_error)
        await hub.flush()
    assert numbers(endpoint.requests) == [0, 0]


async def test_a_few_interim_answers_are_passed_over() -> None:
    async def answering(_: Request, connection: Connection) -> None:
        connection.writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n")
        await connection.say(204)

    async with Endpoint(answering) as endpoint, sending(endpoint) as (hub, webhook, _):
        for n in range(3):
            await hub.emit(order(n))
        await hub.flush()
    assert numbers(endpoint.requests) == [0, 1, 2]
    assert (webhook.statistics().failed, endpoint.connections) == (0, 1)


async def test_a_connection_with_bytes_that_were_not_asked_for_is_not_used_again() -> None:
    """They would be taken for the answer to the next event."""

    async def answering(_: Request, connection: Connection) -> None:
        await connection.say(200)
        connection.writer.write(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n")
        await connection.writer.drain()

    async with Endpoint(answering) as endpoint, sending(endpoint) as (hub, webhook, _):
        for n in range(3):
            await hub.emit(order(n))
            await hub.flush()
            await asyncio.sleep(0)
        assert webhook.statistics().delivered == 3
    assert numbers(endpoint.requests) == [0, 1, 2]


async def test_what_is_not_read_does_not_fill_the_memory() -> None:
    """The endpoint is held up when there is as much as is read at once."""
    wire, transport = Wire(), Transport()
    wire.connection_made(transport)
    wire.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 70_000)
    assert not transport.is_reading_now
    response = await Response.read(wire, 5)
    stream = response.stream
    assert len(await anext(stream)) == 70_000
    more = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    assert transport.is_reading_now
    wire.data_received(b"y")
    assert await more == b"y"
    await stream.aclose()
    assert not response.is_over
