"""What a hub keeps beside its journal: the last messages of a subject for each name."""

from __future__ import annotations

import re
import secrets
import zlib
from collections.abc import Mapping, Sequence

from hubwire.errors import ConfigurationError, LogDamaged

from ._messages import Head, Message, heads_of
from ._stream import Stored, Stream

__all__ = ("Kept", "checked_name")

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ABSENT = b"-"
_PRESENT = b"+"


def checked_name(name: object) -> str:
    """Return a name. Raises :class:`~hubwire.errors.ConfigurationError`."""
    if type(name) is not str or not _NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r:.40} cannot name what is kept: use up to 64 of a-z, 0-9 and _")
    return name


class Kept:
    """What is kept, by name; each as a whole: a mark whether it is there, and the content."""

    def __init__(self, stream: Stream, subject: str) -> None:
        self._stream = stream
        self._subject = subject

    def subject(self, name: str) -> str:
        """Return the subject of a name."""
        return f"{self._subject}.{name}"

    def messages(self, content: bytes | None, epoch: int, limit: int) -> Sequence[tuple[Head, bytes]]:
        """Return the messages that replace what is kept."""
        whole = _ABSENT if content is None else _PRESENT + content
        return heads_of(whole, limit, Head(secrets.token_hex(16), epoch, 0, zlib.crc32(whole), None))

    async def load(self) -> Mapping[str, bytes]:
        """Return all that is kept. Raises :class:`~hubwire.errors.LogDamaged`."""
        kept = {}
        for subject in await self._stream.subjects(f"{self._subject}.>"):
            content = await self._content(subject)
            if content[:1] == _PRESENT:
                kept[subject.removeprefix(f"{self._subject}.")] = content[1:]
        return kept

    async def _content(self, subject: str) -> bytes:
        last = await self._stream.last(subject)
        while True:
            whole = await self._whole(subject, last)
            content = b"".join([each.content for each in whole])
            if whole and zlib.crc32(content) == whole[-1].head.next_seq:
                return content
            before, last = last, await self._stream.last(subject)
            # It may have been replaced meanwhile, by a program that writes the journal.
            if before is None or last is None or before.place == last.place:
                break
        raise LogDamaged(
            f"what is kept at {subject} in {self._stream} is damaged: it is not whole. Restore the stream from a copy;"
            " or remove the messages of that subject: the hub then starts from its events and snapshots",
            path=subject,
        )

    async def _whole(self, subject: str, last: Stored | None) -> Sequence[Message]:
        """Return the newest content that is whole: a writer may have died between two parts of a newer one."""
        parts: list[Message] = []
        whole: list[Message] = []
        place = 1
        while last is not None and (found := await self._stream.at_or_after(place, subject)) is not None:
            place = found.place + 1
            head = Head.parse(found.headers, f"message {found.place} of {self._stream}")
            message = Message(found.place, head, found.content)
            message.check(str(self._stream))
            if parts and parts[0].head.batch != head.batch:
                parts = []
            if not parts or parts[-1].head.part != head.part:  # one whose answer was lost is stored again
                parts.append(message)
            if head.is_last and [each.head.part for each in parts] == list(range(1, head.parts + 1)):
                whole = parts
            if found.place >= last.place:
                break
        return whole
