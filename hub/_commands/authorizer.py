"""Asking the arbiter: every command does so before it waits to be admitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from .._adapt import text_of
from .._deadline import asked
from .._state import State
from ..arbiter import ALLOW, Allow, Arbiter, Command, Deny
from ..errors import AccessDenied, NotFound
from ..ports import Clock

__all__ = ("Authorizer", "Clearance")


@attrs.frozen(kw_only=True)
class Clearance:
    """What the arbiter says to an envelope."""

    refusal: AccessDenied | None = None
    unreachable: Mapping[str, str] = {}
    """Whom it must not reach, and why."""

    def check(self) -> None:
        """Raise if the envelope must not be posted."""
        if self.refusal is not None:
            raise self.refusal


CLEAR = Clearance()


class Authorizer:
    """Asks the hub's arbiter, if it has one; whatever is no permission is a refusal."""

    def __init__(self, arbiter: Arbiter | None, state: State, clock: Clock, seconds_max: float) -> None:
        self._arbiter = arbiter
        self._state = state
        self._clock = clock
        self._seconds_max = seconds_max

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
        """Return within which limits the command is allowed; ``others`` are agent ids.

        Raises :class:`~hubwire.errors.AccessDenied`.
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
        self, sender_id: str, channel_id: str, audience: Iterable[str] | None, content: Any, hops: int = 0
    ) -> Clearance:
        """Return whether an envelope may be posted, and whom it must not reach."""
        if self._arbiter is None:
            return CLEAR
        audience = None if audience is None else tuple(audience)
        try:
            await self.authorize("send", sender_id, audience or (), channel_id=channel_id, content=content, hops=hops)
        except AccessDenied as error:
            return Clearance(refusal=error)
        unreachable: dict[str, str] = {}
        for agent_id in self._participants(channel_id) if audience is None else audience:
            if agent_id != sender_id and agent_id in self._state.agents:
                try:
                    await self.authorize("dispatch", sender_id, [agent_id], channel_id=channel_id, content=content)
                    await self.authorize("inbox", agent_id, [sender_id], channel_id=channel_id, content=content)
                except AccessDenied as error:
                    unreachable[agent_id] = str(error)
        return Clearance(unreachable=unreachable)

    def _participants(self, channel_id: str) -> tuple[str, ...]:
        try:
            return self._state.channels.get(channel_id).participants
        except NotFound:
            return ()  # the state machine will refuse the envelope, and say why

    def _name_of(self, agent_id: str | None) -> str:
        """Return an agent's name, or the id of what is no agent: the state machine will refuse that."""
        agents = self._state.agents
        return agents.get(agent_id).name if agent_id is not None and agent_id in agents else str(agent_id)

    def _rule_of(self, agent_id: str | None) -> Mapping[str, Any] | None:
        agents = self._state.agents
        return agents.get(agent_id).rule if agent_id is not None and agent_id in agents else None
