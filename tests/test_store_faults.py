"""What a disk can do to a FileStore, done for real: by a full tmpfs, by a limit of the process, and by strace."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hubwire.errors import StoreFull
from hubwire.stores import Durability, FileStore

PREAMBLE = """
import asyncio, json, os, sys
from hubwire.errors import StoreError
from hubwire.stores import Durability, FileStore
root = sys.argv[1]
store = FileStore(root)
async def attempt(call):
    try:
        answer = await call
    except StoreError as error:
        cause = error.__cause__
        answer = [type(error).__name__, error.path, error.byte_offset, type(cause).__name__, str(error)]
    sys.stdout.write(json.dumps(answer) + "\\n")
    sys.stdout.flush()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def run(code: str, root: Path, *before: str) -> list[Any]:
    """Run a piece of Python as the body of a coroutine; return what its attempts came to."""
    body = "async def main():\n" + "\n".join("    " + line for line in code.strip().splitlines())
    command = [*before, sys.executable, "-P", "-c", f"{PREAMBLE}\n{body}\nasyncio.run(main())", str(root)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=50)
    assert done.returncode in (0, -9, 137), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@functools.cache
def why_no_strace() -> str | None:
    if not shutil.which("strace"):
        return "strace is not installed"
    probe = subprocess.run(["strace", "-e", "trace=none", "true"], check=False, stderr=subprocess.PIPE, text=True)
    return f"strace may not trace here: {probe.stderr.strip()}" if probe.returncode else None


@pytest.fixture
def strace(tmp_path: Path) -> list[str]:
    """The beginning of a command that is traced, with the paths of descriptors, into the file ``trace``."""
    if reason := why_no_strace():
        pytest.skip(reason)
    return ["strace", "-f", "-y", "-qq", "-o", str(tmp_path / "trace")]


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    place = tmp_path / "full"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(place)]
    mounted = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small tmpfs: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


# --- no space -------------------------------------------------------------------------------------------------------


