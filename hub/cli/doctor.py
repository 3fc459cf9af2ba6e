"""``hubwire doctor``: what is in a store, what is wrong with it, and what can be done. It only reads."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Mapping
from shutil import get_terminal_size

import anyio
import attrs

from ..errors import ConfigurationError
from .failures import CommandFailed
from .inspection import JournalReport, LogReport, StoreReport, inspect_store
from .output import Paint, escape, plural, say
from .target import READING_SECONDS, emptiness, open_target

__all__ = ("Unwell", "doctor", "say_store")

_LOOKS_AGAIN = 3
"""How often a store in use is looked at again if something seems wrong with it."""

_PAUSE_SECONDS = 0.3
_WIDTH_MAX = 110
_LABEL = 12
_COMMAND = ": hubwire "


class Unwell(CommandFailed):
    """The store has a problem."""


async def doctor(target: str, *, as_json: bool) -> None:
    """Print what is found. Raises :class:`Unwell` if there is a problem."""
    store = open_target(target, READING_SECONDS)
    try:
        if not await store.exists("/"):
            raise ConfigurationError(await emptiness(target))
        report = await inspect_store(store, name=target)
        for _ in range(_LOOKS_AGAIN):
            if not (report.problems and report.holders):
                break
            await anyio.sleep(_PAUSE_SECONDS)  # what a hub changed while it was read is no problem the next time
            report = await inspect_store(store, name=target)
    finally:
        await store.aclose()
    if as_json:
        say(json.dumps(_as_json(report)))
    else:
        say_store(report)
        _say_findings(report)
    if report.problems:
        raise Unwell(f"{plural(len(report.problems), 'problem')} in {target}")


def say_store(report: StoreReport) -> None:
    """Print what there is: a few lines for each log."""
    for journal in report.journals:
        _say_rows(journal.path, _journal_rows(journal))
    for log in report.logs:
        _say_rows(log.path, _log_rows(log))
    if not report.journals and not report.logs:
        say("no log is in it: a hub starts here with an empty history")


def _journal_rows(report: JournalReport) -> Mapping[str, str]:
    found = report.inspection
    rows = {"journal": _size(found.segments, found.size_bytes)}
    if report.next_seq > report.first_seq:
        rows["events"] = f"seq {report.first_seq} to {report.next_seq - 1} of hub {report.hub}"
    rows["snapshots"] = ", ".join(f"before event {seq}" for seq in report.snapshots) or "none"
    behind = (f"{name} at {seq}, {report.next_seq - seq:,} behind" for name, seq in report.positions)
    rows["positions"] = "; ".join(behind) or "none"
    rows["closed"] = _closed(found.is_clean)
    return rows


def _log_rows(report: LogReport) -> Mapping[str, str]:
    found, known = report.inspection, report.verification
    rows = {"audit log": _size(found.segments, found.size_bytes)}
    if known is not None:
        if known.last_seq is not None:
            rows["events"] = f"{known.events:,}, seq {known.first_seq} to {known.last_seq} of hub {known.hub}"
        if known.pruned is not None:
            rows["pruned"] = str(known.pruned)
        rows["head"] = str(known.head)
        rows["verify"] = ", ".join(f"{name} {verdict.outcome.value}" for name, verdict in known.verdicts.items())
    rows["closed"] = _closed(found.is_clean)
    return rows


def _size(segments: tuple[int, ...], size_bytes: int) -> str:
    return f"{plural(len(segments), 'segment')}, {size_bytes:,} bytes"


def _closed(is_clean: bool) -> str:
    return "in order" if is_clean else "no: a hub is at work, or its process was killed"


def _say_rows(path: str, rows: Mapping[str, str]) -> None:
    paint = Paint(sys.stdout)
    say(paint.bold(escape(path)))
    for label, value in rows.items():
        _say_wrapped(f"  {paint.dim(label.ljust(_LABEL))}", value)
    say("")


def _say_findings(report: StoreReport) -> None:
    paint = Paint(sys.stdout)
    for holder in report.holders:
        _say_wrapped(
            paint.bold("in use".ljust(_LABEL + 2)),
            f"{holder}; what is wrong was seen in each of {_LOOKS_AGAIN + 1} looks" if report.problems else holder,
        )
    for note in report.notes:
        _say_wrapped(paint.dim("note".ljust(_LABEL + 2)), note)
    for problem in report.problems:
        _say_wrapped(paint.red("problem".ljust(_LABEL + 2)), problem.text)
        _say_advice(paint.dim("what to do".ljust(_LABEL + 2)), problem.advice)
    if not any(problem.is_in_the_way for problem in report.problems):
        is_copy = any(log.verification is not None and log.verification.is_copy for log in report.logs)
        what = "it can be read and verified; no hub goes on here" if is_copy else "a hub starts here"
        say(f"{paint.green('well') if not report.problems else 'all the same'}: {what}")


def _say_advice(label: str, advice: str) -> None:
    """Print what can be done; a command on a line of its own, so that it can be copied."""
    text, colon, command = advice.partition(_COMMAND)
    _say_wrapped(label, f"{text}:" if colon else text)
    if colon:
        say(f"{' ' * (_LABEL + 3)}{escape(f'hubwire {command}')}")


def _say_wrapped(label: str, text: str) -> None:
    width = min(get_terminal_size((_WIDTH_MAX, 24)).columns, _WIDTH_MAX)
    space = max(width - _LABEL - 3, 2 * _LABEL)
    lines = textwrap.wrap(escape(text), space, break_on_hyphens=False, break_long_words=False) or [""]
    say(f"{label} {lines[0]}")
    for line in lines[1:]:
        say(f"{' ' * (_LABEL + 3)}{line}")


def _as_json(report: StoreReport) -> dict[str, object]:
    return {
        "journals": [{"path": each.path, **_journal_fields(each)} for each in report.journals],
        "logs": [{"path": each.path, **_log_fields(each)} for each in report.logs],
        "holders": list(report.holders),
        "notes": list(report.notes),
        "problems": [attrs.asdict(problem) for problem in report.problems],
    }


def _journal_fields(report: JournalReport) -> dict[str, object]:
    return {
        "hub": report.hub,
        "first_seq": report.first_seq,
        "next_seq": report.next_seq,
        "bytes": report.inspection.size_bytes,
        "segments": len(report.inspection.segments),
        "snapshots": list(report.snapshots),
        "positions": dict(report.positions),
        "closed": report.inspection.is_clean,
    }


def _log_fields(report: LogReport) -> dict[str, object]:
    known = report.verification
    fields: dict[str, object] = {
        "bytes": report.inspection.size_bytes,
        "segments": len(report.inspection.segments),
        "closed": report.inspection.is_clean,
    }
    if known is not None:
        fields |= {
            "records": known.records,
            "events": known.events,
            "first_record": known.first_record,
            "head": str(known.head),
            "verdicts": {name: verdict.outcome.value for name, verdict in known.verdicts.items()},
        }
    return fields
