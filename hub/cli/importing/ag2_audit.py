"""The audit log of a hub of AG2: ``/audit/audit.jsonl`` of its store, a record a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ... import GenericEvent
from ...events import TurnFailed
from .conversation import Conversation, Fact, check_sizes
from .decoding import Digest, encoded
from .fields import Fields, Wrong, is_clean, is_one_of
from .format import Options
from .moments import moment_of

__all__ = ("AG2Audit", "fact_of")

_KINDS = {
    "agent_registered": "ag2.agent.registered",
    "agent_unregistered": "ag2.agent.unregistered",
    "resume_set": "ag2.resume.set",
    "skill_set": "ag2.skill.set",
    "rule_set": "ag2.rule.set",
    "channel_created": "ag2.channel.created",
    "channel_closed": "ag2.channel.closed",
    "channel_expired": "ag2.channel.expired",
    "expectation_violated": "ag2.expectation.violated",
    "task_terminated": "ag2.task.terminated",
    "turn_failed": "turn.failed",
}
_OTHER = "ag2.record.imported"
_HEADER = ("agent_id", "channel_id", "task_id")


class AG2Audit:
    """``ag2-audit``."""

    name = "ag2-audit"
    sign = "records of AG2's audit log"

    def recognises(self, value: Any, _: Options) -> bool:
        return isinstance(value, dict) and "at" in value and is_one_of(value.get("kind"), _KINDS)

    def facts(self, value: Any) -> Iterator[Conversation]:
        record = Fields(value)
        kind = record.take("kind")
        if not isinstance(kind, str):
            raise Wrong("has no 'kind': it is no record of AG2's audit log")
        about: dict[str, Any] = {}
        for key in _HEADER:
            if isinstance(text := record.peek(key), str) and text and is_clean(text):
                about[key] = record.take(key)
        at = record.take("at")
        moment = moment_of(at)
        if moment != at:
            record.left["at"] = at
        made = _KINDS.get(kind, _OTHER)
        if made == _OTHER:
            record.left["kind"] = kind
        if made == "turn.failed":
            texts = {key: record.take(old) for key, old in _TURN.items() if _is_text(record.peek(old))}
            fact = Fact("0/record", TurnFailed, {**about, **texts}, None, moment, record.left)
        else:
            fact = fact_of("0/record", made, record.left, about, moment)
        content = encoded(value)
        check_sizes([fact], len(content))
        kept = {f"record.{key}": 1 for key in record.left}
        yield Conversation(format=self.name, key=Digest().add(content), parts=(fact,), kept=kept, has_channel=False)


_TURN = {"envelope_id": "envelope_id", "error_type": "exc_type", "error_message": "exc_message"}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and is_clean(value)


def fact_of(part: str, kind: str, record: dict[str, Any], about: dict[str, Any], at: str | None) -> Fact:
    """Return a fact whose fields are no attributes of a class; none of them hides one of the event's header."""
    return Fact(part, GenericEvent, {**about, "kind": kind, "data": {"record": record}}, None, at)
