"""Snapshots: the state as of one ``seq``, so that a start need not replay all history.

A snapshot is a file of lines, written as a whole. The first says what it is, then there is one for each entry of a
state machine, and the last holds the SHA-256 of all before it. The newest two are kept: if the newest is damaged, the
one before it serves as well, because the journal is not truncated beyond that.

Beside the journal a pointer is kept, fenced as appends are, that names these two and their SHA-256. A file that it does
not name does not count. Without a pointer, all files do: it was moved away, or they are of an earlier version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import msgspec

from .. import codec
from .._commit.own_thread import in_own_thread
from .._state import Machine
from .._values import Value
from ..errors import InvalidRecord, JournalBehind, LogDamaged
from ..ports import Journal
from .entries import decode_entry, encode_entry
from .sealed import digest, newer, seal, unseal

__all__ = ("NAME", "Snapshot", "Snapshots")

VERSION = 1
KEPT = 2

NAME = "snapshots"
"""Under which a journal keeps the pointer."""

_POINTER_VERSION = 1
_ANY_VERSION = 2**63
_FILE_NAME = re.compile(r"(\d{20})(?:-(\d{1,19}))?")


@attrs.frozen(eq=False, repr=False)
class Snapshot(Value):
    """The state after the events below ``seq``."""

    seq: int
    hub: str
    at: str
    """When the newest of these events happened."""
    entries: Mapping[str, Sequence[Any]]
    """Those of each state machine, by its name."""
    last_id: str | None = None
    """The ``id`` of the newest of these events; None in a snapshot of an earlier version."""


class _Named(msgspec.Struct, frozen=True):
    """A snapshot that is kept."""

    name: str
    seq: int
    sha256: str | None = None
    """Of the whole file; None if no pointer names it."""


class _Pointer(msgspec.Struct):
    """What is kept beside the journal, as JSON."""

    version: int
    snapshots: list[_Named] = []
    """Ascending; the newest two."""


class Snapshots:
    """The snapshots of a hub. Encoding and decoding happen in a worker thread: a large state takes seconds."""

    def __init__(self, journal: Journal, machines: Mapping[str, Machine]) -> None:
        self.newest_bytes: int = 0
        """The size of the newest one."""
        self.damaged: str | None = None
        """Which one was damaged when the hub started, and what was wrong with it."""
        self._journal = journal
        self._store = journal.store
        self._path = f"{journal.path}/snapshots"
        self._machines = machines
        self._named: list[_Named] = []
        """Those that count, ascending."""
        self._set_aside: list[tuple[str, bytes | None]] = []
        """Damaged files that are still in their place, and their content."""
        self._unchecked: list[_Named] = []
        """Those before the newest one, which a start need not read."""

    @property
    def newest_seq(self) -> int | None:
        return self._named[-1].seq if self._named else None

    @property
    def seqs(self) -> tuple[int, ...]:
        """The ``seq`` before which each of those that count has the state, ascending."""
        return tuple(named.seq for named in self._named)

    @property
    def floor(self) -> int:
        """The ``seq`` from which the journal is needed: with fewer snapshots than are kept, from the beginning."""
        return self._named[-KEPT].seq if len(self._named) >= KEPT else 0

    # -- at a start --

    async def take_up(self, kept: Mapping[str, bytes]) -> None:
        """Find those that another hub has kept meanwhile: the state of this one needs none. It only reads.

        Raises as :meth:`load` does for one that is beyond the journal's end.
        """
        self._set_aside, self.damaged = [], None
        await self._find(kept, is_followed=False)
        self._unchecked = self._named[-KEPT:]
        newest = self._named[-1] if self._named else None
        self.newest_bytes = (newest and await self._store.size(f"{self._path}/{newest.name}")) or 0

    async def load(self, kept: Mapping[str, bytes], *, is_followed: bool = False) -> Snapshot | None:
        """Return the newest one from which the journal goes on; None if all can be replayed. It only reads.

        If one is damaged the one before it serves, and :meth:`repair` sets it aside later. ``is_followed``: another hub
        writes the journal, so that a snapshot may be newer than the end that is known of it.

        Raises :class:`~hubwire.errors.JournalBehind` if one is beyond the journal's end: it proves that events were
        lost; :class:`~hubwire.errors.NewerVersion` if the newest is of a newer version; and
        :class:`~hubwire.errors.LogDamaged` if none serves, and the journal does not go back to the beginning.
        """
        journal = self._journal
        await self._find(kept, is_followed=is_followed)
        while self._named and self._named[-1].seq >= journal.first_seq:
            snapshot = await self._read(self._named[-1])
            if snapshot is not None:
                self._unchecked = self._named[-KEPT:-1]
                return snapshot
            self._named.pop()
        if journal.first_seq > 0:
            raise LogDamaged(
                f"the journal begins at event {journal.first_seq}, and there is no snapshot in {self._path} to go on"
                f" from ({self.damaged or 'none is new enough'}). Nothing was changed; restore the snapshots from a"
                " copy",
                path=self._path,
            )
        return None

    async def _find(self, kept: Mapping[str, bytes], *, is_followed: bool) -> None:
        """Find those that count; raise if one proves that the journal has lost its end."""
        found = _names(await self._store.list(self._path))
        pointed = self._pointed(kept)
        self._named = sorted(found if pointed is None else pointed, key=lambda named: (named.seq, named.name))
        for named in sorted({*found, *self._named}, key=lambda named: named.seq):
            if named.seq > self._journal.next_seq and not is_followed:
                raise self._beyond(named)

    def _pointed(self, kept: Mapping[str, bytes]) -> list[_Named] | None:
        """Return the snapshots that the pointer names; None if there is none."""
        content = kept.get(NAME)
        if content is None:
            return None
        path = f"{self._journal.path}/beside/{NAME}-…"
        try:
            pointer = msgspec.json.decode(content, type=_Pointer)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise LogDamaged(
                f"{path} does not name snapshots ({error}); restore the journal from a copy", path=path
            ) from error
        if pointer.version > _POINTER_VERSION:
            raise newer(path, f"it has version {pointer.version}, and this hubwire reads {_POINTER_VERSION}")
        return pointer.snapshots

    def _beyond(self, named: _Named) -> JournalBehind:
        return JournalBehind(
            f"the snapshot {self._path}/{named.name} has the state before event {named.seq}, but the journal ends"
            f" before event {self._journal.next_seq}: it has lost its end, or was restored from an older copy. Nothing"
            " was changed. Put the journal's missing part back, or restore the whole journal from one copy; if what is"
            f" lost has to stay lost, move the files of {self._path} away that are beyond it, and"
            f" {self._journal.path}/beside",
            path=self._path,
        )

    async def _read(self, named: _Named) -> Snapshot | None:
        """Return a snapshot; None if it is damaged."""
        path = f"{self._path}/{named.name}"
        content = await self._store.read_bytes(path)
        try:
            whole = await in_own_thread(_checked, content, named)
            snapshot = await in_own_thread(_decode, whole, self._machines, path)
            _check_is(snapshot, named.seq, self._journal.hub_id)
        except InvalidRecord as error:
            self._damage(path, content, error)
            return None
        self.newest_bytes = len(whole)
        return snapshot

    async def repair(self) -> None:
        """When a start has checked all else: see whether the older one would serve as well, set damaged files aside."""
        await self._check_older()
        while self._set_aside:
            path, content = self._set_aside[-1]
            if content is not None:
                await self._store.write(f"{path}.damaged", content)
                await self._store.delete(path)
            self._set_aside.pop()

    async def _check_older(self) -> None:
        while self._unchecked:
            named = self._unchecked[-1]
            path = f"{self._path}/{named.name}"
            content = await self._store.read_bytes(path)
            try:
                await in_own_thread(_check_whole, content, named, path)
            except InvalidRecord as error:
                self._damage(path, content, error)
                self._named = [other for other in self._named if other != named]
            self._unchecked.pop()

    def _damage(self, path: str, content: bytes | None, error: Exception) -> None:
        self.damaged = f"{path} could not be used: {error}"
        self._set_aside.append((path, content))

    # -- while the hub runs --

    async def save(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, and the one before it. Every event below its ``seq`` must be committed.

        It counts when the pointer names it; only then are older files deleted. Raises
        :class:`~hubwire.errors.Fenced` if another hub took over: then its snapshots are left alone.
        """
        content = await in_own_thread(_encode, snapshot)
        name = f"{snapshot.seq:020d}-{self._journal.epoch}"
        await self._store.write(f"{self._path}/{name}", content)
        kept = [*self._named[1 - KEPT :], _Named(name, snapshot.seq, digest(content))]
        await self._journal.keep(NAME, msgspec.json.encode(_Pointer(_POINTER_VERSION, kept)) + b"\n")
        self._named = kept
        self.newest_bytes = len(content)
        await self.repair()
        names = {named.name for named in kept}
        for other in _names(await self._store.list(self._path)):
            if other.name not in names and _epoch(other.name) <= self._journal.epoch:
                await self._store.delete(f"{self._path}/{other.name}")


