"""Boards of logs that are kept between two starts: nothing is lost with them but time."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import attrs
import msgspec

from ... import installed_version
from ...board import Board
from ...clock import SystemClock
from ...errors import InvalidRecord
from ...own_log import OwnLog
from ...ports import KnowledgeStore
from ...redaction import Redactor

__all__ = ("KeptBoard", "KeptBoards")

_FOLDER = "/mcp"
_FILES_MAX = 50
_BYTES_MAX = 128 * 1024 * 1024
"""A board is bounded, and far below it."""
_SECONDS = 10.0
_DIGEST_CHARS = 64

_log = OwnLog("mcp")


@attrs.frozen
class KeptBoard:
    """A board, and what proves that the log goes on after it."""

    board: Board
    digest: str
    """The SHA-256 of the line of the event that it has folded last."""
    state: str
    """Of the hub."""
    damaged: int
    """How many records could not be read."""


class KeptBoards:
    """Keeps the boards of one log, and finds them again.

    A file is believed for the log, the tenant, the rules of redaction and the version that it was kept for, if it is as
    it was written. That the log is the same one, the caller sees by the digest.
    """

    def __init__(self, store: KnowledgeStore, target: str, path: str) -> None:
        self._store = store
        self._target = target
        self._path = path
        self._clock = SystemClock()

    async def find(self, tenant: str | None) -> KeptBoard | None:
        """Return the newest board that was kept; None if there is none that can be used."""
        name = None
        try:
            with anyio.fail_after(_SECONDS):
                ending = await self._ending(tenant)
                name = max((each for each in await self._store.list(_FOLDER) if each.endswith(ending)), default=None)
                if name is None or not 0 < (await self._store.size(f"{_FOLDER}/{name}") or 0) <= _BYTES_MAX:
                    return None
                content = await self._store.read_bytes(f"{_FOLDER}/{name}")
                return None if content is None else await anyio.to_thread.run_sync(_read, content, tenant)
        except Exception as error:  # noqa: BLE001 - whatever it is, the log has all
            _log.problem("a board that was kept cannot be used, and is made anew", error, name=name)
            return None

    async def keep(self, kept: KeptBoard) -> None:
        """Keep a board, which nothing may change meanwhile; it replaces the one that was kept before."""
        try:
            with anyio.fail_after(_SECONDS):
                ending = await self._ending(kept.board.tenant)
                name = f"{self._clock.now_ns():020d}{ending}"
                content = await anyio.to_thread.run_sync(_written, kept)
                before = await self._store.list(_FOLDER)
                await self._store.write(f"{_FOLDER}/{name}", content)
                others = sorted(each for each in before if not each.endswith(ending))
                gone = {each for each in before if each.endswith(ending) and each != name}
                for each in (*gone, *others[: max(0, len(others) + 1 - _FILES_MAX)]):
                    await self._store.delete(f"{_FOLDER}/{each}")
        except Exception as error:  # noqa: BLE001 - likewise
            _log.problem("a board cannot be kept; the next start reads the log for it", error)

    async def aclose(self) -> None:
        await self._store.aclose()

    async def _ending(self, tenant: str | None) -> str:
        """Return how the files of the same board end: a name says nothing of a log or a tenant."""
        return await anyio.to_thread.run_sync(self._name, tenant)  # it reads files

    def _name(self, tenant: str | None) -> str:
        target = self._target if "://" in self._target else str(Path(self._target).absolute())
        what = (target, self._path, tenant, Redactor.shared().stamp, installed_version())
        return f"-{hashlib.sha256(msgspec.json.encode(what)).hexdigest()[:32]}.json"


def _written(kept: KeptBoard) -> bytes:
    what = {"digest": kept.digest, "state": kept.state, "damaged": kept.damaged, "board": kept.board.snapshot()}
    body = msgspec.json.encode(what)
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _read(content: bytes, tenant: str | None) -> KeptBoard:
    """Return what was kept. Raises :class:`~hubwire.errors.InvalidRecord`."""
    body = content[_DIGEST_CHARS + 1 :]
    if hashlib.sha256(body).hexdigest().encode() != content[:_DIGEST_CHARS]:
        raise InvalidRecord("the file is not as it was written")
    found: dict[str, Any] = msgspec.json.decode(body)
    board = Board.restore(found["board"])
    if board.tenant != tenant:
        raise InvalidRecord("it is the board of another tenant")
    return KeptBoard(board, found["digest"], found["state"], found["damaged"])
