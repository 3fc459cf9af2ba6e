"""The arbiter: what it is asked, what its answer leads to, and that whatever is no permission is a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from hubwire import Hub, Resume, Rule, RuleArbiter
from hubwire.arbiter import Allow, Command, Deny
from hubwire.errors import AccessDenied, CommandRejected, ConfigurationError
from hubwire.events import EnvelopeDispatchFailed, EnvelopePosted, EnvelopeRejected
from hubwire.testing import ManualClock, Recorder, peek
from support import contents, until_idle


class Asked:
    """An arbiter that keeps what it was asked, and answers as it is told."""

    def __init__(self, answer: Callable[[Command], Any] = lambda _: Allow()) -> None:
        self.answer = answer
        self.commands: list[Command] = []

    def authorize(self, command: Command) -> Any:
        self.commands.append(command)
        return self.answer(command)


def denying(*names: str) -> Asked:
    return Asked(lambda command: Deny("not today") if command.name in names else Allow())


async def hangs(_: Command) -> Allow:
    await anyio.sleep_forever()
    return Allow()


async def cancels_itself(_: Command) -> Allow:
    raise asyncio.CancelledError


def raises(_: Command) -> Allow:
    raise RuntimeError("broken")


def exits(_: Command) -> Allow:
    raise SystemExit(1)


def claims() -> dict[str, Any]:
    return {"rule": None, "resume": Resume(), "skill": "", "passport": None}


async def kinds(hub: Hub, recorder: Recorder) -> list[str]:
    await hub.flush()
    return [event.kind for event in recorder.events if not event.kind.startswith(("hub.", "listener."))]


# --- what it is asked -------------------------------------------------------------------------------------------------


async def test_every_command_names_those_concerned() -> None:
    """The arbiter sees each command with the names of the agents that it concerns."""
    arbiter = Asked()
    async with Hub(arbiter=arbiter) as hub:
        planner, coder = await hub.agents.register("planner"), await hub.agents.register("coder")
        channel = await hub.channels.open([planner, coder])
        await channel.post(planner, "hello", to=[coder])
        await channel.post(coder, "hello, all")
        await hub.tasks.start(coder, "fix", channel=channel)
        await hub.approvals.gate(coder, "read_file", arguments={"path": "a"}, channel=channel)
        in_channel = len(arbiter.commands)
        await coder.set_resume(Resume(summary="codes"))
        await coder.set_skill("coding")
        await coder.set_rule({"inbox": {"capacity": 5}})
        of_agents = len(arbiter.commands)
        tester = await hub.agents.register("tester")
        guests = await hub.channels.open([planner, coder, tester], invite=True, required_acks=1)
        in_guests = len(arbiter.commands)
        await guests.accept(coder)
        await guests.decline(tester, "no time")
        await guests.join(tester)
        task = await hub.tasks.start(coder, "review", channel=guests)
        await hub.tasks.get(task.id, tester).request_cancel("enough")
        await guests.leave(tester, "done")
        await guests.close("all done")
        await coder.unregister()
    told = [(each.name, each.agent_name, each.others, each.content) for each in arbiter.commands]
    assert told == [
        ("register", "planner", (), claims()),
        ("register", "coder", (), claims()),
        ("open", "planner", ("coder",), None),
        ("send", "planner", ("coder",), "hello"),
        ("dispatch", "planner", ("coder",), "hello"),
        ("inbox", "coder", ("planner",), "hello"),
        ("send", "coder", (), "hello, all"),
        ("dispatch", "coder", ("planner",), "hello, all"),
        ("inbox", "planner", ("coder",), "hello, all"),
        ("start", "coder", (), "fix"),
        ("request", "coder", (), {"action": "read_file", "arguments": {"path": "a"}}),
        ("set_resume", "coder", (), Resume(summary="codes")),
        ("set_skill", "coder", (), "coding"),
        ("set_rule", "coder", (), {"inbox": {"capacity": 5}}),
        ("register", "tester", (), claims()),
        ("open", "planner", ("coder", "tester"), None),
        ("accept", "coder", ("planner",), None),
        ("decline", "tester", ("planner",), "no time"),
        ("join", "tester", ("planner", "coder"), None),
        ("start", "coder", (), "review"),
        ("request_cancel", "tester", ("coder",), task.id),
        ("leave", "tester", (), "done"),
        ("close", "", ("planner", "coder"), "all done"),
        ("unregister", "coder", (), None),
    ]
    assert {each.channel_id for each in arbiter.commands[3:in_channel]} == {channel.id}
    assert {each.channel_id for each in arbiter.commands[in_channel:of_agents]} == {None}
    assert {each.channel_id for each in arbiter.commands[in_guests:-1]} == {guests.id}
    assert {each.channel_type for each in arbiter.commands if each.name in ("open", "join", "accept")} == {
        "conversation"
    }


# --- what its answer leads to -----------------------------------------------------------------------------------------


DENIABLE = (
    *("register", "unregister", "set_resume", "set_skill", "set_rule"),
    *("open", "join", "accept", "decline", "leave", "close", "start", "request_cancel"),
)


@pytest.mark.parametrize("name", DENIABLE)
async def test_a_denied_command_never_happened(name: str) -> None:
    arbiter, recorder = denying(), Recorder()
    async with Hub(arbiter=arbiter, listeners=[recorder]) as hub:
        coder, other = await hub.agents.register("coder"), await hub.agents.register("other")
        guests, alone = await hub.channels.open([coder, other], invite=True), await hub.channels.open([coder])
        task = await hub.tasks.start(coder, "given")
        before = await kinds(hub, recorder)
        state = peek(hub)
        arbiter.answer = lambda _: Deny("not today")
        commands: dict[str, Callable[[], Any]] = {
            "register": lambda: hub.agents.register("planner"),
            "open": lambda: hub.channels.open([coder]),
            "start": lambda: hub.tasks.start(coder, "fix"),
            "request_cancel": lambda: hub.tasks.get(task.id, other).request_cancel(),
            "unregister": coder.unregister,
            "set_resume": lambda: coder.set_resume(Resume()),
            "set_skill": lambda: coder.set_skill("coding"),
            "set_rule": lambda: coder.set_rule({}),
            "join": lambda: alone.join(other),
            "accept": lambda: guests.accept(other),
            "decline": lambda: guests.decline(other),
            "leave": lambda: alone.leave(coder),
            "close": alone.close,
        }
        with pytest.raises(AccessDenied, match=f"'{name}' of .* is denied: not today") as caught:
            await commands[name]()
        assert caught.value.command == name
        assert await kinds(hub, recorder) == [*before, "command.denied"]
        assert peek(hub) == state


async def test_joining_obeys_the_rules_of_opening() -> None:
    """An agent cannot join a channel of agents with which it could not open one."""
    rules = RuleArbiter(
        {
            "intern": Rule(outbound_to=("lead",)),
            "boss": Rule(inbound_from=("lead",)),
            "quiet": Rule(channel_types_accept=("notification",)),
        }
    )
    async with Hub(arbiter=rules) as hub:
        names = ("lead", "intern", "boss", "quiet", "anybody")
        lead, intern, boss, quiet, anybody = [await hub.agents.register(name) for name in names]
        above, below = await hub.channels.open([lead, boss]), await hub.channels.open([lead])
        await below.join(intern)
        for agent, reason in (
            (intern, "'intern' may not address 'boss'"),
            (anybody, "'boss' takes no envelopes from 'anybody'"),
            (quiet, "'boss' takes no envelopes from 'quiet'"),
        ):
            with pytest.raises(AccessDenied, match=reason):
                await above.join(agent)
        with pytest.raises(AccessDenied, match="'quiet' accepts no channels of type 'conversation'"):
            await below.join(quiet)
        assert above.participants == (lead.id, boss.id)
        assert below.participants == (lead.id, intern.id)


async def test_accepting_obeys_the_rules_of_that_moment() -> None:
    async with Hub(arbiter=RuleArbiter()) as hub:
        lead, coder = await hub.agents.register("lead"), await hub.agents.register("coder")
        channel = await hub.channels.open([lead, coder], invite=True)
        await coder.set_rule(Rule(inbound_from=("nobody",)))
        with pytest.raises(AccessDenied, match="'coder' takes no envelopes from 'lead'"):
            await channel.accept(coder)
        await coder.set_rule(Rule(channel_types_accept=("auction",)))
        with pytest.raises(AccessDenied, match="accepts no channels of type 'conversation'"):
            await channel.accept(coder)
        await coder.set_rule(Rule())
        await channel.accept(coder)
        assert channel.is_open


async def test_late_participants_are_authorized_too() -> None:
    """A participant that joins while the arbiter decides about a post is decided about as well."""
    thinking, go_on = anyio.Event(), anyio.Event()

    async def answer(command: Command) -> Allow | Deny:
        if command.name in held:
            thinking.set()
            await go_on.wait()
        return Deny("not to him") if command.name == "dispatch" and command.others == ("late",) else Allow()

    held = {"send"}
    arbiter = Asked(answer)
    async with Hub(arbiter=arbiter) as hub, anyio.create_task_group() as tasks:
        names = ("alice", "bob", "late", "later", "last")
        alice, bob, late, later, last = [await hub.agents.register(each) for each in names]
        channel = await hub.channels.open([alice, bob])
        posted: list[EnvelopePosted] = []

        async def post() -> None:
            posted.append(await channel.post(alice, "hello"))

        tasks.start_soon(post)
        await thinking.wait()
        await channel.join(late)
        await channel.join(later)
        go_on.set()
        await until_idle()
        assert posted[0].recipients == (bob.id, later.id)
        assert sum(command.name == "send" for command in arbiter.commands) == 1

        held, thinking, go_on = {"join"}, anyio.Event(), anyio.Event()
        arbiter.commands.clear()
        tasks.start_soon(channel.join, last)
        await thinking.wait()
        held = set()
        extra = await hub.agents.register("extra")
        await channel.join(extra)
        go_on.set()
        await until_idle()
        asked = [command.others for command in arbiter.commands if command.agent_name == "last"]
        assert asked == [("alice", "bob", "late", "later"), ("alice", "bob", "late", "later", "extra")]
        assert last.id in channel.participants


async def test_what_was_authorized_is_what_is_posted() -> None:
    """A change of the content while the arbiter decides does not reach the channel."""
    thinking, go_on = anyio.Event(), anyio.Event()

    async def answer(command: Command) -> Allow | Deny:
        if command.name == "send":
            thinking.set()
            await go_on.wait()
            return Allow() if command.content["do"] == "read" else Deny("too dangerous")
        return Allow()

    async with Hub(arbiter=Asked(answer)) as hub, anyio.create_task_group() as tasks:
        alice, bob = await hub.agents.register("alice"), await hub.agents.register("bob")
        channel = await hub.channels.open([alice, bob])
        content = {"do": "read"}
        tasks.start_soon(channel.post, alice, content)
        await thinking.wait()
        content["do"] = "delete"
        go_on.set()
        await until_idle()
        assert contents(hub, bob) == [{"do": "read"}]


async def test_a_denied_envelope_is_rejected() -> None:
    recorder = Recorder()
    async with Hub(arbiter=denying("send"), listeners=[recorder]) as hub:
        planner, coder = await hub.agents.register("planner"), await hub.agents.register("coder")
        channel = await hub.channels.open([planner, coder])
        with pytest.raises(AccessDenied, match="not today"):
            await channel.post(planner, "hello")
        await hub.flush()
        (rejected,) = [event for event in recorder.events if isinstance(event, EnvelopeRejected)]
        assert (rejected.error, rejected.content) == ("AccessDenied", "hello")
        assert hub.statistics().envelopes_pending == 0


@pytest.mark.parametrize("name", ["dispatch", "inbox"])
async def test_a_denied_recipient_is_left_out(name: str) -> None:
    """The others get the envelope, and `envelope.dispatch_failed` reports the one that was left out."""
    recorder = Recorder()
    arbiter = Asked(
        lambda command: (
            Deny("not to him") if command.name == name and "bob" in (command.agent_name, *command.others) else Allow()
        )
    )
    async with Hub(arbiter=arbiter, listeners=[recorder]) as hub:
        alice, bob, carol = [await hub.agents.register(each) for each in ("alice", "bob", "carol")]
        channel = await hub.channels.open([alice, bob, carol])
        posted = await channel.post(alice, "hello")
        assert posted.recipients == (carol.id,)
        await hub.flush()
        (failed,) = [event for event in recorder.events if isinstance(event, EnvelopeDispatchFailed)]
        assert (failed.recipient_id, failed.agent_id, failed.envelope_id) == (bob.id, alice.id, posted.envelope_id)
        assert "not to him" in failed.reason
        assert hub.statistics().envelopes_pending == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (raises, "the arbiter failed .RuntimeError: broken"),
        (exits, "the arbiter failed .RuntimeError: it raised SystemExit"),
        (cancels_itself, "the arbiter failed .RuntimeError: it raised CancelledError"),
        (lambda _: None, "the arbiter answered NoneType"),
        (lambda _: True, "the arbiter answered bool"),
    ],
    ids=["raises", "exits", "cancels itself", "says nothing", "says true"],
)
async def test_a_failing_arbiter_denies(answer: Callable[[Command], Any], message: str) -> None:
    recorder = Recorder()
    async with Hub(arbiter=Asked(answer), listeners=[recorder]) as hub:
        with pytest.raises(AccessDenied, match=message):
            await hub.agents.register("coder")
        assert await kinds(hub, recorder) == ["command.denied"]
        assert hub.agents.find("coder") is None


async def test_a_hanging_arbiter_denies_in_time() -> None:
    clock, recorder, refused = ManualClock(), Recorder(), []
    async with Hub(arbiter=Asked(hangs), arbiter_seconds_max=2, clock=clock, listeners=[recorder]) as hub:

        async def register() -> None:
            try:
                await hub.agents.register("coder")
            except AccessDenied as error:
                refused.append(str(error))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(register)
            await until_idle()
            clock.advance(1.9)
            await until_idle()
            assert not refused
            clock.advance(0.2)
        assert "it took longer than 2 s" in refused[0]
        assert await kinds(hub, recorder) == ["command.denied"]


async def test_an_arbiter_may_wait_and_be_cancelled() -> None:
    gate = anyio.Event()

    async def waits(_: Command) -> Allow:
        await gate.wait()
        return Allow()

    async with Hub(arbiter=Asked(waits)) as hub:
        with anyio.move_on_after(0) as scope:
            await hub.agents.register("coder")
        assert scope.cancelled_caught
        assert hub.agents.find("coder") is None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.agents.register, "coder")
            await until_idle()
            gate.set()
        assert hub.agents.find("coder") is not None


async def test_limits_hold_among_concurrent_commands() -> None:
    """A limit is checked when a command is applied, not only when the arbiter answered."""

    async def slowly(_: Command) -> Allow:
        await anyio.lowlevel.checkpoint()
        return Allow(tasks_max=2, channels_max=1)

    async with Hub(arbiter=Asked(slowly)) as hub:
        coder = await hub.agents.register("coder")
        refused: list[str] = []

        async def attempt(command: Callable[[], Any]) -> None:
            try:
                await command()
            except CommandRejected as error:
                refused.append(str(error))

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(attempt, lambda: hub.tasks.start(coder, "fix"))
                tasks.start_soon(attempt, lambda: hub.channels.open([coder]))
        assert len(hub.tasks.running()) == 2
        assert hub.statistics().channels == 1
        assert sorted(message.split(" has ")[1] for message in refused) == [
            *["1 channels open, and 1 are allowed; close one first"] * 4,
            *["2 tasks running, and 2 are allowed; end one first"] * 3,
        ]


async def test_the_state_machine_decides_after_the_arbiter() -> None:
    """What the arbiter allowed is refused if the state has changed meanwhile."""
    gate = anyio.Event()

    async def waits(command: Command) -> Allow:
        if command.name == "send":
            await gate.wait()
        return Allow()

    recorder = Recorder()
    async with Hub(arbiter=Asked(waits), listeners=[recorder]) as hub:
        coder = await hub.agents.register("coder")
        channel = await hub.channels.open([coder])
        refused: list[CommandRejected] = []

        async def post() -> None:
            try:
                await channel.post(coder, "hello")
            except CommandRejected as error:
                refused.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post)
            await until_idle()
            await channel.close()
            gate.set()
        assert len(refused) == 1
        await hub.flush()
        assert not [event for event in recorder.events if isinstance(event, EnvelopePosted)]


# --- rules ------------------------------------------------------------------------------------------------------------


def ask(arbiter: RuleArbiter, name: str, who: str, *others: str, at: float = 0.0, **more: Any) -> str:
    """Return why the rules deny it; nothing if they do not."""
    answer = arbiter.authorize(Command(name=name, agent_name=who, others=others, moment_seconds=at, **more))
    return answer.reason if isinstance(answer, Deny) else ""


def test_without_rules_everything_is_allowed() -> None:
    arbiter = RuleArbiter()
    assert arbiter.authorize(Command(name="send", agent_name="a", others=("b",))) == Allow(delegation_depth_max=5)


def test_addresses_are_globs_over_names() -> None:
    """`outbound_to` and `inbound_from` are matched against the names of agents."""
    arbiter = RuleArbiter({"intern-*": Rule(outbound_to=("team-*",)), "boss": Rule(inbound_from=("lead", "team-[12]"))})
    assert ask(arbiter, "send", "intern-1", "team-1") == ""
    assert ask(arbiter, "send", "intern-1", "team-1", "boss") == "'intern-1' may not address 'boss'"
    assert ask(arbiter, "send", "Intern-1", "boss") == ""
    assert ask(arbiter, "send", "team-3", "boss") == ""
    assert ask(arbiter, "dispatch", "team-3", "boss") == "'boss' takes no envelopes from 'team-3'"
    assert ask(arbiter, "dispatch", "team-2", "boss") == ""
    assert ask(arbiter, "open", "team-3", "lead", "boss") == "'boss' takes no envelopes from 'team-3'"
    assert ask(arbiter, "open", "intern-1", "lead") == "'intern-1' may not address 'lead'"


def test_rules_name_channel_types() -> None:
    """A rule says which types of channels an agent may open, and in which it takes part."""
    arbiter = RuleArbiter(
        {"a": Rule(channel_types_initiate=("talk",)), "b": Rule(channel_types_accept=("work", "talk"))}
    )
    assert ask(arbiter, "open", "a", "b", channel_type="talk") == ""
    assert ask(arbiter, "open", "a", "c", channel_type="work") == "'a' may not open channels of type 'work'"
    assert ask(arbiter, "open", "c", "b", channel_type="party") == "'b' accepts no channels of type 'party'"


def test_a_chain_of_envelopes_has_an_end() -> None:
    arbiter = RuleArbiter(default=Rule(delegation_depth_max=2))
    assert ask(arbiter, "send", "a", delegators=("b", "c"), hops=1000) == ""
    assert "2 are allowed" in ask(arbiter, "send", "a", delegators=("b", "c", "d"))
    assert ask(RuleArbiter(default=Rule(delegation_depth_max=None)), "send", "a", delegators=("b",) * 1000) == ""


def test_a_rate_is_a_bucket_per_agent() -> None:
    arbiter = RuleArbiter(default=Rule(rate_per_minute=6, rate_burst=2))
    assert [ask(arbiter, "send", "a") for _ in range(3)] == ["", "", "'a' may do this 6 times a minute; wait 10 s"]
    assert ask(arbiter, "send", "b") == ""
    assert ask(arbiter, "dispatch", "a", "b") == ""
    assert "wait 1 s" in ask(arbiter, "open", "a", at=9.5)
    assert ask(arbiter, "open", "a", at=10.1) == ""
    assert ask(arbiter, "start", "a", at=10.2) != ""
    assert [ask(arbiter, "send", "a", at=1000) for _ in range(3)][:2] == ["", ""]
    assert ask(arbiter, "send", "a", at=1000) != ""


def test_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire.arbiter._BUCKETS_MAX", 100)
    arbiter = RuleArbiter(default=Rule(rate_per_minute=1))
    for number in range(500):
        ask(arbiter, "send", f"agent {number}", at=float(number))
    assert len(arbiter._buckets) <= 100
    assert ask(arbiter, "send", "agent 499", at=499.0) != ""


def test_rules_of_others_are_read_only_if_needed() -> None:
    looked_up: list[str] = []

    class Counting(RuleArbiter):
        def rule_of(self, name: str, registered: Any = None) -> Rule:
            looked_up.append(name)
            return super().rule_of(name, registered)

    others = tuple(f"agent {number}" for number in range(100))
    for name, count in {"close": 1, "leave": 1, "open": 101, "join": 101}.items():
        looked_up.clear()
        assert Counting().authorize(Command(name=name, agent_name="coder", others=others)) == Allow(
            delegation_depth_max=5
        )
        assert len(looked_up) == count


def test_the_first_matching_rule_counts() -> None:
    arbiter = RuleArbiter({"a-1": Rule(tasks_max=1), "a-*": Rule(tasks_max=2)}, default=Rule(tasks_max=3))
    assert [arbiter.rule_of(name).tasks_max for name in ("a-1", "a-2", "b")] == [1, 2, 3]


@pytest.mark.parametrize(
    "fields",
    [
        {"outbound_to": "team-*"},
        {"inbound_from": (5,)},
        {"tasks_max": -1},
        {"channels_max": 1.5},
        {"rate_per_minute": 0},
        {"rate_per_minute": float("nan")},
        {"rate_burst": 0},
        {"rate_burst": "5"},
        {"rate_per_minute": "5"},
        {"tasks_max": True},
        {"inbound_from": 5},
    ],
)
def test_an_impossible_rule_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Rule(**fields)


async def test_an_agent_may_bring_its_own_rule() -> None:
    """The rules of the arbiter itself go before it."""
    strict = Rule(outbound_to=("lead",), inbound_from=("lead",), tasks_max=1)
    async with Hub(arbiter=RuleArbiter({"trusted": Rule()})) as hub:
        lead, other = await hub.agents.register("lead"), await hub.agents.register("other")
        intern = await hub.agents.register("intern", rule=strict)
        trusted = await hub.agents.register("trusted", rule=strict)
        channel = await hub.channels.open([lead, other, intern, trusted])
        with pytest.raises(AccessDenied, match="'intern' may not address 'other'"):
            await channel.post(intern, "hello", to=[other])
        assert (await channel.post(other, "hello")).recipients == (lead.id, trusted.id)
        await channel.post(trusted, "hello", to=[other])
        await hub.tasks.start(intern, "one")
        with pytest.raises(CommandRejected, match="1 are allowed"):
            await hub.tasks.start(intern, "two")


async def test_an_impossible_rule_is_denied_at_once() -> None:
    """It is denied when an agent brings it, before it applies."""
    async with Hub(arbiter=RuleArbiter()) as hub:
        with pytest.raises(AccessDenied, match=r"'register' of 'coder' is denied: .*tasks_max is a whole number"):
            await hub.agents.register("coder", rule={"tasks_max": "many"})
        assert hub.agents.find("coder") is None
        coder = await hub.agents.register("coder", rule=Rule(tasks_max=1))
        with pytest.raises(AccessDenied, match=r"'set_rule' of 'coder' is denied: outbound_to is a tuple of globs"):
            await coder.set_rule({"outbound_to": "lead"})
        assert (coder.rule or {})["tasks_max"] == 1


async def test_an_impossible_registered_rule_denies() -> None:
    """A rule that was registered without this arbiter, and makes no sense to it, denies."""
    arbiter = Asked()
    async with Hub(arbiter=arbiter) as hub:
        coder = await hub.agents.register("coder", rule={"tasks_max": "many"})
        arbiter.answer = RuleArbiter().authorize
        with pytest.raises(AccessDenied, match=r"arbiter failed .*tasks_max is a whole number"):
            await hub.tasks.start(coder, "fix")


async def test_rules_hold_on_a_hub() -> None:
    clock = ManualClock()
    rules = RuleArbiter(
        {
            "intern": Rule(
                outbound_to=("lead",), tasks_max=1, delegation_depth_max=1, channel_types_initiate=("conversation",)
            ),
            "chatty": Rule(rate_per_minute=60, rate_burst=4),
        }
    )
    async with Hub(arbiter=rules, clock=clock) as hub:
        intern, lead, chatty = [await hub.agents.register(name) for name in ("intern", "lead", "chatty")]
        channel = await hub.channels.open([lead, intern, chatty])
        await channel.post(intern, "hello", to=[lead])
        with pytest.raises(AccessDenied, match="may not address 'chatty'"):
            await channel.post(intern, "hello", to=[chatty])
        task = await hub.tasks.start(intern, "one")
        with pytest.raises(CommandRejected, match="1 are allowed"):
            await hub.tasks.start(intern, "two")
        below = await hub.tasks.start(lead, "below", parent=task)
        await task.complete()
        with pytest.raises(CommandRejected, match="delegated 2 times, and 1 are allowed"):
            await hub.tasks.start(intern, "too deep", parent=below)
        for _ in range(3):
            await channel.post(chatty, "and another thing")
        with pytest.raises(AccessDenied, match="60 times a minute; wait 1 s"):
            await channel.post(chatty, "and another thing")
        clock.advance(1)
        clerk = await hub.agents.register("clerk")
        await channel.join(clerk)
        posted = await channel.post(chatty, "and another thing", to=[clerk])
        handed_on = await channel.post(clerk, "for you", to=[intern], caused_by=posted)
        with pytest.raises(AccessDenied, match="handed on by 2 agents, and 1 are allowed"):
            await channel.post(intern, "for you", to=[lead], caused_by=handed_on)
        with pytest.raises(AccessDenied, match="may not open channels of type 'auction'"):
            await hub.channels.open([intern, lead], type="auction")
