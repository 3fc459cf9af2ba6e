"""What the arbiter is asked about beside posts: dead letters, timers, recorded turns, verdicts taken over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hubwire import Hub, InboxRule, scope
from hubwire.arbiter import Allow, Command, Deny
from hubwire.errors import AccessDenied
from hubwire.testing import Recorder, history, peek


class Asked:
    """Keeps what it was asked, and denies some commands."""

    def __init__(self, *denied: str) -> None:
        self.denied = denied
        self.commands: list[Command] = []

    def authorize(self, command: Command) -> Allow | Deny:
        self.commands.append(command)
        return Deny("not now") if command.name in self.denied else Allow()

    def of(self, name: str) -> list[Command]:
        return [each for each in self.commands if each.name == name]


class World:
    """A hub with an agent that has a dead letter and a timer."""

    def __init__(self, hub: Hub, arbiter: Asked) -> None:
        self.hub = hub
        self.arbiter = arbiter

    async def fill(self) -> None:
        hub = self.hub
        self.boss = await hub.agents.register("boss")
        self.clerk = await hub.agents.register("clerk", rule={"inbox": InboxRule(deliveries_max=1)})
        self.channel = await hub.channels.open([self.boss, self.clerk])
        self.posted = await self.channel.post(self.boss, {"file": 7})
        await (await anext(self.clerk.inbox())).nack("stuck")
        self.timer = await hub.timers.after(60, "lunch", {"at": "noon"}, agent=self.clerk, channel=self.channel)


COMMANDS: dict[str, tuple[str, Callable[[World], Awaitable[Any]]]] = {
    "redeliver": ("redeliver", lambda world: world.hub.inboxes.redeliver(world.hub.inboxes.dead_letters()[0])),
    "discard": ("discard", lambda world: world.hub.inboxes.discard(world.hub.inboxes.dead_letters()[0])),
    "timer": ("cancel_timer", lambda world: world.timer.cancel("fasting")),
    "agent's timer": (
        "cancel_timer",
        lambda world: world.hub.acting_as("clerk").timers.get(world.timer.id).cancel("fasting"),
    ),
    "turn": ("emit", lambda world: world.hub.acting_as("clerk").turns.turn("clerk").__aenter__()),
    "model": ("emit", lambda world: world.hub.acting_as("clerk").turns.model("m").__aenter__()),
    "tool": ("emit", lambda world: world.hub.turns.tool("t", agent="clerk").__aenter__()),
    "record": (
        "answer",
        lambda world: world.hub.approvals.record("clerk", "deploy", approver="ann", is_passed=True),
    ),
}


@pytest.mark.parametrize("what", COMMANDS)
async def test_what_is_denied_has_not_happened(what: str) -> None:
    """Nothing but the report of the denial."""
    name, command = COMMANDS[what]
    recorder = Recorder()
    arbiter = Asked(name)
    async with Hub(arbiter=arbiter, listeners=[recorder]) as hub:
        world = World(hub, arbiter)
        await world.fill()
        before, state = len(await history(hub)), peek(hub)
        with pytest.raises(AccessDenied, match="not now"):
            await command(world)
        denied: Any = await recorder.wait_for("command.denied")
        assert denied.command_name == name
        assert [event.kind for event in (await history(hub))[before:]] == ["command.denied"]
        assert peek(hub) == state


async def test_the_arbiter_sees_dead_letters_and_timers_whole() -> None:
    """Whose they are, what they hold, and why they are to go."""
    arbiter = Asked()
    async with Hub(arbiter=arbiter) as hub:
        world = World(hub, arbiter)
        await world.fill()
        await hub.inboxes.redeliver(hub.inboxes.dead_letters()[0], reason="mended")
        await (await anext(world.clerk.inbox())).nack("stuck again")
        await hub.inboxes.discard(hub.inboxes.dead_letters()[0], reason="hopeless")
        await world.timer.cancel("fasting")
        for name, reason in (("redeliver", "mended"), ("discard", "hopeless")):
            (command,) = arbiter.of(name)
            assert (command.agent_id, command.others, command.content) == (None, ("clerk",), {"file": 7})
            assert command.channel_id == world.channel.id
            assert command.facts["envelope_id"] == world.posted.envelope_id
            assert (command.facts["sender_id"], command.facts["reason"]) == (world.boss.id, reason)
        (command,) = arbiter.of("cancel_timer")
        assert (command.agent_name, command.channel_id, command.content) == ("clerk", world.channel.id, {"at": "noon"})
        assert command.facts == {"name": "lunch", "timer_id": world.timer.id, "task_id": None, "reason": "fasting"}


async def test_the_arbiter_sees_recorded_calls_as_emitted() -> None:
    """Their beginnings, with the agent of the scope that they are made in; the ends of what it allowed are facts."""
    arbiter = Asked()
    async with Hub(arbiter=arbiter) as hub:
        world = World(hub, arbiter)
        await world.fill()
        async with hub.turns.turn("clerk", prompt="file it", channel=world.channel) as turn:
            arguments = {"drawer": [1]}
            call = turn.tool("open", arguments)
            async with call:
                arguments["drawer"].append(2)
        with scope(agent=world.boss):
            async with hub.turns.model("m", request="x" * 100):
                pass
        begun, opened, asked = arbiter.of("emit")
        assert begun.facts == {"kind": "turn.started"}
        assert (begun.agent_name, begun.present, begun.content.prompt) == ("clerk", ("boss", "clerk"), "file it")
        assert (opened.agent_name, opened.facts["kind"], opened.content.arguments) == (
            "clerk",
            "tool.called",
            {"drawer": (1,)},
        )
        assert (asked.agent_name, asked.facts["kind"]) == ("boss", "model.called")
        (called,) = [event for event in await history(hub) if event.kind == "tool.called"]
        assert called.arguments == {"drawer": (1,)}  # type: ignore[attr-defined]


async def test_a_payload_too_large_is_left_out_for_the_arbiter_too() -> None:
    """A call with an arbiter is recorded as one without."""
    arbiter = Asked()
    async with Hub(arbiter=arbiter, event_bytes_max=10_000) as hub:
        agent = await hub.agents.register("a")
        async with hub.turns.tool("t", "x" * 50_000, agent=agent):
            pass
        (asked,) = arbiter.of("emit")
        assert "left_out" in asked.content.arguments


async def test_a_verdict_taken_over_is_an_answer() -> None:
    """Who says yes through ``record`` is decided about as who does through ``answer``."""
    arbiter = Asked()
    async with Hub(arbiter=arbiter) as hub:
        await hub.agents.register("a")
        approval_id = await hub.approvals.record("a", "deploy", approver="ann", is_passed=True, reason="seen")
        (answer,) = arbiter.of("answer")
        assert answer.content == {
            "approval_id": approval_id,
            "approver": "ann",
            "is_passed": True,
            "reason": "seen",
            "arguments": None,
        }
