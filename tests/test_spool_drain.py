"""Draining a spool: each line becomes an event once, and what is no line of a writer's never becomes one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from hubwire import Event, GenericEvent, Hub, codec
from hubwire.errors import AlreadyRunning, ConfigurationError, LogDamaged, NotFound
from hubwire.events import ToolCalled
from hubwire.listeners import AuditLog
from hubwire.spool import Spool, SpoolFeed, read_status
from hubwire.spool._sources import take_lock
from hubwire.stores import FileStore
from hubwire.testing import ManualClock
from support.odd import ODD
from support.spools import drained, files_of, seen_of, taken_into


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def fill(place: Path, count: int, **settings: Any) -> None:
    with Spool(place, durability="flush", **settings) as spool:
        for number in range(count):
            assert spool.append("a.done", {"n": number}) is not None


def numbers(store: Path) -> list[Any]:
    return [record["data"]["n"] for record in taken_into(store, "a.done")]


# --- what comes in --------------------------------------------------------------------------------------------------


def test_events_keep_what_they_say_of_themselves(place: Path, store: Path) -> None:
    with Spool(place, clock=ManualClock()) as spool:
        spool.append(ToolCalled(tool="t", call_id="c", arguments={"a": 1}, agent_id="x"))
        spool.append(GenericEvent(kind="a.done", source="ci", source_id="7", occurred_at="2025-01-01T00:00:00.000000Z"))
    drained(place, store)
    called, done = taken_into(store)
    assert (called["kind"], called["arguments"], called["agent_id"]) == ("tool.called", {"a": 1}, "x")
    assert called["occurred_at"] == "2026-01-01T00:00:00.000000Z"
    assert (called["source"], called["source_id"]) == ("spool", called["metadata"]["spool"])
    assert (done["source"], done["source_id"]) == ("ci", "7")
    assert done["occurred_at"] == "2025-01-01T00:00:00.000000Z"


DECLARING = """
import sys
from hubwire import Event, event
from hubwire.spool import Spool
@event("cake.baked")
class CakeBaked(Event):
    layers: int
Spool(sys.argv[1]).append(CakeBaked(layers=3, agent_id="baker"))
"""


def test_kinds_of_other_programs_come_in(place: Path, store: Path) -> None:
    """A kind that is not declared here is a generic event, which a program that declares it reads as its class."""
    subprocess.run([sys.executable, "-P", "-c", DECLARING, str(place)], check=True)
    drained(place, store)
    (baked,) = taken_into(store)
    assert (baked["kind"], baked["data"], baked["agent_id"]) == ("cake.baked", {"layers": 3}, "baker")


@pytest.mark.parametrize("piece", [1500, 1024 * 1024], ids=["in pieces", "at once"])
def test_files_are_taken_in_the_order_of_time(
    piece: int, place: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the call of a tool and its end, which two processes write."""
    monkeypatch.setattr("hubwire.spool._reading._PIECE_BYTES", piece)
    clock = ManualClock()
    spools = [Spool(place, clock=clock, durability="flush") for _ in range(3)]
    for number in range(90):
        which = number * 7 % 3
        spools[which].append("a.done", {"n": number, "x": "y" * 400 * which})
        clock.advance(0.001)
    for spool in spools:
        spool.close()
    drained(place, store)
    assert numbers(store) == list(range(90))


def test_what_is_taken_is_deleted_when_its_writer_is_gone(place: Path, store: Path) -> None:
    fill(place, 50, file_bytes_max=4096)
    held = Spool(place)
    held.append("a.done", {"n": 50})
    drained(place, store)
    assert len(files_of(place)) == 1
    assert numbers(store) == list(range(51))
    held.append("a.done", {"n": 51})
    drained(place, store)
    assert numbers(store) == list(range(52))
    held.close()
    drained(place, store)
    assert files_of(place) == []
    assert numbers(store) == list(range(52))
    assert json.loads((place / "taken.json").read_bytes())["taken"] == {}


def test_files_can_be_archived(place: Path, store: Path, tmp_path: Path) -> None:
    fill(place, 10)
    (file,) = files_of(place)
    content = file.read_bytes()
    drained(place, store, archive=tmp_path / "archive")
    assert (tmp_path / "archive" / file.name).read_bytes() == content
    assert files_of(place) == []


def test_a_hub_in_memory_is_fed_too(place: Path) -> None:
    fill(place, 10)
    _, events = seen_of(place)
    assert [event.data["n"] for event in events if isinstance(event, GenericEvent)] == list(range(10))


