"""The power goes at any moment: what may be on the disk then is opened, and judged."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
from pathlib import Path
from random import Random

import attrs

from .disk import Medium, Op, load
from .judge import Acknowledged, judge
from .kills import fork, said
from .recording import SAID, recorded, why_no_fuse
from .reports import Order, Report
from .work import SCRIPTS, Say, key, reopen, verified, work

__all__ = ("run",)

_STORE = "/made/store"
"""Two directories that the program has to make, so that their names have to be durable, too."""
_ALL_FROM = 500
_LEAST = 3
"""What surely is there, all that may be there, and one state between them."""


@attrs.frozen
class Recording:
    """What a program did to its disk, over two lives."""

    script: str
    fails_at: int
    """Which sync failed in the first of them; 0 for none."""
    ops: list[Op]

    @property
    def failures(self) -> list[str]:
        """What the program has failed with although its disk was in order."""
        failed = next((number for number, op in enumerate(self.ops) if op.kind == "fail"), 0)
        if {"life": "1"} in said(b"".join(op.data for op in self.ops[:failed] if op.kind == "say")):
            return []  # it is the second life that was harmed
        lines = said(b"".join(op.data for op in self.ops if op.kind == "say"))
        second = lines.index({"life": "1"})
        return [line["failed"] for line in lines[second if self.fails_at else 0 :] if "failed" in line]

    def __str__(self) -> str:
        return _named(self.script, self.fails_at)


def _named(script: str, fails_at: int) -> str:
    return script + (f", sync {fails_at} failed" if fails_at else "")


def _record(folder: Path, script: str, fails_at: int = 0) -> Recording:
    with recorded(folder, fails_at=fails_at) as (mount, recording):
        for life in ("0", "1"):
            writable = os.open(mount / SAID, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

            def live(say: Say, life: str = life, mount: Path = mount) -> None:
                say({"life": life})
                root = Path(f"{mount}{_STORE}")
                asyncio.run(work(root, life, say, SCRIPTS[script], has_hub=script == "hub"))

            child = fork(live, writable)
            os.close(writable)
            os.waitpid(child, 0)
    return Recording(script, fails_at, load(recording))


def _plans(order: Order) -> list[tuple[str, int]]:
    """Return what is recorded: each script, and each with a sync that fails, so many-eth of all."""
    plans = [(script, fails_at) for script in SCRIPTS for fails_at in (0, *range(2, 40, 3))]
    plans = [plan for plan in plans if re.search(order.like, _named(*plan))]
    return plans if not 0 < order.rounds < _ALL_FROM else [plan for plan in plans if plan[1] in (0, 17)]


def run(folder: Path, order: Order) -> Report:
    """Let the power go so often, spread over all moments of all recordings."""
    report = Report("power")
    if reason := why_no_fuse():
        report.skipped = reason
        return report
    plans = _plans(order)
    report.count("recordings", len(plans))
    chance = Random(order.seed)
    seen: set[bytes] = set()
    for script, fails_at in plans:
        recording = _record(folder, script, fails_at)
        report.count("moments", len(recording.ops))
        report.found(str(recording), recording.failures)
        share = order.rounds / len(plans) / len(recording.ops) if order.rounds else _LEAST
        _lose_power(recording, folder / "lost", chance, share, seen, report, order)
        if order.is_bugged and report.faults:
            break
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
    except Exception as error:  # noqa: BLE001 - it is a fault
        return [f"it cannot be opened: {error!r}"]
    return judge(root, told, is_settled=True) + asyncio.run(verified(root))
