"""What of a hook is a name, and so may be written without being looked through: neither a path nor a text."""

from __future__ import annotations

TYPE_CHECKING = False  # as of `typing`, which takes longer to import than all that is done here
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ("outline", "plain", "plain_id")

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:"
_CHARS_MAX = 100
_KEYS_MAX = 100
_SAID = frozenset(
    {
        *("permission_mode", "source", "reason", "trigger", "model", "notification_type", "agent_type", "tool_name"),
        *("stop_hook_active", "is_interrupt"),
    }
)
"""Parts of what hooks say that are one of a few words, or yes or no."""


def plain(value: Any) -> str | bool | None:
    """Return a value that is a short name, or yes or no; None for any other."""
    if value is True or value is False:
        return value
    is_name = isinstance(value, str) and 0 < len(value) <= _CHARS_MAX and not value.strip(_LETTERS)
    return value if is_name else None


def plain_id(text: str | None) -> str | None:
    """Return an id as it is, if it is a short name; else one that is always the same for this text."""
    if text is None:
        return None
    if 0 < len(text) <= _CHARS_MAX and not text.strip(_LETTERS):
        return text
    from hashlib import sha256  # ids are names, nearly always

    return f"sha256:{sha256(text.encode(errors='surrogatepass')).hexdigest()[:32]}"


def outline(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a hook says without its contents: which parts there are, and those that are surely no content."""
    keys = [key for key in payload if plain(key)][:_KEYS_MAX]
    said = {key: value for key in keys if key in _SAID and (value := plain(payload[key])) is not None}
    return {**said, "keys": sorted(keys)}
