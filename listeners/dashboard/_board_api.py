"""The places of the interface that show boards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hubwire.board import Board, Rows

from ._asked import Asked, Endpoint
from ._boards import BoardFeed
from ._hiding import hidden_view
from ._http import Problem, Reply, refused, tagged_reply

__all__ = ("endpoints",)

_LIMIT = 500
_LIMIT_MAX = 5000

_Listing = Callable[[Board, float | None, int], Any]

_LISTS: Mapping[str, _Listing] = {
    "agents": lambda board, now, limit: board.agents(now=now, limit=limit),
    "channels": lambda board, _, limit: board.channels(limit=limit),
    "runs": lambda board, now, limit: board.runs(now=now, limit=limit),
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
    "channels": lambda board, which, now: board.channel(which, now=now),
    "runs": lambda board, which, now: board.run(which, now=now),
}


async def _feed(asked: Asked) -> BoardFeed:
    """Return the board that is asked for. Raises :class:`~._http.Problem` if it could not even begin."""
    feed = await asked.parts.boards.feed(asked.tenant)
    if feed.problem and feed.board.seq < 0:
        message = feed.problem if asked.contents else "the board could not begin"
        raise Problem(503, "ended", message, "look at the log of the program", headers={"Retry-After": "2"})
    return feed


async def _list(asked: Asked) -> Reply:
    name = asked.path["name"]
    if name not in _LISTS:
        raise Problem(404, "not_found", f"there is no board {name[:80]!r}", f"one of {', '.join(_LISTS)}")
    if name in _OF_ALL and asked.tenant is not None:
        raise Problem(403, "not_allowed", f"{name} are of the whole hub, not of a tenant")
    limit = asked.whole("limit", _LIMIT, least=1, most=_LIMIT_MAX)
    feed = await _feed(asked)

    def make() -> Any:
        now = feed.now
        rows: Rows[Any] = _LISTS[name](feed.board, now, limit)
        shown = [hidden_view(row.to_json(), contents=asked.contents) for row in rows]
        return {"seq": feed.board.seq, "now": feed.moment(now), "rows": shown, "not_shown": rows.not_shown}

    return tagged_reply(asked.request, feed.body((name, limit, asked.contents), make))


async def _one(asked: Asked) -> Reply:
    name, which = asked.path["name"], asked.path["id"]
    if name not in _ONE:
        raise Problem(404, "not_found", f"there is no board {name[:80]!r} of one", f"one of {', '.join(_ONE)}")
    if not 0 < len(which) <= 1000 or not which.isprintable():
        raise refused(f"{which[:80]!r} is no id")
    feed = await _feed(asked)

    def make() -> Any:
        now = feed.now
        found = _ONE[name](feed.board, which, now)
        if found is None:
            raise Problem(404, "not_found", f"the board has no {name[:-1]} {which[:80]!r}", "it may have left")
        return {"seq": feed.board.seq, "now": feed.moment(now), **hidden_view(found.to_json(), contents=asked.contents)}

    return tagged_reply(asked.request, feed.body((name, which, None, asked.contents), make))


async def _counts(asked: Asked) -> Reply:
    per = asked.text("per", "second")
    if per not in ("second", "minute", "hour"):
        raise refused(f"per={per!r:.80} is second, minute or hour", "per=minute")
    buckets = asked.whole("buckets", 60, least=1, most=10_000)
    feed = await _feed(asked)
    body = feed.body(("counts", per, buckets), lambda: feed.board.counts(per, buckets=buckets, now=feed.now).to_json())
    return tagged_reply(asked.request, body)


def endpoints() -> tuple[Endpoint, ...]:
    """Return the places of the interface that show boards."""
    return (
        Endpoint("GET", "/api/board/counts", _counts, says="how many events there were over time"),
        Endpoint("GET", "/api/board/{name}", _list, says="the rows of a board"),
        Endpoint("GET", "/api/board/{name}/{id:path}", _one, says="an agent, a transcript or a waterfall"),
    )
