"""Which turn a session is in, where its agent does not say: kept beside the spool, because each hook is a process."""

from __future__ import annotations

import os
import time

__all__ = ("Turns",)

_OLD_SECONDS = 7 * 24 * 3600.0
_BYTES_MAX = 200


class Turns:
    """The turns of sessions: a small file for each session. What cannot be written or read is a turn without an id."""

    def __init__(self, directory: str) -> None:
        self._directory = f"{directory}/turns"

    def begin(self, session: str) -> None:
        """Begin a turn of a session; its id is of this session and this turn alone."""
        made = f"{session}:{os.urandom(4).hex()}"
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)  # noqa: PTH103 - pathlib takes milliseconds
            fd = os.open(self._path(session), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        except OSError:
            return
        try:
            os.write(fd, made.encode())
        except OSError:
            return
        finally:
            os.close(fd)

    def current(self, session: str) -> str | None:
        """Return the id of the turn that began last."""
        try:
            fd = os.open(self._path(session), os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            return os.read(fd, _BYTES_MAX).decode("ascii", "replace") or None
        except OSError:
            return None
        finally:
            os.close(fd)

    def end(self, session: str) -> None:
        """Forget a session that has ended, and those of which nothing was heard for a week."""
        try:
            os.unlink(self._path(session))  # noqa: PTH108
        except OSError:
            return
        try:
            for entry in os.scandir(self._directory):
                if entry.stat().st_mtime < time.time() - _OLD_SECONDS:
                    os.unlink(entry.path)  # noqa: PTH108
        except OSError:
            return

    def _path(self, session: str) -> str:
        return f"{self._directory}/{session.replace(':', '_').lstrip('.')}"
