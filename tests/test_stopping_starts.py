"""A hub that is closed while it starts, and does not come to an end of that."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from hubwire import Duty, Hub
from hubwire.errors import HubFailed
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder
from support import until_idle
from support.stopping import SOON


class NeverEntered(Recorder):
    async def __aenter__(self) -> None:
        await anyio.sleep_forever()

    async def __aexit__(self, *_: object) -> None:
        pass


async def test_a_start_that_hangs_is_left_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both calls raise why, and the journal is free for another hub."""
    monkeypatch.setattr("hubwire._life.LEAVE_BEHIND_SECONDS", SOON)
    store = MemoryStore()
    hub = Hub(store, close_seconds_max=SOON)
    hub.attach(NeverEntered(), duty=Duty.REQUIRED, name="never")
    starting = asyncio.create_task(hub.start())
    await until_idle()
    with anyio.fail_after(20), pytest.raises(HubFailed, match="was not closed within"):
        await hub.aclose()
    with pytest.raises(HubFailed, match="was not closed within"):
        await starting
    async with Hub(store):
        pass
