"""Evaluators: what is owed in a channel, by which agent, and since when. The hub does the waiting.

An evaluator is a pure function over a channel's situation. The hub calls it when an expectation may be overdue, and the
event ``expectation.violated`` holds the result. A replay calls no evaluator.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol

import attrs

from .._values import Value
from ..errors import CommandRejected, ConfigurationError
from ..events import FrozenDict, canonical
from ..events._shown import is_name, shown
from .channel_types import Manifest
from .guests import cut, text_of
from .moments import is_duration

__all__ = (
    "ON_VIOLATION",
    "AcksWithin",
    "Evaluator",
    "Evaluators",
    "Expectation",
    "MaxSilence",
    "Moment",
    "Owed",
    "ReplyWithin",
    "Situation",
    "TurnWithin",
    "ViolationHandler",
    "check_owed",
)

ON_VIOLATION = ("audit", "warn", "notify_channel", "hide", "remove", "auto_close")
"""What may follow a violation: see :class:`Expectation`."""

NEEDS_AGENT = frozenset({"warn", "hide", "remove"})
"""Those that are for the agents that have violated an expectation: its evaluator has to name them."""

EXPECTATIONS_MAX = 100
"""How many a channel may have: each of its events goes through all of them."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Expectation(Value):
    """A contract over a channel's behaviour in time, for ``hub.channels.open(expectations=[...])``.

    ``name``: its evaluator: ``acks_within`` (an invited agent accepts or declines, within 30 s by default),
    ``reply_within`` (the recipient of an envelope posts to its sender, 600 s), ``turn_within`` (an agent whose turn it
    is by the channel's type posts, 120 s), ``max_silence`` (there is a post, 3,600 s), or one of your own, in its
    newest ``version`` by default. ``params`` are its settings, above all ``seconds``, how long it may take.
    ``applies_to``: the agents that are bound by it, by name, id or role; None: all.

    ``on_violation`` is the consequence, besides the event: ``audit`` (none), ``warn`` (a notice for the agents that
    violated it), ``notify_channel`` (a notice for all participants), ``hide`` (the channel goes on without those agents
    until ``channel.show()``), ``remove`` (they are participants no more), ``auto_close`` (the channel is closed), or a
    handler of your own, by its name: see :meth:`hubwire.ChannelCommands.register_violation_handler`.
    """

    name: str
    on_violation: str = "audit"
    params: Mapping[str, Any] = FrozenDict()
    applies_to: tuple[str, ...] | None = None
    version: int | None = None


@attrs.frozen(eq=False, repr=False)
class Moment(Value):
    """When an event of a channel happened: its ``seq``, and the time in nanoseconds since the epoch."""

    seq: int
    ns: int


@attrs.frozen(eq=False, repr=False)
class Owed(Value):
    """An obligation of an agent, or with None of the channel as a whole, and the moment since which it exists."""

    agent_id: str | None
    since: Moment


def _is_small(number: object) -> bool:
    """Tell whether this is a whole number of at most 64 bits."""
    return type(number) is int and -(2**63) < number < 2**63


def check_owed(candidate: object, evaluator: str, present: Collection[str | None]) -> Owed:
    """Return what an evaluator answered with, if it is an obligation of one that is present.

    Raises :class:`~hubwire.errors.CommandRejected` if it is not.
    """
    if not isinstance(candidate, Owed):
        raise CommandRejected(f"evaluator {evaluator!r} returned a {type(candidate).__name__}, which is no Owed")
    agent_id, since = candidate.agent_id, candidate.since
    if not (agent_id is None or isinstance(agent_id, str)) or agent_id not in present:
        raise CommandRejected(
            f"evaluator {evaluator!r} returned an Owed of {shown(agent_id)}, which is not in the channel"
        )
    if not isinstance(since, Moment) or not all(map(_is_small, (since.seq, since.ns))):
        raise CommandRejected(
            f"evaluator {evaluator!r} returned an Owed without a moment; pass on one of the situation's, and nothing"
            " where it has none"
        )
    return candidate


class Situation(Protocol):
    """A channel as its evaluators see it. Notices of the hub are not posts."""

    @property
    def manifest(self) -> Manifest:
        """How it is set up, with the present participants that are not hidden."""

    @property
    def channel_state(self) -> Any:
        """The state that its type keeps."""

    @property
    def params(self) -> Mapping[str, Any]:
        """The settings of the expectation."""

    @property
    def created(self) -> Moment:
        """When it was created."""

    @property
    def opened(self) -> Moment | None:
        """When it was opened; None while it waits for acceptances."""

    @property
    def posted(self) -> Moment | None:
        """The newest post."""

    @property
    def turn(self) -> Moment:
        """When the state of its type last changed: since then the agents in ``expected`` are to post."""

    @property
    def expected(self) -> tuple[str, ...] | None:
        """The participants that may post now, by its type; None: all of them."""

    @property
    def invited(self) -> tuple[str, ...]:
        """The agents that were invited and have not answered."""

    def posted_by(self, agent_id: str) -> Moment | None:
        """Return an agent's newest post."""

    def unanswered(self) -> Iterable[tuple[str, Moment]]:
        """Return pairs: an agent that has not answered a sender, and the oldest post that it owes an answer to.

        An agent answers a sender by a post that the sender gets. There is a pair for each such sender.
        """

    def applies_to(self, agent_id: str) -> bool:
        """Return whether an agent is bound by the expectation. The hub leaves out others that an evaluator names."""

    @property
    def is_for_all(self) -> bool:
        """Whether all participants are bound by the expectation."""


