"""Logs of tenants that are signed: each by a key of its own, whose name has the tenant in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hubwire import GenericEvent, Hub
from hubwire.errors import ConfigurationError, HubError
from hubwire.listeners.audit import AuditLog, Outcome, Verification, examine
from hubwire.listeners.audit.tenants import TenantAuditLogs
from hubwire.proof import KeySigner
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock
from support import until, until_idle

pytest.importorskip("cryptography")

TENANTS = ("acme", "globex", "initech", "Ünïcode & co")


class Keys:
    """A key for each tenant, made when it is first asked for."""

    def __init__(self) -> None:
        self.made: dict[str | None, KeySigner] = {}
        self._paths = TenantAuditLogs(MemoryStore())

    def __call__(self, tenant: str | None) -> KeySigner:
        element = self._paths.path_of(tenant).split("/")[2]
        return self.made.setdefault(tenant, KeySigner.new(f"example.org/{element}"))


def failing(verification: Verification) -> list[str]:
    return [name for name, verdict in verification.verdicts.items() if verdict.outcome is Outcome.FAILS]


async def emit(hub: Hub, count: int) -> None:
    for number in range(count):
        tenant = TENANTS[number % len(TENANTS)]
        await hub.emit(GenericEvent(kind="note.taken", data={"number": number}, tenant=tenant))


async def test_each_log_is_signed_by_the_key_of_its_tenant() -> None:
    store, keys = MemoryStore(), Keys()
    for _ in range(2):  # they are closed for each other, and opened again
        async with Hub(store, listeners=[TenantAuditLogs(store, signer=keys, open_max=2)]) as hub:
            await emit(hub, 20)
    logs = TenantAuditLogs(store, signer=keys)
    for tenant in (*TENANTS, None):
        found = await examine(store, logs.path_of(tenant), vkey=keys.made[tenant].vkey, journal=None)
        assert failing(found) == []
        assert found.signer.outcome is Outcome.HOLDS
        assert f"the first {found.records} of {found.records} records" in found.signer.reason
        note = await logs.checkpoint(tenant)
        assert note.signed_by(keys.made[tenant].vkey)
    other = await examine(store, logs.path_of("acme"), vkey=keys.made["globex"].vkey, journal=None)
    assert failing(other) == ["signer"]


async def test_the_heartbeat_of_the_hub_is_in_no_log_of_a_tenant() -> None:
    store, clock, keys = MemoryStore(), ManualClock(), Keys()
    logs = TenantAuditLogs(store, signer=keys)
    async with Hub(store, clock=clock, listeners=[logs]) as hub:
        await emit(hub, 8)
        await until_idle()
        clock.advance(3600)
        await until_idle()
    for tenant in (*TENANTS, None):
        content = await store.read_bytes(f"{logs.path_of(tenant)}/log/00000000000000000000.jsonl") or b""
        kinds = [json.loads(line)["kind"] for line in content.splitlines()]
        assert kinds.count("log.heartbeat") == (2 if tenant is None else 0)


@pytest.mark.parametrize("signer", [KeySigner, "a.key", 7, object()], ids=range(4))
def test_what_is_no_function_of_a_tenant_is_refused(signer: Any) -> None:
    with pytest.raises(ConfigurationError, match="signer is a function of the tenant"):
        TenantAuditLogs(MemoryStore(), signer=signer)


def test_one_key_for_all_tenants_is_refused() -> None:
    key = KeySigner.new("example.org/hub/audit")
    with pytest.raises(ConfigurationError, match="signer is a function of the tenant"):
        TenantAuditLogs(MemoryStore(), signer=key)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="a name stands for one log"):
        TenantAuditLogs(MemoryStore(), signer=lambda _: key)


@pytest.mark.parametrize(
    "answer",
    [OSError("no such key"), SystemExit(3), None, "a.key", 7, KeySigner.new("example.org/globex")],
    ids=range(6),
)
async def test_a_signer_that_cannot_be_had_stops_its_hub_and_loses_nothing(answer: Any) -> None:
    """The next start writes what was not written."""
    store, keys, is_broken = MemoryStore(), Keys(), True

    def signer(tenant: str | None) -> Any:
        if tenant != "acme" or not is_broken:
            return keys(tenant)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    with pytest.raises(HubError):
        async with Hub(store, listeners=[TenantAuditLogs(store, signer=signer)]) as hub:
            await emit(hub, 1)
    is_broken = False
    async with Hub(store, listeners=[TenantAuditLogs(store, signer=signer)]) as hub:
        await emit(hub, 4)
    logs = TenantAuditLogs(store)
    assert [each["kind"] for each in await logs.read_all("acme")].count("note.taken") == 2
    assert failing(await examine(store, logs.path_of("acme"), vkey=keys.made["acme"].vkey, journal=None)) == []


async def test_an_async_function_is_no_signer() -> None:
    async def signer(tenant: str | None) -> KeySigner:
        return KeySigner.new("example.org/~hub")

    with pytest.raises(ConfigurationError, match="a signer has a vkey"):
        TenantAuditLogs(MemoryStore(), signer=signer)  # type: ignore[arg-type]


async def test_a_signer_that_fails_is_counted_for_all_logs() -> None:
    store, keys = MemoryStore(), Keys()

    class Failing:
        def __init__(self, key: KeySigner) -> None:
            self.vkey = key.vkey

        async def sign(self, request: object) -> object:
            raise OSError("the token is gone")

    logs = TenantAuditLogs(store, signer=lambda tenant: Failing(keys(tenant)), checkpoint_seconds=0.0)  # type: ignore[arg-type,return-value]
    async with Hub(store, listeners=[logs]) as hub:
        await emit(hub, 4)
        await until(lambda: logs.checkpoint_errors >= 4)
        assert logs.problem is not None
        assert not hub.health().healthy
    assert AuditLog(store, path=logs.path_of("acme")).vkey is None
