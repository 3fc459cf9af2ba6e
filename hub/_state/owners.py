"""Owners: whose agent, channel or task an event is about, where several tenants share a hub."""

from __future__ import annotations

from collections.abc import Sequence

from ..events import ChannelCreated, Event
from ..events._stamp import Context
from .agents import Agents
from .channels import Channels
from .tasks import Tasks

__all__ = ("Owners",)


class Owners:
    """Looks up, before an event is applied, the tenant of what its headers name."""

    def __init__(self, agents: Agents, channels: Channels, tasks: Tasks) -> None:
        self._agents = agents
        self._channels = channels
        self._tasks = tasks

    def tenants_of(self, events: Sequence[Event], around: Context) -> Sequence[str | None]:
        """Return the tenant of each event of one command, None where that is none's, or is not known.

        ``around`` is what they inherit: the place that an event is about, where it names none itself.
        """
        opened: dict[str | None, str | None] = {}
        found: list[str | None] = []
        for event in events:
            place: Event | Context = event
            if event.agent_id is None and event.channel_id is None and event.task_id is None:
                place = around
            tenant = self._agents.tenant_of(place.agent_id) or self._of_place(place)
            if type(event) is ChannelCreated:
                opened[event.channel_id] = tenant
            found.append(tenant or opened.get(event.channel_id))
        return found

    def _of_place(self, place: Event | Context) -> str | None:
        if place.channel_id is not None and place.channel_id in self._channels:
            return self._channels.get(place.channel_id).tenant
        return None if place.task_id is None else self._tasks.tenant_of(place.task_id)
