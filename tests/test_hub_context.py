"""What surrounds an emit: correlation, tenant, trace and cause follow the code, and nothing else does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import anyio.to_thread
import pytest

from hubwire import Duty, Event, GenericEvent, Hub, context, event, scope
from hubwire.context import EMPTY, Context, current
from hubwire.errors import CommandRejected, ConfigurationError
from hubwire.testing import Recorder

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER_TRACE = "00-11111111111111111111111111111111-2222222222222222-00"
DEPTH_MAX = 32


@event("context_tests.stepped")
class Stepped(Event):
    number: int = 0


def noted(**fields: Any) -> GenericEvent:
    return GenericEvent(kind="context.noted", **fields)


# --- scopes -----------------------------------------------------------------------------------------------------------


def test_outside_of_scopes_context_is_empty() -> None:
    assert current() == EMPTY == Context()


def test_scopes_nest() -> None:
    """What a scope does not give stays as it is outside."""
    with scope(tenant="acme", correlation_id="one") as outer:
        assert current() == outer == Context(tenant="acme", correlation_id="one")
        with scope(correlation_id="two", traceparent=TRACE):
            assert current() == Context(tenant="acme", correlation_id="two", traceparent=TRACE)
            with scope(traceparent=OTHER_TRACE):
                assert current() == Context(tenant="acme", correlation_id="two", traceparent=OTHER_TRACE)
            assert current().traceparent == TRACE
        assert current() == outer
    assert current() == EMPTY


def test_an_exception_leaves_a_scope() -> None:
    with pytest.raises(KeyError), scope(tenant="acme"):
        raise KeyError
    assert current() == EMPTY


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        TRACE + "\n",
        " " + TRACE,
        TRACE.upper(),
        TRACE[:-1],
        TRACE + "0",
        TRACE.replace("-", "_"),
        TRACE.replace("0af", "0ag"),
        "ff" + TRACE[2:],
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        TRACE + "-extra",
        TRACE.replace("0", "\uff10"),
    ],
)
def test_an_invalid_traceparent_is_refused(value: str) -> None:
    with scope(tenant="acme"):
        with pytest.raises(ConfigurationError, match="W3C Trace Context"), scope(tenant="other", traceparent=value):
            pytest.fail("entered")
        assert current() == Context(tenant="acme")


@pytest.mark.parametrize("value", [TRACE, OTHER_TRACE, "cc" + TRACE[2:]])
def test_future_traceparents_are_accepted(value: str) -> None:
    """A `traceparent` may be of any version that the standard allows."""
    with scope(traceparent=value):
        assert current().traceparent == value


@pytest.mark.parametrize("name", ["correlation_id", "tenant", "traceparent"])
@pytest.mark.parametrize("value", [5, b"x", ["x"]], ids=["number", "bytes", "list"])
def test_context_must_be_text(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be text"), scope(**{name: value}):
        pytest.fail("entered")


# --- where they reach -------------------------------------------------------------------------------------------------


async def in_a_child_task() -> Context:
    return await asyncio.create_task(answer())


async def in_a_task_group() -> Context:
    found: list[Context] = []

    async def look() -> None:
        found.append(current())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
    return found[0]


async def in_a_thread_of_anyio() -> Context:
    return await anyio.to_thread.run_sync(current)


async def in_a_thread_of_asyncio() -> Context:
    return await asyncio.to_thread(current)


async def after_a_pause() -> Context:
    await asyncio.sleep(0)
    return current()


async def in_a_callback() -> Context:
    found: asyncio.Future[Context] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: found.set_result(current()))
    return await found


async def answer() -> Context:
    return current()


@pytest.mark.parametrize(
    "place",
    [in_a_child_task, in_a_task_group, in_a_thread_of_anyio, in_a_thread_of_asyncio, after_a_pause, in_a_callback],
)
async def test_a_scope_follows_the_code(place: Callable[[], Awaitable[Context]]) -> None:
    """It reaches child tasks, task groups, worker threads, callbacks and what comes after a pause."""
    with scope(tenant="acme", correlation_id="one", traceparent=TRACE) as around:
        assert await place() == around
    assert await place() == EMPTY


async def test_a_scope_of_a_child_is_its_own() -> None:
    entered, left = anyio.Event(), anyio.Event()

    async def child() -> None:
        with scope(tenant="child"):
            entered.set()
            await left.wait()

    with scope(tenant="parent"):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child)
            await entered.wait()
            assert current().tenant == "parent"
            left.set()


async def test_a_task_keeps_its_first_scope() -> None:
    """A task has the scope in which it was started, not the one in which it runs."""
    go = anyio.Event()

    async def late() -> Context:
        await go.wait()
        return current()

    with scope(tenant="then"):
        task = asyncio.create_task(late())
    go.set()
    assert (await task).tenant == "then"


# --- what events take over --------------------------------------------------------------------------------------------


async def test_an_event_takes_over_its_scope() -> None:
    async with Hub() as hub:
        made = noted()
        with scope(tenant="acme", correlation_id="one", traceparent=TRACE):
            committed = await hub.emit(made)
            at_once = hub.emit_nowait(noted())
        for found in (committed, at_once):
            assert (found.tenant, found.correlation_id, found.traceparent) == ("acme", "one", TRACE)
            assert (found.causation_id, found.depth) == (None, 0)
        bare = await hub.emit(made)
        assert (bare.tenant, bare.correlation_id, bare.traceparent) == (None, None, None)


async def test_fields_of_an_event_override_the_scope() -> None:
    async with Hub() as hub:
        with scope(tenant="acme", correlation_id="one", traceparent=TRACE):
            found = await hub.emit(noted(tenant="mine", correlation_id="", traceparent=OTHER_TRACE))
        assert (found.tenant, found.correlation_id, found.traceparent) == ("mine", "", OTHER_TRACE)


async def test_commands_take_over_the_scope() -> None:
    """They do so for every event that they make."""
    async with Hub(listeners=[recorder := Recorder()]) as hub:
        with scope(tenant="acme", correlation_id="one"):
            agent = await hub.agents.register("planner")
            channel = await hub.channels.open([agent])
            await channel.post(agent, "hello")
            with pytest.raises(CommandRejected):
                await channel.post("a stranger", "hello")
            await channel.close()
        await hub.flush()
    kinds = [
        "agent.registered",
        "channel.created",
        "channel.opened",
        "envelope.posted",
        "envelope.rejected",
        "channel.closed",
    ]
    told = [each for each in recorder.events if each.kind in kinds]
    assert [each.kind for each in told] == kinds
    assert {(each.tenant, each.correlation_id) for each in told} == {("acme", "one")}


async def test_events_of_the_hub_have_no_scope() -> None:
    """`hub.*` and `listener.*` are not in the scope of the code that happened to cause them."""
    recorder = Recorder()
    with scope(tenant="acme", correlation_id="one"):
        async with Hub(listeners=[recorder]) as hub:
            hub.attach(Recorder(), name="late")
            await hub.emit(noted())
            await hub.flush()
    own = [each for each in recorder.events if each.kind.partition(".")[0] in ("hub", "listener")]
    assert {"hub.started", "listener.attached"} <= {each.kind for each in own}
    assert {(each.tenant, each.correlation_id) for each in own} == {(None, None)}


# --- what a listener causes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("duty", [Duty.REQUIRED, Duty.BEST_EFFORT], ids=["required", "best effort"])
@pytest.mark.parametrize("where", ["handler", "child task", "task group"])
async def test_events_of_a_listener_name_their_cause(duty: Duty, where: str) -> None:
    """They take over its context, too."""

    class Answering:
        async def on_events(self, events: Sequence[Event]) -> None:
            for each in events:
                context.cause(each)
                if where == "handler":
                    await hub.emit(Stepped(number=each.seq))
                elif where == "child task":
                    await asyncio.create_task(hub.emit(Stepped(number=each.seq)))
                else:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(hub.emit, Stepped(number=each.seq))

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        hub.attach(Answering(), pattern="context.noted", duty=duty)
        with scope(tenant="acme", correlation_id="one", traceparent=TRACE):
            first = await hub.emit(noted())
        second = await hub.emit(noted(correlation_id="its own"))
        await recorder.wait_for("context_tests.stepped", count=2)
    one, other = [each for each in recorder.events if isinstance(each, Stepped)]
    assert (one.number, other.number) == (first.seq, second.seq)
    assert (one.causation_id, one.depth) == (first.id, 1)
    assert (one.tenant, one.correlation_id, one.traceparent) == ("acme", "one", TRACE)
    assert (other.causation_id, other.depth) == (second.id, 1)
    assert (other.tenant, other.correlation_id) == (None, "its own")


async def test_the_default_cause_is_the_last_event() -> None:
    """A listener that does not say which event it handles is taken to handle the last of its batch."""

    class Summing:
        async def on_events(self, events: Sequence[Event]) -> None:
            await hub.emit(Stepped(number=len(events)))

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        hub.attach(Summing(), pattern="context.noted", duty=Duty.REQUIRED)
        made = [hub.emit_nowait(noted()) for _ in range(5)]
        await hub.flush()
    sums = [each for each in recorder.events if isinstance(each, Stepped)]
    assert sum(each.number for each in sums) == 5
    assert sums[-1].causation_id == made[-1].id


async def test_a_scope_in_a_listener_overrides_the_cause() -> None:
    class Answering:
        async def on_events(self, events: Sequence[Event]) -> None:
            with scope(correlation_id="new"):
                await hub.emit(Stepped())

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        hub.attach(Answering(), pattern="context.noted")
        cause = await hub.emit(noted(tenant="acme", correlation_id="old"))
        found = await recorder.wait_for("context_tests.stepped")
    assert (found.correlation_id, found.tenant, found.causation_id) == ("new", "acme", cause.id)


async def test_a_listener_is_outside_the_attaching_scope() -> None:
    class Answering:
        async def on_events(self, events: Sequence[Event]) -> None:
            await hub.emit(Stepped())

    recorder = Recorder()
    with scope(tenant="of whoever started the hub"):
        async with Hub(listeners=[recorder]) as hub:
            with scope(correlation_id="of whoever attached it"):
                await hub.attach(Answering(), pattern="context.noted").ready()
            await hub.emit(noted(tenant="its own"))
            found = await recorder.wait_for("context_tests.stepped")
    assert (found.tenant, found.correlation_id) == ("its own", None)


@pytest.mark.parametrize("duty", [Duty.REQUIRED, Duty.BEST_EFFORT], ids=["required", "best effort"])
@pytest.mark.parametrize("again", [False, True], ids=["a new event", "the event it got"])
async def test_chains_of_answering_listeners_end(duty: Duty, again: bool) -> None:
    refusals: list[CommandRejected] = []
    ended = anyio.Event()

    class Echo:
        async def on_events(self, events: Sequence[Event]) -> None:
            for each in events:
                context.cause(each)
                if each.seq > 10 * DEPTH_MAX:
                    ended.set()  # it would go on for ever, and no timeout would be heard
                    return
                try:
                    await hub.emit(each if again else Stepped(number=each.number + 1))  # type: ignore[attr-defined]
                except CommandRejected as error:
                    refusals.append(error)
                    ended.set()

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        hub.attach(Echo(), pattern="context_tests.stepped", duty=duty)
        await hub.emit(Stepped())
        await ended.wait()
        await hub.flush()
        applied = hub.statistics().applied
        await hub.emit(noted())
        assert hub.statistics().applied == applied + 1
    steps = [each for each in recorder.events if isinstance(each, Stepped)]
    assert [each.depth for each in steps] == list(range(DEPTH_MAX + 1))
    assert len(refusals) == 1
    assert "in a row" in str(refusals[0])
    if not again:
        assert [each.causation_id for each in steps[1:]] == [each.id for each in steps[:-1]]


async def test_depth_cannot_be_given() -> None:
    """A program cannot set the depth of an event, and so not outlive the end of a chain."""
    async with Hub() as hub:
        assert (await hub.emit(Stepped(depth=31))).depth == 0
        assert (await hub.emit(Stepped(depth=-100))).depth == 0
