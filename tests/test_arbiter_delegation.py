"""Delegation: hand-overs count, and replies do not."""

from __future__ import annotations

from typing import Any

import pytest

from hubwire import Agent, BaseActor, Channel, Hub, Rule, RuleArbiter, Turn
from hubwire._state.delegation import delegators_of
from hubwire.codec import decode, encode
from hubwire.errors import AccessDenied, CommandRejected, PostRejected
from hubwire.events import EnvelopePosted, evolve
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder, pending


class Talker(BaseActor):
    """Answers each number by the next one."""

    last = 1500

    async def on_envelope(self, turn: Turn, /) -> None:
        if turn.content < self.last:
            await turn.reply(turn.content + 1)


async def team(hub: Hub, count: int) -> tuple[Channel, list[Agent]]:
    agents = [await hub.agents.register(f"a{number}") for number in range(count)]
    return await hub.channels.open(agents), agents


@pytest.mark.parametrize("arbiter", [None, RuleArbiter()], ids=["no arbiter", "default rules"])
async def test_two_agents_talk_as_long_as_they_like(arbiter: RuleArbiter | None) -> None:
    """Fifteen hundred turns, each a reply to the one before: none is refused, no actor crashes."""
    recorder = Recorder()
    async with Hub(arbiter=arbiter) as hub:
        hub.attach(recorder, pattern=["envelope.posted", "envelope.rejected", "actor.crashed"], mailbox=10_000)
        first, second = await hub.spawn(Talker(), name="a"), await hub.spawn(Talker(), name="b")
        channel = await hub.channels.open([first.agent, second.agent])
        await channel.post(first.agent, 0)
        last: Any = await recorder.wait_for("envelope.posted", count=Talker.last + 1)
        assert (last.hops, last.delegators) == (Talker.last, ())
        assert {event.kind for event in recorder.events} == {"envelope.posted"}


async def test_a_chain_of_hand_overs_has_an_end() -> None:
    """Five, by default; going back to an agent that the matter has come from is always allowed."""
    async with Hub(arbiter=RuleArbiter()) as hub:
        channel, agents = await team(hub, 8)
        last = await channel.post(agents[0], "do it", to=[agents[1]])
        for number in range(1, 6):
            last = await channel.post(agents[number], "do it", to=[agents[number + 1]], caused_by=last)
        assert last.delegators == tuple(agent.id for agent in agents[:5])
        with pytest.raises(AccessDenied, match="the matter was handed on by 6 agents, and 5 are allowed; reply"):
            await channel.post(agents[6], "do it", to=[agents[7]], caused_by=last)
        reply = await channel.post(agents[6], "done", to=[agents[5]], caused_by=last)
        assert reply.delegators == last.delegators
        back = await channel.post(agents[5], "done", to=[agents[2]], caused_by=reply)
        assert back.delegators == (agents[0].id, agents[1].id)
        home = await channel.post(agents[2], "done", to=[agents[0]], caused_by=back)
        assert home.delegators == ()


async def test_rounds_of_a_team_do_not_add_up() -> None:
    """A planner, a coder and a reviewer go round a hundred times; so do ten that all talk to all."""
    async with Hub(arbiter=RuleArbiter()) as hub:
        channel, (planner, coder, reviewer) = await team(hub, 3)
        last = await channel.post(planner, "build it", to=[coder])
        for _ in range(100):
            for sender, reader in ((coder, reviewer), (reviewer, coder), (coder, planner), (planner, coder)):
                last = await channel.post(sender, "again", to=[reader], caused_by=last)
            assert last.delegators == ()
        more = [await hub.agents.register(f"more{number}") for number in range(10)]
        table = await hub.channels.open(more)
        last = await table.post(more[0], "what do you think?")
        for number in range(30):
            last = await table.post(more[number % 10], "I think so, too", caused_by=last)
        assert (last.hops, last.delegators) == (30, ())


def envelope(sender: str | None, *recipients: str, above: tuple[str, ...] = ()) -> EnvelopePosted:
    return EnvelopePosted(
        agent_id=sender, envelope_id="e", content=1, recipients=recipients, delegators=above, channel_id="c"
    )


