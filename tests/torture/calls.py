"""Every system call with which a program touches its logs fails once, or is the last thing that the program does.

As Tessera's fault test does, strace first counts the calls of a run; then there is one run for each of them, in which
it has that one answer with an error, or kills the program there. A limit of the size of files makes writes short.
"""

from __future__ import annotations

import asyncio
import functools
import os
import re
import resource
import shutil
import signal
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import attrs

from .judge import Acknowledged, judge
from .kills import fork, said
from .reports import Order, Report
from .work import OPERATIONS, SCRIPTS, Say, key, opened, reopen, verified

__all__ = ("run", "why_no_strace")

_MAKING = ("write", "pwrite64", "fsync", "fdatasync", "openat", "mkdirat", "linkat", "renameat", "ftruncate")
_READING = ("pread64", "read", "newfstatat", "fstat", "statx", "getdents64", "lseek", "flock", "close")
_OTHER = ("mkdir", "unlinkat", "unlink", "rmdir", "rename", "link")
CALLS = (*_MAKING, *_READING, *_OTHER)

_LINE = re.compile(r"(\d+) +(.*)")
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\w+)(?: (E\w+))?.*?(\(INJECTED\))?$", re.DOTALL)
_PATH = re.compile(r"<(/[^>]*)>|\"(/[^\"]*)\"")
_DID = re.compile(r'\\"did\\": \\"(\w+)')
_WRITTEN = "and not synced was"
_SECONDS_MAX = 60
_SHORT_STEP = 90


@functools.cache
def why_no_strace() -> str | None:
    """Return why calls cannot be made to fail here; None if they can."""
    if not shutil.which("strace"):
        return "strace is not installed"
    command = ["strace", "-f", "-qq", "-e", "trace=none", "-e", "inject=close:error=EIO:when=60000", "true"]
    probe = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
    return f"strace may not trace here: {probe.stderr.strip()}" if probe.returncode else None


@attrs.frozen
class Fault:
    """One call of a run that fails."""

    script: str
    call: str
    when: int
    """It is so many-eth of its thread."""
    how: str
    """The name of an error, or of a signal."""

    @property
    def arguments(self) -> list[str]:
        how = f"signal={self.how}" if self.how == "SIGKILL" else f"error={self.how}"
        return ["-e", f"inject={self.call}:{how}:when={self.when}"]

    def __str__(self) -> str:
        return f"{self.script}: {self.how} at {self.call} {self.when}"


def _work(root: Path, script: str, say: Say, limit: int | None) -> None:
    """Do what a script says, and go on after what fails."""

    async def main() -> None:
        async with opened(root, "0", say, has_hub=script == "hub") as worker:
            for name in SCRIPTS[script]:
                try:
                    await OPERATIONS[name](worker)
                except Exception as error:  # noqa: BLE001 - it is said
                    say({"failed": f"{name}: {error!r}"[:300]})
                    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))  # there is room again

    most = resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_FSIZE, (most if limit is None else limit, most))
    asyncio.run(main())


def _run(root: Path, script: str, trace: Path | None, arguments: Sequence[str], limit: int | None = None) -> bytes:
    """Run a script in a child, under strace if there is a file for its trace; return what it has said."""
    go, begin = os.pipe()
    readable, writable = os.pipe()

    def live(say: Say) -> None:
        os.close(begin)
        os.close(readable)
        if os.read(go, 1):
            _work(root, script, say, limit)

    child = fork(live, writable)
    os.close(go)
    os.close(writable)
    tracer = None
    if trace is not None:
        command = ["strace", "-f", "-y", "-s", "64", "-o", str(trace), "-e", f"trace={','.join(CALLS)},sendto"]
        tracer = subprocess.Popen([*command, *arguments, "-p", str(child)], stderr=subprocess.PIPE)
        assert tracer.stderr is not None
        tracer.stderr.readline()  # it is attached
    os.write(begin, b"!")
    os.close(begin)
    alarm = _Alarm(child)
    output = b""
    while chunk := os.read(readable, 65536):
        output += chunk
    os.close(readable)
    os.waitpid(child, 0)
    alarm.cancel()
    if tracer is not None:
        tracer.communicate()
    return output


class _Alarm:
    """Kills a child that hangs."""

    def __init__(self, child: int) -> None:
        self._timer = threading.Timer(_SECONDS_MAX, os.kill, (child, signal.SIGKILL))
        self._timer.start()

    def cancel(self) -> None:
        self._timer.cancel()


@attrs.frozen
class _Traced:
    thread: int
    call: str
    arguments: str
    result: str
    error: str | None
    is_injected: bool

    @property
    def paths(self) -> list[str]:
        return [found[0] or found[1] for found in _PATH.findall(self.arguments)]


