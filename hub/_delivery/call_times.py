"""Call times: how long each call of a listener took, for those who measure that; else no clock is read."""

from __future__ import annotations

from collections.abc import Callable

from .._foreign.guards import guarded_call
from ..own_log import OwnLog

__all__ = ("CallTimes", "Record")

Record = Callable[[str, float], object]
"""Is called with the name of an attachment, and for how many seconds its listener was called."""

_log = OwnLog("hub")


class CallTimes:
    """Hands the durations of calls to the functions that want them; ``records`` is empty while none does."""

    def __init__(self) -> None:
        self.records: tuple[Record, ...] = ()

    def add(self, record: Record) -> None:
        """Call this function, too, from now on."""
        self.records = (*self.records, record)

    def remove(self, record: Record) -> None:
        """Call this function no more."""
        self.records = tuple(each for each in self.records if each is not record)

    def took(self, name: str, seconds: float) -> None:
        """A listener was called for so long. A function that fails is called no more: it would fail each time."""
        for record in self.records:
            try:
                guarded_call(record, name, seconds)
            except Exception as error:  # noqa: BLE001 - it is a guest: reported, and the listener's call is unharmed
                self.remove(record)
                _log.problem("a function of hub.measure_calls() has failed, and is called no more", error)
