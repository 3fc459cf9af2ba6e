"""What the hub calls before it carries out a command: the Arbiter port, and RuleArbiter, which applies rules."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Protocol

import attrs

from ._state.profiles import InboxRule
from .errors import ConfigurationError

__all__ = ("ALLOW", "Allow", "Arbiter", "Command", "Deny", "Rule", "RuleArbiter")


@attrs.frozen(kw_only=True, eq=False)
class Command:
    """A command that the arbiter decides about.

    ``name`` is one of

    * ``register``: an agent is to be registered as ``agent_name``, with the rule ``content``; it has no id yet;
    * ``unregister``: an agent is to leave the hub;
    * ``set_resume``, ``set_skill``, ``set_rule``: an agent is to get the resume, skill or rule ``content``;
    * ``open``: an agent wants to open a channel with ``others``;
    * ``join``: an agent wants to join a channel with the participants ``others``;
    * ``accept``, ``decline``: an agent wants to answer an invitation; ``others`` is the agent that invited it;
    * ``leave``: an agent wants to leave a channel;
    * ``close``: a channel with the participants ``others`` is to be closed, by a caller that is not named;
    * ``send``: an agent wants to post ``content``, addressed to ``others`` (none: to all participants);
    * ``dispatch``: an envelope of the agent is about to go to the agent in ``others``;
    * ``inbox``: an envelope of the agent in ``others`` is about to go into the agent's inbox;
    * ``start``: an agent wants to start a task, or to have one observed;
    * ``request_cancel``: an agent wants the agent in ``others`` to give up a task;
    * ``request``: an agent wants to have an action approved.

    An arbiter does not decide about what an agent does with its own inbox and its own tasks, nor about answers to
    approvals, whose policy names the approvers.
    """

    name: str
    agent_id: str | None = None
    agent_name: str = ""
    others: tuple[str, ...] = ()
    """The names of the other agents concerned."""
    channel_id: str | None = None
    channel_type: str = ""
    content: Any = None
    """The envelope's content, the task's title or id, the action's name and arguments, the reason, the new rule, resume
    or skill."""
    hops: int = 0
    """How many envelopes led to this one, each by answering the one before."""
    rule: Mapping[str, Any] | None = None
    """The rule that the agent is registered with, as its event has it."""
    rules_of_others: tuple[Mapping[str, Any] | None, ...] = ()
    """The rules of ``others``, in their order."""
    moment_seconds: float = 0.0
    """When the command was given, in seconds of the hub's monotonic clock."""


@attrs.frozen(kw_only=True)
class Allow:
    """The command is allowed, within limits that the hub checks when it decides; None: no limit.

    An arbiter must not check them by counting: other commands happen while it decides.
    """

    channels_max: int | None = None
    """How many channels the agent may have open, with this one."""
    tasks_max: int | None = None
    """How many tasks the agent may have running, with this one."""
    delegation_depth_max: int | None = None
    """How many tasks may lie above this one."""


@attrs.frozen
class Deny:
    """The command is not allowed."""

    reason: str


ALLOW = Allow()


class Arbiter(Protocol):
    """Decides before commit whether a command is allowed.

    The hub calls it before it decides: a denied command has no effect, and the caller gets
    :class:`~hubwire.errors.AccessDenied` with the reason. The state may change between the answer and the command; the
    hub checks its own rules, and the limits of :class:`Allow`, at the moment when it decides.

    An arbiter that raises, returns a value of another type, or takes longer than ``arbiter_seconds_max`` of the hub,
    denies. It may be called for several commands at a time, and has to be fast: the callers of commands wait for it.
    """

    def authorize(self, command: Command) -> Allow | Deny | Awaitable[Allow | Deny]:
        """Return whether the command is allowed, directly or as an awaitable: the method may be ``async``."""


@attrs.frozen(kw_only=True)
class Rule:
    """What an agent may do. Globs are those of ``fnmatch``, case-sensitive, over the names of agents."""

    outbound_to: tuple[str, ...] = ("*",)
    """The agents to which it may address posts, and with which it may open or join channels."""
    inbound_from: tuple[str, ...] = ("*",)
    """The agents from which it takes envelopes, and which may open channels with it, or join its channels."""
    channel_types_initiate: tuple[str, ...] = ("*",)
    """The types of channels that it may open."""
    channel_types_accept: tuple[str, ...] = ("*",)
    """The types of channels in which it may participate when others open them."""
    channels_max: int | None = None
    tasks_max: int | None = None
    delegation_depth_max: int | None = 5
    """How many tasks may lie above one of its own, and how many envelopes may lead to one."""
    rate_per_minute: float | None = None
    """How many commands (register, open, join, send, start, request_cancel, request) it may give a minute; None: no
    limit."""
    rate_burst: int = 1
    """How many of them at once, after a pause."""
    inbox: InboxRule = attrs.field(factory=InboxRule)
    """How much its inbox holds. The hub applies this to agents that are registered with the rule; arbiters do not."""

    def __attrs_post_init__(self) -> None:
        _check(self)


_RATED = frozenset({"register", "open", "join", "send", "start", "request_cancel", "request"})
_ADDRESSED = frozenset({"open", "join", "accept", "send", "dispatch"})
"""The commands for which rules concern ``others``. For the rest they are not looked at: they may be ten thousand."""

_BUCKETS_MAX = 10_000


