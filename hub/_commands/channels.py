"""``hub.channels``, and a channel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Unpack

import attrs

from .._state.channels import ChannelState
from .._state.origin import Origin
from ..errors import CommandRejected
from ..events import EnvelopePosted, EnvelopeRejected, Event
from .agents import Agent, id_of
from .core import Core, new_id

__all__ = ("Channel", "ChannelCommands")


class ChannelCommands:
    """``hub.channels``: where agents talk."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def open(self, participants: Sequence[Agent | str], *, topic: str = "", **origin: Unpack[Origin]) -> Channel:
        """Open a channel between registered agents, the first of which is its creator; return it.

        Raises :class:`~hubwire.errors.CommandRejected` if somebody is named twice, or nobody is, and
        :class:`~hubwire.errors.NotFound` if somebody is not registered.
        """
        channel_id = new_id()
        ids = [id_of(agent) for agent in participants]
        state = self._core.state
        await self._core.pipeline.execute(lambda: state.channels.open(ids, topic, channel_id=channel_id, **origin))
        return Channel(self._core, channel_id)

    def get(self, channel_id: str) -> Channel:
        """Return the channel with this id. Raises :class:`~hubwire.errors.NotFound` if it is not open."""
        self._core.state.channels.get(channel_id)
        return Channel(self._core, channel_id)


@attrs.frozen(eq=False)
class Channel:
    """A channel, known by its ``id``."""

    _core: Core = attrs.field(repr=False)
    id: str

    @property
    def is_open(self) -> bool:
        """Whether something can be posted now."""
        try:
            return self._core.state.channels.get(self.id).state is ChannelState.ACTIVE
        except CommandRejected:
            return False

    async def post(
        self,
        sender: Agent | str,
        content: Any,
        *,
        to: Iterable[Agent | str] | None = None,
        **origin: Unpack[Origin],
    ) -> EnvelopePosted:
        """Post an envelope to the inboxes of ``to``, by default of everybody in the channel but the sender.

        Returns the committed event. A refusal is recorded as ``envelope.rejected``, then raised as
        :class:`~hubwire.errors.CommandRejected`.
        """
        envelope_id = new_id()
        sender_id = id_of(sender)
        audience = None if to is None else [id_of(agent) for agent in to]
        channels = self._core.state.channels
        refusal: CommandRejected | None = None

        def decide() -> Sequence[Event]:
            nonlocal refusal
            try:
                return channels.post(self.id, sender_id, content, audience, envelope_id=envelope_id, **origin)
            except CommandRejected as error:
                refusal = error
                return [
                    EnvelopeRejected(
                        channel_id=self.id,
                        agent_id=sender_id,
                        reason=str(error),
                        error=type(error).__name__,
                        content=content,
                        audience=None if audience is None else tuple(audience),
                        **origin,
                    )
                ]

        events = await self._core.pipeline.execute(decide)
        if refusal is not None:
            raise refusal
        assert isinstance(events[0], EnvelopePosted)
        return events[0]

    async def close(self, reason: str = "", **origin: Unpack[Origin]) -> None:
        """Close the channel: nothing can be posted any more. What is in inboxes stays there.

        Raises :class:`~hubwire.errors.NotFound` if it is closed already.
        """
        await self._core.pipeline.execute(lambda: self._core.state.channels.close(self.id, reason, **origin))
