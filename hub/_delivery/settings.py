"""Settings: what a listener is attached with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import attrs

from .duty import Duty, Overflow

__all__ = ("Settings", "Since")

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
