"""What commands and actors do with their hub: announce facts, see what is applied, and post while others join."""

from __future__ import annotations

from functools import partial

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from hubwire import GenericEvent, Hub
from hubwire.arbiter import Allow, Command, Deny
from hubwire.errors import HubClosed, PostRejected
from hubwire.events import AgentRegistered, EnvelopePosted, Event
from hubwire.stores import MemoryStore


class Gate:
    """An arbiter that waits before it decides about one command, and denies all dispatches to one agent."""

    def __init__(self, *, waits_at: tuple[str, tuple[str, ...]], denied: str) -> None:
        self.is_deciding = anyio.Event()
        self.go_on = anyio.Event()
        self._waits_at = waits_at
        self._denied = denied

    async def authorize(self, command: Command) -> Allow | Deny:
        if (command.name, command.others) == self._waits_at:
            self.is_deciding.set()
            await self.go_on.wait()
        is_denied = command.name == "dispatch" and command.others == (self._denied,)
        return Deny("not to this one") if is_denied else Allow()


async def test_an_agent_that_joins_during_the_last_decision_is_decided_about() -> None:
    """The post is decided again, because the arbiter has not seen all participants."""
    arbiter = Gate(waits_at=("dispatch", ("bob",)), denied="late")
    async with Hub(arbiter=arbiter) as hub, anyio.create_task_group() as tasks:
        alice, bob, late = [await hub.agents.register(name) for name in ("alice", "bob", "late")]
        channel = await hub.channels.open([alice, bob])
        posted: list[EnvelopePosted] = []

        async def post() -> None:
            posted.append(await channel.post(alice, "hello"))

        tasks.start_soon(post)
        await arbiter.is_deciding.wait()
        await channel.join(late)
        arbiter.go_on.set()
        await wait_all_tasks_blocked()
        assert posted[0].recipients == (bob.id,)


async def test_a_key_for_another_envelope_is_refused_and_recorded() -> None:
    async with Hub() as hub:
        stream = hub.events(pattern="envelope.*")
        alice, bob = await hub.agents.register("alice"), await hub.agents.register("bob")
        channel = await hub.channels.open([alice, bob])
        first = await channel.post(alice, "hello", idempotency_key="k")
        assert await channel.post(alice, "hello", idempotency_key="k") == first
        with pytest.raises(PostRejected, match="used in channel"):
            await channel.post(alice, "another", idempotency_key="k")
        kinds = [(await anext(stream)).kind for _ in range(2)]
        assert kinds == ["envelope.posted", "envelope.rejected"]


async def test_a_command_may_decide_on_no_events() -> None:
    async with Hub(MemoryStore()) as hub:
        before = hub.statistics()
        assert await hub._parts.core.execute(lambda: ()) == []
        assert hub.statistics() == before


async def test_after_the_end_nothing_is_announced() -> None:
    fact = GenericEvent(kind="some.fact")
    async with Hub() as hub:
        assert [event.kind for event in hub._parts.core.announce([fact])] == ["some.fact"]
    applied = hub.statistics().applied
    assert hub._parts.core.announce([fact]) == []
    assert hub.statistics().applied == applied
    with pytest.raises(HubClosed):
        await hub.emit(fact)


async def test_callbacks_on_applied_events_are_called_in_order() -> None:
    calls: list[tuple[int, str]] = []

    def remember(number: int, event: Event) -> None:
        calls.append((number, event.kind))

    async with Hub() as hub:
        for number in range(3):
            hub._parts.core.on_applied(AgentRegistered, partial(remember, number))
        await hub.agents.register("alice")
    assert calls == [(number, "agent.registered") for number in range(3)]
