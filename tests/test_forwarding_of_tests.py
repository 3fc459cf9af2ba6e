"""Tests of commands, by way of a hub that follows: ``pytest --forwarded``, for some of their modules."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = ("test_envelopes_later", "test_timers_kept", "test_timers_public", "test_inboxes_places")


@pytest.mark.slow
def test_commands_do_by_way_of_another_hub_what_they_do_alone() -> None:
    paths = [str(ROOT / "tests" / f"{name}.py") for name in MODULES]
    options = ["-q", "-n0", "-p", "no:cacheprovider", "--forwarded", "-m", "not slow", "--timeout", "30"]
    command = [sys.executable, "-P", "-m", "pytest", *options, *paths]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    found = re.search(r"(\d+) passed", done.stdout)
    assert found is not None
    assert int(found[1]) > 50
