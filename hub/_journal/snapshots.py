"""Snapshots: the state as of one ``seq``, so that a start need not replay all history.

A snapshot is a file of lines, written as a whole. The first says what it is, then there is one for each entry of a
state machine, and the last holds the SHA-256 of all before it. The newest two are kept: if the newest is damaged, the
one before it serves as well, because the journal is not truncated beyond that.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import anyio.to_thread
import attrs
import msgspec

from .. import codec
from .._state import Machine
from ..errors import InvalidRecord, LogDamaged
from ..ports import KnowledgeStore
from .entries import decode_entry, encode_entry

__all__ = ("Snapshot", "Snapshots")

VERSION = 1
KEPT = 2

_NAME = re.compile(r"\d{20}")
_SUM_KEY = b'{"sha256":"'


@attrs.frozen
class Snapshot:
    """The state after the events below ``seq``."""

    seq: int
    hub: str
    at: str
    """When the newest of these events happened."""
    entries: Mapping[str, Sequence[Any]]
    """Those of each state machine, by its name."""


class Snapshots:
    """The snapshots of a hub. Encoding and decoding happen in a worker thread: a large state takes seconds."""

    def __init__(self, store: KnowledgeStore, path: str, machines: Mapping[str, Machine]) -> None:
        self.newest_bytes: int = 0
        """The size of the newest one."""
        self.damaged: str | None = None
        """Which one was damaged when the hub started, and what was wrong with it."""
        self._store = store
        self._path = path
        self._machines = machines
        self._seqs: list[int] = []

    @property
    def newest_seq(self) -> int | None:
        return self._seqs[-1] if self._seqs else None

    @property
    def floor(self) -> int:
        """The ``seq`` from which the journal is needed: with fewer snapshots than are kept, from the beginning."""
        return self._seqs[-KEPT] if len(self._seqs) >= KEPT else 0

    async def load(self, *, first_seq: int, next_seq: int, hub: str | None) -> Snapshot | None:
        """Return the newest one from which the journal ``[first_seq, next_seq)`` goes on; None if all can be replayed.

        One beyond the journal's end is of a history that was lost, and is deleted. A damaged one is set aside, and the
        one before it serves. Raises :class:`~hubwire.errors.LogDamaged` if there is none, and the journal does not
        go back to the beginning.
        """
        names = await self._store.list(self._path)
        self._seqs = sorted(int(name) for name in names if _NAME.fullmatch(name))
        while self._seqs and self._seqs[-1] > next_seq:
            await self._store.delete(self._file(self._seqs.pop()))
        while self._seqs and self._seqs[-1] >= first_seq:
            path = self._file(self._seqs[-1])
            content = await self._store.read_bytes(path) or b""
            try:
                snapshot = await anyio.to_thread.run_sync(_decode, content, self._machines)
                _check_is(snapshot, self._seqs[-1], hub)
            except InvalidRecord as error:
                self.damaged = f"{path} could not be used: {error}"
                await self._store.write(f"{path}.damaged", content)
                await self._store.delete(path)
                self._seqs.pop()
            else:
                self.newest_bytes = len(content)
                return snapshot
        if first_seq > 0:
            raise LogDamaged(
                f"the journal begins at event {first_seq}, and there is no snapshot in {self._path} to go on from"
                f" ({self.damaged or 'none is new enough'}); restore the snapshots from a copy",
                path=self._path,
            )
        return None

    async def save(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, and the one before it. Every event below its ``seq`` must be committed."""
        content = await anyio.to_thread.run_sync(_encode, snapshot)
        await self._store.write(self._file(snapshot.seq), content)
        self._seqs = sorted({*self._seqs, snapshot.seq})
        self.newest_bytes = len(content)
        while len(self._seqs) > KEPT:
            await self._store.delete(self._file(self._seqs[0]))
            self._seqs.pop(0)

    def _file(self, seq: int) -> str:
        return f"{self._path}/{seq:020d}"


def _check_is(snapshot: Snapshot, seq: int, hub: str | None) -> None:
    if (snapshot.seq, snapshot.hub) != (seq, hub):
        raise InvalidRecord(f"it is one of hub {snapshot.hub} at event {snapshot.seq}")


def _encode(snapshot: Snapshot) -> bytes:
    lines = [
        codec.encode_fields(
            {"version": VERSION, "seq": snapshot.seq, "hub": snapshot.hub, "at": snapshot.at}
            | {"entries": sum(map(len, snapshot.entries.values()))}
        )
    ]
    encoder = msgspec.json.Encoder()
    for machine, entries in snapshot.entries.items():
        lines += [encoder.encode([machine, type(entry).__name__, encode_entry(entry)]) for entry in entries]
    content = b"\n".join(lines) + b"\n"
    return b'%b%b%b"}\n' % (content, _SUM_KEY, hashlib.sha256(content).hexdigest().encode())


def _decode(content: bytes, machines: Mapping[str, Machine]) -> Snapshot:
    """Return what :func:`_encode` was given, or raise :class:`~hubwire.errors.InvalidRecord`."""
    end = content.rfind(_SUM_KEY)
    if content[end:] != b'%b%b"}\n' % (_SUM_KEY, hashlib.sha256(content[:end]).hexdigest().encode()):
        raise InvalidRecord("its checksum is not that of its content")
    header, *lines = content[:end].split(b"\n")[:-1]
    fields = codec.decode_fields(header)
    if fields["version"] != VERSION:
        raise InvalidRecord(f"it has version {fields['version']}, and this version of hubwire reads {VERSION}")
    entries: dict[str, list[Any]] = {}
    types = {name: {each.__name__: each for each in machine.entry_types} for name, machine in machines.items()}
    for line in lines:
        machine, type_name, value = msgspec.json.decode(line)
        if type_name not in types.get(machine, ()):
            raise InvalidRecord(f"it has a {type_name} of {machine}, which this version of hubwire does not know")
        entries.setdefault(machine, []).append(decode_entry(types[machine][type_name], value))
    return Snapshot(seq=fields["seq"], hub=fields["hub"], at=fields["at"], entries=entries)
