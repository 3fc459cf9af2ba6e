"""What is tortured: a program that writes logs, does all that can be done with them, and says what was acknowledged.

`OPERATIONS` is the list of what it can do. What hubwire learns to do with a log is one more function there; the judge
then has to know what its acknowledgement means.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import attrs

from hubwire import GenericEvent, Hub, StoreJournal
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Outcome, Retention, Verification, examine
from hubwire.ports import KnowledgeStore
from hubwire.proof import KeySigner
from hubwire.stores import FileStore

from .contents import secret

__all__ = (
    "NAME",
    "OBJECTS",
    "OPERATIONS",
    "SCRIPTS",
    "Say",
    "Worker",
    "faults_in",
    "faults_of",
    "key",
    "opened",
    "opened_on",
    "reopen",
    "verified",
)

NAME = "example.org/torture"
SEGMENT_BYTES = 4000
SNAPSHOT_BYTES = 6000
ERASABLE = {"note.*": ["content"]}
_KEYS_MAX = 100_000

Say = Callable[[dict[str, Any]], object]
"""Passes on what the program says: that an operation begins, or was acknowledged."""


@cache
def key(number: int) -> KeySigner:
    """Return the key of an epoch of the log: the same in each process."""
    return KeySigner(NAME, hashlib.sha256(b"key %d" % number).digest())


def key_of(root: Path) -> int:
    """Return which key a program has to have for the log that is there: an operator knows that."""
    try:
        text = (root / "audit" / "checkpoint").read_text(errors="replace")
    except OSError:
        return 0
    successor = re.search(r"^successor .*[+]([0-9a-f]{8})[+]", text, re.MULTILINE)
    signed = re.search(rf"^— {NAME} (.*)$", text, re.MULTILINE)
    try:
        if successor is not None:
            wanted = bytes.fromhex(successor[1])
        else:
            wanted = base64.b64decode(signed[1])[:4] if signed is not None else b""
    except ValueError:
        return 0  # it is damaged, and any key is as good
    return next((number for number in range(_KEYS_MAX) if key(number).vkey.id == wanted), 0)


@attrs.define
class Worker:
    """A program at work on a log, alone or on a hub."""

    audit: AuditLog
    hub: Hub | None
    say: Say
    life: str
    """Its name: what it appends is named after it, so that all names differ."""
    number: int = 0
    epoch: int = 0
    contents: list[int] = attrs.field(factory=list)
    """The records that it has appended with a content, and has not erased."""

    def name(self) -> str:
        """Return the name of the next record."""
        self.number += 1
        return f"{self.life}/{self.number}"


async def append(worker: Worker) -> None:
    name = worker.name()
    index = await worker.audit.append({"kind": "work.done", "name": name, "pad": "x" * (worker.number * 37 % 300)})
    worker.say({"did": "append", "index": index, "name": name})


async def append_long(worker: Worker) -> None:
    """A line of some 50 KB: many sectors, and more than one page."""
    name = worker.name()
    index = await worker.audit.append({"kind": "work.done", "name": name, "text": f"{name} " * 12_000})
    worker.say({"did": "append", "index": index, "name": name})


async def append_aside(worker: Worker) -> None:
    """A record of more than 64 KB is in a file beside the log."""
    name = worker.name()
    index = await worker.audit.append({"kind": "work.done", "name": name, "text": f"{name} " * 20_000})
    worker.say({"did": "append", "index": index, "name": name})


async def append_content(worker: Worker) -> None:
    """The content of the record is on a page beside the log."""
    name = worker.name()
    index = await worker.audit.append({"kind": "note.taken", "name": name, "content": secret(name)})
    worker.say({"did": "append_content", "index": index, "name": name})
    worker.contents.append(index)


async def erase(worker: Worker) -> None:
    """Erase the contents of the two oldest records that have theirs."""
    records, worker.contents = worker.contents[:2], worker.contents[2:]
    if records:
        worker.say({"will": "erase", "records": records})
        await worker.audit.erase(records=records, by="torture", basis="it was asked for")
        worker.say({"did": "erase", "records": records})


async def append_many(worker: Worker) -> None:
    names = [worker.name() for _ in range(3)]
    indexes = await worker.audit.append_many([{"kind": "work.done", "name": name} for name in names])
    worker.say({"did": "append_many", "index": indexes.start, "names": names})


async def rotate(worker: Worker) -> None:
    """Fill the segment, and begin the next one."""
    for _ in range(2):
        name = worker.name()
        index = await worker.audit.append({"kind": "work.done", "name": name, "pad": "x" * SEGMENT_BYTES})
        worker.say({"did": "append", "index": index, "name": name})


async def checkpoint(worker: Worker) -> None:
    note = await worker.audit.checkpoint()
    worker.say({"did": "checkpoint", "note": str(note)})


async def rotate_key(worker: Worker) -> None:
    note = await worker.audit.rotate_key(key(worker.epoch + 1), by="torture", reason="a new epoch")
    worker.epoch += 1
    worker.say({"did": "rotate_key", "note": str(note)})


async def prune(worker: Worker) -> None:
    worker.say({"will": "prune"})
    await worker.audit.prune(retention=Retention(segments_max=4), by="torture", reason="it is old")
    worker.say({"did": "prune"})


async def emit(worker: Worker) -> None:
    assert worker.hub is not None
    name = worker.name()
    event = await worker.hub.emit(GenericEvent(kind="work.done", data={"name": name, "pad": "y" * 200}))
    worker.say({"did": "emit", "seq": event.seq, "name": name})


async def register(worker: Worker) -> None:
    """Change the state of which the hub takes snapshots."""
    assert worker.hub is not None
    name = f"agent {worker.name()}"
    await worker.hub.agents.register(name)
    worker.say({"did": "register", "name": name})


async def snapshot(worker: Worker) -> None:
    """Write as much to the journal as a snapshot is due after."""
    assert worker.hub is not None
    for _ in range(SNAPSHOT_BYTES // 300):
        await emit(worker)
    await worker.hub.flush()


OPERATIONS: dict[str, Callable[[Worker], Awaitable[None]]] = {
    operation.__name__: operation
    for operation in (
        append,
        append_long,
        append_aside,
        append_content,
        append_many,
        rotate,
        checkpoint,
        rotate_key,
        prune,
        erase,
        emit,
        register,
        snapshot,
    )
}

_LOG = ("append", "append_many", "checkpoint", "rotate", "append", "rotate_key", "append_long", "rotate", "prune")
_CONTENTS = ("append_content", "append_content", "append_content", "erase", "append_content", "checkpoint")
SCRIPTS: dict[str, tuple[str, ...]] = {
    "log": (*_LOG, "append", "checkpoint"),
    "hub": ("register", "emit", "append", "snapshot", "register", "checkpoint", "snapshot", "emit"),
    "contents": (*_CONTENTS, "append_aside", "erase", "append"),
}
"""Each operation at least once, in an order in which it has work to do."""
OBJECTS = (
    *("append", "append_many", "append_content", "append_content", "append_content", "rotate", "erase", "checkpoint"),
    *("compact", "rotate", "append_content", "append_aside", "rotate", "compact", "prune", "erase", "append"),
)
"""The same on an object store, which merges the parts of its files."""


@asynccontextmanager
async def opened(root: Path, life: str, say: Say, *, has_hub: bool, seconds: float = 1000.0) -> AsyncIterator[Worker]:
    """A worker on the logs that are there; they are closed at the end."""
    store = FileStore(root)
    epoch = key_of(root)
    if not has_hub:
        async with opened_on(store, life, say, epoch=epoch, seconds=seconds) as worker:
            yield worker
        await store.aclose()
        return
    audit = _audit(store, epoch, seconds)
    journal = StoreJournal(store, segment_bytes=SEGMENT_BYTES)
    async with Hub(journal=journal, snapshot_bytes=SNAPSHOT_BYTES, listeners=[audit], ring=64) as hub:
        say({"agents": sorted(agent.name for agent in hub.agents.list())})
        yield Worker(audit, hub, say, life, epoch=epoch)
    await store.aclose()


@asynccontextmanager
async def opened_on(
    store: KnowledgeStore, life: str, say: Say, *, epoch: int = 0, seconds: float = 1000.0
) -> AsyncIterator[Worker]:
    """A worker on a log alone, on any store; the log is closed at the end."""
    async with _audit(store, epoch, seconds) as audit:
        yield Worker(audit, None, say, life, epoch=epoch)


def _audit(store: KnowledgeStore, epoch: int, seconds: float) -> AuditLog:
    return AuditLog(store, signer=key(epoch), rotation=SEGMENT_BYTES, checkpoint_seconds=seconds, erasable=ERASABLE)


async def work(root: Path, life: str, say: Say, script: Sequence[str], *, has_hub: bool) -> None:
    """Do what a script says. What fails is said, and ends it: an operator would look at that."""
    async with opened(root, life, say, has_hub=has_hub) as worker:
        for name in script:
            await OPERATIONS[name](worker)


async def work_at_random(root: Path, life: str, say: Say, chance: Random, *, has_hub: bool) -> None:
    """Do what comes, until the process is killed."""
    likely = (
        ["append"] * 12
        + ["append_many"] * 4
        + ["rotate", "checkpoint", "checkpoint", "prune", "append_long", "append_aside"]
        + ["append_content"] * 4
        + ["erase"] * 2
    )
    likely += ["emit"] * 8 + ["register"] * 2 if has_hub else []
    async with opened(root, life, say, has_hub=has_hub, seconds=0.005) as worker:
        while True:
            name = "rotate_key" if chance.random() < 0.01 else chance.choice(likely)
            await OPERATIONS[name](worker)


async def reopen(root: Path, say: Say, *, has_hub: bool) -> None:
    """Open what a harm has left, append, sign, and close. Raises what refuses that."""
    await work(root, "after", say, ("append", "checkpoint"), has_hub=has_hub)


async def verified(root: Path) -> list[str]:
    """Return what verify finds in a log that was opened again, and closed: no harm excuses a fault there."""
    store = FileStore(root)
    found = await faults_in(store)
    await store.aclose()
    return found


async def faults_in(store: KnowledgeStore) -> list[str]:
    """Return what verify finds."""
    return [f"verify says: {fault}" for fault in faults_of(await examine(store, vkey=str(key(0).vkey)))]


def faults_of(found: Verification) -> list[str]:
    """Return the faults of all verdicts."""
    return [fault for each in found.verdicts.values() if each.outcome is Outcome.FAILS for fault in each.faults]
