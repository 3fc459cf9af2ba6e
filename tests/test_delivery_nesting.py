"""A hub that runs inside a listener of another hub: each hub knows which of its listeners called."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio
import pytest

from hubwire import Attachment, Duty, Event, GenericEvent, Hub, Overflow
from hubwire.errors import ConfigurationError

KINDS = [{"duty": Duty.REQUIRED}, {"overflow": Overflow.BLOCK}, {"overflow": Overflow.DROP_OLDEST}]


class Doing:
    """A listener that does a job at each event."""

    pattern = "go.*"

    def __init__(self, job: Callable[[], Awaitable[object]]) -> None:
        self.job = job
        self.outcomes: list[object] = []

    async def on_events(self, events: Sequence[Event]) -> None:
        for _ in events:
            self.outcomes.append(await self.job())


async def inside_another_hub(job: Callable[[], Awaitable[object]], **settings: object) -> object:
    """Do a job in a listener of a hub of its own."""
    inner = Doing(job)
    async with Hub() as hub:
        hub.attach(inner, **settings)  # type: ignore[arg-type]
        await hub.emit(GenericEvent(kind="go.inside"))
        await hub.flush()
    return inner.outcomes


@pytest.mark.parametrize("settings", KINDS, ids=str)
@pytest.mark.parametrize("inner", KINDS, ids=str)
async def test_the_inner_hub_does_not_hide_the_outer_listener(
    settings: dict[str, object], inner: dict[str, object]
) -> None:
    """Detached from the inside, the outer listener does not wait for its own call, which waits for the inner hub."""
    attachment: Attachment

    async def detach() -> None:
        await attachment.detach()

    outer = Doing(lambda: inside_another_hub(detach, **inner))
    async with Hub() as hub:
        attachment = hub.attach(outer, **settings)  # type: ignore[arg-type]
        with anyio.fail_after(5):
            await hub.emit(GenericEvent(kind="go.outside"))
            await attachment.finished()
    assert outer.outcomes == [[None]]


async def test_the_outer_hub_is_not_flushed_from_inside() -> None:
    async def flush() -> str:
        with pytest.raises(ConfigurationError, match="a listener cannot flush the hub") as caught:
            await hub.flush()
        return str(caught.value)

    outer = Doing(lambda: inside_another_hub(flush))
    async with Hub(listeners=[outer]) as hub:
        with anyio.fail_after(5):
            await hub.emit(GenericEvent(kind="go.outside"))
            await hub.flush()
    assert len(outer.outcomes) == 1


async def test_closing_the_outer_hub_from_inside_returns_at_once() -> None:
    async def close() -> None:
        await hub.aclose()

    outer = Doing(lambda: inside_another_hub(close))
    hub = Hub(listeners=[outer])
    with anyio.fail_after(5):
        async with hub:
            await hub.emit(GenericEvent(kind="go.outside"))
            await hub.flush()
    assert outer.outcomes == [[None]]


async def test_the_inner_hub_is_flushed_from_the_outer_listener() -> None:
    """The outer call is of another hub: it holds up nothing of the inner one."""

    async def run_a_hub() -> object:
        inner = Doing(anyio.lowlevel.checkpoint)
        async with Hub(listeners=[inner]) as hub:
            await hub.emit(GenericEvent(kind="go.inside"))
            await hub.flush()
            return inner.outcomes

    outer = Doing(run_a_hub)
    async with Hub(listeners=[outer]) as hub:
        await hub.emit(GenericEvent(kind="go.outside"))
        await hub.flush()
    assert outer.outcomes == [[None]]


async def test_a_task_that_a_call_left_behind_waits_like_any_other() -> None:
    left: list[bool] = []
    may_go = anyio.Event()

    async def leave_a_task() -> None:
        tasks.start_soon(flush_later)

    async def flush_later() -> None:
        await may_go.wait()
        await hub.flush()
        left.append(True)

    async with Hub(listeners=[Doing(leave_a_task)]) as hub, anyio.create_task_group() as tasks:
        await hub.emit(GenericEvent(kind="go.now"))
        await hub.flush()
        may_go.set()
    assert left == [True]


@pytest.mark.parametrize("duty", [Duty.REQUIRED, Duty.BEST_EFFORT])
async def test_a_listener_may_close_its_hub_while_it_is_entered_or_left(duty: Duty) -> None:
    class Closing:
        def __init__(self) -> None:
            self.calls: list[str] = []

        async def __aenter__(self) -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(hub.aclose)
            self.calls.append("entered")

        async def __aexit__(self, *_: object) -> None:
            await hub.aclose()
            self.calls.append("left")

        async def on_events(self, events: Sequence[Event]) -> None:
            """Take them."""

    closing = Closing()
    hub = Hub()
    with anyio.fail_after(5):
        async with hub:
            await hub.attach(closing, duty=duty).ready()
    assert closing.calls == ["entered", "left"]
