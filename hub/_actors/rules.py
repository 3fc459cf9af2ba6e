"""How actors are spawned, restarted and counted: values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from typing import Any

import attrs

from ..errors import ConfigurationError

__all__ = ("REGISTRATION", "RETRY_SECONDS", "ActorStatistics", "GroupRules", "Restart", "SpawnSettings", "Strategy")

RETRY_SECONDS = 1.0
"""Before an envelope that crashed its actor comes again, doubled each time: five crashes in a row take 15 seconds, so
that one bad envelope is dead-lettered before its group has crashed too often."""


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


@attrs.frozen(kw_only=True)
class GroupRules:
    """How a group goes on after a crash: see :meth:`hubwire.Hub.supervise`."""

    strategy: Strategy = Strategy.ONE_FOR_ONE
    restarts_max: int = 3
    within_seconds: float = 5.0
    backoff_seconds: float = 0.1
    backoff_seconds_max: float = 30.0

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.strategy, Strategy):
            raise ConfigurationError(f"a strategy is a Strategy, as Strategy.ONE_FOR_ALL, not {self.strategy!r}")
        if self.restarts_max < 0 or self.within_seconds <= 0 or min(self.backoff_seconds, self.backoff_seconds_max) < 0:
            raise ConfigurationError(
                "restarts_max and the backoffs must not be negative, and within_seconds must be positive"
            )


REGISTRATION = ("passport", "resume", "skill", "rule", "capabilities")
"""What an agent may be registered with by spawning its actor."""


@attrs.frozen(kw_only=True)
class SpawnSettings:
    """How an actor is spawned: see :meth:`hubwire.Hub.spawn`."""

    name: str | None = None
    concurrency: int | None = None
    """None: what the actor says."""
    restart: Restart = Restart.PERMANENT
    retry_seconds: float = RETRY_SECONDS
    registration: Mapping[str, Any] = {}
    """What its agent is registered with, if it is not registered yet."""

    def __attrs_post_init__(self) -> None:
        if unknown := self.registration.keys() - set(REGISTRATION):
            raise ConfigurationError(
                f"spawn takes no {', '.join(sorted(unknown))}; an agent is registered with {', '.join(REGISTRATION)}"
            )
        if not isinstance(self.restart, Restart) or not 0 <= self.retry_seconds < math.inf:
            raise ConfigurationError(
                f"restart={self.restart!r} must be a Restart, and retry_seconds={self.retry_seconds!r} a number of"
                " seconds"
            )

    def concurrency_of(self, actor: Any) -> int:
        """Return how many envelopes an actor handles at a time, as given here or on the actor."""
        concurrency = getattr(actor, "concurrency", 1) if self.concurrency is None else self.concurrency
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
            raise ConfigurationError(f"concurrency is a whole number from 1 on, not {concurrency!r}")
        return concurrency


@attrs.frozen(kw_only=True)
class ActorStatistics:
    """What an actor has done since it was spawned."""

    name: str
    agent_id: str
    group: str
    is_running: bool
    """Whether it reads its inbox now; not while it starts, or waits to be started again."""
    starts: int
    crashes: int
    handled: int
    """How many envelopes."""
