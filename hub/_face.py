"""What the faces of a hub have in common, that of one agent and that of one tenant: approvals, and the way in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from ._commands import Core
from ._foreign.arguments import Call
from ._parts import Parts
from .events import Event

if TYPE_CHECKING:
    from ._commands.approvals import ApprovalCommands
    from ._commands.batches import Batch

__all__ = ("EMIT", "Face")

E = TypeVar("E", bound=Event)

EMIT = Call("hub.emit()")


class Face(ABC):
    """A hub as an agent or a tenant has it."""

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

    @abstractmethod
    def _own(self, event: E, call: Call = EMIT) -> E:
        """Return the event as it is emitted here; refuse one that may not be."""
