"""BaseHubListener: the listener port with one hook for each domain of events.

Hook names, arguments and ``kind`` words are those of AG2's hub listeners, so that one object can listen to either hub:
the views have the attributes of AG2's objects under the same names, as far as an event holds them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import attrs

from ._values import Value
from .context import cause
from .errors import PartialBatch
from .events import (
    AgentObserved,
    AgentRegistered,
    ChannelCreated,
    Event,
    FrozenDict,
    GenericEvent,
    TaskFailed,
    UnknownEvent,
)
from .events._event import own_fields

__all__ = (
    "HOOKS",
    "BaseHubListener",
    "ChannelView",
    "EnvelopeView",
    "ExpectationView",
    "ManifestView",
    "ParticipantView",
    "PassportView",
    "RemoteError",
    "ViolationView",
)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class EnvelopeView(Value):
    """An envelope, as its event reports it."""

    envelope_id: str | None
    channel_id: str | None
    sender_id: str | None
    audience: tuple[str, ...] | None
    event_type: str
    event_data: Any
    causation_id: str | None
    created_at: str
    priority: str = "normal"
    depth: int = 0
    idempotency_key: str | None = None
    ttl_seconds: float | None = None
    task_id: str | None = None


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ManifestView(Value):
    """The type of a channel, as its event reports it."""

    type: str
    version: int


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ParticipantView(Value):
    """A participant of a channel."""

    agent_id: str
    role: str


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ChannelView(Value):
    """The channel of an event: complete in ``channel.created``, later only with its ``channel_id``."""

    channel_id: str | None
    manifest: ManifestView | None = None
    creator_id: str | None = None
    participants: tuple[ParticipantView, ...] = ()
    created_at: str | None = None
    parent_channel_id: str | None = None
    knobs: Mapping[str, Any] = FrozenDict()
    labels: Mapping[str, str] = FrozenDict()
    required_acks: int | None = None


@attrs.frozen(kw_only=True, eq=False, repr=False)
class PassportView(Value):
    """The identity of an agent, as its registration reports it."""

    agent_id: str | None
    name: str
    owner: str = ""
    provider: str = ""
    model: str = ""
    region: str = ""
    kind: str = "agent"
    cost: Mapping[str, Any] | None = None
    created_at: str = ""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ExpectationView(Value):
    """A contract over a channel's behaviour in time."""

    name: str
    on_violation: str
    params: Mapping[str, Any]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ViolationView(Value):
    """How an expectation was violated. ``violator_ids`` are agent ids; none means the channel as a whole."""

    expectation: ExpectationView
    violator_ids: tuple[str, ...]
    detail: Mapping[str, Any]


@attrs.frozen(str=False, eq=False, repr=False)
class RemoteError(Value):
    """An exception as an event reports it: the name of its class, and its message, which ``str()`` returns."""

    type: str
    message: str

    def __str__(self) -> str:
        return self.message


_KIND_WORDS = {"observed": "observation_recorded", "progressed": "progress"}
"""The last words of kinds for which AG2 has another one; all others are the same."""


