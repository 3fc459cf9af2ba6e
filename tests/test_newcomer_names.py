"""What those who begin give in the place of something else: the error says so, and its advice works."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest

from hubwire import (
    ApprovalPolicy,
    Duty,
    Event,
    Hub,
    HubThread,
    InboxOverflow,
    InboxRule,
    Overflow,
    Restart,
    Strategy,
    Turn,
    own_log,
)
from hubwire.errors import CallerError, CommandRejected, ConfigurationError, ListenerFailed, NotFound
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder
from support import said


async def echo(turn: Any) -> None:
    await turn.reply(turn.content)


async def test_a_forgotten_await_is_named() -> None:
    async with Hub() as hub:
        boss = await hub.agents.register("boss")
        forgotten = hub.agents.register("clerk")
        with pytest.raises(CommandRejected, match=r"not the coroutine register, which was not awaited"):
            await hub.channels.open([boss, cast(Any, forgotten)])
        await forgotten


async def test_the_handle_of_an_actor_has_an_agent() -> None:
    async with Hub() as hub:
        boss = await hub.agents.register("boss")
        handle = await hub.spawn(echo)
        for form in (cast(Any, handle), cast(Any, hub.spawn)):
            with pytest.raises(
                CallerError, match=r"answerer is an Agent.*(ActorHandle; pass its \.agent|method spawn)$"
            ):
                await hub.ask(boss, form, "hello")
        assert (await hub.ask(boss, handle.agent, "hello")).content == "hello"


async def test_text_is_no_member_of_an_enumeration() -> None:
    """The advice is the member that the text names, not any other."""
    async with Hub() as hub:
        check_members(hub)


def check_members(hub: Hub) -> None:
    cases: list[tuple[Any, str]] = [
        (lambda: InboxRule(overflow=cast(Any, "block")), r"not 'block'; write InboxOverflow\.BLOCK$"),
        (lambda: InboxRule(overflow=cast(Any, 1)), r"not 1; write one of InboxOverflow\.REJECT, .*BLOCK$"),
        (lambda: ApprovalPolicy(mode=cast(Any, "shadow")), r"not 'shadow'; write Mode\.SHADOW$"),
        (lambda: ApprovalPolicy(fail_mode=cast(Any, "Allow")), r"not 'Allow'; write FailMode\.ALLOW$"),
        (lambda: hub.supervise("team", strategy=cast(Any, "rest_for_one")), r"; write Strategy\.REST_FOR_ONE$"),
        (lambda: hub.attach(print, duty=cast(Any, "durable")), r"it must be a Duty: write Duty\.DURABLE$"),
        (lambda: hub.attach(print, overflow=cast(Any, "blok")), r"it must be an Overflow: write Overflow\.BLOCK$"),
    ]
    for call, message in cases:
        with pytest.raises(ConfigurationError, match=message):
            call()
    assert {InboxOverflow.BLOCK, Overflow.BLOCK, Duty.DURABLE, Strategy.REST_FOR_ONE}  # what was advised is there


async def test_the_way_to_restart_is_advised() -> None:
    async with Hub() as hub:
        with pytest.raises(ConfigurationError, match=r"not 'permanent'; write Restart\.PERMANENT$"):
            await hub.spawn(echo, restart=cast(Any, "permanent"))
        assert (await hub.spawn(echo, restart=Restart.PERMANENT)).is_running


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            InboxRule(capacity=2),
            r"class InboxRule has the fields of an InboxRule, and no inbox; write rule=\{'inbox': I",
        ),
        ({"capacity": 2}, r"\{'capacity': 2\} has the fields of an InboxRule"),
        ({"inbx": InboxRule(capacity=2)}, r"the rule has 'inbx', and no inbox; did you mean inbox\?"),
    ],
    ids=["an InboxRule", "its fields", "misspelt"],
)
async def test_a_rule_that_misses_the_inbox_is_refused(rule: Any, message: str) -> None:
    """It would be kept, and the inbox go by the default."""
    async with Hub() as hub:
        with pytest.raises(CommandRejected, match=message):
            await hub.agents.register("clerk", rule=rule)
        clerk = await hub.agents.register("clerk", rule={"inbox": InboxRule(capacity=2)})
        with pytest.raises(CommandRejected, match=message):
            await clerk.set_rule(rule)
        assert hub.inboxes.get("clerk").capacity == 2
        await clerk.set_rule({"budget": 3})  # an arbiter's own
        await clerk.set_rule({})


async def test_dead_letters_of_a_misspelt_name_are_refused() -> None:
    async with Hub() as hub:
        clerk = await hub.agents.register("clerk")
        assert not hub.inboxes.dead_letters("clerk")
        with pytest.raises(NotFound, match=r"no agent 'clark' is registered; .*did you mean 'clerk'\?"):
            hub.inboxes.dead_letters("clark")
        assert not hub.inboxes.dead_letters(clerk)


async def test_dead_letters_outlive_their_agent_or_not() -> None:
    """What is kept of an agent that has left can be asked for by its id."""
    async with Hub() as hub:
        boss = await hub.agents.register("boss")
        clerk = await hub.agents.register("clerk", rule={"inbox": InboxRule(deliveries_max=1)})
        channel = await hub.channels.open([boss, clerk])
        await channel.post(boss, "file this")
        await (await anext(clerk.inbox())).nack("stuck")
        assert len(hub.inboxes.dead_letters(clerk)) == 1
        kept = hub.inboxes.dead_letters()
        await clerk.unregister()
        left = hub.inboxes.dead_letters()
        assert left in (kept, [])
        if left:
            assert hub.inboxes.dead_letters(clerk) == left


def test_a_call_takes_function_and_arguments_apart() -> None:
    with HubThread(Hub()) as thread:
        forgotten = thread.hub.agents.register("clerk")
        with pytest.raises(ConfigurationError, match=r"not the coroutine register, .*: call\(function, argument\)$"):
            thread.call(cast(Any, forgotten))
        forgotten.close()
        with pytest.raises(ConfigurationError, match=r"the method find has run and returned None; write async def"):
            thread.call(cast(Any, thread.hub.agents.find), "clerk")


async def test_a_listener_that_fails_is_in_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it was attached as it is by default, the hub goes on, and no caller gets the exception."""
    monkeypatch.setattr(own_log, "LINES_MAX", 1000)  # tests before this one may have had such lines
    async with Hub() as hub:

        @hub.on("number.*")
        async def counts(event: Event) -> None:
            raise ValueError("mine")

        await hub.emit(said())
        await hub.flush()
        assert hub.health().healthy
    (line,) = [record for record in caplog.records if record.name == "hubwire.hub"]
    assert line.levelno == logging.WARNING
    assert line.getMessage().startswith("a listener has failed listener=counts event=")
    assert line.getMessage().endswith("ValueError: mine")


