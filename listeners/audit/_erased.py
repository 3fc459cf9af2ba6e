"""The erasable contents of a log that is examined: which are there, which were erased, and which are missing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from hubwire.erasable import ERASED, WITHHELD, Commitment, Page, commitments_of, read_page
from hubwire.errors import InvalidRecord
from hubwire.ports import KnowledgeStore

from ._erasing import records_in, whole_fields
from ._erasures import Erasure, Erasures, erasures_of
from ._fields import ERASED_KIND
from ._targets import Present
from ._verdicts import ContentsFound

__all__ = ("ContentChecks",)

_PAGES_MAX = 8
_FAULTS_MAX = 1000
_SHOWN_MAX = 5


class ContentChecks:
    """Fed with the records that have commitments, and those that say what was erased."""

    def __init__(self, store: KnowledgeStore, path: str) -> None:
        self.faults: list[str] = []
        self.notes: list[str] = []
        self.is_copy: bool = False
        """Whether the log is a copy from which contents were withheld, and says so."""
        self._store = store
        self._path = path
        self._pages: OrderedDict[str, Page] = OrderedDict()
        self._absent: list[tuple[int, Commitment, str]] = []
        """Those that are not there: of which record, and what their page says."""
        self._erasures: list[Erasure] = []
        self._named: dict[str, list[int]] = {}
        """Of each page: how many contents that are there records name, and how many it had when it was read."""
        self._first = 0
        self._is_whole = True
        self._counts: dict[str, int] = dict.fromkeys(("present", "erased", "withheld", "missing", "altered"), 0)
        self._by: set[int] = set()

    def begin(self, first: int, *, is_whole: bool = True) -> None:
        """The record from which on the log is read; ``is_whole``: none before it is there."""
        self._first, self._is_whole = first, is_whole

    # -- while the log is read --

    async def look(self, index: int, fields: Mapping[str, Any]) -> None:
        """Look at the contents of a record, whole as it was appended."""
        for commitment in commitments_of(fields):
            page = await self._page(commitment)
            self._named[commitment.page][0] += commitment.digest in page.contents
            if commitment.digest in page.gone:
                self._absent.append((index, commitment, page.gone[commitment.digest][0]))
                continue
            try:
                is_there = page.content(commitment) is not None
            except InvalidRecord as error:
                self._counts["altered"] += 1
                self._add(f"record {index} of the log {self._path}: {error}")
                continue
            if is_there:
                self._counts["present"] += 1
            else:
                self._absent.append((index, commitment, ""))

    async def _page(self, commitment: Commitment) -> Page:
        page = self._pages.get(commitment.page)
        if page is None or not (commitment.digest in page.contents or commitment.digest in page.gone):
            page = await read_page(self._store, self._path, commitment.page) or Page()
            self._pages[commitment.page] = page
            self._named.setdefault(commitment.page, [0, 0])[1] = len(page.contents)
            if len(self._pages) > _PAGES_MAX:
                self._pages.popitem(last=False)
        return page

    def announced(self, index: int, fields: Mapping[str, Any]) -> None:
        """Look at a record of the log's own: it may say what was erased."""
        if fields.get("kind") == ERASED_KIND:
            erasure = erasures_of(index, fields)
            if erasure is None:
                self._add(f"record {index} of the log {self._path} is of kind {ERASED_KIND}, and does not say what was")
            else:
                self._erasures.append(erasure)

    # -- when it was read --

    async def finish(self, *, is_damaged: bool) -> None:
        """Hold what is not there against what the log says was erased; ``is_damaged``: it was not read to its end."""
        erasures = Erasures(self._erasures)
        confirmed = 0
        for index, commitment, said in self._absent:
            erasure = erasures.of(index, commitment.field)
            if erasure is not None:
                confirmed += 1
                self._counts["erased"] += 1
                self._by.add(erasure.record)
            elif said == WITHHELD and self.is_copy:
                self._counts["withheld"] += 1
            elif not is_damaged:
                self._counts["missing"] += 1
                self._add(self._missing(index, commitment, said))
        due = sum(erasure.size_from(self._first) for erasure in self._erasures)
        if confirmed < due or await self._has_old_files():
            await self._find_left_over(erasures)
        if not is_damaged:
            await self._count_orphans()

    def _missing(self, index: int, commitment: Commitment, said: str) -> str:
        why = {
            ERASED: "its page says that it was erased, and no record.erased of the log does",
            WITHHELD: "its page says that it was withheld from a copy, and this log is not marked as a copy",
        }.get(said, "no record.erased of the log says that it was erased")
        page = f"{self._path}/erasable/{commitment.page}"
        then = f"restore {page} from a copy"
        if said == ERASED:  # a content that was to go is not to be brought back
            then = (
                "the log has lost that record, as when its end was cut off: if it was erased, say so again by"
                " hubwire erase --again --by ID --basis TEXT, or await audit.erase_again(by=..., basis=...); or"
                f" {page} was changed: restore that one"
            )
        return (
            f"the erasable content of {commitment.field!r:.80} in record {index} of the log {self._path} is missing:"
            f" {why}; {then}"
        )

    async def _has_old_files(self) -> bool:
        """Tell whether a page is in two files: what one of them says is gone may be in the other."""
        names = await self._store.list(f"{self._path}/erasable") if self._erasures else []
        return any(f"{name}.e" in names for name in names)

    async def _find_left_over(self, erasures: Erasures) -> None:
        """Find contents that were erased, as the log says, and are there."""
        is_under_way = await self._store.exists(f"{self._path}/erasing")
        left, number, present = list[str](), 0, Present(self._store, self._path)
        async for record in records_in(self._store, self._path, erasures.ranges, before=erasures.newest):
            if record.index < self._first:
                continue
            whole = await whole_fields(self._store, self._path, record.body)
            for each in commitments_of(whole or {}):
                erasure = erasures.of(record.index, each.field)
                if erasure is not None and await present.has(record.index, each):
                    number += 1
                    if number <= _SHOWN_MAX:
                        left.append(f"{each.field} of record {record.index}, by record {erasure.record}")
        if not number:
            return
        shown = "; ".join(left) + (f"; and {number - _SHOWN_MAX:,} more" if number > _SHOWN_MAX else "")
        if is_under_way:
            self.notes.append(f"an erasure is under way, or was ended by a crash; the next append finishes it: {shown}")
        else:
            self._add(
                f"contents that the log {self._path} says were erased are there, as after a restore from a backup:"
                f" {shown}; erase them again: hubwire erase --again, or await audit.erase_again()"
            )

    async def _count_orphans(self) -> None:
        unnamed = sum(max(there - named, 0) for named, there in self._named.values())
        if self._is_whole:
            names = await self._store.list(f"{self._path}/erasable")
            pages = {name.removesuffix(".e") for name in names} - self._named.keys()
            if pages:
                self.notes.append(
                    f"{len(pages):,} files of erasable contents that no record names: of an append under way, left by a"
                    f" crash or by a writer that was replaced, or from elsewhere: {', '.join(sorted(pages)[:5])}"
                )
        if unnamed:
            self.notes.append(
                f"{unnamed:,} erasable contents that no record names: of appends under way, or left by a crash; the"
                " next opening takes the latter out"
            )

    def _add(self, fault: str) -> None:
        if len(self.faults) < _FAULTS_MAX:
            self.faults.append(fault)

    @property
    def found(self) -> ContentsFound | None:
        """What was found; None for a log that has no erasable contents."""
        if not self._named and not self._erasures:
            return None
        return ContentsFound(**self._counts, erased_by=tuple(sorted(self._by)))
