"""Channels: invitations, types, who comes and goes, and how they end."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from hubwire import Agent, Channel, Duty, Hub
from hubwire._state import State
from hubwire._state.endings import EVENTS_MAX
from hubwire.channel_types import Conversation, Manifest, Post
from hubwire.errors import CommandRejected, ConfigurationError, HubClosed, NotFound, PostRejected
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, history, peek
from support import Unscanned, apply_to, until_idle

AT = "2026-11-21T09:30:00.000001Z"


async def agents(hub: Hub, *names: str) -> list[Agent]:
    return [await hub.agents.register(name) for name in names]


def about(recorder: Recorder, channel: Channel) -> list[str]:
    """Return the last words of what was told of a channel."""
    return [each.kind.partition(".")[2] for each in recorder.events if each.channel_id == channel.id]


async def refused(hub: Hub, command: Any, match: str) -> None:
    """See that a command is refused, and that nothing has changed."""
    before = peek(hub)
    with pytest.raises(CommandRejected, match=match):
        await command
    assert peek(hub) == before


# --- opening ----------------------------------------------------------------------------------------------------------


async def test_a_channel_knows_how_it_was_opened() -> None:
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        a, b, c = await agents(hub, "a", "b", "c")
        parent = await hub.channels.open([a])
        channel = await hub.channels.open(
            [a, b, c],
            topic="the build",
            roles={b.id: "reviewer"},
            labels={"team": "one"},
            expectations=[{"name": "max_silence"}],
            parent=parent,
            ttl_seconds=60,
        )
        assert channel.participants == (a.id, b.id, c.id)
        assert channel.roles == {a.id: "initiator", b.id: "reviewer", c.id: "participant"}
        assert (channel.topic, channel.labels) == ("the build", {"team": "one"})
        assert hub.channels.list() == [parent, channel]
        assert hub.channels.list(agent=b) == [channel]
        await hub.flush()
        created: Any = recorder.events[-2]
        complete = {"version": 1, "on_violation": "audit", "params": {"seconds": 3600}, "applies_to": None}
        assert created.expectations == ({"name": "max_silence", **complete},)
        assert (created.parent_id, created.ttl_seconds) == (parent.id, 60.0)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"type": "seance"}, "no channel type"),
        ({"version": 7}, "no version 7"),
        ({"roles": {"stranger": "x"}}, "cannot have a role"),
        ({"roles": {"stranger": 5}}, "each value of roles is text, not 5"),
        ({"labels": [1]}, r"labels is a mapping, not \[1\]"),
        ({"knobs": [1]}, r"knobs is a mapping, not \[1\]"),
        ({"parent": "nowhere"}, "no channel"),
        ({"ttl_seconds": 0}, "ttl_seconds"),
        ({"ttl_seconds": float("nan")}, "ttl_seconds"),
        ({"required_acks": 1}, "invite=True"),
        ({"invite": True, "required_acks": 2}, "between 1 and 1"),
        ({"invite": True, "required_acks": 0}, "between 1 and 1"),
        ({"invite": True, "invite_timeout_seconds": -1}, "a number of seconds, more than 0"),
        ({"type": "discussion", "knobs": {"rounds_max": 0}}, "rounds_max"),
        ({"type": "notification", "knobs": {"posts_max": "x"}}, "posts_max"),
        ({"type": "auction", "knobs": {"minimum": "x"}}, "minimum"),
        ({"type": "workflow", "knobs": {"start": "stranger"}}, "is not a participant"),
        ({"type": "workflow", "knobs": {"transitions": [{"to": "stranger"}]}}, "is not a participant"),
        ({"type": "workflow", "knobs": {"transitions": [{"from": None}]}}, "always to"),
        ({"type": "workflow", "knobs": {"transitions": [5]}}, "list of objects"),
        ({"type": "workflow", "knobs": {"turns": 5}}, "no knob 'turns'"),
    ],
    ids=repr,
)
async def test_an_impossible_channel_is_refused(settings: dict[str, Any], match: str) -> None:
    async with Hub() as hub:
        a, b = await agents(hub, "a", "b")
        await refused(hub, hub.channels.open([a, b], **settings), match)


async def test_types_need_a_number_of_participants() -> None:
    """Consulting needs exactly two, and a discussion at least two."""
    async with Hub() as hub:
        a, b, c = await agents(hub, "a", "b", "c")
        await refused(hub, hub.channels.open([a, b, c], type="consulting"), "exactly two")
        await refused(hub, hub.channels.open([a], type="discussion"), "at least two")


# --- invitations ------------------------------------------------------------------------------------------------------


async def test_a_channel_opens_when_all_have_accepted() -> None:
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        a, b, c = await agents(hub, "a", "b", "c")
        channel = await hub.channels.open([a, b, c], invite=True)
        assert not channel.is_open
        assert b.invitations == [channel.id]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(channel.ready)
            await channel.accept(c)
            await until_idle()
            assert not channel.is_open
            assert channel.participants == (a.id, c.id)
            await refused(hub, channel.post(a, "hello"), "pending")
            await channel.accept(b)
        assert channel.is_open
        assert channel.participants == (a.id, b.id, c.id)
        await channel.ready()
        assert b.invitations == []
        await hub.flush()
        assert about(recorder, channel) == [
            "created",
            "invited",
            "invited",
            "accepted",
            "rejected",
            "accepted",
            "opened",
        ]


async def test_a_quorum_opens_a_channel() -> None:
    """The others may still accept later."""
    async with Hub() as hub:
        a, b, c, d = await agents(hub, "a", "b", "c", "d")
        channel = await hub.channels.open([a, b, c, d], invite=True, required_acks=2)
        await channel.accept(d)
        await channel.decline(c, "busy")
        assert not channel.is_open
        await channel.accept(b)
        assert channel.is_open
        assert channel.participants == (a.id, b.id, d.id)
        late = await hub.channels.open([a, b, c], invite=True, required_acks=1)
        await late.accept(c)
        await refused(hub, late.post(b, "hello"), "not a participant")
        await late.accept(b)
        await late.post(b, "hello")


async def test_a_channel_closes_if_too_many_decline() -> None:
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        a, b, c = await agents(hub, "a", "b", "c")
        channel = await hub.channels.open([a, b, c], invite=True)
        raised: list[NotFound] = []

        async def wait() -> None:
            try:
                await channel.ready()
            except NotFound as error:
                raised.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await until_idle()
            await channel.decline(b)
        assert [str(error) for error in raised] == [f"channel {channel.id} was never opened: too few have accepted"]
        await hub.flush()
        assert about(recorder, channel)[-2:] == ["declined", "closed"]
        assert c.invitations == []


async def test_an_invitation_is_answered_once() -> None:
    """An agent without an open invitation cannot answer one."""
    async with Hub() as hub:
        a, b, c, d = await agents(hub, "a", "b", "c", "d")
        channel = await hub.channels.open([a, b, c], invite=True, required_acks=1)
        await refused(hub, channel.accept(d), "no invitation")
        await refused(hub, channel.decline(a), "no invitation")
        await channel.accept(b)
        await refused(hub, channel.accept(b), "no invitation")
        await refused(hub, channel.join(c), "was invited")
        await refused(hub, channel.decline(c, 5), "is text")  # type: ignore[arg-type]


async def test_invitations_expire() -> None:
    """Their deadline holds across a restart."""
    clock, store = ManualClock(), MemoryStore()
    async with Hub(store, clock=clock) as hub:
        a, b, c = await agents(hub, "a", "b", "c")
        pending = await hub.channels.open([a, b, c], invite=True, invite_timeout_seconds=20)
        quorum = await hub.channels.open([a, b, c], invite=True, required_acks=1, invite_timeout_seconds=20)
        await pending.accept(b)
        await quorum.accept(b)
        await until_idle()
        clock.advance(10)
    recorder = Recorder()
    async with Hub(store, clock=clock, listeners=[recorder]) as hub:
        await until_idle()
        clock.advance(9.9)
        await until_idle()
        assert hub.statistics().channels == 2
        clock.advance(0.1)
        closed: Any = await recorder.wait_for("channel.closed")
        assert (closed.channel_id, closed.reason) == (pending.id, "1 of 2 acceptances came in time")
        declined: Any = await recorder.wait_for("channel.declined")
        assert (declined.channel_id, declined.agent_id, declined.reason) == (quorum.id, c.id, "no answer in time")
        assert hub.channels.get(quorum.id).is_open
        assert hub.agents.get(c.id).invitations == []


async def test_a_channel_that_cannot_open_is_closed() -> None:
    """It is closed as soon as too many of those that it needs have left the hub."""
    async with Hub() as hub:
        a, b, c = await agents(hub, "a", "b", "c")
        of_creator = await hub.channels.open([a, b], invite=True)
        of_invited = await hub.channels.open([b, c], invite=True)
        of_accepted = await hub.channels.open([b, c, a], invite=True)
        await of_accepted.accept(c)
        await a.unregister()
        assert hub.channels.list() == [of_invited]
        await c.unregister()
        assert hub.channels.list() == []
        assert of_creator not in hub.channels.list()


async def test_waiting_for_a_channel_ends_with_the_hub() -> None:
    hub = Hub()
    async with hub:
        a, b = await agents(hub, "a", "b")
        channel = await hub.channels.open([a, b], invite=True)
        raised: list[Exception] = []

        async def wait() -> None:
            try:
                await channel.ready()
            except HubClosed as error:
                raised.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await until_idle()
            await hub.aclose()
        assert len(raised) == 1


# --- coming and going -------------------------------------------------------------------------------------------------


async def test_agents_join_and_leave_a_channel() -> None:
    """The last one that leaves closes it."""
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        a, b = await agents(hub, "a", "b")
        channel = await hub.channels.open([a])
        await refused(hub, channel.leave(b), "is not a participant")
        await channel.join(b, role="guest")
        await refused(hub, channel.join(b), "already")
        assert channel.roles[b.id] == "guest"
        await channel.leave(a, "tired")
        assert channel.participants == (b.id,)
        assert a.id not in channel.roles
        await refused(hub, channel.post(a, "hello"), "not a participant")
        await channel.leave(b)
        assert hub.channels.list() == []
        await hub.flush()
        closed: Any = recorder.events[-1]
        assert closed.reason == "all participants have left"


# --- types ------------------------------------------------------------------------------------------------------------


async def not_allowed(hub: Hub, channel: Channel, sender: Agent, content: Any, match: str) -> None:
    before = peek(hub)
    with pytest.raises(PostRejected, match=match) as caught:
        await channel.post(sender, content)
    assert caught.value.code == "not_allowed"
    assert peek(hub) == before


async def test_a_discussion_goes_round() -> None:
    """It ends after its rounds."""
    async with Hub() as hub:
        a, b, c = await agents(hub, "a", "b", "c")
        channel = await hub.channels.open([a, b, c], type="discussion", knobs={"rounds_max": 2})
        await not_allowed(hub, channel, b, "me first", "may not post now")
        await channel.post(a, 1)
        assert channel.expected == (b.id,)
        await channel.leave(b)
        assert channel.expected == (a.id,)
        await channel.join(b)
        for agent in (a, c):
            await channel.post(agent, 1)
        await channel.post(b, 1)
        for agent in (a, c):
            await channel.post(agent, 2)
        assert channel.is_open
        await channel.post(b, 2)
        assert not channel.is_open


async def test_consulting_is_one_question_and_one_answer() -> None:
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        a, b = await agents(hub, "a", "b")
        channel = await hub.channels.open([a, b], type="consulting")
        await not_allowed(hub, channel, b, "answer", "may not post now")
        await channel.post(a, "why?")
        await not_allowed(hub, channel, a, "why??", "may not post now")
        await channel.post(b, "because")
        await hub.flush()
        assert [event.kind for event in recorder.events[-2:]] == ["envelope.posted", "channel.closed"]
        assert recorder.events[-1].reason == "answered"  # type: ignore[attr-defined]
        left = await hub.channels.open([a, b], type="consulting")
        await left.leave(b)
        assert left not in hub.channels.list()


async def test_only_the_creator_broadcasts_and_notifies() -> None:
    async with Hub() as hub:
        a, b = await agents(hub, "a", "b")
        broadcast = await hub.channels.open([a, b], type="broadcast")
        notification = await hub.channels.open([a, b], type="notification")
        for channel in (broadcast, notification):
            await not_allowed(hub, channel, b, "me too", "may not post now")
            await channel.post(a, "news")
        assert hub.channels.list() == [broadcast]
        await broadcast.leave(a)
        assert hub.channels.list() == []


async def test_an_auction_is_called_bid_and_awarded() -> None:
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        a, b, c = await agents(hub, "a", "b", "c")
        channel = await hub.channels.open([a, b, c], type="auction", knobs={"minimum": 5})
        await not_allowed(hub, channel, b, {"bid": 6}, "not called yet")
        await channel.post(a, "a fine task")
        await not_allowed(hub, channel, b, {"bid": 4}, "lowest bid is 5")
        await not_allowed(hub, channel, b, "four", "a bid is")
        await not_allowed(hub, channel, b, {"bid": True}, "a bid is")
        await channel.post(b, {"bid": 6})
        await not_allowed(hub, channel, c, {"bid": 6}, "bid more")
        await channel.post(c, {"bid": 6.5})
        await channel.post(a, "going once")
        await channel.post(a, {"award": True})
        await hub.flush()
        closed: Any = recorder.events[-1]
        assert closed.reason == f"awarded to {c.id} for 6.5"


async def test_a_workflow_follows_its_graph() -> None:
    store, recorder = MemoryStore(), Recorder()
    async with Hub(store) as hub:
        plan, code, test = await agents(hub, "plan", "code", "test")
        knobs = {
            "transitions": [
                {"from": test.id, "content": {"status": "red"}, "context": {"patient": True}, "to": code.id},
                {"from": test.id, "to": None},
                {"from": code.id, "to": test.id},
            ],
            "otherwise": code.id,
            "context": {"patient": False},
        }
        channel = await hub.channels.open([plan, code, test], type="workflow", knobs=knobs)
        await not_allowed(hub, channel, code, "me", "may not post now")
        await channel.post(plan, {"context": {"patient": True}})
        await channel.post(code, "done")
        await channel.post(test, {"status": "red"})
        assert channel.expected == (code.id,)
        await not_allowed(hub, channel, code, {"handoff": "stranger"}, "is not a participant")
        await not_allowed(hub, channel, code, {"context": 5}, "is an object")
        await channel.post(code, {"handoff": plan.id})
        assert channel.expected == (plan.id,)
    async with Hub(store, listeners=[recorder]) as hub:
        channel, test = hub.channels.get(channel.id), hub.agents.get(test.id)
        assert channel.expected == (plan.id,)
        await channel.post(plan.id, {"handoff": test.id})
        await channel.post(test, {"status": "green"})
        await hub.flush()
        assert recorder.events[-1].reason == "no participant is next"  # type: ignore[attr-defined]


async def test_a_workflow_ends_in_three_ways() -> None:
    """It ends by an envelope that finishes it, by its number of turns, and when the next participant has left."""
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        a, b = await agents(hub, "a", "b")
        knobs: dict[str, Any] = {"transitions": [{"from": a.id, "to": b.id}, {"from": b.id, "to": a.id}]}
        finished = await hub.channels.open([a, b], type="workflow", knobs=knobs)
        await finished.post(a, {"finish": "all green"})
        turned = await hub.channels.open([a, b], type="workflow", knobs={**knobs, "turns_max": 2})
        await turned.post(a, 1)
        await turned.post(b, 2)
        left = await hub.channels.open([a, b], type="workflow", knobs=knobs)
        await left.post(a, 1)
        await left.leave(b)
        await hub.flush()
        reasons = [each.reason for each in recorder.events if each.kind == "channel.closed"]  # type: ignore[attr-defined]
        assert reasons == ["all green", "the turns are over", "the next participant has left"]


class Sealed(Conversation):
    """A type of somebody's own: at most ``seals`` posts, and it counts them."""

    name = "sealed"
    knobs = ("seals",)

    def begin(self, manifest: Manifest) -> Any:
        return {"left": manifest.knobs.get("seals", 1)}

    def refuse(self, manifest: Manifest, state: Any, post: Post) -> str | None:
        return "no shouting" if post.says("loud") else None

    def fold(self, manifest: Manifest, state: Any, post: Post) -> Any:
        return {"left": state["left"] - 1}

    def ending(self, manifest: Manifest, state: Any) -> str | None:
        return None if state["left"] else "sealed"


