"""How actors are spawned, restarted and counted: values."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import attrs

from .._commit.backoff import Backoff
from .._foreign.arguments import Call, is_a, nearest, shown
from .._values import Value
from ..errors import ConfigurationError, ContentRefused

__all__ = (
    "CONCURRENCY_MAX",
    "REGISTRATION",
    "SPAWN_ON_DEMAND",
    "ActorStatistics",
    "Escalate",
    "GroupRules",
    "Handling",
    "Restart",
    "RetryPolicy",
    "SpawnSettings",
    "Strategy",
    "name_of",
)

WORKERS_MAX = 1_000
"""Of one agent."""

CONCURRENCY_MAX = 10_000
"""Of one actor: there is a task for each envelope that it handles."""

SPAWN_ON_DEMAND = Call("hub.spawn_on_demand()", ConfigurationError)
_SUPERVISE = Call("hub.supervise()", ConfigurationError)
_SPAWN = Call("hub.spawn()", ConfigurationError)
_RETRY = Call("RetryPolicy()", ConfigurationError)

_DEPTH_MAX = 20
"""Of groups of exceptions in each other, that are searched."""

_set = object.__setattr__
"""Of a frozen value, in its own ``__attrs_post_init__``: the number as the hub goes on with it."""


class Escalate(Exception):
    """Raised by an actor in a turn: the turn has failed, and the actor has crashed, too.

    Its group starts it again, as its rules say. What any other exception is, the actor's :class:`RetryPolicy` says.
    """


@attrs.frozen(kw_only=True, eq=False, repr=False)
class RetryPolicy(Value):
    """What becomes of an envelope whose turn has failed, and of the actor.

    The envelope comes again after a pause, while the actor goes on with others; after ``attempts_max`` turns it is
    dead-lettered. A turn that killed the process counts, too. The classes hold for their subclasses, and where a group
    of exceptions contains one.
    """

    attempts_max: int | None = None
    """None: what ``deliveries_max`` of the inbox's rule says, 5 by default."""
    backoff: Backoff = attrs.field(factory=Backoff)
    """The pauses between the attempts, by the hub's clock; they survive a restart."""
    never_for: tuple[type[BaseException], ...] = ()
    """Of these, as of :class:`~hubwire.errors.ContentRefused`, the envelope is dead-lettered at once: handled again, it
    would fail again."""
    crash_for: tuple[type[BaseException], ...] = ()
    """These are crashes of the actor, too, as :class:`Escalate` is: it is started again."""

    def __attrs_post_init__(self) -> None:
        _set(self, "attempts_max", _RETRY.whole("attempts_max", self.attempts_max, least=1, is_optional=True))
        _RETRY.instance("backoff", self.backoff, Backoff, advice="write Backoff(seconds=1)")
        for name in ("never_for", "crash_for"):
            given = getattr(self, name)
            kinds = _RETRY.items(name, (given,) if is_a(given, type) else given, of="classes of exceptions")
            for kind in kinds:
                if not (is_a(kind, type) and BaseException in type.mro(kind)):
                    raise _RETRY.refusal(name, kind, "classes of exceptions", f"write {name}=(TypeError, ValueError)")
            _set(self, name, kinds)

    def is_hopeless(self, error: BaseException) -> bool:
        """Tell whether an envelope that failed with this is not to come again."""
        return _is_one_of(error, (ContentRefused, *self.never_for))

    def is_crash(self, error: BaseException) -> bool:
        """Tell whether an actor that raised this in a turn has crashed."""
        return _is_one_of(error, (Escalate, *self.crash_for))


def _is_one_of(error: BaseException | None, kinds: tuple[type, ...], depth: int = 0) -> bool:
    """Tell whether an error is of one of these classes, stands for one that is, or is a group that holds one."""
    # By the order of bases, and not by isinstance: a class may answer that with code of its own.
    if error is None or not kinds or depth > _DEPTH_MAX:
        return False
    if any(kind in kinds for kind in type.mro(type(error))):
        return True
    if is_a(error, BaseExceptionGroup):
        inner = BaseExceptionGroup.exceptions.__get__(error)
        return any(_is_one_of(each, kinds, depth + 1) for each in inner)
    # What is no Exception comes as the cause of one: see failure_of.
    return type(error) is RuntimeError and _is_one_of(error.__cause__, kinds, _DEPTH_MAX)


class Strategy(Enum):
    """Which actors are started again when one actor of a group crashes.

    ONE_FOR_ONE: that actor. ONE_FOR_ALL: all of the group. REST_FOR_ONE: that actor, and those spawned after it. The
    others are stopped first, the newest before; then they are started in the order in which they were spawned.
    """

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


