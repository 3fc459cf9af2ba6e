"""``hubwire tail``: the last records of one or several logs, and the new ones."""

from __future__ import annotations

import heapq
import select
import shlex
import sys
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import tzinfo
from typing import Protocol

import anyio
import attrs
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from .. import codec
from ..clock import SystemClock
from ..errors import ConfigurationError, InvalidRecord
from ..log import Record
from ..query import Selection
from .hub_client import is_hub
from .hub_source import HubSource
from .log_source import LogSource
from .meant import meant
from .output import say
from .redacted import shown
from .sieve import Sieve
from .tail_output import Output, Printer

__all__ = ("Tail", "tail")

_READER_GONE_SECONDS = 0.5
_MERGE_SECONDS = 0.25
"""How long records of several sources are held back, so that they are printed by their time."""
_WAITING_MAX = 1000
_NAME_CELLS_MAX = 20


@attrs.frozen(kw_only=True)
class Tail:
    """What is asked of a tail."""

    selection: Selection
    lines: int | None = 10
    """How many of the last records; None: all."""
    keep_following: bool = False
    output: Output = "pretty"
    outcomes: tuple[str, ...] = ()
    grep: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    zone: tzinfo | None = None
    """In which times are shown; None: in UTC, as records have them."""
    with_head: bool = False
    raw: bool = False
    log: str | None = None


class Source(Protocol):
    """Where records come from."""

    target: str

    async def open(self, *, waits: bool) -> None: ...
    def last(self, lines: int | None) -> AsyncIterator[Record]: ...
    def coming(self) -> AsyncIterator[Record]: ...
    async def aclose(self) -> None: ...


async def tail(targets: Sequence[str], asked: Tail) -> None:
    """Print the last records that are selected of all targets together, then, if it is to follow, the new ones."""
    if len(targets) > 1 and asked.with_head:
        raise ConfigurationError("tail --head: one log has a head, and several are named; name one")
    if asked.with_head and is_hub(targets[0]):
        raise ConfigurationError("tail --head: a log has a head; name the store of the hub")
    as_shown = shown(raw=asked.raw)
    sieve = Sieve(asked.selection, as_shown, outcomes=asked.outcomes, grep=asked.grep, exclude=asked.exclude)
    printer = Printer(asked.output, as_shown, sieve.names, asked.zone)
    names = _columns(short_names(targets)) if len(targets) > 1 else [""]
    async with AsyncExitStack() as opened:
        sources = [_source(target, asked, sieve) for target in targets]
        for source in sources:
            opened.push_async_callback(source.aclose)
        async with anyio.create_task_group() as tasks:
            if asked.keep_following:
                tasks.start_soon(_fail_without_reader)
            run = _Run(dict(zip(names, sources, strict=True)), asked, sieve, printer)
            await run.print_last()
            if asked.keep_following:
                await run.print_coming()
            tasks.cancel_scope.cancel()


def _source(target: str, asked: Tail, sieve: Sieve) -> Source:
    if is_hub(target):
        return HubSource(target, sieve)
    return LogSource(target, asked.log, sieve, is_patient=asked.keep_following)