class SealedTwo(Sealed):
    version = 2

    def fold(self, manifest: Manifest, state: Any, post: Post) -> Any:
        return {"left": state["left"] - 2}


async def test_own_channel_types_are_versioned() -> None:
    """A replay calls no channel type: its state stands in the events."""
    store = MemoryStore()
    hub = Hub(store)
    hub.channels.register_type(Sealed())
    async with hub:
        a, b = await agents(hub, "a", "b")
        channel = await hub.channels.open([a, b], type="sealed", knobs={"seals": 4})
        await not_allowed(hub, channel, a, {"loud": True}, "no shouting")
        await channel.post(a, "one")
        with pytest.raises(ConfigurationError, match="register channel types before"):
            hub.channels.register_type(SealedTwo())
        (state,) = peek(hub)["channels"]
        assert state.channel_state == {"left": 3}
    async with Hub(store) as hub:
        assert peek(hub)["channels"] == [state]
        with pytest.raises(CommandRejected, match="no channel type 'sealed'"):
            await hub.channels.get(channel.id).post(a, "two")
        await hub.channels.get(channel.id).leave(b.id)
    hub = Hub(store)
    hub.channels.register_type(Sealed())
    hub.channels.register_type(SealedTwo())
    async with hub:
        await hub.channels.get(channel.id).post(a, "two")
        (state,) = peek(hub)["channels"]
        assert state.channel_state == {"left": 2}
        newer = await hub.channels.open([a.id], type="sealed", knobs={"seals": 2})
        await newer.post(a, "one")
        assert not newer.is_open


