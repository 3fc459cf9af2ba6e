"""The state machines: what each command decides and refuses, and that replaying the events gives the same state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from hubwire import codec
from hubwire._state import State
from hubwire._state.channels import ChannelState
from hubwire.context import EMPTY
from hubwire.errors import CommandRejected, HubError, NotFound, PostRejected
from hubwire.events import (
    AgentRegistered,
    AgentUnregistered,
    ChannelClosed,
    ChannelCreated,
    ChannelOpened,
    ChannelParticipantRemoved,
    EnvelopeAcked,
    EnvelopePosted,
    EnvelopeRejected,
    Event,
    GenericEvent,
)
from hubwire.events._stamp import stamp

AT = "2026-11-21T09:30:00.000001Z"


def snapshot(state: State) -> Any:
    """Return everything the machines know, in an order where order matters."""
    return state.snapshot()


class Machine:
    """A state, and the history that led to it."""

    def __init__(self) -> None:
        self.state = State()
        self.history: list[bytes] = []

    def do(self, events: list[Event]) -> list[Event]:
        """Stamp and apply what a command decided, as the hub does."""
        done = []
        for each in events:
            made = stamp(each, seq=len(self.history), id="an id", at=AT, hub="a hub", context=EMPTY, bytes_max=1 << 20)
            self.history.append(codec.encode(made))
            self.state.apply(made)
            done.append(made)
        return done

    def replayed(self) -> State:
        state = State()
        for body in self.history:
            state.apply(codec.decode(body))
        return state

    # short forms of commands that succeed

    def register(self, agent_id: str, name: str | None = None) -> None:
        self.do(self.state.agents.register(name or f"name of {agent_id}", (), agent_id=agent_id))

    def open(self, channel_id: str, *participants: str) -> None:
        self.do(self.state.membership.open(participants, "", channel_id=channel_id))

    def post(self, channel_id: str, sender_id: str, envelope_id: str, audience: list[str] | None = None) -> None:
        self.do(self.state.envelopes.post(channel_id, sender_id, "hello", audience, envelope_id=envelope_id))


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A hub with agents a, b and c, and the channel ab."""
    machine = Machine()
    for agent_id in "abc":
        machine.register(agent_id)
    machine.open("ab", "a", "b")
    yield machine
    assert snapshot(machine.replayed()) == snapshot(machine.state)


def refused(machine: Machine, command: Callable[[], object], *, error: type[HubError] = CommandRejected) -> str:
    """See that the command is refused with exactly this error, and that nothing has changed; return the message."""
    before, history = snapshot(machine.state), list(machine.history)
    with pytest.raises(error) as caught:
        command()
    assert type(caught.value) is error
    assert snapshot(machine.state) == before
    assert machine.history == history
    return str(caught.value)


def test_deciding_changes_nothing() -> None:
    machine = Machine()
    machine.register("a")
    machine.register("b")
    machine.open("ab", "a", "b")
    machine.post("ab", "a", "e")
    before = snapshot(machine.state)
    state = machine.state
    assert state.agents.register("c", (), agent_id="c")
    assert state.endings.unregister("a")
    assert state.membership.open(["a"], "", channel_id="x")
    assert state.envelopes.post("ab", "a", "hello", None, envelope_id="f")
    assert state.endings.close("ab", "done")
    assert state.inboxes.ack("b", "e")
    assert snapshot(state) == before


# --- agents -----------------------------------------------------------------------------------------------------------


def test_an_agent_is_registered_under_its_name(machine: Machine) -> None:
    decided = machine.state.agents.register("planner", iter(["python"]), agent_id="p", source="elsewhere")
    assert decided == [AgentRegistered(agent_id="p", name="planner", capabilities=("python",), source="elsewhere")]
    assert machine.state.agents.find("planner") is None
    machine.do(decided)
    found = machine.state.agents.find("planner")
    assert found is not None
    assert (found.agent_id, found.name, found.capabilities) == ("p", "planner", ("python",))
    assert machine.state.agents.get("p") is found
    assert "p" in machine.state.agents
    assert len(machine.state.agents) == 4
    assert list(machine.state.inboxes.pending("p")) == []


