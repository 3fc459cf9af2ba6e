"""Retrying dead letters: the event is found again, and given to the listener that has given it up, and to no other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress

from .._delivery.attachment import Attachment, AttachmentState
from .._delivery.duty import Duty
from .._delivery.giving_up import traceback_text
from .._delivery.handling import Failure
from .._delivery.letter import DeadLetterEntry, RetryOutcome, RetryResult, reason_of
from .._delivery.letter_box import LetterBox
from .._delivery.letter_lines import Death, Head
from .._delivery.letters import Letters
from .._delivery.replays import Replays
from .._foreign.guards import class_name, message_of
from ..errors import ConfigurationError, HistoryGone, HubClosed, LogDamaged
from ..events import Event
from .core import Core

__all__ = ("Retries",)

_BATCH_EVENTS = 256
_BATCH_BYTES_MAX = 1024 * 1024


class Retries:
    """Delivers dead letters once more. What comes of it is kept with the letter; who called removes what is done."""

    def __init__(
        self,
        core: Core,
        letters: Letters,
        replays: Replays | None,
        attached: Callable[[str], Attachment | None],
    ) -> None:
        """``replays`` read the journal; ``attached`` finds the attachment of a name."""
        self._core = core
        self._letters = letters
        self._replays = replays
        self._attached = attached
        self._under_way: set[str] = set()
        """The letters that are being retried: another task must not deliver them again meanwhile."""

    def is_under_way(self, letter_id: str) -> bool:
        """Tell whether a letter is being retried."""
        return letter_id in self._under_way

    def check(self, names: Iterable[str]) -> None:
        """Raise an error in a listener that would wait for itself."""
        self._core.check_may_wait("the retry of a dead letter")
        for name in names:
            attachment = self._attached(name)
            if attachment is not None and attachment.is_calling():
                raise ConfigurationError(
                    f"listener {name!r} cannot have its own dead letters retried: it would wait for itself; use another"
                    " task"
                )

    async def retry(self, box: LetterBox, head: Head, *, as_kept: bool) -> RetryResult | None:
        """Deliver a letter; return what came of it, None if it is not kept any more."""
        name = head.attachment
        attachment = self._attached(name)
        trouble = _why_not(attachment, name)
        if attachment is None or trouble is not None:
            return RetryResult(id=head.id, outcome=RetryOutcome.NOT_ATTACHED, attachment=name, error=trouble or "")
        self._under_way.add(head.id)
        try:
            letter = await box.read(head.id)
            return None if letter is None else await self._deliver(attachment, head, letter, as_kept=as_kept)
        except HubClosed as closed:
            outcome = RetryOutcome.NOT_ATTACHED
            return RetryResult(id=head.id, outcome=outcome, attachment=name, error=message_of(closed))
        finally:
            self._under_way.discard(head.id)

    async def _deliver(
        self, attachment: Attachment, head: Head, letter: DeadLetterEntry, *, as_kept: bool
    ) -> RetryResult:
        rest = [*letter.ranges]
        batches = self._of_ranges(attachment, rest) if rest else self._of_event(head, letter, as_kept=as_kept)
        try:
            async for events in batches:
                failure = await attachment.reading.deliver_again(events)
                if failure is not None:
                    return await self._failed(head, letter, failure, events, rest)
        except HistoryGone as error:
            outcome = RetryOutcome.EVENT_GONE
            return RetryResult(id=letter.id, outcome=outcome, attachment=letter.attachment, error=message_of(error))
        return RetryResult(id=letter.id, outcome=RetryOutcome.DELIVERED, attachment=letter.attachment)

    async def _failed(
        self,
        head: Head,
        letter: DeadLetterEntry,
        failure: Failure,
        events: Sequence[Event],
        rest: Sequence[tuple[int, int]],
    ) -> RetryResult:
        error, count = failure.error, letter.count
        ranges: tuple[tuple[int, int], ...] = ()
        if rest:
            first = events[min(failure.handled, len(events) - 1)].seq
            ranges = ((first, rest[0][1]), *rest[1:])
            count = min(letter.count, sum(last + 1 - begin for begin, last in ranges))
        death = Death(
            attachment=head.attachment,
            duty=Duty(head.duty),
            reason=reason_of(error),
            at_ns=self._letters.now_ns(),
            ranges=ranges,
            count=count,
            error_type=class_name(error),
            error=message_of(error),
            traceback=traceback_text(error),
        )

        async def change(box: LetterBox) -> None:
            await box.change(letter, death)

        await self._letters.do(change)
        return RetryResult(
            id=letter.id,
            outcome=RetryOutcome.FAILED,
            attachment=letter.attachment,
            error_type=death.error_type,
            error=death.error,
        )

    # -- what is delivered --

    async def _of_event(self, head: Head, letter: DeadLetterEntry, *, as_kept: bool) -> AsyncIterator[Sequence[Event]]:
        """Yield the event of a letter: the one that there was, or the one that is kept if it is the same."""
        event: Event | None = None
        with suppress(HistoryGone, LogDamaged):
            event = (await self._read(head.seq, head.seq + 1))[0]
        if event is not None and event.id == head.what:  # a store may have been restored from an older copy
            yield (event,)
        elif letter.event is not None and (as_kept or not letter.is_redacted):
            yield (letter.event,)
        else:
            raise _gone(head.seq, is_redacted=letter.is_redacted)

    async def _of_ranges(self, attachment: Attachment, rest: list[tuple[int, int]]) -> AsyncIterator[Sequence[Event]]:
        """Iterate over batches of what was dropped together; ``rest`` is what of it is not delivered."""
        while rest:
            first, last = rest[0]
            while first <= last:
                events = await self._read(first, last + 1)
                rest[0] = (first, last)
                if matching := attachment.selected(events):
                    yield matching
                first = events[-1].seq + 1
            rest.pop(0)

    async def _read(self, seq: int, end: int) -> Sequence[Event]:
        """Return events from ``seq`` on, at least one. Raises :class:`~hubwire.errors.HistoryGone`."""
        end = min(end, seq + _BATCH_EVENTS, self._core.next_seq)
        if seq < end and self._replays is not None:
            if events := await self._replays.read(seq, end, _BATCH_BYTES_MAX):
                return events
        elif seq < end and (event := await self._core.event_at(seq)) is not None:
            return (event,)
        raise _gone(seq)


def _why_not(attachment: Attachment | None, name: str) -> str | None:
    if attachment is None:
        return f"no listener named {name!r} is attached; attach it, and retry"
    if attachment.is_required:
        return f"listener {name!r} is REQUIRED now, and the commit would wait for it; attach it with another duty"
    if not attachment.reading.takes_old_events:
        return f"listener {name!r} keeps its own position by last_seq(), and takes no older event; discard the letter"
    if attachment.is_muted:
        return f"listener {name!r} is muted, and is called with no event; unmute it, and retry"
    if attachment.state in (AttachmentState.STARTING, AttachmentState.DETACHED):
        return f"listener {name!r} is {attachment.state.value}; retry when it has its place"
    return None


def _gone(seq: int, *, is_redacted: bool = False) -> HistoryGone:
    advice = "as_kept=True delivers the redacted one that the letter keeps" if is_redacted else "discard the letter"
    return HistoryGone(f"event {seq} is no longer held in memory or in the journal; {advice}", first_seq=seq + 1)
