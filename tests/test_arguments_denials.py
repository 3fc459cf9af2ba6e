"""Denied commands leave an event, and a flood of them few."""

from __future__ import annotations

from typing import Any

import pytest

from hubwire import Hub
from hubwire.arbiter import ALLOW, Allow, Command, Deny
from hubwire.errors import AccessDenied, CommandRejected
from hubwire.events import CommandDenied, Event
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, history
from support import advance, until_idle


class Strict:
    """Denies what is asked of it by name."""

    def __init__(self, *denied: str, reason: str = "no") -> None:
        self.denied = denied
        self.reason = reason

    def authorize(self, command: Command) -> Allow | Deny:
        return Deny(self.reason) if command.name in self.denied else ALLOW


async def refused(call: Any) -> None:
    with pytest.raises(AccessDenied):
        await call


def denials(recorder: Recorder) -> list[tuple[str | None, str, str, str, int]]:
    return [
        (event.agent_id, event.agent_name, event.command_name, event.reason, event.count)
        for event in recorder.events
        if isinstance(event, CommandDenied)
    ]


async def test_each_denied_command_leaves_an_event() -> None:
    """All but posts, whose refusals are events of their own."""
    recorder = Recorder()
    arbiter = Strict("open", "start", "request", "unregister", "set_skill", "send")
    async with Hub(arbiter=arbiter, listeners=[recorder]) as hub:
        agent, other = await hub.agents.register("a"), await hub.agents.register("b")
        arbiter.denied, denied = ("register",), arbiter.denied
        channel = await hub.channels.open([agent, other])
        await refused(hub.agents.register("evil", skill="the secret"))
        arbiter.denied = denied
        await refused(hub.channels.open([agent, other]))
        await refused(hub.tasks.start(agent, "the secret"))
        await refused(hub.approvals.gate(agent, "wipe", arguments="the secret"))
        await refused(agent.set_skill("the secret"))
        await refused(agent.unregister())
        await refused(channel.post(agent, "x"))
        await hub.flush()
    assert denials(recorder) == [
        (None, "evil", "register", "no", 1),
        *((agent.id, "a", name, "no", 1) for name in ("open", "start", "request", "set_skill", "unregister")),
    ]
    assert "the secret" not in str([each for each in recorder.events if isinstance(each, CommandDenied)])


async def test_a_flood_of_denials_is_one_event_a_second() -> None:
    """The first at once; the others are counted into the next."""
    recorder, clock = Recorder(), ManualClock()
    async with Hub(arbiter=Strict("start"), listeners=[recorder], clock=clock) as hub:
        agent = await hub.agents.register("a")
        for _ in range(3):
            for _ in range(1000):
                await refused(hub.tasks.start(agent, "x"))
            await advance(clock, 1.0)
        await advance(clock, 1.0)
        await refused(hub.tasks.start(agent, "x"))
        await refused(hub.tasks.start(agent, "x"))
        await until_idle()
    assert [each[-1] for each in denials(recorder)] == [1, 999, 1000, 1000, 1, 1]


async def test_different_denials_are_bounded_too() -> None:
    """A caller that invents names leaves a bounded number of events, with the true count."""
    recorder, clock = Recorder(), ManualClock()
    async with Hub(arbiter=Strict("register"), listeners=[recorder], clock=clock) as hub:
        for number in range(1000):
            await refused(hub.agents.register(f"evil-{number}"))
        await advance(clock, 1.0)
        await hub.flush()
    found = denials(recorder)
    assert len(found) == 102
    assert sum(each[-1] for each in found) == 1000


async def test_a_failing_arbiter_leaves_an_event_without_its_text() -> None:
    """The text of a foreign exception may hold a secret; the caller gets it."""

    class Broken:
        def authorize(self, _: Command) -> Any:
            raise RuntimeError("password=1234")

    recorder = Recorder()
    async with Hub(arbiter=Broken(), listeners=[recorder]) as hub:
        with pytest.raises(AccessDenied, match="password"):
            await hub.agents.register("a")
        await hub.flush()
    assert denials(recorder) == [(None, "a", "register", "the arbiter failed: RuntimeError", 1)]


async def test_answering_denials_by_denied_commands_ends() -> None:
    """A listener that does so is stopped by the depth of causes, and by the counting."""

    class Stubborn:
        calls = 0

        async def on_events(self, events: list[Event]) -> None:
            for event in events:
                if event.kind == "command.denied":
                    Stubborn.calls += 1
                    await refused(hub.agents.register(f"again-{Stubborn.calls}"))

    clock = ManualClock()
    async with Hub(arbiter=Strict("register"), listeners=[Stubborn()], clock=clock) as hub:
        await refused(hub.agents.register("first"))
        await hub.flush()
        for _ in range(5):
            await advance(clock, 1.0)
        await hub.flush()
    assert Stubborn.calls < 50


async def test_a_denial_is_the_hubs_alone_and_replays() -> None:
    """No caller emits one; what was counted is reported at the close; hostile text is bounded and can be read."""
    store = MemoryStore()
    arbiter = Strict("register", reason="no \ue000" * 1000)
    async with Hub(store, arbiter=arbiter) as hub:
        for _ in range(3):
            await refused(hub.agents.register("n" * 10_000))
        with pytest.raises(CommandRejected, match="when the arbiter denies"):
            await hub.emit(CommandDenied(agent_name="a", command_name="b", reason="c"))
    async with Hub(store) as hub:
        found = [event for event in await history(hub) if isinstance(event, CommandDenied)]
    assert [event.count for event in found] == [1, 2]
    assert {(len(event.reason), len(event.agent_name)) for event in found} == {(1000, 255)}
