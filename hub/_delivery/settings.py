"""Settings: what a listener is attached with, by the caller's choice, by its own, or by default."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Literal

import attrs

from .._journal.positions import check_name
from ..errors import ConfigurationError
from .adapted import Adapted
from .duty import Duty, Overflow

__all__ = ("Options", "Settings", "Since")

Since = Literal["now", "start"] | int


@attrs.frozen(kw_only=True)
class Settings:
    """The settings of one attachment; :meth:`hubwire.Hub.attach` says what they mean."""

    name: str
    pattern: str | Iterable[str]
    duty: Duty
    overflow: Overflow
    since: Since
    timeout: float
    mailbox: int
    attempts_max: int


@attrs.frozen(kw_only=True)
class Options:
    """What the caller of :meth:`hubwire.Hub.attach` has chosen; None leaves it to the listener, or to the default."""

    pattern: str | Iterable[str] | None
    duty: Duty | None
    overflow: Overflow
    since: Since | None
    timeout: float
    mailbox: int
    attempts_max: int
    name: str | None

    def settings_for(self, listener: Any, adapted: Adapted, taken: Collection[str], *, has_journal: bool) -> Settings:
        """Return the settings of this listener; ``taken``: the names of the others.

        Raises :class:`~hubwire.errors.ConfigurationError` for a setting that cannot work.
        """
        timeout, mailbox, attempts_max = self.timeout, self.mailbox, self.attempts_max
        if timeout <= 0 or mailbox < 1 or attempts_max < 1:
            raise ConfigurationError(f"{timeout=}, {mailbox=} and {attempts_max=} must be positive")
        duty = self.duty or adapted.declared("duty", Duty.BEST_EFFORT)
        if not isinstance(duty, Duty):
            raise ConfigurationError(f"the duty of {listener!r} is {duty!r}; it must be a Duty, as Duty.REQUIRED")
        if duty is Duty.DURABLE:
            name = self._durable_name(listener, has_journal=has_journal)
        else:
            name = self._name(listener, taken)
        return Settings(
            name=name,
            pattern=adapted.declared("pattern", "*") if self.pattern is None else self.pattern,
            duty=duty,
            overflow=self.overflow,
            since=adapted.declared("since", "now") if self.since is None else self.since,
            timeout=timeout,
            mailbox=mailbox,
            attempts_max=attempts_max,
        )

    def _name(self, listener: Any, taken: Collection[str]) -> str:
        if self.name:
            return self.name
        stem = _name_of(listener)
        numbered = (f"{stem}-{number}" if number > 1 else stem for number in range(1, len(taken) + 2))
        return next(name for name in numbered if name not in taken)

    def _durable_name(self, listener: Any, *, has_journal: bool) -> str:
        """Return a name that does not depend on the order of attaching: after a restart, it finds the position."""
        name = self.name or _name_of(listener)
        if not has_journal:
            raise ConfigurationError(
                f"listener {name!r} is DURABLE, and this hub has no journal from which it could go on after a restart;"
                " make the hub with a store: Hub(store), or attach the listener as BEST_EFFORT"
            )
        check_name(name)
        return name


def _name_of(listener: Any) -> str:
    name: str = getattr(listener, "__name__", None) or type(listener).__name__
    return name
