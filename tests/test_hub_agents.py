"""Agents: who they are, what they can do, and how they leave."""

from __future__ import annotations

from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from hubwire import Hub, InboxOverflow, InboxRule, Passport, Resume
from hubwire._state import State
from hubwire._state.agents import TASKS_MAX
from hubwire.errors import CommandRejected, ConfigurationError, NotFound
from hubwire.events import AgentSwitched
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder, peek
from support import Unscanned

PASSPORT = Passport(
    owner="team", provider="a provider", model="a model", region="eu", kind="human", cost={"latency_tier": "slow"}
)
RESUME = Resume(capabilities=["plan"], domains=["builds"], summary="plans builds", examples=[{"asked": "how?"}])


async def test_passport_resume_skill_and_rule_survive_a_restart() -> None:
    store = MemoryStore()
    rule = {"inbox": InboxRule(capacity=3, overflow=InboxOverflow.DROP_OLDEST), "tasks_max": 2}
    async with Hub(store) as hub:
        agent = await hub.agents.register(
            "planner", capabilities=["think"], passport=PASSPORT, resume=RESUME, skill="# Plan", rule=rule
        )
    async with Hub(store) as hub:
        found = hub.agents.get(agent.id)
        assert found == agent
        assert found.passport == PASSPORT
        assert found.resume == Resume(
            capabilities=["think", "plan"], domains=["builds"], summary="plans builds", examples=({"asked": "how?"},)
        )
        assert found.skill == "# Plan"
        assert found.rule is not None
        assert found.rule["tasks_max"] == 2
        assert found.rule["inbox"]["overflow"] == "drop_oldest"
        assert hub._parts.state.agents.get(agent.id).inbox_rule == rule["inbox"]


async def test_changes_of_an_agent_are_versioned() -> None:
    """Resume, skill and rule are replaced whole, and each replacement counts a version."""
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        agent = await hub.agents.register("planner", capabilities=["plan"], skill="old")
        await agent.set_resume(Resume(capabilities=["code"]))
        await agent.set_skill("new")
        assert agent.skill == "new"
        await agent.set_skill(None)
        await agent.set_rule({"tasks_max": 1})
        await hub.flush()
        assert agent.resume.capabilities == ("code",)
        assert agent.skill == ""
        assert agent.rule == {"tasks_max": 1}
        events: list[Any] = recorder.events[-4:]
        assert [event.kind for event in events] == [
            "agent.resume_set",
            "agent.skill_set",
            "agent.skill_set",
            "agent.rule_set",
        ]
        assert events[0].version == 2
        assert [event.removed for event in events[1:3]] == [False, True]
        assert events[3].version == 2


WRONG: list[tuple[type[Any], dict[str, Any]]] = [
    (Passport, {"kind": "robot"}),
    (Passport, {"owner": 5}),
    (Passport, {"model": chr(0xD800)}),
    (Passport, {"cost": 3}),
    (Resume, {"capabilities": "python"}),
    (Resume, {"domains": [1]}),
    (Resume, {"examples": "one"}),
    (InboxRule, {"capacity": 0}),
    (InboxRule, {"capacity": None}),
    (InboxRule, {"capacity": True}),
    (InboxRule, {"overflow": "reject"}),
    (InboxRule, {"deliveries_max": 0}),
    (InboxRule, {"high_water": -1}),
]


