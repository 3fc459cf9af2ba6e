"""A record as one line for a person: time, seq, agent, kind, channel, and the gist of it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from typing import Any

from ..words import Names, gist_of, meaning_of
from .output import Paint, crop, escape, is_terminal

__all__ = ("Pretty",)

_WIDE = 120
"""Columns from which on a line has room for all its parts."""

_KIND_CELLS = 18


class Pretty:
    """Makes lines for a terminal or a file, learning the names of agents and channels on the way.

    ``short_time`` leaves out the date, for events of the moment. On a terminal a line is cut to its width.
    """

    def __init__(self, names: Names | None = None, *, short_time: bool = False) -> None:
        self.names: Names = names or Names()
        self._paint = Paint(sys.stdout)
        self._columns = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None
        is_narrow = self._columns is not None and self._columns < _WIDE
        self._time = slice(11, 23) if short_time or is_narrow else slice(0, 23)
        self._who_cells_max, self._where_cells_max = (16, 16) if is_narrow else (28, 32)
        self._who_cells = 8

    def line(self, fields: dict[str, Any]) -> str:
        """Return the line for a record."""
        self.names.learn(fields)
        paint = self._paint
        kind, seq = str(fields.get("kind", "")), fields.get("seq")
        who, where, gist = self._who(fields), self._where(fields), gist_of(fields, self.names)
        self._who_cells = max(self._who_cells, len(who))
        head = (
            escape(str(fields.get("at", "")))[self._time].replace("T", " ").ljust(self._time.stop - self._time.start),
            (f"#{seq}" if isinstance(seq, int) else "").rjust(6),
            who.ljust(self._who_cells),
            escape(kind).ljust(_KIND_CELLS),
            where,
        )
        if self._columns is None:
            gist = escape(gist)
        else:
            room = self._columns - len(" ".join(filter(None, head))) - 2
            gist = crop(escape(gist[: self._columns]), max(room, 10))
        time, number, who, what, where = head
        if meaning := meaning_of(fields):
            tint = paint.red if meaning == "wrong" else paint.amber
            what, gist = tint(what), tint(gist)
        who = paint.by(who, who.rstrip()) if who.strip() else who
        parts = (paint.dim(time), paint.dim(number), who, what, paint.dim(where), gist)
        return " ".join(filter(None, parts)).rstrip()

    def damaged(self, index: int, line: bytes) -> str:
        """Return the line for a record that cannot be read."""
        shown = escape(line[:80].decode(errors="backslashreplace"))
        return self._paint.red(f"record {index} is damaged: {shown}{'…' if len(line) > 80 else ''}")

    def _who(self, fields: Mapping[str, Any]) -> str:
        agent_id = fields.get("agent_id")
        who = self.names.agent(agent_id) if isinstance(agent_id, str) else str(fields.get("listener") or "")
        return crop(escape(who), self._who_cells_max)

    def _where(self, fields: Mapping[str, Any]) -> str:
        channel_id = fields.get("channel_id")
        return (
            f"[{crop(escape(self.names.channel(channel_id)), self._where_cells_max)}]"
            if isinstance(channel_id, str)
            else ""
        )
