"""``hubwire backup`` and ``hubwire restore``: a consistent copy of a store, also while a hub writes it, and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from ..clock import SystemClock, timestamp
from ..errors import ConfigurationError
from ..ports import KnowledgeStore
from .copying import MANIFEST, VERSION, Manifest, copy_live, copy_verified, read_manifest, why_contents_differ
from .doctor import say_store
from .failures import CommandFailed
from .inspection import StoreReport, inspect_store
from .output import plural, say
from .target import emptiness, open_target

__all__ = ("back_up", "backup", "put_back", "restore")

_ATTEMPTS = 5
"""How often to copy again because the hub has truncated or replaced meanwhile what belongs together."""


async def backup(source: str, target: str) -> None:
    """Copy the store ``source`` into the empty store ``target``; print what the copy holds."""
    from_store, to_store = open_target(source), open_target(target)
    try:
        manifest, report = await back_up(from_store, to_store, name=source, target_name=target)
    finally:
        await to_store.aclose()
        await from_store.aclose()
    say_store(report)
    say(
        f"copied {plural(len(manifest.files), 'file')}, {manifest.size_bytes:,} bytes, from {source} to {target} at"
        f" {manifest.at}"
    )


async def back_up(
    source: KnowledgeStore, target: KnowledgeStore, *, name: str, target_name: str
) -> tuple[Manifest, StoreReport]:
    """Copy a store into an empty one until the copy is consistent, and write its manifest.

    The copy is looked at as a start would look at it. Raises :class:`~hubwire.errors.ConfigurationError` if there is
    no file to copy or the target is not empty, and :class:`CommandFailed` if no copy is consistent.
    """
    if not await source.exists("/"):
        raise ConfigurationError(await emptiness(name))
    await _check_empty(target, target_name)
    why: str | None = None
    for _ in range(_ATTEMPTS):
        async with _undone_unless_well(target) as outcome:
            files = await copy_live(source, target)
            report = await inspect_store(target, name=target_name)
            why = await _inconsistency(source, report, name) or await why_contents_differ(source, target, files)
            if why is None:
                manifest = Manifest(VERSION, timestamp(SystemClock().now_ns()), tuple(files))
                await target.write(MANIFEST, manifest.encode(), if_absent=True)
                outcome.is_well = True
                return manifest, report
    raise CommandFailed(
        f"no copy of {name} is one that a hub starts on ({why}), so none was kept; see what hubwire doctor {name} says"
    )


async def _inconsistency(source: KnowledgeStore, copy: StoreReport, name: str) -> str | None:
    """Return why a copy does not fit together; None if it does.

    A listener that has missed events in the copy, and has not in the store itself, was copied before a truncation.
    """
    if (why := _in_the_way(copy)) is not None:
        return why
    missed = frozenset[str]().union(*(journal.missed for journal in copy.journals))
    if missed:
        there = await inspect_store(source, name=name, examine_logs=False)
        missed -= frozenset[str]().union(*(journal.missed for journal in there.journals))
    return f"positions of {', '.join(sorted(missed))} are older than its journal" if missed else None


def _in_the_way(report: StoreReport) -> str | None:
    """Return what keeps a hub from starting; None if it starts."""
    return next((problem.text for problem in report.problems if problem.is_in_the_way), None)


async def restore(source: str, target: str) -> None:
    """Copy the backup ``source`` into the empty store ``target``; print what that holds then."""
    from_store, to_store = open_target(source), open_target(target)
    try:
        manifest, report = await put_back(from_store, to_store, name=source, target_name=target)
    finally:
        await to_store.aclose()
        await from_store.aclose()
    say_store(report)
    say(
        f"restored {plural(len(manifest.files), 'file')}, {manifest.size_bytes:,} bytes, of {manifest.at} to {target}."
        " Readers that have seen more than this hold cursors that the hub will refuse: they begin anew"
    )


async def put_back(
    source: KnowledgeStore, target: KnowledgeStore, *, name: str, target_name: str
) -> tuple[Manifest, StoreReport]:
    """Copy a backup into an empty store, and look at it as a start would.

    Raises :class:`~hubwire.errors.ConfigurationError` if the target is not empty, and :class:`CommandFailed` if the
    backup is incomplete or damaged: then what was copied is deleted again.
    """
    await _check_empty(target, target_name)
    manifest = await read_manifest(source, name)
    async with _undone_unless_well(target) as outcome:
        await copy_verified(source, target, manifest, name)
        report = await inspect_store(target, name=target_name)
        if (why := _in_the_way(report)) is not None:
            raise CommandFailed(f"the backup {name} is not one that a hub starts on: {why}")
        outcome.is_well = True
    return manifest, report


class _Outcome:
    is_well = False


@asynccontextmanager
async def _undone_unless_well(target: KnowledgeStore) -> AsyncIterator[_Outcome]:
    """Delete what was copied to the target, which was empty, unless it is well at the end."""
    outcome = _Outcome()
    try:
        yield outcome
    finally:
        if not outcome.is_well:
            with anyio.CancelScope(shield=True):
                await target.delete("/")


async def _check_empty(target: KnowledgeStore, name: str) -> None:
    if await target.exists("/"):
        raise ConfigurationError(f"{name} is not empty; give an empty directory or URL, or one that does not exist")
