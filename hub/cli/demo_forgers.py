"""The last part of ``hubwire demo``: two forgers, each with a copy of the log, and what verifying says of them."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable

from hubwire.listeners.audit import Outcome, Verification, examine
from hubwire.stores import MemoryStore

from ..clock import SystemClock
from ..codec import body_of
from ..log import Head, Log, LogReader, Record, segment_path
from ..ports import KnowledgeStore
from .failures import CommandFailed
from .output import Paint, escape, say
from .target import AUDIT, fields_of

__all__ = ("ForgersUnseen", "show_forgers")

_WIDTH = 80
_LABEL = 14
_TRUE = b"looks good to me"
_FALSE = b"nobody looked at"
_OWN = {"log.rotated", "log.batch_begun"}
"""Records that a log writes of itself where it needs them, and would not find right in another place."""


class ForgersUnseen(CommandFailed):
    """A forger was not seen by what should see it, or was by what cannot."""


async def show_forgers(store: KnowledgeStore, head: Head) -> None:
    """Show a change that verifying catches, and one that only a head kept elsewhere does.

    ``head`` is that of the log: it was kept elsewhere. Raises :class:`ForgersUnseen`.
    """
    records = await _records(store)
    wanted = next((record for record in records if _TRUE in record.line), None)
    if wanted is None:
        return
    paint = Paint(sys.stdout)
    say("")
    say(paint.bold("And if the log is forged? Two forgers, each with a copy of it."))
    say("")
    _item(paint, "1", f"One changes record {wanted.index}, which a reviewer wrote:")
    _quote(paint, wanted)
    copy = await _changed(records)
    _answer(paint, "hubwire verify", found := await examine(copy, journal=None), ("integrity",))
    _conclude(paint.green, "Caught by the log itself: each h follows from the record before.", is_right=not found.holds)
    _item(paint, "2", "The other writes the log anew from there: each h, and the end.")
    say("")
    copy = await _written_anew(records)
    found = await examine(copy, journal=None)
    _answer(paint, "hubwire verify", found, ("integrity", "completeness"))
    _conclude(paint.red, "Not caught: by itself this log is as good as the true one.", is_right=found.holds)
    found = await examine(copy, journal=None, expect_head=head)
    _answer(paint, f"hubwire verify --expect-head {head}", found, ("integrity",))
    _conclude(paint.green, "Caught by the head that was kept where no forger can write.", is_right=not found.holds)
    for line in textwrap.wrap(
        "Keep heads elsewhere, or sign the log and keep its checkpoints: docs/attackers.md has what each attacker can"
        " do, and what sees it.",
        _WIDTH,
    ):
        say(line)
    say("")


async def _records(store: KnowledgeStore) -> list[Record]:
    reader, records = LogReader(store, AUDIT), []
    while some := await reader.read():
        records += some
    return records


async def _changed(records: list[Record]) -> MemoryStore:
    """Return a copy in which a text was changed in the file."""
    copy = MemoryStore()
    content = b"".join(record.line + b"\n" for record in records if _kind(record) != "log.rotated")
    await copy.write(segment_path(AUDIT, 0), content.replace(_TRUE, _FALSE, 1))
    return copy


async def _written_anew(records: list[Record]) -> MemoryStore:
    """Return a copy that hubwire itself has written, as a forger would let it do."""
    copy = MemoryStore()
    log = Log(copy, AUDIT, clock=SystemClock(), chained=True)
    is_changed = False
    for record in records:
        if _kind(record) in _OWN:
            continue
        body = body_of(record.line)
        if not is_changed and _TRUE in body:
            body, is_changed = body.replace(_TRUE, _FALSE, 1), True
        await log.append([body])
    await log.aclose()
    return copy


def _kind(record: Record) -> object:
    return (fields_of(record) or {}).get("kind")


# --- what is printed -------------------------------------------------------------------------------------------------


def _item(paint: Paint, number: str, text: str) -> None:
    say(f"{paint.bold(number)}  {text}")


def _quote(paint: Paint, record: Record) -> None:
    fields = fields_of(record) or {}
    for sign, text, colour in (("-", _TRUE, paint.dim), ("+", _FALSE, paint.red)):
        say(colour(f"   {sign} #{fields.get('seq')} {fields.get('kind')}: {text.decode()}"))
    say("")


def _answer(paint: Paint, command: str, found: Verification, names: tuple[str, ...]) -> None:
    say(f"   {paint.dim('$')} {command}")
    for name in names:
        verdict = found.verdicts[name]
        colour = paint.red if verdict.outcome is Outcome.FAILS else paint.green
        text = verdict.faults[0] if verdict.faults else verdict.reason
        first, *rest = textwrap.wrap(escape(text), _WIDTH - _LABEL - 14, break_on_hyphens=False)
        say(f"   {name.ljust(_LABEL)}{colour(verdict.outcome.value.ljust(7))} {first}")
        for line in rest:
            say(f"{' ' * (_LABEL + 11)}{line}")


def _conclude(colour: Callable[[str], str], text: str, *, is_right: bool) -> None:
    if not is_right:
        raise ForgersUnseen(f"the demo was to show this, and it is not so: {text}")
    say(colour(f"   → {text}"))
    say("")
