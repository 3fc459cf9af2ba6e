"""What the heartbeats of a log say to who reads it."""

from __future__ import annotations

from typing import Any

__all__ = ("Heartbeats",)

_SHOWN = 3


class Heartbeats:
    """Fed with the records of a log that are its own, in their order."""

    def __init__(self, path: str) -> None:
        self.count: int = 0
        self._path = path
        self._signed: tuple[int, int] = (0, 0)
        """The most records of which a heartbeat says that they are signed, and its index."""
        self._last: dict[str, Any] = {}

    def add(self, fields: dict[str, Any], index: int) -> bool:
        """Look at a record of the log's own; return whether it says that the log is closed behind it."""
        match fields:
            case {"kind": "log.heartbeat", "at": str(), "why": str(why)}:
                pass
            case _:
                return False
        self.count += 1
        self._last = fields
        signed = fields.get("signed")
        if type(signed) is int and signed > self._signed[0]:
            self._signed = signed, index
        return why == "closing"

    def behind(self, newest: int) -> str | None:
        """Return what is wrong with a log whose newest checkpoint is over so many records."""
        signed, index = self._signed
        if newest >= signed:
            return None
        has = f"its newest checkpoint is over {newest}" if newest else "it has no checkpoint"
        return (
            f"record {index} of the log {self._path}, a heartbeat, says that {signed} records were signed, and {has}:"
            " an older one was put back, or checkpoints were removed; restore them from a copy"
        )

    @property
    def note(self) -> str | None:
        """What the last one says was attached, and what was dropped; None without one that can be read."""
        match self._last:
            case {"at": str(at), "listeners": [*listeners], "dropped": {**dropped}}:
                pass
            case _:
                return None
        names = [str(each["name"]) for each in listeners if isinstance(each, dict) and "name" in each]
        more = len(names) - _SHOWN
        shown = ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
        counts = [f"{count:,} of {name}" for name, count in dropped.items() if type(count) is int and count]
        lost = f"dropped or lost since its hub was started: {', '.join(counts)}" if counts else "nothing was dropped"
        return f"its last heartbeat, at {at:.40}: attached {shown or 'is nothing'}; {lost}"
