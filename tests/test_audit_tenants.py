"""An audit log for each tenant: one listener writes them, and each event is in its own, once, also after a crash."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire import GenericEvent, Hub
from hubwire.cli import main
from hubwire.errors import ConfigurationError, HubError, JournalBehind, LogDamaged, StoreUnavailable
from hubwire.listeners.audit import AuditLog, Head, Retention, Rotation, TenantAuditLogs
from hubwire.redaction import RedactionRule, Redactor
from hubwire.stores import FileStore, MemoryStore
from support import until_idle

TENANTS = ("acme", "globex", "initech")


def note(number: int, tenant: str | None = None) -> GenericEvent:
    return GenericEvent(kind="note.taken", data={"number": number}, tenant=tenant)


def numbers(records: Sequence[dict[str, Any]]) -> list[int]:
    return [each["data"]["number"] for each in records if each["kind"] == "note.taken"]


async def emit(hub: Hub, start: int, end: int) -> None:
    for number in range(start, end):
        await hub.emit(note(number, TENANTS[number % len(TENANTS)]))


async def test_each_event_is_in_the_log_of_its_tenant() -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[TenantAuditLogs(store)]) as hub:
        await emit(hub, 0, 30)
        await hub.emit(note(99))
    logs = TenantAuditLogs(store)
    for place, tenant in enumerate(TENANTS):
        assert numbers(await logs.read_all(tenant)) == list(range(place, 30, 3))
        records = await logs.read_all(tenant)
        assert {each["tenant"] for each in records} == {tenant}
    own = await logs.read_all(None)
    assert numbers(own) == [99]
    assert "hub.started" in [each["kind"] for each in own]
    assert await logs.read_all("unknown") == []


async def test_each_log_has_a_chain_of_its_own() -> None:
    """A change in one is found there, and nowhere else; its head proves that one."""
    store, heads = MemoryStore(), dict[Any, Head]()

    async def keep(tenant: str | None, head: Head) -> None:
        heads[tenant] = head

    logs = TenantAuditLogs(store, on_head=keep)
    async with Hub(store, listeners=[logs]) as hub:
        await emit(hub, 0, 30)
    assert set(heads) == {*TENANTS, None}
    assert [(await logs.verify(tenant, expect_head=heads[tenant])).holds for tenant in TENANTS] == [True] * 3
    folder = f"{logs.path_of('acme')}/log"
    path = f"{folder}/{(await store.list(folder))[0]}"
    data = await store.read_bytes(path)
    assert data is not None
    await store.write(path, data.replace(b'"number":3', b'"number":4'))
    with pytest.raises(LogDamaged, match="/audit/acme"):
        await logs.verify("acme", expect_head=heads["acme"])
    for tenant in TENANTS[1:]:
        assert (await logs.verify(tenant, expect_head=heads[tenant])).holds


@pytest.mark.parametrize("how", ["closed", "killed"])
async def test_a_restart_goes_on_in_every_log(how: str) -> None:
    store = MemoryStore()
    for start in (0, 10, 20):
        async with Hub(store, listeners=[TenantAuditLogs(store, open_max=2)]) as hub:
            await emit(hub, start, start + 10)
            if how == "killed":
                await hub.abort()
    logs = TenantAuditLogs(store)
    for place, tenant in enumerate(TENANTS):
        assert numbers(await logs.read_all(tenant)) == list(range(place, 30, 3))


class Failing(MemoryStore):
    """Fails at the log of one tenant, once that has so many appends."""

    left: float = float("inf")
    path: str = "/audit/globex/"

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        if path.startswith(self.path):
            if self.left <= 0:
                raise StoreUnavailable("it is gone")
            self.left -= 1
        return await super().append(path, content, expect=expect)


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("often", [1, 4096])
@pytest.mark.parametrize("left", range(6))
async def test_a_kill_between_two_logs_loses_and_repeats_none(
    left: int, often: int, *, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some logs have the batch when the process ends, and one has not, however often the position is written."""
    monkeypatch.setattr("hubwire.listeners.audit.tenants._POSITION_EVENTS", often)
    store = Failing()
    hub = Hub(store, listeners=[TenantAuditLogs(store)])
    await hub.start()
    kept = await store.read_bytes("/audit/~position")
    assert kept is not None
    store.left = left
    try:
        for number in range(0, 30, 3):
            hub.emit_nowait(note(number, "acme"))
            hub.emit_nowait(note(number + 1, "globex"))
            await hub.emit(note(number + 2, "initech"))
    except HubError:
        pass
    await hub.abort()
    if not is_told:
        await store.write("/audit/~position", kept)  # as a kill leaves it: an abort still leaves its listeners
    store.left = float("inf")
    async with Hub(store, listeners=[TenantAuditLogs(store)]) as again:
        count = sum([1 async for each in stopped(again) if each.kind == "note.taken"])
        await again.flush()
    logs = TenantAuditLogs(store)
    for place, tenant in enumerate(TENANTS):
        assert numbers(await logs.read_all(tenant)) == list(range(place, count, 3))
        assert (await logs.verify(tenant)).holds


