"""Which deed of a log is which deed of another record: by ids, by contents, and, where neither helps, by order.

The nth of the same is the nth of the same. Where ids are those of the runtime, on both sides, a deed of the one that
has no deed of its id on the other side is not there: it is not paired with what only looks like it.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import attrs

from ._deed import Deed
from ._sameness import CUT, GONE, Sameness, plain, same, same_text

__all__ = ("Key", "Pair", "key_of", "pair_by_key", "pair_deeds", "sameness_of")

Key = tuple[str, str]

_MARKS: Final = (CUT, "[redacted", "$redacted", *GONE)
_LOOKED_AT: Final = 64
"""With so many of one name, whose contents are known in part, a deed is compared: they mostly come in its order."""


@attrs.frozen
class Pair:
    told: int
    """Its number in the other record, among those of its kind."""
    logged: int
    sameness: Sameness


class _Shelf:
    """Deeds of a log that have no partner yet, by a key; the first that was put there comes out first."""

    def __init__(self, deeds: Sequence[Deed], taken: set[int], key: Callable[[Deed], Hashable | None]) -> None:
        self._taken = taken
        self._numbers: defaultdict[Hashable, deque[int]] = defaultdict(deque)
        for number, deed in enumerate(deeds):
            if number not in taken and (found := key(deed)) is not None:
                self._numbers[found].append(number)

    def take(self, key: Hashable) -> int | None:
        numbers = self._numbers.get(key)
        while numbers:
            number = numbers.popleft()
            if number not in self._taken:
                self._taken.add(number)
                return number
        return None

    def left(self, key: Hashable) -> Iterator[int]:
        """Iterate over those that were not taken, the first first."""
        numbers = self._numbers.get(key, deque())
        while numbers and numbers[0] in self._taken:
            numbers.popleft()
        return (number for number in numbers if number not in self._taken)


def pair_deeds(logged: Sequence[Deed], told: Sequence[Deed]) -> list[Pair]:
    """Pair the deeds of one kind; what has no partner is in no pair."""
    return _Pairing(logged, told).run()


class _Pairing:
    def __init__(self, logged: Sequence[Deed], told: Sequence[Deed]) -> None:
        self._logged = logged
        self._told = told
        self._taken: set[int] = set()
        self._pairs: dict[int, int] = {}
        self._needs_no_id = False
        """Whether ids are the runtime's in both records: then one with an id is found by that, or not at all."""
        self._digests: dict[int, str] = {}
        self._groups: dict[str, str] = {}
        """By a group of the other record, the group of the log in which its deeds were found."""

    def run(self) -> list[Pair]:
        self._by(lambda deed: (deed.id, deed.name, self._digest(deed)) if deed.id else None)
        self._by(lambda deed: (deed.id, deed.name, deed.group) if deed.id else None, as_in_log=True)
        self._by(lambda deed: (deed.id, deed.name) if deed.id else None)
        self._by(lambda deed: deed.id or None)
        # A log gives an id of its own to what has none: there, an id says nothing. A checkpoint is nothing but its id.
        ids_are_shared = bool(self._pairs) or any(deed.what == "checkpoint" for deed in self._told[:1])
        self._needs_no_id = ids_are_shared
        self._by(lambda deed: (deed.name, self._digest(deed)))
        self._in_part()
        if not ids_are_shared:
            self._by(lambda deed: (deed.name, deed.group), as_in_log=True)
        return [
            Pair(told, number, self._sameness(self._logged[number], self._told[told]))
            for told, number in sorted(self._pairs.items())
        ]

    def _by(self, key: Callable[[Deed], Hashable | None], *, as_in_log: bool = False) -> None:
        """Pair those with the same key; ``as_in_log``: as if they were in the group in which others were found."""
        shelf = _Shelf(self._logged, self._taken, key)
        for number, deed in enumerate(self._told):
            if number in self._pairs or (self._needs_no_id and deed.id):
                continue
            if as_in_log:
                if (group := self._groups.get(deed.group)) is None:
                    continue
                deed = attrs.evolve(deed, group=group)  # noqa: PLW2901 - as it would be in the log
            found = key(deed)
            if found is not None and (other := shelf.take(found)) is not None:
                self._put(number, other)

    def _in_part(self) -> None:
        """Pair those that are the same as far as the log holds them."""

        def partly_known(deed: Deed) -> str | None:
            return deed.name if self._is_partial(deed) else None

        shelf = _Shelf(self._logged, self._taken, partly_known)
        for number, deed in enumerate(self._told):
            if number in self._pairs or (self._needs_no_id and deed.id):
                continue
            for other in islice(shelf.left(deed.name), _LOOKED_AT):
                if sameness_of(self._logged[other], deed) is not Sameness.DIFFERENT:
                    self._taken.add(other)
                    self._put(number, other)
                    break

    def _sameness(self, logged: Deed, told: Deed) -> Sameness:
        if logged.name == told.name and self._digest(logged) == self._digest(told):
            return Sameness.SAME
        return sameness_of(logged, told)

    def _is_partial(self, logged: Deed) -> bool:
        text = self._digest(logged)
        return logged.content is None or any(mark in text for mark in _MARKS)

    def _digest(self, deed: Deed) -> str:
        if (digest := self._digests.get(id(deed))) is None:
            digest = self._digests[id(deed)] = _digest_of(deed)
        return digest

    def _put(self, told: int, logged: int) -> None:
        self._pairs[told] = logged
        self._groups.setdefault(self._told[told].group, self._logged[logged].group)


def pair_by_key(logged: Sequence[Deed], told: Sequence[Deed], keys: Mapping[Key, Key]) -> list[Pair]:
    """Pair results with results whose calls are a pair; ``keys`` has the log's key for that of the other record."""
    shelf = _Shelf(logged, set(), key_of)
    pairs = []
    for number, deed in enumerate(told):
        key = keys.get((deed.group, deed.key))
        if key is not None and (other := shelf.take(key)) is not None:
            pairs.append(Pair(number, other, sameness_of(logged[other], deed)))
    return pairs


def key_of(deed: Deed) -> Key | None:
    """Return what connects a deed with its answer; another conversation may have the same key."""
    return (deed.group, deed.key) if deed.key else None


def sameness_of(logged: Deed, told: Deed) -> Sameness:
    """Compare what two records say of one deed."""
    if told.what == "verdict":
        return Sameness.SAME if logged.name == told.name else Sameness.DIFFERENT
    if told.content is None or logged.what == "checkpoint":
        return Sameness.SAME
    if logged.by == "tool.failed":
        # Runtimes wrap an error in words of their own before the model sees it.
        text, said = str(logged.content or ""), str(told.content)
        return Sameness.SAME if text and text in said else Sameness.OTHER_FORM
    if told.name and logged.name and logged.name != told.name and told.what in ("call", "approval"):
        return Sameness.DIFFERENT
    if isinstance(logged.content, str) and isinstance(told.content, str):
        found = same_text(logged.content, told.content)
        if found is not Sameness.DIFFERENT:
            return found
    return same(plain(logged.content), plain(told.content))


def _digest_of(deed: Deed) -> str:
    """Return text that is the same for the same contents."""
    return json.dumps(plain(deed.content), sort_keys=True, ensure_ascii=False, default=_shown)


def _shown(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else str(value)
