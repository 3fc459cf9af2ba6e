"""``hubwire tail``: the last records of a log, and the new ones."""

from __future__ import annotations

import select
import shlex
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import anyio
import attrs

from ..log import LogReader, Record, follow, log_exists
from ..patterns import Patterns
from ..ports import KnowledgeStore
from .meant import meant
from .output import escape_json, is_terminal, say
from .pretty import Pretty
from .redacted import Shown, shown
from .target import Names, beginning_of, fields_of, find_log, head_at, holds_name, open_target, wait_for_log

__all__ = ("Selection", "tail")

_READER_GONE_SECONDS = 0.5
_LEARN_RECORDS_MAX = 100_000
_ID_END_MIN = 6


@attrs.frozen
class Selection:
    """Which records are selected; an empty selection takes all."""

    kinds: tuple[str, ...] = ()
    agent: str | None = None
    channel: str | None = None
    topics: tuple[str, ...] = ()
    _patterns: Patterns | None = attrs.field(init=False, eq=False, repr=False)
    _topics: Patterns | None = attrs.field(init=False, eq=False, repr=False)

    @_patterns.default
    def _compiled(self) -> Patterns | None:
        return Patterns(self.kinds, any_text=True) if self.kinds else None

    @_topics.default
    def _compiled_topics(self) -> Patterns | None:
        return Patterns(self.topics, any_text=True) if self.topics else None

    @property
    def is_everything(self) -> bool:
        return self == Selection()

    def takes(self, fields: dict[str, Any], names: Names) -> bool:
        """Tell whether a record is selected; ``names`` must have learnt it."""
        return (
            (self._patterns is None or self._patterns.matches(str(fields.get("kind", ""))))
            and (self._topics is None or (fields.get("topic") and self._topics.matches(str(fields["topic"]))) is True)
            and (self.agent is None or _is(self.agent, fields.get("agent_id"), names.agent))
            and (self.channel is None or _is(self.channel, fields.get("channel_id"), names.channel))
        )


def _is(wanted: str, identifier: Any, name: Callable[[str], str]) -> bool:
    if not isinstance(identifier, str):
        return False
    end = wanted.removeprefix("…")
    return wanted in (identifier, name(identifier)) or (len(end) >= _ID_END_MIN and identifier.endswith(end))


async def tail(
    target: str,
    *,
    lines: int | None,
    keep_following: bool,
    selection: Selection,
    as_json: bool,
    log: str | None,
    with_head: bool = False,
    raw: bool = False,
) -> None:
    """Print the last ``lines`` records (None: all) that are selected, then, with ``keep_following``, the new ones.

    ``with_head``: in between, print the head of the log as it is then. They are redacted, unless they are to be
    ``raw``.
    """
    store = open_target(target)
    printer = _Printer(selection, shown(raw=raw), as_json=as_json)
    try:
        path = await (wait_for_log(store, log) if keep_following else find_log(store, log, target))
        if lines is None and (beginning := await beginning_of(store, path)):
            say(f"hubwire: {beginning}", sys.stderr)
        next_index = await _print_last(store, path, lines, printer)
        if not (as_json or printer.shown or selection.is_everything or lines == 0):
            advice = await _meant(store, path, selection, shown(raw=raw))
            if advice or not keep_following:
                say(f"hubwire: {_none_selected(path, target, advice)}", sys.stderr)
        if with_head:
            head = await head_at(store, path, next_index)
            say(f'{{"head":"{head or ""}"}}' if as_json else f"head {head or '-'}")
        if keep_following:
            await _print_coming(store, path, next_index, printer)
    finally:
        await store.aclose()


async def _meant(store: KnowledgeStore, path: str, selection: Selection, as_shown: Shown) -> str:
    """Return what is to be said of names and kinds that the log does not have; empty if it has all, or no record."""
    if not await log_exists(store, path):
        return ""
    agents = () if selection.agent is None else (selection.agent,)
    channels = () if selection.channel is None else (selection.channel,)
    return await meant(store, path, as_shown, kinds=selection.kinds, agents=agents, channels=channels)


def _none_selected(path: str, target: str, advice: str) -> str:
    """Say that no record was selected, by a name that was misspelt perhaps, and where the names stand."""
    where = shlex.quote(target)
    return (
        f"no record of {path} is selected{advice}; `hubwire stats {where}` lists its kinds,"
        f" `hubwire tail {where} -n all --kind agent.registered` its agents, `--kind channel.created` its channels"
    )


class _Printer:
    """Prints the selected records, one line each."""

    def __init__(self, selection: Selection, shown: Shown, *, as_json: bool) -> None:
        self.selection = selection
        self._shown_as = shown.record
        self.names = Names()
        self.shown: int = 0
        self._as_json = as_json
        self._pretty = Pretty(self.names)
        self._is_terminal = is_terminal(sys.stdout)

    def takes(self, record: Record) -> bool:
        self.learn(record)
        if self.selection.is_everything:
            return True
        fields = fields_of(record)
        return fields is not None and self.selection.takes(fields, self.names)

    def learn(self, record: Record) -> None:
        """Learn names of agents and channels, as they are shown."""
        if holds_name(record.line):
            self.names.learn_line(self._shown_as(record).line)

    def show(self, record: Record) -> None:
        self.shown += 1
        record = self._shown_as(record)
        if self._as_json:
            line = record.line.decode(errors="backslashreplace")
            say(escape_json(line) if self._is_terminal else line)
            return
        fields = fields_of(record)
        say(self._pretty.damaged(record.index, record.line) if fields is None else self._pretty.line(fields))


async def _print_last(store: KnowledgeStore, path: str, lines: int | None, printer: _Printer) -> int:
    """Print the last records there are; return the index of the one that comes next."""
    reader = LogReader(store, path)
    if printer.selection.is_everything and lines is not None:
        await _go_near_end(store, path, reader, lines, printer)
    last: deque[Record] = deque(maxlen=lines)
    while records := await reader.read():
        for record in records:
            if not printer.takes(record):
                continue
            if lines is None:
                printer.show(record)
            else:
                last.append(record)
    for record in last:
        printer.show(record)
    return reader.index


async def _go_near_end(store: KnowledgeStore, path: str, reader: LogReader, lines: int, printer: _Printer) -> None:
    """Go to the last ``lines`` records; of those before, read only the first ones, because they hold the names."""
    end = LogReader(store, path)
    await end.seek_end()
    start = end.index - lines
    while reader.index < min(start, _LEARN_RECORDS_MAX) and (records := await reader.read()):
        for record in records:
            printer.learn(record)
    await reader.seek_index(max(start, 0))


async def _print_coming(store: KnowledgeStore, path: str, next_index: int, printer: _Printer) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_fail_without_reader)
        async for record in follow(store, path, start=next_index):
            if printer.takes(record):
                printer.show(record)


async def _fail_without_reader() -> None:
    """Raise ``BrokenPipeError`` when the reader of the output is gone, also while there is no record to print."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    while True:
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
            raise BrokenPipeError
        await anyio.sleep(_READER_GONE_SECONDS)
