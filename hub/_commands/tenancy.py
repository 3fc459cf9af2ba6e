"""Tenancy: what one tenant sees of a hub that several share, and what does not exist for it."""

from __future__ import annotations

from .._foreign.arguments import Call
from .._state import State
from .._state.agents import AgentsOf
from ..context import current
from ..errors import CommandRejected, NotFound
from ..events import Event
from ..events._shown import shown

__all__ = ("Tenancy",)


class Tenancy:
    """The agents, channels, tasks, timers and approvals of one tenant.

    What is another tenant's, or no tenant's, is refused by the very errors that what never was is refused by: who gets
    one learns nothing of others.
    """

    def __init__(self, state: State, tenant: str) -> None:
        self.tenant: str = tenant
        self.agents: AgentsOf = state.agents.of(tenant)
        self._state = state

    def has_agent(self, agent_id: str | None) -> bool:
        """Return whether it is, or was until not long ago, one of the tenant's agents."""
        return self._state.agents.tenant_of(agent_id) == self.tenant

    def has_channel(self, channel_id: str | None) -> bool:
        """Return whether it is one of the tenant's channels, open or remembered."""
        state = self._state
        if channel_id in state.channels:
            return state.channels.get(channel_id or "").tenant == self.tenant
        ended = state.memories.ended(channel_id or "")
        return ended is not None and ended.channel.tenant == self.tenant

    def check_channel(self, channel_id: str | None) -> None:
        if channel_id is not None and not self.has_channel(channel_id):
            raise NotFound(f"no channel {shown(channel_id)} is open: it was closed, or never existed")

    def check_task(self, task_id: str | None) -> None:
        if task_id is not None and self._state.tasks.tenant_of(task_id) != self.tenant:
            raise NotFound(f"no task {shown(task_id)} is running: it ended long ago, or was never started")

    def check_timer(self, timer_id: str) -> None:
        entry = self._state.timers.find(timer_id)
        if entry is None or not self.has_agent(entry.agent_id):
            raise self._state.timers.not_waiting(timer_id)

    def check_approval(self, approval_id: str) -> None:
        approvals = self._state.approvals
        entry = approvals.find(approval_id) or approvals.given(approval_id)
        if entry is None or not self.has_agent(entry.agent_id):
            raise NotFound(f"no approval {shown(approval_id)} is known: it was never requested, or is long over")

    def check_headers(self, event: Event, call: Call, *, has_agent: bool = False) -> None:
        """Refuse an event that says it is another tenant's, or about what is not this one's, be it by a scope.

        ``has_agent``: it gets an agent of this tenant, if it names none.
        """
        if event.tenant is not None and event.tenant != self.tenant:
            raise CommandRejected(
                f"{call.name}: the event's tenant is {shown(event.tenant)}, and this is the hub as tenant"
                f" {shown(self.tenant)} has it; omit it"
            )
        here = current()
        agent_id = event.agent_id or (None if has_agent else here.agent_id)
        if agent_id is not None:
            self.agents.get(agent_id)
        self.check_channel(event.channel_id or here.channel_id)
        self.check_task(event.task_id or here.task_id)
