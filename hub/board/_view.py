"""What a board shows is made of: frozen values that JSON can hold. Times are ISO 8601 in UTC, as in events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import attrs
import msgspec

from .._values import Value

__all__ = ("Rows", "View")

T_co = TypeVar("T_co", covariant=True)


class View(Value):
    """A frozen value that JSON can hold."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """Return the value as a plain dictionary, with the names of its fields as keys: a new one each time."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


@attrs.frozen(eq=False, repr=False)
class Rows(View, Generic[T_co]):
    """The entries of a list, in its order, and how many of them are not there."""

    rows: tuple[T_co, ...]
    not_shown: int = 0
    """How many more there were: they left the board, or are beyond the ``limit`` that was given."""

    def __iter__(self) -> Iterator[T_co]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)
