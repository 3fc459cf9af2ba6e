"""What adapters whose runs end at an approval have in common: to ask a hub about all that waits, and to give up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

import anyio
import attrs

from ..errors import HubClosed
from ..events import canonical
from .recorder import Recorder
from .verdict import Verdict

__all__ = ("Question", "counted", "decided", "decided_blocking", "denial_of", "was_decided")

_KEYS_MAX: Final = 10_000
"""How many of the latest decisions of a recorder are known."""

_keys: WeakKeyDictionary[Recorder, dict[str, None]] = WeakKeyDictionary()


@attrs.frozen(kw_only=True)
class Question:
    """A call that a run waits for: what :meth:`Recorder.decide` takes."""

    key: str
    action: str
    arguments: Any
    agent: str | None
    parent: str | None = None


async def decided(recorder: Recorder, questions: Sequence[Question]) -> Sequence[Verdict]:
    """Return what the hub decides about each. They are asked at once, and wait together.

    Raises :class:`~hubwire.errors.HubClosed` if the hub ends before it has decided one: that is no denial, and the run
    still waits.
    """
    verdicts: dict[int, Verdict] = {}

    async def ask(number: int, question: Question) -> None:
        verdicts[number] = await recorder.decide(
            question.key, question.action, question.arguments, agent=question.agent, parent=question.parent
        )

    async with anyio.create_task_group() as tasks:
        for number, question in enumerate(questions):
            tasks.start_soon(ask, number, question)
    return _known(recorder, questions, [verdicts[number] for number in range(len(questions))])


def decided_blocking(recorder: Recorder, questions: Sequence[Question]) -> Sequence[Verdict]:
    """Likewise for a thread that may wait. They are asked one after the other."""
    verdicts: list[Verdict] = []
    for question in questions:
        verdict = recorder.decide_blocking(
            question.key, question.action, question.arguments, agent=question.agent, parent=question.parent
        )
        verdicts += _known(recorder, [question], [verdict])
    return verdicts


def _known(recorder: Recorder, questions: Sequence[Question], verdicts: Sequence[Verdict]) -> Sequence[Verdict]:
    """Return verdicts, and know that they are the hub's. Raise where it has not decided."""
    for question, verdict in zip(questions, verdicts, strict=True):
        if not verdict.is_approved and not verdict.approval_id and recorder.is_closed:
            raise HubClosed(
                f"the hub has not decided about {question.action}: {verdict.reason}; the run still waits, and "
                "may be resumed with a recorder of a hub that is running"
            )
    known = _keys.setdefault(recorder, {})
    known.update((question.key, None) for question in questions)
    while len(known) > _KEYS_MAX:
        del known[next(iter(known))]
    return verdicts


def counted(verdict: Verdict, *, may_repeat: bool) -> Verdict:
    """Return a verdict, or the denial of what was approved before and may have been done: an approval counts once."""
    if not verdict.is_approved or not verdict.was_used or may_repeat:
        return verdict
    reason = "it was approved before, and may have been done; it counts once"
    return attrs.evolve(verdict, is_approved=False, is_modified=False, reason=reason)


def was_decided(recorder: Recorder, key: str) -> bool:
    """Tell whether a hub has decided this here: its answer is no verdict of the program's own."""
    return key in _keys.get(recorder, ())


def denial_of(verdict: Verdict, *, may_repeat: bool, takes_arguments: bool) -> str | None:
    """Return what the model is told of a call that is not made; None if it is made.

    ``takes_arguments``: the runtime can make a call with other arguments than those it has asked about.
    """
    if not verdict.is_approved:
        return f"The tool call was denied: {verdict.reason}"
    if verdict.was_used and not may_repeat:
        return "The tool call was approved before, for a call that may have been made: it is not made again."
    if verdict.is_modified and not takes_arguments:
        return f"The tool call was approved with other arguments. Call it with these: {canonical(verdict.arguments)}"
    return None
