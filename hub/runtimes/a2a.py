"""A2A, the protocol between agents: what an agent is asked by others becomes events of a hub.

::

    recorder = a2a.record(hub)
    handler = DefaultRequestHandler(recorder.executor(MyExecutor(), agent="coder"), store, card)

Each ``execute`` of an executor is a turn: what was said to the agent, and what it answered: its message, or its
artifacts, the pieces of streamed ones put together. A task that has failed, was rejected or cancelled is a turn that
has failed. One that needs input or credentials is a turn that has ended, and says what it waits for; it goes on in
another turn. Turns of one context have its id as their ``session_id``, those of one task its id as their
``correlation_id``, unless the request belongs to a trace.

What A2A hides: which models and tools an agent calls, and who it is that asks. Where a runtime calls them for which
there is an adapter, use both; by hand, record them with ``recorder.begin_tool(..., parent=recorder.turn_key)``.
:func:`decide` asks the hub for approval, in an executor.

Tested with a2a-sdk 1.2 to 1.3.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Final

import attrs

from .. import Hub, HubThread
from ..actors import Turn
from ..errors import ConfigurationError
from ._a2a_parts import said_in
from ._actors import AgentActor, Said, actor_by
from ._capture import captured
from ._opening import check_agent, imported, opened
from ._questions import Question, decided, denial_of
from ._resuming import check_has, check_resuming
from ._served import correlation_of
from ._settings import APPROVAL_CHARS, CONTENT_CHARS, name_of
from .recorder import Recorder
from .verdict import Verdict

__all__ = ("A2ARecorder", "decide", "from_a2a", "record")

_ARTIFACTS_MAX: Final = 100
_WAITING_MAX: Final = 10_000
_ANSWER_CHARS_MAX: Final = 1024 * 1024
_ITEMS_MAX: Final = 10_000
"""How many values of a part's data are looked at: reading a megabyte of it takes a third of a second."""
_ITEMS_SHOWN: Final = 200

_FAILED: Final = {"TASK_STATE_FAILED": "TaskFailed", "TASK_STATE_REJECTED": "TaskRejected"}
_WAITS: Final = {"TASK_STATE_INPUT_REQUIRED": "waits_for_input", "TASK_STATE_AUTH_REQUIRED": "waits_for_credentials"}
_CANCELED: Final = "TASK_STATE_CANCELED"

_turns: ContextVar[tuple[tuple[Recorder, str], ...]] = ContextVar("hubwire.runtimes.a2a.turns", default=())
"""The turns that this code belongs to, the innermost last."""


class A2ARecorder(Recorder):
    """A recorder that wraps executors: ``DefaultRequestHandler(recorder.executor(...), ...)``."""

    def executor(self, executor: Any, *, agent: str | None = None) -> Any:
        """Return an ``AgentExecutor`` that does what this one does, and is recorded.

        ``agent`` is the agent's name; by default, that of the executor's class. It may stay when the recorder is
        closed, and only hands on then.

        Raises :class:`~hubwire.errors.ConfigurationError` for what is no executor.
        """
        base: Any = imported("a2a.server.agent_execution", "a2a").AgentExecutor
        if not isinstance(executor, base):
            raise ConfigurationError(
                f"executor() takes an a2a.server.agent_execution.AgentExecutor, not a {type(executor).__name__}"
            )
        if agent is not None and (type(agent) is not str or not agent):
            raise ConfigurationError(f"an agent's name is a text, not {captured(agent, 100)!r}; give agent=...")
        return _wrapped(self, base, executor, agent or type(executor).__name__)

    @property
    def turn_key(self) -> str | None:
        """The key of the turn that this code belongs to: the ``parent`` of what an executor records by hand."""
        return next((key for recorder, key in reversed(_turns.get()) if recorder is self), None)


def record(hub: Hub | HubThread, **settings: Any) -> A2ARecorder:
    """Record in a hub what agents are asked whose executors :meth:`A2ARecorder.executor` has wrapped.

    ``settings`` are those of :class:`~hubwire.runtimes.Recorder`. Called again for the same hub, it returns the same
    recorder, and refuses other settings.
    """
    imported("a2a.server.agent_execution", "a2a")
    recorder: A2ARecorder = opened(hub, "a2a-sdk", lambda _: None, settings, kind=A2ARecorder)
    return recorder


