"""What is known of approvals, and how events change it; :class:`~.approvals.Approvals` decides on these events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import attrs

from ..errors import NotFound
from ..events import (
    AgentUnregistered,
    ApprovalApproverFailed,
    ApprovalChallengeCompleted,
    ApprovalChallengeIssued,
    ApprovalIncidentRecorded,
    ApprovalReferred,
    ApprovalReminded,
    ApprovalRequested,
    ApprovalRiskScored,
    ApprovalTrustComputed,
    ApprovalTrustRestored,
    ApprovalTrustRevoked,
    ApprovalUsed,
    AuditLogged,
    Event,
)
from ..events._shown import shown
from .agents import Agents
from .answers import ARGUMENTS_BYTES_KEPT, after
from .given import GIVEN_MAX, AgentRecord, GivenVerdict, GivenVerdicts, Records, given, is_judged_by_approvers
from .moments import deadline_ns
from .notices import Notices
from .owned import Owned
from .risks import ApprovalStage, FailMode, Mode, RiskLevel
from .verdicts import VERDICTS, ApprovalEntry, Verdict, place_of, word_of

__all__ = ("ApprovalBook",)

KEPT_BYTES_MAX = 16 * 1024 * 1024
"""How much of the arguments of pending approvals is kept in the state; those of later ones are in their events."""

_BY_ANSWERS = ("passed", "failed", "broken", "identities", "reason", "review_seconds", "modified", "is_modified")


class ApprovalBook:
    """The approvals that wait for their verdicts, the verdicts that are remembered, and the records of agents."""

    entry_types: ClassVar[tuple[type, ...]] = (ApprovalEntry, AgentRecord, Verdict, GivenVerdict)

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        self._pending: Owned[str, ApprovalEntry] = Owned(groups=("agent_id",), mark="is_left_behind")
        self._keys: dict[tuple[str, str], str] = {}
        self._kept_bytes = 0
        self._notices = Notices()
        self._records = Records()
        self._unlogged: dict[str, Verdict] = {}
        self._given = GivenVerdicts()

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        return {
            ApprovalRequested: self._requested,
            ApprovalRiskScored: self._scored,
            ApprovalTrustComputed: self._trusted,
            ApprovalChallengeIssued: self._challenged,
            ApprovalChallengeCompleted: self._answered,
            ApprovalApproverFailed: self._broke,
            ApprovalReminded: self._reminded,
            ApprovalReferred: self._referred,
            ApprovalUsed: lambda event: self._given.use(event.approval_id),
            ApprovalIncidentRecorded: self._incident,
            ApprovalTrustRevoked: self._revoked,
            ApprovalTrustRestored: self._restored_trust,
            **dict.fromkeys(VERDICTS, self._judged),
            AuditLogged: self._logged,
            AgentUnregistered: self._unregistered,
        }

    def snapshot(self) -> Sequence[ApprovalEntry | AgentRecord | Verdict | GivenVerdict]:
        return (*self._pending, *self._records, *self._unlogged.values(), *self._given)

    def restore(self, entries: Sequence[ApprovalEntry | AgentRecord | Verdict | GivenVerdict]) -> None:
        for entry in entries:
            if isinstance(entry, ApprovalEntry):
                self._pending.restore(entry.approval_id, entry, entry.deadline_ns)
                self._notices.add(entry)
                self._index(entry)
            elif isinstance(entry, AgentRecord):
                self._records.put(entry)
            elif isinstance(entry, GivenVerdict):
                self._given.add(entry)
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
            raise self.not_waiting(approval_id)
        return entry

    def not_waiting(self, approval_id: str) -> NotFound:
        """Return the error for what is no approval without a verdict; it says what is known of it."""
        where = "hub.approvals.pending() has those that wait for a verdict, with their ids"
        if (verdict := self._given.find(approval_id)) is not None:
            about = f"approval {shown(approval_id)} of {shown(verdict.action)}"
            return NotFound(f"{about} has its verdict already: it is {verdict.word}; {where}")
        return NotFound(
            f"no approval has the id {shown(approval_id)}: it was never requested, or its verdict came so long ago"
            f" (a week, or {GIVEN_MAX:,} verdicts) that it was forgotten; {where}"
        )

    def find(self, approval_id: str) -> ApprovalEntry | None:
        return self._pending.find(approval_id)

    def given(self, approval_id: str) -> GivenVerdict | None:
        """Return a verdict that is still remembered."""
        return self._given.find(approval_id)

    def record(self, agent_id: str, domain: str = "") -> AgentRecord:
        """Return how often approvers have approved and denied what the agent wanted to do in a domain."""
        return self._records.get(agent_id, domain)

    # -- applying --

    def _index(self, entry: ApprovalEntry) -> None:
        self._kept_bytes += entry.arguments_bytes * entry.is_kept
        if entry.key is not None:
            self._keys[entry.agent_id, entry.key] = entry.approval_id

    def _requested(self, event: ApprovalRequested) -> None:
        assert event.agent_id is not None
        size = event.arguments_bytes
        is_small = size <= ARGUMENTS_BYTES_KEPT and self._kept_bytes + size <= KEPT_BYTES_MAX
        is_kept = is_small and bool(event.digest) and not event.arguments_at
        entry = ApprovalEntry(
            approval_id=event.approval_id,
            agent_id=event.agent_id,
            **place_of(event),
            action=event.action,
            mode=Mode(event.mode),
            fail_mode=FailMode(event.fail_mode),
            requested_at=event.at,
            deadline_ns=deadline_ns(event.at, event.timeout_seconds),
            arguments=event.arguments if is_kept else None,
            arguments_bytes=size,
            arguments_seq=event.seq,
            arguments_at=event.arguments_at,
            is_kept=is_kept,
            digest=event.digest,
            domain=event.domain,
            hints=event.hints,
            provenance=None if event.metadata is None else event.metadata.get("provenance"),
            envelope_id=event.envelope_id,
            key=event.idempotency_key,
        )
        self._pending.add(entry.approval_id, entry, entry.deadline_ns)
        self._index(entry)

    def _scored(self, event: ApprovalRiskScored) -> None:
        self._pending.change(
            event.approval_id,
            stage=ApprovalStage.SCORED,
            risk_score=event.risk_score,
            risk_level=RiskLevel(event.risk_level),
            risk_scored=event.risk_score,
            scorer=event.scorer,
            risk_reason=event.reason,
            risk_steps=event.steps,
        )

    def _trusted(self, event: ApprovalTrustComputed) -> None:
        self._pending.change(
            event.approval_id,
            stage=ApprovalStage.TRUSTED,
            risk_score=event.risk_score,
            risk_level=RiskLevel(event.risk_level),
            trust=event.trust,
            trust_reason=event.reason,
        )

    def _challenged(self, event: ApprovalChallengeIssued) -> None:
        remind, refer = event.remind_seconds, event.refer_seconds
        self._pending.change(
            event.approval_id,
            stage=ApprovalStage.CHALLENGED,
            challenge=event.challenge,
            quorum=event.quorum,
            approvers=event.approvers,
            challenged_ns=deadline_ns(event.at, 0),
            review_seconds_min=event.review_seconds_min,
            remind_seconds=remind,
            remind_ns=None if remind is None else deadline_ns(event.at, remind),
            refer_ns=None if refer is None else deadline_ns(event.at, refer),
            refer_to=event.refer_to,
            is_vouched=event.is_vouched,
        )
        self._notices.add(self._pending[event.approval_id])

    def _answered(self, event: ApprovalChallengeCompleted) -> None:
        entry = self._pending[event.approval_id]
        seconds = round((deadline_ns(event.at, 0) - entry.challenged_ns) / 1e9, 6)
        new = after(entry, event, max(0.0, seconds))
        changed = {name: getattr(new, name) for name in _BY_ANSWERS}
        self._pending.change(event.approval_id, **changed)

    def _broke(self, event: ApprovalApproverFailed) -> None:
        broken = (*self._pending[event.approval_id].broken, event.approver)
        self._pending.change(event.approval_id, broken=broken, last_failure=event.reason)

    def _reminded(self, event: ApprovalReminded) -> None:
        entry = self._pending[event.approval_id]
        next_ns = deadline_ns(event.at, entry.remind_seconds or 1)
        self._renotice(entry, reminders=event.count, remind_ns=next_ns)

    def _referred(self, event: ApprovalReferred) -> None:
        entry = self._pending[event.approval_id]
        more = tuple(each for each in event.approvers if each not in entry.approvers)
        self._renotice(entry, refer_ns=None, approvers=(*entry.approvers, *more) if entry.approvers else ())

    def _renotice(self, entry: ApprovalEntry, **changes: Any) -> None:
        self._notices.remove(entry)
        self._pending.change(entry.approval_id, **changes)
        self._notices.add(self._pending[entry.approval_id])

    def _judged(self, event: Event) -> None:
        assert isinstance(event, VERDICTS)
        entry = self._pending.remove(event.approval_id)
        self._notices.remove(entry)
        self._kept_bytes -= entry.arguments_bytes * entry.is_kept
        if entry.key is not None:
            del self._keys[entry.agent_id, entry.key]
        word, at_ns = word_of(event), deadline_ns(event.at, 0)
        self._given.add(given(event, at_ns, entry))
        self._unlogged[entry.approval_id] = Verdict(
            entry.approval_id, entry.action, word, event.id, event.seq, entry.agent_id, **place_of(event)
        )
        if is_judged_by_approvers(event) and entry.agent_id in self._agents:
            is_approved = (getattr(event, "enforce_verdict", "") or word) in ("approved", "modified")
            record = self.record(entry.agent_id, entry.domain)
            self._records.put(record.decided(at_ns, is_approved=is_approved))

    def _incident(self, event: ApprovalIncidentRecorded) -> None:
        record = self.record(event.agent_id or "", event.domain)
        self._records.put(attrs.evolve(record, incidents=record.incidents + 1))

    def _revoked(self, event: ApprovalTrustRevoked) -> None:
        self._records.put(attrs.evolve(self.record(event.agent_id or "", event.domain), is_revoked=True))

    def _restored_trust(self, event: ApprovalTrustRestored) -> None:
        self._records.put(AgentRecord(event.agent_id or "", domain=event.domain))

    def _logged(self, event: AuditLogged) -> None:
        self._unlogged.pop(event.approval_id, None)

    def _unregistered(self, event: AgentUnregistered) -> None:
        self._records.forget(event.agent_id or "")
        self._pending.leave_behind("agent_id", event.agent_id, mark=True)
