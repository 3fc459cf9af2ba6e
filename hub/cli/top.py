"""``hubwire top``: who needs a look now, in a terminal."""

from __future__ import annotations

import shutil
import signal
import sys
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel

from .. import codec
from ..board import Board
from ..clock import SystemClock
from ..errors import ConfigurationError, InvalidRecord, LogDamaged
from ..log import LogReader
from ..ports import KnowledgeStore
from .output import is_terminal
from .redacted import shown
from .target import find_log, open_target, wait_for_log
from .top_frame import Frame, Size

__all__ = ("top",)

_FRAMES_PER_SECOND = 2
_LOOK_SECONDS = 0.5
"""How often a log that is written is looked at."""
_ROWS = 40
"""Of a frame that goes to no terminal."""
_BATCH = 500
"""How many records are read before the clock is looked at again."""


async def top(target: str, *, once: bool, log: str | None, tenant: str | None, raw: bool) -> None:
    """Show the agents of a log that is written, or finished; with ``once`` print one frame of what there is."""
    if not once and not is_terminal(sys.stdout):
        raise ConfigurationError(
            "hubwire top draws on a terminal, and the output is none; write --once to print one frame"
        )
    store = open_target(target)
    try:
        path = await (find_log(store, log, target) if once else wait_for_log(store, log))
        view = _View(_Feed(store, path, Board(tenant=tenant), raw=raw), f"{target} {path}")
        await (view.print_once() if once else view.keep_drawing())
    finally:
        await store.aclose()


class _Feed:
    """Folds the records of a log into a board."""

    def __init__(self, store: KnowledgeStore, path: str, board: Board, *, raw: bool) -> None:
        self.board: Board = board
        self.damaged: int = 0
        self._reader = LogReader(store, path)
        self._shown_as = shown(raw=raw).record

    async def read(self) -> bool:
        """Fold the next records; return whether there were any."""
        records = await self._reader.read()
        for number, record in enumerate(records):
            try:
                body = self._shown_as(record).body
                if b'"seq":' in body:
                    self.board.fold(codec.decode(body))
            except InvalidRecord:
                self.damaged += b'"seq":' in record.line
            if number % _BATCH == _BATCH - 1:
                await anyio.lowlevel.checkpoint()
        return bool(records)


class _View:
    """Draws what a feed has brought."""

    def __init__(self, feed: _Feed, title: str) -> None:
        self._feed = feed
        self._title = title
        self._clock = SystemClock()

    async def print_once(self) -> None:
        """Print a frame when all records there are were read."""
        damage: LogDamaged | None = None
        try:
            while await self._feed.read():
                pass
        except LogDamaged as error:  # what is before the damage is shown
            damage = error
        columns = shutil.get_terminal_size().columns
        self._console(columns).print(self._frame(Size(columns, _ROWS), is_reading=False))
        if damage is not None:
            raise damage

    async def keep_drawing(self) -> None:
        """Draw anew while the log grows, at most twice a second, until it is interrupted."""
        from rich.live import Live

        with Live(console=self._console(None), screen=True, auto_refresh=False) as live:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._stop_on_signal, tasks.cancel_scope)
                await self._draw(live)
        raise KeyboardInterrupt

    async def _draw(self, live: Any) -> None:
        drawn = float("-inf")
        while True:
            is_reading = await self._feed.read()
            now = anyio.current_time()
            if now - drawn >= 1 / _FRAMES_PER_SECOND:
                drawn = now
                size = Size(live.console.width, live.console.height)
                live.update(self._frame(size, is_reading=is_reading), refresh=True)
            if not is_reading:
                await anyio.sleep(_LOOK_SECONDS)

    @staticmethod
    async def _stop_on_signal(scope: anyio.CancelScope) -> None:
        """End on Ctrl-C between two frames, so that the terminal is given back as it was."""
        with anyio.open_signal_receiver(signal.SIGINT) as signals:
            async for _ in signals:
                scope.cancel()
                return

    def _frame(self, size: Size, *, is_reading: bool) -> Any:
        hub = self._feed.board.hub()
        # What a hub has left behind that was stopped is shown as it was then.
        now = None if hub.state == "stopped" else self._clock.now_ns() / 1e9
        return Frame(self._feed.board, now, self._title, size).made(is_reading=is_reading, damaged=self._feed.damaged)

    @staticmethod
    def _console(width: int | None) -> Any:
        from rich.console import Console

        class Terminal(Console):
            def on_broken_pipe(self) -> None:
                raise  # noqa: PLE0704 - the BrokenPipeError, which the command ends by as all of them do

        with suppress(AttributeError):
            sys.stdout.flush()
        return Terminal(width=width, highlight=False, markup=False, emoji=False, legacy_windows=False)
