"""The arbiter: every command is authorized by it before the command waits to be admitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from .._foreign.guards import text_of
from .._foreign.timeouts import asked
from .._state.agents import Agents
from .._state.channels import Channels
from ..arbiter import ALLOW, Allow, Arbiter, Command, Deny
from ..errors import AccessDenied, NotFound
from ..events import canonical
from ..ports import Clock

__all__ = ("CLEAR", "Authorizer", "Clearance")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Clearance:
    """What the arbiter has decided about an envelope."""

    refusal: AccessDenied | None = None
    unreachable: Mapping[str, str] = {}
    """The ids of agents that it must not reach, and why."""
    covered: frozenset[str] | None = None
    """The ids of the agents about which the arbiter has decided; None without an arbiter."""

    def check(self) -> None:
        """Raise if the envelope must not be posted."""
        if self.refusal is not None:
            raise self.refusal

    def covers(self, agent_ids: Iterable[str]) -> bool:
        """Tell whether the arbiter has decided about all of these agents: meanwhile, others may have joined."""
        return self.covered is None or self.refusal is not None or self.covered.issuperset(agent_ids)


CLEAR = Clearance()


class Authorizer:
    """Calls the hub's arbiter, if it has one; an answer that is not a permission is a refusal."""

    def __init__(
        self, arbiter: Arbiter | None, agents: Agents, channels: Channels, clock: Clock, seconds_max: float
    ) -> None:
        self._arbiter = arbiter
        self._agents = agents
        self._channels = channels
        self._clock = clock
        self._seconds_max = seconds_max

    @property
    def has_arbiter(self) -> bool:
        """Whether the hub has an arbiter."""
        return self._arbiter is not None

    def freeze(self, content: Any) -> Any:
        """Return the content as the arbiter sees it: frozen, so that it is the same in the event that follows."""
        return content if self._arbiter is None else canonical(content)

    async def authorize(
        self,
        name: str,
        agent_id: str | None = None,
        others: Iterable[str] = (),
        *,
        agent_name: str = "",
        channel_id: str | None = None,
        channel_type: str = "",
        content: Any = None,
        hops: int = 0,
    ) -> Allow:
        """Return the limits within which the command is allowed; ``others`` are agent ids, ``content`` is frozen.

        Raises :class:`~hubwire.errors.AccessDenied` if the arbiter denies the command, fails, or does not answer in
        time.
        """
        if self._arbiter is None:
            return ALLOW
        others = tuple(others)
        command = Command(
            name=name,
            agent_id=agent_id,
            agent_name=agent_name or self._name_of(agent_id),
            others=tuple(map(self._name_of, others)),
            channel_id=channel_id,
            channel_type=channel_type,
            content=content,
            hops=hops,
            rule=self._rule_of(agent_id),
            rules_of_others=tuple(map(self._rule_of, others)),
            moment_seconds=self._clock.monotonic(),
        )
        try:
            answer = await asked(self._clock, self._seconds_max, self._arbiter.authorize, command)
        except Exception as error:
            raise AccessDenied(
                f"{name!r} of {command.agent_name!r} is denied, because the arbiter failed ({text_of(error)});"
                " nothing has happened: mend the arbiter",
                command=name,
            ) from error
        if isinstance(answer, Allow):
            return answer
        if not isinstance(answer, Deny):
            raise AccessDenied(
                f"{name!r} of {command.agent_name!r} is denied, because the arbiter answered {type(answer).__name__};"
                " nothing has happened: let it answer Allow() or Deny(reason)",
                command=name,
            )
        raise AccessDenied(f"{name!r} of {command.agent_name!r} is denied: {answer.reason}", command=name)

    async def clear(
        self, sender_id: str, channel_id: str, audience: Sequence[str] | None, content: Any, hops: int = 0
    ) -> Clearance:
        """Return whether an envelope may be posted, and which agents it must not reach."""
        if self._arbiter is None:
            return CLEAR
        try:
            await self.authorize("send", sender_id, audience or (), channel_id=channel_id, content=content, hops=hops)
        except AccessDenied as error:
            return Clearance(refusal=error)
        return await self.reach(Clearance(covered=frozenset()), sender_id, channel_id, audience, content)

    async def reach(
        self, clearance: Clearance, sender_id: str, channel_id: str, audience: Sequence[str] | None, content: Any
    ) -> Clearance:
        """Return a clearance that also covers the agents about which the arbiter has not decided yet."""
        reached = self.participants(channel_id) if audience is None else audience
        covered = clearance.covered or frozenset()
        unreachable = dict(clearance.unreachable)
        for agent_id in reached:
            if agent_id not in covered and agent_id != sender_id and agent_id in self._agents:
                try:
                    await self.authorize("dispatch", sender_id, [agent_id], channel_id=channel_id, content=content)
                    await self.authorize("inbox", agent_id, [sender_id], channel_id=channel_id, content=content)
                except AccessDenied as error:
                    unreachable[agent_id] = str(error)
        return Clearance(unreachable=unreachable, covered=covered.union(reached))

    def participants(self, channel_id: str) -> tuple[str, ...]:
        """Return the ids of a channel's participants; none if it is not there: the state machine refuses that."""
        try:
            return self._channels.get(channel_id).participants
        except NotFound:
            return ()

    def _name_of(self, agent_id: str | None) -> str:
        """Return an agent's name, or the id itself if no agent has it: the state machine will refuse the command."""
        if agent_id is None:
            return ""
        return self._agents.get(agent_id).name if agent_id in self._agents else str(agent_id)

    def _rule_of(self, agent_id: str | None) -> Mapping[str, Any] | None:
        if agent_id is None or agent_id not in self._agents:
            return None
        return self._agents.get(agent_id).rule
