"""``hubwire doctor`` and ``repair``: what is wrong with a store is named, changes nothing, and can be mended."""

from __future__ import annotations

import builtins
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import attrs
import pytest

from hubwire import BaseHubListener, Duty, Event, GenericEvent, Hub, StoreJournal
from hubwire.cli import doctor as doctor_module
from hubwire.cli.app import run
from hubwire.cli.inspection import Problem, StoreReport, inspect_store
from hubwire.errors import HubError
from hubwire.listeners import AuditLog
from hubwire.ports import KnowledgeStore
from hubwire.stores import FileStore, MemoryStore

SEGMENT = "log/00000000000000000000.jsonl"


class Mirror(BaseHubListener):
    async def on_events(self, events: Sequence[Event]) -> None:
        pass


def hub_on(store: FileStore) -> Hub:
    hub = Hub(
        journal=StoreJournal(store, segment_bytes=4000),
        listeners=[AuditLog(store, rotation=5000)],
        snapshot_bytes=3000,
    )
    hub.attach(Mirror(), name="mirror", duty=Duty.DURABLE, since="start")
    return hub


def work(root: Path, events: int) -> None:
    """Let a hub work on the store, and close it."""

    async def live() -> None:
        store = FileStore(root)
        try:
            async with hub_on(store) as hub:
                for number in range(events):
                    await hub.emit(GenericEvent(kind="work.done", data={"number": number, "pad": "x" * 100}))
                await hub.flush()
        finally:
            await store.aclose()

    anyio.run(live)


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    work(root, 40)
    work(root, 80)
    assert (root / "journal/kept").exists()
    return root


Say = Callable[..., tuple[int, str]]


