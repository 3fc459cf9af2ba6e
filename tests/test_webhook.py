"""Webhooks: what is sent, what follows from the answers, and that no event is lost. The endpoints are real servers."""

from __future__ import annotations

import json

import standardwebhooks
from cloudevents.core.formats.json import JSONFormat

from hubwire import GenericEvent, Hub
from hubwire.cloudevents import from_cloudevent
from hubwire.listeners.webhook import Webhook, new_secret, verify
from hubwire.stores import MemoryStore
from support.endpoint import Endpoint

LOOPBACK = ("127.0.0.1",)


async def test_an_event_is_posted_as_a_signed_cloudevent() -> None:
    secret = new_secret()
    async with Endpoint() as endpoint, Hub(MemoryStore()) as hub:
        webhook = Webhook(endpoint.url, secret=secret, pattern="order.*", allow=LOOPBACK)
        await hub.attach(webhook).ready()
        emitted = await hub.emit(GenericEvent(kind="order.placed", data={"item": "book"}))
        await hub.emit(GenericEvent(kind="user.met"))
        await hub.flush()
        (request,) = endpoint.requests
    assert request.target == "/hook"
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert request.headers["webhook-id"] == emitted.id
    assert request.headers["host"] == f"127.0.0.1:{endpoint.port}"
    assert from_cloudevent(request.body) == emitted
    assert JSONFormat().read(None, request.body).get_id() == emitted.id
    assert standardwebhooks.Webhook(secret).verify(request.body, request.headers) == json.loads(request.body)
    assert verify(request.body, request.headers, secret).id == emitted.id
    numbers = webhook.statistics()
    assert (numbers.delivered, numbers.attempts, numbers.last_status) == (1, 1, 200)
