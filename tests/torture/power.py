"""The power goes at any moment: what may be on the disk then is opened, and judged."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import attrs

from .disk import Medium, Op, load
from .judge import Acknowledged, judge
from .kills import fork, said
from .recording import SAID, recorded, why_no_fuse
from .reports import Order, Report
from .work import SCRIPTS, Say, key, reopen, work

__all__ = ("run",)

_STORE = "/made/store"
"""Two directories that the program has to make, so that their names have to be durable, too."""
_STUCK_MAX = 12
_LEAST = 3
"""What surely is there, all that may be there, and one state between them."""


@attrs.frozen
class Recording:
    """What a program did to its disk, over two lives."""

    script: str
    fails_at: int
    """Which sync failed in the first of them; 0 for none."""
    ops: list[Op]

    def __str__(self) -> str:
        return self.script + (f", sync {self.fails_at} failed" if self.fails_at else "")


def _record(folder: Path, script: str, fails_at: int = 0) -> Recording:
    with recorded(folder, fails_at=fails_at) as (mount, recording):
        for life in ("0", "1"):
            writable = os.open(mount / SAID, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

            def live(say: Say, life: str = life, mount: Path = mount) -> None:
                root = Path(f"{mount}{_STORE}")
                asyncio.run(work(root, life, say, SCRIPTS[script], has_hub=script == "hub"))

            child = fork(live, writable)
            os.close(writable)
            os.waitpid(child, 0)
    return Recording(script, fails_at, load(recording))


def _recordings(folder: Path, order: Order) -> Iterator[Recording]:
    for script in SCRIPTS:
        plain = _record(folder, script)
        yield plain
        syncs = [op for op in plain.ops if op.kind == "sync"]
        chance = Random(order.seed)
        for fails_at in sorted(chance.sample(range(1, len(syncs) // 3), min(_STUCK_MAX, len(syncs) // 4))):
            if order.rounds == 0 or order.rounds > 500 or fails_at % 4 == 0 or order.is_bugged:
                yield _record(folder, script, fails_at)


def run(folder: Path, order: Order) -> Report:
    """Let the power go so often, spread over all moments of all recordings."""
    report = Report("power")
    if reason := why_no_fuse():
        report.skipped = reason
        return report
    recordings = [each for each in _recordings(folder, order) if order.like in str(each)]
    report.count("recordings", len(recordings))
    moments = sum(len(each.ops) for each in recordings)
    report.count("moments", moments)
    chance = Random(order.seed)
    share = (order.rounds or 3 * moments) / moments
    seen: set[bytes] = set()
    for recording in recordings:
        _lose_power(recording, folder / "lost", chance, share, seen, report, order)
        if order.is_bugged and report.faults:
            break
    report.count("different states", len(seen))
    return report.end()


def _lose_power(
    recording: Recording,
    root: Path,
    chance: Random,
    share: float,
    seen: set[bytes],
    report: Report,
    order: Order,
) -> None:
    """``share`` is how many states of each moment are tried; of less than three, it is how many moments are."""
    medium, told = Medium(), b""
    for number, op in enumerate(recording.ops):
        medium.do(op)
        told += op.data if op.kind == "say" else b""
        if chance.random() * _LEAST > share:
            continue
        for state in medium.states(chance, max(_LEAST, round(share)) - 2):
            below = {path.removeprefix(_STORE): content for path, content in state.items() if path.startswith(_STORE)}
            digest = hashlib.sha256(repr((sorted(below.items()), told)).encode()).digest()
            if digest in seen:
                continue
            seen.add(digest)
            report.step(order.rounds)
            report.found(f"{recording}, after {number} ({op.kind})", _judge(root, below, told, recording.script))
        if order.is_bugged and report.faults:
            break


def _judge(root: Path, state: dict[str, bytes], output: bytes, script: str) -> list[str]:
    """Judge what is there when power is back: it has to open, and go on, with all that was acknowledged."""
    shutil.rmtree(root, ignore_errors=True)
    for path, content in state.items():
        file = Path(f"{root}{path}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    told = Acknowledged(str(key(0).vkey))
    for line in said(output):
        told.hear(line)
    try:
        asyncio.run(reopen(root, told.hear, has_hub=script == "hub"))
    except Exception as error:
        return [f"it cannot be opened: {error!r}"]
    return judge(root, told, is_settled=True)
