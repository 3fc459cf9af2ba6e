"""Views of a board without contents, for who may see that agents work, and not on what."""

from __future__ import annotations

from typing import Any

__all__ = ("hidden_view",)

_CONTENTS = frozenset(
    ("arguments", "detail", "last_error", "preview", "progress", "reason", "said", "text", "title", "trouble", "why")
)


def hidden_view(view: dict[str, Any], *, contents: bool) -> dict[str, Any]:
    """Return a view as a person may see it: with contents, or with the size of each instead."""
    if contents:
        return view
    return {name: _size(value) if name in _CONTENTS else _without(value) for name, value in view.items()}


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return hidden_view(value, contents=False)
    return [_without(each) for each in value] if isinstance(value, (list, tuple)) else value


def _size(value: Any) -> Any:
    return f"{len(value):,} characters" if isinstance(value, str) and value else value
