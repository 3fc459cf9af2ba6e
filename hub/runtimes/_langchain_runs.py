"""What one recorder is told of the runs of LangChain and LangGraph.

LangChain tells of every runnable. Turns are those that are called by no other, and graphs: runs whose children are
steps of a graph. Of the others it is remembered what they belong to, and no more.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, Final

import attrs

from ..context import current, scope
from ._langchain_values import (
    Suspended,
    extra_of,
    goes_text,
    goto_of,
    interrupt_id_of,
    is_a,
    is_command,
    is_denied,
    is_unnamed,
    message_text,
    messages_of,
    model_of,
    output_of,
    prompt_of,
    questions_of,
    result_of,
    told_of,
    waits_text,
)
from .recorder import Recorder

__all__ = ("Following", "answering")

_RUNS_MAX: Final = 50_000
"""How many runs that have not ended are remembered: those of a generator that is dropped never end."""
_THREADS_MAX: Final = 1_000
_OVER_SECONDS: Final = 10.0
"""How long the ends are waited for of what is inside of a run that has ended: a recorder waits for half as long."""
_HELD_SECONDS: Final = 0.5
"""A tool that interrupts itself does so at once: one that has worked for longer is recorded as called."""

_answers: ContextVar[tuple[Recorder, Mapping[str, bool]] | None] = ContextVar(
    "hubwire.runtimes.langgraph", default=None
)
"""The verdicts, by the ids of interrupts, with which this code resumes a graph; the recorder's hub has them already."""


@contextmanager
def answering(recorder: Recorder, answers: Mapping[str, bool]) -> Iterator[None]:
    """Resume a graph in here: these are the verdicts, which are in the recorder's hub already."""
    token = _answers.set((recorder, answers))
    try:
        yield
    finally:
        _answers.reset(token)


@attrs.define(slots=True, eq=False)
class _Run:
    """A run of LangChain that has begun."""

    id: str
    name: str
    above: _Run | None
    key: str | None
    """The key of what is recorded of it, or else of what it belongs to."""
    agent: str | None
    thread: str | None
    is_node: bool = False
    is_recorded: bool = False
    is_graph: bool = False
    node: str | None = None
    inputs: Any = None
    """Until it is known whether this is a graph."""
    call_id: str | None = None
    waits: list[str] = attrs.field(factory=list)
    """What a graph is interrupted for."""
    inside: dict[Any, None] = attrs.field(factory=dict)
    """Of one that is called by no other: the ids of all runs inside of it that have not ended."""
    root: _Run | None = None
    """None: it is called by no other."""


@attrs.define(slots=True, eq=False)
class _Waiting:
    """A thread of a graph that waits for an answer."""

    correlation: str | None
    interrupts: dict[str, tuple[Any, str | None, list[Suspended]]] = attrs.field(factory=dict)
    """With the agent that waits, and what it asks for, by id."""