class Broken(Conversation):
    name = "broken"

    def fold(self, manifest: Manifest, state: Any, post: Post) -> Any:
        raise ZeroDivisionError("oh")

    def participants_changed(self, manifest: Manifest, state: Any) -> Any:
        raise ZeroDivisionError("dear")


async def test_a_failing_type_refuses_the_post() -> None:
    """Its participants can leave the channel nevertheless."""
    recorder = Recorder()
    hub = Hub(listeners=[recorder])
    hub.channels.register_type(Broken())
    async with hub:
        a, b = await agents(hub, "a", "b")
        channel = await hub.channels.open([a, b], type="broken")
        await not_allowed(hub, channel, a, "hello", "failed in fold .ZeroDivisionError: oh")
        await b.unregister()
        await hub.flush()
        closed: Any = recorder.events[-1]
        assert closed.kind == "channel.closed"
        assert "participants_changed (ZeroDivisionError: dear)" in closed.reason


def test_an_incomplete_type_is_refused() -> None:
    hub = Hub()

    class Half:
        name = "half"
        version = 1

    for wrong in (Half(), object(), Conversation()):
        with pytest.raises(ConfigurationError):
            hub.channels.register_type(wrong)  # type: ignore[arg-type]


# --- ending -----------------------------------------------------------------------------------------------------------


