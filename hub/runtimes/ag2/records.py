"""The records that AG2's own audit log writes, made from the arguments of its hub's hooks.

Source: ag2 1.2.1, ``ag2.network.hub.audit``; for kinds that it does not record, a function returns None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ("agent_record", "channel_record", "expectation_record", "task_record", "turn_failed_record")

_TERMINAL = frozenset({"completed", "failed", "expired", "cancelled"})


def agent_record(agent_id: str, kind: str, payload: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the record of an agent that was registered, unregistered, or changed."""
    about = {"agent_id": agent_id}
    if kind == "registered":
        name = getattr(payload.get("passport"), "name", payload.get("name"))
        return {"kind": "agent_registered", **about, "name": name}
    if kind == "unregistered":
        return {"kind": "agent_unregistered", **about, "name": payload.get("name")}
    if kind == "skill_set":
        return {"kind": "skill_set", **about, "removed": payload.get("removed", False)}
    if kind == "rule_set":
        return {"kind": "rule_set", **about, "version": payload.get("version")}
    if kind == "resume_set":
        return {"kind": "resume_set", **about, "source": "tenant", "version": payload.get("version")}
    if kind == "observation_recorded":
        observed = {name: payload.get(name) for name in ("version", "capability", "outcome")}
        return {"kind": "resume_set", **about, "source": "observed", **observed}
    return None


def channel_record(channel_id: str, kind: str, payload: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the record of a channel that was created or has ended."""
    about = {"channel_id": channel_id}
    if kind in ("closed", "expired"):
        return {"kind": f"channel_{kind}", **about, "reason": payload.get("reason")}
    if kind != "created":
        return None
    record: dict[str, Any] = {"kind": "channel_created", **about}
    metadata, participants = payload.get("metadata"), payload.get("participants")
    if metadata is not None:
        record |= {
            "manifest_type": metadata.manifest.type,
            "manifest_version": metadata.manifest.version,
            "creator_id": metadata.creator_id,
        }
        if participants is None:
            participants = [participant.agent_id for participant in metadata.participants]
    if participants is not None:
        record["participants"] = list(participants)
    return record


def task_record(task_id: str, kind: str, payload: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the record of a task that has ended."""
    if kind not in _TERMINAL:
        return None
    names = ("owner_id", "channel_id", "capability", "reason")
    about = {name: payload.get(name) for name in names}
    return {"kind": "task_terminated", "task_id": task_id, "outcome": payload.get("outcome", kind), **about}


def expectation_record(channel_id: str, violation: Any) -> dict[str, Any]:
    """Return the record of a violation, which names all violators."""
    expectation = violation.expectation
    return {
        "kind": "expectation_violated",
        "channel_id": channel_id,
        "expectation": expectation.name,
        "on_violation": expectation.on_violation,
        "params": dict(expectation.params),
        "violators": list(violation.violator_ids),
        "detail": dict(violation.detail),
    }


def turn_failed_record(channel_id: str, agent_id: str, envelope_id: str, error: BaseException) -> dict[str, Any]:
    """Return the record of a turn whose handler raised."""
    return {
        "kind": "turn_failed",
        "channel_id": channel_id,
        "agent_id": agent_id,
        "envelope_id": envelope_id,
        "exc_type": type(error).__name__,
        "exc_message": str(error),
    }
