"""The calls of an audit log that erase contents of its records."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import attrs

from hubwire import codec
from hubwire.erasable import commitments_of
from hubwire.errors import AlreadyRunning, ConfigurationError, InvalidRecord
from hubwire.late_types import late_type
from hubwire.log import Log, LogReader
from hubwire.ports import KnowledgeStore

from . import _arguments
from ._contents import Contents, policy_of
from ._erasing import Eraser, records_in, whole_fields
from ._holds import read_keeping
from ._lending import Place
from ._provable import Signature
from ._redaction import Redaction
from ._targets import Targets

if TYPE_CHECKING:
    from hubwire.query import Selection, Texts
else:
    Selection = late_type("hubwire.query", "Selection")
    Texts = late_type("hubwire.query", "Texts")

__all__ = ("Erasable", "Erased", "Erasing")

_MANY = 100_000

NOT_ERASED = (
    "the journal of the hub, which has its events whole until it is truncated",
    "snapshots of the hub's state: contents of channels, tasks and inboxes that are still open",
    "boards and other views, in memory and kept",
    "dead letters, and the spool",
    "what was exported, sent to webhooks, or read by listeners and subscribers",
    "backups and other copies of the log, and snapshots of its disk",
    "what hubwire repair has set aside in /lost",
    "fields of the records that are not erasable, and the files of records that were too long for a line",
)
"""Where the same content may be, which an erasure in a log does not touch."""


@attrs.frozen(kw_only=True)
class Erased:
    """What an erasure has done, and what it has not."""

    path: str
    records: int
    """Of how many records contents were erased."""
    contents: int
    """How many contents: a record may have several."""
    said_again: int = 0
    """How many contents more were gone already, erased as their pages say, while no record of the log said so any more:
    the record says it now."""
    size_bytes: int
    """How many bytes they had, with their salts."""
    record: int | None
    """The index of the record ``record.erased``, the first one if they are several; None if there was no content."""
    by: str
    basis: str
    not_erased: tuple[str, ...] = NOT_ERASED
    """Where the same content may be: the log does not reach it."""


class Erasing:
    """What an audit log has to erase contents with. What is not asked for is not made."""

    def __init__(self, erasable: Any) -> None:
        self.contents: Contents | None = None
        self.eraser: Eraser | None = None
        self._policy = policy_of(erasable)

    def begin(self, store: KnowledgeStore, log: Log) -> None:
        """The log is there."""
        if self._policy is not None:
            self.contents = Contents(self._policy, store, log.path, lambda: log.records)
        self.eraser = Eraser(store, log, self.contents)

    @property
    def is_ready(self) -> bool:
        """Whether what an earlier opening left undone is done."""
        return self.eraser is not None and self.eraser.is_ready

    async def ready(self) -> None:
        """Finish what a crash has ended, before the log is appended to."""
        assert self.eraser is not None
        if not self.eraser.is_ready:
            await self.eraser.ready()

    async def close(self) -> None:
        """Wait for what is under way."""
        assert self.eraser is not None
        await self.eraser.close()


class Erasable:
    """What erases contents of a log."""

    path: str
    _store: KnowledgeStore
    _log: Log
    _place: Place
    _erasing: Erasing
    _redaction: Redaction
    _signature: Signature

    async def erase(
        self,
        *,
        by: str,
        basis: str,
        records: int | Iterable[int] | None = None,
        seq: int | Iterable[int] | None = None,
        agent: Texts | None = None,
        channel: Texts | None = None,
        task: Texts | None = None,
        session: Texts | None = None,
        tenant: Texts | None = None,
        correlation: Texts | None = None,
        actor: Texts | None = None,
        fields: Iterable[str] | None = None,
    ) -> Erased:
        """Erase the erasable contents of records; return what was done, and where the same content may be besides.

        They are chosen by their indexes, ``records``, or by the ``seq`` of events, or as :meth:`query` selects them: by
        agent, channel, task, session, tenant, correlation or actor. Of several filters each has to be met. ``fields``
        are those of the :class:`AuditLog`'s ``erasable`` that go; by default all.

        The log says so in a record ``record.erased``: who, ``by``, on what ``basis``, and which records and fields,
        before anything goes; ``by`` and ``basis`` are redacted as records are. Salt and content are then deleted. The
        records, their tree, checkpoints and proofs stay as they are: what stands in a record is a commitment, which
        without its salt says nothing. A crash after that record is finished before the log is appended to again; one
        before it has erased nothing. Once begun, it is not cancelled. Where a content was erased before, and the log
        has lost the record that said so, it says so again: :attr:`Erased.said_again`. Without a content that is still
        there, and without one of those, it writes nothing, and :attr:`Erased.record` is None.

        Raises :class:`~hubwire.errors.ConfigurationError` if nothing is chosen, or while the log is held: see
        :meth:`hold`; :class:`~hubwire.errors.InvalidRecord` for texts that cannot be; and what :meth:`append` raises.
        """
        by = _words(self._redaction, "erase(): by", by) or ""
        basis = _words(self._redaction, "erase(): basis", basis) or ""
        names = None if fields is None else _names(fields)
        numbers = {"records": _whole("records", records), "seq": _whole("seq", seq)}
        filters = {
            "agent": agent,
            "channel": channel,
            "task": task,
            "session": session,
            "tenant": tenant,
            "correlation": correlation,
            "actor": actor,
        }
        chosen = {name: value for name, value in filters.items() if value is not None}
        given = [name for name, value in numbers.items() if value is not None]
        if len(given) + bool(chosen) != 1:
            raise ConfigurationError(
                "erase(): say which records: by records=, by seq=, or by filters as agent=, channel= or correlation=;"
                f" {'only one of these' if given else 'nothing was chosen, and nothing was erased'}"
            )
        selection = _selection(chosen) if chosen else None
        eraser = await self._ready_to_erase("erase()")
        choose = partial(_collect, store=self._store, path=self.path, numbers=numbers, selection=selection, names=names)
        done = await eraser.erase(choose, by=by, basis=basis)
        if done is None:
            return Erased(path=self.path, records=0, contents=0, size_bytes=0, record=None, by=by, basis=basis)
        return Erased(path=self.path, by=by, basis=basis, **done._asdict())

    async def erase_again(self, *, by: str | None = None, basis: str | None = None) -> int:
        """Erase all that the log says was erased, and that is there: after files were restored from a copy.

        With ``by`` and ``basis`` it also says of all contents that are gone that they were erased, where their pages
        say so and no record does: the log has lost the record ``record.erased``, as when its end was cut off. Nothing
        vouches for what a page says, so it is who calls this that does, by a new ``record.erased``; its ``again`` has
        who erased them, when and on what basis, as the pages say.

        Return how many contents that were, of both. Raises :class:`~hubwire.errors.ConfigurationError` for only one of
        the two, and what :meth:`append` raises.
        """
        by = _words(self._redaction, "erase_again(): by", by, is_optional=True)
        basis = _words(self._redaction, "erase_again(): basis", basis, is_optional=True)
        if (by is None) is not (basis is None):
            raise ConfigurationError("erase_again(): give by and basis, both, or neither: the record says both")
        eraser = await self._ready_to_erase("erase_again()")
        done = await eraser.again()
        return done if by is None or basis is None else done + await eraser.say_again(by, basis)

    async def _ready_to_erase(self, call: str) -> Eraser:
        try:
            await self._signature.ready()
            await self._erasing.ready()
        except AlreadyRunning as error:
            raise self._place.explained(error) from error
        if holds := (await read_keeping(self._store, self.path)).holds:
            raise ConfigurationError(
                f"{call}: the log {self.path} is held ({'; '.join(map(str, holds)):.400}): nothing was erased. Who set"
                " the hold decides; after release() it can be erased"
            )
        self._place.take()
        assert self._erasing.eraser is not None
        return self._erasing.eraser


def _words(redaction: Redaction, argument: str, value: Any, *, is_optional: bool = False) -> str | None:
    return redaction.words(_arguments.words(argument, value, is_optional=is_optional))


def _names(fields: Any) -> frozenset[str]:
    try:
        names = [fields] if type(fields) is str else list(islice(iter(fields), _MANY))
    except Exception as error:
        raise ConfigurationError(
            f"erase(): fields are names of fields, such as ['content'], not {type(fields).__name__}"
        ) from error
    if not names or not all(type(name) is str for name in names):
        raise ConfigurationError("erase(): fields are names of fields, such as ['content']")
    return frozenset(names)


def _whole(name: str, value: Any) -> list[int] | None:
    if value is None:
        return None
    try:
        numbers = [value] if type(value) is int else list(islice(iter(value), _MANY + 1))
    except Exception as error:
        raise ConfigurationError(
            f"erase(): {name} is a whole number, 0 or more, or several, not {type(value).__name__}"
        ) from error
    if not 0 < len(numbers) <= _MANY or not all(type(each) is int and 0 <= each < 2**63 for each in numbers):
        raise ConfigurationError(f"erase(): {name} is a whole number, 0 or more, or up to {_MANY:,} of them")
    return sorted(set(numbers))


def _selection(chosen: dict[str, Any]) -> Selection:
    from hubwire.query import Selection as Chosen  # noqa: PLC0415 - few logs are erased in, and all would pay for it

    return Chosen.of(**chosen, call="erase()")


async def _collect(
    targets: Targets,
    store: KnowledgeStore,
    path: str,
    numbers: dict[str, list[int] | None],
    selection: Selection | None,
    names: frozenset[str] | None,
) -> None:
    """Find the contents that were chosen."""
    if selection is not None:
        from hubwire.query import query  # noqa: PLC0415 - as above

        async for found in query(store, path, selection, with_contents=False):
            await _add(targets, store, path, found.index, found.line, names)
    elif (records := numbers["records"]) is not None:
        async for record in records_in(store, path, [(each, each) for each in records]):
            await _add(targets, store, path, record.index, record.line, names)
    elif (seqs := numbers["seq"]) is not None:
        await _collect_seqs(targets, store, path, seqs, names)


async def _collect_seqs(
    targets: Targets, store: KnowledgeStore, path: str, seqs: list[int], names: frozenset[str] | None
) -> None:
    wanted, reader = set(seqs), LogReader(store, path)
    await reader.seek_after_seq(seqs[0] - 1)
    while wanted and (records := await reader.read()):
        for record in records:
            try:
                seq = codec.decode_fields(record.body).get("seq")
            except InvalidRecord:
                continue
            if type(seq) is int and seq > seqs[-1]:
                return
            if seq in wanted:
                wanted.discard(seq)
                await _add(targets, store, path, record.index, record.line, names)


async def _add(
    targets: Targets, store: KnowledgeStore, path: str, index: int, line: bytes, names: frozenset[str] | None
) -> None:
    whole = await whole_fields(store, path, codec.body_of(line))
    if whole is not None:
        await targets.add(index, commitments_of(whole), names)
