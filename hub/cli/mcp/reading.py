"""What tools ask of where agents are at work: a log, or a running hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import attrs

from ...query import Selection
from ...words import outcome_of
from .answers import Answer

__all__ = ("BOARDS", "SECONDS", "WHOLE_BYTES_MAX", "Asked", "Board", "Boarded", "Reads", "Taken", "Verdict")

Board = Literal["agents", "channels", "runs", "tasks", "approvals", "links", "listeners", "troubles"]
BOARDS: tuple[Board, ...] = ("agents", "channels", "runs", "tasks", "approvals", "links", "listeners", "troubles")
Verdict = Literal["approve", "deny"]
Row = Mapping[str, Any]

SECONDS = 20.0
"""So long a call reads; what it has by then it gives, and where to go on. Assistants wait for a minute, or less."""
WHOLE_BYTES_MAX = 8 * 1024
"""A record that is larger is told by its row: it is there by itself, piece by piece."""


@attrs.frozen(kw_only=True)
class Asked:
    """Which records are asked for, and how they are given."""

    selection: Selection
    outcomes: tuple[str, ...] = ()
    after: str | None = None
    limit: int
    newest_first: bool = False
    is_whole: bool = False
    """Whether records are given whole, and not by their rows."""
    chars: int = 200
    """Of what was said, in a row."""

    def takes(self, fields: Mapping[str, Any]) -> bool:
        """Tell whether a record has one of the outcomes that are asked for."""
        return not self.outcomes or outcome_of(fields) in self.outcomes


@attrs.frozen(kw_only=True)
class Taken:
    """What became of a question for records."""

    first: str | None = None
    """The cursor of the record that came first."""
    last: str | None = None
    """The cursor of the last one that was taken."""
    is_more: bool = False
    notes: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Boarded:
    """Rows of a board."""

    rows: list[dict[str, Any]]
    not_shown: int
    notes: tuple[str, ...] = ()


class Reads(Protocol):
    """Where answers come from. Errors are those of the command line."""

    name: str

    async def events(self, asked: Asked, into: Answer) -> Taken:
        """Put the records that are asked for into an answer, as many as there is room for."""

    async def counts(self, selection: Selection) -> dict[str, int]:
        """Return how many of the selected records are of each kind, the most frequent first."""

    async def one(self, wanted: str) -> dict[str, Any]:
        """Return all fields of a record, by its seq, or by other names where those are known."""

    async def again(self, wanted: str) -> dict[str, Any]:
        """Return the record that was asked for last: one that is long is read and redacted once for all its pieces."""

    async def hub(self) -> dict[str, Any]:
        """Return the hub as a whole."""

    async def board(self, board: Board, tenant: str | None, limit: int) -> Boarded:
        """Return the first rows of a board."""

    async def arguments(self, approval: Row) -> Any:
        """Return what an agent wants to act with; None if that is not known here."""

    async def said_before(self, approval: Row) -> list[Row]:
        """Return the last lines that were said before an approval was asked for."""

    async def decide(self, approval_id: str, verdict: Verdict, reason: str) -> Row:
        """Answer an approval; return what has become of it."""

    async def aclose(self) -> None:
        """Close what is open."""
