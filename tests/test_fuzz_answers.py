"""Whatever plug-ins answer, and whatever they have as attributes: the hub goes on, and its store opens again.

``HUBWIRE_FUZZ_SECONDS=600`` lets it run ten minutes, ``HUBWIRE_FUZZ_SEED`` says from where.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hubwire import ApprovalPolicy, Duty, GenericEvent, Hub
from hubwire._actors.rules import REGISTRATION
from hubwire._foreign.arguments import shown
from hubwire.approvals import Answer, ChallengeKind, FunctionApprover, RiskLevel
from hubwire.arbiter import Allow, Deny
from hubwire.channel_types import Conversation
from hubwire.clock import SystemClock
from hubwire.errors import HubError
from hubwire.expectations import MaxSilence, Moment, Owed
from hubwire.ports import Clock
from hubwire.stores import MemoryStore
from hubwire.testing import history
from support.odd import ODD, fuzz_rounds

Case = Callable[["Setting"], Awaitable[object]]


class Setting:
    """A hub with a plug-in that answers with an odd value, once ``is_odd``."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.is_odd = False
        self.hub: Hub

    async def approve(self, **settings: Any) -> None:
        agent = await self.hub.agents.register("agent")
        self.is_odd = True
        await self.hub.approvals.gate(agent, "act", policy=ApprovalPolicy(timeout_seconds=0.05, **settings))

    async def talk(self, **settings: Any) -> None:
        agents = [await self.hub.agents.register(name) for name in ("a", "b", "c")]
        self.is_odd = True
        channel = await self.hub.channels.open(agents[:2], **settings)
        for _ in range(3):
            await channel.post(agents[0], "x")
        await channel.join(agents[2])
        await channel.leave(agents[2])
        channel.expected  # noqa: B018 - it calls the type
        await channel.close()


class OddScorer:
    def __init__(self, value: Any) -> None:
        self.value = value

    def score(self, _: Any) -> Any:
        return self.value

    def trust(self, _: Any) -> Any:
        return self.value


class OddAttributes:
    """An approver, a listener or an actor with odd attributes."""

    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)

    def review(self, _: Any) -> bool:
        return True

    async def on_events(self, events: Any) -> None:
        """Take them."""

    async def on_envelope(self, turn: Any) -> None:
        """Handle it."""


