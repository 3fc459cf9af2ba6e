"""Boards: what agents, channels and runs are doing, folded once for all who look."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from hubwire.board import Board
from hubwire.clock import timestamp
from hubwire.errors import HubError, InvalidCursor
from hubwire.own_log import OwnLog
from hubwire.ports import Clock, KnowledgeStore
from hubwire.waking import start_later

from ._http import encoded
from ._kept_boards import KeptBoards
from ._source import Gap, Reader, Source, Which

__all__ = ("BoardFeed", "Boards")

_TENANTS_MAX = 50
"""Of so many tenants boards are kept, those that were looked at last."""
_READY_SECONDS = 5.0
_LOOK_SECONDS = 0.005
_LONG = 2000
_SHORT = 256
_REST_SECONDS = 0.02
"""A board that has almost all rests so long, and folds then what has come meanwhile at once: to be woken by each commit
costs the hub more than all that is done with its events."""
_IDLE_SECONDS = 600.0
"""A board that was not looked at for so long folds no more: the next look lets it go on where it was."""
_KEEP_SECONDS = 30.0
"""How often a board is kept while it changes."""
_AGAIN_SECONDS = 0.5
_AGAIN_LATER_SECONDS = 30.0
"""After so long a board that has failed begins anew, when it is asked for."""

_log = OwnLog("dashboard")


class BoardFeed:
    """A board, and the task that folds the events of a source into it."""

    def __init__(self, source: Source, tenant: str | None, clock: Clock, kept: KeptBoards | None = None) -> None:
        self.board: Board = Board(tenant=tenant)
        self.tenant: str | None = tenant
        self.problem: str = ""
        """Why it folds no more."""
        self._source = source
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._reader: Reader | None = None
        self._ended_at = 0.0
        self._is_ready = False
        """Whether it has what there was, or has had the time for it."""
        self._bodies: OrderedDict[tuple[Any, ...], tuple[tuple[int, int], bytes]] = OrderedDict()
        self._place = _Place(kept, clock)
        self._looked = clock.monotonic()

    def start(self) -> None:
        """Begin to fold, or go on, if it does not fold now."""
        self._looked = self._clock.monotonic()
        if self._task is None or (self._task.done() and not self.problem and self._place.is_resting):
            self._is_ready, self._reader, self._place.is_resting = False, None, False
            self._task = start_later(self._fold(), name="hubwire dashboard board")

    async def stop(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_READY_SECONDS):
                    await self._place.keep(self.board)

    @property
    def is_to_begin_anew(self) -> bool:
        """Whether it has failed some time ago: at once, as before the start of its hub, or after it had events."""
        if not self.problem:
            return False
        if self._source.id != self.board.hub().hub:
            return True
        pause = _AGAIN_SECONDS if self.board.seq < 0 else _AGAIN_LATER_SECONDS
        return time.monotonic() >= self._ended_at + pause

    async def ready(self, seconds: float = _READY_SECONDS) -> None:
        """Return when the board has what there was when it began, or after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._is_ready and (self._reader is None or self._reader.lag):  # noqa: ASYNC110 - no event tells
                    await asyncio.sleep(_LOOK_SECONDS)
                self._is_ready = True
        if seconds >= _READY_SECONDS:
            self._is_ready = True

    async def caught_up(self, seq: int) -> None:
        """Return when the board has folded this event, or after a second."""
        try:
            async with asyncio.timeout(1.0):
                while not self._has_read(seq) and self._task and not self._task.done():  # noqa: ASYNC110 - folds tell no one
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            return

    def _has_read(self, seq: int) -> bool:
        """Whether it has read this event, which may be one of another tenant."""
        if self.board.seq >= seq:
            return True
        reader = self._reader
        return reader is not None and self._source.newest_seq - reader.lag >= seq

    async def _fold(self) -> None:
        try:
            await self._begin()
            try:
                await self._follow()
            except InvalidCursor:
                # What was kept is of another history: a store that was restored from a copy, and has gone on since.
                self.board = Board(tenant=self.tenant)
                self._place.forget()
                await self._follow()
        except HubError as error:
            self.problem = str(error)[:300]
            _log.problem("the board of a dashboard has ended", error)
        except Exception as error:  # noqa: BLE001 - the dashboard goes on without it, and says so
            self.problem = f"the board has failed: {type(error).__name__}; look at the log of the program"
            _log.failure("the board of a dashboard has failed", error)
        finally:
            self._is_ready = True
            self._ended_at = time.monotonic()

    async def _begin(self) -> None:
        """Take up the board that was kept, if there is one, and this one has not begun."""
        if self._place.cursor or self._place.kept is None:
            return
        found = await self._place.kept.find(self.tenant)
        if found is not None:
            self.board, self._place.cursor = found
            self._place.kept_seq = self.board.seq
            learn = self._source.names.learn
            for agent in self.board.agents():
                learn({"kind": "agent.registered", "agent_id": agent.agent_id, "name": agent.name})
            for channel in self.board.channels():
                learn({"kind": "channel.created", "channel_id": channel.channel_id, "topic": channel.topic})

    async def _follow(self) -> None:
        source, place = self._source, self._place
        reader = self._reader = source.read(place.cursor or source.cursor_after(-1), Which(tenant=self.tenant))
        there = source.newest_seq
        self._is_ready = self._is_ready or not reader.lag
        while batch := await reader.take():
            if self._is_idle():
                place.is_resting = True
                await place.keep(self.board)
                reader.end()
                return
            begun = time.monotonic()
            if isinstance(batch, Gap):
                self.board.missed(batch.first_seq, batch.last_seq, "they are no longer kept")
                place.cursor = batch.cursor
            else:
                for item in batch:
                    self.board.fold(item.event)
                    if item.event.kind in ("agent.registered", "channel.created"):
                        source.names.learn(_naming(item.event))
                place.cursor = batch[-1].cursor
            self._is_ready = self._is_ready or self._has_read(there)
            # A long history takes half of the loop at most: the hub is at work meanwhile.
            rest = _REST_SECONDS if reader.lag < _SHORT else 0
            await asyncio.sleep(time.monotonic() - begun if reader.lag > _LONG else rest)
            if place.is_due:
                await place.keep(self.board)

    def _is_idle(self) -> bool:
        """Whether no one has looked for long, and what comes meanwhile can be read later."""
        hub = self._source.hub
        if self._clock.monotonic() - self._looked < _IDLE_SECONDS:
            return False
        return hub is None or hub.statistics().journal is not None

    @property
    def now(self) -> float | None:
        """As of when it is looked at: of a log whose hub was stopped, as it was then."""
        is_over = self._source.sort == "log" and self.board.hub().state == "stopped"
        return None if is_over else self._clock.now_ns() / 1e9

    def moment(self, now: float | None) -> str:
        """Return the text of this time."""
        return self.board.hub().at if now is None else timestamp(int(now * 1e9))

    def body(self, key: tuple[Any, ...], make: Callable[[], Any]) -> bytes:
        """Return what a view shows as JSON: made once a second at most, for all who look."""
        self.start()
        second = int(self._clock.now_ns() // 1_000_000_000), int(time.monotonic())  # the one may stand still
        if (found := self._bodies.get(key)) is not None and found[0] == second:
            return found[1]
        body = encoded(make())
        self._bodies[key] = (second, body)
        self._bodies.move_to_end(key)
        if len(self._bodies) > 64:
            self._bodies.popitem(last=False)
        return body


class _Place:
    """Where a board is in its source, and what of it was kept."""

    def __init__(self, kept: KeptBoards | None, clock: Clock) -> None:
        self.kept: KeptBoards | None = kept
        self.cursor: str = ""
        """After what was folded last; empty before that."""
        self.kept_seq: int = -1
        """How far it was kept last."""
        self.is_resting: bool = False
        """Whether it folds no more because no one looks."""
        self._clock = clock
        self._kept_at = clock.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it is time to keep it."""
        return self.kept is not None and self._clock.monotonic() - self._kept_at >= _KEEP_SECONDS

    def forget(self) -> None:
        """Begin anew."""
        self.cursor, self.kept_seq = "", -1

    async def keep(self, board: Board) -> None:
        """Keep a board, if it has more than was kept; while it is not folded."""
        if self.kept is not None and self.cursor and board.seq > self.kept_seq:
            seq = board.seq
            await self.kept.keep(board, self.cursor)
            self.kept_seq = seq
        self._kept_at = self._clock.monotonic()


def _naming(event: Any) -> dict[str, Any]:
    fields = ("kind", "agent_id", "name", "channel_id", "topic")
    return {name: value for name in fields if (value := getattr(event, name, None)) is not None}


class Boards:
    """The boards of all events, and of single tenants."""

    def __init__(self, source: Source, clock: Clock, keep: KnowledgeStore | None = None) -> None:
        """``keep``: where boards are kept, so that they begin at once; None keeps none."""
        self._source = source
        self._clock = clock
        self._kept = None if keep is None else KeptBoards(keep, source, clock)
        self._feeds: OrderedDict[str | None, BoardFeed] = OrderedDict()

    def __len__(self) -> int:
        return len(self._feeds)

    async def feed(self, tenant: str | None, seconds: float = _READY_SECONDS) -> BoardFeed:
        """Return the board of a tenant, None for that of all, when it has what there is, or after so many seconds."""
        found = self._feeds.get(tenant)
        if found is not None and found.is_to_begin_anew:
            del self._feeds[tenant]
            found = None
        if found is None:
            await self._source.open()
            found = self._feeds.setdefault(tenant, BoardFeed(self._source, tenant, self._clock, self._kept))
            await self._let_go()
        self._feeds.move_to_end(tenant)
        found.start()
        await found.ready(seconds)
        return found

    async def _let_go(self) -> None:
        while len(self._feeds) > _TENANTS_MAX:
            oldest = next(each for each in self._feeds if each is not None)
            await self._feeds.pop(oldest).stop()

    async def close(self) -> None:
        """End all tasks."""
        feeds = list(self._feeds.values())
        self._feeds.clear()
        for feed in feeds:
            await feed.stop()
