"""Positions: how far every DURABLE attachment has come, by its name, and the end of the journal that they were kept at.

A position is a number, and it has a meaning in one history only. The end is the newest committed event, with its id:
a journal that holds this event holds the same events before it, so the end vouches for every position below it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated

import msgspec

from ..errors import ConfigurationError, JournalBehind, LogDamaged
from ..ports import Journal
from ..ports._paths import ELEMENT_BYTES_MAX
from .history import Mark
from .sealed import newer

__all__ = ("NAME", "Positions", "check_name")

NAME = "positions"
"""Under which a journal keeps them."""

VERSION = 1

_Seq = Annotated[int, msgspec.Meta(ge=0)]


class Handled(msgspec.Struct, frozen=True, array_like=True):
    """How far a listener that keeps a position itself had come, when it said which event it holds as its last.

    Its own position does not tell of the events after it that its pattern does not match.
    """

    seq: _Seq
    """The events below are handled, or do not match."""
    last_seq: int
    """What ``last_seq()`` said then; -1 for None. One that holds less than it did has to see events again."""


class _Kept(msgspec.Struct):
    """What is kept, as JSON."""

    version: int
    hub: str
    end: tuple[_Seq, str] | None
    positions: dict[str, _Seq]
    handled: dict[str, Handled] = {}


class _Position(msgspec.Struct):
    """What each file of the old form holds, at ``positions/<name>``."""

    name: str
    hub: str
    seq: _Seq


class _Versioned(msgspec.Struct):
    version: int


def check_name(name: str) -> None:
    """Raise :class:`~hubwire.errors.ConfigurationError` if no position can be kept under the name."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= ELEMENT_BYTES_MAX:
        raise ConfigurationError(
            f"the position of a DURABLE listener cannot be kept under the name {name[:40]!r}; give it one of 1 to"
            f" {ELEMENT_BYTES_MAX} bytes of UTF-8"
        )


