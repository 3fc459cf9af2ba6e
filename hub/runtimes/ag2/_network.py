"""The listener of an AG2 hub that records in a hub of ours what AG2's reports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ...listener import BaseHubListener
from ..recorder import Recorder
from . import records

__all__ = ("NetworkListener",)

_NAMES_MAX: Final = 10_000
_WORD = re.compile(r"[a-z][a-z0-9_]{0,60}\Z")


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

    async def on_agent_event(self, agent_id: str, kind: str, payload: Mapping[str, Any]) -> None:
        """An agent was registered, unregistered, and so on."""
        if self._is_closed:
            return
        name = getattr(payload.get("passport"), "name", None) or payload.get("name")
        if isinstance(name, str) and name and len(self._names) < _NAMES_MAX:
            self._names[agent_id] = name
        self._fact("agent", kind, agent_id, records.agent_record(agent_id, kind, payload), agent_id=agent_id)
        if kind == "unregistered":
            self._names.pop(agent_id, None)

    async def on_channel_event(self, channel_id: str, kind: str, payload: Mapping[str, Any]) -> None:
        """A channel was created, opened, closed or has expired."""
        if self._is_closed:
            return
        creator = getattr(payload.get("metadata"), "creator_id", None)
        record = records.channel_record(channel_id, kind, payload)
        self._fact("channel", kind, creator, record, channel_id=channel_id, reason=payload.get("reason"))

    async def on_task_event(self, task_id: str, kind: str, payload: Mapping[str, Any]) -> None:
        """A task has ended, or could not be mirrored."""
        if self._is_closed:
            return
        record = records.task_record(task_id, kind, payload)
        more = {name: payload.get(name) for name in ("channel_id", "outcome", "reason")}
        self._fact("task", kind, payload.get("owner_id"), record, task_id=task_id, **more)

    async def on_envelope_posted(self, envelope: Any, metadata: Any) -> None:  # noqa: ARG002 - as AG2 calls it
        """An envelope was accepted and dispatched."""
        if not self._is_closed:
            self._fact("envelope", "posted", envelope.sender_id, None, **_about(envelope))

    async def on_envelope_rejected(self, envelope: Any, reason: Any) -> None:
        """An envelope was refused."""
        if not self._is_closed:
            self._fact("envelope", "rejected", envelope.sender_id, None, **_about(envelope), error=reason)

    async def on_dispatch_failed(self, envelope: Any, recipient_id: str, reason: Any) -> None:
        """An envelope did not reach one of its recipients."""
        if not self._is_closed:
            about = {**_about(envelope), "recipient_id": recipient_id, "error": reason}
            self._fact("envelope", "dispatch_failed", envelope.sender_id, None, **about)

    async def on_expectation_fired(self, channel_id: str, expectation: Any, violation: Any) -> None:  # noqa: ARG002 - as AG2 calls it
        """A channel did not do in time what is expected of it. AG2 says it once for each violator."""
        if not self._is_closed:
            record = records.expectation_record(channel_id, violation)
            self._fact("expectation", "violated", None, record, channel_id=channel_id)

    async def on_turn_failed(self, channel_id: str, agent_id: str, envelope_id: str, exc: Any) -> None:
        """An agent's handler raised. The turn itself is told by the agent's middleware."""
        if not self._is_closed:
            where = {"channel_id": channel_id, "agent_id": agent_id, "envelope_id": envelope_id}
            self._recorder.error(exc, agent=self._names.get(agent_id, agent_id), where=where)

    async def on_inbox_pressure(self, agent_id: str, pending: int, cap: int) -> None:
        """An inbox fills up."""
        if not self._is_closed:
            self._fact("inbox", "pressured", agent_id, None, agent_id=agent_id, pending=pending, cap=cap)

    @property
    def _is_closed(self) -> bool:
        return self._recorder.is_closed

    def _fact(self, domain: str, kind: str, agent_id: Any, record: Mapping[str, Any] | None, **about: Any) -> None:
        data = {name: value for name, value in about.items() if value is not None}
        if not (isinstance(kind, str) and _WORD.match(kind)):
            kind, data["kind"] = "told", kind  # tasks have kinds of their programs' own
        if record is not None:
            data["record"] = dict(record)
        name = self._names.get(agent_id) if isinstance(agent_id, str) else None
        self._recorder.fact(f"ag2.{domain}.{kind}", data, agent=name)


def _about(envelope: Any) -> dict[str, Any]:
    names = ("envelope_id", "channel_id", "sender_id", "audience", "event_type", "causation_id", "task_id")
    return {**{name: getattr(envelope, name, None) for name in names}, "content": getattr(envelope, "event_data", None)}
