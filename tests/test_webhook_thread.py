"""The thread of a webhook: what is done there and not in the hub's loop, and how it begins and ends."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from blockbuster import BlockBuster
from webhook_endpoint import Connection, Endpoint, Request

from hubwire import Attachment, Hub
from hubwire.addresses import AddressGuard
from hubwire.clock import SystemClock
from hubwire.listeners.webhook import Sha256Header, Webhook, _courier, new_secret
from hubwire.redaction import RedactionRule, Redactor
from hubwire.stores import MemoryStore
from support import until
from support.payloads import stamped
from support.webhooks import Answers, numbers, order, sending, webhook_to

HERE = "the thread of the hub"
THERE = "another thread"


def threads() -> list[str]:
    """Return the names of the threads of webhooks."""
    return [each.name for each in threading.enumerate() if each.name.startswith("hubwire webhook")]


class Witness:
    """Notes in which thread it was asked for what."""

    def __init__(self) -> None:
        self.seen: dict[str, set[str]] = {}
        self._here = threading.get_ident()

    def note(self, what: str) -> None:
        self.seen.setdefault(what, set()).add(HERE if threading.get_ident() == self._here else THERE)


class NotedHeader(Sha256Header):
    def __init__(self, witness: Witness) -> None:
        super().__init__("a secret")
        self._witness = witness

    def of(self, body: bytes) -> str:
        self._witness.note("signing")
        return super().of(body)


class Gate:
    """A rule of a redactor that hangs for one event."""

    def __init__(self, word: str) -> None:
        self.is_at_it = threading.Event()
        self.goes_on = threading.Event()
        self._word = word

    def find(self, text: str) -> Iterable[tuple[int, int]]:
        if self._word in text:
            self.is_at_it.set()
            self.goes_on.wait(30)
        return ()

    @property
    def redactor(self) -> Redactor:
        return Redactor(rules=[RedactionRule("gate", find=self.find)])


@asynccontextmanager
async def behind(endpoint: Endpoint, count: int, **settings: Any) -> AsyncIterator[tuple[Hub, Webhook, Attachment]]:
    """A webhook that has so many events to deliver when it is attached, in one batch."""
    async with Hub(MemoryStore()) as hub:
        await hub.emit_many([order(n) for n in range(count)])
        webhook = webhook_to(endpoint, **settings)
        yield hub, webhook, hub.attach(webhook, since="start")


# --- which thread ---------------------------------------------------------------------------------------------------


async def test_no_delivery_is_made_in_the_thread_of_the_hub() -> None:
    """Redacting, signing and sending are elsewhere; a resolver is called where its owner is: in the hub's loop."""
    witness = Witness()

    def find(_: str) -> Iterable[tuple[int, int]]:
        witness.note("redacting")
        return ()

    async def resolver(_: str, __: int) -> list[str]:
        witness.note("resolving")
        return ["127.0.0.1"]

    async with Endpoint() as endpoint, Hub(MemoryStore()) as hub:
        webhook = Webhook(
            f"http://inside.example:{endpoint.port}/hook",
            secret=new_secret(),
            guard=AddressGuard(allow=["127.0.0.1"], resolver=resolver),
            sha256=NotedHeader(witness),
            redactor=Redactor(rules=[RedactionRule("noted", find=find)]),
            pattern="order.*",
        )
        post = webhook._sender.post

        async def posted(*args: Any) -> Any:
            witness.note("sending")
            return await post(*args)

        webhook._sender.post = posted  # type: ignore[assignment, method-assign]
        hub.attach(webhook)
        for n in range(3):
            await hub.emit(order(n))
        await hub.emit_many([order(n) for n in range(3, 9)])
        await hub.flush()
    assert numbers(endpoint.requests) == list(range(9))
    assert witness.seen == {"redacting": {THERE}, "signing": {THERE}, "sending": {THERE}, "resolving": {HERE}}


async def test_each_webhook_has_a_thread_that_ends_with_its_hub() -> None:
    """Two hubs of one program, with one webhook each: neither waits for the thread of the other."""
    await until(lambda: threads() == [])
    async with Endpoint() as endpoint, sending(endpoint) as (one, *_), sending(endpoint) as (other, *_):
        assert len(threads()) == 2
        await asyncio.gather(one.emit(order(1)), other.emit(order(2)))
        await one.flush()
        await other.flush()
        assert sorted(numbers(endpoint.requests)) == [1, 2]
    await until(lambda: threads() == [])