@pytest.mark.parametrize(("kind", "fields"), WRONG, ids=repr)
def test_impossible_values_are_refused_when_made(kind: type[Any], fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        kind(**fields)


@pytest.mark.parametrize(
    "rule",
    [5, "text", {"inbox": 5}, {"inbox": {"capacity": 0}}, {"inbox": {"overflow": "never"}}, {"inbox": {"size": 3}}],
    ids=repr,
)
async def test_an_impossible_rule_is_refused(rule: Any) -> None:
    async with Hub() as hub:
        agent = await hub.agents.register("planner")
        before = peek(hub)
        with pytest.raises(CommandRejected):
            await agent.set_rule(rule)
        with pytest.raises(CommandRejected):
            await hub.agents.register("coder", rule=rule)
        assert peek(hub) == before


@pytest.mark.parametrize("wrong", [5, "text", {"capabilities": 5}, {"summary": 7}, {"kind": "robot"}, []], ids=repr)
async def test_values_of_a_wrong_type_are_refused(wrong: Any) -> None:
    """Applied as an event, they could never be replayed: so the call is refused, and changes nothing."""
    store = MemoryStore()
    async with Hub(store) as hub:
        agent = await hub.agents.register("planner")
        before, seq = peek(hub), hub.statistics().committed
        for command in (
            lambda: agent.set_resume(wrong),
            lambda: hub.agents.register("coder", resume=wrong),
            lambda: hub.agents.register("coder", passport=wrong),
        ):
            with pytest.raises(CommandRejected, match=r"is a hubwire\.(Resume|Passport), not"):
                await command()
        assert (peek(hub), hub.statistics().committed) == (before, seq)
    async with Hub(store) as hub:
        assert hub.agents.find("planner") == agent


async def test_names_are_not_ids() -> None:
    """No name may be the id of an agent, or look like one."""
    async with Hub() as hub:
        agent = await hub.agents.register("planner")
        for name in (agent.id, "0" * 32, "0123456789abcdef" * 2):
            with pytest.raises(CommandRejected, match="looks like an agent's id"):
                await hub.agents.register(name)
        await hub.agents.register("0" * 31)


async def test_agents_are_found_by_capability() -> None:
    """An agent is found by what it claims and by what was observed of it."""
    async with Hub() as hub:
        planner = await hub.agents.register("planner", capabilities=["plan"])
        coder = await hub.agents.register("coder", capabilities=["python", "plan"])
        assert await coder.observe("t", capability="rust", ended="completed")
        assert hub.agents.list() == [planner, coder]
        assert hub.agents.list(capability="plan") == [planner, coder]
        assert hub.agents.list(capability="rust") == [coder]
        await coder.set_resume(Resume(capabilities=["go"]))
        assert hub.agents.list(capability="plan") == [planner]
        assert hub.agents.list(capability="python") == []
        assert hub.agents.list(capability="rust") == [coder]
        await coder.unregister()
        assert hub.agents.list(capability="go") == []
        assert hub.agents.list(capability="rust") == []
        with pytest.raises(NotFound):
            hub.agents.get(coder.id)


async def test_a_task_is_observed_once() -> None:
    """A second observation of a task is ignored, also after a restart."""
    store, recorder = MemoryStore(), Recorder()
    async with Hub(store, listeners=[recorder]) as hub:
        agent = await hub.agents.register("coder")
        assert await agent.observe("t1", capability="rust", ended="completed", latency_ms=30)
        assert not await agent.observe("t1", capability="rust", ended="failed")
        assert await agent.observe("t2", capability="rust", ended="failed", latency_ms=10)
        assert await agent.observe("t3", capability="rust", ended="expired", latency_ms=20.5)
        await hub.flush()
    assert recorder.kinds.count("agent.observed") == 3
    observed: Any = next(event for event in recorder.events[::-1] if event.kind == "agent.observed")
    assert (observed.task_id, observed.ended, observed.version) == ("t3", "expired", 4)
    assert observed.observation == {
        "n": 3,
        "completed": 1,
        "failed": 1,
        "expired": 1,
        "cancelled": 0,
        "p50_latency_ms": 20.5,
    }
    async with Hub(store) as hub:
        agent = hub.agents.get(agent.id)
        assert not await agent.observe("t2", capability="rust", ended="completed")
        known = agent.observations["rust"]
        assert (known.n, known.completed, known.failed, known.expired) == (3, 1, 1, 1)
        assert known.latencies_ms == (30, 10, 20.5)
        assert known.p50_latency_ms == 20.5


@pytest.mark.parametrize(
    "observed",
    [
        {"task_id": "t", "capability": "x", "ended": "vanished"},
        {"task_id": "", "capability": "x", "ended": "failed"},
        {"task_id": "t", "capability": 5, "ended": "failed"},
        {"task_id": "t", "capability": chr(0xD800), "ended": "failed"},
        {"task_id": "t", "capability": "x", "ended": "failed", "latency_ms": float("nan")},
        {"task_id": "t", "capability": "x", "ended": "failed", "latency_ms": -1},
    ],
    ids=repr,
)
def test_an_impossible_observation_is_refused(observed: dict[str, Any]) -> None:
    state = State()
    for event in state.agents.register("coder", (), agent_id="a"):
        state.apply(event)
    before = state.snapshot()
    with pytest.raises(CommandRejected):
        state.agents.observe("a", **observed)
    assert state.snapshot() == before


def test_remembered_tasks_are_bounded() -> None:
    state = State()
    for event in state.agents.register("coder", (), agent_id="a"):
        state.apply(event)
    for number in range(TASKS_MAX + 10):
        for event in state.agents.observe("a", task_id=f"t{number}", capability="x", ended="completed"):
            state.apply(event)
    assert len(state.agents._tasks["a"]) == TASKS_MAX
    assert state.agents.observe("a", task_id=f"t{TASKS_MAX}", capability="x", ended="completed") == []
    assert state.agents.get("a").observations[0].n == TASKS_MAX + 10


async def test_unregistering_leaves_all_channels() -> None:
    """An agent that unregisters leaves its channels by events, as if it had left each."""
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        planner, coder, critic = [await hub.agents.register(name) for name in ("planner", "coder", "critic")]
        pair = await hub.channels.open([planner, coder])
        alone = await hub.channels.open([coder])
        invited = await hub.channels.open([planner, critic, coder], invite=True, required_acks=1)
        await coder.unregister()
        await hub.flush()
        assert pair.participants == (planner.id,)
        with pytest.raises(NotFound):
            hub.channels.get(alone.id)
        assert hub.channels.list(agent=critic) == [invited]
        start = recorder.kinds.index("agent.unregistered")
        told = [(event.kind, event.channel_id) for event in recorder.events[start:]]
        assert told == [
            ("agent.unregistered", None),
            ("channel.participant_removed", pair.id),
            ("channel.participant_removed", alone.id),
            ("channel.closed", alone.id),
            ("channel.declined", invited.id),
        ]
        again = await hub.agents.register("coder")
        assert again.id != coder.id


async def test_leaving_thousands_of_channels_ends() -> None:
    """An agent leaves as many channels as it has, in batches."""
    store = MemoryStore()
    async with Hub(store) as hub:
        planner, coder = await hub.agents.register("planner"), await hub.agents.register("coder")
        state = hub._parts.state
        for number in range(2500):
            hub._pipeline.put(state.membership.open([planner.id, coder.id], "", channel_id=f"c{number}"))
        await hub.flush()
        before = hub.statistics().applied
        await coder.unregister()
        assert hub.statistics().applied - before >= 1000
        while state.channels.leaving:
            await checkpoint()
        assert all(entry.participants == (planner.id,) for entry in state.channels)
        assert hub.statistics().applied - before == 2501
    async with Hub(store) as hub:
        assert hub.statistics().channels == 2500


async def test_leaving_goes_on_after_a_crash() -> None:
    """A start completes what a crash interrupted while an agent was leaving its channels."""
    state = State()
    for agent_id in ("a", "b"):
        for event in state.agents.register(f"name of {agent_id}", (), agent_id=agent_id):
            state.apply(event)
    for channel_id in ("x", "y"):
        for event in state.membership.open(["a", "b"], "", channel_id=channel_id):
            state.apply(event)
    first, second, _ = state.endings.unregister("b")
    state.apply(first)
    state.apply(second)
    restored = State()
    restored.restore(state.snapshot())
    for each in (state, restored):
        assert each.next_due_ns() == 0
        for event in each.due(0, 100):
            each.apply(event)
        assert each.next_due_ns() is None
        assert [entry.participants for entry in each.channels] == [("a",), ("a",)]


async def test_a_switch_may_be_emitted() -> None:
    """`agent.switched` belongs to no state machine, so any program may emit it."""
    async with Hub() as hub:
        event = await hub.emit(AgentSwitched(from_agent="planner", to_agent="coder", reason="code"))
        assert event.kind == "agent.switched"


@pytest.mark.slow
@pytest.mark.parametrize("size", [100, 20_000])
def test_agents_cost_the_same_in_large_numbers(size: int) -> None:
    """Registering and finding scan nothing: the dictionaries of the machines are never iterated over."""
    state = State()
    for number in range(size):
        for event in state.agents.register(f"agent {number}", [f"c{number}"], agent_id=f"id{number}"):
            state.apply(event)

    for machine, names in (
        (state.agents, ("_by_id", "_id_by_name", "_by_capability")),
        (state.inboxes, ("_by_agent",)),
    ):
        for name in names:
            setattr(machine, name, Unscanned(getattr(machine, name)))
    for event in state.agents.register("one more", ["c7"], agent_id="more"):
        state.apply(event)
    assert [entry.agent_id for entry in state.agents.all("c7")] == ["id7", "more"]
    assert state.agents.find("agent 9") is not None
    for event in state.endings.unregister("more"):
        state.apply(event)
    assert [entry.agent_id for entry in state.agents.all("c7")] == ["id7"]
