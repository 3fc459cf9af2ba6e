"""Packing: entries of a snapshot whose references are copied at once, and that are made one by one when they are read.

A snapshot is written in a thread, and making a hundred thousand entries takes a while.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, TypeVar, overload

__all__ = ("Packing",)

E = TypeVar("E")


class Packing(Sequence[E], Generic[E]):
    """A sequence of entries, each made by ``pack`` of what was copied for it."""

    def __init__(self, copied: Sequence[Any], pack: Callable[[Any], E]) -> None:
        self._copied = copied
        self._pack = pack

    def __len__(self) -> int:
        return len(self._copied)

    @overload
    def __getitem__(self, index: int) -> E: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[E]: ...
    def __getitem__(self, index: int | slice) -> E | Sequence[E]:
        if isinstance(index, slice):
            return Packing(self._copied[index], self._pack)
        return self._pack(self._copied[index])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__: ClassVar[None] = None  # type: ignore[assignment]
