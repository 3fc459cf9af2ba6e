"""The answers of models in a session of Claude Code's, each of which comes as several messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs

from .recorder import Recorder

__all__ = ("Answers", "Turn")

_ANSWERS_MAX: Final = 1000


@attrs.define(slots=True, eq=False)
class Turn:
    """A turn of the session's own agent."""

    key: str
    prompt_id: str
    subagents: dict[str, str] = attrs.field(factory=dict)
    """Keys of the turns of subagents that have not ended, by their id."""
    told: dict[str, Any] | None = None
    """What its hook has said at its end."""
    told_at: float = 0.0
    ending: tuple[Any, float] | None = None
    """Its answer and when it came, while subagents still run in the background."""
    tokens: dict[str, int] = attrs.field(factory=dict)
    """What the answers of its own agent have told."""

    @property
    def error(self) -> str | None:
        if self.told is None or self.told.get("hook_event_name") != "StopFailure":
            return None
        return str(self.told.get("last_assistant_message") or self.told.get("error") or "the turn failed")


@attrs.define(slots=True, eq=False)
class _Answer:
    """An answer of a model, which comes as several messages."""

    key: str
    turn: Turn
    blocks: list[Any] = attrs.field(factory=list)
    usage: dict[str, Any] = attrs.field(factory=dict)
    is_own: bool = True


class Answers:
    """Of each agent of a session, the answer that is coming."""

    def __init__(self, recorder: Recorder, session_id: str, reader: Callable[[Any], tuple[Turn, str] | None]) -> None:
        """``reader`` returns the turn that a message is of, and the key of the agent's that speaks."""
        self._recorder: Recorder = recorder
        self._id: str = session_id
        self._reader = reader
        self._open: dict[str, _Answer] = {}
        """By the turn that they belong to; of each agent, one comes at a time."""
        self._answered: dict[str, None] = {}

    def _of(self, message: Any, answer_id: str, model: str) -> _Answer | None:
        if (reader := self._reader(message)) is None:
            return None
        turn, parent = reader
        key = f"{self._id}:{answer_id}"
        if (there := self._open.get(parent)) is not None and there.key == key:
            return there
        self.flush(parent)
        if key in self._answered:
            return None
        self._answered[key] = None
        if len(self._answered) > _ANSWERS_MAX:
            del self._answered[next(iter(self._answered))]
        answer = self._open[parent] = _Answer(key, turn, is_own=parent == turn.key)
        self._recorder.begin_model(key, model, parent=parent, call_id=answer_id)
        return answer

    def said(self, message: Any) -> None:
        answer_id = message.message_id or message.uuid
        if answer_id is None or (message.model == "<synthetic>" and message.error is None):
            return  # what Claude Code says itself, as to a command
        if (answer := self._of(message, answer_id, message.model)) is None:
            return
        blocks = [_block(block) for block in message.content if type(block).__name__ != "ThinkingBlock"]
        if message.error is not None:
            said = "; ".join(block for block in blocks if isinstance(block, str))
            self._drop(answer)
            self._recorder.fail(answer.key, said or str(message.error), kind="ModelError")
            return
        answer.blocks += blocks
        usage = dict(message.usage or {})
        if message.stop_reason is None:
            usage.pop("output_tokens", None)  # it is of the answer's beginning
        answer.usage = {**usage, **answer.usage}

    def streamed(self, message: Any) -> None:
        event = message.event
        kind = event.get("type")
        if kind == "message_start":
            begun = event["message"]
            self._of(message, begun["id"], begun.get("model", ""))
            return
        reader = self._reader(message)
        answer = None if reader is None else self._open.get(reader[1])
        if answer is None:
            return
        if kind == "content_block_delta" and isinstance(text := event["delta"].get("text"), str):
            self._recorder.stream(answer.key, text)
        elif kind == "message_delta":
            answer.usage |= {name: n for name, n in (event.get("usage") or {}).items() if isinstance(n, int)}

    def _drop(self, answer: _Answer) -> None:
        for parent, there in tuple(self._open.items()):
            if there is answer:
                del self._open[parent]

    def flush(self, parent: str) -> None:
        """End the answer that an agent's model has given."""
        if (answer := self._open.pop(parent, None)) is None:
            return
        usage = answer.usage
        tokens = {name: usage.get(name) for name in ("input_tokens", "output_tokens")}
        if answer.is_own:
            for name, number in tokens.items():
                answer.turn.tokens[name] = answer.turn.tokens.get(name, 0) + (number or 0)
        cached = usage.get("cache_read_input_tokens")
        extra = {"cache_read_input_tokens": cached} if cached else None
        self._recorder.end(answer.key, answer.blocks, extra=extra, **tokens)


def _block(block: Any) -> Any:
    if (text := getattr(block, "text", None)) is not None:
        return text
    fields = {name: getattr(block, name, None) for name in ("id", "name", "input")}
    return {name: value for name, value in fields.items() if value is not None}
