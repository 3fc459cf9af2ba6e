"""Events that could not be written to a spool, and lines of a spool that no writer of ours has written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from hubwire import FeedState, Hub
from hubwire.spool import Spool, SpoolFeed, read_status
from hubwire.spool._lines import file_name, line_of, new_stream
from hubwire.spool._losses import LOSSES_MAX, add_losses
from hubwire.spool._marks import Marks
from hubwire.testing import ManualClock
from support import pass_time, until
from support.spools import drained, files_of, seen_of, taken_into

HOOK = json.dumps({"hook_event_name": "Stop", "session_id": "s"}).encode()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def hook(place: Path | None, said: bytes = HOOK, *words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "hubwire", "hook", "claude-code", *words],
        input=said,
        env={**os.environ, **({} if place is None else {"HUBWIRE_SPOOL": str(place)}), **environment},
        capture_output=True,
        check=False,
        timeout=60,
    )


def told_of(store: Path) -> list[int]:
    return [record["count"] for record in taken_into(store, "recording.dropped")]


# --- losses ---------------------------------------------------------------------------------------------------------


def test_what_a_short_process_could_not_write_is_told_by_the_next_drain(place: Path, store: Path) -> None:
    """A hook that finds no room has no next line to say so in; each loss is told once, over any number of drains."""
    place.write_text("no directory")
    assert [hook(place).returncode for _ in range(3)] == [0, 0, 0]
    place.unlink()
    hook(place)
    assert read_status(place).lost == 3
    feed = drained(place, store)
    assert feed.statistics()["lost"] == 3
    assert feed.problems() == []
    assert told_of(store) == [3]
    assert read_status(place).lost == 0
    drained(place, store)
    assert told_of(store) == [3]
    add_losses(str(place), 2)
    drained(place, store)
    assert told_of(store) == [3, 2]
    [kind] = {record["source"] for record in taken_into(store, "recording.dropped")}
    assert kind == "spool"


def test_a_spool_that_is_full_tells_its_losses_when_it_is_closed(place: Path, store: Path) -> None:
    with Spool(place, durability="flush", bytes_max=4096) as spool:
        written = sum(spool.append("a.done", {"text": "x" * 500}) is not None for _ in range(20))
    assert 0 < written < 20
    assert spool.statistics().lost == 0
    assert spool.statistics().failures == 20 - written
    drained(place, store)
    assert told_of(store) == [20 - written]
    assert len(taken_into(store, "a.done")) == written


def test_a_process_that_ends_without_a_close_tells_its_losses(place: Path) -> None:
    program = (
        "import sys; from hubwire.spool import Spool\n"
        "spool = Spool(sys.argv[1]); spool.append('a.done', {}); spool.append(3)\n"
        "other = [spool]; other.append(other)"
    )
    subprocess.run([sys.executable, "-P", "-c", program, str(place)], check=True, timeout=60, stderr=subprocess.DEVNULL)
    assert read_status(place).lost == 1


def test_what_a_later_line_says_is_not_told_twice(place: Path, store: Path) -> None:
    with Spool(place, durability="flush") as spool:
        spool.append(3)  # type: ignore[arg-type]
        spool.append("a.done", {})
    drained(place, store)
    assert told_of(store) == []
    assert len(taken_into(store, "spool.events_lost")) == 1


def test_a_kill_between_commit_and_mark_tells_losses_once(place: Path, store: Path) -> None:
    """The hub remembers of which losses it was told: here its marks are those of before."""
    add_losses(str(place), 5)
    with Spool(place, durability="flush") as spool:
        spool.append("a.done", {})
    program = """
import os, sys, anyio
from hubwire import Hub
from hubwire.listeners import AuditLog
from hubwire.spool import SpoolFeed, _marks
from hubwire.stores import FileStore
save = _marks.Marks.save
def dies(self):
    if self.losses:
        os._exit(9)
    save(self)
