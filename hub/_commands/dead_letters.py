"""``hub.dead_letters``: events that listeners have given up, and envelopes that agents could not handle."""

from __future__ import annotations

import builtins
import copy
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import attrs

from .._commit.phase import Lifecycle
from .._delivery.letter import (
    DeadLetterEntry,
    DeadLetterReason,
    DeadLetterStatistics,
    RetryOutcome,
    RetryResult,
    letter_id as id_of,
)
from .._delivery.letter_box import LetterBox
from .._delivery.letter_lines import Head
from .._delivery.letters import Letters
from .._delivery.tenant_names import prefix_of
from .._foreign.arguments import Call
from .._foreign.guards import class_name, message_of
from .._state.dead_letters import DeadLetter, DeadLetters
from .._state.moments import deadline_ns
from ..errors import AccessDenied, CallerError, CommandRejected, HubClosed, InboxFull, NotFound
from ..own_log import OwnLog
from ..patterns import Patterns
from .acting import Acting
from .core import Core
from .group import Group
from .letter_requests import Request, Requests
from .places import InboxCommands
from .retrying import Retries

__all__ = ("DeadLetterCommands", "inbox_entry", "inbox_letter_id")

_LIST = Call("hub.dead_letters.list()")
_GET = Call("hub.dead_letters.get()")
_RETRY = Call("hub.dead_letters.retry()")
_RETRY_ALL = Call("hub.dead_letters.retry_all()")
_DISCARD = Call("hub.dead_letters.discard()")
_DISCARD_ALL = Call("hub.dead_letters.discard_all()")

_log = OwnLog("hub")

_REMOVED_TOGETHER = 100
"""So many letters that were delivered are given up by one line; a crash before that delivers them once more."""

_OF_ENVELOPES = "envelope.posted"


@attrs.frozen(kw_only=True, eq=False)
class _Wanted:
    """Which letters are listed; what is None does not matter."""

    attachment: str | None
    patterns: Patterns | None
    reason: DeadLetterReason | None
    after: str

    def takes(self, letter_id: str, attachment: str | None, kind: str | None, reason: str) -> bool:
        """Return whether a letter is listed; ``attachment``: None for one of an inbox."""
        return (
            letter_id > self.after
            and (self.attachment is None or self.attachment == attachment)
            and (self.reason is None or self.reason.value == reason)
            and (self.patterns is None or (kind is not None and self.patterns.matches(kind)))
        )


