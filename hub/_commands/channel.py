"""A channel: where agents talk, and what was said there."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Unpack, cast

import attrs

from .._foreign.arguments import Call
from .._state import State  # noqa: F401 - annotations of its constructor, which are its base's, are looked up here
from .._state.channels import ChannelState
from .._state.origin import Origin
from ..errors import NotFound
from ..events import ChannelOpened, EnvelopePosted
from .access import ChannelAccess
from .agents import Agent, actor_of, id_of, ids_of
from .causes import cause_of
from .channel_reader import ChannelReader
from .core import Core
from .inboxes import Delivery
from .origins import origin_of
from .posting import POST, posting_of
from .provenances import UNSAID

__all__ = ("Channel", "channel_id_of")

_ACCEPT = Call("channel.accept()")
_DECLINE = Call("channel.decline()")
_JOIN = Call("channel.join()")
_LEAVE = Call("channel.leave()")
_HIDE = Call("channel.hide()")
_SHOW = Call("channel.show()")
_CLOSE = Call("channel.close()")


@attrs.frozen(eq=False, repr=False)
class Channel(ChannelReader):
    """A channel, known by its ``id``. Its properties are what the hub knows of it now.

    When it has ended it is not open, and its properties are what they were last, for as long as it is remembered: see
    :meth:`hubwire.ChannelCommands.recall`. After that they raise :class:`~hubwire.errors.NotFound`. Its commands do so
    from its end on; :meth:`post` after it has recorded the refusal.
    """

    @property
    def _access(self) -> ChannelAccess:
        return ChannelAccess(self._core, self._state.channels, self.id)

    async def ready(self) -> None:
        """Return when the channel is open: enough of the invited agents have accepted.

        Raises :class:`~hubwire.errors.NotFound` also if it ends before.
        """
        if self._entry.state is ChannelState.ACTIVE:
            await self._core.until_all_is_committed()
            return
        event = await self._core.next_transition_of(self.id)
        await self._core.until_committed(event.seq)
        if not isinstance(event, ChannelOpened):
            raise NotFound(f"channel {self.id} was never opened: {getattr(event, 'reason', '')}")

    async def accept(self, agent: Agent | str) -> None:
        """Let an agent that was invited take part.

        Raises :class:`~hubwire.errors.CommandRejected` if it was not invited, or has answered already, and
        :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        membership, agent_id = self._state.membership, actor_of(self._core, agent, _ACCEPT)
        await self._access.enter("accept", agent_id, partial(membership.accept, self.id, agent_id))

    async def decline(self, agent: Agent | str, reason: str = "") -> None:
        """Let an agent that was invited take no part.

        Raises :class:`~hubwire.errors.CommandRejected` if it was not invited, or has answered already, and
        :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        membership, agent_id = self._state.membership, actor_of(self._core, agent, _DECLINE)
        reason = _DECLINE.text("reason", reason)
        await self._access.authorize("decline", agent_id, [self._entry.creator_id], reason)
        await self._core.execute(lambda: membership.decline(self.id, agent_id, reason))

    async def join(self, agent: Agent | str, *, role: str = "participant") -> None:
        """Let an agent take part from now on.

        Raises :class:`~hubwire.errors.CommandRejected` if the channel is not open, or its type allows no others, and
        :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        role, membership = _JOIN.text("role", role), self._state.membership

        async def join(core: Core) -> None:
            agent_id = actor_of(core, agent, _JOIN)
            access = ChannelAccess(core, self._state.channels, self.id)
            await access.enter("join", agent_id, partial(membership.join, self.id, agent_id, role), {"role": role})

        await self._core.demand.run(self._core, (agent,), join)

    async def leave(self, agent: Agent | str, reason: str = "") -> None:
        """Let a participant take part no more; when the last has left, the channel is closed.

        Raises :class:`~hubwire.errors.CommandRejected` if it takes no part, and
        :class:`~hubwire.errors.AccessDenied` if the arbiter denies it.
        """
        membership, agent_id = self._state.membership, actor_of(self._core, agent, _LEAVE)
        reason = _LEAVE.text("reason", reason)
        await self._access.authorize("leave", agent_id, content=reason)
        await self._core.execute(lambda: membership.leave(self.id, agent_id, reason))

    async def hide(self, agent: Agent | str, reason: str = "") -> None:
        """Let the channel go on as if a participant took no part: it has no turn, may not post, and reads on.

        Raises :class:`~hubwire.errors.CommandRejected` if it takes no part, or is hidden already.
        """
        membership, agent_id = self._state.membership, id_of(self._core, agent, _HIDE)
        reason = _HIDE.text("reason", reason)
        await self._access.authorize_change("hide", _HIDE, [agent_id], reason)
        await self._core.execute(lambda: membership.hide(self.id, agent_id, reason))

    async def show(self, agent: Agent | str) -> None:
        """Let a participant that was hidden have turns and post again.

        Raises :class:`~hubwire.errors.CommandRejected` if it was not hidden, or the channel's type refuses.
        """
        membership, agent_id = self._state.membership, id_of(self._core, agent, _SHOW)
        await self._access.authorize_change("show", _SHOW, [agent_id])
        await self._core.execute(lambda: membership.show(self.id, agent_id))

    async def post(
        self,
        sender: Agent | str,
        content: Any,
        *,
        to: Iterable[Agent | str] | None = None,
        caused_by: Delivery | EnvelopePosted | None = None,
        priority: str = "normal",
        ttl_seconds: float | None = None,
        idempotency_key: str | None = None,
        hops_max: int | None = None,
        deliver_after: float = 0.0,
        provenance: Iterable[str] = (),
        **origin: Unpack[Origin],
    ) -> EnvelopePosted:
        """Post an envelope to the inboxes of ``to``, by default of all participants but the sender.

        ``caused_by``: the envelope that this one answers; a chain of more than ``hops_max`` answers is refused, where
        agents might answer each other's answers for ever. ``priority``: ``urgent``, ``normal`` or ``background``.
        ``ttl_seconds``: after that it leaves the inboxes that have not acked it. ``deliver_after``: it is delivered so
        many seconds later, by the hub's clock and across restarts; until then it takes room in the inboxes.

        ``idempotency_key``: posting the same again with it posts no second envelope and returns the first event; give
        one if you may not learn the result and would post again. It is remembered as long as the channel lives, for a
        day, and for the 100,000 newest such posts of the hub. Where the first event is held no more, its ``seq`` and
        its ``envelope_id`` are returned, with what was posted. It does not begin with ``hubwire-``.

        ``provenance``: where the content comes from, as far as the sender knows: see :mod:`hubwire.provenance`.

        Agents that the arbiter keeps from it are left out, and reported by ``envelope.dispatch_failed``. Where an inbox
        is full, its agent's rule says what happens; an envelope that would reach no inbox for that reason is refused
        with :class:`~hubwire.errors.InboxFull`. With ``InboxOverflow.BLOCK`` it waits for room, in line, for as long as
        the caller does; it is refused where that room could come only after the turn that waits.

        Returns the committed event. A refusal is recorded as ``envelope.rejected``, then raised as
        :class:`~hubwire.errors.CommandRejected`, mostly as a :class:`~hubwire.errors.PostRejected` with its ``code``,
        or as :class:`~hubwire.errors.EventTooLarge`, then without the content.
        """
        posting = posting_of(
            self._core,
            self._state,
            self.id,
            actor_of(self._core, sender, POST, "sender"),
            content,
            audience=None if to is None else ids_of(self._core, to, POST, "to"),
            cause=None if caused_by is None else cause_of(POST, caused_by),
            priority=priority,
            ttl_seconds=ttl_seconds,
            idempotency_key=idempotency_key,
            hops_max=hops_max,
            deliver_after=deliver_after,
            origin=origin_of(POST, origin, self.post),
        )
        if provenance is not UNSAID:
            posting.take_provenance(POST, provenance)
        return await posting.run()

    async def close(self, reason: str = "", **origin: Unpack[Origin]) -> None:
        """Close the channel, and those below it: they take no envelopes any more. What is in inboxes stays there.

        If a thousand channels or more are below it, the first event is ``channel.closing``, and they are closed in
        several commands; when this returns, all are closed. Cancelled meanwhile, or after a crash, the hub goes on.

        Raises :class:`~hubwire.errors.NotFound` if it is closed already, and :class:`~hubwire.errors.AccessDenied` if
        the arbiter denies it.
        """
        channels, endings = self._state.channels, self._state.endings
        reason, origin = _CLOSE.text("reason", reason), origin_of(_CLOSE, origin, self.close)
        await self._access.authorize_change("close", _CLOSE, self._entry.participants, reason)
        await self._core.execute(lambda: endings.close(self.id, reason, **origin))
        try:
            while self.id in channels:
                await self._core.execute(lambda: endings.close(self.id, reason))
        except NotFound:
            return  # the hub itself, which closes what is closing, was faster


def channel_id_of(core: Core, channel: Channel | str | None, call: Call, argument: str = "channel") -> str | None:
    """Return the id of a channel, given as itself or as its id; refuse all else in the name of this call."""
    if channel is None:
        return None
    wanted = "a Channel, or the id of one"
    is_channel = issubclass(type(channel), Channel)  # or of a hub that follows
    channel_id = cast(Channel, channel).id if is_channel else call.id(argument, channel, wanted=wanted)
    core.acting.check_channel(channel_id)
    return channel_id
