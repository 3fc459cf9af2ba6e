"""Cutting: a log ended before one of its records by an operator's wish, where damage leaves no other way.

No byte is lost: what is behind the cut goes to other files first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import attrs

from .._values import Value
from ..errors import InvalidRecord, LogDamaged
from ..ports import CuttableStore, KnowledgeStore
from ._lines import LineCheck
from ._reading import first_kept, list_segments, segment_path
from ._rotation import next_named
from ._tail import Tail

__all__ = ("Cut", "cut_log", "end_log", "find_beginning", "find_cut", "find_first", "find_unbegun")

SetAside = Callable[[str, int], Awaitable[None]]
"""Puts the content of a file from some byte on somewhere else, and returns when it is there."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Cut(Value):
    """Where a log is to end."""

    path: str
    """The log's."""
    record: int
    """The first record behind the end."""
    segment: str
    """The segment that is cut."""
    byte_offset: int
    """Where in it the record begins."""
    size: int
    """The bytes of this segment."""
    later: tuple[str, ...]
    """The segments behind it."""
    reason: str
    """What is wrong with the record; empty if it was named."""
    first: int
    """The first record of the log."""
    last_seq: int | None
    """``seq`` of the last event before the end; None if there is none."""


async def find_cut(
    store: KnowledgeStore, path: str, *, record: int | None = None, seq: int | None = None
) -> Cut | None:
    """Return where a log would be cut: before ``record``, before the event ``seq``, or else before the first damage.

    None if there is no such record. Every record before it is checked.
    """
    kept = await first_kept(store, path)
    segments = [first for first in await list_segments(store, path) if first >= kept]
    check = LineCheck(Tail(), is_chained=None)
    for number, first in enumerate(segments):
        if number == 0:
            check.tail = Tail(first=first, records=first, chain=None if first else b"")
        content = await store.read_bytes(segment_path(path, first)) or b""
        if (place := _place_in(content, first, check, record, seq)) is not None:
            return Cut(
                path=path,
                record=place.record,
                segment=segment_path(path, first),
                byte_offset=place.offset,
                size=len(content),
                later=tuple(segment_path(path, later) for later in segments[number + 1 :]),
                reason=place.reason,
                first=segments[0],
                last_seq=place.last_seq,
            )
    return None


async def find_beginning(store: KnowledgeStore, path: str) -> int | None:
    """Return the first record of the oldest segment from which on all records are as written; None if there is none.

    The damage of the log is before it. The chain value of the first record is taken on trust.
    """
    following: int | None = None
    for first in reversed(await list_segments(store, path)):
        content = await store.read_bytes(segment_path(path, first)) or b""
        check = LineCheck(Tail(first=first, records=first, chain=None), is_chained=None)
        is_damaged = _place_in(content, first, check, None, None) is not None
        if is_damaged or check.tail.records != (following or check.tail.records):
            break
        following = first
    return following


async def find_first(store: KnowledgeStore, path: str) -> int:
    """Return the record with which a log begins: as the file ``kept`` says or, if that is damaged, as segments do.

    Then it is the oldest from which each names the one after it, up to the newest. What is before that was truncated,
    and a crash has left it, maybe half of it.
    """
    segments = await list_segments(store, path)
    with suppress(LogDamaged):
        if (kept := await first_kept(store, path)) in segments:
            return kept
    first = segments[-1] if segments else 0
    for before in reversed(segments[:-1]):
        if await _next_of(store, path, before) != segment_path(path, first):
            break
        first = before
    return first


async def find_unbegun(store: KnowledgeStore, path: str) -> str | None:
    """Return the segment that the newest one names as the next; None if it names none, so that the log ends in it."""
    segments = await list_segments(store, path)
    named = await _next_of(store, path, segments[-1]) if segments else None
    return named if isinstance(named, str) and named.startswith(f"{path}/log/") else None


async def _next_of(store: KnowledgeStore, path: str, first: int) -> object:
    segment = segment_path(path, first)
    try:
        return await next_named(store, segment, await store.size(segment) or 0)
    except InvalidRecord:
        return None


@attrs.frozen(eq=False, repr=False)
class _Place(Value):
    record: int
    offset: int
    last_seq: int | None
    reason: str = ""


def _place_in(content: bytes, first: int, check: LineCheck, record: int | None, seq: int | None) -> _Place | None:
    """Return where a segment is to be cut; None if not in this one."""
    if first != check.tail.records:
        return _Place(
            check.tail.records, 0, check.tail.seq, f"records {check.tail.records} to {first - 1} are missing before it"
        )
    check.tail.size = 0
    *lines, rest = content.split(b"\n")
    for line in lines:
        place = _Place(check.tail.records, check.tail.size, check.tail.seq)
        if record is not None and place.record >= record:
            return place
        try:
            check.add(line)
        except InvalidRecord as error:
            return attrs.evolve(place, reason=str(error))
        if seq is not None and check.tail.seq is not None and check.tail.seq >= seq:
            return place
    if not rest:
        return None
    return _Place(check.tail.records, check.tail.size, check.tail.seq, "it has no end")


async def cut_log(store: KnowledgeStore, cut: Cut, set_aside: SetAside) -> None:
    """End a log where ``cut`` says; what is behind that is set aside first, and so is the marker of its end.

    Interrupted anywhere it may be called again with a cut that was found anew: the last segments go first.
    """
    for path in reversed(cut.later):
        await set_aside(path, 0)
        await store.delete(path)
    if cut.byte_offset < cut.size:
        await set_aside(cut.segment, cut.byte_offset)
    if cut.byte_offset == 0:
        if cut.record and cut.record == cut.first:
            await store.write(cut.segment, b"")  # the file ``kept`` names it
        else:
            await store.delete(cut.segment)
    elif isinstance(store, CuttableStore):
        await store.cut(cut.segment, cut.byte_offset, expect=cut.size)
    else:
        content = await store.read_bytes(cut.segment, 0, cut.byte_offset) or b""
        await store.write(cut.segment, content, expect=cut.size)
    await end_log(store, cut.path, set_aside)


async def end_log(store: KnowledgeStore, path: str, set_aside: SetAside) -> None:
    """Let a log that was cut end there: begin the segment that the last one names, and set the marker aside."""
    unbegun = await find_unbegun(store, path)
    if unbegun is not None and not await store.exists(unbegun):
        await store.write(unbegun, b"", if_absent=True)
    if await store.exists(f"{path}/clean"):
        await set_aside(f"{path}/clean", 0)
        await store.delete(f"{path}/clean")
