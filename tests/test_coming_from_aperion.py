"""What a program relied on that comes from the Aperion event bus, where no other test shows it."""

from __future__ import annotations

import asyncio
import threading
from itertools import pairwise
from typing import Any

import anyio
import pytest

from hubwire import (
    DeadLetterPolicy,
    Duty,
    Event,
    GenericEvent,
    Hub,
    Limits,
    Overflow,
    scope,
)
from hubwire.errors import ConfigurationError
from hubwire.listeners import AuditLog, Metrics
from hubwire.patterns import Patterns
from hubwire.redaction import RedactionRule, Redactor
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder
from support import numbers, said, until


@pytest.mark.parametrize(
    ("pattern", "kind", "matches"),
    [
        ("chat.said", "chat.said", True),
        ("chat.said", "chat.said.loudly", False),
        ("chat.*", "chat.said", True),
        ("chat.*", "chat.room.opened", True),
        ("chat.*", "chatter.said", False),
        ("*", "chat.said", True),
    ],
)
def test_patterns_match_as_before(pattern: str, kind: str, *, matches: bool) -> None:
    assert Patterns(pattern).matches(kind) is matches


async def test_a_function_is_found_by_its_name_and_its_attachment() -> None:
    """What was removed once is not there a second time."""
    async with Hub() as hub:
        attachment = hub.attach(lambda event: None, pattern=["chat.*", "user.*"], name="shown", in_loop=True)
        assert [each.name for each in hub.attachments] == ["shown"]
        assert await hub.detach(attachment) == 1
        assert hub.attachments == ()


async def test_a_flush_waits_for_all_handlers() -> None:
    """Those on the loop and those in threads; a time limit that passes leaves them at work."""
    opened, done = anyio.Event(), threading.Event()
    seen: list[str] = []
    async with Hub() as hub:

        @hub.on("number.said")
        async def slow(event: Event) -> None:
            await opened.wait()
            seen.append("async")

        @hub.on("number.said")
        def in_a_thread(event: Event) -> None:
            done.wait(30)
            seen.append("sync")

        await hub.emit(said())
        with pytest.raises(TimeoutError):
            await hub.flush(timeout=0.01)
        opened.set()
        done.set()
        await hub.flush()
        assert sorted(seen) == ["async", "sync"]


async def test_an_emitted_event_is_written_before_a_handler_sees_it() -> None:
    """With the id of its scope, and also where the handler fails at it."""
    log = AuditLog(MemoryStore())
    found: list[Any] = []
    async with Hub(MemoryStore(), listeners=[log]) as hub:

        @hub.on("user.came")
        async def look(event: Event) -> None:
            found.extend(each for each in await log.read_all() if each["kind"] == "user.came")
            raise ValueError("no")

        with scope(correlation_id="req-1"):
            event = await hub.emit(GenericEvent(kind="user.came"))
        await hub.flush()
        (letter,) = await hub.dead_letters.list()
    assert [(each["id"], each["correlation_id"]) for each in found] == [(event.id, "req-1")]
    assert letter.event == event


async def test_no_slot_is_lost_to_functions_of_any_form() -> None:
    """After many events the hub takes as many as before: what is in flight goes back to none."""
    seen = Recorder()
    async with Hub(listeners=[seen], in_flight_max=5) as hub:

        @hub.on("number.said")
        async def one(event: Event) -> None:
            if event.seq % 3 == 0:
                raise ValueError("no")

        @hub.on("number.said", in_loop=True)
        def other(event: Event) -> None:
            """Do nothing."""

        for number in range(100):
            await hub.emit(said(number))
        await hub.flush()
        assert hub.statistics().in_flight == 0
        assert hub.offer(said(100))
        await hub.flush()
    assert numbers(seen.events) == list(range(101))


async def test_every_setting_has_a_place() -> None:
    """Of the bus, its log, its queue of dead letters, and a subscription; none is taken and left unused."""
    store = MemoryStore()
    log = AuditLog(store, rotation=100_000, redactor=Redactor())
    hub = Hub(
        store,
        listeners=[log, Metrics()],
        limits=Limits(in_flight_max=1_000),
        dead_letters=DeadLetterPolicy(count_max=10_000),
    )
    attachment = hub.attach(
        lambda event: None,
        pattern=["user.*", "chat.*"],
        duty=Duty.BEST_EFFORT,
        overflow=Overflow.DROP_OLDEST,
        mailbox=50,
        timeout=30,
        concurrency=10,
        name="shown",
    )
    assert (attachment.name, attachment.duty, attachment.overflow) == ("shown", Duty.BEST_EFFORT, Overflow.DROP_OLDEST)
    wrongs: list[dict[str, Any]] = [{"timeout": 0}, {"concurrency": 0}, {"mailbox": 0}, {"handler_timeout": 30}]
    for wrong in wrongs:
        with pytest.raises((ConfigurationError, TypeError)):
            hub.attach(lambda event: None, **wrong)
    async with hub:
        assert len(hub.attachments) == 3
        assert hub.health().healthy


