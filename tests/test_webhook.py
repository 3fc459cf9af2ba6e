"""Webhooks: what is sent, what follows from the answers, and that no event is lost. The endpoints are real servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
import standardwebhooks
from cloudevents.core.formats.json import JSONFormat
from webhook_endpoint import Connection, Endpoint, Request

from hubwire import AttachmentState, Backoff, DeadLetterReason, Duty, GenericEvent, Hub, RetryOutcome, codec
from hubwire.cloudevents import from_cloudevent
from hubwire.errors import ConfigurationError, RetryLater, TargetGone
from hubwire.listeners.webhook import (
    CircuitState,
    Sha256Header,
    Webhook,
    new_key_pair,
    new_secret,
    verify,
    verify_sha256,
)
from hubwire.redaction import Redactor
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock
from support import pass_time, until
from support.payloads import stamped
from support.webhooks import LOOPBACK, SOON, Answers, numbers, order, sending, webhook_to

# --- what is sent ---------------------------------------------------------------------------------------------------


async def test_an_event_is_posted_as_a_signed_cloudevent() -> None:
    secret = new_secret()
    async with Endpoint() as endpoint, sending(endpoint, secret=secret) as (hub, webhook, attachment):
        emitted = await hub.emit(order(item="book"))
        await hub.emit(GenericEvent(kind="user.met"))
        await hub.flush()
        (request,) = endpoint.requests
        assert attachment.name == "webhook 127.0.0.1"
        assert attachment.duty is Duty.DURABLE
    assert request.target == "/hook"
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert request.headers["user-agent"].startswith("hubwire/")
    assert request.headers["webhook-id"] == emitted.id
    assert request.headers["host"] == f"127.0.0.1:{endpoint.port}"
    assert from_cloudevent(request.body) == emitted
    assert JSONFormat().read(None, request.body).get_id() == emitted.id
    assert standardwebhooks.Webhook(secret).verify(request.body, request.headers) == json.loads(request.body)
    assert verify(request.body, request.headers, secret).id == emitted.id
    numbers = webhook.statistics()
    assert (numbers.delivered, numbers.attempts, numbers.last_status, numbers.latency.count) == (1, 1, 200, 1)


async def test_a_plain_body_is_the_record() -> None:
    async with Endpoint() as endpoint, sending(endpoint, body="plain") as (hub, _, _):
        emitted = await hub.emit(order())
        await hub.flush()
    (request,) = endpoint.requests
    assert request.body == codec.encode(emitted)
    assert request.headers["content-type"] == "application/json"
    assert "webhook-signature" not in request.headers


async def test_all_that_is_chosen_is_sent() -> None:
    (private, public), secret = new_key_pair(), new_secret()
    settings: dict[str, Any] = {
        "secret": [private, secret],
        "sha256": Sha256Header("attesta's", name="X-Attesta-Signature"),
        "headers": {"Authorization": "Bearer x", "user-agent": "shop/1"},
        "source": "https://example.com/shop",
    }
    async with Endpoint() as endpoint, sending(endpoint, **settings) as (hub, webhook, _):
        await hub.emit(order(0))
        await hub.flush()
        webhook.use_secret(newer := new_secret())
        with pytest.raises(ConfigurationError):
            webhook.use_secret("x")
        await hub.emit(order(1))
        await hub.flush()
    first, second = endpoint.requests
    for key in (public, secret):
        verify(first.body, first.headers, key)
    verify(second.body, second.headers, newer)
    verify_sha256(first.body, first.headers["x-attesta-signature"], "attesta's")
    assert (first.headers["authorization"], first.headers["user-agent"]) == ("Bearer x", "shop/1")
    assert json.loads(first.body)["source"] == "https://example.com/shop"


async def test_what_is_secret_is_not_sent_unless_it_is_asked_for() -> None:
    bait = "ghp_" + "a1B2" * 9
    for redactor in ("default", None, Redactor()):
        async with Endpoint() as endpoint, sending(endpoint, redactor=redactor) as (hub, webhook, _):
            await hub.emit(order(token=bait))
            await hub.flush()
        (request,) = endpoint.requests
        assert (bait.encode() in request.body) == (redactor is None)
        assert webhook.withheld == 0


async def test_a_connection_is_used_again() -> None:
    async with Endpoint() as endpoint, sending(endpoint) as (hub, _, _):
        for n in range(100):
            await hub.emit(order(n))
        await hub.flush()
    assert numbers(endpoint.requests) == list(range(100))
    assert endpoint.connections == 1


async def test_a_large_event_with_odd_text_arrives() -> None:
    async with Endpoint() as endpoint, sending(endpoint, redactor=None) as (hub, _, _):
        emitted = await hub.emit(order(text="\u2028\x00\U0001f600" * 100_000))
        await hub.flush()
    assert from_cloudevent(endpoint.requests[0].body) == emitted


# --- what follows ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_an_event_that_is_taken_is_not_sent_again(status: int) -> None:
    async with Endpoint(Answers(status)) as endpoint, sending(endpoint) as (hub, webhook, _):
        await hub.emit(order(0))
        await hub.emit(order(1))
        await hub.flush()
    assert numbers(endpoint.requests) == [0, 1]
    assert webhook.statistics().failed == 0


@pytest.mark.parametrize("status", [300, 301, 302, 304, 307, 308, 408, 425, 429, 500, 502, 503, 504, 599])
async def test_an_event_that_may_be_taken_later_is_sent_again_before_the_next(status: int) -> None:
    """Redirects are not followed, wherever they lead."""
    answers = Answers((status, {"Location": "http://127.0.0.1:1/"}), (status, {"Location": "/other"}))
    async with Endpoint(answers) as endpoint, sending(endpoint) as (hub, webhook, _):
        await hub.emit(order(0))
        await hub.emit(order(1))
        await hub.flush()
        assert await hub.dead_letters.list() == []
    assert numbers(endpoint.requests) == [0, 0, 0, 1]
    assert {each.target for each in endpoint.requests} == {"/hook"}
    assert {each.headers["webhook-id"] for each in endpoint.requests[:3]} == {
        endpoint.requests[0].headers["webhook-id"]
    }
    assert (webhook.statistics().failed, webhook.statistics().delivered) == (2, 2)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 411, 413, 415, 422, 451, 499])
async def test_an_event_that_is_refused_is_a_dead_letter_and_blocks_none(status: int) -> None:
    async with Endpoint(Answers(200, status)) as endpoint, sending(endpoint) as (hub, webhook, attachment):
        for n in range(4):
            await hub.emit(order(n))
        await hub.flush()
        (letter,) = await hub.dead_letters.list()
        assert letter.reason is DeadLetterReason.VALIDATION
        assert letter.error.startswith(f"{endpoint.url.removesuffix('/hook')} answered {status}: because; mend what")
        assert webhook.statistics().refused == 1
        assert (await hub.dead_letters.retry(letter.id)).outcome is RetryOutcome.DELIVERED
        assert attachment.state is AttachmentState.RUNNING
    assert numbers(endpoint.requests) == [0, 1, 2, 3, 1]


async def test_an_endpoint_that_is_gone_gets_no_more() -> None:
    """Attached again, it goes on with the same event."""
    async with Endpoint(Answers(200, 410)) as endpoint, sending(endpoint) as (hub, webhook, attachment):
        for n in range(4):
            await hub.emit(order(n))
        await until(lambda: attachment.state is AttachmentState.DETACHED)
        assert isinstance(attachment.failure, TargetGone)
        assert any("answered 410" in each for each in hub.health().problems)
        assert numbers(endpoint.requests) == [0, 1]
        hub.attach(webhook)
        await hub.flush()
        assert hub.health().healthy
    assert numbers(endpoint.requests) == [0, 1, 1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize(
    "value",
    [lambda: "1", lambda: format_datetime(datetime.now(tz=UTC) + timedelta(seconds=2), usegmt=True)],
    ids=["seconds", "date"],
)
async def test_an_endpoint_says_when_it_is_to_be_tried_again(value: Callable[[], str]) -> None:
    async with Endpoint(Answers((429, {"Retry-After": value()}))) as endpoint, sending(endpoint) as (hub, webhook, _):
        await hub.emit(order(0))
        await until(lambda: webhook.statistics().failed == 1)
        assert webhook.statistics().circuit is CircuitState.OPEN
        began = webhook.statistics().last_attempt_at or 0.0
        await hub.flush()
        assert (webhook.statistics().last_attempt_at or 0.0) - began >= 0.8
        assert webhook.statistics().circuit is CircuitState.CLOSED


@pytest.mark.parametrize("value", ["", "x", "-5", "1.5", "٣", "Wed, 99 Foo", "9" * 200, "0"])
async def test_a_time_that_is_none_is_passed_over(value: str) -> None:
    header = value.encode().decode("latin-1")
    async with Endpoint(Answers((503, {"Retry-After": header}))) as endpoint, sending(endpoint) as (hub, _, _):
        await hub.emit(order(0))
        await hub.flush()
    assert numbers(endpoint.requests) == [0, 0]


async def test_an_endpoint_that_stays_away_is_suspended_after_its_attempts() -> None:
    """No event is given up: it goes on when it is resumed."""
    async with Endpoint(Answers(*[500] * 7)) as endpoint, sending(endpoint, attempts_max=7) as (hub, _, attachment):
        await hub.emit(order(0))
        await hub.emit(order(1))
        await until(lambda: attachment.state is AttachmentState.SUSPENDED)
        assert "answered 500: because" in str(attachment.suspension)
        attachment.resume()
        await hub.flush()
    assert numbers(endpoint.requests) == [0] * 8 + [1]


# --- endpoints that do harm -----------------------------------------------------------------------------------------


async def test_an_answer_without_end_is_not_read_to_the_end() -> None:
    async def flood(_: Request, connection: Connection) -> None:
        await connection.flood(100 * 1024 * 1024)

    async with Endpoint(flood) as endpoint, sending(endpoint) as (hub, webhook, _):
        for n in range(5):
            await hub.emit(order(n))
        await hub.flush()
    assert numbers(endpoint.requests) == [0, 1, 2, 3, 4]
    assert webhook.statistics().failed == 0
    assert endpoint.connections == 5


async def say_hello(connection: Connection) -> None:
    connection.writer.write(b"HELLO\r\n\r\n")
    await connection.writer.drain()


async def hang_up(connection: Connection) -> None:
    connection.cut()


async def long_headers(connection: Connection) -> None:
    connection.writer.write(b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 100_000)
    await connection.writer.drain()


async def hang(_: Connection) -> None:
    await asyncio.Event().wait()


async def drip(connection: Connection) -> None:
    while True:
        connection.writer.write(b"H")
        await connection.writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("deed", [say_hello, hang_up, long_headers, hang, drip])
async def test_an_endpoint_that_does_not_answer_gets_the_event_again(deed: Callable[[Connection], Any]) -> None:
    rest = [deed, deed]

    async def answering(_: Request, connection: Connection) -> None:
        await (rest.pop(0)(connection) if rest else connection.say(200))

    settings = {"timeout": 0.4, "read_timeout": 0.2}
    async with Endpoint(answering) as endpoint, sending(endpoint, **settings) as (hub, webhook, _):
        await hub.emit(order(0))
        await hub.emit(order(1))
        await hub.flush()
    assert numbers(endpoint.requests) == [0, 0, 0, 1]
    assert webhook.statistics().failed == 2


async def test_a_body_that_breaks_off_does_not_change_the_answer() -> None:
    async def answering(_: Request, connection: Connection) -> None:
        connection.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        await connection.writer.drain()
        connection.cut()

    async with Endpoint(answering) as endpoint, sending(endpoint) as (hub, webhook, _):
        await hub.emit(order(0))
        await hub.flush()
    assert (numbers(endpoint.requests), webhook.statistics().delivered) == ([0], 1)


async def test_what_is_answered_is_shown_on_one_line() -> None:
    async def answering(_: Request, connection: Connection) -> None:
        await connection.say(400, b"\x1b[31mred\x00\n\xff\xe2\x80\xae" + b"x" * 100_000)

    async with Endpoint(answering) as endpoint, sending(endpoint) as (hub, _, _):
        await hub.emit(order(0))
        await hub.flush()
        (letter,) = await hub.dead_letters.list()
    assert letter.error.isprintable()
    assert len(letter.error) < 400


async def test_emitters_do_not_wait_for_an_endpoint_that_hangs() -> None:
    async def answering(_: Request, connection: Connection) -> None:
        await hang(connection)

    async with Endpoint(answering) as endpoint, sending(endpoint, close_seconds_max=0.2) as (hub, webhook, _):
        for n in range(1000):
            await hub.emit(order(n))
        assert webhook.statistics().delivered == 0
        assert (await hub.emit(order(1000))).seq > 1000


async def test_a_hub_ends_in_time_while_an_endpoint_hangs(tmp_path: Path) -> None:
    """What was under way is delivered by the next one."""

    async def answering(_: Request, connection: Connection) -> None:
        await hang(connection)

    async with Endpoint(answering) as endpoint:
        async with Hub(FileStore(tmp_path), close_seconds_max=0.5) as hub:
            await hub.attach(webhook_to(endpoint)).ready()
            await hub.emit(order(0))
            await until(lambda: len(endpoint.requests) == 1)
        endpoint.answering = Answers()
        async with Hub(FileStore(tmp_path)) as hub:
            hub.attach(webhook_to(endpoint))
            await hub.flush()
    assert numbers(endpoint.requests) == [0, 0]


async def test_a_hub_is_closed_without_a_wait_for_an_endpoint_that_is_away(tmp_path: Path) -> None:
    """What is owed is delivered after the next start; the time that closing may take is for those who work."""
    async with Endpoint() as endpoint:
        url = endpoint.url
    hub = Hub(FileStore(tmp_path))
    webhook = Webhook(url, secret=None, allow=LOOPBACK, retry=SOON, pattern="order.*")
    hub.attach(webhook)
    await hub.start()
    await hub.emit(order(0))
    await until(lambda: webhook.statistics().failed >= 2)
    failed = webhook.statistics().failed
    await hub.aclose()
    assert webhook.statistics().failed < failed + 20  # of hundreds, in the six seconds that others may take
    async with Endpoint(port=endpoint.port) as again, Hub(FileStore(tmp_path)) as hub:
        hub.attach(Webhook(url, secret=None, allow=LOOPBACK, retry=SOON, pattern="order.*"))
        await until(lambda: bool(again.requests))
    assert numbers(again.requests) == [0]


async def test_an_endpoint_that_is_away_disturbs_no_other() -> None:
    async with (
        Endpoint(Answers(*[500] * 10_000)) as bad,
        Endpoint() as good,
        Hub(MemoryStore(), close_seconds_max=0.2) as hub,
    ):
        failing, working = webhook_to(bad), webhook_to(good)
        attachment = hub.attach(failing, name="bad", attempts_max=10_000)
        await attachment.ready()
        await hub.attach(working, name="good").ready()
        for n in range(50):
            await hub.emit(order(n))
        await until(lambda: working.statistics().delivered == 50)
        assert failing.statistics().delivered == 0
        assert attachment.problem() is not None
    assert numbers(good.requests) == list(range(50))


async def test_pauses_go_by_the_clock_of_the_hub() -> None:
    clock = ManualClock()
    async with Endpoint(Answers(*[503] * 8)) as endpoint, Hub(MemoryStore(), clock=clock) as hub:
        webhook = webhook_to(endpoint, clock=clock, secret=(secret := new_secret()), retry=Backoff(seconds=100))
        await hub.attach(webhook).ready()
        await hub.emit(order(0))
        for attempts in range(1, 9):
            await until(lambda: webhook.statistics().failed >= attempts)  # noqa: B023 - it is called at once
            await pass_time(clock, 301)
        await until(lambda: webhook.statistics().delivered == 1)
        verify(endpoint.requests[-1].body, endpoint.requests[-1].headers, secret, clock=clock, tolerance_seconds=1e6)
    assert len(endpoint.requests) == 9


# --- many at once ---------------------------------------------------------------------------------------------------


async def test_several_are_under_way_at_once_and_no_more_than_that() -> None:
    now = most = 0

    async def answering(_: Request, connection: Connection) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1
        await connection.say(200)

    async with Endpoint(answering) as endpoint, Hub(MemoryStore()) as hub:
        await hub.attach(webhook_to(endpoint), concurrency=4).ready()
        for n in range(40):
            await hub.emit(order(n))
        await hub.flush()
    assert most == 4
    assert sorted(numbers(endpoint.requests)) == list(range(40))


async def test_the_events_of_one_key_stay_in_order() -> None:
    async def answering(request: Request, connection: Connection) -> None:
        await connection.say(500 if len(endpoint.requests) % 5 == 0 else 200)

    async with Endpoint(answering) as endpoint, Hub(MemoryStore()) as hub:
        await hub.attach(webhook_to(endpoint), concurrency=8, key="session_id").ready()
        for n in range(60):
            await hub.emit(GenericEvent(kind="order.placed", data={"n": n}, session_id=str(n % 3)))
        await hub.flush()
    for key in range(3):
        mine = [n for n in numbers(endpoint.requests) if n % 3 == key]
        assert mine == sorted(mine)
        assert sorted(set(mine)) == list(range(key, 60, 3))


@pytest.mark.slow
async def test_while_the_circuit_is_open_one_delivery_tries() -> None:
    is_up = False

    async def answering(_: Request, connection: Connection) -> None:
        await connection.say(200 if is_up else 500)

    pauses = Backoff(seconds=0.05, seconds_max=0.2)
    async with Endpoint(answering) as endpoint, Hub(MemoryStore()) as hub:
        webhook = webhook_to(endpoint, failures_max=3, retry=pauses)
        attachment = hub.attach(webhook, concurrency=8)
        await attachment.ready()
        for n in range(50):
            await hub.emit(order(n))
        await until(lambda: webhook.statistics().circuit is CircuitState.OPEN)
        while webhook.statistics().circuit is not CircuitState.HALF_OPEN:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        before = len(endpoint.requests)
        while webhook.statistics().circuit is CircuitState.HALF_OPEN:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert len(endpoint.requests) <= before + 1
        is_up = True
        await hub.flush()
        assert webhook.statistics().circuit is CircuitState.CLOSED
        assert attachment.state is AttachmentState.RUNNING
    assert set(numbers(endpoint.requests)) == set(range(50))


async def test_a_try_that_is_cut_short_is_not_the_last() -> None:
    """The circuit is half open while one delivery tries, and that one is cancelled."""
    event = stamped(order(0))
    async with Endpoint(Answers(500)) as endpoint, webhook_to(endpoint, failures_max=1) as webhook:
        with pytest.raises(RetryLater):
            await webhook(event)
        await asyncio.sleep(0.02)
        endpoint.answering = lambda _, connection: hang(connection)
        with anyio.move_on_after(0.1) as scope:
            await webhook(event)
        assert scope.cancelled_caught
        endpoint.answering = Answers()
        await webhook(event)
        assert webhook.statistics().circuit is CircuitState.CLOSED
    assert numbers(endpoint.requests) == [0, 0, 0]


# --- restarts -------------------------------------------------------------------------------------------------------


async def test_what_was_not_delivered_is_delivered_after_a_restart(tmp_path: Path) -> None:
    """A hub that ends in the middle of a pause, or of a delivery, loses nothing."""
    async with Endpoint(Answers(*[200] * 3, *[500] * 1000)) as endpoint:
        async with Hub(FileStore(tmp_path), close_seconds_max=0.5) as hub:
            webhook = webhook_to(endpoint, retry=Backoff(seconds=60))
            await hub.attach(webhook).ready()
            for n in range(10):
                await hub.emit(order(n))
            await until(lambda: webhook.statistics().failed == 1)
        assert numbers(endpoint.requests)[:4] == [0, 1, 2, 3]
        endpoint.answering = Answers()
        async with Hub(FileStore(tmp_path)) as hub:
            hub.attach(webhook_to(endpoint))
            await hub.flush()
    found = numbers(endpoint.requests)
    assert found == sorted(found)
    assert set(found) == set(range(10))


async def test_a_webhook_begins_with_what_there_was_before() -> None:
    """Of one tenant alone, if it is attached so."""
    async with Endpoint() as endpoint, Hub(MemoryStore()) as hub:
        for n in range(6):
            await hub.emit(GenericEvent(kind="order.placed", data={"n": n}, tenant=("a", "b")[n % 2]))
        hub.attach(webhook_to(endpoint), since="start", tenant="b")
        await hub.flush()
        await hub.emit(GenericEvent(kind="order.placed", data={"n": 7}, tenant="b"))
        await hub.flush()
    assert numbers(endpoint.requests) == [1, 3, 5, 7]


async def test_a_webhook_that_promises_less_tries_once() -> None:
    """What it gives up are dead letters, and it goes on."""
    async with Endpoint(Answers(500, 200, 400)) as endpoint, Hub() as hub:
        attachment = hub.attach(webhook_to(endpoint), duty=Duty.BEST_EFFORT)
        await attachment.ready()
        for n in range(4):
            await hub.emit(order(n))
            await hub.flush()
        assert len(await hub.dead_letters.list()) == 2
        assert attachment.state is AttachmentState.RUNNING
    assert numbers(endpoint.requests) == [0, 1, 2, 3]


async def test_a_webhook_that_is_not_attached_delivers_none() -> None:
    with pytest.raises(ConfigurationError, match="is not attached"):
        await Webhook("https://example.com/", secret=None)(stamped(order()))


async def test_two_hubs_need_two_webhooks() -> None:
    async with Endpoint() as endpoint, sending(endpoint) as (_, webhook, _), Hub(MemoryStore()) as other:
        attachment = other.attach(webhook)
        with pytest.raises(ConfigurationError, match="is attached to another hub, or twice; make a Webhook for each"):
            await attachment.ready()


async def test_the_same_webhook_serves_one_hub_after_the_other() -> None:
    async with Endpoint() as endpoint:
        webhook = webhook_to(endpoint)
        for n in range(3):
            async with Hub(MemoryStore()) as hub:
                await hub.attach(webhook).ready()
                await hub.emit(order(n))
                await hub.flush()
    assert numbers(endpoint.requests) == [0, 1, 2]
