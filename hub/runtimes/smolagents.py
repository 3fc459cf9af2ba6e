"""smolagents: runs of its agents become events of a hub.

::

    recorder = smolagents.record(hub)  # all agents of this process, from now on

It captures runs with task and answer, calls of models with tokens, tool calls with arguments, results and errors, and
managed agents as part of the call that they were asked by; of a ``CodeAgent``, the tools that its code calls. While it
records, ``run``, ``execute_tool_call`` and ``Tool.__call__`` of smolagents are wrapped, and ``generate`` of the classes
of models: its callbacks come when a step is over, and know no beginnings, and not that a tool or a run has failed.

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import isfunction
from typing import Any
from uuid import uuid4

from .. import Hub, HubThread
from ..actors import Turn
from ._actors import AgentActor, Said, actor_by
from ._opening import check_agent, imported, opened
from ._smolagents_values import arguments_of, model_id_of, name_of, numbers_of, output_of, said_by, used_by
from .recorder import Recorder

__all__ = ("from_smolagents", "record")

_above: ContextVar[str | None] = ContextVar("hubwire.runtimes.smolagents.above", default=None)
"""The run or tool call that this code belongs to."""

_in_code: dict[int, list[str]] = {}
"""The runs whose code may call a tool or an agent now, by its id."""

_in_code_lock = threading.RLock()

_tool: ContextVar[Any] = ContextVar("hubwire.runtimes.smolagents.tool", default=None)
"""The tool that is being called: it calls itself inside of that."""

_model: ContextVar[Any] = ContextVar("hubwire.runtimes.smolagents.model", default=None)
"""The model that is being called."""


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
        self._lock = threading.RLock()
        self._recorders: tuple[Recorder, ...] = ()
        self._originals: list[tuple[type, str, Any, Any]] = []
        self._agents: dict[int, weakref.ref[Any]] = {}
        """Those that tell of their steps, by id: what hash and equality say is the program's."""

    @property
    def is_on(self) -> bool:
        return bool(self._recorders)

    def say(self, what: Callable[[Recorder], None]) -> None:
        for recorder in self._recorders:
            what(recorder)

    def read(self, look: Callable[..., Any], *args: Any) -> Any:
        """Return what a function reads of the program's objects; None if that fails: the run goes on."""
        try:
            return look(*args)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - an object of the program may raise anything when it is read
            for recorder in self._recorders:
                recorder.failed(look.__name__, error)
            return None

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
            for owner, name, original, wrapped in reversed(self._originals):
                if owner.__dict__.get(name) is wrapped:  # else another library has wrapped it after us
                    setattr(owner, name, original)
            self._originals.clear()

    def _wrap(self, owner: type, name: str, function: Callable[..., Any]) -> None:
        original = owner.__dict__[name]

        @functools.wraps(original)
        def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not _wraps.is_on:
                return original(self, *args, **kwargs)
            return function(original, self, *args, **kwargs)

        vars(wrapped)[_MARK] = True
        setattr(owner, name, wrapped)
        self._originals.append((owner, name, original, wrapped))

    def look_at(self, agent: Any) -> None:
        """Wrap the calls of the agent's model, and hear of its errors that are those of no call."""
        with self._lock:
            for name, function in (("generate", _generate), ("generate_stream", _generate_stream)):
                owner = next((each for each in type(agent.model).__mro__ if name in each.__dict__), None)
                method = None if owner is None else owner.__dict__[name]
                if owner is not None and isfunction(method) and not hasattr(method, _MARK):
                    self._wrap(owner, name, function)
            if id(agent) not in self._agents:
                memory = imported("smolagents.memory", "smolagents")
                agent.step_callbacks.register(memory.ActionStep, _stepped)
                known, key = self._agents, id(agent)
                known[key] = weakref.ref(agent, lambda _: known.pop(key, None))


_wraps = _Wraps()


_MARK = "_hubwire"
"""The attribute by which a method that is wrapped is known."""


# --- runs -----------------------------------------------------------------------------------------------------------


def _run(original: Any, agent: Any, task: Any, *args: Any, **kwargs: Any) -> Any:
    _wraps.read(_wraps.look_at, agent)
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
    answer = _wraps.read(output_of, result, result)
    _wraps.say(lambda to: to.end(key, answer))
    return result


@contextmanager
def _code_of(agent: Any, key: str) -> Iterator[None]:
    """Remember whose code calls the tools and the agents that an agent has, if it writes code."""
    used = _wraps.read(used_by, agent) or ()
    with _in_code_lock:
        for each in used:
            _in_code.setdefault(id(each), []).append(key)
    try:
        yield
    finally:
        with _in_code_lock:
            for each in used:
                keys = _in_code[id(each)]
                keys.remove(key)
                if not keys:
                    del _in_code[id(each)]


