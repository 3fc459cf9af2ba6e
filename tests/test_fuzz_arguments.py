"""Every argument of every public call gets odd values: an error of ours or an effect, and a store that opens again.

``HUBWIRE_FUZZ_SECONDS=600`` lets it run ten minutes, ``HUBWIRE_FUZZ_SEED`` says from where.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from hubwire import (
    ActorHandle,
    Agent,
    AgentCommands,
    ApprovalCommands,
    ApprovalPolicy,
    Attachment,
    BaseActor,
    Chain,
    Channel,
    ChannelCommands,
    DeadLetter,
    DeadLetterCommands,
    Delivery,
    GenericEvent,
    Group,
    Hub,
    InboxCommands,
    InboxRule,
    Limits,
    OnDemand,
    Passport,
    Resume,
    Rule,
    RuleArbiter,
    Task,
    TaskCommands,
    TenantHub,
    Timer,
    TimerCommands,
    TopicCommands,
    Turn,
    TurnCommands,
    WatchLimits,
    scope,
)
from hubwire._commands.dead_letters import inbox_letter_id
from hubwire._foreign.arguments import shown
from hubwire.approvals import Answer, FunctionApprover, NameScorer
from hubwire.arbiter import Allow, Deny
from hubwire.errors import CallerError, NotApproved
from hubwire.expectations import Expectation
from hubwire.stores import MemoryStore
from hubwire.testing import history, peek
from support import until, until_idle
from support.odd import ODD, fuzz_rounds

CALLS_PER_HUB = 40
SECONDS_MAX = 0.05
"""How long a call may wait: some wait for what does not come."""


class Idle(BaseActor):
    """Handles what comes, and does nothing."""

    async def on_envelope(self, turn: Turn, /) -> None:
        """Do nothing."""


class Nothing:
    """Feeds nothing."""

    async def run(self, hub: object) -> None:
        """Return at once."""


async def tool() -> None:
    """Do nothing."""


@attrs.define
class World:
    """A hub, and what is called on it."""

    hub: Hub
    a: Agent
    b: Agent
    channel: Channel
    task: Task
    delivery: Delivery
    group: Group
    actor: ActorHandle
    attachment: Attachment
    letter: DeadLetter
    timer: Timer
    tenant: TenantHub
    of_tenant: tuple[Agent, Agent]
    number: int = 0

    @classmethod
    async def on(cls, hub: Hub, number: int) -> World:
        a = await hub.agents.register(f"a{number}")
        b = await hub.agents.register(f"b{number}")
        channel = await hub.channels.open([a, b])
        await channel.post(a, "hello")
        group = hub.supervise(f"g{number}")
        c = await hub.agents.register(f"d{number}", rule={"inbox": InboxRule(deliveries_max=1)})
        await (await hub.channels.open([a, c])).post(a, "hello")
        await (await anext(c.inbox())).nack()
        tenant = hub.for_tenant(f"t{number}")
        return cls(
            hub=hub,
            a=a,
            b=b,
            channel=channel,
            task=await hub.tasks.start(a, "t"),
            delivery=await anext(b.inbox()),
            group=group,
            actor=await group.spawn(Idle(), name=f"c{number}"),
            attachment=hub.attach(lambda event: None, name=f"l{number}"),
            letter=hub.inboxes.dead_letters(c)[0],
            timer=await hub.timers.every(100),
            tenant=tenant,
            of_tenant=(await tenant.agents.register("a"), await tenant.agents.register("b")),
            number=number,
        )

    def receiver(self, cls: type) -> Any:
        hub = self.hub
        return {
            Hub: hub,
            TenantHub: self.tenant,
            AgentCommands: hub.agents,
            ChannelCommands: hub.channels,
            DeadLetterCommands: hub.dead_letters,
            InboxCommands: hub.inboxes,
            TaskCommands: hub.tasks,
            TimerCommands: hub.timers,
            TopicCommands: hub.topics,
            TurnCommands: hub.turns,
            Timer: self.timer,
            ApprovalCommands: hub.approvals,
            Agent: self.a,
            Channel: self.channel,
            Task: self.task,
            Delivery: self.delivery,
            Group: self.group,
            ActorHandle: self.actor,
            Attachment: self.attachment,
        }[cls]

    def valid(self, cls: type, name: str) -> Any:
        """Return a value that is right for the argument of this name, wherever it is required."""
        a, b = self.of_tenant if cls is TenantHub else (self.a, self.b)
        return {
            "name": f"n{self.number}",
            "agent_id": self.a.id,
            **dict.fromkeys(("agent", "owner", "sender", "asker"), a),
            "answerer": b,
            "participants": [a, b],
            "channel_id": self.channel.id,
            "content": "x",
            "title": "x",
            "seconds": 5.0,
            "timer_id": self.timer.id,
            "tool": "x",
            "model": "x",
            "letter": self.letter,
            "letter_id": inbox_letter_id(self.letter),
            "task_id": self.task.id,
            "capability": "x",
            "ended": "completed",
            "resume": Resume(),
            "skill": "x",
            "rule": {},
            "progress": 1,
            "checkpoint": 1,
            "error": "x",
            "action": "x",
            "approval_id": "x",
            "approval": "x",
            "reason": "x",
            "topic": "build.failed",
            "pattern": "build.*",
            "method": self.hub.approvals.wait,
            "approver": "x",
            "is_passed": True,
            "listener": tool,
            "events": [GenericEvent(kind="a.b"), GenericEvent(kind="a.c")],
            "actor": Idle(),
            "feed": Nothing(),
            "factory": lambda name: Idle(),
            "tenant": "acme",
            "event": GenericEvent(kind="a.b"),
            "other": self.actor,
            "channel_type": None,
            "evaluator": None,
            "handler": tool,
            "record": lambda name, seconds: None,
        }[name]


CLASSES = (
    *(
        Hub,
        TenantHub,
        AgentCommands,
        ChannelCommands,
        DeadLetterCommands,
        InboxCommands,
        TaskCommands,
        TimerCommands,
        TurnCommands,
        ApprovalCommands,
    ),
    TopicCommands,
    *(Agent, Channel, Task, Timer, Delivery, Group, ActorHandle),
)

ENDINGS = {"start", "aclose"}
"""Calls that begin or end a hub."""

WAITING = {"ask", "gate", "request", "wait", "ready", "flush", "ended", "result", "outcome"}
"""Calls that wait for what may not come."""

BY_EITHER = (inspect.Parameter.POSITIONAL_OR_KEYWORD,)
BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)

OF_FUNCTIONS = ("once", "concurrency", "key", "priority", "in_loop", "name", "tenant", "agent", "channel")
"""Further settings of ``hub.on``."""

MALFORMED = {"source": 5, "source_id": "\ud800", "occurred_at": "yesterday", "is_notice": True, "metadata": "x"}


def methods() -> Iterator[tuple[type, str, list[str]]]:
    """Yield all public methods that take arguments."""
    for cls in CLASSES:
        for name, method in inspect.getmembers(cls, inspect.isfunction):
            if name.startswith("_") or name in ENDINGS:
                continue
            parameters = [each for each in inspect.signature(method).parameters if each != "self"]
            if parameters:
                yield cls, name, parameters


CASES = [(cls, method, name) for cls, method, names in methods() for name in names]


def required(method: Callable[..., Any]) -> list[str]:
    return [
        name
        for name, each in inspect.signature(method).parameters.items()
        if each.default is each.empty and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL) and name != "self"
    ]


def arguments(world: World, cls: type, method: str, name: str, value: Any, dice: random.Random) -> dict[str, Any]:
    """Return what the method is called with: valid values, but for one argument."""
    function = getattr(cls, method)
    given = {each: world.valid(cls, each) for each in required(function) if each != name}
    if inspect.signature(function).parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
        key = dice.choice(
            [*MALFORMED, "capabilities", "nmae", "seq", "duty", "since", "timeout", "mailbox", *OF_FUNCTIONS]
        )
        return {**given, key: MALFORMED.get(key, value)}
    return {**given, name: value}


async def call(world: World, cls: type, method: str, given: dict[str, Any]) -> None:
    receiver = world.receiver(cls)
    parameters = inspect.signature(getattr(cls, method)).parameters
    kinds = {name: parameters[name].kind for name in parameters if name in given}
    has_rest = inspect.Parameter.VAR_POSITIONAL in kinds.values()
    by_position = [name for name in kinds if kinds[name] in BY_POSITION or (has_rest and kinds[name] in BY_EITHER)]
    by_name = {name: value for name, value in given.items() if name not in by_position}
    result = getattr(receiver, method)(*(given[name] for name in by_position), **by_name)
    if inspect.isawaitable(result):
        await asyncio.wait_for(result, SECONDS_MAX if method in WAITING else 10)
    elif isinstance(result, OnDemand):
        await asyncio.wait_for(result.stop(), 10)  # by a wide pattern it would take what the next world waits for
    elif method in ("on", "gated") and not any(result is each for each in given.values()):
        decorated = result(tool)
        if method == "gated":
            await asyncio.wait_for(decorated(), SECONDS_MAX)
    elif method == "events":
        try:
            await asyncio.wait_for(anext(result), SECONDS_MAX)
        except StopAsyncIteration:
            return


GROUPS: dict[type, str] = {
    Hub: "hub",
    TenantHub: "hub",
    AgentCommands: "hub.agents",
    ChannelCommands: "hub.channels",
    DeadLetterCommands: "hub.dead_letters",
    InboxCommands: "hub.inboxes",
    TaskCommands: "hub.tasks",
    TimerCommands: "hub.timers",
    TopicCommands: "hub.topics",
    TurnCommands: "hub.turns",
    ApprovalCommands: "hub.approvals",
    ActorHandle: "actor",
}
"""What receivers are called in errors; the others like their class."""


def check_names_call(error: CallerError, cls: type, method: str) -> None:
    """Check that an error which names a call names the one that was made, and none that this one makes inside."""
    named = re.match(r"[\w.]+\(\)", str(error))
    assert named is None or named[0] == f"{GROUPS.get(cls, cls.__name__.lower())}.{method}()"


def check(error: CallerError) -> None:
    """Check that a refusal can be printed, is bounded, and names nothing of the inside."""
    text = str(error)
    text.encode()
    assert len(text) < 2000
    assert "__init__" not in text


async def attempt(world: World, cls: type, method: str, given: dict[str, Any], name: str) -> None:
    """Make a call. It has an effect, or is refused and has none; it raises no other error than ours."""
    await until(lambda: not world.hub.approvals.pending())  # what an earlier call has requested expires by itself
    await until_idle()
    before = peek(world.hub)
    try:
        await call(world, cls, method, given)
    except NotApproved:
        return
    except TimeoutError:
        assert method in WAITING or method in ("events", "gated")
    except CallerError as error:
        check(error)
        check_names_call(error, cls, method)
        # An agent is registered before its actor is made, which may turn out to be none.
        assert name == "actor" or peek(world.hub) == before
    except Exception:
        # What a guest raises when it is started is its caller's to see.
        if name != "actor":
            raise


async def round_of(cases: list[tuple[type, str, str]], dice: random.Random) -> list[Exception]:
    """Make some calls on one hub; then its journal has equal events, and is opened by the next."""
    store, failures = MemoryStore(), list[Exception]()
    policy = ApprovalPolicy(timeout_seconds=0.02)
    async with Hub(store, approvals=policy, close_seconds_max=2.0) as hub:
        for number, (cls, method, name) in enumerate(cases):
            world, value = await asyncio.wait_for(World.on(hub, number), 60), dice.choice(ODD)()
            given = arguments(world, cls, method, name, value, dice)
            try:
                await attempt(world, cls, method, given, name)
                await hub.emit(GenericEvent(kind="a.b"))
            except Exception as error:  # noqa: BLE001 - all of them are reported together
                error.add_note(f"in {cls.__name__}.{method}({name}={shown(value)})")
                failures.append(error)
        live = await history(hub)
    async with Hub(store, approvals=policy) as hub:
        replayed = (await history(hub))[: len(live)]
        for one, other in zip(live, replayed, strict=True):
            assert type(one) is type(other)
            assert one == other
        await hub.emit(GenericEvent(kind="a.b"))
    return failures


@pytest.mark.slow
@pytest.mark.timeout(0)
async def test_odd_arguments_are_refused_or_replay() -> None:
    """Each argument of each method gets some odd values, in random order."""
    for seed in fuzz_rounds():
        dice = random.Random(seed)
        cases = CASES * (3 if seed == 1 else 1)
        dice.shuffle(cases)
        failures: list[Exception] = []
        for start in range(0, len(cases), CALLS_PER_HUB):
            failures += await round_of(cases[start : start + CALLS_PER_HUB], dice)
        if failures:
            raise ExceptionGroup(f"seed {seed}", failures)


# --- what has no hub --------------------------------------------------------------------------------------------------


def register_type(channel_type: Any) -> None:
    Hub().channels.register_type(channel_type)


def register_evaluator(evaluator: Any) -> None:
    Hub().channels.register_evaluator(evaluator)


VALUES: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "Hub": (Hub, {}),
    "Limits": (Limits, {}),
    "WatchLimits": (WatchLimits, {}),
    "ApprovalPolicy": (ApprovalPolicy, {}),
    "Rule": (Rule, {}),
    "RuleArbiter": (RuleArbiter, {}),
    "InboxRule": (InboxRule, {}),
    "Passport": (Passport, {}),
    "Resume": (Resume, {}),
    "Allow": (Allow, {}),
    "Deny": (Deny, {"reason": "x"}),
    "Answer": (Answer, {"is_passed": True}),
    "Expectation": (Expectation, {"name": "reply_within"}),
    "NameScorer": (NameScorer, {}),
    "FunctionApprover": (FunctionApprover, {"name": "x", "function": tool}),
    "scope": (scope, {}),
    "chain.add": (Chain().add, {"function": tool}),
    "register_type": (register_type, {"channel_type": None}),
    "register_evaluator": (register_evaluator, {"evaluator": None}),
}


def set_up(make: Callable[..., Any], given: dict[str, Any]) -> None:
    try:
        made = make(**given)
        if make is scope:
            with made:
                pass
    except CallerError as error:
        check(error)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_odd_settings_are_refused() -> None:
    """Each argument of each value that hubs are set up with, and of the hub itself."""
    failures: list[Exception] = []
    for make, valid in VALUES.values():
        signature = inspect.signature(make)
        for name in signature.parameters:
            for odd in ODD:
                value = odd()
                try:
                    set_up(make, {**valid, name: value})
                except Exception as error:  # noqa: BLE001 - all of them are reported together
                    error.add_note(f"in {make.__name__}({name}={shown(value)})")
                    failures.append(error)
    if failures:
        raise ExceptionGroup("settings", failures)
