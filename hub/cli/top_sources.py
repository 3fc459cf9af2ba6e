"""What ``hubwire top`` shows: a log that is folded here, or the boards of a running hub."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import anyio
import anyio.lowlevel
import msgspec

from .. import codec
from ..board import Board
from ..clock import SystemClock
from ..errors import InvalidRecord, LogDamaged, StoreUnavailable
from ..log import LogReader
from ..ports import KnowledgeStore
from ..words import Names, meaning_of, outcome_of, took_ms_of, words_of
from .approvals import Details, details_from, facts_of, too_late
from .feed import read_on
from .hub_client import HubClient, HubRefused, HubUnreachable
from .output import PLAIN, as_text
from .redacted import shown

__all__ = ("HubTop", "LogTop", "Top", "View")

View = Literal["live", "agents", "approvals", "listeners"]
Row = Mapping[str, Any]

_ROWS_MAX = 2000
"""How many of the newest events are at hand."""
_SHOWN_MAX = 200
_BATCH = 500
_LOOK_SECONDS = 0.5
_BUCKETS = 60
_PAUSE_SECONDS, _PAUSE_SECONDS_MAX = 1.0, 30.0


class Top(Protocol):
    """Where agents are at work. ``state`` says how it is read now; rows are those of the dashboard's interface."""

    name: str
    state: str
    why_not: str
    """Why approvals cannot be decided from here; empty if they can."""

    async def run(self) -> None: ...
    async def hub(self) -> Row: ...
    async def rate(self) -> list[int]: ...
    async def rows(self, view: View) -> tuple[list[Row], int]: ...
    async def details(self, view: View, row: Row) -> str: ...
    async def prompts(self, approval_id: str) -> list[str]: ...
    async def decide(self, approval_id: str, verdict: str, reason: str, replies: Sequence[str]) -> str: ...
    async def aclose(self) -> None: ...


class LogTop:
    """A log, also while a hub writes it."""

    def __init__(self, store: KnowledgeStore, path: str, target: str, *, tenant: str | None, raw: bool) -> None:
        self.name: str = f"{target} {path}"
        self.state: str = "reading …"
        self.why_not: str = "a log is only looked at: name the address of the hub's dashboard to decide"
        self._store = store
        self._board = Board(tenant=tenant)
        self._tenant = tenant
        self._reader = LogReader(store, path)
        self._shown_as = shown(raw=raw)
        self._names = Names()
        self._newest: deque[bytes] = deque(maxlen=_ROWS_MAX)
        self._clock = SystemClock()

    async def run(self) -> None:
        """Fold what is there and what comes; it ends only with an error."""
        pause = _PAUSE_SECONDS
        while True:
            try:
                while await self._read():
                    pass
                self.state, pause = "Live", _PAUSE_SECONDS
                await anyio.sleep(_LOOK_SECONDS)
            except StoreUnavailable:
                self.state = f"retrying the store ({pause:g} s)"
                await anyio.sleep(pause)
                pause = min(2 * pause, _PAUSE_SECONDS_MAX)
            except LogDamaged as error:
                self.state = f"Log broken: {error}"
                await anyio.sleep_forever()

    async def _read(self) -> bool:
        records = await read_on(self._reader)
        for number, record in enumerate(records):
            try:
                body = self._shown_as.record(record).body
                if b'"seq":' in body:
                    event = codec.decode(body)
                    self._board.fold(event)
                    self._names.learn_line(body)
                    if self._tenant in (None, event.tenant):
                        self._newest.append(body)
            except InvalidRecord:
                continue
            if number % _BATCH == _BATCH - 1:
                await anyio.lowlevel.checkpoint()
        return bool(records)

    @property
    def _now(self) -> float | None:
        # What a hub has left behind that was stopped is shown as it was then.
        return None if self._board.hub().state == "stopped" else self._clock.now_ns() / 1e9

    async def hub(self) -> Row:
        """Return the hub as a whole."""
        return self._board.hub(now=self._now).to_json()

    async def rate(self) -> list[int]:
        """Return how many events there were in each of the last 60 seconds, the oldest first."""
        counts = self._board.counts("second", buckets=_BUCKETS, now=self._now)
        return [each.wrong + each.attention + each.other for each in counts.buckets]

    async def rows(self, view: View) -> tuple[list[Row], int]:
        """Return the rows of a view, and how many more there are."""
        if view == "live":
            newest = [self._newest[-1 - number] for number in range(min(len(self._newest), _SHOWN_MAX))]
            return [self._row(body) for body in newest], len(self._newest) - len(newest)
        board, now = self._board, self._now
        found: Any = {
            "agents": lambda: board.agents(now=now, limit=_SHOWN_MAX),
            "approvals": lambda: board.approvals(now=now, limit=_SHOWN_MAX),
            "listeners": board.listeners,
        }[view]()
        return [each.to_json() for each in found], found.not_shown

    def _row(self, body: bytes) -> Row:
        fields = codec.decode_fields(body)
        agent = fields.get("agent_id")
        return {
            "seq": fields.get("seq"),
            "at": fields.get("at"),
            "kind": fields.get("kind"),
            "agent": self._names.agent(agent) if isinstance(agent, str) else fields.get("listener"),
            "words": words_of(fields, self._names),
            "meaning": meaning_of(fields),
            "outcome": outcome_of(fields),
            "took_ms": took_ms_of(fields),
            "fields": fields,
        }

    async def details(self, view: View, row: Row) -> str:
        """Return all there is about a row, as text."""
        if view == "approvals":
            return "\n".join(facts_of(Details(row), PLAIN))
        return as_text(row["fields"] if view == "live" else row)

    async def prompts(self, approval_id: str) -> list[str]:
        """Nothing is decided in a log."""
        raise NotImplementedError

    async def decide(self, approval_id: str, verdict: str, reason: str, replies: Sequence[str]) -> str:
        """Nothing is decided in a log."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close the store."""
        await self._store.aclose()