def _above_of(thing: Any) -> str | None:
    """Return what a call of a tool or an agent is part of. Code runs in threads that know nothing of its run."""
    if (above := _above.get()) is not None:
        return above
    with _in_code_lock:
        keys = _in_code.get(id(thing), ())
        return keys[0] if len(keys) == 1 else None  # several agents with this tool run now: it may be any one's


def _begun(agent: Any, task: Any) -> str:
    key, name = uuid4().hex, _wraps.read(name_of, agent)
    above = _above_of(agent)
    _wraps.say(lambda to: to.begin_turn(key, agent=name, parent=above, prompt=task))
    return key


def _streamed(steps: Iterator[Any], agent: Any, task: Any) -> Iterator[Any]:
    """Go through a run whose caller takes it step by step. It has begun when the first is taken."""
    key, answer = _begun(agent, task), None

    def seen(step: Any) -> None:
        nonlocal answer
        answer = output_of(step, answer)

    def moved(move: Callable[[], Any]) -> Any:
        token = _above.set(key)
        try:
            with _code_of(agent, key):
                return move()
        finally:
            _above.reset(token)

    yield from _through(steps, key, moved, seen)
    _wraps.say(lambda to: to.end(key, answer))


def _through(
    steps: Iterator[Any], key: str, moved: Callable[[Callable[[], Any]], Any], seen: Callable[[Any], None]
) -> Iterator[Any]:
    """Yield what another iterator does, and hand on to it what its caller throws; what it raises has failed."""
    move: Callable[[], Any] = functools.partial(next, steps)
    try:
        while True:
            try:
                step = moved(move)
            except StopIteration:
                return
            _wraps.read(seen, step)
            try:
                yield step
                move = functools.partial(next, steps)
            except GeneratorExit:
                _wraps.say(lambda to: to.fail(key, GeneratorExit()))
                if hasattr(steps, "close"):
                    steps.close()
                raise
            except BaseException as error:
                if not hasattr(steps, "throw"):
                    raise
                move = functools.partial(steps.throw, error)
    except BaseException as error:
        failure = error
        _wraps.say(lambda to: to.fail(key, failure))
        raise


def _stepped(step: Any, agent: Any = None) -> None:  # noqa: ARG001 - smolagents gives both to what takes two
    """An error of a step that is none of a tool: an answer that cannot be parsed, code that failed, too many steps."""
    _wraps.read(_told_error, step)


def _told_error(step: Any) -> None:
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
    arguments = _wraps.read(arguments_of, tool, args, kwargs)
    name = _wraps.read(name_of, tool) or "tool"
    return _as_call(lambda: original(tool, *args, **kwargs), tool, name, arguments)


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


def _generate(original: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
    if _model.get() is model:
        return original(model, *args, **kwargs)  # of its class, called by that of a class made of it
    key, token = _model_called(model, args, kwargs), _model.set(model)
    try:
        answer = original(model, *args, **kwargs)
    except BaseException as error:
        failure = error
        _wraps.say(lambda to: to.fail(key, failure))
        raise
    finally:
        _model.reset(token)
    said, numbers = _wraps.read(said_by, answer), _wraps.read(numbers_of, answer) or {}
    _wraps.say(lambda to: to.end(key, said, **numbers))
    return answer


def _generate_stream(original: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
    deltas = original(model, *args, **kwargs)
    return deltas if _model.get() is model else _deltas(deltas, model, args, kwargs)


def _deltas(deltas: Iterator[Any], model: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[Any]:
    key, texts, numbers = _model_called(model, args, kwargs), [], {}

    def seen(delta: Any) -> None:
        text = getattr(delta, "content", None)
        if isinstance(text, str):
            texts.append(text)
            _wraps.say(lambda to: to.stream(key, text))
        if getattr(delta, "token_usage", None):
            numbers.update(numbers_of(delta))

    def moved(move: Callable[[], Any]) -> Any:
        token = _model.set(model)
        try:
            return move()
        finally:
            _model.reset(token)

    yield from _through(deltas, key, moved, seen)
    _wraps.say(lambda to: to.end(key, "".join(texts), **numbers))


def _model_called(model: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    key, above, name = uuid4().hex, _above.get(), _wraps.read(model_id_of, model) or ""
    messages = args[0] if args else kwargs.get("messages")
    _wraps.say(lambda to: to.begin_model(key, name, parent=above, request=messages))
    return key
