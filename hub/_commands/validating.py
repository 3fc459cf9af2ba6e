"""The rules of a hub for events, at work: what breaks a strict one is refused, what is let pass is reported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TypeVar

import attrs

from .._commit.phase import Lifecycle
from .._delivery.announcements import Announcements
from ..context import Context, current
from ..errors import CommandRejected, EventInvalid, Fault
from ..events import Event, HubEventQuestioned, HubGuestFailed
from ..events._shown import FAULTS_MAX, said
from ..own_log import OwnLog
from ..validation import Validation
from ..validation._checks import Examined

__all__ = ("Doubt", "Validating")

E = TypeVar("E", bound=Event)

_log = OwnLog("hub")

_KINDS_MAX = 100
"""For how many kinds events are reported by themselves: a program may invent kinds without end."""


@attrs.frozen(eq=False, repr=False)
class Doubt:
    """An event that is let pass, though it breaks rules."""

    kind: str
    faults: tuple[Fault, ...]


class Validating:
    """Checks the events that callers emit on one hub."""

    def __init__(
        self, validation: Validation, lifecycle: Lifecycle, announcements: Announcements, bytes_max: int
    ) -> None:
        self.rules: int = len(validation.rules)
        self.refused: int = 0
        self.questioned: int = 0
        self.checks_failed: int = 0
        self._validation = validation
        self._lifecycle = lifecycle
        self._announcements = announcements
        self._bytes_max = bytes_max
        self._reported: set[str] = set()
        self._is_checking = False

    def is_free(self, event: Event) -> bool:
        """Tell whether no rule is for the kind of an event."""
        return self._validation._checks_for(event) is None  # noqa: SLF001 - what a hub asks, and programs need not

    def checked(
        self, events: Sequence[E], around: Context | None = None, *, are_batch: bool = False
    ) -> tuple[list[E], Sequence[Doubt]]:
        """Return the events as they were looked at, and those that are let pass; raise if one is refused.

        ``around`` is the context that they inherit, by default that of the running code.
        """
        if self._is_checking:
            raise CommandRejected(
                "a check of a rule emits an event, which would have to be checked, too; let it answer, and emit"
                " from a listener"
            )
        around = current() if around is None else around
        self._is_checking = True
        try:
            examined = [self._validation._examine(event, self._bytes_max, around) for event in events]  # noqa: SLF001
        finally:
            self._is_checking = False
        faulty = [each for each in enumerate(examined) if each[1].faults or each[1].failures]
        if not faulty:
            return [each.event for each in examined], ()
        self._report_failures(each for _, each in faulty)
        if any(each.is_refused for _, each in faulty):
            self.refused += sum(each.is_refused for _, each in faulty)
            raise _refusal(faulty, are_batch=are_batch)
        doubts = [Doubt(each.event.kind, each.faults) for _, each in faulty if each.faults]
        return [each.event for each in examined], doubts

    def note(self, doubts: Sequence[Doubt]) -> None:
        """Count and report events that are let pass."""
        if not self._is_heard():
            return
        self.questioned += len(doubts)
        for doubt in doubts:
            kind = self._reported_as(doubt.kind)
            self._announcements.count(("questioned", kind), partial(_questioned, kind, doubt.faults))

    def _reported_as(self, kind: str) -> str:
        """Return the kind, or ``*`` once there were so many that the others are reported together."""
        if kind in self._reported or len(self._reported) < _KINDS_MAX:
            self._reported.add(kind)
            return kind
        return "*"

    def _report_failures(self, examined: Iterable[Examined]) -> None:
        if not self._is_heard():
            return
        for rule, error in (failure for each in examined for failure in each.failures):
            self.checks_failed += 1
            guest, reason = f"the check of the rule for {rule}", f"it raised {error}"
            _log.problem("a check of events fails", rule=rule, reason=reason)
            self._announcements.count(("check", rule), partial(_failed, guest, reason))

    def _is_heard(self) -> bool:
        """Tell whether the hub takes events here: in another loop or thread, the call is refused after this."""
        return self._lifecycle.takes_events and self._lifecycle.home.is_here


def _questioned(kind: str, faults: Sequence[Fault], count: int) -> Event:
    # What was given may be secret, and an event is journaled: the faults are told without it.
    texts = tuple(said([f"{fault.path or 'the event'} has to be {fault.wanted}" for fault in faults]))
    return HubEventQuestioned(event_kind=kind, faults=texts, count=count)


def _failed(guest: str, reason: str, count: int) -> Event:
    return HubGuestFailed(guest=guest, reason=reason, count=count)


def _refusal(faulty: Sequence[tuple[int, Examined]], *, are_batch: bool) -> EventInvalid:
    """Return the error that says all that is wrong with events; ``faulty`` are they, with their places in a batch."""
    faults = [fault._replace(place=place) for place, each in faulty for fault in each.faults]
    faults = [*(each for each in faults if each.mode == "strict"), *(each for each in faults if each.mode != "strict")]
    place, kind = next((place, each.event.kind) for place, each in faulty if each.is_refused)
    if are_batch:
        texts = said([f"event {each.place}: {each}" for each in faults])
        message = f"the batch is refused, for a {kind!r} at {place}: {'; '.join(texts)}; correct it and emit all again"
    else:
        message = f"event {kind!r} is refused: {'; '.join(said(faults))}; correct it and emit it again"
    return EventInvalid(
        message,
        kind=kind,
        field=faults[0].path,
        faults=tuple(faults[:FAULTS_MAX]),
    )
