"""Filters: what listens or reads may ask for the events of one tenant, one agent or one channel."""

from __future__ import annotations

from typing import Any

import pytest

from hubwire import Duty, Event, GenericEvent, Hub, scope
from hubwire._delivery.matcher import Filters, Matcher, matcher_of
from hubwire.errors import ConfigurationError
from hubwire.events import ListenerDetached
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder


def tried(number: int, **header: Any) -> GenericEvent:
    return GenericEvent(kind="tool.tried", data={"number": number}, **header)


def numbers(events: Any) -> list[int]:
    return [each.data["number"] for each in events if each.kind == "tool.tried"]


# --- listeners ------------------------------------------------------------------------------------------------------


async def test_a_function_sees_the_events_of_one_tenant() -> None:
    heard: list[Event] = []
    async with Hub() as hub:
        hub.on("tool.*", tenant="acme", in_loop=True)(heard.append)
        for number in range(9):
            with scope(tenant=("acme", "globex", "ac")[number % 3]):
                await hub.emit(tried(number))
        await hub.emit(tried(9))
        await hub.emit(GenericEvent(kind="other.tried", tenant="acme"))
        await hub.flush()
    assert numbers(heard) == [0, 3, 6]
    assert len(heard) == 3


@pytest.mark.parametrize("how", ["handle", "id", "name"])
async def test_a_listener_sees_the_events_of_one_agent(how: str) -> None:
    async with Hub() as hub:
        a, b = await hub.agents.register("a"), await hub.agents.register("b")
        seen = Recorder()
        given: dict[str, Any] = {"handle": a, "id": a.id, "name": "a"}
        hub.attach(seen, agent=given[how])
        for number, each in enumerate((a, b, None)):
            await hub.emit(tried(number, agent_id=each and each.id))
        await a.set_skill("cooks")
        await hub.flush()
    assert [each.kind for each in seen.events] == ["tool.tried", "agent.skill_set"]


async def test_an_agent_is_named_before_it_is_there() -> None:
    """A name means the agent that has it when it is first seen, and that one from then on."""
    seen = Recorder()
    hub = Hub()
    hub.attach(seen, agent="late", pattern=["agent.*", "tool.*"])
    async with hub:
        await hub.agents.register("other")
        late = await hub.agents.register("late")
        await hub.flush()
        await late.unregister()
        again = await hub.agents.register("late")
        await hub.emit(tried(1, agent_id=again.id))
        await hub.flush()
    assert {each.agent_id for each in seen.events} == {late.id}
    assert [each.kind for each in seen.events] == ["agent.registered", "agent.unregistered"]


@pytest.mark.parametrize("how", ["handle", "id"])
async def test_a_listener_sees_the_events_of_one_channel(how: str) -> None:
    async with Hub() as hub:
        a, b = await hub.agents.register("a"), await hub.agents.register("b")
        one, two = await hub.channels.open([a, b]), await hub.channels.open([a, b])
        seen = Recorder()
        hub.attach(seen, channel=one if how == "handle" else one.id, agent=b, pattern="envelope.*")
        for each in (one, two):
            await each.post(a, "to b")
            await each.post(b, "to a")
        await hub.flush()
    assert [(each.kind, each.channel_id, each.agent_id) for each in seen.events] == [("envelope.posted", one.id, b.id)]


async def test_what_a_filter_leaves_out_is_passed() -> None:
    """A DURABLE listener's position moves on over the events of others, and after a restart it does not see them."""
    store, seen = MemoryStore(), Recorder()
    async with Hub(store) as hub:
        mine = hub.attach(seen, name="mine", duty=Duty.DURABLE, tenant="acme")
        await hub.emit(tried(0, tenant="acme"))
        for number in range(1, 600):
            await hub.emit(tried(number, tenant="globex"))
        await hub.flush()
        assert mine.statistics().lag == 0
    later = Recorder()
    async with Hub(store) as hub:
        hub.attach(later, name="mine", duty=Duty.DURABLE, tenant="acme")
        await hub.emit(tried(600, tenant="acme"))
        await hub.flush()
    assert (numbers(seen.events), numbers(later.events)) == ([0], [600])


# --- readers --------------------------------------------------------------------------------------------------------


async def test_a_reader_gets_the_history_of_one_tenant() -> None:
    async with Hub(MemoryStore()) as hub:
        await hub.emit_many([tried(number, tenant="acme" if number % 5 == 0 else "globex") for number in range(20)])
        mine = hub.events(after=-1, pattern="tool.*", tenant="acme")
        assert numbers(await mine.take()) == [0, 5, 10, 15]
        everything = hub.events(after=-1, pattern="*", tenant="acme")
        assert numbers(await everything.take()) == [0, 5, 10, 15]


async def test_a_reader_gets_the_history_of_one_agent_and_channel() -> None:
    async with Hub(MemoryStore()) as hub:
        a, b = await hub.agents.register("a"), await hub.agents.register("b")
        channel = await hub.channels.open([a, b])
        await channel.post(a, "x")
        await channel.post(b, "y")
        both = await hub.events(after=-1, agent="b", channel=channel).take()
        assert [each.kind for each in both] == ["envelope.posted"]
        assert both[0].agent_id == b.id


# --- what is no filter ----------------------------------------------------------------------------------------------

WRONG: list[dict[str, Any]] = [
    *({"tenant": each} for each in (3, b"acme", "", "x" * 501, "\ud800", ["acme"])),
    *({"agent": each} for each in (3, "", "x" * 501, "\ud800", ...)),
    *({"channel": each} for each in (3, "", "x" * 501, "\ud800", ...)),
]


@pytest.mark.parametrize("given", WRONG, ids=repr)
async def test_what_is_no_filter_is_refused(given: dict[str, Any]) -> None:
    async with Hub() as hub:
        for call, name in ((hub.on, "hub.on()"), (hub.events, "hub.events()")):
            with pytest.raises(ConfigurationError) as caught:
                call(**given)
            assert str(caught.value).startswith(f"{name}: {next(iter(given))} is ")
        with pytest.raises(ConfigurationError, match=r"hub\.attach\(\): "):
            hub.attach(Recorder(), **given)
        assert hub.attachments == ()


async def test_functions_with_a_priority_have_filters_of_their_own() -> None:
    heard: list[tuple[str, Event]] = []
    async with Hub() as hub:
        hub.on("tool.*", priority=1, tenant="acme", in_loop=True)(lambda event: heard.append(("low", event)))
        hub.on("tool.*", priority=2, in_loop=True)(lambda event: heard.append(("high", event)))
        await hub.emit(tried(1, tenant="acme"))
        await hub.emit(tried(2, tenant="globex"))
        await hub.flush()
    assert [(name, *numbers([each])) for name, each in heard] == [("high", 1), ("low", 1), ("high", 2)]


def test_without_a_filter_the_plain_matcher_selects() -> None:
    """What is not asked for costs nothing."""
    assert type(matcher_of("tool.*", None)) is Matcher
    assert type(matcher_of("tool.*", Filters(tenant="acme"))) is not Matcher


def test_a_filter_keeps_out_events_about_the_attachment_itself() -> None:
    matcher = matcher_of("*", Filters(tenant="acme"), about="mine", newest_about=lambda: 10)
    events = [
        ListenerDetached(listener="mine", reason="x", tenant="acme", seq=1),
        ListenerDetached(listener="other", reason="x", tenant="acme", seq=2),
        GenericEvent(kind="tool.tried", tenant="acme", seq=3),
        GenericEvent(kind="tool.tried", seq=4),
    ]
    assert [each.seq for each in matcher.select(events)] == [2, 3]
