"""``hubwire prune``: the oldest segments of an audit log removed, where no program does that by its retention."""

from __future__ import annotations

import json

import attrs

from hubwire.listeners.audit import AuditLog, Pruning, Retention
from hubwire.stores import open_store

from ..errors import AlreadyRunning, ConfigurationError
from ..log import marked_end
from ..ports import HoldableStore, KnowledgeStore
from .copying import files_below, is_journal
from .failures import CommandFailed
from .output import escape, plural, say
from .target import AUDIT, find_log, open_target

__all__ = ("InUse", "NotPruned", "check_unused", "prune")

_BY = "hubwire prune"
_LET_IT = (
    "let that program prune it, by AuditLog(store, retention=Retention(days=...)) or await audit.prune(); or stop it,"
    " and try again"
)


class InUse(CommandFailed):
    """Another program writes the log, or may."""


class NotPruned(CommandFailed):
    """A hold, or the floor, keeps records that are over a limit."""


async def prune(
    target: str,
    *,
    log: str | None,
    days: float | None = None,
    segments: int | None = None,
    size_bytes: int | None = None,
    reason: str | None = None,
    archive: str | None = None,
    dry_run: bool = False,
    as_json: bool = False,
) -> None:
    """Remove what is over a limit, or with ``dry_run`` say what that is.

    Raises :class:`InUse`, and :class:`NotPruned` if a record stays that is over a limit.
    """
    retention = Retention(days=days, bytes_max=size_bytes, segments_max=segments)
    if not retention.is_limited:
        raise ConfigurationError("prune needs a limit: --days, --segments or --bytes says what the log keeps")
    store, aside = open_target(target), None
    try:
        path = await find_log(store, log or AUDIT, target)
        if await is_journal(store, path, [each async for each in files_below(store, path)]):
            raise ConfigurationError(f"{path} is a journal: its hub truncates it, see journal_bytes_max")
        if not dry_run:
            await check_unused(store, path, _LET_IT)
        aside = None if archive is None else open_store(archive)
        report = await _pruned(AuditLog(store, path=path, archive=aside), retention, reason, dry_run=dry_run)
    finally:
        await store.aclose()
        if aside is not None:
            await aside.aclose()
    if as_json:
        say(json.dumps(attrs.asdict(report)))
    else:
        _print(report)
    if report.held and not dry_run:
        raise NotPruned(f"{path} keeps more than was asked for: {report.held[0]}")


async def check_unused(store: KnowledgeStore, path: str, advice: str) -> None:
    """See that no hub is at work on a log which it cannot hold: it would be fenced."""
    if isinstance(store, HoldableStore):
        return
    marker = await marked_end(store, path)
    if marker is None or not marker.is_closed:
        raise InUse(
            f"the log {path} was not closed, and its store cannot tell whether a hub is at work on it. If one is,"
            f" {advice}. If it was killed, start it and stop it once"
        )


async def _pruned(audit: AuditLog, retention: Retention, reason: str | None, *, dry_run: bool) -> Pruning:
    try:
        return await audit.prune(retention=retention, by=_BY, reason=reason, dry_run=dry_run)
    except AlreadyRunning as error:
        raise InUse(f"{error}. For the log {audit.path}: {_LET_IT}") from error
    finally:
        await audit.aclose()


def _print(report: Pruning) -> None:
    if report.segments:
        last = report.first - 1
        did = "would remove" if report.is_dry_run else "archived and removed" if report.is_archived else "removed"
        what = f"{plural(report.segments, 'segment')} of {report.path} with {report.size_bytes:,} bytes"
        say(f"{did} {what}, records {report.first - report.records} to {last}: {'; '.join(report.reasons)}")
    elif not report.held:
        say(f"no segment of {report.path} is over a limit; the two newest always stay")
    for held in report.held:
        say(escape(f"held: {held}"))
    if report.is_dry_run:
        say("nothing was changed: leave --dry-run out to do it")
