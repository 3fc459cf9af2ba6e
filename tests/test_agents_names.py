"""Names of agents: taken where ids are, found or refused with the nearest, and used in messages."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hubwire import Hub, Turn
from hubwire.errors import AskCycle, CommandRejected, NotFound
from hubwire.stores import MemoryStore
from support.house import ROOT


async def test_an_agent_is_found_by_its_name_or_refused() -> None:
    """The error names the nearest of those that there are, or some of them."""
    async with Hub() as hub:
        with pytest.raises(NotFound, match="no agent 'planner' is registered"):
            hub.agents.named("planner")
        planner = await hub.agents.register("planner")
        await hub.agents.register("coder")
        assert hub.agents.named("planner") == planner
        with pytest.raises(NotFound, match=r"no agent 'planer' is registered; .*; did you mean 'planner'"):
            hub.agents.named("planer")
        with pytest.raises(NotFound, match="registered are 'planner', 'coder'"):
            hub.agents.named("xyz")
        with pytest.raises(CommandRejected, match=r"use hub\.agents\.get"):
            hub.agents.named(planner.id)
        await planner.unregister()
        with pytest.raises(NotFound):
            hub.agents.named("planner")


async def test_what_is_no_name_is_refused() -> None:
    """Wrong types and hostile text; a long one is not compared with all names."""
    async with Hub() as hub:
        await hub.agents.register("planner")
        wrong: list[Any] = [None, 5, b"planner", ["planner"], "\ud800"]
        for value in wrong:
            with pytest.raises(CommandRejected, match="name is the name of an agent"):
                hub.agents.named(value)
        with pytest.raises(NotFound) as caught:
            hub.agents.named("x" * 1_000_000)
        assert len(str(caught.value)) < 500


async def test_a_missing_name_among_very_many_is_refused_too() -> None:
    """Only a thousand of them are compared, whatever their number."""
    async with Hub() as hub:
        agents = hub._parts.state.agents
        agents._id_by_name |= {f"agent {number}": "0" * 32 for number in range(100_000)}
        with pytest.raises(NotFound, match="did you mean 'agent 999'"):
            hub.agents.named("agent 9999999")


async def test_messages_name_agents() -> None:
    """By the name that a person knows, not by thirty-two digits."""
    async with Hub() as hub:
        planner, coder = await hub.agents.register("planner"), await hub.agents.register("coder")
        channel = await hub.channels.open([planner])
        task = await hub.tasks.start(planner, "plan")
        calls: list[tuple[Any, str]] = [
            (lambda: channel.post(coder, "x"), "agent 'coder' is not a participant"),
            (lambda: channel.post(planner, "x", to=[coder]), "'coder' cannot be addressed"),
            (lambda: channel.join(planner), "agent 'planner' is a participant"),
            (lambda: channel.leave(coder), "agent 'coder' is not a participant"),
            (lambda: channel.accept(coder), "agent 'coder' has no invitation"),
            (lambda: hub.tasks.get(task.id, coder).complete(), "agent 'coder' does not own .* only agent 'planner'"),
        ]
        for call, message in calls:
            with pytest.raises(CommandRejected, match=message):
                await call()
        with pytest.raises(AskCycle, match="agent 'planner' asks itself"):
            await hub.ask("planner", planner, "x")


async def test_names_are_resolved_when_the_command_is_given() -> None:
    """An agent that takes over the name later is not addressed; after a restart, names mean what they meant."""
    store = MemoryStore()
    async with Hub(store) as hub:
        first = await hub.agents.register("coder")
        channel = await hub.channels.open(["coder"])
        await first.unregister()
        await hub.agents.register("coder")
    async with Hub(store) as hub:
        second = hub.agents.named("coder")
        assert second != first
        with pytest.raises(NotFound):
            hub.channels.get(channel.id)
        assert (await hub.channels.open(["coder"])).participants == (second.id,)


async def test_actors_are_asked_by_name() -> None:
    async def echo(turn: Turn) -> None:
        await turn.reply(turn.content)

    async def front(turn: Turn) -> None:
        await turn.reply((await turn.ask("echo", turn.content)).content)

    async with Hub() as hub:
        await hub.agents.register("boss")
        await hub.spawn(echo)
        await hub.spawn(front)
        assert (await hub.ask("boss", "front", 5)).content == 5


def test_what_was_probably_meant_is_asked_in_the_same_words_everywhere() -> None:
    """As Python and most commands do: a reader knows the form, and finds the name in it at once."""
    other = re.compile(r"\bis [^\s\"]{1,40} meant\?|nearest \w+ is |perhaps you meant|maybe you meant")
    sources = [path for folder in ("hub", "listeners", "stores") for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 100
    assert [str(path) for path in sources if other.search(path.read_text(encoding="utf-8"))] == []
