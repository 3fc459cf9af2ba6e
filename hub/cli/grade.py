"""``hubwire grade``: a log, beside what the runtime of the agents has recorded itself."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import anyio
import attrs

from ..errors import ConfigurationError, HubError
from ..grading import Deed, Difference, Grade, grade as graded, said_in
from ..redaction import Redactor
from .failures import CommandFailed
from .grading.logs import as_told, read_deeds
from .grading.told import Told, read_transcript
from .importing.ag2_source import is_ag2_store
from .output import Paint, cells_of, crop, escape, is_terminal, plural, say

__all__ = ("NOT_COMPLETE", "Wanted", "grade")

NOT_COMPLETE = 1
_UNREADABLE = 2
_SHOWN_MAX = 20
"""So many of each list are printed for people; --json has all."""
_WIDTH, _CELL_WIDTH = 110, 32

Row = tuple[str, str, str]
"""Where, what, and which contents."""


@attrs.frozen(kw_only=True)
class Wanted:
    """What is compared with the log, and where in its store the log is."""

    against: str
    format: str = "auto"
    messages_key: str | None = None
    log: str | None = None
    against_log: str | None = None


def grade(target: str, wanted: Wanted, *, as_json: bool = False, raw: bool = False) -> int:
    """Compare a log with another record, print what was found, and return the exit code."""
    try:
        path, deeds = anyio.run(read_deeds, target, wanted.log)
        told = _told(wanted)
    except ConfigurationError:
        raise
    except (HubError, CommandFailed, OSError) as error:
        failure = CommandFailed(str(error))
        failure.exit_code = _UNREADABLE
        raise failure from error
    if not told.deeds:
        failure = CommandFailed(f"{wanted.against} says of nothing that it was done, so nothing was compared")
        failure.exit_code = _UNREADABLE
        raise failure
    found = graded(deeds, told.deeds)
    notes = (*found.not_compared, *told.notes)
    printer = _Printer(found, Redactor.shared() if not raw else None)
    if as_json:
        say(json.dumps(_as_json(found, told, notes, path, printer)))
    else:
        say(f"{path} in {escape(target)}, against {escape(wanted.against)} ({told.format})")
        printer.print(notes)
    return 0 if found.is_complete else NOT_COMPLETE


def _told(wanted: Wanted) -> Told:
    """Read the other record: the log of a hub where it is a store, and else a transcript."""
    if _is_store(wanted):
        path, deeds = anyio.run(read_deeds, wanted.against, wanted.against_log)
        return Told(f"log {path}", as_told(deeds))
    return read_transcript(wanted.against, wanted.format, wanted.messages_key)


def _is_store(wanted: Wanted) -> bool:
    if wanted.format != "auto":
        return wanted.format == "log"
    if wanted.against == "-":
        return False
    return "://" in wanted.against or (Path(wanted.against).is_dir() and not is_ag2_store(wanted.against))


def _as_json(found: Grade, told: Told, notes: Sequence[str], path: str, printer: _Printer) -> dict[str, Any]:
    def of(deed: Deed) -> dict[str, Any]:
        kept = {name: value for name, value in attrs.asdict(deed).items() if value not in ("", None)}
        return {**kept, "content": json.loads(printer.content(deed.content))} if "content" in kept else kept

    def pair(each: Difference) -> dict[str, Any]:
        return {"told": of(each.told), "logged": of(each.logged)}

    return {
        "log": path,
        "format": told.format,
        "is_complete": found.is_complete,
        "tallies": {name: attrs.asdict(tally) for name, tally in found.tallies.items()},
        "missing": [of(deed) for deed in found.missing],
        "different": [pair(each) for each in found.different],
        "only_in_log": [of(deed) for deed in found.only_in_log],
        "moved": [pair(each) for each in found.moved],
        "not_compared": list(notes),
    }


class _Printer:
    """Prints a grade for people."""

    def __init__(self, found: Grade, redactor: Redactor | None) -> None:
        self._found = found
        self._redactor = redactor
        self._paint = Paint(sys.stdout)
        self._width = min(_WIDTH, shutil.get_terminal_size().columns) if is_terminal(sys.stdout) else _WIDTH

    def print(self, notes: Sequence[str]) -> None:
        self._table()
        found, paint = self._found, self._paint
        self._list("missing in the log", [self._row(deed) for deed in found.missing], paint.red)
        self._list("not the same", [row for each in found.different for row in self._both(each)], paint.red, per=2)
        self._list("only in the log", [self._row(deed) for deed in found.only_in_log], paint.amber)
        moved = [self._row(each.told, f"in the log at {each.logged.place}") for each in found.moved]
        self._list("in another order", moved, paint.amber)
        if notes:
            say("")
            say(paint.bold("not compared"))
            for note in notes:
                for line in textwrap.wrap(escape(note), max(self._width - 2, 20), break_on_hyphens=False):
                    say(f"  {line}")
        say("")
        say(self._verdict())

    def _table(self) -> None:
        names = ("recorded", "in the log", "missing", "different", "in part", "only in log")
        say("")
        say(self._paint.dim("".join(["".ljust(12), *(name.rjust(12) for name in names)])))
        for what, tally in self._found.tallies.items():
            numbers = (tally.told, tally.found, tally.missing, tally.different, tally.unclear, tally.only_in_log)
            cells = [f"{number:,}".rjust(12) if number else "-".rjust(12) for number in numbers]
            for place in (2, 3):
                if numbers[place]:
                    cells[place] = self._paint.red(cells[place])
            say(f"{what + 's':<12}{''.join(cells)}")

    def _list(self, title: str, rows: Sequence[Row], colour: Callable[[str], str], *, per: int = 1) -> None:
        """Print rows of place, name and content; ``per`` of them belong together."""
        if not rows:
            return
        say("")
        say(colour(title))
        shown = rows[: _SHOWN_MAX * per]
        widths = [min(max(cells_of(row[column]) for row in shown), _CELL_WIDTH) for column in (0, 1)]
        for row in shown:
            cells = (
                f"{(cut := crop(cell, width))}{' ' * (width - cells_of(cut))}"
                for cell, width in zip(row, widths, strict=False)
            )
            say("  " + crop(f"{'  '.join(cells)}  {row[2]}", self._width - 2).rstrip())
        if len(rows) > len(shown):
            say(f"  … and {len(rows) // per - _SHOWN_MAX:,} more; --json has all")

    def _row(self, deed: Deed, more: str = "") -> Row:
        names = " ".join(filter(None, (deed.what, deed.name)))
        content = said_in(deed.content) if deed.what == "message" else deed.content
        text = deed.id if content is None else self.content(content)
        return escape(deed.place), escape(names), escape(more or text)

    def _both(self, each: Difference) -> Iterable[Row]:
        yield self._row(each.told)
        yield self._row(each.logged)

    def content(self, value: Any) -> str:
        """Return contents as they are shown: as JSON, and redacted."""
        if value is None:
            return "null"
        shown = value if self._redactor is None else self._redactor.redact(value)
        return json.dumps(shown, ensure_ascii=False, default=str)

    def _verdict(self) -> str:
        found, paint = self._found, self._paint
        told = sum(tally.told for tally in found.tallies.values())
        if found.is_complete:
            return paint.green(f"all {plural(told, 'deed')} of the record are in the log")
        lacking = f"{len(found.missing):,} of {plural(told, 'deed')} of the record are missing in the log"
        return paint.red(f"{lacking}, {len(found.different):,} differ")