def test_a_feed_follows_until_its_hub_closes(place: Path, store: Path) -> None:
    """What was written before the hub closes is taken, and the journal is not kept for it afterwards."""
    spool = Spool(place, durability="flush")

    async def main() -> None:
        files = FileStore(store)
        async with Hub(files, listeners=[AuditLog(files)]) as hub:
            hub.feed(SpoolFeed(place, poll_seconds=0.01))
            for number in range(20):
                await to_thread.run_sync(spool.append, "a.done", {"n": number})
                while hub.statistics().feeds[0].numbers.get("lines", 0) <= number:  # noqa: ASYNC110
                    await anyio.sleep(0.01)
            await to_thread.run_sync(spool.append, "a.done", {"n": 20})
            assert hub.health().problems == ()
        async with Hub(files) as hub:
            assert (journal := hub.statistics().journal) is not None
            assert not journal.positions
        await files.aclose()

    anyio.run(main)
    assert numbers(store) == list(range(21))
    spool.close()


# --- what is not as it was written ----------------------------------------------------------------------------------


def test_a_torn_line_is_waited_for_and_reported(place: Path, store: Path) -> None:
    spool = Spool(place)
    spool.append("a.done", {"n": 0})
    spool.append("a.done", {"n": 1})
    (file,) = files_of(place)
    content = file.read_bytes()
    file.write_bytes(content[:-30])
    feed = drained(place, store)
    assert (feed.statistics()["lines"], feed.statistics()["torn"]) == (1, 0)  # its writer may go on
    spool.close()
    feed = drained(place, store)
    assert feed.statistics()["torn"] == 1
    (torn,) = taken_into(store, "spool.line_torn")
    assert torn["data"]["line"] == 2
    assert "its writer was killed in it" in torn["data"]["reason"]
    assert numbers(store) == [0]
    assert files_of(place) == []


def test_a_line_without_its_line_feed_is_whole(place: Path, store: Path) -> None:
    fill(place, 2)
    (file,) = files_of(place)
    file.write_bytes(file.read_bytes()[:-1])
    drained(place, store)
    assert numbers(store) == [0, 1]


def test_a_flipped_bit_is_reported_and_kept(place: Path, store: Path) -> None:
    fill(place, 5)
    (file,) = files_of(place)
    lines = file.read_bytes().split(b"\n")
    lines[2] = lines[2].replace(b'"n":2}', b'"n":6}')
    damaged = b"\n".join(lines)
    file.write_bytes(damaged)
    status = read_status(place)
    assert (status.waiting, status.files[0].damaged) == (4, 1)
    assert status.files[0].first_damage == "line 3: its checksum is not that of its content"
    feed = drained(place, store)
    assert numbers(store) == [0, 1, 3, 4]
    (said,) = taken_into(store, "spool.line_damaged")
    assert (said["data"]["file"], said["data"]["line"], said["severity"]) == (file.name, 3, "error")
    assert "1 lines of" in feed.problems()[0]
    assert (place / "set-aside" / file.name).read_bytes() == damaged
    assert files_of(place) == []
    assert read_status(place).set_aside == [file.name]


def test_any_flipped_bit_changes_no_event(place: Path, tmp_path: Path) -> None:
    fill(place, 6)
    (file,) = files_of(place)
    content = file.read_bytes()
    rng = random.Random(5)
    for round_ in range(60):
        place_ = tmp_path / f"spool{round_}"
        place_.mkdir()
        flipped = bytearray(content)
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        (place_ / file.name).write_bytes(flipped)
        feed, events = seen_of(place_)
        came = [event.data["n"] for event in events if event.kind == "a.done" and isinstance(event, GenericEvent)]
        assert came == sorted(set(came))
        assert set(came) < set(range(6)) or feed.statistics()["lines"] == 6
        assert len(came) >= 4
        if len(came) < 6:
            assert feed.problems() or feed.statistics()["torn"]


def test_missing_lines_are_reported(place: Path, store: Path) -> None:
    fill(place, 6)
    (file,) = files_of(place)
    lines = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join(lines[:2] + lines[4:]))
    feed = drained(place, store)
    (said,) = taken_into(store, "spool.lines_missing")
    assert (said["data"]["count"], said["data"]["line"]) == (2, 3)
    assert numbers(store) == [0, 1, 4, 5]
    assert feed.statistics()["missing"] == 2
    assert feed.problems() == [], "there is nothing that a person could do about it"


