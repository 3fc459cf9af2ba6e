"""What a log says itself of a witness that has seen another history of it, or more of it than there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import attrs

__all__ = ("UNWITNESSED", "SeenElsewhere")

UNWITNESSED = "log.unwitnessed"
_NAME_CHARS_MAX = 200


@attrs.frozen
class SeenElsewhere:
    """A witness has seen records of a log that are not there."""

    name: str
    """Of the witness."""
    size: int
    """How many records it has seen, of which some are not those of this log."""
    record: int
    """The index of the ``log.unwitnessed`` that says so."""

    @classmethod
    def said_in(cls, fields: Mapping[str, Any], index: int) -> Self | None:
        """Return what a ``log.unwitnessed`` says, of the witness that has seen most; None if none has seen others."""
        witnesses = fields.get("witnesses")
        if "seq" in fields or not isinstance(witnesses, list):
            return None
        found = [each for each in (cls._of(one, index) for one in witnesses) if each is not None]
        return max(found, key=lambda each: each.size, default=None)

    @classmethod
    def cited_in(cls, fields: Mapping[str, Any]) -> Self | None:
        """Return what a ``log.forked`` cites; None if it cites none."""
        cited = fields.get("witnessed")
        record = cited.get("record") if isinstance(cited, Mapping) else None
        return cls._of(cited, record) if type(record) is int and record >= 0 else None

    @classmethod
    def _of(cls, fields: Any, record: int) -> Self | None:
        match fields:
            case {"name": str(name), "seen": int(size)} if type(size) is int and size >= 0:
                return cls(name[:_NAME_CHARS_MAX], size, record)
        return None

    def to_fields(self) -> dict[str, Any]:
        """Return how a ``log.forked`` cites it."""
        return {"name": self.name, "seen": self.size, "record": self.record}

    def __str__(self) -> str:
        records = f"{self.size:,} record{'' if self.size == 1 else 's'}"
        return f"the witness {self.name} has seen {records} of it that are not these, as record {self.record} says"
