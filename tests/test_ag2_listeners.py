"""Listeners of ours on a hub of AG2's: they hear what its own hear, and record what its own audit log records."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from anyio import wait_all_tasks_blocked

pytest.importorskip("ag2", reason="needs ag2, which the test extra installs")

import ag2.network.hub.audit
from ag2 import Agent
from ag2.knowledge import MemoryKnowledgeStore
from ag2.network import (
    ApiKeyAuth,
    AuthBlock,
    AuthRegistry,
    ChannelManifest,
    DiscussionAdapter,
    Envelope,
    Expectation,
    Hub,
    NoAuth,
    Passport,
    Resume,
    Rule,
    TransitionGraph,
)
from ag2.network.channel import ParticipantSchema
from ag2.network.errors import NetworkError
from ag2.network.hub.listener import HubListener as TheirHubListener
from ag2.network.transport.frames import Frame, NotifyFrame
from ag2.task import TaskMetadata, TaskSpec, TaskState
from ag2.testing import TestConfig

import hubwire
from hubwire import BaseHubListener
from hubwire.errors import CommandRejected, StoreFull
from hubwire.events import TurnFailed
from hubwire.listener import HOOKS
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import verify
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder

TEXT = "ag2.msg.text"


class Desk:
    """The connection of one agent: it answers an invitation as it is told to."""

    def __init__(self, hub: Hub, agent_id: str, answer: str) -> None:
        self.endpoint_id = f"desk of {agent_id}"
        self.agent_id: str | None = None
        self.answer = answer
        self._hub = hub
        self._me = agent_id
        self._closed = asyncio.Event()

    async def send_frame(self, frame: Frame) -> None:
        if not isinstance(frame, NotifyFrame):
            return
        if self.answer == "broken":
            raise ConnectionResetError("the line is dead")
        if frame.envelope.event_type == "ag2.channel.invite" and self.answer != "silent":
            await self._hub.post_envelope(
                Envelope(
                    channel_id=frame.envelope.channel_id,
                    sender_id=self._me,
                    audience=None,
                    event_type=f"ag2.channel.invite.{self.answer}",
                    event_data={},
                )
            )

    async def frames(self) -> AsyncIterator[Frame]:
        await self._closed.wait()
        sent: tuple[Frame, ...] = ()
        for frame in sent:
            yield frame

    async def close(self) -> None:
        self._closed.set()


class Strict(DiscussionAdapter):
    """A discussion that expects answers, so that several are late at once."""

    def __init__(self) -> None:
        super().__init__()
        self.manifest = ChannelManifest(
            type="strict",
            participants=ParticipantSchema(min=2),
            expectations=[
                Expectation(name="reply_within", on_violation="notify_channel", params={"seconds": 60}),
                Expectation(name="max_silence", on_violation="auto_close", params={"seconds": 600}),
            ],
        )


class World:
    """An AG2 hub with its time in the test's hand."""

    def __init__(self, hub: Hub, clock: ManualClock) -> None:
        self.hub = hub
        self.clock = clock
        self.desks: dict[str, Desk] = {}

    async def agent(self, name: str, *, answer: str = "ack", rule: Rule | None = None, skill: str | None = None) -> str:
        resume = Resume(claimed_capabilities=["talk"])
        passport = await self.hub.register_identity(Passport(name=name), resume, rule=rule, skill_md=skill)
        assert passport.agent_id is not None
        desk = self.desks[passport.agent_id] = Desk(self.hub, passport.agent_id, answer)
        self.hub.attach_endpoint(desk)
        self.hub.bind_endpoint(desk.endpoint_id, passport.agent_id)
        return passport.agent_id

    async def channel(self, kind: str, creator: str, *others: str, **more: Any) -> str:
        metadata = await self.hub.create_channel(
            creator_id=creator, manifest_type=kind, participants=[creator, *others], **more
        )
        return metadata.channel_id

    async def say(self, channel: str, sender: str, text: str = "hello", **more: Any) -> str:
        return await self.hub.post_envelope(
            Envelope(
                channel_id=channel,
                sender_id=sender,
                audience=more.pop("audience", None),
                event_type=TEXT,
                event_data={"text": text},
                **more,
            )
        )

    async def task(self, task_id: str, owner: str, **more: Any) -> None:
        spec = TaskSpec(title=task_id, capability="talk")
        await self.hub.observe_task(
            TaskMetadata(task_id=task_id, owner_id=owner, spec=spec, state=TaskState.RUNNING, **more)
        )

    async def after(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.hub.expire_due()
        await self.hub._expectation_tick()


# --- what happens on the hub ----------------------------------------------------------------------------------------


async def _agents(world: World) -> None:
    hub = world.hub
    agent = await world.agent("planner", skill="# Planning")
    with pytest.raises(NetworkError):
        await hub.register_identity(Passport(name="planner"), Resume())
    await hub.set_resume(agent, Resume(claimed_capabilities=["plan"], summary="plänt \u2028 alles"))
    await hub.set_skill(agent, "# More")
    await hub.set_skill(agent, None)
    await hub.set_rule(agent, Rule())
    for task, outcome in (("t1", "COMPLETED"), ("t1", "COMPLETED"), ("t2", "FAILED"), ("t3", "RUNNING")):
        await hub.record_observation(owner_id=agent, capability="plan", outcome=TaskState[outcome], task_id=task)
    world.clock.advance(1)
    await hub.record_observation(owner_id=agent, capability="new", outcome=TaskState.CANCELLED, latency_ms=7)
    await hub.unregister(agent)
    with pytest.raises(NetworkError):
        await hub.unregister(agent)


async def _consulting(world: World) -> None:
    asker, expert = await world.agent("asker"), await world.agent("expert")
    channel = await world.channel("consulting", asker, expert, intent="a question")
    await world.say(channel, asker)
    with pytest.raises(NetworkError):
        await world.say(channel, asker, "again")  # not their turn
    await world.say(channel, expert)  # which completes it
    with pytest.raises(NetworkError):
        await world.say(channel, expert)
    channel = await world.channel("consulting", asker, expert)
    await world.say(channel, asker)
    await world.after(601)  # no reply within ten minutes
    await world.hub.unregister(expert)


async def _conversation(world: World) -> None:
    one, other = await world.agent("one"), await world.agent("other")
    channel = await world.channel("conversation", one, other)
    await world.say(channel, one, audience=[other])
    await world.task("held", one, channel_id=channel)
    await world.after(3601)  # silence, which is audited
    await world.after(1)  # and told once
    await world.hub.close_channel(channel)
    await world.hub.close_channel(channel, reason="again")
    channel = await world.channel("conversation", one, other, ttl=60)
    await world.after(61)
    with pytest.raises(NetworkError):
        await world.say("no such channel", one)
    with pytest.raises(NetworkError):
        await world.say(channel, "nobody")


async def _discussion(world: World) -> None:
    world.hub.register_adapter(Strict())  # type: ignore[arg-type]  # as ag2 annotates its own adapters
    agents = [await world.agent(f"member {n}") for n in range(4)]
    channel = await world.channel("discussion", *agents)
    for agent in agents:
        await world.say(channel, agent)
    with pytest.raises(NetworkError):
        await world.say(channel, agents[2])
    await world.hub.close_channel(channel, reason="all said")
    channel = await world.channel("strict", *agents)
    await world.say(channel, agents[0])
    await world.after(61)  # three are late: three calls, each with all three
    await world.after(600)


async def _workflow(world: World) -> None:
    first, second = await world.agent("first"), await world.agent("second")
    graph = TransitionGraph.sequence([first, second]).to_dict()
    channel = await world.channel("workflow", first, second, knobs={"graph": graph})
    packet: dict[str, Any] = {"routing": {"kind": "text"}, "context_updates": {"set": {"n": 1}}, "body": "done"}
    for speaker in (first, second):
        await world.hub.post_envelope(
            Envelope(channel_id=channel, sender_id=speaker, audience=None, event_type="ag2.packet", event_data=packet)
        )
    with pytest.raises(NetworkError):
        await world.channel("workflow", first, second)  # without a graph


async def _refusals(world: World) -> None:
    host = await world.agent("host")
    refuser, silent = await world.agent("refuser", answer="reject"), await world.agent("silent", answer="silent")
    broken = await world.agent("broken")
    with pytest.raises(NetworkError):
        await world.channel("conversation", host, refuser)
    with pytest.raises(NetworkError):
        await world.channel("conversation", host, silent)  # nobody answers in time
    channel = await world.channel("conversation", host, broken)
    world.desks[broken].answer = "broken"
    await world.say(channel, host)
    remote = Passport(name="remote", kind="remote_agent", auth=AuthBlock(scheme="elsewhere"))
    await world.hub.register_identity(remote, Resume())
    with pytest.raises(NetworkError):
        await world.channel("conversation", host, remote.agent_id or "")  # no proxy for it
    rule = Rule()
    rule.access.inbound_from = []
    shy = await world.agent("shy", rule=rule)
    with pytest.raises(NetworkError):
        await world.channel("conversation", host, shy)
    with pytest.raises(NetworkError):
        await world.say(channel, host, depth=99)
    with pytest.raises(NetworkError):
        await world.hub.register_identity(Passport(name="thief", auth=AuthBlock(scheme="api_key")), Resume())


async def _tasks(world: World) -> None:
    owner = await world.agent("owner")
    ends = {"done": TaskState.COMPLETED, "bad": TaskState.FAILED, "late": TaskState.EXPIRED, "off": TaskState.CANCELLED}
    for task_id, state in ends.items():
        await world.task(task_id, owner)
        await world.hub.update_task(task_id, progress={"done": 1})
        await world.hub.update_task(task_id, state=state, error="because" if task_id == "bad" else None)
        await world.hub.update_task(task_id, state=state)  # it ended already
    overdue = datetime.fromtimestamp(world.clock.now_ns() / 1e9 + 9, UTC).isoformat()
    await world.task("overdue", owner, expires_at=overdue)
    await world.after(10)
    for kind in ("started", "mirror_failed", "completed", "expired", "of my own"):
        await world.hub.fire_task_event("unknown", kind, {"op": "observe", "reason": None})
    await world.hub.fire_task_event("other", "failed", {"outcome": "worse", "at": "", "owner_id": owner})


async def _turns(world: World) -> None:
    rule = Rule()
    rule.limits.inbox.max_pending = 3
    talker, listener = await world.agent("talker"), await world.agent("listener", rule=rule)
    channel = await world.channel("conversation", talker, listener)
    envelope_id = ""
    for n in range(3):  # the mark is at two
        envelope_id = await world.say(channel, talker, f"{n}")
    with pytest.raises(NetworkError):
        await world.say(channel, talker)  # their inbox is full
    for error in (ValueError("no \u2028 model"), KeyError("x"), asyncio.CancelledError()):
        await world.hub.report_turn_failure(channel_id=channel, agent_id=listener, envelope_id=envelope_id, exc=error)


class Told(BaseHubListener):
    """Waits for a call: listeners are called in the order in which they came."""

    def __init__(self) -> None:
        self.turn_failed = asyncio.Event()
        self.closed = asyncio.Event()

    async def on_turn_failed(self, channel_id: str, agent_id: str, envelope_id: str, exc: Any) -> None:
        self.turn_failed.set()

    async def on_channel_event(self, channel_id: str, kind: str, payload: Any) -> None:
        if kind == "closed":
            self.closed.set()


async def _clients(world: World) -> None:
    told = Told()
    world.hub.register_listener(told)
    world.hub._invite_ack_timeout = 30  # agents answer in tasks of their own
    async with (
        await world.hub.register(Agent("asker", config=TestConfig())) as asker,
        await world.hub.register(Agent("expert", config=TestConfig("an answer"))) as expert,
        await world.hub.register(Agent("broken", config=TestConfig(OSError("no model")))) as broken,
    ):
        for agent, happened in ((expert, told.closed), (broken, told.turn_failed)):
            channel = await asker.open(type="consulting", target=agent.agent_id)
            await channel.send("a question")
            await happened.wait()


SCENARIOS = [_agents, _consulting, _conversation, _discussion, _workflow, _refusals, _tasks, _turns, _clients]
Scenario = Callable[[World], Awaitable[None]]
all_scenarios = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__.strip("_"))


