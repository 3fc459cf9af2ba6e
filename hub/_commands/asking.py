"""Questions for approval: read from arguments of calls, put once a key, and followed to their verdicts."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from .._foreign.arguments import Call, is_a
from .._state import State
from .._state.answers import ApproverAnswer, json_of
from .._state.given import GivenVerdict, given
from .._state.moments import deadline_ns
from .._state.risks import Mode, RiskLevel
from .._values import Value
from ..approvals import Approval, ApprovalPolicy, Claim
from ..context import current
from ..errors import CommandRejected, NotApproved
from ..events import Event
from ..events._shown import shown
from .agents import Agent, actor_of, id_of
from .channels import channel_id_of
from .core import Core, new_id
from .exact import exact
from .provenances import said_of
from .reviewing import Reviews
from .tasks import task_id_of

__all__ = ("Questions", "Terms", "approval_of")

_TEXT_LENGTH_MAX = 500
_REASON_LENGTH_MAX = 10_000
_HINTS_BYTES_MAX = 4096


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Terms(Value):
    """What a question is asked with, as it was given."""

    arguments: Any = None
    arguments_at: Any = ""
    channel: Any = None
    task: Any = None
    policy: Any = None
    idempotency_key: Any = None
    domain: Any = ""
    hints: Any = None
    provenance: Any = ()


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Asked(Value):
    """A question, as it is requested."""

    approval_id: str
    agent_id: str
    action: str
    arguments: Any
    policy: ApprovalPolicy
    key: str | None
    digest: str
    fields: dict[str, Any]
    """Of ``approval.requested``, besides."""


class Questions:
    """Puts questions, and follows them to their verdicts."""

    def __init__(
        self, core: Core, state: State, policy: ApprovalPolicy, reviews: Reviews, turn: Callable[[], Any]
    ) -> None:
        self._core = core
        self._agents = state.agents
        self._approvals = state.approvals
        self._policy = policy
        self._reviews = reviews
        self._turn = turn

    def through(self, core: Core) -> Questions:
        """Return the same questions as an agent puts them, by its own ``core``."""
        face = copy.copy(self)
        face._core = core  # noqa: SLF001 - it is one of this class
        return face

    # -- reading --

    def read(self, call: Call, agent: Agent | str, action: str, terms: Terms, *, in_turn: bool = True) -> Asked:
        """Check what was given, and return the question that it makes."""
        agent_id = actor_of(self._core, agent, call)
        policy = self._policy_of(call, terms.policy)
        action = call.text("action", action, wanted="printable text", is_empty_ok=False)
        arguments = exact(call, "arguments", terms.arguments)
        data = json_of(arguments)
        digest = hashlib.sha256(data).hexdigest()
        key = _short(call, "idempotency_key", terms.idempotency_key)
        if key == "":
            raise call.refusal("idempotency_key", key, "text, not empty, or None")
        turn = self._turn() if in_turn else None
        if turn is not None and turn.agent_id != agent_id:
            turn = None
        if key is None and turn is not None:
            key = _key_in(turn, action, digest)
        hints = exact(call, "hints", terms.hints)
        if len(json_of(hints)) > _HINTS_BYTES_MAX:
            raise call.refusal("hints", terms.hints, f"of at most {_HINTS_BYTES_MAX} bytes of JSON")
        at = _short(call, "arguments_at", terms.arguments_at) or ""
        return Asked(
            approval_id=new_id(),
            agent_id=agent_id,
            action=action,
            arguments=None if at else arguments,
            policy=policy,
            key=key,
            digest=digest,
            fields={
                "channel_id": channel_id_of(self._core, terms.channel, call),
                "task_id": task_id_of(self._core, terms.task, call),
                "digest": digest,
                "arguments_bytes": len(data),
                "arguments_at": at,
                "domain": _short(call, "domain", terms.domain) or "",
                "hints": hints,
                "idempotency_key": key,
                "envelope_id": None if turn is None else turn.envelope.envelope_id,
                "turn_id": None if turn is None or current().turn_id is not None else turn.turn_id,
                **said_of(call, terms.provenance),
            },
        )

    def gated(
        self, call: Call, agent: Agent | str, policy: ApprovalPolicy | None, action: str | None
    ) -> tuple[str, ApprovalPolicy, str | None]:
        """Check what a decorator was given."""
        agent_id, policy = actor_of(self._core, agent, call), self._policy_of(call, policy)
        if action is not None:
            action = call.text("action", action, wanted="printable text", is_empty_ok=False)
        return agent_id, policy, action

    def _policy_of(self, call: Call, policy: Any) -> ApprovalPolicy:
        if policy is None:
            return self._policy
        return call.instance("policy", policy, ApprovalPolicy, advice="write ApprovalPolicy(...)")

    # -- asking --

    async def ask(self, asked: Asked, answer: ApproverAnswer | None = None) -> str:
        """Request the approval, or find what was requested with its key before; return its id.

        With an answer, the verdict that it leads to is given in the same command.
        """
        channel_id = asked.fields["channel_id"]
        content = {"action": asked.action, "arguments": asked.arguments}
        policy = asked.policy
        facts = {name: asked.fields[name] for name in ("task_id", "digest", "arguments_at", "domain", "hints")}
        facts |= {"mode": policy.mode, "timeout_seconds": policy.timeout_seconds, **asked.fields.get("metadata", {})}
        await self._core.authorizer.authorize(
            "request", asked.agent_id, channel_id=channel_id, content=content, facts=facts
        )
        found: list[str] = []

        def decide() -> list[Event]:
            before = self._approvals.asked_before(asked.agent_id, asked.key, asked.action, asked.digest)
            if before is not None:
                found.append(before)
                if self._approvals.find(before) is None:
                    return []
                if answer is not None:
                    return self._approvals.go_on_taking_over(before, answer)
                self._reviews.join_policy(before, policy)  # after a restart, its policy is this one
                return []
            events = self._approvals.request(
                asked.agent_id,
                asked.action,
                asked.arguments,
                approval_id=asked.approval_id,
                mode=policy.mode,
                fail_mode=policy.fail_mode,
                timeout_seconds=policy.timeout_seconds,
                **asked.fields,
            )
            if answer is not None:
                return self._approvals.take_over(events[0], answer)
            self._reviews.set_policy(asked.approval_id, policy)
            return events

        await self._core.execute(decide)
        return found[0] if found else asked.approval_id

    async def request(self, asked: Asked) -> str:
        try:
            approval_id = await self.ask(asked)
            if self._approvals.find(approval_id) is not None:
                await self._reviews.until_assessed(approval_id, self._reviews.policy(approval_id, asked.policy))
        except BaseException:
            if asked.key is None:
                self._reviews.give_up(asked.approval_id)
            raise
        return approval_id

    async def gate(self, asked: Asked) -> Approval:
        try:
            approval = await self.verdict(await self.ask(asked))
        finally:
            if asked.key is None:
                self._reviews.give_up(asked.approval_id)
        if approval.was_used:
            return approval
        was_used = False

        def use() -> list[Event]:
            nonlocal was_used
            verdict = self._approvals.given(approval.approval_id)
            was_used = verdict is not None and verdict.is_used
            return [] if was_used or verdict is None else self._approvals.use(approval.approval_id)

        await self._core.execute(use)
        return attrs.evolve(approval, was_used=was_used)

    async def verdict(self, approval_id: str) -> Approval:
        """Return an approval when it has its verdict; raise that if it is another one."""
        verdict = self._approvals.given(approval_id)
        if verdict is not None:
            await self._core.until_committed(verdict.seq)
            return approval_of(verdict)
        self._approvals.get(approval_id)
        event = await self._reviews.until_verdict(approval_id, self._reviews.policy(approval_id, self._policy))
        kept = self._approvals.given(approval_id)
        return approval_of(kept or given(event, deadline_ns(event.at, 0)))

    # -- answering --

    def check_not_own(self, agent_id: str) -> None:
        """Refuse an answer that comes out of a turn of the agent that wants to act, under any name."""
        turn = self._turn()
        if turn is not None and turn.agent_id == agent_id:
            raise CommandRejected(
                "this is a turn of the agent that wants to act, which cannot approve its own action; let another"
                " agent or a person answer"
            )

    async def approver(self, call: Call, approval_id: str, approver: object, proof: Any) -> dict[str, Any]:
        """Return who answers: the fields of an :class:`~.answers.ApproverAnswer` that say so."""
        entry = self._approvals.get(approval_id)
        self.check_not_own(entry.agent_id)
        name, agent_id = self._approver(call, approver)
        claim = Claim(
            approver=name,
            proof=proof,
            approval_id=approval_id,
            agent_id=entry.agent_id,
            action=entry.action,
            approver_id=agent_id or None,
        )
        vouched = await self._reviews.identity(claim, entry, self._reviews.policy(approval_id, self._policy))
        return {"approver": name, "identity": vouched or agent_id, "agent_id": agent_id}

    def _approver(self, call: Call, approver: object) -> tuple[str, str]:
        """Return an approver's name, and its id if it is an agent: given as itself or as its id, or by its own hub."""
        own_id = self._core.acting.agent_id
        if is_a(approver, Agent):
            agent_id = actor_of(self._core, approver, call, "approver")  # type: ignore[arg-type]
            return self._agents.get(agent_id).name, agent_id
        name = call.text("approver", approver, wanted="the name of an approver, or an Agent")
        self._core.acting.check_approver(name, call)
        agent_id = own_id or (name if name in self._agents else "")
        return (self._agents.get(agent_id).name if agent_id else name), agent_id

    async def authorize_answer(self, approval_id: str, said: Mapping[str, Any]) -> None:
        """Have the arbiter decide whether an answer may be given."""
        core, content = self._core, {"approval_id": approval_id, **said}
        await core.authorizer.authorize("answer", core.acting.agent_id, content=core.authorizer.freeze(content))

    async def about_trust(self, call: Call, kind: Any, agent: Agent | str, domain: str, reason: str) -> None:
        core = self._core
        agent_id = id_of(core, agent, call)
        domain = _short(call, "domain", domain) or ""
        reason = call.text("reason", reason)[:_REASON_LENGTH_MAX]
        self.check_not_own(agent_id)
        facts = {"domain": domain, "reason": reason, "kind": kind.kind}
        await core.authorizer.authorize("observe", core.acting.agent_id, [agent_id], facts=facts)
        await core.execute(lambda: self._approvals.about_trust(kind, agent_id, domain, reason))


