"""``hubwire redact``: a copy of a log to hand out, from which contents and records are withheld."""

from __future__ import annotations

import json

import attrs

from hubwire.listeners.audit import RedactedCopy, redacted_copy
from hubwire.stores import FileStore

from ..errors import AlreadyExists
from .failures import CommandFailed
from .output import escape, plural, say
from .target import AUDIT, READING_SECONDS, find_log, open_target

__all__ = ("NotCopied", "Unmet", "redact")

_SHOWN_MAX = 5


class NotCopied(CommandFailed):
    """The place for the copy is taken."""


class Unmet(CommandFailed):
    """The copy is there, and some of what was asked for it has met no record."""


async def redact(
    target: str,
    out: str,
    *,
    opened: tuple[str, ...],
    withheld: tuple[int, ...],
    withheld_kinds: tuple[str, ...],
    by: str | None,
    log: str | None,
    as_json: bool = False,
) -> None:
    """Write the copy into a directory, and print what it has. Raises :class:`NotCopied` and :class:`Unmet`."""
    store, copy = open_target(target, READING_SECONDS), FileStore(out)
    try:
        path = await find_log(store, log or AUDIT, target)
        done = await redacted_copy(
            store, copy, path=path, opened=opened, withheld=withheld, withheld_kinds=withheld_kinds or None, by=by
        )
    except AlreadyExists as error:
        raise NotCopied(f"{out} has files at that path already; name a new directory") from error
    finally:
        await copy.aclose()
        await store.aclose()
    if as_json:
        say(json.dumps(attrs.asdict(done)))
    else:
        _print(done, out)
    if done.unmet:
        more = f" and {len(done.unmet) - _SHOWN_MAX} more" if len(done.unmet) > _SHOWN_MAX else ""
        raise Unmet(
            f"no record was met by {', '.join(map(repr, done.unmet[:_SHOWN_MAX]))}{more}: by that, nothing was opened"
            " or withheld. Look at the copy before you hand it out (see hubwire redact --help)"
        )


def _print(done: RedactedCopy, out: str) -> None:
    total = done.opened + done.withheld + done.gone
    say(escape(f"copied {plural(done.records, 'record')} of {done.path} to {out}"))
    say(
        f"{plural(total, 'erasable content')}: {done.opened} opened, {done.withheld} withheld, {done.gone} erased or"
        " missing before"
    )
    if done.withheld_records:
        say(f"{plural(done.withheld_records, 'record')} withheld: hashes stand in their places")
    say("fields that are not erasable are in the copy as they are in the log")
    say(escape(f"who gets it checks it: hubwire verify {out} --vkey KEY"))
