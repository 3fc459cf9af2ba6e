"""Plug-ins of approvals that block, lie about themselves, or answer with objects of their own."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from itertools import count
from typing import Any

import attrs
import pytest

from hubwire import Hub
from hubwire.approvals import (
    DEFAULT_CHALLENGES,
    Answer,
    ApprovalPolicy,
    ChallengeKind,
    FunctionApprover,
    Question,
    RiskLevel,
)
from hubwire.arbiter import Allow, Command, Deny
from hubwire.channel_types import Conversation, Manifest
from hubwire.errors import AccessDenied, CommandRejected, ConfigurationError, NotApproved
from hubwire.testing import ManualClock, Recorder
from support import said, until

who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="no context")


class Fixed:
    """Scores as it is set."""

    in_loop = True

    def score(self, _: Question) -> float:
        return 0.4


CHALLENGES = {**DEFAULT_CHALLENGES, RiskLevel.CRITICAL: ChallengeKind.QUIZ}


def policy_of(approver: Any, **settings: Any) -> ApprovalPolicy:
    return ApprovalPolicy(scorer=Fixed(), approvers=(approver,), challenges=CHALLENGES, **settings)


def asking(review: Callable[[Question], Any], **settings: Any) -> ApprovalPolicy:
    return policy_of(FunctionApprover("person", review), **settings)


async def test_a_sync_approver_may_block() -> None:
    """As one that reads from a terminal does: the loop goes on, and its context is the caller's."""
    asked, free = threading.Event(), threading.Event()
    seen: list[Any] = []

    def review(question: Question) -> bool:
        seen.append((threading.current_thread() is threading.main_thread(), who.get(), question.action))
        asked.set()
        free.wait(30)
        return True

    async with Hub(approvals=asking(review)) as hub:
        agent = await hub.agents.register("a")
        who.set("a caller")
        gate = asyncio.ensure_future(hub.approvals.gate(agent, "deploy"))
        await until(asked.is_set)
        await hub.emit(said())
        assert not gate.done()
        free.set()
        assert (await gate).approvers == ("person",)
    assert seen == [(False, "a caller", "deploy")]


async def test_a_sync_approver_that_is_late_is_left_behind() -> None:
    """Its verdict comes in time without it; health and an event name it until it ends."""
    asked, free, clock, recorder = threading.Event(), threading.Event(), ManualClock(), Recorder()

    def review(_: Question) -> bool:
        asked.set()
        free.wait(30)
        return True

    async with Hub(approvals=asking(review, timeout_seconds=5), clock=clock, listeners=[recorder]) as hub:
        agent = await hub.agents.register("a")
        gate = asyncio.ensure_future(hub.approvals.gate(agent, "deploy"))
        await until(asked.is_set)
        clock.advance(5)
        with pytest.raises(NotApproved, match="expired"):
            await gate
        assert hub.statistics().guests_abandoned == 1
        assert "approver person" in hub.health().problems[0]
        failed: Any = await recorder.wait_for("hub.guest_failed")
        assert failed.guest == "approver person"
        free.set()
        await until(lambda: hub.health().healthy)


async def test_a_quick_approver_may_run_on_the_loop() -> None:
    seen: list[bool] = []

    def review(_: Question) -> Answer:
        seen.append(threading.current_thread() is threading.main_thread())
        return Answer(is_passed=True)

    approver = FunctionApprover("rules", review, in_loop=True)
    async with Hub(approvals=policy_of(approver)) as hub:
        await hub.approvals.gate(await hub.agents.register("a"), "deploy")
    assert seen == [True]


async def test_a_sync_approver_may_return_what_is_awaited() -> None:
    async def later(_: Question) -> bool:
        await asyncio.sleep(0)
        return True

    def review(question: Question) -> Any:
        return later(question)

    async with Hub(approvals=asking(review)) as hub:
        assert (await hub.approvals.gate(await hub.agents.register("a"), "deploy")).approvers == ("person",)


