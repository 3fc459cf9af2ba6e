"""LlamaIndex: runs of its workflows and agents become events of a hub.

::

    recorder = llama_index.record(hub)  # hears all agents of the process; recorder.close() ends it

It captures runs with prompt and answer, which agent of an ``AgentWorkflow`` is at work, hand-overs, model calls with
tokens where the model tells them, streamed or not, and tool calls with arguments, results and errors. A tool that waits
for a person is recorded as called when it has its answer and goes on, not while it waits.

What LlamaIndex shows to no handler: the answer that a program itself gives to a tool that waits (:func:`resume` asks
the hub instead), what a step that has ended with an ``InputRequiredEvent`` waits for in another process, and attempts
that the client library of a model repeats. Cancelling what awaits a handler leaves the run at work:
``handler.cancel_run()`` ends it, and only that is recorded as its end.

Tested with llama-index-core 0.14.12 and 0.14.25, llama-index-workflows 2.26.1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import anyio

from .. import Hub, HubThread
from ..actors import Turn
from ..errors import ConfigurationError, HubClosed
from ._actors import AgentActor, Said, actor_by
from ._capture import captured
from ._llama_asking import Asking, Wait
from ._llama_spans import Telling
from ._llama_values import answer_of
from ._opening import check_agent, check_can, check_recorder, imported, opened
from ._settings import flag, name_of
from .recorder import Recorder
from .verdict import Verdict

__all__ = ("from_llama_index", "record", "resume")


def record(hub: Hub | HubThread, **settings: Any) -> Recorder:
    """Record in a hub what all workflows and agents of this process do, until the recorder is closed.

    ``settings`` are those of :class:`~hubwire.runtimes.Recorder`. Called again for the same hub, it returns the same
    recorder, and refuses other settings.
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

    return opened(hub, "llama-index", install, settings, kind=_LlamaIndexRecorder)


async def resume(
    recorder: Recorder,
    handler: Any,
    *,
    session: str | None = None,
    answer: Callable[[Any, Verdict], Any] | None = None,
    on_event: Callable[[Any], object] | None = None,
    may_repeat: bool = False,
) -> Any:
    """Ask the hub whenever a run waits for a person, and return the run's result.

    ``handler`` is what ``agent.run()`` has returned; its stream of events is read here, and ``on_event`` is called with
    each of them. What waits at the same time is asked at the same time. A tool that waits is asked about by its name
    and arguments, or by ``action`` and ``arguments`` of its request. ``answer(event, verdict)`` makes the event that is
    sent back; by default a ``HumanResponseEvent`` with the fields of the request, ``response`` ``"yes"`` or ``"no"``,
    ``reason``, and ``arguments`` where the approver has changed them. Where one answer would go to several that wait
    (``requirements`` tell them apart), it is a yes only if all of them are approved.

    ``session`` names the conversation in the key of the question, which else is that of this run. With it a run that
    goes on in another process, from ``Context.from_dict()``, has the same question; of what waits there without
    ``requirements``, the request is lost, so the tool's name and arguments are asked about, and ``answer`` is called
    with the call. An approval counts once: a call that may have been made before a crash is denied, unless
    ``may_repeat``.

    Raises what the run raises, and :class:`~hubwire.errors.HubClosed` if the hub ends before it has decided: then the
    run still waits. If ``answer`` or ``on_event`` raises, the run is cancelled.
    """
    check_recorder("resume", recorder)
    check_can("resume", handler, "stream_events", "run: give what agent.run(...) has returned")
    for argument, given in (("answer", answer), ("on_event", on_event)):
        if given is not None and not callable(given):
            raise ConfigurationError(f"resume(): {argument} is a function, not {captured(given, 100)!r}")
    if session is not None:
        name_of("resume(): session", session)
    flag("resume(): may_repeat", may_repeat)
    events = imported("workflows.events", "llama_index")
    asking = Asking(recorder, handler, session=session, answer=answer, may_repeat=may_repeat)
    failures: list[Exception] = []

    async def decide(wait: Wait) -> None:
        try:
            await asking.decide(wait)
        except HubClosed as error:
            failures.append(error)
            tasks.cancel_scope.cancel()  # the run waits on, for a hub that can be asked
        except Exception as error:  # noqa: BLE001 - it is raised below, in the place of the run's
            failures.append(error)
            await handler.cancel_run()  # it would wait for ever

    result: Any = None
    async with anyio.create_task_group() as tasks:
        try:
            await asking.begin(lambda wait: tasks.start_soon(decide, wait))
            async for event in handler.stream_events():
                if on_event is not None:
                    on_event(event)
                if isinstance(event, events.InputRequiredEvent):
                    tasks.start_soon(decide, asking.take(event))
            result = await handler
        except Exception as error:  # noqa: BLE001 - a group would raise a group of it
            failures.append(error)
            if not handler.is_done():
                await handler.cancel_run()
        finally:
            asking.end()
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
    check_agent("from_llama_index", agent, "an agent or an AgentWorkflow of llama_index", has=("run",))
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

    return actor_by("from_llama_index", name or str(getattr(agent, "root_agent", None) or agent.name), answer, settings)


class _LlamaIndexRecorder(Recorder):
    telling: Telling


def _handlers(telling: Telling) -> tuple[Any, Any]:
    spans: Any = imported("llama_index.core.instrumentation.span_handlers", "llama_index").BaseSpanHandler
    events: Any = imported("llama_index.core.instrumentation.event_handlers", "llama_index").BaseEventHandler

    def tell(method: Callable[..., None], *args: Any) -> None:
        try:
            method(*args)
        except BaseException as error:  # noqa: BLE001 - the dispatcher would swallow it, and none would know
            telling.failed(method.__name__, error)

    class HubwireSpanHandler(spans):  # type: ignore[misc]  # its class is known when it is installed
        """Tells a recorder of spans."""

        def span_enter(
            self, id_: str, bound_args: Any, instance: Any = None, parent_id: Any = None, tags: Any = None, **_: Any
        ) -> None:
            tell(telling.enter, id_, bound_args.arguments, instance, parent_id, tags)

        def span_exit(self, id_: str, *_: Any, result: Any = None, **__: Any) -> None:
            tell(telling.exit, id_, result)

        def span_drop(self, id_: str, *_: Any, err: Any = None, **__: Any) -> None:
            tell(telling.drop, id_, err)

        def new_span(self, *_: Any, **__: Any) -> None:
            """None: the handler keeps its own."""

        prepare_to_exit_span = prepare_to_drop_span = new_span

    class HubwireEventHandler(events):  # type: ignore[misc]  # likewise
        """Tells a recorder of events."""

        def handle(self, event: Any, **_: Any) -> None:
            tell(telling.handle, event)

    return HubwireSpanHandler(), HubwireEventHandler()
