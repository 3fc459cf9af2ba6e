"""What an actor is, and the turn that it is given for each envelope.

These names stand above the hub, because they name it: what an actor gets as its hub is a :class:`hubwire.ActingHub`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from . import messages
from ._acting import ActingHub
from ._actors import turn as _turn
from ._actors.effects import HeldPost
from ._actors.rules import RetryPolicy
from ._commands.agents import Agent
from .errors import ConfigurationError

__all__ = ("Actor", "BaseActor", "HeldPost", "Turn")

if TYPE_CHECKING:

    class Turn(_turn.Turn[ActingHub]):
        """An envelope in the hands of an actor, and what it may do about it."""

else:
    Turn = _turn.Turn


class Actor(Protocol):
    """What :meth:`hubwire.Hub.spawn` takes: an object that handles the envelopes of one agent.

    :class:`BaseActor` has what else the hub looks for, and uses where it is present.
    """

    async def on_envelope(self, turn: Turn, /) -> None:
        """Handle one envelope. It is acked when this returns.

        When it raises, the turn has failed: the hub reports it by ``turn.failed`` and gives the envelope back, to come
        again or to be dead-lettered as the actor's :class:`hubwire.RetryPolicy` says, and the actor goes on. To crash,
        and be started again as its group says, it raises :class:`hubwire.Escalate`. Cancelled, because the actor is
        stopped, the envelope stays where it is. So each envelope is handled at least once; what has effects outside of
        the hub should be able to meet one twice.
        """


class BaseActor:
    """An :class:`Actor` that does no work yet: a convenience, to be overridden in part.

    With a method ``async def on_notice(self, turn)`` an actor is called with the notices of the hub, about expectations
    that were violated; without one, they are acked and are no turns.
    """

    _handlers: ClassVar[Mapping[str, tuple[type, str]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._handlers = messages.handlers_of(cls)
        if cls._handlers and cls.on_envelope is not BaseActor.on_envelope:
            raise ConfigurationError(
                f"{cls.__qualname__} has on_envelope and methods with @handles: use one of the two"
            )

    name: str = ""
    """The name of its agent; that of its class, if empty."""
    capabilities: tuple[str, ...] = ()
    """This, ``passport``, ``resume``, ``skill`` and ``rule`` are what the agent is registered with, if it is not."""
    concurrency: int = 1
    """How many envelopes it handles at a time. With one, it handles them in order of delivery."""

    visibility_seconds: float | None = None
    """How long a turn may hold its envelope, by the hub's clock, until it is cancelled and fails. None: no limit."""

    retry: RetryPolicy = RetryPolicy()
    """What becomes of an envelope whose turn has failed."""

    state: Any = None
    """The class of what it keeps from one turn to the next, an attrs class with defaults; without one, JSON."""

    async def on_start(self, hub: ActingHub, agent: Agent) -> None:
        """Prepare, before the first envelope. Called again on the same object after a crash: prepare anew."""

    @messages.by_content
    async def on_envelope(self, turn: Turn, /) -> None:
        """Handle one envelope: see :class:`Actor`. By default, a method that :func:`handles` its content does."""
        if self._handlers:
            kind, method = self._handlers.get(messages.type_of(turn.content) or "", (None, ""))
            if kind is None:
                raise messages.refusal_of(turn.content, self._handlers)
            await getattr(self, method)(turn, messages.read(kind, turn.content))

    async def on_stop(self) -> None:
        """Release what was taken: after the last envelope, and after a crash. Not called if ``on_start`` raised."""
