"""Sessions that were ended before their time, and the salt by which all are signed: kept in a file, or not at all."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections import OrderedDict
from pathlib import Path

import anyio.to_thread

from hubwire.clock import SystemClock
from hubwire.errors import ConfigurationError

__all__ = ("Ended",)

_ENDED_MAX = 100_000
_LINES_MAX = 1000
"""A file with more lines is written anew at the start, without what would have ended by now."""
_SALT_BYTES = 32
_DIGEST_CHARS = 64


class Ended:
    """Which sessions are no more.

    The file has the salt in its first line, and then a line for each session that was signed out: when it would have
    ended, and its digest. Who reads it can sign in nowhere; who writes it can bring back a session that has ended, but
    only one that the token has signed.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._writing = asyncio.Lock()
        self.salt: bytes = secrets.token_bytes(_SALT_BYTES)
        """Part of each signature. One of its own for each process, where no file keeps it."""
        self._is_open = path is None

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._known

    async def open(self) -> None:
        """Read the file, or make it, if that was not done before: until then nothing is known.

        Raises :class:`~hubwire.errors.ConfigurationError` for a file that is none, or that others can read.
        """
        if self._is_open:
            return
        async with self._writing:
            if not self._is_open and self._path is not None:
                await anyio.to_thread.run_sync(self._open, self._path)
                self._is_open = True

    async def end(self, digest: bytes, ends_at: int) -> None:
        """Remember that a session has ended, until it would have ended by itself. Raises what the file raises."""
        self._note(digest)
        if self._path is not None:
            line = f"{ends_at} {digest.hex()}\n".encode()
            async with self._writing:
                await anyio.to_thread.run_sync(_append, self._path, line)

    def _note(self, digest: bytes) -> None:
        self._known[digest] = None
        if len(self._known) > _ENDED_MAX:
            self._known.popitem(last=False)

    def _open(self, path: Path) -> None:
        try:
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                self._read(path)
            else:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(f"{self.salt.hex()}\n".encode())
        except OSError as error:
            raise ConfigurationError(f"Access(): sessions_file {path} cannot be read or made: {error}") from error

    def _read(self, path: Path) -> None:
        if path.stat().st_mode & 0o077:
            raise ConfigurationError(
                f"Access(): others than its owner can read sessions_file {path}; remove it: all sign in again"
            )
        try:
            salt, ended, is_whole = _parsed(path.read_text(encoding="ascii"))
        except ValueError as error:
            raise ConfigurationError(
                f"Access(): sessions_file {path} is damaged, or none; remove it: all sign in again"
            ) from error
        self.salt = salt or self.salt
        for _, digest in ended:
            self._note(digest)
        if not is_whole or len(ended) > _LINES_MAX:
            now = SystemClock().now_ns() // 1_000_000_000
            self._rewrite(path, [each for each in ended if each[0] > now])

    def _rewrite(self, path: Path, ended: list[tuple[int, bytes]]) -> None:
        made = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
        lines = [self.salt.hex(), *(f"{ends_at} {digest.hex()}" for ends_at, digest in ended)]
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        made.replace(path)


def _parsed(content: str) -> tuple[bytes, list[tuple[int, bytes]], bool]:
    """Return the salt, which sessions have ended, and whether all lines are whole: a crash may have cut the last one.

    Raises ``ValueError`` for what is no such file.
    """
    *lines, rest = content.split("\n")
    if not lines:
        return b"", [], False
    salt = bytes.fromhex(lines[0])
    ended = [(int(line[:-_DIGEST_CHARS]), bytes.fromhex(line[-_DIGEST_CHARS:])) for line in lines[1:]]
    if len(salt) != _SALT_BYTES:
        raise ValueError("the salt has another length")
    return salt, ended, not rest


def _append(path: Path, line: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
