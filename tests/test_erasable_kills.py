"""Erasing in the middle of which a program is killed, cancelled, raced or lied to by its disk."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from hubwire.errors import HubError, LogDamaged
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Retention, examine, verify
from hubwire.proof import KeySigner
from hubwire.stores import FileStore, MemoryStore
from support import files_of, store_of
from support.erasable import SECRET, bytes_of, record
from support.pruning import Killed

SIGNER = KeySigner("example.org/log", bytes(32))


async def written(store: Any, count: int = 6, **options: Any) -> AuditLog:
    log = AuditLog(store, erasable=["content"], **options)
    for number in range(count):
        await log.append(record(number, content=f"{SECRET} {number}."))
    return log


@pytest.mark.parametrize("is_signed", [False, True])
async def test_a_kill_between_any_two_steps_leaves_a_log_that_says_the_truth(is_signed: bool) -> None:
    """And that has done all of it, or none, after the next append."""
    options: dict[str, Any] = {"signer": SIGNER} if is_signed else {}
    store = Killed()
    log = await written(store, **options)
    store.states = []
    await log.erase(agent="agent-1", by="dpo", basis="asked")
    states, store.states = store.states, None
    await log.aclose()
    assert len(states) >= 5
    outcomes = set()
    for number, state in enumerate(states):
        killed = await store_of(state)
        found = await examine(killed, vkey=SIGNER.vkey if is_signed else None)
        assert not found.integrity.faults, (number, found.integrity.faults)
        assert found.contents is not None
        assert found.contents.missing == found.contents.altered == 0
        again = AuditLog(killed, erasable=["content"], **options)
        await again.append(record(content="after the kill"))
        said = [each async for each in again.read() if each.fields.get("kind") == "record.erased"]
        everything = await bytes_of(killed)
        gone = [f"{SECRET} {each}.".encode() not in everything for each in range(6)]
        assert gone == ([False, True] * 3 if said else [False] * 6), number
        assert not await killed.exists("/audit/erasing")
        await again.aclose()
        assert (await verify(killed)).holds
        outcomes.add(bool(said))
    assert outcomes == {False, True}


async def test_a_second_kill_changes_nothing() -> None:
    """In the opening that finishes the first one."""
    store = Killed()
    log = await written(store)
    store.states = []
    await log.erase(records=[2, 3], by="dpo", basis="asked")
    for state in store.states:
        second = Killed()
        for path, content in state.items():
            await second.write(path, content)
        second.states = []
        await AuditLog(second, erasable=["content"]).append({"n": 1})
        for inner in second.states:
            third = await store_of(inner)
            last = AuditLog(third, erasable=["content"])
            await last.append({"n": 2})
            await last.aclose()
            found = await verify(third)
            assert found.contents is not None
            assert found.contents.erased in (0, 2)
            assert (SECRET + " 1.").encode() in await bytes_of(third) or found.contents.erased


async def test_a_kill_in_an_append_leaves_no_content_without_its_record() -> None:
    """After the next opening: no erasure of a record could reach it."""
    store = Killed()
    log = await written(store, 3)
    store.states = []
    await log.append(record(content="of the last"))
    await log.append(record(content="of the very last"))
    for state in store.states:
        killed = await store_of(state)
        found = await examine(killed)
        assert found.holds
        again = AuditLog(killed, erasable=["content"])
        await again.append(record(content="after"))
        kept = {each["content"] for each in await again.read_all()}
        everything = await bytes_of(killed)
        for content in ("of the last", "of the very last"):
            assert (f'"{content}"'.encode() in everything) is (content in kept)
        await again.aclose()
        assert not (await verify(killed)).notes


async def test_a_kill_before_the_first_record_of_a_start_leaves_no_content() -> None:
    """The log has a clean end still."""
    store = Killed()
    await (await written(store, 3)).aclose()
    store.states = []
    log = AuditLog(store, erasable=["content"])
    await log.append(record(content="of the last"))
    for state in store.states:
        killed = await store_of(state)
        again = AuditLog(killed, erasable=["content"])
        await again.append({"n": 1})
        kept = {str(each.get("content")) for each in await again.read_all()}
        assert (b'"of the last"' in await bytes_of(killed)) is ("of the last" in kept)
        await again.aclose()
        assert not (await verify(killed)).notes
    store.states = None
    await log.aclose()


async def test_a_file_that_is_deleted_in_part_loses_nothing() -> None:
    """As object stores may leave one that had parts: its beginning."""
    store = Killed()
    log = await written(store)
    store.states = []
    await log.erase(records=[2], by="dpo", basis="asked")
    for state in store.states:
        pages = [path for path in state if "/erasable/" in path]
        if len(pages) != 2:
            continue
        old = min(pages, key=len)
        lines = state[old].split(b"\n")
        for count in range(len(lines)):
            killed = await store_of({**state, old: b"".join([line + b"\n" for line in lines[:count]])})
            assert (await examine(killed)).holds
            again = AuditLog(killed, erasable=["content"])
            await again.append({"n": 1})
            await again.aclose()
            found = await verify(killed)
            assert found.contents is not None
            assert (found.contents.present, found.contents.erased) == (5, 1)
            assert f"{SECRET} 1.".encode() not in await bytes_of(killed)


async def test_a_kill_at_any_step_of_a_pruning_keeps_the_contents_of_what_stays() -> None:
    store = Killed()
    log = await written(store, 30, rotation=2000)
    store.states = []
    await log.prune(retention=Retention(segments_max=2))
    states, store.states = store.states, None
    wanted = await log.read_all()
    await log.aclose()
    assert len(states) > 5
    for number, state in enumerate(states):
        killed = await store_of(state)
        assert (await examine(killed)).holds, number
        again = AuditLog(killed, erasable=["content"], rotation=2000)
        await again.append(record(content="after"))
        await again.prune(retention=Retention(segments_max=3))
        await again.aclose()
        found = await verify(killed)
        assert found.contents is not None
        assert found.contents.missing == 0
        rest = await again.read_all()
        assert [each for each in wanted if each not in rest] == [], number


async def test_flipped_bits_of_a_page_are_all_seen() -> None:
    """None of them becomes another content, and none an erasure."""
    store = MemoryStore()
    log = await written(store, 4)
    await log.erase(records=1, by="dpo", basis="asked")
    await log.aclose()
    state = await files_of(store)
    (page,) = [path for path in state if "/erasable/" in path]
    content, dice = state[page], random.Random(5)
    wanted = [each["content"] for each in await log.read_all()]
    erased_from = content.rindex(b" - ") - 44
    for _ in range(300):
        at, bit = dice.randrange(len(content)), dice.randrange(8)
        changed = content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]
        harmed = await store_of({**state, page: changed})
        found = await examine(harmed)
        if at < erased_from:
            assert not found.holds, (at, bit)
        else:  # of an erased one the page only repeats what the log says
            assert found.contents is not None
            assert found.contents.erased == 1 or not found.holds
        for one, other in zip([each["content"] for each in await AuditLog(harmed).read_all()], wanted, strict=True):
            assert one == other or set(one) <= {"$missing", "$altered", "$erased"}


async def test_a_marker_that_was_planted_erases_nothing() -> None:
    """What is erased is what the log says, not a file beside it."""
    for content in (b"rubbish", b'{"since":0,"v":1,"c":"00000000"}\n', b""):
        store = MemoryStore()
        log = await written(store)
        await log.aclose()
        before = await log.read_all()
        await store.write("/audit/erasing", content)
        await log.append({"at": "now", "n": 1})
        assert await log.read_all() == [*before, {"at": "now", "n": 1}]
        await log.aclose()


async def test_a_cancelled_append_leaves_no_content_without_its_record(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path))
    log = await written(store, 1)
    for turns in range(12):
        task = asyncio.Task(log.append(record(content=f"cancelled {turns}.")))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await log.append(record(content="last"))
    kept = {each["content"] for each in await log.read_all()}
    await log.aclose()
    everything = await bytes_of(store)
    for turns in range(12):
        assert (f"cancelled {turns}.".encode() in everything) is (f"cancelled {turns}." in kept)
    found = await verify(store)
    assert not found.notes


async def test_appends_and_erasures_at_the_same_time(tmp_path: Path) -> None:
    """Each record keeps its content, and what is erased is gone."""
    store = FileStore(str(tmp_path))
    log = AuditLog(store, erasable=["content"], signer=SIGNER)

    async def produce(name: int) -> None:
        for number in range(40):
            await log.append(record(agent_id=f"agent-{name}", content=f"{SECRET} {name}-{number}."))

    async def erase() -> None:
        for name in (3, 4):
            await log.erase(agent=f"agent-{name}", by="dpo", basis="asked")

    async with anyio.create_task_group() as group:
        for name in range(8):
            group.start_soon(produce, name)
        group.start_soon(erase)
    await erase()
    records = await log.read_all()
    assert len(records) == 320
    for each in records:
        is_gone = each["agent_id"] in ("agent-3", "agent-4")
        assert (type(each["content"]) is dict and "$erased" in each["content"]) is is_gone
    everything = await bytes_of(store)
    assert f"{SECRET} 3-".encode() not in everything
    await log.aclose()
    found = await verify(store, vkey=SIGNER.vkey)
    assert found.contents is not None
    assert (found.contents.present, found.contents.erased) == (240, 80)


async def test_a_second_program_cannot_erase_beside_the_first(tmp_path: Path) -> None:
    first = await written(FileStore(str(tmp_path)))
    second = AuditLog(FileStore(str(tmp_path)), erasable=["content"])
    before = await bytes_of(FileStore(str(tmp_path)), "/audit/erasable")
    with pytest.raises(HubError):
        await second.erase(records=1, by="dpo", basis="asked")
    assert await bytes_of(FileStore(str(tmp_path)), "/audit/erasable") == before
    await second.aclose()
    await first.aclose()


KILLED = """
import asyncio, sys
from hubwire.listeners import AuditLog
from hubwire.stores import FileStore