async def test_closing_a_channel_closes_its_subchannels() -> None:
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        (a,) = await agents(hub, "a")
        top = await hub.channels.open([a])
        middle = await hub.channels.open([a], parent=top)
        leaf = await hub.channels.open([a], parent=middle.id)
        other = await hub.channels.open([a])
        await top.close("done")
        await hub.flush()
        told = [(each.channel_id, each.reason) for each in recorder.events if each.kind == "channel.closed"]  # type: ignore[attr-defined]
        above = "the channel above it has ended"
        assert told == [(leaf.id, above), (middle.id, above), (top.id, "done")]
        assert hub.channels.list() == [other]
        await refused(hub, hub.channels.open([a], parent=top), "no channel")


async def wide(hub: Hub, width: int) -> Channel:
    a = hub.agents.find("a") or await hub.agents.register("a")
    top = await hub.channels.open([a])
    for number in range(width):
        hub._pipeline.put(
            hub._parts.state.membership.open([a.id], "", channel_id=f"{top.id}{number}", parent_id=top.id)
        )
    await hub.flush()
    return top


@pytest.mark.parametrize(("width", "is_split"), [(EVENTS_MAX - 1, False), (EVENTS_MAX, True), (2500, True)])
async def test_a_wide_close_is_split(width: int, is_split: bool) -> None:
    """What is wider than one command may be is closed in batches, after `channel.closing`."""
    recorder = Recorder()
    async with Hub() as hub:
        top = await wide(hub, width)
        await hub.attach(recorder, duty=Duty.REQUIRED).ready()
        await hub.flush()
        before = hub.statistics().applied
        await top.close("done")
        assert hub.channels.list() == []
        await hub.flush()
        assert hub.statistics().applied - before == width + 1 + is_split
        assert recorder.kinds.count("channel.closing") == is_split
        last: Any = recorder.events[-1]
        assert (last.channel_id, last.reason) == (top.id, "done")