class Following:
    """What one recorder is told of the runs of LangChain. Its methods may be called from many threads at a time."""

    def __init__(self, recorder: Recorder, node_agents: Collection[str]) -> None:
        self.recorder: Final = recorder
        self._node_agents = frozenset(node_agents)
        self._runs: dict[Any, _Run] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._asked_by: dict[tuple[str, str], str] = {}
        """Of a tool that interrupts itself: which interrupt it was, by thread and call."""
        self._denied: dict[tuple[str, str], None] = {}
        """Interrupts that were denied, by thread and id: what they have suspended starts again, and does nothing."""
        self._answered: dict[tuple[str, str], int] = {}
        """How many questions with the id of an interrupt were answered, by thread and id."""
        self._at_work: dict[str, _Run] = {}
        """The run that is called by no other, by its thread."""
        self._over: deque[tuple[float, _Run]] = deque()
        """Those that have ended before all that was inside of them: streams that were not read to their end."""
        self._lock = threading.RLock()

    @property
    def open_runs(self) -> int:
        """How many runs have begun and not ended."""
        return len(self._runs)

    # -- chains --

    def chain_start(self, inputs: Any, run_id: Any, told: Mapping[str, Any]) -> None:
        metadata = told.get("metadata") or {}
        run = self._run(run_id, told, str(told.get("name") or ""))
        above, run.node = run.above, metadata.get("langgraph_node")
        run.is_node = any(tag.startswith("graph:step:") for tag in told.get("tags") or ())
        if above is None:
            if run.node is None or told.get("parent_run_id") is None:
                self._begin_root(run, inputs)
        elif run.is_node:
            self._begin_graph(above)
            run.key, run.agent = above.key, above.agent
            if run.name in self._node_agents:
                self._begin_turn(run, run.name, inputs)
        else:
            run.inputs = inputs

    def _begin_root(self, run: _Run, inputs: Any) -> None:
        run.is_graph = True
        if run.thread is not None:
            _bounded(self._at_work, _RUNS_MAX)[run.thread] = run
        place: AbstractContextManager[object] = nullcontext()
        resumed = inputs.resume if is_command(inputs) else None
        if run.thread is not None and (waiting := self._waiting.pop(run.thread, None)) is not None:
            if resumed is not None and waiting.correlation and current().correlation_id is None:
                place = scope(correlation_id=waiting.correlation)
        else:
            waiting = None
        with place:
            if resumed is not None and run.thread is not None:
                self._take_answers(run.thread, waiting, resumed)
            self._begin_turn(run, None if is_unnamed(run.name) else run.name, None if resumed is not None else inputs)

    def _begin_graph(self, run: _Run) -> None:
        """A run is a graph when a step begins in it."""
        with self._lock:
            if run.is_graph:
                return
            run.is_graph = True
            inputs, run.inputs = run.inputs, None
            name = run.node if is_unnamed(run.name) else run.name
            above = run.above
            if above is not None and above.is_recorded and above.is_node and above.name == name:
                return  # the node is that turn
            self._begin_turn(run, name, inputs)

    def _begin_turn(self, run: _Run, agent: str | None, inputs: Any) -> None:
        parent, run.key, run.is_recorded, run.agent = run.key, run.id, True, agent or run.agent
        self.recorder.begin_turn(run.id, agent=run.agent, parent=parent, prompt=prompt_of(inputs), session=run.thread)

    def chain_end(self, outputs: Any, run_id: Any) -> None:
        run = self._ended(run_id)
        if run is not None and run.is_recorded:
            self.recorder.end(run.id, waits_text(run.waits) if run.waits else output_of(outputs))

    def chain_error(self, error: BaseException, run_id: Any) -> None:
        run = self._ended(run_id)
        if run is None:
            return
        if not is_a(error, "GraphBubbleUp"):
            if run.is_recorded:
                self.recorder.fail(run.id, error)
            return
        if is_a(error, "ParentCommand"):
            self._hand_over(run, error)
        elif is_a(error, "GraphInterrupt") and run.is_node:
            self._suspend(run, error)
        if run.is_recorded:
            self.recorder.end(run.id, waits_text(run.waits) if run.waits else goes_text(error))

    def _hand_over(self, run: _Run, error: BaseException) -> None:
        """A node goes to another node of the graph above it. It comes up as an error, also of what is above."""
        command: Any = error.args[0]
        if run.is_node and command.graph == "__parent__":
            for name in goto_of(command) or ():
                self.recorder.hand_over(run.agent or "", name, parent=run.key)

    def _suspend(self, run: _Run, error: BaseException) -> None:
        interrupts = error.args[0] if error.args and isinstance(error.args[0], tuple | list) else ()
        thread = run.thread
        if thread is not None and thread not in self._waiting:
            root = run
            while root.above is not None:
                root = root.above
            _bounded(self._waiting, _THREADS_MAX)[thread] = _Waiting(current().correlation_id or root.key)
        for each in interrupts:
            answered = self._answered.get((thread or "", each.id), 0)
            questions = list(questions_of(thread or "", each, run.name, answered))
            if thread is not None:
                self._waiting[thread].interrupts.setdefault(each.id, (each, run.agent, questions))
            names = [question.action for question in questions]
            for waits in (run, run.above):
                if waits is not None:
                    waits.waits += [name for name in names if name not in waits.waits]

    def checkpoint(self, thread: str | None, saved: Mapping[str, Any]) -> None:
        """A checkpoint of a thread was saved."""
        run = None if thread is None else self._at_work.get(thread)
        parent = run.key if run is not None else None
        self.recorder.fact("langgraph.checkpoint.saved", {"thread_id": thread, **saved}, parent=parent)

    def correlation_of(self, thread: str) -> str | None:
        waiting = self._waiting.get(thread)
        return None if waiting is None else waiting.correlation

    # -- answers of the program --

    def _take_answers(self, thread: str, waiting: _Waiting | None, resumed: Any) -> None:
        """A graph is resumed with an answer: record what that decides, unless the hub has decided it."""
        ours = _answers.get()
        if ours is not None:
            for interrupt_id, is_passed in ours[1].items():
                self._is_decided(thread, interrupt_id, is_passed=is_passed)
        if waiting is None:
            return
        for interrupt_id, (interrupt, agent, questions) in waiting.interrupts.items():
            if isinstance(resumed, Mapping) and interrupt_id in resumed:
                answer = resumed[interrupt_id]
            elif len(waiting.interrupts) == 1:
                answer = resumed
            else:
                continue
            _bounded(self._answered, _THREADS_MAX)[thread, interrupt_id] = (
                self._answered.get((thread, interrupt_id), 0) + 1
            )
            if ours is None:
                self._is_decided(thread, interrupt_id, is_passed=not is_denied(interrupt, answer))
            if ours is None or ours[0] is not self.recorder:
                self._record(questions, told_of(interrupt, answer), agent)

    def _record(self, questions: list[Suspended], told: list[Any], agent: str | None) -> None:
        for question, verdict in zip(questions, told, strict=False):
            if verdict is not None:
                self.recorder.record_verdict(
                    question.key,
                    question.action,
                    arguments=question.arguments if verdict.arguments is None else verdict.arguments,
                    is_passed=verdict.is_passed,
                    reason=verdict.reason,
                    agent=agent,
                )

    def _is_decided(self, thread: str, interrupt_id: str, *, is_passed: bool) -> None:
        if is_passed:
            self._denied.pop((thread, interrupt_id), None)
        else:
            _bounded(self._denied, _THREADS_MAX)[thread, interrupt_id] = None

    def _was_denied(self, run: _Run, metadata: Mapping[str, Any]) -> bool:
        """Whether a tool starts again only to be told that it may not go on."""
        if not self._denied or run.thread is None:
            return False
        interrupt_id = self._asked_by.get((run.thread, run.call_id or ""))
        if interrupt_id is None and (metadata.get("langgraph_path") or ("",))[0] == "__pregel_push":
            interrupt_id = interrupt_id_of(
                metadata.get("langgraph_checkpoint_ns")
            )  # another process; it is alone there
        return (run.thread, interrupt_id) in self._denied

    # -- calls --

    def model_start(self, serialized: Any, request: Any, run_id: Any, told: Mapping[str, Any]) -> None:
        run = self._run(run_id, told, "")
        parent, run.key, run.is_recorded = run.key, run.id, True
        said = messages_of(request, is_whole=self.recorder.is_whole)
        self.recorder.begin_model(run.id, model_of(serialized, told), agent=run.agent, parent=parent, request=said)

    def model_token(self, token: Any, run_id: Any) -> None:
        if (run := self._runs.get(run_id)) is not None:
            self.recorder.stream(run.id, token if isinstance(token, str) else message_text(token) or "")

    def model_end(self, result: Any, run_id: Any) -> None:
        if (run := self._ended(run_id)) is not None:
            told = extra_of(result)
            self.recorder.end(run.id, told.pop("result"), **told)

    def call_error(self, error: BaseException, run_id: Any) -> None:
        run = self._ended(run_id)
        if run is None or not run.is_recorded:
            return
        if is_a(error, "GraphInterrupt"):
            if run.thread is not None and run.call_id is not None and error.args and error.args[0]:
                _bounded(self._asked_by, _THREADS_MAX)[run.thread, run.call_id] = error.args[0][0].id
            self.recorder.discard(run.id, "it waits for an answer, and starts again then")
        elif is_a(error, "GraphBubbleUp"):
            self.recorder.end(run.id, goes_text(error))
        else:
            self.recorder.fail(run.id, error)

    def tool_start(self, serialized: Any, text: str, run_id: Any, told: Mapping[str, Any]) -> None:
        metadata = told.get("metadata") or {}
        run = self._run(run_id, told, "")
        run.call_id = told.get("tool_call_id")
        if self._was_denied(run, metadata):
            return
        parent, run.key, run.is_recorded = run.key, run.id, True
        name = told.get("name") or (serialized or {}).get("name") or "tool"
        may_interrupt = run.thread is not None and "langgraph_node" in metadata
        arguments = told.get("inputs")
        self.recorder.begin_tool(
            run.id,
            name,
            agent=run.agent,
            parent=parent,
            arguments=text if arguments is None else arguments,
            call_id=run.call_id,
            is_held=may_interrupt,
            held_seconds=_HELD_SECONDS,
        )

    def tool_end(self, output: Any, run_id: Any) -> None:
        run = self._ended(run_id)
        if run is None or not run.is_recorded:
            return
        if getattr(output, "status", None) == "error":  # the tool itself has made a text of its exception
            self.recorder.fail(run.id, message_text(output) or "", kind="ToolException")
        else:
            self.recorder.end(run.id, result_of(output))

    def _run(self, run_id: Any, told: Mapping[str, Any], name: str) -> _Run:
        above = self._runs.get(told.get("parent_run_id"))
        if above is None:
            thread = (told.get("metadata") or {}).get("thread_id")
            run = _Run(str(run_id), name, None, None, None, None if thread is None else str(thread))
        else:
            root = above.root or above
            run = _Run(str(run_id), name, above, above.key, above.agent, above.thread, root=root)
            root.inside[run_id] = None
        _bounded(self._runs, _RUNS_MAX)[run_id] = run
        return run

    def _ended(self, run_id: Any) -> _Run | None:
        """A run has ended: return it, if it is known to have begun."""
        run = self._runs.pop(run_id, None)
        if run is None:
            return None
        run.inputs = None
        if run.root is not None:
            run.root.inside.pop(run_id, None)
            return run
        if run.thread is not None and self._at_work.get(run.thread) is run:
            self._at_work.pop(run.thread, None)
        now = time.monotonic()
        if run.inside:
            self._over.append((now, run))
        while self._over and now - self._over[0][0] > _OVER_SECONDS:
            try:
                _, over = self._over.popleft()
            except IndexError:
                break  # another thread was faster
            for inner in list(over.inside):
                self._runs.pop(inner, None)
        return run


def _bounded(values: dict[Any, Any], count_max: int) -> dict[Any, Any]:
    """Return a dictionary that has room for one more: the oldest is left out."""
    if len(values) >= count_max:
        try:
            del values[next(iter(values))]
        except (KeyError, RuntimeError, StopIteration):
            pass  # another thread has just changed it
    return values
