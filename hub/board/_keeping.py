"""What a snapshot of a board holds, and its way to JSON and back."""

from __future__ import annotations

import attrs
import msgspec

from .._foreign.arguments import is_a, shown
from ..errors import InvalidRecord
from ._agents import AgentsKept
from ._channels import ChannelsKept
from ._counts import CountsKept
from ._life import LifeKept
from ._place import PlaceKept
from ._runs import RunsKept
from ._troubles import TroubleEntry
from ._work import ApprovalsKept, ListenersKept, TasksKept

__all__ = ("VERSION", "BoardKept", "damaged", "read_kept")

VERSION = 3
"""Of snapshots: one more whenever what they hold changes its shape."""


@attrs.define(eq=False)
class BoardKept:
    """What a snapshot holds."""

    version: int
    tenant: str | None
    at: str
    life: LifeKept
    misfits: int
    place: PlaceKept
    counts: CountsKept
    troubles: list[TroubleEntry]
    agents: AgentsKept
    channels: ChannelsKept
    runs: RunsKept
    tasks: TasksKept
    approvals: ApprovalsKept
    listeners: ListenersKept


def read_kept(snapshot: object) -> BoardKept:
    """Return what a snapshot holds. Raises :class:`~hubwire.errors.InvalidRecord` if it is none of this version."""
    version = snapshot.get("version") if type(snapshot) is dict else None
    if type(version) is not int or version != VERSION:
        found = shown(version) if is_a(snapshot, dict) else shown(snapshot)
        raise InvalidRecord(
            f"Board.restore(): snapshot is one of version {VERSION}, not {found}; make the board anew, by folding the"
            " log from its beginning"
        )
    try:
        kept = msgspec.convert(snapshot, BoardKept)
        (kept.tenant or "").encode()  # JSON can hold lone surrogates, and no name has them
    except (msgspec.ValidationError, UnicodeError, RecursionError) as error:
        raise damaged(error) from error
    if kept.tenant == "":
        raise damaged(ValueError("its tenant has no name"))
    return kept


def damaged(error: Exception) -> InvalidRecord:
    return InvalidRecord(
        f"Board.restore(): the snapshot is damaged ({shown(str(error))}); make the board anew, by folding the log from"
        " its beginning"
    )
