"""Verifying the audit log on request, in the background: one reading at a time, for all who look."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import attrs

from hubwire.clock import timestamp
from hubwire.errors import HubError
from hubwire.own_log import OwnLog
from hubwire.ports import Clock
from hubwire.proof import VerifierKey
from hubwire.waking import Beginning, start_later

from ..audit import Outcome, Verification
from ..audit.verify import examine
from ._http import Problem
from ._logs import Logs, Place
from ._source import Source

__all__ = ("Verifying",)

_SHARE = 0.4
"""How much of the loop it takes: a hub is at work in it."""

_log = OwnLog("dashboard")


@attrs.frozen(kw_only=True)
class _Result:
    """What a reading has found."""

    state: str
    """``verified``, ``broken`` or ``stopped``: by a person, or because it could not be read."""
    seq: int | None
    text: str
    at: str


@attrs.define
class _Reading:
    """A reading that is under way."""

    begun: float
    task: asyncio.Task[None] | None = None
    index: int = 0
    """The record up to which it has read."""


class Verifying:
    """How far the audit log was verified, and what was found."""

    def __init__(self, source: Source, logs: Logs, clock: Clock) -> None:
        self._source = source
        self._logs = logs
        self._clock = clock
        self._reading: _Reading | None = None
        self._result: _Result | None = None

    def view(self) -> dict[str, Any]:
        """Return where it is; ticks have it, too."""
        of, reading, result = self._source.newest_seq, self._reading, self._result
        if reading is not None:
            taken = time.monotonic() - reading.begun
            left = taken / reading.index * max(of - reading.index, 0) if reading.index else None
            return {"state": "checking", "seq": reading.index, "of": of, "seconds_left": left}
        if result is None:
            return {"state": "none", "of": of}
        return {**attrs.asdict(result), "of": of}

    async def start(self) -> None:
        """Begin to read, if that is not under way. Raises :class:`~._http.Problem` if there is no audit log."""
        place = await self._logs.place()
        if not place.is_chained:
            raise Problem(
                409,
                "no_log",
                f"{place.path} is no audit log: its records are not chained",
                "attach one: Hub(store, listeners=[AuditLog(store)])",
            )
        if self._reading is None:
            reading = self._reading = _Reading(time.monotonic())
            # It begins also if it is stopped before: else it would be under way for ever.
            reading.task = start_later(Beginning(self._read(reading)), name="hubwire dashboard verify")

    async def _read(self, reading: _Reading) -> None:
        def progress(index: int) -> None:
            reading.index = index

        state, seq, text = "stopped", None, "it was stopped"
        try:
            place = await self._logs.place()
            async with self._logs.turn():
                vkey = await self._vkey_of(place)
                found = await examine(place.store, place.path, vkey=vkey, progress=progress, share=_SHARE)
            state, seq, text = _said(found)
        except Problem as error:
            text = f"it could not be read: {error.message}"
        except HubError as error:
            text = f"it could not be read: {str(error)[:450]}"
            _log.problem("an audit log could not be verified", error)
        except Exception as error:  # noqa: BLE001 - who looks is told, and the dashboard goes on
            text = f"it could not be read: {type(error).__name__}; look at the log of the program"
            _log.failure("verifying an audit log failed", error)
        finally:
            self._result = _Result(state=state, seq=seq, text=text, at=timestamp(self._clock.now_ns()))
            self._reading = None

    async def _vkey_of(self, place: Place) -> VerifierKey | None:
        """Return the key by which the hub signs the log; None if it does not, or has not yet."""
        audit = self._logs.audit
        if audit is None or audit.vkey is None or not await place.store.exists(f"{place.path}/checkpoint"):
            return None
        return audit.vkey

    async def stop(self) -> None:
        """End a reading that is under way."""
        if (reading := self._reading) is not None and reading.task is not None:
            reading.task.cancel()
            await asyncio.wait([reading.task])

    async def close(self) -> None:
        """Stop what is under way."""
        await self.stop()


def _said(found: Verification) -> tuple[str, int | None, str]:
    faults = [fault for verdict in found.verdicts.values() for fault in verdict.faults]
    if found.holds:
        unknown = [each.reason for each in found.verdicts.values() if each.outcome is Outcome.UNKNOWN]
        return "verified", found.last_seq, "; ".join(unknown)[:500]
    return "broken", found.last_seq, faults[0][:500] if faults else "it does not hold"
