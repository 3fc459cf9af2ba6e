"""What is private and what strangers wrote do not both reach what goes out: pairs are allowed, the three are not."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from itertools import permutations
from typing import Any

import pytest

from hubwire import Agent, Hub
from hubwire.arbiter import Deny
from hubwire.context import scope
from hubwire.errors import AccessDenied, ConfigurationError
from hubwire.events import ToolCalled, ToolCompleted
from hubwire.listeners import AuditLog
from hubwire.outbound import PrivateUntrustedOutbound
from hubwire.provenance import provenance
from hubwire.stores import MemoryStore


def rule(**more: Any) -> PrivateUntrustedOutbound:
    return PrivateUntrustedOutbound(
        private=["read_mail", "memory"],
        untrusted=["fetch_*", "web"],
        outbound=["send_*", "agent:mailer", "topic:out.*"],
        **more,
    )


class World:
    """A hub with the rule, and the acts of one run."""

    def __init__(self, hub: Hub, a: Agent, b: Agent, mailer: Agent) -> None:
        self.hub, self.a, self.b, self.mailer = hub, a, b, mailer
        self.number = 0

    @classmethod
    async def on(cls, hub: Hub) -> World:
        names = ("a", "b", "mailer")
        return cls(hub, *[hub.agents.find(name) or await hub.agents.register(name) for name in names])

    async def tool(self, name: str, words: tuple[str, ...] = ()) -> None:
        self.number += 1
        call = f"{name}-{self.number}"
        metadata = provenance(*words) if words else None
        await self.hub.emit(ToolCalled(tool=name, call_id=call))
        await self.hub.emit(ToolCompleted(tool=name, call_id=call, result="x", metadata=metadata))

    async def act(self, what: str, run: str = "run") -> None:
        with scope(correlation_id=run):
            await {
                "private": lambda: self.tool("read_mail"),
                "untrusted": lambda: self.tool("fetch_page"),
                "outbound": lambda: self.tool("send_mail"),
                "web": lambda: self.tool("look", ("web",)),
                "memory": lambda: self.tool("look", ("memory",)),
            }[what]()


ACTS = ("private", "untrusted", "outbound")


@pytest.mark.parametrize("acts", list(permutations(ACTS, 2)), ids="-".join)
async def test_any_two_are_allowed(acts: tuple[str, str]) -> None:
    async with Hub(arbiter=rule()) as hub:
        world = await World.on(hub)
        for act in acts * 2:
            await world.act(act)


@pytest.mark.parametrize("first", list(permutations(("private", "untrusted"))), ids="-".join)
async def test_all_three_are_refused(first: tuple[str, str]) -> None:
    async with Hub(arbiter=rule()) as hub:
        world = await World.on(hub)
        for act in first:
            await world.act(act)
        with pytest.raises(AccessDenied, match=r"send_mail.*read_mail.*fetch_page"):
            await world.act("outbound")
        await world.act("outbound", "another run")


async def test_what_went_out_before_is_no_harm_and_what_goes_after_is_refused() -> None:
    async with Hub(arbiter=rule()) as hub:
        world = await World.on(hub)
        for act in ("outbound", "private", "untrusted"):
            await world.act(act)
        with pytest.raises(AccessDenied):
            await world.act("outbound")


async def test_provenance_counts_as_tools_do() -> None:
    async with Hub(arbiter=rule()) as hub:
        world = await World.on(hub)
        await world.act("web")
        await world.act("memory")
        with pytest.raises(AccessDenied, match=r"private \(memory\).*wrote \(web\)"):
            await world.act("outbound")


async def post(world: World) -> object:
    channel = await world.hub.channels.open([world.a, world.mailer])
    return await channel.post(world.a, "x", to=[world.mailer])


async def post_to_all(world: World) -> object:
    channel = await world.hub.channels.open([world.a, world.b, world.mailer])
    return await channel.post(world.a, "x")


async def publish(world: World) -> object:
    return await world.hub.topics.publish("out.mail", "x", sender=world.a)


async def request(world: World) -> object:
    return await world.hub.approvals.request(world.a, "send_money")


async def call(world: World) -> object:
    world.number += 1
    return await world.hub.emit(ToolCalled(tool="send_mail", call_id=f"own-{world.number}"))


Way = Callable[[World], Coroutine[Any, Any, object]]


@pytest.mark.parametrize("way", [post, post_to_all, publish, request, call], ids=lambda way: way.__name__)
async def test_every_way_out_is_refused(way: Way) -> None:
    async with Hub(arbiter=rule()) as hub:
        world = await World.on(hub)
        with scope(correlation_id="clean"):
            await way(world)
        await world.act("private")
        await world.act("untrusted")
        with scope(correlation_id="run"), pytest.raises(AccessDenied):
            await way(world)


async def test_a_post_that_brings_the_second_goes_out_no_more() -> None:
    """What it carries counts before it goes."""
    async with Hub(arbiter=rule()) as hub:
        world = await World.on(hub)
        channel = await hub.channels.open([world.a, world.mailer])
        with scope(correlation_id="run"):
            await channel.post(world.a, "a page", provenance=["web"])
            with pytest.raises(AccessDenied):
                await channel.post(world.a, "a diary", provenance=["memory"])


async def test_a_channel_is_a_run_where_there_is_no_correlation() -> None:
    async with Hub(arbiter=rule()) as hub:
        world = await World.on(hub)
        channel = await hub.channels.open([world.a, world.b, world.mailer])
        other = await hub.channels.open([world.a, world.mailer])
        await channel.post(world.a, "x", to=[world.b], provenance=["web"])
        await channel.post(world.a, "x", to=[world.b], provenance=["memory"])
        with pytest.raises(AccessDenied):
            await channel.post(world.a, "x", to=[world.mailer])
        await other.post(world.a, "x")


@pytest.mark.parametrize("path", ["/audit", "/journal"])
async def test_it_holds_over_a_restart(path: str) -> None:
    store = MemoryStore()
    async with Hub(store, arbiter=rule(), listeners=[AuditLog(store)]) as hub:
        world = await World.on(hub)
        await world.act("private")
        await world.act("untrusted")
        await world.act("private", "half")
    again = rule()
    assert await again.learn(store, path) == 2
    async with Hub(store, arbiter=again, listeners=[AuditLog(store)]) as hub:
        world = await World.on(hub)
        world.number = 100
        with pytest.raises(AccessDenied):
            await world.act("outbound")
        await world.act("outbound", "half")
        await world.act("untrusted", "half")
        with pytest.raises(AccessDenied):
            await world.act("outbound", "half")


async def test_what_it_allows_another_arbiter_decides() -> None:
    class Never:
        def authorize(self, command: Any) -> Deny:
            return Deny("never")

    async with Hub(arbiter=rule(then=Never())) as hub:
        with pytest.raises(AccessDenied, match="never"):
            await hub.agents.register("a")


async def test_two_hubs_have_runs_of_their_own() -> None:
    async with Hub(arbiter=rule()) as one, Hub(arbiter=rule()) as other:
        worlds = await World.on(one), await World.on(other)
        await worlds[0].act("private")
        await worlds[0].act("untrusted")
        await worlds[1].act("outbound")
        with pytest.raises(AccessDenied):
            await worlds[0].act("outbound")


@pytest.mark.slow
async def test_a_hundred_thousand_runs_are_bounded() -> None:
    store = MemoryStore()
    audit = AuditLog(store, redactor=None)
    for first in range(0, 101_000, 1_000):
        await audit.append_many(
            [
                {"kind": "tool.called", "tool": "read_mail", "seq_": n, "correlation_id": f"r{n}"}
                for n in range(first, first + 1_000)
            ]
        )
    await audit.aclose()
    learned = rule()
    assert await learned.learn(store) == 0  # they are no events of a hub
    for number in range(101_000):
        learned._remember(f"r{number}", "private", "x")
    assert len(learned._met) == 100_000


@pytest.mark.parametrize("name", ["private", "untrusted", "outbound"])
def test_what_are_no_globs_is_refused(name: str) -> None:
    odd: list[Any] = [None, "x", 1, b"x", [], [1], [None], [""], ["\ud800"], {"a": 1}, object()]
    for wrong in odd:
        with pytest.raises(ConfigurationError, match=rf"PrivateUntrustedOutbound\(\): (each of )?{name}"):
            PrivateUntrustedOutbound(**{"private": ["x"], "untrusted": ["x"], "outbound": ["x"], name: wrong})


def test_what_is_no_arbiter_is_refused() -> None:
    odd: list[Any] = [1, "x", object(), PrivateUntrustedOutbound]
    for wrong in odd:
        with pytest.raises(ConfigurationError, match="then is an arbiter"):
            rule(then=wrong)
