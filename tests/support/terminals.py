"""A pseudo-terminal with a command in it: its size, and all that the command has drawn."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

__all__ = ("Terminal", "plain", "printed", "terminal")

COMMAND = [sys.executable, "-P", "-m", "hubwire"]
_SEQUENCES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """A pseudo-terminal with a command in it, and all that the command has drawn."""

    def __init__(self, end: int, process: subprocess.Popen[bytes]) -> None:
        self.end = end
        self.process = process
        self.drawn = b""

    def _read(self) -> bytes:
        try:
            return os.read(self.end, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # that is how the end of a terminal reads
                raise
            return b""

    async def until(self, wanted: bytes) -> None:
        while wanted not in self.drawn:
            read = await anyio.to_thread.run_sync(self._read)
            assert read, f"it has ended, and has not drawn {wanted!r}: {self.drawn!r}"
            self.drawn += read

    async def rest(self) -> None:
        while read := await anyio.to_thread.run_sync(self._read):
            self.drawn += read

    async def type(self, keys: str) -> None:
        await anyio.to_thread.run_sync(os.write, self.end, keys.encode())


def _opened(arguments: tuple[str | Path, ...], columns: int, given: dict[str, str]) -> Terminal:
    end, other = os.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    left_out = ("COLUMNS", "LINES", "NO_COLOR")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    streams: dict[str, Any] = {"stdin": other, "stdout": other, "stderr": other}
    words = [*COMMAND, *map(str, arguments)]
    process = subprocess.Popen(words, **streams, env={**environment, "TERM": "xterm-256color", **given})
    os.close(other)
    return Terminal(end, process)


@asynccontextmanager
async def terminal(*arguments: str | Path, columns: int = 80, **environment: str) -> AsyncIterator[Terminal]:
    """Run the command on a terminal until the block is left."""
    screen = await anyio.to_thread.run_sync(_opened, arguments, columns, environment)
    try:
        yield screen
    finally:
        screen.process.kill()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(screen.process.wait)
        os.close(screen.end)


async def printed(*arguments: str | Path, columns: int = 80, **environment: str) -> str:
    """Return all that the command draws on a terminal until it ends, with its colours."""
    async with terminal(*arguments, columns=columns, **environment) as screen:
        await screen.rest()
        assert await anyio.to_thread.run_sync(screen.process.wait) == 0, screen.drawn
        return screen.drawn.decode().replace("\r\n", "\n")


def plain(text: str) -> str:
    """Return a text without its colours."""
    return _SEQUENCES.sub("", text)
