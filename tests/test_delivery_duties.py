"""Duties: what each of them answers, and that what happens on a hub agrees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from hubwire import Duty, Event, GenericEvent, Hub, Overflow
from hubwire._commit.ring import Ring
from hubwire._delivery.duties import DutyRules, rules_of
from hubwire.errors import ListenerFailed, PartialBatch
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder


@attrs.frozen(kw_only=True)
class Answers:
    name: str
    holds_commit: bool = False
    holds_emitters: bool = False
    drops_oldest: bool = False
    keeps_position: bool = False
    sees_itself: bool = True
    reads_to: str = "committed"


REQUIRED = Answers(name="Required", holds_commit=True, reads_to="journaled")
DURABLE = Answers(name="Durable", keeps_position=True)
DROP_OLDEST = Answers(name="DropOldest", drops_oldest=True, sees_itself=False)
BLOCK = Answers(name="Block", holds_emitters=True, sees_itself=False)


def answers_of(rules: type[DutyRules]) -> Answers:
    ring = Ring(1)
    limit = rules.limit(ring)
    return Answers(
        name=rules.__name__,
        holds_commit=rules.holds_commit,
        holds_emitters=rules.holds_emitters,
        drops_oldest=rules.drops_oldest,
        keeps_position=rules.keeps_position,
        sees_itself=rules.sees_itself,
        reads_to=next(name for name in ("applied", "journaled", "committed") if getattr(ring, name) is limit),
    )


@pytest.mark.parametrize(
    ("duty", "overflow", "answers"),
    [
        (Duty.REQUIRED, Overflow.DROP_OLDEST, REQUIRED),
        (Duty.REQUIRED, Overflow.BLOCK, REQUIRED),
        (Duty.DURABLE, Overflow.DROP_OLDEST, DURABLE),
        (Duty.DURABLE, Overflow.BLOCK, DURABLE),
        (Duty.BEST_EFFORT, Overflow.DROP_OLDEST, DROP_OLDEST),
        (Duty.BEST_EFFORT, Overflow.BLOCK, BLOCK),
    ],
)
def test_each_duty_has_its_answers(duty: Duty, overflow: Overflow, answers: Answers) -> None:
    assert answers_of(rules_of(duty, overflow)) == answers


class Emitting:
    """Emits an event for each that it gets, and notes whether it was committed then."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.committed: list[bool] = []

    async def on_events(self, events: Sequence[Event]) -> None:
        for _ in events:
            event = await self.hub.emit(GenericEvent(kind="echo.said"))
            self.committed.append(self.hub.statistics().committed > event.seq)


@pytest.mark.parametrize(
    ("settings", "waits"),
    [
        ({"duty": Duty.REQUIRED}, False),
        ({"duty": Duty.DURABLE, "name": "it"}, True),
        ({"duty": Duty.DURABLE, "name": "it", "overflow": Overflow.BLOCK}, True),
        ({"overflow": Overflow.DROP_OLDEST}, True),
        ({"overflow": Overflow.BLOCK}, False),
    ],
    ids=str,
)
async def test_only_a_listener_that_holds_others_up_emits_uncommitted(settings: dict[str, Any], waits: bool) -> None:
    """An emit inside a listener waits for its commit, unless the commit or its emitters wait for the listener."""
    async with Hub(MemoryStore()) as hub:
        emitting = Emitting(hub)
        await hub.attach(emitting, pattern="number.*", **settings).ready()
        await hub.emit(GenericEvent(kind="number.said"))
        await hub.flush()
        assert emitting.committed == [waits]


class Clumsy(Recorder):
    """Fails at the third event, and knows its place or not."""

    def __init__(self, *, knows_place: bool) -> None:
        super().__init__()
        self.knows_place = knows_place
        self.given: list[list[int]] = []

    async def on_events(self, events: Sequence[Event]) -> None:
        numbers = [event.data["n"] for event in events if isinstance(event, GenericEvent)]
        self.given.append(numbers)
        if 2 in numbers:
            raise PartialBatch(numbers.index(2)) if self.knows_place else ValueError("bad")


ONE_BY_ONE = [[0], [1], [2]]


@pytest.mark.parametrize(
    ("settings", "knows_place", "given"),
    [
        ({"overflow": Overflow.DROP_OLDEST}, True, [[0, 1, 2, 3, 4], [3, 4]]),
        ({"overflow": Overflow.DROP_OLDEST}, False, [[0, 1, 2, 3, 4], *ONE_BY_ONE, [3], [4]]),
        ({"overflow": Overflow.BLOCK}, False, [[0, 1, 2, 3, 4], *ONE_BY_ONE, [3], [4]]),
        ({"duty": Duty.DURABLE, "name": "it"}, True, [[0, 1, 2, 3, 4], [2, 3, 4]]),
        ({"duty": Duty.DURABLE, "name": "it"}, False, [[0, 1, 2, 3, 4], *ONE_BY_ONE, [2]]),
        ({"duty": Duty.REQUIRED}, True, [[0, 1, 2, 3, 4]]),
        ({"duty": Duty.REQUIRED}, False, [[0, 1, 2, 3, 4]]),
    ],
    ids=str,
)
async def test_what_follows_a_failure_depends_on_the_duty(
    settings: dict[str, Any], knows_place: bool, given: list[list[int]]
) -> None:
    """BEST_EFFORT skips the event, DURABLE gets it again and is suspended, REQUIRED stops the hub."""
    clumsy = Clumsy(knows_place=knows_place)
    hub = Hub(MemoryStore())
    await hub.start()
    attachment = hub.attach(clumsy, pattern="number.*", attempts_max=2, **settings)
    await attachment.ready()
    seqs = [hub.emit_nowait(GenericEvent(kind="number.said", data={"n": n})).seq for n in range(5)]
    if attachment.is_required:
        with pytest.raises(ListenerFailed, match=f"at event {seqs[2 if knows_place else 0]} "):
            await hub.flush()
        with pytest.raises(ListenerFailed):
            await hub.aclose()
    else:
        await hub.flush()
        assert (attachment.suspension is not None) is attachment.is_durable
        await hub.aclose()
    assert clumsy.given == given
