"""Microsoft Agent Framework: runs of its agents become events of a hub.

::

    recorder = agent_framework.record(hub)
    agent = Agent(client, name="planner", middleware=[*mine, *recorder.middleware])

It captures runs with prompt and answer, each call of a model with tokens, tool calls with arguments, results and
errors, agents inside of tools as part of them, and the verdicts that the program gives to calls that wait. A streamed
run, as that of ``agent.as_tool()``, is recorded while it is read, and nothing is switched to streaming.

Agent Framework runs middleware in the order of its list, and shows it what the later ones let through: given last, the
recorder sees each attempt of a middleware that tries again. It shows to none: calls that wait or are denied, why the
model is told that a tool failed, calls of tools that the provider runs, and whether a stream that its program stops
reading was read to its end, until the stream is closed.

Tested with agent-framework-core 1.20 to 1.23.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import Hub, HubThread
from ..actors import Turn
from ..errors import ConfigurationError
from ._actors import AgentActor, Said, actor_by
from ._agent_framework import agent_name, pending_of
from ._agent_framework_telling import Next, Telling, above, middleware_of
from ._opening import check_agent, check_recorder, imported, opened
from ._questions import Question, decided, denial_of
from ._resuming import check_has, check_resuming
from .recorder import Recorder

__all__ = ("AgentFrameworkRecorder", "from_agent_framework", "record", "resume")


class AgentFrameworkRecorder(Recorder):
    """A recorder with the middleware that agents are given: ``Agent(..., middleware=recorder.middleware)``."""

    middleware: Sequence[Any]
    """An ``AgentMiddleware``, a ``FunctionMiddleware`` and a ``ChatMiddleware``, for any number of agents; they belong
    together. They may stay when the recorder is closed, and do nothing then."""


def record(hub: Hub | HubThread, **settings: Any) -> AgentFrameworkRecorder:
    """Record in a hub what agents do that have the recorder's ``middleware``.

    ``settings`` are those of :class:`~hubwire.runtimes.Recorder`. Called again for the same hub, it returns the same
    recorder, and refuses other settings.
    """
    imported("agent_framework", "agent_framework")

    def install(recorder: AgentFrameworkRecorder) -> None:
        recorder.middleware = middleware_of(Telling(recorder))

    return opened(hub, "agent-framework-core", install, settings, kind=AgentFrameworkRecorder)


async def resume(
    recorder: Recorder, agent: Any, response: Any, *, session: Any, may_repeat: bool = False, **settings: Any
) -> Any:
    """Ask the hub about all tool calls that a run waits for, and run on; return the response that waits for none.

    ``agent`` and ``settings`` are what :meth:`Agent.run` is called on and with, and ``session`` is the one of the run:
    the framework heeds no answer without it. What is denied is told to the model with its reason. A response that waits
    for other input is returned as it is. Asked again about the same response, also by another process that has read the
    session, the hub has the same questions. A call that was approved is made once: resumed again, as after a crash, it
    is denied unless ``may_repeat``.

    Raises what the run raises, and :class:`~hubwire.errors.HubClosed` if the hub ends before it has decided: then the
    run still waits.
    """
    framework = imported("agent_framework", "agent_framework")
    check_resuming("resume", recorder, may_repeat=may_repeat)
    check_has("resume", agent, "agent of the framework", "run")
    check_has("resume", response, "response of a run: give what agent.run(...) has returned", "user_input_requests")
    if session is None:
        raise ConfigurationError(
            "resume() needs the session of the run: agent.run(..., session=session), session = agent.create_session()"
        )
    check_has("resume", session, "session: give what agent.create_session() has returned", "session_id")
    while (requests := pending_of(response)) is not None:
        questions = [_question(recorder, agent, session, each) for each in requests]
        verdicts = await decided(recorder, questions)
        answers: list[Any] = []
        denials: dict[str, str] = {}
        for request, verdict in zip(requests, verdicts, strict=True):
            denial = denial_of(verdict, may_repeat=may_repeat, takes_arguments=False)
            if denial is not None:
                denials[request.function_call.call_id] = denial
            answers.append(request.to_function_approval_response(denial is None))
        response = await agent.run(
            framework.Message("user", answers),
            session=session,
            **{**settings, "middleware": [*(settings.get("middleware") or ()), *_reasons(framework, denials)]},
        )
    return response


def from_agent_framework(
    agent: Any, *, name: str | None = None, recorder: Recorder | None = None, **settings: Any
) -> AgentActor:
    """Return an actor that answers with an agent: ``await hub.spawn(from_agent_framework(agent))``.

    ``name`` is that of the agent by default. ``recorder``: whose hub decides what the agent's tools need approval for;
    without one, a turn that waits for approval has failed. ``settings`` are those of
    :class:`~hubwire.runtimes.AgentActor`.
    """
    framework = imported("agent_framework", "agent_framework")
    check_agent("from_agent_framework", agent, "an agent of agent_framework", has=("run", "create_session"))
    if recorder is not None:
        check_recorder("from_agent_framework", recorder)

    async def answer(said: str, history: Sequence[Said], turn: Turn) -> Any:  # noqa: ARG001 - as all answers
        messages = [
            framework.Message("assistant", [each.text])
            if each.is_own
            else framework.Message("user", [f"{each.name}: {each.text}"])
            for each in history
        ]
        session = agent.create_session()
        with above.apart():
            response = await agent.run([*messages, framework.Message("user", [said])], session=session)
            if recorder is not None:
                response = await resume(recorder, agent, response, session=session)
            elif requests := pending_of(response):
                raise ConfigurationError(
                    f"{agent.name} waits for approval of {requests[0].function_call.name}: give the actor a recorder, "
                    "as in from_agent_framework(agent, recorder=record(hub))"
                )
            return response.text

    return actor_by("from_agent_framework", name or agent_name(agent) or "agent", answer, settings)


def _question(recorder: Recorder, agent: Any, session: Any, request: Any) -> Question:
    call = request.function_call
    return Question(
        key=f"{session.session_id}:{request.id}",
        action=call.name,
        arguments=call.parse_arguments(),
        agent=agent_name(agent),
        parent=above.key(recorder),
    )


def _reasons(framework: Any, denials: dict[str, str]) -> Sequence[Any]:
    """Return the middleware that gives the model the reasons: the framework has one text for all denials."""
    if not denials:
        return ()

    class Reasons(framework.ChatMiddleware):  # type: ignore[misc]  # its class is known when it is installed
        async def process(self, context: Any, call_next: Next) -> None:
            for message in context.messages:
                for content in message.contents:
                    if content.type == "function_result" and content.call_id in denials:
                        content.result = denials[content.call_id]
                        content.items = [framework.Content.from_text(content.result)]
            await call_next()

    return (Reasons(),)
