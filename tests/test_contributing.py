"""CONTRIBUTING.md names tests and files that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()


def test_every_test_it_names_exists() -> None:
    section = TEXT.partition("## What goes wrong elsewhere")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    named = [re.findall(r"`(tests/[a-z0-9_]+\.py)::(test_[a-z0-9_]+)`", row) for row in rows]
    assert len(rows) > 25
    assert [row for row, tests in zip(rows, named, strict=True) if not tests] == []
    missing = [f"{path}::{name}" for tests in named for path, name in tests if name not in names_in(path)]
    assert missing == []


def test_every_file_it_names_exists() -> None:
    paths = re.findall(r"`((?:hub|listeners|stores|tests|examples|benchmarks)/[a-z0-9_/.]*)`", TEXT)
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []


def names_in(path: str) -> set[str]:
    file = ROOT / path
    tree = ast.parse(file.read_text()) if file.exists() else ast.Module([], [])
    return {each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
