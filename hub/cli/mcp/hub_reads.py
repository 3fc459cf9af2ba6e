"""A running hub, at the address of its dashboard: what the token may see, and may decide."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import anyio

from ...errors import ConfigurationError
from ...query import Selection
from ..approvals import decided_at, details_from
from ..failures import CommandFailed
from ..hub_client import HubClient, HubRefused
from ..hub_source import filters_of
from .answers import Answer, Kept, as_json, bounded
from .reading import WHOLE_BYTES_MAX, Asked, Board, Boarded, Row, Taken, Verdict

__all__ = ("HubReads",)

_PAGE = 25
_WHOLE_PAGE = 5
"""Each of them is one more question."""
_NEWEST_MAX = 500
_SESSION_SECONDS = 10.0
_ROW = ("seq", "index", "at", "kind", "agent", "channel", "tenant", "correlation", "meaning", "outcome", "took_ms")


class HubReads:
    """Reads one hub by the interface of its dashboard, which redacts."""

    def __init__(self, address: str) -> None:
        self._client = HubClient(address)
        self.name: str = self._client.name
        self._kept = Kept()
        self._session: dict[str, Any] = {}
        self._session_until = 0.0

    async def session(self) -> dict[str, Any]:
        """Return who the hub takes the reader for: as it said a moment ago, for most answers ask for it."""
        if (now := anyio.current_time()) > self._session_until:
            self._session = await self._client.get("api/session")
            self._session_until = now + _SESSION_SECONDS
        return self._session

    async def check_may_decide(self) -> None:
        """Refuse a token that may not answer approvals, and an address that has none to answer."""
        session = await self.session()
        if session.get("source") == "log":
            raise CommandFailed(
                f"{self.name} serves a log, which is only read: --allow-decide needs the address of a running hub"
            )
        if session.get("role") == "read":
            raise CommandFailed(
                f"{self.name}: the token of {session.get('person')} has the role read: --allow-decide needs one of the"
                " role operate; leave it out to read only"
            )

    # -- records --

    async def events(self, asked: Asked, into: Answer) -> Taken:
        if asked.selection.where:
            raise ConfigurationError(
                "where is for a store, and this is a running hub: use kind, agent, channel, text and other filters"
            )
        notes, newest = await self._notes(), await self._newest()
        filters = filters_of(asked.selection) | {"outcome": list(asked.outcomes)}
        last, begun, size = asked.after, into.count, _WHOLE_PAGE if asked.is_whole else _PAGE
        while (done := into.count - begun) < asked.limit:
            found = await self._client.get(
                "api/events",
                **filters,
                after=last,
                limit=min(size, asked.limit - done),
                newest_first=1 if asked.newest_first else None,
            )
            if not all([into.add(await self._row(each, asked)) for each in found["rows"]]):
                into.back_to(begun + done)  # a cursor is of whole pages alone
                if done or size == 1:
                    break
                size = 1
            elif found.get("cursor") is None:
                return Taken(first=newest, last=None if asked.newest_first else newest, notes=notes)
            else:
                last = str(found["cursor"])
        return Taken(first=newest, last=last, is_more=True, notes=notes)

    async def _notes(self) -> tuple[str, ...]:
        if (await self.session()).get("contents"):
            return ()
        return (f"{self.name} hides contents from this token: they are told by their size",)

    async def _newest(self) -> str | None:
        """Return the cursor of the newest record, which is not said with others."""
        found: str | None = (await self._client.get("api/events", limit=1, newest_first=1)).get("cursor")
        return found

    async def _row(self, row: Row, asked: Asked) -> dict[str, Any]:
        made = {name: bounded(row[name]) for name in _ROW if name in row}
        made |= {"task": bounded(row.get("task_id")), "says": row.get("words")}
        made = {name: value for name, value in made.items() if value not in (None, "")}
        if not asked.is_whole or "seq" not in row:  # a record without one is no event
            return made
        record = await self.one(str(row["seq"]))
        if (size := len(as_json(record).encode())) > WHOLE_BYTES_MAX:
            return {**made, "too_large": f"{size:,} bytes: show seq {row['seq']} has all of it"}
        return {**{name: made[name] for name in ("agent", "channel") if name in made}, "record": record}

    async def counts(self, selection: Selection) -> dict[str, int]:
        found = await self._client.get("api/facets", fields="kind", **filters_of(selection))
        return {str(each[0]): int(each[1]) for each in found["facets"]["kind"]}

    async def one(self, wanted: str) -> dict[str, Any]:
        seq = wanted
        if wanted.startswith("-"):
            number = int(wanted[1:]) if wanted[1:].isdecimal() and len(wanted) < 6 else 0
            if not 0 < number <= _NEWEST_MAX:
                raise ConfigurationError(f"show: {wanted!r:.80} is no place; -1 is the newest event, -2 the one before")
            rows = (await self._client.get("api/events", newest_first=1, limit=number))["rows"]
            if len(rows) < number:
                raise CommandFailed(f"{self.name} has no event at {wanted}: there are {len(rows):,}")
            seq = str(rows[-1]["seq"])
        if not (seq.isascii() and seq.isdecimal()):
            raise ConfigurationError(
                f"show: {wanted!r:.80} is no seq; at the address of a hub, events are known by their seq"
            )
        found = await self._client.get(f"api/events/{seq}")
        if (record := found.get("event")) is not None:
            return self._kept.keep(wanted, dict(record))
        return {**found["row"], "contents": "hidden from this token"}

    async def again(self, wanted: str) -> dict[str, Any]:
        return self._kept.find(wanted) or await self.one(wanted)

    # -- boards --

    async def hub(self) -> dict[str, Any]:
        session = await self.session()
        found = {**session.get("hub", {}), "of": session.get("source")}
        if session.get("tenants") is None and session.get("source") == "hub":
            found["health"] = await self._client.get("api/health")
        return found

    async def board(self, board: Board, tenant: str | None, limit: int) -> Boarded:
        if board == "listeners" and (tenant is not None or (await self.session()).get("tenants") is not None):
            return Boarded(rows=[], not_shown=0, notes=("listeners are of the whole hub, and not of a tenant",))
        found = await self._client.get(f"api/board/{board}", tenant=tenant, limit=limit)
        return Boarded(rows=found["rows"][:limit], not_shown=found["not_shown"], notes=await self._notes())

    # -- approvals --

    async def arguments(self, approval: Row) -> Any:
        found = details_from(await self._details(approval)).arguments
        if found is None and not await self._notes():  # a hub has those that wait, and its log all
            with suppress(HubRefused):
                found = (await self.one(str(approval["requested_seq"]))).get("arguments")
        return found

    async def said_before(self, approval: Row) -> list[Row]:
        return [*details_from(await self._details(approval)).said_before]

    async def _details(self, approval: Row) -> dict[str, Any]:
        found: dict[str, Any] = await self._client.get(f"api/approvals/{approval['approval_id']}")
        return found

    async def decide(self, approval_id: str, verdict: Verdict, reason: str) -> Row:
        return await decided_at(self._client, approval_id, verdict, reason)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()
