"""What is large is redacted in a thread, by all that redact on a hub, and what is small where it is."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from hubwire import Duty, Event, GenericEvent, Hub, codec
from hubwire.listeners import AuditLog, LiveTail, StructLog
from hubwire.listeners.audit import verify
from hubwire.redaction import RedactionRule, Redactor
from hubwire.redaction.aside import LARGE_BYTES, TOGETHER_BYTES, are_large
from hubwire.stores import MemoryStore
from support import until

LARGE = "x7 " * (LARGE_BYTES // 3 + 1)


class Watched:
    """A redactor whose only rule of its own notes in which thread it is called with which text."""

    def __init__(self) -> None:
        self.threads: list[tuple[bool, bool]] = []
        """Whether the text was large, and whether the thread was that of the loop."""
        self.gate: threading.Event | None = None
        """Where it is given, a large text has to wait for it."""
        self._loop_thread = threading.get_ident()
        self.redactor = Redactor(rules=[RedactionRule("odd", find=self._find)])

    def _find(self, text: str) -> Iterator[tuple[int, int]]:
        is_large = len(text) >= LARGE_BYTES
        is_here = threading.get_ident() == self._loop_thread
        self.threads.append((is_large, is_here))
        if is_large and not is_here and self.gate is not None:
            self.gate.wait(10)
        place = text.find("secret-odd")
        if place >= 0:
            yield place, place + len("secret-odd")

    def check(self) -> None:
        """The large ones were looked at in threads only, the small ones only here."""
        large = {is_here for is_large, is_here in self.threads if is_large}
        small = {is_here for is_large, is_here in self.threads if not is_large}
        assert large == {False}
        assert small <= {True, False}


def noted(text: str) -> GenericEvent:
    return GenericEvent(kind="user.noted", data={"text": text})


async def test_an_audit_log_redacts_a_large_event_in_a_thread() -> None:
    """Records stay in the order of the events, and the loop runs on meanwhile."""
    watched, store = Watched(), MemoryStore()
    watched.gate = threading.Event()
    async with Hub(listeners=[AuditLog(store, redactor=watched.redactor)]) as hub:
        waiting = asyncio.create_task(hub.emit(noted(f"{LARGE} secret-odd")))
        await until(lambda: (True, False) in watched.threads)  # the loop goes on while the rule waits in its thread
        hub.emit_nowait(noted("after it: secret-odd"))
        assert not waiting.done()
        watched.gate.set()
        await waiting
        await hub.flush()
    watched.check()
    texts = [each["data"]["text"] for each in await AuditLog(store).read_all() if each["kind"] == "user.noted"]
    assert [len(text) > LARGE_BYTES for text in texts] == [True, False]
    assert all(text.endswith("[redacted:odd]") for text in texts)
    assert (await verify(store, "/audit")).integrity.outcome.value == "holds"


async def test_a_large_record_of_ones_own_is_redacted_in_a_thread() -> None:
    watched, store = Watched(), MemoryStore()
    async with AuditLog(store, redactor=watched.redactor) as audit:
        await audit.append({"kind": "user.noted", "text": f"{LARGE} secret-odd"})
        watched.check()
        watched.threads.clear()
        records = [{"kind": "user.noted", "text": text} for text in ("a", f"{LARGE} secret-odd", "secret-odd")]
        assert await audit.append_many(records) == range(3, 6)
        watched.check()
        texts = [each["text"] for each in await audit.read_all()]
    assert [text[-14:] for text in texts] == ["[redacted:odd]", "a", "[redacted:odd]", "[redacted:odd]"]


async def test_small_records_are_redacted_where_they_are() -> None:
    """To go to a thread and back takes longer."""
    watched = Watched()
    async with AuditLog(MemoryStore(), redactor=watched.redactor) as audit:
        await audit.append({"kind": "user.noted", "text": "secret-odd"})
        await audit.append_many([{"kind": "user.noted", "text": "secret-odd"}] * 50)
    assert watched.threads
    assert {is_here for _, is_here in watched.threads} == {True}


async def test_a_cancelled_append_of_a_large_record_leaves_a_log_that_goes_on() -> None:
    watched, store = Watched(), MemoryStore()
    watched.gate = threading.Event()
    async with AuditLog(store, redactor=watched.redactor) as audit:
        task = asyncio.create_task(audit.append({"kind": "user.noted", "text": LARGE}))
        await until(lambda: (True, False) in watched.threads)
        task.cancel()
        watched.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await audit.append({"kind": "user.noted", "text": "next"})
        assert [each["text"] for each in await audit.read_all()] == ["next"]


async def test_a_rule_that_hangs_in_its_thread_does_not_hold_up_others() -> None:
    """Another redactor has a thread of its own."""
    watched, store = Watched(), MemoryStore()
    watched.gate = threading.Event()
    async with AuditLog(store, redactor=watched.redactor) as audit:
        task = asyncio.create_task(audit.append({"kind": "user.noted", "text": LARGE}))
        await until(lambda: (True, False) in watched.threads)
        async with AuditLog(MemoryStore()) as other:
            await other.append({"kind": "user.noted", "text": f"{LARGE} of j@example.com"})
            (record,) = await other.read_all()
        assert record["text"].endswith("of [redacted:email]")
        assert not task.done()
        watched.gate.set()
        await task


async def test_a_tail_redacts_a_large_event_in_a_thread_once() -> None:
    watched, tail = Watched(), None
    tail = LiveTail(redactor=watched.redactor)
    async with Hub(listeners=[tail]) as hub:
        subscribers = [tail.subscribe(pattern="user.*") for _ in range(20)]
        for text in ("first secret-odd", f"{LARGE} secret-odd", "last secret-odd"):
            await hub.emit(noted(text))
        for subscriber in subscribers:
            shown = [(await anext(subscriber)).event.data["text"] for _ in range(3)]  # type: ignore[union-attr]
            assert [text[:5] for text in shown] == ["first", "x7 x7", "last "]
            assert all(text.endswith("[redacted:odd]") for text in shown)
    watched.check()
    assert watched.threads.count((True, False)) <= 3  # what a search of one event takes, and not twenty times that


async def test_a_subscriber_that_comes_by_meanwhile_mixes_nothing_up() -> None:
    """What it has read is not to be taken for what another one still waits for."""
    watched = Watched()
    watched.gate = threading.Event()
    tail = LiveTail(redactor=watched.redactor)
    async with Hub(listeners=[tail]) as hub:
        slow = tail.subscribe(pattern=("user.*", "other.*"))
        await hub.emit_many([noted(LARGE), noted("1")])
        quick = tail.subscribe(pattern="other.*")
        await hub.emit_many([GenericEvent(kind="other.noted", data={"text": "2"}), noted("3")])
        task = asyncio.create_task(slow.take())
        await until(lambda: (True, False) in watched.threads)
        assert [item.event.data["text"] for item in await quick.take()] == ["2"]  # type: ignore[union-attr]
        watched.gate.set()
        shown = [(item.seq, item.event.seq, item.event.data["text"][:2]) for item in await task]  # type: ignore[union-attr]
    assert [text for _, _, text in shown] == ["x7", "1", "2", "3"]
    assert all(seq == of_event for seq, of_event, _ in shown)


async def test_many_events_are_redacted_few_in_each_turn() -> None:
    """Who emits meanwhile waits for a few of them, and not for a batch."""
    turn, seen = 0, Counter[int]()

    def find(text: str) -> Iterator[tuple[int, int]]:
        begun = time.perf_counter()
        while time.perf_counter() - begun < 0.00003:  # as long as an event of usual size takes
            pass
        seen[turn] += text.startswith("note ")
        yield from ()

    tail = LiveTail(redactor=Redactor(rules=[RedactionRule("odd", find=find)]))
    async with Hub(listeners=[tail]) as hub:
        subscriber = tail.subscribe(pattern="user.*")
        await hub.emit_many([noted(f"note {number}") for number in range(200)])
        task = asyncio.create_task(subscriber.take())
        while not task.done():
            turn += 1
            await asyncio.sleep(0)
        assert [item.event.data["text"] for item in task.result()] == [f"note {number}" for number in range(200)]  # type: ignore[union-attr]
    assert sum(seen.values()) >= 200
    assert max(seen.values()) < 50


async def test_a_subscriber_takes_what_is_there_without_waiting() -> None:
    tail = LiveTail()
    async with Hub(listeners=[tail]) as hub:
        subscriber = tail.subscribe(pattern="user.*")
        assert await subscriber.take_there() == ()
        await hub.emit(noted("1"))
        (item,) = await subscriber.take_there()
        assert item.event.data["text"] == "1"  # type: ignore[union-attr]
        await hub.emit(GenericEvent(kind="other.noted"))
        assert await subscriber.take_there() == ()
        assert subscriber.lag == 0
    assert await subscriber.take_there() == ()


async def test_a_subscriber_cancelled_while_an_event_is_redacted_misses_none() -> None:
    watched = Watched()
    watched.gate = threading.Event()
    tail = LiveTail(redactor=watched.redactor)
    async with Hub(listeners=[tail]) as hub:
        subscriber = tail.subscribe(pattern="user.*")
        before = subscriber.cursor
        await hub.emit(noted(f"{LARGE} secret-odd"))
        await hub.emit(noted("next"))
        task = asyncio.create_task(anext(subscriber))
        await until(lambda: (True, False) in watched.threads)
        task.cancel()
        watched.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert subscriber.cursor == before
        assert subscriber.lag >= 2
        shown = [(await anext(subscriber)).event.data["text"][-14:] for _ in range(2)]  # type: ignore[union-attr]
    assert shown == ["[redacted:odd]", "next"]


async def test_a_tail_closed_while_an_event_is_redacted_ends_its_subscribers() -> None:
    watched = Watched()
    watched.gate = threading.Event()
    tail = LiveTail(redactor=watched.redactor)
    async with Hub(listeners=[tail]) as hub:
        subscriber = tail.subscribe(pattern="user.*")
        await hub.emit(noted(LARGE))
        cursor = subscriber.cursor

        async def read() -> list[Any]:
            return [item async for item in subscriber]

        task = asyncio.create_task(read())
        await until(lambda: (True, False) in watched.threads)
        tail.close()
        watched.gate.set()
        assert await task == []
        assert subscriber.cursor == cursor


class Lines:
    """A logger that keeps what it is given."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def info(self, _: str, **keys: Any) -> None:
        self.lines.append(keys)


