"""What a hub expects of every listener, as tests: prove your own by subclassing.

.. code-block:: python

    class TestMyListener(HubListenerContract):
        @pytest.fixture
        def listener(self) -> HubListener:
            return MyListener()

The fixture ``listener`` returns a listener that was never attached, a new one for each test. The tests are ``async``
methods: have them run by anyio's pytest plugin (``anyio_mode = "auto"``), on asyncio.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio

from .. import Duty, Event, GenericEvent, Hub, InboxRule, Resume, UnknownEvent, codec
from ..events import ToolCalled, ToolCompleted, ToolFailed
from ..ports import HubListener
from .recorder import Recorder

__all__ = ("HubListenerContract",)

SECONDS_MAX = 30.0


async def every_sort_of_event(hub: Hub) -> None:
    """Have the hub make an event of every kind that a program can cause, and some odd ones."""
    planner = await hub.agents.register("planner", capabilities=["plan"])
    coder = await hub.agents.register("coder")
    channel = await hub.channels.open([planner, coder], topic="topic")
    await channel.post(planner, {"text": "do it", "n": [1, None, 1.5, True]}, to=[coder])
    await channel.post(coder, None)
    async for delivery in coder.inbox():
        await delivery.ack()
        break
    await hub.emit(ToolCalled(tool="search", call_id="1", agent_id=coder.id, arguments={"q": "x"}))
    await hub.emit(ToolCompleted(tool="search", call_id="1", result=[b"bytes", {1, 2}], duration_ms=1.5))
    await hub.emit(ToolFailed(tool="search", call_id="2", error_type="ValueError", error_message="bad \ud800"))
    await coder.set_skill("to code")
    await coder.set_resume(Resume(capabilities=("python",)))
    await coder.observe("a task", capability="python", ended="completed", latency_ms=1.5)
    await coder.set_rule({"inbox": InboxRule(capacity=1, deliveries_max=2)})
    asked = await hub.channels.open([planner, coder], type="discussion", invite=True, labels={"a": "b"})
    await asked.accept(coder)
    await asked.post(planner, "fills the inbox", ttl_seconds=60, priority="urgent", idempotency_key="k")
    inbox = coder.inbox()
    for _ in range(2):
        await (await anext(inbox)).nack("busy")
    await asked.leave(coder)
    await channel.close("done")
    await coder.unregister()
    await hub.emit(GenericEvent(kind="somebody.elses", data={"deep": {"er": [{}]}}, metadata={"n": 1}))
    await hub.emit(GenericEvent(kind="somebody.wrote", data={"text": "long " * 20_000}))


class HubListenerContract:
    """Tests of :class:`~hubwire.ports.HubListener`."""

    async def test_it_handles_every_event_of_a_hub(self, listener: HubListener) -> None:
        async with Hub() as hub:
            attachment = hub.attach(listener, name="under test", pattern="*")
            await attachment.ready()
            await every_sort_of_event(hub)
            await hub.flush(timeout=SECONDS_MAX)
            statistics = attachment.statistics()
            assert statistics.failed == 0, statistics.last_error
            assert hub.health().healthy, hub.health().problems

    async def test_it_handles_batches_of_any_size_up_to_256(self, listener: HubListener) -> None:
        async with Hub() as hub:
            attachment = hub.attach(listener, name="under test", pattern="*")
            await attachment.ready()
            for size in (1, 2, 255, 256, 300):
                for number in range(size):
                    hub.emit_nowait(GenericEvent(kind="number.said", data={"number": number}))
                await hub.flush(timeout=SECONDS_MAX)
            statistics = attachment.statistics()
            assert statistics.failed == 0, statistics.last_error
            assert statistics.batches < statistics.handled

    async def test_it_survives_getting_a_batch_again(self, listener: HubListener) -> None:
        """After a failure or a restart a hub that cannot know better delivers a batch twice."""
        if hasattr(listener, "last_seq"):
            return  # it keeps its own position, so it never gets what it has
        recorder = Recorder()
        async with Hub(listeners=[recorder]) as hub:
            await every_sort_of_event(hub)
            await hub.flush(timeout=SECONDS_MAX)
        async with _Entered(listener):
            await listener.on_events(recorder.events)
            await listener.on_events(recorder.events)

    async def test_it_handles_kinds_that_this_process_does_not_know(self, listener: HubListener) -> None:
        odd = codec.decode(
            b'{"at":"2026-01-01T00:00:00.000000Z","hub":"h","id":"x","kind":"odd.happened","seq":0,"x":[1]}'
        )
        assert isinstance(odd, UnknownEvent)
        async with _Entered(listener):
            await listener.on_events([odd])

    async def test_it_lets_go_when_it_is_cancelled(self, listener: HubListener) -> None:
        events: Sequence[Event] = [GenericEvent(seq=0, id="x", at="", hub="h", kind="number.said")]
        async with _Entered(listener):
            with anyio.fail_after(SECONDS_MAX):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(listener.on_events, events)
                    tasks.cancel_scope.cancel()

    async def test_it_can_be_attached_to_one_hub_after_another(self, listener: HubListener) -> None:
        for _ in range(2):
            async with Hub() as hub:
                attachment = hub.attach(listener, name="under test", pattern="*")
                await attachment.ready()
                await hub.emit(GenericEvent(kind="number.said"))
                await hub.flush(timeout=SECONDS_MAX)
                assert attachment.statistics().failed == 0, attachment.statistics().last_error
            if hasattr(type(listener), "hub_id"):
                return  # what it holds belongs to the first hub, and the second would be refused

    async def test_the_position_it_tells_is_that_of_the_last_event_it_handled(self, listener: HubListener) -> None:
        last_seq = getattr(listener, "last_seq", None)
        if last_seq is None:
            return
        async with Hub() as hub:
            attachment = hub.attach(listener, name="under test", pattern="*", duty=Duty.REQUIRED)
            await attachment.ready()
            for _ in range(3):
                event = await hub.emit(GenericEvent(kind="number.said"))
                assert last_seq() == event.seq


class _Entered:
    """Enters a listener if it can be entered."""

    def __init__(self, listener: HubListener) -> None:
        self._listener: Any = listener

    async def __aenter__(self) -> None:
        if hasattr(type(self._listener), "__aenter__"):
            await self._listener.__aenter__()

    async def __aexit__(self, *_: object) -> None:
        if hasattr(type(self._listener), "__aexit__"):
            await self._listener.__aexit__(None, None, None)