def test_lost_events_become_one(place: Path, store: Path) -> None:
    with Spool(place) as spool:
        spool.append("nokind")
        spool.append("nokind")
        spool.append("a.done", {"n": 0})
    drained(place, store)
    (said,) = taken_into(store, "spool.events_lost")
    assert said["data"]["count"] == 2


def test_what_the_hub_refuses_is_reported_and_kept(place: Path, store: Path) -> None:
    fill(place, 3)
    (file,) = files_of(place)
    content = file.read_bytes()
    with Spool(place, durability="flush") as spool:
        spool.append("a.done", {"n": 3, "x": "y" * 20_000})
        spool.append("a.done", {"n": 4})
    drained(place, store, hub={"event_bytes_max": 10_000})
    assert numbers(store) == [0, 1, 2, 4]
    (said,) = taken_into(store, "spool.line_refused")
    assert (said["data"]["line"], said["data"]["kind"]) == (4, "a.done")
    assert (place / "set-aside" / file.name).read_bytes().startswith(content)


def test_what_is_no_file_of_a_spool_is_left_alone(place: Path, store: Path) -> None:
    fill(place, 1)
    for name in ("x.jsonl", "notes.txt", "ABCDEFGHIJKLMNOP.000000000001.jsonl", "abcdefghijklmnop.00000000000x.jsonl"):
        (place / name).write_text("{}\n")
    (place / "abcdefghijklmnop.000000000001.jsonl").symlink_to(place / "notes.txt")
    (place / "abcdefghijklmnop.000000000002.jsonl").mkdir()
    os.mkfifo(place / "aaaaaaaaaaaaaaaa.000000000003.jsonl")
    with Spool(place) as spool:
        assert spool.append("a.done", {"n": 1}) == 2
    drained(place, store)
    assert numbers(store) == [0, 1]
    assert len(list(place.glob("*.jsonl"))) == 6


# --- what is known to be taken --------------------------------------------------------------------------------------


def test_marks_that_are_damaged_are_refused(place: Path, store: Path) -> None:
    fill(place, 3)
    drained(place, store)
    fill(place, 3)
    marks = place / "taken.json"
    content = marks.read_bytes()
    for damaged in (b"", content[:-5], content.replace(b'"v":1', b'"v":7'), content.replace(b'"id"', b'"ID"')):
        marks.write_bytes(damaged)
        with pytest.raises(LogDamaged, match=r"taken\.json"):
            drained(place, store)
    marks.write_bytes(content)
    drained(place, store)
    assert numbers(store) == [0, 1, 2] * 2


def test_marks_of_a_newer_version_are_refused(place: Path, store: Path) -> None:
    fill(place, 1)
    (place / "taken.json").write_bytes(codec.encode_marker({"id": "x", "taken": {}, "kept": []}, version=2))
    with pytest.raises(LogDamaged, match="use a newer one"):
        drained(place, store)


def test_a_batch_that_was_not_marked_is_not_taken_again(place: Path, store: Path) -> None:
    """The hub was killed between its commit and the mark: at the next start it is asked what it has."""
    marks = place / "taken.json"
    spool = Spool(place, durability="flush")
    for number in range(10):
        spool.append("a.done", {"n": number})

    async def main() -> None:
        files = FileStore(store)
        hub = Hub(files, listeners=[AuditLog(files)])
        await hub.start()
        feed = SpoolFeed(place, poll_seconds=0.01)
        hub.feed(feed)
        while feed.statistics()["lines"] < 10:  # noqa: ASYNC110
            await anyio.sleep(0.01)
        await hub.flush()
        await hub.abort()
        await files.aclose()

    anyio.run(main)
    id_ = json.loads(marks.read_bytes())["id"]
    marks.write_bytes(codec.encode_marker({"id": id_, "taken": {}, "kept": []}, version=1))
    drained(place, store)
    assert numbers(store) == list(range(10))
    spool.close()


# --- two drains -----------------------------------------------------------------------------------------------------


def test_a_second_drain_is_refused_or_waits(place: Path, store: Path) -> None:
    fill(place, 3)
    lock = take_lock(str(place))
    with pytest.raises(AlreadyRunning, match=f"is being drained by process {os.getpid()}"):
        drained(place, store, waits=False)
    assert read_status(place).is_drained
    feed = SpoolFeed(place, follow=False, poll_seconds=0.01)

    async def main() -> None:
        async with Hub() as hub, anyio.create_task_group() as tasks:
            tasks.start_soon(feed.run, hub)
            while not feed.problems():  # noqa: ASYNC110
                await anyio.sleep(0.01)
            lock.release()

    anyio.run(main)
    assert feed.statistics()["lines"] == 3
    assert not feed.problems()


