"""The target of the reading verbs: the log in a directory or at a store URL, read without a hub and without a hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio

from hubwire.stores import open_store
from hubwire.stores.archived import archived
from hubwire.stores.compressed import compressed

from .. import codec
from ..errors import ConfigurationError, InvalidRecord
from ..log import Head, LogReader, Record, log_exists, read_kept
from ..ports import KnowledgeStore, normalize_path
from ..words import Names, holds_name
from .failures import CommandFailed
from .hub_client import is_hub

__all__ = (
    "AUDIT",
    "FOLLOWING_SECONDS",
    "JOURNAL",
    "READING_SECONDS",
    "WHICH",
    "LogMissing",
    "Names",
    "beginning_of",
    "emptiness",
    "fields_of",
    "find_log",
    "head_at",
    "head_of",
    "holds_name",
    "in_order",
    "not_there",
    "open_target",
    "wait_for_log",
)

AUDIT = "/audit"
JOURNAL = "/journal"

READING_SECONDS = 10.0
"""How long a verb that reads once waits for a service: a person waits with it, and can write it again."""
FOLLOWING_SECONDS = 4.0
"""How long one that follows does, before it says so and tries again: it has no end."""
WHICH = "is it the directory or URL that the hub's store has?"
_POLL_SECONDS = 0.2
_GRACE_SECONDS = 1.0
"""A hub writes its journal a moment before its audit log."""
_LOGS_SHOWN = 3
"""How many logs are named where the one that was meant is not there."""


class LogMissing(CommandFailed):
    """There is no log at the given place."""

    is_below: bool = False
    """Whether there are logs below it, as those of tenants are."""


def open_target(target: str, patience_seconds: float | None = None, *, archive: str | None = None) -> KnowledgeStore:
    """Return the store that a directory or a URL stands for; what is compressed in it is read.

    ``archive`` names the store of its archive: what was moved there is read, too, and nothing can be written.
    For so long a service that cannot be reached is asked again before a call fails; None: as long as hubs ask.
    """
    if is_hub(target):
        raise ConfigurationError(
            f"{target!r:.200} is the address of a hub, and this is asked of a store: name its directory or URL. tail,"
            " show, query, export, stats, verify, doctor, top, approvals and dead-letters take the address, too"
        )
    store = compressed(open_store(target, deadline_seconds=patience_seconds), level=None)
    if archive is None:
        return store
    return archived(store, compressed(open_store(archive, deadline_seconds=patience_seconds), level=None))


def in_order(what: str, target: str) -> tuple[str, str]:
    """Return what is asked of a store, and the store, whichever of the two was named first.

    The second word is the store, unless the first one alone is a directory or a URL.
    """
    return (target, what) if _is_place(what) and not _is_place(target) else (what, target)


def _is_place(text: str) -> bool:
    try:
        return "://" in text or Path(text).is_dir()
    except (OSError, ValueError):  # what is no path
        return False


async def find_log(store: KnowledgeStore, path: str | None, target: str) -> str:
    """Return ``path``, by default the audit log or else the journal. Raises :class:`LogMissing` if it is not there."""
    for candidate in (AUDIT, JOURNAL) if path is None else (normalize_path(path),):
        if await log_exists(store, candidate):
            return candidate
    where = f"{AUDIT} or {JOURNAL}" if path is None else path
    if below := await _logs_below(store, AUDIT if path is None else normalize_path(path)):
        error = LogMissing(
            f"there is no log in {target} at {where}, but below it: {', '.join(below)}; give one by --log"
        )
        error.is_below = True
        raise error
    raise LogMissing(f"there is no log in {target}{await not_there(target) or f' at {where}; {WHICH}'}")


async def not_there(target: str) -> str:
    """Return what is wrong with a place that should be a directory with a store; empty if it is one, or a URL."""
    place = anyio.Path(target)
    if "://" in target or await place.is_dir():
        return ""
    if await place.exists():
        return ": it is a file, and a store is a directory; hubwire import takes what others have recorded into one"
    return f": there is no such directory; {WHICH}"


async def emptiness(target: str) -> str:
    """Return why there is no store to look at."""
    why = await not_there(target)
    return f"{target} is no store{why}" if why else f"{target} is empty; {WHICH}"


async def _logs_below(store: KnowledgeStore, path: str) -> list[str]:
    """Return a few of the logs that are right below a path, as those of tenants are."""
    found: list[str] = []
    for name in sorted(await store.list(path)):
        if len(found) == _LOGS_SHOWN:
            return [*found, "…"]
        if name.endswith("/") and await log_exists(store, below := f"{path}/{name[:-1]}"):
            found.append(below)
    return found


async def beginning_of(store: KnowledgeStore, path: str) -> str:
    """Return what is to be said of a log that does not begin with record 0; empty if it does."""
    first = (await read_kept(store, path)).first
    return f"{path} begins with record {first}: what was before is not kept any more" if first else ""


async def wait_for_log(store: KnowledgeStore, path: str | None) -> str:
    """Return like :func:`find_log`, but wait for a log to appear."""
    if path is not None:
        return normalize_path(path)
    seconds_with_journal = 0.0
    while True:
        if await log_exists(store, AUDIT):
            return AUDIT
        if await log_exists(store, JOURNAL):
            if seconds_with_journal >= _GRACE_SECONDS:
                return JOURNAL
            seconds_with_journal += _POLL_SECONDS
        await anyio.sleep(_POLL_SECONDS)


def fields_of(record: Record) -> dict[str, Any] | None:
    """Return the keys of a record, without ``d`` and ``h``; None if the line is damaged."""
    try:
        return codec.decode_fields(record.body)
    except InvalidRecord:
        return None


async def head_at(store: KnowledgeStore, path: str, records: int) -> Head | None:
    """Return the head of a chained log when it had so many records; None for a log without a chain, or without any."""
    reader = LogReader(store, path)
    await reader.seek_index(records - 1)
    for record in await reader.read():
        if record.index == records - 1:
            return head_of(record)
    return None


def head_of(record: Record) -> Head | None:
    """Return the head of a chained log when this record was its last; None for a log without a chain."""
    try:
        chain = record.chain
    except InvalidRecord:
        return None
    return None if chain is None else Head(record.index + 1, chain.decode())