class Lies:
    """An approver that is one when the policy is made, and raises later, where it is told to."""

    def __init__(self, where: str, error: BaseException) -> None:
        self._where = where
        self._error = error
        self._looks = 0

    @property
    def name(self) -> str:
        self._looks += 1
        if self._where == "name" and self._looks > 1:
            raise self._error
        return "liar"

    @property
    def in_loop(self) -> bool:
        if self._where == "in_loop":
            raise self._error
        return True

    def review(self, _: Question) -> Any:
        lies = self

        class Odd(Answer):
            @property
            def is_passed(self) -> bool:
                raise lies._error

        if self._where == "answer":
            return Odd.__new__(Odd)
        raise self._error


ERRORS = [RuntimeError("x"), SystemExit(1), GeneratorExit(), asyncio.CancelledError()]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("where", ["name", "in_loop", "answer", "review"])
async def test_an_approver_may_lie_about_itself(where: str, error: BaseException) -> None:
    """Wherever it raises, the fail mode decides, and the hub goes on."""
    async with Hub(approvals=policy_of(Lies(where, error))) as hub:
        agent = await hub.agents.register("a")
        with pytest.raises(NotApproved, match="failed"):
            await hub.approvals.gate(agent, "deploy")
        await hub.emit(said())
        assert hub.health().healthy


class Arbiters:
    """Arbiters that raise where it is said."""

    def __init__(self, where: str, error: BaseException) -> None:
        self.where = where
        self.error = error
        self.looks = 0

    @property
    def authorize(self) -> Callable[[Command], Any]:
        self.looks += 1
        if self.where == "constructor" or (self.where == "method" and self.looks > 1):
            raise self.error
        return self._answer

    def _answer(self, _: Command) -> Any:
        raised = self.error
        if self.where == "call":
            raise raised

        kind: Any = Allow if self.where == "limits" else Deny

        class Odd(kind):  # type: ignore[misc]
            def __getattribute__(self, name: str) -> Any:
                if name in {"tasks_max", "reason"}:
                    raise raised
                return super().__getattribute__(name)

        class Unknown:
            @property
            def __class__(self) -> Any:
                raise raised

            @__class__.setter
            def __class__(self, _: Any) -> None:
                """A property of this name needs one."""

        return Unknown() if self.where == "class" else Odd.__new__(Odd)


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("where", ["method", "call", "limits", "reason", "class"])
async def test_an_arbiter_may_lie_about_itself(where: str, error: BaseException) -> None:
    """Wherever it raises, the command is denied, nothing has happened, and the hub goes on."""
    async with Hub(arbiter=Arbiters(where, error)) as hub:
        before = hub.statistics().agents
        with pytest.raises(AccessDenied, match="because the arbiter"):
            await hub.agents.register("a")
        assert hub.statistics().agents == before
        with pytest.raises(AccessDenied, match="because the arbiter"):
            await hub.emit(said())
        await hub.flush()
        assert hub.health().healthy


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_what_raises_when_it_is_given_is_refused(error: BaseException) -> None:
    with pytest.raises(ConfigurationError, match="an Arbiter with authorize"):
        Hub(arbiter=Arbiters("constructor", error))


async def test_an_answer_of_an_arbiters_own_class_is_read_once() -> None:
    """So what it says later does not count, and what is no limit denies."""

    class Rich(Allow):
        looks = 0

        def __getattribute__(self, name: str) -> Any:
            if name == "channels_max":
                Rich.looks += 1
                return 1 if Rich.looks == 1 else "many"
            return super().__getattribute__(name)

    class Always:
        def authorize(self, _: Command) -> Allow:
            Rich.looks = 0
            answer = Rich.__new__(Rich)
            for field in attrs.fields(Allow):
                if field.name != "channels_max":
                    object.__setattr__(answer, field.name, field.default)
            return answer

    async with Hub(arbiter=Always()) as hub:
        agent = await hub.agents.register("a")
        await hub.channels.open([agent])
        with pytest.raises(CommandRejected, match="1"):
            await hub.channels.open([agent])


class Shouting(str):  # noqa: SLOT000 - that is nothing a stranger would think of
    """A text that raises where it is looked at."""

    def _raise(self, *_: object) -> Any:
        raise RuntimeError("loud")

    __str__ = __repr__ = __format__ = __len__ = encode = _raise  # type: ignore[assignment]


