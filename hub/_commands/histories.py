"""The history of a channel: what was said in it, for people, and shaped for a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, overload

import attrs

from .._foreign.arguments import Call
from .._state import State
from .._state.channels import ChannelEntry
from .._state.memories import KINDS
from .._values import Value
from ..errors import CommandRejected
from ..events import EnvelopePosted, Event, ToolCalled, ToolCompleted, ToolFailed
from ..events._shown import is_a
from ..patterns import Patterns
from .recall import Recall

__all__ = ("ChannelEnding", "Histories", "History", "HistoryEntry")

LIMIT_MAX = 10_000
"""How many entries one call returns at most."""

_BATCH = 128


@attrs.frozen(kw_only=True, eq=False, repr=False)
class HistoryEntry(Value):
    """What happened in a channel: a post, mostly."""

    event: Event
    """The fact itself; of a post, an ``envelope.posted`` with its content and its recipients."""
    name: str = ""
    """The name of the agent that has done it; its id if it has left the hub, and empty for the hub itself."""
    role: str = ""
    """The role of that agent in the channel."""

    @property
    def seq(self) -> int:
        return self.event.seq

    @property
    def at(self) -> str:
        return self.event.at

    @property
    def kind(self) -> str:
        return self.event.kind

    @property
    def agent_id(self) -> str | None:
        return self.event.agent_id

    @property
    def content(self) -> Any:
        """What was posted; None for all that is no post."""
        return self.event.content if isinstance(self.event, EnvelopePosted) else None


@attrs.frozen(kw_only=True, eq=False, repr=False)
class History(Value, Sequence[HistoryEntry]):
    """A part of a channel's history, the oldest entry first: a sequence of entries, and what it has not."""

    entries: tuple[HistoryEntry, ...]
    before: int | None
    """What to give as ``before`` for the entries that come before these; None if there are none."""
    missing: int = 0
    """How many events of this part are kept no more, so that it has them not."""

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[HistoryEntry]:
        return iter(self.entries)

    @overload
    def __getitem__(self, index: int) -> HistoryEntry: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[HistoryEntry]: ...
    def __getitem__(self, index: int | slice) -> HistoryEntry | Sequence[HistoryEntry]:
        return self.entries[index]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ChannelEnding(Value):
    """How a channel has ended."""

    how: str
    """``closed`` or ``expired``."""
    reason: str
    result: Any = None
    """What its type says that it has led to: of an auction ``{"winner": id, "bid": n}``."""
    seq: int
    at: str

    @property
    def winner(self) -> str | None:
        """The id of the agent that has won it, where the result names one."""
        winner = self.result.get("winner") if isinstance(self.result, Mapping) else None
        return winner if isinstance(winner, str) else None


class Histories:
    """Reads the histories of channels."""

    def __init__(self, state: State, recall: Recall) -> None:
        self._state = state
        self._recall = recall

    async def read(
        self,
        call: Call,
        channel: ChannelEntry,
        *,
        limit: Any,
        before: Any,
        kinds: Any,
        agent_id: str | None,
    ) -> History:
        """Return the newest entries below ``before``, all that an agent may see."""
        limit = call.whole("limit", limit, least=1, most=LIMIT_MAX)
        before = call.whole("before", before, is_optional=True)
        wanted = _kinds(call, kinds)
        memories, channel_id = self._state.memories, channel.channel_id
        since = 0
        if agent_id is not None:
            self._check_takes_part(channel, agent_id)
            since = memories.joined_seq(channel_id, agent_id)
        end = self._recall.end if before is None else min(before, self._recall.end)
        seqs = memories.seqs(channel_id, wanted, end)
        found: list[Event] = []
        missing, is_over = 0, False
        while len(found) < limit and not is_over:
            batch = list(islice(seqs, min(_BATCH, limit - len(found))))
            is_over = not batch or batch[-1] < since
            batch = [seq for seq in batch if seq >= since]
            events = await self._recall.events(batch, key=channel_id)
            missing += len(batch) - len(events)
            found += [event for seq in batch if (event := events.get(seq)) and _sees(agent_id, event)]
        earlier = None if is_over or not found else next((seq for seq in seqs if seq >= since), None)
        if earlier is None and since == 0:
            missing += memories.forgotten(channel_id)
        entries = tuple(self._entry(channel, event) for event in reversed(found))
        return History(entries=entries, before=None if earlier is None else entries[0].seq, missing=missing)

    def _check_takes_part(self, channel: ChannelEntry, agent_id: str) -> None:
        if agent_id not in channel.participants:
            agents = self._state.agents
            agents.get(agent_id)  # a name that was misspelt is refused as everywhere
            raise CommandRejected(
                f"{agents.label(agent_id)} is not a participant of channel {channel.channel_id}, and may not read its"
                " history"
            )

    def _entry(self, channel: ChannelEntry, event: Event) -> HistoryEntry:
        agent_id = event.agent_id or ""
        known = self._state.agents.known(agent_id)
        return HistoryEntry(
            event=event, name=agent_id if known is None else known.name, role=channel.roles.get(agent_id, "")
        )


def _kinds(call: Call, kinds: Any) -> frozenset[type[Event]]:
    """Return the kinds of events that patterns match; by default posts."""
    if kinds is None:
        return frozenset({EnvelopePosted})
    given = (kinds,) if is_a(kinds, str) else call.items("kinds", kinds, of="patterns of kinds", most=100)
    patterns = Patterns([call.text("each of kinds", each) for each in given])
    return frozenset(kind for kind in KINDS if patterns.matches(kind.kind))


def _sees(agent_id: str | None, event: Event) -> bool:
    """Return whether an agent may see an event: a post to all, or to it, or of its own, and who came and went.

    What another agent calls tools with is its own.
    """
    if agent_id is None or event.agent_id == agent_id:
        return True
    if not isinstance(event, EnvelopePosted):
        return not isinstance(event, ToolCalled | ToolCompleted | ToolFailed)
    if event.is_notice:
        return agent_id in event.recipients
    return event.audience is None or agent_id in event.audience or event.answers == agent_id
