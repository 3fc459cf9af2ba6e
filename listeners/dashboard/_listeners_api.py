"""The listeners of the hub, its watermarks, and what its journal, log and ring hold."""

from __future__ import annotations

from typing import Any

from hubwire import Hub, HubStatistics

from ._asked import Asked, Endpoint
from ._hiding import hidden_view
from ._http import Problem, Reply, json_reply

__all__ = ("endpoints",)


async def _listeners(asked: Asked) -> Reply:
    if asked.tenant is not None:
        raise Problem(403, "not_allowed", "listeners are of the whole hub, not of a tenant")
    feed, hub = await asked.parts.boards.feed(None), asked.parts.source.hub
    rows = [hidden_view(each.to_json(), contents=asked.contents) for each in feed.board.listeners()]
    found: dict[str, Any] = {"rows": rows, "watermarks": None, "figures": {}}
    if hub is not None:
        statistics = hub.statistics()
        found["rows"] = _with_numbers(asked, rows, statistics)
        at_work = [each.position for each in statistics.attachments if each.state.value != "detached"]
        delivered = min(at_work, default=statistics.committed)
        audit = asked.parts.logs.audit
        found["watermarks"] = {
            "committed": statistics.committed - 1,
            "audited": None if audit is None else audit.last_seq(),
            "delivered": delivered - 1,
        }
        found["figures"] = _figures(asked, hub, statistics)
    return json_reply(found)


def _with_numbers(asked: Asked, rows: list[dict[str, Any]], statistics: HubStatistics) -> list[dict[str, Any]]:
    """Return the rows of listeners with what the hub itself has counted; those that events have not told of, too."""
    numbers = {each.name: each for each in statistics.attachments}
    for row in rows:
        each = numbers.pop(row["listener"], None)
        if each is not None and row["state"] != "detached":
            row.update(_numbers_of(each))
    for name, each in numbers.items():
        told: dict[str, Any] = {
            "listener": name,
            "duty": each.duty.value,
            "pattern": [],
            "state": "attached",
            "is_troubled": False,
        }
        rows.append({**told, "reason": "", "since_at": "", "last_error": "", "last_error_at": "", **_numbers_of(each)})
    for row in rows:
        if row.get("last_error"):
            said = asked.parts.logs.shown({"text": row["last_error"]})["text"]
            row["last_error"] = said if asked.contents else f"{len(said):,} characters"
    return rows


def _numbers_of(each: Any) -> dict[str, Any]:
    found = {name: getattr(each, name) for name in ("lag", "handled", "retries", "failed", "dropped", "restarts")}
    return {**found, "dead_letters": each.dead_letters, "is_muted": each.is_muted, "phase": each.state.value}


def _figures(asked: Asked, hub: Hub, statistics: HubStatistics) -> dict[str, Any]:
    health, journal, audit = hub.health(), statistics.journal, asked.parts.logs.audit
    head = None if audit is None else audit.head
    return {
        "hub": {
            "healthy": health.healthy,
            "problems": list(health.problems) if asked.contents else [f"{len(health.problems)} problems"],
            "agents": statistics.agents,
            "channels": statistics.channels,
            "in_flight": statistics.in_flight,
            "loop_lag_ms": round(statistics.loop_lag_seconds * 1000, 1),
        },
        "store": {
            "stalled_ms": round(statistics.commit_stalled_seconds * 1000, 1),
            "p50_ms": _milliseconds(statistics.append_seconds_p50),
            "p99_ms": _milliseconds(statistics.append_seconds_p99),
        },
        "journal": None
        if journal is None
        else {
            "bytes": journal.size_bytes,
            "first_seq": journal.first_seq,
            "seq": journal.next_seq - 1,
            "last_error": journal.last_error if asked.contents or journal.last_error is None else "hidden",
        },
        "audit": None
        if audit is None
        else {
            "bytes": audit.bytes_written,
            "records": 0 if head is None else head.records,
            "seq": audit.last_seq(),
            "durability": audit.durability,
        },
        "ring": {"held": statistics.ring_events, "bytes": statistics.ring_bytes},
        "feeds": _feeds(statistics),
    }


def _feeds(statistics: HubStatistics) -> dict[str, int] | None:
    """Return what the feeds of the hub say together, by the names that recorders and spools use; None without any."""
    numbers = [each.numbers for each in statistics.feeds]
    if not numbers:
        return None
    return {
        "count": len(numbers),
        "waiting": sum(each.get("waiting", 0) for each in numbers),
        "dropped": sum(each.get("dropped", 0) + each.get("lost", 0) for each in numbers),
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def endpoints() -> tuple[Endpoint, ...]:
    """Return the places of the interface that this file answers."""
    says = "the listeners of the hub, its watermarks, and what its journal, log and ring hold"
    return (Endpoint("GET", "/api/listeners", _listeners, says=says),)
