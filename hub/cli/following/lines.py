"""Lines of a stream."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import attrs

__all__ = ("LINE_BYTES_MAX", "Line", "Lines", "Splitter", "TooLong")

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
    refusal: str | None = None
    """Why it is none that can be taken, and has no content."""


@attrs.frozen
class TooLong:
    """A line, or an event, that is longer than any event may be. It is not kept, and what follows it is read."""

    size: int
    """In bytes, with its line feed."""
    digest: str
    """What tells it from another one."""

    @property
    def refusal(self) -> str:
        return f"it has {self.size:,} bytes, and at most {LINE_BYTES_MAX:,} are read"


class Lines(Protocol):
    """A stream."""

    name: str
    """The source of its events, if they do not name one."""

    def batches(self) -> AsyncIterator[Sequence[Line]]:
        """Iterate over the lines, as many at a time as are there; end where the stream ends."""


class Splitter:
    """Cuts bytes into lines at their line feeds; a beginning of a line waits for its end."""

    def __init__(self) -> None:
        self._rest = b""
        self._passed: _Passed | None = None

    @property
    def waiting_bytes(self) -> int:
        """How many bytes there are of the line whose end did not come yet."""
        return len(self._rest) if self._passed is None else self._passed.size

    def feed(self, content: bytes) -> list[bytes | TooLong]:
        """Return the lines that are complete now, each with its line feed."""
        *lines, self._rest = (self._rest + content).split(b"\n")
        made = [self._made(line + b"\n") for line in lines]
        if self._passed is not None or len(self._rest) > LINE_BYTES_MAX:
            self._pass()
        return made

    def end(self) -> list[bytes | TooLong]:
        """Return the last line, if it has no line feed and no more of it comes."""
        rest, self._rest = self._rest, b""
        return [self._made(rest)] if rest or self._passed is not None else []

    def _made(self, line: bytes) -> bytes | TooLong:
        if self._passed is None and len(line) <= LINE_BYTES_MAX + 1:
            return line
        passed, self._passed = self._passed or _Passed(), None
        passed.add(line)
        return TooLong(passed.size, passed.sum.hexdigest()[:16])

    def _pass(self) -> None:
        """Keep no more of a line that is too long than what tells it from another one."""
        passed = self._passed = self._passed or _Passed()
        passed.add(self._rest)
        self._rest = b""


class _Passed:
    """The beginning of a line that is not kept."""

    def __init__(self) -> None:
        self.size: int = 0
        self.sum: Any = hashlib.sha256()

    def add(self, content: bytes) -> None:
        self.size += len(content)
        self.sum.update(content)