class HubTop:
    """A running hub, at the address of its dashboard."""

    def __init__(self, address: str, *, tenant: str | None) -> None:
        self._client = HubClient(address)
        self.name: str = self._client.name
        self.state: str = "connecting …"
        self.why_not: str = ""
        self._tenant = tenant
        self._hub: Row = {}
        self._rate: list[int] = []
        self._newest: deque[Row] = deque(maxlen=_ROWS_MAX)
        self._last_id: str | None = None

    async def run(self) -> None:
        """Take in the stream, again and again; it ends only with an error that does not pass."""
        pause = _PAUSE_SECONDS
        session = None
        while True:
            try:
                if session is None:
                    session = await self._client.get("api/session")
                    if session.get("role") == "read":
                        self.why_not = "your token may only look: deciding needs one of the role operate"
                    elif session.get("source") == "log":
                        self.why_not = "this dashboard shows a log: the one of the running hub decides"
                async for message in self._client.messages(
                    "api/stream", self._last_id, last=_SHOWN_MAX, boards=1, tenant=self._tenant
                ):
                    self.state, pause = "Live", _PAUSE_SECONDS
                    self._take(message.event, message.id, message.data)
                self.state = "Reconnecting …"
            except HubUnreachable:
                self.state = f"Reconnecting in {pause:g} s"
            await anyio.sleep(pause)
            pause = min(2 * pause, _PAUSE_SECONDS_MAX)

    def _take(self, event: str, identifier: str, data: bytes) -> None:
        if identifier:
            self._last_id = identifier
        found = msgspec.json.decode(data)
        if event == "rows":
            self._newest.extend(found)
        elif event == "tick":
            self._hub, self._rate = found["hub"], found.get("rate") or []
        elif event == "stale":
            self._newest.clear()

    async def hub(self) -> Row:
        """Return the hub as a whole, as the last tick said."""
        return self._hub

    async def rate(self) -> list[int]:
        """Return how many events there were in each of the last 60 seconds, the oldest first."""
        return self._rate

    async def rows(self, view: View) -> tuple[list[Row], int]:
        """Return the rows of a view, and how many more there are."""
        if view == "live":
            newest = [self._newest[-1 - number] for number in range(min(len(self._newest), _SHOWN_MAX))]
            return newest, len(self._newest) - len(newest)
        found = await self._client.get(f"api/board/{view}", tenant=self._tenant, limit=_SHOWN_MAX)
        return found["rows"], found["not_shown"]

    async def details(self, view: View, row: Row) -> str:
        """Return all there is about a row, as text."""
        if view == "live":
            return as_text((await self._client.get(f"api/events/{row['seq']}")).get("event") or row)
        if view == "approvals":
            found = await self._client.get(f"api/approvals/{row['approval_id']}")
            return "\n".join(facts_of(details_from(found), PLAIN))
        return as_text(row)

    async def prompts(self, approval_id: str) -> list[str]:
        """Return what has to be replied to before a yes counts."""
        return details_from(await self._client.get(f"api/approvals/{approval_id}")).prompts

    async def decide(self, approval_id: str, verdict: str, reason: str, replies: Sequence[str]) -> str:
        """Approve or deny; return what has become of it."""
        body = {"verdict": verdict, "reason": reason, "replies": list(replies)}
        try:
            answer = await self._client.post(f"api/approvals/{approval_id}/decision", body)
        except HubRefused as error:
            raise too_late(error, verdict) or error from error
        return str(answer["approval"]["state"])

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()
