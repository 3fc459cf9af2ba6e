"""Timestamping: the checkpoints of a log that are kept for good are stamped by an authority, beside its writing."""

from __future__ import annotations

import asyncio
from typing import Any

from hubwire.errors import ConfigurationError, TimestampFailed
from hubwire.guests import GuestTask
from hubwire.log import Log
from hubwire.own_log import OwnLog
from hubwire.ports import KnowledgeStore
from hubwire.proof import Checkpoint, Note
from hubwire.proof.timestamps import stamped_text

from ._guests import Worker

__all__ = ("Timestamping", "timestamper_of")

_log = OwnLog("audit")

_RETRY_SECONDS = 1.0
_RETRY_SECONDS_MAX = 600.0
_GRACE_SECONDS = 1.0
_RESPONSE_BYTES_MAX = 64 * 1024


def timestamper_of(value: Any) -> Any:
    """Return what stamps. Raises :class:`~hubwire.errors.ConfigurationError`."""
    if isinstance(value, type) or not callable(getattr(value, "stamp", None)):
        raise ConfigurationError(
            f"timestamper is a Timestamper, as hubwire.proof.Timestamper(url, certificates), not {type(value).__name__}"
        )
    return value


class Timestamping:
    """Has the newest of the checkpoints stamped that a log keeps for good, one at a time, again if it failed."""

    def __init__(self, timestamper: Any, store: KnowledgeStore, log: Log) -> None:
        self.errors: int = 0
        """How many times the authority has failed."""
        self.failure: Exception | None = None
        """Why the newest one has no timestamp; None if it has, or will be stamped later."""
        self._timestamper = timestamper
        self._store = store
        self._log = log
        self._due: tuple[Note, str] | None = None
        """What is to be stamped, and where that is to be stored."""
        self._again_at = 0.0
        self._failures = 0
        self._timer: asyncio.TimerHandle | None = None
        self._worker = Worker("hubwire audit timestamping")

    @property
    def problem(self) -> str | None:
        """Why checkpoints are not stamped; None if all is well."""
        if self.failure is None:
            return None
        return f"the checkpoints of the log {self._log.path} are not timestamped: {self.failure!s:.500}"

    def signed(self, note: Note, checkpoint: Checkpoint, *, is_archived: bool) -> None:
        """Take the newest checkpoint. It is stored."""
        if is_archived:
            self._due = note, f"{self._log.path}/checkpoints/{checkpoint.size:020}.tsr"
            self._plan()

    def _plan(self) -> None:
        if self._due is None or self._worker.is_at_work:
            return
        self._stop_timer()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(max(self._again_at, loop.time()), self._begin)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> None:
        self._timer = None
        if self._log.is_open and not self._worker.is_at_work:
            self._worker.start(self._stamp)

    async def _stamp(self) -> None:
        due, loop = self._due, asyncio.get_running_loop()
        try:
            if due is None:
                return
            content = await self._answer(stamped_text(due[0]))
            await self._store.write(due[1], content)
            self.failure, self._failures = None, 0
            self._again_at = loop.time() + float(getattr(self._timestamper, "interval_seconds", 60.0))
            if self._due is due:
                self._due = None
        except Exception as error:  # noqa: BLE001 - it is counted and told, and the log goes on
            self.errors += 1
            if self.failure is None:
                _log.failure("a checkpoint of an audit log could not be timestamped", error, log=self._log.path)
            self.failure = error
            self._again_at = loop.time() + min(_RETRY_SECONDS * 2 ** min(self._failures, 12), _RETRY_SECONDS_MAX)
            self._failures += 1
        finally:
            loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._log.is_open:
            self._plan()

    async def _answer(self, content: bytes) -> bytes:
        guest = GuestTask("the timestamper of an audit log")
        seconds = float(getattr(self._timestamper, "seconds_max", 15.0)) + _GRACE_SECONDS
        try:
            answer = await guest.call(self._timestamper.stamp, content, seconds=seconds)
        finally:
            guest.end()
        if type(answer) is not bytes or not 0 < len(answer) <= _RESPONSE_BYTES_MAX:
            raise TimestampFailed("the timestamper returned what are no bytes of a response")
        return answer

    async def close(self, seconds: float) -> None:
        """Have the last one stamped, in so many seconds at most."""
        self._stop_timer()
        await self._worker.finish(seconds)
        if self._due is not None and self.failure is None and self._log.is_open:
            self._worker.start(self._stamp)
            await self._worker.finish(seconds)
        self._stop_timer()
        self._due = None
