"""Hubs: the whole way of an event, fanning out, waiting for a commit, live subscribers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import anyio
from measure import elapsed, percentile

from hubwire import Duty, Event, Hub, event
from hubwire.listeners import AuditLog, LiveTail, Metrics
from hubwire.stores import FileStore, MemoryStore


@event("bench.ticked")
class Ticked(Event):
    number: int
    text: str = "x" * 40


class Count:
    """A listener that takes batches."""

    def __init__(self) -> None:
        self.events = 0

    async def on_events(self, events: Sequence[Event]) -> None:
        self.events += len(events)


class Slow:
    """A listener that takes a millisecond an event."""

    async def on_events(self, events: Sequence[Event]) -> None:
        for _ in events:
            await asyncio.sleep(0.001)


def whole_way(root: Path, count: int, producers: int, *, redacted: bool = True) -> float:
    """Emit to a journal and an audit log, both synced, with metrics and a live subscriber."""

    async def work() -> None:
        redactor: Literal["default"] | None = "default" if redacted else None
        store, tail = FileStore(root), LiveTail(redactor=redactor)
        async with Hub(store, listeners=[AuditLog(store, redactor=redactor), Metrics(), tail]) as hub:
            subscriber = tail.subscribe(pattern="bench.ticked")

            async def follow() -> None:
                seen = 0
                async for batch in subscriber.batches():
                    seen += len(batch)
                    if seen == count:
                        return

            async def produce() -> None:
                for number in range(count // producers):
                    await hub.emit(Ticked(number=number, channel_id="c" * 32, text="x" * 130))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(follow)
                for _ in range(producers):
                    tasks.start_soon(produce)

    return elapsed(work) / count


def emits(root: Path | None, count: int, producers: int, batch: int = 1) -> float:
    """Emit events, one by one or in batches, until all are committed; without ``root``, in memory."""

    async def work() -> None:
        async with Hub(None if root is None else FileStore(root)) as hub:

            async def produce() -> None:
                for number in range(count // producers // batch):
                    if batch == 1:
                        await hub.emit(Ticked(number=number))
                    else:
                        await hub.emit_many([Ticked(number=number + each) for each in range(batch)])

            async with anyio.create_task_group() as tasks:
                for _ in range(producers):
                    tasks.start_soon(produce)

    return elapsed(work) / count


# --- fanning out ----------------------------------------------------------------------------------------------------


def fan_out(listeners: int, count: int) -> float:
    """emit_nowait in bursts, until every listener has every event; no store."""
    seconds = 0.0

    async def work() -> None:
        nonlocal seconds
        counters = [Count() for _ in range(listeners)]
        async with Hub(listeners=counters) as hub:
            await hub.flush()
            ticked = Ticked(number=1)
            start = time.perf_counter()
            for _ in range(count // 500):
                for _ in range(500):
                    hub.emit_nowait(ticked)
                await hub.flush()
            seconds = time.perf_counter() - start
        assert all(counter.events >= count for counter in counters)

    asyncio.run(work())
    return seconds / count


def queues(listeners: int, count: int) -> float:
    """The same through an asyncio.Queue for each listener, without stamps and without an order."""

    async def work() -> None:
        channels: list[asyncio.Queue[object]] = [asyncio.Queue() for _ in range(listeners)]

        async def listen(channel: asyncio.Queue[object]) -> None:
            for _ in range(count):
                await channel.get()

        async with asyncio.TaskGroup() as tasks:
            for channel in channels:
                tasks.create_task(listen(channel))
            ticked = Ticked(number=1)
            for number in range(count):
                for channel in channels:
                    channel.put_nowait(ticked)
                if number % 500 == 0:
                    await asyncio.sleep(0)

    return elapsed(work) / count


def emit_wait_of_many(percent: int, *, sick: bool, count: int = 40_000) -> float:
    """How long emits of 16 producers wait beside 30 functions, 5 of which fail, hang or block at times if ``sick``."""
    waits: list[float] = []

    async def well(_: Event) -> None:
        """Take it."""

    async def work() -> None:
        async with Hub(MemoryStore()) as hub:
            for number in range(25):
                hub.attach(well, name=f"well-{number}", pattern="bench.ticked")
            for function in _unsteady(sick=sick):
                hub.attach(
                    function,
                    pattern="bench.ticked",
                    duty=Duty.DURABLE,
                    when_exhausted="dead_letter",
                    attempts_max=1,
                    timeout=0.5,
                )

            async def produce() -> None:
                for number in range(count // 16):
                    start = time.perf_counter()
                    await hub.emit(Ticked(number=number))
                    waits.append(time.perf_counter() - start)

            async with anyio.create_task_group() as tasks:
                for _ in range(16):
                    tasks.start_soon(produce)

    logging.disable()
    asyncio.run(work())
    logging.disable(logging.NOTSET)
    return percentile(waits, percent)


def _unsteady(*, sick: bool) -> Sequence[Callable[[Event], object]]:
    async def fails(event: Event) -> None:
        if sick and event.seq % 777 == 0:
            raise ValueError("sick")

    def fails_in_thread(event: Event) -> None:
        if sick and event.seq % 1000 == 0:
            raise ValueError("sick")

    async def fails_rarely(event: Event) -> None:
        if sick and event.seq % 50_000 == 9:
            raise KeyError("sick")

    async def hangs(event: Event) -> None:
        if sick and event.seq % 20_000 == 1005:
            await asyncio.sleep(3600)

    def blocks(event: Event) -> None:
        if sick and event.seq % 20_000 == 1007:
            time.sleep(1)

    return fails, fails_in_thread, fails_rarely, hangs, blocks


def emit_wait(percent: int, *, beside_slow: bool, count: int = 2000) -> float:
    """How long one emit after the other waits until it is committed; no store."""

    async def work() -> float:
        waits = []
        async with Hub(listeners=[Count(), *([Slow()] if beside_slow else [])], close_seconds_max=0.1) as hub:
            for number in range(count):
                start = time.perf_counter()
                await hub.emit(Ticked(number=number))
                waits.append(time.perf_counter() - start)
        return percentile(waits, percent)

    return asyncio.run(work())


def live_tail(subscribers: int, count: int) -> float:
    """Seconds a delivery, from the first emit until every subscriber has every event; no store."""
    seconds = 0.0

    async def work() -> None:
        nonlocal seconds
        tail = LiveTail()
        async with Hub(listeners=[tail]) as hub:

            async def follow() -> None:
                seen = 0
                async for batch in tail.subscribe(pattern="bench.ticked").batches():
                    seen += len(batch)
                    if seen == count:
                        return

            async with asyncio.TaskGroup() as tasks:
                for _ in range(subscribers):
                    tasks.create_task(follow())
                await asyncio.sleep(0)
                ticked = Ticked(number=1)
                start = time.perf_counter()
                for number in range(count):
                    hub.emit_nowait(ticked)
                    if number % 256 == 255:
                        await hub.flush()
            seconds = time.perf_counter() - start

    asyncio.run(work())
    return seconds / count / subscribers
