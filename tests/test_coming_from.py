"""The pages for those who come from another library say of each number what has become of it, and what shows that."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SYSTEMS = {
    "aperion": [f"AP-{number}" for number in range(1, 33)],
    "calute": [f"CX-{number}" for number in range(1, 14)],
    "attesta": [f"AT-{number}" for number in range(1, 45)],
    "stigmem": [f"ST-{number}" for number in range(1, 25)],
}
"""The numbers that each page of ``docs/coming-from/`` has to name."""
ANSWERS = ("kept", "improved", "left out", "not yet")
SHARE_MIN = 0.9
"""How many have to be kept or improved, of the numbers that are decided: what is not there yet may still come."""


def text_of(system: str) -> str:
    return (ROOT / "docs" / "coming-from" / f"{system}.md").read_text()


def rows_of(system: str) -> dict[str, str]:
    """Return of each row about a number what has become of it."""
    rows = re.findall(r"^\| ([A-Z]{2}-\d+) \| [^|\n]+ \| ([^|\n]+) \|$", text_of(system), re.MULTILINE)
    return dict(rows)


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_number_is_named_exactly_once(system: str) -> None:
    numbers = SYSTEMS[system]
    assert re.findall(r"\b[A-Z]{2}-\d+\b", text_of(system)) == numbers
    assert list(rows_of(system)) == numbers


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_number_has_an_answer(system: str) -> None:
    """What is kept or improved names the test that shows it."""
    for number, answer in rows_of(system).items():
        assert answer.startswith(tuple(f"**{each}**" for each in ANSWERS)), number
        if answer.startswith(("**kept**", "**improved**")):
            assert "::test_" in answer, number


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_tests_that_are_named_exist(system: str) -> None:
    named = re.findall(r"`(tests/\w+\.py)::(\w+)`", text_of(system))
    assert len(named) == text_of(system).count("::test_")
    assert [f"{path}::{name}" for path, name in named if name not in names_in(path)] == []


def test_most_of_what_there_was_is_there() -> None:
    answers = [each for system in SYSTEMS for each in rows_of(system).values() if not each.startswith("**not yet**")]
    there = [answer for answer in answers if answer.startswith(("**kept**", "**improved**"))]
    assert len(there) >= SHARE_MIN * len(answers)


@cache
def names_in(path: str) -> frozenset[str]:
    file = ROOT / path
    tree = ast.parse(file.read_text()) if file.exists() else ast.Module([], [])
    return frozenset(each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
