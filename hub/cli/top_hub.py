"""The boards of a running hub as they were at one moment, drawn as those of a log are."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, TypeVar

import attrs
import msgspec

from ..board import AgentView, ApprovalView, Bucket, CountsView, HubView, Rows, TroubleView
from .failures import CommandFailed
from .hub_client import HubClient, HubUnreachable

__all__ = ("FetchedBoard", "HubFeed")

_ROWS_MAX = 500

T = TypeVar("T")


@attrs.frozen
class FetchedBoard:
    """What a hub has said of itself. Its answers are as of when it was asked, so ``now`` changes nothing."""

    seen: HubView
    rate: tuple[int, ...]
    """How many events there were in each of the last seconds, the oldest first."""
    rows: Mapping[str, Rows[Any]]

    def hub(self, *, now: float | None = None) -> HubView:  # noqa: ARG002 - as of then
        return self.seen

    def counts(self, per: str = "second", *, buckets: int = 60, now: float | None = None) -> CountsView:  # noqa: ARG002
        """Return how many events there were; which of them were wrong is not told of seconds."""
        shown = [Bucket(start=0.0, wrong=0, attention=0, other=each) for each in self.rate[-buckets:]]
        return CountsView(per=per, width_seconds=1, buckets=tuple(shown))

    def agents(self, *, now: float | None = None, limit: int | None = None) -> Rows[AgentView]:  # noqa: ARG002
        return self._first("agents", limit)

    def approvals(self, *, now: float | None = None, limit: int | None = None) -> Rows[ApprovalView]:  # noqa: ARG002
        return self._first("approvals", limit)

    def troubles(self, *, limit: int | None = None) -> Rows[TroubleView]:
        return self._first("troubles", limit)

    def _first(self, name: str, limit: int | None) -> Rows[Any]:
        found = self.rows[name]
        shown = found.rows[:limit]
        return Rows(shown, found.not_shown + len(found) - len(shown))


class HubFeed:
    """Asks a hub for its boards, again and again."""

    damaged: int = 0
    """A hub has no damaged records to tell of."""
    pause_seconds: float = 1.0
    """Boards change once a second."""

    def __init__(self, client: HubClient, tenant: str | None) -> None:
        self.trouble: str = ""
        """Why what is shown is not of now; empty if it is."""
        self._board: FetchedBoard | None = None
        self._client = client
        self._tenant = tenant

    @property
    def board(self) -> FetchedBoard:
        """What the hub has said last; it has to be asked before."""
        assert self._board is not None
        return self._board

    @property
    def state(self) -> str:
        """Of the hub."""
        return self.board.seen.state

    async def read(self) -> bool:
        """Ask once; there is never more to be read at once. A hub that has answered before may be away for a while."""
        try:
            self._board, self.trouble = await self._fetched(), ""
        except HubUnreachable as error:
            if self._board is None:
                raise
            self.trouble = str(error)
        return False

    async def read_all(self) -> None:
        """Ask once."""
        await self.read()

    async def _fetched(self) -> FetchedBoard:
        tick = await self._tick()
        rows = {}
        for name, view in _VIEWS.items():
            found = await self._client.get(f"api/board/{name}", tenant=self._tenant, limit=_ROWS_MAX)
            rows[name] = Rows(tuple(self._made(each, view) for each in found["rows"]), found["not_shown"])
        return FetchedBoard(self._made(tick["hub"], HubView), tuple(tick.get("rate") or ()), rows)

    async def _tick(self) -> Any:
        messages = self._client.messages("api/stream", None, last=0, boards=1, tenant=self._tenant)
        async with aclosing(messages):
            async for message in messages:
                if message.event == "tick":
                    return msgspec.json.decode(message.data)
        raise HubUnreachable(f"{self._client.name} has closed the stream")

    def _made(self, found: Any, view: type[T]) -> T:
        try:
            return msgspec.convert(found, view)
        except msgspec.ValidationError as error:
            raise CommandFailed(
                f"{self._client.name} has boards of another version of hubwire: {error}; use the command of that one"
            ) from error


_VIEWS: Mapping[str, type[Any]] = {"agents": AgentView, "approvals": ApprovalView, "troubles": TroubleView}