class OddListener(OddAttributes):
    def __init__(self, value: Any, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._value = value

    def last_seq(self) -> Any:
        return self._value


def odd_type(method: str) -> Callable[[Setting], Any]:
    def make(setting: Setting) -> Any:
        class Odd(Conversation):
            name = "odd"

        def answer(self: Any, *args: Any) -> Any:
            return setting.value if setting.is_odd else getattr(Conversation, method)(self, *args)

        setattr(Odd, method, answer)
        return Odd()

    return make


class OddEvaluator(MaxSilence):
    name = "odd"

    def __init__(self, setting: Setting, answer: Callable[[Any, Any], Any]) -> None:
        self._setting = setting
        self._answer = answer

    def owed(self, situation: Any) -> Any:
        return self._answer(self._setting.value, situation)


class OddClock(SystemClock):
    def __init__(self, setting: Setting, method: str) -> None:
        self._setting = setting
        self._method = method

    def now_ns(self) -> Any:
        return self._setting.value if self._setting.is_odd and self._method == "now_ns" else super().now_ns()

    def monotonic(self) -> Any:
        return self._setting.value if self._setting.is_odd and self._method == "monotonic" else super().monotonic()


class OddArbiter:
    def __init__(self, setting: Setting, answer: Callable[[Any], Any]) -> None:
        self._setting = setting
        self._answer = answer

    def authorize(self, _: Any) -> Any:
        return self._answer(self._setting.value) if self._setting.is_odd else Allow()


async def attach(setting: Setting, listener: Any, **settings: Any) -> None:
    attachment = setting.hub.attach(listener, **settings)
    await setting.hub.emit(GenericEvent(kind="a.b"))
    await asyncio.wait_for(attachment.detach(), 1)


METHODS = ("refuse_manifest", "begin", "refuse", "fold", "participants_changed", "ending", "expected")

OWED: dict[str, Callable[[Any, Any], Any]] = {
    "owed": lambda value, _: value,
    "[owed]": lambda value, _: [value],
    "Owed.agent_id": lambda value, situation: [Owed(value, situation.created)],
    "Owed.since": lambda value, _: [Owed(None, value)],
    "Moment.seq": lambda value, situation: [Owed(None, Moment(value, situation.created.ns))],
    "Moment.ns": lambda value, situation: [Owed(None, Moment(situation.created.seq, value))],
}

CONFIRMED: dict[str, Any] = {
    "scorer": OddScorer(0.9),
    "challenges": dict.fromkeys(RiskLevel, ChallengeKind.CONFIRM),
}


def confirmed(setting: Setting, approver: Any) -> Awaitable[None]:
    return setting.approve(approvers=[approver], **CONFIRMED)


def listening(name: str) -> Case:
    return lambda it: attach(it, OddAttributes(**{name: it.value}))


def acting(name: str) -> Case:
    return lambda it: it.hub.spawn(OddAttributes(**{name: it.value}))


CASES: dict[str, Case] = {
    "approver": lambda it: confirmed(it, FunctionApprover("a", lambda _: it.value)),
    "Answer.is_passed": lambda it: confirmed(it, FunctionApprover("a", lambda _: Answer(it.value))),
    "Answer.reason": lambda it: confirmed(it, FunctionApprover("a", lambda _: Answer(is_passed=True, reason=it.value))),
    "approver.name": lambda it: confirmed(it, OddAttributes(name=it.value)),
    "scorer": lambda it: it.approve(scorer=OddScorer(it.value)),
    "trust": lambda it: it.approve(trust=OddScorer(it.value)),
    "last_seq": lambda it: attach(it, OddListener(it.value)),
    "last_seq, durable": lambda it: attach(it, OddListener(it.value), duty=Duty.DURABLE),
    **{f"listener.{name}": listening(name) for name in ("pattern", "duty", "since", "name", "__name__", "hub_id")},
    **{f"actor.{name}": acting(name) for name in (*REGISTRATION, "name", "concurrency")},
    **{f"type.{name}": (lambda it: it.talk(type="odd")) for name in METHODS},
    **{
        f"evaluator.{name}": (lambda it: it.talk(expectations=[{"name": "odd", "params": {"seconds": 0.001}}]))
        for name in OWED
    },
    **dict.fromkeys(("arbiter", "Deny.reason", "Allow.channels_max"), lambda it: it.talk()),
    **dict.fromkeys(("clock.now_ns", "clock.monotonic"), lambda it: it.talk()),
}

ARBITERS: dict[str, Callable[[Any], Any]] = {
    "arbiter": lambda value: value,
    "Deny.reason": Deny,
    "Allow.channels_max": lambda value: Allow(channels_max=value),
}


def hub_for(name: str, setting: Setting, store: MemoryStore) -> Hub:
    kind, _, part = name.partition(".")
    clock: Clock | None = OddClock(setting, part) if kind == "clock" else None
    arbiter = OddArbiter(setting, ARBITERS[name]) if name in ARBITERS else None
    hub = Hub(store, clock=clock, arbiter=arbiter, close_seconds_max=1.0)
    hub.channels.register_type(odd_type(part if kind == "type" else "begin")(setting))
    hub.channels.register_evaluator(OddEvaluator(setting, OWED.get(part, lambda *_: ())))
    return hub


async def answered(name: str, value: Any) -> None:
    """Let a plug-in answer once with an odd value; then the hub still works, and so does the next on its store."""
    store, setting = MemoryStore(), Setting(value)
    async with hub_for(name, setting, store) as hub:
        setting.hub = hub
        try:
            await asyncio.wait_for(CASES[name](setting), 5)
        except HubError:
            pass  # refused: by whom, the tests of each plug-in say
        await asyncio.sleep(0.002)
        setting.is_odd = False
        await hub.emit(GenericEvent(kind="a.b"))
        live = await history(hub)
    calm = Setting(None)
    async with hub_for("none", calm, store) as hub:
        replayed = (await history(hub))[: len(live)]
        for one, other in zip(live, replayed, strict=True):
            assert type(one) is type(other)
            assert one == other
        await hub.emit(GenericEvent(kind="a.b"))


@pytest.mark.slow
@pytest.mark.timeout(0)
async def test_odd_answers_harm_no_hub() -> None:
    """Each answer and attribute of each plug-in gets some odd values."""
    for seed in fuzz_rounds():
        dice, failures = random.Random(seed), list[Exception]()
        for name in CASES:
            for odd in dice.sample(ODD, 6):
                value = odd()
                try:
                    await answered(name, value)
                except Exception as error:  # noqa: BLE001 - all of them are reported together
                    error.add_note(f"in {name} = {shown(value)}")
                    failures.append(error)
        if failures:
            raise ExceptionGroup(f"seed {seed}", failures)
