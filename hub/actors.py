"""What an actor is, and the turn that it is given for each envelope.

These names stand above the hub, because they name it: what an actor gets as its hub is the :class:`hubwire.Hub` itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ._actors import turn as _turn
from ._commands.agents import Agent
from ._hub import Hub

__all__ = ("Actor", "BaseActor", "Turn")

if TYPE_CHECKING:

    class Turn(_turn.Turn[Hub]):
        """An envelope in the hands of an actor, and what it may do about it."""

else:
    Turn = _turn.Turn


class Actor(Protocol):
    """What :meth:`hubwire.Hub.spawn` takes: an object that handles the envelopes of one agent.

    :class:`BaseActor` has what else the hub looks for, and uses where it is present.
    """

    async def on_envelope(self, turn: Turn, /) -> None:
        """Handle one envelope. It is acked when this returns.

        Raising is a crash: the hub reports it by ``turn.failed``, gives the envelope back, and starts the actor again,
        as its group says. Cancelled, because the actor is stopped, the envelope stays where it is. So each envelope is
        handled at least once; what has effects outside of the hub should be able to meet one twice.
        """


class BaseActor:
    """An :class:`Actor` that does no work yet: a convenience, to be overridden in part."""

    name: str = ""
    """The name of its agent; that of its class, if empty."""
    capabilities: tuple[str, ...] = ()
    """This, ``passport``, ``resume``, ``skill`` and ``rule`` are what the agent is registered with, if it is not."""
    concurrency: int = 1
    """How many envelopes it handles at a time. With one, it handles them in order of delivery."""

    async def on_start(self, hub: Hub, agent: Agent) -> None:
        """Prepare, before the first envelope. Called again on the same object after a crash: prepare anew."""

    async def on_envelope(self, turn: Turn, /) -> None:
        """Handle one envelope: see :class:`Actor`."""

    async def on_stop(self) -> None:
        """Release what was taken: after the last envelope, and after a crash. Not called if ``on_start`` raised."""
