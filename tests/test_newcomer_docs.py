"""What a reader of the documentation sees: programs that can be read without moving them to the side."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_docs_blocks import PAGES, ROOT, blocks_of

COLUMNS = 84
"""So many stand beside both menus of the site, in a window of 1,280 pixels."""


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT / "docs"))) for page in PAGES])
def test_programs_are_not_wider_than_their_page(page: Path) -> None:
    """What a command prints is as wide as it is."""
    programs = [block for block in blocks_of(page.read_text()) if block.language == "python"]
    assert [line for block in programs for line in block.text.splitlines() if len(line) > COLUMNS] == []
