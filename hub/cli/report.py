"""``hubwire report``: a log, or a part of it, as one HTML file for a person."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from ..errors import CheckpointInvalid
from ..exports import Report
from ..proof import SignedPart, VerifierKey
from ..query import Selection
from .exporting import STDOUT, LinkedSource, check_output, export_to, size_text
from .failures import CommandFailed
from .output import escape, plural, say
from .redacted import Shown, shown
from .target import AUDIT, JOURNAL, READING_SECONDS, beginning_of, find_log, open_target

__all__ = ("report", "verifier_key")

_NAMED_MAX = 5
_COMFORTABLE = 100_000
"""How many records the page of a report shows without making its reader wait."""


class _LogReport(Report):
    """A report that asks at its end what was learnt while its records were read."""

    def __init__(self, title: str, selection: str | None, source: LinkedSource) -> None:
        super().__init__(title, selection=selection)
        self._source = source

    def end(self) -> Iterator[bytes]:
        source = self._source
        self.names, self.head, self.signed = source.names, source.head, source.signed
        yield from super().end()


async def report(
    target: str,
    *,
    output: str,
    title: str | None,
    selection: Selection,
    log: str | None,
    raw: bool,
    force: bool,
    vkey: VerifierKey | None = None,
    witnesses: Sequence[VerifierKey] = (),
) -> None:
    """Write the report, and say what is in it."""
    check_output(output, is_text=False)
    store = open_target(target, READING_SECONDS)
    try:
        path = await find_log(store, log, target)
        beginning = await beginning_of(store, path)
        source = LinkedSource(store, path, selection, raw=raw, vkey=vkey, witnesses=witnesses)
        words = None if selection.is_everything else selection_text(_as_shown(selection, shown(raw=raw)))
        heading = title if title is not None else _title(path, words)
        made = _LogReport(heading, words, source)
        size = await export_to(output, source, made, raw=raw, force=force)
    except CheckpointInvalid as error:
        advice = "restore it, from the newest file in checkpoints/ beside it or a copy; hubwire verify says more"
        raise CommandFailed(f"{error}; {advice}") from error
    finally:
        await store.aclose()
    stream = sys.stderr if output == STDOUT else sys.stdout
    kept = "unredacted" if raw else "redacted"
    say(f"{plural(source.written, 'record')} of {path}, {kept}: {output}, {size_text(size)}", stream)
    if beginning:
        say(f"hubwire: {beginning}", sys.stderr)
    if source.head is not None:
        say(f"its head is {source.head}: keep it elsewhere, and compare it with that of the report", stream)
    if source.signed is not None and vkey is None:
        advice = "its reader pastes the verifier key, or give --vkey to put it in"
        say(f"it is signed, and the signature is in the report: {advice}", stream)
    if source.signed is not None and not witnesses and (seen := _witnesses_of(source.signed)):
        say(f"witnesses have seen it ({', '.join(map(escape, seen))}): give their keys by --witness", stream)
    if source.written > _COMFORTABLE:
        advice = "select some: --channel, --agent, --since"
        say(f"hubwire: a browser takes a while for {plural(source.written, 'record')}; {advice}", sys.stderr)


def _witnesses_of(part: SignedPart) -> list[str]:
    """Return the names of the witnesses whose cosignatures are in a report, as these say."""
    notes = [note for note in (part.note, part.witnessed) if note is not None]
    origin = part.note.text.partition("\n")[0]
    names = {each.name for note in notes for each in note.signatures if each.name != origin}
    return sorted(names)[:_NAMED_MAX]


def verifier_key(given: str | None) -> VerifierKey | None:
    """Return the key that an option is, or that is in the file which it names."""
    if given is None:
        return None
    try:
        text = Path(given).read_text(encoding="utf-8")
    except (OSError, ValueError):  # a key is no name of a file, and may be too long for one
        text = given
    return VerifierKey.parse(text)


def _as_shown(selection: Selection, as_shown: Shown) -> Selection:
    """Return a selection for the words of a report: what is searched for may be what must not be shown."""
    given = attrs.asdict(selection, recurse=False)
    pairs = tuple((key, tuple(_redacted(as_shown, key, text) for text in texts)) for key, texts in selection.where)
    changed: dict[str, Any] = {"where": pairs}
    for name, value in given.items():
        if name == "text" and value is not None:
            changed[name] = _redacted(as_shown, name, value)
        elif name != "where" and isinstance(value, tuple):
            changed[name] = tuple(_redacted(as_shown, name, text) for text in value)
    return attrs.evolve(selection, **changed)


def _redacted(as_shown: Shown, key: str, text: str) -> str:
    name = key.rpartition(".")[2]
    return str(as_shown.fields({name: text}).get(name, text))


def selection_text(selection: Selection) -> str:
    """Say what a selection takes, in the words of its options."""
    words = []
    for name, value in attrs.asdict(selection, recurse=False).items():
        if name in ("since", "until") or value in ((), None):
            continue
        if name == "where":
            words += [f"{key} {' or '.join(texts)}" for key, texts in value]
        else:
            words.append(f"{name} {value if isinstance(value, str) else ' or '.join(value)}")
    words += [f"since {selection.since_at.isoformat()}"] if selection.since_at is not None else []
    words += [f"until {selection.until_at.isoformat()}"] if selection.until_at is not None else []
    return ", ".join(words)


def _title(path: str, words: str | None) -> str:
    """Return the title of a report, without the store: its path or URL may tell what the reader must not see."""
    what = {AUDIT: "Audit log", JOURNAL: "Journal"}.get(path, f"The log {path}")
    return what if words is None else f"{what}: {words}"