async def main():
    log = AuditLog(FileStore(sys.argv[1]), erasable=["content"])
    number = int(sys.argv[2])
    while True:
        await log.append({"n": number, "agent_id": f"a{number % 5}", "content": f"content {number}."})
        print("stored", number, flush=True)
        if number % 7 == 6:
            await log.erase(agent=f"a{number % 5}", by="dpo", basis="asked")
            print("erased", number % 5, number, flush=True)
        number += 1

asyncio.run(main())
"""


def lines_of_killed(store: Path, number: int, count: int) -> list[list[bytes]]:
    """Run a program that appends and erases until it has said so many lines, and kill it."""
    process = subprocess.Popen([sys.executable, "-P", "-c", KILLED, str(store), str(number)], stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        lines = [process.stdout.readline().split() for _ in range(count)]
        process.send_signal(signal.SIGKILL)
        return lines + [line.split() for line in process.stdout.read().split(b"\n") if line]


@pytest.mark.slow
async def test_programs_that_are_killed_lose_no_content_and_no_erasure(tmp_path: Path) -> None:
    """What was acknowledged is there, and what was acknowledged to be erased is in no file."""
    stored: set[int] = set()
    gone: set[int] = set()
    dice = random.Random(8)
    for life in range(4):
        lines = await anyio.to_thread.run_sync(lines_of_killed, tmp_path / "store", 1000 * life, dice.randrange(3, 40))
        for words in lines:
            if words[:1] == [b"stored"]:
                stored.add(int(words[1]))
            elif words[:1] == [b"erased"] and len(words) == 3:
                agent, last = int(words[1]), int(words[2])
                gone |= {each for each in stored if each % 5 == agent and each <= last}
    store = FileStore(str(tmp_path / "store"))
    log = AuditLog(store, erasable=["content"])
    await log.append({"n": -1})
    records = {each["n"]: each.get("content") for each in await log.read_all()}
    await log.aclose()
    found = await verify(store)
    assert found.contents is not None
    assert found.contents.missing == 0
    everything = await bytes_of(store)
    assert gone
    for number in stored:
        assert number in records
        if number in gone:
            assert f"content {number}.".encode() not in everything
        else:
            assert records[number] == f"content {number}." or set(records[number] or ()) == {"$erased"}


async def test_two_copies_of_a_page_that_do_not_agree_are_refused() -> None:
    store = MemoryStore()
    log = await written(store)
    (name,) = await store.list("/audit/erasable")
    first = await store.read_bytes(f"/audit/erasable/{name}") or b""
    lines = first.split(b"\n")
    await store.write(f"/audit/erasable/{name}", b"\n".join(lines[1:]))
    await store.write(f"/audit/erasable/{name}.e", b"\n".join([*lines[:1], *lines[2:]]))
    with pytest.raises(LogDamaged, match="two copies"):
        await log.erase(records=1, by="dpo", basis="asked")
    await log.aclose()