def _traced(trace: Path) -> Iterator[_Traced]:
    """The calls in the order in which they ended."""
    begun: dict[str, str] = {}
    for line in trace.read_text(errors="replace").splitlines():
        if (match := _LINE.fullmatch(line)) is None:
            continue
        thread, text = match.groups()
        if text.endswith("<unfinished ...>"):
            begun[thread] = text.removesuffix("<unfinished ...>")
            continue
        if text.startswith("<... "):
            text = begun.pop(thread, "") + text.partition(" resumed>")[2]
        if (call := _CALL.fullmatch(text)) is not None:
            name, arguments, result, error, injected = call.groups()
            yield _Traced(int(thread), name, arguments, result, error, injected is not None)


def _faults_of(script: str, trace: Path, root: Path) -> list[Fault]:
    """Return a fault for each call by which a run has touched its logs."""
    counts: dict[tuple[int, str], int] = defaultdict(int)
    found: dict[tuple[str, int], None] = {}
    for call in _traced(trace):
        counts[call.thread, call.call] += 1
        if call.call in CALLS and any(path.startswith(str(root)) for path in call.paths):
            found[call.call, counts[call.thread, call.call]] = None
    return [
        Fault(script, call, when, how)
        for call, when in found
        for how in ("EIO", "SIGKILL", *(("ENOSPC",) if call in _MAKING else ()))
    ]


def _unsynced(trace: Path) -> list[str]:
    """Return the acknowledgements of records that were given while the segment was not known to be on the disk.

    What a failed sync has left there is not known any more, whatever a later one says.
    """
    unsynced: dict[str, str] = {}
    faults = []
    for call in _traced(trace):
        path = next(iter(call.paths), "")
        if call.call == "write" and (did := _DID.search(call.arguments)) is not None:
            # What a caller appends to the audit log by himself has nothing to do with the journal.
            logs = ("/audit/", "/journal/") if did[1] in ("emit", "register") else ("/audit/",)
            why = [f"{state} {name}" for name, state in unsynced.items() if any(log in name for log in logs)]
            faults += [f"{did[1]} was acknowledged, {each}" for each in why]
        if "/log/" not in path or not path.endswith(".jsonl"):
            continue
        if call.call in ("fdatasync", "fsync", "write") and call.error == "EIO":
            unsynced[path] = f"and {call.call} had failed on"
        elif call.call == "write" and call.error is None:
            unsynced.setdefault(path, _WRITTEN)
        elif call.call in ("fdatasync", "fsync") and call.error is None and unsynced.get(path) == _WRITTEN:
            del unsynced[path]
    return faults


def _judge(root: Path, output: bytes, script: str, trace: Path | None) -> list[str]:
    """Judge what a run has left; then open it, go on, and judge again."""
    told = Acknowledged(str(key(0).vkey))
    for line in said(output):
        told.hear(line)
    faults = judge(root, told)
    if b"Fenced" in output:
        faults.append("it stopped because of another writer, and there is none")
    if trace is not None:
        faults += _unsynced(trace)
    try:
        asyncio.run(reopen(root, told.hear, has_hub=script == "hub"))
    except Exception as error:  # noqa: BLE001 - it is a fault
        return [*faults, f"it cannot be opened again: {error!r}"]
    return faults + judge(root, told, is_settled=True) + asyncio.run(verified(root))


def run(folder: Path, order: Order) -> Report:
    """Let so many calls fail, each in a run of its own, chosen at random; or all of them, in their order."""
    report = Report("calls")
    if reason := why_no_strace():
        report.skipped = reason
        return report
    root, trace = folder / "root", folder / "trace"
    faults: list[Fault] = []
    for script in SCRIPTS:
        output = _run(root, script, trace, [])
        assert b"failed" not in output, output
        found = _faults_of(script, trace, root)
        report.count(f"calls of {script}", len({(fault.call, fault.when) for fault in found}))
        report.found(script, _judge(root, output, script, trace))
        faults += found
        longest = max(file.stat().st_size for file in root.rglob("*.jsonl"))
        faults += [Fault(script, "write", size, "short") for size in range(_SHORT_STEP, longest, _SHORT_STEP)]
        shutil.rmtree(root)
    faults = [fault for fault in faults if re.search(order.like, str(fault))]
    if order.rounds:
        faults = Random(order.seed).sample(faults, min(order.rounds, len(faults)))
    for fault in faults:
        report.step(len(faults))
        _try(fault, root, trace, report)
        shutil.rmtree(root, ignore_errors=True)
        if order.is_bugged and report.faults:
            break
    return report.end()


def _try(fault: Fault, root: Path, trace: Path, report: Report) -> None:
    if fault.how == "short":
        output = _run(root, fault.script, None, (), limit=fault.when)
        report.count("short writes")
        seen = None
    else:
        output = _run(root, fault.script, trace, fault.arguments)
        is_hit = any(call.is_injected for call in _traced(trace)) or "killed by SIGKILL" in trace.read_text()
        report.count(f"{fault.how} injected" if is_hit else "not met")
        seen = trace
    report.found(str(fault), _judge(root, output, fault.script, seen))
