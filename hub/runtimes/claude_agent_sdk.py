"""Claude Agent SDK: sessions of Claude Code that a program runs become events of a hub.

::

    recorder = claude_agent_sdk.record(hub)
    options = recorder.options(ClaudeAgentOptions(model="sonnet"))
    async for message in recorder.observed(query(prompt="mend the build", options=options)):
        ...

:meth:`~ClaudeAgentSDKRecorder.options` returns a copy of the options with hooks that tell what Claude Code does, after
those that are there: prompts, tool calls with arguments, results and errors, subagents, and the end of each turn. With
``asks=True`` the hub answers whether a tool may be used, instead of ``can_use_tool``.
:meth:`~ClaudeAgentSDKRecorder.observed` passes messages on, and takes answers of models, tokens and cost from them.

What Claude Code shows to no hook: when a call of a model begins (it is recorded when its answer has come), a turn
that was interrupted, and whether a call that was announced is made or waits in a dialog of its own. So a call that the
hub was not asked about is recorded as called when it has ended, and one that was refused is not recorded.

Tested with claude-agent-sdk 0.2.189, on a transport of its protocol and without the program of Claude Code.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace  # of the SDK's own class
from typing import Any, Final, TypeVar

import attrs

from .. import Hub, HubThread
from ._opening import imported, opened
from .recorder import Recorder

__all__ = ("ClaudeAgentSDKRecorder", "record")

T = TypeVar("T")

_HOOKS: Final = (
    "UserPromptSubmit",
    "PreToolUse",
    "PostToolUse",
    "PostToolUseFailure",
    "SubagentStart",
    "SubagentStop",
    "Stop",
)

_SESSIONS_MAX: Final = 10_000


@attrs.define(slots=True, eq=False)
class _Session:
    """A session of Claude Code's, of which one turn is open at a time."""

    turns: int = 0
    turn: str | None = None
    tools: dict[str, None] = attrs.field(factory=dict)
    """The ids of calls that are announced and have not ended."""
    subagents: dict[str, str] = attrs.field(factory=dict)
    """Keys of the turns of subagents, by their id."""
    messages: dict[str, None] = attrs.field(factory=dict)
    """The answers of models that are recorded: one comes as several messages."""
    spent: float = 0.0
    """What it has cost so far: Claude Code tells the sum of the session."""


