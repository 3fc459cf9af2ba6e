"""Terms that are what an agent's rule says, where a caller does not say."""

from __future__ import annotations

from typing import Any, Literal

from .._foreign.arguments import Call

__all__ = ("seconds_or_rule",)


def seconds_or_rule(call: Call, given: Any) -> float | Literal["rule"] | None:
    """Return a ``ttl_seconds`` as it was given: seconds, None for no end, or ``rule``; refuse all else."""
    if type(given) is str and given == "rule":
        return "rule"
    return call.seconds("ttl_seconds", given, is_optional=True)
