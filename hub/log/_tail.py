"""The tail: where a log ends, and how the records behind it are sealed."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import msgspec

from ._reading import chain_value

__all__ = ("Sealed", "Tail")


@attrs.define(eq=False)
class Sealed:
    """Records ready to be appended."""

    records: int
    content: bytes
    """Their lines."""
    chain: bytes | None
    """``h`` of the last of them; the value before them in a log without a chain."""


class _CleanMarker(msgspec.Struct):
    """A tail in the file ``clean``."""

    first: int
    size: int
    records: int
    chain: str
    seq: int | None
    hub: str | None
    rotated: bool


@attrs.define
class Tail:
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

    def seal(self, bodies: Sequence[bytes]) -> Sealed:
        """Return the lines of the next records, with ``d``."""
        suffix = b',"d":%d}\n' % self.records
        return Sealed(len(bodies), b"".join([body[:-1] + suffix for body in bodies]), self.chain)

    def seal_chained(self, bodies: Sequence[bytes]) -> Sealed:
        """Return the lines of the next records, with ``d`` and ``h``."""
        chain = self.chain or b""
        pieces: list[bytes] = []
        suffix = b',"d":%d' % self.records
        for body in bodies:
            unchained = body[:-1] + suffix
            chain = chain_value(chain, unchained + b"}")
            pieces += (unchained, b',"h":"', chain, b'"}\n')
        return Sealed(len(bodies), b"".join(pieces), chain)

    def advance(self, sealed: Sealed) -> None:
        """Move behind records that were appended to the last segment."""
        self.size += len(sealed.content)
        self.records += sealed.records
        self.chain = sealed.chain

    def rotate(self) -> None:
        """Move to the next segment, which is empty."""
        self.first, self.size, self.rotated = self.records, 0, False

    def to_marker(self) -> bytes:
        """Return the content of the file ``clean``."""
        return msgspec.json.encode({**attrs.asdict(self), "chain": (self.chain or b"").decode()})

    @classmethod
    def from_marker(cls, content: bytes) -> Tail | None:
        """Return the tail that :meth:`to_marker` encoded; None if the content is another one."""
        try:
            marker = msgspec.json.decode(content, type=_CleanMarker)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return cls(**{**msgspec.structs.asdict(marker), "chain": marker.chain.encode()})
