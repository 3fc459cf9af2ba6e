"""A hub that redacts what it takes in: before it is applied, journaled and delivered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import hubwire.events
from hubwire import Agent, Channel, Event, GenericEvent, Hub, UnknownEvent, event
from hubwire.errors import ConfigurationError, PostRejected
from hubwire.events._event import own_fields
from hubwire.events._fit import types_of
from hubwire.redaction import RedactionRule, Redactor
from hubwire.redaction.ingress import _names
from hubwire.stores import MemoryStore

SECRET = "jane@example.com"


@event("ward.entered")
class Entered(Event):
    who: str
    pin: int = 0
    notes: tuple[str, ...] = ()


async def journal_of(store: MemoryStore) -> str:
    paths = await store.list("/journal")
    return "".join([await store.read(f"/journal/{path}") or "" for path in paths if not path.endswith("/")])


async def channel_on(hub: Hub) -> tuple[Agent, Agent, Channel]:
    a, b = await hub.agents.register("a"), await hub.agents.register("b")
    return a, b, await hub.channels.open([a, b], topic=f"with {SECRET}")


async def test_no_journal_and_no_listener_sees_a_secret() -> None:
    store, seen = MemoryStore(), list[Event]()

    async def listener(event: Event) -> None:
        seen.append(event)

    async with Hub(store, redactor=Redactor(), listeners=[listener]) as hub:
        a, _, channel = await channel_on(hub)
        posted = await channel.post(a, {"text": f"mail {SECRET}", "n": 1})
        emitted = await hub.emit(GenericEvent(kind="a.said", data={"email": SECRET}, actor=SECRET, agent_id="x"))
        hub.emit_nowait(GenericEvent(kind="a.said", data={"text": SECRET}))
        assert hub.offer(GenericEvent(kind="a.said", metadata={"by": SECRET}))
        task = await hub.tasks.start(a, f"call {SECRET}")
        await task.complete(result={"to": SECRET})
        await hub.timers.every(100, payload=[SECRET])
        await hub.flush()
    assert posted.content == {"text": "mail [redacted:email]", "n": 1}
    assert posted.metadata == emitted.metadata == {"redacted": "hubwire/1"}
    assert (emitted.actor, emitted.agent_id) == ("[redacted:email]", "x")
    assert SECRET not in await journal_of(store)
    assert SECRET not in repr(seen)


async def test_a_restart_reads_what_was_applied() -> None:
    """Each event is of its class, and equal."""
    store = MemoryStore()
    async with Hub(store, redactor=Redactor()) as hub:
        a, b, channel = await channel_on(hub)
        live: list[Event] = [await channel.post(a, SECRET)]
        live.append(await hub.emit(Entered(who=SECRET, pin=1234, notes=(f"of {SECRET}",))))
    async with Hub(store, redactor=Redactor()) as hub:
        delivery = await anext(hub.agents.get(b.id).inbox())
        assert delivery.content == "[redacted:email]"
        read = [each async for each in _until(hub, live[-1].seq)]
    assert [each for each in read if each.seq in (live[0].seq, live[1].seq)] == live
    assert live[1] == Entered(
        who="[redacted:email]",
        pin=0,
        notes=("of [redacted:email]",),
        **{name: getattr(live[1], name) for name in ("seq", "id", "at", "hub", "metadata")},
    )


async def _until(hub: Hub, seq: int) -> Any:
    async for each in hub.events(after=-1):
        yield each
        if each.seq == seq:
            return


async def test_a_clean_event_is_as_without_a_redactor() -> None:
    async with Hub(redactor=Redactor()) as hub:
        emitted = await hub.emit(Entered(who="ann", notes=("x",), metadata={"a": 1}))
        a, _, channel = await channel_on(hub)
        posted = await channel.post(a, {"prompt_tokens": 3})
    assert emitted.metadata == {"a": 1}
    assert (posted.content, posted.metadata) == ({"prompt_tokens": 3}, None)


async def test_a_key_means_the_same_post_again() -> None:
    store = MemoryStore()
    async with Hub(store, redactor=Redactor()) as hub:
        a, _, channel = await channel_on(hub)
        first = await channel.post(a, f"mail {SECRET}", idempotency_key="k")
        assert await channel.post(a, f"mail {SECRET}", idempotency_key="k") == first
    async with Hub(store, redactor=Redactor()) as hub:
        channel = hub.channels.get(channel.id)
        assert await channel.post(a.id, f"mail {SECRET}", idempotency_key="k") == first
        with pytest.raises(PostRejected, match="for another"):
            await channel.post(a.id, "hello", idempotency_key="k")


async def test_approved_arguments_stay() -> None:
    """Who approves has to see what will be done, and that is what is done."""
    async with Hub(redactor=Redactor()) as hub:
        a = await hub.agents.register("a")
        approval = await hub.approvals.request(a, "mail", arguments={"to": SECRET})
        assert await hub.approvals.arguments(approval) == {"to": SECRET}


class Stop(BaseException):
    pass


def raising(_: str) -> list[tuple[int, int]]:
    raise Stop


def no_pairs(_: str) -> Any:
    return ["x"]


@pytest.mark.parametrize("find", [raising, no_pairs])
async def test_a_failing_rule_keeps_the_events(find: Callable[[str], Any]) -> None:
    """Contents are withheld, and the hub says so; nothing that it needs is."""
    store, rule = MemoryStore(), RedactionRule("bad", find=find)
    async with Hub(store, redactor=Redactor(rules=[rule])) as hub:
        a, _, channel = await channel_on(hub)
        posted = await channel.post(a, "secret words")
        entered = await hub.emit(Entered(who="secret words", pin=3, notes=("secret words",)))
        assert hub.statistics().withheld >= 3
        assert any("the redactor of the hub has left out" in problem for problem in hub.health().problems)
    assert "secret words" not in await journal_of(store)
    assert "$redacted" in posted.content
    assert (type(entered), entered.who, entered.notes) == (Entered, "[redacted]", ("[redacted]",))
    async with Hub(store) as hub:
        assert hub.agents.find("a") is not None


@pytest.mark.parametrize("redactor", ["none", 1, Redactor, object(), lambda event: event], ids=range(5))
async def test_what_is_no_redactor_is_refused(redactor: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Hub\(\): redactor is"):
        Hub(redactor=redactor)


async def test_two_hubs_share_one_redactor() -> None:
    redactor = Redactor()
    async with Hub(redactor=redactor) as one, Hub(redactor="default") as two:
        for hub in (one, two):
            emitted = await hub.emit(GenericEvent(kind="a.said", data={"text": SECRET}))
            assert emitted.data == {"text": "[redacted:email]"}
            assert emitted.hub == hub.id


async def test_large_and_deep_contents_are_redacted() -> None:
    deep: Any = SECRET
    for _ in range(50):
        deep = [deep]
    async with Hub(redactor=Redactor()) as hub:
        emitted = await hub.emit(GenericEvent(kind="a.said", data={"a": deep, "b": "x " * 200_000 + SECRET}))
    assert SECRET not in repr(emitted)


async def test_a_program_may_check_what_it_makes_of_its_class() -> None:
    """A class whose check takes no placeholder keeps no secret for that."""
    import attrs

    @event("mail.sent")
    class Sent(Event):
        to: str = attrs.field(validator=attrs.validators.matches_re(".+@.+"))

    async with Hub(redactor=Redactor()) as hub:
        assert (await hub.emit(Sent(to=SECRET))).to == "[redacted:email]"


KEPT = {
    "arguments": "who approves has to see what will be done",
    "channel_state": "a type makes it of contents, which are redacted",
    "events": "they are redacted already",
    "hints": "of a scorer",
    "knobs": "a setting of a type",
    "params": "a setting of an expectation",
    "rule": "a setting of an agent",
}


@pytest.mark.parametrize("kind", sorted(hubwire.events.__all__))
def test_all_that_agents_say_in_kinds_of_the_hub_is_redacted(kind: str) -> None:
    cls: Any = getattr(hubwire.events, kind)
    if not (isinstance(cls, type) and issubclass(cls, Event) and hasattr(cls, "kind")) or cls in (
        GenericEvent,
        UnknownEvent,
    ):
        return
    free = {name for name, type_ in types_of(cls).items() if type_.takes_mappings or type_.takes_lists}
    assert free & set(own_fields(cls)) <= {*_names(cls), *KEPT}
