"""What is in a spool, read without draining it."""

from __future__ import annotations

import os
from collections.abc import Sequence

import attrs

from .._foreign.arguments import Call
from .._values import Value
from ..errors import ConfigurationError, NotFound
from ._lines import stream_of
from ._losses import losses_of
from ._marks import Marks
from ._reading import Reader, files_in
from ._sources import SET_ASIDE, is_locked
from ._spool import directory_of

__all__ = ("SpoolFile", "SpoolStatus", "read_status")

_STATUS = Call("read_status()", ConfigurationError)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SpoolFile(Value):
    """One file of a spool."""

    name: str
    bytes: int
    lines: int
    """How many whole lines it has."""
    taken: int
    """How many of them a hub has committed."""
    damaged: int
    """How many of those that are not taken are not as they were written, and will not be."""
    has_writer: bool
    """Whether a process writes to it now."""
    first_damage: str | None
    """The first of these: which line, and what is wrong with it."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SpoolStatus(Value):
    """What is in a spool, at one moment."""

    directory: str
    files: Sequence[SpoolFile]
    set_aside: Sequence[str]
    """The files in ``set-aside``, which have lines that could not be taken."""
    is_drained: bool
    """Whether a process drains it now."""
    lost: int
    """How many events could not be written, and no hub was told of yet."""

    @property
    def waiting(self) -> int:
        """How many lines wait for a hub."""
        return sum(file.lines - file.taken - file.damaged for file in self.files)

    @property
    def bytes(self) -> int:
        """How many bytes count against ``bytes_max`` of a :class:`Spool`."""
        return sum(file.bytes for file in self.files)


def read_status(directory: str | os.PathLike[str]) -> SpoolStatus:
    """Read what is in a spool; it changes nothing, and waits for the disk.

    Raises :class:`~hubwire.errors.NotFound` if the directory is not there, :class:`~hubwire.errors.LogDamaged` if it
    cannot be known what is taken, and ``OSError``.
    """
    path = directory_of(_STATUS, directory)
    if not os.path.isdir(path):  # noqa: PTH112 - it is text
        raise NotFound(f"there is no directory {path}; a spool is made when its first event comes")
    marks = Marks.load(path)
    files = []
    for name in files_in(path):
        try:
            files.append(_read(path, name, marks.taken(name)))
        except FileNotFoundError:
            continue  # it was taken meanwhile
    counted = losses_of(path)
    lost = counted - marks.losses if counted >= marks.losses else counted
    return SpoolStatus(directory=path, files=files, set_aside=_set_aside(path), is_drained=is_locked(path), lost=lost)


def _read(directory: str, name: str, taken: int) -> SpoolFile:
    reader = Reader(directory, name, taken)
    try:
        damaged, first = 0, None
        while (lines := reader.read()) is not None:
            for line in lines:
                if line.event is None:
                    damaged += 1
                    first = first or f"line {line.place:,}: {line.reason}"
        has_writer = not reader.is_over()
        return SpoolFile(
            name=name,
            bytes=os.stat(reader.path).st_size,  # noqa: PTH116
            lines=reader.place,
            taken=min(taken, reader.place),
            damaged=damaged,
            has_writer=has_writer,
            first_damage=first,
        )
    finally:
        reader.close()


def _set_aside(directory: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(f"{directory}/{SET_ASIDE}") if stream_of(name))  # noqa: PTH208
    except FileNotFoundError:
        return []
