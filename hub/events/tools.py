"""Tool calls: a pair of facts with one ``call_id``. The hub watches for the end that never comes."""

from __future__ import annotations

from typing import Any

from ._declare import event
from ._event import Event
from ._preview import preview
from ._severity import Severity

__all__ = ("ToolAbandoned", "ToolCalled", "ToolCompleted", "ToolFailed")


@event("tool.called")
class ToolCalled(Event):
    """An agent called a tool. ``arguments`` are as the model gave them: a mapping, or text that may not be JSON."""

    tool: str
    call_id: str
    arguments: Any = None

    @property
    def arguments_preview(self) -> str:
        """The first 200 characters of the arguments, as text or JSON."""
        return preview(self.arguments)


@event("tool.completed")
class ToolCompleted(Event):
    """The tool returned ``result``. ``duration_ms`` is how long it took, None if it was not measured."""

    tool: str
    call_id: str
    result: Any = None
    duration_ms: float | None = None

    @property
    def result_preview(self) -> str:
        """The first 200 characters of the result, as text or JSON."""
        return preview(self.result)


@event("tool.failed", severity=Severity.ERROR)
class ToolFailed(Event):
    """The tool raised an exception, or returned a value that its caller takes for an error."""

    tool: str
    call_id: str
    error_type: str = ""
    error_message: str = ""
    duration_ms: float | None = None


@event("tool.abandoned")
class ToolAbandoned(Event):
    """The end of the call did not come and is no longer expected, as ``reason`` says. It began at ``started_at``."""

    tool: str
    call_id: str
    reason: str
    started_at: str = ""
