"""An actor: an object that handles the envelopes of one agent, and one life of it, from a start to its end."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol

import anyio
import anyio.lowlevel
import attrs

from .._commands import (
    Agent,
    AgentCommands,
    ApprovalCommands,
    Channel,
    ChannelCommands,
    Core,
    Delivery,
    Inbox,
    TaskCommands,
    TurnCommands,
    new_id,
)
from .._commit.held import forget_calls
from .._foreign.guards import guarded, message_of, text_of
from .._state import State
from ..context import leave_all, scope
from ..errors import ConfigurationError, HubClosed, HubFailed
from ..events import EnvelopeExpired, EnvelopePosted, Event, TurnAbandoned, TurnEnded, TurnFailed, TurnStarted
from .asks import Asks, Working, working

__all__ = ("Actor", "BaseActor", "Commands", "Life", "Turn", "maker_of")


@attrs.frozen(kw_only=True)
class Commands:
    """What an actor has of its hub: all but its life cycle, because an actor cannot outlive the hub it would close."""

    agents: AgentCommands
    channels: ChannelCommands
    tasks: TaskCommands
    turns: TurnCommands
    approvals: ApprovalCommands
    emit: Callable[[Event], Awaitable[Event]]


class Actor(Protocol):
    """What :meth:`hubwire.Hub.spawn` takes: an object that handles the envelopes of one agent.

    :class:`BaseActor` tells what else the hub looks for, and uses where it is present.
    """

    async def on_envelope(self, turn: Turn, /) -> None:
        """Handle one envelope. It is acked when this returns.

        Raising is a crash: the hub tells of it by ``turn.failed``, gives the envelope back, and starts the actor again,
        as its group says. Cancelled, because the actor is stopped, the envelope stays where it is. So each envelope is
        handled at least once; what has effects outside of the hub should be able to meet one twice.
        """


class BaseActor:
    """An :class:`Actor` that does nothing yet: a convenience, to be overridden in part."""

    name: str = ""
    """The name of its agent; that of its class, if empty."""
    capabilities: tuple[str, ...] = ()
    """This, ``passport``, ``resume``, ``skill`` and ``rule`` are what the agent is registered with, if it is not."""
    concurrency: int = 1
    """How many envelopes it handles at a time. With one, it handles them in order of delivery."""

    async def on_start(self, hub: Commands, agent: Agent) -> None:
        """Begin, before the first envelope. Called again on the same object after a crash: begin anew."""

    async def on_envelope(self, turn: Turn, /) -> None:
        """Handle one envelope: see :class:`Actor`."""

    async def on_stop(self) -> None:
        """Give up what was taken: after the last envelope, and after a crash. Not called if ``on_start`` raised."""


class _Function:
    def __init__(self, function: Callable[[Turn], Awaitable[None]]) -> None:
        self.name: str = getattr(function, "__name__", "")
        self.on_envelope = function


def maker_of(candidate: Any) -> Callable[[], Any]:
    """Return what makes the actor at each start. Raises :class:`~hubwire.errors.ConfigurationError` if nothing can."""
    if not isinstance(candidate, type) and hasattr(candidate, "on_envelope"):
        _check(candidate)
        return lambda: candidate
    if inspect.iscoroutinefunction(candidate):
        function = _Function(candidate)
        return lambda: function
    if not callable(candidate):
        raise ConfigurationError(
            f"{candidate!r} cannot be an actor: it has no on_envelope, and is neither an async function nor a factory"
        )

    def make() -> Any:
        actor = candidate()
        _check(actor)
        return actor

    return make


def _check(actor: Any) -> None:
    for name in ("on_envelope", "on_start", "on_stop"):
        if (method := getattr(actor, name, None)) is None and name != "on_envelope":
            continue
        if not inspect.iscoroutinefunction(method):
            raise ConfigurationError(f"{actor!r}.{name} must be a coroutine function: async def {name}(...)")


@attrs.frozen(eq=False, kw_only=True)
class Turn:
    """An envelope in the hands of an actor, and what it may do about it.

    What it emits inherits the envelope's correlation id, tenant and trace context.
    """

    _asks: Asks = attrs.field(repr=False, alias="asks")
    _end: Callable[[], None] = attrs.field(repr=False, alias="end")
    id: str
    """The ``turn_id`` that ``turn.started``, ``.ended``, ``.failed`` and ``.abandoned`` carry."""
    hub: Commands = attrs.field(repr=False)
    agent: Agent
    channel: Channel
    """Where the envelope was posted; it may have ended since."""
    delivery: Delivery

    @property
    def envelope(self) -> EnvelopePosted:
        return self.delivery.event

    @property
    def content(self) -> Any:
        return self.delivery.event.content

    async def post(
        self,
        content: Any,
        *,
        to: Iterable[Agent | str] | None = None,
        priority: str = "normal",
        idempotency_key: str | None = None,
    ) -> EnvelopePosted:
        """Post in the envelope's channel, because of the envelope: see :meth:`Channel.post`.

        With an ``idempotency_key``, a turn that is repeated after a crash does not post it a second time.
        """
        return await self.channel.post(
            self.agent,
            content,
            to=to,
            caused_by=self.delivery,
            priority=priority,
            idempotency_key=idempotency_key,
        )

    async def reply(self, content: Any, *, idempotency_key: str | None = None) -> EnvelopePosted:
        """Answer the envelope's sender: who asked gets it as its answer, anybody else in its inbox."""
        to = () if self._asks.is_question(self.envelope) else (self.envelope.agent_id or "",)
        return await self.post(content, to=to, idempotency_key=idempotency_key)

    async def ask(
        self,
        answerer: Agent | str,
        content: Any,
        *,
        timeout: float = 60.0,
        channel: Channel | None = None,
        linked: bool = True,
    ) -> EnvelopePosted:
        """Ask another agent, and return its answer: see :meth:`hubwire.Hub.ask`."""
        return await self._asks.ask(self.agent, answerer, content, timeout=timeout, channel=channel, is_linked=linked)

    def stop(self) -> None:
        """End the actor when the envelopes that it handles are done. A permanent one is started again."""
        self._end()


