"""Calls of actors: which hubs' actors, and which of their turns, code runs in; and what these turns ask for.

The calls of several hubs nest: in a turn of hub A, an actor may run hub B. What runs in B's actors is inside A's turn,
too; what A's actor does with B in other ways is in no turn of B.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from contextvars import ContextVar
from typing import ClassVar

import anyio
import attrs

from .._commit.held import NestedCall
from ..errors import AskFailed
from ..events import EnvelopePosted, TurnFailed
from ..events._shown import shown

__all__ = ("ActorCall", "Ask", "LifeCall", "TurnCall", "is_held_up", "turn_of", "turns_around")


class ActorCall(NestedCall):
    """A call of an actor's code. The hub, known by its :class:`Core`, waits for it when it is closed."""

    __slots__ = ()
    innermost: ClassVar[ContextVar[NestedCall | None]] = ContextVar("hubwire.actor_call", default=None)


class LifeCall(ActorCall):
    """One life of an actor, from ``on_start`` to ``on_stop``, with all tasks that its code starts."""

    __slots__ = ("agent_id", "is_reading")

    def __init__(self, hub: object, agent_id: str) -> None:
        super().__init__(hub)
        self.agent_id: str = agent_id
        self.is_reading: bool = False
        """Whether it reads its inbox: ``on_start`` has returned, and ``on_stop`` was not called."""


class TurnCall(ActorCall):
    """A turn under way: the agent that it belongs to, and the envelope that it handles."""

    __slots__ = ("_questions", "_scope", "agent_id", "ask", "envelope", "is_withdrawn", "turn_id")

    def __init__(
        self, hub: object, agent_id: str, envelope: EnvelopePosted, ask: Ask | None = None, turn_id: str | None = None
    ) -> None:
        super().__init__(hub)
        self.agent_id: str = agent_id
        self.turn_id: str | None = turn_id
        self.envelope: EnvelopePosted = envelope
        self.ask: Ask | None = ask
        """The question that it answers; None if the envelope is none, or no task of this process waits."""
        self.is_withdrawn: bool = False
        """Whether no task waits for its answer any more."""
        self._scope: anyio.CancelScope | None = None
        """In which the actor waits for it; None while it does not, as in most turns: scopes are not cheap."""
        self._questions: dict[str, int] | None = None

    def waiting(self) -> anyio.CancelScope:
        """Return the scope in which the actor waits for it; it is cancelled when the turn is withdrawn."""
        self._scope = scope = anyio.CancelScope()
        if self.is_withdrawn:
            scope.cancel()
        return scope

    def withdraw(self) -> None:
        """No task waits for its answer any more: it is cancelled."""
        self.is_withdrawn = True
        if self._scope is not None:
            self._scope.cancel()

    @property
    def was_cancelled(self) -> bool:
        """Whether it was cancelled, because it was withdrawn."""
        return self._scope is not None and self._scope.cancelled_caught

    def count_question(self, question: str) -> int:
        """Return how often it has requested this approval: its next life asks the same ones in the same order."""
        counts = self._questions = self._questions or {}
        counts[question] = counts.get(question, 0) + 1
        return counts[question]


@attrs.define(eq=False, repr=False, kw_only=True)
class Ask:
    """A question whose answer a task waits for."""

    hub: object
    """Of the question and its answer, known by its :class:`Core`."""
    asker_id: str
    answerer_id: str
    answerer_name: str
    """The same agent's name, or its id if it has none: also when it has left."""
    is_linked: bool
    """Whether the question lives no longer than the task waits."""
    timeout: float
    end: float
    """When its time is over, by ``monotonic``."""
    monotonic: Callable[[], float]
    turns: tuple[TurnCall, ...]
    """The turns in which it is asked, of all hubs, the innermost first; none outside of actors."""
    turn: TurnCall | None = attrs.field(init=False)
    """The one of them that belongs to the question's own hub."""
    answer: asyncio.Future[EnvelopePosted]
    key: str = ""
    """The idempotency key of the question."""
    channel_id: str | None = None
    """In which it is asked; None: in no channel."""
    question: EnvelopePosted | None = None
    failed: TurnFailed | None = None
    """The last turn of the question, if it failed."""

    def __attrs_post_init__(self) -> None:
        self.turn = next((turn for turn in self.turns if turn.held is self.hub), None) if self.turns else None

    @property
    def answerer(self) -> str:
        """The agent that is to answer, as messages name it."""
        return f"agent {shown(self.answerer_name)}"

    def left(self) -> float:
        """Return how many seconds of its time are left."""
        return self.end - self.monotonic()

    def expire(self) -> None:
        """Its time is over."""
        if not self.answer.done():
            self.answer.set_exception(TimeoutError())

    def fail(self, reason: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(AskFailed(f"{self.answerer} will not answer: {reason}"))


def turns_around() -> tuple[TurnCall, ...]:
    """Return the turns, of all hubs, in which code runs, the innermost first; none of one that has ended."""
    found: list[TurnCall] = []
    call = ActorCall.innermost.get()
    while call is not None:
        if isinstance(call, TurnCall) and call.is_active:
            found.append(call)
        call = call.outer
    return tuple(found)


def is_held_up(hub: object, agent_ids: Container[str]) -> bool:
    """Tell whether code runs in a turn, ``on_start`` or ``on_stop`` of one of these: it would go on for it."""
    call = ActorCall.innermost.get()
    while call is not None:
        if call.held is hub and call.is_active and isinstance(call, TurnCall | LifeCall):
            is_held = isinstance(call, TurnCall) or not call.is_reading
            if is_held and call.agent_id in agent_ids:
                return True
        call = call.outer
    return False


def turn_of(hub: object) -> TurnCall | None:
    """Return the turn of this hub in which code runs; None if it runs in none."""
    return next((turn for turn in turns_around() if turn.held is hub), None)
