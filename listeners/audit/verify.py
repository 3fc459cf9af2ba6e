"""Checking an audit log: every chain value, every ``d``, every ``seq``."""

from __future__ import annotations

import attrs

from hubwire import codec
from hubwire.errors import InvalidRecord, LogDamaged
from hubwire.log import LogReader, Record, chain_value
from hubwire.ports import KnowledgeStore
from hubwire.text_store import TextStore, as_knowledge_store

from ._blobs import restore

__all__ = ("Verification", "verify")


@attrs.frozen(kw_only=True)
class Verification:
    """The content of a log that is whole."""

    records: int
    """All records, those of the log itself included."""
    events: int
    """Records that are events of a hub; their ``seq`` has no gap."""
    first_seq: int | None
    last_seq: int | None
    hub: str | None
    chain: str
    """``h`` of the last record: kept elsewhere, it shows later that no record up to it has changed."""


async def verify(store: KnowledgeStore | TextStore, path: str = "/audit") -> Verification:
    """Read a log from its beginning, with constant memory, and check that it is whole; return what it holds.

    Raises :class:`~hubwire.errors.LogDamaged`, which names the fault and its place, at the first record that is not as
    it was written. A chain without a key shows damage and clumsy changes; a program that can rewrite the whole log can
    rewrite its chain.
    """
    complete = as_knowledge_store(store)
    check = _Check(path)
    reader = LogReader(complete, path)
    while records := await reader.read():
        for record in records:
            body = check.add(record)
            await restore(complete, body)
    return check.result()


class _Check:
    def __init__(self, path: str) -> None:
        self._path = path
        self._records = self._events = self._durable = 0
        self._first_seq: int | None = None
        self._last_seq: int | None = None
        self._hub: str | None = None
        self._chain = b""

    def add(self, record: Record) -> bytes:
        """Check one more record; return its body."""
        try:
            body, durable, chain = codec.unseal(record.line)
            fields = codec.decode_fields(body)
        except InvalidRecord as error:
            raise self._damaged(record, f"is not a record ({error})") from error
        if chain is None or chain != chain_value(self._chain, codec.seal(body, durable)):
            raise self._damaged(record, "or one before it was changed: its h does not follow from the record before it")
        if not self._durable <= durable <= record.index:
            raise self._damaged(record, f"has d {durable}, after a record with {self._durable}")
        if (seq := fields.get("seq")) is not None:
            self._add_event(record, seq, fields.get("hub"))
        self._records += 1
        self._durable, self._chain = durable, chain
        return body

    def _add_event(self, record: Record, seq: int, hub: str | None) -> None:
        if self._last_seq is not None and seq != self._last_seq + 1:
            raise self._damaged(record, f"has seq {seq}, after {self._last_seq}")
        if self._hub is not None and hub != self._hub:
            raise self._damaged(record, f"is of hub {hub}, but the log is that of {self._hub}")
        self._events += 1
        self._first_seq = seq if self._first_seq is None else self._first_seq
        self._last_seq, self._hub = seq, hub

    def result(self) -> Verification:
        return Verification(
            records=self._records,
            events=self._events,
            first_seq=self._first_seq,
            last_seq=self._last_seq,
            hub=self._hub,
            chain=self._chain.decode(),
        )

    def _damaged(self, record: Record, what: str) -> LogDamaged:
        return LogDamaged(
            f"record {record.index} of the log {self._path} {what}; restore it from a copy", path=self._path
        )