def approval_of(verdict: GivenVerdict) -> Approval:
    """Return the approval, if that is the verdict; otherwise raise the verdict as an error."""
    if verdict.is_grant:
        return Approval(
            approval_id=verdict.approval_id,
            action=verdict.action,
            risk_score=verdict.risk_score,
            risk_level=RiskLevel(verdict.risk_level) if verdict.risk_level else None,
            approvers=verdict.approvers,
            mode=Mode(verdict.mode),
            enforce_verdict=verdict.enforce_verdict,
            reason=verdict.reason,
            is_failure=verdict.is_failure,
            verdict=verdict.word,
            arguments=verdict.arguments,
            digest=verdict.digest,
            review_seconds=verdict.review_seconds,
            was_used=verdict.is_used,
        )
    because = f": {verdict.reason}" if verdict.reason else ""
    raise NotApproved(
        f"{shown(verdict.action)} is {verdict.word}{because}; do not do it, and request it again when the reasons have"
        " changed",
        approval_id=verdict.approval_id,
        verdict=verdict.word,
        reason=verdict.reason,
    )


def _key_in(turn: Any, action: str, digest: str) -> str:
    """Return the key of a question in a turn: the next life of the turn asks the same ones in the same order."""
    question = hashlib.sha256(f"{digest} {action}".encode()).hexdigest()
    return f"turn {turn.envelope.envelope_id} {question[:32]} {turn.count_question(question)}"


def _short(call: Call, argument: str, text: object) -> str | None:
    clean = call.text(argument, text, is_optional=True)
    if clean is not None and len(clean) > _TEXT_LENGTH_MAX:
        raise call.refusal(argument, clean, f"text of at most {_TEXT_LENGTH_MAX} characters")
    return clean
