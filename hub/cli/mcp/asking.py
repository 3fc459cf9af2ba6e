"""How the tools that read are answered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ...query import Selection
from ..approvals import one_of
from ..output import escape_json
from .answers import BYTES_MAX, NOTICE, Answer, as_json, bounded, slim
from .given import Given
from .reading import Asked, Board, Boarded, Reads, Row, Taken
from .schemas import LIMIT_MAX, VIEWS

__all__ = ("approvals", "board", "query", "show", "tail", "trail")

_TRAIL_CHARS = 1000
_OVERVIEW: tuple[tuple[Board, int, str | None, tuple[str, ...]], ...] = (
    ("approvals", 5, "state", ("waiting",)),
    ("agents", 15, None, ()),
    ("troubles", 10, None, ()),
    ("tasks", 10, "state", ("running",)),
    ("runs", 10, "state", ("open", "failed")),
    ("listeners", 10, None, ()),
)
"""How many rows of each board, and which."""
_OF_APPROVAL_CHARS = 4000


# --- records --------------------------------------------------------------------------------------------------------


async def tail(reads: Reads, given: Given) -> str:
    """Return the newest records, the oldest of them first."""
    limit = given.whole("last", 50, least=1, most=LIMIT_MAX)
    asked = Asked(
        selection=await given.selection(),
        outcomes=given.outcomes(),
        limit=limit,
        newest_first=True,
        is_whole=given.flag("whole"),
    )
    answer = Answer(of=bounded(reads.name), order="the oldest first")
    return _ended(answer, await reads.events(asked, answer))


async def query(reads: Reads, given: Given) -> str:
    """Return a page of the records that are selected."""
    newest_first = given.flag("newest_first")
    asked = Asked(
        selection=await given.selection(),
        outcomes=given.outcomes(),
        after=given.text("after") or None,
        limit=given.whole("limit", 100, least=1, most=LIMIT_MAX),
        newest_first=newest_first,
        is_whole=given.flag("whole"),
    )
    answer = Answer(of=bounded(reads.name), order=f"the {'newest' if newest_first else 'oldest'} first")
    taken = await reads.events(asked, answer)
    if taken.is_more:
        goes_on = "query again with after=cursor, and the same filters"
        return answer.text(cursor=taken.last, more=True, go_on=goes_on, notes=taken.notes)
    told = {} if newest_first else {"cursor": taken.last or asked.after}  # from there on it may grow
    return answer.text(more=False, **told, notes=taken.notes)


async def trail(reads: Reads, given: Given) -> str:
    """Return what happened to one agent, channel, task, correlation or session."""
    named = [name for name in ("agent", "channel", "task", "correlation", "session") if name in given]
    if len(named) != 1:
        which = f"there are {' and '.join(named)}" if named else "there is none"
        raise given.refusal(
            f"give exactly one of agent, channel, task, correlation and session: {which}; query takes several"
        )
    [name] = named
    before = given.text("before") or None
    selection = await given.selection()
    asked = Asked(
        selection=selection,
        after=before,
        limit=given.whole("last", 100, least=1, most=LIMIT_MAX),
        newest_first=True,
        chars=_TRAIL_CHARS,
    )
    answer = Answer(of=bounded(reads.name), trail_of={name: bounded(given.text(name))}, order="the oldest first")
    taken = await reads.events(asked, answer)
    counted = await _counted(reads, selection) if before is None and answer.count else None
    return _ended(answer, taken, counted=counted)


async def _counted(reads: Reads, selection: Selection) -> dict[str, Any] | None:
    counts = await reads.counts(selection)
    return bounded(counts) if counts else None


def _ended(answer: Answer, taken: Taken, **facts: Any) -> str:
    """Return the answer about the newest records, in the order in which they came."""
    answer.reverse()
    older = taken.last if taken.is_more else None
    return answer.text(
        **facts,
        cursor_older=older,
        cursor_newer=taken.first,
        go_on="older: query with newest_first=true, after=cursor_older (trail: before=cursor_older);"
        " what came since: query with after=cursor_newer"
        if older or taken.first
        else None,
        notes=taken.notes,
    )


async def show(reads: Reads, given: Given) -> str:
    """Return one record in full, or a piece of one that is longer than an answer."""
    wanted, offset = given.text("event").strip(), given.whole("offset", 0, least=0, most=10**12)
    fields = await (reads.again(wanted) if offset else reads.one(wanted))
    whole = as_json(fields)
    if not offset and len(whole.encode()) <= BYTES_MAX - len(NOTICE) - 1000:
        text = escape_json(json.dumps(fields, indent=1, ensure_ascii=False))
        fits = len(text.encode()) <= BYTES_MAX - len(NOTICE) - 1000
        return f'{{\n"notice": {as_json(NOTICE)},\n"record": {text if fits else whole}\n}}'
    piece = whole[offset : offset + BYTES_MAX // 2]
    while len(as_json(piece).encode()) > BYTES_MAX - len(NOTICE) - 1000:  # quotes are escaped once more
        piece = piece[: len(piece) // 2]
    following = offset + len(piece)
    facts = {
        "notice": NOTICE,
        "record_characters": len(whole),
        "offset": offset,
        "next_offset": following if following < len(whole) else None,
        "piece_of_json": piece,
    }
    return "{\n" + ",\n".join(f'"{name}": {as_json(value)}' for name, value in facts.items()) + "\n}"


# --- boards ---------------------------------------------------------------------------------------------------------


async def board(reads: Reads, given: Given) -> str:
    """Return the rows of a board, or the first of each."""
    view = given.choice("view", VIEWS)
    tenant = given.text("tenant") or None
    limit, skip = given.whole("limit", 50, least=1, most=LIMIT_MAX), given.whole("skip", 0, least=0, most=5000)
    if view == "overview":
        return await _overview(reads, tenant)
    which: Any = view
    found = await reads.board(which, tenant, skip + limit)
    answer = Answer(of=bounded(reads.name), view=view)
    return _page(answer, found, [slim(each) for each in found.rows[skip:]], skip)


def _page(answer: Answer, found: Boarded, rows: Sequence[Row], skip: int) -> str:
    """Return as many rows as there is room for, and where the next page begins."""
    for row in rows:
        if not answer.add(row):
            break
    more = found.not_shown + len(rows) - answer.count
    following = skip + answer.count if more and answer.count else None
    return answer.text(not_shown=more or None, next_skip=following, notes=found.notes)


async def _overview(reads: Reads, tenant: str | None) -> str:
    hub = await reads.hub()
    answer = Answer(of=bounded(reads.name), view="overview", hub=slim(hub))
    notes: dict[str, None] = {}
    counted: dict[str, int] = {}
    for name, most, key, wanted in _OVERVIEW:
        found = await reads.board(name, tenant, LIMIT_MAX)
        rows = [each for each in found.rows if key is None or each.get(key) in wanted]
        counted[name] = len(rows) + (found.not_shown if key is None else 0)
        notes |= dict.fromkeys(found.notes)
        for each in rows[:most]:
            answer.add({"board": name, **slim(each)})
    return answer.text(counted=counted, go_on="view=agents and others have all rows", notes=[*notes])


# --- approvals ------------------------------------------------------------------------------------------------------


async def approvals(reads: Reads, given: Given) -> str:
    """Return the approvals that wait, or one with all that it is decided by."""
    tenant = given.text("tenant") or None
    limit, skip = given.whole("limit", 20, least=1, most=100), given.whole("skip", 0, least=0, most=5000)
    found = await reads.board("approvals", tenant, LIMIT_MAX)
    answer = Answer(of=bounded(reads.name))
    if wanted := given.text("approval"):
        approval = one_of(found.rows, wanted, reads.name)
        row = await _with_arguments(reads, approval, _OF_APPROVAL_CHARS)
        said = [
            bounded({"agent": each.get("agent"), "says": each.get("text")})
            for each in await reads.said_before(approval)
        ]
        answer.add({**row, "said_before": said})
        return answer.text(notes=found.notes)
    is_all = given.flag("all")
    rows = [each for each in found.rows if is_all or each["state"] == "waiting"]
    for each in rows[skip : skip + limit]:
        if not answer.add(await _with_arguments(reads, each, _OF_APPROVAL_CHARS // 4)):
            break
    more = len(rows) - skip - answer.count + (found.not_shown if is_all else 0)
    notes = [*found.notes]
    if not rows:
        notes.append(f"no approval {'is remembered' if is_all else 'waits'}")
    return answer.text(
        not_shown=more if more > 0 else None,
        next_skip=skip + answer.count if more > 0 and answer.count else None,
        notes=notes,
    )


async def _with_arguments(reads: Reads, approval: Row, chars: int) -> dict[str, Any]:
    """Return the row of an approval with its arguments, those that are long cut."""
    row = slim(approval)
    arguments = await reads.arguments(approval)
    if arguments is None:
        return row
    text = as_json(arguments)
    if len(text) <= chars:
        return {**row, "arguments": arguments}
    by = f"show seq {approval['requested_seq']} has all of it"
    return {**row, "arguments": f"{text[:chars]}…", "arguments_cut": f"{len(text) - chars:,} characters more; {by}"}
