"""One walk through a value: containers and texts in it are made again where they have a finding, and else stay."""

from __future__ import annotations

import base64
import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import attrs
import msgspec

from ..events._canonical import FrozenDict, canonical
from ._numbers import is_card_number
from ._pseudonyms import is_placeholder
from ._tokens import Span

__all__ = ("Found", "Rules", "Walk")

DEPTH_MAX = 64
"""As deep as an event's payload may be."""

JSON_DEPTH_MAX = 8
"""How many texts of JSON may be inside one another; what is deeper is searched as text."""

Path = tuple[str | int, ...]
Found = Callable[[str, Path, int, int], None]
"""Called with family, path, start and end of each finding."""

_PASSES_MAX = 4
"""How often a text is searched: where two secrets touch, the second is found when the first is gone."""

_NUMBERS = frozenset({"password", "secret", "phone", "card", "account", "id", "birth"})
"""Families whose values may be numbers; under other names a number is a count, or the like."""

_SCHEMA_WORDS = frozenset(
    (
        *("type", "description", "title", "default", "enum", "examples", "format", "pattern", "items", "properties"),
        *("required", "anyOf", "oneOf", "allOf", "const", "$ref", "minLength", "maxLength", "minimum", "maximum"),
        *("nullable", "readOnly", "writeOnly", "additionalProperties", "deprecated"),
    )
)
"""A container of these keys alone says what a value may be, and is none."""

