"""Where a damaged journal could begin instead, behind the damage; and where a log says that it begins, after a cut."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import attrs

from hubwire.listeners.audit import AuditLog

from .._journal.sealed import unseal
from .._journal.snapshots import VERSION
from ..errors import InvalidRecord, NewerVersion
from ..log import Cut, LogReader, find_beginning
from ..ports import KnowledgeStore
from .copying import files_below, is_journal

__all__ = ("NO_REPAIR", "Beginning", "goes_on_from", "has_snapshot", "journal_beginning", "said_again")

NO_REPAIR = (
    "restore the whole store from one backup: no snapshot goes on from what is left of the journal, so that no repair"
    " helps"
)


@attrs.frozen
class Beginning:
    """Where a journal is to begin."""

    record: int
    """The first of a segment."""
    seq: int
    """Of the first event from there on."""


async def journal_beginning(store: KnowledgeStore, journal: str) -> Beginning | None:
    """Return from where on a journal is well and has a snapshot to go on from; None if from nowhere."""
    record = await find_beginning(store, journal)
    if not record:
        return None
    seq = await LogReader(store, journal).first_seq_of(record)
    seqs = await _snapshot_seqs(store, journal)
    return Beginning(record, seq) if seq is not None and any(each >= seq for each in seqs) else None


async def goes_on_from(store: KnowledgeStore, cut: Cut) -> bool:
    """Tell whether a hub has its state from what is left of a journal that is cut."""
    return cut.first == 0 or (
        cut.last_seq is not None and await has_snapshot(store, cut.path, range(1, cut.last_seq + 2))
    )


async def has_snapshot(store: KnowledgeStore, journal: str, seqs: range) -> bool:
    """Tell whether a snapshot is whole that has the state before one of these events."""
    return any(each in seqs for each in await _snapshot_seqs(store, journal))


async def _snapshot_seqs(store: KnowledgeStore, journal: str) -> list[int]:
    """Return the ``seq`` before which each snapshot that is whole has the state."""
    found: list[int] = []
    for name in await store.list(f"{journal}/snapshots"):
        path = f"{journal}/snapshots/{name}"
        try:
            fields, _ = unseal(await store.read_bytes(path) or b"", path=path, version=VERSION)
        except (InvalidRecord, NewerVersion):
            continue
        if name.partition("-")[0].isdigit() and type(seq := fields.get("seq")) is int:
            found.append(seq)
    return found


async def said_again(
    store: KnowledgeStore, ends: Mapping[str, int | None]
) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
    """Return what has to be said again in audit logs that are cut: where they begin.

    ``ends`` are the records before which they are to end, None for one that is cut already. The record that names the
    beginning of a pruned log may be behind its new end; what it said is kept beside the log.
    """
    steps: list[tuple[str, Callable[[], Awaitable[None]]]] = []
    for log, end in ends.items():
        audit = AuditLog(store, path=log)
        if await is_journal(store, log, [path async for path in files_below(store, log)]):
            continue
        if not await audit.says_pruned(before=end):
            line = f"say again in {log} that what is before its first record was pruned"
            steps.append((line, partial(_say_again, audit)))
    return steps


async def _say_again(audit: AuditLog) -> None:
    try:
        await audit.say_pruned_again("the record that said so was cut off", by="hubwire repair")
    finally:
        await audit.aclose()
