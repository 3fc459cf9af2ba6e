"""OCSF 1.9, the Open Cybersecurity Schema Framework, for systems that watch over security: an event a line.

Tool and model calls, envelopes, turns and tasks are API Activity (6003); agents, channels and what else is managed are
Entity Management (3004); approvals are Authorize Session (3003); the hub, its listeners and its logs are Application
Lifecycle (6002); the rest is Base Event (0). With the profile ``ai_operation`` the agent is an ``ai_agent``.

The whole record is in ``raw_data``, with its SHA-256 beside it. By the profile ``record_integrity`` each event names
the fingerprint of the one before it, so that the exported file is a chain of its own: a fingerprint is the SHA-256 of
the event without it, in canonical form (RFC 8785).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from .._version import installed_version
from ._format import Format
from ._meaning import Meaning, Names, domain_of, meaning_of, text_of
from ._record import ExportRecord

__all__ = ("Ocsf",)

VERSION = "1.9.0"

_API = ("tool", "model", "envelope", "turn", "task", "inbox", "topic", "sandbox", "policy")
_MANAGED = ("agent", "actor", "group", "channel", "skill", "fact", "token", "key", "api_key", "manifest")
_LIFECYCLE = ("hub", "listener", "mailbox", "log", "timer")
_CLASS = {
    **dict.fromkeys(_API, (6003, 6)),
    **dict.fromkeys(_MANAGED, (3004, 3)),
    **dict.fromkeys(_LIFECYCLE, (6002, 6)),
    "approval": (3003, 3),
}
"""The class and the category by the first word of the kind."""

_OTHER = 99
_ACTIVITIES: dict[int, dict[str, int]] = {
    3003: {"approval.approved": 1},
    3004: {
        "agent.registered": 6,
        "agent.unregistered": 7,
        "channel.created": 1,
        "channel.closed": 4,
        "fact.read": 2,
        "fact.written": 1,
        "token.issued": 1,
        "token.revoked": 4,
    },
    6002: {"hub.started": 3, "hub.stopped": 4, "listener.attached": 6, "listener.detached": 7},
    6003: {},
}
"""The activities that OCSF has a number for; the name of all others is the kind."""

_SEVERITY = {"info": (1, "Informational"), "warning": (3, "Medium"), "error": (4, "High")}
_STATUS = {"success": (1, "Success"), "failure": (2, "Failure"), "unknown": (0, "Unknown")}
_SHA_256 = 3
_INT64_MAX = 2**63 - 1

_canonical = msgspec.json.Encoder(order="sorted").encode
"""RFC 8785 for these events: their numbers are whole, and their keys are ASCII."""


class Ocsf(Format):
    """A record a line, as an event of OCSF 1.9, whose class follows from the first word of the kind."""

    media_type = "application/jsonl"
    suffix = ".ocsf.jsonl"

    def __init__(self) -> None:
        self._version = installed_version()
        self._names = Names()
        self._previous: dict[str, Any] | None = None
        self._chain = ""

    def begin(self, redaction: str | None) -> bytes:  # noqa: ARG002 - it is for formats that say it
        self._names = Names()
        self._previous = None
        return b""

    def encode(self, records: Sequence[ExportRecord]) -> bytes:
        return b"".join(b"%b\n" % _canonical(self._event(record)) for record in records)

    def _event(self, record: ExportRecord) -> dict[str, Any]:
        fields = record.fields
        self._names.learn(fields)
        meaning = meaning_of(fields)
        class_uid, category_uid = self._class_of(fields)
        kind = text_of(fields, "kind") or "hubwire.record"
        activity = _ACTIVITIES.get(class_uid, {}).get(kind, _OTHER)
        severity, status = _SEVERITY[meaning.severity], _STATUS[meaning.outcome]
        raw = record.line if record.whole is None else record.whole
        event: dict[str, Any] = {
            "class_uid": class_uid,
            "category_uid": category_uid,
            "activity_id": activity,
            "activity_name": kind,
            "type_uid": class_uid * 100 + activity,
            "time": (meaning.nanoseconds or 0) // 1_000_000,
            "severity_id": severity[0],
            "severity": severity[1],
            "status_id": status[0],
            "status": status[1],
            "message": meaning.message,
            "metadata": self._metadata(fields, meaning, kind),
            "raw_data": raw.decode(errors="backslashreplace"),
            "raw_data_hash": _fingerprint(raw),
            "raw_data_size": len(raw),
        }
        if detail := text_of(fields, "error_message") or text_of(fields, "reason"):
            event["status_detail"] = detail
        event |= self._own(class_uid, fields, kind)
        self._attest(event)
        return event

    def _class_of(self, fields: dict[str, Any]) -> tuple[int, int]:
        class_uid, category_uid = _CLASS.get(domain_of(fields), (0, 0))
        if class_uid == 3003 and text_of(fields, "agent_id") is None:
            return 0, 0  # that class is about a user
        return class_uid, category_uid

    def _metadata(self, fields: dict[str, Any], meaning: Meaning, kind: str) -> dict[str, Any]:
        seq = fields.get("seq")
        found = {
            "version": VERSION,
            "product": {"name": "hubwire", "vendor_name": "hubwire", "version": self._version},
            "profiles": ["ai_operation", "record_integrity"],
            "event_code": kind,
            "uid": text_of(fields, "id"),
            "sequence": seq if type(seq) is int and abs(seq) <= _INT64_MAX else None,
            "tenant_uid": text_of(fields, "tenant"),
            "correlation_uid": text_of(fields, "correlation_id") or meaning.trace_id,
            "original_time": text_of(fields, "at"),
            "original_event_uid": text_of(fields, "source_id"),
            "log_source": text_of(fields, "source"),
        }
        return {name: value for name, value in found.items() if value is not None}

    def _own(self, class_uid: int, fields: dict[str, Any], kind: str) -> dict[str, Any]:
        """Return what the class of an event asks for, and the agent, where there is one."""
        made: dict[str, Any] = {}
        agent_id = text_of(fields, "agent_id")
        if class_uid in (6003, 3003, 3004):
            made["actor"] = self._actor(fields, agent_id)
        if agent_id is not None and class_uid == 6003:
            made["ai_agent"] = self._agent(fields, agent_id)
        if class_uid == 6003:
            operation = text_of(fields, "tool") or text_of(fields, "model")
            made["api"] = {"operation": operation or kind, "service": {"name": domain_of(fields)}}
            made["src_endpoint"] = {"svc_name": "hubwire", "uid": text_of(fields, "hub") or "unknown"}
        elif class_uid == 3004:
            made["entity"] = self._entity(fields)
        elif class_uid == 3003 and agent_id is not None:
            made["user"] = self._user(agent_id)
            if action := text_of(fields, "action"):
                made["privileges"] = [action]
            if session := text_of(fields, "session_id"):
                made["session"] = {"uid": session}
        elif class_uid == 6002:
            name = text_of(fields, "listener") or domain_of(fields)
            made["app"] = {"name": f"hubwire {name}", "vendor_name": "hubwire"}
        return made

    def _actor(self, fields: dict[str, Any], agent_id: str | None) -> dict[str, Any]:
        actor: dict[str, Any] = {"app_name": "hubwire"}
        if agent_id is not None:
            actor["user"] = self._user(agent_id)
        if behalf := text_of(fields, "actor"):
            actor["invoked_by"] = behalf
        if session := text_of(fields, "session_id"):
            actor["session"] = {"uid": session}
        return actor

    def _user(self, agent_id: str) -> dict[str, Any]:
        name = self._names.of(agent_id)
        return {"uid": agent_id, "type_id": 3, "type": "System", **({} if name is None else {"name": name})}

    def _agent(self, fields: dict[str, Any], agent_id: str) -> dict[str, Any]:
        agent: dict[str, Any] = {"uid": agent_id}
        if name := self._names.of(agent_id):
            agent["name"] = name
        if instance := text_of(fields, "session_id") or text_of(fields, "turn_id"):
            agent["instance_uid"] = instance
        if domain_of(fields) == "model" and (model := text_of(fields, "model")):
            agent["ai_model"] = {"name": model, "ai_provider": "unknown"}
        return agent

    def _entity(self, fields: dict[str, Any]) -> dict[str, Any]:
        domain = domain_of(fields)
        uid = text_of(fields, f"{domain}_id") or text_of(fields, "agent_id") or text_of(fields, "channel_id")
        name = text_of(fields, "name") or text_of(fields, "topic") or (uid and self._names.of(uid))
        entity: dict[str, Any] = {"type_id": _OTHER, "type": domain}
        if uid:
            entity["uid"] = uid
        if name or not uid:
            entity["name"] = name or domain
        return entity

    def _attest(self, event: dict[str, Any]) -> None:
        """Add the fingerprint of the event, of all that is in it but the fingerprint itself; the next one names it."""
        if self._previous is None:
            self._chain = event["raw_data_hash"]["value"]
        attestation: dict[str, Any] = {"chain_uid": self._chain}
        if self._previous is not None:
            attestation["prev_event"] = self._previous
        event["attestation"] = attestation
        fingerprint = _fingerprint(_canonical(event))
        attestation["fingerprint"] = fingerprint
        uid = event["metadata"].get("uid") or event["raw_data_hash"]["value"]
        self._previous = {"uid": uid, "type_uid": event["type_uid"], "fingerprint": fingerprint}


def _fingerprint(content: bytes) -> dict[str, Any]:
    return {"algorithm_id": _SHA_256, "algorithm": "SHA-256", "value": hashlib.sha256(content).hexdigest()}
