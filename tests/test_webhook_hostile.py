"""Endpoints that mean harm: what they answer holds up no hub, and no secret comes back by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from webhook_endpoint import Connection, Endpoint, Request

from hubwire.listeners.webhook._sending import beginning_of
from support.webhooks import numbers, order, sending


async def test_a_status_stands_when_the_rest_does_not_come_in_time() -> None:
    """An event that the endpoint has taken is not sent again, because its answer has no end."""

    async def answering(_: Request, connection: Connection) -> None:
        connection.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        await asyncio.Event().wait()

    async with Endpoint(answering) as endpoint, sending(endpoint, timeout=0.4) as (hub, webhook, _):
        await hub.emit(order(0))
        await hub.flush()
    assert numbers(endpoint.requests) == [0]
    assert (webhook.statistics().delivered, webhook.statistics().failed) == (1, 0)


async def test_an_answer_in_tiny_pieces_does_not_hold_up_the_loop() -> None:
    """Pieces that have come already are handed out without a pause, so their number is bounded."""
    handed_out = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal handed_out
        while True:
            handed_out += 1
            yield b"x"

    async with asyncio.timeout(10):
        assert (await beginning_of(pieces(), float("inf"))).startswith("xxx")
    assert handed_out <= 500
