"""``hubwire erase``: contents of an audit log erased, where no program does that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from hubwire.listeners.audit import AuditLog, Erased

from ..errors import AlreadyRunning, ConfigurationError
from ..ports import KnowledgeStore
from .copying import files_below, is_journal
from .output import escape, plural, say
from .prune import InUse, check_unused
from .target import AUDIT, find_log, open_target

__all__ = ("Chosen", "erase")

_LET_IT = "let that program erase it, by await audit.erase(...); or stop it, and try again"


@attrs.frozen(kw_only=True)
class Chosen:
    """What the options say of the contents that go."""

    records: tuple[int, ...] = ()
    seqs: tuple[int, ...] = ()
    filters: Mapping[str, str] = attrs.field(factory=dict)
    fields: tuple[str, ...] = ()

    @property
    def is_nothing(self) -> bool:
        return not (self.records or self.seqs or self.filters or self.fields)

    @property
    def ways(self) -> int:
        """How many of the ways to choose records were taken: one has to be."""
        return bool(self.records) + bool(self.seqs) + bool(self.filters)

    def to_arguments(self) -> dict[str, Any]:
        """Return them as ``erase()`` of a log takes them."""
        return {
            **({"records": self.records} if self.records else {}),
            **({"seq": self.seqs} if self.seqs else {}),
            **({"fields": self.fields} if self.fields else {}),
            **self.filters,
        }


async def erase(
    target: str,
    chosen: Chosen,
    *,
    by: str | None,
    basis: str | None,
    is_again: bool,
    log: str | None,
    as_json: bool = False,
) -> None:
    """Erase what is chosen, or ``is_again`` what was erased before, and print what was done. Raises :class:`InUse`."""
    if is_again and not chosen.is_nothing:
        raise ConfigurationError("erase --again takes no records, filters or fields: it erases what the log says")
    if is_again and (by is None) is not (basis is None):
        raise ConfigurationError("erase --again takes --by and --basis together, or neither of them")
    if not is_again and (by is None or basis is None):
        raise ConfigurationError("erase needs --by and --basis: the log says who has erased, and on what basis")
    if not is_again and (ways := chosen.ways) != 1:
        what = "only one of these" if ways else "nothing was chosen, and nothing was erased"
        raise ConfigurationError(
            "erase: say which records: by --record, by --seq, or by filters as --agent, --channel or --correlation;"
            f" {what}"
        )
    store = open_target(target)
    try:
        path = await find_log(store, log or AUDIT, target)
        if await is_journal(store, path, [each async for each in files_below(store, path)]):
            raise ConfigurationError(f"{path} is a journal: its hub truncates it, see journal_bytes_max")
        await check_unused(store, path, _LET_IT)
        done = await _erased(store, path, chosen, by, basis, is_again=is_again)
    finally:
        await store.aclose()
    if isinstance(done, int):
        what = "erased again" if by is None else f"erased again, or said again to be erased: by {by}, {basis}"
        say(json.dumps({"path": path, "contents": done}) if as_json else escape(f"{plural(done, 'content')} {what}"))
    elif as_json:
        say(json.dumps(attrs.asdict(done)))
    else:
        _print(done)


async def _erased(
    store: KnowledgeStore, path: str, chosen: Chosen, by: str | None, basis: str | None, *, is_again: bool
) -> Erased | int:
    audit = AuditLog(store, path=path)
    try:
        if is_again:
            return await audit.erase_again(by=by, basis=basis)
        return await audit.erase(by=by or "", basis=basis or "", **chosen.to_arguments())
    except AlreadyRunning as error:
        raise InUse(f"{error}. For the log {path}: {_LET_IT}") from error
    finally:
        await audit.aclose()


def _print(done: Erased) -> None:
    if done.record is None:
        say(escape(f"no erasable content that is there was chosen in {done.path}; nothing was changed"))
        return
    what = f"{plural(done.contents, 'content')} of {plural(done.records, 'record')}, {done.size_bytes:,} bytes"
    if done.said_again:
        again = f"{plural(done.said_again, 'content')} that were gone already, while no record said so any more"
        what = f"{what}, and said it again of {again}"
    say(escape(f"erased {what}; record {done.record} of {done.path} says so: by {done.by}, {done.basis}"))
    say("not erased, where the same content may be:")
    for place in done.not_erased:
        say(f"  {place}")