@pytest.mark.parametrize("name", ["", " ", "\t\n", "\u2003", None, 5, b"planner", ["planner"], "\ud800", "a\udfffb"])
def test_an_unprintable_name_is_refused(machine: Machine, name: Any) -> None:
    assert "must be printable text" in refused(machine, lambda: machine.state.agents.register(name, (), agent_id="x"))


def test_a_taken_name_is_refused_until_free(machine: Machine) -> None:
    message = refused(machine, lambda: machine.state.agents.register("name of a", (), agent_id="x"))
    assert "registered already, as a" in message
    machine.do(machine.state.endings.unregister("a"))
    machine.register("x", "name of a")
    found = machine.state.agents.find("name of a")
    assert found is not None
    assert found.agent_id == "x"


@pytest.mark.parametrize("capabilities", ["python", 5, None, ["python", 5], [None], [b"x"]])
def test_wrong_capabilities_are_refused(machine: Machine, capabilities: Any) -> None:
    refused(machine, lambda: machine.state.agents.register("planner", capabilities, agent_id="x"))


def test_an_unregistered_agent_leaves_name_and_inbox(machine: Machine) -> None:
    machine.post("ab", "a", "e")
    decided = machine.state.endings.unregister("b")
    assert decided == [
        AgentUnregistered(agent_id="b", name="name of b"),
        ChannelParticipantRemoved(channel_id="ab", agent_id="b", reason="the agent left the hub"),
    ]
    machine.do(decided)
    assert "b" not in machine.state.agents
    assert machine.state.agents.find("name of b") is None
    assert list(machine.state.inboxes.pending("b")) == []
    assert machine.state.inboxes.pending_total() == 0


def test_an_unknown_agent_is_not_found(machine: Machine) -> None:
    agents = machine.state.agents
    assert "no agent 'x' is registered" in refused(machine, lambda: agents.unregister("x"), error=NotFound)
    refused(machine, lambda: agents.get("x"), error=NotFound)
    machine.do(agents.unregister("a"))
    refused(machine, lambda: agents.unregister("a"), error=NotFound)


# --- channels ---------------------------------------------------------------------------------------------------------


def test_the_first_participant_opens_a_channel(machine: Machine) -> None:
    decided = machine.state.membership.open(iter(["c", "a"]), "topic", channel_id="ca", source_id="1")
    assert decided == [
        ChannelCreated(
            channel_id="ca",
            agent_id="c",
            participants=("c", "a"),
            topic="topic",
            roles={"c": "initiator", "a": "respondent"},
            knobs={},
            labels={},
            source_id="1",
        ),
        ChannelOpened(channel_id="ca", source_id="1"),
    ]
    machine.do(decided[:1])
    assert machine.state.channels.get("ca").state is ChannelState.PENDING
    machine.do(decided[1:])
    entry = machine.state.channels.get("ca")
    assert (entry.channel_id, entry.participants, entry.topic) == ("ca", ("c", "a"), "topic")
    assert entry.state is ChannelState.ACTIVE
    assert len(machine.state.channels) == 2


def test_impossible_participants_are_refused(machine: Machine) -> None:
    """These are no participants, strangers, and one that is named twice."""
    channels = machine.state.membership
    assert "at least one" in refused(machine, lambda: channels.open([], "", channel_id="x"))
    assert "named twice" in refused(machine, lambda: channels.open(["a", "b", "a"], "", channel_id="x"))
    refused(machine, lambda: channels.open(["a", "stranger"], "", channel_id="x"), error=NotFound)
    machine.do(machine.state.endings.unregister("c"))
    refused(machine, lambda: channels.open(["a", "c"], "", channel_id="x"), error=NotFound)
    refused(machine, lambda: machine.state.channels.get("x"), error=NotFound)


