"""The end of a hub: within its deadline, awaited by others, given up at once, or left to the end of the program."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire import BaseActor, Duty, Event, Hub
from hubwire._commit.phase import Phase
from hubwire.errors import (
    AlreadyRunning,
    ConfigurationError,
    HubAborted,
    HubClosed,
    HubFailed,
    ListenerFailed,
    StoreError,
)
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import Recorder
from support import GatedStore, said, until
from support.stopping import SOON, Watched


class Deaf(BaseActor):
    """Swallows every cancellation until it is set free."""

    def __init__(self) -> None:
        self.begun, self.free = anyio.Event(), anyio.Event()

    async def on_envelope(self, turn: Any) -> None:
        self.begun.set()
        while not self.free.is_set():
            try:
                await self.free.wait()
            except BaseException:  # noqa: BLE001, S110 - that is what it is for
                pass


async def busy(hub: Hub, actor: Deaf) -> None:
    spawned = await hub.spawn(actor)
    boss = await hub.agents.register("boss")
    channel = await hub.channels.open([boss, spawned.agent])
    await channel.post(boss, "hello")
    await actor.begun.wait()


class Gate(Recorder):
    """A listener that hangs once it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.given, self.free = anyio.Event(), anyio.Event()

    async def on_events(self, events: Sequence[Event]) -> None:
        await super().on_events(events)
        if "number.said" in [each.kind for each in events]:
            self.given.set()
            await self.free.wait()


# --- one deadline ---------------------------------------------------------------------------------------------------


async def test_closing_gives_each_step_a_share_of_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No step begins its own: actors, listeners, the last commit and the journal end at growing shares of it."""
    hub, ends = Hub(MemoryStore(), close_seconds_max=100), []
    move_on_at = anyio.move_on_at

    def noted(deadline: float, **settings: Any) -> anyio.CancelScope:
        ends.append(deadline)
        return move_on_at(deadline, **settings)

    async with hub:
        begun = anyio.current_time()
        monkeypatch.setattr(anyio, "move_on_at", noted)
    monkeypatch.undo()
    assert len(ends) >= 4
    assert max(ends) - begun < 101


@pytest.mark.slow
async def test_an_actor_that_swallows_its_cancellation_holds_no_close() -> None:
    actor, store = Deaf(), MemoryStore()
    async with Hub(store, close_seconds_max=SOON) as hub:
        await busy(hub, actor)
    assert hub.statistics().guests_abandoned == 1
    async with Hub(store):
        pass
    actor.free.set()


async def test_a_journal_that_swallows_its_cancellation_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing ends with an error that says so, although the hub's own task goes on."""
    monkeypatch.setattr("hubwire._life.LEAVE_BEHIND_SECONDS", SOON)
    store, free = GatedStore(), anyio.Event()
    hub = Hub(store, close_seconds_max=SOON)
    await hub.start()

    async def deaf() -> None:
        while not free.is_set():
            try:
                await free.wait()
            except BaseException:  # noqa: BLE001, S110 - that is what it is for
                pass

    monkeypatch.setattr(hub._parts.journal, "aclose", deaf)
    with pytest.raises(HubFailed, match="goes on although it was cancelled"):
        await hub.aclose()
    assert isinstance(await hub.finished(), HubFailed)
    free.set()
    main = hub._life._main
    assert main is not None
    await asyncio.wait([main])


@pytest.mark.parametrize("outer", ["listener", "actor"])
async def test_an_inner_hub_is_given_up_with_its_outer_guest(outer: str) -> None:
    """The guest of the outer hub is cancelled while it closes the inner one, whose listener hangs."""
    gate, closing = Gate(), anyio.Event()

    async def run_inner() -> None:
        inner = Hub(MemoryStore(), close_seconds_max=1000)
        inner.attach(gate, duty=Duty.REQUIRED)
        await inner.start()
        inner.emit_nowait(said())
        await gate.given.wait()
        closing.set()
        await inner.aclose()

    class Runs(BaseActor):
        async def on_envelope(self, turn: Any) -> None:
            await run_inner()

    class Listens:
        async def on_events(self, events: Sequence[Event]) -> None:
            if "number.said" in [each.kind for each in events]:
                await run_inner()

    async with Hub(close_seconds_max=SOON) as hub:
        if outer == "listener":
            hub.attach(Listens())
            await hub.emit(said())
        else:
            actor = await hub.spawn(Runs())
            boss = await hub.agents.register("boss")
            channel = await hub.channels.open([boss, actor.agent])
            await channel.post(boss, "hello")
        await closing.wait()
    left = [task for task in asyncio.all_tasks() if task.get_name() == "hubwire hub"]
    if left:
        await asyncio.wait(left)


# --- finished -------------------------------------------------------------------------------------------------------


