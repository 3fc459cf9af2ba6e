"""Requests about dead letters, which the command line leaves in the store for the hub: a small file for each.

A hub that runs looks for them while it has dead letters, and each hub when it starts. Carrying one out twice, as after
a crash, is harmless: the letter is gone by then, or is retried once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs

from .. import codec
from .._delivery.letter_files import FOLDER
from .._values import Value
from ..clock import uuid_of_now
from ..errors import InvalidRecord
from ..own_log import OwnLog
from ..ports import Journal, KnowledgeStore

__all__ = ("Request", "Requests", "leave_request", "waiting_requests")

_log = OwnLog("hub")

_FOLDER = f"{FOLDER}/requests"
_VERSION = 1


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Request(Value):
    """What is wanted of a hub."""

    action: Literal["retry", "discard"]
    letter_id: str
    reason: str = ""
    path: str = ""
    """Where it is kept."""


async def leave_request(store: KnowledgeStore, journal_path: str, request: Request) -> str:
    """Leave a request for the hub that has this journal; return where."""
    path = f"{journal_path}/{_FOLDER}/{uuid_of_now().hex}.json"
    fields = {"action": request.action, "letter_id": request.letter_id, "reason": request.reason}
    await store.write(path, codec.encode_marker(fields, version=_VERSION), if_absent=True)
    return path


async def waiting_requests(store: KnowledgeStore, journal_path: str) -> Sequence[Request]:
    """Return the requests that wait, the oldest first; what is no request is reported by the log."""
    found = []
    for name in sorted(await store.list(f"{journal_path}/{_FOLDER}")):
        path = f"{journal_path}/{_FOLDER}/{name}"
        content = None if name.endswith("/") else await store.read_bytes(path)
        if content is not None and (request := _decoded(content, path)) is not None:
            found.append(request)
    return found


def _decoded(content: bytes, path: str) -> Request | None:
    try:
        fields = codec.decode_marker(content)
        if fields["v"] > _VERSION:
            raise InvalidRecord("it was written by a newer version of hubwire")  # noqa: TRY301
        action, letter, reason = fields.get("action"), fields.get("letter_id"), fields.get("reason")
        if action not in ("retry", "discard") or type(letter) is not str or type(reason) is not str:
            raise InvalidRecord("it names no action that this version knows")  # noqa: TRY301
    except InvalidRecord as error:
        _log.problem("what lies with the requests about dead letters is none; delete it", error, path=path)
        return None
    return Request(action=action, letter_id=letter, reason=reason, path=path)


class Requests:
    """The requests for one hub."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal

    async def waiting(self) -> Sequence[Request]:
        """Return those that wait, the oldest first."""
        journal = self._journal
        return () if journal is None else await waiting_requests(journal.store, journal.path)

    async def done(self, request: Request) -> None:
        """A request was carried out, or never will be."""
        if self._journal is not None:
            await self._journal.store.delete(request.path)