async def stopped(hub: Hub) -> Any:
    """Yield the events that the journal has now."""
    stream = hub.events(after=-1)
    while stream.behind:
        for each in await stream.take():
            yield each


async def test_a_journal_of_another_history_is_refused() -> None:
    """The logs are ahead of their position after a crash: what comes then has to be what they have."""
    store, older = MemoryStore(), MemoryStore()
    async with Hub(store, listeners=[TenantAuditLogs(store)]) as hub:
        await emit(hub, 0, 9)
    await copy(store, older)
    hub = Hub(store, listeners=[TenantAuditLogs(store)])
    await hub.start()
    await emit(hub, 9, 30)
    await hub.abort()
    await store.delete("/journal")
    await copy(older, store, "/journal")
    kept = await older.read_bytes("/audit/~position")
    assert kept is not None
    await store.write("/audit/~position", kept)  # as a kill leaves it: an abort still leaves its listeners
    with pytest.raises(HubError) as caught:
        async with Hub(store, listeners=[TenantAuditLogs(store)]) as hub:
            await emit(hub, 100, 200)
    cause: BaseException | None = caught.value
    while cause is not None and not isinstance(cause, JournalBehind):
        cause = cause.__cause__
    assert "and the hub's journal has another one" in str(cause)


async def copy(source: MemoryStore, target: MemoryStore, path: str = "") -> None:
    for name in await source.list(path or "/"):
        whole = f"{path}/{name}"
        if name.endswith("/"):
            await copy(source, target, whole.rstrip("/"))
        else:
            data = await source.read_bytes(whole)
            assert data is not None
            await target.write(whole, data)


async def test_a_lost_or_damaged_position_is_refused() -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[TenantAuditLogs(store)]) as hub:
        await emit(hub, 0, 9)
    data = await store.read_bytes("/audit/~position")
    assert data is not None
    for broken in (None, b"", b"{}", data[:-5], data.replace(b'"seq": ', b'"seq": 1'), b"\xff" + data[1:], b"[1]"):
        if broken is None:
            await store.delete("/audit/~position")
        else:
            await store.write("/audit/~position", broken)
        with pytest.raises(LogDamaged, match="~position"):
            await Hub(store, listeners=[TenantAuditLogs(store)]).start()
    await store.write("/audit/~position", data)
    async with Hub(store, listeners=[TenantAuditLogs(store)]) as hub:
        await emit(hub, 9, 12)


# --- names ----------------------------------------------------------------------------------------------------------

HOSTILE = (
    *("..", ".", "", "/", "../../etc/passwd", "a/b", "a\\b", "\x00", "a\nb", "~hub", "~position", "%2e%2e", "{tenant}"),
    *("A", "a", "Acme", "acme ", "a@", "ü☃", "x" * 10_000, "X" * 10_000, "x" * 9_999 + "y", "con", "-", "é", "e\u0301"),
)


