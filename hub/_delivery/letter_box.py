"""The box of dead letters: which there are, where each of them is kept, and which have to go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import attrs
import msgspec

from .. import codec
from .._foreign.guards import text_of
from ..clock import timestamp
from ..errors import LogDamaged
from ..events import Event
from ..ports import Clock
from .letter import DeadLetterEntry, DeadLetterPolicy, letter_id
from .letter_files import Files, Place, line_of
from .letter_lines import Death, Head, decode_entry, encode_letter, heads_of

__all__ = ("LetterBox",)

OVERFLOWS_MAX = 100
"""How many letters about an overflow each listener may have: they must not crowd out those with an event."""


@attrs.define(eq=False)
class _Kept:
    head: Head
    place: Place


class LetterBox:
    """The letters of one hub. Changed by one task alone; read by any."""

    def __init__(self, files: Files, policy: DeadLetterPolicy, clock: Clock) -> None:
        self.files = files
        self.size_bytes: int = 0
        """What the letters take, without lines that do not count any more."""
        self.untidy: str | None = None
        """Why old files could not be deleted; None while all is well."""
        self._policy = policy
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._by_what: dict[tuple[str, str], str] = {}
        self._in_file: Counter[str] = Counter()
        """How many letters are in each file."""
        self._overflows: Counter[str] = Counter()
        """How many letters about an overflow each listener has."""
        self._dropped: list[str] = []
        """Letters that are kept no longer, which is to be written with the next line."""

    # -- what there is --

    def __len__(self) -> int:
        return len(self._kept)

    def heads(self) -> list[Head]:
        """Return the heads of all letters, the oldest first."""
        return [self._kept[each].head for each in sorted(self._kept)]

    def ends(self) -> tuple[Head, Head] | None:
        """Return the heads of the oldest and the newest letter; None if there is none."""
        kept = self._kept.values()
        return (next(iter(kept)).head, next(reversed(kept)).head) if kept else None

    def find(self, letter_id: str) -> Head | None:
        kept = self._kept.get(letter_id)
        return None if kept is None else kept.head

    def counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return how many there are by attachment, and by reason."""
        heads = [kept.head for kept in self._kept.values()]
        return dict(Counter(each.attachment for each in heads)), dict(Counter(each.reason for each in heads))

    def owed(self) -> list[tuple[str, int]]:
        """Return the DURABLE listeners that are owed events in letters, and how many; each letter holds one."""
        return sorted(Counter(kept.head.attachment for kept in self._kept.values() if kept.head.is_owed).items())

    async def read(self, letter_id: str) -> DeadLetterEntry | None:
        """Return a letter; without its event if that cannot be read; None if there is no such letter."""
        while (kept := self._kept.get(letter_id)) is not None:
            place = kept.place
            try:
                return decode_entry(kept.head, place, await self.files.read(place))
            except LogDamaged as error:
                if kept.place is place:
                    return decode_entry(kept.head, place, None, error=str(error))
                # Meanwhile it was written anew, and the file deleted in which it was.
        return None

    # -- changes --

    async def load(self) -> list[Head]:
        """Take up what an earlier hub has kept; return what has to go meanwhile."""
        async for said, place in heads_of(self.files):
            if isinstance(said, Head):
                self._keep(said, place)
            else:
                self._forget(said)
        self._kept = dict(sorted(self._kept.items()))
        return self.sweep()

    async def put(self, deaths: Sequence[Death]) -> list[Head]:
        """Keep what has died; return the letters that have to go for it. Durable when it returns."""
        found: dict[tuple[str, str], tuple[Head, bytes]] = {}
        for death in deaths:
            if (key := (death.attachment, death.what)) in found:
                await self._append([*found.values()])  # the next one goes on from what this one becomes
                found = {}
            found[key] = self._line(death, await self._shown(death.event))
        await self._append([*found.values()])
        gone = self.sweep()
        await self._tidy()
        return gone

    async def change(self, letter: DeadLetterEntry, death: Death) -> None:
        """Keep what has become of a letter when it was retried and has failed again."""
        head = self.find(letter.id)
        if head is None or (letter.event is None and not death.ranges):
            return  # it is gone, or could not be read, and what there is of it stays
        changed = msgspec.structs.replace(
            head,
            last_at=timestamp(death.at_ns),
            attempts=head.attempts + 1,
            retries=head.retries + 1,
            reason=head.reason if death.ranges else death.reason.value,
            ranges=list(death.ranges),
            count=death.count,
            seq=death.ranges[0][0] if death.ranges else head.seq,
        )
        body = None if letter.event is None else codec.encode(letter.event)
        await self._append([(changed, encode_letter(changed, *self._texts(death), body))])
        await self._tidy()

    async def remove(self, letter_ids: Iterable[str]) -> list[Head]:
        """Keep these no longer; return those of them that there were. Durable when it returns."""
        gone = [kept.head for each in dict.fromkeys(letter_ids) if (kept := self._kept.get(each)) is not None]
        if gone:
            self._dropped += [each.id for each in gone]
            await self._append([])
            self._forget([each.id for each in gone])
            await self._tidy()
        return gone

    async def _append(self, letters: Sequence[tuple[Head, bytes]]) -> None:
        lines = [line for _, line in letters]
        dropped = [*self._dropped]
        if dropped:
            lines.append(line_of({"gone": dropped}))
        places = await self.files.append(lines)
        self._dropped = self._dropped[len(dropped) :]
        for (head, _), place in zip(letters, places, strict=False):
            self._keep(head, place)

    def sweep(self) -> list[Head]:
        """Drop letters that are too many, too large together or too old, the oldest first; return them.

        What is kept says so with the next letter: after a crash before that they are dropped again.
        """
        policy, gone = self._policy, list[Head]()
        oldest_ns = -1
        if policy.age_seconds_max is not None:
            oldest_ns = self._clock.now_ns() - round(policy.age_seconds_max * 1e9)
        crowded = {name for name, count in self._overflows.items() if count > OVERFLOWS_MAX}
        count, size = len(self._kept), self.size_bytes
        for kept in self._kept.values():
            head = kept.head
            is_over = count > policy.count_max or (size > policy.bytes_max and count > 1) or head.at_ns < oldest_ns
            if not is_over and not crowded:
                break
            if is_over or (head.is_overflow and head.attachment in crowded):
                gone.append(head)
                crowded.discard(head.attachment)  # there is one more after each second at the most
                count, size = count - 1, size - kept.place.size
        self._forget([each.id for each in gone])
        self._dropped += [each.id for each in gone]
        return gone

    async def _tidy(self) -> None:
        """Keep the files in bounds. An error is reported by health, and it is tried again with the next change."""
        try:
            await self._tidy_files()
        except Exception as error:  # noqa: BLE001 - the letters are stored, and what they take is no reason to give one up
            self.untidy = text_of(error)
        else:
            self.untidy = None

    async def _tidy_files(self) -> None:
        """Delete the oldest files in which no letter is, and write anew what is left in them where little counts."""
        files = self.files
        while (oldest := files.oldest(with_current=not self._kept)) is not None:
            if self._in_file[oldest] and files.size_bytes <= max(2 * self.size_bytes, self._policy.bytes_max):
                return
            if left := [kept for kept in self._kept.values() if kept.place.file == oldest]:
                readable = [(kept, line) for kept in left if (line := await self._line_at(kept.place)) is not None]
                for (kept, _), place in zip(readable, await files.append([line for _, line in readable]), strict=True):
                    self._move(kept, place)
                if len(readable) < len(left):
                    return  # what is damaged stays where it is
            await files.delete(oldest)
        if not self._kept:
            self._dropped = []

    async def _line_at(self, place: Place) -> bytes | None:
        try:
            return await self.files.read(place)
        except LogDamaged:
            return None

    # -- its parts --

    def _keep(self, head: Head, place: Place) -> None:
        if (kept := self._kept.get(head.id)) is not None:
            kept.head = head
            self._move(kept, place)
            return
        self._kept[head.id] = _Kept(head, place)
        self._by_what[head.attachment, head.what] = head.id
        self.size_bytes += place.size
        self._in_file[place.file] += 1
        self._overflows[head.attachment] += head.is_overflow

    def _move(self, kept: _Kept, place: Place) -> None:
        """A letter is in another line from now on."""
        self.size_bytes += place.size - kept.place.size
        self._in_file[kept.place.file] -= 1
        self._in_file[place.file] += 1
        kept.place = place

    def _forget(self, letter_ids: Iterable[str]) -> None:
        for each in letter_ids:
            if (kept := self._kept.pop(each, None)) is not None:
                self._by_what.pop((kept.head.attachment, kept.head.what), None)
                self.size_bytes -= kept.place.size
                self._in_file[kept.place.file] -= 1
                self._overflows[kept.head.attachment] -= kept.head.is_overflow

    async def _shown(self, event: Event | None) -> Event | None:
        """Return the event of a death as it is kept."""
        redactor = None if event is None else self._policy.uses()
        if event is None or redactor is None:
            return event
        from ..redaction.aside import redact_event  # noqa: PLC0415 - with the first letter

        return await redact_event(redactor, event)

    def _line(self, death: Death, shown: Event | None) -> tuple[Head, bytes]:
        """Return the letter of a death; that of the same event of the same listener goes on, as after a crash."""
        event, at = death.event, timestamp(death.at_ns)
        seq = death.ranges[0][0] if event is None else event.seq
        before = self.find(self._by_what.get((death.attachment, death.what), ""))
        body = None if shown is None else codec.encode(shown)
        head = Head(
            id=letter_id(death.at_ns, seq, death.attachment, death.what) if before is None else before.id,
            attachment=death.attachment,
            duty=death.duty.value,
            reason=death.reason.value,
            kind=None if event is None else event.kind,
            what=death.what,
            seq=seq,
            first_at=at if before is None else before.first_at,
            last_at=at,
            at_ns=death.at_ns if before is None else before.at_ns,
            attempts=death.attempts + (0 if before is None else before.attempts),
            retries=0 if before is None else before.retries,
            count=death.count,
            ranges=list(death.ranges),
            is_redacted=shown is not event,
        )
        return head, encode_letter(head, *self._texts(death), body)

    def _texts(self, death: Death) -> tuple[str, str, str]:
        redactor = self._policy.uses()
        texts = (death.error_type, death.error, death.traceback)
        if redactor is None:
            return texts
        shown = [redactor.redact(text) for text in texts]
        error_type, error, traceback = (text if type(text) is str else "(withheld)" for text in shown)
        return error_type, error, traceback