class Restart(Enum):
    """When an actor is started again: PERMANENT, whenever it ends; TRANSIENT, when it crashed; TEMPORARY, never."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


@attrs.frozen(kw_only=True, eq=False, repr=False)
class GroupRules(Value):
    """How a group goes on after a crash: see :meth:`hubwire.Hub.supervise`."""

    strategy: Strategy = Strategy.ONE_FOR_ONE
    restarts_max: int = 3
    within_seconds: float = 5.0
    backoff_seconds: float = 0.1
    backoff_seconds_max: float = 30.0
    call: Call = attrs.field(default=_SUPERVISE, eq=False, repr=False)
    """The call that they were given to."""

    def __attrs_post_init__(self) -> None:
        call = self.call
        call.member("strategy", self.strategy, Strategy, wanted="a Strategy")
        _set(self, "restarts_max", call.whole("restarts_max", self.restarts_max))
        _set(self, "within_seconds", call.seconds("within_seconds", self.within_seconds))
        for name in ("backoff_seconds", "backoff_seconds_max"):
            _set(self, name, call.seconds(name, getattr(self, name), is_zero_ok=True))


_RETRY_ADVICE = "write retry=RetryPolicy(attempts_max=3, backoff=Backoff(seconds=1))"

REGISTRATION = ("passport", "resume", "skill", "rule", "capabilities")
"""What an agent may be registered with by spawning its actor."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Handling(Value):
    """How an actor handles its envelopes."""

    concurrency: int
    retry: RetryPolicy
    visibility_seconds: float | None
    """How long a turn may hold its envelope; None: as long as it takes."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SpawnSettings(Value):
    """How an actor is spawned: see :meth:`hubwire.Hub.spawn`."""

    name: str | None = None
    workers: int = 1
    concurrency: int | None = None
    """None: what the actor says."""
    visibility_seconds: float | None = None
    """None: what the actor says."""
    restart: Restart = Restart.PERMANENT
    retry: RetryPolicy | None = None
    """None: what the actor says."""
    registration: Mapping[str, Any] = {}
    """What its agent is registered with, if it is not registered yet."""
    call: Call = attrs.field(default=_SPAWN, eq=False, repr=False)
    """The call that they were given to."""

    def __attrs_post_init__(self) -> None:
        call = self.call
        if unknown := [each for each in self.registration if each not in REGISTRATION]:
            if unknown[0] == "retry_seconds":
                raise ConfigurationError(f"{call.name} takes no 'retry_seconds' any more; {_RETRY_ADVICE}")
            meant = nearest(unknown[0], (*attrs.fields_dict(SpawnSettings), *REGISTRATION))
            raise ConfigurationError(
                f"{call.name} takes no {shown(unknown[0])}; an agent is registered with {', '.join(REGISTRATION)}"
                f"{'; ' if meant else ''}{meant}"
            )
        if self.name is not None:
            _set(self, "name", call.text("name", self.name, wanted="the agent's name, a text", is_empty_ok=False))
        concurrency = call.whole("concurrency", self.concurrency, least=1, most=CONCURRENCY_MAX, is_optional=True)
        _set(self, "concurrency", concurrency)
        _set(self, "workers", call.whole("workers", self.workers, least=1, most=WORKERS_MAX))
        if self.visibility_seconds is not None:
            _set(self, "visibility_seconds", call.seconds("visibility_seconds", self.visibility_seconds))
        call.member("restart", self.restart, Restart, wanted="a Restart")
        if self.retry is not None:
            call.instance("retry", self.retry, RetryPolicy, advice=_RETRY_ADVICE)

    def handling_of(self, actor: Any) -> Handling:
        """Return how an actor handles its envelopes, as given here or on the actor."""
        seconds = self.visibility_seconds
        if seconds is None and (seconds := getattr(actor, "visibility_seconds", None)) is not None:
            seconds = self.call.seconds("visibility_seconds", seconds)
        return Handling(
            concurrency=self._concurrency_of(actor), retry=self._retry_of(actor), visibility_seconds=seconds
        )

    def _concurrency_of(self, actor: Any) -> int:
        """Return how many envelopes an actor handles at a time, as given here or on the actor."""
        concurrency = getattr(actor, "concurrency", 1) if self.concurrency is None else self.concurrency
        return self.call.whole("concurrency", concurrency, least=1, most=CONCURRENCY_MAX)

    def _retry_of(self, actor: Any) -> RetryPolicy:
        """Return what becomes of failed turns, as given here or on the actor."""
        retry = getattr(actor, "retry", None) if self.retry is None else self.retry
        return RetryPolicy() if retry is None else self.call.instance("retry", retry, RetryPolicy, advice=_RETRY_ADVICE)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ActorStatistics(Value):
    """What an actor has done since it was spawned."""

    name: str
    agent_id: str
    group: str
    is_running: bool
    """Whether it reads its inbox now; not while it starts, or waits to be started again."""
    starts: int
    crashes: int
    handled: int
    """How many envelopes, to the end."""
    failed: int = 0
    """How many turns have failed."""
    worker: int | None = None
    """Its number among the workers of its agent, from 1; None if there is one actor, or for all together."""


def name_of(candidate: Any) -> str:
    """Return the name of the agent of an actor that was given none: its own, or that of its class or function."""
    own = getattr(candidate, "name", "")
    if is_a(own, str) and (text := str.__str__(own)):
        return text
    name: str = getattr(candidate, "__name__", None) or type(candidate).__name__
    return name
