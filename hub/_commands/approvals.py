"""``hub.approvals``: approval before an agent acts."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

from .._commit.threads import FromThreads
from .._foreign.arguments import Call, is_a
from .._foreign.guards import is_async
from .._state import State
from .._state.answers import ApproverAnswer
from ..approvals import Approval, ApprovalPolicy, PendingApproval
from ..events import ApprovalIncidentRecorded, ApprovalTrustRestored, ApprovalTrustRevoked
from .agents import Agent
from .asking import Questions, Terms
from .channels import Channel
from .core import Core
from .exact import exact
from .gating import Gated, GatedBlocking, Tool, check_is_called
from .group import Group
from .pending import pending_of
from .reviewing import Reviews
from .tasks import Task

__all__ = ("ApprovalCommands",)

_GATE = Call("hub.approvals.gate()")
_REQUEST = Call("hub.approvals.request()")
_RECORD = Call("hub.approvals.record()")
_GATED = Call("hub.approvals.gated()")
_BLOCKING = Call("hub.approvals.gated_blocking()")
_ANSWER = Call("hub.approvals.answer()")
_SEND_BACK = Call("hub.approvals.send_back()")
_WAIT = Call("hub.approvals.wait()")
_USE = Call("hub.approvals.use()")
_FROM_THREAD = Call("hub.approvals.from_thread()")
_WITHDRAW = Call("hub.approvals.withdraw()")
_ARGUMENTS = Call("hub.approvals.arguments()")
_INCIDENT = Call("hub.approvals.record_incident()")
_REVOKE = Call("hub.approvals.revoke_trust()")
_RESTORE = Call("hub.approvals.restore_trust()")
_REASON_LENGTH_MAX = 10_000

P = ParamSpec("P")
T = TypeVar("T")


class ApprovalCommands(Group):
    """``hub.approvals``: requests approval before an agent acts, and answers for approvers.

    An approval is requested, its risk scored, its agent's trust computed; then a challenge is issued, approvers answer,
    and there is a verdict. All of it is events, and the verdict has committed before the agent may act.

    :meth:`request`, :meth:`wait` and :meth:`use` are the three steps of an agent, :meth:`gate` is all of them; between
    them an approver calls :meth:`answer`. Each may be in another task, process or life of the hub.
    """

    def __init__(
        self,
        core: Core,
        state: State,
        policy: ApprovalPolicy | None,
        reviews: Reviews,
        threads: FromThreads,
        turn: Callable[[], Any],
    ) -> None:
        self._core = core
        self._agents = state.agents
        self._approvals = state.approvals
        self._questions = Questions(core, state, policy or ApprovalPolicy(), reviews, turn)
        self._reviews = reviews
        self._threads = threads

    def _through(self, core: Core) -> ApprovalCommands:
        """Return the same commands as an agent has them, by its own ``core``."""
        face = copy.copy(self)
        face._core = core  # noqa: SLF001 - it is one of this class
        face._questions = self._questions.through(core)  # noqa: SLF001
        return face

    # -- for agents --

    async def gate(
        self,
        agent: Agent | str,
        action: str,
        *,
        arguments: Any = None,
        arguments_at: str = "",
        channel: Channel | str | None = None,
        task: Task | str | None = None,
        policy: ApprovalPolicy | None = None,
        idempotency_key: str | None = None,
        domain: str = "",
        hints: Any = None,
        provenance: Iterable[str] = (),
    ) -> Approval:
        """Return when the agent may do ``action`` with these ``arguments``; raise if it must not.

        It is :meth:`request`, which has the arguments explained, :meth:`wait` and :meth:`use`. With an
        ``idempotency_key`` the same question is asked once: another call, also after a crash, joins it, or gets its
        verdict; ``was_used`` of the approval says that an earlier call had it. In a turn of an actor the key is made of
        the envelope by default. Cancelled while it waits, an approval without a key expires; one with a key goes on.

        Raises :class:`~hubwire.errors.NotApproved` for any other verdict than approved or modified,
        :class:`~hubwire.errors.AccessDenied` if the arbiter denies the request,
        :class:`~hubwire.errors.NotFound` if there is no such agent, and :class:`~hubwire.errors.ConfigurationError` in
        a listener that the commit waits for: the verdict would wait for that listener.
        """
        self._core.check_may_wait("a verdict")
        terms = Terms(
            arguments=arguments,
            arguments_at=arguments_at,
            channel=channel,
            task=task,
            policy=policy,
            idempotency_key=idempotency_key,
            domain=domain,
            hints=hints,
            provenance=provenance,
        )
        return await self._questions.gate(self._questions.read(_GATE, agent, action, terms))

    async def request(
        self,
        agent: Agent | str,
        action: str,
        *,
        arguments: Any = None,
        arguments_at: str = "",
        channel: Channel | str | None = None,
        task: Task | str | None = None,
        policy: ApprovalPolicy | None = None,
        idempotency_key: str | None = None,
        domain: str = "",
        hints: Any = None,
        provenance: Iterable[str] = (),
    ) -> str:
        """Request an approval; return its id when approvers can answer, or when there is a verdict already.

        ``arguments`` have to be what JSON can say exactly. With ``arguments_at`` they are in no event, only their
        digest is, and it says where an approver finds them. ``provenance`` is where they come from, as the agent says
        it (:mod:`hubwire.provenance`): approvers see it. ``policy`` replaces the hub's. ``domain`` is the field in
        which the agent has to be trusted, and ``hints`` is what the scorer is given besides. The approvers of the
        policy are called as soon as a task waits for the verdict.

        Raises what :meth:`gate` raises, but not for the verdict.
        """
        self._core.check_may_wait("a challenge")
        terms = Terms(
            arguments=arguments,
            arguments_at=arguments_at,
            channel=channel,
            task=task,
            policy=policy,
            idempotency_key=idempotency_key,
            domain=domain,
            hints=hints,
            provenance=provenance,
        )
        return await self._questions.request(self._questions.read(_REQUEST, agent, action, terms))

    async def wait(self, approval_id: str) -> Approval:
        """Wait for the verdict of an approval, which is remembered for a week; call :meth:`use` before acting on it.

        Raises :class:`~hubwire.errors.NotApproved`, and :class:`~hubwire.errors.NotFound` if no such approval is known.
        """
        self._core.check_may_wait("a verdict")
        return await self._questions.verdict(self._id(_WAIT, approval_id))

    async def use(self, approval: Approval | str) -> None:
        """Use an approval, just before the agent acts: it is for one use. Return when that has committed.

        Raises :class:`~hubwire.errors.CommandRejected` if it was used already, or the verdict is another one, and
        :class:`~hubwire.errors.NotFound` if there is no verdict, or none any more.
        """
        given = approval.approval_id if type(approval) is Approval else approval
        approval_id = self._id(_USE, given)
        if (verdict := self._approvals.given(approval_id)) is not None:
            self._core.acting.check(verdict.agent_id, _USE, "the agent that has requested it")
        await self._core.execute(lambda: self._approvals.use(approval_id))

    async def withdraw(self, approval_id: str, reason: str = "it is asked no more") -> None:
        """Ask a question no more: what waits for the verdict gets ``NotApproved``, ``withdrawn``.

        Raises :class:`~hubwire.errors.NotFound` if there is no such approval, or a verdict already.
        """
        approval_id = self._id(_WITHDRAW, approval_id)
        reason = _WITHDRAW.text("reason", reason)[:_REASON_LENGTH_MAX]
        self._core.acting.check(self._approvals.get(approval_id).agent_id, _WITHDRAW, "the agent that has requested it")
        await self._core.execute(lambda: self._approvals.withdraw(approval_id, reason))

    async def record(
        self,
        agent: Agent | str,
        action: str,
        *,
        approver: str,
        is_passed: bool,
        reason: str = "",
        arguments: Any = None,
        channel: Channel | str | None = None,
        task: Task | str | None = None,
        idempotency_key: str | None = None,
        provenance: Iterable[str] = (),
    ) -> str:
        """Take over a verdict that was given elsewhere, such as in a framework's own dialog; return its approval's id.

        Question, answer and verdict are committed in one command. Raises what :meth:`request` and :meth:`answer` raise.
        """
        about: dict[str, Any] = {"channel": channel, "task": task, "provenance": provenance}
        terms = Terms(arguments=arguments, idempotency_key=idempotency_key, **about)
        asked = self._questions.read(_RECORD, agent, action, terms, in_turn=False)
        self._questions.check_not_own(asked.agent_id)
        self._core.acting.check_approver(approver, _RECORD)
        answer = ApproverAnswer(
            approver=_RECORD.text("approver", approver),
            is_passed=is_passed,
            reason=_RECORD.text("reason", reason),
            now_ns=self._reviews.clock.now_ns(),
        )
        said = {"approver": answer.approver, "is_passed": is_passed, "reason": answer.reason, "arguments": None}
        await self._questions.authorize_answer(asked.approval_id, said)
        return await self._questions.ask(asked, answer)

    def gated(self, agent: Agent | str, *, action: str | None = None, policy: ApprovalPolicy | None = None) -> Gated:
        """Let the decorated tool run only when ``agent`` may do ``action``, by default the tool's name.

        The tool becomes async; a call raises what :meth:`gate` raises, and the tool has not run. Approvers see all of
        its arguments, also those that the call left to their defaults, and what they have approved is what it runs
        with. An approval that an earlier life of a turn had lets no call run again.
        """
        check_is_called(_GATED, agent)
        agent_id, policy, action = self._questions.gated(_GATED, agent, policy, action)

        def decorate(function: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
            tool = Tool(_GATED, function, action)

            async def gated(*args: Any, **kwargs: Any) -> Any:
                bound, requested = tool.bind(args, kwargs)
                approval = await self.gate(agent_id, tool.name, arguments=requested, policy=policy)
                result = tool.run(bound, requested, approval)
                return await result if inspect.isawaitable(result) else result

            wrapped: Callable[..., Coroutine[Any, Any, Any]] = tool.wrap(gated)
            return wrapped

        return decorate

    def gated_blocking(
        self, agent: Agent | str, *, action: str | None = None, policy: ApprovalPolicy | None = None
    ) -> GatedBlocking:
        """Likewise for a function that stays sync: call it in other threads than the hub's; it blocks until a verdict.

        In the hub's own loop the call raises :class:`~hubwire.errors.ConfigurationError`: it would wait for itself.
        """
        check_is_called(_BLOCKING, agent)
        agent_id, policy, action = self._questions.gated(_BLOCKING, agent, policy, action)

        def decorate(function: Callable[P, T]) -> Callable[P, T]:
            tool = Tool(_BLOCKING, function, action)

            def gated(*args: Any, **kwargs: Any) -> Any:
                self._threads.check_elsewhere()
                bound, requested = tool.bind(args, kwargs)
                asked = self.from_thread(self.gate, agent_id, tool.name, arguments=requested, policy=policy)
                try:
                    approval = asked.result()
                except BaseException:
                    asked.cancel()  # no effect unless the wait was interrupted
                    raise
                return tool.run(bound, requested, approval)

            wrapped: Callable[P, T] = tool.wrap(gated)
            return wrapped

        return decorate

    def from_thread(self, method: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a method of ``hub.approvals`` from any thread: ``from_thread(hub.approvals.answer, id, "ann", ...)``.

        The future has what the method returns or raises; cancelling it cancels the call.
        """
        if not is_async(method):
            raise _FROM_THREAD.refusal(
                "method", method, "an async method of hub.approvals", "call the others as they are"
            )

        async def run(future: Future[T]) -> None:
            result = await method(*args, **kwargs)
            if future.set_running_or_notify_cancel():
                future.set_result(result)

        return self._threads.submit(run)

    # -- for approvers --

    def pending(self) -> tuple[PendingApproval, ...]:
        """Return each approval without a verdict with all that an approver has to see, the oldest first.

        After a restart it is the same, also when the journal has let it go. Arguments with more than 16 KiB of JSON are
        in their event alone: see :meth:`arguments`.
        """
        seen = (entry for entry in self._approvals if self._core.acting.sees(entry.agent_id))
        return tuple(pending_of(entry, self._agents) for entry in seen)

    async def arguments(self, approval_id: str) -> Any:
        """Return the arguments of a pending approval, also those that are too large for :meth:`pending`.

        Raises :class:`~hubwire.errors.NotFound`, which says where they are, if the hub does not have them any more.
        """
        entry = self._approvals.get(self._id(_ARGUMENTS, approval_id))
        return await self._reviews.arguments_of(entry)

    async def answer(
        self,
        approval_id: str,
        approver: Agent | str,
        *,
        is_passed: bool,
        reason: str = "",
        arguments: Mapping[str, Any] | None = None,
        proof: Any = None,
    ) -> None:
        """Answer a challenge in an approver's name. What the answer leads to has committed when this returns.

        ``arguments`` with a yes are approved instead of those that were requested; where several have to agree, that is
        refused. ``proof`` is what ``vouch`` of the policy looks at, to say whether it is this approver.

        Raises :class:`~hubwire.errors.NotFound` if there is no such approval, or a verdict already, and
        :class:`~hubwire.errors.CommandRejected` if this approver was not challenged, is not vouched for, has answered,
        answers too soon, or is the agent that wants to act, and :class:`~hubwire.errors.AccessDenied` if the arbiter
        denies it.
        """
        approval_id = self._id(_ANSWER, approval_id)
        modified: dict[str, Any] = {}
        if arguments is not None:
            if is_passed is not True:
                raise _ANSWER.refusal(
                    "arguments", arguments, "None with a no", "send the question back with send_back()"
                )
            changed = _ANSWER.mapping("arguments", arguments)
            modified = {"arguments": exact(_ANSWER, "arguments", changed), "is_modified": True}
        who = await self._questions.approver(_ANSWER, approval_id, approver, proof)
        reason = _ANSWER.text("reason", reason)
        said = {"approver": who["approver"], "is_passed": is_passed, "reason": reason, "arguments": arguments}
        await self._questions.authorize_answer(approval_id, said)
        now_ns = self._reviews.clock.now_ns()
        await self._core.execute(
            lambda: self._approvals.answer(
                approval_id, is_passed=is_passed, reason=reason, now_ns=now_ns, **who, **modified
            )
        )

    async def send_back(self, approval_id: str, approver: Agent | str, reason: str, *, proof: Any = None) -> None:
        """Send a question back in an approver's name; ``reason`` says what to change before it is requested again.

        What waits for the verdict gets ``NotApproved``, ``returned``. Raises what :meth:`answer` raises.
        """
        approval_id = self._id(_SEND_BACK, approval_id)
        who = await self._questions.approver(_SEND_BACK, approval_id, approver, proof)
        reason = _SEND_BACK.text("reason", reason)
        said = {"approver": who["approver"], "is_passed": False, "reason": reason, "arguments": None}
        await self._questions.authorize_answer(approval_id, said)
        now_ns = self._reviews.clock.now_ns()
        answer = ApproverAnswer(is_passed=False, reason=reason, now_ns=now_ns, **who)
        await self._core.execute(lambda: self._approvals.send_back(approval_id, answer))

    def _id(self, call: Call, approval_id: object) -> str:
        """Return the id of an approval; refuse one that there is not for the caller's tenant."""
        checked = _id(call, approval_id)
        self._core.acting.check_approval(checked)
        return checked

    # -- trust --

    async def record_incident(self, agent: Agent | str, *, domain: str = "", reason: str = "") -> None:
        """Record that what the agent did went wrong: scorers of trust count it."""
        await self._questions.about_trust(_INCIDENT, ApprovalIncidentRecorded, agent, domain, reason)

    async def revoke_trust(self, agent: Agent | str, *, domain: str = "", reason: str = "") -> None:
        """Trust an agent not at all in a domain, also where the scorer of trust does."""
        await self._questions.about_trust(_REVOKE, ApprovalTrustRevoked, agent, domain, reason)

    async def restore_trust(self, agent: Agent | str, *, domain: str = "", reason: str = "") -> None:
        """Compute an agent's trust in a domain again, as if it were new."""
        await self._questions.about_trust(_RESTORE, ApprovalTrustRestored, agent, domain, reason)


def _id(call: Call, approval_id: object) -> str:
    if is_a(approval_id, (Approval, PendingApproval)):
        raise call.refusal("approval_id", approval_id, "the id of an approval", "pass its .approval_id")
    return call.id("approval_id", approval_id, wanted="the id of an approval")