class ClaudeAgentSDKRecorder(Recorder):
    """A recorder with what the options and messages of the Claude Agent SDK are given to."""

    _sessions: dict[str, _Session]

    def options(self, options: Any = None, *, asks: bool = False) -> Any:
        """Return a copy of ``ClaudeAgentOptions`` with hooks that record; those that are there come first.

        ``asks``: the hub answers what ``can_use_tool`` would be asked, which must not be given then. A denial carries
        its reason to the model. When the recorder is closed the hooks do nothing.
        """
        module: Any = imported("claude_agent_sdk", "claude_agent_sdk")
        options = module.ClaudeAgentOptions() if options is None else options
        hooks = {name: list(matchers) for name, matchers in (options.hooks or {}).items()}
        for name in _HOOKS:
            hooks.setdefault(name, []).append(module.HookMatcher(hooks=[self._hook]))
        changed: dict[str, Any] = {"hooks": hooks}
        if asks:
            changed["can_use_tool"] = self._may_use
        return replace(options, **changed)

    async def observed(self, messages: AsyncIterator[T]) -> AsyncIterator[T]:
        """Pass on the messages of ``query()`` or ``client.receive_response()``, and record what they tell."""
        session: _Session | None = None
        try:
            async for message in messages:
                try:
                    session = self._message(message) or session
                except Exception as error:  # noqa: BLE001 - the host goes on
                    self.failed("observed", error)
                yield message
        except BaseException as error:
            if session is not None:
                self._close_turn(session, error)
            raise
        finally:
            if (aclose := getattr(messages, "aclose", None)) is not None:
                await aclose()

    # -- hooks --

    async def _hook(self, given: Any, tool_use_id: Any, context: Any) -> dict[str, Any]:  # noqa: ARG002
        if self.is_closed:
            return {}
        try:
            self._told(given)
        except Exception as error:  # noqa: BLE001 - Claude Code would be told that its hook has failed
            self.failed("hook", error)
        return {}  # has no say in what happens

    def _session(self, session_id: Any) -> _Session:
        sessions = self._sessions
        if (there := sessions.get(str(session_id))) is None:
            there = sessions[str(session_id)] = _Session()
            if len(sessions) > _SESSIONS_MAX:
                sessions.pop(next(iter(sessions)), None)
        return there

    def _told(self, given: Mapping[str, Any]) -> None:
        session_id = str(given.get("session_id"))
        session = self._session(session_id)
        name = given.get("hook_event_name")
        if name == "UserPromptSubmit":
            self._begin_turn(session, session_id, given.get("prompt"))
        elif name == "SubagentStart":
            self._open_turn(session, session_id)
            agent_id = str(given.get("agent_id"))
            key = session.subagents[agent_id] = f"{session.turn}:{agent_id}"
            self.begin_turn(key, agent=given.get("agent_type"), parent=session.turn)
        elif name == "SubagentStop":
            if (key := session.subagents.pop(str(given.get("agent_id")), "")) != "":
                self.end(key, given.get("last_assistant_message"))
        elif name == "Stop":
            self._close_turn(session, None, given.get("last_assistant_message"))
        else:
            self._told_of_tool(session, session_id, given, str(given.get("tool_use_id")))

    def _told_of_tool(self, session: _Session, session_id: str, given: Mapping[str, Any], call: str) -> None:
        name = given.get("hook_event_name")
        key = f"{session_id}:{call}"
        if name == "PreToolUse" or call not in session.tools:
            self._open_turn(session, session_id)
            parent = session.subagents.get(str(given.get("agent_id")), session.turn)
            tool, arguments = str(given.get("tool_name")), given.get("tool_input")
            self.begin_tool(key, tool, parent=parent, arguments=arguments, call_id=call, is_held=True)
            session.tools[call] = None
        if name == "PostToolUse":
            self.end(key, given.get("tool_response"))
            session.tools.pop(call, None)
        elif name == "PostToolUseFailure":
            self.fail(key, str(given.get("error")), kind="ToolError")
            session.tools.pop(call, None)

    def _open_turn(self, session: _Session, session_id: str) -> None:
        if session.turn is None:
            self._begin_turn(session, session_id, None)

    def _begin_turn(self, session: _Session, session_id: str, prompt: Any) -> None:
        if session.turn is not None:
            self._close_turn(session, "another prompt came before its end")
        session.turns += 1
        session.turn = f"{session_id}:turn-{session.turns}"
        self.begin_turn(session.turn, prompt=prompt, session=session_id)

    def _close_turn(self, session: _Session, error: object, answer: Any = None) -> None:
        if session.turn is None:
            return
        for call in tuple(session.tools):
            self.discard(f"{session.turn.rpartition(':')[0]}:{call}", "it was refused, or its end was not told")
        for key in session.subagents.values():
            self.fail(key, error or "its end was not told")
        session.tools.clear()
        session.subagents.clear()
        if error is None:
            self.end(session.turn, answer)
        else:
            self.fail(session.turn, error)
        session.turn = None

    # -- messages --

    def _message(self, message: Any) -> _Session | None:
        name, session_id = type(message).__name__, getattr(message, "session_id", None)
        if session_id is None:
            return None
        session = self._session(session_id)
        if name == "AssistantMessage":
            self._answered(session, session_id, message)
        elif name == "ResultMessage":
            self._result(session, message)
        return session

    def _answered(self, session: _Session, session_id: str, message: Any) -> None:
        answer = message.message_id or message.uuid
        if answer is None or answer in session.messages:
            return
        session.messages[answer] = None
        self._open_turn(session, session_id)
        key, usage = f"{session_id}:{answer}", message.usage or {}
        self.begin_model(key, message.model, parent=session.turn)
        if message.error is not None:
            self.fail(key, str(message.error), kind="ModelError")
            return
        self.end(
            key,
            [_block(block) for block in message.content if type(block).__name__ != "ThinkingBlock"],
            input_tokens=usage.get("input_tokens"),
            output_tokens=usage.get("output_tokens"),
            extra={name: usage[name] for name in ("cache_read_input_tokens",) if usage.get(name)} or None,
        )

    def _result(self, session: _Session, message: Any) -> None:
        if session.turn is None:
            return  # the hook has ended it
        if message.total_cost_usd:
            self.usage(session.turn, cost_usd=max(0.0, message.total_cost_usd - session.spent))
            session.spent = message.total_cost_usd
        if message.is_error:
            said = "; ".join(message.errors or ()) or message.result or message.subtype
            self._close_turn(session, said)
        else:
            self._close_turn(session, None, message.result)

    # -- approvals --

    async def _may_use(self, tool: str, arguments: dict[str, Any], context: Any) -> Any:
        """Ask the hub whether a tool may be used."""
        module: Any = imported("claude_agent_sdk", "claude_agent_sdk")
        call = getattr(context, "tool_use_id", None)
        parent, key = None, ""
        for session_id, session in tuple(self._sessions.items()):
            if call in session.tools:
                parent = session.subagents.get(str(getattr(context, "agent_id", None)), session.turn or "")
                key = f"{session_id}:{call}"
        if call is None:
            return module.PermissionResultDeny(message="Claude Code does not say which call it asks about")
        verdict = await self.decide(call, tool, arguments, parent=parent or None)
        if not verdict.is_approved and not verdict.approval_id:
            message = f"The tool call was not made, because its approval could not be asked for: {verdict.reason}"
            return module.PermissionResultDeny(message=message, interrupt=True)
        if not verdict.is_approved:
            return module.PermissionResultDeny(message=f"The tool call was denied: {verdict.reason}")
        self.release(key)
        return module.PermissionResultAllow(updated_input=dict(verdict.arguments) if verdict.is_modified else None)


def record(hub: Hub | HubThread, **settings: Any) -> ClaudeAgentSDKRecorder:
    """Record in a hub the sessions that have the recorder's options, and whose messages it observes.

    ``settings`` are those of :class:`~hubwire.runtimes.Recorder`. Called again for the same hub, it returns the same
    recorder.
    """
    imported("claude_agent_sdk", "claude_agent_sdk")

    def install(recorder: ClaudeAgentSDKRecorder) -> None:
        recorder._sessions = {}  # noqa: SLF001 - its own

    settings.setdefault("agent", "claude")
    return opened(hub, "claude-agent-sdk", install, kind=ClaudeAgentSDKRecorder, **settings)


def _block(block: Any) -> Any:
    if (text := getattr(block, "text", None)) is not None:
        return text
    fields = {name: getattr(block, name, None) for name in ("id", "name", "input")}
    return {name: value for name, value in fields.items() if value is not None}
