"""The arbiter: every command is authorized by it before the command waits to be admitted."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict, Unpack

import attrs

from .._foreign.guards import guarded_call, text_of
from .._foreign.timeouts import asked, asked_now
from .._state.agents import Agents
from .._state.channels import Channels
from ..arbiter import ALLOW, Allow, Arbiter, Command, Deny
from ..errors import AccessDenied, NotFound
from ..events import AgentRegistered, FrozenDict, canonical
from ..events._shown import shown, type_name
from ..ports import Clock
from .denials import Denials

__all__ = ("CLEAR", "NO_FACTS", "About", "Authorizer", "Clearance")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Clearance:
    """What the arbiter has decided about an envelope."""

    refusal: AccessDenied | None = None
    unreachable: Mapping[str, str] = {}
    """The ids of agents that it must not reach, and why."""
    covered: frozenset[str] | None = None
    """The ids of the agents about which the arbiter has decided; None without an arbiter."""

    def check(self) -> None:
        """Raise if the envelope must not be posted."""
        if self.refusal is not None:
            raise self.refusal

    def covers(self, agent_ids: Iterable[str]) -> bool:
        """Tell whether the arbiter has decided about all of these agents: meanwhile, others may have joined."""
        return self.covered is None or self.refusal is not None or self.covered.issuperset(agent_ids)


CLEAR = Clearance()
NO_FACTS: Mapping[str, Any] = FrozenDict()


class About(TypedDict, total=False):
    """What a command is about: the fields of :class:`~hubwire.arbiter.Command`, with ids where that has names."""

    agent_name: str
    channel_id: str | None
    channel_type: str
    content: Any
    hops: int
    delegators: Iterable[str]
    present: Iterable[str]
    facts: Mapping[str, Any]


class Authorizer:
    """Calls the hub's arbiter, if it has one; an answer that is not a permission is a refusal."""

    def __init__(
        self,
        arbiter: Arbiter | None,
        agents: Agents,
        channels: Channels,
        clock: Clock,
        seconds_max: float,
        denials: Denials,
    ) -> None:
        self.has_arbiter: bool = arbiter is not None
        """Whether the hub has an arbiter."""
        self._arbiter = arbiter
        self._agents = agents
        self._channels = channels
        self._clock = clock
        self._seconds_max = seconds_max
        self._denials = denials
        self._coming: Sequence[AgentRegistered] = ()

    def expecting(self, registrations: Sequence[AgentRegistered]) -> Authorizer:
        """Return the same for a command that registers these agents first: the arbiter sees what they will be."""
        face = copy.copy(self)
        face._coming = registrations  # noqa: SLF001 - it is one of this class
        return face

    def freeze(self, content: Any) -> Any:
        """Return the content as the arbiter sees it: frozen, so that it is the same in the event that follows."""
        return canonical(content) if self.has_arbiter else content

    async def authorize(
        self, name: str, agent_id: str | None = None, others: Iterable[str] = (), **about: Unpack[About]
    ) -> Allow:
        """Return the limits within which the command is allowed; ``others`` are agent ids, ``content`` is frozen.

        Raises :class:`~hubwire.errors.AccessDenied` if the arbiter denies the command, fails, or does not answer in
        time.
        """
        if self._arbiter is None:
            return ALLOW
        command = self._command(name, agent_id, others, about)
        answer: Any = None
        failure: Exception | None = None
        try:
            answer = await asked(self._clock, self._seconds_max, _authorize, self._arbiter, command, name="the arbiter")
            answer = guarded_call(_plain, answer)
        except Exception as error:  # noqa: BLE001 - a foreign failure is a refusal
            failure = error
        if type(answer) is Allow:
            return answer
        refusal, reason = _refusal(command, answer, failure)
        await self._denials.report(command, reason)
        raise refusal from failure

    def authorize_now(self, name: str, agent_id: str | None, **about: Unpack[About]) -> Allow:
        """Do the same for a caller that cannot wait: an arbiter that would have to be awaited denies."""
        if self._arbiter is None:
            return ALLOW
        command = self._command(name, agent_id, (), about)
        answer: Any = None
        failure: Exception | None = None
        try:
            answer = asked_now(_authorize, self._arbiter, command)
            answer = guarded_call(_plain, answer)
        except Exception as error:  # noqa: BLE001 - a foreign failure is a refusal
            failure = error
        if type(answer) is Allow:
            return answer
        refusal, reason = _refusal(command, answer, failure)
        self._denials.note(command.agent_id, command.agent_name, command.name, reason)
        raise refusal from failure

    def _command(self, name: str, agent_id: str | None, others: Iterable[str], about: About) -> Command:
        others = tuple(others)
        with self._agents.expecting(self._coming):
            return Command(
                name=name,
                agent_id=agent_id,
                agent_name=about.get("agent_name") or self._name_of(agent_id),
                others=tuple(map(self._name_of, others)),
                channel_id=about.get("channel_id"),
                channel_type=about.get("channel_type", ""),
                content=about.get("content"),
                hops=about.get("hops", 0),
                delegators=tuple(map(self._name_of, about.get("delegators", ()))),
                present=tuple(map(self._name_of, about.get("present", ()))),
                facts=canonical(about.get("facts", NO_FACTS)),
                rule=self._rule_of(agent_id),
                rules_of_others=tuple(map(self._rule_of, others)),
                moment_seconds=self._clock.monotonic(),
            )

    async def clear(self, name: str, sender_id: str, audience: Sequence[str] | None, about: About) -> Clearance:
        """Return whether an envelope may be sent or published; about those it reaches, :meth:`reach` decides."""
        if self._arbiter is None:
            return CLEAR
        try:
            await self.authorize(name, sender_id, audience or (), **about)
        except AccessDenied as error:
            return Clearance(refusal=error)
        return Clearance(covered=frozenset())

    async def reach(
        self, clearance: Clearance, sender_id: str, channel_id: str | None, reached: Iterable[str], content: Any
    ) -> Clearance:
        """Return a clearance that also covers those of these agents about which was not decided yet."""
        if clearance.covered is None:  # there is no arbiter, or it has refused
            return clearance
        covered = clearance.covered
        unreachable = dict(clearance.unreachable)
        for agent_id in reached:
            if agent_id not in covered and agent_id != sender_id and self._is_there(agent_id):
                try:
                    await self.authorize("dispatch", sender_id, [agent_id], channel_id=channel_id, content=content)
                    await self.authorize("inbox", agent_id, [sender_id], channel_id=channel_id, content=content)
                except AccessDenied as error:
                    unreachable[agent_id] = str(error)
        return Clearance(unreachable=unreachable, covered=covered.union(reached))

    def _is_there(self, agent_id: str) -> bool:
        return agent_id in self._agents or any(each.agent_id == agent_id for each in self._coming)

    def participants(self, channel_id: str | None) -> tuple[str, ...]:
        """Return the ids of a channel's participants; none if it is not there: the state machine refuses that."""
        if channel_id is None:
            return ()
        try:
            return self._channels.get(channel_id).participants
        except NotFound:
            return ()

    def _name_of(self, agent_id: str | None) -> str:
        """Return an agent's name, or the id itself if no agent has it: the state machine will refuse the command."""
        if agent_id is None:
            return ""
        return self._agents.get(agent_id).name if agent_id in self._agents else str(agent_id)

    def _rule_of(self, agent_id: str | None) -> Mapping[str, Any] | None:
        if agent_id is None or agent_id not in self._agents:
            return None
        return self._agents.get(agent_id).rule


