"""Patterns over kinds: what they match, in what time, and which are refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from hubwire import Hub
from hubwire.errors import ConfigurationError
from hubwire.patterns import PATTERN_CHARS_MAX, PATTERNS_MAX, Patterns
from hubwire.testing import Recorder

KIND = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


def wanted(pattern: str, kind: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), kind) is not None


@given(st.text("ab.*", min_size=1, max_size=8), st.text("ab.", max_size=10))
@example("*a*", "a")
@example("ab*ba", "aba")
@example("*", "")
def test_a_star_stands_for_any_text(pattern: str, kind: str) -> None:
    """The matcher agrees with the obvious one."""
    assert Patterns(pattern, any_text=True).matches(kind) is wanted(pattern, kind)


@given(st.text("aZ0_.*", min_size=1, max_size=6), st.from_regex(KIND, fullmatch=True))
def test_what_matches_a_kind_is_not_refused(pattern: str, kind: str) -> None:
    """A pattern is refused only if no kind can match it."""
    if wanted(pattern, kind):
        assert Patterns(pattern).matches(kind)


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        ("", "give kinds, with"),
        ("tool", r"as in 'tool\.\*'"),
        ("Tool.*", r"as in 'tool\.\*'"),
        ("nosuch..", "two or more words"),
        (".called", "two or more words"),
        ("tool.", "two or more words"),
        ("tool.1*", "two or more words"),
        ("tool called", "two or more words"),
        ("tool.?", r"only \* has a meaning"),
        ("[a-z].*", r"only \* has a meaning"),
        ("*" * 12 + "!", "two or more words"),
        ("tool.é", "two or more words"),
        (["tool.*", ""], "give kinds, with"),
    ],
)
async def test_a_pattern_that_matches_no_kind_is_refused(pattern: Any, advice: str) -> None:
    """The error says what is wrong, and nothing is attached."""
    async with Hub() as hub:
        with pytest.raises(ConfigurationError, match=advice):
            hub.attach(Recorder(), pattern=pattern)
        with pytest.raises(ConfigurationError, match=advice):
            hub.events(pattern=pattern)
        assert hub.statistics().attachments == ()


class Endless:
    def __iter__(self) -> Endless:
        return self

    def __next__(self) -> str:
        return "a.b"


class Broken:
    def __iter__(self) -> Any:
        raise OSError("no patterns")


@pytest.mark.parametrize(
    "pattern", [3, ["a.b", 3], b"a.b", [], (), None, Endless(), Broken(), [b"a.b"], {"a.b": 1, 2: 3}]
)
def test_what_is_no_pattern_is_refused(pattern: Any) -> None:
    """Patterns are text or a few texts."""
    with pytest.raises(ConfigurationError, match="pattern"):
        Patterns(pattern)


def test_patterns_are_bounded() -> None:
    """A long pattern, and many of them, are refused before they are looked at."""
    Patterns("a." + "*b" * (PATTERN_CHARS_MAX // 2 - 1))
    with pytest.raises(ConfigurationError, match="is longer than"):
        Patterns("a." + "*" * 100_000)
    Patterns(["a.b"] * PATTERNS_MAX)
    with pytest.raises(ConfigurationError, match="more than"):
        Patterns(["a.b"] * (PATTERNS_MAX + 1))


def test_hostile_patterns_take_linear_time() -> None:
    """A pattern that makes a regular expression backtrack for longer than the universe is answered at once."""
    hostile = Patterns("*a" * 400 + "*b")
    assert not hostile.matches("x." + "a" * 100_000)


@pytest.mark.parametrize("pattern", ["never.happens", "*", "*.*", "a*", "*.a_1", "tool.*"])
def test_a_kind_may_be_declared_later(pattern: str) -> None:
    """A pattern for kinds that do not exist yet is fine."""
    assert Patterns(pattern).patterns == (pattern,)
