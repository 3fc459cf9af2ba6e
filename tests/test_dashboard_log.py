"""The dashboard of a log: beside the hub that writes it, or without one."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from test_dashboard_stream import notes, seqs

from hubwire import Hub
from hubwire.events import GenericEvent
from hubwire.listeners.audit import AuditLog, TenantAuditLogs
from hubwire.listeners.dashboard import Dashboard
from hubwire.stores import FileStore, MemoryStore
from support.dashboard import Frames, sign_in, signed_in


async def test_a_log_is_shown_without_its_hub(tmp_path: Any) -> None:
    async with Hub(FileStore(tmp_path), listeners=[AuditLog(FileStore(tmp_path))]) as hub:
        agent = await hub.agents.register("coder")
        await notes(hub, 400)
        hub_id = hub.id
    store = FileStore(tmp_path)
    async with signed_in(Dashboard.of_log(store)) as client:
        session = (await client.get("api/session")).json()
        assert (session["source"], session["hub"]["id"]) == ("log", hub_id)
        async with Frames.of(client, "api/stream?boards=1") as frames:
            while (tick := (await frames.of_event("tick")).data)["hub"]["state"] != "stopped":
                pass
            assert tick["now"] == tick["hub"]["at"]
            rows = await frames.rows(402)
            assert seqs(rows) == list(range(rows[-1]["seq"] + 1))
            assert rows[-1]["kind"] == "hub.stopped"
        [shown] = (await client.get("api/board/agents")).json()["rows"]
        assert (shown["agent_id"], shown["name"]) == (agent.id, "coder")
    await store.aclose()


async def test_a_log_is_followed_while_it_is_written() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        last = await notes(hub, 10)
        async with signed_in(Dashboard.of_log(store)) as client, Frames.of(client) as frames:
            await frames.rows(last)
            later = await notes(hub, 10)
            assert seqs(await frames.rows(later))[-1] == later


async def test_a_log_that_is_not_there_yet_is_waited_for() -> None:
    store = MemoryStore()
    async with signed_in(Dashboard.of_log(store)) as client, Frames.of(client) as frames, Hub(store) as hub:
        last = await notes(hub, 10)
        assert seqs(await frames.rows(last)) == list(range(last + 1))


async def test_a_reader_that_is_far_back_reads_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event once, from the log and then from memory."""
    monkeypatch.setattr("hubwire.listeners.dashboard._log_source._HELD", 100)
    store = MemoryStore()
    async with Hub(store) as hub:
        await notes(hub, 5)
        async with signed_in(Dashboard.of_log(store)) as client:
            async with Frames.of(client) as frames:
                await frames.of_event("rows")
                cursor = frames.last_id
                seen = seqs(await frames.rows(5)) if cursor is None else []
            last = [await notes(hub, 200) for _ in range(10)][-1]
            async with Frames.of(client, after=cursor) as frames:
                found = seqs(await frames.rows(last))
                assert found == list(range(found[0], last + 1))
                assert len(seen) <= found[0]


async def test_a_cursor_of_another_log_is_stale() -> None:
    cursor = None
    for _ in range(2):
        store = MemoryStore()
        async with Hub(store) as hub:
            last = await notes(hub, 10)
            async with signed_in(Dashboard.of_log(store)) as client, Frames.of(client, after=cursor) as frames:
                if cursor is not None:
                    assert (await frames.of_event("stale", "rows")).data["code"] == "other_hub"
                await frames.rows(last)
                cursor = frames.last_id


async def test_another_hub_in_the_place_of_a_log_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory was emptied, and used anew: what it holds now is shown, also if it is less."""
    monkeypatch.setattr("hubwire.listeners.dashboard._log_source._REPLACED_SECONDS", 0.05)
    async with Hub(FileStore(tmp_path)) as hub:
        await hub.agents.register("of before")
        last = await notes(hub, 50)
    store = FileStore(tmp_path)
    async with signed_in(Dashboard.of_log(store)) as client:
        async with Frames.of(client, "api/stream?boards=1") as frames:
            await frames.rows(last)
            await anyio.to_thread.run_sync(shutil.rmtree, tmp_path / "journal")
            async with Hub(FileStore(tmp_path)) as hub:
                await hub.agents.register("of now")
            assert (await frames.of_event("stale")).data["code"] == "cursor"
        while True:
            async with Frames.of(client, "api/stream?boards=1", after=frames.last_id) as again:
                found, rows = await again.of_event("stale"), await again.of_event("rows")
            if found.data["is"] is not None:  # the new one was read
                break
        assert (found.data["code"], found.data["is"]) == ("other_hub", hub.id)
        assert "of now" in str(rows.data)
        agents = (await client.get("api/board/agents")).json()["rows"]
        assert [each["name"] for each in agents] == ["of now"]
    await store.aclose()


async def test_damage_is_told(tmp_path: Path) -> None:
    async with Hub(FileStore(tmp_path)) as hub:
        await notes(hub, 300)
    await anyio.to_thread.run_sync(damage, tmp_path)
    store = FileStore(tmp_path)
    async with signed_in(Dashboard.of_log(store)) as client, Frames.of(client, "api/stream?boards=1") as frames:
        tick = (await frames.of_event("tick")).data
        assert "doctor" in tick["problem"]["suggestion"]
    await store.aclose()


def damage(folder: Path) -> None:
    [segment] = (folder / "journal" / "log").iterdir()
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)


# --- hubwire serve --------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command keeps boards."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return tmp_path / "caches"


class Command:
    """``hubwire serve`` in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hubwire", "serve", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def address(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        status = self.process.wait(30)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()
        return status


