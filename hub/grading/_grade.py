"""A log, graded: how much of what another record says is in it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from .._foreign.arguments import Call, is_a
from .._values import Value
from ..errors import ConfigurationError
from ._deed import WHATS, Deed
from ._pairing import Key, Pair, key_of, pair_by_key, pair_deeds
from ._sameness import Sameness, said_in
from ._words import hear

__all__ = ("Difference", "Grade", "Tally", "grade")

_GRADE: Final = Call("grade()", ConfigurationError)
_INSTRUCTIONS: Final = ("system", "developer")
_UNCLEAR: Final[Mapping[Sameness, str]] = {
    Sameness.CUT: "the log holds the beginning of {}, and that is the same",
    Sameness.REDACTED: "{} redacted in the log: the rest is the same",
    Sameness.OTHER_FORM: "{} text in one record and an object in the other",
    Sameness.NOT_HELD: "the log does not hold the contents of {}",
}


@attrs.frozen(eq=False, repr=False)
class Tally(Value):
    """How many of one kind of deed there are."""

    told: int
    """In the other record."""
    found: int
    """Of these, in the log; with those that differ there."""
    missing: int
    different: int
    unclear: int
    """Of those that were found: how many could not be compared, or not whole."""
    only_in_log: int


@attrs.frozen(eq=False, repr=False)
class Difference(Value):
    """One deed of which the two records do not say the same."""

    told: Deed
    logged: Deed


@attrs.frozen(eq=False, repr=False)
class Grade(Value):
    """What a log says of runs, beside what another record says of them."""

    tallies: Mapping[str, Tally]
    """By the kind of deed: only kinds that either of the records has."""
    missing: tuple[Deed, ...]
    """What the other record says, and the log does not."""
    different: tuple[Difference, ...]
    """What both say, with other contents or another name."""
    only_in_log: tuple[Deed, ...]
    """What the log alone says, of the conversations that the other record has."""
    moved: tuple[Difference, ...]
    """What the log says at another place in the order of its conversation. Calls that run side by side may do that."""
    not_compared: tuple[str, ...]
    """What could not be compared, and why."""

    @property
    def is_complete(self) -> bool:
        """Whether all that the other record says is in the log, and nothing of it is known to differ."""
        return not self.missing and not self.different


def grade(log: Iterable[Deed], against: Iterable[Deed]) -> Grade:
    """Compare what a log says with what another record says of the same runs.

    ``log`` is what :func:`deeds_of` reads from the records of a log, ``against`` are the deeds of the other record, in
    its order. Calls are found by their ids where both records have those of the runtime, and else by tool and
    arguments, the nth by the nth; messages by their words, white space aside. What the log holds in part, because it
    was cut or redacted, is compared as far as it goes. All deeds are held in memory.

    Raises :class:`~hubwire.errors.ConfigurationError` for what are no deeds.
    """
    logged, told = _by_kind("log", log), _by_kind("against", against)
    grading = _Grading(logged, told)
    for what in WHATS:
        if what == "message":
            grading.messages()
        elif what in ("result", "verdict"):
            grading.answers(what, "call" if what == "result" else "approval")
        else:
            grading.of_kind(what)
    return grading.result()


def _by_kind(argument: str, deeds: Any) -> dict[str, list[Deed]]:
    if is_a(deeds, str) or is_a(deeds, Mapping) or not is_a(deeds, Iterable):
        raise _GRADE.refusal(argument, deeds, "an iterable of Deed", "read a log by deeds_of(records)")
    found: dict[str, list[Deed]] = {what: [] for what in WHATS}
    for deed in deeds:
        found[_GRADE.instance(f"each of {argument}", deed, Deed, wanted="a hubwire.grading.Deed").what].append(deed)
    return found


class _Grading:
    def __init__(self, logged: dict[str, list[Deed]], told: dict[str, list[Deed]]) -> None:
        self._logged = logged
        self._told = told
        self._missing: list[Deed] = []
        self._different: list[Difference] = []
        self._extra: dict[str, list[Deed]] = {}
        self._moved: list[Difference] = []
        self._unclear: Counter[tuple[str, Sameness]] = Counter()
        self._counts: dict[str, Counter[str]] = {what: Counter() for what in WHATS}
        self._keys: dict[Key, Key] = {}
        self._groups: set[str] = set()
        """The conversations of the log in which something of the other record was found."""
        self._wordless = 0
        self._unrecorded: list[str] = []

    def messages(self) -> None:
        logged, told = self._logged["message"], self._told["message"]
        heard = hear(logged, told)
        self._wordless = heard.wordless
        pairs = [Pair(*pair) for pair in heard.pairs]
        known = {pair.told for pair in pairs} | {n for n, deed in enumerate(told) if not said_in(deed.content)}
        if all(logged[pair.logged].by != "envelope.posted" for pair in pairs):
            # Adapters record what is asked and answered, and none of them the instructions.
            orders = {n for n, deed in enumerate(told) if deed.name in _INSTRUCTIONS} - known
            if orders:
                known |= orders
                self._unrecorded.append(
                    f"{len(orders):,} of the messages are instructions of a system: adapters do not record them"
                )
        self._take("message", pairs, known, [logged[number] for number in heard.extra])

    def of_kind(self, what: str) -> None:
        logged, told = self._logged[what], self._told[what]
        if what in ("turn", "checkpoint", "approval") and not told:
            if logged:
                self._unrecorded.append(f"the other record has no {what}s: {len(logged):,} of the log stand alone")
            return
        pairs = pair_deeds(logged, told)
        for pair in pairs:
            one, other = key_of(told[pair.told]), key_of(logged[pair.logged])
            if one is not None and other is not None:
                self._keys[one] = other
        self._take(what, pairs, {pair.told for pair in pairs}, _without(logged, pairs))

    def answers(self, what: str, asked: str) -> None:
        logged, told = self._logged[what], self._told[what]
        if not told and not self._told[asked]:
            return
        pairs = pair_by_key(logged, told, self._keys)
        pairs += self._stray(what, asked, {pair.logged for pair in pairs})
        # What answers a call that the log does not have is missing with it.
        self._take(what, pairs, {pair.told for pair in pairs}, _without(logged, pairs) if told else [])

    def _stray(self, what: str, asked: str, taken: set[int]) -> list[Pair]:
        """Pair the answers of which the other record has no question: windows of a conversation begin so."""
        known = {key_of(deed) for deed in self._told[asked]}
        strays = [number for number, deed in enumerate(self._told[what]) if key_of(deed) not in known]
        if not strays:
            return []
        left = [number for number in range(len(self._logged[what])) if number not in taken]
        pairs = pair_deeds([self._logged[what][n] for n in left], [self._told[what][n] for n in strays])
        return [Pair(strays[pair.told], left[pair.logged], pair.sameness) for pair in pairs]

    def _take(self, what: str, pairs: Sequence[Pair], known: set[int], extra: list[Deed]) -> None:
        logged, told, counts = self._logged[what], self._told[what], self._counts[what]
        self._missing += (lacking := [deed for number, deed in enumerate(told) if number not in known])
        counts["missing"] = len(lacking)
        for pair in pairs:
            one, other = told[pair.told], logged[pair.logged]
            self._groups.add(other.group)
            counts["found"] += 1
            if pair.sameness is Sameness.DIFFERENT:
                counts["different"] += 1
                self._different.append(Difference(one, other))
            elif pair.sameness is not Sameness.SAME:
                counts["unclear"] += 1
                self._unclear[what, pair.sameness] += 1
        self._extra[what] = extra
        if what in ("message", "call"):
            self._moved += _moved(pairs, logged, told)

    def result(self) -> Grade:
        only, elsewhere = [], 0
        for what, deeds in self._extra.items():
            here = [deed for deed in deeds if deed.group in self._groups]
            self._counts[what]["extra"] = len(here)
            elsewhere += len(deeds) - len(here)
            only += here
        return Grade(
            tallies={
                what: Tally(
                    told=counts["found"] + counts["missing"],
                    found=counts["found"],
                    missing=counts["missing"],
                    different=counts["different"],
                    unclear=counts["unclear"],
                    only_in_log=counts["extra"],
                )
                for what, counts in self._counts.items()
                if any(counts.values())
            },
            missing=tuple(self._missing),
            different=tuple(self._different),
            only_in_log=tuple(only),
            moved=tuple(self._moved),
            not_compared=tuple(self._not_compared(elsewhere)),
        )

    def _not_compared(self, elsewhere: int) -> Iterable[str]:
        for (what, sameness), count in sorted(self._unclear.items()):
            them = f"{count:,} {what}{'' if count == 1 else 's'}"
            if sameness in (Sameness.REDACTED, Sameness.OTHER_FORM):
                them += " is" if count == 1 else " are"
            yield _UNCLEAR[sameness].format(them)
        if self._wordless:
            they = "messages have" if self._wordless > 1 else "message has"
            yield f"{self._wordless:,} {they} no words: only their calls can be looked for"
        yield from self._unrecorded
        if elsewhere:
            yield f"{elsewhere:,} more of the log are of conversations of which the other record has nothing"


def _without(logged: Sequence[Deed], pairs: Iterable[Pair]) -> list[Deed]:
    taken = {pair.logged for pair in pairs}
    return [deed for number, deed in enumerate(logged) if number not in taken]


def _moved(pairs: Iterable[Pair], logged: Sequence[Deed], told: Sequence[Deed]) -> list[Difference]:
    """Return the fewest deeds that would have to move for the log to have the order of the other record."""
    groups: defaultdict[tuple[str, str, str], list[Pair]] = defaultdict(list)
    for pair in pairs:
        one, other = told[pair.told], logged[pair.logged]
        groups[one.group, other.group, other.by].append(pair)
    moved = []
    for those in groups.values():
        stay = _longest_rising([pair.logged for pair in those])
        moved += [pair for number, pair in enumerate(those) if number not in stay]
    return [Difference(told[pair.told], logged[pair.logged]) for pair in sorted(moved, key=lambda pair: pair.told)]


def _longest_rising(numbers: Sequence[int]) -> set[int]:
    """Return the places of a longest part of a sequence that rises."""
    ends: list[int] = []
    places: list[int] = []
    before: list[int] = []
    for place, number in enumerate(numbers):
        at = bisect_left(ends, number)
        before.append(places[at - 1] if at else -1)
        if at == len(ends):
            ends.append(number)
            places.append(place)
        else:
            ends[at], places[at] = number, place
    stay: set[int] = set()
    place = places[-1] if places else -1
    while place >= 0:
        stay.add(place)
        place = before[place]
    return stay
