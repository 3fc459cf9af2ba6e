"""What the parts of a message of A2A say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._capture import CUT

__all__ = ("said_in",)


def said_in(parts: Sequence[Any], items_max: int) -> Any:
    """Return what parts say: a text, or what a program can read, or else a list."""
    contents = [_part(part, items_max) for part in parts]
    if all(isinstance(each, str) for each in contents):
        return "\n".join(contents)
    return contents[0] if len(contents) == 1 else contents


def _part(part: Any, items_max: int) -> Any:
    kind = part.WhichOneof("content")
    if kind == "text":
        return part.text
    if kind == "data":
        return _Data(items_max).plain(part.data)
    return part.url if kind == "url" else f"({len(part.raw)} bytes)"


class _Data:
    """The data of a part, as plain values; ``left`` counts how many may still be looked at."""

    def __init__(self, left: int) -> None:
        self.left = left

    def plain(self, value: Any) -> Any:
        self.left -= 1
        kind = value.WhichOneof("kind")
        if kind == "struct_value":
            fields = value.struct_value.fields
            copy: dict[str, Any] = {}
            for name in fields:
                if self.left <= 0:
                    copy[CUT] = f"{len(fields) - len(copy)} more"
                    break
                copy[name] = self.plain(fields[name])
            return copy
        if kind == "list_value":
            items: list[Any] = []
            for item in value.list_value.values:
                if self.left <= 0:
                    items.append(f"{CUT} {len(value.list_value.values) - len(items)} more")
                    break
                items.append(self.plain(item))
            return items
        if kind == "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        return getattr(value, kind) if kind in ("string_value", "bool_value") else None