async def decide(
    recorder: Recorder, context: Any, action: str, arguments: Any = None, *, may_repeat: bool = False
) -> Verdict:
    """Ask the hub for approval of an action of a task, and wait for the verdict; for use in an executor.

    ``context`` is the ``RequestContext`` of the executor. Within a task, the same action with the same arguments is
    the same question, also in another process. Its approval lets the action be done once: asked again, as after a crash
    in which it may have been done, it is denied, unless ``may_repeat``. ``was_used`` says so in either case.

    Raises :class:`~hubwire.errors.HubClosed` if the hub ends before it has decided, or is not running: that is no
    denial, and the task may be asked to go on later. Raises :class:`~hubwire.errors.ConfigurationError` for a context
    without a task, and for what is no recorder.
    """
    check_resuming("decide", recorder, may_repeat=may_repeat)
    check_has("decide", context, "RequestContext, as executors are given it", "task_id")
    task_id = context.task_id
    if type(task_id) is not str or not task_id:
        raise ConfigurationError("decide() takes the RequestContext of an executor, which has the id of its task")
    name_of("decide(): action", action)
    copy = captured(arguments, APPROVAL_CHARS)
    digest = hashlib.sha256(json.dumps(copy, sort_keys=True).encode()).hexdigest()[:32]
    question = Question(
        key=f"{task_id}:{action}:{digest}",
        action=action,
        arguments=arguments,
        agent=None,
        parent=next((key for each, key in reversed(_turns.get()) if each is recorder), None),
    )
    (verdict,) = await decided(recorder, [question])
    if verdict.is_approved and (denial := denial_of(verdict, may_repeat=may_repeat, takes_arguments=True)) is not None:
        return attrs.evolve(verdict, is_approved=False, reason=denial)
    return verdict


def from_a2a(client: Any, *, name: str, **settings: Any) -> AgentActor:
    """Return an actor that answers with an agent elsewhere: ``await hub.spawn(from_a2a(client, name="coder"))``.

    ``client`` is an :class:`a2a.client.Client`. A channel is a context there, which the agent remembers: it is told
    what others have said since its own last answer. When it needs input, its question is the answer, and what is said
    next goes to the same task. ``settings`` are those of :class:`~hubwire.runtimes.AgentActor`.
    """
    imported("a2a.client", "a2a")
    check_agent(
        "from_a2a", client, "a Client of a2a.client, as ClientFactory(...).create(card) makes it", has=("send_message",)
    )
    return actor_by("from_a2a", name, _Remote(client, name).answer, settings)


def _wrapped(recorder: A2ARecorder, base: Any, executor: Any, agent: str) -> Any:
    queue: Any = imported("a2a.server.events", "a2a").EventQueue

    class HubwireQueue(queue):  # type: ignore[misc]  # its class is known when it is installed
        """Hands on what an executor says, and has it looked at."""

        def __init__(self, inner: Any, *turns: _Turn) -> None:
            self._inner = inner
            self._turns = turns

        async def enqueue_event(self, event: Any) -> None:
            await self._inner.enqueue_event(event)
            try:
                for turn in self._turns:
                    turn.look(event)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - what cannot be read was said all the same
                recorder.failed("look", error)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    class HubwireExecutor(base):  # type: ignore[misc]
        """Tells a recorder what an executor does."""

        def __init__(self) -> None:
            self._open: dict[str, list[_Turn]] = {}
            """The turns of each task that are open: a server may execute one twice at a time."""

        async def execute(self, context: Any, event_queue: Any) -> None:
            turn = None if recorder.is_closed else _begun(recorder, context, agent)
            if turn is None:
                await executor.execute(context, event_queue)
                return
            self._open.setdefault(turn.task_id, []).append(turn)
            token = _turns.set((*_turns.get(), (recorder, turn.key)))
            try:
                await executor.execute(context, HubwireQueue(event_queue, turn))
            except BaseException as error:
                recorder.fail(turn.key, error)
                raise
            finally:
                _turns.reset(token)
                turns = self._open[turn.task_id]
                turns.remove(turn)
                if not turns:
                    del self._open[turn.task_id]
            turn.end(recorder)

        async def cancel(self, context: Any, event_queue: Any) -> None:
            turns = self._open.get(f"{context.task_id}")
            if not turns:
                await executor.cancel(context, event_queue)
            else:
                await executor.cancel(context, HubwireQueue(event_queue, *turns))

        def __getattr__(self, name: str) -> Any:
            return getattr(executor, name)

    return HubwireExecutor()


def _begun(recorder: A2ARecorder, context: Any, agent: str) -> _Turn | None:
    try:
        turn = _Turn(f"{context.task_id}", _ITEMS_MAX if recorder.is_whole else _ITEMS_SHOWN)
        message = context.message
        recorder.begin_turn(
            turn.key,
            agent=agent,
            parent=recorder.turn_key,
            prompt=None if message is None else said_in(message.parts, turn.answer.items_max),
            session=context.context_id,
            correlation=_trace_of(context) or context.task_id,
        )
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a request that cannot be read is executed all the same
        recorder.failed("execute", error)
        return None
    return turn


def _trace_of(context: Any) -> str | None:
    headers = context.call_context.state.get("headers")
    return correlation_of(headers)


