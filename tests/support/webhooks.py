"""What the tests of webhooks share."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from webhook_endpoint import Connection, Endpoint, Request

from hubwire import Attachment, Backoff, GenericEvent, Hub
from hubwire.listeners.webhook import Webhook
from hubwire.stores import MemoryStore

__all__ = ("LOOPBACK", "SOON", "Answers", "numbers", "order", "sending", "webhook_to")

LOOPBACK = ("127.0.0.1",)
SOON = Backoff(seconds=0.001, seconds_max=0.01)


def order(n: int = 0, **more: Any) -> GenericEvent:
    return GenericEvent(kind="order.placed", data={"n": n, **more})


def numbers(requests: list[Request]) -> list[int]:
    return [json.loads(each.body)["data"]["n"] for each in requests]


def webhook_to(endpoint: Endpoint, **settings: Any) -> Webhook:
    return Webhook(endpoint.url, **{"secret": None, "pattern": "order.*", "allow": LOOPBACK, "retry": SOON, **settings})


@asynccontextmanager
async def sending(
    endpoint: Endpoint, *, close_seconds_max: float = 10.0, **settings: Any
) -> AsyncIterator[tuple[Hub, Webhook, Attachment]]:
    async with Hub(MemoryStore(), close_seconds_max=close_seconds_max) as hub:
        webhook = webhook_to(endpoint, **settings)
        attachment = hub.attach(webhook)
        await attachment.ready()
        yield hub, webhook, attachment


class Answers:
    """Answers with these, one after the other, and then with 200."""

    def __init__(self, *answers: int | tuple[int, dict[str, str]]) -> None:
        self._rest = list(answers)

    async def __call__(self, _: Request, connection: Connection) -> None:
        given = self._rest.pop(0) if self._rest else 200
        status, headers = given if isinstance(given, tuple) else (given, {})
        await connection.say(status, b"" if status in (204, 304) else b"because", **headers)
