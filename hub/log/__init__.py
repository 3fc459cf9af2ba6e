"""A log: an append-only sequence of records over a :class:`~hubwire.ports.KnowledgeStore`.

Journal and AuditLog are both it.

Layout, below the log's path::

    log/00000000000000000000.jsonl    a segment, named by the index of its first record; only the last one grows
    log/<segment>.torn-<offset>       bytes of a record that was never acknowledged, set aside by recovery
    clean                             where the log ended when it was last closed
    kept                              the oldest segment that truncation has left
    .lock                             held by the writer, where the store can hold

A record is one line, as :mod:`hubwire.codec` seals it. ``d``, the number of records that were durable when the line was
written, tells a torn tail from damage. Bad bytes behind all records that any ``d`` counts were never acknowledged, and
are set aside; bad bytes before that are lost records, and the log is refused. ``h``, in a chained log, is
``base64url(SHA-256(previous h || line without h)[:16])``. The previous one of the first record is empty, and the chain
goes on across segments.

Life of an append: the call goes into the queue of the log and waits. If nothing is under way, it begins in the call
itself. Otherwise it becomes part of the next batch, which grows while the one before is on its way: group commit,
without timers. A batch is sealed and appended to the store in one call. Opening and closing go through the same queue,
so that the order of the calls holds for them too. Two writers are kept apart by holding where the store can, and by
``expect`` everywhere: a writer that finds the segment longer than it left it is :class:`~hubwire.errors.Fenced`.

The parts: :class:`Log` is the face. ``_queue`` holds its commands, ``_writing`` carries them out, ``_phase`` says where
it is in its life. ``_segments`` works on the store, and ``_tail`` is where the log ends; ``_recovery``, ``_rotation``,
``_truncation`` and ``_compaction`` answer a question each for it. ``_reading`` works without a writer.
"""

from __future__ import annotations

from ._log import Log
from ._reading import LogReader, Record, chain_value, follow, log_exists
from ._recovery import Recovery
from ._rotation import SEGMENT_BYTES

__all__ = ("SEGMENT_BYTES", "Log", "LogReader", "Record", "Recovery", "chain_value", "follow", "log_exists")