@pytest.mark.slow
async def test_the_command_keeps_boards_for_the_next_start(tmp_path: Path, caches: Path) -> None:
    async with Hub(FileStore(tmp_path / "store")) as hub:
        await notes(hub, 20)
    for arguments, folder in (((), caches / "hubwire"), (("--keep", str(tmp_path / "kept")), tmp_path / "kept")):
        command = await anyio.to_thread.run_sync(Command, str(tmp_path / "store"), "--port", "0", *arguments)
        base, _, token = (await anyio.to_thread.run_sync(command.address)).partition("#token=")
        async with httpx2.AsyncClient(base_url=base, timeout=20, trust_env=False, verify=False) as client:
            await sign_in(client, token)
            assert (await client.get("api/board/agents")).status_code == 200
        assert await anyio.to_thread.run_sync(command.end, signal.SIGTERM) == 0
        [file] = [each async for each in anyio.Path(folder / "boards").iterdir()]
        assert (await file.stat()).st_mode & 0o077 == 0
    command = await anyio.to_thread.run_sync(Command, str(tmp_path / "store"), "--port", "0", "--keep", "none")
    await anyio.to_thread.run_sync(command.address)
    assert await anyio.to_thread.run_sync(command.end, signal.SIGTERM) == 0
    assert not await anyio.Path("none").exists()


@pytest.mark.slow
async def test_a_place_that_keeps_nothing_is_gone_without(tmp_path: Path) -> None:
    """Nothing is lost with what is kept but time: the log is read instead, and the command says so."""
    async with Hub(FileStore(tmp_path / "store")) as hub:
        await hub.agents.register("coder")
    taken = anyio.Path(tmp_path / "taken")
    await taken.write_text("a file")
    for arguments in (("--keep", str(taken)), ("--keep", str(tmp_path / "kept"))):
        if arguments[1].endswith("kept"):  # a file in it that is none of its own
            await anyio.Path(tmp_path / "kept" / "boards").mkdir(parents=True)
            await anyio.Path(tmp_path / "kept" / "boards" / f"{'9' * 20}-{'0' * 32}.json").write_text("{}")
        command = await anyio.to_thread.run_sync(Command, str(tmp_path / "store"), "--port", "0", *arguments)
        base, _, token = (await anyio.to_thread.run_sync(command.address)).partition("#token=")
        async with httpx2.AsyncClient(base_url=base, timeout=20, trust_env=False, verify=False) as client:
            await sign_in(client, token)
            assert [row["name"] for row in (await client.get("api/board/agents")).json()["rows"]] == ["coder"]
        assert await anyio.to_thread.run_sync(command.end, signal.SIGTERM) == 0
    assert await taken.read_text() == "a file"


@pytest.mark.slow
async def test_a_sign_out_at_the_command_lasts_over_its_restart(tmp_path: Path) -> None:
    async with Hub(FileStore(tmp_path / "store")) as hub:
        await notes(hub, 2)
    file = str(tmp_path / "token")
    first = await anyio.to_thread.run_sync(Command, str(tmp_path / "store"), "--port", "0", "--token-file", file)
    base, _, token = (await anyio.to_thread.run_sync(first.address)).partition("#token=")
    cookies = []
    for is_leaving in (True, False):
        async with httpx2.AsyncClient(base_url=base, timeout=20, trust_env=False, verify=False) as client:
            await sign_in(client, token)
            [cookie] = client.cookies.items()
            cookies.append(cookie)
            if is_leaving:
                assert (await client.request("DELETE", "api/session")).status_code == 204
    assert await anyio.to_thread.run_sync(first.end, signal.SIGKILL) == -signal.SIGKILL
    assert (await anyio.Path(f"{file}.sessions").stat()).st_mode & 0o777 == 0o600
    port = base.rstrip("/").rpartition(":")[2]  # the name of the cookie has it
    second = await anyio.to_thread.run_sync(Command, str(tmp_path / "store"), "--port", port, "--token-file", file)
    await anyio.to_thread.run_sync(second.address)
    statuses = []
    for name, value in cookies:
        async with httpx2.AsyncClient(base_url=base, timeout=20, trust_env=False, verify=False) as client:
            client.cookies.set(name, value)
            statuses.append((await client.get("api/session")).status_code)
    assert await anyio.to_thread.run_sync(second.end, signal.SIGTERM) == 0
    assert statuses == [401, 200]


