"""Spools: what processes leave in a directory is whole, numbered and counted, whatever happens to them."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubwire import GenericEvent, scope
from hubwire.errors import ConfigurationError
from hubwire.events import ToolCalled, UnknownEvent
from hubwire.spool import Spool
from hubwire.spool._spool import _log
from hubwire.stores.durability import Durability
from hubwire.testing import ManualClock
from support.odd import ODD
from support.spools import files_of, lines_of, values_of


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def test_events_are_lines_with_numbers(place: Path) -> None:
    spool = Spool(place, clock=ManualClock())
    with scope(session="s"):
        assert spool.append("build.finished", {"ok": True}, agent_id="ci") == 1
    assert spool.append(ToolCalled(tool="t", call_id="c", arguments={"a": 1})) == 2
    first, second = lines_of(place)
    assert (first["n"], first["p"], first["at"]) == (1, os.getpid(), "2026-01-01T00:00:00.000000Z")
    assert first["e"]["data"] == {"ok": True}
    assert (first["e"]["agent_id"], first["e"]["session_id"]) == ("ci", "s")
    assert (second["n"], second["e"]["kind"], second["e"]["arguments"]) == (2, "tool.called", {"a": 1})
    assert (spool.statistics().written, spool.failures, spool.last_error) == (2, 0, None)


@pytest.mark.parametrize(
    "settings",
    [
        {"directory": 3},
        {"directory": b"x"},
        {"directory": ""},
        {"directory": "a\0b"},
        {"directory": "\ud800"},
        {"durability": "none"},
        {"durability": 1},
        {"bytes_max": 10},
        {"bytes_max": True},
        {"file_bytes_max": "many"},
        {"clock": 3},
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], place: Path) -> None:
    """The constructor says which argument is wrong, and makes nothing."""
    with pytest.raises(ConfigurationError, match=rf"Spool\(\): {next(iter(settings))} is"):
        Spool(**{"directory": place, **settings})
    assert not place.exists()


@pytest.mark.parametrize("argument", ["directory", "durability", "bytes_max", "file_bytes_max", "clock"])
def test_odd_settings_are_refused_or_work(argument: str, place: Path) -> None:
    refusals = []
    for make in ODD:
        try:
            Spool(**{"directory": place, argument: make()})
        except ConfigurationError as error:
            refusals.append(str(error))
    assert refusals
    assert {refusal.startswith(f"Spool(): {argument} is") for refusal in refusals} == {True}


def test_a_member_of_durability_says_the_same(place: Path) -> None:
    spool = Spool(place, durability=Durability.FLUSH)
    assert spool.append("a.done") == 1


def test_append_never_raises(place: Path) -> None:
    """What is no event is counted, and the next line says how many were lost."""
    spool = Spool(place, durability="flush")
    spool.append("a.done", {"n": 0})
    failed = 0
    for make in ODD:
        before = spool.statistics().written
        wrong = make()
        if spool.append(wrong) is None:
            failed += 1
        else:
            assert spool.statistics().written == before + 1
        spool.append("a.done", wrong)
        spool.append("a.done", {"n": wrong})
        spool.append("a.done", {}, agent_id=wrong)
    assert failed
    assert spool.append("a.done", {"n": 1}) is not None
    lost = sum(line.get("lost", 0) for line in lines_of(place))
    assert lost == spool.failures > 0


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("tool.called", "'tool.called' is declared"),
        ("word", "is not a kind of event"),
        ("hub.slept", "is a kind of the hub's own"),
        (UnknownEvent(kind="a.b"), "no program may emit 'a.b'"),
        (None, "event is an event, or the kind of one, not None"),
        (GenericEvent(kind="a.b", data={"x": "y" * 9_000_000}), "EventTooLarge"),
    ],
)
def test_what_no_hub_would_take_is_not_written(event: Any, said: str, place: Path) -> None:
    spool = Spool(place)
    assert spool.append(event) is None
    assert spool.last_error is not None
    assert said in spool.last_error
    assert not files_of(place)


def test_the_first_of_failures_is_a_warning(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    _log._lines.clear()  # of what other tests have had written
    spool = Spool(place)
    with caplog.at_level(logging.WARNING, "hubwire.spool"):
        for _ in range(5):
            spool.append("word")
        assert len(caplog.records) == 1
        spool.append("a.done")
        spool.append("word")
    assert len(caplog.records) == 2
    assert f"directory={place}" in caplog.records[0].getMessage()


def test_threads_write_side_by_side(place: Path) -> None:
    spool = Spool(place, durability="flush", file_bytes_max=20_000)

    def write(thread: int) -> None:
        for number in range(200):
            spool.append("a.done", {"n": [thread, number]})

    threads = [threading.Thread(target=write, args=(each,)) for each in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = values_of(place)
    assert sorted(found) == [[thread, number] for thread in range(8) for number in range(200)]
    for each in range(8):
        assert [number for thread, number in found if thread == each] == list(range(200))
    assert [line["n"] for line in lines_of(place)] == list(range(1, 1601))


def test_full_files_are_followed_by_others(place: Path) -> None:
    spool = Spool(place, file_bytes_max=4096)
    for number in range(100):
        spool.append("a.done", {"n": number})
    names = [file.name for file in files_of(place)]
    assert len(names) > 2
    assert len({name[:16] for name in names}) == 1
    assert [line["n"] for line in lines_of(place)] == list(range(1, 101))
    firsts = [int(name[17:29]) for name in names]
    assert firsts == [json.loads(file.read_text().split("\n")[0])["n"] for file in files_of(place)]


def test_short_lives_share_a_file(place: Path) -> None:
    """A file that no writer has is gone on with, and its numbers are."""
    for number in range(5):
        with Spool(place) as spool:
            assert spool.append("a.done", {"n": number}) == number + 1
    assert len(files_of(place)) == 1
    Spool(place).append("a.done", {"n": 5})  # the end of the object is the end of its lock, too
    gc.collect()
    held = Spool(place)
    held.append("a.done", {"n": 6})
    other = Spool(place)
    assert other.append("a.done", {"n": 7}) == 1
    assert len(files_of(place)) == 2


@pytest.mark.parametrize("rest", [b"x", b'{"n":6,"p":1', b"\0" * 40, b"no line\n"])
def test_a_torn_file_is_left_alone(rest: bytes, place: Path) -> None:
    with Spool(place) as spool:
        spool.append("a.done", {"n": 0})
    (file,) = files_of(place)
    with file.open("ab") as torn:
        torn.write(rest)
    before = file.read_bytes()
    assert Spool(place).append("a.done", {"n": 1}) == 1
    assert file.read_bytes() == before
    assert len(files_of(place)) == 2


def test_too_much_is_refused_until_it_is_taken(place: Path) -> None:
    """The newest is lost, numbers have no gap, and the next line says how many there were."""
    spool = Spool(place, bytes_max=8192, file_bytes_max=4096)
    accepted = 0
    while spool.append("a.done", {"n": accepted}) is not None:
        accepted += 1
    for _ in range(4):
        assert spool.append("a.done", {"n": -1}) is None
    assert spool.failures == 5
    assert spool.last_error is not None
    assert "drain it: hubwire spool drain STORE DIRECTORY" in spool.last_error
    assert sum(file.stat().st_size for file in files_of(place)) <= 8192
    assert values_of(place) == list(range(accepted))
    files_of(place)[0].unlink()
    spool._writer._looked = 0.0  # time passes
    assert spool.append("a.done", {"n": "again"}) == accepted + 1
    assert lines_of(place)[-1]["lost"] == 5
    spool.append("a.done", {"n": "more"})
    assert "lost" not in lines_of(place)[-1]


def test_a_directory_that_is_gone_is_not_made_again(place: Path) -> None:
    spool = Spool(place)
    spool.append("a.done", {"n": 0})
    place.rename(place.with_name("elsewhere"))
    for number in range(3):
        assert spool.append("a.done", {"n": number}) is not None  # it is the same file, under another name
    for file in files_of(place.with_name("elsewhere")):
        file.unlink()
    assert spool.append("a.done", {"n": 4}) is None
    assert spool.last_error is not None
    assert "FileNotFoundError" in spool.last_error
    assert not place.exists()
    place.mkdir()
    assert spool.append("a.done", {"n": 5}) == 1
    assert lines_of(place)[0]["lost"] == 1


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_place_that_is_no_directory_is_counted(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "spool"
    place.write_text("x") if kind == "file" else place.symlink_to(tmp_path / "nowhere")
    spool = Spool(place / "below")
    assert spool.append("a.done") is None
    assert spool.failures == 1


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[None]:
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small tmpfs: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_leaves_whole_lines(place: Path) -> None:
    with small_disk(place):
        spool = Spool(place)
        accepted = 0
        while spool.append("a.done", {"n": accepted, "x": "y" * 700}) is not None:
            accepted += 1
        assert spool.last_error is not None
        assert "No space left" in spool.last_error
        assert values_of(place) == list(range(accepted))
        assert spool.append("a.done", {"n": -1, "x": "y" * 5000}) is None
        ballast = files_of(place)[0]
        ballast.rename(place / "taken")
        (place / "taken").unlink()
        assert spool.append("a.done", {"n": "again"}) is not None
        assert lines_of(place)[-1]["lost"] == 2
        spool.close()


LIMITED = """
import resource, sys
from hubwire.spool import Spool
spool = Spool(sys.argv[1])
spool.append("a.done", {"n": 0})
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
print(spool.append("a.done", {"n": 1, "x": "y" * 3000}), spool.last_error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(spool.append("a.done", {"n": 2}), spool.failures)
"""


def run(program: str, place: Path, *more: str) -> list[str]:
    command = [sys.executable, "-P", "-c", program, str(place), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


def test_a_file_at_its_limit_is_cut_back(place: Path) -> None:
    """Part of the line was written already, and is taken back."""
    first, second = run(LIMITED, place)
    assert first.startswith("None OSError: [Errno 27] File too large")
    assert second == "2 1"
    assert values_of(place) == [0, 2]


FORKING = """
import os, sys, threading
from hubwire.spool import Spool
spool = Spool(sys.argv[1], durability="flush")
spool.append("a.done", {"n": "before"})
running = threading.Event()
def busy():
    for number in range(2000):
        spool.append("a.done", {"n": ["thread", number]})
        running.set()
thread = threading.Thread(target=busy)
thread.start()
running.wait()
children = []
for child in range(5):
    if (pid := os.fork()) == 0:
        for number in range(20):
            spool.append("a.done", {"n": ["child", child, number]})
        os.write(1, b"%d %d\\n" % (spool.statistics().written, spool.failures))
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
thread.join()
print("parent", spool.statistics().written, spool.failures)
"""


def test_forked_children_have_files_of_their_own(place: Path) -> None:
    """Also those that are forked while a thread of the parent writes."""
    *children, parent = run(FORKING, place)
    assert children == ["20 0"] * 5
    assert parent == "parent 2001 0"
    found = values_of(place)
    assert len(found) == 2101
    for child in range(5):
        assert [each[2] for each in found if each[:2] == ["child", child]] == list(range(20))
    for file in files_of(place):
        writers = {json.loads(line)["p"] for line in file.read_text().split("\n")[:-1]}
        numbers = [json.loads(line)["n"] for line in file.read_text().split("\n")[:-1]]
        assert numbers == list(range(1, len(numbers) + 1)), writers


SIGNALLED = """
import signal, sys
from hubwire.spool import Spool
spool = Spool(sys.argv[1], durability="flush")
inside = 0
handles = False
def handle(number, frame):
    global inside, handles
    if handles:
        return
    handles = True
    spool.append("a.done", {"n": ["inside", inside]})
    inside += 1
    handles = False
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
for number in range(3000):
    spool.append("a.done", {"n": ["outside", number]})
signal.setitimer(signal.ITIMER_REAL, 0)
spool.append("a.done", {"n": "end"})
print(inside, spool.failures, spool.last_error)
"""


def test_signal_handlers_may_append(place: Path) -> None:
    """Also in the middle of an append of their thread."""
    ((inside, failures, error),) = [line.split(maxsplit=2) for line in run(SIGNALLED, place)]
    assert (failures, error) == ("0", "None")
    found = values_of(place)
    assert [each[1] for each in found if each[0] == "outside"] == list(range(3000))
    assert sorted(each[1] for each in found if each[0] == "inside") == list(range(int(inside)))
    assert int(inside) > 0


def test_an_append_inside_of_another_comes_after_it(place: Path) -> None:
    """As that of a signal handler, at the worst moment."""

    class Interrupting(ManualClock):
        def now_ns(self) -> int:
            if (count := len(inside)) < 5:
                inside.append(spool.append("a.done", {"n": ["inside", count]}))
            return super().now_ns()

    inside: list[int | None] = []
    spool = Spool(place, clock=Interrupting())
    assert spool.append("a.done", {"n": "outside"}) == 1
    assert inside == [None] * 5
    assert [line["n"] for line in lines_of(place)] == list(range(1, 7))
    assert values_of(place) == ["outside", *(["inside", count] for count in range(5))]


INTERRUPTED = """
import signal, sys
from hubwire.spool import Spool
spool = Spool(sys.argv[1], durability="flush")
interrupts = 0
def handle(number, frame):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, handle)
number = 0
while interrupts < 100:
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.002)
        while True:
            spool.append("a.done", {"n": number, "x": "y" * 2000})
            number += 1
    except KeyboardInterrupt:
        interrupts += 1