async def test_a_wide_expiry_is_split() -> None:
    """The channel takes no posts while it is ended in batches."""
    state = State()

    apply = partial(apply_to, state)
    apply(*state.agents.register("a", (), agent_id="a"))
    apply(*state.membership.open(["a"], "", channel_id="top"))
    for number in range(10):
        apply(*state.membership.open(["a"], "", channel_id=f"c{number}", parent_id="top"))
    apply(*state.endings.end("top", "its time was up", ends_as="expired", limit=4))
    with pytest.raises(PostRejected, match="closing"):
        state.envelopes.post("top", "a", 1, None, envelope_id="e")
    with pytest.raises(CommandRejected, match="not open"):
        state.membership.open(["a"], "", channel_id="late", parent_id="top")
    with pytest.raises(CommandRejected, match="is closing"):
        state.membership.join("top", "a", "")
    restored = State()
    restored.restore(state.snapshot())
    for each in (state, restored):
        kinds = []
        while each.next_due_ns() == 0:
            events = each.due(0, 4)
            assert len(events) <= 4
            kinds += [event.kind for event in events]
            for event in events:
                each.apply(event)
        assert kinds == ["channel.closed"] * 10 + ["channel.expired"]


async def test_an_interrupted_close_is_finished() -> None:
    """Whether its caller was cancelled or the hub died in the middle."""
    store = MemoryStore()
    async with Hub(store) as hub:
        top = await wide(hub, 2500)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await top.close("done")
        assert hub.channels.list()[0] == top
        assert not top.is_open
    async with Hub(store) as hub:
        while hub.channels.list():
            await checkpoint()
        await hub.flush()
        events = await history(hub)
    (last,) = [each for each in events if each.channel_id == top.id and each.kind == "channel.closed"]
    assert getattr(last, "reason", "") == "done"