async def _run(scenario: Scenario, *listeners: object, clock: ManualClock, audit_log: AuditLog | None = None) -> Any:
    """Run a scenario on a new hub, and return what its audit log has."""
    hub = await Hub.open(
        MemoryKnowledgeStore(),
        auth=AuthRegistry([NoAuth(), ApiKeyAuth({})]),
        clock=lambda: datetime.fromtimestamp(clock.now_ns() / 1e9, UTC).isoformat(),
        ttl_sweep_interval=0,
        expectation_sweep_interval=0,
        invite_ack_timeout=0.01,
    )
    if audit_log is not None:
        hub.replace_audit_log(cast("Any", audit_log))  # any object will do, whatever the annotation says
    for listener in listeners:
        hub.register_listener(cast("Any", listener))
    async with hub:
        await scenario(World(hub, clock))
        assert hub.health()["audit_log_bytes"] == hub.audit_log.bytes_written
        return await hub.audit_log.read_all()


def _times(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Let times be times, however they are written."""
    return [record | {"at": datetime.fromisoformat(record["at"])} for record in records]


def _numbered(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put numbers in place of ids, in the order of appearance, to compare one hub with another."""
    numbers: dict[str, str] = {}
    text = re.sub("[0-9a-f]{32}", lambda found: numbers.setdefault(found[0], f"{len(numbers)}"), json.dumps(records))
    return _times(json.loads(text))


# --- the audit log --------------------------------------------------------------------------------------------------


@all_scenarios
async def test_our_audit_log_records_what_theirs_does(scenario: Scenario) -> None:
    clock = ManualClock()
    ours = AuditLog(MemoryStore(), clock=clock)
    theirs = await _run(scenario, ours, clock=clock)
    assert len(theirs) > 2
    assert _times(await ours.read_all()) == _times(theirs)
    assert ours.hook_failures == 0


@all_scenarios
async def test_our_audit_log_replaces_theirs(scenario: Scenario) -> None:
    theirs = await _run(scenario, clock=ManualClock())
    store, clock = MemoryStore(), ManualClock()
    ours = await _run(scenario, clock=clock, audit_log=AuditLog(store, clock=clock))
    assert _numbered(ours) == _numbered(theirs)
    assert (await verify(store)).records == len(ours) + 1  # and log.opened


async def test_the_scenarios_lead_to_every_record() -> None:
    """Together, the scenarios of this file lead to every kind of record that AG2 has."""
    recorded: set[str] = set()
    for scenario in SCENARIOS:
        clock = ManualClock()
        ours = AuditLog(MemoryStore(), clock=clock)
        await _run(scenario, ours, clock=clock)
        recorded |= {record["kind"] for record in await ours.read_all()}
    kinds = {value for name, value in vars(ag2.network.hub.audit).items() if name.startswith("AUDIT_KIND_")}
    assert recorded == kinds


async def test_lines_end_with_d_and_h() -> None:
    """A line has AG2's keys, sorted, and then `d` and `h`."""
    store, clock = MemoryStore(), ManualClock()
    await _run(_consulting, AuditLog(store, clock=clock), clock=clock)
    first, *lines = (await store.read("/audit/log/00000000000000000000.jsonl") or "").splitlines()
    assert json.loads(first)["kind"] == "log.opened"
    for line in lines:
        *keys, d, h = json.loads(line)
        assert (keys, d, h) == (sorted(keys), "d", "h")


async def test_subscribers_get_the_same_records_in_order() -> None:
    clock = ManualClock()
    ours = AuditLog(MemoryStore(), clock=clock)
    heard: dict[str, list[dict[str, Any]]] = {"ours": [], "ours again": [], "theirs": []}

    def telling(name: str) -> Callable[[dict[str, Any]], Awaitable[None]]:
        async def tell(record: dict[str, Any]) -> None:
            if record["kind"] != "log.opened":
                heard[name].append(record)

        return tell

    async def scenario(world: World) -> None:
        twice = telling("ours again")
        world.hub.audit_log.subscribe(telling("theirs"))
        ours.subscribe(telling("ours"))
        ours.subscribe(twice)
        await _discussion(world)
        ours.unsubscribe(twice)
        before = len(heard["ours again"])
        await _tasks(world)
        assert len(heard["ours again"]) == before > 0
        # A quick subscriber has heard of everything when the call that led to it returns.
        assert len(heard["ours"]) == len(heard["theirs"])

    await _run(scenario, ours, clock=clock)
    assert _times(heard["ours"]) == _times(heard["theirs"])


async def test_a_hand_made_record_is_appended_through_the_hub() -> None:
    async def scenario(world: World) -> None:
        await world.hub.audit_log.append({"kind": "review_done", "at": "2026-11-21T00:00:00Z", "by": "me"})

    records = await _run(scenario, clock=ManualClock(), audit_log=AuditLog(MemoryStore()))
    assert records == [{"kind": "review_done", "at": "2026-11-21T00:00:00Z", "by": "me"}]


async def test_a_hub_that_starts_again_continues_the_log() -> None:
    store = MemoryStore()
    records: list[dict[str, Any]] = []
    for _ in range(2):
        clock = ManualClock()
        async with AuditLog(store, clock=clock) as audit:
            records = await _run(_agents, clock=clock, audit_log=audit)
    once = len(records) // 2
    assert _numbered(records[:once]) == _numbered(records[once:])
    await verify(store)


class Full(MemoryStore):
    full = False

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        if self.full:
            raise StoreFull("no space left", path=path)
        return await super().append(path, content, expect=expect)


async def test_a_record_that_cannot_be_stored_is_counted() -> None:
    """A hub of AG2 reports no failure of a listener, so the log counts what it could not store."""
    store = Full()
    ours = AuditLog(store)

    async def scenario(world: World) -> None:
        await world.agent("before")
        store.full = True
        await world.agent("meanwhile")
        assert ours.hook_failures == 1
        store.full = False
        await world.agent("after")

    await _run(scenario, ours, clock=ManualClock())
    assert [record["name"] for record in await ours.read_all()] == ["before", "after"]
    assert ours.hook_failures == 1


# --- hooks ----------------------------------------------------------------------------------------------------------


def test_hooks_have_the_names_of_ag2() -> None:
    """The hooks and their arguments are called what AG2 calls them."""
    theirs = {name for name in vars(TheirHubListener) if name.startswith("on_")}
    assert set(HOOKS) == theirs
    for name in theirs:
        ours = inspect.signature(getattr(BaseHubListener, name))
        assert list(ours.parameters) == list(inspect.signature(getattr(TheirHubListener, name)).parameters)
    assert isinstance(BaseHubListener(), TheirHubListener)


Call = tuple[Any, ...]


class Hears(BaseHubListener):
    """One of ours, that overrides all hooks."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def on_agent_event(self, *arguments: Any) -> None:
        self.calls.append(("on_agent_event", *arguments))

    async def on_channel_event(self, *arguments: Any) -> None:
        self.calls.append(("on_channel_event", *arguments))

    async def on_task_event(self, *arguments: Any) -> None:
        self.calls.append(("on_task_event", *arguments))

    async def on_envelope_posted(self, *arguments: Any) -> None:
        self.calls.append(("on_envelope_posted", *arguments))

    async def on_envelope_rejected(self, *arguments: Any) -> None:
        self.calls.append(("on_envelope_rejected", *arguments))

    async def on_dispatch_failed(self, *arguments: Any) -> None:
        self.calls.append(("on_dispatch_failed", *arguments))

    async def on_expectation_fired(self, *arguments: Any) -> None:
        self.calls.append(("on_expectation_fired", *arguments))

    async def on_turn_failed(self, *arguments: Any) -> None:
        self.calls.append(("on_turn_failed", *arguments))

    async def on_inbox_pressure(self, *arguments: Any) -> None:
        self.calls.append(("on_inbox_pressure", *arguments))


class Overhears:
    """One of theirs: any object will do, and this one has whatever method the hub asks for."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def __getattr__(self, name: str) -> Callable[..., Awaitable[None]]:
        if not name.startswith("on_"):
            raise AttributeError(name)

        async def hook(*arguments: Any) -> None:
            self.calls.append((name, *arguments))

        return hook


HEARD = {
    "agent": ["registered", "unregistered", "resume_set", "skill_set", "rule_set", "observation_recorded"],
    "channel": ["created", "opened", "closed", "expired"],
    "task": ["completed", "failed", "expired", "cancelled", "started", "mirror_failed", "of my own"],
    "envelope_posted": [],
    "envelope_rejected": [],
    "dispatch_failed": [],
    "expectation_fired": [],
    "turn_failed": [],
    "inbox_pressure": [],
}


async def test_our_listener_hears_every_call_of_theirs() -> None:
    words: dict[str, set[str]] = {}
    for scenario in SCENARIOS:
        ours, theirs = Hears(), Overhears()
        await _run(scenario, ours, theirs, clock=ManualClock())
        assert len(ours.calls) == len(theirs.calls) > 2
        for mine, other in zip(ours.calls, theirs.calls, strict=True):
            assert mine[0] == other[0]
            assert all(argument is same for argument, same in zip(mine[1:], other[1:], strict=True))
        for name, *arguments in ours.calls:
            kinds = words.setdefault(name.removeprefix("on_").removesuffix("_event"), set())
            if name.endswith("_event"):
                kinds.add(arguments[1])
    assert words == {name: set(kinds) for name, kinds in HEARD.items()}


async def test_one_listener_reads_either_hub() -> None:
    class Reads(BaseHubListener):
        def __init__(self) -> None:
            self.read: list[str] = []

        async def on_channel_event(self, channel_id: str, kind: str, payload: Any) -> None:
            if kind == "closed":
                self.read.append(f"closed: {payload['reason']}")

        async def on_envelope_posted(self, envelope: Any, metadata: Any) -> None:
            if envelope.channel_id == metadata.channel_id and "text" in (envelope.event_data or ()):
                self.read.append(f"said: {envelope.event_data['text']}")

        async def on_envelope_rejected(self, envelope: Any, reason: Any) -> None:
            self.read.append(f"refused: {bool(str(reason))}")

        async def on_expectation_fired(self, channel_id: str, expectation: Any, violation: Any) -> None:
            assert violation.expectation is expectation
            self.read.append(f"late: {expectation.name} {dict(expectation.params)} {list(violation.violator_ids)}")

        async def on_turn_failed(self, channel_id: str, agent_id: str, envelope_id: str, exc: Any) -> None:
            self.read.append(f"failed: {exc}")

    there, here = Reads(), Reads()

    async def scenario(world: World) -> None:
        one, other = await world.agent("one"), await world.agent("other")
        channel = await world.channel("conversation", one, other)
        await world.say(channel, one)
        with pytest.raises(NetworkError):
            await world.say("elsewhere", one)
        await world.after(3600)
        await world.hub.report_turn_failure(channel_id="c", agent_id="a", envelope_id="e", exc=ValueError("bad"))
        await world.hub.close_channel(channel, reason="done")

    await _run(scenario, there, clock=ManualClock())
    failed: dict[str, Any] = {"envelope_id": "e", "error_type": "ValueError", "error_message": "bad"}
    clock, recorder = ManualClock(), Recorder()
    async with hubwire.Hub(listeners=[here, recorder], clock=clock) as hub:
        agents = [await hub.agents.register(name) for name in ("one", "other")]
        channel = await hub.channels.open(agents, expectations=[{"name": "max_silence"}])
        await channel.post(agents[0], {"text": "hello"})
        with pytest.raises(CommandRejected):
            await channel.post(agents[0], {"text": "hello"}, to=["nobody"])
        await wait_all_tasks_blocked()
        clock.advance(3600)
        await recorder.wait_for("expectation.violated")
        await hub.emit(TurnFailed(channel_id="c", agent_id="a", **failed))
        await channel.close("done")
    assert here.read == there.read
    assert len(here.read) == 5


async def test_their_audit_log_listens_to_our_hub() -> None:
    theirs = ag2.network.hub.audit.AuditLog(MemoryKnowledgeStore())
    failed: dict[str, Any] = {"envelope_id": "e", "error_type": "ValueError", "error_message": "bad"}
    clock, recorder = ManualClock(), Recorder()
    async with hubwire.Hub(listeners=[theirs, recorder], clock=clock) as hub:
        one, other = [await hub.agents.register(name) for name in ("one", "other")]
        expectations = [{"name": "reply_within", "params": {"seconds": 60}}]
        channel = await hub.channels.open([one, other], expectations=expectations)
        await channel.post(one, "hello")
        await wait_all_tasks_blocked()
        clock.advance(60)
        await recorder.wait_for("expectation.violated")
        await hub.emit(TurnFailed(channel_id=channel.id, agent_id=one.id, **failed))
        task = await hub.tasks.start(one, "fix", channel=channel, capability="python")
        await task.fail("no disk")
        await channel.close("done")
        await other.unregister()
        await hub.flush()
    records = [{key: value for key, value in record.items() if key != "at"} for record in await theirs.read_all()]
    about = {"channel_id": channel.id}
    assert records[2:] == [
        {
            "kind": "channel_created",
            **about,
            "creator_id": one.id,
            "manifest_type": "conversation",
            "manifest_version": 1,
            "participants": [one.id, other.id],
        },
        {
            "kind": "expectation_violated",
            **about,
            "expectation": "reply_within",
            "on_violation": "audit",
            "params": {"seconds": 60},
            "violators": [other.id],
            "detail": {"elapsed_seconds": 60.0, "threshold_seconds": 60.0},
        },
        {
            "kind": "turn_failed",
            **about,
            "agent_id": one.id,
            "envelope_id": "e",
            "exc_type": "RemoteError",
            "exc_message": "bad",
        },
        {
            "kind": "task_terminated",
            **about,
            "task_id": task.id,
            "owner_id": one.id,
            "outcome": "failed",
            "capability": "python",
            "reason": "no disk",
        },
        {"kind": "channel_closed", **about, "reason": "done"},
        {"kind": "agent_unregistered", "agent_id": other.id, "name": "other"},
    ]
