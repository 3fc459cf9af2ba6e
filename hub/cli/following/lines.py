"""Lines of a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import attrs

from ..failures import CommandFailed

__all__ = ("LINE_BYTES_MAX", "Line", "LineTooLong", "Lines", "Splitter")

LINE_BYTES_MAX = 16 * 1024 * 1024
"""More than twice what an event may have: a stream without a line feed does not fill the memory."""


@attrs.frozen
class Line:
    """One line, without its line feed."""

    content: bytes
    place: str
    """For people: where it stands."""
    identity: str | None = None
    """By what it is known if it has no id of its own: its place in a file; None if it can come again elsewhere."""
    event_id: str | None = None
    """The id that the stream gives it beside its content, as server-sent events do."""


class LineTooLong(CommandFailed):
    """A stream has a line that is longer than any event may be."""


class Lines(Protocol):
    """A stream."""

    name: str
    """The source of its events, if they do not name one."""

    def batches(self) -> AsyncIterator[Sequence[Line]]:
        """Iterate over the lines, as many at a time as are there; end where the stream ends."""


class Splitter:
    """Cuts bytes into lines at their line feeds; a beginning of a line waits for its end."""

    def __init__(self, name: str) -> None:
        self.rest: bytes = b""
        self._name = name

    def feed(self, content: bytes) -> list[bytes]:
        """Return the lines that are complete now, each with its line feed."""
        *lines, self.rest = (self.rest + content).split(b"\n")
        if len(self.rest) > LINE_BYTES_MAX or any(len(line) > LINE_BYTES_MAX for line in lines):
            raise LineTooLong(f"{self._name} has a line of more than {LINE_BYTES_MAX:,} bytes, the most that is read")
        return [line + b"\n" for line in lines]
