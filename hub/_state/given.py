"""What stays of approvals that have their verdicts: the verdicts, for a bounded time, and the records of agents."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import attrs

from .._values import Value
from ..events import Event
from .verdicts import ApprovalEntry, place_of, word_of

__all__ = (
    "GIVEN_BYTES_MAX",
    "GIVEN_MAX",
    "GIVEN_SECONDS_MAX",
    "AgentRecord",
    "GivenVerdict",
    "GivenVerdicts",
    "Records",
)

GIVEN_MAX = 10_000
"""How many verdicts are remembered, the newest."""

GIVEN_SECONDS_MAX = 7 * 86_400
"""How long: a week after the verdict."""

GIVEN_BYTES_MAX = 16 * 1024 * 1024
"""How much of the arguments that approvers have modified, and of their reasons."""

DOMAINS_MAX = 100
"""In how many domains an agent may have a record of its own."""

_FADES_PER_DAY = 0.1
"""How fast a decision counts less: its weight after a week is a half (e^-0.7)."""

_DAY_NS = 86_400 * 1_000_000_000


@attrs.frozen(kw_only=True, eq=False, repr=False)
class GivenVerdict(Value):
    """A verdict that has been given: what the agent may do, until it has done so."""

    approval_id: str
    agent_id: str
    action: str
    word: str
    at_ns: int
    seq: int
    key: str | None = None
    asked_digest: str = ""
    """That of the arguments that were requested; ``digest`` is that of those that were approved."""
    digest: str = ""
    risk_score: float | None = None
    risk_level: str = ""
    approvers: tuple[str, ...] = ()
    mode: str = "enforce"
    enforce_verdict: str = ""
    reason: str = ""
    is_failure: bool = False
    review_seconds: float | None = None
    arguments: Any = None
    is_used: bool = False
    tenant: str | None = None
    session_id: str | None = None
    turn_id: str | None = None
    channel_id: str | None = None
    task_id: str | None = None

    @property
    def is_grant(self) -> bool:
        """Whether the agent may act."""
        return self.word in ("approved", "modified")


_COPIED = ("digest", "approvers", "mode", "enforce_verdict", "is_failure", "review_seconds", "arguments")


def given(event: Any, at_ns: int, entry: ApprovalEntry | None = None) -> GivenVerdict:
    """Return a verdict as it is remembered; ``entry`` is what was known of the question."""
    return GivenVerdict(
        approval_id=event.approval_id,
        agent_id=event.agent_id or "",
        action=event.action,
        word=word_of(event),
        at_ns=at_ns,
        seq=event.seq,
        key=None if entry is None else entry.key,
        asked_digest="" if entry is None else entry.digest,
        risk_score=event.risk_score,
        risk_level=event.risk_level,
        reason=event.reason,
        **place_of(event),
        **{name: getattr(event, name) for name in _COPIED if hasattr(event, name)},
    )


@attrs.define(eq=False, repr=False)
class GivenVerdicts(Value):
    """The verdicts that are remembered, the oldest first, by approval and by idempotency key."""

    _by_id: dict[str, GivenVerdict] = attrs.Factory(dict)
    _by_key: dict[tuple[str, str], str] = attrs.Factory(dict)
    _weight: int = 0

    def __iter__(self) -> Iterator[GivenVerdict]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, approval_id: str) -> GivenVerdict | None:
        return self._by_id.get(approval_id)

    def find_key(self, agent_id: str, key: str) -> GivenVerdict | None:
        approval_id = self._by_key.get((agent_id, key))
        return None if approval_id is None else self._by_id[approval_id]

    def add(self, verdict: GivenVerdict) -> None:
        """Remember a verdict; forget the oldest, where they are too many, too large or too old."""
        self._by_id[verdict.approval_id] = verdict
        if verdict.key is not None:
            self._by_key[verdict.agent_id, verdict.key] = verdict.approval_id
        self._weight += _weight(verdict)
        oldest_ns = verdict.at_ns - GIVEN_SECONDS_MAX * 1_000_000_000
        while len(self._by_id) > 1:
            oldest = next(iter(self))
            if len(self._by_id) <= GIVEN_MAX and self._weight <= GIVEN_BYTES_MAX and oldest.at_ns >= oldest_ns:
                return
            self._forget(oldest)

    def use(self, approval_id: str) -> None:
        if (verdict := self._by_id.get(approval_id)) is not None:
            self._by_id[approval_id] = attrs.evolve(verdict, is_used=True)

    def _forget(self, verdict: GivenVerdict) -> None:
        del self._by_id[verdict.approval_id]
        self._weight -= _weight(verdict)
        if verdict.key is not None and self._by_key.get((verdict.agent_id, verdict.key)) == verdict.approval_id:
            del self._by_key[verdict.agent_id, verdict.key]


def _weight(verdict: GivenVerdict) -> int:
    return len(verdict.reason) + (0 if verdict.arguments is None else len(repr(verdict.arguments)))


@attrs.frozen(eq=False, repr=False)
class AgentRecord(Value):
    """How often approvers approved what an agent wanted to do in a domain, how often they denied it, and incidents."""

    agent_id: str
    approved: int = 0
    denied: int = 0
    domain: str = ""
    weight_approved: float = 0.0
    """The approvals, each with what it weighs at ``at_ns``."""
    weight: float = 0.0
    """All decisions, weighted likewise."""
    at_ns: int = 0
    """When approvers decided last."""
    incidents: int = 0
    is_revoked: bool = False

    def decided(self, at_ns: int, *, is_approved: bool) -> AgentRecord:
        """Return the record after a decision of approvers."""
        days = max(0, at_ns - self.at_ns) / _DAY_NS
        left = math.exp(-_FADES_PER_DAY * days) if self.at_ns else 0.0
        return attrs.evolve(
            self,
            approved=self.approved + is_approved,
            denied=self.denied + (not is_approved),
            weight_approved=self.weight_approved * left + is_approved,
            weight=self.weight * left + 1,
            at_ns=at_ns,
        )


@attrs.define(eq=False, repr=False)
class Records(Value):
    """The records of agents, by domain."""

    _by_agent: dict[str, dict[str, AgentRecord]] = attrs.Factory(dict)

    def __iter__(self) -> Iterator[AgentRecord]:
        return (record for domains in self._by_agent.values() for record in domains.values())

    def get(self, agent_id: str, domain: str) -> AgentRecord:
        return self._by_agent.get(agent_id, {}).get(domain) or AgentRecord(agent_id, domain=domain)

    def put(self, record: AgentRecord) -> None:
        self._by_agent.setdefault(record.agent_id, {})[record.domain] = record

    def is_full(self, agent_id: str, domain: str) -> bool:
        """Tell whether this would be one domain too many."""
        domains = self._by_agent.get(agent_id, {})
        return len(domains) >= DOMAINS_MAX and domain not in domains

    def forget(self, agent_id: str) -> None:
        self._by_agent.pop(agent_id, None)


def is_judged_by_approvers(event: Event) -> bool:
    """Tell whether approvers gave this verdict, and it was a yes or a no."""
    return event.kind in ("approval.approved", "approval.denied") and bool(getattr(event, "approvers", ()))
