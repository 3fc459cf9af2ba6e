"""What the faces of a hub have in common, that of one agent and that of one tenant: the way in, approvals, actors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from ._actors.rules import Restart, RetryPolicy, SpawnSettings
from ._commands import Agent, AgentCommands, Channel, Core
from ._commands.agents import actor_of
from ._foreign.arguments import Call
from ._parts import Parts
from .events import EnvelopePosted, Event
from .late_types import late_type

if TYPE_CHECKING:
    from ._actors.handles import ActorHandle
    from ._commands.approvals import ApprovalCommands
    from ._commands.batches import Batch
else:
    ActorHandle = late_type("hubwire._actors.handles", "ActorHandle")
    ApprovalCommands = late_type("hubwire._commands.approvals", "ApprovalCommands")
    Batch = late_type("hubwire._commands.batches", "Batch")

__all__ = ("EMIT", "Face")

E = TypeVar("E", bound=Event)

EMIT = Call("hub.emit()")
_ASK = Call("hub.ask()")


class Face(ABC):
    """A hub as an agent or a tenant has it."""

    agents: AgentCommands

    def __init__(self, parts: Parts, core: Core) -> None:
        self._core = core
        self._parts = parts

    @property
    def id(self) -> str:
        """The hub's id, as :attr:`hubwire.Hub.id`."""
        return self._core.hub_id

    @property
    def approvals(self) -> ApprovalCommands:
        """As :attr:`hubwire.Hub.approvals`; of an agent, requests are its own, and it answers in its own name."""
        return self._parts.approvals.made()._through(self._core)  # noqa: SLF001 - it is no command

    async def emit(self, event: E) -> E:
        """Commit an event, as :meth:`hubwire.Hub.emit`: it is this agent's, or this tenant's, if it does not say so."""
        event = self._own(event)
        if self._core.emitting.is_needed:
            event = await self._parts.emitting.allowed(event)
        return (await self._parts.pipeline.emit((event,)))[0]

    def emit_nowait(self, event: E) -> E:
        """Take an event without waiting, as :meth:`hubwire.Hub.emit_nowait`; for the rest see :meth:`emit`."""
        event = self._own(event)
        if self._core.emitting.is_needed:
            event = self._parts.emitting.allowed_now(event)
        return self._parts.pipeline.put_nowait((event,))[0]

    async def emit_many(self, events: Iterable[E]) -> list[E]:
        """Commit several events, all or none, as :meth:`hubwire.Hub.emit_many`; for the rest see :meth:`emit`."""
        return await self._parts.batches.made().emit_many(events, self._own)

    def batch(self) -> Batch:
        """Return a batch, as :meth:`hubwire.Hub.batch`; for the rest see :meth:`emit`."""
        from ._commands.batches import Batch  # noqa: PLC0415 - few programs have batches

        return Batch(self._parts.batches.made(), self._own)

    async def ask(
        self,
        asker: Agent | str,
        answerer: Agent | str,
        content: Any,
        *,
        timeout: float = 60.0,
        channel: Channel | None = None,
        linked: bool = True,
        provenance: Iterable[str] = (),
    ) -> EnvelopePosted:
        """Ask another agent, as :meth:`hubwire.Hub.ask`; the asker is this agent, or one of this tenant's."""
        asker_id = actor_of(self._core, asker, _ASK, "asker")
        return await self._parts.asks.ask(
            asker_id,
            answerer,
            content,
            timeout=timeout,
            channel=channel,
            is_linked=linked,
            provenance=provenance,
            face=self._core,
        )

    async def spawn(
        self,
        actor: Any,
        *,
        name: str | None = None,
        workers: int = 1,
        concurrency: int | None = None,
        visibility_seconds: float | None = None,
        restart: Restart = Restart.PERMANENT,
        retry: RetryPolicy | None = None,
        **registration: Any,
    ) -> ActorHandle:
        """Let an actor handle the envelopes of an agent, as :meth:`hubwire.Hub.spawn`.

        The agent is one of the tenant's; of an agent's hub, one that this agent registers, or has registered before.
        The actor gets the hub as its own agent has it.
        """
        settings = SpawnSettings(
            name=name,
            workers=workers,
            concurrency=concurrency,
            visibility_seconds=visibility_seconds,
            restart=restart,
            retry=retry,
            registration=registration,
        )
        settings = self._may_spawn(actor, settings)
        handle = await self._parts.actors.made().spawn(actor, settings, agents=self.agents)
        handle.agent = self.agents.get(handle.agent.id)
        return handle

    def _may_spawn(self, actor: Any, settings: SpawnSettings) -> SpawnSettings:
        """Return how the actor is spawned; refuse one that may not be."""
        del actor
        return settings

    @abstractmethod
    def _own(self, event: E, call: Call = EMIT) -> E:
        """Return the event as it is emitted here; refuse one that may not be."""
