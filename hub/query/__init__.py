"""The read side of logs: which records are wanted, found without reading more than need be, and where to go on.

Command line, dashboards, exports and programs read a log through it: :class:`Selection` says which records,
:func:`query` finds them, and a cursor names a place in one history. It only reads: no hold, no writer, any store.
"""

from __future__ import annotations

from ._approvals import ApprovalRow, approvals
from ._counts import Count, Counts, count, count_each
from ._indexing import Indexed, drop_indexes, index_log
from ._looked import Looked
from ._moments import instant_of
from ._query import Found, Query, query
from ._search import names_of
from ._selection import Moment, Selection, Texts

__all__ = (
    "ApprovalRow",
    "Count",
    "Counts",
    "Found",
    "Indexed",
    "Looked",
    "Moment",
    "Query",
    "Selection",
    "Texts",
    "approvals",
    "count",
    "count_each",
    "drop_indexes",
    "index_log",
    "instant_of",
    "names_of",
    "query",
)