class Evaluator(Protocol):
    """Says what is owed; register your own with ``hub.channels.register_evaluator()``, before the hub starts.

    An expectation is violated when an obligation has existed for ``seconds``, a parameter that all expectations have:
    once for each agent and ``since``; those that are overdue together are one event. So ``since`` has to be the event
    that the obligation began with, and a newer one when it begins anew: with an older one, a violation is found up to
    ``seconds`` late, or counts as reported already.

    The methods are pure: no clock, no randomness, no memory. To change what they return, raise ``version`` and register
    both: channels go on with the version that they were opened with. An evaluator that raises is reported by
    ``expectation.failed``.
    """

    name: str
    version: int
    seconds: float
    """The default of the parameter ``seconds``."""
    names_agents: bool
    """Whether obligations name agents; if not, ``warn``, ``hide`` and ``remove`` are refused."""

    def refuse_params(self, params: Mapping[str, Any]) -> str | None:
        """Return why a channel cannot have this expectation with such ``params``; None if it can."""

    def owed(self, situation: Situation) -> Iterable[Owed]:
        """Return all obligations that exist now."""


class AcksWithin:
    """Invited agents accept or decline."""

    name: str = "acks_within"
    version: int = 1
    seconds: float = 30
    names_agents: bool = True

    def refuse_params(self, params: Mapping[str, Any]) -> str | None:
        unknown = sorted(set(params) - {"seconds"})
        return f"{self.name} has no parameter {', '.join(unknown)}; it has seconds" if unknown else None

    def owed(self, situation: Situation) -> Iterable[Owed]:
        return [Owed(agent_id, situation.created) for agent_id in situation.invited]


class ReplyWithin(AcksWithin):
    """The recipient of an envelope posts an envelope that its sender gets. That is the answer, and needs none."""

    name: str = "reply_within"
    seconds: float = 600

    def owed(self, situation: Situation) -> Iterable[Owed]:
        return [Owed(agent_id, since) for agent_id, since in situation.unanswered()]


class TurnWithin(AcksWithin):
    """The agents whose turn it is post. Where all may post at any time, as in a conversation, none is obliged to."""

    name: str = "turn_within"
    seconds: float = 120

    def owed(self, situation: Situation) -> Iterable[Owed]:
        if situation.opened is None:
            return []
        turn = situation.turn
        moments = [(agent_id, situation.posted_by(agent_id)) for agent_id in situation.expected or ()]
        return [Owed(each, turn if last is None or last.seq < turn.seq else last) for each, last in moments]


class MaxSilence(AcksWithin):
    """One of the agents that it applies to posts."""

    name: str = "max_silence"
    seconds: float = 3600
    names_agents: bool = False

    def owed(self, situation: Situation) -> Iterable[Owed]:
        if situation.opened is None:
            return []
        posts = [situation.posted]
        if not situation.is_for_all:
            bound = [each for each in situation.manifest.participants if situation.applies_to(each)]
            if not bound:
                return []  # those that it applies to are hidden, or have left: the silence of others breaks no promise
            posts = [situation.posted_by(each) for each in bound]
        return [Owed(None, max((post for post in (situation.opened, *posts) if post), key=lambda post: post.seq))]


@attrs.frozen(eq=False, repr=False)
class ViolationHandler(Value):
    """A function of the program's own that follows up violations, and how it is called."""

    name: str
    function: Callable[..., object]
    timeout: float
    attempts_max: int


