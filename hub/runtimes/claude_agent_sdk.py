"""Claude Agent SDK: sessions of Claude Code that a program runs become events of a hub.

::

    recorder = claude_agent_sdk.record(hub)
    options = recorder.options(ClaudeAgentOptions(model="sonnet"))
    async for message in recorder.observed(query(prompt="mend the build", options=options)):
        ...

:meth:`~ClaudeAgentSDKRecorder.options` returns a copy of the options with hooks that tell what Claude Code does, after
those that are there: prompts, tool calls with arguments, results and errors, subagents, and the end of each turn. With
``asks=True`` the hub answers whether a tool may be used, instead of ``can_use_tool``; what a ``can_use_tool`` of the
program's own answers is recorded as a verdict. :meth:`~ClaudeAgentSDKRecorder.observed` passes messages on, and takes
answers of models, tokens and cost from them.

What Claude Code shows to no hook and no message: when a call of a model begins (it is recorded when its answer comes),
how many tokens each answer has unless ``include_partial_messages`` is set (the turn has their sum), and whether a call
that was announced is being made. So a call is recorded as called when it was approved, or has ended, or is under way
for five seconds in a session that bypasses permissions; and one that was refused is not recorded.

Tested with claude-agent-sdk 0.2.189: on a transport of its protocol, and with the Claude Code 2.1.332 that is in its
wheel, against a server on loopback.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace  # of the SDK's own class
from typing import Any, Final, TypeVar

from .. import Hub, HubThread
from ..actors import Turn
from ..errors import ConfigurationError
from ..events._shown import is_a, shown
from ._actors import AgentActor, Said, actor_by
from ._claude_session import Session
from ._opening import imported, opened
from ._questions import denial_of
from .recorder import Recorder

__all__ = ("ClaudeAgentSDKRecorder", "from_claude_agent_sdk", "record")

T = TypeVar("T")

_HOOKS: Final = (
    "UserPromptSubmit",
    "PreToolUse",
    "PostToolUse",
    "PostToolUseFailure",
    "SubagentStart",
    "SubagentStop",
    "Stop",
    "StopFailure",
)

_SESSIONS_MAX: Final = 10_000

_OF_A_CLIENT: Final = ("receive_response", "receive_messages")
"""What the program may leave without an end of Claude Code's."""


