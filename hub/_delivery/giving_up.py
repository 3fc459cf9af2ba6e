"""Giving up: how what a listener does not get, or not again, becomes its dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._foreign.guards import class_name, clean, message_of
from ..events import Event
from ..own_log import traceback_of
from .duty import Duty
from .letters import Letters

if TYPE_CHECKING:
    from .letter_lines import Death  # imported with the first letter

__all__ = ("LettersOf", "traceback_text")

TRACEBACK_CHARS_MAX = 8000


def traceback_text(error: BaseException) -> str:
    """Return where an error came from, as bounded text that can be stored; the innermost places, if they are many."""
    return clean(traceback_of(error)[-TRACEBACK_CHARS_MAX:], TRACEBACK_CHARS_MAX)


class LettersOf:
    """The dead letters of one listener, as its duty makes them."""

    def __init__(self, letters: Letters, attachment: str, duty: Duty) -> None:
        self._letters = letters
        self._attachment = attachment
        self._duty = duty
        self.count: int = 0
        """How many there were, of which each may stand for several events."""

    def put(self, event: Event, error: Exception, function: str = "") -> None:
        """The listener, or one ``function`` of it, has given up an event. The letter is stored soon."""
        self._letters.put(self._death(event, error, 1, function))

    async def store(self, event: Event, error: Exception, attempts: int) -> None:
        """The listener gives up an event. The letter is stored when this returns; raises why it could not be."""
        await self._letters.store(self._death(event, error, attempts))

    def overflowed(self, count: int, first_seq: int, last_seq: int) -> None:
        """Its mailbox has dropped events, which are next to each other but for those that it would not have got."""
        self.count += 1
        self._letters.overflowed(self._attachment, self._duty, count, first_seq, last_seq)

    def skipped(self, count: int, first_seq: int, last_seq: int, error: Exception | None = None) -> None:
        """It goes on without events that are not held any more, or which it was resumed after."""
        from .letter import DeadLetterReason  # noqa: PLC0415 - most hubs have no letters
        from .letter_lines import Death  # noqa: PLC0415

        self.count += 1
        self._letters.put(
            Death(
                attachment=self._attachment,
                duty=self._duty,
                reason=DeadLetterReason.DROPPED,
                at_ns=self._letters.now_ns(),
                ranges=((first_seq, last_seq),),
                count=count,
                error_type="" if error is None else class_name(error),
                error="" if error is None else message_of(error),
            )
        )

    def _death(self, event: Event, error: Exception, attempts: int, function: str = "") -> Death:
        from .letter import reason_of  # noqa: PLC0415 - most hubs have no letters
        from .letter_lines import Death  # noqa: PLC0415

        self.count += 1
        return Death(
            attachment=self._attachment,
            duty=self._duty,
            reason=reason_of(error),
            at_ns=self._letters.now_ns(),
            event=event,
            attempts=attempts,
            error_type=class_name(error),
            error=f"{function}: {message_of(error)}" if function else message_of(error),
            traceback=traceback_text(error),
        )
