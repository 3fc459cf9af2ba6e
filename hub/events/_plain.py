"""Plain values: those that JSON holds as they are. To tell is much quicker than to make a value canonical.

Most payloads are a dictionary of a few texts and numbers, with one of the same kind in it. The answers here are for
them alone: None, or False, also where a longer search might find that a value is plain. The loops over a dictionary and
over a list are written out, because a call for each item would cost as much as all else.
"""

from __future__ import annotations

import math
from typing import Any

from ._canonical import INT_MAX, FrozenDict

__all__ = ("freeze_plain", "is_plain")

_ITEMS_MAX = 64
_TEXT_MAX = 1000
"""With two levels this keeps a plain value below 8 MiB."""

_WEIGHT_MAX = 64 * 1024
_ITEM_WEIGHT = 8
"""Six times this is more than the JSON of a number, and of the punctuation around an item."""

_CONTAINERS = frozenset({dict, list, tuple})


def freeze_plain(value: Any, levels: int = 2) -> tuple[Any, int] | None:
    """Return what :class:`Freezer` would make of a plain dictionary, list or tuple, and its weight; None for others.

    Six times the weight is an upper bound of the bytes of JSON. The containers in it are ``levels`` deep at most.
    """
    kind = type(value)
    if kind is dict or kind is FrozenDict:
        try:
            return _freeze_dict(value, levels)
        except Exception:  # noqa: BLE001 - keys that are no text compare as they like, and threads change dictionaries
            return None
    return _freeze_items(tuple(value), levels) if kind is list or kind is tuple else None


def _freeze_dict(value: dict[Any, Any], levels: int) -> tuple[FrozenDict, int] | None:
    if len(value) > _ITEMS_MAX:
        return None
    weight = _ITEM_WEIGHT * len(value)
    fields: dict[str, Any] = {}
    for key in sorted(value):
        if type(key) is not str or not key.isascii():
            return None
        item = value[key]
        kind = type(item)
        weight += len(key)
        if kind is str:
            if not item.isascii():
                return None
            weight += len(item)
        elif kind is int:
            if not -INT_MAX <= item <= INT_MAX:
                return None
        elif kind is float:
            if item - item != 0.0:
                return None
        elif item is not None and kind is not bool:
            if not levels or (frozen := freeze_plain(item, levels - 1)) is None:
                return None
            item, inner_weight = frozen
            weight += inner_weight
        fields[key] = item
    return (FrozenDict(fields), weight) if weight <= _WEIGHT_MAX else None


def _freeze_items(copy: tuple[Any, ...], levels: int) -> tuple[tuple[Any, ...], int] | None:
    if len(copy) > _ITEMS_MAX:
        return None
    weight = _ITEM_WEIGHT * len(copy)
    items = []
    for each in copy:
        item, kind = each, type(each)
        if kind is str:
            if not item.isascii():
                return None
            weight += len(item)
        elif kind is int:
            if not -INT_MAX <= item <= INT_MAX:
                return None
        elif kind is float:
            if item - item != 0.0:
                return None
        elif item is not None and kind is not bool:
            if not levels or (frozen := freeze_plain(item, levels - 1)) is None:
                return None
            item, inner_weight = frozen
            weight += inner_weight
        items.append(item)
    return (tuple(items), weight) if weight <= _WEIGHT_MAX else None


def is_plain(value: Any, *, levels: int = 2) -> bool:
    """Tell whether JSON can hold a value as it is."""
    kind = type(value)
    if kind is str:
        return len(value) <= _TEXT_MAX and value.isascii()
    if value is None or kind is bool:
        return True
    if kind is int:
        return bool(-INT_MAX <= value <= INT_MAX)
    if kind is float:
        return math.isfinite(value)
    if kind not in _CONTAINERS or not levels or len(value) > _ITEMS_MAX:
        return False
    if kind is not dict:
        return all(is_plain(item, levels=levels - 1) for item in value)
    for key, item in value.items():
        if type(key) is not str or not key.isascii() or len(key) > _TEXT_MAX:
            return False
        # Most items are short text.
        if not (type(item) is str and item.isascii() and len(item) <= _TEXT_MAX) and not is_plain(
            item, levels=levels - 1
        ):
            return False
    return True
