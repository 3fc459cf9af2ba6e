"""peek, pending, history: a look at what a hub remembers, for tests that compare it before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import Agent, Event, Hub
from ..events import EnvelopePosted

__all__ = ("history", "peek", "pending")


def peek(hub: Hub) -> dict[str, Sequence[Any]]:
    """Return all that the hub remembers, as of this moment: the entries of a snapshot, by state machine.

    The result does not change later, and two results are equal if the hub remembers the same. So a test can see that a
    refused command, or a restart, has changed no part of it. What an entry is belongs to the hub, and may change with
    a version.
    """
    return hub._parts.state.snapshot()  # noqa: SLF001 - it looks inside, so that tests need not


def pending(hub: Hub, agent: Agent | str) -> list[EnvelopePosted]:
    """Return the envelopes in the inbox of an agent that are not acked yet, in the order of their delivery.

    Those that were nacked with a delay, and wait to come again, are among them. An agent that is not registered has
    none. Reading them acks none of them.
    """
    agent_id = agent if isinstance(agent, str) else agent.id
    return [waiting.envelope for waiting in hub._parts.state.inboxes.pending(agent_id)]  # noqa: SLF001 - as peek() does


async def history(hub: Hub) -> list[Event]:
    """Return all events that are committed at this moment, in order.

    Raises :class:`~hubwire.errors.HistoryGone` if the first of them are no longer held: a journal is truncated, and
    without a journal the hub has only what is on its ring.
    """
    newest = hub.statistics().committed - 1
    found: list[Event] = []
    if newest >= 0:
        async for event in hub.events(after=-1):
            found.append(event)
            if event.seq >= newest:
                break
    return found
