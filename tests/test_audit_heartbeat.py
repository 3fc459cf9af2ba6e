"""The heartbeat of a signed log: what it says, when, and what a verifier makes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hubwire import Duty, Hub
from hubwire.errors import ConfigurationError, ListenerFailed
from hubwire.events import Event
from hubwire.listeners.audit import AuditLog, Outcome, Verification, VerifierState, examine
from hubwire.proof import KeySigner
from hubwire.runtimes import Recorder
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock
from support import until, until_idle

pytest.importorskip("cryptography")

FIRST = "/audit/log/00000000000000000000.jsonl"


@pytest.fixture(scope="module")
def key() -> KeySigner:
    return KeySigner.new("example.org/hub/audit")


async def records(store: MemoryStore | FileStore) -> list[dict[str, Any]]:
    content = await store.read_bytes(FIRST) or b""
    return [json.loads(line) for line in content.splitlines()]


async def beats(store: MemoryStore | FileStore) -> list[dict[str, Any]]:
    return [each for each in await records(store) if each["kind"] == "log.heartbeat"]


async def passes(clock: ManualClock, audit: AuditLog, hours: int) -> None:
    """Let hours go by in which nothing happens."""
    for _ in range(hours):
        await until(lambda: clock.sleepers > 0)
        before = audit.bytes_written
        clock.advance(3600)
        await until(lambda before=before: audit.bytes_written > before)  # type: ignore[misc]
        await until_idle()


def failing(verification: Verification) -> list[str]:
    return [name for name, verdict in verification.verdicts.items() if verdict.outcome is Outcome.FAILS]


async def test_each_idle_hour_has_a_signed_heartbeat(key: KeySigner) -> None:
    store, clock = MemoryStore(), ManualClock()
    audit = AuditLog(store, signer=key)
    async with Hub(store, clock=clock, listeners=[audit]) as hub:
        await hub.agents.register("planner")
        await audit.checkpoint()
        await passes(clock, audit, 3)
        found = await examine(store, vkey=key.vkey)
        assert f"the first {found.records} of {found.records} records are signed" in found.signer.reason
    said = await beats(store)
    assert [each["why"] for each in said] == ["interval"] * 3 + ["closing"]
    assert [each["events"] for each in said][1:3] == [0, 0]
    assert said[0]["events"] > 0
    assert [each["at"][11:13] for each in said] == ["01", "02", "03", "03"]
    assert said[0]["signed"] > 0
    assert said[0]["seconds"] == 3600
    assert said[0]["listeners"][0].items() >= {"duty": "required", "dropped": 0, "failed": 0}.items()
    assert set(said[0]["dropped"].values()) == {0}
    assert failing(await examine(store, vkey=key.vkey)) == []


async def test_what_was_dropped_is_said(key: KeySigner) -> None:
    """By a listener whose mailbox is full, and by a recorder whose queue is."""
    store, clock = MemoryStore(), ManualClock()
    audit = AuditLog(store, signer=key)

    gate = asyncio.Event()

    class Slow:
        async def on_events(self, events: Sequence[Event]) -> None:
            await gate.wait()

    hub = Hub(store, clock=clock, listeners=[audit])
    slow = hub.attach(Slow(), name="slow", duty=Duty.BEST_EFFORT, mailbox=2)
    async with hub:
        recorder = Recorder(hub, source="a-runtime", queue_max=1)
        for number in range(20):
            recorder.begin_turn(f"turn-{number}")
        for number in range(10):
            await hub.agents.register(f"agent-{number}")
        gate.set()
        await until(lambda: slow.statistics().dropped > 0)
        await passes(clock, audit, 1)
        (first,) = await beats(store)
        assert [each["name"] for each in first["listeners"]][1:] == ["slow"]
        assert first["listeners"][1]["dropped"] > 0
        assert first["dropped"]["listeners"] == first["listeners"][1]["dropped"]
        assert first["dropped"]["recorders"] > 0
        recorder.close()
    last = (await beats(store))[-1]
    assert last["why"] == "closing"
    assert [each["state"] for each in last["listeners"]][1:] == ["detached"]
    assert last["dropped"]["listeners"] >= first["dropped"]["listeners"]
    found = await examine(store, vkey=key.vkey)
    (note,) = [each for each in found.notes if "heartbeat" in each]
    assert "slow" in note
    assert "of listeners" in note
    assert "of recorders" in note


async def test_gaps_are_those_between_heartbeats(key: KeySigner) -> None:
    """A time in which the log was closed is none: the last heartbeat says so."""
    store, clock = MemoryStore(), ManualClock()
    for _ in range(2):
        audit = AuditLog(store, signer=key, clock=clock)
        async with Hub(store, clock=clock, listeners=[audit]) as hub:
            await hub.agents.register(f"agent-{clock.now_ns()}")
            await passes(clock, audit, 5)
        clock.advance(50_000)
    found = await examine(store, vkey=key.vkey, gap_seconds_max=3700)
    assert failing(found) == []
    (seen,) = [each for each in found.completeness.looked_at if "times between records" in each]
    assert seen == (
        "the times between records: 3,600 seconds at most, but for 1 while the log was closed, as it says; 12"
        " heartbeats among them"
    )
    assert failing(await examine(store, gap_seconds_max=3000)) == ["completeness"]


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "killed"])
async def test_a_gap_is_seen_behind_what_was_verified_before(key: KeySigner, is_closed: bool) -> None:
    """A time in which the log was closed is none."""
    store, clock, state = MemoryStore(), ManualClock(), None
    for number in range(2):
        audit = AuditLog(store, signer=key, clock=clock, heartbeat_seconds=3600.0 if is_closed else None)
        async with Hub(store, clock=clock, listeners=[audit]) as hub:
            await hub.agents.register(f"agent-{number}")
        found = await examine(store, vkey=key.vkey, state=state, gap_seconds_max=3700)
        assert failing(found) == ([] if is_closed or not number else ["completeness"])
        assert found.state is not None
        state = VerifierState.parse(found.state.to_text())
        clock.advance(50_000)


async def test_a_closing_excuses_no_later_gap(key: KeySigner) -> None:
    store, clock = MemoryStore(), ManualClock()
    for number in range(2):
        audit = AuditLog(store, signer=key, clock=clock, heartbeat_seconds=604_800)
        async with Hub(store, clock=clock, listeners=[audit]) as hub:
            await hub.agents.register(f"agent-{number}")
            clock.advance(10_000 * number)
            await hub.agents.register(f"another-{number}")
    found = await examine(store, vkey=key.vkey, gap_seconds_max=3700)
    assert failing(found) == ["completeness"]
    assert len([each for each in found.completeness.faults if "10,000 seconds" in each]) == 1


async def test_a_time_without_heartbeat_is_a_gap(key: KeySigner) -> None:
    """A process that was killed wrote no last one."""
    store, clock = MemoryStore(), ManualClock()
    audit = AuditLog(store, signer=key, clock=clock, heartbeat_seconds=None)
    async with Hub(store, clock=clock, listeners=[audit]) as hub:
        await hub.agents.register("planner")
        clock.advance(4000)
        await hub.agents.register("coder")
    assert await beats(store) == []
    assert failing(await examine(store, vkey=key.vkey, gap_seconds_max=3700)) == ["completeness"]


async def test_a_removed_checkpoint_is_known_by_heartbeats(key: KeySigner) -> None:
    """All checkpoints of the last hours are removed, and an older one put back in their place."""
    store, clock = MemoryStore(), ManualClock()
    audit = AuditLog(store, signer=key)
    async with Hub(store, clock=clock, listeners=[audit]) as hub:
        await hub.agents.register("planner")
        old = str(await audit.checkpoint())
        await hub.agents.register("coder")
        await passes(clock, audit, 2)
    size = int(old.split("\n")[1])
    for name in await store.list("/audit/checkpoints"):
        if int(name) > size:
            await store.delete(f"/audit/checkpoints/{name}")
    await store.write("/audit/checkpoint", old)
    found = await examine(store, vkey=key.vkey)
    assert failing(found) == ["completeness"]
    assert "a heartbeat, says that" in found.completeness.faults[0]
    await store.delete("/audit/checkpoint")
    await store.delete("/audit/checkpoints")
    assert "completeness" in failing(await examine(store))


async def test_a_log_without_signer_or_hub_has_none(key: KeySigner) -> None:
    sleepers = []
    for signer in (None, key):
        store, clock = MemoryStore(), ManualClock()
        async with Hub(store, clock=clock, listeners=[AuditLog(store, signer=signer)]):
            await until_idle()
            sleepers.append(clock.sleepers)
        assert len(await beats(store)) == (1 if signer else 0)
    assert sleepers[1] == sleepers[0] + 1
    alone = MemoryStore()
    audit = AuditLog(alone, signer=key)
    await audit.append({"kind": "work.done"})
    await audit.aclose()
    assert await beats(alone) == []


async def test_a_refused_start_writes_no_heartbeat(key: KeySigner) -> None:
    class Refusing:
        async def __aenter__(self) -> None:
            raise OSError("no")

        async def __aexit__(self, *_: object) -> None:
            return None

        async def on_events(self, events: Sequence[Event]) -> None:
            return None

    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store, signer=key)]) as hub:
        await hub.agents.register("planner")
    before = await store.read_bytes(FIRST)
    hub = Hub(store, listeners=[AuditLog(store, signer=key)])
    hub.attach(Refusing(), duty=Duty.REQUIRED)
    with pytest.raises(ListenerFailed):
        async with hub:
            pass
    assert await store.read_bytes(FIRST) == before


@pytest.mark.parametrize("name", ["jane.roe@corp.org", "\u202e", "x" * 60], ids=range(3))
async def test_names_of_listeners_are_redacted_and_bounded(key: KeySigner, name: str) -> None:
    store = MemoryStore()
    hub = Hub(store, listeners=[AuditLog(store, signer=key)])
    for number in range(150):
        hub.attach(lambda _: None, name=f"{number} {name}")
    async with hub:
        await hub.agents.register("planner")
    (last,) = await beats(store)
    assert len(last["listeners"]) == 100
    assert last["listeners_more"] == 51
    assert "jane.roe@corp.org" not in json.dumps(last)
    assert len(json.dumps(last)) < 65_000
    assert failing(await examine(store, vkey=key.vkey)) == []


@pytest.mark.parametrize("seconds", [0, -1, 0.5, 604_801, float("nan"), float("inf"), "1", True, [1]], ids=range(9))
def test_a_heartbeat_that_cannot_be_is_refused(key: KeySigner, seconds: object) -> None:
    with pytest.raises(ConfigurationError, match="heartbeat_seconds"):
        AuditLog(MemoryStore(), signer=key, heartbeat_seconds=seconds)  # type: ignore[arg-type]


async def test_a_signer_that_fails_does_not_end_the_heartbeat(key: KeySigner, tmp_path: Path) -> None:
    class Failing:
        vkey = key.vkey

        async def sign(self, request: object) -> object:
            raise OSError("the token is gone")

    store, clock = FileStore(tmp_path), ManualClock()
    audit = AuditLog(store, signer=Failing())  # type: ignore[arg-type]
    async with Hub(store, clock=clock, listeners=[audit]) as hub:
        await hub.agents.register("planner")
        for count in range(1, 4):
            await until(lambda: clock.sleepers > 0)
            clock.advance(3600)
            await until(lambda count=count: audit.checkpoint_errors >= count)  # type: ignore[misc]
            await until_idle()
    said = await beats(store)
    assert [each["signed"] for each in said] == [0] * 4
    await store.aclose()
