"""The start of a hub: from the journal to the moment at which it takes commands. One that has followed goes on here."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

from anyio.abc import TaskGroup

from ._commands import new_id
from ._commit.own_thread import in_own_thread
from ._commit.phase import Phase
from ._commit.repair import repair
from ._delivery.first_failure import prepare
from ._parts import Parts
from ._version import installed_version
from .context import EMPTY
from .errors import JournalBehind
from .events import HubStarted

if TYPE_CHECKING:
    from ._following import Following

__all__ = ("lead", "start")

_YIELD_EVERY = 256


async def start(parts: Parts, tasks: TaskGroup) -> None:
    """Take possession of the journal, recover, and begin to take commands."""
    await _number(parts, tasks)
    parts.fanout.go()
    await _open(parts, tasks)


async def lead(parts: Parts, tasks: TaskGroup, following: Following) -> None:
    """Go on from what was followed, in a journal that is open: apply the last events, and begin to take commands."""
    fanout, pipeline = parts.fanout, parts.pipeline
    await following.catch_up()
    pipeline.ingress.hub_id = pipeline.hub_id or new_id()
    pipeline.ingress.time.resume()
    tasks.start_soon(pipeline.run_journal)
    fanout.announce_followers()
    await fanout.start(tasks)
    for attachment in fanout.attachments:
        if attachment.is_durable and isinstance(attachment.failure, JournalBehind):
            raise attachment.failure
    await _open(parts, tasks)


async def _open(parts: Parts, tasks: TaskGroup) -> None:
    """Put the hub's first event, and begin to take commands; the listeners are entered."""
    pipeline, fanout = parts.pipeline, parts.fanout
    if parts.upkeep is not None:
        tasks.start_soon(parts.upkeep.keep_positions)
        tasks.start_soon(parts.upkeep.keep_journal)
        tasks.start_soon(parts.upkeep.keep_room)
    if pipeline.possession is not None:
        tasks.start_soon(pipeline.possession.watch)
    for attachment in tuple(fanout.attachments):
        if attachment.is_required:
            await attachment.ready()
    version = await in_own_thread(installed_version)  # it reads files, once
    started = HubStarted(version=version, pid=os.getpid(), host=socket.gethostname())
    pipeline.put([started], EMPTY)
    await repair(parts.state, pipeline, parts.set_aside)
    await pipeline.until_committed(pipeline.ring.applied.value - 1)
    if parts.upkeep is not None:
        await parts.upkeep.settle()
    pipeline.lifecycle.check_not_failed()
    fanout.announcements.start(tasks)
    pipeline.lifecycle.move(Phase.OPEN)
    tasks.start_soon(parts.timers.run)
    tasks.start_soon(parts.verdicts.run)
    tasks.start_soon(parts.violation_handlers.run)
    tasks.start_soon(parts.denials.run)
    parts.actors.start(tasks)
    parts.feeds.start(tasks)
    if parts.journal is not None:
        tasks.start_soon(fanout.letters.run)
        tasks.start_soon(prepare)


async def _number(parts: Parts, tasks: TaskGroup) -> None:
    """Enter the listeners and recover the state; from then on it is known which ``seq`` comes next."""
    pipeline, journal = parts.pipeline, parts.journal
    parts.pulse.start()  # first, because guests are called during a start
    if journal is not None:
        await journal.open()
    await parts.fanout.start(tasks)
    hub_id = (journal and journal.hub_id) or parts.fanout.known_hub_id() or new_id()
    pipeline.ingress.hub_id = hub_id
    next_seq = parts.fanout.highest_position() + 1
    if journal is not None and parts.upkeep is not None:
        async for event in parts.upkeep.restore(parts.fanout.marks(journal)):
            pipeline.replay(event)
            if event.seq % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        next_seq = journal.next_seq
        tasks.start_soon(pipeline.run_journal)
    pipeline.ingress.time.resume()
    pipeline.ring.start_at(next_seq)
