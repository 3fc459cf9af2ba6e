"""What a run of LlamaIndex waits for from a person: the hub is asked, and the run gets its verdict.

A run waits in one of two ways. A tool, or a step of a workflow, calls ``wait_for_event``: the workflow then has a
waiter, which is in the state of its context, and which any event of its type that meets its requirements ends. Or a
step returns an ``InputRequiredEvent``, and another one takes the answer; of that there is no state.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Final
from weakref import WeakKeyDictionary

import attrs

from ._capture import captured
from ._llama_spans import Telling
from ._llama_values import agent_name_of, fields_of
from ._opening import imported
from ._questions import Question, counted, decided
from .recorder import Recorder
from .verdict import Verdict

__all__ = ("Asking", "Wait")

_KEY_CHARS: Final = 10_000

_left: WeakKeyDictionary[Any, list[Wait]] = WeakKeyDictionary()
"""What runs wait for that were asked about, and whose hub has ended before it has decided."""


@attrs.define(slots=True, eq=False)
class Wait:
    """One question that a run waits with."""

    event: Any
    """The request; or of a run that was restored, what the waiting step was given, where the request is lost."""
    question: Question
    waiter_id: str | None = None
    answer_type: Any = None
    requirements: Mapping[str, Any] = attrs.field(factory=dict)
    call: Any = None
    """The ToolCall that waits."""
    is_asked: bool = False
    is_replaced: bool = False
    """Whether another call waits under the same id: the answer goes to that one."""
    verdict: Verdict | None = None
    answer: Any = None
    is_answered: bool = False


class Asking:
    """Asks the hub about all that one run waits for."""

    def __init__(
        self,
        recorder: Recorder,
        handler: Any,
        *,
        session: str | None,
        answer: Callable[[Any, Verdict], Any] | None,
        may_repeat: bool,
    ) -> None:
        self._recorder = recorder
        self._handler = handler
        self._session = session or str(handler.run_id)
        self._answer = answer
        self._may_repeat = may_repeat
        self._events: Any = imported("workflows.events", "llama_index")
        self._telling: Telling | None = getattr(recorder, "telling", None)
        self._waits: list[Wait] = []
        self._restored: set[str] = set()
        """Ids of waiters whose steps the workflow runs again, so that they say what they wait for."""
        self._agent: str | None = None
        self._asked_before: dict[str, int] = {}

    async def begin(self, ask: Callable[[Wait], object]) -> None:
        """Call ``ask`` with what the run waits for already, and with what a restored step says again."""

        def hear(call: Any, add: Any) -> None:
            wait = self._heard(call, add)
            if wait is not None and add.waiter_id in self._restored:
                wait.is_asked = True
                ask(wait)

        self._agent = await _at_work(self._handler)
        for left in _left.pop(self._handler, ()):
            question = self._question(left.event, left.call, left.waiter_id, "answer")
            wait = attrs.evolve(left, question=question, verdict=None)
            self._waits.append(wait)
            if wait.is_asked:
                ask(wait)
        restored = list(_restored(self._handler, self._events))
        self._restored = {waiter_id for waiter_id, _, _, _, has_requirements in restored if has_requirements}
        if self._telling is not None:
            self._telling.hear(str(self._handler.run_id), self._agent, hear)
        for waiter_id, step, event, answer_type, has_requirements in restored:
            if has_requirements or any(each.waiter_id == waiter_id for each in self._waits):
                continue
            call = event if type(event).__name__ == "ToolCall" else None
            wait = Wait(event, self._question(event, call, waiter_id, step), waiter_id, answer_type, call=call)
            wait.is_asked = True
            self._waits.append(wait)
            ask(wait)

    def end(self) -> None:
        """Hear no more of the run, and keep what it still waits for, for the next who asks."""
        if left := [each for each in self._waits if not each.is_answered and not self._handler.is_done()]:
            _left[self._handler] = left
        if self._telling is not None:
            self._telling.hear_no_more(str(self._handler.run_id))

    def take(self, event: Any) -> Wait:
        """Return what a request that has come waits for."""
        for wait in self._waits:
            if wait.event is event and not wait.is_asked:
                break
        else:
            run = None if self._telling is None else self._telling.run_of(self._handler.run_id)
            calls = [] if run is None else list(run.waiting.values())
            call = calls[0] if len(calls) == 1 else None
            wait = Wait(event, self._question(event, call, None, "answer"), call=call)
            self._waits.append(wait)
        wait.is_asked = True
        return wait

    async def decide(self, wait: Wait) -> None:
        """Ask the hub, and send its verdict to the run.

        Raises :class:`~hubwire.errors.HubClosed` if the hub ends before it has decided.
        """
        (verdict,) = await decided(self._recorder, [wait.question])
        wait.verdict = counted(verdict, may_repeat=self._may_repeat)
        if wait.is_replaced:
            reason = "another call waits under the same waiter_id, and the answer would go to that one"
            wait.verdict = _denied(wait.verdict, reason)
        wait.answer = self._response(wait, wait.verdict)
        while any(self._send(each) for each in self._waits if each.verdict is not None):
            self._waits = [each for each in self._waits if not each.is_answered]

    # -- parts of these --

    def _heard(self, call: Any, add: Any) -> Wait | None:
        """Note that a tool waits, before the workflow itself has noted it."""
        if not isinstance(add.waiter_event, self._events.InputRequiredEvent):
            return None  # not for a person
        for wait in self._waits:
            if wait.waiter_id == add.waiter_id:
                wait.is_replaced = wait.is_replaced or _id_of(wait.call) != _id_of(call)
                return None
        question = self._question(add.waiter_event, call, add.waiter_id, "answer")
        wait = Wait(
            add.waiter_event, question, add.waiter_id, add.event_type, dict(add.requirements), call, is_asked=False
        )
        self._waits.append(wait)
        return wait

    def _question(self, event: Any, call: Any, waiter_id: str | None, otherwise: str) -> Question:
        said = fields_of(event)
        if isinstance(said.get("action"), str) and said["action"]:
            action, arguments = said["action"], said.get("arguments")
        elif call is not None:
            action, arguments = str(call.tool_name), dict(call.tool_kwargs)
        else:
            action, arguments = otherwise, said
        run = None if self._telling is None else self._telling.run_of(self._handler.run_id)
        told = json.dumps([_id_of(call), waiter_id, action, captured(arguments, _KEY_CHARS)], sort_keys=True)
        again = self._asked_before[told] = self._asked_before.get(told, 0) + 1
        key = f"{self._session}:{told}" if again == 1 else f"{self._session}:{told}:{again}"
        agent, parent = (self._agent, None) if run is None else (run.agent or self._agent, run.turn or None)
        return Question(key=key, action=action, arguments=arguments, agent=agent, parent=parent)

    def _send(self, wait: Wait) -> bool:
        """Send a verdict, unless what else it would answer has none yet; return whether it was sent."""
        assert wait.verdict is not None
        answer = wait.answer
        alike = [each for each in self._waits if each is not wait and not each.is_answered and _ends(answer, each)]
        if wait.is_answered or any(each.verdict is None for each in alike):
            return False
        if alike and len({(each.verdict.is_approved, each.verdict.is_modified) for each in (wait, *alike)}) > 1:  # type: ignore[union-attr]
            reason = "it was not approved of all that waits for the same answer; requirements= tell them apart"
            answer = self._response(wait, _denied(wait.verdict, reason))
        for each in (wait, *alike):
            each.is_answered = True
        self._handler.ctx.send_event(answer)
        return True

    def _response(self, wait: Wait, verdict: Verdict) -> Any:
        if self._answer is not None:
            return self._answer(wait.event, verdict)
        kind: Any = self._events.HumanResponseEvent
        if isinstance(wait.answer_type, type) and issubclass(wait.answer_type, kind):
            kind = wait.answer_type
        fields = fields_of(wait.event) if isinstance(wait.event, self._events.InputRequiredEvent) else {}
        fields = {name: value for name, value in fields.items() if name != "prefix"}
        fields |= {"response": "yes" if verdict.is_approved else "no", "reason": verdict.reason}
        if verdict.is_modified:
            fields["arguments"] = verdict.arguments
        return kind(**fields)


def _denied(verdict: Verdict, reason: str) -> Verdict:
    return (
        attrs.evolve(verdict, is_approved=False, is_modified=False, reason=reason) if verdict.is_approved else verdict
    )


def _ends(answer: Any, wait: Wait) -> bool:
    """Whether an answer ends this wait: as the workflow itself decides."""
    if not isinstance(wait.answer_type, type) or not isinstance(answer, wait.answer_type):
        return False
    return all(getattr(answer, name, None) == value for name, value in wait.requirements.items())


def _id_of(call: Any) -> str:
    return "" if call is None else str(call.tool_id)


async def _at_work(handler: Any) -> str | None:
    """Return the agent that is at work in a run: where a context was restored, that is in its state."""
    try:
        workflow = handler._workflow  # noqa: SLF001 - it is nowhere else
        name = await handler.ctx.store.get("current_agent_name", default=None) if hasattr(workflow, "agents") else None
        return name if isinstance(name, str) else agent_name_of(workflow)
    except Exception:  # noqa: BLE001 - then its recorder's agent asks
        return None


def _restored(handler: Any, events: Any) -> Iterator[tuple[str, str, Any, Any, bool]]:
    """Yield the waiters of a run for a person's answer: id, step, what the step was given, type, whether it is picky.

    A run that has just begun has none, but one that goes on from the context of another process.
    """
    try:
        try:
            state = handler.ctx.to_dict(include_state=False)
        except TypeError:  # of an older version
            state = handler.ctx.to_dict()
        serializer: Any = imported("workflows.context.serializers", "llama_index").JsonSerializer()
        for step, worker in state["workers"].items():
            for waiter in worker["collected_waiters"]:
                module, _, name = waiter["waiting_for_event"].rpartition(".")
                kind = getattr(import_module(module), name)
                if waiter["resolved_event"] is None and issubclass(kind, events.HumanResponseEvent):
                    event = serializer.deserialize(waiter["event"])
                    yield waiter["waiter_id"], step, event, kind, bool(waiter["has_requirements"])
    except Exception:  # noqa: BLE001 - a context that cannot be written was not read either
        return