async def test_a_structured_log_redacts_a_large_event_in_a_thread() -> None:
    watched, lines = Watched(), Lines()
    listener = StructLog(lines, redactor=watched.redactor)
    async with Hub() as hub:
        await hub.attach(listener, pattern="user.*").ready()
        await hub.emit(noted(f"secret-odd {LARGE}"))
        await until(lambda: lines.lines != [])
    watched.check()
    assert lines.lines[0]["data"]["text"].startswith("[redacted:odd]")


async def test_a_dead_letter_of_a_large_event_is_redacted_in_a_thread() -> None:
    from hubwire import DeadLetterPolicy

    watched = Watched()

    class Failing:
        async def on_events(self, events: Sequence[Event]) -> None:
            raise ValueError

    async with Hub(dead_letters=DeadLetterPolicy(redactor=watched.redactor)) as hub:
        hub.attach(Failing(), pattern="user.*", name="failing", duty=Duty.BEST_EFFORT)
        await hub.emit(noted(f"{LARGE} secret-odd"))
        await until(lambda: (said := hub.statistics().listener_letters) is not None and said.kept > 0)
        letters = await hub.dead_letters.list()
        letter = await hub.dead_letters.get(letters[0].id)
    watched.check()
    assert letter is not None
    assert isinstance(letter.event, GenericEvent)
    assert letter.event.data["text"].endswith("[redacted:odd]")


