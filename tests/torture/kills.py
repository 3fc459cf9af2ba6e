"""A program at work is killed at any moment, again and again; the judge reads what it has left, each time.

The program is forked from here, where all is imported, so that a life takes milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import shutil
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from .judge import Acknowledged, judge
from .reports import Order, Report
from .work import Say, key, work_at_random

__all__ = ("fork", "run", "said")

LIVES_OF_ONE_LOG = 40


def said(output: bytes) -> list[dict[str, Any]]:
    """Return what a program has said; the last line may be a part of one."""
    return [json.loads(line) for line in output.split(b"\n")[:-1]]


def fork(live: Callable[[Say], None], writable: int) -> int:
    """Let a child live, which says what it does to a descriptor; return its process id."""
    child = os.fork()
    if child:
        return child

    def say(line: dict[str, Any]) -> None:
        os.write(writable, json.dumps(line).encode() + b"\n")

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # a hub that fails tells its operator why, at length
    try:
        live(say)
    except BaseException as error:  # noqa: BLE001 - it is said
        say({"failed": f"{type(error).__name__}: {error}"[:2000], "where": traceback.format_exc()[-1500:]})
    finally:
        os._exit(0)  # whatever was raised: the rest of this program is its parent's


def _live_and_die(root: Path, life: str, chance: Random, *, has_hub: bool) -> bytes:
    """Let one child live for a random time; return what it has said."""
    readable, writable = os.pipe()
    number = chance.getrandbits(32)

    def live(say: Say) -> None:
        os.close(readable)
        asyncio.run(work_at_random(root, life, say, Random(number), has_hub=has_hub))

    child = fork(live, writable)
    os.close(writable)
    output = b""
    if chance.random() < 0.7:  # it dies at work; otherwise anywhere, in the midst of recovery too
        while b'"did"' not in output and (chunk := os.read(readable, 65536)):
            output += chunk
    end = time.monotonic() + chance.expovariate(1 / 0.03)
    while (rest := end - time.monotonic()) > 0 and select.select([readable], [], [], rest)[0]:
        if not (chunk := os.read(readable, 65536)):
            break
        output += chunk
    os.kill(child, signal.SIGKILL)
    while chunk := os.read(readable, 65536):
        output += chunk
    os.close(readable)
    os.waitpid(child, 0)
    return output


def run(folder: Path, order: Order) -> Report:
    """Kill a program so often. Every other log is written by a hub, with a journal and snapshots beside it."""
    report, chance, rounds = Report("kills"), Random(order.seed), order.rounds or LIVES_OF_ONE_LOG
    told = Acknowledged(str(key(0).vkey))
    root = folder
    while report.rounds < rounds:
        number, life = divmod(report.rounds, min(LIVES_OF_ONE_LOG, max(rounds // 2, 1)))
        if not life:
            shutil.rmtree(root, ignore_errors=root != folder)
            told, root = Acknowledged(str(key(0).vkey)), folder / f"log{number}"
        report.step(rounds)
        lines = said(_live_and_die(root, str(life), chance, has_hub=bool(number % 2)))
        for line in lines:
            told.hear(line)
            report.count("acknowledged", "did" in line)
            if "failed" in line:
                report.found(f"log {number}, life {life}", [line["failed"], line["where"]])
        report.found(f"log {number}, life {life}", judge(root, told))
        if report.faults:
            break
    shutil.rmtree(root, ignore_errors=True)
    return report.end()
