"""A record as one line for a person: time, seq, agent, kind, channel, and the gist of it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

import attrs

from ..words import Names, gist_of, meaning_of
from .output import Paint, cells_of, crop, escape, is_terminal

__all__ = ("Pretty",)

_KIND_CELLS = 18
_TEXT_MAX = 4000
"""Characters of a gist that are looked at where a line is cut: no terminal is wider."""
_ROOM_MIN = 10
"""Cells that the gist has at the least: what stands before it is cut for that."""


@attrs.frozen
class _Layout:
    """What a line of some width has room for."""

    time: slice
    """Of the time as events have it."""
    who_max: int
    where_max: int
    """0: channels are left out."""
    has_seq: bool
    in_two: bool = False
    """Whether what happened stands below who it was."""


_WIDE = _Layout(time=slice(0, 23), who_max=28, where_max=32, has_seq=True)
_LAYOUTS = {
    120: _WIDE,
    100: _Layout(time=slice(11, 23), who_max=16, where_max=16, has_seq=True),
    72: _Layout(time=slice(11, 19), who_max=14, where_max=0, has_seq=True),
    52: _Layout(time=slice(11, 19), who_max=10, where_max=0, has_seq=False),
    0: _Layout(time=slice(11, 19), who_max=12, where_max=0, has_seq=False, in_two=True),
}
"""By the columns from which on each is taken. Names are cut last."""


class Pretty:
    """Makes lines for a terminal or a file, learning the names of agents and channels on the way.

    ``short_time`` leaves out the date, for events of the moment. Times are in UTC, as records have them, or in a
    ``zone``, which they name then. On a terminal a line is cut to its width; one of fewer than 52 columns has what
    happened on a second line.
    """

    def __init__(self, names: Names | None = None, *, short_time: bool = False, zone: tzinfo | None = None) -> None:
        self.names: Names = names or Names()
        self._paint = Paint(sys.stdout)
        self._columns = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None
        self._layout = _WIDE if self._columns is None else _layout_for(self._columns)
        if short_time and self._layout is _WIDE:
            self._layout = attrs.evolve(_WIDE, time=slice(11, 23))
        self._zone = zone
        self._who_cells = 8

    def line(self, fields: dict[str, Any], source: str = "") -> str:
        """Return the line for a record, behind the name of the source that it is from, if there are several."""
        self.names.learn(fields)
        kind, gist = str(fields.get("kind", "")), gist_of(fields, self.names)
        time, number, who, what, where = self._head(fields, kind)
        colour = {"wrong": self._paint.red, "attention": self._paint.amber}.get(meaning_of(fields) or "", str)
        used = sum(cells_of(each) + 1 for each in (escape(source), time, number, who, what, where) if each)
        painted = (
            self._paint.by(escape(source), source.rstrip()),
            self._paint.dim(time),
            self._paint.dim(number),
            self._paint.by(who, who.rstrip()) if who.strip() else who,
            colour(what),
            self._paint.dim(where),
        )
        head = " ".join(filter(None, painted))
        if self._columns is None:
            return f"{head} {colour(escape(gist))}".rstrip()
        if self._layout.in_two:
            below = crop(escape(gist[:_TEXT_MAX]), max(self._columns - 2, _ROOM_MIN))
            return f"{head.rstrip()}\n  {colour(below)}" if below else head.rstrip()
        room = max(self._columns - used - 1, _ROOM_MIN)
        return f"{head} {colour(crop(escape(gist[:_TEXT_MAX]), room))}".rstrip()

    def whole(self, fields: Mapping[str, Any]) -> str:
        """Return who, what, where and the gist of a record, uncut and without colour: what is looked for in a line."""
        kind = str(fields.get("kind", ""))
        agent, channel = fields.get("agent_id"), fields.get("channel_id")
        who = self.names.agent(agent) if isinstance(agent, str) else str(fields.get("listener") or "")
        where = f"[{self.names.channel(channel)}]" if isinstance(channel, str) else ""
        return " ".join(filter(None, (who, kind, where, gist_of(fields, self.names))))

    def damaged(self, index: int, line: bytes) -> str:
        """Return the line for a record that cannot be read."""
        shown = escape(line[:80].decode(errors="backslashreplace"))
        said = f"record {index} is damaged: {shown}{'…' if len(line) > 80 else ''}"
        return self._paint.red(said if self._columns is None else crop(said, self._columns))

    def _head(self, fields: Mapping[str, Any], kind: str) -> tuple[str, str, str, str, str]:
        """Return time, number, agent, kind and channel, each as wide as its column."""
        layout, seq = self._layout, fields.get("seq")
        number = (f"#{seq}" if isinstance(seq, int) else "").rjust(6) if layout.has_seq else ""
        who = self._who(fields)
        self._who_cells = max(min(self._who_cells, layout.who_max), cells_of(who))
        who += " " * (self._who_cells - cells_of(who))
        what = escape(kind)
        if self._columns is not None:
            what = crop(what, self._columns // 2 if layout.in_two else max(_KIND_CELLS, self._columns // 5))
        if layout.in_two:
            return self._time(fields), "", who.rstrip(), what, ""
        return self._time(fields), number, who, what.ljust(_KIND_CELLS), self._where(fields)

    def _time(self, fields: Mapping[str, Any]) -> str:
        at, part = str(fields.get("at", "")), self._layout.time
        ending = ""
        if self._zone is not None and (local := _local(at, self._zone)) is not None:
            at, ending = local.isoformat(timespec="milliseconds"), f" {local.tzname()}"
            if part.start == 0 or not local.tzname():
                ending = local.strftime("%z")
        cells = part.stop - part.start
        return escape(at)[part].replace("T", " ").ljust(cells) + escape(ending)

    def _who(self, fields: Mapping[str, Any]) -> str:
        agent_id = fields.get("agent_id")
        who = self.names.agent(agent_id) if isinstance(agent_id, str) else str(fields.get("listener") or "")
        return crop(escape(who), self._layout.who_max)

    def _where(self, fields: Mapping[str, Any]) -> str:
        channel_id = fields.get("channel_id")
        if not isinstance(channel_id, str) or not self._layout.where_max:
            return ""
        return f"[{crop(escape(self.names.channel(channel_id)), self._layout.where_max)}]"


def _layout_for(columns: int) -> _Layout:
    return next(layout for least, layout in _LAYOUTS.items() if columns >= least)


def _local(at: str, zone: tzinfo) -> datetime | None:
    try:
        moment = datetime.fromisoformat(at)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(zone)
    except (ValueError, OverflowError):
        return None
