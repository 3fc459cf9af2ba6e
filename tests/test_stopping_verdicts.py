"""Verdicts that a hub has not reported when it stops."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from hubwire import Hub
from hubwire.testing import Recorder
from support import GatedStore, until, until_idle


@pytest.mark.slow
async def test_a_verdict_that_commits_late_is_reported_by_the_next_hub() -> None:
    """It commits together with ``hub.stopped``, after which a hub reports no more; closing does not wait for that."""
    store = GatedStore()
    hub = Hub(store)
    await hub.start()
    gate = asyncio.ensure_future(hub.approvals.gate(await hub.agents.register("a"), "deploy"))
    await until(lambda: len(hub.approvals.pending()) == 1)
    await until_idle()
    store.gate.close()
    gate.cancel()
    with suppress(asyncio.CancelledError):
        await gate
    applied = hub.statistics().applied
    closing = asyncio.ensure_future(hub.aclose())
    await until(lambda: hub.statistics().applied > applied)
    store.gate.open()
    await closing
    recorder = Recorder()
    again = Hub(store)
    again.attach(recorder, since="start")
    async with again:
        await recorder.wait_for("audit.logged")
    kinds = recorder.kinds
    assert kinds.count("approval.expired") == kinds.count("audit.logged") == 1
    assert kinds.index("audit.logged") > kinds.index("hub.stopped")
