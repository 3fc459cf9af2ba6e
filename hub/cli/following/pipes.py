"""The standard input, line by line until it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from anyio import to_thread, wait_readable

from .lines import Line, Splitter, TooLong

__all__ = ("StandardInput",)

_PIECE_BYTES = 256 * 1024


class StandardInput:
    """``-``. Its lines have no place by which they would be known when they come again."""

    def __init__(self) -> None:
        self.name = "stdin"
        self._count = 0

    async def batches(self) -> AsyncIterator[Sequence[Line]]:
        splitter = Splitter()
        while content := await _read():
            if lines := self._lines(splitter.feed(content)):
                yield lines
        if lines := self._lines(splitter.end()):
            yield lines

    def _lines(self, contents: list[bytes | TooLong]) -> list[Line]:
        made = []
        for content in contents:
            self._count += 1
            place = f"line {self._count:,}"
            if isinstance(content, TooLong):
                made.append(Line(b"", place, refusal=content.refusal))
            else:
                made.append(Line(content.rstrip(b"\r\n"), place))
        return made


async def _read() -> bytes:
    """Return what is there, and wait for no more than the first byte.

    The wait is in the loop: the end of the process would wait for a thread that reads. By the descriptor, as it would
    for the lock of a buffer, too.
    """
    descriptor = sys.stdin.fileno()
    with suppress(PermissionError):  # a file: what it has is there, and no loop waits for that
        await wait_readable(descriptor)
    return await to_thread.run_sync(os.read, descriptor, _PIECE_BYTES)