class BaseHubListener:
    """A listener without effects: override the hooks of the events that you need.

    ``on_events`` calls ``on_event`` for each event, and that calls the hook of the event's domain. The arguments of a
    hook are frozen and made from the event alone, so keep them as long as you like. An exception of a hook fails its
    event, not the batch: the events before it are handled.

    An AG2 hub calls the hooks itself, with live objects of its own in place of the views. So an override annotates an
    argument with its view if the listener is for this hub, and with ``Any`` if an AG2 hub calls it too. ``View | Any``
    allows both; a type checker refuses any other type, and a listener with views on an AG2 hub.
    """

    async def on_events(self, events: Sequence[Event]) -> None:
        """Handle a batch, one event after the other."""
        handled = 0
        try:
            for event in events:
                cause(event)
                await self.on_event(event)
                handled += 1
        except Exception as error:
            raise PartialBatch(handled) from error

    async def on_event(self, event: Any) -> None:
        """Handle one :class:`~hubwire.Event`: by default, call the hook of its domain, if it has one.

        A subclass that is attached with a pattern may annotate the class of the events that it gets.
        """
        call = _CALLS.get(event.kind) or _CALLS.get(event.kind.partition(".")[0])
        if call is not None:
            await call(self, event)

    async def on_agent_event(self, agent_id: str, kind: str, payload: Mapping[str, Any]) -> None:
        """An agent was registered, unregistered, and so on. ``kind`` is the last word of the event's kind."""

    async def on_channel_event(self, channel_id: str, kind: str, payload: Mapping[str, Any]) -> None:
        """A channel was created, opened, closed, and so on. ``kind`` is the last word of the event's kind."""

    async def on_task_event(self, task_id: str, kind: str, payload: Mapping[str, Any]) -> None:
        """A task was started, completed, and so on. ``kind`` is the last word of the event's kind."""

    async def on_envelope_posted(self, envelope: EnvelopeView | Any, metadata: ChannelView | Any) -> None:
        """An envelope was accepted."""

    async def on_envelope_rejected(self, envelope: EnvelopeView | Any, reason: RemoteError | Any) -> None:
        """An envelope was refused."""

    async def on_dispatch_failed(
        self, envelope: EnvelopeView | Any, recipient_id: str, reason: RemoteError | Any
    ) -> None:
        """An envelope did not reach one of its recipients."""

    async def on_expectation_fired(
        self, channel_id: str, expectation: ExpectationView | Any, violation: ViolationView | Any
    ) -> None:
        """A channel did not do in time what its expectation requires."""

    async def on_turn_failed(self, channel_id: str, agent_id: str, envelope_id: str, exc: RemoteError | Any) -> None:
        """An agent crashed while it handled an envelope."""

    async def on_inbox_pressure(self, agent_id: str, pending: int, cap: int) -> None:
        """An inbox reached its high-water mark: ``pending`` of ``cap`` envelopes wait in it."""


HOOKS = tuple(
    name for name in vars(BaseHubListener) if name.startswith("on_") and name not in ("on_events", "on_event")
)
"""The nine hooks. An object that has some of them and no ``on_events`` is a listener too."""


def from_hooks(listener: object) -> BaseHubListener:
    """Make a listener of an object that has some of the hooks."""
    wrapped = BaseHubListener()
    for name in HOOKS:
        if hook := getattr(listener, name, None):
            setattr(wrapped, name, hook)
    return wrapped


# --- from event to hook ---------------------------------------------------------------------------------------------


def _fields(event: Event) -> Mapping[str, Any]:
    if isinstance(event, GenericEvent):
        return event.data
    if isinstance(event, UnknownEvent):
        return event.fields
    return {name: getattr(event, name) for name in own_fields(type(event))}


def _payload(event: Event, **more: Any) -> FrozenDict:
    return FrozenDict({**_fields(event), **more, "at": event.at})


_PASSPORT = frozenset({"owner", "provider", "model", "region", "kind", "cost"})


def _passport(event: AgentRegistered) -> PassportView:
    known = {name: value for name, value in (event.passport or {}).items() if name in _PASSPORT}
    return PassportView(agent_id=event.agent_id, name=event.name, created_at=event.at, **known)


def _metadata(event: Event) -> ChannelView:
    if not isinstance(event, ChannelCreated):
        return ChannelView(channel_id=event.channel_id)
    roles = event.roles or {}
    return ChannelView(
        channel_id=event.channel_id,
        manifest=ManifestView(type=event.manifest_type, version=event.manifest_version),
        creator_id=event.agent_id,
        participants=tuple(ParticipantView(agent_id=each, role=roles.get(each, "")) for each in event.participants),
        created_at=event.at,
        parent_channel_id=event.parent_id,
        knobs=event.knobs or FrozenDict(),
        labels=event.labels or FrozenDict(),
        required_acks=event.required_acks,
    )


