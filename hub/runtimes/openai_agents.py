"""Recording openai-agents: ``record(hub)``, and every run of its agents is in the hub from then on.

It listens in two places, and each tells what the other withholds: a trace processor is told what begins and how it
ends, and hooks, which the runtime's default runner is given, are told with which arguments tools and models are called
and what comes back. Hooks of the host's own are called as before.

Recorded are a turn for each agent, its model calls (each attempt of a retry, where the model makes spans), its tool
calls, hand-overs, agents that are tools, answers, usage, errors, cancellation, and the verdicts that the host gives
to what waits for approval. A run that goes on after an approval is a new turn with the same correlation, the id of its
trace, also in another process. What the host keeps out of its traces (``trace_include_sensitive_data=False``) is not
recorded either.

The runtime hides: why a tool failed, unless the tool has a ``failure_error_function`` of its own; that a tool of an MCP
server answered with an error, which is a result for it; the text of a streamed answer before it is whole; tools that a
provider runs (they are in the answer of the model, by type), ``LocalShellTool``, realtime and voice sessions; what a
guardrail thinks, unless it ends the run; the agent's instructions. That a tool took too long is told by its time alone.

A run with tracing turned off has no spans, so it cannot be recorded: there is an ``error.raised`` that says so. Use
``set_trace_processors([])`` instead, so that no trace leaves the process. A run that does not go through the default
runner (a runner of the host's own) has no hooks: its tools are recorded when they end, without the ids of their calls.

Tested with openai-agents 0.21.0 and 0.24.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import Hub, HubThread
from ..actors import Turn
from ..errors import ConfigurationError
from ._actors import AgentActor, Said, actor_by
from ._capture import short_text
from ._openai_runner import install, question_of, status_of, trace_of
from ._openai_seen import together
from ._opening import check_agent, check_recorder, has_method, imported, opened
from ._questions import Question, decided, denial_of
from ._resuming import check_has, check_resuming
from .recorder import Recorder

__all__ = ("decide", "from_openai_agents", "record", "resume")

SOURCE = "openai-agents"


def record(hub: Hub | HubThread, **settings: Any) -> Recorder:
    """Record all runs of openai-agents in this process, from now on; ``close()`` of what it returns ends that.

    Called again for the same hub it returns the same recorder, and refuses other settings. ``settings`` are those of
    :class:`~hubwire.runtimes.Recorder`, as ``agent``, ``content``, ``session``, ``tenant``, ``redactor``,
    ``queue_max``. Raises :class:`~hubwire.errors.ConfigurationError` for one that cannot work, and where openai-agents
    is not installed.
    """
    imported("agents", "openai_agents")
    return opened(hub, SOURCE, install, settings, kind=Recorder)


async def resume(recorder: Recorder, agent: Any, waiting: Any, *, may_repeat: bool = False, **options: Any) -> Any:
    """Let the hub decide all that a run waits for, run on, and so forth until it has a result.

    ``waiting`` is the result of a run that may have ``interruptions``, or a ``RunState``, also one that another process
    has saved. ``agent`` is the agent that the run began with, and ``options`` are what ``Runner.run`` takes. Returns
    the result that waits for nothing more: the one that was given, if it does not wait.

    All that waits is asked at once, as approvals of the hub. A denial goes to the model with its reason; likewise a
    verdict with other arguments, as the runtime can only make the call that its model wrote. An approval lets a call be
    made once: if the same state is resumed again, as after a crash in which the tool may have run, the call is denied,
    unless ``may_repeat``.

    Raises what the run raises, and :class:`~hubwire.errors.HubClosed` if the hub ends before it has decided: then the
    run still waits, and another process may resume its state.
    """
    runner: Any = imported("agents", "openai_agents").Runner
    check_resuming("resume", recorder, may_repeat=may_repeat)
    check_has("resume", agent, "agent of openai-agents", "name", "tools")
    while True:
        state = _state_of("resume", waiting)
        if state is None:
            return waiting
        if state.get_interruptions():
            state = await decide(recorder, state, may_repeat=may_repeat)
        waiting = await runner.run(agent, state, **options)


async def decide(recorder: Recorder, waiting: Any, *, may_repeat: bool = False) -> Any:
    """Let the hub decide all that a run waits for, and return its ``RunState`` with the verdicts given, to be run.

    For programs that run it in their own way, streamed for example; otherwise like :func:`resume`. What the host has
    decided already is not asked.
    """
    check_resuming("decide", recorder, may_repeat=may_repeat)
    state = _state_of("decide", waiting, needs=True)
    asked = [
        (item, question_of(state, item)) for item in state.get_interruptions() if status_of(state, item)[0] is None
    ]
    with together(trace_of(state)):
        verdicts = await decided(recorder, [Question(**question) for _, question in asked])
    for (item, _), verdict in zip(asked, verdicts, strict=True):
        denial = denial_of(verdict, may_repeat=may_repeat, takes_arguments=False)
        if denial is None:
            state.approve(item)
        else:
            state.reject(item, rejection_message=denial)
    return state


def from_openai_agents(
    agent: Any,
    *,
    name: str | None = None,
    recorder: Recorder | None = None,
    options: Mapping[str, Any] | None = None,
    **settings: Any,
) -> AgentActor:
    """Return an actor that answers with an agent: ``await hub.spawn(from_openai_agents(agent))``.

    ``name`` is that of the agent by default. ``recorder``: whose hub decides what the agent's tools need approval for;
    without one, a turn that waits for approval has failed. ``options`` are what ``Runner.run`` takes, and ``settings``
    are those of :class:`~hubwire.runtimes.AgentActor`. What was said in the channel before is part of the input of the
    run: the agent's own as the assistant's, that of others as the user's, with their names.
    """
    runner: Any = imported("agents", "openai_agents").Runner
    given = dict(options or {})
    check_agent(
        "from_openai_agents", agent, "an Agent of openai-agents", kind=imported("agents", "openai_agents").Agent
    )
    if recorder is not None:
        check_recorder("from_openai_agents", recorder)

    async def answer(said: str, history: Sequence[Said], turn: Turn) -> Any:  # noqa: ARG001 - as all answers
        result = await runner.run(agent, [*map(_message, history), {"role": "user", "content": said}], **given)
        if result.interruptions and recorder is None:
            raise ConfigurationError(
                f"{agent.name} waits for approval of {result.interruptions[0].name}: give the actor a recorder, as in "
                "from_openai_agents(agent, recorder=record(hub))"
            )
        if recorder is not None:
            result = await resume(recorder, agent, result, **given)
        return result.final_output

    return actor_by("from_openai_agents", name or short_text(getattr(agent, "name", None)) or "agent", answer, settings)


def _message(said: Said) -> dict[str, str]:
    if said.is_own:
        return {"role": "assistant", "content": said.text}
    return {"role": "user", "content": f"{said.name}: {said.text}"}


def _state_of(called: str, waiting: Any, *, needs: bool = False) -> Any:
    """Return the state of a run that waits; None for a result that waits for nothing."""
    if has_method(waiting, "get_interruptions"):
        return waiting
    wanted = "run of openai-agents: pass what Runner.run(...) has returned, or a RunState"
    check_has(called, waiting, wanted, "interruptions", "to_state")
    return waiting.to_state() if waiting.interruptions or needs else None
