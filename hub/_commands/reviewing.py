"""From a request to its verdict: scorers and approvers are called, and what they say becomes events."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakValueDictionary

import anyio
import attrs

from .._foreign.abandoned import Abandoned
from .._foreign.arguments import Call, is_a
from .._foreign.guards import class_name, clean, expect, guarded_call, text_of
from .._state.agents import Agents
from .._state.answers import spelled
from .._state.approvals import Approvals
from .._state.risks import ApprovalStage
from .._state.verdicts import VERDICTS, ApprovalEntry
from ..approvals import Answer, ApprovalPolicy, Approver, ChallengeKind, Claim, Question, Risk, RiskStep
from ..errors import AccessDenied, CommandRejected, EventTooLarge, HubClosed, HubFailed, NotFound
from ..events import ApprovalRequested, Event, canonical
from ..events._shown import number_of, shown
from ..ports import Clock
from .core import Core
from .exact import exact
from .outcomes import Outcomes
from .pending import said_in

__all__ = ("Reviews",)

_ANSWER = Call("an approver's answer")
_VOUCH_SECONDS_MAX = 30.0
_REASON_LENGTH_MAX = 1000
_STEPS_MAX = 100
_DAY_NS = 86_400 * 1_000_000_000


class Reviews:
    """Has plug-ins decide about approvals, each approval by one task at a time."""

    def __init__(self, core: Core, approvals: Approvals, agents: Agents, abandoned: Abandoned, clock: Clock) -> None:
        self.clock: Clock = clock
        self._core = core
        self._approvals = approvals
        self._agents = agents
        self._abandoned = abandoned
        self._outcomes = Outcomes(core, VERDICTS, "approval_id")
        self._policies: dict[str, ApprovalPolicy] = {}
        """Those of approvals that were requested in this life of the hub and have no verdict yet."""
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        for kind in VERDICTS:
            core.on_applied(kind, self._forget_policy)

    def set_policy(self, approval_id: str, policy: ApprovalPolicy) -> None:
        """Say by which policy an approval is decided, until it has its verdict."""
        self._policies[approval_id] = policy

    def join_policy(self, approval_id: str, policy: ApprovalPolicy) -> None:
        """Likewise for one that was requested before; the policy that it has counts on."""
        self._policies.setdefault(approval_id, policy)

    def _forget_policy(self, verdict: Any) -> None:
        self._policies.pop(verdict.approval_id, None)

    def policy(self, approval_id: str, default: ApprovalPolicy) -> ApprovalPolicy:
        return self._policies.get(approval_id, default)

    async def until_assessed(self, approval_id: str, policy: ApprovalPolicy) -> None:
        """Have the scorers called; return when there is a challenge, or a verdict.

        Raises what the hub ends with if it ends before: what it has not committed is not recorded.
        """
        outcome: Event | HubClosed | HubFailed | None = None
        with self._outcomes.expected(approval_id) as verdict:
            async with anyio.create_task_group() as tasks:

                async def assess() -> None:
                    await self._review(approval_id, policy, with_approvers=False)
                    tasks.cancel_scope.cancel()

                tasks.start_soon(assess)
                outcome = await _outcome_of(verdict)
                tasks.cancel_scope.cancel()
        if isinstance(outcome, HubClosed | HubFailed):
            raise outcome
        self._core.check_failure()
        entry = self._approvals.find(approval_id)
        if outcome is None and entry is not None and entry.stage is not ApprovalStage.CHALLENGED:
            raise self._core.end_error(
                f"the hub was closed before approval {approval_id} was assessed: request it anew"
            )

    async def until_verdict(self, approval_id: str, policy: ApprovalPolicy) -> Event:
        """Have the plug-ins decide, if no other task does so; return the verdict, by them or by the deadline."""
        with self._outcomes.expected(approval_id) as verdict:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._review, approval_id, policy)
                outcome = await _outcome_of(verdict)
                tasks.cancel_scope.cancel()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def give_up(self, approval_id: str) -> None:
        """No task waits any more: if there is no verdict yet, let the approval expire."""
        if self._core.is_open:
            try:
                expired = self._approvals.withdraw(approval_id)
            except NotFound:
                return  # it has its verdict, or was refused
            self._core.announce(expired)

    async def identity(self, claim: Claim, entry: ApprovalEntry, policy: ApprovalPolicy) -> str:
        """Return who an approver is, by what vouches for it; empty if the policy has no means to."""
        if policy.vouch is None:
            if entry.is_vouched:
                raise AccessDenied(
                    f"whether {shown(claim.approver)} answers is not known: it was requested with a policy that vouches"
                    " for approvers, which did not outlive a restart; give the hub a policy with vouch, or request it"
                    " again with its idempotency_key and policy",
                    command="answer",
                )
            return ""
        advice = "log in as this approver, or answer with a name that is yours"
        try:
            said = await self._abandoned.call(
                "vouch", _answer, policy.vouch, claim, seconds=_VOUCH_SECONDS_MAX, clock=self.clock
            )
        except Exception as error:
            raise AccessDenied(
                f"it could not be found out whether {shown(claim.approver)} answers: {text_of(error)}; answer again",
                command="answer",
            ) from error
        who = str.__str__(said) if is_a(said, str) else ""
        if not spelled(who) or canonical(who) != who:
            raise AccessDenied(f"nothing vouches for {shown(claim.approver)}: {advice}", command="answer")
        return who

    async def arguments_of(self, entry: ApprovalEntry) -> Any:
        """Return the arguments of a question, wherever they are; raise ``NotFound`` if they are out of reach."""
        if entry.is_kept:
            return entry.arguments
        if entry.arguments_at:
            raise NotFound(f"the arguments are withheld; look at {entry.arguments_at}")
        event = await self._core.event_at(entry.arguments_seq)
        if isinstance(event, ApprovalRequested) and event.approval_id == entry.approval_id:
            return event.arguments
        raise NotFound(
            f"the arguments are not in the journal any more; event {entry.arguments_seq} of the audit log has them"
        )

    # -- inside --

    async def _review(self, approval_id: str, policy: ApprovalPolicy, *, with_approvers: bool = True) -> None:
        """Do what is still to be done, after another task that does so; of a hub that follows, when it leads."""
        if not await self._core.until_leading():
            return
        async with self._lock(approval_id), self._deciding(approval_id):
            entry = self._approvals.find(approval_id)
            if entry is not None and entry.stage is not ApprovalStage.CHALLENGED:
                await self._assess(await self._question(entry), policy)
            entry = self._approvals.find(approval_id)
            if not with_approvers or entry is None or entry.stage is not ApprovalStage.CHALLENGED:
                return
            question = await self._question(entry)
            async with anyio.create_task_group() as tasks:
                for approver in policy.approvers:
                    name = _said("an approver", _name_of, approver)
                    if name in entry.unanswered:
                        tasks.start_soon(self._challenge, name, approver, question, entry)

    def _lock(self, approval_id: str) -> asyncio.Lock:
        lock = self._locks.get(approval_id)
        if lock is None:
            lock = self._locks[approval_id] = asyncio.Lock()
        return lock

    async def _question(self, entry: ApprovalEntry) -> Question:
        record = self._approvals.record(entry.agent_id, entry.domain)
        try:
            arguments = await self.arguments_of(entry)
        except NotFound:
            arguments = None
        days = (self.clock.now_ns() - record.at_ns) / _DAY_NS
        return Question(
            approval_id=entry.approval_id,
            agent_id=entry.agent_id,
            agent_name=self._agents.get(entry.agent_id).name,
            action=entry.action,
            arguments=arguments,
            channel_id=entry.channel_id,
            task_id=entry.task_id,
            times_approved=record.approved,
            times_denied=record.denied,
            risk_score=entry.risk_score,
            risk_level=entry.risk_level,
            challenge=ChallengeKind(entry.challenge) if entry.challenge else None,
            domain=entry.domain,
            hints=entry.hints,
            provenance=said_in(entry),
            weight_approved=record.weight_approved,
            weight=record.weight,
            days_since=max(0.0, days) if record.at_ns else None,
            incidents=record.incidents,
        )

    async def _assess(self, question: Question, policy: ApprovalPolicy) -> None:
        risk = await self._call("the scorer", policy.scorer, "score", question)
        score = _plain(risk)
        question = attrs.evolve(question, risk_score=score)
        revoked = self._approvals.record(question.agent_id, question.domain).is_revoked
        trust = 0.0 if revoked else _plain(await self._call("the trust scorer", policy.trust, "trust", question))
        approvers = [_said("an approver", _name_of, each) for each in policy.approvers]
        why = "it was revoked" if revoked else f"{question.times_approved} approved, {question.times_denied} denied"
        await self._core.execute(
            lambda: self._approvals.assess(
                question.approval_id,
                risk_score=score,
                trust=trust,
                challenges=policy.challenges,
                approvers=approvers,
                quorum=policy.quorum,
                risk=_reasons(risk, policy),
                trust_reason=why,
                waiting={
                    "review_seconds_min": policy.review_seconds_min,
                    "remind_seconds": policy.remind_seconds,
                    "refer_seconds": policy.refer_seconds,
                    "refer_to": policy.refer_to,
                    "is_vouched": policy.vouch is not None,
                },
            )
        )

    async def _challenge(self, name: str, approver: Approver, question: Question, entry: ApprovalEntry) -> None:
        approval_id = question.approval_id
        try:
            reviewed = await self._call(f"approver {name}", approver, "review", question)
            is_passed, reason, arguments = _said(f"approver {name}", _parts_of, reviewed)
            early = entry.review_seconds_min - (self.clock.now_ns() - entry.challenged_ns) / 1e9
            if early > 0:
                await self.clock.sleep(early)
            more: dict[str, Any] = {"now_ns": self.clock.now_ns()}
            if arguments is not None:
                more |= {"arguments": exact(_ANSWER, "arguments", arguments), "is_modified": True}
            await self._core.execute(
                lambda: self._approvals.answer(approval_id, name, is_passed=is_passed, reason=reason, **more)
            )
        except (NotFound, HubClosed, HubFailed):
            return  # there is a verdict, or none will ever come
        except (_PlugInFailed, EventTooLarge, CommandRejected) as error:
            is_its_own = isinstance(error, _PlugInFailed)
            reason = str(error) if is_its_own else f"a plug-in gave an answer that cannot be used: {error}"
            with_it = reason[:_REASON_LENGTH_MAX]
        else:
            return
        try:
            await self._core.execute(lambda: self._approvals.approver_failed(approval_id, name, with_it))
        except (CommandRejected, HubClosed, HubFailed):
            return  # likewise, or its agent has left the hub

    async def _call(self, name: str, plug_in: object, method: str, question: Question) -> Any:
        """Call a scorer or an approver. Its time is that of the approval: with the verdict, the call is cancelled."""
        function, in_loop = _said(name, getattr, plug_in, method), _said(name, getattr, plug_in, "in_loop", None)
        try:
            return await self._abandoned.call_plug_in(name, function, question, in_loop=in_loop is True)
        except Exception as error:
            raise _PlugInFailed(f"{name} failed: {text_of(error)}") from error

    @asynccontextmanager
    async def _deciding(self, approval_id: str) -> AsyncIterator[None]:
        """Let the fail mode decide if what is inside fails."""
        try:
            try:
                yield
            except (_PlugInFailed, EventTooLarge) as error:
                reason = str(error)
            except CommandRejected as error:
                if isinstance(error, NotFound):
                    raise
                reason = f"a plug-in gave an answer that cannot be used: {error}"
            else:
                return
            await self._core.execute(lambda: self._approvals.fail(approval_id, reason))
        except (NotFound, HubClosed, HubFailed):
            return  # there is a verdict, or none will ever come: the task that waits gets one or the other


class _PlugInFailed(Exception):
    """A scorer or an approver raised an exception."""


def _said(name: str, read: Callable[..., Any], *args: Any) -> Any:
    """Read what a plug-in says: an attribute may be a property, which is its code as a method is."""
    try:
        return guarded_call(read, *args)
    except Exception as error:
        raise _PlugInFailed(f"{name} failed: {text_of(error)}") from error


def _name_of(approver: Approver) -> str:
    return clean(expect(approver.name, str, "a name"))


def _plain(score: Any) -> Any:
    """Return a number as a plain one; what is no number is refused where it is used."""
    number = number_of(score)
    return score if number is None else number


def _parts_of(answer: Any) -> tuple[Any, Any, Any]:
    if not isinstance(answer, Answer):
        return answer, "", None
    reason = answer.reason  # of a class of its own, it may raise wherever it is looked at
    return answer.is_passed, str.__str__(reason) if is_a(reason, str) else reason, answer.arguments


async def _answer(method: Callable[[Any], Any], question: object) -> Any:
    answer = method(question)
    return await answer if inspect.isawaitable(answer) else answer


async def _outcome_of(verdict: Callable[[], Awaitable[Event]]) -> Event | HubClosed | HubFailed:
    """Return the verdict, or why there will be none: raised inside a task group, it would become a group of errors."""
    try:
        return await verdict()
    except (HubClosed, HubFailed) as error:
        return error


def _reasons(risk: Any, policy: ApprovalPolicy) -> dict[str, Any]:
    """Return how it came to a risk, as the event has it: a scorer is a guest, and its reasons are cut."""
    scorer = class_name(policy.scorer)
    if not is_a(risk, Risk):
        return {"scorer": scorer}
    given = risk.steps if type(risk.steps) in (tuple, list) else ()
    steps = [
        {"scorer": _cut(each.scorer), "score": canonical(each.score), "reason": _cut(each.reason)}
        for each in given[:_STEPS_MAX]
        if is_a(each, RiskStep)
    ]
    return {"scorer": scorer, "reason": _cut(risk.reason), "steps": steps}


def _cut(text: object) -> str:
    return str(canonical(text) if is_a(text, str) else shown(text))[:_REASON_LENGTH_MAX]
