"""The settings of a recorder, checked: each error says which argument is wrong, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .. import Hub, HubThread
from ..errors import ConfigurationError
from ..redaction import Redactor
from ._capture import captured

__all__ = (
    "APPROVAL_CHARS",
    "CONTENT_CHARS",
    "MARGIN_CHARS",
    "PREVIEW_CHARS",
    "flag",
    "hub_of",
    "name_of",
    "numbers_of",
    "redactor_of",
    "seconds_of",
    "time_ns_of",
    "whole_of",
)

PREVIEW_CHARS: Final = 200
CONTENT_CHARS: Final = 64 * 1024
APPROVAL_CHARS: Final = 1024 * 1024
MARGIN_CHARS: Final = 2048
"""How much more is looked at than is shown: half of a secret at the cut would not be recognised."""


def hub_of(hub: object) -> Hub:
    """Return the hub that was given, or the one of the thread that was."""
    kind: Any = type(hub)  # what the object says of its class may be the guest's code
    given: Any = hub
    if issubclass(kind, HubThread):
        thread: HubThread = given
        return thread.hub
    if issubclass(kind, Hub):
        known: Hub = given
        return known
    raise ConfigurationError(f"a recorder needs a Hub or a HubThread, not a {type(hub).__name__}; write record(hub)")


def redactor_of(redactor: object) -> Redactor:
    """Return the redactor that was given, or that of the package."""
    if redactor is None:
        return Redactor.shared()
    if not issubclass(type(redactor), Redactor):
        raise ConfigurationError(f"redactor is a hubwire.redaction.Redactor or None, not {captured(redactor, 100)!r}")
    given: Any = redactor
    known: Redactor = given
    return known


def name_of(argument: str, value: object) -> str:
    """Return a name that was given."""
    if type(value) is not str or not value or len(value) > 200:
        raise ConfigurationError(f"{argument} is a text of 1 to 200 characters, not {captured(value, 100)!r}")
    return value


def flag(argument: str, value: object) -> bool:
    """Return a truth value that was given."""
    if type(value) is not bool:
        raise ConfigurationError(f"{argument} is True or False, not {captured(value, 100)!r}")
    return value


def whole_of(argument: str, value: object) -> int:
    """Return a number that was given, a whole one from 1 on."""
    if type(value) is not int or value < 1:
        raise ConfigurationError(f"{argument} is a whole number from 1 on, not {captured(value, 100)!r}")
    return value


def seconds_of(argument: str, value: object) -> float:
    """Return a time that was given."""
    if type(value) not in (int, float) or not 0 < value < 1e9:  # type: ignore[operator]
        raise ConfigurationError(f"{argument} is a positive number of seconds, not {captured(value, 100)!r}")
    return float(value)  # type: ignore[arg-type]


def numbers_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those that are numbers, and no less than 0."""
    return {
        name: value
        for name, value in given.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15
    }


def time_ns_of(at: object) -> int | None:
    """Return a time of day in nanoseconds; None for what is none."""
    return int(at * 1e9) if isinstance(at, int | float) and 0 < at < 1e11 else None
