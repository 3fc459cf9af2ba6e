"""What the errors of wrong calls say: the call, the argument, what is wanted, and what to do."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest

from hubwire import Hub, Position, RetryPolicy, Turn, handles, message
from hubwire.errors import CallerError, CommandRejected, ConfigurationError, InvalidCursor, NotFound
from hubwire.stores import MemoryStore
from hubwire.testing import peek
from support.odd import Nameless


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"store": "./data"}, "store is a KnowledgeStore with read, append, list, not './data'"),
        ({"approvals": True}, "approvals is a hubwire.ApprovalPolicy, not True"),
        ({"arbiter": {}}, "arbiter is an Arbiter with authorize"),
        ({"listeners": object()}, "listeners is a list of listeners"),
        ({"ring": 2.5}, "ring must be a whole number"),
    ],
)
def test_a_hub_says_what_it_is_made_of(settings: dict[str, Any], message: str) -> None:
    """Before anything is made."""
    with pytest.raises(ConfigurationError, match=message.replace("(", r"\(")):
        Hub(**settings)


FORGED: dict[str, Any] = {"is_notice": True, "hops": 5, "recipients": ["z"], "channel_state": {}, "metadata": {}}


async def test_origins_name_a_source_and_nothing_else() -> None:
    """No keyword of a command sets another field of its event; a misspelled one is recognised."""
    store = MemoryStore()
    async with Hub(store) as hub:
        agent = await hub.agents.register("a", source="s", source_id="1", occurred_at="2020-01-01T00:00:00Z")
        channel, before = await hub.channels.open([agent]), hub.statistics().applied
        for key, value in FORGED.items():
            forged: dict[str, Any] = {key: value}
            for call in (
                channel.post(agent, "x", **forged),
                hub.agents.register("b", **forged),
                hub.channels.open([agent], **forged),
                hub.tasks.start(agent, "t", **forged),
                hub.tasks.observe(agent, "t", task_id="t", **forged),
                channel.close(**forged),
            ):
                with pytest.raises(CommandRejected, match=f"takes no '{key}'"):
                    await call
        for value in ("yesterday", "2020-01-01", "2020-01-01T00:00:00", "2020-01-01T01:00:00+01:00", 5):
            with pytest.raises(CommandRejected, match="occurred_at is a moment"):
                await channel.post(agent, "x", occurred_at=value)  # type: ignore[arg-type]
        with pytest.raises(CommandRejected, match="did you mean priority"):
            await channel.post(agent, "x", prioritty="urgent")  # type: ignore[call-arg]
        assert hub.statistics().applied == before


async def test_names_are_taken_where_ids_are() -> None:
    """No name is an id, so it is clear which is meant; only the two look-ups tell them apart."""
    async with Hub() as hub:
        agent, other = await hub.agents.register("coder"), await hub.agents.register("other")
        channel = await hub.channels.open(["coder"], roles={"coder": "lead"})
        await channel.join("other")
        assert (channel.participants, channel.roles[agent.id]) == ((agent.id, other.id), "lead")
        assert (await hub.tasks.start("coder", "t")).agent_id == agent.id
        assert (await channel.post("other", "hello", to=["coder"])).recipients == (agent.id,)
        with pytest.raises(NotFound, match=f"the name of the agent with the id {agent.id}"):
            hub.agents.get("coder")
        with pytest.raises(CommandRejected, match=r"use hub\.agents\.get"):
            hub.agents.find(agent.id)


async def test_wrong_types_are_refused_by_name() -> None:
    """A text is no list, an agent is no list, a number is no pattern; nothing has changed."""
    async with Hub() as hub:
        agent: Any = await hub.agents.register("a")
        channel: Any = await hub.channels.open([agent])
        before = peek(hub)
        calls: list[tuple[Any, str]] = [
            (lambda: channel.post(agent, "x", to="abc"), r"channel\.post\(\): to is a list of agents, not 'abc'"),
            (lambda: channel.post(agent, "x", to=cast(Any, agent)), "put it into a list"),
            (lambda: hub.channels.open(cast(Any, agent)), r"open\(\): participants is a list of agents"),
            (lambda: hub.agents.register("b", capabilities="python"), r"write \['python'\]"),
            (
                lambda: hub.ask(agent, agent, "?", timeout=cast(Any, "1")),
                r"hub\.ask\(\): timeout is a number of seconds",
            ),
            (lambda: hub.flush(timeout=float("nan")), r"hub\.flush\(\): timeout is a number of seconds"),
        ]
        for call, message in calls:
            with pytest.raises(CallerError, match=message):
                await call()
        with pytest.raises(ConfigurationError, match=r"hub\.on\(\): pattern is a list of kinds, not 3"):
            hub.on(3)  # type: ignore[call-overload]
        assert peek(hub) == before


async def test_an_error_names_the_spawn_that_was_called() -> None:
    """What an agent is registered with is checked by the registration, which the program has not called."""

    async def actor(turn: Turn) -> None: ...

    async with Hub() as hub:
        group = hub.supervise("group")
        calls = {"hub.spawn()": hub.spawn, "group.spawn()": group.spawn, "hub.agents.register()": hub.agents.register}
        for given in ({"capabilities": [1]}, {"capabilities": 1}, {"skill": 7}, {"passport": "x"}, {"resume": "x"}):
            for name, call in calls.items():
                with pytest.raises(CommandRejected, match=f"^{re.escape(name)}: "):
                    await call(actor if "spawn" in name else "actor", **given)  # type: ignore[operator]
        assert hub.agents.list() == []


async def test_what_hides_its_class_is_refused_as_any_other() -> None:
    """To ask for the class of an argument may run a stranger's code, which may raise."""
    hostile: Any = Nameless()
    async with Hub() as hub:
        for call in (
            lambda: hub.approvals.use(hostile),
            lambda: hub.spawn(hostile),
            lambda: hub.ask(hostile, hostile, "?"),
            lambda: hub.agents.register("x", capabilities=hostile),
        ):
            with pytest.raises(CallerError):
                await call()
    for make in (
        lambda: Hub().channels.register_violation_handler("x", hostile),
        lambda: RetryPolicy(never_for=hostile),
        lambda: RetryPolicy(never_for=(hostile,)),
        lambda: message(hostile),
        lambda: handles(hostile),
        lambda: Position.parse(hostile),
    ):
        with pytest.raises((CallerError, InvalidCursor)):
            make()
