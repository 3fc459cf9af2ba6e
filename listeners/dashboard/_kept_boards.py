"""Boards that are kept in a store, so that a page opens at once: nothing is lost with them but time."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import anyio.to_thread
import msgspec

from hubwire import installed_version
from hubwire.board import Board
from hubwire.errors import InvalidRecord
from hubwire.guests import GuestTask
from hubwire.own_log import OwnLog
from hubwire.ports import Clock, KnowledgeStore

from ._source import Source

__all__ = ("KeptBoards",)

_FOLDER = "/boards"
_FILES_MAX = 50
_BYTES_MAX = 128 * 1024 * 1024
"""A board is bounded, and far below it."""
_STORE_SECONDS = 20.0
_DIGEST_CHARS = 64

_log = OwnLog("dashboard")


class KeptBoards:
    """Keeps the boards of one source in a store, and finds them again.

    A file is believed for the hub, the tenant, the rules of redaction and the version that it was kept for, and if it
    is as it was written. That its place is one of this history is proved by its cursor, when events are read after it.
    """

    def __init__(self, store: KnowledgeStore, source: Source, clock: Clock) -> None:
        self._store = store
        self._source = source
        self._clock = clock

    async def find(self, tenant: str | None) -> tuple[Board, str] | None:
        """Return the newest board that was kept, and the cursor after what it has folded; None if there is none."""
        name = None
        try:
            names, ending = await self._call(self._store.list, _FOLDER), await self._ending(tenant)
            name = max((each for each in names if each.endswith(ending)), default=None)
            if name is None:
                return None
            size = await self._call(self._store.size, f"{_FOLDER}/{name}")
            if not size or size > _BYTES_MAX:
                return None
            content = await self._call(self._store.read_bytes, f"{_FOLDER}/{name}")
            return await anyio.to_thread.run_sync(_read, content, tenant)
        except Exception as error:  # noqa: BLE001 - the store is the caller's: whatever it raises, the log has all
            _log.problem("a board that was kept cannot be used, and is made anew", error, name=name)
            return None

    async def keep(self, board: Board, cursor: str) -> None:
        """Keep a board, which nothing may change meanwhile; it replaces the one that was kept before."""
        try:
            ending = await self._ending(board.tenant)
            name = f"{self._clock.now_ns():020d}{ending}"
            content = await anyio.to_thread.run_sync(_written, board, cursor)
            before = await self._call(self._store.list, _FOLDER)
            await self._call(self._store.write, f"{_FOLDER}/{name}", content)
            kept = [each for each in before if not each.endswith(ending)]
            gone = {each for each in before if each.endswith(ending) and each != name}
            for each in (*gone, *kept[: max(0, len(kept) + 1 - _FILES_MAX)]):
                await self._call(self._store.delete, f"{_FOLDER}/{each}")
        except Exception as error:  # noqa: BLE001 - likewise
            _log.problem("a board cannot be kept; the next start reads the log for it", error)

    async def _ending(self, tenant: str | None) -> str:
        """Return how the files end of what is the same board: a name says nothing of a hub or a tenant."""
        source = self._source
        version = await anyio.to_thread.run_sync(installed_version)  # it reads files
        what = (source.id, source.sort, tenant, source.redactor.stamp, version)
        return f"-{hashlib.sha256(msgspec.json.encode(what)).hexdigest()[:32]}.json"

    async def _call(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        guest = GuestTask("the store of kept boards")
        try:
            return await guest.call(function, *arguments, seconds=_STORE_SECONDS)
        finally:
            guest.end()


def _written(board: Board, cursor: str) -> bytes:
    body = msgspec.json.encode({"cursor": cursor, "board": board.snapshot()})
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _read(content: bytes, tenant: str | None) -> tuple[Board, str]:
    """Return what was kept. Raises :class:`~hubwire.errors.InvalidRecord`."""
    body = content[_DIGEST_CHARS + 1 :]
    if hashlib.sha256(body).hexdigest().encode() != content[:_DIGEST_CHARS]:
        raise InvalidRecord("the file is not as it was written")
    found = msgspec.json.decode(body)
    board = Board.restore(found["board"])
    if board.tenant != tenant:
        raise InvalidRecord("it is the board of another tenant")
    return board, found["cursor"]
