"""Endpoints that mean harm: what they answer holds up no hub, and no secret comes back by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from webhook_endpoint import Connection, Endpoint, Request

from hubwire import Hub
from hubwire.addresses import AddressGuard
from hubwire.listeners.webhook import Webhook
from hubwire.listeners.webhook._hidden import Hidden
from hubwire.listeners.webhook._sending import beginning_of
from hubwire.stores import MemoryStore
from support import until
from support.webhooks import LOOPBACK, SOON, numbers, order, sending


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
        assert (await beginning_of(pieces(), float("inf"), Hidden(()))).startswith("xxx")
    assert handed_out <= 500


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise SystemExit


@pytest.mark.parametrize("raised", [LookupError, Unspeakable])
async def test_a_resolver_that_fails_is_a_delivery_that_failed(raised: type[Exception]) -> None:
    """Whatever it raises: statistics say it, the circuit counts it, and the event is sent when it works again."""
    answers: list[list[str]] = []

    async def resolver(_: str, __: int) -> list[str]:
        answers.append(["127.0.0.1"])
        if len(answers) <= 2:
            raise raised("the resolver is not well")
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


@pytest.mark.parametrize("status", [400, 503])
async def test_a_secret_that_an_endpoint_repeats_is_not_reported(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """As a page for debugging does, which shows the request: neither log nor statistics, health or letter have it."""

    async def answering(request: Request, connection: Connection) -> None:
        path = request.target.partition("?")[0]
        said = f"Cannot POST {path}: " + "x" * 150 + f"{request.headers} {request.target}"
        await connection.say(status, said.encode())

    headers = {"Authorization": "Bearer " + "s3cr3t" * 20, "X-Key": "k3y-of-mine"}
    async with Endpoint(answering) as endpoint, Hub(MemoryStore(), close_seconds_max=0.2) as hub:
        url = f"http://127.0.0.1:{endpoint.port}/t0ken-in-path?and=t0ken"
        webhook = Webhook(url, secret=None, headers=headers, allow=LOOPBACK)
        attachment = hub.attach(webhook, pattern="order.*")
        await attachment.ready()
        await hub.emit(order(0))
        await until(lambda: webhook.statistics().last_error is not None)
        if status == 400:
            await hub.flush()  # then there is a letter
        reports = [webhook.statistics(), webhook, hub.health(), hub.statistics(), await hub.dead_letters.list()]
    assert f"answered {status}" in repr(reports)
    for secret in ("s3cr3t", "k3y-of", "t0ken"):
        assert secret not in repr(reports)
        assert secret not in caplog.text


async def test_a_secret_in_what_is_no_answer_is_not_reported() -> None:
    """The client says what it could not read, and that may be the request."""

    async def answering(request: Request, connection: Connection) -> None:
        connection.writer.write(request.headers["authorization"].encode() + b"\r\n\r\n")
        await connection.writer.drain()

    async with Endpoint(answering) as endpoint:
        settings: dict[str, Any] = {"headers": {"Authorization": "Bearer s3cr3t-s3cr3t"}, "close_seconds_max": 0.2}
        async with sending(endpoint, **settings) as (hub, webhook, _):
            await hub.emit(order(0))
            await until(lambda: webhook.statistics().last_error is not None)
    assert "no answer of HTTP/1.1: b'…" in str(webhook.statistics().last_error)
    assert "s3cr3t" not in str(webhook.statistics().last_error)