def _refusal(command: Command, answer: object, failure: Exception | None) -> tuple[AccessDenied, str]:
    """Return the error for an answer that is no permission, and the reason as it is recorded."""
    if failure is not None:
        # The text of a foreign exception may hold what is not for the log; the caller gets all of it.
        reason = f"the arbiter failed: {type_name(failure)}"
        told = f"because the arbiter failed ({text_of(failure)}); nothing has happened: mend the arbiter"
    elif type(answer) is not Deny:
        reason = f"the arbiter answered {type_name(answer)}"
        told = f"because {reason}; nothing has happened: let it answer Allow() or Deny(reason)"
    else:
        denied = f"{command.name!r} of {shown(command.agent_name)} is denied: {answer.reason}"
        return AccessDenied(denied, command=command.name), answer.reason
    return AccessDenied(
        f"{command.name!r} of {shown(command.agent_name)} is denied, {told}", command=command.name
    ), reason


def _authorize(arbiter: Arbiter, command: Command) -> Any:
    """Call the arbiter; to look for the method is a call of its code already."""
    return arbiter.authorize(command)


def _plain(answer: Any) -> Any:
    """Return an answer of a class of the arbiter's own as the plain one: what it says is read once, here."""
    if isinstance(answer, Allow):
        names = [field.name for field in attrs.fields(Allow)]
        return answer if type(answer) is Allow else Allow(**{name: getattr(answer, name) for name in names})
    if isinstance(answer, Deny):
        return answer if type(answer) is Deny else Deny(answer.reason)
    return answer