@pytest.mark.parametrize(
    ("cause", "reached", "delegators"),
    [
        (None, ["b"], ()),
        (envelope("a", "b"), ["a"], ()),
        (envelope("a", "b"), ["c"], ("a",)),
        (envelope("a", "b", "c"), ["c", "a"], ()),
        (envelope("b", "c", above=("a",)), ["a"], ()),
        (envelope("b", "c", above=("a",)), ["b"], ("a",)),
        (envelope("b", "c", above=("a",)), ["a", "d"], ("a", "b")),
        (envelope("a", "c", above=("a", "b")), ["d"], ("a",)),
        (envelope("b", "c", above=("a",)), [], ("a",)),
        (envelope(None, "b"), ["c"], ()),
    ],
)
def test_what_hands_a_matter_on(cause: EnvelopePosted | None, reached: list[str], delegators: tuple[str, ...]) -> None:
    """A new agent is one deeper, the ones that were there before are not; no agent is named twice."""
    assert delegators_of(cause, reached) == delegators


async def test_hand_overs_are_kept_in_the_inbox() -> None:
    """After a restart, the depth is what it was."""
    store = MemoryStore()
    async with Hub(store) as hub:
        channel, agents = await team(hub, 3)
        first = await channel.post(agents[0], 1, to=[agents[1]])
        await channel.post(agents[1], 2, to=[agents[2]], caused_by=first)
    for snapshot_bytes in (1, 1_000_000):
        async with Hub(store, snapshot_bytes=snapshot_bytes) as hub:
            (waiting,) = pending(hub, agents[2])
            assert waiting.delegators == (agents[0].id,)


async def test_a_record_of_before_has_no_delegators() -> None:
    """What earlier versions wrote decodes; a chain goes on from there."""
    async with Hub() as hub:
        channel, agents = await team(hub, 3)
        posted = await channel.post(agents[0], 1, to=[agents[1]])
        line = encode(posted).replace(b'"delegators":[],', b"").replace(b',"delegators":[]', b"")
        assert b"delegators" not in line
        old: Any = decode(line)
        assert old.delegators == ()
        assert (await channel.post(agents[1], 2, to=[agents[2]], caused_by=old)).delegators == (agents[0].id,)


@pytest.mark.parametrize(
    "fields",
    [{"delegators": 5}, {"delegators": ("a", 5)}, {"delegators": "abc"}, {"recipients": None}, {"hops": "many"}],
    ids=str,
)
async def test_a_forged_cause_is_refused(fields: dict[str, Any]) -> None:
    """A program may make the event itself; what it cannot be is refused, and nothing is posted."""
    async with Hub() as hub:
        channel, (a, _) = await team(hub, 2)
        forged = evolve(envelope("a", "b"), **fields)
        with pytest.raises(PostRejected, match="caused_by is a Delivery, or the event of a post") as caught:
            await channel.post(a, "x", caused_by=forged)
        assert caught.value.code == "malformed"
        assert hub.statistics().envelopes_pending == 0


async def test_parts_of_ones_own_task_are_no_delegation() -> None:
    """Handing a part over to another agent is."""
    async with Hub(arbiter=RuleArbiter(default=Rule(delegation_depth_max=1))) as hub:
        lead, coder = await hub.agents.register("lead"), await hub.agents.register("coder")
        task = await hub.tasks.start(lead, "all")
        for _ in range(5):
            task = await hub.tasks.start(lead, "a part", parent=task)
        below = await hub.tasks.start(coder, "code", parent=task)
        own = await hub.tasks.start(coder, "a part of it", parent=below)
        with pytest.raises(CommandRejected, match="would be delegated 2 times, and 1 are allowed"):
            await hub.tasks.start(lead, "back again", parent=own)


@pytest.mark.parametrize("key", ["hubwire-ask:mine", "hubwire-ask:linked:mine", "hubwire-ask:"])
async def test_keys_of_questions_are_reserved(key: str) -> None:
    """A post cannot look like a question: an actor would let it go, or answer where it is not read."""

    async def echo(turn: Turn) -> None:
        await turn.reply("ok")

    async with Hub() as hub:
        actor, a = await hub.spawn(echo), await hub.agents.register("a")
        channel = await hub.channels.open([a, actor.agent])
        with pytest.raises(PostRejected, match="does not begin with 'hubwire-'"):
            await channel.post(a, "x", idempotency_key=key)
        assert (await hub.ask(a, "echo", "x")).content == "ok"
