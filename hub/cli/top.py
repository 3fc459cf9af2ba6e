"""``hubwire top``: who needs a look now, in a terminal."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import sys
from contextlib import suppress
from typing import Any, Protocol

import anyio
import anyio.lowlevel

from ..board import Board
from ..clock import SystemClock
from ..errors import ConfigurationError, LogDamaged, StoreUnavailable
from ..log import log_exists
from ..ports import KnowledgeStore
from .feed import Feed
from .hub_client import HubClient, is_hub
from .output import is_terminal, say
from .remote import only_stores
from .target import AUDIT, FOLLOWING_SECONDS, JOURNAL, READING_SECONDS, find_log, open_target, wait_for_log
from .top_frame import Boards, Frame, Size
from .top_hub import HubFeed

__all__ = ("top",)

INTERRUPTED = 130
_FRAMES_PER_SECOND = 2
_ROWS = 40
"""Of a frame that goes to no terminal."""


async def top(target: str, *, once: bool, plain: bool, log: str | None, tenant: str | None, raw: bool) -> int:
    """Show the agents of a log or a hub until it is left; with ``once`` print one frame of what there is.

    Without the extra ``tui``, and with ``plain``, frames are drawn without keys.
    """
    if not once and not is_terminal(sys.stdout):
        raise ConfigurationError(
            "hubwire top draws on a terminal, and the output is none; write --once to print one frame"
        )
    if is_hub(target):
        only_stores("top", {"--log": log, "--raw": raw})
    # It is drawn on the standard error.
    if not (once or plain) and has_textual() and is_terminal(sys.stderr):
        return await _with_keys(target, log=log, tenant=tenant, raw=raw)
    if is_hub(target):
        async with HubClient(target) as client:
            await _View(HubFeed(client, tenant), client.name).draw(once=once)
        return 0
    store = open_target(target, READING_SECONDS if once else FOLLOWING_SECONDS)
    try:
        path = await (find_log(store, log, target) if once else wait_for_log(store, log))
        await _View(Feed(store, path, Board(tenant=tenant), raw=raw), f"{target} {path}").draw(once=once)
    finally:
        await store.aclose()
    return 0


def has_textual() -> bool:
    """Tell whether the extra ``tui`` is there."""
    return importlib.util.find_spec("textual") is not None


async def _with_keys(target: str, *, log: str | None, tenant: str | None, raw: bool) -> int:
    from .top_app import TopApp
    from .top_sources import HubTop, LogTop, Top

    source: Top
    if is_hub(target):
        source = HubTop(target, tenant=tenant)
    else:
        store = open_target(target, FOLLOWING_SECONDS)
        try:
            if not await _is_log_there(store, log):
                say(f"hubwire: waiting for {target}: there is no log in it yet", sys.stderr)
            source = LogTop(store, await wait_for_log(store, log), target, tenant=tenant, raw=raw)
        except BaseException:
            await store.aclose()
            raise
    try:
        app = TopApp(source)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_leave_on_signal, app)
            code = await app.run_async()
            tasks.cancel_scope.cancel()
        if app.failure is not None:
            raise app.failure
        if code == INTERRUPTED:
            raise KeyboardInterrupt  # which signal it was, the command knows
        return code or 0
    finally:
        await source.aclose()


async def _is_log_there(store: KnowledgeStore, log: str | None) -> bool:
    return any([await log_exists(store, each) for each in ((AUDIT, JOURNAL) if log is None else (log,))])


async def _leave_on_signal(app: Any) -> None:
    """End on a signal between two frames, so that the terminal is given back as it was."""
    with anyio.open_signal_receiver(signal.SIGINT) as signals:
        async for _ in signals:
            app.exit(INTERRUPTED)
            return


class _Feed(Protocol):
    """Where a frame is from."""

    @property
    def board(self) -> Boards: ...
    @property
    def state(self) -> str: ...
    @property
    def trouble(self) -> str: ...
    @property
    def damaged(self) -> int: ...
    @property
    def pause_seconds(self) -> float: ...
    async def read(self) -> bool: ...
    async def read_all(self) -> LogDamaged | None: ...


class _View:
    """Draws what a feed has brought."""

    def __init__(self, feed: _Feed, title: str) -> None:
        self._feed = feed
        self._title = title
        self._clock = SystemClock()
        self._trouble = ""

    async def draw(self, *, once: bool) -> None:
        """Draw one frame, or one after the other."""
        await (self.print_once() if once else self.keep_drawing())

    async def print_once(self) -> None:
        """Print a frame when all records there are were read."""
        damage = await self._feed.read_all()
        columns = shutil.get_terminal_size().columns
        self._console(columns).print(self._frame(Size(columns, _ROWS), is_reading=False))
        if damage is not None:
            raise damage

    async def keep_drawing(self) -> None:
        """Draw anew while the log grows, at most twice a second, until it is interrupted."""
        from rich.live import Live

        await self._feed.read()  # what is wrong with an address is said on the screen that stays
        with Live(console=self._console(None), screen=True, auto_refresh=False) as live:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._stop_on_signal, tasks.cancel_scope)
                await self._draw(live)
        raise KeyboardInterrupt

    async def _draw(self, live: Any) -> None:
        drawn = float("-inf")
        while True:
            is_reading = await self._read()
            now = anyio.current_time()
            if now - drawn >= 1 / _FRAMES_PER_SECOND:
                drawn = now
                size = Size(live.console.width, live.console.height)
                live.update(self._frame(size, is_reading=is_reading), refresh=True)
            if not is_reading:
                await anyio.sleep(self._feed.pause_seconds)

    async def _read(self) -> bool:
        """Read on; a store that is away for a while is said, and tried again."""
        try:
            is_reading = await self._feed.read()
        except StoreUnavailable as error:
            self._trouble = f"retrying: {error}"
            return False
        self._trouble = ""
        return is_reading

    @staticmethod
    async def _stop_on_signal(scope: anyio.CancelScope) -> None:
        """End on Ctrl-C between two frames, so that the terminal is given back as it was."""
        with anyio.open_signal_receiver(signal.SIGINT) as signals:
            async for _ in signals:
                scope.cancel()
                return

    def _frame(self, size: Size, *, is_reading: bool) -> Any:
        feed, state = self._feed, self._feed.state
        # What a hub has left behind that was stopped is shown as it was then.
        now = None if state == "stopped" else self._clock.now_ns() / 1e9
        frame = Frame(feed.board, now, self._title, size, state, self._trouble or feed.trouble)
        return frame.made(is_reading=is_reading, damaged=feed.damaged)

    @staticmethod
    def _console(width: int | None) -> Any:
        from rich.console import Console

        class Terminal(Console):
            def on_broken_pipe(self) -> None:
                raise  # noqa: PLE0704 - the BrokenPipeError, which the command ends by as all of them do

        with suppress(AttributeError):
            sys.stdout.flush()
        return Terminal(width=width, highlight=False, markup=False, emoji=False, legacy_windows=False)
