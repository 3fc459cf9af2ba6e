"""The tail: where a log ends, and how the records behind it are sealed."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from .. import codec
from .._values import Value
from ._chain import chain_value

__all__ = ("VERSION", "Sealed", "Tail")

VERSION = 2
"""The version of what a log writes, said in its markers and in its own records."""


@attrs.define(eq=False, repr=False)
class Sealed:
    """Records ready to be appended."""

    records: int
    content: bytes
    """Their lines."""
    chain: bytes | None
    """``h`` of the last of them; the value before them in a log without a chain."""
    last_line: bytes
    """The last of the lines."""


@attrs.define(eq=False, repr=False)
class Tail(Value):
    """Where a log ends, as far as it is durable."""

    first: int = 0
    """The index of the first record of the last segment."""
    size: int = 0
    """The bytes of the last segment."""
    records: int = 0
    """The records of the whole log: the index of the next one."""
    chain: bytes | None = b""
    """``h`` of the last record; None if it is not known, because the segment that holds it was truncated."""
    seq: int | None = None
    """``seq`` of the last record that has one."""
    hub: str | None = None
    """``hub`` of the same record."""
    rotated: bool = False
    """Whether the last record is ``log.rotated``, and the next segment does not exist yet."""
    number: int = 0
    """How many segments the log has had before the last one, those that were truncated included."""
    before_bytes: int = 0
    """The bytes of these segments."""
    last_line: bytes = attrs.field(default=b"", eq=False, repr=False)
    """The last line of the segment, with its line feed; empty if it has none, or it was not read."""

    def seal(self, bodies: Sequence[bytes]) -> Sealed:
        """Return the lines of the next records, with ``d`` and ``c``."""
        lines = codec.seal_all(bodies, self.records, self.records)
        return Sealed(len(bodies), b"".join(lines), self.chain, lines[-1])

    def seal_chained(self, bodies: Sequence[bytes]) -> Sealed:
        """Return the lines of the next records, with ``d`` and ``h``."""
        chain = self.chain or b""
        pieces: list[bytes] = []
        durable = b',"d":%d' % self.records
        unchained_end, before_chain = durable + b"}", durable + b',"h":"'
        for body in bodies:
            begin = body[:-1]
            chain = chain_value(chain, begin + unchained_end)
            pieces += (begin, before_chain, chain, b'"}\n')
        return Sealed(len(bodies), b"".join(pieces), chain, b"".join(pieces[-4:]))

    def advance(self, sealed: Sealed) -> None:
        """Move behind records that were appended to the last segment."""
        self.size += len(sealed.content)
        self.records += sealed.records
        self.chain = sealed.chain
        self.last_line = sealed.last_line

    def rotate(self) -> None:
        """Move to the next segment, which is empty."""
        self.number += 1
        self.before_bytes += self.size
        self.first, self.size, self.rotated, self.last_line = self.records, 0, False, b""
