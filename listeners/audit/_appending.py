"""The calls of an audit log that append records of one's own, and those of a hub of AG2's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from hubwire import codec
from hubwire.errors import AlreadyRunning
from hubwire.log import Log
from hubwire.ports import Clock, KnowledgeStore

from . import _batches
from ._clocks import now
from ._erasable import Erasing
from ._fields import fields_given
from ._keeping import Keeper
from ._lending import Place
from ._provable import Signature
from ._redaction import Redaction
from .blobs import BODY_BYTES_MAX, cut

__all__ = ("Appendable", "CalledByAg2")

_TOGETHER_BYTES_MAX = 2048
"""Smaller records are redacted when they are written, together: what is longer by that has room in a line still."""


class Appendable:
    """What appends records to a log."""

    path: str
    _store: KnowledgeStore
    _log: Log
    _clock: Clock
    _place: Place
    _keeper: Keeper
    _erasing: Erasing
    _signature: Signature
    _redaction: Redaction
    _admit: Callable[[], Awaitable[None]] | None
    _takes_small: bool
    """Whether nothing is ever to be done for one small record by itself."""

    async def append(self, record: Mapping[str, Any]) -> int:
        """Append a record, with the time as ``at`` if it has none; return its index. It is stored when it returns.

        Values that JSON cannot hold are kept as marked substitutes. A record of more than 64 KB is redacted in a
        thread: of calls at the same time one with a smaller record may come first. Raises
        :class:`~hubwire.errors.InvalidRecord` if it is not a mapping, if its kind begins with ``log.``, or if it uses a
        key that is reserved for the log: ``seq``, ``d``, ``h`` or ``cut``; and
        :class:`~hubwire.errors.EventTooLarge` for more than 8 MiB.
        """
        fields = fields_given(record)
        if "at" not in fields:
            fields["at"] = now(self._clock)
        body = codec.encode_record(fields)
        if (
            len(body) <= _TOGETHER_BYTES_MAX
            and self._takes_small
            and self._erasing.is_ready
            and self._signature.is_ready
        ):
            loop = asyncio.get_running_loop()
            index = await self._log.append_one(body, loop)
            if self._place.kept_in is not loop:
                self._place.take()
            return index
        if len(body) > BODY_BYTES_MAX:
            (body,) = await self._redaction.lines([body])
        else:
            body = self._redaction.line(body)
        if self._erasing.contents is None and len(body) <= BODY_BYTES_MAX:
            return await self._append((body,))
        return (await self._append_shortened([body])).start

    async def append_many(self, records: Iterable[Mapping[str, Any]]) -> range:
        """Append records as a batch, all or none; return their indexes. They are stored when it returns.

        They follow each other in the log, and those without ``at`` have one time. Also after a crash at any point, all
        of them are there, or none. Much cheaper than as many calls of :meth:`append`. At most 1,000 records, and 8 MiB
        together. Before them the log writes a record of its own, ``log.batch_begun``.

        Raises what :meth:`append` raises for one of them, and then has written none; and
        :class:`~hubwire.errors.InvalidRecord` if they are too many, or no list.
        """
        bodies = _batches.bodies_of(records, partial(now, self._clock))
        bodies = await self._redaction.lines(bodies)
        if self._erasing.contents is None and not any(len(body) > BODY_BYTES_MAX for body in bodies):
            return await self._append_batch(bodies)
        return await self._append_shortened(bodies)

    async def _append_shortened(self, bodies: list[bytes]) -> range:
        """Append records of which some are too long, or have contents that are erasable.

        They have no key of their own that is named as a line's are: those are refused.
        """
        if any(len(body) > BODY_BYTES_MAX for body in bodies):
            async with self._keeper.long_records:
                return await self._append_short(bodies)
        return await self._append_short(bodies)

    async def _append_short(self, bodies: list[bytes]) -> range:
        if (contents := self._erasing.contents) is not None:
            await self._ready()
            if self._admit is not None:
                await self._admit()  # before a content is stored
            return await contents.append(bodies, self._append_batch)
        for number, body in enumerate(bodies):
            if len(body) > BODY_BYTES_MAX:
                bodies[number] = await cut(self._store, self.path, body)
        return await self._append_batch(bodies)

    async def _append_batch(self, bodies: Sequence[bytes]) -> range:
        if len(bodies) < 2:
            first = await self._append(bodies) if bodies else 0
        else:
            first = 1 + await self._append((self._log.batch_mark(len(bodies)), *bodies))
        return range(first, first + len(bodies))

    async def _append(self, bodies: Sequence[bytes]) -> int:
        await self._ready()
        if self._admit is not None:
            await self._admit()
        index = await self._log.append(bodies)
        self._place.take()
        return index

    async def _ready(self) -> None:
        """See that the log goes on from its newest checkpoint, and finish an erasure that a crash has ended."""
        try:
            await self._signature.ready()
            if not self._erasing.is_ready:
                await self._erasing.ready()
        except AlreadyRunning as error:
            raise self._place.explained(error) from error


class CalledByAg2(Appendable):
    """What a hub of AG2's calls on its audit log."""

    hook_failures: int

    async def on_agent_event(self, agent_id: str, kind: str, payload: Mapping[str, Any]) -> None:
        await self._append_from_hook(_of_ag2().agent_record(agent_id, kind, payload), payload)

    async def on_channel_event(self, channel_id: str, kind: str, payload: Mapping[str, Any]) -> None:
        await self._append_from_hook(_of_ag2().channel_record(channel_id, kind, payload), payload)

    async def on_task_event(self, task_id: str, kind: str, payload: Mapping[str, Any]) -> None:
        await self._append_from_hook(_of_ag2().task_record(task_id, kind, payload), payload)

    async def on_expectation_fired(self, channel_id: str, expectation: Any, violation: Any) -> None:  # noqa: ARG002
        await self._append_from_hook(_of_ag2().expectation_record(channel_id, violation), {})

    async def on_turn_failed(self, channel_id: str, agent_id: str, envelope_id: str, exc: Any) -> None:
        await self._append_from_hook(_of_ag2().turn_failed_record(channel_id, agent_id, envelope_id, exc), {})

    async def _append_from_hook(self, record: dict[str, Any] | None, payload: Mapping[str, Any]) -> None:
        if record is None:
            return
        at = payload.get("at")
        try:
            await self._place.borrow()
            await self.append({**record, "at": at} if at else record)
            self._place.take(is_lent=True)
        except Exception:
            self.hook_failures += 1
            raise


def _of_ag2() -> Any:
    """Return the records of AG2's own audit log. Only a log on a hub of AG2's needs them."""
    from hubwire.runtimes.ag2 import records  # noqa: PLC0415 - all that knows AG2 is there

    return records
