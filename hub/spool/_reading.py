"""Reading the files of a spool: whole lines, each checked, and the ends of files whose writers are gone."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from .. import codec
from .._values import Value
from ..errors import HubError
from ..events import Event, GenericEvent, UnknownEvent, evolve
from ._lines import LINE_BYTES_MAX, Damaged, body_of, first_of, number_of, stream_of

__all__ = ("SPOOL", "Line", "Reader", "batches", "files_in")

SPOOL = "spool"
"""The key of metadata under which an event says of which line it is."""

_PIECE_BYTES = 1024 * 1024
_REST_BYTES_MAX = LINE_BYTES_MAX + 64 * 1024
_EMPTY = {"seq": -1, "id": "", "at": "", "hub": ""}


@attrs.frozen(eq=False, repr=False)
class Line(Value):
    """A line of a file: an event, or the reason why it is none."""

    file: str
    place: int
    """Which line of its file it is, from 1."""
    size: int
    at: str
    """When it was written, or a line before it in its file, if that was later: by this, lines of files are in order."""
    event: Event | None = None
    lost: int = 0
    """How many events before it could not be written."""
    missing: int = 0
    """How many lines of its stream should be before it, and are not."""
    reason: str = ""
    is_torn: bool = False
    """Whether it is the rest of a line that a writer was killed in, so that it was acknowledged to no program."""

    @property
    def key(self) -> str:
        """What tells the line from all others, of all spools."""
        return f"{stream_of(self.file)}:{first_of(self.file)}:{self.place}"


def files_in(directory: str) -> list[str]:
    """Return the names of the files of a spool, those of one stream as they were written. Raises ``OSError``."""
    with os.scandir(directory) as found:
        names = [entry.name for entry in found if stream_of(entry.name) and entry.is_file(follow_symlinks=False)]
    return sorted(names)


class Reader:
    """One file, read as it grows. Only one thread at a time may use it."""

    def __init__(self, directory: str, name: str, taken: int) -> None:
        """``taken``: how many lines are not returned again."""
        self.name: str = name
        self.path: str = f"{directory}/{name}"
        self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        self._taken = taken
        self._rest = b""
        self.offset: int = 0
        """How many bytes of whole lines were read."""
        self.place: int = 0
        self.expected: int = first_of(name)
        """The number that the next line should have."""
        self._newest = ""

    def read(self) -> list[Line] | None:
        """Return the next lines; None at the end as it is now."""
        piece = os.pread(self._fd, _PIECE_BYTES, self.offset + len(self._rest))
        if not piece:
            return None
        *whole, self._rest = (self._rest + piece).split(b"\n")
        lines = [line for each in whole if (line := self._line(each, len(each) + 1)) is not None]
        if len(self._rest) > _REST_BYTES_MAX:  # no writer makes such a line; it is skipped where the next one begins
            self.offset += len(self._rest) - 1
            self._rest = self._rest[-1:]
        return lines

    def is_over(self) -> bool:
        """Tell whether no writer has the file. Then it is locked, until :meth:`release`, and so stays as it is."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let writers go on in the file."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def is_at_end(self) -> bool:
        """Tell whether all that is in the file was read."""
        return os.fstat(self._fd).st_size <= self.offset + len(self._rest)

    def end(self) -> Line | None:
        """Return the last line of a file that no writer has, if it has no line feed."""
        rest, self._rest = self._rest, b""
        if not rest:
            return None
        self.place += 1
        self.offset += len(rest)
        if self.place <= self._taken:
            return None
        try:
            return self._parsed(body_of(rest), len(rest))  # only the line feed is missing
        except Damaged:
            return self._bad(f"its writer was killed in it, after {len(rest):,} bytes", len(rest), is_torn=True)

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _line(self, content: bytes, size: int) -> Line | None:
        self.place += 1
        self.offset += size
        try:
            body = body_of(content)
            number = number_of(body)
        except Damaged as damage:
            self.expected += 1
            return None if self.place <= self._taken else self._bad(str(damage), size)
        if self.place <= self._taken:
            self.expected = number + 1
            return None
        return self._parsed(body, size)

    def _parsed(self, body: bytes, size: int) -> Line:
        try:
            fields = codec.decode_fields(body)
            number, at, lost = _checked(fields["n"], fields["at"], fields.get("lost", 0))
            event = _event_of(fields["e"], at)
        except (HubError, KeyError, TypeError, ValueError) as error:
            self.expected += 1
            return self._bad(f"it is no event: {error}", size)
        missing, self.expected = max(0, number - self.expected), number + 1
        self._newest = max(self._newest, at)
        return Line(self.name, self.place, size, self._newest, event, lost=lost, missing=missing)

    def _bad(self, reason: str, size: int, *, is_torn: bool = False) -> Line:
        return Line(self.name, self.place, size, self._newest, reason=reason, is_torn=is_torn)


def _checked(number: object, at: object, lost: object) -> tuple[int, str, int]:
    """Return what a line says of itself. Raises ``ValueError``: what has written it may be no writer of ours."""
    if type(number) is not int or not 0 < number < _NUMBERS_END:
        raise ValueError("its number is none")
    if type(at) is not str or _MOMENT.fullmatch(at) is None:
        raise ValueError("its time is none")
    if type(lost) is not int or not 0 <= lost < _NUMBERS_END:
        raise ValueError("how many were lost before it is no number")
    return number, at, lost


_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_NUMBERS_END = 10**15


def _event_of(fields: dict[str, Any], at: str) -> Event:
    event = codec.decode(codec.encode_fields({**_EMPTY, **fields}))
    if type(event) is UnknownEvent:  # a kind that this program does not declare
        known = {name: getattr(event, name) for name in _CONTEXT}
        event = GenericEvent(kind=event.kind, data=event.fields, **known)
    return event if event.occurred_at is not None else evolve(event, occurred_at=at)


_CONTEXT = (
    *("tenant", "source", "source_id", "occurred_at", "actor", "agent_id", "session_id", "turn_id", "channel_id"),
    *("task_id", "correlation_id", "traceparent", "severity", "outcome", "metadata"),
)


def batches(lines: Sequence[Line], *, count: int, size: int) -> Iterator[list[Line]]:
    """Cut lines into lists that have so many lines, and about so many bytes, at most."""
    made: list[Line] = []
    weight = 0
    for line in lines:
        if made and (len(made) >= count or weight + line.size > size):
            yield made
            made, weight = [], 0
        made.append(line)
        weight += line.size
    if made:
        yield made
