"""``hubwire import``: what others have recorded becomes channels, envelopes and facts of a hub.

Every event carries where it comes from: ``source`` is the name of the input, ``source_id`` says of which item it is,
by a digest of its content, and of which part (:mod:`hubwire.cli.importing.known`). So what is in the store already is
found there, whatever the file is called now.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator

import anyio
import attrs
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hubwire.listeners.audit import AuditLog
from hubwire.stores import open_store
from hubwire.stores.compressed import compressed

from .. import Hub
from .failures import CommandFailed
from .importing.accounts import Accounts
from .importing.conversation import EVENT_BYTES_MAX, BadItem, Conversation
from .importing.format import Options
from .importing.formats import FORMATS, Format, parse, recognise
from .importing.known import read_known
from .importing.opening import open_source
from .importing.reading import InputUnreadable, Item, Source, base_name
from .importing.writing import Writing
from .output import complain, is_terminal, plural, say

__all__ = ("NOT_ALL", "ImportRefused", "import_file")

NOT_ALL = 3
"""The exit code of an import that left items out."""

_COMPLAINTS_MAX = 10
_PROGRESS_SECONDS = 0.1
_HELD_BYTES_MAX = 32 * 1024 * 1024
"""Of JSON; what it is made into takes several times as much memory. A larger input is read again for the import."""


class ImportRefused(CommandFailed):
    """The input has bad items, so none of it was imported."""


def import_file(
    path: str,
    store_url: str,
    *,
    format_name: str = "auto",
    skip_bad: bool = False,
    messages_key: str | None = None,
    as_json: bool = False,
) -> int:
    """Check the whole input, import it, and print what became of it; return the exit code.

    Raises :class:`ImportRefused` before the import begins, if items are bad and not to be skipped.
    """
    began = time.monotonic()
    options = Options(messages_key)
    with open_source(path, format_name) as source:
        chosen = _format(source, format_name, options)
        accounts = Accounts()
        if chosen is not None:
            incoming = _Incoming(source, chosen, options)
            incoming.check(accounts, skip_bad=skip_bad)
            anyio.run(_import, incoming, accounts, store_url)
    _report(accounts, "none" if chosen is None else chosen.name, time.monotonic() - began, as_json=as_json)
    return NOT_ALL if accounts.refused else 0


def _format(source: Source, name: str, options: Options) -> Format | None:
    """Return the format that is named, or the one that is recognised; None for an input without items."""
    if name != "auto":
        return FORMATS[name]
    found = recognise(source, options)
    if found is None:
        say(f"{source.name} is empty", sys.stderr)
        return None
    say(f"{source.name} is {found}", sys.stderr)
    return found.format


class _Incoming:
    """The items of an input, with their names."""

    def __init__(self, source: Source, format_: Format, options: Options) -> None:
        self.source = source
        self.items: list[str] = []
        """The names of all, in order."""
        self._format = format_
        self._options = options
        self._read: list[tuple[Item, list[Conversation]]] | None = []
        """What the check has made of the input, so that it is made once; None if that is too much to hold."""

    def check(self, accounts: Accounts, *, skip_bad: bool) -> None:
        """Count what the input holds, and report every bad item."""
        bad, held, seen = 0, 0, Counter[str]()
        for item in self.source.items():
            accounts.items += 1
            try:
                made = parse(self._format, item, self._options)
                for conversation in made:
                    accounts.add(conversation)
                    self.items.append(_name(conversation, seen))
                held += len(item.raw)
                if self._read is not None:
                    self._read.append((attrs.evolve(item, raw=b""), made))
                if held > _HELD_BYTES_MAX:
                    self._read = None
            except BadItem as error:
                bad += 1
                accounts.refuse(error)
                if skip_bad or bad <= _COMPLAINTS_MAX:
                    complain(f"{self.source.name}, {error}")
        if bad and not skip_bad:
            raise ImportRefused(
                f"{self.source.name} has {plural(bad, 'bad item')}: none of it was imported; correct it, or use"
                " --skip-bad"
            )

    def conversations(self) -> Iterator[tuple[str, Conversation, str]]:
        """Iterate over the good ones, with their topics; the bad ones were reported by the check before."""
        name, seen = base_name(self.source.name), Counter[str]()
        for item, made in self._made() if self._read is None else self._read:
            for conversation in made:
                yield _name(conversation, seen), conversation, f"#{item.number} {name}"

    def _made(self) -> Iterator[tuple[Item, list[Conversation]]]:
        digest = self.source.digest
        for item in self.source.items():
            try:
                yield item, parse(self._format, item, self._options)
            except BadItem:
                continue
        if self.source.digest != digest:
            raise InputUnreadable(f"{self.source.name} was changed while it was imported; import it again")


def _name(conversation: Conversation, seen: Counter[str]) -> str:
    """Return the name of an item: the second of the same content in one input has another one than the first."""
    name = f"{conversation.format}:{conversation.key}"
    seen[name] += 1
    return name if seen[name] == 1 else f"{name}.{seen[name]}"


async def _import(incoming: _Incoming, accounts: Accounts, store_url: str) -> None:
    """Import what is not in the store yet."""
    store = open_store(store_url)
    try:
        async with Hub(store, listeners=[AuditLog(store)], event_bytes_max=EVENT_BYTES_MAX) as hub:
            known = await read_known(compressed(store, level=None))
            if known.first_record:
                complain(
                    f"the audit log begins with record {known.first_record:,}: what was imported before that is not"
                    " known, and is imported again"
                )
            known.leave(incoming.items)
            writing = Writing(hub, base_name(incoming.source.name), known)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_show_progress, writing, accounts.parts)
                await writing.run(incoming.conversations())
                tasks.cancel_scope.cancel()
            accounts.there, accounts.grown = writing.there, writing.grown
    finally:
        await store.aclose()


def _report(accounts: Accounts, format_name: str, seconds: float, *, as_json: bool) -> None:
    if as_json:
        say(json.dumps({"format": format_name, **accounts.as_json(), "seconds": round(seconds, 3)}))
        return
    refused = f"; {plural(accounts.refused.total(), 'bad item')} skipped" if accounts.refused else ""
    say(
        f"{accounts.summary()}; {accounts.there:,} of these {accounts.parts:,} were already there{refused}"
        f" ({seconds:.1f} s)"
    )
    say(f"from {plural(accounts.items, 'item')} with {plural(accounts.messages, 'message')}")
    for line in accounts.lines():
        say(line)


async def _show_progress(writing: Writing, total: int) -> None:
    """Show the progress on a terminal, until cancelled."""
    if not is_terminal(sys.stderr):
        return
    columns = (TextColumn("importing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        while True:
            bar.update(task, completed=writing.done)
            await anyio.sleep(_PROGRESS_SECONDS)