def _word(event: Event) -> str:
    word = event.kind.rpartition(".")[2]
    return _KIND_WORDS.get(word, word)


def _envelope(event: Event, fields: Mapping[str, Any]) -> EnvelopeView:
    return EnvelopeView(
        envelope_id=fields.get("envelope_id"),
        channel_id=event.channel_id,
        sender_id=event.agent_id,
        audience=fields.get("audience"),
        event_type=event.kind,
        event_data=fields.get("content"),
        causation_id=event.causation_id,
        created_at=event.at,
        priority=fields.get("priority", "normal"),
        depth=fields.get("hops", 0),
        idempotency_key=fields.get("idempotency_key"),
        ttl_seconds=fields.get("ttl_seconds"),
        task_id=event.task_id,
    )


async def _agent(listener: BaseHubListener, event: Event) -> None:
    more: dict[str, Any] = {}
    if isinstance(event, AgentRegistered):
        more["passport"] = _passport(event)
    elif isinstance(event, AgentObserved):
        more = {"outcome": event.ended, "resume": FrozenDict({"observed": {event.capability: event.observation}})}
    await listener.on_agent_event(event.agent_id or "", _word(event), _payload(event, **more))


async def _channel(listener: BaseHubListener, event: Event) -> None:
    more = {"agent_id": event.agent_id} if event.agent_id is not None else {}
    payload = _payload(event, **more, metadata=_metadata(event))
    await listener.on_channel_event(event.channel_id or "", _word(event), payload)


async def _task(listener: BaseHubListener, event: Event) -> None:
    more: dict[str, Any] = {} if event.channel_id is None else {"channel_id": event.channel_id}
    if isinstance(event, TaskFailed):
        more["reason"] = event.error_message or event.error_type
    await listener.on_task_event(event.task_id or "", _word(event), _payload(event, **more))


async def _posted(listener: BaseHubListener, event: Event) -> None:
    await listener.on_envelope_posted(_envelope(event, _fields(event)), _metadata(event))


async def _rejected(listener: BaseHubListener, event: Event) -> None:
    fields = _fields(event)
    error = RemoteError(fields.get("error", ""), fields.get("reason", ""))
    await listener.on_envelope_rejected(_envelope(event, fields), error)


async def _dispatch_failed(listener: BaseHubListener, event: Event) -> None:
    fields = _fields(event)
    error = RemoteError(fields.get("error", ""), fields.get("reason", ""))
    await listener.on_dispatch_failed(_envelope(event, fields), fields.get("recipient_id", ""), error)


async def _expectation(listener: BaseHubListener, event: Event) -> None:
    fields = _fields(event)
    expectation = ExpectationView(
        name=fields.get("expectation", ""),
        on_violation=fields.get("on_violation", ""),
        params=fields.get("params", FrozenDict()),
    )
    violation = ViolationView(
        expectation=expectation,
        violator_ids=tuple(fields.get("violators", ())),
        detail=fields.get("detail", FrozenDict()),
    )
    await listener.on_expectation_fired(event.channel_id or "", expectation, violation)


async def _turn_failed(listener: BaseHubListener, event: Event) -> None:
    fields = _fields(event)
    error = RemoteError(fields.get("error_type", ""), fields.get("error_message", ""))
    await listener.on_turn_failed(event.channel_id or "", event.agent_id or "", fields.get("envelope_id", ""), error)


async def _pressure(listener: BaseHubListener, event: Event) -> None:
    fields = _fields(event)
    await listener.on_inbox_pressure(event.agent_id or "", fields.get("pending", 0), fields.get("cap", 0))


_CALLS: dict[str, Callable[[BaseHubListener, Event], Awaitable[None]]] = {
    "agent": _agent,
    "channel": _channel,
    "task": _task,
    "envelope.posted": _posted,
    "envelope.rejected": _rejected,
    "envelope.dispatch_failed": _dispatch_failed,
    "expectation.violated": _expectation,
    "turn.failed": _turn_failed,
    "inbox.pressured": _pressure,
}
