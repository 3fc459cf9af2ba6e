"""``hubwire report``: a log, or a part of it, as one HTML file for a person."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from ..exports import Report
from .exporting import STDOUT, Source, export_to, size_text
from .output import plural, say
from .tail import Selection
from .target import AUDIT, JOURNAL, beginning_of, find_log, open_target

__all__ = ("report",)

_COMFORTABLE = 100_000
"""How many records the page of a report shows without making its reader wait."""


class _LogReport(Report):
    """A report that asks at its end what was learnt while its records were read."""

    def __init__(self, title: str, selection: str | None, source: Source) -> None:
        super().__init__(title, selection=selection)
        self._source = source

    def end(self) -> Iterator[bytes]:
        self.names, self.head = self._source.names_used, self._source.head
        yield from super().end()


async def report(
    target: str, *, output: str, title: str | None, selection: Selection, log: str | None, raw: bool, force: bool
) -> None:
    """Write the report, and say what is in it."""
    store = open_target(target)
    try:
        path = await find_log(store, log, target)
        beginning = await beginning_of(store, path)
        source = Source(store, path, selection, raw=raw)
        words = None if selection.is_everything else selection_text(selection)
        heading = title if title is not None else _title(path, words)
        made = _LogReport(heading, words, source)
        size = await export_to(output, source, made, raw=raw, force=force)
    finally:
        await store.aclose()
    stream = sys.stderr if output == STDOUT else sys.stdout
    kept = "unredacted" if raw else "redacted"
    say(f"{plural(source.written, 'record')} of {path}, {kept}: {output}, {size_text(size)}", stream)
    if beginning:
        say(f"hubwire: {beginning}", sys.stderr)
    if source.head is not None:
        say(f"its head is {source.head}: keep it elsewhere, and compare it with that of the report", stream)
    if source.written > _COMFORTABLE:
        advice = "select some: --channel, --agent, --kind"
        say(f"hubwire: a browser takes a while for {plural(source.written, 'record')}; {advice}", sys.stderr)


def selection_text(selection: Selection) -> str:
    """Say what a selection takes, as the options that it was given by."""
    words = [f"kind {kind}" for kind in selection.kinds]
    words += [f"agent {selection.agent}"] if selection.agent is not None else []
    words += [f"channel {selection.channel}"] if selection.channel is not None else []
    return ", ".join(words)


def _title(path: str, words: str | None) -> str:
    """Return the title of a report, without the store: its path or URL may tell what the reader must not see."""
    what = {AUDIT: "Audit log", JOURNAL: "Journal"}.get(path, f"The log {path}")
    return what if words is None else f"{what}: {words}"