@pytest.mark.parametrize("topic", [None, 5, b"topic", ["topic"]])
def test_a_topic_must_be_text(machine: Machine, topic: Any) -> None:
    """A restart could not read another one."""
    refused(machine, lambda: machine.state.membership.open(["a"], topic, channel_id="x"))


def test_a_channel_is_closed_once(machine: Machine) -> None:
    machine.post("ab", "a", "e")
    decided = machine.state.endings.close("ab", "done")
    assert decided == [ChannelClosed(channel_id="ab", reason="done")]
    machine.do(decided)
    assert len(machine.state.channels) == 0
    refused(machine, lambda: machine.state.endings.close("ab", ""), error=NotFound)
    refused(machine, lambda: machine.state.channels.get("ab"), error=NotFound)
    refused(machine, lambda: machine.state.envelopes.post("ab", "a", 1, None, envelope_id="f"), error=NotFound)
    assert [each.envelope.envelope_id for each in machine.state.inboxes.pending("b")] == ["e"]


@pytest.mark.parametrize("reason", [None, 5, b"x"])
def test_a_reason_must_be_text(machine: Machine, reason: Any) -> None:
    refused(machine, lambda: machine.state.endings.close("ab", reason))


# --- envelopes --------------------------------------------------------------------------------------------------------


def test_an_envelope_reaches_all_but_its_sender(machine: Machine) -> None:
    machine.open("abc", "a", "b", "c")
    decided = machine.state.envelopes.post("abc", "b", {"text": "hello"}, None, envelope_id="e")
    assert decided == [
        EnvelopePosted(
            channel_id="abc", agent_id="b", envelope_id="e", content={"text": "hello"}, recipients=("a", "c")
        )
    ]
    machine.do(decided)
    assert [len(list(machine.state.inboxes.pending(agent_id))) for agent_id in "abc"] == [1, 0, 1]
    assert machine.state.inboxes.pending_total() == 2


def test_an_envelope_reaches_its_audience_once(machine: Machine) -> None:
    machine.open("abc", "a", "b", "c")
    (decided,) = machine.state.envelopes.post("abc", "a", "x", iter(["c", "a", "c"]), envelope_id="e")
    assert isinstance(decided, EnvelopePosted)
    assert (decided.audience, decided.recipients) == (("c", "a"), ("c", "a"))


def test_an_agent_that_left_takes_no_part(machine: Machine) -> None:
    machine.do(machine.state.endings.unregister("b"))
    assert machine.state.channels.get("ab").participants == ("a",)
    (decided,) = machine.state.envelopes.post("ab", "a", "x", None, envelope_id="e")
    assert isinstance(decided, EnvelopePosted)
    assert decided.recipients == ()
    post = machine.state.envelopes.post
    refused(machine, lambda: post("ab", "a", "x", ["b"], envelope_id="e"), error=PostRejected)


def test_an_impossible_post_is_refused(machine: Machine) -> None:
    def post(channel_id: str, sender_id: str, audience: list[str] | None = None) -> Callable[[], object]:
        return lambda: machine.state.envelopes.post(channel_id, sender_id, "x", audience, envelope_id="e")

    refused(machine, post("nowhere", "a"), error=NotFound)
    refused(machine, post("ab", "stranger"), error=NotFound)
    assert "is not a participant" in refused(machine, post("ab", "c"), error=PostRejected)
    assert "'name of c', d cannot be addressed" in refused(
        machine, post("ab", "a", ["b", "c", "d"]), error=PostRejected
    )
    machine.do([ChannelCreated(channel_id="new", agent_id="a", participants=("a", "b"))])
    assert "is pending; post when it is open" in refused(machine, post("new", "a"), error=PostRejected)
    machine.do(machine.state.endings.unregister("a"))
    refused(machine, post("ab", "a"), error=NotFound)


