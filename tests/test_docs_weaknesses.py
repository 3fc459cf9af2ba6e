"""The table of what goes wrong elsewhere names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "internals" / "weaknesses.md").read_text()


def test_every_weakness_has_a_test() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("|")][2:]
    named = [re.findall(r"`(tests/[a-z0-9_]+\.py)::(test_[a-z0-9_]+)`", row) for row in rows]
    assert len(rows) > 25
    assert [row for row, tests in zip(rows, named, strict=True) if not tests] == []
    missing = [f"{path}::{name}" for tests in named for path, name in tests if name not in names_in(path)]
    assert missing == []


def names_in(path: str) -> set[str]:
    file = ROOT / path
    tree = ast.parse(file.read_text()) if file.exists() else ast.Module([], [])
    return {each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