_marks.Marks.save = dies
async def main():
    store = FileStore(sys.argv[2])
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        await SpoolFeed(sys.argv[1], follow=False).run(hub)
anyio.run(main)
"""
    died = subprocess.run([sys.executable, "-P", "-c", program, str(place), str(store)], check=False, timeout=60)
    assert died.returncode == 9
    assert read_status(place).lost == 5, "it is not marked"
    drained(place, store)
    assert told_of(store) == [5]


@pytest.mark.parametrize("kind", ["directory", "link", "pipe", "unreadable marks of losses"])
def test_a_count_that_is_no_file_harms_nothing(kind: str, place: Path, store: Path, tmp_path: Path) -> None:
    counted = tmp_path / "spool.lost"
    if kind == "directory":
        counted.mkdir()
    elif kind == "link":
        (tmp_path / "mine").write_text("mine")
        counted.symlink_to(tmp_path / "mine")
    elif kind == "pipe":
        os.mkfifo(counted)
    else:
        drained(place, store)
        marks = Marks.load(str(place))
        marks.take_losses(7)
        marks.save()
    place.mkdir(exist_ok=True)
    add_losses(str(place), 3)
    with Spool(place, durability="flush") as spool:
        spool.append("a.done", {})
    drained(place, store)
    assert len(taken_into(store, "a.done")) == 1
    assert told_of(store) == ([3] if kind == "unreadable marks of losses" else [])
    if kind == "link":
        assert (tmp_path / "mine").read_text() == "mine"


def test_the_count_of_losses_is_bounded(place: Path) -> None:
    add_losses(str(place), 10**9)
    add_losses(str(place), 10**9)
    assert (place.parent / "spool.lost").stat().st_size == LOSSES_MAX


def test_many_processes_count_at_once(place: Path) -> None:
    place.write_text("no directory")
    started = [
        subprocess.Popen(
            [sys.executable, "-P", "-m", "hubwire", "hook", "claude-code", HOOK.decode()],
            env={**os.environ, "HUBWIRE_SPOOL": str(place)},
            stdin=subprocess.DEVNULL,
        )
        for _ in range(12)
    ]
    assert [each.wait(60) for each in started] == [0] * 12
    assert (place.parent / "spool.lost").stat().st_size == 12


# --- hooks in strange places ----------------------------------------------------------------------------------------


def test_a_hook_whose_input_is_closed_is_silent(place: Path) -> None:
    for words in ("", " --strict"):
        done = subprocess.run(
            ["sh", "-c", f"{sys.executable} -P -m hubwire hook claude-code{words} <&-"],
            env={**os.environ, "HUBWIRE_SPOOL": str(place)},
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert b"Traceback" not in done.stderr
        assert done.returncode == (2 if words else 0)
        assert bool(done.stderr) == bool(words)


def test_a_hook_reads_all_that_it_is_given(place: Path) -> None:
    """An agent that writes a hundred megabytes is not told that its pipe is broken; the loss is counted."""
    place.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "hubwire", "hook", "claude-code"],
        env={**os.environ, "HUBWIRE_SPOOL": str(place)},
        stdin=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(b'{"hook_event_name": "Stop", "x": "')
    for _ in range(100):
        process.stdin.write(b"x" * 1024 * 1024)
    process.stdin.close()
    assert process.wait(60) == 0
    assert read_status(place).lost == 1
    assert files_of(place) == []


def test_a_hook_without_a_home_makes_no_directory_in_the_project(tmp_path: Path) -> None:
    program = (
        "import os, sys\nos.path.expanduser = lambda path: path\n"
        "from hubwire.cli.hooking import run\nsys.exit(run(['claude-code', '--strict', sys.argv[1]]))"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "HUBWIRE_SPOOL")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, HOOK.decode()],
        env={**environment, "XDG_STATE_HOME": "relative"},
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert b"--spool" in done.stderr
    assert list(tmp_path.iterdir()) == []


# --- lines of strangers ---------------------------------------------------------------------------------------------


def sound(fields: dict[str, Any]) -> bytes:
    """Return a line whose checksum is right, whatever it says."""
    body = json.dumps(fields, separators=(",", ":")).encode()[:-1]
    return b'%b,"c":"%08x"}\n' % (body, zlib.crc32(body))


GOOD: dict[str, Any] = {"n": 1, "p": 1, "at": "2026-11-21T09:30:00.000001Z", "e": {"kind": "a.done", "data": {}}}
OWN = {"kind": "a.done", "data": {}, "occurred_at": "2026-11-21T09:30:00.000001Z"}


def _of(*values: Any) -> tuple[Any, ...]:
    return values


STRANGE: tuple[dict[str, Any], ...] = (
    *({"n": value} for value in _of("x", 1.5, None, 10**30, -5, 0, True, [])),
    *({"at": value, "e": OWN} for value in _of(5, [], None, "", "zzz", "2026-11-21", 10**30)),
    *({"lost": value} for value in _of("x", [1], -3, 10**30, 1.5, None, True)),
    *({"e": value} for value in _of([], None, {}, {"kind": 5}, "text", 5)),
)


@pytest.mark.parametrize("number", range(len(STRANGE)))
def test_a_sound_line_of_a_stranger_holds_up_no_other(number: int, place: Path, tmp_path: Path) -> None:
    place.mkdir()
    stream = new_stream()
    after = line_of(2, 1, "2026-11-21T09:30:01.000001Z", 0, b'{"kind":"b.done","data":{}}')
    (place / file_name(stream, 1)).write_bytes(sound({**GOOD, **STRANGE[number]}) + after)
    assert read_status(place).files[0].damaged == 1
    with Spool(place, durability="flush") as spool:
        assert spool.append("c.done", {}) is not None
    feed, events = seen_of(place)
    kinds = [event.kind for event in events]
    assert (kinds.count("b.done"), kinds.count("c.done"), kinds.count("spool.line_damaged")) == (1, 1, 1)
    assert feed.statistics()["damaged"] == 1


@pytest.mark.parametrize("number", ["x", -1, 10**30, None])
def test_a_last_line_of_a_stranger_is_followed_by_no_writer(number: Any, place: Path) -> None:
    place.mkdir()
    (place / file_name("a" * 16, 1)).write_bytes(sound({**GOOD, "n": number}))
    with Spool(place, durability="flush") as spool:
        assert spool.append("a.done", {}) == 1
        assert spool.failures == 0
    assert len(files_of(place)) == 2


# --- health ---------------------------------------------------------------------------------------------------------


async def test_marks_that_cannot_be_saved_double_nothing_in_a_hub_in_memory(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full for a while: the feed fails and goes on, and knows what it has brought in."""
    spool = await to_thread.run_sync(Spool, place)
    for number in range(5):
        await to_thread.run_sync(spool.append, "a.done", {"n": number})
    await to_thread.run_sync(spool.close)
    save, calls = Marks.save, Counter[str]()

    def full(self: Marks) -> None:
        calls["save"] += 1
        if 1 < calls["save"] <= 3:
            raise OSError(28, "no space left on the device")
        save(self)

    monkeypatch.setattr(Marks, "save", full)
    taken: list[Any] = []
    clock = ManualClock()
    async with Hub(clock=clock) as hub:

        @hub.on("a.done")
        async def take(event: Any) -> None:
            taken.append(event.data["n"])

        handle = hub.feed(SpoolFeed(place, poll_seconds=0.05))
        await until(lambda: handle.state is FeedState.PAUSING)
        await pass_time(clock, 2)
        await until(lambda: handle.state is FeedState.RUNNING and calls["save"] > 3)
        await handle.remove()
        await hub.flush(timeout=10)
    assert taken == [0, 1, 2, 3, 4]


@pytest.mark.slow
async def test_a_feed_is_well_again_when_its_files_were_looked_at(place: Path) -> None:
    def damage() -> None:
        with Spool(place, durability="flush") as spool:
            spool.append("a.done", {"n": 1})
        [file] = files_of(place)
        file.write_bytes(file.read_bytes().replace(b'"n":1}', b'"n":2}'))

    def remove() -> None:
        for file in (place / "set-aside").iterdir():
            file.unlink()

    await to_thread.run_sync(damage)
    async with Hub() as hub:
        feed = SpoolFeed(place, poll_seconds=0.02)
        hub.feed(feed)
        await until(lambda: feed.statistics()["damaged"] == 1 and bool(hub.health().problems))
        while not await anyio.Path(place, "set-aside").exists():  # noqa: ASYNC110 - no event is set by it
            await anyio.sleep(0.01)
        assert "set-aside" in hub.health().problems[0]
        await to_thread.run_sync(remove)
        await until(lambda: not hub.health().problems)
        assert feed.statistics()["damaged"] == 1, "its numbers go on saying it"