def test_no_name_leads_out_and_no_two_to_one_log() -> None:
    logs = TenantAuditLogs(MemoryStore(), path="/a/{tenant}/log")
    paths = [logs.path_of(name) for name in (*HOSTILE, None)]
    assert len(set(paths)) == len(paths)
    assert len({path.lower() for path in paths}) == len(paths)
    for path in paths:
        assert re.fullmatch(r"/a/[a-z0-9_%~-]{1,150}/log", path), path
    assert "/a/~hub/log" in paths
    assert "/a/~position/log" not in paths


async def test_hostile_names_have_logs_of_their_own_on_disk(tmp_path: Any) -> None:
    store = FileStore(tmp_path / "data")
    names = [name for name in HOSTILE if name]
    async with Hub(store, listeners=[TenantAuditLogs(store, open_max=4)]) as hub:
        await hub.emit_many([note(number, name) for number, name in enumerate(names)])
    logs = TenantAuditLogs(store)
    for number, name in enumerate(names):
        assert numbers(await logs.read_all(name)) == [number]
    await store.aclose()
    assert await asyncio.to_thread(os.listdir, tmp_path) == ["data"]


async def test_the_position_is_written_now_and_then() -> None:
    """So after a crash few events are looked at again, and the journal need not keep all of them."""
    store = MemoryStore()
    logs = TenantAuditLogs(store)
    async with Hub(store, listeners=[logs]) as hub:
        for start in range(0, 5000, 500):
            await hub.emit_many([note(number, "acme") for number in range(start, start + 500)])
        assert (logs.last_seq() or 0) >= 4096


async def test_only_so_many_logs_are_open() -> None:
    store = MemoryStore()
    logs = TenantAuditLogs(store, open_max=8)
    async with Hub(store, listeners=[logs]) as hub:
        for start in range(0, 600, 200):
            await hub.emit_many([note(number, f"t{number % 300}") for number in range(start, start + 200)])
            assert logs.open_logs <= 8
    for number in (0, 150, 299):
        assert numbers(await logs.read_all(f"t{number}")) == [number, number + 300]


# --- settings -------------------------------------------------------------------------------------------------------


async def test_records_are_redacted() -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[TenantAuditLogs(store, redactor=Redactor())]) as hub:
        await hub.emit(GenericEvent(kind="note.taken", data={"mail": "ann@example.org"}, tenant="acme"))
    (record,) = await TenantAuditLogs(store).read_all("acme")
    assert "ann@example.org" not in str(record)


async def test_two_hubs_do_not_write_the_same_logs() -> None:
    store = MemoryStore()
    async with Hub(listeners=[TenantAuditLogs(store)]):
        with pytest.raises(HubError):
            await Hub(listeners=[TenantAuditLogs(store)]).start()


@pytest.mark.parametrize("path", [3, None, "/audit", "/audit/x{tenant}", "/{tenant}/{tenant}", "/a/{other}/{tenant}"])
def test_what_is_no_place_for_logs_is_refused(path: Any) -> None:
    with pytest.raises(ConfigurationError, match="path is where the logs are"):
        TenantAuditLogs(MemoryStore(), path=path)


@pytest.mark.parametrize("given", [{"open_max": 0}, {"open_max": True}, {"on_head": 3}, {"rotation": 0}], ids=repr)
def test_what_is_no_setting_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        TenantAuditLogs(MemoryStore(), **given)


def test_one_log_has_no_place_for_many() -> None:
    with pytest.raises(ConfigurationError, match="TenantAuditLogs"):
        AuditLog(MemoryStore(), path="/audit/{tenant}")


@pytest.mark.parametrize("tenant", [3, b"acme", ["acme"]], ids=repr)
def test_what_is_no_tenant_has_no_log(tenant: Any) -> None:
    with pytest.raises(ConfigurationError, match="a tenant is known by its name"):
        TenantAuditLogs(MemoryStore()).path_of(tenant)


