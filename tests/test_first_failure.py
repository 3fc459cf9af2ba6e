"""The first failure in a process finds imported what it needs."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, sys, threading
from hubwire import GenericEvent, Hub
from hubwire.stores import MemoryStore

HERE = threading.get_ident()
imported = []

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "re2" or name.startswith(("hubwire.redaction", "hubwire._delivery.letter_")):
            imported.append((name, threading.get_ident() == HERE))

class Failing:
    async def on_events(self, events):
        raise ValueError

NEEDED = {{"re2", "hubwire.redaction.aside", "hubwire._delivery.letter_box", "hubwire._delivery.letter_lines"}}

async def main():
    sys.meta_path.insert(0, Watch())
    async with Hub({store}) as hub:
        {before}
        hub.attach(Failing(), pattern="user.*")
        await hub.emit(GenericEvent(kind="user.noted", data={{}}))
        while (letters := hub.statistics().listener_letters) is None or not letters.kept:
            await asyncio.sleep(0)

asyncio.run(main())
on_the_loop = sorted(name for name, is_here in imported if is_here)
print("redaction" in str(imported), on_the_loop)
"""


def output_of(**parts: str) -> str:
    program = PROGRAM.format(**parts)
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_hub_with_a_journal_imports_it_in_a_thread() -> None:
    """The loop imports none of it, neither at the start nor when a listener fails."""
    ready = "while not NEEDED <= set(sys.modules): await asyncio.sleep(0.001)"
    shown = output_of(store="MemoryStore()", before=ready)
    assert shown == "True []"


def test_a_hub_in_memory_imports_it_with_the_first_failure() -> None:
    """Most of these have no listener that fails, and start quicker."""
    assert "'hubwire.redaction'" in output_of(store="", before="")


def test_a_program_that_ends_at_once_ends_well() -> None:
    program = (
        "import asyncio\nfrom hubwire import Hub\nfrom hubwire.stores import MemoryStore\n"
        "async def main():\n    async with Hub(MemoryStore()): pass\nasyncio.run(main())\nprint('over')"
    )
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-P", "-W", "error", "-c", program], capture_output=True, text=True, check=True
        )
        assert (done.stdout, done.stderr) == ("over\n", "")
