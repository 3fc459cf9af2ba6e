"""What is recorded of contents: redacted, and cut to what is shown."""

from __future__ import annotations

from typing import Any

from ..events import Event, evolve
from ..redaction import Redactor
from ._capture import captured, error_type
from ._stream import TAIL_CHARS

__all__ = ("Tidy", "without_contents")

_CONTENTS = (
    *("prompt", "content", "request", "response", "arguments", "result", "text", "reason", "error_message"),
    *("error_context", "data"),
)
_LEFT_OUT = "(left out: it is more than the hub takes in one event)"


class Tidy:
    """Redacts what was captured, and cuts it. What its redactor cannot look through is left out."""

    def __init__(self, redactor: Redactor, chars_max: int) -> None:
        self._redactor = redactor
        self._chars_max = chars_max

    def value(self, value: Any) -> Any:
        """Return a value as it is shown."""
        return None if value is None else captured(self._redacted(value), self._chars_max)

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return fields as they are shown, each cut by itself. Some are redacted because of their names."""
        redacted = self._redacted(fields)
        if type(redacted) is not dict:
            return {"withheld": captured(redacted, self._chars_max)}
        return {name: captured(value, self._chars_max) for name, value in redacted.items() if type(name) is str}

    def text(self, text: str) -> str:
        """Return a text that is shown whole."""
        shown = self._redacted(text)
        return shown if type(shown) is str else ""

    def end(self, tail: Any) -> str:
        """Return the end of an answer as it is shown, cut at its beginning."""
        shown = captured(self._redacted(tail), TAIL_CHARS)
        return shown[-min(self._chars_max, TAIL_CHARS // 2) :] if type(shown) is str else ""

    def _redacted(self, value: Any) -> Any:
        try:
            return self._redactor.redact(value)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - it may be of the program's own class
            return f"(left out: the redactor raised {error_type(error)})"


def without_contents(event: Event) -> Event:
    """Return an event that is too large for a hub without what is large: that it was is not left out."""
    left: dict[str, Any] = {}
    for name in _CONTENTS:
        value = getattr(event, name, None)
        if value is not None and value != "":
            left[name] = {"left_out": _LEFT_OUT} if name == "data" else _LEFT_OUT
    metadata = None if event.metadata is None else {k: v for k, v in event.metadata.items() if k in _KEPT}
    return evolve(event, metadata=metadata, **left)


_KEPT = frozenset({"run", "parent_turn_id", "input_tokens", "output_tokens", "cost_usd"})