@pytest.mark.parametrize(
    "settings", [{"expectations": 5}, {"expectations": "x"}, {"version": []}, {"type": []}], ids=repr
)
async def test_settings_of_a_wrong_type_are_refused(settings: dict[str, Any]) -> None:
    async with Hub() as hub:
        a = await hub.agents.register("a")
        before = peek(hub)
        with pytest.raises(CommandRejected):
            await hub.channels.open([a], **settings)
        assert peek(hub) == before


def test_commands_look_at_no_other_channel() -> None:
    """Opening, posting and closing scan no dictionary of channels."""
    state = State()

    apply = partial(apply_to, state)
    apply(*state.agents.register("a", (), agent_id="a"), *state.agents.register("b", (), agent_id="b"))
    for number in range(10_000):
        apply(*state.membership.open(["a"], "", channel_id=f"c{number}", ttl_seconds=9))

    channels = state.channels
    for name in ("_by_id", "_by_agent", "_children", "_timed", "leaving"):
        setattr(channels, name, Unscanned(getattr(channels, name)))
    apply(*state.membership.open(["b", "a"], "", channel_id="x", ttl_seconds=5))
    apply(*state.envelopes.post("x", "a", "hello", None, envelope_id="e"))
    apply(*state.membership.leave("x", "a", ""))
    apply(*state.endings.close("x", ""))
    apply(*state.endings.unregister("b"))
