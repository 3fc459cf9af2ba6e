"""Ticks: once a second, the hub as a whole, the same for all who look."""

from __future__ import annotations

from typing import Any

from hubwire.errors import HubError

from ._boards import BoardFeed
from ._source import Source
from ._verifying import Verifying

__all__ = ("tick_frame",)

_RATE_SECONDS = 60


def tick_frame(source: Source, feed: BoardFeed, verifying: Verifying, *, contents: bool) -> bytes:
    """Return the frame that tells of the hub now; made once a second."""
    body = feed.body(("tick", contents), lambda: _tick(source, feed, verifying, contents=contents))
    return b"event: tick\ndata: " + body + b"\n\n"


def _tick(source: Source, feed: BoardFeed, verifying: Verifying, *, contents: bool) -> dict[str, Any]:
    now, board = feed.now, feed.board
    counts = board.counts("second", buckets=_RATE_SECONDS, now=now)
    problem = source.problem
    found: dict[str, Any] = {
        "now": feed.moment(now),
        "hub": board.hub(now=now).to_json(),
        "rate": [bucket.wrong + bucket.attention + bucket.other for bucket in counts.buckets],
        "lag_ms": None,
        "dropped": {"listeners": 0, "by": []},
        "verify": verifying.view(),
        "problem": None,
    }
    if problem is not None:
        text, suggestion = problem
        found["problem"] = {"text": text if contents else "there are no more events", "suggestion": suggestion}
    elif feed.problem:
        found["problem"] = {"text": feed.problem if contents else "the board has ended", "suggestion": ""}
    if source.hub is not None and feed.tenant is None:
        found |= _numbers(source.hub)
    return found


def _numbers(hub: Any) -> dict[str, Any]:
    try:
        statistics = hub.statistics()
    except HubError:
        return {}
    by = [{"listener": each.name, "dropped": each.dropped} for each in statistics.attachments if each.dropped]
    return {
        "lag_ms": round(statistics.loop_lag_seconds * 1000, 1),
        "dropped": {"listeners": sum(each["dropped"] for each in by), "by": by[:50]},
    }
