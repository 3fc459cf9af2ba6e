"""Logs of tenants that are witnessed and timestamped: each by those of its own, or all by the same."""

from __future__ import annotations

from typing import Any

import pytest
from test_audit_tenants_signed import TENANTS, Keys, emit

from hubwire import Hub
from hubwire.errors import ConfigurationError, NotWitnessed, WitnessFailed
from hubwire.listeners.audit import Outcome, examine
from hubwire.listeners.audit.tenants import TenantAuditLogs
from hubwire.proof import Checkpoint, StoreWitness, WitnessKey, WitnessPolicy, WitnessRequest, cosignatures
from hubwire.stores import MemoryStore
from support import until

pytest.importorskip("cryptography")

WITNESS = WitnessKey.new("witness.example.org/w1")


class Cosigner:
    """A witness of all logs, which remembers what it was asked."""

    name = "w1"
    vkey = WITNESS.vkey

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}

    async def witness(self, request: WitnessRequest) -> Any:
        self.asked[request.checkpoint.origin] = request.checkpoint.size
        return WITNESS.cosign(request.checkpoint.text, 1_900_000_000)


def policy(*witnesses: Any, **options: Any) -> WitnessPolicy:
    return WitnessPolicy(witnesses, interval_seconds=0.0, **options)


async def test_each_log_is_seen_by_the_witnesses_of_all() -> None:
    """Also those that were closed for others: they have their last checkpoint seen before."""
    store, keys, cosigner = MemoryStore(), Keys(), Cosigner()
    logs = TenantAuditLogs(store, signer=keys, witnesses=policy(cosigner), open_max=2)
    async with Hub(store, listeners=[logs]) as hub:
        await emit(hub, 20)
        note = await logs.witnessed("acme")
        assert cosignatures(note, [WITNESS.vkey])
        with pytest.raises(ConfigurationError, match="none numbered 999"):
            await logs.witnessed("acme", 999)
    assert logs.witness_errors == logs.timestamp_errors == 0
    for tenant in (*TENANTS, None):
        key = keys.made[tenant].vkey
        found = await examine(store, logs.path_of(tenant), vkey=key, witnesses=[WITNESS.vkey], journal=None)
        assert found.signer.outcome is Outcome.HOLDS, found.signer
        assert f"a witness has seen {found.records}" in found.signer.reason
        assert cosigner.asked[key.name] == found.records


async def test_a_function_gives_each_tenant_witnesses_of_its_own() -> None:
    store, keys, copies = MemoryStore(), Keys(), MemoryStore()

    def witnesses(tenant: str | None) -> Any:
        return None if tenant is None else [StoreWitness(copies, f"/{keys(tenant).vkey.name}")]

    logs = TenantAuditLogs(store, signer=keys, witnesses=witnesses)
    async with Hub(store, listeners=[logs]) as hub:
        await emit(hub, 8)
        for tenant in TENANTS:
            note = await logs.witnessed(tenant)
            copied = await copies.read(f"/{keys(tenant).vkey.name}/checkpoint")
            assert Checkpoint.parse(note.text).origin in str(copied)
        with pytest.raises(ConfigurationError, match="has no witnesses"):
            await logs.witnessed(None)


async def test_a_witness_that_is_away_is_counted_and_told() -> None:
    class Away(Cosigner):
        async def witness(self, request: WitnessRequest) -> Any:
            raise WitnessFailed("it is away")

    store, keys = MemoryStore(), Keys()
    logs = TenantAuditLogs(store, signer=keys, witnesses=policy(Away(), grace_seconds=0.0))
    async with Hub(store, listeners=[logs]) as hub:
        await emit(hub, 4)
        await until(lambda: logs.witness_errors >= 4)
        with pytest.raises(NotWitnessed, match="it is away"):
            await logs.witnessed("acme", seconds=0.01)
        assert logs.witness_errors
        assert "not witnessed" in str(logs.problem)


def raises(_: object) -> Any:
    raise SystemExit("stop")


@pytest.mark.parametrize(
    "wrong", [7, "w1", [7], object(), raises, lambda _: 7, lambda _: "w1", Cosigner, lambda: 1], ids=range(9)
)
def test_what_are_no_witnesses_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        TenantAuditLogs(MemoryStore(), signer=Keys(), witnesses=wrong)
    with pytest.raises(ConfigurationError):
        TenantAuditLogs(MemoryStore(), signer=Keys(), timestamper=wrong)


def test_witnesses_need_a_signer() -> None:
    given: list[dict[str, Any]] = [{"witnesses": [Cosigner()]}, {"timestamper": object()}]
    for options in given:
        with pytest.raises(ConfigurationError, match="give the log a signer"):
            TenantAuditLogs(MemoryStore(), **options)
