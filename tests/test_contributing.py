"""CONTRIBUTING.md names files that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()


def test_every_file_it_names_exists() -> None:
    paths = re.findall(r"`((?:hub|listeners|stores|tests|examples|benchmarks|docs)/[a-z0-9_/.]*)`", TEXT)
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []
