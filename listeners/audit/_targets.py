"""Which contents are to be erased: those that were chosen, and are there."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from hubwire.erasable import Commitment, contents_in
from hubwire.ports import KnowledgeStore

__all__ = ("RANGES_MAX", "Present", "Targets")

RANGES_MAX = 2000
"""In one record: a range has 44 bytes at most, and a line 65,535."""
_PAGES_MAX = 8
"""So many pages are remembered: records that follow each other are in the same one, or the next."""


class Present:
    """Says which contents are there, of records in the order of the log: each page is read once."""

    def __init__(self, store: KnowledgeStore, path: str, records: Callable[[], int] | None = None) -> None:
        """``records`` returns how many records the log has; None: it had all that are asked about before."""
        self._store = store
        self._path = path
        self._records = records
        self._pages: OrderedDict[str, tuple[int | None, set[str]]] = OrderedDict()

    async def has(self, index: int, commitment: Commitment) -> bool:
        """Return whether a content is in a file of its page, also where another file of it says that it is gone."""
        known, there = self._pages.get(commitment.page, (0, frozenset[str]()))
        if commitment.digest in there:
            return True
        if commitment.page not in self._pages or (known is not None and index >= known):  # it may have grown
            known = None if self._records is None else self._records()
            there = await contents_in(self._store, self._path, commitment.page)
            self._pages[commitment.page] = known, there
            if len(self._pages) > _PAGES_MAX:
                self._pages.popitem(last=False)
        return commitment.digest in there


class Targets:
    """The contents that are to be erased: of which records, in which fields. As small as what the log says of them."""

    def __init__(self, present: Present) -> None:
        self.records: int = 0
        """How many records have them."""
        self._present = present
        self._ranges: dict[tuple[str, ...], array[int]] = {}
        """By the names of the fields: first and last record of each range, one after the other."""

    async def add(self, index: int, commitments: Iterable[Commitment], fields: frozenset[str] | None) -> None:
        """Take those contents of a record that are there, and in these fields; None: all.

        Records come in the order of the log, each once. An erasure is no excuse for what is missing.
        """
        names = [
            each.field
            for each in commitments
            if (fields is None or each.field in fields) and await self._present.has(index, each)
        ]
        if not names:
            return
        self.records += 1
        ranges = self._ranges.setdefault(tuple(sorted(names)), array("q"))
        if ranges and ranges[-1] == index - 1:
            ranges[-1] = index
        else:
            ranges.extend((index, index))

    def groups(self) -> Iterator[list[dict[str, Any]]]:
        """Return which fields of which records are erased, as records of the log say it: so much as one can have."""
        batch: list[dict[str, Any]] = []
        room = RANGES_MAX
        for group in self._pieces():
            cost = len(group["records"]) + 32 * len(group["fields"])
            if batch and cost > room:
                yield batch
                batch, room = [], RANGES_MAX
            batch.append(group)
            room -= cost
        if batch:
            yield batch

    def _pieces(self) -> Iterator[dict[str, Any]]:
        for fields, ranges in self._ranges.items():
            for first in range(0, len(ranges), 2 * RANGES_MAX):
                piece = ranges[first : first + 2 * RANGES_MAX]
                pairs = zip(piece[::2], piece[1::2], strict=True)
                yield {"fields": list(fields), "records": [list(each) for each in pairs]}