class DeadLetterCommands(Group):
    """``hub.dead_letters``: what could not be handled, kept to be looked at, retried and discarded.

    Those of listeners and those of inboxes are in one list: ``origin`` says which one is. For the program itself and
    those who operate it; through :attr:`hubwire.TenantHub.dead_letters` those of a tenant's own listeners and inboxes
    alone. All of these raise :class:`~hubwire.errors.HubClosed` if the hub is not running, and what the
    store raises if it cannot be read or written.
    """

    def __init__(
        self,
        lifecycle: Lifecycle,
        of_inboxes: DeadLetters,
        letters: Letters,
        inboxes: InboxCommands,
        retries: Retries,
        requests: Requests,
        acting: Acting,
    ) -> None:
        self._lifecycle = lifecycle
        self._of_inboxes = of_inboxes
        self._letters = letters
        self._inboxes = inboxes
        self._retries = retries
        self._requests = requests
        self._acting = acting
        self._prefix = ""
        """How the names of the listeners begin whose letters these are."""

    def _through(self, core: Core) -> DeadLetterCommands:
        """Return the same commands as a tenant has them, or a hub that follows, by its own ``core``."""
        face = copy.copy(self)
        face._acting = core.acting  # noqa: SLF001 - it is one of this class
        tenant = core.acting.tenant
        face._prefix = "" if tenant is None else prefix_of(tenant)  # noqa: SLF001 - as above
        face._inboxes = self._inboxes._through(core)  # noqa: SLF001 - it is no command
        return face

    # -- looking --

    async def list(
        self,
        *,
        attachment: str | None = None,
        kind: str | None = None,
        reason: DeadLetterReason | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Sequence[DeadLetterEntry]:
        """Return dead letters, the oldest first: at most ``limit``, and those whose ids sort behind ``after``.

        ``attachment``: of the listener attached under this name. ``kind``: about events of this kind, ``*`` standing
        for any part of one. ``reason``: of this :class:`DeadLetterReason`. For the next page, give the id of the last
        letter as ``after``; that letter may be gone by then. All that was given up until now is among them.

        Raises :class:`~hubwire.errors.CommandRejected` for an argument.
        """
        attachment = self._name(_LIST, attachment)
        kind = _LIST.text("kind", kind, is_optional=True)
        if reason is not None:
            reason = _LIST.member("reason", reason, DeadLetterReason)
        limit = _LIST.whole("limit", limit, least=1)
        patterns = None if kind is None else _patterns(kind)
        after = _LIST.text("after", after, is_optional=True) or ""
        wanted = _Wanted(attachment=attachment, patterns=patterns, reason=reason, after=after)
        box = await self._up_to_date()
        found = [head.id for head in self._heads(box) if wanted.takes(head.id, head.attachment, head.kind, head.reason)]
        of_inboxes = {
            each: letter
            for each, letter in self._inbox_letters().items()
            if wanted.takes(each, None, _OF_ENVELOPES, DeadLetterReason.HANDLER_ERROR.value)
        }
        letters = []
        for each in sorted({*found, *of_inboxes})[:limit]:
            if (of_inbox := of_inboxes.get(each)) is not None:
                letters.append(inbox_entry(each, of_inbox))
            elif (entry := await box.read(each)) is not None:
                letters.append(entry)
        return letters

    async def get(self, letter_id: str) -> DeadLetterEntry:
        """Return one dead letter. Raises :class:`~hubwire.errors.NotFound` if it is not kept (any more)."""
        letter_id = _id(_GET, letter_id)
        box = await self._up_to_date()
        if (of_inbox := self._inbox_letters().get(letter_id)) is not None:
            return inbox_entry(letter_id, of_inbox)
        if self._find(box, letter_id) is not None and (entry := await box.read(letter_id)) is not None:
            return entry
        raise _not_found(_GET, letter_id)

    def statistics(self) -> DeadLetterStatistics:
        """Return the numbers of dead letters, as far as they are known at once.

        Those of a tenant are of what is kept of its own; what is counted, as ``retried``, is counted for the hub alone.
        """
        of_inboxes = len(self._inbox_letters()) if self._prefix else len(self._of_inboxes)
        found = self._letters.statistics(of_inboxes, is_wanted=True, prefix=self._prefix)
        assert found is not None
        return found

    # -- retrying --

    async def retry(self, letter_id: str, *, as_kept: bool = False) -> RetryResult:
        """Deliver a dead letter once more, to the listener alone that has given it up; return what came of it.

        The listener gets it between two of its batches, and not in the order of ``seq``. If it handles the event, the
        letter is gone, on disk when this returns; otherwise the letter is kept, with the new error. A crash in between
        leaves the letter: the event may then be delivered once more. Events that were dropped together are delivered
        together, if the journal still holds all of them.

        What is delivered is the event as it is in memory or in the journal; where it is held in neither any more, the
        one that the letter keeps, if that was not redacted. ``as_kept`` delivers a redacted one too.

        An envelope of an inbox is put into that inbox again: see :meth:`InboxCommands.redeliver`.

        Raises :class:`~hubwire.errors.NotFound` if there is no such letter,
        :class:`~hubwire.errors.CommandRejected` while it is being retried by another task,
        :class:`~hubwire.errors.ConfigurationError` inside of a listener that would wait for itself, and
        :class:`~hubwire.errors.AccessDenied` if the arbiter denies that an envelope is redelivered.
        """
        letter_id, as_kept = _id(_RETRY, letter_id), _RETRY.flag("as_kept", as_kept)
        box = await self._up_to_date()
        if (of_inbox := self._inbox_letters().get(letter_id)) is not None:
            return await self._redeliver(letter_id, of_inbox)
        if (head := self._find(box, letter_id)) is None:
            raise _not_found(_RETRY, letter_id)
        self._retries.check([head.attachment])
        if self._retries.is_under_way(letter_id):
            raise CommandRejected(
                f"{_RETRY.name}: dead letter {letter_id} is being retried by another task; wait for it"
            )
        result = await self._retries.retry(box, head, as_kept=as_kept)
        if result is None:
            raise _not_found(_RETRY, letter_id)
        if result.is_delivered:
            await self._remove([letter_id], "retried")
        return result

    async def retry_all(
        self, *, attachment: str | None = None, attempts_max: int | None = None, as_kept: bool = False
    ) -> Sequence[RetryResult]:
        """Retry the dead letters that there are now, each once, the oldest first; return what came of each.

        ``attachment``: those of this listener alone; otherwise those of inboxes, too. ``attempts_max``: those that were
        retried so often already, and have failed again, are left alone. Listeners get theirs side by side. Cancelled,
        it has retried some of them. Raises as :meth:`retry`, but for what is about a single letter.
        """
        attachment = self._name(_RETRY_ALL, attachment)
        attempts_max = _RETRY_ALL.whole("attempts_max", attempts_max, least=1, is_optional=True)
        as_kept = _RETRY_ALL.flag("as_kept", as_kept)
        box = await self._up_to_date()
        most = float("inf") if attempts_max is None else attempts_max
        by_attachment: dict[str, list[Head]] = {}
        for head in self._heads(box):
            if attachment in (None, head.attachment) and head.retries < most:
                by_attachment.setdefault(head.attachment, []).append(head)
        self._retries.check(by_attachment)
        found: dict[str, RetryResult] = {}
        failures: builtins.list[Exception] = []
        async with anyio.create_task_group() as tasks:
            for heads in by_attachment.values():
                tasks.start_soon(partial(self._retry_each, box, heads, found, failures, as_kept=as_kept))
        if failures:
            raise failures[0]
        if attachment is None:
            for each, letter in self._inbox_letters().items():
                found[each] = await self._redeliver(each, letter)
        return [found[each] for each in sorted(found)]

    async def _retry_each(
        self,
        box: LetterBox,
        heads: Sequence[Head],
        found: dict[str, RetryResult],
        failures: builtins.list[Exception],
        *,
        as_kept: bool,
    ) -> None:
        delivered: builtins.list[str] = []
        try:
            for head in heads:
                if self._retries.is_under_way(head.id):
                    continue
                result = await self._retries.retry(box, head, as_kept=as_kept)
                if result is not None:
                    found[head.id] = result
                    delivered += [head.id] * result.is_delivered
                if len(delivered) >= _REMOVED_TOGETHER:
                    await self._remove(delivered, "retried")
                    delivered = []
        except Exception as error:  # noqa: BLE001 - it is raised when all have come to their end
            failures.append(error)
        finally:
            with anyio.CancelScope(shield=True), suppress(HubClosed):
                await self._remove(delivered, "retried")

    async def _redeliver(self, letter_id: str, letter: DeadLetter) -> RetryResult:
        try:
            await self._inboxes.redeliver(letter)
        except (InboxFull, NotFound) as error:
            is_full = type(error) is InboxFull
            return RetryResult(
                id=letter_id,
                outcome=RetryOutcome.FAILED if is_full else RetryOutcome.NOT_ATTACHED,
                error_type=class_name(error),
                error=message_of(error),
            )
        return RetryResult(id=letter_id, outcome=RetryOutcome.REDELIVERED)

    # -- giving up --

    async def discard(self, letter_id: str, *, reason: str = "") -> None:
        """Keep a dead letter no longer; ``reason`` is for the log. On disk when it returns.

        Raises :class:`~hubwire.errors.NotFound` if there is no such letter, and, of one of an inbox, what
        :meth:`InboxCommands.discard` raises.
        """
        letter_id, reason = _id(_DISCARD, letter_id), _DISCARD.text("reason", reason)
        box = await self._up_to_date()
        if (of_inbox := self._inbox_letters().get(letter_id)) is not None:
            await self._inboxes.discard(of_inbox, reason=reason)
            return
        if self._find(box, letter_id) is None or not await self._remove([letter_id], "discarded"):
            raise _not_found(_DISCARD, letter_id)
        _log.detail("a dead letter was discarded", letter=letter_id, reason=reason)

    async def discard_all(
        self, *, attachment: str | None = None, older_than_seconds: float = 0.0, reason: str = ""
    ) -> int:
        """Keep dead letters no longer; return how many there were. On disk when it returns.

        ``attachment``: those of this listener alone; otherwise those of inboxes, too. ``older_than_seconds``: those
        that died before that, by the hub's clock. ``reason`` is for the log. Raises as :meth:`discard`, but for what
        was not there.
        """
        attachment = self._name(_DISCARD_ALL, attachment)
        seconds = _DISCARD_ALL.seconds("older_than_seconds", older_than_seconds, is_zero_ok=True)
        reason = _DISCARD_ALL.text("reason", reason)
        box = await self._up_to_date()
        until_ns = self._letters.now_ns() - round(seconds * 1e9)
        ids = [each.id for each in self._heads(box) if attachment in (None, each.attachment) and each.at_ns <= until_ns]
        count = len(await self._remove(ids, "discarded"))
        for letter in self._inbox_letters().values() if attachment is None else ():
            if deadline_ns(letter.at, 0) <= until_ns:
                await self._inboxes.discard(letter, reason=reason)
                count += 1
        _log.detail("dead letters were discarded", count=count, reason=reason)
        return count

    async def _remove(self, letter_ids: Sequence[str], outcome: str) -> Sequence[Head]:
        if not letter_ids:
            return ()

        async def remove(box: LetterBox) -> Sequence[Head]:
            return await box.remove(letter_ids)

        gone = await self._letters.do(remove)
        self._letters.removed(gone, outcome)
        return gone

    # -- requests of the command line --

    async def take_requests(self) -> None:
        """Do what the command line has asked for; what cannot be done yet is asked for again."""
        for request in await self._requests.waiting():
            try:
                is_done = await self._do(request)
            except (NotFound, AccessDenied) as error:
                _log.problem("a request about a dead letter was refused", error, letter=request.letter_id)
                is_done = True
            if is_done:
                await self._requests.done(request)

    async def _do(self, request: Request) -> bool:
        """Do what was asked for; return whether it is done, be it in vain."""
        if request.action == "discard":
            await self.discard(request.letter_id, reason=request.reason)
            return True
        result = await self.retry(request.letter_id)
        if not result.is_delivered:
            _log.problem(
                "a dead letter was not delivered", letter=result.id, outcome=result.outcome.value, error=result.error
            )
        return result.outcome is not RetryOutcome.NOT_ATTACHED

    # -- its parts --

    async def _up_to_date(self) -> LetterBox:
        """Return the box, with all that has died until now."""
        self._lifecycle.check_open()

        async def swept(box: LetterBox) -> LetterBox:
            self._letters.removed(box.sweep(), "dropped")
            return box

        return await self._letters.do(swept)

    def _inbox_letters(self) -> dict[str, DeadLetter]:
        letters = self._of_inboxes
        return {inbox_letter_id(each): each for each in letters if not self._prefix or self._acting.sees(each.agent_id)}

    def _heads(self, box: LetterBox) -> Sequence[Head]:
        """Return the letters of listeners that there are for the caller, the oldest first."""
        return (
            [each for each in box.heads() if each.attachment.startswith(self._prefix)] if self._prefix else box.heads()
        )

    def _find(self, box: LetterBox, letter_id: str) -> Head | None:
        head = box.find(letter_id)
        return None if head is None or not head.attachment.startswith(self._prefix) else head

    def _name(self, call: Call, attachment: object) -> str | None:
        """Return the name of a listener in full: a tenant may leave out what those of its own begin with."""
        name = call.text("attachment", attachment, is_optional=True)
        return name if name is None or name.startswith(self._prefix) else f"{self._prefix}{name}"


def inbox_letter_id(letter: DeadLetter) -> str:
    """Return the id of a dead letter of an inbox among all."""
    return id_of(deadline_ns(letter.at, 0), letter.envelope.seq, letter.agent_id, letter.envelope_id)


def inbox_entry(letter_id: str, letter: DeadLetter) -> DeadLetterEntry:
    """Return a dead letter of an inbox as all are listed."""
    return DeadLetterEntry(
        id=letter_id,
        origin="inbox",
        attachment=None,
        agent_id=letter.agent_id,
        duty=None,
        reason=DeadLetterReason.HANDLER_ERROR,
        kind=letter.envelope.kind,
        event=letter.envelope,
        error=letter.reason,
        attempts=letter.attempts,
        first_at=letter.at,
        last_at=letter.at,
        size_bytes=letter.size_bytes,
    )


def _id(call: Call, letter_id: Any) -> str:
    return call.id("letter_id", letter_id, wanted="the id of a dead letter")


def _patterns(kind: str) -> Patterns:
    try:
        return Patterns(kind)
    except CallerError as error:
        raise CommandRejected(f"{_LIST.name}: kind: {error}") from error


def _not_found(call: Call, letter_id: str) -> NotFound:
    return NotFound(
        f"{call.name}: there is no dead letter {letter_id!r}: it was retried or discarded, or dropped for newer ones;"
        " hub.dead_letters.list() has those that there are"
    )
