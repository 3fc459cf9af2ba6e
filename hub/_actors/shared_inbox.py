"""The inbox of an agent, as its actors read it together."""

from __future__ import annotations

from collections.abc import Callable

from .._commands.agents import Agent
from .._commands.inboxes import Inbox
from ..events import EnvelopePosted

__all__ = ("SharedInbox",)


class SharedInbox:
    """The inbox of an agent while at least one life of its actors reads it: each envelope goes to one of them."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self.on_wait: Callable[[], None] | None = None
        """Called when an actor waits for its next envelope, while the actors are being drained; None otherwise."""
        self._inbox: Inbox | None = None
        self._takes: Callable[[EnvelopePosted], bool] | None = None
        self._readers = 0

    def read_as(self, agent: Agent) -> None:
        """Read it from the next life on as this agent, which is the same one, on another face of the hub."""
        self._agent = agent
        if not self._readers:
            self._inbox = None

    def enter(self) -> Inbox:
        """A life begins to read. The first one finds all that was given to none, or was left by lives before it."""
        if self._inbox is None:
            self._inbox = self._agent.inbox()
            self._inbox.takes = self._takes
        self._readers += 1
        return self._inbox

    def leave(self) -> None:
        """A life reads no more; it has given back what it held."""
        self._readers -= 1
        if not self._readers:
            self._inbox = None

    def take_only(self, takes: Callable[[EnvelopePosted], bool], on_wait: Callable[[], None]) -> None:
        """Give no other envelopes to its actors from now on: they are being drained."""
        self.on_wait, self._takes = on_wait, takes
        if self._inbox is not None:
            self._inbox.takes = takes
