"""``hubwire hold``, ``release`` and ``holds``: legal holds on an audit log, which a program may have open."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs

from hubwire.listeners.audit import AuditLog

from ..errors import AlreadyRunning, ConfigurationError
from ..ports import KnowledgeStore
from .copying import files_below, is_journal
from .output import escape, say
from .prune import InUse, check_unused
from .target import AUDIT, find_log, open_target

__all__ = ("hold", "holds", "release")


async def hold(target: str, reason: str, *, name: str, by: str | None, log: str | None) -> None:
    """Keep all records of a log until they are released, also of one that a program has open."""
    try:
        async with _opened(target, log, "") as audit:
            await audit.hold(reason, name=name, by=by)
    except InUse:
        await _hold_beside(target, reason, name=name, by=by, log=log)
        return
    say(escape(f"{audit.path} is held by {name!r}: no record of it is pruned until hubwire release"))


async def _hold_beside(target: str, reason: str, *, name: str, by: str | None, log: str | None) -> None:
    store = open_target(target)
    try:
        audit = AuditLog(store, path=await _path_of(store, log, target))
        first = await audit.hold_beside(reason, name=name, by=by)
    finally:
        await store.aclose()
    what = "no record of it is pruned" if first is None else f"no record from {first} on is pruned"
    say(escape(f"{audit.path} is held by {name!r}: {what} until it is released"))
    say("a program has the log open: it writes log.held when it prunes next")
    if first is not None:
        say(f"a pruning had begun before: records before {first} may be gone, or go now")


async def release(target: str, reason: str, *, name: str, by: str | None, log: str | None) -> None:
    """Release a hold. Raises :class:`InUse` while a program has the log open."""
    async with _opened(target, log, f"await audit.release({reason!r})") as audit:
        await audit.release(reason, name=name, by=by)
        rest = await audit.holds()
    others = f"; still on it: {', '.join([repr(each.name) for each in rest])}" if rest else ""
    say(escape(f"{audit.path} is no longer held by {name!r}{others}"))


async def holds(target: str, *, log: str | None, as_json: bool) -> None:
    """Print the holds of a log; it only reads, also beside a program."""
    store = open_target(target)
    try:
        path = await _path_of(store, log, target)
        found = await AuditLog(store, path=path).holds()
    finally:
        await store.aclose()
    if as_json:
        say(json.dumps([attrs.asdict(each) for each in found]))
        return
    for each in found:
        say(escape(str(each)))
    if not found:
        say(f"{path} has no hold on it")


@asynccontextmanager
async def _opened(target: str, log: str | None, call: str) -> AsyncIterator[AuditLog]:
    store = open_target(target)
    try:
        path = await _path_of(store, log, target)
        advice = f"call it in that program, {call:.100}; or stop it, and try again"
        await check_unused(store, path, advice)
        # What is said of a hold is what the person says who sets it: the rules of the log redact it.
        audit = AuditLog(store, path=path)
        try:
            yield audit
        except AlreadyRunning as error:
            raise InUse(f"{error}. For the log {path}: {advice}") from error
        finally:
            await audit.aclose()
    finally:
        await store.aclose()


async def _path_of(store: KnowledgeStore, log: str | None, target: str) -> str:
    path = await find_log(store, log or AUDIT, target)
    if await is_journal(store, path, [each async for each in files_below(store, path)]):
        raise ConfigurationError(f"{path} is a journal, which its hub truncates; holds are on audit logs")
    return path
