"""LangGraph: runs of graphs become events of a hub.

::

    recorder = langgraph.record(hub)  # every graph and every runnable of the process, from now on
    graph.invoke(..., config)
    graph.invoke(...)  # or, where it has interrupted itself: langgraph.resume_blocking(recorder, graph, config)

It captures graphs as turns, those inside of others as well, model calls with tokens and streams, tool calls with
arguments, results and errors, hand-overs by ``Command(graph=Command.PARENT)``, and interrupts. ``thread_id`` is the
session. A graph that is interrupted has ended its turn; resumed, it begins another one in the same session.

What LangGraph tells to no callback: which node of a graph is an agent (say so by ``node_agents``), checkpoints (say
which by :func:`record_checkpoints`), breakpoints (``interrupt_before``): a turn that ends at one looks like any other,
and the denial of a call by the middleware of LangChain where the program itself
answers in another process than the one that was interrupted. Retrievers and custom events are not recorded.

Tested with langgraph 1.0.0 and 1.2.24, langchain-core 1.0.0 and 1.8.3, langchain 1.0.0 and 1.5.2.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import attrs

from .. import Hub, HubThread
from ..actors import Turn
from ..context import current, scope
from ..errors import ConfigurationError
from ..events._shown import is_a
from ._actors import AgentActor, Said, actor_by
from ._langchain import checkpoints_of, correlation_of, following
from ._langchain_runs import answering
from ._langchain_values import Suspended, answer_of, output_of, questions_of
from ._opening import check_agent, check_can, check_recorder, imported
from ._questions import Question, counted, decided, decided_blocking
from ._resuming import check_function, check_resuming
from .recorder import Recorder
from .verdict import Verdict

__all__ = ("from_langgraph", "record", "record_checkpoints", "resume", "resume_blocking")

Answer = Callable[[Any, Verdict], Any]
"""Makes what a node's ``interrupt()`` returns of its interrupt and the verdict."""


def record(hub: Hub | HubThread, *, node_agents: Collection[str] = (), **settings: Any) -> Recorder:
    """Record in a hub what all graphs and runnables do, in all threads, from now on.

    ``node_agents``: names of nodes that are agents of their own; by default agents are graphs, under their names.
    ``settings`` are those of :class:`~hubwire.runtimes.Recorder`. Called again for the same hub, also by
    :func:`hubwire.runtimes.langchain.record`, it returns the same recorder, and refuses other settings.
    """
    imported("langgraph.types", "langgraph")
    return following(hub, "langgraph", settings, node_agents)


def record_checkpoints(recorder: Recorder, checkpointer: Any) -> None:
    """Record what a checkpointer saves, from now on: a ``langgraph.checkpoint.saved`` for each checkpoint.

    It is a :class:`~hubwire.GenericEvent` of the run that was at work, with ``thread_id``, ``checkpoint_id``,
    ``namespace`` of a graph inside of another, ``source`` and ``step``; nothing of what was saved is in it. It comes
    when the checkpointer has returned. LangGraph tells this to no callback: ``put`` and ``aput`` of this one object
    are wrapped, until the recorder is closed. Called again for the same two, it does nothing.

    Raises :class:`~hubwire.errors.ConfigurationError` for what is no checkpointer, and for a recorder that is closed.
    """
    check_recorder("record_checkpoints", recorder)
    checkpoints_of(recorder, checkpointer)