def test_envelopes_are_pending_until_acked(machine: Machine) -> None:
    for number in range(3):
        machine.post("ab", "a", f"e{number}")
    inboxes = machine.state.inboxes
    decided = inboxes.ack("b", "e1")
    assert decided == [EnvelopeAcked(agent_id="b", channel_id="ab", envelope_id="e1")]
    assert inboxes.find("b", "e1") is not None
    machine.do(decided)
    assert inboxes.find("b", "e1") is None
    assert [each.envelope.envelope_id for each in inboxes.pending("b")] == ["e0", "e2"]
    machine.post("ab", "a", "e3")
    assert [each.envelope.envelope_id for each in inboxes.pending("b")] == ["e0", "e2", "e3"]


def test_an_ack_is_for_one_recipient(machine: Machine) -> None:
    machine.open("abc", "a", "b", "c")
    machine.post("abc", "a", "e")
    machine.do(machine.state.inboxes.ack("b", "e"))
    assert machine.state.inboxes.find("c", "e")


def test_an_impossible_ack_is_refused(machine: Machine) -> None:
    machine.post("ab", "a", "e")
    inboxes = machine.state.inboxes
    assert "or was never there" in refused(machine, lambda: inboxes.ack("b", "x"), error=NotFound)
    refused(machine, lambda: inboxes.ack("a", "e"), error=NotFound)
    refused(machine, lambda: inboxes.ack("stranger", "e"), error=NotFound)
    machine.do(inboxes.ack("b", "e"))
    refused(machine, lambda: inboxes.ack("b", "e"), error=NotFound)
    machine.post("ab", "a", "f")
    machine.do(machine.state.endings.unregister("b"))
    refused(machine, lambda: inboxes.ack("b", "f"), error=NotFound)
    assert list(inboxes.pending("stranger")) == []
    assert not inboxes.find("stranger", "e")


def test_pending_does_not_change_later(machine: Machine) -> None:
    machine.post("ab", "a", "e")
    given = machine.state.inboxes.pending("b")
    machine.do(machine.state.inboxes.ack("b", "e"))
    assert [each.envelope.envelope_id for each in given] == ["e"]


def test_unowned_events_change_nothing(machine: Machine) -> None:
    before = snapshot(machine.state)
    machine.do([GenericEvent(kind="user.came"), EnvelopeRejected(reason="no", error="CommandRejected")])
    assert snapshot(machine.state) == before


def test_lone_surrogates_are_replayed(machine: Machine) -> None:
    """Text that UTF-8 cannot hold is replayed as it was applied: as text."""
    machine.do(machine.state.membership.open(["a"], "\ud800", channel_id="odd"))
    machine.do(machine.state.envelopes.post("ab", "a", "\ud800", None, envelope_id="e"))
    machine.do(machine.state.endings.close("ab", "\ud800"))
    assert machine.state.channels.get("odd").topic == "\\ud800"


# --- any sequence of commands, against a model of plain dictionaries --------------------------------------------------

names = st.sampled_from(["planner", "coder", "critic", "", " ", "\ud800"])