class ClaudeAgentSDKRecorder(Recorder):
    """A recorder with what the options and messages of the Claude Agent SDK are given to."""

    _sessions: dict[str, Session]

    def options(self, options: Any = None, *, asks: bool = False) -> Any:
        """Return a copy of ``ClaudeAgentOptions`` with hooks that record; those that are there come first.

        ``asks``: the hub answers what ``can_use_tool`` would be asked, which must not be given then. A denial carries
        its reason to the model. When the recorder is closed the hooks do nothing, and the hub approves nothing.

        Raises :class:`~hubwire.errors.ConfigurationError` for what are no options, and for ``asks`` with a
        ``can_use_tool`` or a ``permission_prompt_tool_name`` that is there.
        """
        module: Any = imported("claude_agent_sdk", "claude_agent_sdk")
        options = module.ClaudeAgentOptions() if options is None else options
        if not is_a(options, module.ClaudeAgentOptions):
            raise ConfigurationError(f"options() takes ClaudeAgentOptions, not {shown(options)}")
        if type(asks) is not bool:
            raise ConfigurationError(f"asks is True or False, not {shown(asks)}")
        there = options.can_use_tool
        is_asked = isinstance(there, _Asking) and there.recorder is self
        if asks and not is_asked and (there is not None or options.permission_prompt_tool_name):
            name = "can_use_tool" if there is not None else "permission_prompt_tool_name"
            raise ConfigurationError(f"the hub is asked instead of {name}: leave it out, or leave out asks=True")
        before = {name: list(matchers) for name, matchers in (options.hooks or {}).items()}
        if any(isinstance(hook, _Hook) and hook.recorder is self for hook in _hooks_of(before, "PreToolUse")):
            hooks = before
        else:
            is_free = there is None and not asks and not _hooks_of(before, "PreToolUse")
            ours = module.HookMatcher(hooks=[_Hook(self, is_free=is_free)])
            hooks = {**before, **{name: [*before.get(name, ()), ours] for name in _HOOKS}}
        changed: dict[str, Any] = {"hooks": hooks}
        if not is_asked and (asks or there is not None):
            changed["can_use_tool"] = _Asking(self, there)
        return replace(options, **changed)

    def observed(self, messages: AsyncIterator[T]) -> AsyncIterator[T]:
        """Pass on the messages of ``query()`` or ``client.receive_response()``, and record what they tell."""
        if not hasattr(type(messages), "__anext__"):
            raise ConfigurationError(f"observed() takes what query() returns, not {shown(messages)}")
        return self._observed(messages)

    async def _observed(self, messages: AsyncIterator[T]) -> AsyncIterator[T]:
        session: Session | None = None
        try:
            async for message in messages:
                if not self.is_closed:
                    session = self._read(session, message)
                yield message
        except BaseException as error:
            self._left(session, error, messages)
            raise
        else:
            self._left(session, None, messages)
        finally:
            if (aclose := getattr(messages, "aclose", None)) is not None:
                await aclose()

    def _read(self, session: Session | None, message: Any) -> Session | None:
        try:
            data = getattr(message, "data", None)
            session_id = getattr(message, "session_id", None) or (data or {}).get("session_id")
            if session_id is not None:
                session = self._session(session_id)
                session.read(message)
            elif session is not None and type(message).__name__ == "UserMessage":
                session.results(message)
        except Exception as error:  # noqa: BLE001 - the host goes on
            self.failed("observed", error)
        return session

    def _left(self, session: Session | None, error: BaseException | None, messages: Any) -> None:
        is_left = error is None or isinstance(error, GeneratorExit) or type(error).__name__ == "CancelledError"
        has_ended = not is_left or getattr(messages, "__name__", "") not in _OF_A_CLIENT
        if error is None and not has_ended:
            return  # a client's answer is whole, and the next one is read as well
        try:
            if session is not None:
                session.left(error, has_ended=has_ended)
        except Exception as again:  # noqa: BLE001 - as above
            self.failed("observed", again)

    def _session(self, session_id: Any) -> Session:
        sessions, session_id = self._sessions, str(session_id)
        if (there := sessions.get(session_id)) is None:
            there = sessions[session_id] = Session(self, session_id)
            if len(sessions) > _SESSIONS_MAX:
                sessions.pop(next(iter(sessions)), None)
        return there

    def _call(self, call_id: Any) -> tuple[Session, str, str] | None:
        """Return the session and the keys of a call that was announced."""
        for session in reversed(tuple(self._sessions.values())):
            if (keys := session.asked_about(call_id)) is not None:
                return session, *keys
        return None


class _Hook:
    """A hook that tells a recorder, and has no say in what happens."""

    def __init__(self, recorder: ClaudeAgentSDKRecorder, *, is_free: bool) -> None:
        self.recorder = recorder
        self._is_free = is_free

    async def __call__(self, given: Any, tool_use_id: Any, context: Any) -> dict[str, Any]:  # noqa: ARG002
        recorder = self.recorder
        if not recorder.is_closed:
            try:
                recorder._session(given.get("session_id")).hear(given, is_free=self._is_free)  # noqa: SLF001
            except Exception as error:  # noqa: BLE001 - Claude Code would be told that its hook has failed
                recorder.failed("hook", error)
        return {}


class _Asking:
    """Answers whether a tool may be used: as the program does, or as the hub does."""

    def __init__(self, recorder: ClaudeAgentSDKRecorder, host: Any) -> None:
        self.recorder = recorder
        self._host = host

    async def __call__(self, tool: str, arguments: dict[str, Any], context: Any) -> Any:
        if self._host is None:
            return await self._decided(tool, arguments, context)
        answer = await self._host(tool, arguments, context)
        if not self.recorder.is_closed:
            try:
                self._answered(tool, arguments, context, answer)
            except Exception as error:  # noqa: BLE001 - the program has answered
                self.recorder.failed("can_use_tool", error)
        return answer

    def _answered(self, tool: str, arguments: Any, context: Any, answer: Any) -> None:
        recorder, call_id = self.recorder, getattr(context, "tool_use_id", None)
        behavior = getattr(answer, "behavior", None)
        if (call := recorder._call(call_id)) is None or behavior not in ("allow", "deny"):  # noqa: SLF001
            return
        session, key, parent = call
        is_passed = behavior == "allow"
        said = {"is_passed": is_passed, "approver": "program", "reason": str(getattr(answer, "message", "") or "")}
        recorder.record_verdict(key, tool, arguments=arguments, parent=parent, **said)
        if is_passed:
            recorder.release(key)
        else:
            session.refused(str(call_id))

    async def _decided(self, tool: str, arguments: Any, context: Any) -> Any:
        module: Any = imported("claude_agent_sdk", "claude_agent_sdk")
        recorder, call_id = self.recorder, getattr(context, "tool_use_id", None)
        if not call_id:
            return module.PermissionResultDeny(message="Claude Code does not say which call it asks about")
        call = recorder._call(call_id)  # noqa: SLF001
        key, parent = (f"call:{call_id}", None) if call is None else call[1:]
        verdict = await recorder.decide(key, tool, arguments, parent=parent)
        if not verdict.is_approved and not verdict.approval_id:
            if call is not None:
                call[0].refused(call_id)
            message = f"The tool call was not made, because its approval could not be asked for: {verdict.reason}"
            return module.PermissionResultDeny(message=message, interrupt=True)
        denial = denial_of(verdict, may_repeat=False, takes_arguments=True)
        if denial is None and verdict.is_modified and not is_a(verdict.arguments, dict):
            denial = "The tool call was approved with arguments that are no JSON object."
        if denial is not None:
            if call is not None:
                call[0].refused(call_id)
            return module.PermissionResultDeny(message=denial)
        if call is not None:
            recorder.release(key)
        return module.PermissionResultAllow(updated_input=dict(verdict.arguments) if verdict.is_modified else None)