class _Run:
    """One tail, on sources that have names."""

    def __init__(self, sources: dict[str, Source], asked: Tail, sieve: Sieve, printer: Printer) -> None:
        self._sources = sources
        self._asked = asked
        self._sieve = sieve
        self._printer = printer

    async def print_last(self) -> None:
        """Print what there is."""
        asked = self._asked
        async with anyio.create_task_group() as tasks:
            for source in self._sources.values():
                tasks.start_soon(_open, source, asked.keep_following)
        if asked.lines is None:
            async for name, record in _merged(self._sources):
                self._printer.show(record, name)
        else:
            last: deque[tuple[str, Record]] = deque(maxlen=asked.lines)
            async for each in _merged(self._sources, asked.lines):
                last.append(each)
            for name, record in last:
                self._printer.show(record, name)
        is_all = self._sieve.is_everything or asked.lines == 0
        if self._printer.is_for_people and not (asked.keep_following or self._printer.shown or is_all):
            say(f"hubwire: {await self._none_selected()}", sys.stderr)
        if asked.with_head:
            for source in self._sources.values():
                if isinstance(source, LogSource):
                    head = await source.head()
                    say(f"head {head or '-'}" if self._printer.is_for_people else f'{{"head":"{head}"}}')

    async def _none_selected(self) -> str:
        """Say that no record was selected, by a name that was misspelt perhaps, and where the names stand."""
        source, selection = next(iter(self._sources.values())), self._sieve.selection
        where, path, advice = shlex.quote(source.target), "the logs", ""
        if isinstance(source, LogSource) and len(self._sources) == 1:
            path = source.path
            asked = {"kinds": selection.kind, "agents": selection.agent, "channels": selection.channel}
            advice = await meant(source.store, path, shown(raw=self._asked.raw), **asked)
        return (
            f"no record of {path} is selected{advice}; `hubwire stats {where}`"
            f" lists its kinds, `hubwire tail {where} -n all --kind agent.registered` its agents,"
            " `--kind channel.created` its channels"
        )

    async def print_coming(self) -> None:
        """Print what comes, until the time until which records are wanted, if there is one."""
        until = self._asked.selection.until
        seconds = float("inf") if until is None else max(until / 1e6 - SystemClock().now_ns() / 1e9, 0)
        with anyio.move_on_after(seconds):
            if len(self._sources) == 1:
                (source,) = self._sources.values()
                async for record in source.coming():
                    self._printer.show(record)
            else:
                await self._print_several()

    async def _print_several(self) -> None:
        sending, receiving = anyio.create_memory_object_stream[tuple[str, Record]](_WAITING_MAX)
        async with anyio.create_task_group() as tasks, sending, receiving:
            for name, source in self._sources.items():
                tasks.start_soon(_pass_on, name, source, sending)
            await self._print_by_time(receiving)

    async def _print_by_time(self, receiving: MemoryObjectReceiveStream[tuple[str, Record]]) -> None:
        while True:
            held = [await receiving.receive()]
            await anyio.sleep(_MERGE_SECONDS)
            while receiving.statistics().current_buffer_used:
                held.append(receiving.receive_nowait())
            for name, record in sorted(held, key=lambda each: _time_of(each[1])):
                self._printer.show(record, name)


async def _open(source: Source, waits: bool) -> None:
    await source.open(waits=waits)


async def _pass_on(name: str, source: Source, sending: MemoryObjectSendStream[tuple[str, Record]]) -> None:
    async for record in source.coming():
        await sending.send((name, record))


async def _merged(sources: dict[str, Source], lines: int | None = None) -> AsyncIterator[tuple[str, Record]]:
    """Iterate over the last records of all sources, by their time; those of one source stay in their order."""
    heads: list[tuple[str, int, Record]] = []
    streams = [(name, source.last(lines)) for name, source in sources.items()]

    async def advance(number: int, least: str) -> None:
        async for record in streams[number][1]:
            heapq.heappush(heads, (max(_time_of(record), least), number, record))
            return

    for number in range(len(streams)):
        await advance(number, "")
    while heads:
        at, number, record = heapq.heappop(heads)
        yield streams[number][0], record
        await advance(number, at)


def _time_of(record: Record) -> str:
    try:
        at = codec.decode_fields(record.line).get("at")
    except InvalidRecord:
        return ""
    return at if isinstance(at, str) else ""


def short_names(targets: Sequence[str]) -> list[str]:
    """Return a short name for each target, by which it is told from the others."""
    parts = [[part for part in target.split("?")[0].replace("://", "/").split("/") if part] for target in targets]
    for count in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(each[-count:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{'/'.join(each[-1:])}#{number}" for number, each in enumerate(parts, 1)]


def _columns(names: Sequence[str]) -> list[str]:
    """Return names as wide as each other, the ends of those that are too long for a column."""
    ends = [name if len(name) <= _NAME_CELLS_MAX else f"…{name[1 - _NAME_CELLS_MAX :]}" for name in names]
    told = ends if len(set(ends)) == len(ends) else [f"{number}:{name}" for number, name in enumerate(ends, 1)]
    return [name.ljust(max(map(len, told))) for name in told]


async def _fail_without_reader() -> None:
    """Raise ``BrokenPipeError`` when the reader of the output is gone, also while there is no record to print."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    while True:
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
            raise BrokenPipeError
        await anyio.sleep(_READER_GONE_SECONDS)
