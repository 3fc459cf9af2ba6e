"""Whether an agent may act: ``(absent) -- requested, scored, trusted, challenged --> verdict --> (absent)``.

The verdict is ``approved``, ``denied``, ``escalated`` or ``expired``, and final. Each step may lead to one: an action
of little risk is approved without a challenge, and where a plug-in fails, the approval's fail mode decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import attrs

from ..errors import CommandRejected, NotFound
from ..events import (
    AgentUnregistered,
    ApprovalApproved,
    ApprovalChallengeCompleted,
    ApprovalChallengeIssued,
    ApprovalDenied,
    ApprovalRequested,
    ApprovalRiskScored,
    ApprovalTrustComputed,
    AuditLogged,
    Event,
    canonical,
)
from .agents import Agents
from .moments import deadline_ns, is_duration
from .owned import Owned
from .risks import ApprovalStage, ChallengeKind, FailMode, Mode, RiskLevel, adjusted, check_share, level_of
from .verdicts import VERDICTS, AgentRecord, ApprovalEntry, Verdict, about_of, approved, verdict, word_of

__all__ = ("Approvals",)

PENDING_MAX = 10_000
"""How many approvals may wait for their verdicts at a time."""

_BY_APPROVERS = (ApprovalApproved, ApprovalDenied)


class Approvals:
    """The approvals that wait for their verdicts, those whose verdict has to be reported, and the records of agents."""

    entry_types: ClassVar[tuple[type, ...]] = (ApprovalEntry, AgentRecord, Verdict)

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        self._pending: Owned[str, ApprovalEntry] = Owned(groups=("agent_id",), mark="is_left_behind")
        self._records: dict[str, AgentRecord] = {}
        self._unlogged: dict[str, Verdict] = {}

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        return {
            ApprovalRequested: self._requested,
            ApprovalRiskScored: self._scored,
            ApprovalTrustComputed: self._trusted,
            ApprovalChallengeIssued: self._challenged,
            ApprovalChallengeCompleted: self._answered,
            **dict.fromkeys(VERDICTS, self._judged),
            AuditLogged: self._logged,
            AgentUnregistered: self._unregistered,
        }

    def snapshot(self) -> Sequence[ApprovalEntry | AgentRecord | Verdict]:
        return (*self._pending, *self._records.values(), *self._unlogged.values())

    def restore(self, entries: Sequence[ApprovalEntry | AgentRecord | Verdict]) -> None:
        for entry in entries:
            if isinstance(entry, ApprovalEntry):
                self._pending.restore(entry.approval_id, entry, entry.deadline_ns)
            elif isinstance(entry, AgentRecord):
                self._records[entry.agent_id] = entry
            else:
                self._unlogged[entry.approval_id] = entry

    def __len__(self) -> int:
        return len(self._pending)

    def __iter__(self) -> Iterator[ApprovalEntry]:
        return iter(tuple(self._pending))

    def get(self, approval_id: str) -> ApprovalEntry:
        """Return an approval that waits for its verdict."""
        entry = self._pending.find(approval_id)
        if entry is None:
            raise NotFound(f"no approval {approval_id!r} waits for a verdict: it has one, or was never requested")
        return entry

    def record(self, agent_id: str) -> AgentRecord:
        """Return how often approvers have approved and denied what the agent wanted to do."""
        return self._records.get(agent_id) or AgentRecord(agent_id)

    # -- commands --

    def request(
        self,
        agent_id: str,
        action: str,
        arguments: Any,
        *,
        approval_id: str,
        mode: Mode,
        fail_mode: FailMode,
        timeout_seconds: float,
        channel_id: str | None = None,
        task_id: str | None = None,
    ) -> list[Event]:
        self._agents.get(agent_id)
        if not isinstance(action, str) or not action.strip() or canonical(action) != action:
            raise CommandRejected(f"the name of an action must be printable text, not {action!r}")
        if not is_duration(timeout_seconds):
            raise CommandRejected(f"an approval's timeout_seconds is a positive number, not {timeout_seconds!r}")
        if len(self._pending) >= PENDING_MAX:
            raise CommandRejected(
                f"{PENDING_MAX} approvals wait for their verdicts, as many as may; request this one later"
            )
        return [
            ApprovalRequested(
                approval_id=approval_id,
                agent_id=agent_id,
                action=action,
                arguments=arguments,
                mode=mode.value,
                fail_mode=fail_mode.value,
                timeout_seconds=float(timeout_seconds),
                channel_id=channel_id,
                task_id=task_id,
            )
        ]

    def assess(
        self,
        approval_id: str,
        *,
        risk_score: float,
        trust: float,
        challenges: Mapping[RiskLevel, ChallengeKind],
        approvers: Sequence[str],
        quorum: int,
    ) -> list[Event]:
        """Decide what follows from risk and trust: a challenge, or the verdict."""
        entry = self._at(approval_id, ApprovalStage.REQUESTED)
        check_share(risk_score=risk_score, trust=trust)
        about = about_of(entry)
        remaining = adjusted(risk_score, trust)
        level = level_of(remaining)
        events: list[Event] = [
            ApprovalRiskScored(**about, risk_score=float(risk_score), risk_level=level_of(risk_score).value),
            ApprovalTrustComputed(**about, trust=float(trust), risk_score=remaining, risk_level=level.value),
        ]
        entry = attrs.evolve(entry, risk_score=remaining, risk_level=level)
        challenge = challenges[level]
        if entry.mode is Mode.AUDIT_ONLY:
            return [*events, approved(entry, reason="it is recorded only: no approver was called")]
        if challenge is ChallengeKind.AUTO_APPROVE:
            return [*events, verdict(entry, "approved", reason=f"risk {level.value} needs no challenge")]
        needed = max(quorum, 2) if challenge is ChallengeKind.MULTI_PARTY else quorum
        if approvers and len(approvers) < needed:
            raise CommandRejected(f"{needed} approvers have to agree, and the policy has {len(approvers)}")
        issued = ApprovalChallengeIssued(
            **about, challenge=challenge.value, risk_level=level.value, quorum=needed, approvers=tuple(approvers)
        )
        return [*events, issued]

    def answer(self, approval_id: str, approver: str, *, is_passed: bool, reason: str) -> list[Event]:
        """Decide what one approver's answer leads to: the verdict, or waiting for more answers."""
        entry = self._at(approval_id, ApprovalStage.CHALLENGED)
        if not isinstance(approver, str) or not approver.strip() or canonical(approver) != approver:
            raise CommandRejected(f"the name of an approver must be printable text, not {approver!r}")
        if not isinstance(reason, str) or not isinstance(is_passed, bool):
            raise CommandRejected("an answer must be True or False, and its reason text")
        if entry.approvers and approver not in entry.approvers:
            raise CommandRejected(f"{approver!r} does not decide about this; {', '.join(entry.approvers)} do")
        if approver == entry.agent_id or approver == self._agents.get(entry.agent_id).name:
            raise CommandRejected(f"{approver!r} is the agent that wants to act, and cannot approve its own action")
        if approver in entry.passed or approver in entry.failed:
            raise CommandRejected(f"approver {approver!r} has answered already")
        completed = ApprovalChallengeCompleted(
            **about_of(entry), challenge=entry.challenge, approver=approver, is_passed=is_passed, reason=reason
        )
        if is_passed:
            entry = attrs.evolve(entry, passed=(*entry.passed, approver))
            if len(entry.passed) >= entry.quorum:
                return [completed, verdict(entry, "approved", approvers=entry.passed)]
        else:
            entry = attrs.evolve(entry, failed=(*entry.failed, approver))
            spare = len(entry.approvers) - entry.quorum if entry.approvers else 0
            if len(entry.failed) > spare:
                return [completed, verdict(entry, "denied", approvers=entry.failed, reason=reason)]
        return [completed]

    def fail(self, approval_id: str, reason: str) -> list[Event]:
        """Decide by the fail mode: a scorer or an approver has failed."""
        return [self._failed(self.get(approval_id), reason, "denied")]

    def withdraw(self, approval_id: str) -> list[Event]:
        """Decide that it is too late, in any mode: the caller that requested it waits no more."""
        return [verdict(self.get(approval_id), "expired", "the caller gave up waiting", is_final=True)]

    def log(self, approval_id: str) -> list[Event]:
        """Report that the verdict has committed."""
        unlogged = self._unlogged.get(approval_id)
        if unlogged is None:
            raise NotFound(f"approval {approval_id!r} has no verdict that is still to be reported")
        return [
            AuditLogged(
                approval_id=approval_id,
                agent_id=unlogged.agent_id,
                action=unlogged.action,
                verdict=unlogged.word,
                verdict_id=unlogged.id,
                verdict_seq=unlogged.seq,
            )
        ]

    # -- what happens by itself --

    def unlogged(self) -> Verdict | None:
        """Return the oldest verdict that has still to be reported by ``audit.logged``."""
        return next(iter(self._unlogged.values()), None)

    def next_due_ns(self) -> int | None:
        return self._pending.next_due_ns()

    def due(self, now_ns: int, limit: int) -> list[Event]:
        """Decide which approvals get their verdict because it is too late, at most ``limit`` of them."""
        return [
            verdict(entry, "expired", "its agent left the hub", is_final=True)
            if entry.is_left_behind
            else self._failed(entry, "its time was up", "expired")
            for entry in self._pending.due(now_ns, limit)
        ]

    def repair(self) -> list[Event]:
        """Decide, after a replay, about approvals without a challenge: they are worked on no more."""
        return [
            self._failed(entry, "the hub was restarted before there was a challenge", "denied")
            for entry in self._pending
            if entry.stage is not ApprovalStage.CHALLENGED and not entry.is_left_behind
        ]

    # -- inside --

    def _at(self, approval_id: str, stage: ApprovalStage) -> ApprovalEntry:
        entry = self.get(approval_id)
        if entry.stage is not stage:
            raise CommandRejected(f"approval {approval_id} is {entry.stage.value}, not {stage.value}")
        if entry.is_left_behind:
            raise CommandRejected(f"approval {approval_id} can only expire: its agent left the hub")
        return entry

    def _failed(self, entry: ApprovalEntry, reason: str, denial: str) -> Event:
        decided = {FailMode.DENY: denial, FailMode.ALLOW: "approved", FailMode.ESCALATE: "escalated"}[entry.fail_mode]
        return verdict(entry, decided, reason=reason, is_failure=True)

    def _requested(self, event: ApprovalRequested) -> None:
        assert event.agent_id is not None
        entry = ApprovalEntry(
            approval_id=event.approval_id,
            agent_id=event.agent_id,
            session_id=event.session_id,
            turn_id=event.turn_id,
            channel_id=event.channel_id,
            task_id=event.task_id,
            action=event.action,
            mode=Mode(event.mode),
            fail_mode=FailMode(event.fail_mode),
            requested_at=event.at,
            deadline_ns=deadline_ns(event.at, event.timeout_seconds),
        )
        self._pending.add(entry.approval_id, entry, entry.deadline_ns)

    def _scored(self, event: ApprovalRiskScored) -> None:
        self._weighed(event, ApprovalStage.SCORED)

    def _trusted(self, event: ApprovalTrustComputed) -> None:
        self._weighed(event, ApprovalStage.TRUSTED)

    def _weighed(self, event: ApprovalRiskScored | ApprovalTrustComputed, stage: ApprovalStage) -> None:
        level = RiskLevel(event.risk_level)
        self._pending.change(event.approval_id, stage=stage, risk_score=event.risk_score, risk_level=level)

    def _challenged(self, event: ApprovalChallengeIssued) -> None:
        self._pending.change(
            event.approval_id,
            stage=ApprovalStage.CHALLENGED,
            challenge=event.challenge,
            quorum=event.quorum,
            approvers=event.approvers,
        )

    def _answered(self, event: ApprovalChallengeCompleted) -> None:
        entry = self._pending[event.approval_id]
        side = "passed" if event.is_passed else "failed"
        self._pending.change(event.approval_id, **{side: (*getattr(entry, side), event.approver)})

    def _judged(self, event: Event) -> None:
        assert isinstance(event, VERDICTS)
        entry = self._pending.remove(event.approval_id)
        word = word_of(event)
        self._unlogged[entry.approval_id] = Verdict(
            entry.approval_id, entry.action, word, event.id, event.seq, entry.agent_id
        )
        judged_by_approvers = isinstance(event, _BY_APPROVERS) and event.approvers
        if judged_by_approvers and entry.agent_id in self._agents:
            record = self.record(entry.agent_id)
            is_approved = (getattr(event, "enforce_verdict", "") or word) == "approved"
            self._records[entry.agent_id] = AgentRecord(
                entry.agent_id, record.approved + is_approved, record.denied + (not is_approved)
            )

    def _logged(self, event: AuditLogged) -> None:
        self._unlogged.pop(event.approval_id, None)

    def _unregistered(self, event: AgentUnregistered) -> None:
        self._records.pop(event.agent_id or "", None)
        self._pending.leave_behind("agent_id", event.agent_id, mark=True)