async def test_a_listener_that_ends_the_hub_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ListenerFailed, match="mine"):
        async with Hub(MemoryStore()) as hub:

            @hub.on("number.*", duty=Duty.REQUIRED)
            async def counts(event: Event) -> None:
                raise ValueError("mine")

            with pytest.raises(ListenerFailed):
                await hub.emit(said())
    assert not [record for record in caplog.records if "a listener has failed" in record.getMessage()]


async def test_what_is_printed_says_what_it_is() -> None:
    """No address in memory: a name, and how it is."""
    async with Hub() as hub:
        handle = await hub.spawn(echo)
        agent = f"Agent(id='{handle.agent.id}', name='echo')"
        assert repr(handle) == f"ActorHandle(agent={agent}, is_running=True)"
        assert repr(handle.agent.inbox()) == f"Inbox(agent_id='{handle.agent.id}')"
        assert repr(hub.supervise("team")) == "Group(name='team', members=0, is_stopped=False)"
        await handle.stop()
        assert repr(handle) == f"ActorHandle(agent={agent}, is_running=False)"


async def test_an_answer_names_what_is_wrong_with_it() -> None:
    async with Hub() as hub:
        coder = await hub.agents.register("coder")
        await hub.approvals.request(coder, "deploy")
        (question,) = hub.approvals.pending()
        with pytest.raises(CommandRejected, match=r"an answer must be True or False, not 'yes'$"):
            await hub.approvals.answer(question.approval_id, "ann", is_passed=cast(Any, "yes"))
        with pytest.raises(CommandRejected, match=r"class PendingApproval; pass its \.approval_id$"):
            await hub.approvals.answer(cast(Any, question), "ann", is_passed=True)
        await hub.approvals.answer(question.approval_id, "ann", is_passed=True)
        approval = await hub.approvals.wait(question.approval_id)
        with pytest.raises(CommandRejected, match=r"class Approval; pass its \.approval_id$"):
            await hub.approvals.wait(cast(Any, approval))
        await hub.approvals.use(approval)


