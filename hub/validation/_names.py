"""The parts of the name of a kind."""

from __future__ import annotations

from ..errors import ConfigurationError
from ..events._declare import check_kind
from ..events._shown import is_a

__all__ = ("action_of", "domain_of", "is_kind")


def is_kind(text: object) -> bool:
    """Tell whether this is spelt as kinds are: two or more lower-case words joined by dots, ``billing.charged``."""
    if not is_a(text, str):
        return False
    try:
        check_kind(text)  # type: ignore[arg-type]
    except ConfigurationError:
        return False
    return True


def domain_of(kind: object) -> str | None:
    """Return the first word of a kind, ``billing`` of ``billing.charged``; None for what is no kind."""
    return str.__str__(kind).partition(".")[0] if is_a(kind, str) and is_kind(kind) else None


def action_of(kind: object) -> str | None:
    """Return what follows the domain of a kind, ``card.charged`` of ``billing.card.charged``; None for no kind."""
    return str.__str__(kind).partition(".")[2] if is_a(kind, str) and is_kind(kind) else None
