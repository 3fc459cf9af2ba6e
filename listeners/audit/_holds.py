"""Legal holds and the floor of a log, in a file beside it: what prunes the log looks there first.

A hold is in the file before its record is in the log, and the record of its release is in the log before it leaves the
file. So a crash leaves a hold that is held too long, and none that is not.

A hold that is set while another program writes the log is a file of its own below ``held/``, which is only ever
created. It counts from then on; that program takes it into the log and the file when it looks there next. A pruning
says what it is about to remove, in the file ``pruned``, before it looks for the last time: so it sees the hold, or the
hold is set by code that sees the pruning.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, TypeVar

import attrs
import msgspec

from hubwire import codec
from hubwire.errors import InvalidRecord, LogDamaged
from hubwire.ports import KnowledgeStore

from ._beginning import read_marked
from .retention import Hold

__all__ = ("Keeping", "forget_beside", "read_keeping", "set_beside")

T = TypeVar("T")

_VERSION = 1

_NAME = re.compile(r"[0-9a-f]{32}")
"""Of the file of a hold that was set beside the program: a digest of its name, which may be any text."""


@attrs.frozen
class Keeping:
    """What keeps records of a log from being pruned."""

    holds: tuple[Hold, ...] = ()
    days_min: float = 0.0
    """The floor with which the log was last written."""
    beside: tuple[Hold, ...] = ()
    """Those of the holds that are in files of their own, and not in the log yet."""
    left_over: tuple[str, ...] = ()
    """The names of those that are in the log, and in files of their own that a crash has left."""

    def named(self, name: str) -> Hold | None:
        """Return the hold of this name."""
        return next((hold for hold in self.holds if hold.name == name), None)

    async def write(self, store: KnowledgeStore, path: str) -> None:
        """Replace the file."""
        holds = [attrs.asdict(hold) for hold in self.holds if hold not in self.beside]
        fields = {"days_min": float(self.days_min), "holds": holds}
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
    """Return what the files say. Raises :class:`~hubwire.errors.LogDamaged` if one is damaged."""
    file = f"{path}/holds"
    fields = await _read(store, file, _Fields, "set the holds again that log.held records name and no log.released")
    holds = () if fields is None else tuple(map(_hold_of, fields.holds))
    names = {hold.name for hold in holds}
    beside: list[Hold] = []
    left_over: list[str] = []
    for each in sorted(await store.list(f"{path}/held")):
        if _NAME.fullmatch(each):
            found = await _read(store, f"{path}/held/{each}", _Hold, "set the hold again")
            if found is not None and found.name in names:
                left_over.append(found.name)
            elif found is not None:
                beside.append(_hold_of(found))
    beside.sort(key=lambda hold: hold.at)
    days_min = 0.0 if fields is None else fields.days_min
    return Keeping((*holds, *beside), days_min, tuple(beside), tuple(left_over))


async def set_beside(store: KnowledgeStore, path: str, hold: Hold) -> None:
    """Hold the records of a log that another program may have open.

    Raises :class:`~hubwire.errors.AlreadyExists` if that was done by this name.
    """
    await store.write(
        _file_of(path, hold.name), codec.encode_marker(attrs.asdict(hold), version=_VERSION), if_absent=True
    )


async def forget_beside(store: KnowledgeStore, path: str, name: str) -> None:
    """Delete the file of a hold that is in the log by now."""
    await store.delete(_file_of(path, name))


def _file_of(path: str, name: str) -> str:
    return f"{path}/held/{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:32]}"


def _hold_of(fields: _Hold) -> Hold:
    return Hold(**{name: getattr(fields, name) for name in _Hold.__struct_fields__})


async def _read(store: KnowledgeStore, file: str, kind: type[T], then: str) -> T | None:
    try:
        found: dict[str, Any] | None = await read_marked(store, file)
        return None if found is None else msgspec.convert(found, kind)
    except (InvalidRecord, msgspec.ValidationError) as error:
        raise LogDamaged(
            f"{file} says what holds the log, and is damaged ({error}): no record is pruned. Restore it from a copy; or"
            f" delete it, and {then}",
            path=file,
        ) from error
