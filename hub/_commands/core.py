"""What commands work on, and who is to be told at once of what they lead to."""

from __future__ import annotations

from typing import Protocol
from weakref import WeakSet

from uuid_utils import uuid7

from .._pipeline import Pipeline
from .._state import State
from ..events import AgentUnregistered, EnvelopePosted

__all__ = ("Core", "InboxReader", "new_id")


def new_id() -> str:
    """Return a new id of an agent, a channel or an envelope: 32 hex digits that sort by time."""
    return uuid7().hex


class InboxReader(Protocol):
    """An inbox that is being read."""

    agent_id: str

    def arrive(self, event: EnvelopePosted) -> None:
        """An envelope was posted."""

    def look(self) -> None:
        """Look again: nothing will arrive any more."""


class Core:
    """What commands work on, and the inboxes that are being read."""

    def __init__(self, pipeline: Pipeline, state: State) -> None:
        self.pipeline = pipeline
        self.state = state
        self._readers: dict[str, WeakSet[InboxReader]] = {}
        pipeline.watchers[EnvelopePosted] = self._posted
        pipeline.watchers[AgentUnregistered] = self._unregistered

    def read(self, inbox: InboxReader) -> None:
        """From now on tell this inbox what is posted to its agent."""
        self._readers.setdefault(inbox.agent_id, WeakSet()).add(inbox)

    def end(self) -> None:
        """The hub is closed or has failed: nothing arrives any more."""
        for inboxes in self._readers.values():
            for inbox in inboxes:
                inbox.look()

    def _posted(self, event: EnvelopePosted) -> None:
        for agent_id in event.recipients:
            if inboxes := self._readers.get(agent_id):
                for inbox in inboxes:
                    inbox.arrive(event)
            elif inboxes is not None:
                del self._readers[agent_id]

    def _unregistered(self, event: AgentUnregistered) -> None:
        for inbox in self._readers.pop(event.agent_id or "", ()):
            inbox.look()
