"""Conversations are put into a hub: a channel each, with all that was said and done in it.

The parts of a conversation are on their way at once, in their order: a post is decided where it begins, so the journal
always holds a beginning of it. The channel is closed when all of them are committed; until then a rerun finds which
are missing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import anyio
from anyio import to_thread

from ... import Agent, Channel, Hub
from ...events import Event
from .conversation import Conversation, Envelope, Fact, Part, Speaker
from .known import Known, Place, source_id_of

__all__ = ("Writing",)

T = TypeVar("T")

_READ_AHEAD = 32
_AT_A_TIME = 256
"""How many conversations are imported at once: they share the syncs of one batch."""
_ON_THE_WAY = 960
"""How many parts are on the way at once: fewer than the hub admits, so that none of them waits and is overtaken."""
_WAVE = 480
"""So many parts of one conversation are put together, and share a sync or two; one by one, each would have its own."""


class Writing:
    """One run of an import."""

    def __init__(self, hub: Hub, source: str, known: Known) -> None:
        self.done: int = 0
        """How many channels and parts are committed."""
        self.there: int = 0
        """How many of them were there before."""
        self.grown: int = 0
        """How many conversations go on that were there before."""
        self._hub = hub
        self._source = source
        self._known = known
        self._agents: dict[Speaker, Agent] = {}
        self._conversations = anyio.Semaphore(_AT_A_TIME)
        self._parts = anyio.Semaphore(_ON_THE_WAY, fast_acquire=True)

    async def run(self, conversations: Iterator[tuple[str, Conversation, str]]) -> None:
        """Import conversations, each with its item and its topic, but for what is there."""
        async with anyio.create_task_group() as tasks:
            async for item, conversation, topic in _read(conversations):
                place = self._known.find(item) or Place(item)
                self._count(place, conversation)
                if place.is_complete or (not conversation.has_channel and place.count == len(conversation.parts)):
                    continue
                for speaker in conversation.speakers:
                    await self._register(speaker)
                await self._conversations.acquire()
                tasks.start_soon(self._import, conversation, topic, place)

    def _count(self, place: Place, conversation: Conversation) -> None:
        """Count what is there of a conversation: its own parts, and those in the channel that it continues."""
        before = sum(1 for part in conversation.parts if 0 <= part.message < place.begins)
        self.there += place.count + before
        self.done += place.count + before

    async def _register(self, speaker: Speaker) -> None:
        """Find or register the agent of a speaker: one for all conversations of an input, and for a rerun."""
        if speaker not in self._agents:
            name = f"{self._source}/{speaker}"
            agent = self._hub.agents.find(name)
            self._agents[speaker] = agent or await self._hub.agents.register(
                name, source=self._source, source_id=f"-/-/{speaker}"
            )

    async def _import(self, conversation: Conversation, topic: str, place: Place) -> None:
        try:
            if not conversation.has_channel:
                await self._put_all(place.item, None, place.rest(conversation))
                return
            channel = await self._open(conversation, topic, place)
            await self._finish(channel, conversation, place)
        finally:
            self._conversations.release()

    async def _open(self, conversation: Conversation, topic: str, place: Place) -> Channel:
        """Return the channel of a conversation, opened now or before."""
        if place.is_opened:
            return self._hub.channels.get(place.channel_id or "")
        labels = dict(conversation.labels)
        before = self._known.grown_from(conversation, self._source)
        if before is not None:
            if not before.is_complete:
                await self._finish(self._hub.channels.get(before.channel_id or ""), conversation, before)
            labels["continues"], place.begins = before.channel_id or "", before.length
            self.grown += 1
            self._count(Place(place.item, begins=before.length), conversation)
        chain = conversation.chain
        channel = await self._hub.channels.open(
            [self._agents[speaker] for speaker in conversation.speakers],
            topic=topic,
            labels=labels,
            source=self._source,
            source_id=source_id_of(place.item, f"{len(chain)}-{chain[-1]}-{place.begins}/opened"),
            occurred_at=conversation.occurred_at,
        )
        self.done += 1
        return channel

    async def _finish(self, channel: Channel, conversation: Conversation, place: Place) -> None:
        """Put what is missing in a channel, and close it."""
        await self._put_all(place.item, channel, place.rest(conversation))
        await channel.close(source=self._source, source_id=source_id_of(place.item, "-/closed"))

    async def _put_all(self, item: str, channel: Channel | None, parts: Sequence[Part]) -> None:
        for wave in _waves(parts):
            async with anyio.create_task_group() as tasks:
                for part in wave:
                    await self._parts.acquire()
                    tasks.start_soon(self._put, item, channel, part)

    async def _put(self, item: str, channel: Channel | None, part: Part) -> None:
        try:
            about: dict[str, Any] = {"source": self._source, "source_id": source_id_of(item, part.id)}
            about["occurred_at"] = part.occurred_at
            if isinstance(part, Envelope):
                assert channel is not None, "an envelope is said in a channel"
                # No agent is to read these again, so they have no recipients: the inboxes stay empty.
                await channel.post(self._agents[part.speaker], part.content, to=(), **about)
            else:
                await self._hub.emit(self._event(part, channel, about))
            self.done += 1
        finally:
            self._parts.release()

    def _event(self, fact: Fact, channel: Channel | None, about: dict[str, Any]) -> Event:
        if channel is not None:
            about["channel_id"] = channel.id
        if fact.speaker is not None:
            about["agent_id"] = self._agents[fact.speaker].id
        if fact.metadata:
            about["metadata"] = fact.metadata
        return fact.kind(**about, **fact.fields)


async def _read(conversations: Iterator[T]) -> AsyncIterator[T]:
    """Iterate over conversations that are parsed meanwhile, without a wait of the loop for a long one."""
    while some := await to_thread.run_sync(lambda: list(islice(conversations, _READ_AHEAD))):
        for each in some:
            yield each


def _waves(parts: Sequence[Part]) -> Iterator[Sequence[Part]]:
    return (parts[at : at + _WAVE] for at in range(0, len(parts), _WAVE))
