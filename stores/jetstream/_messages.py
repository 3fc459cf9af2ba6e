"""The messages of a journal: what is in their headers, and how a batch of events becomes one of them, or several.

A batch is one message, which holds a line of JSON for each event. What a server does not take as one message goes in
parts, of which the last makes the batch whole: a part says the same of the journal as the message before it. A message
without events is a fence: with it a writer takes over.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import attrs

from hubwire.errors import LogDamaged, NewerVersion

__all__ = ("VERSION", "Head", "Message", "heads_of")

VERSION = 1


@attrs.frozen
class Head:
    """What the headers of a message say."""

    batch: str
    """The id of what was written with it: its writer knows by it whether that is its own."""
    epoch: int
    """Of its writer; 0 for a fence, whose epoch is its own place."""
    first: int
    """The ``seq`` of the first event that it holds, or would hold."""
    next_seq: int
    """The ``seq`` of the event that comes after it; of a part of a batch that is not whole: after what was before."""
    hub: str | None
    part: int = 1
    parts: int = 1
    checksum: int = 0
    committed: int | None = None
    """The events below were committed when it was written; None in a fence, and in what earlier versions wrote."""

    @property
    def committed_before(self) -> int:
        """The events below are committed, for who has read up to this message.

        A writer that takes over recovers from all that was there before its fence.
        """
        end = self.next_seq if self.is_fence else self.first
        return end if self.committed is None else min(self.committed, end)

    @property
    def is_fence(self) -> bool:
        """Whether it has no part of events."""
        return self.parts == 0

    @property
    def is_last(self) -> bool:
        """Whether what it is of is whole with it."""
        return self.part == self.parts or self.is_fence

    def headers(self) -> dict[str, str]:
        """Return the headers of the message."""
        fields: dict[str, object] = {
            "Hw-Version": VERSION,
            "Hw-Batch": self.batch,
            "Hw-Epoch": self.epoch,
            "Hw-First": self.first,
            "Hw-Next": self.next_seq,
            "Hw-Part": self.part,
            "Hw-Parts": self.parts,
            "Hw-Sum": self.checksum,
        }
        if self.hub is not None:
            fields["Hw-Hub"] = self.hub
        if self.committed is not None:
            fields["Hw-Committed"] = self.committed
        return {name: str(value) for name, value in fields.items()}

    @classmethod
    def parse(cls, headers: Mapping[str, str] | None, where: str) -> Head:
        """Return what headers say.

        Raises :class:`~hubwire.errors.LogDamaged` if they are none of ours, and :class:`~hubwire.errors.NewerVersion`.
        """
        given = headers or {}
        try:
            version = int(given["Hw-Version"])
            if version > VERSION:
                raise NewerVersion(f"{where} was written by a newer version of hubwire; use that one", path=where)
            return cls(
                batch=given["Hw-Batch"],
                epoch=int(given["Hw-Epoch"]),
                first=int(given["Hw-First"]),
                next_seq=int(given["Hw-Next"]),
                hub=given.get("Hw-Hub"),
                part=int(given["Hw-Part"]),
                parts=int(given["Hw-Parts"]),
                checksum=int(given["Hw-Sum"]),
                committed=int(given["Hw-Committed"]) if "Hw-Committed" in given else None,
            )
        except (KeyError, ValueError) as error:
            raise LogDamaged(
                f"{where} is no message of a journal ({type(error).__name__}: {error}): another program has written to"
                " its stream. Give the journal another name, or the hub the right servers",
                path=where,
            ) from error


@attrs.frozen
class Message:
    """A message as it is stored."""

    place: int
    """Its number in the stream."""
    head: Head
    content: bytes

    def check(self, where: str) -> None:
        """See that the content is what was written. Raises :class:`~hubwire.errors.LogDamaged`."""
        if zlib.crc32(self.content) != self.head.checksum:
            raise LogDamaged(
                f"message {self.place} of {where} has another content than was written: a disk of a server is damaged."
                " Restore the stream from a copy, or have NATS rebuild the replica",
                path=where,
            )


def heads_of(content: bytes, limit: int, head: Head) -> Sequence[tuple[Head, bytes]]:
    """Return the messages in which a content is written: one, or parts of up to ``limit`` bytes, the whole one last."""
    pieces = [content[at : at + limit] for at in range(0, len(content), limit)] or [b""]
    return [
        (
            attrs.evolve(
                head,
                next_seq=head.next_seq if number == len(pieces) else head.first,
                part=number,
                parts=len(pieces),
                checksum=zlib.crc32(piece),
            ),
            piece,
        )
        for number, piece in enumerate(pieces, 1)
    ]
