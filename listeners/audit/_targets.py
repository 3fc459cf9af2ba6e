"""Which contents an erasure is about: those that were chosen and are there, and those of which it has to be said again.

Both are as small as what the log says of them, however many there are.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, NamedTuple

from hubwire.erasable import ERASED, Commitment, Page, files_of_page
from hubwire.ports import KnowledgeStore

from ._erasures import Erasures, Reason

__all__ = ("RANGES_MAX", "Chosen", "Present", "Targets")

RANGES_MAX = 1500
"""In one record: a range has 44 bytes at most, and a line 65,535."""
_PAGES_MAX = 8
"""So many pages are remembered: records that follow each other are in the same one, or the next."""
_REASONS_MAX = 4


class _Known(NamedTuple):
    """What is remembered of a page."""

    records: int | None
    """How many records the log had when it was read; None: all that are asked about."""
    there: set[str]
    """The contents that are in a file of it, also where its other file says that they are gone."""
    gone: Page
    """What both files say of those that are gone."""


class Present:
    """Says which contents are there, of records in the order of the log: each page is read once."""

    def __init__(self, store: KnowledgeStore, path: str, records: Callable[[], int] | None = None) -> None:
        """``records`` returns how many records the log has; None: it had all that are asked about before."""
        self._store = store
        self._path = path
        self._records = records
        self._pages: OrderedDict[str, _Known] = OrderedDict()

    async def has(self, index: int, commitment: Commitment) -> bool:
        """Return whether a content is in a file of its page, also where another file of it says that it is gone."""
        known = self._pages.get(commitment.page)
        if known is not None and commitment.digest in known.there:
            return True
        if known is None or (known.records is not None and index >= known.records):  # it may have grown
            known = await self._read(commitment.page)
        return commitment.digest in known.there

    async def reason(self, index: int, commitment: Commitment) -> Reason | None:
        """Return why a content was erased, as its page says; None if it is there, or the page does not say so."""
        if await self.has(index, commitment):
            return None
        page = self._pages[commitment.page].gone
        if page.gone.get(commitment.digest, ("",))[0] != ERASED:
            return None
        return Reason.of(page.why(commitment.digest))

    async def _read(self, page: str) -> _Known:
        records = None if self._records is None else self._records()
        there, gone = set[str](), Page()
        for file in await files_of_page(self._store, self._path, page):
            there.update(file.contents)
            gone.gone |= file.gone
        self._pages[page] = known = _Known(records, there, gone)
        if len(self._pages) > _PAGES_MAX:
            self._pages.popitem(last=False)
        return known


class Chosen:
    """Fields of records, which come in the order of the log, each record once."""

    def __init__(self) -> None:
        self.records: int = 0
        self.contents: int = 0
        self._ranges: dict[tuple[str, ...], array[int]] = {}
        """By the names of the fields: first and last record of each range, one after the other."""

    def add(self, index: int, fields: Iterable[str]) -> None:
        """Take these fields of a record; none: it is not taken."""
        names = tuple(sorted(fields))
        if not names:
            return
        self.records += 1
        self.contents += len(names)
        ranges = self._ranges.setdefault(names, array("q"))
        if ranges and ranges[-1] == index - 1:
            ranges[-1] = index
        else:
            ranges.extend((index, index))

    def groups(self) -> Iterator[list[dict[str, Any]]]:
        """Return them as records of the log say which are erased: in each list so much as one record can have."""
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


class Targets:
    """The contents that an erasure is about."""

    def __init__(
        self, present: Present, erasures_from: Callable[[int], Awaitable[Erasures]], *, since: int = -1
    ) -> None:
        """``erasures_from`` returns what the records of the log from one on say was erased.

        ``since``: of those that are gone, only those of which their pages say that a record from this one on has
        erased them.
        """
        self.found: Chosen = Chosen()
        """Those that are there."""
        self.unsaid: Chosen = Chosen()
        """Those that are gone, and were erased as their pages say, while no record of the log says so."""
        self.reasons: list[Reason] = []
        """What the pages say of the latter, of a few: each once."""
        self._present = present
        self._erasures_from = erasures_from
        self._erasures: Erasures | None = None
        self._since = since

    async def add(self, index: int, commitments: Iterable[Commitment], fields: frozenset[str] | None) -> None:
        """Take those contents of a record that are in these fields; None: all.

        Not those that are not there while no page says why: an erasure is no excuse for what is missing.
        """
        there, unsaid = list[str](), list[str]()
        for each in commitments:
            if fields is None or each.field in fields:
                if await self._present.has(index, each):
                    there.append(each.field)
                elif await self._is_unsaid(index, each):
                    unsaid.append(each.field)
        self.found.add(index, there)
        self.unsaid.add(index, unsaid)

    async def add_gone(self, index: int, commitments: Iterable[Commitment]) -> None:
        """Take of the contents of a record only those that are gone."""
        self.unsaid.add(index, [each.field for each in commitments if await self._is_unsaid(index, each)])

    async def _is_unsaid(self, index: int, commitment: Commitment) -> bool:
        reason = await self._present.reason(index, commitment)
        if reason is None or reason.record < self._since:
            return False
        if self._erasures is None:  # what comes after this record is enough: it is the first one that is asked about
            self._erasures = await self._erasures_from(index)
        if self._erasures.of(index, commitment.field) is not None:
            return False
        if reason not in self.reasons and len(self.reasons) < _REASONS_MAX:
            self.reasons.append(reason)
        return True
