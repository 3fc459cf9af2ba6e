"""Arguments of redactors and rules, checked where they come in."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from ..errors import ConfigurationError
from ..events._shown import is_a, shown

__all__ = ("items", "refusal")

_ITEMS_MAX = 10_000


def refusal(call: str, argument: str, value: object, wanted: str) -> ConfigurationError:
    return ConfigurationError(f"{call}: {argument} is {wanted}, not {shown(value)}")


def items(call: str, argument: str, value: object, wanted: str) -> tuple[Any, ...]:
    """Return the items of a list that was given; a text is none, and one that does not end is refused."""
    if is_a(value, (str, bytes)) or not is_a(value, Iterable):
        raise refusal(call, argument, value, wanted)
    given: Any = value
    try:
        found = tuple(islice(given, _ITEMS_MAX + 1))
    except Exception as error:
        raise refusal(call, argument, value, f"{wanted} that can be read") from error
    if len(found) > _ITEMS_MAX:
        raise refusal(call, argument, value, f"{wanted} of at most {_ITEMS_MAX}")
    return found
