"""Turns, model calls and tool calls that write their own facts: a beginning, and the end that fits what happened."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from enum import Enum
from types import TracebackType
from typing import Any, ClassVar, Self

import attrs

from .._foreign.arguments import Call
from .._foreign.guards import class_name, message_of
from .._reraise import append_context
from ..context import Context, scope
from ..errors import ConfigurationError, EventTooLarge
from ..events import (
    Event,
    ModelAbandoned,
    ModelCalled,
    ModelCompleted,
    ModelFailed,
    ToolAbandoned,
    ToolCalled,
    ToolCompleted,
    ToolFailed,
    TurnAbandoned,
    TurnEnded,
    TurnFailed,
    TurnStarted,
    evolve,
)
from ..ports import Clock
from .core import Core, new_id
from .provenances import said_of

__all__ = ("ModelCall", "RecordedTurn", "ToolCall")

_DONE = Call("call.done()")
_MODEL = Call("turn.model()")
_TOOL = Call("turn.tool()")
_TURN_DONE = Call("turn.done()")

_KEPT = ("agent_id", "session_id", "turn_id", "channel_id", "task_id", "tenant", "correlation_id", "traceparent")
"""What the end says as the beginning did, wherever it is written."""


class _Phase(Enum):
    NEW = "has not begun; enter it with `async with`"
    OPEN = "has begun already"
    ENDED = "has ended; make another one"


class Recorded(ABC):
    """What begins and ends, as an asynchronous context manager; it is entered once.

    The beginning is on disk when the block is entered, its end when it is left. An exception that leaves the block is
    its failure, and goes on; with a cancellation, or another exception that is no ``Exception``, it is abandoned. A
    payload that no event can hold is left out: its size stands in its place.

    Entering raises :class:`~hubwire.errors.HubClosed`, or what the hub failed with, and so does leaving when no other
    error is raised. It raises :class:`~hubwire.errors.AccessDenied` if the arbiter denies that the beginning is
    emitted; about the end it is not called.
    """

    _noun: ClassVar[str]
    _payloads: ClassVar[frozenset[str]]
    """The fields that may be too large for an event."""

    def __init__(self, core: Core, clock: Clock, place: Mapping[str, Any]) -> None:
        self._core = core
        self._clock = clock
        self._place = place
        self._phase = _Phase.NEW
        self._about: dict[str, Any] = {}
        self._started_at: tuple[str, float] = ("", 0.0)
        self._failure: dict[str, Any] | None = None

    # -- its life --

    async def __aenter__(self) -> Self:
        self._check(_Phase.NEW)
        self._phase = _Phase.OPEN
        try:
            await self._begin()
        except BaseException:
            self._phase = _Phase.ENDED
            raise
        return self

    async def _begin(self) -> None:
        beginning = self._beginning()
        if self._core.authorizer.has_arbiter:
            beginning = await self._allowed(beginning)
        await self._core.execute(lambda: ())  # it waits for room
        begun = self._put(beginning)
        self._about = {name: getattr(begun, name) for name in _KEPT}
        try:
            await self._core.until_committed(begun.seq)
        except BaseException:
            self._core.announce([self._abandonment("it was cancelled before it began", begun.at)])
            raise
        self._started_at = begun.at, self._clock.monotonic()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._phase = _Phase.ENDED
        try:
            end = self._put(self._end_after(exc))
            if exc is None or isinstance(exc, Exception):  # who is cancelled does not wait
                await self._core.until_committed(end.seq)
        except Exception as failure:
            if exc is None:
                raise
            append_context(exc, failure)

    def _end_after(self, exc: BaseException | None) -> Event:
        at, monotonic = self._started_at
        if exc is not None and not isinstance(exc, Exception):
            name = class_name(exc)
            return self._abandonment("it was cancelled" if name == "CancelledError" else f"{name} ended it", at)
        duration_ms = max(0.0, self._clock.monotonic() - monotonic) * 1000
        failure = self._failure if exc is None else _error(exc)
        return self._completion(duration_ms) if failure is None else self._failing(failure, duration_ms)

    async def _allowed(self, event: Event) -> Event:
        """Return the beginning, frozen as the arbiter has seen it; raise if it denies it."""
        emitting = self._core.emitting
        try:
            return await emitting.authorized(event)
        except EventTooLarge as error:
            return await emitting.authorized(self._lighter(event, error))

    def _lighter(self, event: Event, error: EventTooLarge) -> Event:
        """Return the event without its payloads: their size stands in their place."""
        left_out = {"left_out": "it is larger than an event may be", "bytes": error.size_bytes}
        names = [name for name in self._payloads if getattr(event, name, None) is not None]
        return evolve(event, **dict.fromkeys(names, left_out))

    def _put(self, event: Event) -> Event:
        """Put a fact. Without admission: its beginning was admitted."""
        try:
            stamped = self._core.announce([event])
        except EventTooLarge as error:
            stamped = self._core.announce([self._lighter(event, error)])
        if not stamped:
            raise self._core.end_error(f"the hub was closed; what becomes of the {self._noun} is not recorded")
        return stamped[0]

    def _check(self, phase: _Phase) -> None:
        if self._phase is not phase:
            raise ConfigurationError(f"this {self._noun} {self._phase.value}")

    # -- its outcome --

    def failed(self, reason: BaseException | str, *, error_type: str = "") -> None:
        """Say that it has failed, where that is not said by an exception that leaves the block.

        ``reason`` is text, or the exception that was caught. Raises :class:`~hubwire.errors.ConfigurationError` outside
        of the block.
        """
        self._check(_Phase.OPEN)
        if isinstance(reason, BaseException):
            self._failure = _error(reason)
            return
        call = Call(f"{self._noun}.failed()")
        message = call.text("reason", reason, wanted="an exception, or text")
        self._failure = {"error_type": call.text("error_type", error_type), "error_message": message}

    # -- the facts --

    @abstractmethod
    def _beginning(self) -> Event: ...

    @abstractmethod
    def _completion(self, duration_ms: float) -> Event: ...

    @abstractmethod
    def _failing(self, error: dict[str, Any], duration_ms: float) -> Event: ...

    @abstractmethod
    def _abandonment(self, reason: str, started_at: str) -> Event: ...


@attrs.frozen(eq=False, repr=False)
class _Facts:
    """The facts about the calls of one sort."""

    called: Callable[..., Event]
    completed: Callable[..., Event]
    failed: Callable[..., Event]
    abandoned: Callable[..., Event]
    thing: str
    """The field that names what is called."""


class CallOf(Recorded):
    """A call of a model or a tool, in a turn or outside of one."""

    _noun = "call"
    _facts: ClassVar[_Facts]

    def __init__(
        self, core: Core, clock: Clock, place: Mapping[str, Any], name: str, call_id: str, given: dict[str, Any]
    ) -> None:
        super().__init__(core, clock, place)
        self.id: str = call_id
        """The ``call_id`` that its events carry, unique in its turn."""
        self._name = name
        self._given = given
        self._answer: dict[str, Any] = {}

    @property
    def _itself(self) -> dict[str, Any]:
        return {self._facts.thing: self._name, "call_id": self.id}

    def _beginning(self) -> Event:
        return self._facts.called(**self._place, **self._itself, **self._given)

    def _completion(self, duration_ms: float) -> Event:
        return self._facts.completed(**self._about, **self._itself, **self._answer, duration_ms=duration_ms)

    def _failing(self, error: dict[str, Any], duration_ms: float) -> Event:
        return self._facts.failed(**self._about, **self._itself, **error, duration_ms=duration_ms)

    def _abandonment(self, reason: str, started_at: str) -> Event:
        return self._facts.abandoned(**self._about, **self._itself, reason=reason, started_at=started_at)


class ModelCall(CallOf):
    """A call of a model: ``model.called``, then ``model.completed``, ``.failed`` or ``.abandoned``."""

    _payloads = frozenset({"request", "response"})
    _facts = _Facts(ModelCalled, ModelCompleted, ModelFailed, ModelAbandoned, thing="model")

    @property
    def model(self) -> str:
        return self._name

    def done(
        self,
        response: Any = None,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        provenance: Iterable[str] = (),
    ) -> None:
        """Say what the model answered, for ``model.completed``; said again, the last counts.

        ``provenance``: where that comes from, as :meth:`hubwire.Channel.post` takes it. Raises
        :class:`~hubwire.errors.CommandRejected` if a number of tokens is not a whole number, or an argument is not of
        its form, and :class:`~hubwire.errors.ConfigurationError` outside of the block.
        """
        self._check(_Phase.OPEN)
        self._answer = {
            "response": response,
            "input_tokens": _DONE.whole("input_tokens", input_tokens, is_optional=True),
            "output_tokens": _DONE.whole("output_tokens", output_tokens, is_optional=True),
            **said_of(_DONE, provenance),
        }


class ToolCall(CallOf):
    """A call of a tool: ``tool.called``, then ``tool.completed``, ``.failed`` or ``.abandoned``."""

    _payloads = frozenset({"arguments", "result"})
    _facts = _Facts(ToolCalled, ToolCompleted, ToolFailed, ToolAbandoned, thing="tool")

    @property
    def tool(self) -> str:
        return self._name

    def done(self, result: Any = None, *, provenance: Iterable[str] = ()) -> None:
        """Say what the tool returned, for ``tool.completed``; said again, the last counts.

        ``provenance``: where that comes from, as :meth:`hubwire.Channel.post` takes it. Raises
        :class:`~hubwire.errors.CommandRejected` if that is not of its form, and
        :class:`~hubwire.errors.ConfigurationError` outside of the block.
        """
        self._check(_Phase.OPEN)
        self._answer = {"result": result, **said_of(_DONE, provenance)}


class RecordedTurn(Recorded):
    """A turn of an agent: ``turn.started``, then ``turn.ended``, ``.failed`` or ``.abandoned``.

    All that is emitted in the block, also by callbacks that do not know of it, carries its agent, session, turn,
    channel and task: see :func:`hubwire.scope`.
    """

    _noun = "turn"
    _payloads = frozenset({"prompt", "content"})

    def __init__(self, core: Core, clock: Clock, place: Mapping[str, Any], given: dict[str, Any]) -> None:
        super().__init__(core, clock, place)
        self.id: str = place["turn_id"]
        """The ``turn_id`` that its events carry."""
        self._given = given
        self._answer: dict[str, Any] = {"content": None}
        self._tool_calls = 0
        self._scope: AbstractContextManager[Context] | None = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._scope = scope(**{name.removesuffix("_id"): value for name, value in self._place.items()})
        self._scope.__enter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._scope is not None:
            self._scope.__exit__(None, None, None)
        await super().__aexit__(exc_type, exc, traceback)

    def model(
        self, model: str, *, request: Any = None, call_id: str | None = None, provenance: Iterable[str] = ()
    ) -> ModelCall:
        """Return a call of a model in this turn, to be entered; see :meth:`TurnCommands.model`."""
        self._check(_Phase.OPEN)
        name, call_id = checked_call(_MODEL, "model", model, call_id)
        given = {"request": request, **said_of(_MODEL, provenance)}
        return ModelCall(self._core, self._clock, self._place, name, call_id, given)

    def tool(
        self, tool: str, arguments: Any = None, *, call_id: str | None = None, provenance: Iterable[str] = ()
    ) -> ToolCall:
        """Return a call of a tool in this turn, to be entered; see :meth:`TurnCommands.tool`."""
        self._check(_Phase.OPEN)
        name, call_id = checked_call(_TOOL, "tool", tool, call_id)
        given = {"arguments": arguments, **said_of(_TOOL, provenance)}
        self._tool_calls += 1
        return ToolCall(self._core, self._clock, self._place, name, call_id, given)

    def done(self, content: Any = None, *, provenance: Iterable[str] = ()) -> None:
        """Say what the turn has led to, for ``turn.ended``; said again, the last counts.

        ``provenance``: where that comes from, as :meth:`hubwire.Channel.post` takes it. Raises
        :class:`~hubwire.errors.CommandRejected` if that is not of its form, and
        :class:`~hubwire.errors.ConfigurationError` outside of the block.
        """
        self._check(_Phase.OPEN)
        self._answer = {"content": content, **said_of(_TURN_DONE, provenance)}

    def _beginning(self) -> Event:
        return TurnStarted(**self._place, **self._given)

    def _completion(self, duration_ms: float) -> Event:
        return TurnEnded(**self._about, **self._answer, tool_calls=self._tool_calls, duration_ms=duration_ms)

    def _failing(self, error: dict[str, Any], duration_ms: float) -> Event:
        return TurnFailed(**self._about, **error, duration_ms=duration_ms)

    def _abandonment(self, reason: str, started_at: str) -> Event:
        return TurnAbandoned(**self._about, reason=reason, started_at=started_at)


def _error(error: BaseException) -> dict[str, Any]:
    return {"error_type": class_name(error), "error_message": message_of(error)}


def checked_call(call: Call, argument: str, name: object, call_id: object) -> tuple[str, str]:
    """Return the name of a model or a tool, and the id of its call: one of its own if none is given."""
    text = call.text(argument, name, wanted=f"the name of the {argument}, a text", is_empty_ok=False)
    return text, new_id() if call_id is None else call.id("call_id", call_id, wanted="an id, a text")
