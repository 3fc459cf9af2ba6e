"""What the hooks and messages of Claude Code say about a session, told to a recorder.

Both say it, and neither waits for the other: hooks come when it happens, messages when the program reads them. A turn
begins with the hook of its prompt. In a session whose messages are read it ends with its result, which has the cost and
comes after what subagents do in the background; else with the hook ``Stop``, or the last subagent's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import uuid4

import attrs

from ..clock import SystemClock
from ._claude_answers import Answers, Turn
from .recorder import Recorder

__all__ = ("Session",)

_time_of_day = SystemClock()

_TURNS_MAX: Final = 16
"""How many turns of a session may wait for messages that the program has not read."""
_ENDED_MAX: Final = 100
_HELD_SECONDS: Final = 5.0
_STOPPED: Final = "stopped while running"
"""Says Claude Code of a call that was interrupted; of one that was refused, it does not."""


@attrs.define(slots=True, eq=False)
class _Call:
    """A call of a tool that was announced and has not ended."""

    key: str
    turn: Turn
    parent: str


class Session:
    """A session of Claude Code's. What is called here may raise: the caller guards it."""

    def __init__(self, recorder: Recorder, session_id: str) -> None:
        self._recorder: Recorder = recorder
        self._id: str = session_id
        self._turns: list[Turn] = []
        """Those that have not ended, the oldest first."""
        self._lingering: list[Turn] = []
        """Those that have answered, and whose subagents have not ended."""
        self._ended: dict[str, None] = {}
        """Ids of prompts whose turns have ended."""
        self._calls: dict[str, _Call] = {}
        self._agents: dict[str, str] = {}
        """Ids of subagents, by the call that has started each."""
        self._answers = Answers(recorder, session_id, self._reader)
        self._spent: float = 0.0
        self.is_read: bool = False
        """Whether the program reads its messages through the recorder."""
        self._has_hooks: bool = False
        self._unread: int = 0
        """How many turns have ended of which no result was read."""

    # -- hooks --

    def hear(self, given: Mapping[str, Any], *, is_free: bool) -> None:
        """Take in what a hook was given. ``is_free``: nothing of the program's may hold back a call of a tool."""
        self._has_hooks = True
        name = given.get("hook_event_name")
        if name == "UserPromptSubmit":
            self._prompted(given)
        elif name == "SubagentStart":
            self._subagent(self._turn_of(given), given)
        elif name == "SubagentStop":
            self._subagent_stopped(given)
        elif name in ("Stop", "StopFailure"):
            if (turn := self._open_turn_of(given)) is not None:
                turn.told, turn.told_at = dict(given), _time_of_day.now_ns() / 1e9
                self._settle(turn)
        elif name in ("PreToolUse", "PostToolUse", "PostToolUseFailure"):
            self._tool(given, str(given.get("tool_use_id")), is_free=is_free)

    def _prompted(self, given: Mapping[str, Any]) -> None:
        if given.get("prompt_id") in [turn.prompt_id for turn in self._turns]:
            return
        if not self.is_read:
            for turn in tuple(self._turns):
                self._close(turn, None if turn.told else "another prompt came before its end")
        while len(self._turns) >= _TURNS_MAX:
            self._close(self._turns[0], None if self._turns[0].told else "its end was not told")
        self._begin_turn(given.get("prompt_id"), given.get("prompt"))

    def _begin_turn(self, prompt_id: Any, prompt: Any = None) -> Turn:
        prompt_id = prompt_id if isinstance(prompt_id, str) and prompt_id else uuid4().hex
        key = f"{self._id}:{prompt_id}"
        turn = Turn(f"{key}:{uuid4().hex[:8]}" if prompt_id in self._ended else key, prompt_id)
        self._turns.append(turn)
        self._recorder.begin_turn(turn.key, prompt=prompt, session=self._id, correlation=self._id)
        return turn

    def _open_turn_of(self, given: Mapping[str, Any]) -> Turn | None:
        prompt_id, agent_id = given.get("prompt_id"), given.get("agent_id")
        for turn in self._lingering:
            if agent_id is not None and (agent_id in turn.subagents or turn.prompt_id == prompt_id):
                return turn
        for turn in reversed(self._turns):
            if prompt_id is None or turn.prompt_id == prompt_id:
                return turn
        return None

    def _turn_of(self, given: Mapping[str, Any]) -> Turn:
        return self._open_turn_of(given) or self._begin_turn(given.get("prompt_id"))

    def _subagent(self, turn: Turn, given: Mapping[str, Any]) -> str:
        agent_id = str(given.get("agent_id"))
        key = f"{turn.key}:{agent_id}"
        if agent_id not in turn.subagents:
            turn.subagents[agent_id] = key = key if key not in self._ended else f"{key}:{uuid4().hex[:8]}"
            self._recorder.begin_turn(key, agent=given.get("agent_type"), parent=turn.key)
        return turn.subagents[agent_id]

    def _subagent_stopped(self, given: Mapping[str, Any]) -> None:
        for turn in (*self._lingering, *self._turns):
            if (key := turn.subagents.pop(str(given.get("agent_id")), None)) is not None:
                self._answers.flush(key)
                self._drop_calls(lambda call, key=key: call.parent == key)  # type: ignore[misc]
                self._recorder.end(key, given.get("last_assistant_message"))
                self._remember(key)
                if turn in self._lingering and not turn.subagents:
                    self._finish(turn)
                else:
                    self._settle(turn)

    def _tool(self, given: Mapping[str, Any], call_id: str, *, is_free: bool) -> None:
        name = given.get("hook_event_name")
        call = self._calls.get(call_id)
        if call is None:
            if name != "PreToolUse" and self._open_turn_of(given) is None and given.get("prompt_id") in self._ended:
                return  # its turn has ended, and has said of it what there is to say
            call = self._announced(given, call_id, is_free=is_free)
        if name == "PostToolUse":
            self._recorder.end(call.key, given.get("tool_response"))
            del self._calls[call_id]
        elif name == "PostToolUseFailure":
            kind = "Interrupted" if given.get("is_interrupt") is True else "ToolError"
            self._recorder.fail(call.key, str(given.get("error")), kind=kind)
            del self._calls[call_id]

    def _announced(self, given: Mapping[str, Any], call_id: str, *, is_free: bool) -> _Call:
        turn = self._turn_of(given)
        parent = turn.key if given.get("agent_id") is None else self._subagent(turn, given)
        self._answers.flush(parent)
        call = self._calls[call_id] = _Call(f"{self._id}:{call_id}", turn, parent)
        self._recorder.begin_tool(
            call.key,
            str(given.get("tool_name")),
            parent=parent,
            arguments=given.get("tool_input"),
            call_id=call_id,
            is_held=True,
            held_seconds=_HELD_SECONDS if is_free and given.get("permission_mode") == "bypassPermissions" else None,
        )
        return call

    # -- questions --

    def asked_about(self, call_id: Any) -> tuple[str, str] | None:
        """Return the keys of a call that was announced, and of what it belongs to."""
        call = self._calls.get(call_id)
        return None if call is None else (call.key, call.parent)

    def refused(self, call_id: str) -> None:
        """A call that was announced is not made."""
        if (call := self._calls.pop(call_id, None)) is not None:
            self._recorder.discard(call.key, "it was refused")

    # -- the end of a turn --

    def _settle(self, turn: Turn) -> None:
        """End a turn that has said its end, if neither a subagent nor its result is waited for."""
        if turn.told is not None and not turn.subagents and not self.is_read:
            self._close(turn, None)

    def _close(self, turn: Turn, error: object, answer: Any = None, *, is_told: bool = False) -> None:
        """End a turn, with an error, with an answer, or unless ``is_told``, as its hook has said."""
        at = None
        if turn.told is not None and error is None and not is_told:
            answer, error, at = turn.told.get("last_assistant_message"), turn.error, turn.told_at
            self._unread += 1
        self._turns.remove(turn)
        self._remember(turn.prompt_id)
        if error is None:
            turn.ending = answer, at or _time_of_day.now_ns() / 1e9
            if turn.subagents:
                self._answers.flush(turn.key)
                self._drop_calls(lambda call: call.parent == turn.key)
                self._lingering.append(turn)
                if len(self._lingering) > _TURNS_MAX:
                    self._finish(self._lingering[0])
                return
        self._finish(turn, error, at)

    def _finish(self, turn: Turn, error: object = None, at: float | None = None) -> None:
        """Record the end of a turn, and of what is open in it."""
        if turn in self._lingering:
            self._lingering.remove(turn)
        for key in (turn.key, *turn.subagents.values()):
            self._answers.flush(key)
        self._drop_calls(lambda call: call.turn is turn)
        for key in turn.subagents.values():
            self._recorder.fail(key, error or "its end was not told")
        if turn.ending is not None:
            self._recorder.end(turn.key, turn.ending[0], at=turn.ending[1])
        else:
            self._recorder.fail(turn.key, error, at=at)

    def _drop_calls(self, which: Callable[[_Call], bool]) -> None:
        for call_id, call in tuple(self._calls.items()):
            if which(call):
                del self._calls[call_id]
                self._recorder.discard(call.key, "it was refused, or its end was not told")

    def _remember(self, key: str) -> None:
        self._ended[key] = None
        if len(self._ended) > _ENDED_MAX:
            del self._ended[next(iter(self._ended))]

    def left(self, error: BaseException | None, *, has_ended: bool) -> None:
        """The program reads no more. ``has_ended``: Claude Code has ended with that."""
        self.is_read = False
        for turn in tuple(self._turns):
            if turn.told is not None:
                self._settle(turn)
            if has_ended and turn in self._turns:
                self._close(turn, error or "Claude Code has ended before it")
        if has_ended:
            for turn in tuple(self._lingering):
                self._finish(turn)

    # -- messages --

    def read(self, message: Any) -> None:
        """Take in a message that the program reads."""
        self.is_read = True
        name = type(message).__name__
        if name == "TaskStartedMessage":
            self._agents[str(message.tool_use_id)] = str(message.task_id)
        elif name == "AssistantMessage":
            self._answers.said(message)
        elif name == "StreamEvent":
            self._answers.streamed(message)
        elif name == "ResultMessage":
            self._result(message)

    def results(self, message: Any) -> None:
        """Take in what calls of tools have come to, as the model is told: of those that were refused, no hook says."""
        for block in message.content if isinstance(message.content, list) else ():
            call = self._calls.get(getattr(block, "tool_use_id", None) or "")
            if call is None or getattr(block, "is_error", None) is not True:
                continue
            del self._calls[block.tool_use_id]
            if _STOPPED in str(block.content):
                self._recorder.fail(call.key, "it was stopped while it ran", kind="Interrupted")
            else:
                self._recorder.discard(call.key, "it was refused")

    def _reader(self, message: Any) -> tuple[Turn, str] | None:
        """Return the turn that a message is of, and the key of the agent's that speaks."""
        if (above := message.parent_tool_use_id) is not None:
            agent_id = self._agents.get(above, "")
            for each in (*self._lingering, *self._turns):
                if agent_id in each.subagents:
                    return each, each.subagents[agent_id]
            return None  # of a subagent that is not known, or has ended
        if not self._turns:
            if self._has_hooks:
                return None  # of a turn that has ended: its messages were read too late
            self._begin_turn(None)
        return self._turns[0], self._turns[0].key

    def _result(self, message: Any) -> None:
        cost = message.total_cost_usd or 0.0
        more = cost - self._spent if cost >= self._spent else cost  # it is a sum, which begins anew with the program
        self._spent = cost
        if (turn := self._resulting(message)) is None:
            return
        for before in self._turns[: self._turns.index(turn)]:
            self._close(before, None if before.told else "its end was not told")
        self._answers.flush(turn.key)
        usage = message.usage or {}
        tokens = {
            name: max(0, usage[name] - turn.tokens.get(name, 0))
            for name in ("input_tokens", "output_tokens")
            if isinstance(usage.get(name), int)
        }
        self._recorder.usage(turn.key, cost_usd=more, **tokens)
        if message.is_error:
            said = (
                "; ".join(message.errors or ())
                or message.result
                or getattr(message, "terminal_reason", None)
                or message.subtype
            )
            self._close(turn, said, is_told=True)
        else:
            self._close(turn, None, message.result, is_told=True)

    def _resulting(self, message: Any) -> Turn | None:
        """Return the turn whose result it is; None if it has ended already."""
        if not self._turns:
            self._unread = max(0, self._unread - 1)
            return None
        if message.is_error:
            return next((turn for turn in self._turns if turn.error or turn.told is None), self._turns[0])
        told = [turn for turn in self._turns if turn.told is not None and turn.error is None]
        for turn in told:
            if turn.told is not None and turn.told.get("last_assistant_message") == message.result:
                return turn
        if told:
            return told[0]
        if not self._unread:
            return self._turns[0]
        self._unread -= 1
        return None
