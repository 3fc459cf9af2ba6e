"""What a redactor looks for, and what it cannot find."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from ..coverage import Coverage
from ._settings import FAMILIES
from .rules import RedactionRule

__all__ = ("HIDDEN", "SOURCE", "coverage_by")

SOURCE: Final = "redaction"
HIDDEN: Final = (
    "names in prose",
    "addresses of streets in prose",
    "a password that is a word",
    "what has no form that tells it apart",
    "images, audio and other files",
)
"""What it does not find."""
_RULES_MAX: Final = 50


def coverage_by(stamp: str, own: Iterable[RedactionRule], without: Collection[str]) -> Coverage:
    """Return what a redactor declares: the families it replaces, its own rules, and what it leaves as it is."""
    families = [family for family in FAMILIES if family not in without]
    rules = [f"{rule.name}, a rule of its own"[:200] for rule in own]
    more = [f"{len(rules) - _RULES_MAX} more rules of its own"] if len(rules) > _RULES_MAX else []
    left = [f"{family}, which it is told to leave" for family in FAMILIES if family in without]
    return Coverage(
        source=SOURCE,
        version=stamp,
        captured=(*families, *rules[:_RULES_MAX], *more),
        hidden=(*left, *HIDDEN),
    )
