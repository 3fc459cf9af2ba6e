"""Whether an agent may act: ``(absent) -- requested, scored, trusted, challenged --> verdict --> (absent)``.

The verdict is ``approved``, ``denied``, ``returned``, ``withdrawn``, ``escalated`` or ``expired``, and final. Each step
may lead to one: an action of little risk is approved without a challenge. Where a scorer fails, or so many approvers
that the others are too few, the approval's fail mode decides. A verdict is remembered for a time: it may be used once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from ..errors import CommandRejected, NotFound
from ..events import (
    ApprovalApproverFailed,
    ApprovalChallengeIssued,
    ApprovalRequested,
    ApprovalRiskScored,
    ApprovalTrustComputed,
    ApprovalUsed,
    AuditLogged,
    Event,
    canonical,
)
from ..events._shown import shown
from .answers import (
    ARGUMENTS_BYTES_KEPT,
    ApproverAnswer,
    check_may_answer,
    check_text,
    completed,
    conclusion,
    failure,
    json_of,
)
from .approval_book import ApprovalBook
from .moments import is_duration
from .notices import notices_of
from .risks import ApprovalStage, ChallengeKind, FailMode, Mode, RiskLevel, adjusted, check_share, level_of
from .verdicts import ApprovalEntry, Verdict, about_of, approved, place_of, verdict

__all__ = ("Approvals",)

PENDING_MAX = 10_000
"""How many approvals may wait for their verdicts at a time."""

_BEFORE_THE_CHALLENGE = (ApprovalStage.REQUESTED, ApprovalStage.SCORED, ApprovalStage.TRUSTED)


class Approvals(ApprovalBook):
    """Decides about approvals, by what the book of them has."""

    def asked_before(self, agent_id: str, key: str | None, action: str, digest: str) -> str | None:
        """Return the approval that was requested with this key, whether it has its verdict or not."""
        if key is None:
            return None
        if (approval_id := self._keys.get((agent_id, key))) is not None:
            pending = self._pending[approval_id]
            asked = (pending.action, pending.digest)
        elif (verdict := self._given.find_key(agent_id, key)) is not None:
            approval_id, asked = verdict.approval_id, (verdict.action, verdict.asked_digest)
        else:
            return None
        if asked != (action, digest):
            raise CommandRejected(
                f"idempotency_key {shown(key)} was used for {shown(asked[0])} with other arguments, or for another"
                " action; give each question a key of its own"
            )
        return approval_id

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
        **more: Any,
    ) -> list[Event]:
        """Decide on the request; ``more`` are further fields of :class:`ApprovalRequested`."""
        self._agents.get(agent_id)
        if not isinstance(action, str) or not action.strip() or canonical(action) != action:
            raise CommandRejected(f"the name of an action must be printable text, not {shown(action)}")
        if not is_duration(timeout_seconds):
            raise CommandRejected(f"an approval's timeout_seconds is a positive number, not {shown(timeout_seconds)}")
        if len(self._pending) >= PENDING_MAX:
            raise CommandRejected(
                f"{PENDING_MAX} approvals wait for their verdicts, as many as may; request this one later"
            )
        self._check_domain(agent_id, more.get("domain", ""))
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
                **more,
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
        risk: Mapping[str, Any] | None = None,
        trust_reason: str = "",
        waiting: Mapping[str, Any] | None = None,
    ) -> list[Event]:
        """Decide what follows from risk and trust: a challenge, or the verdict.

        ``risk`` and ``waiting`` are further fields of :class:`ApprovalRiskScored` and :class:`ApprovalChallengeIssued`.
        """
        entry = self._at(approval_id, *_BEFORE_THE_CHALLENGE)
        check_share(risk_score=risk_score, trust=trust)
        about = about_of(entry)
        remaining = adjusted(risk_score, trust)
        level, before = level_of(remaining), level_of(risk_score).value
        events: list[Event] = [
            ApprovalRiskScored(**about, risk_score=float(risk_score), risk_level=before, **(risk or {})),
            ApprovalTrustComputed(
                **about, trust=float(trust), risk_score=remaining, risk_level=level.value, reason=trust_reason
            ),
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
            **about,
            challenge=challenge.value,
            risk_level=level.value,
            quorum=needed,
            approvers=tuple(approvers),
            **(waiting or {}),
        )
        return [*events, issued]

    def answer(self, approval_id: str, approver: str, *, is_passed: bool, reason: str, **more: Any) -> list[Event]:
        """Decide what one approver's answer leads to: the verdict, or waiting for more answers.

        ``more`` are further fields of :class:`~.answers.ApproverAnswer`.
        """
        entry = self._at(approval_id, ApprovalStage.CHALLENGED)
        check_text(approver, is_passed, reason)
        answer = ApproverAnswer(approver=approver, is_passed=is_passed, reason=reason, **more)
        check_may_answer(entry, answer, self._agents)
        if answer.is_modified and entry.quorum > 1:
            raise CommandRejected(
                f"{entry.quorum} approvers have to agree about the same arguments, so that one alone cannot modify"
                " them; send the question back with send_back()"
            )
        if answer.is_modified and len(json_of(answer.arguments)) > ARGUMENTS_BYTES_KEPT:
            raise CommandRejected(
                f"modified arguments have at most {ARGUMENTS_BYTES_KEPT} bytes of JSON; send the question back with"
                " send_back()"
            )
        event, entry = completed(entry, answer)
        ending = conclusion(entry)
        return [event] if ending is None else [event, ending]

    def send_back(self, approval_id: str, answer: ApproverAnswer) -> list[Event]:
        """Decide on the verdict that the question has to be changed."""
        entry = self._at(approval_id, ApprovalStage.CHALLENGED)
        check_text(answer.approver, answer.is_passed, answer.reason)
        check_may_answer(entry, answer, self._agents)
        return [verdict(entry, "returned", answer.reason, approvers=(answer.approver,), is_final=True)]

    def take_over(self, request: Event, answer: ApproverAnswer) -> list[Event]:
        """Decide on a verdict that was given elsewhere: the question, its challenge, the answer and the verdict."""
        assert isinstance(request, ApprovalRequested)
        entry = ApprovalEntry(
            approval_id=request.approval_id,
            agent_id=request.agent_id or "",
            session_id=None,
            turn_id=None,
            channel_id=request.channel_id,
            task_id=request.task_id,
            action=request.action,
            mode=Mode(request.mode),
            fail_mode=FailMode(request.fail_mode),
            requested_at="",
            deadline_ns=0,
            digest=request.digest,
        )
        return [request, *self._taken_over(entry, answer)]

    def go_on_taking_over(self, approval_id: str, answer: ApproverAnswer) -> list[Event]:
        """Likewise for a question that is there: of a command that a crash has torn, or requested before."""
        entry = self.get(approval_id)
        if entry.stage is ApprovalStage.CHALLENGED:
            said = {"identity": answer.identity, "agent_id": answer.agent_id, "now_ns": answer.now_ns}
            return self.answer(approval_id, answer.approver, is_passed=answer.is_passed, reason=answer.reason, **said)
        return self._taken_over(self._at(approval_id, *_BEFORE_THE_CHALLENGE), answer)

    def _taken_over(self, entry: ApprovalEntry, answer: ApproverAnswer) -> list[Event]:
        check_text(answer.approver, answer.is_passed, answer.reason)
        entry = attrs.evolve(
            entry,
            challenge=ChallengeKind.CONFIRM.value,
            challenged_ns=answer.now_ns,
            quorum=1,
            approvers=(answer.approver,),
        )
        check_may_answer(entry, answer, self._agents)
        issued = ApprovalChallengeIssued(
            **about_of(entry), challenge=entry.challenge, risk_level="", quorum=1, approvers=entry.approvers
        )
        event, entry = completed(entry, answer)
        ending = conclusion(entry)
        assert ending is not None
        return [issued, event, ending]

    def approver_failed(self, approval_id: str, approver: str, reason: str) -> list[Event]:
        """Decide what follows when an approver gives no answer: the fail mode, if the others are too few."""
        entry = self._at(approval_id, ApprovalStage.CHALLENGED)
        if approver in (*entry.passed, *entry.failed, *entry.broken):
            return []
        failed = ApprovalApproverFailed(**about_of(entry), approver=approver, reason=reason)
        ending = conclusion(attrs.evolve(entry, broken=(*entry.broken, approver), last_failure=reason))
        return [failed] if ending is None else [failed, ending]

    def fail(self, approval_id: str, reason: str) -> list[Event]:
        """Decide by the fail mode: a scorer has failed."""
        return [failure(self.get(approval_id), reason, "denied")]

    def withdraw(self, approval_id: str, reason: str | None = None) -> list[Event]:
        """Decide, in any mode, that it is asked no more; without a reason, its caller waits no more."""
        entry = self.get(approval_id)
        if reason is None:
            return [verdict(entry, "expired", "the caller gave up waiting", is_final=True)]
        return [verdict(entry, "withdrawn", reason, is_final=True)]

    def use(self, approval_id: str) -> list[Event]:
        """Decide that the agent acts now on its approval, which it may do once."""
        grant = self._given.find(approval_id)
        if grant is None:
            if (entry := self._pending.find(approval_id)) is None:
                raise self.not_waiting(approval_id)
            about = f"approval {shown(approval_id)} of {shown(entry.action)}"
            raise NotFound(f"{about} waits for its verdict, so there is nothing to use; wait for it with wait()")
        if not grant.is_grant:
            raise CommandRejected(
                f"approval {approval_id} of {shown(grant.action)} is {grant.word}: there is nothing to use"
            )
        if grant.is_used:
            raise CommandRejected(
                f"approval {approval_id} of {shown(grant.action)} was used already, and is for one use; request"
                " another one"
            )
        return [
            ApprovalUsed(
                approval_id=approval_id,
                action=grant.action,
                agent_id=grant.agent_id or None,
                digest=grant.digest,
                **place_of(grant),
            )
        ]

    def about_trust(self, kind: Any, agent_id: str, domain: str, reason: str) -> list[Event]:
        """Decide on an incident, or on the revocation or restoration of trust."""
        self._agents.get(agent_id)
        self._check_domain(agent_id, domain)
        return [kind(agent_id=agent_id, domain=domain, reason=reason)]

    def log(self, approval_id: str) -> list[Event]:
        """Report that the verdict has committed."""
        unlogged = self._unlogged.get(approval_id)
        if unlogged is None:
            raise NotFound(f"approval {shown(approval_id)} has no verdict that is still to be reported")
        return [
            AuditLogged(
                approval_id=approval_id,
                agent_id=unlogged.agent_id,
                **place_of(unlogged),
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
        moments = [each for each in (self._pending.next_due_ns(), self._notices.next_ns) if each is not None]
        return min(moments, default=None)

    def due(self, now_ns: int, limit: int) -> list[Event]:
        """Decide which approvals get their verdict because it is too late, at most ``limit``; then, on notices."""
        late = [
            verdict(entry, "expired", "its agent left the hub", is_final=True)
            if entry.is_left_behind
            else failure(entry, "its time was up", "expired")
            for entry in self._pending.due(now_ns, limit)
        ]
        if late:
            return late
        passed = self._notices.passed(now_ns, limit)
        return [event for each, moment_ns in passed for event in notices_of(self._pending[each], moment_ns)][:limit]

    def repair(self) -> list[Event]:
        """Decide, after a replay, about what a crash interrupted.

        A verdict that the answers led to is given: the crash may have come between the last one and it. Approvals
        without a challenge are worked on no more, but for those with a key, which their next caller goes on with.
        """
        endings: list[Event] = []
        for entry in self._pending:
            if entry.is_left_behind:
                continue
            if entry.stage is ApprovalStage.CHALLENGED:
                if (ending := conclusion(entry)) is not None:
                    endings.append(ending)
            elif entry.key is None:
                endings.append(failure(entry, "the hub was restarted before there was a challenge", "denied"))
        return endings

    # -- inside --

    def _at(self, approval_id: str, *stages: ApprovalStage) -> ApprovalEntry:
        entry = self.get(approval_id)
        if entry.stage not in stages:
            raise CommandRejected(f"approval {approval_id} is {entry.stage.value}, not {stages[0].value}")
        if entry.is_left_behind:
            raise CommandRejected(f"approval {approval_id} can only expire: its agent left the hub")
        return entry

    def _check_domain(self, agent_id: str, domain: str) -> None:
        if self._records.is_full(agent_id, domain):
            label = self._agents.label(agent_id)
            raise CommandRejected(f"{label} has records in as many domains as it may; use one of those")
