"""The exception of a verb that cannot go on."""

from __future__ import annotations

__all__ = ("CommandFailed",)


class CommandFailed(Exception):
    """A verb cannot go on; the message is the line that the user reads. It never leaves :mod:`hubwire.cli`."""

    exit_code: int = 1