# --- as an audit log is ---------------------------------------------------------------------------------------------


async def test_logs_of_tenants_are_redacted_by_default() -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[TenantAuditLogs(store)]) as hub:
        await hub.emit(GenericEvent(kind="note.taken", data={"text": "from ann@example.org"}, tenant="acme"))
    (record,) = await TenantAuditLogs(store).read_all("acme")
    assert record["data"] == {"text": "from [redacted:email]"}


async def test_each_log_of_a_tenant_prunes_itself() -> None:
    """By the retention of all; a hold is for one of them."""
    store = MemoryStore()
    logs = TenantAuditLogs(store, rotation=Rotation(records_max=10), retention=Retention(segments_max=2), open_max=1)
    async with Hub(store, listeners=[logs]) as hub:
        await logs.hold("globex", "case 7", by="legal")
        for _ in range(3):
            await emit(hub, 0, 90)
            await until_idle()
        for tenant, is_held in (("acme", False), ("globex", True)):
            assert (len(await logs.read_all(tenant)) == 90) is is_held
            assert len(await logs.holds(tenant)) == is_held
        await logs.release("globex", "it is over")
        await logs.prune("globex")  # or it has done so by itself
        assert len(await logs.read_all("globex")) < 90
        assert (await logs.prune(None, retention=Retention(segments_max=5), dry_run=True)).records == 0
        assert (logs.prune_errors, logs.head_errors, logs.withheld) == (0, 0, 0)
        assert logs.open_logs <= 2
        assert hub.health().healthy
    assert all([(await logs.verify(tenant)).holds for tenant in (*TENANTS, None)])
    assert (await logs.prune("acme", dry_run=True)).records == 0  # without a hub, too


async def test_a_call_and_the_hub_open_one_log_once(tmp_path: Path) -> None:
    """Two writers of one log would fence each other."""
    store = FileStore(tmp_path)
    logs = TenantAuditLogs(store, open_max=1)
    async with Hub(store, listeners=[logs]) as hub:
        for number in range(20):
            tenant = TENANTS[number % 3]
            async with anyio.create_task_group() as tasks:
                for name in ("one", "other"):
                    tasks.start_soon(partial(logs.hold, tenant, "why", name=f"{name} {number}"))
                tasks.start_soon(hub.emit, note(number, tenant))
                tasks.start_soon(partial(logs.prune, TENANTS[(number + 1) % 3], retention=Retention(days=1)))
        assert hub.health().healthy
    assert sum([len(await logs.holds(tenant)) for tenant in TENANTS]) == 40
    assert all([(await logs.verify(tenant)).holds for tenant in TENANTS])


async def test_numbers_of_closed_logs_are_counted() -> None:
    def raises(_: str) -> list[Any]:
        raise ValueError

    store = MemoryStore()
    logs = TenantAuditLogs(store, open_max=1, redactor=Redactor(rules=[RedactionRule("odd", find=raises)]))
    async with Hub(store, listeners=[logs]) as hub:
        before = logs.withheld
        await emit(hub, 0, 6)
        assert logs.withheld - before >= 6
        assert any("left out the contents" in each for each in hub.health().problems)


def test_the_command_names_the_logs_that_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who asks for ``/audit`` of a store of tenants, as the command does by default, is shown theirs."""

    async def live() -> None:
        store = FileStore(tmp_path)
        async with Hub(store, listeners=[TenantAuditLogs(store)]) as hub:
            await emit(hub, 0, 3)

    anyio.run(live)
    with pytest.raises(SystemExit):
        main(["verify", str(tmp_path)])
    said = capsys.readouterr().err
    assert "at /audit, but below it: /audit/acme, /audit/globex, /audit/initech, …; give one by --log" in said
    with pytest.raises(SystemExit) as end:
        main(["verify", str(tmp_path), "--log", "/audit/acme"])
    assert end.value.code == 0