@pytest.mark.parametrize(
    "settings",
    [{"directory": 3}, {"follow": 1}, {"waits": "no"}, {"archive": b"x"}, {"poll_seconds": 0}, {"poll_seconds": "x"}],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], place: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"SpoolFeed\(\): "):
        SpoolFeed(**{"directory": place, **settings})


@pytest.mark.parametrize("argument", ["directory", "follow", "waits", "archive", "poll_seconds"])
def test_odd_settings_are_refused_or_work(argument: str, place: Path) -> None:
    refusals = []
    for make in ODD:
        try:
            SpoolFeed(**{"directory": place, argument: make()})
        except ConfigurationError as error:
            refusals.append(str(error))
    assert refusals
    assert {refusal.startswith(f"SpoolFeed(): {argument} is") for refusal in refusals} == {True}


def test_there_is_no_status_of_what_is_not_there(place: Path) -> None:
    with pytest.raises(NotFound, match="there is no directory"):
        read_status(place)


# --- kills ----------------------------------------------------------------------------------------------------------

DRAINING = """
import sys
from hubwire.cli import main
main(["spool", "drain", sys.argv[2], sys.argv[1]])
"""

WRITING = """
import sys
from hubwire.spool import Spool
spool = Spool(sys.argv[1], durability="flush", file_bytes_max=30_000)
for number in range(int(sys.argv[3])):
    if spool.append("a.done", {"n": [sys.argv[2], number]}) is not None:
        print(number, flush=True)
"""


def start(program: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-P", "-c", program, *map(str, arguments)], stdout=subprocess.PIPE)


def marks_of(place: Path) -> bytes:
    path = place / "taken.json"
    return path.read_bytes() if path.exists() else b""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_kills_of_drains_and_writers_lose_and_double_nothing(place: Path, store: Path) -> None:
    """A drain is killed again and again while processes write, which are killed too."""
    rng = random.Random(1)
    acknowledged: list[list[Any]] = []
    for life in range(8):
        writers = {f"{life}/{each}": start(WRITING, place, f"{life}/{each}", 3000) for each in range(3)}
        before = marks_of(place)
        drain = start(DRAINING, place, store)
        while marks_of(place) == before and drain.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.random() * 0.3)  # the moment of the kill is what is tried out
        for process in rng.sample([drain, *writers.values()], 4):
            process.send_signal(signal.SIGKILL)
        drain.communicate()
        for name, process in writers.items():
            out, _ = process.communicate()
            acknowledged += [[name, int(number)] for number in out.split(b"\n")[:-1]]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "hubwire", "spool", "drain", str(store), str(place), "--once"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.dumps(each) for each in numbers(store)]
    assert len(found) == len(set(found))
    assert {json.dumps(each) for each in acknowledged} <= set(found)
    assert files_of(place) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_hundred_thousand_lines_leave_nothing(place: Path) -> None:
    fill(place, 100_000)
    seen = 0

    class Counting:
        async def on_events(self, events: Sequence[Event]) -> None:
            nonlocal seen
            seen += sum(event.kind == "a.done" for event in events)

    feed = SpoolFeed(place, follow=False)

    async def main() -> None:
        async with Hub() as hub:
            hub.attach(Counting(), mailbox=1_000_000)
            await feed.run(hub)
            await hub.flush()

    anyio.run(main)
    assert (seen, feed.statistics()["lines"]) == (100_000, 100_000)
    assert sorted(path.name for path in place.iterdir()) == ["drain.lock", "taken.json"]
    assert (place / "taken.json").stat().st_size < 200


FORKED = """
import os, sys, time
from hubwire.spool._sources import take_lock
lock = take_lock(sys.argv[1])
if os.fork() == 0:
    os.close(1)
    sys.stdin.read()
    os._exit(0)
os._exit(0)
"""


def test_a_forked_child_does_not_keep_the_lock(place: Path, store: Path) -> None:
    """It goes on when the drain that it was forked from is dead."""
    fill(place, 3)
    command = [sys.executable, "-P", "-c", FORKED, str(place)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read() == b""  # both have closed it: the child by hand, its parent by its end
        process.wait()
        drained(place, store, waits=False)
    assert numbers(store) == [0, 1, 2]