class Positions:
    """The position of each name: the ``seq`` of the next event that it has to see. One file, replaced as a whole."""

    def __init__(self, journal: Journal) -> None:
        self.end: Mark | None = None
        """The newest event known to be committed when the positions were kept last, or are kept next."""
        self._journal = journal
        self._kept: dict[str, int] = {}
        self._moved: dict[str, int] = {}
        self._handled: dict[str, Handled] = {}
        self._kept_end: Mark | None = None
        self._old_files: list[str] = []
        """Files of the old form, which are deleted when their positions are kept in the new one."""
        self._saving = asyncio.Lock()

    @property
    def kept(self) -> Mapping[str, int]:
        """Every name that has a position: the one on disk or, for a name that is new, the one that will be."""
        return {**self._moved, **self._kept}

    @property
    def have_moved(self) -> bool:
        """Whether there are positions for :meth:`save` to keep."""
        return bool(self._moved) or bool(self._old_files)

    def get(self, name: str) -> int | None:
        return self._moved.get(name, self._kept.get(name))

    def handled(self, name: str, last_seq: int | None) -> int:
        """Return the ``seq`` below which a listener that holds ``last_seq`` has handled what its pattern matches."""
        found = self._handled.get(name)
        return 0 if found is None or (-1 if last_seq is None else last_seq) < found.last_seq else found.seq

    def is_kept(self, name: str) -> bool:
        """Return whether a position of this name survives a crash."""
        return name in self._kept

    async def load(self, kept: Mapping[str, bytes]) -> None:
        """Take over what an earlier start has kept. The store is only read.

        Raises :class:`~hubwire.errors.JournalBehind` if it is of another hub, or if the journal ends before it, and
        :class:`~hubwire.errors.LogDamaged` or :class:`~hubwire.errors.NewerVersion` if it cannot be read.
        """
        content = kept.get(NAME)
        old = await self._load_old(is_believed=content is None)
        if content is None:
            self._kept = old
            return
        path = f"{self._journal.path}/beside/{NAME}-…"
        try:
            if (version := msgspec.json.decode(content, type=_Versioned).version) > VERSION:
                raise newer(path, f"the positions have version {version}, and this hubwire reads {VERSION}")
            found = msgspec.json.decode(content, type=_Kept)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise LogDamaged(
                f"{path} should hold the positions of listeners, and does not ({error}); restore the whole journal from"
                " one copy",
                path=path,
            ) from error
        self._kept, self._handled = found.positions, found.handled
        if found.end is not None:
            self.end = self._kept_end = Mark(found.end[0], found.end[1], "the hub kept its place last")
        self._check(found.positions, found.hub, path)
        if self.end is not None and self.end.seq >= self._journal.next_seq:
            raise self.end.missing(self._journal)

    def _check(self, positions: Mapping[str, int], hub: str, path: str) -> None:
        """Raise :class:`~hubwire.errors.JournalBehind` if the journal does not hold what a position has passed."""
        journal = self._journal
        for name, seq in positions.items():
            if seq > journal.next_seq or (seq and hub != journal.hub_id):
                raise JournalBehind(
                    f"listener {name!r} has come to event {seq} of hub {hub}, but the journal is one of hub"
                    f" {journal.hub_id} and ends before {journal.next_seq}: it has lost its end, was restored from an"
                    " older copy, or belongs to another hub. Nothing was changed. Restore the whole journal from one"
                    f" copy; or move {path.rpartition('/')[0]} away: the listener then begins where its since=... says",
                    path=path,
                )

    async def _load_old(self, *, is_believed: bool) -> dict[str, int]:
        """Return the positions in files of the old form; if those of the new form count, only find the files."""
        store, folder = self._journal.store, f"{self._journal.path}/{NAME}"
        self._old_files = [f"{folder}/{name}" for name in await store.list(folder) if not name.endswith("/")]
        found: dict[str, int] = {}
        for path in self._old_files if is_believed else ():
            content = await store.read_bytes(path)
            try:
                position = msgspec.json.decode(content or b"", type=_Position)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise LogDamaged(
                    f"{path} should hold the position of a listener, and does not ({error}); restore it from a copy, or"
                    " delete it: the listener then begins where its since=... says",
                    path=path,
                ) from error
            self._check({position.name: position.seq}, position.hub, path)
            found[position.name] = position.seq
        return found

    def move(self, name: str, seq: int) -> None:
        """Remember a position; :meth:`save` keeps it."""
        if self.get(name) != seq:
            self._moved[name] = seq

    def are_reclaimed(self, first_seq: int) -> bool:
        """Tell whether a listener that had missed events goes on at one that is held, which is not kept yet."""
        return any(self._kept.get(name, first_seq) < first_seq <= seq for name, seq in self._moved.items())

    async def keep_handled(self, handled: Mapping[str, Handled], hub: str) -> None:
        """Keep how far these have come, before the journal loses events that are older than that."""
        async with self._saving:
            first_seq = self._journal.first_seq
            useful = {name: each for name, each in self._handled.items() if each.seq >= first_seq}
            if (now := {**useful, **handled}) != self._handled:
                former, self._handled = self._handled, now
                try:
                    await self._save(hub, {**self._kept, **self._moved})
                except BaseException:
                    self._handled = former
                    raise

    async def save(self, hub: str) -> None:
        """Keep what has moved, and the end. What could not be kept is tried again by the next call."""
        async with self._saving:
            if self.have_moved or self.end != self._kept_end:
                await self._save(hub, {**self._kept, **self._moved})

    async def forget(self, name: str, hub: str) -> None:
        """Keep the position no longer."""
        async with self._saving:
            self._moved.pop(name, None)
            self._handled.pop(name, None)
            await self._save(hub, {other: seq for other, seq in {**self._kept, **self._moved}.items() if other != name})

    async def _save(self, hub: str, positions: dict[str, int]) -> None:
        end = self.end
        content = _Kept(VERSION, hub, None if end is None else (end.seq, end.id), positions, self._handled)
        await self._journal.keep(NAME, msgspec.json.encode(content) + b"\n")
        self._kept, self._kept_end = positions, end
        self._moved = {name: seq for name, seq in self._moved.items() if positions.get(name) != seq}
        while self._old_files:
            await self._journal.store.delete(self._old_files[-1])
            self._old_files.pop()