def test_hubs_in_loops_of_their_own_have_webhooks_of_their_own() -> None:
    async def run(n: int) -> list[int]:
        async with Endpoint() as endpoint:
            async with sending(endpoint) as (hub, *_):
                await hub.emit(order(n))
                await hub.flush()
            return numbers(endpoint.requests)

    found: list[list[int]] = []
    workers = [threading.Thread(target=lambda n=n: found.append(asyncio.run(run(n)))) for n in range(3)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert sorted(found) == [[0], [1], [2]]


async def test_a_webhook_that_is_never_left_takes_its_thread_along() -> None:
    """As where the loop of a hub is closed before the hub is."""
    async with Endpoint() as endpoint:
        webhook = webhook_to(endpoint)
        await until(lambda: threads() == [])
        await webhook.__aenter__()
        assert len(threads()) == 1
        del webhook
        gc.collect()
        await until(lambda: threads() == [])


async def test_a_thread_that_cannot_begin_says_why() -> None:
    courier = _courier.Courier("webhook of the test", _never, _never)

    def make() -> None:
        raise OSError("there are no certificates")

    with pytest.raises(OSError, match="no certificates"):
        await courier.open(make)
    assert not courier.is_open
    await until(lambda: threads() == [])


async def _never(*_: object) -> Any:
    raise AssertionError


# --- rounds ---------------------------------------------------------------------------------------------------------


async def test_the_hub_is_told_once_of_events_that_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_courier, "_TOLD_EVERY_SECONDS", 1000.0)
    told = 0
    tell = _courier._Round._tell

    def counted(self: Any) -> None:
        nonlocal told
        told += 1
        tell(self)

    monkeypatch.setattr(_courier._Round, "_tell", counted)
    async with Endpoint() as endpoint, behind(endpoint, 200) as (hub, webhook, _):
        await hub.flush()
        assert webhook.statistics().delivered == 200
    assert numbers(endpoint.requests) == list(range(200))
    assert told <= 3


async def test_a_round_stops_at_the_event_that_fails() -> None:
    """The others wait until it is delivered, in their order, or given up."""
    async with Endpoint(Answers(200, 200, 500, 503, 200, 400)) as endpoint, behind(endpoint, 6) as (hub, webhook, _):
        await hub.flush()
        statistics = webhook.statistics()
    assert numbers(endpoint.requests) == [0, 1, 2, 2, 2, 3, 4, 5]
    assert (statistics.delivered, statistics.failed, statistics.refused) == (5, 2, 1)


@pytest.mark.parametrize("count", [2, 3, 4])
async def test_an_event_that_is_refused_refuses_no_other(count: int) -> None:
    """The rest of its round is another one, also where that is a single event."""
    async with Endpoint(Answers(200, 400)) as endpoint, behind(endpoint, count) as (hub, webhook, _):
        await hub.flush()
        (letter,) = await hub.dead_letters.list()
        assert letter.event is not None
        assert letter.event.data["n"] == 1  # type: ignore[attr-defined]
        assert webhook.statistics().delivered == count - 1
    assert numbers(endpoint.requests) == list(range(count))


async def test_a_webhook_that_is_detached_in_a_round_sends_no_event_twice() -> None:
    """What it has begun counts as delivered, and the next one goes on after that."""
    async with Endpoint() as endpoint, behind(endpoint, 200, pattern="order.*") as (hub, _, attachment):
        await until(lambda: len(endpoint.requests) >= 20)
        await attachment.detach()
        sent = len(endpoint.requests)
        assert sent < 200
        hub.attach(webhook_to(endpoint))
        await hub.flush()
    assert numbers(endpoint.requests) == list(range(200))