async def resume(
    recorder: Recorder,
    graph: Any,
    config: Mapping[str, Any],
    *,
    answer: Answer | None = None,
    may_repeat: bool = False,
    **settings: Any,
) -> Any:
    """Ask the hub about all that a graph is interrupted for, and run on; return the result when it waits for nothing.

    The graph needs a checkpointer; ``config`` has the ``thread_id``, and ``settings`` are those of ``graph.ainvoke``.
    Asked again about the same interrupt, also by another process, the hub has the same question. Its approval counts
    once: a call that may have been made before a crash is denied, unless ``may_repeat``.

    Calls that LangChain's ``HumanInTheLoopMiddleware`` has suspended are approved, edited, or rejected with the
    reason. Any other ``interrupt(value)`` is an approval of ``value["action"]``, or of the node's name, and returns
    True or False; what an approver has modified counts as False. ``answer(interrupt, verdict)`` makes another value.

    A breakpoint (``interrupt_before``, ``interrupt_after``) is no question: it names no action, and a graph can only go
    on from it, not be told no. So it is not asked about, and a graph that stops at one is returned as it is.

    Raises what the graph raises, and :class:`~hubwire.errors.HubClosed` if the hub ends before it has decided: then the
    graph still waits.
    """
    check_resuming("resume", recorder, may_repeat=may_repeat)
    check_function("resume", "answer", answer)
    check_can("resume", graph, "aget_state", "compiled graph")
    result, thread = None, _thread_of("resume", config)
    waiting = await _waiting_in(graph, config, thread)
    if not waiting:
        return (await graph.aget_state(config)).values
    while waiting:
        with _place(recorder, waiting):
            verdicts = await decided(recorder, _questions(waiting))
        verdicts = [counted(verdict, may_repeat=may_repeat) for verdict in verdicts]
        command, passed = _command(waiting, verdicts, answer)
        with answering(recorder, passed):
            result = await graph.ainvoke(command, config, **settings)
        waiting = await _waiting_in(graph, config, thread)
    return result


def resume_blocking(
    recorder: Recorder,
    graph: Any,
    config: Mapping[str, Any],
    *,
    answer: Answer | None = None,
    may_repeat: bool = False,
    **settings: Any,
) -> Any:
    """Likewise for a thread that may wait, with ``graph.invoke``. Its questions are asked one after the other."""
    check_resuming("resume_blocking", recorder, may_repeat=may_repeat)
    check_function("resume_blocking", "answer", answer)
    check_can("resume_blocking", graph, "get_state", "compiled graph")
    result, thread = None, _thread_of("resume_blocking", config)
    waiting = _waiting_in_blocking(graph, config, thread)
    if not waiting:
        return graph.get_state(config).values
    while waiting:
        with _place(recorder, waiting):
            verdicts = decided_blocking(recorder, _questions(waiting))
        verdicts = [counted(verdict, may_repeat=may_repeat) for verdict in verdicts]
        command, passed = _command(waiting, verdicts, answer)
        with answering(recorder, passed):
            result = graph.invoke(command, config, **settings)
        waiting = _waiting_in_blocking(graph, config, thread)
    return result


def from_langgraph(
    graph: Any, *, name: str | None = None, recorder: Recorder | None = None, **settings: Any
) -> AgentActor:
    """Return an actor that answers with a graph whose state has ``messages``: ``await hub.spawn(from_langgraph(g))``.

    ``name`` is that of the graph by default. The channel is the memory: where the graph has a checkpointer, each turn
    is a thread of its own. With a ``recorder``, its hub is asked for what the graph is interrupted for. ``settings``
    are those of :class:`~hubwire.runtimes.AgentActor`.
    """
    messages: Any = imported("langchain_core.messages", "langgraph")
    check_agent("from_langgraph", graph, "a compiled graph of LangGraph", has=("aget_state", "ainvoke", "get_name"))
    if recorder is not None:
        check_recorder("from_langgraph", recorder)

    async def answer(said: str, history: Sequence[Said], turn: Turn) -> Any:
        config = {"configurable": {"thread_id": turn.id}}
        result = await graph.ainvoke({"messages": messages_for(messages, said, history)}, config)
        if recorder is not None and getattr(graph, "checkpointer", None):
            result = await resume(recorder, graph, config) or result
        return output_of(result)

    return actor_by("from_langgraph", name or graph.get_name(), answer, settings)


def messages_for(messages: Any, said: str, history: Sequence[Said]) -> list[Any]:
    """Return what was said as messages of LangChain: own words as the assistant's, others' with their name."""
    past = [
        messages.AIMessage(each.text) if each.is_own else messages.HumanMessage(f"{each.name}: {each.text}")
        for each in history
    ]
    return [*past, messages.HumanMessage(said)]


