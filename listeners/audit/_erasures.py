"""What the records ``record.erased`` of a log say, and what pages do: whose contents go, by whom, and why."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

__all__ = ("Erasure", "Erasures", "Reason", "erasures_of")

_CHARS_MAX = 200
_INDEX_END = 2**63


@attrs.frozen
class Erasure:
    """What a ``record.erased`` says: whose contents go, and why."""

    record: int
    at: str
    by: str
    basis: str
    groups: tuple[tuple[frozenset[str], tuple[tuple[int, int], ...]], ...]
    """Fields, and the ranges of records in which they are erased: first and last, both included."""
    is_again: bool = False
    """Whether they were gone before, and the record that said so is lost."""

    @property
    def why(self) -> dict[str, Any]:
        """What is left in the place of a content."""
        return {"at": self.at, "basis": self.basis, "by": self.by, "record": self.record}

    def size_from(self, first: int) -> int:
        """Return how many contents of records from ``first`` on it names."""
        return sum(
            len(fields) * sum(max(last - max(begin, first) + 1, 0) for begin, last in ranges)
            for fields, ranges in self.groups
        )


@attrs.frozen
class Reason:
    """What a page says of a content that was erased. Nothing vouches for it."""

    at: str
    by: str
    basis: str
    record: int
    """The record that says so, or did."""

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Reason:
        """Return what is said, as far as it is what a log writes."""
        at, by, basis = (_text(fields.get(name)) for name in ("at", "by", "basis"))
        record = fields.get("record")
        return cls(at, by, basis, record if type(record) is int and 0 <= record < _INDEX_END else -1)


def _text(value: Any) -> str:
    return value[:_CHARS_MAX] if type(value) is str else ""


def erasures_of(index: int, fields: Mapping[str, Any]) -> Erasure | None:
    """Return what a record says that is the log's own; None if it says it otherwise than a log does."""
    match fields:
        case {"at": str(at), "by": str(by), "basis": str(basis), "erased": list(groups)} if "seq" not in fields:
            found = tuple(each for each in map(_group, groups) if each is not None)
            return Erasure(index, at, by, basis, found, "again" in fields) if len(found) == len(groups) else None
    return None


def _group(group: Any) -> tuple[frozenset[str], tuple[tuple[int, int], ...]] | None:
    match group:
        case {"fields": list(names), "records": list(ranges)} if all(type(name) is str for name in names):
            pairs = [(each[0], each[1]) for each in ranges if _is_range(each)]
            return (frozenset(names), tuple(pairs)) if len(pairs) == len(ranges) else None
    return None


def _is_range(value: Any) -> bool:
    return type(value) is list and len(value) == 2 and all(type(each) is int and each >= 0 for each in value)


class Erasures:
    """Several of them together: each record is asked for once."""

    def __init__(self, erasures: Iterable[Erasure]) -> None:
        spans: dict[str, list[tuple[int, int, int]]] = {}
        self._said: dict[int, Erasure] = {}
        for erasure in erasures:
            self._said[erasure.record] = erasure
            for fields, ranges in erasure.groups:
                for field in fields:
                    spans.setdefault(field, []).extend((first, last, erasure.record) for first, last in ranges)
        self._by_field: dict[str, tuple[list[tuple[int, int, int]], list[int], list[int]]] = {}
        for field, each in spans.items():
            each.sort()
            ends, end = [], -1
            for _, last, _record in each:
                end = max(end, last)
                ends.append(end)
            self._by_field[field] = each, [first for first, _, _ in each], ends

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The ranges of records that they speak of, in order; they may overlap."""
        groups = [ranges for erasure in self._said.values() for _, ranges in erasure.groups]
        return sorted({each for ranges in groups for each in ranges})

    @property
    def newest(self) -> int:
        """The index of the last record that says what was erased: an erasure is one of records before it."""
        return max(self._said, default=0)

    def of(self, index: int, field: str) -> Erasure | None:
        """Return what says, after this record, that this field of it was erased; None if none does."""
        spans, firsts, ends = self._by_field.get(field, ([], [], []))
        at = bisect_right(firsts, index) - 1
        while at >= 0 and ends[at] >= index:
            _, last, record = spans[at]
            if last >= index and record > index:
                return self._said[record]
            at -= 1
        return None
