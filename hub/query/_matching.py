"""Matching: which lines of a piece of a log are selected, with as little of them decoded as can be."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from .. import codec
from ..errors import InvalidRecord
from ..patterns import Patterns
from ._moments import instant_of, instant_text, is_as_hubs_write
from ._selection import FIELDS, Selection

__all__ = ("BadLine", "Matcher", "Peeks", "at_path", "is_object", "lines_with", "text_of", "whole_fields")

NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""The exceptions of msgspec for bytes that are not JSON, or not of the form that is wanted."""

SUFFIX_CHARS_MIN = 6
_END_OF_ID = re.compile(r"[0-9a-f]{6,31}", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z0-9_.:@ +-]+", re.ASCII)
"""Text that every writer of JSON writes as it is."""

_KNOWN_MAX = 10_000
_SPARSE = 4
"""Lines are looked at one by one if so many times fewer of them hold a text that they must hold."""

Test = Callable[[Any], bool]
T = TypeVar("T")


class BadLine(Exception):
    """A line is no JSON object. ``number`` counts from the first line of the piece."""

    def __init__(self, number: int, error: Exception) -> None:
        super().__init__(f"{error}")
        self.number = number


class Peeks:
    """Decodes a few keys of each line: reading all of them takes several times as long."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._names = {key: f"f{number}" for number, key in enumerate(keys)}
        rename = {name: key for key, name in self._names.items()}
        fields = [(name, Any, UNSET) for name in rename]
        struct = msgspec.defstruct("Peek", fields, rename=rename, gc=False)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(struct)

    def name_of(self, key: str) -> str:
        """Return the attribute that a key has become."""
        return self._names[key]

    def of_all(self, content: bytes, records: int) -> list[Any]:
        """Return an object for each of so many lines, whose attributes are the keys. Raises :class:`BadLine`."""
        try:
            peeks = self._decoder.decode_lines(content)
        except NOT_JSON:
            peeks = []
        if len(peeks) == records:  # blank lines are passed over
            return peeks
        return [self.of(line, number) for number, line in enumerate(content.split(b"\n"))]

    def of(self, line: bytes, number: int) -> Any:
        """Return the object of one line."""
        try:
            return self._decoder.decode(line)
        except NOT_JSON as error:
            raise BadLine(number, error) from error


class Matcher:
    """Tells which lines are selected. Names of agents and channels have to be learnt before: see ``Identities``."""

    def __init__(
        self, selection: Selection, agents: frozenset[str] = frozenset(), channels: frozenset[str] = frozenset()
    ) -> None:
        self.selection = selection
        wanted = {name: getattr(selection, name) for name in FIELDS}
        self._texts = {FIELDS[name]: texts for name, texts in wanted.items() if texts}
        self._ids = {"agent_id": agents, "channel_id": channels}
        self.undated: int = 0
        """How many records had no time, of those that meet all that was asked besides."""
        tests = self._compiled()
        self.peeks: Peeks = Peeks(list(dict.fromkeys(key for key, _ in tests)))
        self._tests = [(self.peeks.name_of(key), test) for key, test in tests]
        self._text = None if selection.text is None else _TextTest(selection.text, selection.shown)
        self._needles = self._found_needles()

    # -- what is asked --

    @property
    def is_everything(self) -> bool:
        """Whether all records are selected."""
        return not self._tests and self._text is None

    @property
    def keys(self) -> list[tuple[str, frozenset[str]]]:
        """The keys that must have one of a few exact texts: what an index may rule out."""
        exact = [
            (key, frozenset(texts) | self._ids.get(key, frozenset()))
            for key, texts in self._texts.items()
            if not _has_patterns(key, texts)
        ]
        exact = [
            (key, texts) for key, texts in exact if key not in self._ids or not any(map(_is_end, self._texts[key]))
        ]
        if self.selection.kind and not any("*" in kind for kind in self.selection.kind):
            exact.append(("kind", frozenset(self.selection.kind)))
        return [*exact, *((key, frozenset(texts)) for key, texts in self.selection.where if "." not in key)]

    def _compiled(self) -> list[tuple[str, Test]]:
        tests: list[tuple[str, Test]] = []
        for key, texts in self._texts.items():
            if key in self._ids:
                tests.append((key, _id_test(texts, self._ids[key])))
            else:
                tests.append((key, _pattern_test(texts) if _has_patterns(key, texts) else _equals(texts)))
        if self.selection.kind:
            tests.append(("kind", _pattern_test(self.selection.kind)))
        for key, texts in self.selection.where:
            first, *path = key.split(".")
            tests.append((first, at_path(path, _equals(texts)) if path else _equals(texts)))
        since, until = self.selection.since, self.selection.until
        if since is not None or until is not None:
            tests.append(("at", self._time_test(since, until)))
        return tests

    def _time_test(self, since: int | None, until: int | None) -> Test:
        first = "" if since is None else instant_text(since)
        last = "a" if until is None else instant_text(until)

        def is_within(at: Any) -> bool:
            # Most records have a time as hubs write it, whose texts are in the order of their instants.
            if is_as_hubs_write(at):
                return first <= at < last
            instant = instant_of(at)
            if instant is None:
                self.undated += 1
                return False
            return (since is None or since <= instant) and (until is None or instant < until)

        return is_within

    def _found_needles(self) -> list[list[bytes]]:
        """Return lists of bytes: a line that is selected holds one of each list."""
        return [
            [b'"%b"' % text.encode() for text in texts]
            for key, texts in self.keys
            if all(map(_PLAIN.fullmatch, texts)) and (key == "kind" or key in self._texts)
        ]

    # -- what is found --

    def takes(self, line: bytes) -> bool:
        """Tell whether a line is selected. Raises :class:`BadLine` if it is no JSON object."""
        return self._passes(self.peeks.of(line, 0)) and (self._text is None or self._text(line))

    def _passes(self, peek: Any) -> bool:
        return all(test(getattr(peek, name)) for name, test in self._tests)

    def find(self, content: bytes, records: int) -> list[tuple[int, int, bytes]]:
        """Return the selected lines of a piece: their numbers, where they begin in it, and they themselves.

        ``content`` are so many whole lines, without the last line feed. Raises :class:`BadLine`.
        """
        scarce = self._scarce(content, records)
        if scarce is not None:
            return list(self._find_in(scarce, content))
        peeks = self.peeks.of_all(content, records)
        numbers: Sequence[int] = range(records)
        for name, test in self._tests:  # one test after the other, over all that are left: a loop a line takes longer
            value_of = attrgetter(name)
            numbers = [number for number in numbers if test(value_of(peeks[number]))]
        if not numbers:
            return []
        lines = content.split(b"\n")
        if self._text is not None:
            numbers = [number for number in numbers if self._text(lines[number])]
        begins = [0, *accumulate(len(line) + 1 for line in lines)]
        return [(number, begins[number], lines[number]) for number in numbers]

    def _scarce(self, content: bytes, records: int) -> list[int] | None:
        """Return where lines begin of which each selected one is one, if these are few; None if they are many.

        The bytes are looked through once for each key that is asked for: that takes longer than all else, where a log
        has no index.
        """
        few: list[int] | None = None
        most = records // _SPARSE
        for needles in self._needles:
            begins = _begins_with(content, needles, most)
            if begins is not None:
                few, most = begins, len(begins)
                if not few:
                    break
        return few

    def _find_in(self, begins: Iterable[int], content: bytes) -> Iterator[tuple[int, int, bytes]]:
        number = passed = 0
        for begin in begins:
            line = _line_at(content, begin)
            try:
                is_taken = self.takes(line)
            except BadLine as error:
                raise BadLine(content.count(b"\n", 0, begin), error) from error
            if is_taken:  # the lines between are counted for those alone: it takes longer than to find them
                number += content.count(b"\n", passed, begin)
                passed = begin
                yield number, begin, line


def _begins_with(content: bytes, needles: Sequence[bytes], most: int) -> list[int] | None:
    """Return where the lines begin that hold one of the needles, in order; None if they are more than ``most``."""
    places: set[int] = set()
    for needle in needles:
        at = content.find(needle)
        while at >= 0:
            places.add(content.rfind(b"\n", 0, at) + 1)
            if len(places) > most:
                return None
            end = content.find(b"\n", at)
            at = content.find(needle, end) if end >= 0 else -1
    return sorted(places)


def _line_at(content: bytes, begin: int) -> bytes:
    end = content.find(b"\n", begin)
    return content[begin : end if end >= 0 else None]


def lines_with(content: bytes, needles: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    """Iterate over the lines that hold one of the needles, and where each begins."""
    for begin in _begins_with(content, needles, len(content)) or ():
        yield begin, _line_at(content, begin)


def _is_end(text: str) -> bool:
    """Tell whether a text may be the end of an id."""
    return text.startswith("…") or _END_OF_ID.fullmatch(text) is not None


def _id_test(texts: tuple[str, ...], ids: frozenset[str]) -> Test:
    exact = ids | frozenset(texts)
    ends = tuple(text.removeprefix("…") for text in texts if _is_end(text))
    ends = tuple(end for end in ends if len(end) >= SUFFIX_CHARS_MIN)
    if not ends:
        return lambda value: type(value) is str and value in exact
    return lambda value: type(value) is str and (value in exact or value.endswith(ends))


def _has_patterns(key: str, texts: tuple[str, ...]) -> bool:
    return key == "topic" and any("*" in text for text in texts)


def _pattern_test(texts: tuple[str, ...]) -> Test:
    patterns = Patterns(texts, any_text=True)
    known: dict[str, bool] = {}

    def matches(text: Any) -> bool:
        if type(text) is not str:
            return False
        if (answer := known.get(text)) is None:
            if len(known) > _KNOWN_MAX:
                known.clear()
            answer = known[text] = patterns.matches(text)
        return answer

    return matches


def _equals(texts: tuple[str, ...]) -> Test:
    wanted = frozenset(texts)
    return lambda value: (value if type(value) is str else text_of(value)) in wanted


def at_path(path: list[str], use: Callable[[Any], T]) -> Callable[[Any], T]:
    """Return what applies ``use`` to the value at a path of keys within another one."""

    def inner(value: Any) -> T:
        for key in path:
            value = value.get(key, UNSET) if type(value) is dict else UNSET
        return use(value)

    return inner


def text_of(value: Any) -> str | None:
    """Return a value of a record as a person writes it: ``true``, ``0.5``, ``null``; None if it is not there."""
    if value is UNSET:
        return None
    return value if type(value) is str else msgspec.json.encode(value).decode()


class _TextTest:
    """Whether a text is in the JSON of a record, in whatever case, and however its writer has escaped it.

    ``shown`` makes of a line the one that its reader sees. Looking there alone would redact each line of a log.
    """

    def __init__(self, text: str, shown: Callable[[bytes], bytes] | None) -> None:
        self._shown = shown
        self._wanted = text.casefold()
        self._quick = text.lower().encode() if text.isascii() and _PLAIN.fullmatch(text) else None

    def __call__(self, line: bytes) -> bool:
        if not self._is_in(line):
            return False
        return self._shown is None or (seen := self._shown(line)) is line or self._is_in(seen)

    def _is_in(self, line: bytes) -> bool:
        if self._quick is not None and b"\\u" not in line and line.isascii():
            at = line.rfind(b',"d":')
            is_there = self._quick in (line[:at] if at >= 0 else line).lower()
            if b"\\" not in line or not is_there:
                return is_there  # else what is there may begin with the letter of an escape, ``\n``
        try:
            fields = whole_fields(line)
        except InvalidRecord:
            return False
        return any(self._wanted in text.casefold() for text in _texts_in(fields))


def _texts_in(value: Any) -> Iterator[str]:
    if type(value) is str:
        yield value
    elif type(value) is dict:
        for key, inner in value.items():
            yield key
            yield from _texts_in(inner)
    elif type(value) is list:
        for inner in value:
            yield from _texts_in(inner)
    else:
        yield text_of(value) or ""


def whole_fields(line: bytes) -> dict[str, Any]:
    """Return the fields of a record, without those that a log adds; records of strangers have none of these.

    Raises :class:`~hubwire.errors.InvalidRecord`.
    """
    try:
        body = codec.body_of(line)
    except InvalidRecord:
        body = line
    return codec.decode_fields(body)


def is_object(line: bytes) -> bool:
    """Tell whether a line is a JSON object."""
    try:
        codec.decode_fields(line)
    except InvalidRecord:
        return False
    return True
