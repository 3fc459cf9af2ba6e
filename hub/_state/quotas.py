"""How many open channels an agent has created: the number that its limit is checked against when the hub decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import attrs

from .._values import Value
from ..errors import CommandRejected
from ..events import ChannelClosed, ChannelCreated, ChannelExpired, Event

__all__ = ("ChannelCreator", "Quotas")


@attrs.frozen(eq=False, repr=False)
class ChannelCreator(Value):
    """The creator of a channel that is not closed."""

    channel_id: str
    agent_id: str


class Quotas:
    """The open channels, counted by creator."""

    entry_types: ClassVar[tuple[type, ...]] = (ChannelCreator,)

    def __init__(self) -> None:
        self._creators: dict[str, ChannelCreator] = {}
        self._channels: dict[str, int] = {}

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        return {ChannelCreated: self._created, ChannelClosed: self._ended, ChannelExpired: self._ended}

    def snapshot(self) -> Sequence[ChannelCreator]:
        return tuple(self._creators.values())

    def restore(self, entries: Sequence[ChannelCreator]) -> None:
        for entry in entries:
            self._remember(entry)

    def channels(self, creator_id: str) -> int:
        return self._channels.get(creator_id, 0)

    def checked(self, events: list[Event], channels_max: int | None, label: Callable[[str], str]) -> list[Event]:
        """Return the events of opening a channel; raise if its creator has as many open as it may have.

        ``label`` returns how messages name an agent.
        """
        creator_id = events[0].agent_id or ""
        if channels_max is not None and self.channels(creator_id) >= channels_max:
            raise CommandRejected(
                f"{label(creator_id)} has {self.channels(creator_id)} channels open, and {channels_max} are allowed;"
                " close one first"
            )
        return events

    def _created(self, event: ChannelCreated) -> None:
        assert event.channel_id is not None
        assert event.agent_id is not None
        self._remember(ChannelCreator(event.channel_id, event.agent_id))

    def _remember(self, entry: ChannelCreator) -> None:
        self._creators[entry.channel_id] = entry
        self._channels[entry.agent_id] = self.channels(entry.agent_id) + 1

    def _ended(self, event: ChannelClosed | ChannelExpired) -> None:
        creator_id = self._creators.pop(event.channel_id or "").agent_id
        self._channels[creator_id] -= 1
        if not self._channels[creator_id]:
            del self._channels[creator_id]
