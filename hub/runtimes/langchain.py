"""LangChain: runs of chains and agents become events of a hub.

::

    recorder = langchain.record(hub)  # every runnable of the process, from now on
    agent = create_agent(model, tools, name="planner")
    agent.invoke(...)

It captures agents and outermost runnables as turns, model calls with tokens and streams, and tool calls with arguments,
results and errors. Agents that ``create_agent`` makes are graphs, so all that
:mod:`hubwire.runtimes.langgraph` says is true of them, and :func:`hubwire.runtimes.langgraph.resume` asks the hub for
what their ``HumanInTheLoopMiddleware`` has suspended. The two have one recorder for a hub.

What LangChain tells to no callback: tool calls that a middleware answers itself, and the failed attempts of clients of
models that retry inside. Inner runnables, retrievers and custom events are not recorded.

Tested with langchain-core 1.0.0 and 1.8.3, langchain 1.0.0 and 1.5.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import Hub, HubThread
from ..actors import Turn
from ._actors import AgentActor, Said, actor_by
from ._langchain import following
from ._langchain_values import output_of
from ._opening import check_agent, imported
from .langgraph import messages_for
from .recorder import Recorder

__all__ = ("from_langchain", "record")


def record(hub: Hub | HubThread, **settings: Any) -> Recorder:
    """Record in a hub what all runnables do, in all threads, from now on.

    ``settings`` are those of :class:`~hubwire.runtimes.Recorder`. Called again for the same hub, also by
    :func:`hubwire.runtimes.langgraph.record`, it returns the same recorder, and refuses other settings.
    """
    imported("langchain_core.callbacks", "langchain")
    return following(hub, "langchain", settings)


def from_langchain(runnable: Any, *, name: str, **settings: Any) -> AgentActor:
    """Return an actor that answers with a runnable that takes messages: a chat model, or a chain that begins with one.

    For an agent of ``create_agent``, take :func:`hubwire.runtimes.langgraph.from_langgraph`. ``settings`` are those of
    :class:`~hubwire.runtimes.AgentActor`.
    """
    messages: Any = imported("langchain_core.messages", "langchain")
    check_agent("from_langchain", runnable, "a runnable of LangChain", has=("ainvoke",))

    async def answer(said: str, history: Sequence[Said], turn: Turn) -> Any:  # noqa: ARG001 - as all answers
        return output_of(await runnable.ainvoke(messages_for(messages, said, history)))

    return actor_by("from_langchain", name, answer, settings)
