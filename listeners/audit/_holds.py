"""Legal holds and the floor of a log, in a file beside it: what prunes the log looks there first.

A hold is in the file before its record is in the log, and the record of its release is in the log before it leaves the
file. So a crash leaves a hold that is held too long, and none that is not.
"""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from hubwire import codec
from hubwire.errors import InvalidRecord, LogDamaged
from hubwire.ports import KnowledgeStore

from ._beginning import read_marked
from .retention import Hold

__all__ = ("Keeping", "read_keeping")

_VERSION = 1


@attrs.frozen
class Keeping:
    """What keeps records of a log from being pruned."""

    holds: tuple[Hold, ...] = ()
    days_min: float = 0.0
    """The floor with which the log was last written."""

    def named(self, name: str) -> Hold | None:
        """Return the hold of this name."""
        return next((hold for hold in self.holds if hold.name == name), None)

    async def write(self, store: KnowledgeStore, path: str) -> None:
        """Replace the file."""
        fields = {"days_min": float(self.days_min), "holds": [attrs.asdict(hold) for hold in self.holds]}
        await store.write(f"{path}/holds", codec.encode_marker(fields, version=_VERSION))


class _Hold(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    reason: str
    by: str | None
    at: str


class _Fields(msgspec.Struct):
    holds: list[_Hold]
    days_min: float


async def read_keeping(store: KnowledgeStore, path: str) -> Keeping:
    """Return what the file says. Raises :class:`~hubwire.errors.LogDamaged` if it is damaged."""
    file = f"{path}/holds"
    try:
        found: dict[str, Any] | None = await read_marked(store, file)
        if found is None:
            return Keeping()
        fields = msgspec.convert(found, _Fields)
    except (InvalidRecord, msgspec.ValidationError) as error:
        raise LogDamaged(
            f"{file} says which holds are on the log, and is damaged ({error}): no record is pruned. Restore it from a"
            " copy; or delete it, and set the holds again that log.held records name and no log.released",
            path=file,
        ) from error
    holds = tuple(Hold(**{name: getattr(each, name) for name in _Hold.__struct_fields__}) for each in fields.holds)
    return Keeping(holds, fields.days_min)
