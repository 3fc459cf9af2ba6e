"""The listener of an AG2 hub that records in a hub of ours what AG2's reports."""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar, cast

from ...listener import BaseHubListener
from ..recorder import Recorder
from . import records

__all__ = ("NetworkListener",)

_NAMES_MAX: Final = 10_000
_WORD = re.compile(r"[a-z][a-z0-9_]{0,60}\Z")


Hook = TypeVar("Hook", bound=Callable[..., Awaitable[None]])


def _harmless(hook: Hook) -> Hook:
    """Record nothing when the recorder is closed, and let no odd object of the hub's be an error of this listener."""

    @functools.wraps(hook)
    async def harmless(self: NetworkListener, *args: Any) -> None:
        if self._recorder.is_closed:
            return
        try:
            await hook(self, *args)
        except Exception:  # noqa: BLE001 - the hub logs it as its own trouble, and goes on
            self.failures += 1

    return cast("Hook", harmless)


class NetworkListener(BaseHubListener):
    """Records what an AG2 hub reports: ``ag2_hub.register_listener(recorder.listener)``.

    Agents, channels, envelopes, tasks and violations are facts of the kinds ``ag2.agent.registered``,
    ``ag2.channel.opened``, ``ag2.envelope.posted``, and so on; a turn that failed is an ``error.raised``. What AG2's
    own audit log has of it is ``record``. An AG2 hub awaits its listeners one after the other: this one never waits.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._names: dict[str, str] = {}
        """The names of agents, by their ids on the AG2 hub."""
        self.failures = 0
        """How many calls it could not record: their objects were none that an AG2 hub has."""

    @_harmless
    async def on_agent_event(self, agent_id: str, kind: str, payload: Mapping[str, Any]) -> None:
        """An agent was registered, unregistered, and so on."""
        name = getattr(payload.get("passport"), "name", None) or payload.get("name")
        if isinstance(name, str) and name and len(self._names) < _NAMES_MAX:
            self._names[agent_id] = name
        self._fact("agent", kind, agent_id, records.agent_record(agent_id, kind, payload), agent_id=agent_id)
        if kind == "unregistered":
            self._names.pop(agent_id, None)

    @_harmless
    async def on_channel_event(self, channel_id: str, kind: str, payload: Mapping[str, Any]) -> None:
        """A channel was created, opened, closed or has expired."""
        creator = getattr(payload.get("metadata"), "creator_id", None)
        record = records.channel_record(channel_id, kind, payload)
        self._fact("channel", kind, creator, record, channel_id=channel_id, reason=payload.get("reason"))

    @_harmless
    async def on_task_event(self, task_id: str, kind: str, payload: Mapping[str, Any]) -> None:
        """A task has ended, or could not be mirrored."""
        record = records.task_record(task_id, kind, payload)
        more = {name: payload.get(name) for name in ("channel_id", "outcome", "reason")}
        self._fact("task", kind, payload.get("owner_id"), record, task_id=task_id, **more)

    @_harmless
    async def on_envelope_posted(self, envelope: Any, metadata: Any) -> None:  # noqa: ARG002 - as AG2 calls it
        """An envelope was accepted and dispatched."""
        self._fact("envelope", "posted", envelope.sender_id, None, **_about(envelope))

    @_harmless
    async def on_envelope_rejected(self, envelope: Any, reason: Any) -> None:
        """An envelope was refused."""
        self._fact("envelope", "rejected", envelope.sender_id, None, **_about(envelope), error=reason)

    @_harmless
    async def on_dispatch_failed(self, envelope: Any, recipient_id: str, reason: Any) -> None:
        """An envelope did not reach one of its recipients."""
        about = {**_about(envelope), "recipient_id": recipient_id, "error": reason}
        self._fact("envelope", "dispatch_failed", envelope.sender_id, None, **about)

    @_harmless
    async def on_expectation_fired(self, channel_id: str, expectation: Any, violation: Any) -> None:  # noqa: ARG002 - as AG2 calls it
        """A channel did not do in time what is expected of it. AG2 says it once for each violator."""
        record = records.expectation_record(channel_id, violation)
        self._fact("expectation", "violated", None, record, channel_id=channel_id)

    @_harmless
    async def on_turn_failed(self, channel_id: str, agent_id: str, envelope_id: str, exc: Any) -> None:
        """An agent's handler raised. The turn itself is told by the agent's middleware."""
        where = {"channel_id": channel_id, "agent_id": agent_id, "envelope_id": envelope_id}
        self._recorder.error(exc, agent=self._names.get(agent_id, agent_id), where=where)

    @_harmless
    async def on_inbox_pressure(self, agent_id: str, pending: int, cap: int) -> None:
        """An inbox fills up."""
        self._fact("inbox", "pressured", agent_id, None, agent_id=agent_id, pending=pending, cap=cap)

    def _fact(self, domain: str, kind: str, who: Any, record: Mapping[str, Any] | None, **about: Any) -> None:
        data = {name: value for name, value in about.items() if value is not None}
        if not (isinstance(kind, str) and _WORD.match(kind)):
            kind, data["kind"] = "told", kind  # tasks have kinds of their programs' own
        if record is not None:
            data["record"] = dict(record)
        name = self._names.get(who) if isinstance(who, str) else None
        self._recorder.fact(f"ag2.{domain}.{kind}", data, agent=name)


def _about(envelope: Any) -> dict[str, Any]:
    names = ("envelope_id", "channel_id", "sender_id", "audience", "event_type", "causation_id", "task_id")
    return {**{name: getattr(envelope, name, None) for name in names}, "content": getattr(envelope, "event_data", None)}
