"""Where openai-agents is watched: the list of its trace processors, and its default runner, which gives hooks."""

from __future__ import annotations

import hashlib
import json
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from ._capture import short_text
from ._openai_agents import Watch
from ._openai_seen import Run, parsed, run_of_here, together
from ._opening import imported
from .recorder import Recorder

__all__ = ("install", "question_of", "status_of", "trace_of")


class WatchedRunner:
    """The runtime's default runner, with hooks added. What runs, and what it returns and raises, is the inner one's."""

    def __init__(self, inner: Any, watch: Watch) -> None:
        self.inner = inner
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def run(self, starting_agent: Any, input: Any, **options: Any) -> Any:  # noqa: A002 - the runtime's name
        entered = self._enter(input, options)
        try:
            return await self.inner.run(starting_agent, input, **options)
        finally:
            _leave(entered)

    def run_sync(self, starting_agent: Any, input: Any, **options: Any) -> Any:  # noqa: A002
        entered = self._enter(input, options)
        try:
            return self.inner.run_sync(starting_agent, input, **options)
        finally:
            _leave(entered)

    def run_streamed(self, starting_agent: Any, input: Any, **options: Any) -> Any:  # noqa: A002
        entered = self._enter(input, options)
        try:
            result = self.inner.run_streamed(starting_agent, input, **options)
            if entered is not None and (run := run_of_here.get()) is not None:
                with suppress(TypeError):  # what a runner of the host's own returns may be no object for it
                    run.streamed = weakref.ref(result)
            return result
        finally:
            _leave(entered)

    def _enter(self, said: Any, options: dict[str, Any]) -> Any:
        """Note what a run is asked, and add hooks to its options; return what :func:`_leave` takes."""
        _drop_closed()
        if not self._watch.recorders:
            return None
        try:
            _register(self._watch)
            is_resumed = hasattr(said, "get_interruptions")
            run = _run_of(said, options, is_resumed=is_resumed)
            if is_resumed:
                self._verdicts(said)
            options["hooks"] = _with_hooks(self._watch, options.get("hooks"))
            return run_of_here.set(run)
        except Exception as error:  # noqa: BLE001 - what is wrong with the options, the inner runner is to say
            for recorder in self._watch.recorders:
                recorder.failed("run", error)
            return None

    def _verdicts(self, state: Any) -> None:
        """Record what the host has decided by itself of that for which the run waited."""
        for item in state.get_interruptions():
            is_passed, reason = status_of(state, item)
            if is_passed is None:
                continue
            question = question_of(state, item)
            with together(trace_of(state)):
                for recorder in self._watch.recorders:
                    recorder.record_verdict(**question, is_passed=is_passed, reason=reason)


def _leave(entered: Any) -> None:
    if entered is None:
        return
    try:
        run_of_here.reset(entered)
    except ValueError:
        pass  # a coroutine that was dropped is closed in another context


def _run_of(said: Any, options: dict[str, Any], *, is_resumed: bool) -> Run:
    config = options.get("run_config")
    if isinstance(config, dict):
        is_quiet, model = config.get("trace_include_sensitive_data") is False, config.get("model")
    elif config is None:
        is_quiet, model = not imported("agents", "openai_agents").RunConfig().trace_include_sensitive_data, None
    else:
        is_quiet, model = not config.trace_include_sensitive_data, config.model
    session = short_text(getattr(options.get("session"), "session_id", None)) or options.get("conversation_id")
    return Run(
        prompt=None if is_resumed else said,
        session=session or None,
        model=model,
        is_quiet=is_quiet,
        is_resumed=is_resumed,
    )


# -- what waits for approval --


def trace_of(state: Any) -> str:
    """Return the id of the trace that a suspended run belongs to: it is the same in another process."""
    return short_text(getattr(getattr(state, "_trace_state", None), "trace_id", None))


def question_of(state: Any, item: Any) -> dict[str, Any]:
    """Return what the hub is asked about a call that waits. The key is that of this call, with these arguments."""
    name, arguments = short_text(item.name, default="tool"), item.arguments
    call_id = str(item.call_id or "")
    agent = short_text(getattr(item.agent, "name", None), default="agent")
    whole = json.dumps([trace_of(state) or _input_of(state), agent, name, call_id, arguments], default=str)
    digest = hashlib.sha256(whole.encode(errors="backslashreplace")).hexdigest()
    return {"key": f"{call_id[:60]}:{digest[:40]}", "action": name, "arguments": parsed(arguments), "agent": agent}


def status_of(state: Any, item: Any) -> tuple[bool | None, str]:
    """Return what the host has decided about a call that waits, and why; None while it has not."""
    context = getattr(state, "_context", None)
    if context is None:
        return None, ""
    is_passed = context.is_tool_approved(item.name, item.call_id)
    if is_passed is not False:
        return is_passed, ""
    return False, context.get_rejection_message(item.name, item.call_id, existing_pending=item) or ""


