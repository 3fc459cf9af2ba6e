"""``hubwire import``: recorded conversations become channels, envelopes and tool calls of a hub.

Every event carries where it comes from: ``source`` is the file's name and the digest of its content, ``source_id`` is
``<conversation>/<message>/<part>``. The parts of a conversation are committed one after the other, so the journal
always holds a beginning of it: a rerun finds the last part there, and goes on with the next.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import anyio
import attrs
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hubwire.listeners.audit import AuditLog
from hubwire.stores import open_store

from .. import Agent, Channel, Hub
from ..events import ToolCalled, ToolCompleted, ToolFailed
from .failures import CommandFailed
from .importer import EVENT_BYTES_MAX, BadItem, Call, Conversation, Envelope, Part, Result, parse
from .output import complain, is_terminal, plural, say
from .resume import Resume, find_resume
from .source import InputUnreadable, Source, open_source

__all__ = ("Counts", "ImportRefused", "import_file")

_AT_A_TIME = 256
"""How many conversations are imported at once: they share the syncs of one batch."""

_COMPLAINTS_MAX = 10
_PROGRESS_SECONDS = 0.1


class ImportRefused(CommandFailed):
    """The input has bad items, so none of it was imported."""


@attrs.define
class Counts:
    """The numbers of channels and of their parts in the input."""

    channels: int = 0
    envelopes: int = 0
    calls: int = 0
    completed: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def parts(self) -> int:
        return self.channels + self.envelopes + self.calls + self.completed + self.failed

    def add(self, conversation: Conversation) -> None:
        self.channels += 1
        for part in conversation.parts:
            match part:
                case Envelope():
                    self.envelopes += 1
                case Call():
                    self.calls += 1
                case Result(failed=True):
                    self.failed += 1
                case Result():
                    self.completed += 1

    def summary(self) -> str:
        return (
            f"{plural(self.channels, 'channel')}, {plural(self.envelopes, 'envelope')},"
            f" {plural(self.calls, 'tool call')}, {self.completed:,} completed, {self.failed:,} failed"
        )


def import_file(path: str, store_url: str, *, skip_bad: bool, messages_key: str | None) -> None:
    """Check the whole input, import it, and print how much it held.

    Raises :class:`ImportRefused` before the import begins, if items are bad and not to be skipped.
    """
    began = time.monotonic()
    with open_source(path) as source:
        counts = _check(source, skip_bad=skip_bad, messages_key=messages_key)
        there = anyio.run(_import, source, counts, store_url, messages_key)
    skipped = f"; {plural(counts.skipped, 'bad item')} skipped" if counts.skipped else ""
    seconds = time.monotonic() - began
    say(f"{counts.summary()}; {there:,} of these {counts.parts:,} were already there{skipped} ({seconds:.1f} s)")


def _check(source: Source, *, skip_bad: bool, messages_key: str | None) -> Counts:
    """Count the parts of the input, and report every bad item."""
    counts = Counts()
    for item in source.items():
        try:
            counts.add(parse(item, messages_key=messages_key))
        except BadItem as error:
            counts.skipped += 1
            if skip_bad or counts.skipped <= _COMPLAINTS_MAX:
                complain(f"{source.name}, {error}")
    if counts.skipped and not skip_bad:
        items = plural(counts.skipped, "bad item")
        raise ImportRefused(f"{source.name} has {items}: none of it was imported; correct it, or use --skip-bad")
    return counts


def _conversations(source: Source, messages_key: str | None) -> Iterator[Conversation]:
    """Iterate over the good conversations; the bad ones were reported by the check before."""
    digest = source.digest
    for item in source.items():
        try:
            conversation = parse(item, messages_key=messages_key)
        except BadItem:
            continue
        yield conversation
    if source.digest != digest:
        raise InputUnreadable(f"{source.name} was changed while it was imported; import it again")


async def _import(source: Source, counts: Counts, store_url: str, messages_key: str | None) -> int:
    """Import the parts that are not in the journal yet; return how many were there."""
    store = open_store(store_url)
    try:
        async with Hub(store, listeners=[AuditLog(store)], event_bytes_max=EVENT_BYTES_MAX) as hub:
            importing = _Import(hub, source.name, f"{source.name} sha256:{source.digest}")
            importing.resume = await find_resume(hub, importing.source)
            there = importing.done = importing.resume.parts
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_show_progress, importing, counts.parts)
                await importing.run(_conversations(source, messages_key))
                tasks.cancel_scope.cancel()
    finally:
        await store.aclose()
    return there


class _Import:
    """One run of an import."""

    def __init__(self, hub: Hub, name: str, source: str) -> None:
        self.source = source
        self.resume = Resume()
        self.done = 0
        """How many channels, envelopes, calls and results are committed."""
        self._hub = hub
        self._name = name
        self._agents: dict[str, Agent] = {}
        self._slots = anyio.Semaphore(_AT_A_TIME)

    async def run(self, conversations: Iterator[Conversation]) -> None:
        async with anyio.create_task_group() as tasks:
            for conversation in conversations:
                if self.resume.is_complete(conversation.number):
                    continue
                for role in conversation.roles:
                    await self._register(role)
                await self._slots.acquire()
                tasks.start_soon(self._import, conversation)

    async def _register(self, role: str) -> None:
        """Find or register the agent for a role of this input: one for all its conversations, and for a rerun."""
        if role not in self._agents:
            name = f"{role}@{self._name}"
            agent = self._hub.agents.find(name)
            self._agents[role] = agent or await self._hub.agents.register(
                name, source=self.source, source_id=f"-/-/{role}"
            )

    async def _import(self, conversation: Conversation) -> None:
        try:
            number = conversation.number
            channel = await self._open(conversation)
            for part in self.resume.rest(conversation):
                await self._put(channel, part, f"{number}/{part.id}")
                self.done += 1
            await channel.close(source=self.source, source_id=f"{number}/-/closed")
        finally:
            self._slots.release()

    async def _open(self, conversation: Conversation) -> Channel:
        place = self.resume.place(conversation.number)
        if place is not None:
            return self._hub.channels.get(place.channel_id)
        channel = await self._hub.channels.open(
            [self._agents[role] for role in conversation.roles],
            topic=f"#{conversation.number} {self._name}",
            source=self.source,
            source_id=f"{conversation.number}/-/opened",
        )
        self.done += 1
        return channel

    async def _put(self, channel: Channel, part: Part, source_id: str) -> None:
        # No agent is to read these again, so they have no recipients: the inboxes stay empty.
        if isinstance(part, Envelope):
            agent = self._agents[part.role]
            await channel.post(agent, part.content, to=(), source=self.source, source_id=source_id)
            return
        about: dict[str, Any] = {
            "source": self.source,
            "source_id": source_id,
            "agent_id": self._agents["assistant"].id,
            "channel_id": channel.id,
            "tool": part.tool,
            "call_id": part.call_id,
        }
        if isinstance(part, Call):
            await self._hub.emit(ToolCalled(**about, arguments=part.arguments))
        elif part.failed:
            await self._hub.emit(ToolFailed(**about, error_type="Error", error_message=str(part.content)))
        else:
            await self._hub.emit(ToolCompleted(**about, result=part.content))


async def _show_progress(importing: _Import, total: int) -> None:
    """Show the progress on a terminal, until cancelled."""
    if not is_terminal(sys.stderr):
        return
    columns = (TextColumn("importing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        while True:
            bar.update(task, completed=importing.done)
            await anyio.sleep(_PROGRESS_SECONDS)
