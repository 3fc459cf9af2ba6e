"""Reminders of approvals that wait, and their referral to others: notices at their times, and never verdicts."""

from __future__ import annotations

import attrs

from .._values import Value
from ..events import ApprovalReferred, ApprovalReminded, Event
from .moments import Deadlines
from .verdicts import ApprovalEntry, about_of

__all__ = ("Notices",)

Notice = tuple[str, int]
"""An approval, and when it is due."""


@attrs.define(eq=False, repr=False)
class Notices(Value):
    """When which approvals have to be reminded of or referred. It follows from their entries."""

    _alive: dict[Notice, None] = attrs.Factory(dict)
    _deadlines: Deadlines[Notice] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._deadlines = Deadlines(self._alive)

    @property
    def next_ns(self) -> int | None:
        return self._deadlines.next_ns

    def add(self, entry: ApprovalEntry) -> None:
        """Expect the notices of an entry, as far as they come before its verdict."""
        for moment_ns in (entry.remind_ns, entry.refer_ns):
            if moment_ns is not None and moment_ns < entry.deadline_ns:
                notice = (entry.approval_id, moment_ns)
                if notice not in self._alive:
                    self._alive[notice] = None
                    self._deadlines.add(moment_ns, notice)

    def remove(self, entry: ApprovalEntry) -> None:
        """Expect the notices of an entry no more, as they were before a change."""
        for moment_ns in (entry.remind_ns, entry.refer_ns):
            if moment_ns is not None:
                self._alive.pop((entry.approval_id, moment_ns), None)
        self._deadlines.tidy()

    def passed(self, now_ns: int, limit: int) -> list[Notice]:
        """Return the notices that are due, at most ``limit``."""
        found: list[Notice] = []
        for notice in self._deadlines.passed(now_ns):
            if len(found) >= limit:
                break
            found.append(notice)
        return found


def notices_of(entry: ApprovalEntry, moment_ns: int) -> list[Event]:
    """Return what is to be said about an approval at a moment."""
    events: list[Event] = []
    if entry.remind_ns == moment_ns:
        count = entry.reminders + 1
        events.append(ApprovalReminded(**about_of(entry), count=count, approvers=entry.unanswered))
    if entry.refer_ns == moment_ns:
        events.append(ApprovalReferred(**about_of(entry), approvers=entry.refer_to))
    return events
