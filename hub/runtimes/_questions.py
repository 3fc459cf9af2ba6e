"""What adapters whose runs end at an approval have in common: to ask a hub about all that waits, and to give up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

import anyio
import attrs

from ..errors import CommandRejected, HubClosed
from ._capture import captured
from ._settings import APPROVAL_CHARS
from .recorder import Recorder
from .verdict import Verdict

__all__ = (
    "Question",
    "call_key",
    "check_asked",
    "counted",
    "decided",
    "decided_blocking",
    "denial_of",
    "note_decided",
    "was_decided",
)

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

    Raises what :func:`check_asked` raises.
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
    """Return verdicts, and know that they are the hub's."""
    for question, verdict in zip(questions, verdicts, strict=True):
        check_asked(recorder, verdict, question.action)
    note_decided(recorder, *(question.key for question in questions))
    return verdicts


def check_asked(recorder: Recorder, verdict: Verdict, action: str) -> None:
    """Raise if no approver was asked: that is neither a yes nor a no, and what has asked still waits.

    Raises :class:`~hubwire.errors.HubClosed` if the hub is not running, or has ended before it has decided, and
    :class:`~hubwire.errors.CommandRejected` if it refuses the question, or the recorder's queue is full.
    """
    if verdict.is_approved or verdict.approval_id:
        return
    kind = HubClosed if recorder.is_closed or not recorder.hub.id else CommandRejected
    raise kind(
        f"the hub has not decided about {action}: {verdict.reason}; the run still waits, and may be resumed with a "
        "recorder of a hub that is running"
    )


def call_key(place: object, call_id: object, arguments: Any) -> str:
    """Return the key of a question about a call. The ids of some models come again, for a call with other arguments."""
    whole = json.dumps(captured(arguments, APPROVAL_CHARS), sort_keys=True, default=str)
    digest = hashlib.sha256(whole.encode(errors="backslashreplace")).hexdigest()
    return f"{place}:{call_id}:{digest[:32]}"


def note_decided(recorder: Recorder, *keys: str) -> None:
    """Remember that a hub has decided these."""
    known = _keys.setdefault(recorder, {})
    known.update((key, None) for key in keys)
    while len(known) > _KEYS_MAX:
        del known[next(iter(known))]


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
        arguments = json.dumps(verdict.arguments, ensure_ascii=False)
        return f"The tool call was approved with other arguments. Call it with these: {arguments}"
    return None
