"""Positions: how far every DURABLE attachment has come, by its name, kept from one start to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from ..errors import ConfigurationError, JournalBehind, LogDamaged
from ..ports import ELEMENT_BYTES_MAX, KnowledgeStore

__all__ = ("Positions", "check_name")


class _Position(msgspec.Struct):
    """What a file holds."""

    name: str
    hub: str
    seq: int


def check_name(name: str) -> None:
    """Raise :class:`~hubwire.errors.ConfigurationError` if a file cannot be named after the attachment."""
    try:
        size = len(_file_name(name))
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= ELEMENT_BYTES_MAX:
        raise ConfigurationError(
            f"the name {name[:40]!r} cannot be the name of a file, in which the position of a DURABLE listener is kept;"
            " give it a shorter one, of printable text"
        )


class Positions:
    """The position of each name: the ``seq`` of the next event that it has to see. A file each, replaced as a whole."""

    def __init__(self, store: KnowledgeStore, path: str) -> None:
        self._store = store
        self._path = path
        self._kept: dict[str, int] = {}
        self._moved: dict[str, int] = {}
        self._saving = asyncio.Lock()

    @property
    def kept(self) -> Mapping[str, int]:
        """Every name that has a position: the one on disk or, for a name that is new, the one that will be."""
        return {**self._moved, **self._kept}

    @property
    def have_moved(self) -> bool:
        """Whether there are positions for :meth:`save` to keep."""
        return bool(self._moved)

    def get(self, name: str) -> int | None:
        return self._moved.get(name, self._kept.get(name))

    def is_kept(self, name: str) -> bool:
        """Return whether a position of this name survives a crash."""
        return name in self._kept

    async def load(self, *, next_seq: int, hub: str | None) -> None:
        """Read what an earlier start has kept.

        Raises :class:`~hubwire.errors.JournalBehind` if a position is of another hub than ``hub``, or beyond
        ``next_seq``, and :class:`~hubwire.errors.LogDamaged` if a file does not hold a position.
        """
        for file_name in await self._store.list(self._path):
            path = f"{self._path}/{file_name}"
            content = await self._store.read_bytes(path)
            if content is None:
                continue
            try:
                position = msgspec.json.decode(content, type=_Position)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise LogDamaged(
                    f"{path} should hold the position of a listener, and does not ({error}); restore it from a copy, or"
                    " delete it: the listener then begins where its since=... says",
                    path=path,
                ) from error
            if position.seq > next_seq or (position.seq and position.hub != hub):
                raise JournalBehind(
                    f"listener {position.name!r} has come to event {position.seq} of hub {position.hub}, but the"
                    f" journal is one of hub {hub} and ends before {next_seq}: it was restored from an older copy, or"
                    f" belongs to another hub. Restore the journal, or delete {path}: the listener then begins where"
                    " its since=... says",
                    path=path,
                )
            self._kept[position.name] = position.seq

    def move(self, name: str, seq: int) -> None:
        """Remember a position; :meth:`save` keeps it."""
        if self.get(name) != seq:
            self._moved[name] = seq

    async def save(self, hub: str) -> None:
        """Keep what has moved. What could not be kept is tried again by the next call."""
        async with self._saving:
            for name, seq in tuple(self._moved.items()):
                content = msgspec.json.encode(_Position(name=name, hub=hub, seq=seq)) + b"\n"
                await self._store.write(f"{self._path}/{_file_name(name)}", content)
                self._kept[name] = seq
                if self._moved.get(name) == seq:
                    del self._moved[name]

    async def forget(self, name: str) -> None:
        """Keep the position no longer."""
        async with self._saving:
            self._moved.pop(name, None)
            await self._store.delete(f"{self._path}/{_file_name(name)}")
            self._kept.pop(name, None)


def _file_name(name: str) -> str:
    """Return a name that every store can have, and that reads like the attachment's where that is plain."""
    return quote(name, safe="").replace(".", "%2E") if set(name) <= {"."} else quote(name, safe=" ")
