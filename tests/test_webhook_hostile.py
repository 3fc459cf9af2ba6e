"""Endpoints that mean harm: what they answer holds up no hub, and no secret comes back by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from webhook_endpoint import Connection, Endpoint, Request

from hubwire import Hub
from hubwire.addresses import AddressGuard
from hubwire.listeners.webhook import Webhook
from hubwire.listeners.webhook._sending import beginning_of
from hubwire.stores import MemoryStore
from support.webhooks import SOON, numbers, order, sending


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


async def test_a_resolver_that_fails_is_a_delivery_that_failed() -> None:
    """Whatever it raises: statistics say it, the circuit counts it, and the event is sent when it works again."""
    answers: list[list[str]] = []

    async def resolver(_: str, __: int) -> list[str]:
        answers.append(["127.0.0.1"])
        if len(answers) <= 2:
            raise LookupError("the resolver is not well")
        return answers[-1]

    async with Endpoint() as endpoint:
        guard = AddressGuard(allow=["127.0.0.0/8"], resolver=resolver)
        webhook = Webhook(f"http://hooks.example.com:{endpoint.port}/", secret=None, guard=guard, retry=SOON)
        async with Hub(MemoryStore()) as hub:
            await hub.attach(webhook, pattern="order.*").ready()
            await hub.emit(order(0))
            await hub.flush()
    assert numbers(endpoint.requests) == [0]
    assert (webhook.statistics().failed, webhook.statistics().delivered) == (2, 1)