_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\],:]|[^\s{}\[\],:"]++', re.DOTALL)


class Rules(Protocol):
    """What a walk asks."""

    length_min: int
    """Shorter texts hold no finding."""

    def spans(self, text: str) -> list[Span]: ...
    def family_of(self, key: str) -> str | None: ...
    def replacement(self, family: str, value: str) -> str: ...
    def is_clean(self, value: Any) -> bool: ...


class Walk:
    """Makes one value again. Values under a key that names them are replaced, and what is found in texts."""

    def __init__(self, rules: Rules, found: Found | None = None, json_depth: int = 0) -> None:
        self._rules = rules
        self._found = found
        self._json_depth = json_depth
        self._open: set[int] = set()
        self._made: dict[tuple[int, str | None], Any] = {}
        self._kept: list[Any] = []
        """Values made on the way: an id names one only while it lives."""

    def value(self, value: Any, path: Path = (), family: str | None = None) -> Any:
        """Return what becomes of a value; with a family, its key says that it is of that."""
        kind = type(value)
        if value is None or kind is bool or kind is float:
            return value
        if kind is str:
            return self.text(value, path) if family is None else self._named_text(value, family, path)
        if kind is int:
            return self._number(value, path, family)
        if kind is bytes or kind is bytearray:
            return self._bytes(value, path, family)
        if kind in _CONTAINERS:
            return self._container(value, path, family)
        frozen = canonical(value)
        self._kept.append(frozen)
        made = self.value(frozen, path, family)
        return value if made is frozen else made

    def _container(self, value: Any, path: Path, family: str | None) -> Any:
        name = (id(value), family)
        if name in self._made:
            return self._made[name]
        if id(value) in self._open or len(path) > DEPTH_MAX:
            return "[redacted:depth]"
        self._open.add(id(value))
        try:
            if isinstance(value, dict):
                made = self._mapping(value, path, family)
            else:
                items = [self.value(item, (*path, index), family) for index, item in enumerate(value)]
                made = value if all(map(_is, items, value)) else _again(value, items)
        finally:
            self._open.discard(id(value))
        self._made[name] = made
        return made

    # -- mappings --

    def _mapping(self, value: dict[Any, Any], path: Path, family: str | None) -> Any:
        if type(value) is FrozenDict and len(value) == 1 and (made := self._mark(value, path, family)) is not None:
            return made
        if family is not None and value and _SCHEMA_WORDS.issuperset(value):
            family = None
        made, is_same = {}, True
        alias = _name_of_value(value)
        for key, item in value.items():
            shown = self._key(key, path)
            fresh = self.value(item, (*path, _step(shown)), family or self._family_of(alias if key == "value" else key))
            is_same = is_same and shown is key and fresh is item
            made[shown if shown is key else _free(shown, made, value)] = fresh
        if is_same:
            return value
        return FrozenDict(sorted(made.items())) if type(value) is FrozenDict else made

    def _family_of(self, key: Any) -> str | None:
        return self._rules.family_of(key) if type(key) is str else None

    def _key(self, key: Any, path: Path) -> Any:
        return _hashable(self.value(key, path))

    def _mark(self, value: FrozenDict, path: Path, family: str | None) -> Any:
        """Return what becomes of a substitute for a value that JSON cannot hold; None if it is none with an inside."""
        ((name, item),) = value.items()
        if name == "$bytes" and type(item) is str:
            try:
                data = base64.b64decode(item, validate=True)
            except ValueError:  # it only looks like one
                return None
            made = self._bytes(data, path, family)
            return value if made is data else FrozenDict({name: base64.b64encode(made).decode()})
        if name == "$map" and type(item) is tuple and all(type(pair) is tuple and len(pair) == 2 for pair in item):
            pairs = tuple(
                (
                    self.value(key, (*path, index, 0)),
                    self.value(each, (*path, index, 1), family or self._family_of(key)),
                )
                for index, (key, each) in enumerate(item)
            )
            is_same = all(new[0] is old[0] and new[1] is old[1] for new, old in zip(pairs, item, strict=True))
            return value if is_same else FrozenDict({name: pairs})
        return None

    # -- leaves --

    def _named_text(self, value: str, family: str, path: Path) -> str:
        return value if not value or is_placeholder(value) else self._replaced(family, value, path)

    def _number(self, value: int, path: Path, family: str | None) -> Any:
        if family in _NUMBERS:
            return self._replaced(family, str(value), path)
        if is_card_number(value):
            return self._replaced("card", str(value), path)
        return value

    def _bytes(self, value: bytes | bytearray, path: Path, family: str | None) -> Any:
        try:
            text, encoding = value.decode(), "utf-8"
        except UnicodeDecodeError:
            text, encoding = value.decode("latin-1"), "latin-1"
        made = self.value(text, path, family)
        return value if made is text else type(value)(made.encode(encoding))

    def _replaced(self, family: str, value: str, path: Path) -> str:
        if self._found is not None:
            self._found(family, path, 0, len(value))
        return self._rules.replacement(family, value)

    def text(self, text: str, path: Path = ()) -> str:
        made = text
        if self._json_depth < JSON_DEPTH_MAX and _looks_like_json(text):
            made = self._json(text, path)
        for count in range(_PASSES_MAX):
            spans = self._rules.spans(made)
            if not spans:
                break
            made = self._without(made, spans, path if count == 0 else None)
        return made

    def _without(self, text: str, spans: list[Span], path: Path | None) -> str:
        if self._found is not None and path is not None:
            for start, end, family in spans:
                self._found(family, path, start, end)
        place = 0
        pieces: list[str] = []
        made: dict[tuple[str, str], str] = {}
        for start, end, family in spans:
            what = family, text[start:end]
            shown = made.get(what)
            if shown is None:
                shown = made[what] = self._rules.replacement(*what)
            pieces.append(text[place:start])
            pieces.append(shown)
            place = end
        pieces.append(text[place:])
        return "".join(pieces)

    # -- JSON in a text --

    def _json(self, text: str, path: Path) -> str:
        """Replace what is found in a text of JSON, and leave all other characters of it as they are."""
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            return text
        depth = self._json_depth + 1
        # To decode it is quicker than to take it apart by its signs, which is done only where a finding is possible.
        if self._rules.is_clean(value):
            return text
        place = 0
        pieces: list[str] = []
        for start, end, made in _replaced_tokens(
            text, Walk(self._rules, self._found, depth), self._rules, (*path, "$json")
        ):
            pieces += (text[place:start], json.dumps(made, ensure_ascii=False))
            place = end
        pieces.append(text[place:])
        return "".join(pieces) if place else text


@attrs.define
class _Level:
    """A container in a text of JSON."""

    is_object: bool
    family: str | None
    """What the key above says that all values in it are."""
    is_at_key: bool
    named: str | None = None

    @property
    def family_here(self) -> str | None:
        return self.family or self.named


def _replaced_tokens(text: str, walk: Walk, rules: Rules, path: Path) -> Iterator[tuple[int, int, Any]]:
    """Return where the keys and leaves are that are replaced in a text of JSON, and by what."""
    levels: list[_Level] = []
    shortest = rules.length_min + 2
    for token in _JSON_TOKEN.finditer(text):
        sign = token[0]
        level = levels[-1] if levels else None
        if sign in "{[":
            family = None if level is None else level.family_here
            levels.append(_Level(sign == "{", family, sign == "{"))
        elif sign in "}]":
            levels.pop()
        elif level is None:
            continue
        elif sign == ",":
            level.is_at_key = level.is_object
        elif sign == ":":
            level.is_at_key = False
        elif len(sign) < shortest and not level.is_at_key and level.family_here is None:
            continue
        else:
            old = json.loads(sign, strict=False)
            if level.is_at_key:
                level.named = rules.family_of(old)
                new = walk.text(old, path)
            else:
                new = walk.value(old, path, level.family_here)
            if new is not old:
                yield token.start(), token.end(), new


# --- what it asks of values -----------------------------------------------------------------------------------------

_CONTAINERS = frozenset({dict, FrozenDict, list, tuple, set, frozenset})

_is = operator.is_


def _looks_like_json(text: str) -> bool:
    ends = text[:1] + text[-1:]
    if ends not in ("{}", "[]"):
        if not ends.isspace() and not ends[:1].isspace() and not ends[-1:].isspace():
            return False
        stripped = text.strip()
        ends = stripped[:1] + stripped[-1:]
    return ends in ("{}", "[]") and '"' in text


def _name_of_value(value: Mapping[Any, Any]) -> str | None:
    """Return the name in ``{"name": "password", "value": "..."}``: what its ``value`` is."""
    if "value" in value:
        for key in ("name", "key", "header", "field"):
            name = value.get(key)
            if type(name) is str:
                return name
    return None


def _step(key: Any) -> str | int:
    return key if isinstance(key, str | int) else "$key"


def _free(key: Any, made: Mapping[Any, Any], old: Mapping[Any, Any]) -> Any:
    """Return a key that is not taken: what was found in two keys may be replaced by the same."""
    free, count = key, 1
    while free in made or free in old:
        count += 1
        free = f"{key} {count}"
    return free


def _again(old: Any, items: list[Any]) -> Any:
    kind = type(old)
    return kind(map(_hashable, items)) if kind is set or kind is frozenset else kind(items)


def _hashable(value: Any) -> Any:
    """Return the value as a key or an item of a set; for what cannot be one, that it was withheld."""
    try:
        hash(value)
    except TypeError:
        return "[redacted:key]"
    return value
