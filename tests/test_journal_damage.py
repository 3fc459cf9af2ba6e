"""What is beside a journal is checked before it is believed: flips, cuts, deletions, versions, histories."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from hubwire import Duty, Hub, StoreJournal
from hubwire._journal import snapshots
from hubwire._journal.snapshots import Snapshots
from hubwire.errors import HubError, JournalBehind, LogDamaged, NewerVersion
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, peek
from support import copy_of, files_of, said, store_of, until, until_tidy
from support.durable import attach, kept_position, positions_path

BESIDE = "/journal/beside"
SNAPSHOTS = "/journal/snapshots"

Files = dict[str, bytes]


def small_hub(store: MemoryStore, **settings: Any) -> Hub:
    clock = ManualClock()
    journal = StoreJournal(store, clock=clock, segment_bytes=1500)
    return Hub(journal=journal, clock=clock, **{"snapshot_bytes": 2500, **settings})


async def lived() -> tuple[Files, dict[str, Sequence[Any]], int]:
    """The files of a hub that was killed after a busy life, its state, and the position of its DURABLE listener."""
    store = MemoryStore()
    async with small_hub(store) as hub:
        attachment = attach(hub, Recorder(), since="start", pattern="*")
        await attachment.ready()
        for n in range(120):
            await hub.emit(said(n))
            if n % 10 == 0:
                await hub.agents.register(f"agent-{n}")
            await until_tidy(hub)
        await hub.flush()
        assert hub._parts.upkeep is not None
        await hub._parts.upkeep.save_positions()
        files = await files_of(store)
        state = peek(hub)
        position = await kept_position(store)
        assert position
        assert len([path for path in files if path.startswith(SNAPSHOTS)]) == 2
        assert await store.list("/journal/log") != ["00000000000000000000.jsonl"], "nothing was truncated"
    return files, state, position


def is_beside(path: str) -> bool:
    return path.startswith((BESIDE, SNAPSHOTS))


async def start(files: Files) -> tuple[Hub | None, HubError | None, MemoryStore]:
    """Start a hub on these files, and stop it; return it, or why it was refused, and its store."""
    store = await store_of(files)
    hub = small_hub(store)
    try:
        await hub.start()
    except HubError as error:
        return None, error, store
    return hub, None, store


async def check_start(files: Files, state: dict[str, Sequence[Any]], position: int, what: str) -> str:
    """Start on damaged files: it is refused with words and changes nothing, or goes on right and says so."""
    hub, error, store = await start(files)
    if hub is None:
        assert isinstance(error, (LogDamaged, JournalBehind, NewerVersion)), f"{what}: {error!r}"
        assert error.path is not None, what
        assert "/journal" in str(error), what
        assert await files_of(store) == files, f"{what}: a refused start has changed something"
        return "refused"
    try:
        assert peek(hub) == state, what
        assert hub._parts.upkeep is not None
        assert hub._parts.upkeep.positions.get("slow") == position, what
        kept = hub._parts.upkeep.snapshotter.kept
        await until(lambda: not kept._unchecked)
        journal = hub.statistics().journal
        assert journal is not None
        if journal.last_error is None:
            return "silent"
        return "repaired"
    finally:
        await hub.aclose()


def damages(files: Files, chance: random.Random, count: int) -> list[tuple[str, Files]]:
    """Return damaged versions of the files, each with what was done to it."""
    paths = sorted(filter(is_beside, files))
    found: list[tuple[str, Files]] = []
    for path in paths:
        found.append((f"{path} deleted", {other: each for other, each in files.items() if other != path}))
        found.append((f"{path} emptied", {**files, path: b""}))
        found += [
            (f"{path} is {other}", {**files, path: files[other]})
            for other in paths
            if other != path and files[other] != files[path]
        ]
    while len(found) < count:
        path = chance.choice(paths)
        content = bytearray(files[path])
        at = chance.randrange(len(content))
        how = chance.choice(("flip", "cut", "zero", "more"))
        if how == "flip":
            content[at] ^= 1 << chance.randrange(8)
        elif how == "cut":
            del content[at:]
        elif how == "zero":
            content[at : at + 512] = bytes(len(content[at : at + 512]))
        else:
            content += content[at:]
        if bytes(content) != files[path]:
            found.append((f"{path}: {how} at {at}", {**files, path: bytes(content)}))
    return found


@pytest.mark.slow
async def test_no_damage_is_believed() -> None:
    """Each is refused, and nothing changed; or repaired by what proves it, and reported."""
    files, state, position = await lived()
    chance = random.Random(1)
    results = [
        (await check_start(damaged, state, position, what), what) for what, damaged in damages(files, chance, 300)
    ]
    assert [what for result, what in results if result == "silent"] == []
    assert {result for result, _ in results} == {"refused", "repaired"}


async def test_every_bit_of_the_positions_counts() -> None:
    files, state, position = await lived()
    (path,) = [path for path in files if path.startswith(f"{BESIDE}/positions")]
    for at in range(len(files[path])):
        content = bytearray(files[path])
        content[at] ^= 1 << at % 8
        what = f"bit {at % 8} of byte {at}"
        assert await check_start({**files, path: bytes(content)}, state, position, what) == "refused", what


async def test_the_advice_for_damaged_positions_works() -> None:
    """Without what is beside the journal, a hub starts; the newest snapshot that is whole serves."""
    files, state, _ = await lived()
    hub, error, _ = await start({path: each for path, each in files.items() if not path.startswith(BESIDE)})
    assert error is None
    assert hub is not None
    assert peek(hub) == state
    assert hub._parts.upkeep is not None
    assert hub._parts.upkeep.positions.get("slow") is None
    await hub.aclose()


# --- versions ---------------------------------------------------------------------------------------------------------


async def test_a_snapshot_of_a_newer_version_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left where it is, so that the newer version finds it."""
    files, state, position = await lived()
    newest = max(path for path in files if path.startswith(SNAPSHOTS))
    monkeypatch.setattr(snapshots, "VERSION", 0)
    assert await check_start(files, state, position, "an older version") == "refused"
    _, error, _ = await start(files)
    assert isinstance(error, NewerVersion)
    assert error.path == newest
    assert "use that version, or a newer one" in str(error)
    monkeypatch.setattr(snapshots, "VERSION", 1)
    hub, error, _ = await start(files)
    assert error is None
    assert hub is not None
    await hub.aclose()


