"""Boards: what agents, channels and runs are doing, folded once for all who look."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from hubwire.board import Board, Rows
from hubwire.clock import timestamp
from hubwire.errors import HubError
from hubwire.own_log import OwnLog
from hubwire.ports import Clock
from hubwire.waking import start_later

from ._hiding import hidden_view
from ._http import Asked, Endpoint, Problem, Reply, encoded, refused, tagged_reply
from ._source import Gap, Source, Which

__all__ = ("BoardFeed", "Boards", "endpoints")

_TENANTS_MAX = 50
"""Of so many tenants boards are kept, those that were looked at last."""
_READY_SECONDS = 5.0
_LIMIT = 500
_LIMIT_MAX = 5000

_log = OwnLog("dashboard")


class BoardFeed:
    """A board, and the task that folds the events of a source into it."""

    def __init__(self, source: Source, tenant: str | None, clock: Clock) -> None:
        self.board: Board = Board(tenant=tenant)
        self.tenant: str | None = tenant
        self.problem: str = ""
        """Why it folds no more."""
        self._source = source
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._is_ready = asyncio.Event()
        self._bodies: OrderedDict[tuple[Any, ...], tuple[int, bytes]] = OrderedDict()

    def start(self) -> None:
        """Begin to fold, if that has not begun."""
        if self._task is None:
            self._task = start_later(self._fold(), name="hubwire dashboard board")

    async def stop(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def ready(self) -> None:
        """Return when the board has what there was when it began, or after five seconds."""
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await self._is_ready.wait()
        except TimeoutError:
            return

    async def _fold(self) -> None:
        try:
            await self._follow()
        except HubError as error:
            self.problem = str(error)[:300]
            _log.problem("the board of a dashboard has ended", error)
        finally:
            self._is_ready.set()

    async def _follow(self) -> None:
        source = self._source
        reader = source.read(source.cursor_after(-1), Which(tenant=self.tenant))
        if not reader.lag:
            self._is_ready.set()
        while batch := await reader.take():
            if isinstance(batch, Gap):
                self.board.missed(batch.first_seq, batch.last_seq, "they are no longer kept")
            else:
                for item in batch:
                    self.board.fold(item.event)
                    if item.event.kind in ("agent.registered", "channel.created"):
                        source.names.learn(_naming(item.event))
            if not reader.lag:
                self._is_ready.set()
            await asyncio.sleep(0)

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
        second = int(self._clock.now_ns() // 1_000_000_000)
        if (found := self._bodies.get(key)) is not None and found[0] == second:
            return found[1]
        body = encoded(make())
        self._bodies[key] = (second, body)
        self._bodies.move_to_end(key)
        if len(self._bodies) > 64:
            self._bodies.popitem(last=False)
        return body


def _naming(event: Any) -> dict[str, Any]:
    fields = ("kind", "agent_id", "name", "channel_id", "topic")
    return {name: value for name in fields if (value := getattr(event, name, None)) is not None}


class Boards:
    """The boards of all events, and of single tenants."""

    def __init__(self, source: Source, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._feeds: OrderedDict[str | None, BoardFeed] = OrderedDict()

    async def feed(self, tenant: str | None) -> BoardFeed:
        """Return the board of a tenant, None for that of all, when it has what there is."""
        found = self._feeds.get(tenant)
        if found is None:
            await self._source.open()
            found = self._feeds.setdefault(tenant, BoardFeed(self._source, tenant, self._clock))
            found.start()
            await self._let_go()
        self._feeds.move_to_end(tenant)
        await found.ready()
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


# --- endpoints ------------------------------------------------------------------------------------------------------

_Listing = Callable[[Board, float | None, int], Any]

_LISTS: Mapping[str, _Listing] = {
    "agents": lambda board, now, limit: board.agents(now=now, limit=limit),
    "channels": lambda board, _, limit: board.channels(limit=limit),
    "runs": lambda board, _, limit: board.runs(limit=limit),
    "tasks": lambda board, now, limit: board.tasks(now=now, limit=limit),
    "approvals": lambda board, now, limit: board.approvals(now=now, limit=limit),
    "links": lambda board, _, limit: board.links(limit=limit),
    "listeners": lambda board, _, __: board.listeners(),
    "troubles": lambda board, _, limit: board.troubles(limit=limit),
}
_OF_ALL = frozenset(("listeners",))
"""What a person who may see some tenants alone has no view of."""

_ONE: Mapping[str, Callable[[Board, str, float | None], Any]] = {
    "agents": lambda board, which, now: board.agent(which, now=now),
    "channels": lambda board, which, _: board.channel(which),
    "runs": lambda board, which, now: board.run(which, now=now),
}


async def _list(asked: Asked) -> Reply:
    name = asked.path["name"]
    if name not in _LISTS:
        raise Problem(404, "not_found", f"there is no board {name[:80]!r}", f"one of {', '.join(_LISTS)}")
    if name in _OF_ALL and asked.tenant is not None:
        raise Problem(403, "not_allowed", f"{name} are of the whole hub, not of a tenant")
    limit = asked.whole("limit", _LIMIT, least=1, most=_LIMIT_MAX)
    feed = await asked.app.boards.feed(asked.tenant)

    def make() -> Any:
        now = feed.now
        rows: Rows[Any] = _LISTS[name](feed.board, now, limit)
        shown = [hidden_view(row.to_json(), contents=asked.contents) for row in rows]
        return {"seq": feed.board.seq, "now": feed.moment(now), "rows": shown, "not_shown": rows.not_shown}

    return tagged_reply(asked, feed.body((name, limit, asked.contents), make))


async def _one(asked: Asked) -> Reply:
    name, which = asked.path["name"], asked.path["id"]
    if name not in _ONE:
        raise Problem(404, "not_found", f"there is no board {name[:80]!r} of one", f"one of {', '.join(_ONE)}")
    if not 0 < len(which) <= 1000 or not which.isprintable():
        raise refused(f"{which[:80]!r} is no id")
    feed = await asked.app.boards.feed(asked.tenant)

    def make() -> Any:
        now = feed.now
        found = _ONE[name](feed.board, which, now)
        if found is None:
            raise Problem(404, "not_found", f"the board has no {name[:-1]} {which[:80]!r}", "it may have left")
        return {"seq": feed.board.seq, "now": feed.moment(now), **hidden_view(found.to_json(), contents=asked.contents)}

    return tagged_reply(asked, feed.body((name, which, None, asked.contents), make))


async def _counts(asked: Asked) -> Reply:
    per = asked.text("per", "second")
    if per not in ("second", "minute", "hour"):
        raise refused(f"per={per!r:.80} is second, minute or hour", "per=minute")
    buckets = asked.whole("buckets", 60, least=1, most=10_000)
    feed = await asked.app.boards.feed(asked.tenant)
    body = feed.body(("counts", per, buckets), lambda: feed.board.counts(per, buckets=buckets, now=feed.now).to_json())
    return tagged_reply(asked, body)


def endpoints() -> tuple[Endpoint, ...]:
    """Return the places of the interface that show boards."""
    return (
        Endpoint("GET", "/api/board/counts", _counts, says="how many events there were over time"),
        Endpoint("GET", "/api/board/{name}", _list, says="the rows of a board"),
        Endpoint("GET", "/api/board/{name}/{id:path}", _one, says="an agent, a transcript or a waterfall"),
    )
