"""What the arbiter is asked about a channel: before an agent enters it, leaves it or changes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from .._foreign.arguments import Call
from .._state.channels import ChannelEntry, Channels
from ..events import Event
from .authorizer import NO_FACTS
from .core import Core

__all__ = ("ChannelAccess",)


@attrs.frozen(eq=False, repr=False)
class ChannelAccess:
    """Has the arbiter decide about commands on one channel; it sees who takes part."""

    _core: Core
    _channels: Channels
    _channel_id: str

    @property
    def _entry(self) -> ChannelEntry:
        return self._channels.get(self._channel_id)

    async def authorize(
        self,
        name: str,
        agent_id: str | None,
        others: Iterable[str] = (),
        content: Any = None,
        facts: Mapping[str, Any] = NO_FACTS,
    ) -> None:
        """Return if the command is allowed: see :meth:`Authorizer.authorize`."""
        entry = self._entry
        await self._core.authorizer.authorize(
            name,
            agent_id,
            others,
            channel_id=self._channel_id,
            channel_type=entry.type,
            present=entry.participants,
            content=content,
            facts=facts,
        )

    async def authorize_change(self, name: str, call: Call, others: Iterable[str], content: Any = None) -> None:
        """Authorize what any participant may do to a channel, and the program's own code to all channels."""
        acting = self._core.acting
        acting.check_one_of(self._entry.participants, call, self._channel_id)
        await self.authorize(name, acting.agent_id, others, content)

    async def enter(
        self, name: str, agent_id: str, decide: Callable[[], Sequence[Event]], facts: Mapping[str, Any] = NO_FACTS
    ) -> None:
        """Carry out what lets an agent take part, once the arbiter has decided about all who do at that moment."""
        has_arbiter = self._core.authorizer.has_arbiter
        authorized: frozenset[str] = frozenset()

        def decide_now() -> Sequence[Event]:
            if has_arbiter and not authorized.issuperset(self._met_by(agent_id)):
                return ()
            return decide()

        while True:
            met = self._met_by(agent_id)
            await self.authorize(name, agent_id, met, facts=facts)
            authorized = frozenset(met)
            if await self._core.execute(decide_now):
                return

    def _met_by(self, agent_id: str) -> tuple[str, ...]:
        """Return the agents that one would take part with.

        An agent that joins finds the participants and those that were invited before it came; of those that were
        invited, each finds the participants.
        """
        entry = self._entry
        if agent_id in entry.invited:
            return entry.participants
        return tuple(each for each in (*entry.participants, *entry.invited, *entry.to_invite) if each != agent_id)