@pytest.mark.parametrize("decorator", ["gated", "gated_blocking"])
async def test_a_bare_gated_is_told_its_form(decorator: str) -> None:
    def deploy() -> None:
        raise AssertionError("it does not run")

    async with Hub() as hub:
        coder = await hub.agents.register("coder")
        gate: Any = getattr(hub.approvals, decorator)
        for tool in (deploy, print):
            with pytest.raises(CommandRejected, match=rf"function\w*( deploy)?; write @hub\.approvals\.{decorator}\("):
                gate(tool)
        assert callable(gate(coder)(deploy))


async def test_an_unknown_approval_says_where_to_look() -> None:
    """As one that has its verdict says which, and that nothing waits."""
    async with Hub() as hub:
        approvals = hub.approvals
        coder = await hub.agents.register("coder")
        await approvals.request(coder, "deploy")
        (question,) = approvals.pending()
        with pytest.raises(NotFound, match=r"of 'deploy' waits for its verdict, .*; wait for it with wait\(\)$"):
            await approvals.use(question.approval_id)
        await approvals.answer(question.approval_id, "ann", is_passed=False)
        for given, message in (
            ("lost", r"^no approval has the id 'lost': it was never requested, or .*; hub\.approvals\.pending\(\) has"),
            (
                question.approval_id,
                r"of 'deploy' has its verdict already: it is denied; hub\.approvals\.pending\(\) has",
            ),
        ):
            for call in (
                lambda id_: approvals.answer(id_, "ann", is_passed=True),
                lambda id_: approvals.send_back(id_, "ann", "why?"),
                approvals.withdraw,
                approvals.arguments,
            ):
                with pytest.raises(NotFound, match=message):
                    await call(given)
        for use in (approvals.wait, approvals.use):
            with pytest.raises(NotFound, match="no approval has the id 'lost'"):
                await use("lost")
        with pytest.raises(CommandRejected, match="of 'deploy' is denied"):
            await approvals.use(question.approval_id)


async def test_an_error_names_the_call_that_was_made() -> None:
    """And none that this one makes inside."""
    asked = Recorder()

    async def clerk(turn: Turn) -> None:
        with pytest.raises(CommandRejected, match=r"^turn\.ask\(\): timeout is a number"):
            await turn.ask("boss", "?", timeout=-1.0)

    async with Hub(listeners=[asked]) as hub:
        boss = await hub.agents.register("boss")
        group = hub.supervise("team")
        cases: list[tuple[Any, str]] = [
            (lambda: hub.agents.named(cast(Any, 5)), "hub.agents.named"),
            (lambda: hub.agents.named(boss.id), "hub.agents.named"),
            (lambda: hub.agents.find(boss.id), "hub.agents.find"),
            (lambda: hub.supervise("x", restarts_max=-1), "hub.supervise"),
            (lambda: group.supervise("x", restarts_max=-1), "group.supervise"),
        ]
        for call, name in cases:
            with pytest.raises(CallerError, match=rf"^{name}\(\): "):
                call()
        for waits, name in (
            (lambda: hub.spawn(echo, workers=0), "hub.spawn"),
            (lambda: group.spawn(echo, workers=0), "group.spawn"),
            (lambda: hub.approvals.record_incident(boss, domain=cast(Any, 5)), "hub.approvals.record_incident"),
            (lambda: hub.approvals.revoke_trust(boss, reason=cast(Any, 5)), "hub.approvals.revoke_trust"),
            (lambda: hub.approvals.restore_trust(cast(Any, 5)), "hub.approvals.restore_trust"),
        ):
            with pytest.raises(CallerError, match=rf"^{name}\(\): "):
                await waits()
        assert hub.supervise("team", strategy=Strategy.ONE_FOR_ONE).name == "team"  # the same rules
        handle = await group.spawn(clerk)
        await (await hub.channels.open([boss, handle.agent])).post(boss, "go")
        await asked.wait_for("envelope.acked")


async def test_asking_is_refused_as_a_command() -> None:
    async with Hub() as hub:
        boss = await hub.agents.register("boss")
        for timeout in (-1.0, cast(Any, "1")):
            with pytest.raises(CommandRejected, match=r"^hub\.ask\(\): timeout is a number of seconds"):
                await hub.ask(boss, boss, "?", timeout=timeout)


async def test_the_method_of_an_object_can_be_gated() -> None:
    """Bound to its object: so approvers see its arguments alone, and not the object."""

    class Tools:
        def read_file(self, path: str) -> str:
            return f"content of {path}"

    async with Hub() as hub:
        coder = await hub.agents.register("coder")
        assert await hub.approvals.gated(coder)(Tools().read_file)("notes") == "content of notes"
