"""The process that the contract of adapters kills in a run, and the one that goes on with what it has left."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import Any

from hubwire.listeners import AuditLog
from hubwire.stores import FileStore

from .. import Event, Hub
from ._runtime_checks import check_pairs
from ._runtime_lasting import SECONDS_MAX
from .recorder import Recorder

__all__ = ()

_CALLS = ("model.called", "tool.called")
_CALL_TO_DIE_AT = 5
"""In the middle of the second run, or of the first: it has three to six calls."""


def _contract(file: str, name: str) -> Any:
    """Return the contract that a class in a file is."""
    sys.path.insert(0, str(Path(file).parent))
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{file} is no module of Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    made: Any = module
    for part in name.split("."):
        made = getattr(made, part)
    return made()


async def _die(contract: Any, directory: str) -> None:
    """Run jobs until a call has begun and has not ended, and be killed then."""
    store, calls = FileStore(directory), 0

    def heard(_: Event) -> None:
        nonlocal calls
        calls += 1
        if calls >= _CALL_TO_DIE_AT:
            os.kill(os.getpid(), signal.SIGKILL)

    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        hub.on(*_CALLS)(heard)
        recorder = contract.record(hub)
        for _ in range(100):
            await contract.run_job(recorder, asks=False)
            await recorder.flush()
        await asyncio.sleep(SECONDS_MAX)
    raise SystemExit("100 jobs have not made five calls")


async def _go_on(contract: Any, directory: str) -> None:
    """Look at what is there, run the job once more, and look again."""
    store, heard = FileStore(directory), Recorder()
    left = await AuditLog(store).verify()
    assert left.holds, f"what the killed process has left does not verify: {left}"
    before = [str(record.fields.get("kind")) async for record in AuditLog(store).read()]
    assert set(_CALLS).intersection(before), f"the killed process has left no call: {before}"
    async with Hub(store, listeners=[AuditLog(store), heard]) as hub:
        async with contract.record(hub) as recorder:
            await contract.run_job(recorder, asks=False)
            for _ in range(3000):
                if not recorder.statistics().open:
                    break
                await asyncio.sleep(0.01)
        await hub.flush(timeout=SECONDS_MAX)
    check_pairs([event for event in heard.events if event.source is not None])
    assert set(_CALLS).intersection(heard.kinds), heard.kinds
    verdict = await AuditLog(store).verify()
    assert verdict.holds, verdict


def main() -> None:
    """Be one of the two: what is wrong is written to the terminal, and ends the process with 1."""
    file, name, directory, part = sys.argv[1:]
    asyncio.run({"killed": _die, "again": _go_on}[part](_contract(file, name), directory))


if __name__ == "__main__":
    main()
