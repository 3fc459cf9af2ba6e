"""Whether the messages of a record are in a log, which may say each in several events, or in none.

An adapter tells what an agent was asked as the prompt of a turn, or as what its model was asked; its answer is that of
a model, or the content of the end of a turn. Any of them will do: so a message is there as often as the kind of event
says it that says it most often.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from typing import Final

import attrs

from ._deed import Deed
from ._sameness import Sameness, is_gone, is_partial, literal_start, said_in, same_text

__all__ = ("Heard", "hear")

_ONLY_WITNESSES: Final = frozenset({"model.called"})
"""What a model is asked again and again is no message of its own."""
_SAID_ONCE: Final = frozenset({"envelope.posted", "model.completed"})
_START_CHARS: Final = 24


@attrs.frozen
class Heard:
    """What became of the messages of a record."""

    pairs: tuple[tuple[int, int, Sameness], ...]
    """The number of a message, that of the log's, and how far they are the same."""
    wordless: int
    """How many messages have no words: they are known by their calls."""
    extra: tuple[int, ...]
    """The log's messages that the record does not have."""


def hear(logged: Sequence[Deed], told: Sequence[Deed]) -> Heard:
    """Find the messages of a record in a log."""
    shelves = _Shelves(logged)
    texts = [said_in(deed.content) for deed in told]
    said = [text for text in texts if text]
    counts = Counter(said)
    pairs: dict[int, tuple[int, Sameness]] = {}
    groups: dict[str, str] = {}
    # What was said once tells which conversation is which: so what is said in all of them is found in its own.
    for is_said_once in (True, False):
        for number, text in enumerate(texts):
            if not text or (counts[text] == 1) is not is_said_once:
                continue
            group = told[number].group
            if (found := shelves.take(text, groups.get(group))) is not None:
                pairs[number] = (found, Sameness.SAME)
                groups.setdefault(group, logged[found].group)
    for number, text in enumerate(texts):
        if text and number not in pairs and (part := shelves.take_part(text)) is not None:
            pairs[number] = part
    for number, text in enumerate(texts):
        if text and number not in pairs and (gone := shelves.take_gone(groups.get(told[number].group))) is not None:
            pairs[number] = (gone, Sameness.NOT_HELD)
    return Heard(
        tuple((number, *pair) for number, pair in sorted(pairs.items())),
        len(texts) - len(said),
        tuple(shelves.surplus(said)),
    )


class _Shelves:
    """The messages of a log, by their words."""

    def __init__(self, logged: Sequence[Deed]) -> None:
        self._logged = logged
        self._texts = [said_in(deed.content) for deed in logged]
        self._whole: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._part: defaultdict[str, list[int]] = defaultdict(list)
        self._left: dict[str, defaultdict[str, deque[int]]] = {}
        """Of the kind of event that says a text most often: those that are not taken, by their conversations."""
        self._gone: defaultdict[str, deque[int]] = defaultdict(deque)
        """Those whose words are gone, by their conversations: none that has no more of them."""
        for number, text in enumerate(self._texts):
            if is_partial(text):
                self._part[literal_start(text)[:_START_CHARS]].append(number)
            self._whole[text][logged[number].by].append(number)
            if is_gone(logged[number].content):
                self._gone[logged[number].group].append(number)

    def take(self, text: str, group: str | None) -> int | None:
        """Return the next message of these words, of this conversation rather than of others."""
        by = self._whole.get(text)
        if by is None:
            return None
        most = self._left.get(text)
        if most is None:
            most = self._left[text] = defaultdict(deque)
            for number in max(by.values(), key=len):
                most[self._logged[number].group].append(number)
        chosen = group if group is not None and most.get(group) else next((each for each in most if most[each]), None)
        return None if chosen is None else most[chosen].popleft()

    def take_part(self, text: str) -> tuple[int, Sameness] | None:
        for length in range(min(_START_CHARS, len(text)), -1, -1):
            numbers = self._part.get(text[:length], [])
            for place, number in enumerate(numbers):
                found = same_text(self._texts[number], text)
                if found is not Sameness.DIFFERENT:
                    del numbers[place]
                    return number, found
        return None

    def take_gone(self, group: str | None) -> int | None:
        """Return the next message whose words are gone, of this conversation if it is known."""
        chosen = next(iter(self._gone), None) if group is None else group
        if chosen is None or chosen not in self._gone:
            return None
        number = self._gone[chosen].popleft()
        if not self._gone[chosen]:
            del self._gone[chosen]
        return number

    def surplus(self, said: list[str]) -> list[int]:
        """Return the log's messages that were not said, each text once, and those that were said less often."""
        counts, in_order = Counter(said), sorted(set(said))
        found: list[int] = []
        for text, by in self._whole.items():
            if not text or (not counts[text] and is_partial(text) and _is_beginning(text, in_order)):
                continue
            numbers = [each for kind, those in by.items() if kind not in _ONLY_WITNESSES for each in those]
            if not counts[text]:
                found += numbers[:1]
                continue
            for kind, those in by.items():
                if kind in _SAID_ONCE:
                    found += those[counts[text] :]
        return sorted(found)


def _is_beginning(text: str, said: list[str]) -> bool:
    """Tell whether a text of which a part is known may be one of these, which are sorted."""
    start = literal_start(text)
    for at in range(bisect_left(said, start), len(said)):
        if not said[at].startswith(start):
            break
        if same_text(text, said[at]) is not Sameness.DIFFERENT:
            return True
    return False
