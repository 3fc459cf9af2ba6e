"""One program of three that run one hub: it follows, stands by, and carries out what it reads from its standard input.

Each line that it writes is an object of JSON: what became of a post, what it has seen, and what it has made sure of.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from hubwire import Duty, GenericEvent, Hub, InboxOverflow, InboxRule
from hubwire.errors import ForwardingFailed, HubError
from hubwire.standby import leading
from hubwire.stores import open_store
from hubwire.stores.jetstream import JetStreamJournal, JetStreamLink

from .bugs import BUGS

SECONDS = 2.0
GRACE_SECONDS = 0.8


def say(what: str, **fields: Any) -> None:
    """Write a line, whole: what was not read before a kill was not said."""
    os.write(1, json.dumps({"what": what, **fields}).encode() + b"\n")


class Sure:
    """A required listener: no event is committed before it has returned."""

    name = "sure"
    duty = Duty.REQUIRED

    async def on_events(self, events: Sequence[Any]) -> None:
        say("sure", seqs=[event.seq for event in events], at=time.time())


class Screen:
    """A dashboard's place: it is called where it is attached, on a hub that follows, too."""

    name = "screen"
    duty = Duty.BEST_EFFORT

    async def on_events(self, events: Sequence[Any]) -> None:
        say("screen", events=[(event.seq, event.id) for event in events])


async def watch(hub: Hub) -> None:
    """Say each event that can be seen here, and when."""
    async for event in hub.events():
        say("saw", seq=event.seq, id=event.id, at=time.time())


async def post(hub: Hub, order: dict[str, Any]) -> None:
    """Post a message, and say what came of it: whether it has happened is told, is not known, or it has not."""
    try:
        agent = hub.agents.named(f"producer-{order['producer']}")
        channel = hub.channels.get(order["channel"])
        posted = await channel.post(agent, {"producer": order["producer"], "number": order["number"]})
    except ForwardingFailed as error:
        say("failed", order=order["order"], may=error.may_have_happened, why=str(error)[:200])
    except (HubError, LookupError, RuntimeError) as error:
        say("failed", order=order["order"], may=True, why=f"{type(error).__name__}: {error}"[:200])
    else:
        say("acked", order=order["order"], seq=posted.seq, leads=hub.is_leading)


async def set_up(hub: Hub, order: dict[str, Any]) -> None:
    """Register the producers, open a channel for each, and as many more as are wanted."""
    rule = {"inbox": InboxRule(overflow=InboxOverflow.DROP_OLDEST)}
    sink = await hub.agents.register("sink", rule=rule)
    channels = []
    for number in range(order["producers"]):
        agent = await hub.agents.register(f"producer-{number}")
        channels.append((await hub.channels.open([agent, sink], ttl_seconds=None)).id)
    say("acked", order=order["order"], seq=-1, channels=channels)


async def fill(hub: Hub, order: dict[str, Any]) -> None:
    """Open channels, and emit events."""
    agents = [await hub.agents.register(f"member-{number}") for number in range(2)]
    for _ in range(order["channels"]):
        await hub.channels.open(agents, ttl_seconds=None)
    for number in range(0, order["fill"], 500):
        async with asyncio.TaskGroup() as tasks:
            for each in range(500):
                tasks.create_task(hub.emit(GenericEvent(kind="work.done", data={"number": number + each})))
    say("acked", order=order["order"], seq=-1)


async def orders(hub: Hub) -> None:
    """Carry out what is read, each in a task of its own."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with asyncio.TaskGroup() as tasks:
        while line := await reader.readline():
            order = json.loads(line)
            work = set_up if "producers" in order else fill if "fill" in order else post
            tasks.create_task(work(hub, order))


async def main(given: argparse.Namespace) -> None:
    """Run the hub until it ends, or SIGTERM comes."""
    journal = JetStreamJournal(
        given.servers, given.name, store=open_store(given.folder), assert_sync_always=True, path="/chaos"
    )
    hub = Hub(journal=journal, listeners=[Sure(), Screen()], snapshot_bytes=given.snapshot_bytes)
    hub.connect(JetStreamLink(given.servers, given.name))
    lease = leading(
        journal.lease(),
        hub=None if given.is_cold else hub,
        name=given.node,
        seconds=SECONDS,
        grace_seconds=GRACE_SECONDS,
    )
    running, loop, tasks = asyncio.current_task(), asyncio.get_running_loop(), set[asyncio.Task[None]]()
    assert running is not None
    loop.add_signal_handler(signal.SIGTERM, running.cancel)

    try:
        if not given.is_cold:
            await hub.follow()
        say("follows")
        async with AsyncExitStack() as stack:
            if not given.is_cold:
                tasks.update(loop.create_task(each(hub)) for each in (watch, orders))
            await stack.enter_async_context(lease)
            took_at = time.time()
            if given.is_cold:
                await stack.enter_async_context(hub)
                tasks.add(loop.create_task(orders(hub)))
            say("leads", epoch=journal.epoch, at=time.time(), took_at=took_at)
            failure = await hub.finished()
            say("ended", why=f"{type(failure).__name__}: {failure}"[:300])
    except asyncio.CancelledError:
        say("ended", why="SIGTERM")
    except Exception as error:  # noqa: BLE001 - the judge hears of it
        say("ended", why=f"{type(error).__name__}: {error}"[:300])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for argument in ("servers", "name", "folder", "node"):
        parser.add_argument(argument)
    parser.add_argument("--bug")
    parser.add_argument("--snapshot-bytes", type=int, default=1024 * 1024)
    parser.add_argument("--cold", dest="is_cold", action="store_true", help="begin with the lease, and not before")
    options = parser.parse_args()
    Path(options.folder).mkdir(parents=True, exist_ok=True)
    if options.bug is not None:
        BUGS[options.bug]()
    asyncio.run(main(options))
    os._exit(0)