def record(hub: Hub | HubThread, **settings: Any) -> ClaudeAgentSDKRecorder:
    """Record in a hub the sessions that have the recorder's options, and whose messages it observes.

    ``settings`` are those of :class:`~hubwire.runtimes.Recorder`. Called again for the same hub, it returns the same
    recorder, and refuses other settings.
    """
    imported("claude_agent_sdk", "claude_agent_sdk")

    def install(recorder: ClaudeAgentSDKRecorder) -> None:
        recorder._sessions = {}  # noqa: SLF001 - its own

    return opened(hub, "claude-agent-sdk", install, settings, kind=ClaudeAgentSDKRecorder, defaults={"agent": "claude"})


def from_claude_agent_sdk(
    options: Any = None,
    *,
    name: str = "claude",
    recorder: ClaudeAgentSDKRecorder | None = None,
    **settings: Any,
) -> AgentActor:
    """Return an actor that answers with Claude Code: ``await hub.spawn(from_claude_agent_sdk(options))``.

    Each answer is a session of its own, which is told the history of the channel with the question. With ``recorder``
    it is recorded, with options that :meth:`ClaudeAgentSDKRecorder.options` has returned or not; where the hub is to be
    asked, make them with ``asks=True``. ``settings`` are those of :class:`~hubwire.runtimes.AgentActor`.
    """
    module: Any = imported("claude_agent_sdk", "claude_agent_sdk")
    if options is not None and not is_a(options, module.ClaudeAgentOptions):
        raise ConfigurationError(f"from_claude_agent_sdk() takes ClaudeAgentOptions, not {shown(options)}")
    if recorder is not None and not is_a(recorder, ClaudeAgentSDKRecorder):
        raise ConfigurationError(f"recorder is what claude_agent_sdk.record() returns, not {shown(recorder)}")
    if recorder is not None:
        options = recorder.options(options)

    async def answer(said: str, history: Sequence[Said], turn: Turn) -> Any:  # noqa: ARG001 - as all answers
        messages = module.query(prompt=_prompts(_with_history(said, history)), options=options)
        result: Any = None
        async for message in messages if recorder is None else recorder.observed(messages):
            if is_a(message, module.ResultMessage):
                result = message  # the last: what runs in the background may end after the first
        if result is None or result.is_error:
            raise RuntimeError(f"Claude Code has not answered: {getattr(result, 'result', None) or 'it has ended'}")
        return result.result

    return actor_by("from_claude_agent_sdk", name, answer, settings)


async def _prompts(prompt: str) -> AsyncIterator[dict[str, Any]]:
    yield {"type": "user", "message": {"role": "user", "content": prompt}}


def _with_history(said: str, history: Sequence[Said]) -> str:
    """Return a prompt that begins with what was said before: a session of Claude Code cannot be given messages."""
    if not history:
        return said
    before = "\n".join(f"{'You' if each.is_own else each.name}: {each.text}" for each in history)
    return f"What was said in this conversation before:\n\n{before}\n\nAnswer this:\n\n{said}"


def _hooks_of(hooks: dict[str, list[Any]], name: str) -> list[Any]:
    return [hook for matcher in hooks.get(name, ()) for hook in getattr(matcher, "hooks", ())]
