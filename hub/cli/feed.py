"""A log that is folded into a board, record by record."""

from __future__ import annotations

import hashlib

import anyio
import anyio.lowlevel

from .. import codec
from ..board import Board
from ..erasable import Opener
from ..errors import HistoryGone, InvalidRecord, LogDamaged
from ..log import LogReader, Record, SeqIndex
from ..ports import KnowledgeStore
from .redacted import shown

__all__ = ("Feed", "read_on")

_STATES = {"hub.started": "running", "hub.stopped": "stopped"}
_BATCH = 500
"""How many records are read before others have their turn."""


class Feed:
    """Folds the records of a log into a board, as they are shown."""

    pause_seconds: float = 0.5
    """How often a log that is written is looked at."""
    trouble: str = ""
    """It is read here: what fails raises."""

    def __init__(self, store: KnowledgeStore, path: str, board: Board, *, raw: bool) -> None:
        self.board: Board = board
        self.damaged: int = 0
        """How many records could not be read."""
        self.newest: bytes = b""
        """The line of the event that was folded last; empty before that."""
        self._state = "unknown"
        self._place = store, path
        self._reader = LogReader(store, path)
        self._opener = Opener(store, path)
        self._shown_as = shown(raw=raw).record

    @property
    def state(self) -> str:
        """Of the hub: the board of a tenant has no event that says it."""
        return self._state if self.board.tenant is not None else self.board.hub().state

    async def go_on(self, board: Board, digest: str, *, state: str, damaged: int) -> bool:
        """Go on with a board that was kept, if the log has the line that it folded last, with this digest."""
        store, path = self._place
        index = SeqIndex()
        reader = LogReader(store, path, index)
        try:
            await reader.seek_after_seq(board.seq - 1)
            line = await _line_of(reader, board.seq)
        except (HistoryGone, LogDamaged):
            return False
        if line is None or hashlib.sha256(line).hexdigest() != digest:
            return False
        await reader.seek_after_seq(board.seq)
        self.board, self._reader, self.newest = board, reader, line
        self._state, self.damaged = state, damaged
        return True

    async def read(self) -> bool:
        """Fold the next records; return whether there were any."""
        records = await self._opener.records(await read_on(self._reader))
        for number, record in enumerate(records):
            try:
                body = self._shown_as(record).body
                if b'"seq":' in body:
                    event = codec.decode(body)
                    self.board.fold(event)
                    self._state = _STATES.get(event.kind, self._state)
                    self.newest = record.line
            except InvalidRecord:
                self.damaged += b'"seq":' in record.line
            if number % _BATCH == _BATCH - 1:
                await anyio.lowlevel.checkpoint()
        return bool(records)

    async def read_all(self) -> LogDamaged | None:
        """Fold all that there is; return what has ended it, if that was damage."""
        try:
            while await self.read():
                pass
        except LogDamaged as error:  # what is before the damage is shown
            return error
        return None


async def _line_of(reader: LogReader, seq: int) -> bytes | None:
    """Return the line of an event, which is close after the place of the reader."""
    while records := await reader.read():
        for record in records:
            try:
                found = codec.decode_fields(record.body).get("seq")
            except InvalidRecord:
                continue
            if type(found) is int and found >= seq:
                return record.line if found == seq else None
    return None


async def read_on(reader: LogReader) -> list[Record]:
    """Return the next records; after what was pruned before it was read, those that are kept.

    A board counts what is missing by the numbers of events.
    """
    while True:
        try:
            return await reader.read()
        except HistoryGone:
            await reader.seek_index(reader.index)