class _Turn:
    """What an executor has said in a turn."""

    def __init__(self, task_id: str, items_max: int) -> None:
        self.task_id = task_id
        self.key = f"{task_id}-{uuid.uuid4().hex[:12]}"
        self.answer = _Answer(CONTENT_CHARS, items_max)

    def look(self, event: Any) -> None:
        self.answer.add(type(event).DESCRIPTOR.name, event)

    def end(self, recorder: Recorder) -> None:
        answer, state = self.answer, self.answer.state
        if state == _CANCELED:
            recorder.fail(self.key, "the task was cancelled", kind="CancelledError")
        elif state in _FAILED:
            recorder.fail(self.key, answer.said or state, kind=_FAILED[state])
        elif state in _WAITS:
            recorder.end(self.key, {_WAITS[state]: answer.said})
        else:
            recorder.end(self.key, answer.content)


@attrs.define
class _Artifact:
    """What has come of an artifact."""

    pieces: list[Any] = attrs.field(factory=list)
    size: int = 0


@attrs.define
class _Answer:
    """What an agent has answered, as events of the protocol say it."""

    chars_max: int
    items_max: int
    state: str = ""
    said: Any = None
    """The last message, on its own or with a state."""
    message: Any = None
    artifacts: dict[str, _Artifact] = attrs.field(factory=dict)

    def add(self, kind: str, event: Any) -> None:
        if kind == "Message":
            self.message = self.said = said_in(event.parts, self.items_max)
        elif kind == "TaskArtifactUpdateEvent":
            self._artifact(event.artifact, is_more=event.append)
        else:  # a Task, or a TaskStatusUpdateEvent
            if event.HasField("status"):
                self.state = _name_of(event.status)
                if event.status.HasField("message"):
                    self.said = said_in(event.status.message.parts, self.items_max)
            if kind == "Task":
                for artifact in event.artifacts:
                    self._artifact(artifact, is_more=False)

    @property
    def content(self) -> Any:
        if self.message is not None:
            return self.message
        contents = [_joined(each.pieces) for each in self.artifacts.values()]
        return contents[0] if len(contents) == 1 else contents or self.said

    def _artifact(self, artifact: Any, *, is_more: bool) -> None:
        if not is_more:
            self.artifacts.pop(artifact.artifact_id, None)
        size = sum(each.size for each in self.artifacts.values())
        if len(self.artifacts) < _ARTIFACTS_MAX and size < self.chars_max:
            piece = said_in(artifact.parts, self.items_max)
            there = self.artifacts.setdefault(artifact.artifact_id, _Artifact())
            there.pieces.append(piece)
            there.size += len(piece) if isinstance(piece, str) else 100


def _name_of(status: Any) -> str:
    field = type(status).DESCRIPTOR.fields_by_name["state"]
    value = field.enum_type.values_by_number.get(status.state)
    return "" if value is None else str(value.name)


def _joined(pieces: Sequence[Any]) -> Any:
    if all(isinstance(piece, str) for piece in pieces):
        return "".join(pieces)
    return pieces[0] if len(pieces) == 1 else list(pieces)


class _Remote:
    """An agent elsewhere, with which an actor answers."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name
        self._waiting: dict[str, str] = {}
        """The tasks that wait for input, by their context."""

    async def answer(self, said: str, history: Sequence[Said], turn: Turn) -> Any:
        types = imported("a2a.types.a2a_pb2", "a2a")
        context = turn.envelope.channel_id or uuid.uuid4().hex
        message = types.Message(
            message_id=uuid.uuid4().hex,
            role=types.Role.ROLE_USER,
            context_id=context,
            task_id=self._waiting.pop(context, ""),
            parts=[types.Part(text=text) for text in (*_news(history), said)],
        )
        answer, task_id = _Answer(_ANSWER_CHARS_MAX, _ANSWER_CHARS_MAX), ""
        async for response in self._client.send_message(types.SendMessageRequest(message=message)):
            name = response.WhichOneof("payload")
            event = getattr(response, name)
            answer.add(type(event).DESCRIPTOR.name, event)
            task_id = getattr(event, "id", "") or getattr(event, "task_id", "") or task_id
        if answer.state in _FAILED or answer.state == _CANCELED:
            raise RuntimeError(f"the agent {self._name} answers {answer.state}: {answer.said or 'it does not say why'}")
        if answer.state in _WAITS:
            if turn.envelope.channel_id is not None and len(self._waiting) < _WAITING_MAX:
                self._waiting[context] = task_id
            return answer.said
        return answer.content


def _news(history: Sequence[Said]) -> list[str]:
    """Return what others have said since the agent's own last answer."""
    news: list[str] = []
    for each in history:
        if each.is_own:
            news.clear()
        else:
            news.append(f"{each.name}: {each.text}")
    return news
