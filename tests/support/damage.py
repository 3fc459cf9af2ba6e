"""Damage to the files of a store, one at a time and at random, and the life of a hub that it is done to."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import anyio
import attrs

from hubwire import BaseHubListener, Duty, Event, GenericEvent, Hub, StoreJournal, codec
from hubwire.cli.inspection import inspect_store
from hubwire.listeners import AuditLog
from hubwire.log import LogReader
from hubwire.stores import FileStore
from hubwire.testing import peek

__all__ = ("DAMAGE", "Life", "Mirror", "event_in", "files", "hub_on", "live_through", "put")

Files = dict[str, bytes]
SECTOR = 512


class Mirror(BaseHubListener):
    """A DURABLE listener that keeps what it was given, by ``seq``."""

    def __init__(self) -> None:
        self.seen: dict[int, bytes] = {}

    async def on_events(self, events: Sequence[Event]) -> None:
        self.seen |= {event.seq: codec.encode(event) for event in events}


def hub_on(store: FileStore, mirror: Mirror) -> Hub:
    """A hub that rotates, truncates and takes snapshots all the time, with two audit logs."""
    hub = Hub(
        journal=StoreJournal(store, segment_bytes=6000),
        listeners=[AuditLog(store, rotation=9000)],
        snapshot_bytes=5000,
    )
    hub.attach(
        AuditLog(store, path="/work", rotation=9000), name="work", pattern="work.*", duty=Duty.DURABLE, attempts_max=1
    )
    hub.attach(mirror, name="mirror", duty=Duty.DURABLE, since="start", attempts_max=1)
    return hub


@attrs.define
class Life:
    """The files of a hub after several lives, and what is true of it."""

    files: Files
    older: Files
    """The same store, some lives before."""
    other: Files
    """The store of another hub."""
    events: dict[int, bytes]
    """All acknowledged events, by ``seq``."""
    state: dict[str, Sequence[object]]
    owed: int
    """The first event that the DURABLE listener had not seen."""


def files(root: Path) -> Files:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def put(root: Path, content: Files) -> None:
    """Let a directory hold these files and no others."""
    shutil.rmtree(root, ignore_errors=True)
    for name, each in content.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(each)


async def _work(hub: Hub, count: int) -> None:
    agents = [await hub.agents.register(f"agent {number} of {hub.statistics().committed}") for number in range(2)]
    channel = await hub.channels.open(agents)
    for number in range(count):
        await hub.emit(GenericEvent(kind="work.done", data={"number": number, "pad": "x" * (number % 7 * 40)}))
        if number % 5 == 0:
            await channel.post(agents[0], {"number": number})
        if number % 8 == 0:
            await hub.emit_many([GenericEvent(kind="work.done", data={"number": number, "of": n}) for n in range(3)])
        if number % 20 == 0:
            await hub.emit(GenericEvent(kind="work.large", data={"text": "y" * 70_000}))
        await hub.flush()


async def live_through(root: Path, *, is_killed: bool) -> Life:
    """Let a hub live three lives on a directory, the last of which ends with its process if it ``is_killed``."""
    other = root.with_name(f"other than {root.name}")
    mirror = Mirror()
    await _live(other, Mirror(), 25)
    await _live(other, Mirror(), 25)
    await _live(root, mirror, 25)
    await _live(root, mirror, 25)
    older = await anyio.to_thread.run_sync(files, root)
    content = await _live(root, mirror, 70)
    if not is_killed:
        content = await anyio.to_thread.run_sync(files, root)
    await anyio.to_thread.run_sync(put, root, content)
    store = FileStore(root)
    events, reader = mirror.seen, LogReader(store, "/journal")
    while records := await reader.read():
        events |= {event.seq: codec.encode(event) for record in records if (event := event_in(record.body)) is not None}
    report = await inspect_store(store, name=str(root))
    assert not report.problems, report.problems
    (journal,) = report.journals
    events = {seq: event for seq, event in events.items() if seq < journal.next_seq}
    assert journal.first_seq > 0
    assert sorted(events) == list(range(journal.next_seq))
    async with hub_on(store, Mirror()) as hub:
        state = peek(hub)
    await store.aclose()
    return Life(
        content, older, await anyio.to_thread.run_sync(files, other), events, state, dict(journal.positions)["mirror"]
    )


async def _live(root: Path, mirror: Mirror, count: int) -> Files:
    """Let a hub live once; return what its process would leave if it were killed at the end."""
    store = FileStore(root)
    async with hub_on(store, mirror) as hub:
        await _work(hub, count)
        killed = await _at_rest(root)
    await store.aclose()
    return killed


async def _at_rest(root: Path) -> Files:
    """Return the files when all that follows from the work is written, as markers are within a second: none changes."""
    found: Files = {}
    while True:
        before = found
        await anyio.sleep(0.5)
        try:
            found = await anyio.to_thread.run_sync(files, root)
        except FileNotFoundError:  # what is not needed any more was deleted meanwhile
            continue
        if found == before:
            return found


def event_in(body: bytes) -> Event | None:
    """Return the event of a record; None for one of the log's own."""
    return codec.decode(body) if "seq" in codec.decode_fields(body) else None


def _sector(content: bytes, random: Random) -> bytes:
    at = random.randrange(len(content)) // SECTOR * SECTOR
    return content[:at] + bytes(len(content[at : at + SECTOR])) + content[at + SECTOR :]


def _flip(content: bytes, random: Random) -> bytes:
    changed, at = bytearray(content), random.randrange(len(content))
    changed[at] ^= 1 << random.randrange(8)
    return bytes(changed)


def _lines(content: bytes) -> list[bytes]:
    return content.splitlines(keepends=True)


def _cut_at_line(content: bytes, random: Random) -> bytes:
    lines = _lines(content)
    return b"".join(lines[: random.randrange(len(lines))])


def _doubled(content: bytes, random: Random) -> bytes:
    lines = _lines(content)
    at = random.randrange(len(lines))
    return b"".join([*lines[: at + 1], *lines[at:]])


def _swapped(content: bytes, random: Random) -> bytes:
    lines = _lines(content)
    one, two = random.randrange(len(lines)), random.randrange(len(lines))
    lines[one], lines[two] = lines[two], lines[one]
    return b"".join(lines)


def _garbage(content: bytes, random: Random) -> bytes:
    tail = random.choice([random.randbytes(random.randrange(1, 900)), bytes(SECTOR), b"\n", b"{}\n", b'{"seq":1}\n'])
    return content + tail


DAMAGE: dict[str, Callable[[bytes, Random], bytes | None]] = {
    "a flipped bit": _flip,
    "a zeroed sector": _sector,
    "a cut at a byte": lambda content, random: content[: random.randrange(len(content))],
    "a cut at a line": _cut_at_line,
    "garbage behind it": _garbage,
    "deleted": lambda content, random: None,
    "a doubled line": _doubled,
    "swapped lines": _swapped,
}
