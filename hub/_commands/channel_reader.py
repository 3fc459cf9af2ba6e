"""What can be read of a channel, while it is there and after: its facts, what was said in it, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from .._foreign.arguments import Call
from .._state import State
from .._state.channels import ChannelEntry, ChannelState
from .._state.guests import ask_agents
from .._values import Shown
from ..errors import CommandRejected
from ..events import ChannelClosed, ChannelExpired, Event
from .agents import Agent, actor_of
from .core import Core
from .histories import LIMIT_MAX, ChannelEnding, Histories, History
from .views import KINDS, messages_of

__all__ = ("ChannelReader",)

_HISTORY = Call("channel.history()")
_VIEW = Call("channel.view()")


@attrs.frozen(eq=False, repr=False)
class ChannelReader(Shown):
    """The part of a :class:`hubwire.Channel` that only reads."""

    _core: Core = attrs.field(repr=False)
    _state: State = attrs.field(repr=False)
    id: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ChannelReader) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def is_open(self) -> bool:
        """Whether it takes envelopes now."""
        try:
            return self._entry.state is ChannelState.ACTIVE
        except CommandRejected:
            return False

    @property
    def participants(self) -> tuple[str, ...]:
        """The ids of the agents that take part."""
        return self._facts.participants

    @property
    def hidden(self) -> tuple[str, ...]:
        """The ids of the participants that may not post and have no turn, until they are shown again."""
        return self._facts.hidden

    @property
    def topic(self) -> str:
        return self._facts.topic

    @property
    def labels(self) -> Mapping[str, str]:
        return self._facts.labels

    @property
    def roles(self) -> Mapping[str, str]:
        """The roles of the participants, by their ids."""
        return self._facts.roles

    @property
    def expected(self) -> tuple[str, ...] | None:
        """The ids of the participants that may post now, by the channel's type; None: all of them."""
        entry, types = self._facts, self._state.channel_types
        if self._state.memories.ended(self.id) is not None:
            return ()
        channel_type = types.get(entry.type, entry.version)
        return ask_agents(channel_type.expected, entry.manifest(), entry.channel_state)

    @property
    def type(self) -> str:
        """The name of its type."""
        return self._facts.type

    @property
    def state(self) -> Any:
        """What its type keeps of it, frozen: an auction's best bid, whose turn it is in a workflow; None without any.

        :mod:`hubwire.channel_types` says of each type what is in it.
        """
        return self._facts.channel_state

    @property
    def _facts(self) -> ChannelEntry:
        ended = self._state.memories.ended(self.id)
        return self._entry if ended is None else ended.channel

    @property
    def _entry(self) -> ChannelEntry:
        return self._state.channels.get(self.id)

    def _reader(self, agent: Agent | str | None, call: Call) -> str | None:
        """Return the agent that the channel is read as: None, by the program's own code, for all of it."""
        return self._core.acting.agent_id if agent is None else actor_of(self._core, agent, call)

    async def history(
        self,
        *,
        limit: int = 100,
        before: int | None = None,
        kinds: str | Iterable[str] | None = None,
        agent: Agent | str | None = None,
    ) -> History:
        """Return what was said in the channel: its newest ``limit`` entries, the oldest of them first.

        ``before``: only what comes before this ``seq``; that of the result leads to the part before it. ``kinds``:
        patterns of kinds of events, by default ``envelope.posted`` alone; a history also has who came and went, what
        the channel's tasks and violated expectations were, and tool calls that name the channel.

        ``agent``: a participant, for what that may see, whenever it came: what was posted to all, what was posted to
        it, and its own, of tool calls only these; with ``history="since_joined"`` of the channel none from before it
        came. Without one, all.

        Only what is committed is in it. It goes back as far as the places of the million newest events of all channels
        and ``history_bytes_max`` of :class:`~hubwire.Limits` allow, also where the journal was truncated; the
        result counts as ``missing`` what it would have and has not. It outlives the channel as its properties do.

        Raises :class:`~hubwire.errors.CommandRejected` if the agent takes no part,
        :class:`~hubwire.errors.NotFound` if the channel is not remembered, and :class:`~hubwire.errors.LogDamaged` if
        what was kept of it is damaged.
        """
        agent_id = self._reader(agent, _HISTORY)
        return await Histories(self._state, self._core.recall).read(
            _HISTORY, self._facts, limit=limit, before=before, kinds=kinds, agent_id=agent_id
        )

    async def view(
        self,
        *,
        agent: Agent | str | None = None,
        limit: int = 50,
        bytes_max: int = 32_768,
        before: int | None = None,
        expand: Iterable[int] = (),
    ) -> Sequence[dict[str, Any]]:
        """Return the channel's history as a model takes it: a list of messages, the oldest first.

        Each is ``{"role", "name", "content", "seq"}``: the posts of ``agent`` are the ``assistant``'s, those of others
        the ``user``'s, notices the ``system``'s; ``content`` is text, a JSON text where a content is none. Tool calls
        between two posts are one line of role ``tool``. What is folded so, or cut because it is long, says
        ``"is_folded": True``, and is whole in a view with its ``seq`` in ``expand``.

        ``limit``: how many entries are looked at. ``bytes_max``: how long all contents are together; the newest count,
        and a first message of the ``system`` says how to read on. Agents see, and errors are, as for :meth:`history`.
        """
        agent_id = self._reader(agent, _VIEW)
        bytes_max = _VIEW.whole("bytes_max", bytes_max, least=1)
        expanded = frozenset(
            _VIEW.whole("each of expand", each) for each in _VIEW.items("expand", expand, of="numbers", most=LIMIT_MAX)
        )
        history = await Histories(self._state, self._core.recall).read(
            _VIEW, self._facts, limit=limit, before=before, kinds=KINDS, agent_id=agent_id
        )
        return messages_of(history, agent_id=agent_id, bytes_max=bytes_max, expand=expanded)

    async def ended(self) -> ChannelEnding:
        """Wait for the channel's end; return how it ended: the reason, and the winner where there is one.

        It returns when the end has committed, at once if it has. Raises :class:`~hubwire.errors.NotFound` if it ended
        so long ago that it is not remembered, and :class:`~hubwire.errors.HubClosed`, or what the hub failed with, if
        the hub ends before.
        """
        ended: ChannelEnding | None = self._ending()
        while ended is None:
            self._core.check_may_wait("the end of a channel")
            ended = _ending_of(await self._core.next_transition_of(self.id))
        await self._core.until_committed(ended.seq)
        return ended

    def _ending(self) -> ChannelEnding | None:
        ended = self._state.memories.ended(self.id)
        if ended is None:
            self._entry  # noqa: B018 - it raises, if the channel is not remembered
            return None
        return ChannelEnding(how=ended.how, reason=ended.reason, result=ended.result, seq=ended.seq, at=ended.at)


def _ending_of(event: Event) -> ChannelEnding | None:
    if not isinstance(event, ChannelClosed | ChannelExpired):
        return None
    how = "closed" if isinstance(event, ChannelClosed) else "expired"
    return ChannelEnding(how=how, reason=event.reason, result=event.result, seq=event.seq, at=event.at)