def _names(file_names: Sequence[str]) -> list[_Named]:
    return [_Named(name, int(match[1])) for name in file_names if (match := _FILE_NAME.fullmatch(name))]


def _checked(content: bytes | None, named: _Named) -> bytes:
    if content is None:
        raise InvalidRecord("it is missing")
    if named.sha256 not in (None, digest(content)):
        raise InvalidRecord("it is not the file that was kept")
    return content


def _check_whole(content: bytes | None, named: _Named, path: str) -> None:
    unseal(_checked(content, named), path=path, version=_ANY_VERSION)


def _check_is(snapshot: Snapshot, seq: int, hub: str | None) -> None:
    if (snapshot.seq, snapshot.hub) != (seq, hub):
        raise InvalidRecord(f"it is one of hub {snapshot.hub} at event {snapshot.seq}")


def _epoch(name: str) -> int:
    match = _FILE_NAME.fullmatch(name)
    return int(match[2] or 0) if match else 0


def _encode(snapshot: Snapshot) -> bytes:
    header = codec.encode_fields(
        {"version": VERSION, "seq": snapshot.seq, "hub": snapshot.hub, "at": snapshot.at}
        | {"last_id": snapshot.last_id, "entries": sum(map(len, snapshot.entries.values()))}
    )
    encoder = msgspec.json.Encoder()
    lines = [
        encoder.encode([machine, type(entry).__name__, encode_entry(entry)]) + b"\n"
        for machine, entries in snapshot.entries.items()
        for entry in entries
    ]
    return seal(header, b"".join(lines))


def _decode(content: bytes, machines: Mapping[str, Machine], path: str) -> Snapshot:
    """Return what :func:`_encode` was given.

    Raises :class:`~hubwire.errors.InvalidRecord` if it is damaged, and :class:`~hubwire.errors.NewerVersion` if it is
    whole, and not known to this version.
    """
    fields, body = unseal(content, path=path, version=VERSION)
    entries: dict[str, list[Any]] = {}
    types = {name: {each.__name__: each for each in machine.entry_types} for name, machine in machines.items()}
    for line in body.split(b"\n")[:-1]:
        machine, type_name, value = msgspec.json.decode(line)
        if type_name not in types.get(machine, ()):
            raise newer(path, f"it has a {type_name} of {machine}")
        try:
            entry = decode_entry(types[machine][type_name], value)
        except InvalidRecord as error:
            raise newer(path, str(error)) from error
        entries.setdefault(machine, []).append(entry)
    return Snapshot(
        seq=fields["seq"], hub=fields["hub"], at=fields["at"], entries=entries, last_id=fields.get("last_id")
    )
