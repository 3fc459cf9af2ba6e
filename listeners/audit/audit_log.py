"""AuditLog: a listener that appends every event to a log, and a log to append one's own records to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import anyio
import attrs

from hubwire import BaseHubListener, Duty, Event, codec
from hubwire.erasable import Opener
from hubwire.errors import AlreadyRunning, ConfigurationError
from hubwire.late_types import late_type
from hubwire.log import SEGMENT_BYTES, Head, Log, LogReader, Record, Rotation, follow
from hubwire.ports import Clock, KnowledgeStore, normalize_path
from hubwire.text_store import TextStore

from . import _arguments
from ._appending import CalledByAg2
from ._clocks import ClockFunction, SteadyClock, clock_of
from ._contents import ErasableFields
from ._erasable import Erasable, Erasing
from ._heads import HeadCallback, Heads
from ._keeping import Keeper, Prunable, retention_of
from ._last import id_of_last_event
from ._lending import Place
from ._promise import Promise
from ._provable import Provable, Signature
from ._queries import Queryable
from ._redaction import Redaction
from ._subscribers import AuditSubscriber, Subscribers, is_own
from ._verdicts import Verification
from .blobs import cut, must_be_cut, opened
from .retention import Retention
from .stand_ins import refuse_copy
from .verify import verify

if TYPE_CHECKING:
    from hubwire import Attachment
    from hubwire.proof import CheckpointWitness, Signer, Timestamper, WitnessPolicy
    from hubwire.redaction import Redactor
else:
    Attachment = late_type("hubwire", "Attachment")
    CheckpointWitness = late_type("hubwire.proof", "CheckpointWitness")
    Signer = late_type("hubwire.proof", "Signer")
    Timestamper = late_type("hubwire.proof", "Timestamper")
    WitnessPolicy = late_type("hubwire.proof", "WitnessPolicy")
    Redactor = late_type("hubwire.redaction", "Redactor")

__all__ = ("AuditLog", "AuditRecord", "AuditSubscriber")


@attrs.frozen
class AuditRecord:
    """A record as it stands in the log."""

    index: int
    """Its number in this log, from 0."""
    fields: dict[str, Any]
    """All fields of its line: those that were appended, then ``d`` and ``h``."""


class AuditLog(CalledByAg2, Erasable, Provable, Prunable, Queryable, BaseHubListener):
    """Appends every event of a hub, and records of your own, to an append-only log below ``path`` of a store.

    On a hub it is REQUIRED: an event is acknowledged when its record is stored, each event is in the log exactly once,
    in order, also after a crash, and a log that cannot be written stops the hub. (Attach it with another duty if you
    would rather work unaudited than stop.) It works without a hub, too, and its nine hooks, called by an AG2 hub, write
    the records of AG2's own audit log. A log belongs to one hub and has one writer; readers need no permission.

    On a store of AG2's, or any other :class:`~hubwire.text_store.TextStore`, the log's promises are weaker:
    :attr:`durability` is ``"unknown"``, and :func:`~hubwire.text_store.as_knowledge_store` describes the others.

    What is personal or secret is redacted before it is written, by the rules of the package: see
    :class:`~hubwire.redaction.Redactor`. ``redactor`` is another one, or None to store what comes as it is. A record
    that was changed says so in ``redacted``, by the stamp of the rules; ``log.opened`` says which rules are used on a
    hub. What cannot be redacted, because a rule fails, is stored without its contents and counted in
    :attr:`withheld`; the hub is not healthy then.

    ``rotation`` says when a segment is sealed and the next one begun: a :class:`~hubwire.log.Rotation`, or its size in
    bytes. ``retention`` says how long records are kept: the log prunes itself by it when a segment was sealed, and when
    it is first appended to; without one it keeps all. See :meth:`prune`. ``archive`` is another store to which what is
    pruned is copied first: see :func:`hubwire.stores.archived.archived`; the log does not close it, and prunes nothing
    of which an erasable content is still there: no erasure would reach it in the archive. ``indexed`` has it
    write an index beside each segment, by which :meth:`query` finds a narrow range of a large log at once: when it is
    sealed, each 4 MB that the last one grows by, and when the log is closed. ``clock`` gives the time of records
    without ``at``: a :class:`~hubwire.ports.Clock`, or a function as AG2 takes it, which returns ISO 8601 text, a
    datetime, or seconds since 1970. ``on_head`` is an async function that gets the :class:`~hubwire.log.Head` of the
    log, to keep it elsewhere: when a segment is full, when the log is closed, and at most every ``head_seconds`` while
    it grows; a call that fails is logged and counted in :attr:`head_errors`. Subscribers and ``on_head`` have
    ``close_seconds_max`` when the log is closed; calls that are not done then are cancelled.

    ``signer`` signs checkpoints of the log: see :mod:`hubwire.proof`. One is signed at most ``checkpoint_seconds``
    after a record was stored, and when the log is closed. A log whose records are not those of its newest checkpoint
    is refused: :class:`~hubwire.errors.LogRolledBack`. A signer that fails stops nothing: the log tries again, and its
    hub is not healthy meanwhile. ``witnesses`` are told of these checkpoints, so that the log cannot have another
    history later: a :class:`~hubwire.proof.WitnessPolicy`, or a list of witnesses, of which one is enough then. They
    never hold up an append, unless the policy is a closed one. ``timestamper`` has those checkpoints stamped by an
    authority that the log keeps for good: one an hour, one for each segment, those of :meth:`checkpoint`, and the last.
    On a hub the signed log has a heartbeat: a record ``log.heartbeat`` every
    ``heartbeat_seconds``, by the hub's clock, and when it is closed, says what is attached, how many events there were,
    and what was dropped, so that it is known of a time without events that there were none. None: it has no heartbeat.

    ``erasable`` are the fields whose contents can be erased later, by :meth:`erase`: names, or names joined by dots, of
    all records, or those of each kind, such as ``{"envelope.posted": ["content"], "tool.*": ["arguments", "result"]}``.
    A record has a salted commitment in the place of such a content; salt and content are in a file beside the log,
    stored before the record is. Who reads the log is given the content as long as it is there. See
    :mod:`hubwire.erasable`.

    The store is not used before the first call. Arguments that cannot be raise
    :class:`~hubwire.errors.ConfigurationError`; the other errors are those of :class:`hubwire.log.Log`:
    :class:`~hubwire.errors.AlreadyRunning`, :class:`~hubwire.errors.LogDamaged`, :class:`~hubwire.errors.StoreFull`,
    :class:`~hubwire.errors.Fenced`.
    """

    duty = Duty.REQUIRED
    since = "start"

    def __init__(
        self,
        store: KnowledgeStore | TextStore,
        *,
        path: str = "/audit",
        redactor: Redactor | Literal["default"] | None = "default",
        rotation: Rotation | int = SEGMENT_BYTES,
        retention: Retention | None = None,
        archive: KnowledgeStore | None = None,
        indexed: bool = False,
        clock: Clock | ClockFunction | None = None,
        on_head: HeadCallback | None = None,
        head_seconds: float = 60.0,
        signer: Signer | None = None,
        checkpoint_seconds: float = 1.0,
        heartbeat_seconds: float | None = 3600.0,
        witnesses: WitnessPolicy | Sequence[CheckpointWitness] | None = None,
        timestamper: Timestamper | None = None,
        erasable: ErasableFields | None = None,
        close_seconds_max: float = 2.0,
    ) -> None:
        if type(path) is not str:
            raise ConfigurationError(f"path is where the log is on its store, such as '/audit', not {path!r:.80}")
        if "{tenant}" in path:
            raise ConfigurationError(f"path {path!r:.80} is one of many logs; write TenantAuditLogs(store, path=...)")
        self.path: str = normalize_path(path)
        self.hook_failures: int = 0
        """How many records of an AG2 hub were not stored. That hub drops the exceptions of its listeners: look here."""
        self._redaction = Redaction(redactor)
        self._store = _arguments.store_for(store)
        self._clock = clock_of(clock)
        self._subscribers = Subscribers(self._store, self.path)
        self._close_seconds_max = _arguments.seconds("close_seconds_max", close_seconds_max)
        self._signature = Signature(signer, checkpoint_seconds, heartbeat_seconds, witnesses, timestamper)
        is_plain = on_head is None and retention is None and indexed is False
        self._log = Log(
            self._store,
            self.path,
            clock=SteadyClock(self._clock),
            chained=True,
            announce_opening=True,
            rotation=_arguments.rotation_of(rotation),
            on_appended=self._subscribers.appended if is_plain else self._appended,
            on_lines=self._signature.on_lines,
            prepare=self._redaction.prepare,
        )
        self._signature.begin(self._store, self._log, SteadyClock(self._clock), self._redaction.words)
        self._admit = self._signature.admit
        self._erasing = Erasing(erasable)
        self._erasing.begin(self._store, self._log)
        self._takes_small = self._admit is None and self._erasing.contents is None and self._redaction.is_late
        steady, kept = SteadyClock(self._clock), retention_of(retention)
        aside = _arguments.archive_for(archive, self._store)
        self._keeper = Keeper(self._store, self._log, steady, kept, indexed, self._signature, aside, self._erasing)
        self._heads = Heads(
            on_head if on_head is None else _arguments.function("on_head", on_head),
            _arguments.seconds("head_seconds", head_seconds),
            self.path,
            lambda: self._log.head,
        )
        self._place = Place(store, self.path, repr(self), self.aclose)
        self._attachment: Attachment | None = None
        self._announced: Attachment | None = None
        """The attachment of which the present ``log.opened`` speaks."""
        self._last_id: str | None = None
        self._is_unsettled = False
        """Whether a call was cancelled while its events were written."""

    def __repr__(self) -> str:
        return f"AuditLog({self._store!r:.200}, path={self.path!r})"

    def _appended(self, first: int, bodies: Sequence[bytes]) -> None:
        self._subscribers.appended(first, bodies)
        self._heads.appended(self._log.segment)
        self._keeper.appended(self._log.segment)

    # -- on a hub --

    def bind_attachment(self, attachment: Attachment) -> None:
        """Take the attachment whose duty and pattern the log is to promise. The hub calls it."""
        self._attachment = attachment
        self._signature.heartbeat.attached(attachment)

    async def __aenter__(self) -> Self:
        await refuse_copy(self._store, self.path)
        try:
            await self._log.open()
        except AlreadyRunning as error:
            raise self._place.explained(error) from error
        self._place.take()
        try:
            await self._signature.enter(self._redaction.words)
            if (seq := self._log.last_seq) is not None:
                self._last_id = await id_of_last_event(self._store, self.path, seq)
        except BaseException:
            # The hub leaves only what it has entered.
            with anyio.CancelScope(shield=True):
                await self.aclose()
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def last_seq(self) -> int | None:
        """Return the ``seq`` of the last event in the log; None if it holds none, or is not open."""
        return self._log.last_seq if self._log.is_open else None

    def last_id(self) -> str | None:
        """Return the id of the event of :meth:`last_seq`; None if it is not known."""
        return self._last_id if self._log.is_open else None

    @property
    def hub_id(self) -> str | None:
        """The id of the hub whose events are in the log; None if it holds none, or is not open."""
        return self._log.hub_id if self._log.is_open else None

    @property
    def head(self) -> Head | None:
        """How many records the log has, and the ``h`` of the last, as of now; None before it is first opened.

        Kept elsewhere, it proves later that no record before it was changed, cut off or removed: ``expect_head`` of
        :meth:`verify` takes it. ``str()`` gives the text that ``hubwire verify --expect-head`` takes.
        """
        head = self._log.head
        return head if head.records else None

    async def on_events(self, events: Sequence[Event]) -> None:
        """Append events. They are on disk when it returns, all of them or none.

        Those that the log has already are left out: a call that was cancelled may have written them all the same.
        """
        log = self._log
        if self._admit is not None:
            await self._admit()
        if self._is_unsettled:
            await log.append(())  # it waits for what is under way
        if log.last_seq is not None and events[0].seq <= log.last_seq:
            events = [event for event in events if event.seq > log.last_seq]
            if not events:
                return
        if not self._erasing.is_ready:
            await self._erasing.ready()
        self._is_unsettled = True
        bodies = await self._redaction.bodies(events)
        append = partial(log.append, seq=events[-1].seq, hub=events[-1].hub, opening=self._opening())
        if (contents := self._erasing.contents) is None:
            for number, body in enumerate(bodies):
                if must_be_cut(body):
                    bodies[number] = await cut(self._store, self.path, body)
            await append(bodies)
        else:
            await contents.append(bodies, append)
        self._is_unsettled = False
        self._last_id = events[-1].id
        self._announced = self._attachment

    def _opening(self) -> dict[str, Any] | None:
        """Return what ``log.opened`` has to say, unless it does."""
        attachment = self._attachment
        if attachment is self._announced or attachment is None or attachment.begins_seq is None:
            return None
        fields = Promise(attachment.duty.value, attachment.pattern, attachment.begins_seq).to_fields()
        return {**fields, **self._redaction.fields}

    # -- what has become of it --

    @property
    def withheld(self) -> int:
        """Of how many events and records the contents were left out, because they could not be redacted."""
        return self._redaction.withheld

    @property
    def subscriber_errors(self) -> int:
        """How many calls of subscribers have failed: they raised, or were not done in time."""
        return self._subscribers.errors

    @property
    def head_errors(self) -> int:
        """How many calls of ``on_head`` have failed."""
        return self._heads.errors

    @property
    def durability(self) -> str:
        """What a stored record survives, as its store states it: one of ``Durability``, or ``"unknown"``."""
        return str(getattr(self._store, "durability", "unknown"))

    @property
    def bytes_written(self) -> int:
        """The size of all segments of the log in bytes, with those of earlier starts; 0 until it is open."""
        return self._log.size_bytes

    def subscribe(self, callback: AuditSubscriber) -> None:
        """Call ``callback`` with every record appended from now on, in order, as a dictionary of its own.

        It gets what :meth:`read_all` returns: no records of the log's own. A quick callback has run when ``append``
        returns; a slow one delays only the callbacks after it, and is cancelled after 30 s. One that raises is logged
        and called again for the next record. Added twice, it is called twice.
        """
        self._subscribers.add(_arguments.function("a subscriber", callback))

    def unsubscribe(self, callback: AuditSubscriber) -> None:
        """Stop calling ``callback``; if it was added twice, call it once. Unknown is not an error."""
        self._subscribers.remove(callback)

    async def aclose(self) -> None:
        """Mark the log as cleanly closed, and close it. The next append opens it again.

        Subscribers and ``on_head`` are called with what came last, for at most ``close_seconds_max`` each. An indexed
        log has as long to index what came last.
        """
        self._announced = None
        try:
            await self._keeper.close()
            await self._erasing.close()
            await self._signature.close(self._close_seconds_max)
            await self._log.aclose()
            await self._keeper.finish(self._close_seconds_max)
        finally:
            self._place.leave()
            await self._subscribers.aclose(self._close_seconds_max)
            await self._heads.close(self._close_seconds_max)

    # -- reading --

    async def read_all(self) -> list[dict[str, Any]]:
        """Return the appended records, oldest first: without ``d`` and ``h``, and without the log's own records.

        It holds the whole log in memory; :meth:`read` does not.
        """
        records, opener = [], Opener(self._store, self.path)
        async for record in self._records(0):
            fields = codec.decode_fields(await opened(self._store, self.path, record.body, opener))
            if not is_own(fields):
                records.append(fields)
        return records

    async def verify(self, *, expect_head: Head | str | None = None, expect_records: int | None = None) -> Verification:
        """Check the log, as :func:`hubwire.listeners.audit.verify` does."""
        return await verify(self._store, self.path, expect_head=expect_head, expect_records=expect_records)

    async def read(self, *, start: int = 0) -> AsyncIterator[AuditRecord]:
        """Iterate over the records from index ``start`` to the present end, with the erasable contents that are there.

        In the place of one that was erased is ``{"$erased": {"at": ..., "by": ..., "basis": ..., "record": ...}}``.
        """
        opener = Opener(self._store, self.path)
        async for record in self._records(start):
            yield AuditRecord(record.index, codec.decode_fields(await opener.line(record.line)))

    async def tail(self, *, start: int | None = None) -> AsyncIterator[AuditRecord]:
        """Iterate like :meth:`read`, and go on as the log grows; by default from the present end. It never ends."""
        opener = Opener(self._store, self.path)
        async for record in follow(self._store, self.path, start=start):
            yield AuditRecord(record.index, codec.decode_fields(await opener.line(record.line)))

    async def _records(self, start: int) -> AsyncIterator[Record]:
        reader = LogReader(self._store, self.path)
        await reader.seek_index(start)
        while records := await reader.read():
            for record in records:
                yield record
