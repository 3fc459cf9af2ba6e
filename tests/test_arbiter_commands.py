"""What the arbiter is asked about commands: all of them, with all that it needs, and as they are carried out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from hubwire import ApprovalPolicy, GenericEvent, Hub, Passport, Resume, Rule, RuleArbiter, Turn
from hubwire.arbiter import Allow, Command, Deny
from hubwire.errors import AccessDenied, ConfigurationError
from hubwire.events import CommandDenied
from hubwire.expectations import Expectation
from hubwire.testing import ManualClock, Recorder, history, peek
from support import until_idle


class Asked:
    """Keeps what it was asked, and answers as it is set."""

    def __init__(self, answer: Callable[[Command], Any] = lambda _: Allow()) -> None:
        self.answer = answer
        self.commands: list[Command] = []

    def authorize(self, command: Command) -> Any:
        self.commands.append(command)
        return self.answer(command)

    def last(self, name: str) -> Command:
        return [each for each in self.commands if each.name == name][-1]


async def test_the_arbiter_sees_what_a_command_is_about() -> None:
    """Each argument is in a field of its own, in the content or in the facts; those who are present are named."""
    arbiter = Asked()
    async with Hub(arbiter=arbiter) as hub:
        claims: dict[str, Any] = {"capabilities": ["root"], "resume": Resume(capabilities=["sql"]), "skill": "all"}
        a = await hub.agents.register("a", **claims, passport=Passport(owner="me"), rule={"tasks_max": 1})
        b = await hub.agents.register("b")
        promise = Expectation(name="reply_within", params={"seconds": 1}, on_violation="remove", applies_to=(b.id,))
        channel = await hub.channels.open([a, b], topic="T", labels={"x": "L"}, expectations=[promise])
        posted = await channel.post(a, "x", priority="urgent", ttl_seconds=77, idempotency_key="key")
        await channel.post(b, "y", caused_by=posted)
        task = await hub.tasks.start(a, "t", channel=channel, ttl_seconds=5, capability="sql")
        await hub.tasks.start(b, "u", parent=task)
        await hub.tasks.get(task.id, b).request_cancel("too slow")
        await a.observe("t1", capability="sql", ended="failed", latency_ms=3)
        await channel.hide(b, "loud")
        await channel.show(b)
        await hub.emit(GenericEvent(kind="x.y", agent_id=a.id, channel_id=channel.id, data={"v": [1]}))
    seen = arbiter.last
    about = arbiter.commands[0].content
    assert (about["rule"], about["skill"], about["passport"].owner) == ({"tasks_max": 1}, "all", "me")
    assert about["resume"].capabilities == ("root", "sql")
    opened = seen("open").facts
    assert (opened["topic"], opened["labels"], opened["knobs"]) == ("T", {"x": "L"}, None)
    assert opened["expectations"][0]["applies_to"] == (b.id,)
    assert (opened["invite"], opened["ttl_seconds"], opened["parent_id"]) == (False, "rule", None)
    first, second = [each for each in arbiter.commands if each.name == "send"]
    assert (first.facts["priority"], first.facts["ttl_seconds"], first.facts["idempotency_key"]) == (
        "urgent",
        77,
        "key",
    )
    assert (first.present, second.hops, second.facts["causation_id"]) == (("a", "b"), 1, posted.id)
    start = [each for each in arbiter.commands if each.name == "start"]
    assert (start[0].others, start[0].present, start[0].facts["capability"]) == ((), ("a", "b"), "sql")
    assert (start[1].others, start[1].facts["delegation_depth"]) == (("a",), 1)
    assert seen("request_cancel").facts == {"reason": "too slow"}
    assert seen("observe").others == ("a",)
    assert seen("observe").facts == {"task_id": "t1", "capability": "sql", "ended": "failed", "latency_ms": 3}
    for name, content in (("hide", "loud"), ("show", None)):
        assert (seen(name).others, seen(name).present, seen(name).content) == (("b",), ("a", "b"), content)
    emitted = seen("emit")
    assert (emitted.agent_name, emitted.channel_id, emitted.present) == ("a", channel.id, ("a", "b"))
    assert (emitted.content.data, emitted.facts) == ({"v": (1,)}, {"kind": "x.y"})
    assert all(type(each.facts).__name__ == "FrozenDict" for each in arbiter.commands)


async def test_the_arbiter_sees_which_agent_acts() -> None:
    """The program's own code acts as no agent; what is done through an agent's hub, that agent does."""
    arbiter = Asked()
    async with Hub(arbiter=arbiter) as hub:
        a, b = await hub.agents.register("a"), await hub.agents.register("b")
        channel = await hub.channels.open([a, b])
        for face, actor in ((hub, ""), (hub.acting_as(a), "a")):
            there = face.channels.get(channel.id)
            arbiter.commands.clear()
            await there.hide(b)
            await there.show(b)
            await face.agents.named("b").observe(f"t{actor}", capability="x", ended="failed")
            await face.emit(GenericEvent(kind="x.y"))
            assert [(each.name, each.agent_name) for each in arbiter.commands] == [
                (name, actor) for name in ("hide", "show", "observe", "emit")
            ]


async def test_asks_and_answers_are_decided_about() -> None:
    """The approvers of a policy are called by the hub itself, and are not."""
    arbiter = Asked()

    async def echo(turn: Turn) -> None:
        await turn.reply("done")

    async with (
        Hub(arbiter=arbiter, approvals=ApprovalPolicy(timeout_seconds=9)) as hub,
        anyio.create_task_group() as it,
    ):
        boss = await hub.agents.register("boss")
        await hub.spawn(echo)
        await hub.ask(boss, "echo", {"q": 1}, timeout=5)
        it.start_soon(hub.approvals.gate, boss, "deploy")
        await until_idle()
        (pending,) = hub.approvals.pending()
        arbiter.answer = lambda command: Deny("not he") if command.name == "answer" else Allow()
        with pytest.raises(AccessDenied, match="not he"):
            await hub.approvals.answer(pending.approval_id, "ann", is_passed=True, reason="r")
        assert len(hub.approvals.pending()) == 1
        arbiter.answer = lambda _: Allow()
        await hub.approvals.answer(pending.approval_id, "ann", is_passed=True)
    asked = arbiter.last("ask")
    assert (asked.agent_name, asked.others, asked.content) == ("boss", ("echo",), {"q": 1})
    assert asked.facts == {"timeout": 5.0, "linked": True}
    assert arbiter.last("request").facts["timeout_seconds"] == 9
    answers = [each.content for each in arbiter.commands if each.name == "answer"]
    assert answers[0] == {
        "approval_id": pending.approval_id,
        "approver": "ann",
        "is_passed": True,
        "reason": "r",
        "arguments": None,
    }


def _calls(hub: Hub, hidden: Any, other: Any, channel: Any) -> Mapping[str, Callable[[], Any]]:
    async def threadsafe() -> None:
        await asyncio.wrap_future(hub.emit_threadsafe(GenericEvent(kind="x.y")))

    async def nowait() -> None:
        hub.emit_nowait(GenericEvent(kind="x.y"))

    async def offered() -> None:
        hub.offer(GenericEvent(kind="x.y"))

    return {
        "hide": lambda: channel.hide(other),
        "show": lambda: channel.show(hidden),
        "observe": lambda: other.observe("t", capability="x", ended="failed"),
        "ask": lambda: hub.ask(hidden, other, "x"),
        "emit": lambda: hub.emit(GenericEvent(kind="x.y")),
        "emit, nowait": nowait,
        "emit, offered": offered,
        "emit, threadsafe": threadsafe,
    }


ANSWERS: dict[str, Callable[[Command], Any]] = {
    "denies": lambda _: Deny("not today"),
    "answers nonsense": lambda _: True,
    "answers nothing": lambda _: None,
}


def _raises(_: Command) -> Allow:
    raise RuntimeError("broken")


def _exits(_: Command) -> Allow:
    raise SystemExit(1)


ANSWERS |= {"raises": _raises, "exits": _exits}
COMMANDS = ("hide", "show", "observe", "ask", "emit", "emit, nowait", "emit, offered", "emit, threadsafe")


@pytest.mark.parametrize("how", ANSWERS)
@pytest.mark.parametrize("name", COMMANDS)
async def test_what_is_not_allowed_has_not_happened(name: str, how: str) -> None:
    """Whatever the arbiter does but allow it; the denial is an event."""
    arbiter, recorder = Asked(), Recorder()
    async with Hub(arbiter=arbiter, listeners=[recorder]) as hub:
        hidden, other = await hub.agents.register("hidden"), await hub.agents.register("other")
        channel = await hub.channels.open([hidden, other])
        await channel.hide(hidden)
        await hub.flush()
        before, count = peek(hub), len(recorder.events)
        arbiter.answer = ANSWERS[how]
        with pytest.raises(AccessDenied, match=f"'{name.partition(',')[0]}' of"):
            await _calls(hub, hidden, other, channel)[name]()
        await hub.flush()
        assert [event.kind for event in recorder.events[count:]] == ["command.denied"]
        assert peek(hub) == before


async def test_an_arbiter_that_has_to_wait_denies_what_cannot() -> None:
    """`emit_nowait` and `offer` are refused, with what to do; `emit` waits, but not for ever."""
    clock, recorder = ManualClock(), Recorder()

    async def answer(command: Command) -> Allow:
        if command.content.kind == "never.ends":
            await anyio.sleep_forever()
        await anyio.lowlevel.checkpoint()
        return Allow()

    arbiter = Asked(answer)
    async with Hub(arbiter=arbiter, clock=clock, arbiter_seconds_max=2, listeners=[recorder]) as hub:
        for call in (hub.emit_nowait, hub.offer):
            with pytest.raises(AccessDenied, match=r"would have to be awaited, .* await hub\.emit"):
                call(GenericEvent(kind="x.y"))
        await hub.emit(GenericEvent(kind="x.y"))
        errors: list[Exception] = []

        async def hangs() -> None:
            try:
                await hub.emit(GenericEvent(kind="never.ends"))
            except AccessDenied as error:
                errors.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hangs)
            await until_idle()
            clock.advance(2)
        assert "it took longer than 2 s" in str(errors[0])
        await hub.flush()
        kinds = {event.kind for event in recorder.events if not event.kind.startswith(("hub.", "listener."))}
        assert kinds == {"x.y", "command.denied"}


async def test_what_was_decided_about_is_what_happens() -> None:
    """Changes to arguments while the arbiter decides are too late."""
    data, knobs = {"pay": 1}, {"context": {"pay": 1}}
    promise: dict[str, Any] = {"name": "reply_within", "params": {"seconds": 1}}

    async def answer(command: Command) -> Allow:
        if command.name == "emit":
            data["pay"] = 1_000_000
        if command.name == "open":
            knobs["context"]["pay"] = promise["params"]["seconds"] = 1_000_000
        return Allow()

    async with Hub(arbiter=Asked(answer)) as hub:
        a = await hub.agents.register("a")
        assert (await hub.emit(GenericEvent(kind="x.y", data=data))).data == {"pay": 1}
        await hub.channels.open([a], type="workflow", knobs=knobs, expectations=[promise])
        (created,) = [event for event in await history(hub) if event.kind == "channel.created"]
        made: Any = created
        assert (made.knobs, made.expectations[0]["params"]) == ({"context": {"pay": 1}}, {"seconds": 1})


async def test_an_agent_accepts_all_that_are_present() -> None:
    """Not only the one that has invited it; and who joins is decided about by those that were invited before."""
    rules = RuleArbiter({"b": Rule(inbound_from=("a", "c"))})
    async with Hub(arbiter=rules) as hub:
        a, b, c, m = [await hub.agents.register(each) for each in ("a", "b", "c", "mallory")]
        before = await hub.channels.open([a, b, m], invite=True, required_acks=1)
        await before.accept(m)
        with pytest.raises(AccessDenied, match="'b' takes no envelopes from 'mallory'"):
            await before.accept(b)
        assert before.participants == (a.id, m.id)
        late = await hub.channels.open([a, b, c], invite=True, required_acks=1)
        await late.accept(c)
        with pytest.raises(AccessDenied, match="'b' takes no envelopes from 'mallory'"):
            await late.join(m)
        await late.accept(b)
        assert set(late.participants) == {a.id, b.id, c.id}


async def test_who_comes_meanwhile_is_decided_about_too() -> None:
    """An agent that accepts while another one joins is asked about that one as well."""
    thinking, go_on = anyio.Event(), anyio.Event()

    async def answer(command: Command) -> Allow | Deny:
        if command.name == "accept" and not thinking.is_set():
            thinking.set()
            await go_on.wait()
        return Deny("not with m") if command.name == "accept" and "m" in command.others else Allow()

    async with Hub(arbiter=Asked(answer)) as hub, anyio.create_task_group() as tasks:
        a, b, c, m = [await hub.agents.register(each) for each in "abcm"]
        channel = await hub.channels.open([a, b, c], invite=True, required_acks=1)
        denied: list[str] = []

        async def accept() -> None:
            try:
                await channel.accept(b)
            except AccessDenied as error:
                denied.append(str(error))

        await hub.agents.register("x")
        await _accepted(channel, c)
        tasks.start_soon(accept)
        await thinking.wait()
        await channel.join(m)
        go_on.set()
        await until_idle()
        assert denied == ["'accept' of 'b' is denied: not with m"]
        assert b.id not in channel.participants


async def _accepted(channel: Any, agent: Any) -> None:
    """Let an agent accept by the state alone: the arbiter of the test counts the next one."""
    await channel._core.execute(lambda: channel._state.membership.accept(channel.id, agent.id))


async def test_a_denied_ask_leaves_no_channel() -> None:
    async with Hub(arbiter=RuleArbiter({"intern": Rule(outbound_to=("boss",))})) as hub:
        intern, bank = await hub.agents.register("intern"), await hub.agents.register("bank")
        before = peek(hub)
        with pytest.raises(AccessDenied, match="'ask' of 'intern' is denied: 'intern' may not address 'bank'"):
            await hub.ask(intern, bank, "money")
        assert peek(hub) == before


async def test_denied_claims_are_denied_at_registration_too() -> None:
    """An arbiter that looks at what an agent claims sees the same claim in both commands."""
    deny = Asked(lambda command: Deny("no root") if "root" in repr(command.content) else Allow())
    async with Hub(arbiter=deny) as hub:
        a = await hub.agents.register("a")
        with pytest.raises(AccessDenied):
            await a.set_resume(Resume(capabilities=["root"]))
        each: dict[str, Any]
        for each in ({"capabilities": ["root"]}, {"resume": Resume(capabilities=["root"])}, {"skill": "root"}):
            with pytest.raises(AccessDenied):
                await hub.agents.register("b", **each)
        assert hub.agents.list(capability="root") == []


async def test_a_check_comes_before_the_arbiter() -> None:
    """It is not asked about what is no event, or one that a command makes."""
    arbiter = Asked()
    async with Hub(arbiter=arbiter) as hub:
        with pytest.raises(ConfigurationError):
            await hub.emit(5)  # type: ignore[type-var]
        with pytest.raises(Exception, match="the hub itself"):
            await hub.emit(CommandDenied(agent_name="a", command_name="b", reason="c"))
        assert arbiter.commands == []
