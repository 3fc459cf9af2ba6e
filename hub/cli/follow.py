"""``hubwire follow``: a stream of others' records becomes events of a hub."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from hubwire.listeners.audit import AuditLog
from hubwire.stores import open_store
from hubwire.stores.compressed import compressed

from .. import Hub
from ..errors import ConfigurationError
from ..ports import KnowledgeStore
from .failures import CommandFailed
from .following.files import File
from .following.intake import AUDIT, Intake, Seen, read_seen
from .following.lines import Lines
from .following.pipes import StandardInput
from .following.records import OTHER, is_kind
from .following.urls import Url, is_url
from .importing.conversation import EVENT_BYTES_MAX
from .output import complain, plural, say
from .target import beginning_of

__all__ = ("NOT_ALL", "follow")

NOT_ALL = 3
"""The exit code of a stream of which lines were refused."""


def follow(target: str, store_url: str, *, kind: str | None, headers: Sequence[str], once: bool) -> int:
    """Take a stream into a store until it ends, or Ctrl-C does; return the exit code."""
    if kind is not None and not is_kind(kind):
        raise ConfigurationError(
            f"--kind {kind!r}: write two or more lower-case words joined by dots, not one of hubwire's own"
        )
    given = dict(map(_header, headers))
    if given and not is_url(target):
        raise ConfigurationError("--header is for a URL")
    intake = anyio.run(_follow, target, store_url, kind or OTHER, given, once)
    say(
        f"{plural(intake.lines, 'line')}, {plural(intake.events, 'event')}; {intake.there:,} were already there,"
        f" {intake.refused:,} refused"
    )
    for name, count in intake.kinds.most_common():
        say(f"{name}  {count:,}")
    return NOT_ALL if intake.refused else 0


async def _follow(target: str, store_url: str, kind: str, headers: dict[str, str], once: bool) -> Intake:
    store = open_store(store_url)
    try:
        async with Hub(store, listeners=[AuditLog(store)], event_bytes_max=EVENT_BYTES_MAX) as hub:
            seen = await read_seen(compressed(store, level=None))
            await _warn(store, seen)
            intake = Intake(hub, seen, kind)
            await intake.run(_stream(target, headers, seen, once))
            return intake
    finally:
        await store.aclose()


async def _warn(store: KnowledgeStore, seen: Seen) -> None:
    """Say what may come twice, because no record tells that it has come before."""
    if beginning := await beginning_of(store, AUDIT):
        complain(f"{beginning}. What the stream has brought by those records is taken for new if it comes again")
    if seen.forgotten:
        complain(f"the oldest {seen.forgotten:,} of what streams have brought are taken for new if they come again")


def _stream(target: str, headers: dict[str, str], seen: Seen, once: bool) -> Lines:
    if target == "-":
        return StandardInput()
    if is_url(target):
        stream = Url(target, headers=headers, once=once)
        stream.last_event_id = seen.last_event_ids.get(stream.name)
        return stream
    return File(target, once=once)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or not text.isascii() or not text.isprintable():
        raise CommandFailed("--header: write it as 'Name: value', in ASCII")
    return name.strip(), value.strip()
