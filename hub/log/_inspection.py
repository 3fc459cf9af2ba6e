"""What an inspection finds of a log: what is there, what is wrong, and what a repair would do."""

from __future__ import annotations

import attrs

from .._values import Value
from ..errors import LogDamaged, NewerVersion
from ._marker import Kept, Marker
from ._reading import segment_path
from ._tail import Tail

__all__ = ("Inspection", "Recovery")


@attrs.frozen(eq=False, repr=False)
class Recovery(Value):
    """What opening a log set aside: bytes that were never acknowledged."""

    segment: str
    byte_offset: int
    torn_bytes: int
    torn_path: str


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Inspection(Value):
    """A log as it was found: it was only read.

    If ``damage`` is empty, the log can be opened, and ends at ``tail`` once :attr:`repairs` are carried out.
    """

    path: str
    segments: tuple[int, ...] = ()
    """The first indexes of the segments that belong to the log."""
    tail: Tail = attrs.field(factory=Tail)
    """Its end, as it will be after the repair. Not known if there is damage."""
    kept: Kept = attrs.field(factory=Kept)
    """Where it begins."""
    marker: Marker | None = None
    """What its file ``clean`` says; None if that is missing or damaged."""
    damage: tuple[LogDamaged | NewerVersion, ...] = ()
    """Why it cannot be opened: each with path, byte offset and what to do. None of this is repaired by opening."""
    notes: tuple[str, ...] = ()
    """What was found that is neither damage nor usual: what proves it is in the log itself."""
    leftovers: tuple[str, ...] = ()
    """Segments that were truncated, and that a crash has left."""
    torn: Recovery | None = None
    """What a crash left of an append that was never acknowledged."""
    lacks_feed: bool = False
    """Whether the last record is whole, but the line feed behind it is missing."""
    is_clean: bool = False
    """Whether the log was closed, and is as it was then."""
    found_bytes: int = 0
    """The size of the last segment."""
    writes_kept: bool = False
    """Whether the file ``kept`` has to be written: it is of before there were checksums, or missing."""

    @property
    def last_segment(self) -> str:
        """The path of the last segment."""
        return segment_path(self.path, self.tail.first)

    @property
    def size_bytes(self) -> int:
        """The size of all segments."""
        return self.tail.before_bytes + self.tail.size - self.kept.before_bytes

    @property
    def repairs(self) -> tuple[str, ...]:
        """What a repair would do before the first append, in its order."""
        done = [f"delete {path}, which was truncated" for path in self.leftovers]
        if self.torn is not None:
            done.append(f"set {self.torn.torn_bytes} bytes of {self.torn.segment} aside as {self.torn.torn_path}")
        if self.lacks_feed:
            done.append(f"end the last record of {self.last_segment} with a line feed")
        return tuple(done)

    def check(self) -> None:
        """Raise the first damage, if there is some."""
        if self.damage:
            raise self.damage[0]