class Heavy(float):
    """A number that raises where it is looked at."""

    def _raise(self, *_: object) -> Any:
        raise RuntimeError("heavy")

    __lt__ = __le__ = __gt__ = __ge__ = __float__ = __add__ = __mul__ = __repr__ = _raise


async def test_names_and_numbers_of_plug_ins_become_plain() -> None:
    """Before they are compared, or are part of a text."""

    class Loud:
        name = Shouting("loud")
        in_loop = True
        trust = score = staticmethod(lambda _: Heavy(0.4))

        def review(self, _: Question) -> bool:
            return True

    plug_in = Loud()
    policy = ApprovalPolicy(scorer=plug_in, trust=plug_in, approvers=(plug_in,), challenges=CHALLENGES)
    async with Hub(approvals=policy) as hub:
        approval = await hub.approvals.gate(await hub.agents.register("a"), "deploy")
    assert approval.approvers == ("loud",)
    assert type(approval.approvers[0]) is str
    assert type(approval.risk_score) is float


@pytest.mark.parametrize("score", [10**400, -(10**400), Heavy("nan"), object()], ids=["huge", "-huge", "nan", "object"])
async def test_a_score_that_is_no_share_falls_to_the_fail_mode(score: object) -> None:
    """Also a number that no float can hold."""

    class Scores:
        in_loop = True

        def score(self, _: Question) -> Any:
            return score

    async with Hub(approvals=ApprovalPolicy(scorer=Scores())) as hub:
        agent = await hub.agents.register("a")
        with pytest.raises(NotApproved, match="must be a number from 0 to 1"):
            await hub.approvals.gate(agent, "deploy")


async def test_what_a_listener_says_of_itself_becomes_plain() -> None:
    """Its id of a hub, its place and its name may be of classes of its own, whose methods raise."""

    class Place(int):
        def _raise(self, *_: object) -> Any:
            raise RuntimeError("no place")

        __le__ = __lt__ = __int__ = __index__ = __add__ = __repr__ = _raise

    class Says(Recorder):
        __name__ = Shouting("says")
        pattern = Shouting("number.*")
        hub_id = Shouting("another hub")

        def last_seq(self) -> int:
            return Place(0)

        def last_id(self) -> str:
            return Shouting("an id")

    async with Hub() as hub:
        attachment = hub.attach(Says())
        assert attachment.name == "says"
        await until(lambda: hub.health().healthy or bool(hub.health().problems))
        await hub.emit(said())
        assert "another hub" not in hub.id


@pytest.mark.parametrize(
    "wrong", [Shouting(""), [Shouting("x")], 7, object()], ids=["empty", "word", "number", "object"]
)
def test_a_pattern_of_any_class_is_refused_with_words(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="pattern"):
        Hub().attach(Recorder(), pattern=wrong)


async def test_participants_without_an_end_are_refused() -> None:
    """A type that overrides ``expected`` alone is asked by the inherited ``refuse``, which looks for the sender."""

    class Endless(Conversation):
        name = "endless"

        def expected(self, manifest: Manifest, state: Any) -> Any:
            return count()

    hub = Hub()
    hub.channels.register_type(Endless())
    async with hub:
        agents = [await hub.agents.register(name) for name in ("a", "b")]
        channel = await hub.channels.open(agents, type="endless")
        with pytest.raises(CommandRejected, match="no tuple of agent ids"):
            await channel.post(agents[0], "hello")
        await hub.emit(said())


async def test_a_reason_of_a_class_of_its_own_is_text() -> None:
    """It is read once, as the plain text that it is."""
    answer = Answer(is_passed=True, reason=Shouting("because"))
    async with Hub() as hub:
        agent = await hub.agents.register("a")
        policy = ApprovalPolicy(approvers=(FunctionApprover("b", lambda _: answer),), challenges=DEFAULT_CHALLENGES)
        approval = await hub.approvals.gate(agent, "read", policy=policy)
    assert approval.verdict == "approved"