async def test_finished_returns_none_after_a_clean_close() -> None:
    hub = Hub(MemoryStore())
    with pytest.raises(HubClosed):
        await hub.finished()
    async with hub:
        waiting = [asyncio.ensure_future(hub.finished()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        await hub.emit(said())
        assert not any(each.done() for each in waiting[1:])
    assert await asyncio.gather(*waiting[1:]) == [None, None]
    assert await hub.finished() is None


async def test_finished_returns_the_failure_at_once() -> None:
    """It does not wait for the hub to be closed."""

    class Fails:
        async def on_events(self, events: Sequence[Event]) -> None:
            if "number.said" in [each.kind for each in events]:
                raise ValueError("full")

    hub = Hub()
    hub.attach(Fails(), duty=Duty.REQUIRED)
    await hub.start()
    waiting = asyncio.ensure_future(hub.finished())
    with pytest.raises(ListenerFailed):
        await hub.emit(said())
    assert isinstance(await waiting, ListenerFailed)
    with pytest.raises(ListenerFailed):
        await hub.aclose()
    assert isinstance(await hub.finished(), ListenerFailed)


async def test_finished_tells_of_a_refused_start() -> None:
    store = MemoryStore()
    async with Hub(store):
        other = Hub(store)
        with pytest.raises(AlreadyRunning):
            await other.start()
        with pytest.raises(HubClosed, match="not running any more"):
            other.events()
        failure = await other.finished()
        assert isinstance(failure, HubFailed)
        assert isinstance(failure.__cause__, AlreadyRunning)


async def test_finished_tells_of_a_marker_that_was_not_written() -> None:
    store = Watched()
    hub = Hub(store)
    await hub.start()

    class Ends(Recorder):
        async def __aenter__(self) -> None: ...

        async def __aexit__(self, *_: object) -> None:
            store.error = StoreError("gone")

    await hub.attach(Ends(), duty=Duty.REQUIRED).ready()
    with pytest.raises(StoreError, match="gone"):
        await hub.aclose()
    assert isinstance(await hub.finished(), HubFailed)


# --- abort ----------------------------------------------------------------------------------------------------------


async def test_an_aborted_hub_releases_its_journal_without_a_marker(tmp_path: Path) -> None:
    """What was acknowledged is there at the next start, which comes at once."""
    hub = Hub(FileStore(tmp_path))
    await hub.start()
    acknowledged = await hub.emit(said())
    waiting = asyncio.ensure_future(hub.finished())
    await hub.abort()
    assert isinstance(await waiting, HubAborted)
    assert not await FileStore(tmp_path).exists("/journal/log/clean")
    with pytest.raises(HubAborted, match="aborted"):
        await hub.emit(said())
    await hub.aclose()
    await hub.abort()
    recorder = Recorder()
    async with Hub(FileStore(tmp_path)) as again:
        again.attach(recorder, since="start")
        await until(lambda: acknowledged.id in [each.id for each in recorder.events])
    assert "hub.stopped" not in recorder.kinds[:-1]


async def test_aborting_flushes_nothing() -> None:
    """Who waits for a commit gets the failure; a listener that hangs is not waited for."""
    store, gate = GatedStore(), Gate()
    hub = Hub(store, close_seconds_max=1000)
    hub.attach(gate)
    await hub.start()
    await hub.emit(said())
    await gate.given.wait()
    store.gate.close()
    emitting = asyncio.ensure_future(hub.emit(said()))
    await until(lambda: hub.statistics().in_flight > 0)
    await hub.abort()
    with pytest.raises(HubAborted, match="aborted"):
        await emitting
    store.gate.open()


@pytest.mark.slow
async def test_a_hub_is_aborted_beside_a_deaf_actor() -> None:
    actor, store = Deaf(), MemoryStore()
    hub = Hub(store, close_seconds_max=1000)
    await hub.start()
    await busy(hub, actor)
    await hub.abort()
    assert hub.statistics().guests_abandoned == 1
    async with Hub(store):
        pass
    actor.free.set()


async def test_a_hub_is_aborted_while_it_starts_or_closes() -> None:
    store, gate = GatedStore(), Gate()

    class Slow(Recorder):
        async def __aenter__(self) -> None:
            gate.given.set()
            await gate.free.wait()

    hub = Hub(store)
    await hub.abort()  # before the start it has no effect
    hub.attach(Slow(), duty=Duty.REQUIRED)
    starting = asyncio.ensure_future(hub.start())
    await gate.given.wait()
    await hub.abort()
    with pytest.raises(HubAborted, match="aborted"):
        await starting

    listener = Gate()
    second = Hub(store, close_seconds_max=1000)
    second.attach(listener)
    await second.start()
    await second.emit(said())
    await listener.given.wait()
    closing = asyncio.ensure_future(second.aclose())
    await asyncio.sleep(0)
    await second.abort()
    with pytest.raises(HubAborted, match="aborted"):
        await closing
    async with Hub(store):
        pass


async def test_a_guest_may_abort_its_hub() -> None:
    class Aborts:
        async def on_events(self, events: Sequence[Event]) -> None:
            if "number.said" in [each.kind for each in events]:
                await hub.abort()

    hub = Hub()
    hub.attach(Aborts())
    await hub.start()
    await hub.emit(said())
    assert isinstance(await hub.finished(), HubAborted)
    await hub.aclose()


async def test_abort_and_finished_belong_to_the_loop() -> None:
    async with Hub() as hub:

        def elsewhere() -> None:
            with pytest.raises(ConfigurationError, match="another event loop"):
                asyncio.run(hub.finished())
            with pytest.raises(ConfigurationError, match="another event loop"):
                asyncio.run(hub.abort())

        await anyio.to_thread.run_sync(elsewhere)
        await hub.emit(said())


# --- failures between two steps -------------------------------------------------------------------------------------


async def test_a_failure_while_the_start_settles_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(MemoryStore())
    upkeep = hub._parts.upkeep
    assert upkeep is not None

    async def settle() -> None:
        hub._pipeline.fail(HubFailed("in the middle"))

    monkeypatch.setattr(upkeep, "settle", settle)
    with pytest.raises(HubFailed, match="in the middle"):
        await hub.start()
    assert hub._parts.actors.made()._is_open is False


@pytest.mark.parametrize("step", ["actors.stop", "fanout.close"])
async def test_a_failure_between_two_steps_of_closing_ends_it(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No later step is taken: the hub makes no move from FAILED, and puts no event."""
    hub = Hub(MemoryStore())
    moves: list[Phase] = []
    part, _, method = step.partition(".")

    async def fail(*_: object) -> None:
        hub._pipeline.fail(HubFailed("in the middle"))
        moves.clear()

    move = hub._lifecycle.move

    def noted(phase: Phase) -> None:
        moves.append(phase)
        move(phase)

    await hub.start()
    monkeypatch.setattr(getattr(hub._parts, part), method, fail)
    monkeypatch.setattr(hub._lifecycle, "move", noted)
    applied = hub.statistics().applied
    with pytest.raises(HubFailed, match="in the middle"):
        await hub.aclose()
    assert moves == []
    assert hub.statistics().applied == applied


# --- the end of the program -----------------------------------------------------------------------------------------

PROGRAM = """
    import asyncio, os, sys, threading
    from hubwire import BaseActor, GenericEvent, Hub
    from hubwire.stores import FileStore, MemoryStore
    from hubwire.thread import HubThread

    class Works(BaseActor):
        begun = None
        async def on_envelope(self, turn):
            self.begun.set()
            await asyncio.sleep(1000)

    async def work(hub):
        actor = Works()
        actor.begun = asyncio.Event()
        spawned = await hub.spawn(actor)
        boss = await hub.agents.register("boss")
        channel = await hub.channels.open([boss, spawned.agent])
        await channel.post(boss, "go")
        await actor.begun.wait()
"""

ENDINGS = {
    "a hub left open": """
        async def main():
            for _ in range(3):
                hub = Hub(MemoryStore())
                await hub.start()
                await work(hub)
        asyncio.run(main())
    """,
    "a hub whose start hangs": """
        class Slow:
            async def __aenter__(self): await asyncio.sleep(1000)
            async def __aexit__(self, *_): pass
            async def on_events(self, events): pass
        async def main():
            asyncio.ensure_future(Hub(listeners=[Slow()]).start())
            await asyncio.sleep(0.05)
        asyncio.run(main())
    """,
    "a hub in a thread left open": """
        thread = HubThread(Hub(MemoryStore()))
        thread.start()
        thread.call(work, thread.hub)
    """,
    "an interrupted program": """
        async def main():
            hub = Hub(MemoryStore())
            await hub.start()
            await work(hub)
            raise KeyboardInterrupt
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            pass
    """,
}


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_program_ends(ending: str) -> None:
    program = textwrap.dedent(PROGRAM) + textwrap.dedent(ending) + "\nprint('ended', flush=True)\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False)
    assert (done.stdout, done.returncode) == ("ended\n", 0), done.stderr


@pytest.mark.slow
def test_a_program_ends_although_a_disk_hangs(tmp_path: Path) -> None:
    """Another process holds the lock of the segment, so that an append never ends."""
    program = textwrap.dedent(
        """
        import asyncio, fcntl, glob, subprocess, sys
        from hubwire import GenericEvent, Hub
        from hubwire.stores import FileStore

        async def main():
            hub = Hub(FileStore(sys.argv[1]), close_seconds_max=0.5)
            await hub.start()
            (path,) = glob.glob(sys.argv[1] + "/journal/log/*.jsonl")
            held = open(path)
            holder = await asyncio.create_subprocess_exec(
                sys.executable, "-c",
                "import fcntl, sys, time; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_SH); print(1, flush=True);"
                "time.sleep(300)",
                path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )
            await holder.stdout.readline()
            print("holder", holder.pid, flush=True)
            hub.emit_nowait(GenericEvent(kind="number.said"))
            if sys.argv[2] == "abort":
                await hub.abort()
            else:
                try:
                    await hub.aclose()
                except Exception as error:
                    print(type(error).__name__, flush=True)
            import os; os._exit(0) if False else None
        asyncio.run(main())
        """
    )
    for way in ("abort", "close"):
        root = tmp_path / way
        command = [sys.executable, "-c", program, str(root), way]
        done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
        holder = int(done.stdout.split()[1])
        subprocess.run(["kill", str(holder)], check=False)
        assert done.returncode == 0, done.stderr