class Evaluators:
    """The registered evaluators, by name and version, and the handlers of what they find."""

    def __init__(self, evaluators: Iterable[Evaluator]) -> None:
        self.handlers: dict[str, ViolationHandler] = {}
        """Those that the program has registered, by name."""
        self._evaluators: dict[str, dict[int, Evaluator]] = {}
        for each in evaluators:
            self.add(each)

    def add(self, evaluator: Evaluator) -> None:
        try:
            name, version = getattr(evaluator, "name", None), getattr(evaluator, "version", None)
            missing = [each for each in ("refuse_params", "owed") if not callable(getattr(evaluator, each, None))]
            seconds, names_agents = getattr(evaluator, "seconds", None), getattr(evaluator, "names_agents", None)
        except Exception as error:
            raise ConfigurationError(f"an evaluator raised an exception: {shown(evaluator)}; mend it") from error
        if not is_name(name) or type(version) is not int or version < 1:
            raise ConfigurationError(f"an evaluator needs a name, and a version from 1 on; {shown(evaluator)} has not")
        if missing or not is_duration(seconds) or type(names_agents) is not bool:
            raise ConfigurationError(
                f"evaluator {shown(name)} is incomplete; it needs seconds, names_agents, refuse_params() and owed()"
            )
        versions = self._evaluators.setdefault(name, {})
        if version in versions:
            raise ConfigurationError(f"evaluator {shown(name)} version {version} is registered already")
        versions[version] = evaluator

    def add_handler(self, handler: ViolationHandler) -> None:
        name = handler.name
        if name in ON_VIOLATION or name in self.handlers:
            whose = "one of the hub's own" if name in ON_VIOLATION else "registered already"
            raise ConfigurationError(f"violation handler {shown(name)} is {whose}; give this one another name")
        self.handlers[name] = handler

    def _check_handler(self, name: object) -> None:
        if type(name) is not str or name not in self.handlers:
            there = ", ".join((*ON_VIOLATION, *self.handlers))
            raise CommandRejected(
                f"on_violation is one of {there}, not {shown(name)}; hub.channels.register_violation_handler() adds a"
                " handler before the hub starts"
            )

    def get(self, name: str, version: int | None = None) -> Evaluator:
        """Return an evaluator, in its newest version by default."""
        versions = self._evaluators.get(name) if isinstance(name, str) else None
        if not versions:
            raise CommandRejected(
                f"no evaluator {shown(name)} is registered; there are {', '.join(sorted(self._evaluators))}, and"
                " hub.channels.register_evaluator() adds one before the hub starts"
            )
        version = max(versions) if version is None else version
        if version not in versions:
            raise CommandRejected(
                f"evaluator {name!r} has no version {shown(version)}; register it before the hub starts"
            )
        return versions[version]

    def checked(self, expectations: Iterable[Expectation | Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
        """Return expectations as a channel's event holds them: complete, so that no default changes them later."""
        if isinstance(expectations, str | Mapping) or not isinstance(expectations, Iterable):
            raise CommandRejected(f"a channel's expectations are a list, not {shown(expectations)}")
        checked = tuple(self._checked(each) for each in expectations)
        if len(checked) > EXPECTATIONS_MAX:
            raise CommandRejected(f"a channel has at most {EXPECTATIONS_MAX} expectations, not {len(checked)}")
        return checked

    def _checked(self, given: Expectation | Mapping[str, Any]) -> Mapping[str, Any]:
        expectation = _expectation(given)
        evaluator = self.get(expectation.name, expectation.version)
        name, on_violation = evaluator.name, expectation.on_violation
        if on_violation not in ON_VIOLATION:
            self._check_handler(on_violation)
        if on_violation in NEEDS_AGENT and not evaluator.names_agents:
            raise CommandRejected(f"{name} does not name agents, so on_violation cannot be {shown(on_violation)}")
        params = canonical(expectation.params)
        if not isinstance(params, FrozenDict):
            raise CommandRejected(f"the params of {name} must map names to values, unlike {shown(expectation.params)}")
        seconds = params.get("seconds", evaluator.seconds)
        if not is_duration(seconds):
            raise CommandRejected(f"the seconds of {name} are a positive number, not {shown(seconds)}")
        try:
            reason = evaluator.refuse_params(params)
            refusal = cut(str(reason)) if reason else ""
        except BaseException as error:
            raise CommandRejected(
                f"evaluator {name!r} version {evaluator.version} failed in refuse_params ({text_of(error)}); mend it"
            ) from error
        if refusal:
            raise CommandRejected(f"a channel cannot have this expectation: {refusal}")
        return FrozenDict(
            name=name,
            version=evaluator.version,
            on_violation=on_violation,
            params=FrozenDict({**params, "seconds": seconds}),
            applies_to=_checked_applies_to(expectation.applies_to),
        )


def _expectation(given: Expectation | Mapping[str, Any]) -> Expectation:
    if isinstance(given, Expectation):
        return given
    known = {each.name for each in attrs.fields(Expectation)}
    if not isinstance(given, Mapping) or "name" not in given or set(given) - known:
        raise CommandRejected(
            f"an expectation is an Expectation, or an object with name, on_violation, params, applies_to and version,"
            f" not {shown(given)}"
        )
    return Expectation(**given)


def _checked_applies_to(applies_to: Iterable[str] | None) -> tuple[str, ...] | None:
    if applies_to is None:
        return None
    is_listed = isinstance(applies_to, Iterable) and not isinstance(applies_to, str)
    names: tuple[str, ...] = canonical(tuple(applies_to)) if is_listed else ()
    if not names or not all(isinstance(each, str) for each in names):
        raise CommandRejected(f"applies_to is a list of ids and roles, or None for all agents, not {shown(applies_to)}")
    return names
