"""The programs that the page of the dashboard shows where there is nothing yet: each of them runs."""

from __future__ import annotations

import asyncio
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire import Hub
from hubwire.approvals import ApprovalPolicy
from hubwire.listeners import AuditLog
from hubwire.stores import MemoryStore, open_store
from support.house import ROOT

WEB = ROOT / "listeners" / "dashboard" / "web" / "src"
PROGRAM = re.compile(r"= `([^`$]*\bawait [^`$]*)`;|'((?:[^'\\\n]|\\.)*\\n(?:[^'\\\n]|\\.)*await (?:[^'\\\n]|\\.)*)'")


def programs() -> Iterator[tuple[str, str]]:
    """Iterate over the files that have one, and the programs."""
    for path in sorted(WEB.rglob("*.tsx")):
        for template, quoted in PROGRAM.findall(path.read_text(encoding="utf-8")):
            yield str(path.relative_to(WEB)), template or quoted.encode().decode("unicode_escape")


FOUND = list(programs())


def test_all_programs_are_found() -> None:
    assert [name for name, _ in FOUND] == [
        "live/Nothing.tsx",
        "views/agents/Nothing.tsx",
        "views/approvals.tsx",
        "views/channels.tsx",
        "views/log/Found.tsx",
        "views/runs.tsx",
    ]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blockbuster: Any) -> None:
    """Programs keep their stores in relative directories."""
    monkeypatch.chdir(tmp_path)
    blockbuster.functions["os.getcwd"].can_block_in("audit/_lending.py", "__init__")


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("number", range(len(FOUND)))
async def test_a_program_of_the_page_runs(number: int) -> None:
    """What waits for envelopes gets one; what waits for a person goes on waiting."""
    name, program = FOUND[number]
    source = f"async def run(hub, coder):\n{textwrap.indent(program, '    ')}\n"
    given: dict[str, Any] = {
        "Hub": Hub,
        "AuditLog": AuditLog,
        "open_store": open_store,
        "ApprovalPolicy": ApprovalPolicy,
        "store": MemoryStore(),
        "list_files": lambda: ["a.py"],
    }
    exec(compile(source, name, "exec"), given)  # noqa: S102 - the page is ours
    async with Hub() as hub:
        coder, ann = await hub.agents.register("coder"), await hub.agents.register("ann")
        channel = await hub.channels.open([coder, ann])
        await channel.post(ann, "look")
        task = asyncio.create_task(given["run"](hub, coder))
        waits = "inbox()" in program or "gate(" in program
        await asyncio.wait([task], timeout=0.3 if waits else 30)
        if "coder.inbox()" in program:
            with anyio.fail_after(30):
                while hub.inboxes.get(coder).depth and not task.done():  # noqa: ASYNC110 - it is the page's program
                    await asyncio.sleep(0.01)
        if waits and not task.done():
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            await task
        assert task.cancelled() is waits
        assert (hub.inboxes.get(coder).depth == 0) is ("coder.inbox()" in program)
