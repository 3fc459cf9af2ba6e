"""``hubwire spool``: what processes have left in a directory, into a store."""

from __future__ import annotations

import json
import os
from functools import partial

import anyio
import attrs

from hubwire.listeners.audit import AuditLog
from hubwire.stores import open_store

from .. import Hub
from ..errors import ConfigurationError, NotFound
from ..spool import SpoolFeed, SpoolFile, SpoolStatus, read_status
from .importing.conversation import EVENT_BYTES_MAX
from .output import complain, plural, say

__all__ = ("drain", "status")

_NOT_ALL = 3

_OF_STORES = ("journal", "audit")
"""What a hub makes in its store, and no process in a spool."""


def drain(store_url: str, directory: str, *, once: bool, archive: str | None) -> int:
    """Drain a spool into a store until it is empty, or Ctrl-C comes; return the exit code."""
    _check(directory, once=once)
    feed = SpoolFeed(directory, follow=not once, waits=False, archive=archive)
    try:
        anyio.run(partial(_drain, store_url, feed))
    finally:
        _say(feed)
    counts = feed.statistics()
    return _NOT_ALL if feed.problems() or any(counts[name] for name in ("damaged", "refused", "missing")) else 0


def _check(directory: str, *, once: bool) -> None:
    """Refuse a directory that is probably a mistake, before anything is made of it."""
    if any(os.path.isdir(f"{directory}/{name}") for name in _OF_STORES):  # noqa: PTH112 - it is text
        raise ConfigurationError(
            f"spool drain: {directory} is the store of a hub, and no spool: write 'hubwire spool drain STORE DIRECTORY'"
        )
    if os.path.isdir(directory):  # noqa: PTH112
        return
    if once:
        raise NotFound(
            f"spool drain: there is no directory {directory}, so there is nothing to take; a spool is made when its"
            " first event comes"
        )
    complain(f"there is no directory {directory} yet; it is made, and followed until Ctrl-C")


async def _drain(store_url: str, feed: SpoolFeed) -> None:
    store = open_store(store_url)
    try:
        async with Hub(store, listeners=[AuditLog(store)], event_bytes_max=EVENT_BYTES_MAX) as hub:
            await feed.run(hub)
    finally:
        await store.aclose()


def _say(feed: SpoolFeed) -> None:
    counts = feed.statistics()
    bad = {name: counts[name] for name in ("damaged", "torn", "refused", "missing", "lost") if counts[name]}
    more = "".join(f", {count:,} {name}" for name, count in bad.items())
    say(f"{plural(counts['lines'], 'line')}, {plural(counts['events'], 'event')}{more}")
    for problem in feed.problems():
        complain(problem)
    if counts["missing"]:
        complain(f"{counts['missing']:,} lines of {feed.directory} are gone: the kind spool.lines_missing says where")
    if counts["lost"]:
        complain(
            f"{plural(counts['lost'], 'event')} could not be written by processes: the kinds spool.events_lost and"
            " recording.dropped say when it became known"
        )


def status(directory: str, *, as_json: bool) -> int:
    """Print what is in a spool; return the exit code."""
    found = read_status(directory)
    is_unwell = bool(found.set_aside) or any(file.damaged for file in found.files)
    if as_json:
        print(json.dumps({**attrs.asdict(found), "waiting": found.waiting, "bytes": found.bytes}))
    else:
        _print(found)
    return 1 if is_unwell else 0


def _print(found: SpoolStatus) -> None:
    say(
        f"{found.directory}: {plural(found.waiting, 'event')} waiting, {plural(found.bytes, 'byte')} in"
        f" {plural(len(found.files), 'file')}; {'a process drains it' if found.is_drained else 'no process drains it'}"
    )
    for file in found.files:
        say(f"  {_about(file)}")
    if found.lost:
        say(f"  {plural(found.lost, 'event')} could not be written, and no hub was told of that yet")
    for name in found.set_aside:
        say(f"  set-aside/{name}  has lines that were not taken; remove it when you have looked at it")


def _about(file: SpoolFile) -> str:
    parts = [f"{file.name}  {file.lines - file.taken - file.damaged:,} waiting, {file.taken:,} taken"]
    if file.damaged:
        parts.append(f"{file.damaged:,} damaged ({file.first_damage})")
    parts.append("has a writer" if file.has_writer else "no writer")
    return ", ".join(parts)