def test_an_append_to_a_full_disk_keeps_nothing(full: Path) -> None:
    """The store stays usable."""
    store = FileStore(full)
    asyncio.run(store.write("/ballast", "x" * 8000))
    record = "r" * 299 + "\n"
    written = 0
    with pytest.raises(StoreFull, match="nothing was kept, make room and call again") as caught:
        while True:
            assert asyncio.run(store.append("/log", record)) == written
            written += 300
    assert caught.value.path == "/log"
    assert caught.value.byte_offset == written
    assert isinstance(caught.value.__cause__, OSError)
    assert written > 40_000
    assert (full / "log").read_text() == record * (written // 300)
    for _ in range(3):
        with pytest.raises(StoreFull):
            asyncio.run(store.append("/log", record, expect=written))
    asyncio.run(store.delete("/ballast"))
    assert asyncio.run(store.append("/log", record, expect=written)) == written
    assert (full / "log").read_text() == record * (written // 300 + 1)


def test_a_write_to_a_full_disk_keeps_the_old(full: Path) -> None:
    store = FileStore(full)
    asyncio.run(store.write("/file", "old" * 10_000))
    with pytest.raises(StoreFull):
        asyncio.run(store.write("/file", "new" * 15_000))
    with pytest.raises(StoreFull):
        asyncio.run(store.write("/other", "new" * 15_000, if_absent=True))
    assert [path.name for path in full.iterdir()] == ["file"]
    assert (full / "file").read_text() == "old" * 10_000
    asyncio.run(store.write("/file", "new" * 5_000))
    assert (full / "file").read_text() == "new" * 5_000


def test_a_short_write_is_taken_back(root: Path) -> None:
    answers = run(
        """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
for n in range(5):
    await attempt(store.append("/log", "x" * 300))
await attempt(store.size("/log"))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
await attempt(store.append("/log", "x" * 300))
""",
        root,
    )
    assert answers[:3] == [0, 300, 600]
    for answer in answers[3:5]:
        assert answer[:4] == ["StoreFull", "/log", 900, "OSError"]
        assert "File too large" in answer[4]
    assert answers[5:] == [900, 900]


def test_a_sync_on_a_full_disk_poisons_or_recovers(root: Path, strace: list[str]) -> None:
    """A disk that gives space late says so in fdatasync; the second one, after the cut, tells whether that worked."""
    code = """
await attempt(store.append("/log", "12"))
await attempt(store.append("/log", "345"))
await attempt(store.append("/log", "6"))
"""
    for when, following in (("2", 2), ("2+", "PathPoisoned")):
        answers = run(code, root, *strace, "-e", "trace=fdatasync", "-e", f"inject=fdatasync:error=ENOSPC:when={when}")
        assert answers[0] == 0
        assert answers[1][0] == ("StoreFull" if following == 2 else "StoreError")
        assert (answers[2] if following == 2 else answers[2][0]) == following
        shutil.rmtree(root)


# --- errors that leave unknown what the disk holds ------------------------------------------------------------------


def failing(strace: list[str], path: Path, call: str, error: str = "EIO") -> list[str]:
    """Let every such system call fail that concerns the path."""
    return [*strace, "-e", f"trace={call}", "-P", str(path), "-e", f"inject={call}:error={error}"]


def calls(tmp_path: Path, name: str) -> int:
    return len(re.findall(rf"\b{name}\(", (tmp_path / "trace").read_text()))


@pytest.mark.parametrize("call", ["fdatasync", "write"])
def test_an_io_error_closes_only_its_path(root: Path, tmp_path: Path, strace: list[str], call: str) -> None:
    """No further call is tried there."""
    answers = run(
        """
await attempt(store.append("/sick", "one"))
await attempt(store.append("/sick", "two"))
await attempt(store.write("/sick", "three"))
await attempt(store.append("/sound", "x"))
await store.aclose()
await attempt(store.append("/sick", "four"))
await attempt(FileStore(root).size("/sick"))
""",
        root,
        *failing(strace, root / "sick", call),
    )
    first, second, third, fourth, fifth, size = answers
    assert first[:4] == ["StoreError", "/sick", 0, "OSError"]
    assert "Input/output error. What the disk holds is unknown" in first[4]
    assert "mend the disk and start again" in first[4]
    for refused in (second, third, fifth):
        assert refused[:2] == ["PathPoisoned", "/sick"]
    assert fourth == 0
    assert calls(tmp_path, call) == 1
    assert size == (3 if call == "fdatasync" else 0)  # what is there is left as it is: recovery looks at it
    assert asyncio.run(FileStore(root).append("/sick", "", expect=size)) == size


def test_an_unknown_error_counts_as_an_io_error(root: Path, strace: list[str]) -> None:
    code = 'await attempt(store.append("/sick", "x"))\n' * 2
    first, second = run(code, root, *failing(strace, root / "sick", "fdatasync", "EREMOTEIO"))
    assert (first[0], second[0]) == ("StoreError", "PathPoisoned")


def test_an_unsynced_replacement_is_not_used(root: Path, tmp_path: Path, strace: list[str]) -> None:
    asyncio.run(FileStore(root).write("/file", "old"))
    first, second = run(
        """
flushing = FileStore(root, Durability.FLUSH)
await attempt(flushing.write("/file", "new"))
await attempt(flushing.write("/file", "new"))
""",
        root,
        *strace,
        *("-e", "trace=fsync", "-e", "inject=fsync:error=EIO"),
    )
    assert (first[0], second[0]) == ("StoreError", "PathPoisoned")
    assert calls(tmp_path, "fsync") == 1
    assert [path.read_text() for path in root.iterdir()] == ["old"]


def test_an_unsynced_directory_is_closed(root: Path, strace: list[str]) -> None:
    """All paths below it are closed with it."""
    asyncio.run(FileStore(root).append("/d/old", "x"))
    answers = run(
        """
await attempt(store.append("/d/new", "x"))
await attempt(store.append("/d/other", "x"))
await attempt(store.write("/d/old", "x"))
await attempt(store.append("/elsewhere", "x"))
""",
        root,
        *failing(strace, root / "d", "fsync"),
    )
    assert [answer[0] if isinstance(answer, list) else answer for answer in answers] == [
        "StoreError",
        "PathPoisoned",
        "PathPoisoned",
        0,
    ]


def test_a_failed_close_is_remembered(root: Path, strace: list[str]) -> None:
    answers = run(
        """
await attempt(store.append("/sick", "x"))
for n in range(70):
    await store.append(f"/{n}", "")
await attempt(store.append("/sick", "y"))
""",
        root,
        *failing(strace, root / "sick", "close"),
    )
    assert answers[0] == 0
    assert answers[1][0] == "PathPoisoned"


def test_an_append_that_cannot_be_unlocked_is_there_and_holds_up_none(
    root: Path, tmp_path: Path, strace: list[str]
) -> None:
    """To close the file unlocks it, too."""
    injection = ["-e", "trace=flock", "-P", str(root / "a"), "-e", "inject=flock:error=EIO:when=2"]
    answers = run(
        """
await attempt(store.append("/a", "x"))
await attempt(FileStore(sys.argv[1]).append("/a", "y"))
await attempt(store.append("/a", "z"))
""",
        root,
        *strace,
        *injection,
    )
    assert answers == [0, 1, 2]
    assert (root / "a").read_text() == "xyz"
    assert "INJECTED" in (tmp_path / "trace").read_text()


@pytest.mark.parametrize("error", ["EMFILE", "EACCES", "EROFS"])
def test_a_file_that_cannot_be_opened_poisons_nothing(root: Path, strace: list[str], error: str) -> None:
    code = 'await attempt(store.append("/log", "x"))\n' * 2
    once = f"inject=openat:error={error}:when=1"
    first, second = run(code, root, *strace, "-e", "trace=openat", "-P", "log", "-e", once)
    assert first[:2] == ["StoreError", "/log"]
    assert "mend that and call again" in first[4]
    assert second == 0


# --- what is synced, and in which order -----------------------------------------------------------------------------

TRACED = "mkdirat,openat,linkat,link,renameat,rename,unlinkat,ftruncate,write,fsync,fdatasync"


def traced(code: str, root: Path, tmp_path: Path, strace: list[str]) -> list[list[str]]:
    """Return what was done to the disk during each attempt, as system calls with the names of what they concern."""
    run(code, root, *strace, "-e", f"trace={TRACED}")
    attempts: list[list[str]] = [[]]
    for line in (tmp_path / "trace").read_text().splitlines():
        call = re.search(r"\b(\w+)\((.*)\) += ", line)
        if call is None:
            continue
        name, arguments = call.groups()
        if name == "write" and arguments.startswith("1<"):
            attempts.append([])
        elif str(root) in arguments and (name != "openat" or "O_CREAT" in arguments):
            attempts[-1].append(f"{name.replace('at', '') if name != 'fdatasync' else name} {short(arguments, root)}")
    return attempts[:-1]


def short(arguments: str, root: Path) -> str:
    """Make ``/d/file`` of ``5</tmp/root/d>, "file", …``."""
    names = []
    for descriptor, name in re.findall(r'\d+<([^>]*)>(?:, "([^"]*)")?', arguments):
        path = descriptor.removeprefix(str(root))
        if name and name != "content":
            path += f"/{name}"
        names.append(re.sub(r"[0-9a-f]{16}\.new@", "*.new@", path) or "/")
    return " ".join(names)


def test_an_append_is_synced_before_it_returns(root: Path, tmp_path: Path, strace: list[str]) -> None:
    code = 'await attempt(store.append("/d/log", b"content"))\n' * 3
    first, *others = traced(code, root, tmp_path, strace)
    assert others == [["write /d/log", "fdatasync /d/log"]] * 2
    assert first[-2:] == ["write /d/log", "fdatasync /d/log"]


def test_new_names_are_synced(root: Path, tmp_path: Path, strace: list[str]) -> None:
    """These are the names of a new file and of new directories."""
    root.mkdir()
    content = ["write /d/e/one", "fdatasync /d/e/one"]
    code = """
await attempt(store.append("/d/e/one", b"content"))
await attempt(store.append("/d/e/two", b"content"))
await attempt(store.append("/d/e/three", b""))
"""
    assert traced(code, root, tmp_path, strace) == [
        ["mkdir /d", "fsync /", "mkdir /d/e", "fsync /d", "open /d/e/one", "fsync /d/e", *content],
        ["open /d/e/two", "fsync /d/e", "write /d/e/two", "fdatasync /d/e/two"],
        ["open /d/e/three", "fsync /d/e"],
    ]


def test_names_made_by_others_are_synced(root: Path, tmp_path: Path, strace: list[str]) -> None:
    (root / "d").mkdir(parents=True)
    (root / "d" / "log").touch()
    assert traced('await attempt(store.append("/d/log", b"content"))', root, tmp_path, strace) == [
        ["fsync /", "open /d/log", "fsync /d", "write /d/log", "fdatasync /d/log"]
    ]


def test_a_replacement_is_synced_twice(root: Path, tmp_path: Path, strace: list[str]) -> None:
    """Its content is synced before it gets its name, and the name before `write` returns."""
    code = """
await attempt(store.write("/file", b"content"))
await attempt(store.write("/file", b"content", expect=7))
await attempt(store.write("/new", b"content", if_absent=True))
await attempt(store.delete("/new"))
"""
    root.mkdir()
    content = ["open /*.new@", "write /*.new@", "fsync /*.new@"]
    assert traced(code, root, tmp_path, strace) == [
        [*content, "rename /*.new@ /file", "fsync /"],
        [*content, "rename /*.new@ /file", "fsync /"],
        [*content, "link /*.new@ /new", "unlink /*.new@", "fsync /"],
        ["unlink /new", "fsync /"],
    ]


def test_lower_durabilities_sync_less(root: Path, tmp_path: Path, strace: list[str]) -> None:
    code = """
flush, none = FileStore(root, Durability.FLUSH), FileStore(root, Durability.NONE)
for lazy in (flush, none):
    await attempt(lazy.append("/d/log", b"content"))
    await attempt(lazy.write("/d/file", b"content"))
    await attempt(lazy.delete("/d"))
"""
    syncs = [[each for each in done if "sync" in each] for done in traced(code, root, tmp_path, strace)]
    assert syncs == [[], ["fsync /d/*.new@"], [], [], [], []]


# --- a crash or an error at every step ------------------------------------------------------------------------------

SCENARIO = """
await attempt(store.append("/d/log", "one,"))
await attempt(store.append("/d/log", "two,"))
await attempt(store.write("/d/file", "old"))
await attempt(store.write("/d/file", "newer", expect=3))
await attempt(store.write("/d/new", "new", if_absent=True))
await attempt(store.append("/d/log", "three,", expect=8))
await attempt(store.delete("/d/new"))
"""

STEPS = ("mkdirat", "linkat", "renameat", "unlinkat", "fsync", "fdatasync")


@pytest.mark.slow
@pytest.mark.timeout(240)  # it starts some forty processes
@pytest.mark.parametrize("fault", ["signal=KILL", "error=EIO"])
def test_any_failing_step_keeps_acknowledged_data(root: Path, tmp_path: Path, strace: list[str], fault: str) -> None:
    """Whichever system call fails or is killed, what was acknowledged is there, and other files are unharmed."""
    assert run(SCENARIO, root, *strace, "-e", f"trace={','.join(STEPS)}") == [0, 4, None, None, None, 8, None]
    cases = [(call, step) for call in STEPS for step in range(1, calls(tmp_path, call) + 1)]
    assert {call for call, _ in cases} == set(STEPS)

    def check(case: tuple[str, int]) -> None:
        call, step = case
        place = tmp_path / f"{call} {step}"
        answers = run(
            SCENARIO, place, "strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={call}:{fault}:when={step}"
        )
        check_after_fault(place, answers, f"{fault} in {call} {step}")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(check, cases))


def check_after_fault(root: Path, answers: list[Any], where: str) -> None:
    assert answers != [0, 4, None, None, None, 8, None], where
    done = [not isinstance(answer, list) for answer in answers] + [False] * (7 - len(answers))
    store = FileStore(root, Durability.NONE)
    assert set(asyncio.run(store.list("/d"))) <= {"log", "file", "new"}, where
    log = asyncio.run(store.read("/d/log")) or ""
    for content, landed in zip(("one,", "two,", "three,"), (done[0], done[1], done[5]), strict=True):
        assert (content in log) or not landed, where
    assert log in {"", "one,", "two,", "one,two,", "one,two,three,"}, where
    file = asyncio.run(store.read("/d/file"))
    assert file in ({"newer"} if done[3] else {"old", "newer"} if done[2] else {None, "old", "newer"}), where
    asyncio.run(store.write("/d/after", "x"))
    assert not list((root / "d").glob("*.new@")), where
