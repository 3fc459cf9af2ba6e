"""A log: an append-only sequence of records over a :class:`~hubwire.ports.KnowledgeStore`.

Journal and AuditLog are both it.

Layout, below the log's path::

    log/00000000000000000000.jsonl    a segment, named by the index of its first record; only the last one grows
    log/<segment>.torn-<offset>       bytes of a record that was never acknowledged, set aside by recovery
    erasable/<page>                   erasable contents: see :mod:`hubwire.erasable`
    clean                             how far the log is known to go, and whether it was closed there
    kept                              the oldest segment that truncation has left
    .lock                             held by the writer, where the store can hold

A record is one line, as :mod:`hubwire.codec` seals it. ``h``, in a chained log, is ``base64url(SHA-256(previous h ||
line without h)[:16])``. The previous one of the first record is empty, and the chain goes on across segments. In other
logs ``c`` is a checksum over body, ``d`` and number. Once a record has one, all later ones do.

A torn tail is told from damage like this. Bytes are vouched for by the marker ``clean``, which is written when the log
is opened, rotated, closed, and soon after appends; and by ``d``, the number of records that were durable when a line
was written. What is bad before that are lost records, and the log is refused. Behind it, the beginning of a batch, or
some sectors of one between zeros, is what a crash leaves of an append that was never acknowledged: it is set aside.
Whole lines that are not as they were written are damage, because no crash leaves them. A last record that only lacks
its line feed is whole. A record ``log.batch_begun`` says that the next ``records`` ones are a batch: all of them are
kept, or what a crash has left of them is set aside, too. The file ``clean`` also counts the segments, so that one that
is missing is seen. **What remains unknowable**: that records which were appended after the newest marker, in the last
second or so, were cut off at the end of a line. Only who knows more than the log can tell: another log, a snapshot, a
position.

Opening only reads: see :func:`inspect`. What it found to be done is done before the first append, or by
:meth:`Log.repair`. A hub opens its journal and its audit log, compares them, and only then appends.

Life of an append: the call goes into the queue of the log and waits. If no other is under way, it begins in the call
itself. Otherwise it becomes part of the next batch, which grows while the one before is on its way: group commit,
without timers. A batch is sealed and appended to the store in one call. Opening and closing go through the same queue,
so that the order of the calls holds for them too. Two writers are kept apart by holding where the store can, and by
``expect`` everywhere: a writer that finds the segment longer than it left it is :class:`~hubwire.errors.Fenced`.

The parts: :class:`Log` is the face. ``_queue`` holds its commands, ``_writing`` carries them out, ``_phase`` says where
it is in its life. ``_segments`` works on the store, and ``_tail`` is where the log ends; ``_recovery``, ``_repair``,
``_marking``, ``_rotation``, ``_truncation`` and ``_compaction`` answer a question each for it. ``_reading`` works
without a writer, and ``_index`` says where events are.
"""

from __future__ import annotations

from .._head import Head
from ._chain import chain_value
from ._cutting import Cut, cut_log, end_log, find_beginning, find_cut, find_first, find_unbegun
from ._following import follow
from ._index import SPACING_BYTES, Place, SeqIndex
from ._inspection import Inspection, Recovery
from ._log import Log
from ._marker import Kept, marked_end, read_kept
from ._reading import LogReader, Record, list_segments, log_exists, segment_path
from ._recovery import inspect
from ._rotation import SEGMENT_BYTES, Rotation, last_fields, moment_of
from ._sound import count_sound

__all__ = (
    "SEGMENT_BYTES",
    "SPACING_BYTES",
    "Cut",
    "Head",
    "Inspection",
    "Kept",
    "Log",
    "LogReader",
    "Place",
    "Record",
    "Recovery",
    "Rotation",
    "SeqIndex",
    "chain_value",
    "count_sound",
    "cut_log",
    "end_log",
    "find_beginning",
    "find_cut",
    "find_first",
    "find_unbegun",
    "follow",
    "inspect",
    "last_fields",
    "list_segments",
    "log_exists",
    "marked_end",
    "moment_of",
    "read_kept",
    "segment_path",
)
