"""``hubwire verify``: what is known of an audit log, and what is not."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable

import attrs

from hubwire.listeners.audit import Outcome, Verdict, Verification, examine

from ..log import Head
from .failures import CommandFailed
from .output import Paint, escape, is_terminal, plural, say
from .target import AUDIT, READING_SECONDS, find_log, open_target

__all__ = ("NotVerified", "verify")

_WIDTH = 110
_INDENT = " " * 24
_ROOM_MIN = 24
"""Of a text behind its label: on a narrower terminal, lines are broken by that."""


class NotVerified(CommandFailed):
    """A verdict on the log fails."""


async def verify(
    target: str,
    *,
    log: str | None,
    expect_head: str | None = None,
    expect_records: int | None = None,
    as_json: bool = False,
) -> None:
    """Print what is known of a log. Raises :class:`NotVerified` if a verdict on it fails."""
    head = None if expect_head is None else Head.parse(expect_head)
    store = open_target(target, READING_SECONDS)
    try:
        path = await find_log(store, log or AUDIT, target)
        verification = await examine(store, path, expect_head=head, expect_records=expect_records)
    finally:
        await store.aclose()
    if as_json:
        say(json.dumps(_as_json(verification)))
    else:
        _print(verification, target)
    for verdict in verification.verdicts.values():
        if verdict.outcome is Outcome.FAILS:
            raise NotVerified(f"{verdict.faults[0]}")
    if not as_json:
        say(f"verified {verification.records - verification.first_record} records")


def _as_json(verification: Verification) -> dict[str, object]:
    fields = attrs.asdict(verification, value_serializer=lambda _, __, value: _plain(value))
    return {**fields, "head": str(verification.head), "holds": verification.holds}


def _plain(value: object) -> object:
    return value.value if isinstance(value, Outcome) else value


def _print(found: Verification, target: str) -> None:
    paint = Paint(sys.stdout)
    events = plural(found.events, "event")
    if found.last_seq is not None:
        events += f", seq {found.first_seq} to {found.last_seq}"
    rows = {
        "log": f"{found.path} in {target}",
        "hub": found.hub or "none: it holds no event of a hub",
        "records": f"{found.records - found.first_record:,}, of which {events}",
        "head": str(found.head),
    }
    if found.pruned is not None:
        rows["pruned"] = str(found.pruned)
    for name, value in rows.items():
        say(f"{paint.dim(name.ljust(13))} {escape(value)}")
    for name, verdict in found.verdicts.items():
        say("")
        _print_verdict(name, verdict, paint)
    if found.notes:
        say("")
        _print_rows("note", found.notes, paint)
    say("")


def _print_verdict(name: str, verdict: Verdict, paint: Paint) -> None:
    colour = {Outcome.HOLDS: paint.green, Outcome.FAILS: paint.red, Outcome.UNKNOWN: paint.bold}[verdict.outcome]
    first, *rest = _wrapped(verdict.reason)
    say(f"{paint.bold(name.ljust(13))} {colour(verdict.outcome.value.ljust(9))} {first}")
    for line in rest:
        say(f"{_INDENT}{line}")
    _print_rows("fault", verdict.faults, paint)
    _print_rows("looked at", verdict.looked_at, paint)
    _print_rows("not known", verdict.not_looked_at, paint)


def _print_rows(label: str, texts: Iterable[str], paint: Paint) -> None:
    """Print texts, a line or more each, behind a label that stands before the first."""
    for text in texts:
        first, *rest = _wrapped(text)
        say(f"{' ' * 14}{paint.dim(label.ljust(9))} {first}")
        for line in rest:
            say(f"{_INDENT}  {line}")
        label = ""


def _wrapped(text: str) -> list[str]:
    width = min(_WIDTH, shutil.get_terminal_size().columns) if is_terminal(sys.stdout) else _WIDTH
    return textwrap.wrap(escape(text), max(width - len(_INDENT), _ROOM_MIN), break_on_hyphens=False) or [""]