async def test_an_unknown_entry_is_of_a_newer_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot that is whole was written so: what this version does not know is no damage."""
    files, state, position = await lived()
    original = Snapshots.__init__

    def without_agents(self: Snapshots, journal: Any, machines: Any) -> None:
        original(self, journal, {name: machine for name, machine in machines.items() if name != "agents"})

    monkeypatch.setattr(Snapshots, "__init__", without_agents)
    assert await check_start(files, state, position, "an older version") == "refused"
    _, error, _ = await start(files)
    assert isinstance(error, NewerVersion)


@pytest.mark.parametrize("name", ["positions", "snapshots", "history"])
async def test_what_a_newer_version_kept_refuses(name: str) -> None:
    """Its content and its form have a version each."""
    files, state, position = await lived()
    journal = StoreJournal(await store_of(files))
    await journal.open()
    kept = msgspec.json.decode((await journal.kept()).get(name, b'{"end": 0}'))  # without channels there is no history
    await journal.keep(name, msgspec.json.encode({**kept, "version": 2, "new": [1]}))
    await journal.aclose()
    newer = await files_of(journal.store)
    assert await check_start(newer, state, position, name) == "refused"
    _, error, _ = await start(newer)
    assert isinstance(error, NewerVersion)


@pytest.mark.parametrize("content", [b"[1]", b"\xff"], ids=["shape", "text"])
@pytest.mark.parametrize("name", ["positions", "snapshots", "history"])
async def test_what_is_kept_in_another_shape_refuses(name: str, content: bytes) -> None:
    """It is whole, as its checksum says, and yet not what a hub keeps under this name."""
    files, state, position = await lived()
    journal = StoreJournal(await store_of(files))
    await journal.open()
    await journal.keep(name, content)
    await journal.aclose()
    changed = await files_of(journal.store)
    assert await check_start(changed, state, position, name) == "refused"
    _, error, _ = await start(changed)
    assert isinstance(error, LogDamaged)


async def test_a_newer_form_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    files, state, position = await lived()
    monkeypatch.setattr("hubwire._journal.beside.VERSION", 0)
    assert await check_start(files, state, position, "an older version") == "refused"
    _, error, _ = await start(files)
    assert isinstance(error, NewerVersion)


# --- the old form -----------------------------------------------------------------------------------------------------


async def old_form(files: Files) -> Files:
    """Return files as they were before: a file for each position, and snapshots named by their seq."""
    journal = StoreJournal(await store_of(files))
    kept = msgspec.json.decode((await journal.kept())["positions"])
    found = {
        f"/journal/positions/{name}": msgspec.json.encode({"name": name, "hub": kept["hub"], "seq": seq}) + b"\n"
        for name, seq in kept["positions"].items()
    }
    for path, content in files.items():
        if path.startswith(SNAPSHOTS):
            found[path.partition("-")[0]] = content
        elif not path.startswith(BESIDE):
            found[path] = content
    return found


async def test_the_old_form_is_taken_over() -> None:
    files, state, position = await lived()
    old = await old_form(files)
    for _ in range(2):
        hub, error, store = await start(old)
        assert error is None
        assert hub is not None
        assert peek(hub) == state
        assert await kept_position(store) == position
        assert await store.list("/journal/positions") == []
        old = await files_of(store)
        await hub.aclose()


@pytest.mark.parametrize("content", [b"", b'{"name":"slow"}', b'{"name":"slow","hub":"x","seq":-1}', b"\xff"])
async def test_a_damaged_position_of_the_old_form_refuses(content: bytes) -> None:
    files, state, position = await lived()
    old = {**await old_form(files), "/journal/positions/slow": content}
    assert await check_start(old, state, position, repr(content)) == "refused"


async def test_old_positions_of_another_hub_refuse() -> None:
    files, state, position = await lived()
    content = msgspec.json.encode({"name": "slow", "hub": "another", "seq": 3})
    old = {**await old_form(files), "/journal/positions/slow": content}
    assert await check_start(old, state, position, "another hub") == "refused"


# --- histories --------------------------------------------------------------------------------------------------------


async def lives() -> tuple[MemoryStore, MemoryStore]:
    """A backup of a store, and the same store later."""
    store = MemoryStore()
    async with Hub(store) as hub:
        await attach(hub, Recorder()).ready()
        for n in range(5):
            await hub.emit(said(n))
        await hub.flush()
    backup = await copy_of(store)
    async with Hub(store) as hub:
        attach(hub, Recorder())
        for n in range(20):
            await hub.emit(said(n))
        await hub.flush()
    return backup, store


def mixed(journal: Files, beside: Files) -> Files:
    return {path: each for path, each in journal.items() if not is_beside(path)} | {
        path: each for path, each in beside.items() if is_beside(path)
    }


async def test_a_restored_journal_beside_newer_positions_refuses() -> None:
    backup, store = await lives()
    files = mixed(await files_of(backup), await files_of(store))
    hub, error, found = await start(files)
    assert hub is None
    assert isinstance(error, JournalBehind)
    assert await files_of(found) == files


async def test_a_restored_journal_that_went_on_refuses() -> None:
    """Its events have the numbers that the position has passed; they are other events."""
    backup, store = await lives()
    async with Hub(backup) as hub:
        for n in range(40):
            await hub.emit(said(n))
    files = mixed(await files_of(backup), await files_of(store))
    started, error, found = await start(files)
    assert started is None
    assert isinstance(error, JournalBehind)
    assert "restored from an older copy, and has gone on since" in str(error)
    assert await files_of(found) == files


async def test_a_snapshot_of_another_history_refuses() -> None:
    """Also where no position tells."""
    files, state, position = await lived()
    backup = {path: each for path, each in files.items() if not path.startswith(BESIDE)}
    ours = await store_of(backup)
    async with small_hub(ours, snapshot_bytes=10**9) as hub:
        for n in range(50):
            await hub.emit(said(n))
    theirs = await store_of(backup)
    async with small_hub(theirs, snapshot_bytes=1) as hub:
        for n in range(30):
            await hub.emit(said(n))
            await until_tidy(hub)
    newest = f"{SNAPSHOTS}/{(await theirs.list(SNAPSHOTS))[-1]}"
    other = await files_of(theirs)
    strange = {path: each for path, each in (await files_of(ours)).items() if not path.startswith(BESIDE)}
    assert await check_start({**strange, newest: other[newest]}, state, position, "another history") == "refused"


async def test_a_whole_restored_backup_starts() -> None:
    backup, _ = await lives()
    async with Hub(backup) as hub:
        attachment = attach(hub, Recorder())
        await attachment.ready()
        assert hub.health().healthy


async def test_a_cut_of_the_end_refuses() -> None:
    """What was kept names the newest event that was committed then."""
    _, store = await lives()
    files = await files_of(store)
    (path,) = [path for path in files if "/log/" in path]
    lines = files[path].splitlines(keepends=True)
    for kept in (0, 1, len(lines) // 2, len(lines) - 1):
        cut = {**files, path: b"".join(lines[:kept])}
        del cut["/journal/clean"]
        hub, error, found = await start(cut)
        assert hub is None, kept
        assert isinstance(error, (JournalBehind, LogDamaged)), kept
        assert await files_of(found) == cut, kept


async def test_the_position_of_a_name_that_is_gone_counts() -> None:
    """A refused start must not depend on who is attached."""
    backup, store = await lives()
    path = await positions_path(store)
    await backup.delete(BESIDE)
    await backup.write(path, await store.read_bytes(path) or b"")
    hub = Hub(backup)
    hub.attach(Recorder(), duty=Duty.DURABLE, name="another", since="start")
    with pytest.raises(JournalBehind):
        await hub.start()
