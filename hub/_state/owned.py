"""One index for entries that belong to agents or channels, and may end without a command."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator
from itertools import islice
from operator import attrgetter
from typing import Any, ClassVar, Generic, TypeVar

from .changing import changed
from .moments import Deadlines

__all__ = ("Owned",)

K = TypeVar("K", bound=Hashable)
"""The ids of the entries."""
E = TypeVar("E")
"""Their class: frozen, by attrs."""


class Owned(Generic[K, E]):
    """Entries by id, by group, and by when they are due. Finding some looks at no others.

    ``groups`` names fields: the entries with the same value in one of them are a group, such as those of one owner. An
    entry with None there is in no group of that field, and a group without entries is not kept.

    An entry is **left behind** when what it belongs to is gone: it can only end, and is due at once. The field ``mark``
    is true then.

    Entries are in the order in which they were added, and those that are due in that of their deadlines.
    """

    def __init__(self, *, groups: tuple[str, ...], mark: str) -> None:
        self._mark = mark
        self._by_id: dict[K, E] = {}
        self._groups: dict[str, dict[Hashable, dict[K, None]]] = {field: {} for field in groups}
        self._groupings: tuple[tuple[Callable[[E], Hashable], dict[Hashable, dict[K, None]]], ...] = tuple(
            (attrgetter(field), groups) for field, groups in self._groups.items()
        )
        """The same dictionaries, each with what reads the field: each entry goes through them."""
        self._left_behind: dict[K, None] = {}
        self._deadlines: Deadlines[K] = Deadlines(self._by_id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Owned) and self._indexes() == other._indexes()

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Owned{self._indexes()}"

    def _indexes(self) -> tuple[object, ...]:
        return list(self._by_id.items()), self._groups, self._left_behind, self._deadlines

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, entry_id: object) -> bool:
        return entry_id in self._by_id

    def __iter__(self) -> Iterator[E]:
        return iter(self._by_id.values())

    def __getitem__(self, entry_id: K) -> E:
        return self._by_id[entry_id]

    def find(self, entry_id: K) -> E | None:
        return self._by_id.get(entry_id)

    def ids(self, field: str, value: Hashable) -> Collection[K]:
        """Return the ids of the entries with this value in this field: a view, which changes with them."""
        return self._groups[field].get(value, ())

    def values_of(self, field: str) -> list[Hashable]:
        """Return the values of this field that entries have."""
        return list(self._groups[field])

    def oldest(self, field: str) -> list[E]:
        """Return the oldest entry of each group of this field."""
        return [self._by_id[next(iter(ids))] for ids in self._groups[field].values()]

    # -- applying --

    def add(self, entry_id: K, entry: E, deadline_ns: int | None = None) -> None:
        """Add a new entry, which is not left behind, and is due at the deadline: in nanoseconds since the epoch."""
        self._by_id[entry_id] = entry
        for value_of, groups in self._groupings:
            if (value := value_of(entry)) in groups:
                groups[value][entry_id] = None
            elif value is not None:
                groups[value] = {entry_id: None}
        if deadline_ns is not None:
            self._deadlines.add(deadline_ns, entry_id)

    def restore(self, entry_id: K, entry: E, deadline_ns: int | None = None) -> None:
        """Add an entry of a snapshot."""
        self.add(entry_id, entry, deadline_ns)
        if getattr(entry, self._mark):
            self._left_behind[entry_id] = None

    def change(self, entry_id: K, **changes: Any) -> None:
        """Change fields of an entry, but none by which it is found."""
        self._by_id[entry_id] = changed(self._by_id[entry_id], changes)

    def leave_behind(self, field: str, value: Hashable, *, mark: object) -> None:
        """Leave the entries of a group behind. An entry keeps the first mark that it gets."""
        for entry_id in self.ids(field, value):
            self.change(entry_id, **{self._mark: getattr(self._by_id[entry_id], self._mark) or mark})
            self._left_behind[entry_id] = None

    def remove(self, entry_id: K) -> E:
        """Remove an entry; return it."""
        entry = self._by_id.pop(entry_id)
        for value_of, groups in self._groupings:
            if (value := value_of(entry)) is not None:
                if len(ids := groups[value]) > 1:
                    del ids[entry_id]
                else:
                    del groups[value]
        if self._left_behind:
            self._left_behind.pop(entry_id, None)
        self._deadlines.tidy()
        return entry

    # -- what is due --

    @property
    def left_behind(self) -> Collection[K]:
        """The ids of the entries that are left behind."""
        return self._left_behind

    def next_due_ns(self) -> int | None:
        """Return when an entry is due next: a moment, 0 for now, None for never."""
        return 0 if self._left_behind else self._deadlines.next_ns

    def due(self, now_ns: int, limit: int) -> list[E]:
        """Return entries that are due, at most ``limit``: those left behind first, then by deadline.

        It looks at no more of them than it returns: there may be many, and they end a batch at a time.
        """
        ids = dict.fromkeys(islice(self._left_behind, limit))
        for entry_id in self._deadlines.passed(now_ns):
            if len(ids) >= limit:
                break
            ids[entry_id] = None
        return [self._by_id[entry_id] for entry_id in ids]
