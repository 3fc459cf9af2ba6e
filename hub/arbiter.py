"""What the hub calls before it carries out a command: the Arbiter port, and RuleArbiter, which applies rules."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Protocol

import attrs

from ._foreign.arguments import Call, is_a, nearest, number_of, shown
from ._state.evaluators import Expectation
from ._state.profiles import InboxRule
from ._values import Shown, Value
from .errors import ConfigurationError

__all__ = ("ALLOW", "Allow", "Arbiter", "Command", "Deny", "Rule", "RuleArbiter")


_RULE = Call("Rule()", ConfigurationError)
_ALLOW = Call("Allow()", ConfigurationError)
_DENY = Call("Deny()", ConfigurationError)
_ARBITER = Call("RuleArbiter()", ConfigurationError)
_set = object.__setattr__
"""Of a frozen value, in its own ``__attrs_post_init__``: the number as it is compared from now on."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Command(Shown):
    """A command that the arbiter decides about.

    ``agent_id`` and ``agent_name`` are the agent that acts. ``facts`` are the arguments of the command that are not
    among the other fields, by their names, frozen. ``name`` is one of

    * ``register``: an agent is to be registered as ``agent_name``; it has no id yet. ``content`` is a mapping: its
      ``rule``, ``resume`` with all capabilities that it claims, ``skill`` and ``passport``. ``others``: the agent that
      registers it, if one does;
    * ``unregister``: an agent is to leave the hub;
    * ``set_resume``, ``set_skill``, ``set_rule``: an agent is to get the resume, skill or rule ``content``;
    * ``observe``: a task of the agent in ``others`` is to be counted in its record; ``facts``: ``task_id``,
      ``capability``, ``ended``, ``latency_ms``;
    * ``open``: an agent wants to open a channel with ``others``; ``facts``: ``topic``, ``labels``, ``roles``,
      ``knobs``, ``expectations``, ``version``, ``parent_id``, ``ttl_seconds``, ``invite``, ``required_acks``,
      ``invite_timeout_seconds``, ``history``; ``ttl_seconds`` is ``rule``, and ``expectations`` None, where the caller
      leaves them to the rule;
    * ``join``: an agent wants to join a channel with ``others``, its participants and those that were invited before;
      ``facts``: ``role``;
    * ``accept``: an agent wants to take part in a channel that it is invited to, with the participants ``others``, of
      which the first has invited it;
    * ``decline``: an agent wants to decline the invitation of the agent in ``others``;
    * ``leave``: an agent wants to leave a channel;
    * ``hide``, ``show``: the participant in ``others`` is to be hidden, or shown again;
    * ``close``: a channel with the participants ``others`` is to be closed;
    * ``send``: an agent wants to post ``content``, addressed to ``others`` (none: to all participants); ``facts``:
      ``priority``, ``ttl_seconds``, ``idempotency_key``, ``causation_id``;
    * ``publish``: an agent wants to publish ``content`` on the ``topic`` in ``facts``, which are otherwise those of
      ``send``; ``present`` are its subscribers. In ``others`` is the agent that it is addressed to, which is so for a
      reply to what was published;
    * ``subscribe``, ``unsubscribe``: an agent wants to get what is published on topics, or get it no more; ``facts``:
      ``pattern``;
    * ``dispatch``: an envelope of the agent is about to go to the agent in ``others``;
    * ``inbox``: an envelope of the agent in ``others`` is about to go into the agent's inbox;
    * ``ask``: an agent wants to ask the agent in ``others`` ``content``; ``facts``: ``timeout``, ``linked``. The
      sending of the question is decided about, too. It and its answer have no ``channel_id``, unless one was given;
    * ``start``: an agent wants to start a task, or to have one observed; ``others``: the owner of the task that it is
      part of, if that is another agent; ``facts``: ``parent_id``, ``delegation_depth`` (how often the work was handed
      over), ``ttl_seconds``, ``capability``, ``is_observed``;
    * ``request_cancel``: an agent wants the agent in ``others`` to give up a task, for the ``reason`` in ``facts``;
    * ``request``: an agent wants to have an action approved; ``facts``: ``task_id``, ``mode``, ``timeout_seconds``;
    * ``answer``: an approval is to be answered in the name of an approver; ``content`` is a mapping: ``approval_id``,
      ``approver``, ``is_passed``, ``reason``. The approvers that the policy itself calls are not decided about;
    * ``timer``: a timer with the payload ``content`` is to be set, for an agent or for the program; ``facts``:
      ``name``, ``seconds``, ``every_seconds``, ``times_max``, ``task_id``;
    * ``cancel_timer``: the timer of an agent or of the program with the payload ``content`` is to fire no more;
      ``facts``: ``name``, ``timer_id``, ``task_id``, ``reason``;
    * ``redeliver``, ``discard``: the dead letter with this ``content``, of the agent in ``others``, is to be delivered
      again, or given up; ``facts``: ``envelope_id``, ``sender_id``, ``attempts``, ``reason``;
    * ``emit``: the event ``content`` is to be emitted; also the beginning of a turn, a model call or a tool call that
      :attr:`hubwire.Hub.turns` records. What calls :meth:`hubwire.Hub.emit_nowait` or :meth:`~hubwire.Hub.offer` cannot
      wait: an arbiter that has to be awaited denies it.

    For ``observe``, ``hide``, ``show``, ``close``, ``answer``, ``timer``, ``cancel_timer``, ``redeliver``, ``discard``
    and ``emit`` no agent may be named: the program itself acts then. An arbiter does not decide about what an agent
    does with its own inbox and its own tasks.
    """

    name: str
    agent_id: str | None = None
    agent_name: str = ""
    others: tuple[str, ...] = ()
    """The names of the other agents concerned."""
    present: tuple[str, ...] = ()
    """The names of those that take part in the channel, for what is done in one: see ``channel_id``."""
    channel_id: str | None = None
    channel_type: str = ""
    content: Any = None
    """The envelope's content, the task's title or id, the action's name and arguments, the reason, the new rule, resume
    or skill."""
    facts: Mapping[str, Any] = {}
    """The other arguments of the command."""
    hops: int = 0
    """How many envelopes led to this one, each by answering the one before."""
    delegators: tuple[str, ...] = ()
    """The names of the agents over which the matter has come to the sender of this envelope, the first one first.
    Replies, and what goes back to one of them, add none."""
    rule: Mapping[str, Any] | None = None
    """The rule that the agent is registered with, as its event has it."""
    rules_of_others: tuple[Mapping[str, Any] | None, ...] = ()
    """The rules of ``others``, in their order."""
    moment_seconds: float = 0.0
    """When the command was given, in seconds of the hub's monotonic clock."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Allow(Value):
    """The command is allowed, within limits that the hub checks when it decides; None: no limit.

    An arbiter must not check them by counting: other commands happen while it decides.
    """

    channels_max: int | None = None
    """How many channels the agent may have open, with this one."""
    tasks_max: int | None = None
    """How many tasks the agent may have running, with this one."""
    delegation_depth_max: int | None = None
    """How many times the work of this task may have been handed over."""
    channel_ttl_seconds: float | None = None
    """How long the channel lives, where the caller has not said."""
    task_ttl_seconds: float | None = None
    """How long the task may take, where the caller has not said."""
    expectations: tuple[Expectation | Mapping[str, Any], ...] = ()
    """What the channel has for expectations, where the caller has not said."""

    def __attrs_post_init__(self) -> None:
        for name in ("channel_ttl_seconds", "task_ttl_seconds"):
            _set(self, name, _ALLOW.seconds(name, getattr(self, name), is_optional=True))
        _set(self, "expectations", _ALLOW.items("expectations", self.expectations, of="expectations", most=100))
        for name in ("channels_max", "tasks_max", "delegation_depth_max"):
            _set(self, name, _ALLOW.whole(name, getattr(self, name), is_optional=True))


@attrs.frozen(eq=False, repr=False)
class Deny(Value):
    """The command is not allowed."""

    reason: str

    def __attrs_post_init__(self) -> None:
        _set(self, "reason", _DENY.text("reason", self.reason))


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


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Rule(Value):
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
    """Over how many agents a matter may come to an envelope or a task of its own. Replies, and what goes back to an
    agent that the matter has come from, are no hand-overs: two agents may talk for ever."""
    rate_per_minute: float | None = None
    """How many commands (register, open, join, send, publish, start, request_cancel, request) it may give a minute;
    None: no limit."""
    rate_burst: int = 1
    """How many of them at once, after a pause."""
    channel_ttl_seconds: float | None = None
    """How long a channel that it opens lives, where ``open`` does not say; None: without an end."""
    task_ttl_seconds: float | None = None
    """How long a task that it starts may take, where ``start`` does not say; None: an hour."""
    expectations: Mapping[str, tuple[Expectation | Mapping[str, Any], ...]] = attrs.field(factory=dict)
    """The expectations of a channel that it opens, where ``open`` does not say: by the channel's type, ``*`` for all
    others."""
    inbox: InboxRule = attrs.field(factory=InboxRule)
    """How much its inbox holds. The hub applies this to agents that are registered with the rule; arbiters do not."""

    def __attrs_post_init__(self) -> None:
        _check(self)


_RATED = frozenset({"register", "open", "join", "send", "publish", "start", "request_cancel", "request"})
_ADDRESSED = frozenset({"open", "join", "accept", "send", "publish", "ask", "dispatch"})
"""The commands for which rules concern ``others``. For the rest they are not looked at: they may be ten thousand."""

_BUCKETS_MAX = 10_000


class RuleArbiter:
    """Allows what rules allow: ``RuleArbiter({"intern-*": Rule(tasks_max=1)}, default=Rule())``.

    ``rules`` maps globs over names to rules; the first that matches counts. If none matches, the rule counts that the
    agent is registered with, ``hub.agents.register("coder", rule=Rule(...))``, and without one, ``default``. Rates are
    token buckets, kept in memory: after a restart they are full.
    """

    def __init__(self, rules: Mapping[str, Rule] | None = None, *, default: Rule | None = None) -> None:
        given = {} if rules is None else _ARBITER.mapping("rules", rules, wanted="a mapping from globs to rules")
        self._rules: dict[str, Rule] = {}
        for key, rule in given.items():
            glob = _ARBITER.text("each key of rules", key, wanted="a glob over names of agents")
            self._rules[glob] = _ARBITER.instance("each value of rules", rule, Rule, advice="write Rule(...)")
        if default is not None:
            _ARBITER.instance("default", default, Rule, advice="write Rule(...)")
        self._default = Rule() if default is None else default
        self._buckets: dict[str, tuple[float, float]] = {}

    def __repr__(self) -> str:
        return f"<RuleArbiter: {len(self._rules)} rules>"

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
            or self._refused_rate(command, rule)
        )
        if refusal is not None:
            return Deny(refusal)
        return Allow(
            channels_max=rule.channels_max,
            tasks_max=rule.tasks_max,
            delegation_depth_max=rule.delegation_depth_max,
            channel_ttl_seconds=rule.channel_ttl_seconds,
            task_ttl_seconds=rule.task_ttl_seconds,
            expectations=rule.expectations.get(command.channel_type) or rule.expectations.get("*", ()),
        )

    def _refused_rate(self, command: Command, rule: Rule) -> str | None:
        """Take a token out of the agent's bucket; if there is none, return the refusal."""
        name = command.agent_name
        if command.name == "register" and command.others:  # what an agent registers counts for itself
            name, rule = command.others[0], self.rule_of(command.others[0], *command.rules_of_others[:1])
        if command.name not in _RATED or rule.rate_per_minute is None:
            return None
        now, burst = command.moment_seconds, float(rule.rate_burst)
        tokens, since = self._buckets.get(name, (burst, now))
        tokens = min(burst, tokens + (now - since) * rule.rate_per_minute / 60)
        if tokens < 1:
            self._buckets[name] = (tokens, now)
            seconds = math.ceil((1 - tokens) * 60 / rule.rate_per_minute)
            return f"{shown(name)} may do this {rule.rate_per_minute:g} times a minute; wait {seconds} s"
        self._buckets[name] = (tokens - 1, now)
        if len(self._buckets) > _BUCKETS_MAX:
            self._forget_the_oldest()
        return None

    def _forget_the_oldest(self) -> None:
        oldest = sorted(self._buckets, key=lambda name: self._buckets[name][1])
        for name in oldest[: _BUCKETS_MAX // 10]:
            del self._buckets[name]


def _refused_rule(command: Command) -> str | None:
    """Return why the rule to be set is not valid: with it, all later commands of the agent would be denied."""
    content = command.content
    rule = content.get("rule") if command.name == "register" and isinstance(content, Mapping) else content
    if command.name in ("register", "set_rule") and isinstance(rule, Mapping):
        if unknown := [key for key in rule if key not in _FIELDS and key != "inbox"]:
            meant = nearest(unknown[0], _FIELDS)
            if meant:
                return f"a Rule has no {shown(unknown[0])}; {meant}"
        try:
            _read(rule)
        except ConfigurationError as error:
            return str(error)
    return None


def _refused_address(command: Command, rule: Rule, others: list[Rule]) -> str | None:
    if command.name not in _ADDRESSED:
        return None
    me = command.agent_name
    is_outbound = command.name in ("send", "publish", "ask", "open", "join")
    if command.name == "dispatch" and command.channel_id is None:  # on a topic: no channel was opened with the others
        is_outbound = True
    for name, other in zip(command.others, others, strict=True):
        if is_outbound and not _matches(name, rule.outbound_to):
            return f"{shown(me)} may not address {shown(name)}"
        if command.name in ("dispatch", "ask", "open", "join") and not _matches(me, other.inbound_from):
            return f"{shown(name)} takes no envelopes from {shown(me)}"
        if command.name == "accept" and not _matches(name, rule.inbound_from):
            return f"{shown(me)} takes no envelopes from {shown(name)}"
    return None


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _refused_depth(command: Command, rule: Rule) -> str | None:
    depth_max = rule.delegation_depth_max
    depth = len(command.delegators)
    if command.name not in ("send", "publish") or depth_max is None or depth <= depth_max:
        return None
    return f"the matter was handed on by {depth} agents, and {depth_max} are allowed; reply to one of them"


def _refused_type(command: Command, rule: Rule, others: list[Rule]) -> str | None:
    if command.name in ("join", "accept") and not _matches(command.channel_type, rule.channel_types_accept):
        return f"{shown(command.agent_name)} accepts no channels of type {shown(command.channel_type)}"
    if command.name != "open":
        return None
    if not _matches(command.channel_type, rule.channel_types_initiate):
        return f"{shown(command.agent_name)} may not open channels of type {shown(command.channel_type)}"
    for name, other in zip(command.others, others, strict=True):
        if not _matches(command.channel_type, other.channel_types_accept):
            return f"{shown(name)} accepts no channels of type {shown(command.channel_type)}"
    return None


_FIELDS: tuple[str, ...] = tuple(field.name for field in attrs.fields(Rule) if field.name != "inbox")


def _read(registered: Mapping[str, Any]) -> Rule:
    return Rule(**{name: registered[name] for name in _FIELDS if name in registered})


def _check(rule: Rule) -> None:
    for name in ("outbound_to", "inbound_from", "channel_types_initiate", "channel_types_accept"):
        globs = getattr(rule, name)
        if not is_a(globs, tuple) or not all(is_a(glob, str) for glob in globs):
            advice = f"; write ({shown(globs)},)" if is_a(globs, str) else ""
            raise ConfigurationError(f"{name} is a tuple of globs, not {shown(globs)}{advice}")
    for name in ("channels_max", "tasks_max", "delegation_depth_max"):
        _set(rule, name, _RULE.whole(name, getattr(rule, name), is_optional=True))
    for name in ("channel_ttl_seconds", "task_ttl_seconds"):
        _set(rule, name, _RULE.seconds(name, getattr(rule, name), is_optional=True))
    by_type = _RULE.mapping(
        "expectations", rule.expectations, wanted="a mapping from types of channels to expectations"
    )
    for name, expectations in by_type.items():
        _RULE.text("each key of expectations", name, wanted="the name of a channel type, or *")
        by_type[name] = _RULE.items("each value of expectations", expectations, of="expectations", most=100)
    _set(rule, "expectations", by_type)
    rate = None if rule.rate_per_minute is None else number_of(rule.rate_per_minute)
    if rule.rate_per_minute is not None and (rate is None or rate <= 0):
        raise _RULE.refusal("rate_per_minute", rule.rate_per_minute, "a positive number, or None for no limit")
    _set(rule, "rate_per_minute", rate)
    # With a burst of less than 1, no command would be allowed.
    _set(rule, "rate_burst", _RULE.whole("rate_burst", rule.rate_burst, least=1))
    if not is_a(rule.inbox, InboxRule):
        raise _RULE.refusal("inbox", rule.inbox, "an InboxRule", "write InboxRule(capacity=...)")
