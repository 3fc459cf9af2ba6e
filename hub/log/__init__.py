"""A log: an append-only sequence of records over a :class:`~hubwire.ports.KnowledgeStore`.

Journal and AuditLog are both it.

Layout, below the log's path::

    log/00000000000000000000.jsonl    a segment, named by the index of its first record; only the last one grows
    log/<segment>.torn-<offset>       bytes of a record that was never acknowledged, set aside by recovery
    clean                             where the log ended when it was closed in good order
    .lock                             held by the writer, where the store can hold

A record is one line, as :mod:`hubwire.codec` seals it. ``d`` makes the difference between a torn tail and damage: bad
bytes after everything that any ``d`` vouches for were never acknowledged, and are set aside; bad bytes before are lost
records, and the log is refused. ``h``, in a chained log, is ``base64url(SHA-256(previous h || line without h)[:16])``,
the previous one of the first record being empty, and the chain goes on across segments.

Life of an append: the appender leaves its bodies and waits; a task that lives as long as anybody waits takes all of
them, seals them, and appends them to the store in one call (group commit: while one is on its way the next batch
grows). Opening and closing are waited for in the same queue, so that the order of the calls holds for them too. Two
writers are kept apart by holding where the store can, and by ``expect`` everywhere: a writer that finds the segment
longer than it left it is :class:`~hubwire.errors.Fenced`.
"""

from __future__ import annotations

from ._reading import LogReader, Record, chain_value, follow, log_exists
from ._recovery import Recovery
from ._writing import SEGMENT_BYTES, Log

__all__ = ("SEGMENT_BYTES", "Log", "LogReader", "Record", "Recovery", "chain_value", "follow", "log_exists")
