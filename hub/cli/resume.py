"""How much of an input is in a hub's journal already, so that a rerun goes on from there."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from .. import Hub
from ..events import ChannelClosed, ChannelOpened, Event
from .failures import CommandFailed
from .importer import Conversation, Part

__all__ = ("Place", "Resume", "SourceDiffers", "find_resume")


class SourceDiffers(CommandFailed):
    """The journal has parts of this input that the input does not have."""


@attrs.define
class Place:
    """How far a conversation got."""

    channel_id: str
    last_part: str | None = None
    """``<message>/<part>`` of the last part that is there."""


class Resume:
    """How far every conversation got. Of complete ones it keeps only the number."""

    def __init__(self) -> None:
        self.parts: int = 0
        """How many channels, envelopes, calls and results are there."""
        self._places: dict[int, Place] = {}
        self._complete: set[int] = set()

    def add(self, event: Event) -> None:
        """Take in the next event of this source."""
        conversation, _, part = (event.source_id or "").partition("/")
        if not conversation.isdecimal():
            return
        number = int(conversation)
        if isinstance(event, ChannelOpened):
            # A channel that was created and not opened was cut short by a crash, and the hub has closed it since.
            self._places[number] = Place(event.channel_id or "")
            self.parts += 1
        elif isinstance(event, ChannelClosed):
            self._places.pop(number, None)
            self._complete.add(number)
        elif (place := self._places.get(number)) is not None:
            place.last_part = part
            self.parts += 1

    def is_complete(self, number: int) -> bool:
        return number in self._complete

    def place(self, number: int) -> Place | None:
        return self._places.get(number)

    def rest(self, conversation: Conversation) -> Sequence[Part]:
        """Return the parts that are not there."""
        place = self._places.get(conversation.number)
        if place is None or place.last_part is None:
            return conversation.parts
        for index, part in enumerate(conversation.parts):
            if part.id == place.last_part:
                return conversation.parts[index + 1 :]
        raise SourceDiffers(
            f"conversation {conversation.number} has no part {place.last_part}, but the journal has: was it imported"
            " with another --messages-key? Import it into another store"
        )


async def find_resume(hub: Hub, source: str) -> Resume:
    """Read the hub's history, and return how far the import of ``source`` got."""
    resume = Resume()
    last = hub.statistics().committed - 1
    async for event in hub.events(after=-1):
        if event.source == source:
            resume.add(event)
        if event.seq >= last:
            break
    return resume