print(spool.append("a.done", {"n": "end"}) is not None)
"""


def test_what_a_signal_handler_raises_goes_through(place: Path) -> None:
    """Ctrl-C is the program's, and leaves no part of a line."""
    assert run(INTERRUPTED, place)[-1] == "True"
    found = values_of(place)
    assert "end" in found
    assert {each for each in found if each != "end"}


WRITING = """
import sys
from hubwire.spool import Spool
spool = Spool(sys.argv[1], durability=sys.argv[3], file_bytes_max=20_000)
number = 0
while number < int(sys.argv[4]):
    if spool.append("a.done", {"n": [sys.argv[2], number], "x": "y" * (number % 300)}) is not None:
        print(number, flush=True)
    number += 1
"""


@pytest.mark.slow
def test_twenty_processes_write_at_once(place: Path) -> None:
    command = [sys.executable, "-P", "-c", WRITING, str(place)]
    started = [
        subprocess.Popen([*command, str(each), "flush", "60"], stdout=subprocess.PIPE, text=True) for each in range(20)
    ]
    for process in started:
        out, _ = process.communicate(timeout=60)
        assert out.split() == [str(number) for number in range(60)]
    found = values_of(place)
    assert len(found) == 1200
    for each in range(20):  # a writer whose file is full may go on in the one that another has left
        assert sorted(number for name, number in found if name == str(each)) == list(range(60))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_kill_loses_nothing_that_was_acknowledged(place: Path) -> None:
    """Forty processes, each killed at another moment: only the end of a file may be torn."""
    acknowledged: list[list[Any]] = []
    for life in range(40):
        command = [sys.executable, "-P", "-c", WRITING, str(place), str(life), "fsync", "1000000"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            said = b""
            while said.count(b"\n") < 1 + life * 3:
                said += process.stdout.readline()
            process.send_signal(signal.SIGKILL)
            said += process.stdout.read()
        acknowledged += [[str(life), int(number)] for number in said.split(b"\n")[:-1]]
    found = []
    for file in files_of(place):
        *lines, _ = file.read_bytes().split(b"\n")
        numbers = [json.loads(line)["n"] for line in lines]
        assert numbers == list(range(int(file.name[17:29]), int(file.name[17:29]) + len(numbers)))
        found += [json.loads(line)["e"]["data"]["n"] for line in lines]
    assert len({json.dumps(each) for each in found}) == len(found)
    for each in acknowledged:
        assert each in found
