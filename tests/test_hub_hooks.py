"""BaseHubListener: a hook for each domain, with the arguments of AG2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from hubwire import BaseHubListener, Event, GenericEvent, Hub
from hubwire.errors import (
    CommandRejected,
)
from hubwire.listener import (
    ChannelView,
    EnvelopeView,
    ExpectationView,
    ManifestView,
    ParticipantView,
    PassportView,
    RemoteError,
    ViolationView,
)
from hubwire.testing import ManualClock


class Hooked(BaseHubListener):
    """Keeps the arguments of every hook that was called."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    async def on_agent_event(self, agent_id: str, kind: str, payload: Mapping[str, Any]) -> None:
        self.calls.append(("agent", agent_id, kind, payload))

    async def on_channel_event(self, channel_id: str, kind: str, payload: Mapping[str, Any]) -> None:
        self.calls.append(("channel", channel_id, kind, payload))

    async def on_task_event(self, task_id: str, kind: str, payload: Mapping[str, Any]) -> None:
        self.calls.append(("task", task_id, kind, payload))

    async def on_envelope_posted(self, envelope: EnvelopeView, metadata: ChannelView) -> None:
        self.calls.append(("posted", envelope, metadata))

    async def on_envelope_rejected(self, envelope: EnvelopeView, reason: RemoteError) -> None:
        self.calls.append(("rejected", envelope, reason))

    async def on_dispatch_failed(self, envelope: EnvelopeView, recipient_id: str, reason: RemoteError) -> None:
        self.calls.append(("dispatch_failed", envelope, recipient_id, reason))

    async def on_expectation_fired(
        self, channel_id: str, expectation: ExpectationView, violation: ViolationView
    ) -> None:
        self.calls.append(("expectation", channel_id, expectation, violation))

    async def on_turn_failed(self, channel_id: str, agent_id: str, envelope_id: str, exc: RemoteError) -> None:
        self.calls.append(("turn", channel_id, agent_id, envelope_id, exc))

    async def on_inbox_pressure(self, agent_id: str, pending: int, cap: int) -> None:
        self.calls.append(("pressure", agent_id, pending, cap))


REPLY = ExpectationView(name="reply_within", on_violation="audit", params={"seconds": 9})


async def test_hooks_get_the_arguments_of_their_event() -> None:
    hooked = Hooked()
    async with Hub(listeners=[hooked], clock=ManualClock()) as hub:
        agent = await hub.agents.register("planner", capabilities=["plan"])
        other = await hub.agents.register("coder")
        channel = await hub.channels.open([agent, other], topic="the build")
        posted = await channel.post(agent, {"text": "fix it"}, to=[other])
        with pytest.raises(CommandRejected) as refused:
            await channel.post(agent, "hello", to=["nobody"])
        await channel.close("done")
        await other.unregister()
        await hub.flush()
    at = "2026-01-01T00:00:00.000000Z"
    kind, agent_id, word, registered = hooked.calls[0]
    assert (kind, agent_id, word) == ("agent", agent.id, "registered")
    assert (registered["name"], registered["capabilities"], registered["at"]) == ("planner", ("plan",), at)
    assert registered["passport"] == PassportView(agent_id=agent.id, name="planner", created_at=at)
    kind, channel_id, word, created = hooked.calls[2]
    assert (kind, channel_id, word) == ("channel", channel.id, "created")
    assert (created["participants"], created["topic"], created["at"]) == ((agent.id, other.id), "the build", at)
    metadata = created["metadata"]
    assert metadata.manifest == ManifestView(type="conversation", version=1)
    assert (metadata.creator_id, metadata.created_at) == (agent.id, at)
    assert metadata.participants == (
        ParticipantView(agent_id=agent.id, role="initiator"),
        ParticipantView(agent_id=other.id, role="respondent"),
    )
    only_which = ChannelView(channel_id=channel.id)
    opened = {"channel_state": None, "metadata": only_which, "at": at}
    assert hooked.calls[3] == ("channel", channel.id, "opened", opened)
    assert hooked.calls[4] == (
        "posted",
        EnvelopeView(
            envelope_id=posted.envelope_id,
            channel_id=channel.id,
            sender_id=agent.id,
            audience=(other.id,),
            event_type="envelope.posted",
            event_data={"text": "fix it"},
            causation_id=None,
            created_at=at,
        ),
        ChannelView(channel_id=channel.id),
    )
    kind, envelope, reason = hooked.calls[5]
    assert (kind, reason) == ("rejected", RemoteError("PostRejected", str(refused.value)))
    assert (envelope.sender_id, envelope.audience, envelope.event_data) == (agent.id, ("nobody",), "hello")
    assert hooked.calls[6:] == [
        ("channel", channel.id, "closed", {"reason": "done", "result": None, "metadata": only_which, "at": at}),
        ("agent", other.id, "unregistered", {"name": "coder", "at": at}),
    ]


