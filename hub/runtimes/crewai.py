"""CrewAI: runs of its crews and agents become events of a hub.

::

    recorder = crewai.record(hub)  # all crews and agents of the program, until recorder.close()

It captures a crew's run with inputs and output, the execution of each task by its agent as a turn, model calls with
tokens (streamed ones once), tool calls with arguments, results and errors, and each of CrewAI's own retries.

Handlers of CrewAI's event bus run in a pool of threads and come out of order, and the first one starts that pool. So,
while a recorder is open, ``emit`` of the bus is wrapped: events are heard in the thread and the order in which they
happen, and what is replayed from a checkpoint is no event again. No event says that a run was cancelled, or ended by
``KeyboardInterrupt``: so the ``kickoff`` of crews and agents is wrapped too, and what has begun in it has failed then.
Tools and models run in threads, which go on: what they call until then is recorded as it ends. ``crew.kickoff_async``
runs whole in a thread: cancelled, it goes on to its end, and is recorded so.

What CrewAI shows nowhere: the class of an error (its text is there), calls of a model whose class emits no events, and
what a person says at the terminal to a task with ``human_input``. A flow is recorded as the runs of its crews and
agents.

Tested with crewai 1.15.25 and 1.15.30.
"""

from __future__ import annotations

import functools
import inspect
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from .. import Hub, HubThread
from ..actors import Turn
from ._actors import AgentActor, Said, actor_by
from ._opening import check_agent, imported, opened
from .recorder import Recorder

__all__ = ("CrewAIRecorder", "from_crewai", "record")

_PLACES_MAX = 10_000
"""Of scopes that are no turns, as tasks, and have not ended; the oldest of so many is let go."""

_hearing: list[CrewAIRecorder] = []
_wrapped: list[tuple[type[Any], str, Any, Any]] = []
"""A class, the name of a method, what it was, and what wraps it."""
_begun: ContextVar[list[tuple[CrewAIRecorder, str]] | None] = ContextVar("hubwire.runtimes.crewai.begun", default=None)
"""The turns that have begun in the ``kickoff`` that this code belongs to, also in the threads that it uses."""
_BEGINS_TURN: Final = frozenset({"crew_kickoff_started", "agent_execution_started", "lite_agent_execution_started"})
_lock = threading.Lock()


class CrewAIRecorder(Recorder):
    """A recorder of all crews and agents of the process."""

    places: dict[str, str | None]
    """For each open scope that is not recorded itself, the key of what it is in."""

    def hear(self, event: Any) -> None:
        """Record an event of CrewAI's, if it is one of those that are. It never raises."""
        try:
            if (said := _SAID.get(event.type)) is not None:
                said(self, event)
                if event.type in _BEGINS_TURN and (begun := _begun.get()) is not None:
                    begun.append((self, event.event_id))
            elif event.started_event_id is not None:
                self.places.pop(event.started_event_id, None)
            elif event.type.endswith("_started"):
                self.places[event.event_id] = self.parent_of(event)
                if len(self.places) > _PLACES_MAX:
                    self.places.pop(next(iter(self.places)), None)
        except Exception as error:  # noqa: BLE001 - the run must go on
            self.failed("hear", error)

    def parent_of(self, event: Any) -> str | None:
        """Return the key of the turn or call that an event is in."""
        return self.places.get(event.parent_event_id, event.parent_event_id)


def record(hub: Hub | HubThread, **settings: Any) -> CrewAIRecorder:
    """Record in a hub what all crews and agents of this process do.

    ``settings`` are those of :class:`~hubwire.runtimes.Recorder`. Called again for the same hub, it returns the same
    recorder, and refuses other settings.
    """
    bus = imported("crewai.events.event_bus", "crewai").CrewAIEventsBus
    crew, agents = imported("crewai.crew", "crewai").Crew, imported("crewai.agent.core", "crewai").Agent
    lite = imported("crewai.lite_agent", "crewai").LiteAgent

    def install(recorder: CrewAIRecorder) -> Callable[[], None]:
        recorder.places = {}
        with _lock:
            if not _hearing:
                _replace(bus, "emit", _heard)
                for name in ("kickoff", "akickoff"):
                    for owner in (crew, agents, lite):
                        _replace(owner, name, _watched)
                for owner in (agents, lite):
                    _replace(owner, "kickoff_async", _watched)
            _hearing.append(recorder)
        return functools.partial(_leave, recorder)

    return opened(hub, "crewai", install, settings, kind=CrewAIRecorder)


def from_crewai(agent: Any, *, name: str | None = None, **settings: Any) -> AgentActor:
    """Return an actor that answers with an agent, in a thread: ``await hub.spawn(from_crewai(agent))``.

    ``name`` is the agent's role by default, and ``settings`` are those of :class:`~hubwire.runtimes.AgentActor`.
    """
    check_agent("from_crewai", agent, "an Agent of crewai", has=("kickoff", "role"))

    def answer(said: str, history: Sequence[Said], turn: Turn) -> Any:  # noqa: ARG001 - as all answers
        messages = [
            {"role": "assistant", "content": each.text}
            if each.is_own
            else {"role": "user", "content": f"{each.name}: {each.text}"}
            for each in history
        ]
        return agent.kickoff([*messages, {"role": "user", "content": said}]).raw

    return actor_by("from_crewai", name or agent.role, answer, settings)