def sized(count: int) -> Event:
    event = codec.decode(
        b'{"at":"2026-01-01T00:00:00.000000Z","data":{"a":"%s"},"hub":"h","id":"i","kind":"user.noted","seq":1}'
        % (b"x" * count)
    )
    assert codec.size_of(event) > count
    return event


def test_batches_of_usual_events_are_small() -> None:
    assert not are_large([sized(300)] * 256)
    assert not are_large([sized(LARGE_BYTES - 200)])
    assert not are_large([])
    assert are_large([sized(LARGE_BYTES)])
    assert are_large([sized(300), sized(LARGE_BYTES), sized(300)])
    assert are_large([sized(LARGE_BYTES // 2)] * (TOGETHER_BYTES // LARGE_BYTES * 2))


async def stall(value: str) -> tuple[float, float]:
    """Return for how long the loop took no turn while a record was redacted and stored, and how long that took."""
    async with AuditLog(MemoryStore()) as audit:
        await audit.append({"kind": "user.noted", "text": "of j@example.com"})  # the rules are ready after it
        task = asyncio.create_task(audit.append({"kind": "user.noted", "text": value}))
        clock = asyncio.get_running_loop().time
        began = last = clock()
        longest = 0.0
        while not task.done():
            await asyncio.sleep(0)
            longest, last = max(longest, clock() - last), clock()
        await task
        return longest, last - began


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["0170 ", "DE12 ", "4111 1111 ", "password='", "j@example.com ", "ssn: 123456 "])
async def test_the_loop_takes_its_turns_while_a_large_record_is_redacted(unit: str) -> None:
    """No step of it holds the interpreter for most of the time that all take; the least busy of a few tries counts."""
    text = unit * (1_000_000 // len(unit))
    shares = []
    for _ in range(5):
        longest, total = await stall(text)
        shares.append(longest / total)
        if shares[-1] < 0.3:
            break
    assert min(shares) < 0.3
