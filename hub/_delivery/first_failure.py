"""What the first failure of a listener needs is imported before there is one: that takes some 50 ms."""

from __future__ import annotations

from anyio import CapacityLimiter, to_thread

__all__ = ("prepare",)

_EXAMPLE = "password=abc123x of j@example.com"
"""A text that has the rules compiled which a line of the log needs."""

_prepared: list[bool] = []
"""Not empty when it was done in this process."""


async def prepare() -> None:
    """Import, in a thread, what keeps dead letters, and what redacts them and the lines of the log.

    A hub that is closed meanwhile waits for the thread: one that is still at work when the interpreter ends, as those
    of a :class:`~hubwire.HubThread` could be, has the process aborted by the rules' library.
    """
    if not _prepared:
        _prepared.append(True)
        await to_thread.run_sync(_import, limiter=CapacityLimiter(1))


def _import() -> None:
    try:
        from ..redaction import (  # noqa: F401, PLC0415
            Redactor,
            aside,
            choice,
        )
        from . import letter_box, letter_files, letter_lines  # noqa: F401, PLC0415
    except ImportError:  # as at the end of the interpreter: what needs it says so
        return
    Redactor.shared().redact(_EXAMPLE)
