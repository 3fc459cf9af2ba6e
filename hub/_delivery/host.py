"""The fan-out, as an attachment knows it."""

from __future__ import annotations

from typing import Protocol, TypeVar

from .._commit.pipeline import Pipeline
from ..ports import Clock
from .announcements import Announcements
from .letters import Letters
from .replays import Replays

__all__ = ("Host",)

A_contra = TypeVar("A_contra", contravariant=True)
"""An attachment."""


class Host(Protocol[A_contra]):
    """The fan-out, as an attachment knows it."""

    pipeline: Pipeline
    replays: Replays | None
    clock: Clock
    announcements: Announcements
    letters: Letters

    async def check_history(self, attachment: A_contra) -> None:
        """Stop a listener that is entered while the hub runs, if it holds another event than the journal."""

    def place_if_numbered(self, attachment: A_contra) -> None:
        """Give an attachment that was entered its place if the ring is numbered."""

    def position_of(self, name: str) -> int | None:
        """Return the position that is kept for a DURABLE name."""

    def handled_by(self, name: str, last_seq: int | None) -> int:
        """Return the ``seq`` below which a listener that holds ``last_seq`` is known to have handled what matches."""

    async def save_position(self, attachment: A_contra) -> None:
        """Keep the position of a DURABLE attachment whose name is new."""

    def caught_up(self, attachment: A_contra) -> None:
        """An attachment has reached the present."""

    def moved(self, attachment: A_contra) -> None:
        """An attachment has handled events."""

    def remove(self, attachment: A_contra, reason: str) -> None:
        """An attachment has come to its end."""

    def forget(self, attachment: A_contra) -> None:
        """An attachment was detached before its task ran."""
