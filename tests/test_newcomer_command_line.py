"""What ``hubwire tail`` shows those who look at their first hub."""

from __future__ import annotations

import asyncio
import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from hubwire import Hub, Turn
from hubwire.cli import main
from hubwire.listeners import AuditLog
from hubwire.stores import FileStore
from hubwire.testing import Recorder


def hubwire(*words: str | Path) -> tuple[str, str]:
    out, err = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main(list(map(str, words)))
    assert end.value.code == 0
    for stream in (out, err):
        stream.seek(0)
    return out.read(), err.read()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A hub was at work in it: an actor has answered."""
    asyncio.run(work_in(tmp_path / "my data"))
    return tmp_path / "my data"


async def work_in(directory: Path) -> None:
    async def clerk(turn: Turn) -> None:
        for number in range(9):
            await turn.post({"page": number, "text": "x" * 100})

    recorder, store = Recorder(), FileStore(directory)
    async with Hub(store, listeners=[AuditLog(store), recorder]) as hub:
        boss = await hub.agents.register("boss")
        channel = await hub.channels.open([boss, (await hub.spawn(clerk)).agent])
        await channel.post(boss, "go")
        await recorder.wait_for("envelope.acked")


def test_a_turn_is_a_line_of_kinds(directory: Path) -> None:
    """What it has led to stands below it; a copy of all that would hide it."""
    out, err = hubwire("tail", directory, "-n", "all", "--kind", "turn.committed")
    (line,) = out.splitlines()
    assert line.endswith(f"{', '.join(['envelope.posted'] * 8)} and 3 more")
    assert "xxx" not in line
    assert err == ""


@pytest.mark.parametrize("name", [("--agent", "clark"), ("--kind", "actr.*"), ("--channel", "nowhere")])
def test_a_misspelt_name_selects_nothing_and_says_so(directory: Path, name: tuple[str, str]) -> None:
    """On the standard error, and not to programs that read JSON. What it advises works."""
    out, err = hubwire("tail", directory, *name)
    assert out == ""
    assert err.startswith("hubwire: no record of /audit is selected; ")
    assert "`hubwire stats '" in err
    assert hubwire("tail", directory, *name, "-o", "json") == ("", "")
    assert "clerk" in hubwire("tail", directory, "-n", "all", "--kind", "agent.registered")[0]
    assert "actor.started" in hubwire("stats", directory)[0]


def test_what_is_asked_for_no_line_says_none(directory: Path) -> None:
    assert hubwire("tail", directory, "--agent", "clark", "-n", "0") == ("", "")
    assert hubwire("tail", directory, "--agent", "clerk", "-n", "1")[1] == ""
