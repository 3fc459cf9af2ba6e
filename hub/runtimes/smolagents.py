"""smolagents: runs of its agents become events of a hub.

::

    recorder = smolagents.record(hub)  # all agents of this process, from now on

It captures runs with task and answer, calls of models with tokens, tool calls with arguments, results and errors, and
managed agents as part of the call that they were asked by; of a ``CodeAgent``, the tools that its code calls. While it
records, ``run``, ``execute_tool_call`` and ``Tool.__call__`` of smolagents are wrapped, because its callbacks come when
a step is over: they know no beginnings, nothing of a tool that failed, and not that a run has failed.

What smolagents shows to nobody: that a tool was stopped by ``interrupt()``, which waits for it, and attempts that a
model's client makes again; and of a tool object that two agents with code use at once, whose call it is, so those are
left out. The code of a ``CodeAgent`` is in the answer of its model, and is no tool call. It has no
approvals and no hand-overs. An agent holds its run in itself, so one agent cannot run twice at a time.

Tested with smolagents 1.23 and 1.26.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

from .. import Hub, HubThread
from ..actors import Turn
from ._actors import AgentActor, Said, actor_by
from ._opening import check_agent, imported, opened
from .recorder import Recorder

__all__ = ("from_smolagents", "record")

_above: ContextVar[str | None] = ContextVar("hubwire.runtimes.smolagents.above", default=None)
"""The run or tool call that this code belongs to."""

_in_code: dict[int, list[str]] = {}
"""The runs whose code may call a tool or an agent now, by its id."""

_tool: ContextVar[Any] = ContextVar("hubwire.runtimes.smolagents.tool", default=None)
"""The tool that is being called: it calls itself inside of that."""


def record(hub: Hub | HubThread, **settings: Any) -> Recorder:
    """Record in a hub what all agents of this process do.

    ``settings`` are those of :class:`~hubwire.runtimes.Recorder`. Called again for the same hub, it returns the same
    recorder, and refuses other settings.
    """
    agents, tools = imported("smolagents.agents", "smolagents"), imported("smolagents.tools", "smolagents")

    def install(recorder: Recorder) -> Callable[[], None]:
        _wraps.add(recorder, agents, tools)
        return lambda: _wraps.remove(recorder)

    recorder: Recorder = opened(hub, "smolagents", install, settings)
    return recorder


def from_smolagents(agent: Any, *, name: str | None = None, **settings: Any) -> AgentActor:
    """Return an actor that answers with an agent: ``await hub.spawn(from_smolagents(agent))``.

    ``name`` is that of the agent by default, and ``settings`` are those of
    :class:`~hubwire.runtimes.AgentActor`. The agent runs in a thread, one run after the other, and its memory is
    replaced by the history of the channel.
    """
    memory, monitoring = imported("smolagents.memory", "smolagents"), imported("smolagents.monitoring", "smolagents")
    running = threading.Lock()
    check_agent("from_smolagents", agent, "an agent of smolagents", has=("run", "memory"))

    def answer(said: str, history: Sequence[Said], turn: Turn) -> Any:  # noqa: ARG001 - as all answers
        steps: list[Any] = []
        for each in history:
            if each.is_own:
                timing = monitoring.Timing(start_time=0.0, end_time=0.0)
                steps.append(memory.ActionStep(step_number=len(steps), timing=timing, model_output=each.text))
            else:
                steps.append(memory.TaskStep(task=f"{each.name}: {each.text}"))
        with running:
            agent.memory.steps = steps
            token = _above.set(None)
            try:
                return agent.run(said, reset=False)
            finally:
                _above.reset(token)

    return actor_by("from_smolagents", name or getattr(agent, "name", None) or "agent", answer, settings)


class _Wraps:
    """What is wrapped while there are recorders, and the recorders."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recorders: tuple[Recorder, ...] = ()
        self._originals: list[tuple[type, str, Any, Any]] = []
        self._models: weakref.WeakSet[Any] = weakref.WeakSet()
        self._agents: weakref.WeakSet[Any] = weakref.WeakSet()

    @property
    def is_on(self) -> bool:
        return bool(self._recorders)

    def say(self, what: Callable[[Recorder], None]) -> None:
        for recorder in self._recorders:
            what(recorder)

    def add(self, recorder: Recorder, agents: Any, tools: Any) -> None:
        with self._lock:
            if not self._recorders:
                self._wrap(agents.MultiStepAgent, "run", _run)
                self._wrap(agents.ToolCallingAgent, "execute_tool_call", _execute)
                self._wrap(tools.Tool, "__call__", _called)
            self._recorders += (recorder,)

    def remove(self, recorder: Recorder) -> None:
        with self._lock:
            self._recorders = tuple(each for each in self._recorders if each is not recorder)
            if self._recorders:
                return
            for owner, name, original, wrapped in self._originals:
                if owner.__dict__.get(name) is wrapped:  # else another library has wrapped it after us
                    setattr(owner, name, original)
            self._originals.clear()
            for model in list(self._models):
                for name in ("generate", "generate_stream"):
                    if hasattr(vars(model).get(name), _MARK):
                        delattr(model, name)
            self._models.clear()

    def _wrap(self, owner: type, name: str, function: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not _wraps.is_on:
                return original(self, *args, **kwargs)
            return function(original, self, *args, **kwargs)

        self._originals.append((owner, name, original, wrapped))
        setattr(owner, name, wrapped)

    def look_at(self, agent: Any) -> None:
        """Wrap the calls of the agent's model, and hear of its errors that are those of no call."""
        model = getattr(agent, "model", None)
        try:
            with self._lock:
                if model is not None and model not in self._models:
                    for name, function in (("generate", _generate), ("generate_stream", _generate_stream)):
                        if hasattr(model, name):
                            setattr(model, name, _bound(getattr(model, name), model, function))
                    self._models.add(model)
                if agent not in self._agents:
                    memory = imported("smolagents.memory", "smolagents")
                    agent.step_callbacks.register(memory.ActionStep, _stepped)
                    self._agents.add(agent)
        except (AttributeError, TypeError):
            pass  # a model whose attributes are fixed: its calls are not shown


_wraps = _Wraps()


_MARK = "_hubwire"
"""The attribute by which a wrapped method of a model is found again."""


def _bound(original: Callable[..., Any], model: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    weak = weakref.ref(model)

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if not _wraps.is_on:
            return original(*args, **kwargs)
        return function(original, weak(), *args, **kwargs)

    vars(wrapped)[_MARK] = True
    return wrapped


# --- runs -----------------------------------------------------------------------------------------------------------


def _run(original: Any, agent: Any, task: Any, *args: Any, **kwargs: Any) -> Any:
    _wraps.look_at(agent)
    if args[0] if args else kwargs.get("stream"):
        return _streamed(original(agent, task, *args, **kwargs), agent, task)
    key = _begun(agent, task)
    token = _above.set(key)
    try:
        with _code_of(agent, key):
            result = original(agent, task, *args, **kwargs)
    except BaseException as error:
        failure = error
        _wraps.say(lambda to: to.fail(key, failure))
        raise
    finally:
        _above.reset(token)
    _wraps.say(lambda to: to.end(key, getattr(result, "output", result)))
    return result


@contextmanager
def _code_of(agent: Any, key: str) -> Iterator[None]:
    """Remember whose code calls the tools and the agents that an agent has, if it writes code."""
    used = [*agent.tools.values(), *agent.managed_agents.values()] if hasattr(agent, "python_executor") else ()
    for each in used:
        _in_code.setdefault(id(each), []).append(key)
    try:
        yield
    finally:
        for each in used:
            keys = _in_code.get(id(each), [])
            keys.remove(key)
            if not keys:
                _in_code.pop(id(each), None)


def _above_of(thing: Any) -> str | None:
    """Return what a call of a tool or an agent is part of. Code runs in threads that know nothing of its run."""
    if (above := _above.get()) is not None:
        return above
    keys = _in_code.get(id(thing), ())
    return keys[0] if len(keys) == 1 else None  # several agents with this tool run now: it may be any one's


def _begun(agent: Any, task: Any) -> str:
    key, name = uuid4().hex, getattr(agent, "name", None)
    above = _above_of(agent)
    _wraps.say(lambda to: to.begin_turn(key, agent=name, parent=above, prompt=task))
    return key


def _streamed(steps: Iterator[Any], agent: Any, task: Any) -> Iterator[Any]:
    """Go through a run whose caller takes it step by step. It has begun when the first is taken."""
    key, answer = _begun(agent, task), None
    try:
        while True:
            token = _above.set(key)
            try:
                with _code_of(agent, key):
                    step = next(steps)
            except StopIteration:
                break
            finally:
                _above.reset(token)
            answer = getattr(step, "output", answer)
            yield step
    except BaseException as error:
        failure = error
        _wraps.say(lambda to: to.fail(key, failure))
        raise
    finally:
        steps.close()  # type: ignore[attr-defined]  # it is a generator
    _wraps.say(lambda to: to.end(key, answer))


def _stepped(step: Any, agent: Any = None) -> None:  # noqa: ARG001 - smolagents gives both to what takes two
    """An error of a step that is none of a tool: an answer that cannot be parsed, code that failed, too many steps."""
    error, above = getattr(step, "error", None), _above.get()
    if error is not None and type(error).__name__ not in ("AgentToolCallError", "AgentToolExecutionError"):
        _wraps.say(lambda to: to.error(error, parent=above))


# --- tools ----------------------------------------------------------------------------------------------------------


def _execute(original: Any, agent: Any, tool_name: Any, arguments: Any, *args: Any, **kwargs: Any) -> Any:
    known = {**agent.tools, **agent.managed_agents}.get(tool_name)
    if known is None:
        return original(agent, tool_name, arguments, *args, **kwargs)  # it raises: there is no such tool to call
    return _as_call(lambda: original(agent, tool_name, arguments, *args, **kwargs), known, tool_name, arguments)


def _called(original: Any, tool: Any, *args: Any, **kwargs: Any) -> Any:
    if _tool.get() is tool or _above_of(tool) is None:
        return original(tool, *args, **kwargs)  # it is recorded already, or called by no agent
    given = {name: value for name, value in kwargs.items() if name != "sanitize_inputs_outputs"}
    arguments = {**dict(zip(getattr(tool, "inputs", ()), args, strict=False)), **given}
    return _as_call(lambda: original(tool, *args, **kwargs), tool, getattr(tool, "name", "tool"), arguments)


def _as_call(work: Callable[[], Any], tool: Any, name: Any, arguments: Any) -> Any:
    key, above = uuid4().hex, _above_of(tool)
    _wraps.say(lambda to: to.begin_tool(key, name, parent=above, arguments=arguments))
    place, being_called = _above.set(key), _tool.set(tool)
    try:
        result = work()
    except BaseException as error:
        failure = error.__cause__ if type(error).__name__.startswith("AgentTool") and error.__cause__ else error
        _wraps.say(lambda to: to.fail(key, failure))
        raise
    finally:
        _tool.reset(being_called)
        _above.reset(place)
    _wraps.say(lambda to: to.end(key, result))
    return result


# --- models ---------------------------------------------------------------------------------------------------------


def _generate(original: Any, model: Any, messages: Any, *args: Any, **kwargs: Any) -> Any:
    key = _model_called(model, messages)
    try:
        answer = original(messages, *args, **kwargs)
    except BaseException as error:
        failure = error
        _wraps.say(lambda to: to.fail(key, failure))
        raise
    usage = getattr(answer, "token_usage", None)
    _model_answered(key, _said(answer), usage)
    return answer


def _generate_stream(original: Any, model: Any, messages: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
    key, texts, usage = _model_called(model, messages), [], None
    try:
        for delta in original(messages, *args, **kwargs):
            text = getattr(delta, "content", None)
            if isinstance(text, str):
                texts.append(text)
                _wraps.say(lambda to, text=text: to.stream(key, text))  # type: ignore[misc]
            usage = getattr(delta, "token_usage", None) or usage
            yield delta
    except BaseException as error:
        failure = error
        _wraps.say(lambda to: to.fail(key, failure))
        raise
    _model_answered(key, "".join(texts), usage)


def _model_called(model: Any, messages: Any) -> str:
    key, above, name = uuid4().hex, _above.get(), getattr(model, "model_id", None) or ""
    _wraps.say(lambda to: to.begin_model(key, name, parent=above, request=messages))
    return key


def _model_answered(key: str, answer: Any, usage: Any) -> None:
    numbers = {name: getattr(usage, name, None) for name in ("input_tokens", "output_tokens")}
    _wraps.say(lambda to: to.end(key, answer, **numbers))


def _said(answer: Any) -> Any:
    calls = [
        {"tool": getattr(call.function, "name", ""), "arguments": getattr(call.function, "arguments", None)}
        for call in getattr(answer, "tool_calls", None) or ()
        if hasattr(call, "function")
    ]
    content = getattr(answer, "content", None)
    if not calls:
        return content
    return calls if content is None else [content, *calls]