@pytest.mark.slow
async def test_the_command_serves_a_log(tmp_path: Path) -> None:
    """The token is shown once, and kept where only its owner can read it; a killed server is gone on with."""
    async with Hub(FileStore(tmp_path / "store")) as hub:
        last = await notes(hub, 20)
    arguments = (str(tmp_path / "store"), "--port", "0", "--token-file", str(tmp_path / "token"))
    first = await anyio.to_thread.run_sync(Command, *arguments)
    base, _, token = (await anyio.to_thread.run_sync(first.address)).partition("#token=")
    assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+/", base)
    async with httpx2.AsyncClient(base_url=base, timeout=20, trust_env=False, verify=False) as client:
        await sign_in(client, token)
        async with Frames.of(client) as frames:
            await frames.rows(last)
            cursor = frames.last_id
    assert await anyio.to_thread.run_sync(first.end, signal.SIGKILL) == -signal.SIGKILL
    assert (await anyio.Path(tmp_path / "token").stat()).st_mode & 0o777 == 0o600
    async with Hub(FileStore(tmp_path / "store")) as hub:
        later = await notes(hub, 20)
        second = await anyio.to_thread.run_sync(Command, *arguments)
        again = await anyio.to_thread.run_sync(second.address)
        assert "#" not in again
        async with httpx2.AsyncClient(base_url=again, timeout=20, trust_env=False, verify=False) as client:
            await sign_in(client, token)
            async with Frames.of(client, after=cursor) as frames:
                found = seqs(await frames.rows(later))
                assert found == list(range(found[0], later + 1))
                assert found[0] > last
        assert await anyio.to_thread.run_sync(second.end, signal.SIGTERM) == 0


@pytest.mark.parametrize("mode", [0o644, 0o660])
def test_a_token_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "token"
    file.write_text("a" * 40)
    file.chmod(mode)
    found = run(str(tmp_path), "--token-file", str(file))
    assert found.returncode == 1
    assert b"chmod 600" in found.stderr


def test_a_file_is_no_store_to_wait_for(tmp_path: Path) -> None:
    file = tmp_path / "team.py"
    file.touch()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "hubwire", "serve", str(file)], capture_output=True, timeout=50, check=False
    )
    assert done.returncode == 1
    assert b"team.py is a file, and a store is a directory" in done.stderr


def test_the_command_does_not_listen_beyond_the_machine(tmp_path: Path) -> None:
    found = run(str(tmp_path), "--host", "0.0.0.0")  # noqa: S104 - it is refused
    assert found.returncode == 2
    assert b"--certfile" in found.stderr
    assert b"--insecure-i-know" in found.stderr


def test_the_command_does_not_wait_for_what_will_not_come(tmp_path: Path) -> None:
    (file := tmp_path / "segment.log").write_text("x")
    found = run(str(file), "--port", "0")
    assert found.returncode == 1
    assert b"is a file" in found.stderr


async def test_the_command_names_the_logs_of_tenants(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    async with Hub(listeners=[TenantAuditLogs(store)]) as hub:
        await hub.for_tenant("acme").emit(GenericEvent(kind="x.y", data={}))
    found = await anyio.to_thread.run_sync(run, str(tmp_path), "--port", "0")
    assert found.returncode == 1
    assert b"/audit/acme" in found.stderr
    assert b"--log" in found.stderr


def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "hubwire", "serve", *arguments], capture_output=True, timeout=50, check=False
    )


async def test_many_readers_of_a_log_get_each_event_once() -> None:
    store = MemoryStore()
    async with Hub(store) as hub, signed_in(Dashboard.of_log(store)) as client:
        await notes(hub, 10)

        async def read() -> list[int]:
            async with Frames.of(client) as frames:
                return seqs(await frames.rows(500))

        tasks = [asyncio.ensure_future(read()) for _ in range(20)]
        last = [await notes(hub, 10) for _ in range(50)][-1]
        for found in await asyncio.gather(*tasks):
            assert found == list(range(found[-1] + 1))
        assert last > 500