class Commands(RuleBasedStateMachine):
    """Commands in any order, right and wrong ones; the model is what the documentation says, in dictionaries."""

    agents = Bundle("agents")
    channels = Bundle("channels")
    envelopes = Bundle("envelopes")

    def __init__(self) -> None:
        super().__init__()
        self.machine = Machine()
        self.ids = (f"id{number}" for number in count())
        self.names: dict[str, str] = {}
        self.members: dict[str, list[str]] = {}
        self.inbox: dict[str, list[str]] = {}

    def command(self, decide: Callable[[], list[Event]], *, allowed: bool) -> bool:
        """Carry the command out if the model allows it; else see that it is refused."""
        if allowed:
            assert self.machine.do(decide())
        else:
            before = snapshot(self.machine.state)
            with pytest.raises(CommandRejected):
                decide()
            assert snapshot(self.machine.state) == before
        return allowed

    @rule(target=agents, name=names)
    def register(self, name: str) -> Any:
        agent_id = next(self.ids)
        agents = self.machine.state.agents
        allowed = bool(name.strip()) and name != "\ud800" and name not in self.names.values()
        if not self.command(lambda: agents.register(name, ["python"], agent_id=agent_id), allowed=allowed):
            return multiple()
        self.names[agent_id] = name
        self.inbox[agent_id] = []
        return agent_id

    @rule(agent_id=agents)
    def unregister(self, agent_id: str) -> None:
        endings = self.machine.state.endings
        if self.command(lambda: endings.unregister(agent_id), allowed=agent_id in self.names):
            del self.names[agent_id], self.inbox[agent_id]
            rest = {channel_id: [each for each in ids if each != agent_id] for channel_id, ids in self.members.items()}
            self.members = {channel_id: ids for channel_id, ids in rest.items() if ids}

    @rule(target=channels, participants=st.lists(agents, max_size=3))
    def open(self, participants: list[str]) -> Any:
        channel_id = next(self.ids)
        membership = self.machine.state.membership
        allowed = (
            bool(participants)
            and len(set(participants)) == len(participants)
            and all(agent_id in self.names for agent_id in participants)
        )
        if not self.command(lambda: membership.open(participants, "topic", channel_id=channel_id), allowed=allowed):
            return multiple()
        self.members[channel_id] = participants
        return channel_id

    @rule(channel_id=channels)
    def close(self, channel_id: str) -> None:
        endings = self.machine.state.endings
        if self.command(lambda: endings.close(channel_id, "done"), allowed=channel_id in self.members):
            del self.members[channel_id]

    @rule(target=envelopes, channel_id=channels, sender=agents, audience=st.none() | st.lists(agents, max_size=3))
    def post(self, channel_id: str, sender: str, audience: list[str] | None) -> Any:
        envelope_id = next(self.ids)
        envelopes = self.machine.state.envelopes
        members = self.members.get(channel_id, [])
        allowed = sender in members and sender in self.names and all(each in members for each in audience or ())
        if not self.command(
            lambda: envelopes.post(channel_id, sender, "hello", audience, envelope_id=envelope_id), allowed=allowed
        ):
            return multiple()
        reached = [each for each in members if each != sender] if audience is None else audience
        for agent_id in dict.fromkeys(reached):
            if agent_id in self.inbox:
                self.inbox[agent_id].append(envelope_id)
        return envelope_id

    def _ack(self, agent_id: str, envelope_id: str) -> None:
        inboxes = self.machine.state.inboxes
        allowed = envelope_id in self.inbox.get(agent_id, ())
        if self.command(lambda: inboxes.ack(agent_id, envelope_id), allowed=allowed):
            self.inbox[agent_id].remove(envelope_id)

    @rule(agent_id=agents, envelope_id=envelopes)
    def ack(self, agent_id: str, envelope_id: str) -> None:
        self._ack(agent_id, envelope_id)

    @rule(agent_id=agents)
    def ack_the_oldest(self, agent_id: str) -> None:
        for envelope_id in self.inbox.get(agent_id, [])[:1]:
            self._ack(agent_id, envelope_id)

    @rule(agent_id=consumes(agents))
    def unregister_for_good(self, agent_id: str) -> None:
        self.unregister(agent_id)

    @invariant()
    def state_is_what_the_model_says(self) -> None:
        state = self.machine.state
        by_name = {name: agent_id for agent_id, name in self.names.items()}
        assert {agent_id: entry.name for agent_id, entry in state.agents._by_id.items()} == self.names
        assert state.agents._id_by_name == by_name
        assert {each: list(entry.participants) for each, entry in state.channels._by_id.items()} == self.members
        assert {entry.state for entry in state.channels._by_id.values()} <= {ChannelState.ACTIVE}
        pending = {
            agent_id: [each.envelope.envelope_id for each in state.inboxes.pending(agent_id)] for agent_id in self.names
        }
        assert pending == self.inbox
        assert state.inboxes.pending_total() == sum(map(len, self.inbox.values()))

    def teardown(self) -> None:
        assert snapshot(self.machine.replayed()) == snapshot(self.machine.state)


TestCommands = Commands.TestCase
TestCommands.settings = settings(max_examples=150, stateful_step_count=40)
