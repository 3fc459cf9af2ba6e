"""Tasks, approvals and listeners: what is owed to people, by people, and to listeners."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs

from ._agents import Agents
from ._entries import ApprovalEntry, ListenerEntry, TaskEntry
from ._kept import Kept
from ._limits import BoardLimits
from ._reading import (
    NAME_MAX,
    TEXT_MAX,
    gist,
    identifier,
    names,
    number,
    optional,
    short,
    text_or,
    time_of,
    whole,
    words,
)
from ._runs import Runs

__all__ = ("Approvals", "ApprovalsKept", "Listeners", "ListenersKept", "Tasks", "TasksKept")

_STEPS_MAX = 8
_HOLDING = ("enforce", "")
"""The modes of approvals in which the agent does not act before the verdict."""

_APPROVERS_MAX = 50
_PATTERNS_MAX = 20


# --- tasks ----------------------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class TasksKept:
    """What a snapshot has of them."""

    going: list[TaskEntry]
    ended: list[TaskEntry]
    not_shown: int


class Tasks:
    """Pieces of work with an owner and an end."""

    def __init__(self, limits: BoardLimits, agents: Agents, runs: Runs) -> None:
        self._agents = agents
        self._runs = runs
        self.kept: Kept[TaskEntry] = Kept(limits.tasks, limits.tasks_ended)

    def handlers(self) -> Mapping[str, Callable[[Any], None]]:
        return {
            "task.started": self._started,
            "task.progressed": self._progressed,
            "task.cancel_requested": self._cancel_requested,
            **{f"task.{each}": partial(self._ended, each) for each in ("completed", "failed", "cancelled", "expired")},
        }

    def _started(self, event: Any) -> None:
        task_id, owner_id, title = identifier(event.task_id), identifier(event.owner_id), words(event.title)
        seconds, begun = number(event.ttl_seconds), time_of(event.at)
        entry = TaskEntry(
            task_id,
            owner_id,
            title,
            event.at,
            event.tenant,
            optional(event.channel_id),
            optional(event.parent_id),
            text_or(event.capability),
            event.is_observed is True,
            None if seconds is None or begun is None else begun + seconds,
            last_at=event.at,
        )
        self.kept.add(task_id, entry)
        self._runs.task_started(event, task_id, title)

    def _of(self, event: Any) -> TaskEntry:
        task_id = identifier(event.task_id)
        entry = self.kept.find(task_id)
        if entry is None:
            owner_id, started_at = identifier(event.owner_id), text_or(getattr(event, "started_at", ""), event.at, 40)
            entry = TaskEntry(task_id, owner_id, "", started_at, event.tenant, optional(event.channel_id))
            self.kept.add(task_id, entry)
        entry.last_at = event.at
        return entry

    def _progressed(self, event: Any) -> None:
        self._of(event).progress = gist(event.progress)

    def _cancel_requested(self, event: Any) -> None:
        self._of(event).cancel_requested = True

    def _ended(self, ending: str, event: Any) -> None:
        entry = self._of(event)
        entry.state, entry.ended_at = ending, event.at
        if ending == "failed":
            entry.detail = text_or(event.error_message, text_or(event.error_type), TEXT_MAX)
        elif ending == "completed":
            entry.detail = gist(event.result) if event.result is not None else ""
        else:
            entry.detail = text_or(event.reason, "", TEXT_MAX)
        self.kept.end(entry.task_id, entry)
        self._runs.task_ended(event, ending, "" if ending == "completed" else entry.detail)

    def lose(self, at: str) -> None:
        """All tasks have ended: there is another hub."""
        for entry in list(self.kept.going.values()):
            entry.state, entry.ended_at, entry.detail = "expired", at, "the hub was replaced by another one"
            self.kept.end(entry.task_id, entry)

    def snapshot(self) -> TasksKept:
        return TasksKept(list(self.kept.going.values()), list(self.kept.ended.values()), self.kept.not_shown)

    def restore(self, kept: TasksKept) -> None:
        self.kept.going = {entry.task_id: entry for entry in kept.going}
        self.kept.ended = {entry.task_id: entry for entry in kept.ended}
        self.kept.not_shown = kept.not_shown


# --- approvals ------------------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class ApprovalsKept:
    """What a snapshot has of them."""

    going: list[ApprovalEntry]
    ended: list[ApprovalEntry]
    not_shown: int


class Approvals:
    """What agents may not do before a verdict, and what was decided."""

    def __init__(self, limits: BoardLimits, runs: Runs) -> None:
        self._runs = runs
        self.kept: Kept[ApprovalEntry] = Kept(limits.approvals, limits.approvals_decided)

    def handlers(self) -> Mapping[str, Callable[[Any], None]]:
        verdicts = ("approved", "denied", "escalated", "expired", "withdrawn", "returned")
        return {
            "approval.requested": self._requested,
            "approval.risk_scored": self._scored,
            "approval.trust_computed": self._trusted,
            "approval.challenge_issued": self._issued,
            "approval.challenge_completed": self._answered,
            "approval.reminded": self._reminded,
            "approval.referred": self._referred,
            "approval.used": self._used,
            **{f"approval.{verdict}": partial(self._decided, verdict) for verdict in verdicts},
        }

    def waiting(self) -> list[ApprovalEntry]:
        """Return those that hold up who has asked, the newest first."""
        return [entry for entry in reversed(self.kept.going.values()) if entry.mode in _HOLDING]

    def by_run(self) -> Counter[str]:
        """Return how many of those that wait for people there are in each run."""
        return Counter(entry.run_id for entry in self.waiting() if entry.run_id)

    def by_channel(self) -> dict[str, list[ApprovalEntry]]:
        """Return those that wait, by the channel they are about."""
        found: dict[str, list[ApprovalEntry]] = {}
        for entry in self.kept.going.values():
            if entry.channel_id is not None:
                found.setdefault(entry.channel_id, []).append(entry)
        return found

    def _requested(self, event: Any) -> None:
        approval_id = identifier(event.approval_id)
        arguments_at = text_or(event.arguments_at)
        entry = ApprovalEntry(
            approval_id,
            identifier(event.agent_id),
            words(event.action),
            event.at,
            event.seq,
            event.tenant,
            optional(event.channel_id),
            optional(event.task_id),
            optional(event.turn_id),
            "" if arguments_at or event.arguments is None else gist(event.arguments),
            arguments_at,
            whole(event.arguments_bytes),
            text_or(event.mode),
            text_or(event.fail_mode),
            number(event.timeout_seconds),
            run_id=self._runs.run_of(event),
        )
        self.kept.add(approval_id, entry)

    def _of(self, event: Any) -> ApprovalEntry:
        approval_id = identifier(event.approval_id)
        entry = self.kept.find(approval_id)
        if entry is None:
            agent_id = optional(event.agent_id) or ""
            entry = ApprovalEntry(approval_id, agent_id, words(event.action), event.at, event.seq, event.tenant)
            self.kept.add(approval_id, entry)
        return entry

    def _scored(self, event: Any) -> None:
        entry = self._of(event)
        self._take_risk(entry, event)
        entry.stage = "scored"
        steps = event.steps if isinstance(event.steps, (tuple, list)) else ()
        for each in steps[:_STEPS_MAX]:
            if isinstance(each, dict):
                score = number(each.get("score"))
                shown = "" if score is None else f"{score:.2f}"
                entry.risk_steps.append([text_or(each.get("scorer")), shown, text_or(each.get("reason"), "", TEXT_MAX)])

    def _trusted(self, event: Any) -> None:
        entry = self._of(event)
        self._take_risk(entry, event)
        entry.stage, entry.trust = "trusted", number(event.trust)
        if entry.trust is not None and len(entry.risk_steps) <= _STEPS_MAX:
            entry.risk_steps.append(["trust", f"{entry.trust:.2f}", text_or(event.reason, "", TEXT_MAX)])

    @staticmethod
    def _take_risk(entry: ApprovalEntry, event: Any) -> None:
        score, level = number(event.risk_score), text_or(event.risk_level)
        entry.risk_score = entry.risk_score if score is None else score
        entry.risk_level = level or entry.risk_level

    def _issued(self, event: Any) -> None:
        entry, approvers = self._of(event), names(event.approvers, _APPROVERS_MAX)
        entry.stage, entry.approvers, entry.quorum = "asked", approvers, whole(event.quorum, 1)
        entry.risk_level = text_or(event.risk_level) or entry.risk_level

    def _answered(self, event: Any) -> None:
        entry, approver = self._of(event), words(event.approver)
        answers = entry.passed if event.is_passed is True else entry.failed
        if len(answers) < _APPROVERS_MAX:
            answers.append(approver)

    def _reminded(self, event: Any) -> None:
        self._of(event).reminders = whole(event.count)

    def _referred(self, event: Any) -> None:
        entry = self._of(event)
        entry.approvers = [*entry.approvers, *names(event.approvers, _APPROVERS_MAX)][:_APPROVERS_MAX]

    def _used(self, event: Any) -> None:
        self._of(event).is_used = True

    def _decided(self, verdict: str, event: Any) -> None:
        entry = self._of(event)
        self._take_risk(entry, event)
        entry.verdict, entry.decided_at, entry.stage = verdict, event.at, "decided"
        entry.decided_by = names(getattr(event, "approvers", ()), _APPROVERS_MAX)
        entry.reason = text_or(event.reason, "", TEXT_MAX)
        entry.is_failure = getattr(event, "is_failure", False) is True
        self.kept.end(entry.approval_id, entry)

    def lose(self, at: str) -> None:
        """No verdict will come any more: there is another hub."""
        for entry in list(self.kept.going.values()):
            entry.verdict, entry.decided_at, entry.stage = "withdrawn", at, "decided"
            entry.reason = "the hub was replaced by another one"
            self.kept.end(entry.approval_id, entry)

    def snapshot(self) -> ApprovalsKept:
        return ApprovalsKept(list(self.kept.going.values()), list(self.kept.ended.values()), self.kept.not_shown)

    def restore(self, kept: ApprovalsKept) -> None:
        self.kept.going = {entry.approval_id: entry for entry in kept.going}
        self.kept.ended = {entry.approval_id: entry for entry in kept.ended}
        self.kept.not_shown = kept.not_shown


# --- listeners ------------------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class ListenersKept:
    """What a snapshot has of them."""

    going: list[ListenerEntry]
    ended: list[ListenerEntry]
    not_shown: int


class Listeners:
    """The listeners of the hub, as far as events tell of them."""

    def __init__(self, limits: BoardLimits) -> None:
        self.kept: Kept[ListenerEntry] = Kept(limits.listeners, limits.listeners)

    def handlers(self) -> Mapping[str, Callable[[Any], None]]:
        return {
            "listener.attached": self._attached,
            "listener.detached": self._detached,
            "listener.failed": self._failed,
            "listener.restarted": self._restarted,
            "listener.suspended": self._suspended,
            "listener.letters_removed": self._letters_removed,
            "mailbox.overflowed": self._overflowed,
        }

    def _of(self, event: Any) -> ListenerEntry:
        name = identifier(event.listener)
        entry = self.kept.find(name)
        if entry is None:
            entry = ListenerEntry(name, since_at=event.at)
            self.kept.add(name, entry)
        entry.last_at = event.at
        return entry

    def _attached(self, event: Any) -> None:
        entry, patterns = self._of(event), names(event.pattern, _PATTERNS_MAX)
        entry.duty, entry.pattern = words(event.duty), [short(each, NAME_MAX) for each in patterns]
        entry.state, entry.since_at, entry.reason = "attached", event.at, ""
        self.kept.add(entry.listener, entry)

    def _detached(self, event: Any) -> None:
        entry, reason = self._of(event), words(event.reason, TEXT_MAX)
        entry.state, entry.since_at, entry.reason = "detached", event.at, reason
        self.kept.end(entry.listener, entry)

    def _failed(self, event: Any) -> None:
        entry, message = self._of(event), text_or(event.error_message, text_or(event.error_type), TEXT_MAX)
        entry.failed += whole(event.count, 1)
        entry.last_error, entry.last_error_at = message, event.at
        entry.letters += len(event.given_up) if isinstance(event.given_up, (tuple, list)) else 0

    def _restarted(self, event: Any) -> None:
        entry = self._of(event)
        entry.restarts += 1
        if entry.state == "suspended":
            entry.state, entry.since_at, entry.reason = "attached", event.at, ""

    def _suspended(self, event: Any) -> None:
        entry = self._of(event)
        entry.state, entry.since_at, entry.reason = "suspended", event.at, words(event.reason, TEXT_MAX)
        message = text_or(event.error_message, text_or(event.error_type), TEXT_MAX)
        if message:
            entry.last_error, entry.last_error_at = message, event.at

    def _letters_removed(self, event: Any) -> None:
        entry = self._of(event)
        entry.letters = max(0, entry.letters - whole(event.count, 1))

    def _overflowed(self, event: Any) -> None:
        self._of(event).dropped += whole(event.count, 1)

    def lose(self, at: str, reason: str = "the hub was replaced by another one") -> None:
        """None is attached any more: who listens to what comes says so anew."""
        for entry in list(self.kept.going.values()):
            entry.state, entry.since_at, entry.reason = "detached", at, reason
            self.kept.end(entry.listener, entry)

    def snapshot(self) -> ListenersKept:
        return ListenersKept(list(self.kept.going.values()), list(self.kept.ended.values()), self.kept.not_shown)

    def restore(self, kept: ListenersKept) -> None:
        self.kept.going = {entry.listener: entry for entry in kept.going}
        self.kept.ended = {entry.listener: entry for entry in kept.ended}
        self.kept.not_shown = kept.not_shown