FAMILIES = {
    "e-mail": "ann@example.com",
    "card": "4111 1111 1111 1111",
    "Amex": "3782-822463-10005",
    "SSN": "ssn 123-45-6789",
    "phone, US": "(415) 555-2671",
    "phone, abroad": "+49 30 901820",
    "phone, E.164": "+14155552671",
    "IPv4": "203.0.113.9",
    "IPv6": "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
    "IPv6, short": "fe80::1ff:fe23:4567:890a",
    "IPv6, mapped": "::ffff:203.0.113.9",
    "key": "sk_a1B2c3D4e5F6g7H8i9J0k1",
    "Bearer": "Bearer abcDEF123456.ghiJKL",
    "AWS id": "AKIAIOSFODNN7EXAMPLE",
    "AWS secret": "aws_secret_access_key=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "Google": "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "Google, key id": '"private_key_id": "0123456789abcdef0123456789abcdef01234567"',
    "Google, client": '"client_secret": "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"',
    "JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "GitHub": "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "GitLab": "glpat-abcdefghij0123456789",
    "Slack": "xoxb-" + "123456789012-123456789012-abcdefghijklmnopqrstuvwx",
    "Stripe": "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "URL": "postgres://bob:s3cret@db/x",
}


@pytest.mark.parametrize("text", FAMILIES.values(), ids=FAMILIES)
def test_each_family_of_secrets_is_replaced(text: str) -> None:
    secret = max(text.strip('"').replace('": "', " ").replace("=", " ").split(), key=len)
    made = Redactor().redact({"text": f"it is {text} here"})["text"]
    assert "[redacted:" in made
    assert secret not in made


@pytest.mark.parametrize(
    "text",
    [
        "arn:aws:iam::123456789012:user/ann",
        "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0NTY3ODk=",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "1700000000",
    ],
    ids=["ARN", "base64", "SHA-1", "epoch"],
)
def test_what_was_redacted_by_mistake_stays(text: str) -> None:
    """A rule of one's own takes it out again."""
    assert Redactor().redact({"text": text}) == {"text": text}
    rule = RedactionRule("mine", find=lambda value: [(0, len(value))] if value == text else [])
    assert Redactor(rules=[rule]).redact({"text": text}) == {"text": "[redacted:mine]"}


async def test_the_buckets_of_a_latency_are_those_of_prometheus() -> None:
    """Their sums upwards, and one for all, are the cumulative counts that an exporter wants."""
    metrics = Metrics()
    async with Hub(listeners=[metrics]) as hub:
        for number in range(20):
            await hub.emit(said(number))
        await hub.flush()
        snapshot = metrics.snapshot()
    age = snapshot.age
    assert len(age.buckets) == len(age.bounds_seconds) + 1
    assert all(low < high for low, high in pairwise(age.bounds_seconds))
    assert sum(age.buckets) == age.count == snapshot.events


async def test_a_function_is_a_callback_for_each_number() -> None:
    """What a callback backend was called with is in the events, and in the statistics of each attachment."""
    counted: dict[str, int] = {}
    async with Hub() as hub:

        @hub.on("*", in_loop=True)
        def count(event: Event) -> None:
            name = f"{event.kind} {getattr(event, 'listener', event.source)}"
            counted[name] = counted.get(name, 0) + 1

        @hub.on("number.said", in_loop=True, name="failing")
        def fail(event: Event) -> None:
            raise ValueError("no")

        await hub.emit(GenericEvent(kind="number.said", source="shop"))
        await hub.flush()
        await until(lambda: "listener.failed failing" in counted)
        (numbers_of_failing,) = [each for each in hub.statistics().attachments if each.name == "failing"]
    assert counted["number.said shop"] == 1
    assert (numbers_of_failing.failed, numbers_of_failing.dead_letters) == (1, 1)


async def test_threads_reach_a_hub_while_it_delivers() -> None:
    """A subscription made meanwhile, on the loop, disturbs none of them."""
    seen, late = Recorder(), Recorder()
    async with Hub(listeners=[seen]) as hub:

        def work(first: int) -> None:
            for number in range(first, first + 25):
                hub.emit_threadsafe(said(number)).result(30)

        jobs = [asyncio.to_thread(work, first) for first in range(0, 100, 25)]
        at_work = asyncio.gather(*jobs)
        for _ in range(10):
            await hub.detach(hub.attach(late, name="late"))
        await at_work
        await hub.flush()
    assert sorted(numbers(seen.events)) == list(range(100))
