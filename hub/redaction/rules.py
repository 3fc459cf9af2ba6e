"""Rules of one's own, and what is found."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from .._values import Value
from ..errors import ConfigurationError
from ..events._shown import shown
from ._arguments import items, refusal
from ._engine import engine
from ._tokens import Span

__all__ = ("Finding", "RedactionRule", "rule_of")

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")

_PLACES = "find returns pairs of start and end, an empty list for none; the pair of a match of re is its span()"

LENGTH_MAX = 1_000
"""Of a pattern: what is longer is a list, for which there is ``find``."""


@attrs.frozen(eq=False, repr=False)
class Finding(Value):
    """What was found, and where. It does not hold the value, so it can be logged."""

    family: str
    path: tuple[str | int, ...]
    """Keys and indices, from the outside in; ``$json`` stands for a text of JSON. Keys are as they are shown."""
    start: int
    """In characters of the text at this path; in UTF-8 or Latin-1 where that is bytes."""
    end: int


@attrs.frozen(eq=False, repr=False)
class RedactionRule(Value):
    """A rule of one's own, beside those of the package: what to look for in texts, and which keys name it.

    * ``name``: the family of what it finds: lower-case letters, digits and underscores. It is in the placeholder.
    * ``pattern``: a regular expression in the syntax of RE2, which takes linear time for any text; it needs
      ``google-re2``, which is installed where there are wheels of it. The first group is what is replaced, or, without
      one, the whole match.
    * ``find``: a function that is called with each text, and returns pairs of start and end. It is called in the event
      loop, for what has more than 64 KB in a thread; so it must be quick, and it cannot be stopped.
    * ``keys``: names of keys whose values are replaced, of any form: ``employee_id`` is also ``employeeId``.

    Raises :class:`~hubwire.errors.ConfigurationError` for a wrong argument, for a pattern that RE2 does not take, and
    where RE2 is not installed.
    """

    name: str
    pattern: str | None = None
    find: Callable[[str], Iterable[tuple[int, int]]] | None = None
    keys: Sequence[str] = ()
    _search: Any = attrs.field(init=False, default=None, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if type(self.name) is not str or not _NAME.fullmatch(self.name):
            raise refusal(
                "RedactionRule", "name", self.name, "lower-case letters, digits and underscores, as 'employee'"
            )
        if self.find is not None and not callable(self.find):
            raise refusal("RedactionRule", "find", self.find, "a function of one text")
        names = items("RedactionRule", "keys", self.keys, "a list of names of keys")
        for each in names:
            if type(each) is not str or not any(map(str.isalnum, each)):
                raise refusal("RedactionRule", "keys", each, "a list of names of keys")
        object.__setattr__(self, "keys", names)
        if self.pattern is None and self.find is None and not names:
            raise ConfigurationError(f"RedactionRule({self.name!r}) finds nothing; give pattern, find or keys")
        if self.pattern is not None:
            object.__setattr__(self, "_search", _compiled(self.pattern))

    def spans(self, text: str) -> list[Span]:
        """Return what the rule finds in a text. Raises what ``find`` raises, and ValueError for what is no span."""
        spans: list[Span] = []
        if self._search is not None:
            for match in self._search.finditer(text):
                start, end = match.span(1 if self._search.groups else 0)
                if start < end:
                    spans.append((start, end, self.name))
        if self.find is not None:
            found = self.find(text)
            for pair in found if isinstance(found, Iterable) else (found,):
                start, end = self._place(pair, len(text))
                spans.append((start, end, self.name))
                if len(spans) > len(text) + 1:
                    raise ValueError(f"the rule {self.name!r} returned more places than the text has characters")
        return spans

    def _place(self, pair: object, length: int) -> tuple[int, int]:
        """Return a start and an end, checked; ``find`` may have returned anything."""
        match pair:
            case (start, end) if type(start) is type(end) is int and 0 <= start <= end <= length:
                return start, end
        raise ValueError(f"the rule {self.name!r} returned {shown(pair)}, which is no place in the text: {_PLACES}")


def rule_of(error: BaseException) -> str | None:
    """Return the name of the rule in which an error was raised; None if it was in none."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is RedactionRule.spans.__code__:
            name: str = trace.tb_frame.f_locals["self"].name
            return name
        trace = trace.tb_next
    return None


def _compiled(pattern: object) -> Any:
    if type(pattern) is not str or not 0 < len(pattern) <= LENGTH_MAX:
        raise refusal("RedactionRule", "pattern", pattern, f"a regular expression of at most {LENGTH_MAX} characters")
    re2 = engine()
    if re2 is None:
        raise ConfigurationError(
            "RedactionRule: a pattern needs RE2, which takes linear time whatever the text is; run pip install "
            "google-re2, or give find, a function"
        )
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except Exception as error:
        said = error.args[0] if error.args else ""  # RE2 says it in bytes
        said = said.decode(errors="replace") if type(said) is bytes else str(said)
        raise ConfigurationError(
            f"RedactionRule: pattern is a regular expression in the syntax of RE2, not {shown(pattern)}: {said}; "
            "with Python's own re, give find, a function"
        ) from error
    if compiled.search("") is not None:
        raise ConfigurationError(
            f"RedactionRule: the pattern {shown(pattern)} matches the empty text, so every text would match"
        )
    return compiled