async def test_a_webhook_that_is_muted_in_a_round_sends_what_it_has_begun() -> None:
    async with Endpoint() as endpoint, behind(endpoint, 200) as (hub, webhook, attachment):
        await until(lambda: len(endpoint.requests) >= 20)
        attachment.mute()
        await hub.flush()
        handled = hub.statistics().attachments[0].handled
        assert webhook.statistics().delivered == len(endpoint.requests) == handled < 200
        attachment.unmute()
        await hub.emit(order(200))
        await hub.flush()
    sent = numbers(endpoint.requests)
    assert sent == [*range(handled), 200]


async def test_a_delivery_that_takes_too_long_does_not_repeat_those_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub cancels its call when it has not been told yet that it is done, and others of the round."""
    monkeypatch.setattr(_courier, "_TOLD_EVERY_SECONDS", 1000.0)

    async def answering(request: Request, connection: Connection) -> None:
        if numbers([request]) == [3] and numbers(endpoint.requests).count(3) == 1:
            await asyncio.Event().wait()
        await connection.say()

    async with Endpoint(answering) as endpoint, Hub(MemoryStore()) as hub:
        await hub.emit_many([order(n) for n in range(6)])
        hub.attach(webhook_to(endpoint), since="start", timeout=0.3)
        await hub.flush()
    assert numbers(endpoint.requests) == [0, 1, 2, 3, 3, 4, 5]


async def test_events_that_wait_long_are_sent_to_an_address_that_was_looked_up_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_courier, "_ROUND_SECONDS_MAX", 0.0)
    looked_up = 0

    class Hasty(SystemClock):
        """Half a minute is over whenever it is asked."""

        def monotonic(self) -> float:
            nonlocal looked_up
            looked_up += 1
            return super().monotonic() + 31 * looked_up

    async with Endpoint() as endpoint, behind(endpoint, 20, clock=Hasty()) as (hub, *_):
        await hub.flush()
    assert numbers(endpoint.requests) == list(range(20))


# --- what hangs -----------------------------------------------------------------------------------------------------


async def test_a_rule_that_hangs_holds_up_no_emitter_and_no_other_webhook(blockbuster: BlockBuster) -> None:
    """The hub is closed within its time. The thread ends when the rule does."""
    blockbuster.functions["threading.Lock.acquire"].can_block_in("test_webhook_thread.py", "find")
    gate = Gate("hang here")
    async with Endpoint() as endpoint, Endpoint() as other, Hub(MemoryStore(), close_seconds_max=0.3) as hub:
        hub.attach(webhook_to(endpoint, redactor=gate.redactor), name="hangs")
        hub.attach(webhook_to(other), name="works")
        await hub.emit(order(0, text="hang here"))
        await until(gate.is_at_it.is_set)
        for n in range(1, 20):
            await hub.emit(order(n))
        await until(lambda: len(other.requests) == 20)
    assert endpoint.requests == []  # and the hub is closed
    gate.goes_on.set()
    await until(lambda: threads() == [])


async def test_a_thread_that_hangs_is_left_behind(
    blockbuster: BlockBuster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    blockbuster.functions["threading.Lock.acquire"].can_block_in("test_webhook_thread.py", "find")
    monkeypatch.setattr(_courier, "_CLOSE_SECONDS_MAX", 0.01)
    gate = Gate("hang here")
    async with Endpoint() as endpoint, asyncio.TaskGroup() as tasks:
        webhook = webhook_to(endpoint, redactor=gate.redactor)
        await webhook.__aenter__()
        delivery = tasks.create_task(webhook(stamped(order(0, text="hang here"))))
        await until(gate.is_at_it.is_set)
        await webhook.__aexit__()
        assert "is left behind" in caplog.text
        delivery.cancel()
        await asyncio.sleep(0)
        gate.goes_on.set()
        await until(lambda: delivery.done() and threads() == [])


async def test_a_webhook_without_its_thread_says_so() -> None:
    """A delivery that is asked for while the webhook is being closed is neither lost nor waited for."""
    async with Endpoint() as endpoint:
        webhook = webhook_to(endpoint)
        await webhook.__aenter__()
        webhook._courier._loop.call_soon_threadsafe(webhook._courier._loop.stop)
        await until(lambda: threads() == [])
        with pytest.raises(RuntimeError, match="has ended"):
            await webhook(stamped(order(0)))
        await webhook.__aexit__()