class Life:
    """One life of an actor: ``on_start``, envelopes, ``on_stop``. Nothing that its code raises comes out of it."""

    def __init__(
        self,
        core: Core,
        state: State,
        asks: Asks,
        commands: Commands,
        agent: Agent,
        *,
        seats: int,
        retry_seconds: float,
        stop_deadline: Callable[[], float],
    ) -> None:
        self.begun: anyio.Event = anyio.Event()
        """It has started, or come to its end."""
        self.drained: anyio.Event = anyio.Event()
        """It handles nothing any more."""
        self.finished: anyio.Event = anyio.Event()
        self.has_started: bool = False
        self.is_interrupted: bool = False
        """Whether it ends because it was told to."""
        self.error: Exception | None = None
        """What it has crashed with."""
        self.handled: int = 0
        self._core = core
        self._state = state
        self._asks = asks
        self._commands = commands
        self._agent = agent
        self._seats = seats
        self._retry_seconds = retry_seconds
        self._stop_deadline = stop_deadline
        self._is_draining = False
        self._waiting: set[anyio.CancelScope] = set()
        self._scope = anyio.CancelScope()
        self._actor: Any = None

    async def run(self, make: Callable[[], Any], on_started: Callable[[], None]) -> None:
        """Live. What ended it is in ``error`` and ``is_interrupted`` then."""
        leave_all()
        forget_calls()
        try:
            with self._scope:
                await self._start(make)
                on_started()
                self.begun.set()
                await self._read()
        except (HubClosed, HubFailed):
            self.is_interrupted = True
        finally:
            self._asks.sit(self._agent.id, 0)
            if self.has_started:
                await self._stop()
            for event in (self.begun, self.drained, self.finished):
                event.set()

    def drain(self) -> None:
        """Begin no more envelopes; :meth:`cancel` is to follow."""
        self.is_interrupted = True
        self._finish()

    def cancel(self) -> None:
        """End, whatever is under way."""
        self.is_interrupted = True
        self._finish()
        self._scope.cancel()

    async def _start(self, make: Callable[[], Any]) -> None:
        try:
            self._actor = await _called(_made, make)
            if (on_start := getattr(self._actor, "on_start", None)) is not None:
                await _called(on_start, self._commands, self._agent)
        except Exception as error:  # noqa: BLE001 - that is what a crash is
            self.error = error
            self._scope.cancel()
            await anyio.lowlevel.checkpoint()
        self.has_started = True

    async def _stop(self) -> None:
        if (on_stop := getattr(self._actor, "on_stop", None)) is None:
            return
        with anyio.CancelScope(deadline=self._stop_deadline(), shield=True) as deadline:
            try:
                await _called(on_stop)
            except Exception as error:  # noqa: BLE001 - that is what a crash is
                self.error = self.error or error
        if deadline.cancelled_caught:
            self.error = self.error or TimeoutError("its on_stop took too long, and was cancelled")

    # -- envelopes --

    async def _read(self) -> None:
        if self._agent.id not in self._state.agents:
            return
        self._asks.sit(self._agent.id, self._seats)
        inbox = self._agent.inbox()
        async with anyio.create_task_group() as tasks:
            for _ in range(self._seats):
                tasks.start_soon(self._serve, inbox)
        self.drained.set()
        if self.is_interrupted:
            await anyio.sleep_forever()

    async def _serve(self, inbox: Inbox) -> None:
        try:
            while (delivery := await self._next(inbox)) is not None:
                if self._asks.is_stale(delivery.event):
                    await self._expire(delivery)
                elif not self._asks.is_answer(delivery.event):
                    await self._turn(delivery)
        except (HubClosed, HubFailed):
            self.cancel()

    async def _next(self, inbox: Inbox) -> Delivery | None:
        """Return what is to be handled next; None if nothing is to be any more."""
        if self._is_draining:
            return None
        with anyio.CancelScope() as waiting:
            self._waiting.add(waiting)
            try:
                return await anext(inbox, None)
            finally:
                self._waiting.discard(waiting)
        return None

    def _finish(self) -> None:
        self._is_draining = True
        for waiting in self._waiting:
            waiting.cancel()

    async def _turn(self, delivery: Delivery) -> None:
        envelope = delivery.event
        about: dict[str, Any] = {
            "agent_id": self._agent.id,
            "channel_id": envelope.channel_id,
            "turn_id": new_id(),
            "causation_id": envelope.id,
        }
        turn = Turn(
            asks=self._asks,
            end=self._finish,
            id=about["turn_id"],
            hub=self._commands,
            agent=self._agent,
            channel=Channel(self._core, self._state, envelope.channel_id or ""),
            delivery=delivery,
        )
        surroundings = {"correlation_id": envelope.correlation_id, "tenant": envelope.tenant}
        with scope(**surroundings, traceparent=envelope.traceparent):
            self._tell(TurnStarted(**about, envelope_id=envelope.envelope_id))
            try:
                mark, error = await self._handle(turn)
            except BaseException:
                self._tell(TurnAbandoned(**about, reason="the actor was stopped"))
                raise
            if mark.is_withdrawn and (error is not None or mark.scope.cancelled_caught):
                abandoned = TurnAbandoned(**about, reason="nobody waits for its answer any more")
                await self._conclude(lambda: [abandoned, *self._expiry(delivery)])
            elif error is None:
                await self._conclude(lambda: [TurnEnded(**about), *self._ack(delivery)])
                self.handled += 1
            else:
                await self._fail(delivery, about, error)

    async def _handle(self, turn: Turn) -> tuple[Working, Exception | None]:
        with anyio.CancelScope() as turn_scope:
            mark = Working(self._agent.id, turn.envelope, turn_scope)
            token = working.set(mark)
            self._asks.begin(mark)
            try:
                await _called(self._actor.on_envelope, turn)
            except Exception as error:  # noqa: BLE001 - that is what a crash is
                return mark, error
            finally:
                self._asks.end(mark)
                working.reset(token)
        return mark, None

    async def _fail(self, delivery: Delivery, about: dict[str, Any], error: Exception) -> None:
        if isinstance(error, HubClosed | HubFailed) and not self._core.is_open:
            raise error
        failed = TurnFailed(
            **about,
            envelope_id=delivery.event.envelope_id,
            error_type=type(error).__name__,
            error_message=message_of(error),
        )
        await self._conclude(lambda: [failed, *self._nack(delivery, error)])
        self.error = self.error or error
        self._finish()  # in memory nothing is waited for, and the next envelope would come before the cancellation
        self._scope.cancel()

    async def _conclude(self, decide: Callable[[], Sequence[Event]]) -> None:
        """Say what came of a turn and of its envelope in one command, even while the actor is being stopped."""
        with anyio.CancelScope(shield=True):
            await self._core.execute(decide)

    def _tell(self, event: Event) -> None:
        """Tell a fact without waiting: at most one for each envelope, which the hub has admitted."""
        self._core.announce([event])

    def _is_held(self, delivery: Delivery) -> bool:
        """Tell whether this very delivery is still to be acked; the actor may have done so, or nacked it."""
        waiting = self._state.inboxes.find(delivery.agent_id, delivery.event.envelope_id)
        return waiting is not None and waiting.attempts + 1 == delivery.attempt and waiting.delayed_until_ns is None

    def _ack(self, delivery: Delivery) -> Sequence[Event]:
        if not self._is_held(delivery):
            return ()
        return self._state.inboxes.ack(delivery.agent_id, delivery.event.envelope_id)

    def _nack(self, delivery: Delivery, error: Exception) -> Sequence[Event]:
        if not self._is_held(delivery):
            return ()
        delay_seconds = self._retry_seconds * 2.0 ** (delivery.attempt - 1)
        return self._state.inboxes.nack(delivery.agent_id, delivery.event.envelope_id, delay_seconds, text_of(error))

    async def _expire(self, delivery: Delivery) -> None:
        """Let a question go that nobody waits for."""
        if expired := self._core.announce(self._expiry(delivery)):
            await self._core.until_committed(expired[-1].seq)

    def _expiry(self, delivery: Delivery) -> Sequence[Event]:
        if not self._is_held(delivery):
            return ()
        event = delivery.event
        return [EnvelopeExpired(agent_id=delivery.agent_id, channel_id=event.channel_id, envelope_id=event.envelope_id)]


async def _made(make: Callable[[], Any]) -> Any:
    return make()


async def _called(function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """Await a call of the actor's code. Nothing but an ``Exception`` comes out, unless it is cancelled from here."""
    try:
        return await guarded(function, *args)
    except BaseExceptionGroup as group:
        if isinstance(group, Exception):
            raise
        # A task group of the actor's, in which something like SystemExit was raised.
        raise RuntimeError(f"it raised {text_of(group)}") from group
