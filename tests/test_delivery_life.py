"""The life of an attachment: each legal move follows from a public action, and no other move is possible."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from hubwire import Attachment, AttachmentState, Duty, Event, GenericEvent, Hub
from hubwire._delivery.cursor import BATCH_MAX
from hubwire._delivery.life import MOVES, Life
from hubwire.stores import MemoryStore

STARTING, CATCHING_UP, RUNNING, SUSPENDED, DETACHED = AttachmentState

Move = tuple[AttachmentState, AttachmentState]
LEGAL = [(before, after) for before, states in MOVES.items() for after in AttachmentState if after in states]


class Guest:
    """A listener that fails or waits when the test says so."""

    def __init__(self) -> None:
        self.may_enter, self.may_handle = anyio.Event(), anyio.Event()
        self.is_at_work = anyio.Event()
        self.is_bad = False

    async def __aenter__(self) -> None:
        await self.may_enter.wait()

    async def __aexit__(self, *_: object) -> None: ...

    async def on_events(self, events: Sequence[Event]) -> None:
        self.is_at_work.set()
        await self.may_handle.wait()
        if self.is_bad:
            raise ValueError("bad")


def said() -> GenericEvent:
    return GenericEvent(kind="number.said")


class Case:
    """One attachment, and the moves it has made."""

    def __init__(self, hub: Hub, moves: list[tuple[Life, Move]]) -> None:
        self.hub = hub
        self.guest = Guest()
        self.attachment: Attachment
        self._all_moves = moves

    def attach(self, **settings: Any) -> None:
        """Attach the guest as DURABLE, with a mailbox of one event, at the start of the journal."""
        known: dict[str, Any] = {"duty": Duty.DURABLE, "name": "guest", "pattern": "number.*", "mailbox": 1}
        self.attachment = self.hub.attach(self.guest, **known, since="start", attempts_max=1, **settings)

    @property
    def moves(self) -> list[Move]:
        return [move for life, move in self._all_moves if life is self.attachment._life]

    async def becomes(self, state: AttachmentState) -> None:
        """Return when the attachment has this state, and all that reports it agrees."""
        with anyio.fail_after(5):
            await self.attachment._life.until(lambda: self.attachment.state is state)
        assert self.attachment.statistics().state is state
        problems = " ".join(self.hub.health().problems)
        assert ("has not caught up" in problems) is (state is CATCHING_UP)
        assert ("is suspended" in problems) is (state is SUSPENDED)
        assert (self.attachment.suspension is not None) is (state is SUSPENDED)

    async def catch_up(self) -> None:
        """Be at the first batch of two."""
        for _ in range(BATCH_MAX + 2):
            await self.hub.emit(said())
        self.attach()
        await self.becomes(STARTING)
        self.guest.may_enter.set()
        await self.guest.is_at_work.wait()
        await self.becomes(CATCHING_UP)

    async def run(self) -> None:
        """Be at an event, having caught up."""
        self.attach()
        self.guest.may_enter.set()
        await self.becomes(RUNNING)
        await self.hub.emit(said())
        await self.guest.is_at_work.wait()

    async def fail(self) -> None:
        self.guest.is_bad = True
        self.guest.may_handle.set()
        await self.becomes(SUSPENDED)

    async def detach(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.attachment.detach)
            await anyio.wait_all_tasks_blocked()
            self.guest.may_handle.set()
        await self.becomes(DETACHED)


async def is_placed(case: Case) -> None:
    await case.catch_up()


async def is_detached_before_it_is_entered(case: Case) -> None:
    case.attach()
    await case.attachment.detach()
    await case.attachment.detach()
    await case.becomes(DETACHED)


async def catches_up(case: Case) -> None:
    await case.catch_up()
    case.guest.may_handle.set()
    await case.becomes(RUNNING)


async def fails_while_it_catches_up(case: Case) -> None:
    await case.catch_up()
    await case.fail()


async def is_detached_while_it_catches_up(case: Case) -> None:
    await case.catch_up()
    await case.detach()


async def fails(case: Case) -> None:
    await case.run()
    await case.fail()


async def is_detached(case: Case) -> None:
    await case.run()
    await case.detach()


async def is_resumed(case: Case) -> None:
    await fails(case)
    case.guest.may_handle = anyio.Event()
    case.attachment.resume()
    await case.becomes(CATCHING_UP)


async def is_detached_while_it_is_suspended(case: Case) -> None:
    await fails(case)
    await case.attachment.detach()
    assert case.attachment.state is case.attachment.statistics().state is DETACHED


ACTIONS: dict[Move, Callable[[Case], Awaitable[None]]] = {
    (STARTING, CATCHING_UP): is_placed,
    (STARTING, DETACHED): is_detached_before_it_is_entered,
    (CATCHING_UP, RUNNING): catches_up,
    (CATCHING_UP, SUSPENDED): fails_while_it_catches_up,
    (CATCHING_UP, DETACHED): is_detached_while_it_catches_up,
    (RUNNING, SUSPENDED): fails,
    (RUNNING, DETACHED): is_detached,
    (SUSPENDED, CATCHING_UP): is_resumed,
    (SUSPENDED, DETACHED): is_detached_while_it_is_suspended,
}


def test_each_state_has_its_moves() -> None:
    assert set(MOVES) == set(AttachmentState)
    assert set(ACTIONS) == set(LEGAL)


@asynccontextmanager
async def a_case(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Case]:
    moves: list[tuple[Life, Move]] = []
    move = Life.move

    def spy(life: Life, state: AttachmentState) -> None:
        moves.append((life, (life.state, state)))
        move(life, state)

    monkeypatch.setattr(Life, "move", spy)
    async with Hub(MemoryStore()) as hub:
        case = Case(hub, moves)
        try:
            yield case
        finally:
            case.guest.may_enter.set()
            case.guest.may_handle.set()


@pytest.mark.parametrize("move", LEGAL, ids=lambda move: f"{move[0].value}-{move[1].value}")
async def test_each_move_follows_from_an_action(monkeypatch: pytest.MonkeyPatch, move: Move) -> None:
    async with a_case(monkeypatch) as case:
        await ACTIONS[move](case)
        assert move in case.moves
        assert case.moves[0][0] is STARTING
        for (_, after), (before, _) in zip(case.moves, case.moves[1:], strict=False):
            assert before is after
    assert case.moves[-1][1] is case.attachment.state is DETACHED


@pytest.mark.parametrize("before", AttachmentState)
@pytest.mark.parametrize("after", AttachmentState)
def test_other_moves_are_impossible(before: AttachmentState, after: AttachmentState) -> None:
    if (before, after) in LEGAL:
        return
    life = Life()
    life.state = before
    with pytest.raises(AssertionError, match="does not go from"):
        life.move(after)
    assert life.state is before