def _input_of(state: Any) -> Any:
    """Return what tells a run from others that has no trace: what it was asked, and what its models have answered."""
    answers = [getattr(each, "response_id", None) for each in getattr(state, "_model_responses", ())]
    return [getattr(state, "_original_input", None), answers]


# -- hooks --


class _Hooks:
    """Tells the watch, and calls the hooks that the host has given: first these where a call is about to be made."""

    def __init__(self, watch: Watch, inner: Any) -> None:
        self._watch = watch
        self._inner = inner

    async def on_llm_start(self, context: Any, agent: Any, system_prompt: Any, input_items: Any) -> None:
        if self._inner is not None:
            await self._inner.on_llm_start(context, agent, system_prompt, input_items)
        self._watch.model_started(agent, input_items)

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        self._watch.model_ended(response)
        if self._inner is not None:
            await self._inner.on_llm_end(context, agent, response)

    async def on_agent_end(self, context: Any, agent: Any, output: Any) -> None:
        self._watch.agent_ended(output)
        if self._inner is not None:
            await self._inner.on_agent_end(context, agent, output)

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        if self._inner is not None:
            await self._inner.on_tool_start(context, agent, tool)
        self._watch.tool_started(context, agent, tool)

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
        self._watch.tool_ended(tool, result)
        if self._inner is not None:
            await self._inner.on_tool_end(context, agent, tool, result)


@cache
def _hooks_class() -> Any:
    """Return the class of hooks that the runtime takes; those that this file does not know are the host's alone."""
    base: Any = imported("agents.lifecycle", "openai_agents").RunHooksBase

    def passed_on(name: str) -> Callable[..., Awaitable[None]]:
        async def call(self: Any, *args: Any, **kwargs: Any) -> None:
            if self._inner is not None:
                await getattr(self._inner, name)(*args, **kwargs)

        return call

    others = [name for name in dir(base) if name.startswith("on_") and not hasattr(_Hooks, name)]
    return type("RecordedRunHooks", (_Hooks, base), {name: passed_on(name) for name in others})


def _with_hooks(watch: Watch, inner: Any) -> Any:
    base: Any = imported("agents.lifecycle", "openai_agents").RunHooksBase
    if isinstance(inner, _Hooks):
        return inner  # a runner that was put around this one has passed it on to another of this
    if inner is None or isinstance(inner, base):
        return _hooks_class()(watch, inner)
    return inner  # which the runtime refuses


# -- putting it in, and taking it away --


@cache
def _watch() -> Watch:
    return Watch()


def install(recorder: Recorder) -> Callable[[], None]:
    """Let a recorder be told of all runs; return what ends that."""
    run: Any = imported("agents.run", "openai_agents")
    watch = _watch()
    with watch.lock:
        watch.recorders += (recorder,)
        _register(watch)
        if not isinstance(run.get_default_agent_runner(), WatchedRunner):
            run.set_default_agent_runner(WatchedRunner(run.get_default_agent_runner(), watch))
    return lambda: _uninstall(recorder)


def _uninstall(*recorders: Recorder) -> None:
    run: Any = imported("agents.run", "openai_agents")
    watch = _watch()
    with watch.lock:
        watch.recorders = tuple(each for each in watch.recorders if each not in recorders)
        if watch.recorders:
            return
        watch.forget()
        runner = run.get_default_agent_runner()
        if isinstance(runner, WatchedRunner):  # another may have been put around it: then it stays, and does nothing
            run.set_default_agent_runner(runner.inner)
        provider, processors = _processors()
        if isinstance(processors, tuple):
            provider.set_processors([each for each in processors if each is not watch])


def _register(watch: Watch) -> None:
    """Be in the list of processors: ``set_trace_processors`` of the host replaces all that were there."""
    provider, processors = _processors()
    if watch in processors:
        return
    with watch.lock:
        provider, processors = _processors()
        if watch not in processors:
            provider.register_processor(watch)
            if isinstance(processors, list):
                processors.append(watch)


def _drop_closed() -> None:
    """Let go of recorders whose hub has ended without their being closed."""
    if closed := [each for each in _watch().recorders if each.is_closed]:
        _uninstall(*closed)


_given: WeakKeyDictionary[Any, list[Any]] = WeakKeyDictionary()
"""What a provider of the host's own was given, which shows no list of what it has."""


def _processors() -> tuple[Any, tuple[Any, ...] | list[Any]]:
    provider = imported("agents.tracing", "openai_agents").get_trace_provider()
    processors = getattr(getattr(provider, "_multi_processor", None), "_processors", None)
    return provider, processors if isinstance(processors, tuple) else _given.setdefault(provider, [])
