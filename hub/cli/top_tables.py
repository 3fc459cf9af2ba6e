"""The tables of ``hubwire top``: what each view has in its columns, and how wide they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs
from rich.text import Text

from .output import cells_of, crop, escape
from .top_frame import WORDS, duration
from .top_sources import View

__all__ = ("Column", "cells", "columns_for", "key_of", "matches", "needs_look")

Row = Mapping[str, Any]
_PADDING = 2
"""Cells that the table adds to each column."""
_SCROLLBAR = 2
_REST_MIN, _LEAST = 12, 6
"""Of the last column, and of each other one where there is no room."""

_SIGNS = {
    "failed": "✗",
    "late": "⧗",
    "expired": "⧗",
    "refused": "⊘",
    "denied": "⊘",
    "abandoned": "◌",
    "open": "◐",
}


@attrs.frozen
class Column:
    """A column: its head, its cells, and how wide it is; the one of no width takes the rest."""

    head: str
    cell: Callable[[Row], Text]
    cells: int = 0
    least: int = 0
    """From so many columns of the terminal on it is there."""
    justify: Literal["left", "right"] = "left"


def columns_for(view: View, width: int) -> list[Column]:
    """Return the columns that a terminal has room for; the last one takes what is left."""
    found = [each for each in _VIEWS[view] if width >= each.least]
    widths = [each.cells for each in found]
    while (rest := width - _SCROLLBAR - sum(widths) - _PADDING * len(widths)) < _REST_MIN and max(widths) > _LEAST:
        widths[widths.index(max(widths))] -= 1
    return [attrs.evolve(each, cells=cells or max(rest, _REST_MIN)) for each, cells in zip(found, widths, strict=True)]


def cells(columns: list[Column], row: Row) -> list[Text]:
    """Return the cells of a row, cut to their columns."""
    found = []
    for column in columns:
        text = column.cell(row)
        if cells_of(text.plain) > column.cells:
            text = Text(crop(text.plain, column.cells), text.style, justify=text.justify)
        found.append(text)
    return found


def key_of(view: View, row: Row) -> str:
    """Return what a row is known by."""
    name = {"live": "seq", "agents": "agent_id", "approvals": "approval_id", "listeners": "listener"}[view]
    return str(row.get(name))


def needs_look(view: View, row: Row) -> bool:
    """Tell whether a row is wrong, or needs attention: the next one is a key away."""
    if view == "live":
        return row.get("meaning") == "wrong"
    if view == "agents":
        return row["state"] in ("failing", "silent")
    return row["state"] == "waiting" if view == "approvals" else bool(row["is_troubled"])


def matches(row: Row, wanted: str) -> bool:
    """Tell whether a row has a text that is looked for, in whatever case."""
    return not wanted or any(wanted.casefold() in str(value).casefold() for value in row.values())


# --- cells ----------------------------------------------------------------------------------------------------------


def _said(text: Any, style: str = "") -> Text:
    return Text(escape("" if text is None else str(text)), style)


def _number(count: Any, style: str = "") -> Text:
    if count is None:
        return Text("–", "dim", justify="right")
    return Text(f"{count:,}", style if count else "dim", justify="right")


def _meaning(row: Row) -> str:
    return {"wrong": "red", "attention": "yellow"}.get(row.get("meaning") or "", "")


def _outcome(row: Row) -> Text:
    outcome = row.get("outcome") or ""
    return Text(_SIGNS.get(outcome, ""), {"failed": "red", "late": "red", "open": "cyan"}.get(outcome, "yellow"))


def _took(row: Row) -> Text:
    taken = row.get("took_ms")
    return Text("" if taken is None else duration(taken / 1000), "dim", justify="right")


def _state(row: Row) -> Text:
    icon, words, style = WORDS.get(row["state"], ("", str(row["state"]), ""))
    words = words.replace("waits for a person", "waits: person").replace("waits for an agent", "waits: agent")
    return Text(f"{icon} {words}", style)


def _doing(row: Row) -> Text:
    doing = row["doing"]
    if row["state"] == "failing":
        return _said(row["why"].partition(": ")[2] or row["why"], "red")
    if doing is None:
        return Text("does not read its inbox" if row["state"] == "silent" else "–", "dim")
    what = doing["family"] if not doing["name"] else f"{doing['family']} {doing['name']}"
    return _said(f"{what} {duration(doing['seconds'])}")


def _inbox(row: Row) -> Text:
    inbox, cap = row["inbox"], row["inbox_cap"]
    return _number(inbox, "yellow" if inbox is not None and cap is not None and inbox >= 0.7 * cap else "")


def _left(row: Row) -> Text:
    left = row["seconds_left"]
    if row["state"] != "waiting":
        return _said(row["state"], "dim" if row["state"] == "approved" else "yellow")
    said = "no limit" if left is None else "its time is up" if left == 0 else f"{duration(left)} left"
    return Text(said, "yellow" if left is not None and left < 120 else "bold")


def _risk(row: Row) -> Text:
    score = row["risk_score"]
    said = row["risk_level"] + ("" if score is None else f" {score:.2f}")
    return _said(said, "yellow" if row["risk_level"] in ("high", "critical") else "dim")


def _wants(row: Row) -> Text:
    said = f"{row['action']} {row['arguments'] or ''}".strip()
    return _said(said if row["state"] == "waiting" or not row["reason"] else f"{said}: {row['reason']}")


def _attachment(row: Row) -> Text:
    state = row["state"]
    return _said(state, "red" if state == "suspended" else "yellow" if row["is_troubled"] else "")


def _right(head: str, cell: Callable[[Row], Text], cells: int, least: int = 0) -> Column:
    """Return a column of numbers."""
    return Column(head, cell, cells, least, "right")


_VIEWS: dict[View, list[Column]] = {
    "live": [
        Column("time", lambda row: _said(str(row.get("at") or "")[11:19], "dim"), 8),
        _right("seq", lambda row: Text(f"{row['seq']:,}", "dim", justify="right"), 9, least=80),
        Column("agent", lambda row: _said(row.get("agent"), "bold"), 12),
        Column("kind", lambda row: _said(row.get("kind"), _meaning(row)), 18, least=60),
        Column("channel", lambda row: _said(row.get("channel"), "dim"), 16, least=130),
        Column("", _outcome, 1),
        _right("took", _took, 8, least=100),
        Column("what happened", lambda row: _said(row.get("words") or row.get("kind"), _meaning(row))),
    ],
    "agents": [
        Column("", _state, 15),
        Column("agent", lambda row: _said(row["name"], "dim" if row["group"] == "quiet" else "bold"), 18),
        _right("inbox", _inbox, 5, least=60),
        _right("turns", lambda row: _number(row["in_flight"]), 5, least=120),
        Column(
            "tokens", lambda row: _number(row["input_tokens"] + row["output_tokens"]), 9, least=120, justify="right"
        ),
        Column(
            "err",
            lambda row: _number(row["errors"], "red" if row["state"] == "failing" else ""),
            3,
            least=60,
            justify="right",
        ),
        Column(
            "seen",
            lambda row: Text(duration(row["silent_seconds"]), "dim", justify="right"),
            11,
            least=80,
            justify="right",
        ),
        Column("now", _doing),
    ],
    "approvals": [
        Column("", _left, 17),
        Column("agent", lambda row: _said(row["agent"], "bold"), 14),
        Column("risk", _risk, 13, least=60),
        Column("by", lambda row: _said(", ".join(row["decided_by"]), "dim"), 14, least=110),
        Column("wants", _wants),
    ],
    "listeners": [
        Column("state", _attachment, 9),
        Column("listener", lambda row: _said(row["listener"], "bold"), 20),
        Column("duty", lambda row: _said(row["duty"], "dim"), 11, least=80),
        _right("dropped", lambda row: _number(row["dropped"], "red"), 7, least=60),
        _right("failed", lambda row: _number(row["failed"], "red"), 6, least=60),
        _right("restarts", lambda row: _number(row["restarts"]), 8, least=100),
        _right("letters", lambda row: _number(row["dead_letters"], "red"), 7, least=100),
        Column("last error", lambda row: _said(row["last_error"] or row["reason"], "red")),
    ],
}
