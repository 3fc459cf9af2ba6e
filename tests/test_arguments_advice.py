"""What errors advise those who begin: the advice is there, and it works."""

from __future__ import annotations

from typing import Any, cast

import anyio
import pytest

from hubwire import Duty, Event, Hub, Turn
from hubwire.errors import ConfigurationError
from hubwire.listeners import Metrics
from hubwire.stores import MemoryStore
from support import said


def test_a_path_is_not_a_store() -> None:
    with pytest.raises(ConfigurationError, match=r"not '\./data'; write FileStore\('\./data'\)"):
        Hub(cast(Any, "./data"))


def test_one_listener_is_not_a_list() -> None:
    with pytest.raises(ConfigurationError, match=r"listeners is a list of listeners, .*; put it into a list"):
        Hub(listeners=cast(Any, Metrics()))


async def test_a_function_of_a_turn_is_async() -> None:
    def coder(turn: Turn) -> None:
        raise AssertionError("it is not called")

    async with Hub() as hub:
        with pytest.raises(ConfigurationError, match=r"coder.* cannot be an actor: .*; write 'async def'"):
            await hub.spawn(coder)
        assert hub.agents.find("coder") is None


async def test_a_factory_may_have_defaults() -> None:
    class Coder:
        def __init__(self, name: str = "x") -> None: ...

        async def on_envelope(self, turn: Turn) -> None: ...

    async with Hub() as hub:
        assert (await hub.spawn(Coder)).agent.name == "Coder"


async def test_a_flush_names_no_suspended_listener() -> None:
    """It does not wait for one that is suspended, so that one is not to blame."""

    async def fails(event: Event) -> None:
        raise ValueError(event.kind)

    async def hangs(event: Event) -> None:
        await anyio.sleep_forever()

    async with Hub(MemoryStore(), close_seconds_max=0.1) as hub:
        suspended = hub.attach(fails, name="fails", duty=Duty.DURABLE, attempts_max=1)
        await hub.emit(said())
        await hub.flush()
        assert suspended.suspension is not None
        hub.attach(hangs, name="hangs", pattern="number.*")
        await hub.emit(said())
        with pytest.raises(TimeoutError, match=r"have not handled event \d+: hangs$"):
            await hub.flush(timeout=0.1)
