"""Commands that are admitted at the moment in which the hub closes, and calls from threads that never arrive."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any

import pytest

from hubwire import Limits
from hubwire._commit.admission import Admission
from hubwire._commit.phase import HomeLoop, Lifecycle, Phase
from hubwire._commit.ring import Ring
from hubwire._commit.threads import FromThreads
from hubwire.errors import HubClosed
from support import until_idle


async def test_a_command_let_in_while_the_hub_closes_is_refused() -> None:
    """It had its room, and not gone on yet: nothing comes on the ring of a hub that takes no commands."""
    lifecycle, is_blocked = Lifecycle(), True
    for phase in (Phase.STARTING, Phase.OPEN):
        lifecycle.move(phase)
    admission = Admission(Ring(10), lifecycle, Limits(), lambda: is_blocked)
    waiting = asyncio.create_task(admission.wait_for_room())
    await until_idle()
    assert len(admission.waiting) == 1
    is_blocked = False
    admission.let_in()
    assert not admission.waiting
    lifecycle.move(Phase.CLOSING)
    with pytest.raises(HubClosed, match="nothing has happened"):
        await waiting


async def test_a_call_that_was_cancelled_holds_no_bytes() -> None:
    """It never ran, so that nothing took what it held."""
    home = HomeLoop()
    home.adopt_running_loop()
    crossing = FromThreads(home, bytes_max=10_000)
    crossing.open()

    async def call(_future: Future[Any]) -> None:
        raise AssertionError("it was cancelled before")

    future = crossing.submit(call, 5000)
    assert crossing.waiting_bytes > 5000
    assert future.cancel()
    assert crossing.waiting_bytes == 0
    await until_idle()