@pytest.mark.parametrize(
    ("happened", "call"),
    [
        (
            GenericEvent(kind="agent.observed", agent_id="a", at="t", data={"capability": "plan"}),
            ("agent", "a", "observation_recorded", {"capability": "plan", "at": "t"}),
        ),
        (
            GenericEvent(kind="agent.skill_set", agent_id="a", at="t"),
            ("agent", "a", "skill_set", {"at": "t"}),
        ),
        (
            GenericEvent(kind="channel.participant_removed", channel_id="c", at="t"),
            ("channel", "c", "participant_removed", {"metadata": ChannelView(channel_id="c"), "at": "t"}),
        ),
        (
            GenericEvent(kind="task.progressed", task_id="t", at="t", data={"done": 3}),
            ("task", "t", "progress", {"done": 3, "at": "t"}),
        ),
        (
            GenericEvent(kind="task.completed", task_id="t", at="t"),
            ("task", "t", "completed", {"at": "t"}),
        ),
        (
            GenericEvent(
                kind="envelope.dispatch_failed",
                channel_id="c",
                at="t",
                data={"envelope_id": "e", "recipient_id": "r", "error": "OSError", "reason": "gone"},
            ),
            (
                "dispatch_failed",
                EnvelopeView(
                    envelope_id="e",
                    channel_id="c",
                    sender_id=None,
                    audience=None,
                    event_type="envelope.dispatch_failed",
                    event_data=None,
                    causation_id=None,
                    created_at="t",
                ),
                "r",
                RemoteError("OSError", "gone"),
            ),
        ),
        (
            GenericEvent(
                kind="expectation.violated",
                channel_id="c",
                data={
                    "expectation": "reply_within",
                    "on_violation": "audit",
                    "params": {"seconds": 9},
                    "violators": ["a"],
                    "detail": {"elapsed": 10},
                },
            ),
            ("expectation", "c", REPLY, ViolationView(expectation=REPLY, violator_ids=("a",), detail={"elapsed": 10})),
        ),
        (
            GenericEvent(
                kind="turn.failed",
                channel_id="c",
                agent_id="a",
                data={"envelope_id": "e", "error_type": "ValueError", "error_message": "no"},
            ),
            ("turn", "c", "a", "e", RemoteError("ValueError", "no")),
        ),
        (
            GenericEvent(kind="inbox.pressured", agent_id="a", data={"pending": 90, "cap": 100}),
            ("pressure", "a", 90, 100),
        ),
        (GenericEvent(kind="envelope.acked", agent_id="a"), None),
        (GenericEvent(kind="turn.started", agent_id="a"), None),
        (GenericEvent(kind="number.said"), None),
    ],
    ids=lambda value: value.kind if isinstance(value, Event) else "",
)
async def test_each_domain_has_its_hook(happened: Event, call: tuple[Any, ...] | None) -> None:
    """The words for kinds are those of AG2."""
    hooked = Hooked()
    await hooked.on_events([happened])
    assert hooked.calls == ([call] if call else [])


async def test_hook_arguments_are_frozen() -> None:
    """They stay as they are when the caller changes its objects."""
    hooked = Hooked()
    content = {"items": ["apple"]}
    async with Hub(listeners=[hooked]) as hub:
        agent = await hub.agents.register("agent")
        channel = await hub.channels.open([agent])
        await channel.post(agent, content, to=[agent])
        content["items"].append("pear")
        await channel.close()
    created = next(call for call in hooked.calls if call[0] == "channel")
    payload: Any = created[3]
    changes: list[Callable[[], object]] = [
        lambda: payload.update(topic="x"),
        lambda: payload.__setitem__("topic", "x"),
        lambda: payload.pop("topic"),
        payload.clear,
    ]
    for change in changes:
        with pytest.raises(TypeError):
            change()
    assert payload["topic"] == ""
    envelope = next(call[1] for call in hooked.calls if call[0] == "posted")
    assert envelope.event_data == {"items": ("apple",)}
    with pytest.raises(TypeError):
        envelope.event_data["items"] = ()
    with pytest.raises(AttributeError):
        envelope.sender_id = "x"
    assert created[2] == "created"


async def test_on_event_sees_every_event() -> None:
    class Looks(BaseHubListener):
        def __init__(self) -> None:
            self.kinds: list[str] = []

        async def on_event(self, event: Event) -> None:
            self.kinds.append(event.kind)
            await super().on_event(event)

        async def on_agent_event(self, agent_id: str, kind: str, payload: Mapping[str, Any]) -> None:
            self.kinds.append(kind)

    looks = Looks()
    async with Hub(listeners=[looks]) as hub:
        await hub.agents.register("agent")
    assert looks.kinds == ["hub.started", "agent.registered", "registered", "hub.stopped"]