@attrs.frozen
class _Waiting:
    """An interrupt that waits for an answer."""

    thread: str
    interrupt: Any
    agent: str | None
    suspended: Sequence[Suspended]


def _place(recorder: Recorder, waiting: Sequence[_Waiting]) -> AbstractContextManager[object]:
    """Return the scope of a question: it belongs to the run that it has suspended, if that was in this process."""
    thread = waiting[0].thread
    return scope(session=thread, correlation_id=current().correlation_id or correlation_of(recorder, thread))


def _thread_of(call: str, config: Any) -> str:
    inner: Any = config.get("configurable") if is_a(config, Mapping) else None
    thread = inner.get("thread_id") if is_a(inner, Mapping) else None
    if thread is None:
        raise ConfigurationError(
            f"{call}(): config names no thread of the graph; give it the config that the graph was run with"
        )
    return str(thread)


async def _waiting_in(graph: Any, config: Mapping[str, Any], thread: str) -> list[_Waiting]:
    waiting: list[_Waiting] = []
    for place, task, agent in _tasks_of(await graph.aget_state(config, subgraphs=True), _name_of(graph)):
        read = getattr(graph.checkpointer, "aget_tuple", None)
        saved = None if read is None else await read(place)
        waiting += _waiting_of(task, thread, agent, _answered(saved, task.id))
    return waiting


def _waiting_in_blocking(graph: Any, config: Mapping[str, Any], thread: str) -> list[_Waiting]:
    waiting: list[_Waiting] = []
    for place, task, agent in _tasks_of(graph.get_state(config, subgraphs=True), _name_of(graph)):
        read = getattr(graph.checkpointer, "get_tuple", None)
        waiting += _waiting_of(task, thread, agent, _answered(None if read is None else read(place), task.id))
    return waiting


def _name_of(graph: Any) -> str | None:
    name = graph.get_name()
    return None if name == "LangGraph" else str(name)


def _tasks_of(state: Any, agent: str | None) -> Iterator[tuple[Any, Any, str | None]]:
    """Yield the tasks that are interrupted, each with the checkpoint that it is in, and the agent whose it is."""
    for task in state.tasks:
        if hasattr(task.state, "tasks"):
            yield from _tasks_of(task.state, task.name)
        elif task.interrupts:
            yield state.config, task, agent


def _answered(saved: Any, task_id: str) -> int:
    """Return how many questions of a task were answered before the one that it waits for."""
    for writer, channel, value in getattr(saved, "pending_writes", None) or ():
        if writer == task_id and channel == "__resume__":
            return len(value) if isinstance(value, list) else 1
    return 0


def _waiting_of(task: Any, thread: str, agent: str | None, answered: int) -> list[_Waiting]:
    return [
        _Waiting(thread, interrupt, agent, list(questions_of(thread, interrupt, task.name, answered)))
        for interrupt in task.interrupts
    ]


def _questions(waiting: Sequence[_Waiting]) -> list[Question]:
    return [
        Question(key=each.key, action=each.action, arguments=each.arguments, agent=wait.agent)
        for wait in waiting
        for each in wait.suspended
    ]


def _command(
    waiting: list[_Waiting], verdicts: Sequence[Verdict], answer: Answer | None
) -> tuple[Any, dict[str, bool]]:
    """Return the command that a graph is resumed with, and which interrupts were approved."""
    types: Any = imported("langgraph.types", "langgraph")
    answers, passed, rest = {}, {}, list(verdicts)
    for each in waiting:
        own, rest = rest[: len(each.suspended)], rest[len(each.suspended) :]
        if answer is not None and not all(one.is_tool for one in each.suspended):
            answers[each.interrupt.id] = answer(each.interrupt, own[0])
        else:
            answers[each.interrupt.id] = answer_of(each.interrupt, own)
        passed[each.interrupt.id] = any(verdict.is_approved for verdict in own)
    return types.Command(resume=answers), passed
