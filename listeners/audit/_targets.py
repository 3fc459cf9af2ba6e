"""The contents that an erasure is about, and how records of the log say which these are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hubwire.erasable import ERASED, Commitment, Page, contents_in, read_page
from hubwire.ports import KnowledgeStore

from ._erasures import Erasure, Reason

__all__ = ("Targets", "groups_of")

_RANGES_MAX = 1500
"""In one record: a range has 44 bytes at most, and a line 65,535."""


class Targets:
    """The contents that are to be erased: of which records, on which pages."""

    def __init__(self) -> None:
        self.found: list[tuple[int, Commitment]] = []
        self.said: list[tuple[int, Commitment]] = []
        """Those that are gone, and were erased as their pages say."""
        self.reasons: dict[str, Reason] = {}
        """What the pages say of these, by their digests."""

    def add(self, index: int, commitments: Iterable[Commitment], fields: frozenset[str] | None) -> None:
        """Take those contents of a record that are in these fields; None: all."""
        self.found += [(index, each) for each in commitments if fields is None or each.field in fields]

    async def part(self, store: KnowledgeStore, path: str) -> None:
        """Leave out those that are not there, and no page says why: an erasure is no excuse for what is missing."""
        there = {page: await contents_in(store, path, page) for page in {each.page for _, each in self.found}}
        absent = [(index, each) for index, each in self.found if each.digest not in there[each.page]]
        self.found = [(index, each) for index, each in self.found if each.digest in there[each.page]]
        pages = {page: await read_page(store, path, page) or Page() for page in {each.page for _, each in absent}}
        for index, each in absent:
            self.note_gone(index, each, pages[each.page])

    def note_gone(self, index: int, commitment: Commitment, page: Page, since: int = -1) -> None:
        """Take one of which its page says that a record from ``since`` on has erased it."""
        if page.gone.get(commitment.digest, ("",))[0] == ERASED:
            reason = Reason.of(page.why(commitment.digest))
            if reason.record >= since:
                self.said.append((index, commitment))
                self.reasons[commitment.digest] = reason

    @property
    def records(self) -> list[int]:
        """The records that have them, in order."""
        return sorted({index for index, _ in self.found})

    def pages(self, erasure: Erasure) -> dict[str, dict[str, dict[str, Any]]]:
        """Return what is erased on which page, and why."""
        pages: dict[str, dict[str, dict[str, Any]]] = {}
        anew = [each for _, each in self.said if self.reasons[each.digest].record != erasure.record]
        for commitment in (*(each for _, each in self.found), *(anew if erasure.is_again else ())):
            pages.setdefault(commitment.page, {})[commitment.digest] = erasure.why
        return pages


def _groups(found: Iterable[tuple[int, Commitment]]) -> Iterator[dict[str, Any]]:
    """Return which fields of which records are erased, as records of the log say it, in pieces for one each."""
    names: dict[int, list[str]] = {}
    for index, commitment in found:
        names.setdefault(index, []).append(commitment.field)
    groups: dict[tuple[str, ...], list[int]] = {}
    for index in sorted(names):
        groups.setdefault(tuple(sorted(names[index])), []).append(index)
    for fields, indexes in groups.items():
        ranges = _ranges(indexes)
        for first in range(0, len(ranges), _RANGES_MAX):
            yield {"fields": list(fields), "records": ranges[first : first + _RANGES_MAX]}


def _ranges(indexes: Sequence[int]) -> list[list[int]]:
    ranges: list[list[int]] = []
    for index in indexes:
        if ranges and ranges[-1][1] == index - 1:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    return ranges


def groups_of(found: Iterable[tuple[int, Commitment]]) -> Iterator[list[dict[str, Any]]]:
    """Return which fields of which records are erased, in lists of which each is short enough for a record."""
    batch: list[dict[str, Any]] = []
    room = _RANGES_MAX
    for group in _groups(found):
        cost = len(group["records"]) + 32 * len(group["fields"])
        if batch and cost > room:
            yield batch
            batch, room = [], _RANGES_MAX
        batch.append(group)
        room -= cost
    if batch:
        yield batch
