"""The callback handler of LangChain and LangGraph: one for all recorders.

LangChain asks a hook for a handler whenever a run is configured, and passes that on to all that the run calls, in any
thread. The hook gives none while there is no recorder. The handler is sync and runs in the code that calls it, so
order is kept; it is none of those that switch on streaming.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from .. import Hub, HubThread
from ..errors import ConfigurationError
from ..events._shown import is_a
from ._capture import captured
from ._langchain_runs import Following
from ._langgraph_checkpoints import telling_of
from ._opening import imported, opened, reopened
from ._settings import hub_of
from .recorder import Recorder

__all__ = ("checkpoints_of", "correlation_of", "following")


class _Hook:
    """What LangChain asks for a handler: it has the method of a ``ContextVar`` that is called, for all contexts."""

    def __init__(self) -> None:
        self.followings: tuple[Following, ...] = ()
        self.handler: Any = None
        self.lock: Final = threading.RLock()

    def get(self) -> Any:
        """Return the handler; None while nothing is recorded."""
        for each in self.followings:
            if not each.recorder.is_closed:
                return self.handler
        return None

    def add(self, following: Following) -> Callable[[], None]:
        with self.lock:
            if self.handler is None:
                self.handler = _handler()
                context = imported("langchain_core.tracers.context", "langchain")
                context.register_configure_hook(self, inheritable=True)
            rest = tuple(each for each in self.followings if not each.recorder.is_closed)
            self.followings = (*rest, following)
        return functools.partial(self.remove, following)

    def remove(self, following: Following) -> None:
        with self.lock:
            self.followings = tuple(each for each in self.followings if each is not following)

    def find(self, hub: Hub) -> Recorder | None:
        for each in self.followings:
            if each.recorder.hub is hub and not each.recorder.is_closed:
                return each.recorder
        return None

    def tell(self, method: Callable[..., None], *args: Any) -> None:
        for each in self.followings:
            try:
                method(each, *args)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - the run must go on
                each.recorder.failed(method.__name__, error)


_hook = _Hook()


def following(
    hub: Hub | HubThread, source: str, settings: Mapping[str, Any], node_agents: Collection[str] = ()
) -> Recorder:
    """Return the recorder of LangChain's runs for a hub: the one that is there, whatever its source, or a new one."""
    names = captured(list(node_agents), 10_000) if isinstance(node_agents, list | tuple | set | frozenset) else None
    if names is None or not all(type(each) is str and each for each in node_agents):
        raise ConfigurationError(
            f"node_agents are the names of nodes, as ['researcher', 'writer'], not {captured(node_agents, 100)!r}"
        )

    def install(recorder: Recorder) -> Callable[[], None]:
        return _hook.add(Following(recorder, node_agents))

    own = {"node_agents": sorted(set(node_agents))}
    with _hook.lock:
        there = _hook.find(hub_of(hub)) if is_a(hub, (Hub, HubThread)) else None
        if there is not None:
            return reopened(there, source, settings, own)
        return opened(hub, source, install, settings, own=own)


def correlation_of(recorder: Recorder, thread: str) -> str | None:
    """Return the correlation of the run that has suspended a thread of a graph, where this process knows it."""
    for each in _hook.followings:
        if each.recorder is recorder:
            return each.correlation_of(thread)
    return None


def checkpoints_of(recorder: Recorder, checkpointer: Any) -> None:
    """Let a recorder be told what a checkpointer saves."""
    for each in _hook.followings:
        if each.recorder is recorder:
            end = telling_of(checkpointer, each, each.checkpoint)
            if end is not None:
                recorder.on_close(end)
            return
    raise ConfigurationError("record_checkpoints(): this recorder is closed, or none of LangGraph's")


def _handler() -> Any:
    base: Any = imported("langchain_core.callbacks", "langchain").BaseCallbackHandler
    tell = _hook.tell

    class HubwireCallbackHandler(base):  # type: ignore[misc]  # its class is known when it is installed
        """Tells recorders what LangChain runs."""

        run_inline = True  # in the order in which it happens, and in no thread more
        ignore_retriever = True
        ignore_retry = True
        ignore_custom_event = True

        def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: Any, **told: Any) -> None:  # noqa: ARG002
            tell(Following.chain_start, inputs, run_id, told)

        def on_chain_end(self, outputs: Any, *, run_id: Any, **told: Any) -> None:  # noqa: ARG002
            tell(Following.chain_end, outputs, run_id)

        def on_chain_error(self, error: BaseException, *, run_id: Any, **told: Any) -> None:  # noqa: ARG002
            tell(Following.chain_error, error, run_id)

        def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: Any, **told: Any) -> None:
            tell(Following.model_start, serialized, messages, run_id, told)

        def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: Any, **told: Any) -> None:
            tell(Following.model_start, serialized, prompts, run_id, told)

        def on_llm_new_token(self, token: Any, *, run_id: Any, **told: Any) -> None:  # noqa: ARG002
            tell(Following.model_token, token, run_id)

        def on_stream_event(self, event: Any, *, run_id: Any, **told: Any) -> None:  # noqa: ARG002
            delta = event.get("delta") if isinstance(event, Mapping) else None
            if isinstance(delta, Mapping) and isinstance(delta.get("text"), str):
                tell(Following.model_token, delta["text"], run_id)

        def on_llm_end(self, response: Any, *, run_id: Any, **told: Any) -> None:  # noqa: ARG002
            tell(Following.model_end, response, run_id)

        def on_llm_error(self, error: BaseException, *, run_id: Any, **told: Any) -> None:  # noqa: ARG002
            tell(Following.call_error, error, run_id)

        def on_tool_start(self, serialized: Any, input_str: str, *, run_id: Any, **told: Any) -> None:
            tell(Following.tool_start, serialized, input_str, run_id, told)

        def on_tool_end(self, output: Any, *, run_id: Any, **told: Any) -> None:  # noqa: ARG002
            tell(Following.tool_end, output, run_id)

        def on_tool_error(self, error: BaseException, *, run_id: Any, **told: Any) -> None:  # noqa: ARG002
            tell(Following.call_error, error, run_id)

        def __deepcopy__(self, memo: Any) -> Any:
            return self  # as part of a configuration that the program copies

    return HubwireCallbackHandler()
