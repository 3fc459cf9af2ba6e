"""Where the feeds of a hub run: known from before there are any."""

from __future__ import annotations

from contextvars import Context, copy_context

from anyio.abc import TaskGroup

from ..context import leave_all

__all__ = ("Ground",)


class Ground:
    """The tasks in which feeds run, and their context, which is that of the hub and in no scope."""

    def __init__(self) -> None:
        self.tasks: TaskGroup | None = None
        """None while none run: the hub is not open yet, or is closed to feeds."""
        self.is_closed: bool = False
        """Whether the hub takes no more feeds."""
        self._context = Context()

    def open(self, tasks: TaskGroup) -> None:
        self._context = copy_context()
        self._context.run(leave_all)
        self.tasks = tasks

    def close(self) -> None:
        self.is_closed = True
        self.tasks = None

    def context(self) -> Context:
        """Return a context for one feed."""
        return self._context.copy()
