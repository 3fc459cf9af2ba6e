"""What a query has looked at, and what it has not."""

from __future__ import annotations

import attrs

__all__ = ("Looked",)


@attrs.define(kw_only=True)
class Looked:
    """What a query has looked at so far. A record that it passed over is not known to be whole: verify says that."""

    first: int = 0
    """The first record that the log still has; those before were pruned."""
    segments: set[int] = attrs.field(factory=set)
    """Those of which bytes were read."""
    passed_segments: int = 0
    """Of how many segments an index said that they hold no record that is wanted."""
    records: int = 0
    """How many records were in what was read."""
    read_bytes: int = 0
    passed_bytes: int = 0
    """The bytes that were not read, because an index said what is in them."""
    undated: int = 0
    """How many records met all that was asked but for a time, and had none that can be read."""
    unread_bytes: int = 0
    """The bytes at the end of the log that are no record: not finished yet, or what a crash has left."""
    cut: int = 0
    """How many of the records that were read are too long for a line, where text or fields were asked for: what is only
    in the file beside the log was not looked at."""
    faults: list[str] = attrs.field(factory=list)
    """Why an index was not used."""