def _replace(owner: type[Any], name: str, wrap: Callable[[Any], Any]) -> None:
    before = owner.__dict__.get(name)
    if before is not None:
        ours = functools.wraps(before)(wrap(before))
        setattr(owner, name, ours)
        _wrapped.append((owner, name, before, ours))


def _heard(emit: Any) -> Any:
    def emit_and_tell(self: Any, source: Any, event: Any, *args: Any, **kwargs: Any) -> Any:
        answer = emit(self, source, event, *args, **kwargs)
        for recorder in tuple(_hearing):
            recorder.hear(event)
        return answer

    return emit_and_tell


def _watched(kickoff: Any) -> Any:
    if inspect.iscoroutinefunction(kickoff):

        async def kick_off(*args: Any, **kwargs: Any) -> Any:
            with _watching():
                return await kickoff(*args, **kwargs)

        return kick_off

    def kick_off_blocking(*args: Any, **kwargs: Any) -> Any:
        with _watching():
            return kickoff(*args, **kwargs)

    return kick_off_blocking


@contextmanager
def _watching() -> Iterator[None]:
    """Fail the turns that have begun inside when it is left by what no event tells of."""
    begun: list[tuple[CrewAIRecorder, str]] = []
    token = _begun.set(begun)
    try:
        yield
    except Exception:
        raise  # CrewAI tells that
    except BaseException as error:
        for recorder, key in reversed(begun):
            recorder.fail(key, error)
        raise
    finally:
        _begun.reset(token)


def _leave(recorder: CrewAIRecorder) -> None:
    with _lock:
        if recorder in _hearing:
            _hearing.remove(recorder)
        while _wrapped and not _hearing:
            owner, name, before, ours = _wrapped.pop()
            if owner.__dict__.get(name) is ours:  # else another library has wrapped it after us
                setattr(owner, name, before)


# -- what each event says --


def _crew_started(recorder: CrewAIRecorder, event: Any) -> None:
    recorder.begin_turn(
        event.event_id, agent=event.crew_name or "crew", parent=recorder.parent_of(event), prompt=event.inputs
    )


def _agent_started(recorder: CrewAIRecorder, event: Any) -> None:
    recorder.begin_turn(
        event.event_id, agent=event.agent.role, parent=recorder.parent_of(event), prompt=event.task_prompt
    )


def _lite_agent_started(recorder: CrewAIRecorder, event: Any) -> None:
    role, prompt = event.agent_info.get("role"), event.messages
    recorder.begin_turn(event.event_id, agent=role, parent=recorder.parent_of(event), prompt=prompt)


def _model_started(recorder: CrewAIRecorder, event: Any) -> None:
    recorder.begin_model(
        event.event_id,
        event.model or "",
        agent=event.agent_role,
        parent=recorder.parent_of(event),
        request=event.messages,
    )


def _model_chunk(recorder: CrewAIRecorder, event: Any) -> None:
    if event.parent_event_id is not None:
        recorder.stream(event.parent_event_id, event.chunk)


def _model_completed(recorder: CrewAIRecorder, event: Any) -> None:
    usage = event.usage or {}
    recorder.end(
        event.started_event_id,
        event.response,
        input_tokens=usage.get("prompt_tokens", usage.get("input_tokens")),
        output_tokens=usage.get("completion_tokens", usage.get("output_tokens")),
    )


def _tool_started(recorder: CrewAIRecorder, event: Any) -> None:
    recorder.begin_tool(
        event.event_id,
        event.tool_name,
        agent=event.agent_role,
        parent=recorder.parent_of(event),
        arguments=_arguments_of(event.tool_args),
    )


def _tool_finished(recorder: CrewAIRecorder, event: Any) -> None:
    if (failure := getattr(event, "failure", None)) is not None:
        recorder.fail(event.started_event_id, str(getattr(failure, "message", failure)), kind="ToolFailure")
    else:
        recorder.end(event.started_event_id, event.output)


def _finished(recorder: CrewAIRecorder, event: Any) -> None:
    recorder.end(event.started_event_id, getattr(event.output, "raw", event.output))


def _failed(recorder: CrewAIRecorder, event: Any) -> None:
    recorder.fail(event.started_event_id, event.error)


def _arguments_of(given: Any) -> Any:
    """Arguments come as the model has written them, or as they were understood."""
    if isinstance(given, str):
        try:
            return json.loads(given)
        except ValueError:
            return given
    return given


_SAID: dict[str, Callable[[CrewAIRecorder, Any], None]] = {
    "crew_kickoff_started": _crew_started,
    "crew_kickoff_completed": _finished,
    "crew_kickoff_failed": _failed,
    "agent_execution_started": _agent_started,
    "agent_execution_completed": _finished,
    "agent_execution_error": _failed,
    "lite_agent_execution_started": _lite_agent_started,
    "lite_agent_execution_completed": _finished,
    "lite_agent_execution_error": _failed,
    "llm_call_started": _model_started,
    "llm_stream_chunk": _model_chunk,
    "llm_call_completed": _model_completed,
    "llm_call_failed": _failed,
    "tool_usage_started": _tool_started,
    "tool_usage_finished": _tool_finished,
    "tool_usage_error": _failed,
}
