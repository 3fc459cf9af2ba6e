"""Settings: what a listener is attached with, by the caller's choice, by its own, or by default."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal

import attrs

from .._foreign.guards import class_name, clean, repr_of
from .._journal.positions import check_name
from .._values import Value
from ..errors import ConfigurationError
from ..events._declare import declared_kinds
from ..events._event import OWN_DOMAINS
from ..events._shown import is_a, member, nearest_name
from ..own_log import OwnLog
from ..patterns import Patterns
from .adapted import Adapted
from .cursor import BATCH_MAX
from .duty import Duty, Overflow
from .matcher import Filters
from .tenant_names import prefix_of

__all__ = ("DEAD_LETTER", "SUSPEND", "Options", "Settings", "Since")

Since = Literal["now", "start"] | int

_log = OwnLog("hub")

SUSPEND = "suspend"
DEAD_LETTER = "dead_letter"

ATTEMPTS_MAX = 16
"""With the pauses between them, two minutes on average."""

_NAME_CHARS_MAX = 200
_COUNT_MAX = 2**62


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Settings(Value):
    """The settings of one attachment; :meth:`hubwire.Hub.attach` says what they mean."""

    name: str
    pattern: tuple[str, ...]
    duty: Duty
    overflow: Overflow
    since: Since
    timeout: float
    mailbox: int
    attempts_max: int
    batch_max: int
    batch_seconds: float
    once: bool = False
    concurrency: int = 1
    key: str | Callable[[Any], Any] | None = None
    when_exhausted: str = SUSPEND
    keeps_own_position: bool = False
    """Whether the listener says by ``last_seq()`` how far it has come: it takes no event that is older."""
    filters: Filters | None = None
    metadata: Mapping[Any, Any] = {}


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Options(Value):
    """What the caller of :meth:`hubwire.Hub.attach` has chosen; None leaves it to the listener, or to the default."""

    pattern: str | Iterable[str] | None
    duty: Duty | None
    overflow: Overflow
    since: Since | None
    timeout: float
    mailbox: int
    attempts_max: int | None
    batch_max: int | None
    batch_seconds: float
    name: str | None
    once: bool = False
    concurrency: int = 1
    key: str | Callable[[Any], Any] | None = None
    when_exhausted: str = SUSPEND
    filters: Filters | None = None
    metadata: Mapping[Any, Any] = {}

    def settings_for(self, adapted: Adapted, taken: Collection[str], *, has_journal: bool) -> Settings:
        """Return the settings of this listener; ``taken``: the names of the others.

        Raises :class:`~hubwire.errors.ConfigurationError` for a setting that cannot work.
        """
        owner = None if self.filters is None else self.filters.owner
        prefix = "" if owner is None else prefix_of(owner)
        duty = adapted.declared("duty", Duty.BEST_EFFORT) if self.duty is None else self.duty
        if not is_a(duty, Duty):
            raise ConfigurationError(
                f"the duty of {adapted.name!r} is {repr_of(duty)}; it must be a Duty: {member(duty, Duty)}"
            )
        if not is_a(self.overflow, Overflow):
            raise ConfigurationError(
                f"overflow is {repr_of(self.overflow)}; it must be an Overflow: {member(self.overflow, Overflow)}"
            )
        if owner is not None and duty is Duty.REQUIRED:
            raise ConfigurationError(
                f"listener {adapted.name!r} is REQUIRED, so the commands of all tenants would wait for it: give it"
                f" another duty=..., or attach it to the hub itself, hub.attach(listener, tenant={owner!r})"
            )
        if duty is Duty.DURABLE:
            name = self._durable_name(adapted, prefix, has_journal=has_journal)
        else:
            name = self._name(adapted, taken, prefix)
        pattern = adapted.declared("pattern", "*") if self.pattern is None else self.pattern
        settings = Settings(
            name=name,
            pattern=_checked_patterns(name, pattern),
            duty=duty,
            overflow=self.overflow,
            since=_since(adapted.declared("since", "now") if self.since is None else self.since),
            timeout=_seconds("timeout", self.timeout),
            mailbox=_count("mailbox", self.mailbox),
            attempts_max=_count("attempts_max", self._attempts_max(adapted)),
            batch_max=BATCH_MAX if self.batch_max is None else _count("batch_max", self.batch_max),
            batch_seconds=_seconds("batch_seconds", self.batch_seconds, at_least=0.0),
            once=self.once,
            concurrency=self.concurrency,
            key=self.key,
            when_exhausted=_when_exhausted(self.when_exhausted, duty, name, adapted),
            keeps_own_position=adapted.keeps_position,
            filters=self.filters,
            metadata=self.metadata,
        )
        self._check_batch(settings)
        self._check_function(adapted)
        return settings

    def _attempts_max(self, adapted: Adapted) -> Any:
        return adapted.declared("attempts_max", ATTEMPTS_MAX) if self.attempts_max is None else self.attempts_max

    def _check_batch(self, settings: Settings) -> None:
        """Refuse to gather where the commit or emitters wait, or more than a mailbox holds."""
        if settings.batch_max > BATCH_MAX and not settings.batch_seconds:
            raise ConfigurationError(
                f"batch_max={settings.batch_max} is more than the {BATCH_MAX} events that are handed over at once;"
                " give batch_seconds too, the longest time to gather so many"
            )
        if settings.duty is Duty.DURABLE:
            return
        if settings.batch_seconds and settings.duty is Duty.REQUIRED:
            raise ConfigurationError("batch_seconds delays each commit of a REQUIRED listener; attach it as DURABLE")
        if settings.batch_seconds and settings.overflow is Overflow.BLOCK:
            raise ConfigurationError("batch_seconds delays emitters with Overflow.BLOCK; use Overflow.DROP_OLDEST")
        if self.batch_max is not None and settings.batch_max > settings.mailbox and settings.duty is Duty.BEST_EFFORT:
            raise ConfigurationError(
                f"batch_max={settings.batch_max} is more than mailbox={settings.mailbox} holds; give a larger mailbox"
            )

    def _check_function(self, adapted: Adapted) -> None:
        """Refuse what the hub can do for a function alone, which it calls with one event at a time."""
        if self.once and not adapted.form.is_function:
            raise ConfigurationError(f"once=True is for functions, and {adapted.name!r} is none; omit it")
        if self.concurrency == 1 and self.key is None:
            return
        if not adapted.form.is_divisible:
            raise ConfigurationError(f"concurrency and key are for a function, and {adapted.name!r} is none; omit them")
        if self.concurrency == 1:
            return
        if self.once:
            raise ConfigurationError("once=True is for one call, so there is no concurrency; omit one of them")
        if self.batch_seconds:
            raise ConfigurationError("a function with concurrency gets events one by one; omit batch_seconds")

    def _name(self, adapted: Adapted, taken: Collection[str], prefix: str) -> str:
        if self.name is not None:
            return f"{prefix}{_checked_name(self.name)}"
        stem = f"{prefix}{adapted.name}"
        numbered = (f"{stem}-{number}" if number > 1 else stem for number in range(1, len(taken) + 2))
        return next(name for name in numbered if name not in taken)

    def _durable_name(self, adapted: Adapted, prefix: str, *, has_journal: bool) -> str:
        """Return a name that does not depend on the order of attaching: after a restart, it finds the position."""
        name = adapted.name if self.name is None else self.name
        if is_a(name, str) and name:
            check_name(f"{prefix}{name}")
        name = f"{prefix}{_checked_name(name)}"
        if not has_journal:
            raise ConfigurationError(
                f"listener {name!r} is DURABLE, and this hub has no journal from which it could go on after a restart;"
                " make the hub with a store: Hub(store), or attach the listener as BEST_EFFORT"
            )
        return name


def _checked_patterns(name: str, pattern: Any) -> tuple[str, ...]:
    """Return patterns, each of which may match a kind.

    A kind may be declared later, or never, as those of generic events: so a pattern that matches none that is declared,
    and is nearly one that does, is logged. The hub's own kinds are all there: there it is refused.
    """
    patterns = Patterns(pattern).patterns
    for each in patterns:
        matches, near = _meant(each, len(declared_kinds()))
        if matches:
            continue
        domain, dot, _ = each.partition(".")
        if dot and domain in OWN_DOMAINS:
            raise ConfigurationError(
                f"listener {name!r}: pattern {each[:80]!r} matches no kind of the hub's own events of {domain!r};"
                f" {f'did you mean {near}?' if near else f'write {domain}.* for all of them'}"
            )
        if near is not None:
            _log.problem(
                "a pattern of a listener matches no kind of event that is declared by now",
                listener=name,
                pattern=each,
                nearest=near,
            )
    return patterns


@lru_cache(maxsize=1024)
def _meant(pattern: str, _declared: int) -> tuple[bool, str | None]:
    """Return whether a pattern matches a kind that is declared, and which one is meant if not.

    Looked up once for all that attach by it, while there are so many kinds: it takes a millisecond.
    """
    kinds = declared_kinds()
    if pattern == "*" or any(map(Patterns(pattern).matches, kinds)):
        return True, None
    known = sorted({*kinds, *(f"{kind.partition('.')[0]}.*" for kind in kinds)})
    return False, nearest_name(pattern, known, cutoff=0.8)


def _checked_name(name: object) -> str:
    if not isinstance(name, str):
        raise ConfigurationError(f"name must be text, not an object of class {class_name(name)}")
    if not name or len(name) > _NAME_CHARS_MAX or clean(name) != name:
        raise ConfigurationError(
            f"the name {repr_of(name)} of a listener must be 1 to {_NAME_CHARS_MAX} characters that UTF-8 can hold"
        )
    return name


def _when_exhausted(value: Any, duty: Duty, name: str, adapted: Adapted) -> str:
    chosen = str.__str__(value) if is_a(value, str) else ""
    if chosen not in (SUSPEND, DEAD_LETTER):
        raise ConfigurationError(f"when_exhausted must be {SUSPEND!r} or {DEAD_LETTER!r}, not {repr_of(value)}")
    if chosen == DEAD_LETTER and duty is Duty.REQUIRED:
        raise ConfigurationError(
            f"when_exhausted={DEAD_LETTER!r} is for a DURABLE listener: a REQUIRED one never gives up an event"
        )
    if chosen == DEAD_LETTER and duty is Duty.DURABLE and adapted.keeps_position:
        raise ConfigurationError(
            f"listener {name!r} says by last_seq() that it holds all events up to one, so it cannot give one up;"
            f" leave out when_exhausted={DEAD_LETTER!r}"
        )
    return chosen


def _since(value: Any) -> Since:
    if is_a(value, str) and value in ("now", "start"):
        return "now" if value == "now" else "start"
    number = None if is_a(value, (str, bool)) else _whole(value)
    if number is None or not 0 <= number < _COUNT_MAX:
        raise ConfigurationError(f"since must be 'now', 'start' or the seq of an event, not {repr_of(value)}")
    return number


def _count(name: str, value: Any) -> int:
    number = None if is_a(value, bool) else _whole(value)
    if number is None or not 1 <= number < _COUNT_MAX:
        raise ConfigurationError(f"{name} must be a whole number of at least 1, not {repr_of(value)}")
    return number


def _whole(value: Any) -> int | None:
    try:
        return operator.index(value)
    except Exception:  # noqa: BLE001 - a number of a foreign class may raise any error
        return None


def _seconds(name: str, value: Any, *, at_least: float | None = None) -> float:
    """Return a number of seconds: positive, or ``at_least`` that."""
    try:
        seconds = math.nan if is_a(value, (str, bytes, bool)) else float(value)
    except Exception:  # noqa: BLE001 - a number of a foreign class may raise any error
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < (at_least or 0.0) or (at_least is None and seconds == 0.0):
        wanted = "a positive number of seconds" if at_least is None else "a number of seconds, 0 or more"
        raise ConfigurationError(f"{name} must be {wanted}, not {repr_of(value)}")
    return seconds
