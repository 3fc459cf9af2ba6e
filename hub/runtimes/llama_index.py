"""LlamaIndex: runs of its workflows and agents become events of a hub.

::

    recorder = llama_index.record(hub)  # hears all agents of the process; recorder.close() ends it

It captures runs with prompt and answer, which agent of an ``AgentWorkflow`` is at work, hand-overs, model calls with
tokens where the model tells them, streamed or not, and tool calls with arguments, results and errors. A tool that waits
for a person is recorded as called when it has its answer and goes on, not while it waits.

What LlamaIndex shows to no handler: the answer that a program itself gives to a tool that waits (:func:`resume` asks
the hub instead), and attempts that the client library of a model repeats. Cancelling what awaits a handler leaves the
run at work: ``handler.cancel_run()`` ends it, and only that is recorded as its end.

Tested with llama-index-core 0.14.25 and llama-index-workflows 2.26.1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import anyio

from .. import Hub, HubThread
from ..actors import Turn
from ._actors import AgentActor, Said
from ._llama_spans import Run, Telling, answer_of, fields_of
from ._opening import imported, opened
from ._questions import check_asked
from .recorder import Recorder
from .verdict import Verdict

__all__ = ("from_llama_index", "record", "resume")


def record(hub: Hub | HubThread, **settings: Any) -> Recorder:
    """Record in a hub what all workflows and agents of this process do, until the recorder is closed.

    ``settings`` are those of :class:`~hubwire.runtimes.Recorder`. Called again for the same hub, it returns the same
    recorder.
    """
    dispatcher = imported("llama_index.core.instrumentation", "llama_index").get_dispatcher()

    def install(recorder: _LlamaIndexRecorder) -> Callable[[], object]:
        recorder.telling = Telling(recorder)
        spans, events = _handlers(recorder.telling)
        dispatcher.add_span_handler(spans)
        dispatcher.add_event_handler(events)

        def undo() -> None:
            dispatcher.span_handlers = [each for each in dispatcher.span_handlers if each is not spans]
            dispatcher.event_handlers = [each for each in dispatcher.event_handlers if each is not events]

        return undo

    return opened(hub, "llama-index", install, kind=_LlamaIndexRecorder, **settings)


async def resume(
    recorder: Recorder,
    handler: Any,
    *,
    session: str | None = None,
    answer: Callable[[Any, Verdict], Any] | None = None,
    on_event: Callable[[Any], object] | None = None,
) -> Any:
    """Ask the hub whenever a run waits for a person, and return the run's result.

    ``handler`` is what ``agent.run()`` has returned; its stream of events is read here, and ``on_event`` is called with
    each of them. ``answer(event, verdict)`` makes the event that is sent back; by default a ``HumanResponseEvent`` with
    the fields of the request, ``response`` ``"yes"`` or ``"no"``, ``reason``, and ``arguments`` where the approver has
    changed them. ``session`` names the conversation in the key of the question, which else is that of this run.

    Raises what the run raises; and :class:`~hubwire.errors.HubClosed` if the hub ends before it has decided, and then
    the run is cancelled: it would wait for ever.
    """
    events = imported("workflows.events", "llama_index")
    telling = getattr(recorder, "telling", None)
    respond = answer or (lambda event, verdict: _response(events, event, verdict))

    async def decide(event: Any) -> None:
        run = None if telling is None else telling.run_of(handler.run_id)
        key, action, arguments, parent = _question(event, run)
        verdict = await recorder.decide(f"{session or handler.run_id}:{key}", action, arguments, parent=parent)
        check_asked(recorder, verdict, action)
        handler.ctx.send_event(respond(event, verdict))

    failures: list[Exception] = []

    async def decide_or_end(event: Any) -> None:
        try:
            await decide(event)
        except Exception as error:  # noqa: BLE001 - it is raised below, in the place of the run's
            failures.append(error)
            await handler.cancel_run()  # it would wait for ever

    result: Any = None
    async with anyio.create_task_group() as tasks:
        try:
            async for event in handler.stream_events():
                if on_event is not None:
                    on_event(event)
                if isinstance(event, events.InputRequiredEvent):
                    tasks.start_soon(decide_or_end, event)
            result = await handler
        except Exception as error:  # noqa: BLE001 - a group would raise a group of it
            failures.append(error)
        tasks.cancel_scope.cancel()
    if failures:
        raise failures[0]
    return result


def from_llama_index(agent: Any, *, name: str | None = None, **settings: Any) -> AgentActor:
    """Return an actor that answers with an agent or an ``AgentWorkflow``: ``await hub.spawn(from_llama_index(agent))``.

    ``name`` is that of the agent by default, and of a workflow that of its root agent; ``settings`` are those of
    :class:`~hubwire.runtimes.AgentActor`.
    """
    messages = imported("llama_index.core.llms", "llama_index")
    active = imported("llama_index_instrumentation.span", "llama_index").active_span_id

    async def answer(said: str, history: Sequence[Said], turn: Turn) -> Any:  # noqa: ARG001 - as all answers
        past = [
            messages.ChatMessage(role="assistant", content=each.text)
            if each.is_own
            else messages.ChatMessage(role="user", content=f"{each.name}: {each.text}")
            for each in history
        ]
        token = active.set(None)
        try:
            handler = agent.run(user_msg=said, chat_history=past or None)
        finally:
            active.reset(token)
        try:
            return answer_of(await handler)
        except asyncio.CancelledError:
            await handler.cancel_run()
            raise

    return AgentActor(name or str(getattr(agent, "root_agent", None) or agent.name), answer, **settings)


class _LlamaIndexRecorder(Recorder):
    telling: Telling


def _handlers(telling: Telling) -> tuple[Any, Any]:
    spans: Any = imported("llama_index.core.instrumentation.span_handlers", "llama_index").BaseSpanHandler
    events: Any = imported("llama_index.core.instrumentation.event_handlers", "llama_index").BaseEventHandler

    class HubwireSpanHandler(spans):  # type: ignore[misc]  # its class is known when it is installed
        """Tells a recorder of spans."""

        def span_enter(
            self, id_: str, bound_args: Any, instance: Any = None, parent_id: Any = None, tags: Any = None, **_: Any
        ) -> None:
            telling.enter(id_, bound_args.arguments, instance, parent_id, tags)

        def span_exit(self, id_: str, *_: Any, result: Any = None, **__: Any) -> None:
            telling.exit(id_, result)

        def span_drop(self, id_: str, *_: Any, err: Any = None, **__: Any) -> None:
            telling.drop(id_, err)

        def new_span(self, *_: Any, **__: Any) -> None:
            """None: the handler keeps its own."""

        prepare_to_exit_span = prepare_to_drop_span = new_span

    class HubwireEventHandler(events):  # type: ignore[misc]  # likewise
        """Tells a recorder of events."""

        def handle(self, event: Any, **_: Any) -> None:
            telling.handle(event)

    return HubwireSpanHandler(), HubwireEventHandler()


def _question(event: Any, run: Run | None) -> tuple[str, str, Any, str | None]:
    """Return key, action, arguments and parent of what an event asks a person."""
    said = fields_of(event)
    parent = None if run is None else run.turn
    calls = list(run.waiting.values()) if run is not None else []
    call = calls[0] if len(calls) == 1 else None
    key = said.get("waiter_id") or (call.tool_id if call is not None else repr(sorted(said.items())))
    if isinstance(said.get("action"), str):
        return str(key), said["action"], said.get("arguments"), parent
    if call is not None:
        return str(key), call.tool_name, dict(call.tool_kwargs), parent
    return str(key), "answer", said, parent


def _response(events: Any, event: Any, verdict: Verdict) -> Any:
    fields = {name: value for name, value in fields_of(event).items() if name != "prefix"}
    fields |= {"response": "yes" if verdict.is_approved else "no", "reason": verdict.reason}
    if verdict.is_modified:
        fields["arguments"] = verdict.arguments
    return events.HumanResponseEvent(**fields)
