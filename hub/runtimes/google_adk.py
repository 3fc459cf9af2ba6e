"""Google's Agent Development Kit: runs of its agents become events of a hub.

::

    recorder = google_adk.record(hub)
    runner = InMemoryRunner(app=App(name="app", root_agent=agent, plugins=[recorder.plugin]))

It captures a turn for each agent with prompt and answer, model calls with tokens (streamed ones once), tool calls with
arguments, results and errors, transfers as hand-overs, and agents inside of tools as part of them. A tool call that
waits for a confirmation, or was denied one, is never recorded as made.

What ADK shows to no plugin: that an agent which has transferred has ended (it ends with the run here), the end of a run
that is cancelled (it fails with its last agent), and whether an answer is the model's or tool's own or that of a
``before_model_callback`` or ``before_tool_callback`` of the program. What a long-running tool finds later is no event.

Tested with google-adk 2.13.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import Hub, HubThread
from ..actors import Turn
from ._actors import AgentActor, Said, actor_by
from ._adk_contents import text_of
from ._adk_plugin import GoogleADKRecorder, plugin_of
from ._opening import check_agent, check_recorder, imported, opened
from ._questions import Question, decided, denial_of
from ._resuming import check_has, check_resuming
from ._settings import name_of

__all__ = ("GoogleADKRecorder", "from_google_adk", "record", "resume")

_CONFIRMATION = "adk_request_confirmation"

_DENIALS_MAX = 10_000


def record(hub: Hub | HubThread, **settings: Any) -> GoogleADKRecorder:
    """Record in a hub what is run in apps that have the recorder's ``plugin``.

    ``settings`` are those of :class:`~hubwire.runtimes.Recorder`. Called again for the same hub, it returns the same
    recorder, and refuses other settings.
    """
    imported("google.adk.plugins.base_plugin", "google_adk")

    def install(recorder: GoogleADKRecorder) -> None:
        recorder.denials = {}
        recorder.plugin = plugin_of(recorder)

    return opened(hub, "google-adk", install, settings, kind=GoogleADKRecorder)


async def resume(
    recorder: GoogleADKRecorder,
    runner: Any,
    *,
    user_id: str,
    session_id: str,
    may_repeat: bool = False,
    **settings: Any,
) -> Any:
    """Ask the hub about all tool calls that a session waits for, run on until none waits, and return ADK's events.

    ``settings`` are those of :meth:`Runner.run_async`. What is denied is told to the model with its reason, where the
    runner has the recorder's plugin. ADK takes no other arguments than the model's: an approval that changes them is a
    denial that says so.

    All that waits is asked at once. Asked again about the same session, also by another process, the hub has the same
    questions. An approval lets a call be made once: if the session is resumed again without the answer in it, as after
    a crash in which the tool may have run, the call is denied, unless ``may_repeat``.

    Raises what the run raises, and :class:`~hubwire.errors.HubClosed` if the hub ends before it has decided: then the
    session still waits, and may be resumed later.
    """
    check_resuming("resume", recorder, may_repeat=may_repeat, kind=GoogleADKRecorder)
    check_has("resume", runner, "Runner of google-adk", "session_service", "app_name", "run_async")
    name_of("resume(): user_id", user_id)
    name_of("resume(): session_id", session_id)
    types: Any = imported("google.genai.types", "google_adk")
    events: list[Any] = []
    while True:
        session = await runner.session_service.get_session(
            app_name=runner.app_name, user_id=user_id, session_id=session_id
        )
        if session is None or not (waiting := _waiting_in(session.events)):
            return events
        confirmed = await _confirmed(recorder, session_id, waiting, may_repeat=may_repeat)
        parts = [
            types.Part(
                function_response=types.FunctionResponse(
                    id=call.id, name=_CONFIRMATION, response={"confirmed": is_confirmed}
                )
            )
            for (_, call), is_confirmed in zip(waiting, confirmed, strict=True)
        ]
        message = types.Content(role="user", parts=parts)
        run = runner.run_async(user_id=user_id, session_id=session_id, new_message=message, **settings)
        events += [event async for event in run]


def from_google_adk(
    agent: Any, *, recorder: GoogleADKRecorder | None = None, name: str | None = None, **settings: Any
) -> AgentActor:
    """Return an actor that answers with an agent: ``await hub.spawn(from_google_adk(agent))``.

    Each answer has a session of its own, in memory, with what was said in the channel. ``recorder`` records it, and
    ``settings`` are those of :class:`~hubwire.runtimes.AgentActor`.
    """
    events: Any = imported("google.adk.events.event", "google_adk")
    types: Any = imported("google.genai.types", "google_adk")
    runners: Any = imported("google.adk.runners", "google_adk")
    apps: Any = imported("google.adk.apps", "google_adk")
    base = imported("google.adk.agents.base_agent", "google_adk").BaseAgent
    check_agent("from_google_adk", agent, "an agent of Google ADK", kind=base)
    if recorder is not None:
        check_recorder("from_google_adk", recorder, GoogleADKRecorder)
    plugins = [] if recorder is None else [recorder.plugin]
    runner = runners.InMemoryRunner(app=apps.App(name="hubwire", root_agent=agent, plugins=plugins))

    async def answer(said: str, history: Sequence[Said], turn: Turn) -> str:  # noqa: ARG001 - as all answers
        service = runner.session_service
        session = await service.create_session(app_name=runner.app_name, user_id="hubwire")
        for each in history:
            text = each.text if each.is_own else f"{each.name}: {each.text}"
            content = types.Content(role="model" if each.is_own else "user", parts=[types.Part.from_text(text=text)])
            await service.append_event(
                session, events.Event(author=agent.name if each.is_own else "user", content=content)
            )
        message = types.Content(role="user", parts=[types.Part.from_text(text=said)])
        answers = ""
        try:
            async for event in runner.run_async(user_id="hubwire", session_id=session.id, new_message=message):
                if event.is_final_response() and not event.partial:
                    answers = text_of(event.content) or answers
        finally:
            await service.delete_session(app_name=runner.app_name, user_id="hubwire", session_id=session.id)
        return answers

    return actor_by("from_google_adk", name or agent.name, answer, settings)


# -- approvals --


def _waiting_in(events: Sequence[Any]) -> list[tuple[str, Any]]:
    """Return the requests for confirmation that were not answered, each with its agent."""
    answered = {
        response.id for event in events if event.author == "user" for response in event.get_function_responses()
    }
    return [
        (event.author, call)
        for event in events
        for call in event.get_function_calls()
        if call.name == _CONFIRMATION and call.id not in answered
    ]


async def _confirmed(
    recorder: GoogleADKRecorder, session_id: str, waiting: Sequence[tuple[str, Any]], *, may_repeat: bool
) -> list[bool]:
    questions = [_question_of(session_id, agent, call) for agent, call in waiting]
    confirmed: list[bool] = []
    for question, verdict in zip(questions, await decided(recorder, questions), strict=True):
        denial = denial_of(verdict, may_repeat=may_repeat, takes_arguments=False)
        confirmed.append(denial is None)
        if denial is not None:
            recorder.denials[question.key] = denial
            if len(recorder.denials) > _DENIALS_MAX:
                del recorder.denials[next(iter(recorder.denials))]
    return confirmed


def _question_of(session_id: str, agent: str, call: Any) -> Question:
    original: Mapping[str, Any] = (call.args or {}).get("originalFunctionCall") or {}
    return Question(
        key=f"{session_id}:{original.get('id') or call.id}",
        action=str(original.get("name") or "tool"),
        arguments=original.get("args") or {},
        agent=agent,
    )
