"""What a question waits for, and what it leaves behind."""

from __future__ import annotations

import asyncio

import pytest

from hubwire import Hub, Turn
from hubwire._actors.calls import TurnCall
from hubwire.errors import AskTimeout, EventTooLarge, NotFound
from hubwire.events import EnvelopePosted
from hubwire.listeners import AuditLog
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import GatedStore, advance, until, until_idle


async def echo(turn: Turn) -> None:
    await turn.reply(turn.content)


async def test_a_question_and_its_turn_are_two_appends() -> None:
    """The envelope; then the turn, what it commits, the answer, the end of the turn and the ack."""
    store = GatedStore()
    async with Hub(store) as hub:
        actor = await hub.spawn(echo)
        asker = await hub.agents.register("asker")
        await hub.flush()
        store.appends.clear()
        answer = await hub.ask(asker, actor.agent, "hello")
        assert answer.content == "hello"
        assert store.appends == [1, 5]


class Appends(MemoryStore):
    """Keeps the folders of all files that were appended to, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.folders: list[str] = []

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        self.folders.append(path.split("/")[1])
        return await super().append(path, content, expect=expect)


async def test_an_asker_waits_for_two_commits() -> None:
    """With an audit log, too: the question is in both, then the turn and the answer, and nothing else is waited for."""
    store = Appends()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        actor = await hub.spawn(echo)
        asker = await hub.agents.register("asker")
        await hub.flush()
        store.folders.clear()
        await hub.ask(asker, actor.agent, "hello")
        assert store.folders == ["journal", "audit", "journal", "audit"]
        await hub.flush()
        assert len(store.folders) == 4


async def test_commits_in_a_row_let_other_tasks_run() -> None:
    """In memory no commit is waited for: a turn that commits again and again does not keep the loop."""
    turns_of_the_loop = 0

    async def commit(turn: Turn) -> None:
        for number in range(300):
            turn.state = number
            await turn.commit()

    async with Hub() as hub:
        sender, reader = await hub.agents.register("sender"), await hub.spawn(commit, name="reader")
        channel = await hub.channels.open([sender, reader.agent])
        await channel.post(sender, "go")
        while reader.agent.state != 299:
            await asyncio.sleep(0)
            turns_of_the_loop += 1
    assert turns_of_the_loop > 2


async def test_a_turn_withdrawn_early_is_cancelled_when_it_waits() -> None:
    """Its actor did not wait for it yet."""
    call = TurnCall(object(), "agent", EnvelopePosted(envelope_id="e", content=None, recipients=()))
    call.withdraw()
    assert not call.was_cancelled
    assert call.waiting().cancel_called


async def test_a_question_to_a_stranger_changes_nothing() -> None:
    async with Hub() as hub:
        asker = await hub.agents.register("asker")
        before = hub.statistics().committed
        for who, whom in ((asker.id, "0" * 32), ("0" * 32, asker.id), ("nobody", asker.id)):
            with pytest.raises(NotFound):
                await hub.ask(who, whom, "hello")
        assert hub.statistics().committed == before


async def test_a_question_that_is_too_large_is_recorded() -> None:
    recorder = Recorder()
    async with Hub(event_bytes_max=10_000, listeners=[recorder]) as hub:
        actor = await hub.spawn(echo)
        asker = await hub.agents.register("asker")
        with pytest.raises(EventTooLarge):
            await hub.ask(asker, actor.agent, "x" * 20_000)
        await hub.flush()
        (rejected,) = recorder.of("envelope.rejected")
        assert (rejected.code, rejected.audience, rejected.channel_id) == ("too_large", (actor.agent.id,), None)
        assert hub.statistics().asks_pending == hub.statistics().envelopes_pending == 0


async def test_the_end_of_a_turn_waits_for_room() -> None:
    """It is admitted as commands are: an actor does not outrun a store that hangs."""
    store, entered, release = GatedStore(), asyncio.Event(), asyncio.Event()

    async def slow(_: Turn) -> None:
        entered.set()
        await release.wait()

    async with Hub(store, in_flight_max=2) as hub:
        actor = await hub.spawn(slow)
        asker = await hub.agents.register("asker")
        channel = await hub.channels.open([asker, actor.agent])
        await channel.post(asker, "hello", to=[actor.agent])
        await entered.wait()
        await hub.flush()
        store.gate.close()
        agents = [asyncio.create_task(hub.agents.register(name)) for name in "abc"]
        await until_idle()
        release.set()
        await until_idle()
        assert hub.statistics().in_flight == 2
        store.gate.open()
        await asyncio.gather(*agents)
        await until(lambda: actor.statistics().handled == 1)


async def test_the_time_of_a_question_counts_while_the_store_hangs() -> None:
    """The post that waits for its commit is given up like the wait for the answer."""
    store, clock = GatedStore(), ManualClock()
    async with Hub(store, clock=clock) as hub:
        actor = await hub.spawn(echo)
        asker = await hub.agents.register("asker")
        await hub.flush()
        store.gate.close()
        ask = asyncio.create_task(hub.ask(asker, actor.agent, "hello", timeout=5))
        await until(lambda: hub.statistics().in_flight > 0)
        await advance(clock, 6)
        with pytest.raises(AskTimeout):
            await ask
        store.gate.open()
        await until_idle()
        assert hub.statistics().envelopes_pending == 0


async def test_who_asks_may_be_cancelled_by_a_plain_task() -> None:
    """As `asyncio.timeout` and `task.cancel()` do it, which no scope knows of; on the clock of the machine, too."""

    async def silent(turn: Turn) -> None:
        await asyncio.Event().wait()

    async with Hub() as hub:
        actor = await hub.spawn(silent)
        asker = await hub.agents.register("asker")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await hub.ask(asker, actor.agent, "hello")
        ask = asyncio.create_task(hub.ask(asker, actor.agent, "hello"))
        await until(lambda: hub.statistics().asks_pending == 1)
        ask.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ask
        await until(lambda: hub.statistics().envelopes_pending == 0)