class RuleArbiter:
    """Allows what rules allow: ``RuleArbiter({"intern-*": Rule(tasks_max=1)}, default=Rule())``.

    ``rules`` maps globs over names to rules; the first that matches counts. If none matches, the rule counts that the
    agent is registered with, ``hub.agents.register("coder", rule=Rule(...))``, and without one, ``default``. Rates are
    token buckets, kept in memory: after a restart they are full.
    """

    def __init__(self, rules: Mapping[str, Rule] | None = None, *, default: Rule | None = None) -> None:
        self._rules = dict(rules or {})
        self._default = default or Rule()
        self._buckets: dict[str, tuple[float, float]] = {}

    def rule_of(self, name: str, registered: Mapping[str, Any] | None = None) -> Rule:
        """Return the rule that counts for the agent with this name; ``registered`` is the one it is registered with."""
        for glob, rule in self._rules.items():
            if fnmatchcase(name, glob):
                return rule
        return self._default if registered is None else _read(registered)

    def authorize(self, command: Command) -> Allow | Deny:
        """Return whether the rules allow the command."""
        rule = self.rule_of(command.agent_name, command.rule)
        registered = command.rules_of_others or (None,) * len(command.others)
        is_addressed = command.name in _ADDRESSED
        others = [self.rule_of(*each) for each in zip(command.others, registered, strict=True)] if is_addressed else []
        refusal = (
            _refused_rule(command)
            or _refused_address(command, rule, others)
            or _refused_depth(command, rule)
            or _refused_type(command, rule, others)
            or (self._refused_rate(command, rule) if command.name in _RATED else None)
        )
        if refusal is not None:
            return Deny(refusal)
        return Allow(
            channels_max=rule.channels_max,
            tasks_max=rule.tasks_max,
            delegation_depth_max=rule.delegation_depth_max,
        )

    def _refused_rate(self, command: Command, rule: Rule) -> str | None:
        """Take a token out of the agent's bucket; if there is none, return the refusal."""
        if rule.rate_per_minute is None:
            return None
        now, burst = command.moment_seconds, float(rule.rate_burst)
        tokens, since = self._buckets.get(command.agent_name, (burst, now))
        tokens = min(burst, tokens + (now - since) * rule.rate_per_minute / 60)
        if tokens < 1:
            self._buckets[command.agent_name] = (tokens, now)
            seconds = math.ceil((1 - tokens) * 60 / rule.rate_per_minute)
            return f"{command.agent_name!r} may do this {rule.rate_per_minute:g} times a minute; wait {seconds} s"
        self._buckets[command.agent_name] = (tokens - 1, now)
        if len(self._buckets) > _BUCKETS_MAX:
            self._forget_the_oldest()
        return None

    def _forget_the_oldest(self) -> None:
        oldest = sorted(self._buckets, key=lambda name: self._buckets[name][1])
        for name in oldest[: _BUCKETS_MAX // 10]:
            del self._buckets[name]


def _refused_rule(command: Command) -> str | None:
    """Return why the rule to be set is not valid: with it, all later commands of the agent would be denied."""
    if command.name in ("register", "set_rule") and isinstance(command.content, Mapping):
        try:
            _read(command.content)
        except ConfigurationError as error:
            return str(error)
    return None


def _refused_address(command: Command, rule: Rule, others: list[Rule]) -> str | None:
    if command.name not in _ADDRESSED:
        return None
    me = command.agent_name
    for name, other in zip(command.others, others, strict=True):
        if command.name in ("send", "open", "join") and not _matches(name, rule.outbound_to):
            return f"{me!r} may not address {name!r}"
        if command.name in ("dispatch", "open", "join") and not _matches(me, other.inbound_from):
            return f"{name!r} takes no envelopes from {me!r}"
        if command.name == "accept" and not _matches(name, rule.inbound_from):
            return f"{me!r} takes no envelopes from {name!r}"
    return None


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _refused_depth(command: Command, rule: Rule) -> str | None:
    depth_max = rule.delegation_depth_max
    if command.name != "send" or depth_max is None or command.hops <= depth_max:
        return None
    return f"{command.hops} envelopes led to this one, and {depth_max} are allowed; answer the first of them"


def _refused_type(command: Command, rule: Rule, others: list[Rule]) -> str | None:
    if command.name in ("join", "accept") and not _matches(command.channel_type, rule.channel_types_accept):
        return f"{command.agent_name!r} accepts no channels of type {command.channel_type!r}"
    if command.name != "open":
        return None
    if not _matches(command.channel_type, rule.channel_types_initiate):
        return f"{command.agent_name!r} may not open channels of type {command.channel_type!r}"
    for name, other in zip(command.others, others, strict=True):
        if not _matches(command.channel_type, other.channel_types_accept):
            return f"{name!r} accepts no channels of type {command.channel_type!r}"
    return None


_FIELDS: tuple[str, ...] = tuple(field.name for field in attrs.fields(Rule) if field.name != "inbox")


def _read(registered: Mapping[str, Any]) -> Rule:
    return Rule(**{name: registered[name] for name in _FIELDS if name in registered})


def _check(rule: Rule) -> None:
    for name in ("outbound_to", "inbound_from", "channel_types_initiate", "channel_types_accept"):
        globs = getattr(rule, name)
        if not isinstance(globs, tuple) or not all(isinstance(glob, str) for glob in globs):
            raise ConfigurationError(f"{name} is a tuple of globs, not {globs!r}; write ({globs!r},)")
    for name in ("channels_max", "tasks_max", "delegation_depth_max"):
        limit = getattr(rule, name)
        if limit is not None and (not _is_count(limit) or limit < 0):
            raise ConfigurationError(f"{name} is a number of at least 0, or None for no limit, not {limit!r}")
    rate = rule.rate_per_minute
    if rate is not None and not (isinstance(rate, int | float) and rate > 0 and math.isfinite(rate)):
        raise ConfigurationError(f"rate_per_minute is a positive number, or None for no limit, not {rate!r}")
    if not _is_count(rule.rate_burst) or rule.rate_burst < 1:
        raise ConfigurationError(f"rate_burst is at least 1, not {rule.rate_burst!r}: with less, no command is allowed")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
