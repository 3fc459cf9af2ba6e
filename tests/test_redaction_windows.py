"""Long texts are searched a window at a time, and what is found in them is the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, strategies as st

from hubwire.redaction import Redactor, _numbers, _windows

PIECES = st.sampled_from(
    """
    0170 DE12 4111 1111 4111-1111-1111-1111 password=' password= hunter22 secret: token=abc12345 j@example.com @ .de
    +49 170 1234567 (0170) 1234567 DE89370400440532013000 AB123456C 12345678Z sk- sk-ant-api03-abcdefghijklmnop eyJ
    eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0.abc SG. Bearer abcdefgh1234 AKIA AKIAIOSFODNN7EXAMPLE 10.1.2.3 2001:db8::1 ::
    https://a:b@c ?sig= -----BEGIN -----END PRIVATE KEY----- the is pin a1! " ' ` \\ \\n { } [ ] : = , ; ( ) - _ é 1 x
    """.split()  # noqa: SIM905 - these are signs, and a list of them could not be read
)
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=3)), max_size=80).flatmap(
    lambda pieces: st.sampled_from(["", " ", "\n"]).map(lambda between: between.join(pieces))
)


@contextmanager
def windows_of(window: int, reach: int, margin: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_windows, "WINDOW", window)
        patch.setattr(_windows, "REACH", reach)
        patch.setattr(_windows, "_MARGIN", margin)
        yield


@given(TEXTS, st.integers(1, 60))
def test_a_text_in_windows_has_the_same_findings(text: str, window: int) -> None:
    redactor = Redactor()
    whole, found = redactor.redact(text), redactor.find(text)
    with windows_of(window, 1000, 30):
        assert redactor.redact(text) == whole
        assert redactor.find(text) == found


@given(st.text("eyJabc.-_1 ", max_size=200), st.integers(1, 40))
def test_what_reads_on_to_a_space_is_found_across_windows(text: str, window: int) -> None:
    pattern = re.compile(r"eyJ(?<![\w-]eyJ)[\w-]{5,}+\.[\w-]{5,}+")
    whole = [found.span() for found in pattern.finditer(text)]
    with windows_of(window, 40, 10):
        assert [found.span() for found in _windows.each(pattern, text, looks_for_space=True)] == whole


@pytest.mark.parametrize("run", [10, 5_000, 200_000])
def test_a_token_of_any_length_is_one_finding(run: int) -> None:
    """Also where it is much longer than a window, and where a window ends in it."""
    for filler in ("", "word " * 6_000):
        for token in (f"sk-ant-api03-{'ab1' * run}", f"eyJ{'ab1' * run}.{'cd2' * run}.x", f"ghp_{'Ab3' * run}"):
            text = f"{filler}{token} and the rest of it {filler}"
            (found,) = Redactor().find(text)
            assert (found.start, found.end) == (len(filler), len(filler) + len(token))


def one_by_one(pattern: re.Pattern[str], text: str, lettered: bool) -> list[tuple[int, int, str]]:
    """What is right, by a search for each: as the rule is written down."""
    result, found = [], pattern.search(text)
    while found is not None:
        kind = found.lastgroup or ""
        family = (_numbers._family_of_lettered if lettered else _numbers._family_of_number)(kind, found[0])
        if family is not None:
            result.append((*found.span(), family))
        group = re.compile(r"[^0-9A-Za-z]*[0-9A-Za-z]++", re.ASCII).match(text, found.start())
        found = pattern.search(text, found.end() if family or group is None else group.end())
    return result


@given(st.one_of(TEXTS, st.text("0123456789 ()-+/.DEX", max_size=120)))
def test_numbers_are_those_of_a_search_for_each(text: str) -> None:
    for pattern, ahead, lettered in (
        (_numbers.NUMBER, _numbers._NUMBER_AHEAD, False),
        (_numbers.LETTERED, _numbers._LETTERED_AHEAD, True),
        (_numbers.LETTER_LAST, _numbers._LETTER_LAST_AHEAD, True),
    ):
        family_of = _numbers._family_of_lettered if lettered else _numbers._family_of_number
        assert list(_numbers._right(ahead, text, family_of)) == one_by_one(pattern, text, lettered)
