"""``hub.approvals``: approval before an agent acts."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, Protocol, TypeVar, overload

import anyio
import attrs

from .._foreign.guards import guarded, text_of
from .._state import State
from .._state.verdicts import VERDICTS, ApprovalEntry, word_of
from ..approvals import Answer, Approval, ApprovalPolicy, Approver, ChallengeKind, Question
from ..errors import CommandRejected, EventTooLarge, HubClosed, HubFailed, NotApproved, NotFound
from ..events import ApprovalApproved, Event, canonical
from .agents import Agent, id_of
from .channels import Channel
from .core import Core, new_id
from .outcomes import Outcomes
from .tasks import Task

__all__ = ("ApprovalCommands", "Gated")

P = ParamSpec("P")
T = TypeVar("T")


class Gated(Protocol):
    """A decorator: the function that it returns is async, and requests approval before it calls the decorated one."""

    @overload
    def __call__(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __call__(self, function: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]: ...


class ApprovalCommands:
    """``hub.approvals``: requests approval before an agent acts, and answers for approvers.

    An approval is requested, its risk scored, its agent's trust computed; then a challenge is issued, approvers answer,
    and there is a verdict. All of it is events, and the verdict has committed before the agent may act.
    """

    def __init__(self, core: Core, state: State, policy: ApprovalPolicy | None) -> None:
        self._core = core
        self._agents = state.agents
        self._approvals = state.approvals
        self._policy = policy or ApprovalPolicy()
        self._outcomes = Outcomes(core, VERDICTS, "approval_id")

    async def gate(
        self,
        agent: Agent | str,
        action: str,
        *,
        arguments: Any = None,
        channel: Channel | str | None = None,
        task: Task | str | None = None,
        policy: ApprovalPolicy | None = None,
    ) -> Approval:
        """Return when the agent may do ``action`` with these ``arguments``; raise if it must not.

        ``policy`` replaces the hub's. Cancelled while it waits, the approval expires.

        Raises :class:`~hubwire.errors.NotApproved` for any other verdict than approved,
        :class:`~hubwire.errors.AccessDenied` if the arbiter denies the request,
        :class:`~hubwire.errors.NotFound` if there is no such agent, and :class:`~hubwire.errors.ConfigurationError` in
        a listener that the commit waits for: the verdict would wait for that listener.
        """
        self._core.check_may_wait("a verdict")
        policy = policy or self._policy
        agent_id = id_of(agent)
        about: dict[str, Any] = {
            "channel_id": channel.id if isinstance(channel, Channel) else channel,
            "task_id": task.id if isinstance(task, Task) else task,
        }
        arguments = canonical(arguments)
        content = {"action": action, "arguments": arguments}
        await self._core.authorizer.authorize("request", agent_id, channel_id=about["channel_id"], content=content)
        entry = self._agents.get(agent_id)
        record = self._approvals.record(agent_id)
        question = Question(
            approval_id=new_id(),
            agent_id=agent_id,
            agent_name=entry.name,
            action=action,
            arguments=arguments,
            times_approved=record.approved,
            times_denied=record.denied,
            **about,
        )
        return _approval(await self._judge(question, policy))

    def gated(self, agent: Agent | str, *, action: str | None = None, policy: ApprovalPolicy | None = None) -> Gated:
        """Let the decorated tool run only when ``agent`` may do ``action``, by default the tool's name.

        The tool becomes async; a call raises what :meth:`gate` raises, and the tool has not run. Approvers see all of
        its arguments, also those that the call left to their defaults.
        """

        def decorate(function: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
            signature = inspect.signature(function)

            @functools.wraps(function)
            async def gated(*args: Any, **kwargs: Any) -> Any:
                bound = signature.bind(*args, **kwargs)
                bound.apply_defaults()
                requested = canonical(bound.arguments)
                approval = await self.gate(agent, action or function.__name__, arguments=requested, policy=policy)
                if canonical(bound.arguments) != requested:
                    raise NotApproved(
                        f"the arguments of {approval.action!r} were changed between the request and the verdict, and"
                        " their new values were not approved; do not change the arguments of a gated call",
                        approval_id=approval.approval_id,
                        verdict="approved",
                        reason="other arguments",
                    )
                result = function(*args, **kwargs)
                return await result if inspect.isawaitable(result) else result

            return gated

        return decorate

    def pending(self) -> tuple[ApprovalEntry, ...]:
        """Return what the hub knows of each approval without a verdict, oldest first."""
        return tuple(self._approvals)

    async def answer(self, approval_id: str, approver: str, *, is_passed: bool, reason: str = "") -> None:
        """Answer a challenge in an approver's name. What the answer leads to has committed when this returns.

        Raises :class:`~hubwire.errors.NotFound` if there is no such approval, or a verdict already, and
        :class:`~hubwire.errors.CommandRejected` if this approver was not challenged, has answered, or is the agent that
        wants to act.
        """
        await self._core.execute(
            lambda: self._approvals.answer(approval_id, approver, is_passed=is_passed, reason=reason)
        )

    async def wait(self, approval_id: str) -> Approval:
        """Wait for the verdict of an approval as :meth:`gate` does, for example after a restart of the hub.

        Raises :class:`~hubwire.errors.NotApproved`, and :class:`~hubwire.errors.NotFound` if no approval without a
        verdict has this id.
        """
        self._approvals.get(approval_id)
        with self._outcomes.expected(approval_id) as verdict:
            return _approval(await verdict())

    # -- from the request to the verdict --

    async def _judge(self, question: Question, policy: ApprovalPolicy) -> Event:
        """Request the approval, and have the plug-ins decide, until there is a verdict, by them or by the deadline."""
        try:
            with self._outcomes.expected(question.approval_id) as verdict:
                await self._request(question, policy)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._review, question, policy)
                    outcome = await _outcome_of(verdict)
                    tasks.cancel_scope.cancel()
        finally:
            self._withdraw(question.approval_id)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _request(self, question: Question, policy: ApprovalPolicy) -> None:
        await self._core.execute(
            lambda: self._approvals.request(
                question.agent_id,
                question.action,
                question.arguments,
                approval_id=question.approval_id,
                mode=policy.mode,
                fail_mode=policy.fail_mode,
                timeout_seconds=policy.timeout_seconds,
                channel_id=question.channel_id,
                task_id=question.task_id,
            )
        )

    def _withdraw(self, approval_id: str) -> None:
        """No task waits any more: if there is no verdict yet, let the approval expire."""
        if self._core.is_open:
            try:
                expired = self._approvals.withdraw(approval_id)
            except NotFound:
                return  # it has its verdict, or was refused
            self._core.announce(expired)

    async def _review(self, question: Question, policy: ApprovalPolicy) -> None:
        approval_id, approvals = question.approval_id, self._approvals
        async with self._deciding(approval_id):
            score = await _call("the scorer", policy.scorer.score, question)
            question = attrs.evolve(question, risk_score=score)
            trust = await _call("the trust scorer", policy.trust.trust, question)
            await self._core.execute(
                lambda: approvals.assess(
                    approval_id,
                    risk_score=score,
                    trust=trust,
                    challenges=policy.challenges,
                    approvers=[approver.name for approver in policy.approvers],
                    quorum=policy.quorum,
                )
            )
            entry = approvals.get(approval_id)
            question = attrs.evolve(
                question,
                risk_score=entry.risk_score,
                risk_level=entry.risk_level,
                challenge=ChallengeKind(entry.challenge),
            )
            async with anyio.create_task_group() as tasks:
                for approver in policy.approvers:
                    tasks.start_soon(self._challenge, approver, question)

    async def _challenge(self, approver: Approver, question: Question) -> None:
        name = approver.name
        async with self._deciding(question.approval_id):
            answer = await _call(f"approver {name}", approver.review, question)
            if not isinstance(answer, Answer):
                answer = Answer(answer)
            await self.answer(question.approval_id, name, is_passed=answer.is_passed, reason=answer.reason)

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


async def _call(name: str, method: Callable[[Question], Any], question: Question) -> Any:
    try:
        return await guarded(_answer, method, question)
    except Exception as error:
        raise _PlugInFailed(f"{name} failed: {text_of(error)}") from error


async def _answer(method: Callable[[Question], Any], question: Question) -> Any:
    answer = method(question)
    return await answer if inspect.isawaitable(answer) else answer


async def _outcome_of(verdict: Callable[[], Awaitable[Event]]) -> Event | HubClosed | HubFailed:
    """Return the verdict, or why there will be none: raised inside a task group, it would become a group of errors."""
    try:
        return await verdict()
    except (HubClosed, HubFailed) as error:
        return error


def _approval(event: Event) -> Approval:
    """Return the approval, if that is the verdict; otherwise raise the verdict as an error."""
    if isinstance(event, ApprovalApproved):
        return Approval(
            approval_id=event.approval_id,
            action=event.action,
            risk_score=event.risk_score,
            risk_level=event.risk_level,
            approvers=event.approvers,
            mode=event.mode,
            enforce_verdict=event.enforce_verdict,
            reason=event.reason,
            is_failure=event.is_failure,
        )
    assert isinstance(event, VERDICTS)
    word = word_of(event)
    because = f": {event.reason}" if event.reason else ""
    raise NotApproved(
        f"{event.action!r} is {word}{because}; do not do it, and request it again when the reasons have changed",
        approval_id=event.approval_id,
        verdict=word,
        reason=event.reason,
    )
