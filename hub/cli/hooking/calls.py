"""When calls of tools were announced: kept beside the spool until they are made, because each hook is a process."""

from __future__ import annotations

import os
import time

__all__ = ("Calls", "moment")

_OLD_SECONDS = 24 * 3600.0


class Calls:
    """Calls that an agent has announced, and not made yet: an empty file for each, as old as its announcement.

    What cannot be written or read is a call of which it is not known when it began.
    """

    def __init__(self, directory: str) -> None:
        self._directory = f"{directory}/calls"

    def announce(self, key: str) -> None:
        """Remember that a call is announced now."""
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)  # noqa: PTH103 - pathlib takes milliseconds
            os.close(os.open(self._path(key), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600))
            os.utime(self._path(key))
        except OSError:
            return

    def take(self, key: str) -> int | None:
        """Return when a call was announced, in nanoseconds since 1970, and forget it; None if that is not known."""
        try:
            announced_ns = os.stat(self._path(key), follow_symlinks=False).st_mtime_ns  # noqa: PTH116
            os.unlink(self._path(key))  # noqa: PTH108
        except OSError:
            return None
        return announced_ns

    def forget_old(self) -> None:
        """Forget those that were announced a day ago, and never made: they were refused, or their agent is gone."""
        try:
            for entry in os.scandir(self._directory):
                if entry.stat(follow_symlinks=False).st_mtime < time.time() - _OLD_SECONDS:
                    os.unlink(entry.path)  # noqa: PTH108
        except OSError:
            return

    def _path(self, key: str) -> str:
        from hashlib import sha256  # few hooks are about calls

        return f"{self._directory}/{sha256(key.encode(errors='surrogatepass')).hexdigest()[:32]}"


def moment(ns: int) -> str:
    """Return nanoseconds since 1970 as events have it: ISO 8601 in UTC with microseconds."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest // 1000:06d}Z"
