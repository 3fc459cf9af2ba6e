"""``hubwire dead-letters``: what could not be handled, read without a hub; and requests that are left for the hub."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, Literal, Self

import attrs

from .. import codec
from .._commands.dead_letters import inbox_entry, inbox_letter_id
from .._commands.letter_requests import Request, leave_request, waiting_requests
from .._delivery.letter import DeadLetterEntry
from .._delivery.letter_files import LetterReader
from .._delivery.letter_lines import decode_entry
from .._delivery.letters import REQUESTS_SECONDS
from .._journal.snapshots import Snapshots
from .._state import State
from ..errors import ConfigurationError, HubError
from ..log import inspect, log_exists
from ..patterns import Patterns
from ..ports import KnowledgeStore, normalize_path
from .failures import CommandFailed
from .hub_client import is_hub
from .inspection import holder_of
from .letters_in import letters_in
from .output import Paint, complain, escape, escape_json, plural, say
from .read_journal import ReadJournal
from .target import WHICH, not_there, open_target

__all__ = ("LetterMissing", "Wanted", "ask", "list_letters", "show_letter")


_SHOWN_MAX = 500


class LetterMissing(CommandFailed):
    """The store has no such dead letter."""


@attrs.frozen(kw_only=True)
class Wanted:
    """Which letters are wanted; what is None does not matter."""

    attachment: str | None = None
    kind: str | None = None
    reason: str | None = None
    after: str | None = None
    _patterns: Patterns | None = attrs.field(init=False, eq=False, repr=False)

    @_patterns.default
    def _compiled(self) -> Patterns | None:
        return None if self.kind is None else Patterns(self.kind)

    def takes(self, letter: DeadLetterEntry) -> bool:
        return (
            (self.after is None or letter.id > self.after)
            and self.attachment in (None, letter.attachment)
            and self.reason in (None, letter.reason.value)
            and (self._patterns is None or (letter.kind is not None and self._patterns.matches(letter.kind)))
        )


# --- reading --------------------------------------------------------------------------------------------------------


async def list_letters(target: str, wanted: Wanted, *, lines: int, as_json: bool, log: str) -> None:
    """Print the letters that are wanted, the oldest first. Complains about what is not as it was written."""
    if is_hub(target):
        from .remote import dead_letters, only_stores

        only_stores("dead-letters list", {"--kind": wanted.kind, "--reason": wanted.reason, "--after": wanted.after})
        await dead_letters(target, attachment=wanted.attachment, lines=lines, as_json=as_json)
        return
    async with _Opened(target, log) as opened:
        letters = [letter for letter in await opened.letters() if wanted.takes(letter)][:lines]
        waiting = await opened.requests()
    paint = Paint(sys.stdout)
    for letter in letters:
        say(escape_json(json.dumps(_fields(letter), ensure_ascii=False)) if as_json else _line(letter, paint))
    if not as_json:
        for request in waiting:
            say(paint.dim(f"asked for, and waits for the hub: {request.action} {escape(request.letter_id)}"))
        if not letters:
            say("no dead letters")
    opened.complain()


async def show_letter(target: str, letter_id: str, *, log: str) -> None:
    """Print one letter in full."""
    if is_hub(target):
        from .remote import dead_letters

        await dead_letters(target, attachment=None, lines=_SHOWN_MAX, as_json=True, letter_id=letter_id)
        return
    async with _Opened(target, log) as opened:
        letter = opened.find(await opened.letters(), letter_id)
    say(escape_json(json.dumps(_fields(letter), indent=2, ensure_ascii=False)))
    opened.complain()


class _Opened:
    """A store whose dead letters are read; the hub may be at work on it."""

    def __init__(self, target: str, log: str) -> None:
        self.problems: list[str] = []
        self.journal: str = normalize_path(log)
        self._target = target
        self.store: KnowledgeStore = open_target(target)

    async def __aenter__(self) -> Self:
        if not await log_exists(self.store, self.journal):
            await self.store.aclose()
            why = await not_there(self._target) or f" at {self.journal}; {WHICH}"
            raise LetterMissing(f"there is no journal in {self._target}{why} The store is named first, then the letter")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.store.aclose()

    async def letters(self) -> list[DeadLetterEntry]:
        """Return all letters, the oldest first."""
        found = await self._of_listeners()
        try:
            found += await self._of_inboxes()
        except HubError as error:
            self.problems.append(f"the dead letters of inboxes are not known: {error}")
        return sorted(found, key=lambda letter: letter.id)

    async def _of_listeners(self) -> list[DeadLetterEntry]:
        reader = LetterReader(self.store, self.journal)
        letters = []
        for head, place in (await letters_in(reader)).values():
            try:
                letters.append(decode_entry(head, place, await reader.read(place)))
            except HubError as error:  # a hub that is at work may have written it anew
                letters.append(decode_entry(head, place, None, error=str(error)))
        self.problems += reader.problems
        return letters

    async def _of_inboxes(self) -> list[DeadLetterEntry]:
        """Return what the events of the journal lead to: its newest snapshot, and what came after."""
        journal = ReadJournal(self.store, self.journal, await inspect(self.store, self.journal, is_chained=False))
        await journal.open()
        state = State()
        snapshot = await Snapshots(journal, state.machines).load(await journal.kept())
        if snapshot is not None:
            state.restore(snapshot.entries)
        async for event in journal.replay(-1 if snapshot is None else snapshot.seq - 1):
            state.apply(event)
        ids = {inbox_letter_id(letter): letter for letter in state.dead_letters}
        return [inbox_entry(each, letter) for each, letter in ids.items()]

    async def requests(self) -> Sequence[Request]:
        return await waiting_requests(self.store, self.journal)

    async def holder(self) -> str | None:
        """Return which process is at work on it, if the store can tell."""
        return await holder_of(self.store, self.journal)

    def find(self, letters: Sequence[DeadLetterEntry], letter_id: str) -> DeadLetterEntry:
        for letter in letters:
            if letter.id == letter_id:
                return letter
        raise LetterMissing(
            f"{self._target} has no dead letter {letter_id!r}: it was retried or discarded, or newer ones have crowded"
            " it out; `hubwire dead-letters list` prints those that there are"
        )

    def complain(self) -> None:
        for problem in self.problems:
            complain(problem)


def _fields(letter: DeadLetterEntry) -> dict[str, Any]:
    fields = {field.name: getattr(letter, field.name) for field in attrs.fields(type(letter))}
    fields["duty"] = None if letter.duty is None else letter.duty.value
    fields["reason"] = letter.reason.value
    fields["event"] = None if letter.event is None else codec.decode_fields(codec.encode(letter.event))
    return fields


def _line(letter: DeadLetterEntry, paint: Paint) -> str:
    who = letter.attachment if letter.origin == "listener" else f"inbox of {letter.agent_id}"
    if letter.event is not None:
        what = f"{letter.kind} #{letter.event.seq}"
    elif letter.ranges:
        what = f"{plural(letter.count, 'event')}, #{letter.ranges[0][0]} to #{letter.ranges[-1][1]}"
    else:
        what = letter.kind or ""
    said = ": ".join(filter(None, (letter.error_type, letter.error)))
    often = f", {plural(letter.attempts, 'attempt')}" if letter.event is not None else ""
    parts = (
        letter.id,
        paint.dim(letter.last_at[:23].replace("T", " ")),
        paint.by(escape(who or ""), who or ""),
        escape(what),
        f"{paint.red(letter.reason.value)}{often}",
        escape(said),
    )
    return "  ".join(filter(None, parts))


# --- requests -------------------------------------------------------------------------------------------------------


async def ask(
    target: str,
    action: Literal["retry", "discard"],
    letter_ids: Sequence[str],
    *,
    is_all: bool,
    attachment: str | None,
    reason: str,
    log: str,
) -> int:
    """Leave requests for the hub, and say when it takes them up; at its address, have it done at once.

    Returns the exit code.
    """
    if is_hub(target):
        from .remote import decide_letters

        return await decide_letters(target, action, letter_ids, is_all=is_all, attachment=attachment, reason=reason)
    if bool(letter_ids) == (is_all or attachment is not None):
        raise ConfigurationError(f"name the letters to {action}, or give --all, or --attachment with a listener's name")
    async with _Opened(target, log) as opened:
        letters = await opened.letters()
        if letter_ids:
            wanted = [opened.find(letters, each) for each in dict.fromkeys(letter_ids)]
        else:
            wanted = [letter for letter in letters if attachment in (None, letter.attachment)]
        asked = {(each.action, each.letter_id) for each in await opened.requests()}
        for letter in wanted:
            if (action, letter.id) in asked:  # done once, the second would be refused
                continue
            await leave_request(
                opened.store, opened.journal, Request(action=action, letter_id=letter.id, reason=reason)
            )
        holder = await opened.holder()
    if not wanted:
        say("no dead letters")
        return 0
    say(f"asked the hub to {action} {plural(len(wanted), 'dead letter')}; {_when(holder, action)}")
    opened.complain()
    return 0


def _when(holder: str | None, action: str) -> str:
    seconds = f"within {REQUESTS_SECONDS:g} s"
    rest = "; a letter whose listener is not attached waits for it" if action == "retry" else ""
    if holder is not None:
        return f"a hub is at work ({escape(holder)}), and does it {seconds}{rest}"
    return f"it does at its next start, or {seconds} if it runs{rest}"