@pytest.fixture
def hubwire(root: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a verb on the store; return its exit code, and all that it printed."""

    def say(verb: str, *arguments: str) -> tuple[int, str]:
        code = run([verb, str(root), *arguments])
        printed = capsys.readouterr()
        return code, re.sub(r"\s+", " ", printed.out + printed.err)

    return say


def segments(root: Path, log: str) -> list[Path]:
    return sorted((root / log / "log").glob("*.jsonl"))


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def cut_lines(path: Path, number: int) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-number]))


def starts(root: Path) -> bool:
    try:
        work(root, 1)
    except HubError:
        return False
    return True


def mended(root: Path, hubwire: Say, *repair: str) -> None:
    """Assert that a repair changes nothing when it is only tried, then lets a hub start, and loses no byte."""
    before = files(root)
    assert not starts(root)
    assert files(root) == before
    code, said = hubwire("repair", *repair, "--dry-run")
    assert code == 0, said
    assert "nothing was changed" in said
    assert files(root) == before
    code, said = hubwire("repair", *repair)
    assert (code, "left: see" in said) == (0, False), said
    kept = b"".join(files(root).values())
    for path, content in before.items():
        if path.endswith(("/clean", "/kept")):
            continue  # a log writes these anew from its segments
        assert content in kept or all(line in kept for line in content.split(b"\n")), path
    assert starts(root)
    code, said = hubwire("doctor")
    assert code == 0, said
    assert hubwire("verify")[0] == 0


# --- doctor ---------------------------------------------------------------------------------------------------------


def test_a_well_store_is_well(root: Path, hubwire: Say) -> None:
    """Nothing is changed by looking."""
    before = files(root)
    code, said = hubwire("doctor")
    assert code == 0
    assert "well: a hub starts here" in said
    assert re.search(r"mirror at \d+, 0 behind", said)
    assert "integrity holds, completeness holds" in said
    assert files(root) == before


def test_its_report_can_be_read_by_programs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", str(root), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["problems"] == []
    assert report["journals"][0]["positions"] == {"mirror": report["journals"][0]["next_seq"]}
    assert report["logs"][0]["verdicts"]["integrity"] == "holds"


def test_a_store_in_use_is_looked_at(root: Path, hubwire: Say) -> None:
    """Its user is named, and a repair refuses to come between."""

    async def beside_a_hub() -> list[tuple[int, str]]:
        async with hub_on(FileStore(root)):
            doctor = await anyio.to_thread.run_sync(hubwire, "doctor")
            repair = await anyio.to_thread.run_sync(hubwire, "repair", "forget", "mirror")
            return [doctor, repair]

    doctor, repair = anyio.run(beside_a_hub)
    assert doctor[0] == 0
    assert "in use process" in doctor[1]
    assert repair[0] == 1
    assert "stop that hub first" in repair[1]


def test_a_hub_that_goes_on_while_it_is_looked_at_is_well(tmp_path: Path) -> None:
    """Its journal is read first, so the log and the positions that are read after it are of later events."""

    class Busy(MemoryStore):
        hub: Hub | None = None

        async def list(self, path: str = "/") -> builtins.list[str]:
            if self.hub is not None and path in ("/audit/log", "/journal/positions"):
                hub, self.hub = self.hub, None
                await hub.emit_many([GenericEvent(kind="work.done", data={"n": n}) for n in range(20)])
                await hub.flush()
                self.hub = hub
            return await super().list(path)

    async def beside_a_hub() -> StoreReport:
        store = Busy()
        hub = Hub(store, listeners=[AuditLog(store)])
        hub.attach(Mirror(), name="mirror", duty=Duty.DURABLE, since="start")
        async with hub:
            await hub.emit(GenericEvent(kind="work.done", data={}))
            store.hub = hub
            report = await inspect_store(store, name="s")
            store.hub = None
        return report

    report = anyio.run(beside_a_hub)
    assert report.problems == ()
    assert report.logs[0].inspection.tail.seq is not None
    assert report.logs[0].inspection.tail.seq >= report.journals[0].next_seq  # it has gone on in between


@pytest.mark.slow
@pytest.mark.parametrize("looks", [1, 3, 100])
def test_what_a_hub_changes_meanwhile_is_no_problem(
    root: Path, hubwire: Say, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    """What is wrong with a store in use is told if it is seen at every look."""
    seen = 0

    async def changing(store: KnowledgeStore, *, name: str) -> StoreReport:
        nonlocal seen
        report = await inspect_store(store, name=name)
        seen += 1
        return attrs.evolve(report, problems=(Problem("it moved", "look", False),)) if seen <= looks else report

    async def beside_a_hub() -> tuple[int, str]:
        async with hub_on(FileStore(root)):
            return await anyio.to_thread.run_sync(hubwire, "doctor")

    monkeypatch.setattr(doctor_module, "inspect_store", changing)
    code, said = anyio.run(beside_a_hub)
    assert code == (looks > 3)
    assert ("it moved" in said) == (looks > 3)
    assert seen == min(looks, 3) + 1


def test_an_empty_directory_is_not_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", str(tmp_path / "nowhere")]) == 2
    assert "is it the directory or URL" in capsys.readouterr().err


DAMAGE: dict[str, Callable[[Path], None]] = {
    "a flipped bit in the journal": lambda root: flip(segments(root, "journal")[-1], -60),
    "a flipped bit in the audit log": lambda root: flip(segments(root, "audit")[-1], -60),
    "a missing segment of the audit log": lambda root: segments(root, "audit")[1].unlink(),
    "a flipped bit in the positions": lambda root: flip(next((root / "journal/beside").glob("positions-*")), 60),
    "a flipped bit in the pointer": lambda root: flip(next((root / "journal/beside").glob("snapshots-*")), 60),
    "a cut journal": lambda root: cut_lines(segments(root, "journal")[-1], 3),
    "a flipped bit in where the journal begins": lambda root: flip(root / "journal/kept", 12),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_damaged_is_named(root: Path, hubwire: Say, name: str) -> None:
    """The file is named, with what can be done, and nothing is changed by looking or by a start that is refused."""
    DAMAGE[name](root)
    before = files(root)
    code, said = hubwire("doctor")
    assert code == 1
    assert "what to do" in said
    assert "audit" in said if "audit" in name else "/journal" in said
    assert not starts(root)
    assert files(root) == before


# --- repair ---------------------------------------------------------------------------------------------------------


def test_a_name_is_forgotten(root: Path, hubwire: Say) -> None:
    before = files(root)
    assert hubwire("repair", "forget", "mirror", "--dry-run")[0] == 0
    assert files(root) == before
    assert hubwire("repair", "forget", "mirror")[0] == 0
    assert "positions none" in hubwire("doctor")[1]
    assert starts(root)
    code, said = hubwire("repair", "forget", "nobody")
    assert code == 1
    assert "there is mirror" in said


def test_a_log_is_cut_before_its_damage(root: Path, hubwire: Say) -> None:
    """The hub then takes from its journal what the audit log lacks."""
    flip(segments(root, "audit")[-1], -60)
    mended(root, hubwire, "cut", "--log", "/audit", "--reason", "a bad sector")
    assert '"reason":"a bad sector"' in "".join(path.read_text() for path in segments(root, "audit"))


def test_a_log_with_a_hole_is_cut(root: Path, hubwire: Say) -> None:
    segments(root, "audit")[-2].unlink()
    flip(segments(root, "audit")[-1], 20)
    code, said = hubwire("repair", "cut", "--log", "/audit", "--reason", "lost", "--dry-run")
    assert code == 0
    assert "are missing before it" in said


def test_a_loss_is_accepted(root: Path, hubwire: Say) -> None:
    """The journal has lost its end, and what was ahead of it ends there, too."""
    cut_lines(segments(root, "journal")[-1], 3)
    (root / "journal/clean").unlink()
    mended(root, hubwire, "accept-loss", "--reason", "restored from an older disk")
    assert hubwire("doctor")[1].count("mirror at") == 1


def test_a_damaged_marker_is_rebuilt(root: Path, hubwire: Say) -> None:
    flip(root / "journal/kept", 12)
    mended(root, hubwire, "rebuild-marker", "--log", "/journal")


def test_an_audit_log_is_begun_anew(root: Path, hubwire: Say) -> None:
    for path in segments(root, "audit")[:-1]:
        path.unlink()
    code, said = hubwire("repair", "set-aside", "--log", "/audit", "--reason", "most of it is lost")
    assert code == 0, said
    assert "most of it is lost" in "".join(path.read_text() for path in segments(root, "audit"))
    assert starts(root)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("cut", "--log", "/audit"), "needs a reason"),
        (("cut", "--reason", "x"), "name the log with --log: /journal or /audit"),
        (("cut", "--log", "/other", "--reason", "x"), "there is no log at /other"),
        (("cut", "--log", "/audit", "--reason", "x"), "no damage was found in it"),
        (("cut", "--log", "/audit", "--at", "9999", "--reason", "x"), "it has no record 9999"),
        (("cut", "--log", "/../etc", "--reason", "x"), "has the element '..'"),
        (("set-aside", "--log", "/journal", "--reason", "x"), "a hub cannot do without"),
        (("forget",), "name the listener"),
        (("accept-loss", "--reason", " "), "needs a reason"),
        (("explode",), "explode"),
    ],
)
def test_what_cannot_be_done_is_refused(root: Path, hubwire: Say, arguments: tuple[str, ...], error: str) -> None:
    before = files(root)
    code, said = hubwire("repair", *arguments)
    assert code != 0
    assert error in said
    assert files(root) == before
