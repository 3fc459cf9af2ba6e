"""Agno: runs of its agents and teams become events of a hub.

::

    recorder = agno.record(hub)  # all agents and teams of the program, until recorder.close()

It captures runs with prompt and answer, model calls with tokens (streamed ones once), tool calls with arguments,
results and errors, and members of teams and agents in tools as part of them. A call that waits for a confirmation, or
was denied one, is never recorded as made. A run that answers with an error, as Agno's do, has failed. One in the
background ends when its task does, and a stream that is read no further is abandoned.

Agno has no listener, and its hooks change what they watch: an async one moves sync tools from their threads onto the
event loop. So, while a recorder is open, methods of its classes are wrapped: ``run``, ``arun``, ``continue_run`` and
``acontinue_run`` of agents and teams, the execution of a function call, and the call of a model.

What Agno shows nowhere: the attempts of ``Model.retries`` (they are one call), the class of a tool's error (its text is
there), answers from the cache of a model, which are no calls, and before 3.1, the end of a run in the background, which
is abandoned then. Workflows are recorded as the runs of their steps.

Tested with agno 3.0 to 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from .. import Hub, HubThread
from ..actors import Turn
from ._actors import AgentActor, Said, actor_by
from ._agno_following import AgnoRecorder, outermost
from ._agno_methods import unwrap, wrap
from ._opening import check_agent, imported, opened
from ._questions import Question, decided, denial_of
from ._resuming import check_has, check_resuming

__all__ = ("AgnoRecorder", "from_agno", "record", "resume")


def record(hub: Hub | HubThread, **settings: Any) -> AgnoRecorder:
    """Record in a hub what all agents and teams of this process do.

    ``settings`` are those of :class:`~hubwire.runtimes.Recorder`. Called again for the same hub, it returns the same
    recorder, and refuses other settings.
    """
    imported("agno.agent", "agno")

    def install(recorder: AgnoRecorder) -> Any:
        wrap(recorder)
        return lambda: unwrap(recorder)

    return opened(hub, "agno", install, settings, kind=AgnoRecorder)


async def resume(
    recorder: AgnoRecorder, agent: Any, response: Any, *, may_repeat: bool = False, **settings: Any
) -> Any:
    """Ask the hub about all confirmations that a run waits for, and run on; return the response that waits for none.

    ``agent`` is what has run, an agent or a team, and ``settings`` are those of its ``acontinue_run``. What is denied
    is told to the model with its reason. A response that waits for input or for calls that are executed elsewhere is
    returned as it is.

    All that waits is asked at once. Asked again about the same response, also by another process, the hub has the same
    questions. An approval lets a call be made once: if the same response is resumed again, as after a crash in which
    the tool may have run, the call is denied, unless ``may_repeat``.

    Raises what the run raises, and :class:`~hubwire.errors.HubClosed` if the hub ends before it has decided: then the
    run still waits, and may be resumed later.
    """
    check_resuming("resume", recorder, may_repeat=may_repeat, kind=AgnoRecorder)
    check_has("resume", agent, "agent or team of Agno", "acontinue_run")
    check_has("resume", response, "run of Agno: pass what agent.run() or arun() has returned", "is_paused")
    while response.is_paused:
        waiting = [each for each in response.active_requirements if each.needs_confirmation]
        await _decide(recorder, agent, response, waiting, may_repeat=may_repeat)
        if not waiting or any(not each.is_resolved() for each in response.active_requirements):
            return response
        response = await agent.acontinue_run(
            run_response=response, requirements=response.requirements, session_id=response.session_id, **settings
        )
    return response


async def _decide(
    recorder: AgnoRecorder, agent: Any, response: Any, waiting: Sequence[Any], *, may_repeat: bool
) -> None:
    questions = [
        Question(
            key=f"{each.member_run_id or response.run_id}:{each.tool_execution.tool_call_id}",
            action=each.tool_execution.tool_name,
            arguments=each.tool_execution.tool_args,
            agent=each.member_agent_name or agent.name,
        )
        for each in waiting
    ]
    for each, verdict in zip(waiting, await decided(recorder, questions), strict=True):
        denial = denial_of(verdict, may_repeat=may_repeat, takes_arguments=True)
        if denial is not None:
            each.reject(note=denial)
            continue
        if verdict.is_modified:
            each.tool_execution.tool_args = dict(verdict.arguments)
        each.confirm()


def from_agno(agent: Any, *, name: str | None = None, **settings: Any) -> AgentActor:
    """Return an actor that answers with an agent or a team: ``await hub.spawn(from_agno(agent))``.

    Each answer has a session of its own, with what was said in the channel. ``settings`` are those of
    :class:`~hubwire.runtimes.AgentActor`. A run that answers with an error, or waits for a confirmation, fails the
    turn.
    """
    message: Any = imported("agno.models.message", "agno").Message
    check_agent("from_agno", agent, "an Agent or a Team of agno", has=("arun",))

    async def answer(said: str, history: Sequence[Said], turn: Turn) -> Any:  # noqa: ARG001 - as all answers
        messages = [
            message(role="assistant", content=each.text)
            if each.is_own
            else message(role="user", content=f"{each.name}: {each.text}")
            for each in history
        ]
        with outermost():
            response = await agent.arun([*messages, message(role="user", content=said)], session_id=f"{uuid4()}")
        if response.status.value in ("ERROR", "PAUSED", "CANCELLED"):
            raise RuntimeError(f"the run of {agent.name} is {response.status.value.lower()}: {response.content}")
        return response.content

    return actor_by("from_agno", name or agent.name or "agent", answer, settings)
