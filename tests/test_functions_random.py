"""Functions that handle several events at once, in random lives: each event arrives, and each key keeps its order."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import Any

import pytest

from hubwire import Attachment, AttachmentState, Duty, Event, Hub
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock
from support import advance, copy_of, numbers, said

KEYS = 3
EVENTS = 60


class Life:
    """What a function has handled in several lives of a hub, with calls of random length that fail now and then."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.handled: dict[int, list[int]] = defaultdict(list)
        self.running: dict[int, int] = {}
        """The event that is under way, for each key."""
        self.attachment: Attachment

    async def __call__(self, each: Event) -> None:
        (n,) = numbers([each])
        key = n % KEYS
        assert key not in self.running
        self.running[key] = each.seq
        try:
            for _ in range(self.dice.randrange(6)):
                await asyncio.sleep(0)
                self.check()
            if self.dice.random() < 0.15:
                raise ValueError("now and then")
            self.handled[key].append(n)
        finally:
            del self.running[key]

    def check(self) -> None:
        """No position passes what is under way."""
        assert all(self.attachment.done <= seq for seq in self.running.values())

    async def settle(self, clock: ManualClock, rounds: int) -> None:
        """Let time go by, and resume a function that is suspended, until it has handled all."""
        while rounds and self.attachment.statistics().lag:
            rounds -= 1
            await advance(clock, 40)
            if self.attachment.state is AttachmentState.SUSPENDED:
                self.attachment.resume()


def key_of(each: Any) -> int:
    return int(each.data["n"]) % KEYS


@pytest.mark.parametrize("seed", range(12))
async def test_each_event_arrives_in_the_order_of_its_key(seed: int) -> None:
    """Lives end by a crash, by closing or by detaching, while calls are under way, fail, and are suspended."""
    dice = random.Random(seed)
    life, store, emitted = Life(dice), MemoryStore(), 0
    for number in range(6):
        clock = ManualClock()
        hub = Hub(store, clock=clock, ring=16, close_seconds_max=0.2)
        settings: dict[str, Any] = {"duty": Duty.DURABLE, "attempts_max": dice.choice([1, 2, 16])}
        life.attachment = hub.attach(
            life, pattern="number.*", name="f", concurrency=dice.choice([2, 3, 8]), key=key_of, **settings
        )
        await hub.start()
        await life.attachment.entered()
        is_last = number == 5
        while emitted < (EVENTS if is_last else min(EVENTS, 12 * (number + 1))):
            await hub.emit(said(emitted))
            emitted += 1
        if is_last:
            await life.settle(clock, 1000)
        else:
            await life.settle(clock, dice.randrange(4))
        end = "close" if is_last else dice.choice(["close", "crash", "detach"])
        if end == "crash":
            store = await copy_of(store)
        elif end == "detach":
            await hub.detach("f")
        await hub.aclose()
        assert life.running == {}
    for key in range(KEYS):
        first_times = list(dict.fromkeys(life.handled[key]))
        assert first_times == list(range(key, EVENTS, KEYS))
