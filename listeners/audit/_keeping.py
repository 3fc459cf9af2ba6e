"""The calls of an audit log about how long its records are kept: pruning, and legal holds."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

import attrs

from hubwire.errors import AlreadyRunning, ConfigurationError
from hubwire.log import Log, read_kept
from hubwire.own_log import OwnLog
from hubwire.ports import Clock, KnowledgeStore

from . import _arguments
from ._archive import Archive
from ._erasable import Erasing
from ._guests import Worker
from ._holds import read_keeping
from ._indexing import Indexer
from ._lending import Place
from ._old_contents import OldContents
from ._one_by_one import OneByOne
from ._provable import Signature
from ._pruning import Pruner, PruningEnded
from ._redaction import Redaction
from .retention import Hold, Pruning, Retention

__all__ = ("Keeper", "Prunable", "retention_of")

T = TypeVar("T")

_log = OwnLog("audit")


class Keeper:
    """Prunes a log by its retention when a segment was sealed, and when the log was opened; and when it is told to."""

    def __init__(
        self,
        store: KnowledgeStore,
        log: Log,
        clock: Clock,
        retention: Retention | None,
        indexed: object,
        signature: Signature,
        archive: KnowledgeStore | None,
        erasing: Erasing,
    ) -> None:
        self.errors: int = 0
        self.failure: Exception | None = None
        """Why the newest pruning of its own failed; None if it went well."""
        self.long_records: OneByOne = OneByOne()
        """Entered by who writes the file of a record of the caller's own."""
        self.retention: Retention | None = retention
        self.pruner: Pruner = Pruner(
            store,
            log,
            clock,
            self.long_records,
            signature.keep_tree,
            OldContents(store, log, erasing),
            None if archive is None else Archive(store, archive, log.path),
        )
        self._log = log
        self._indexer = Indexer(store, log.path) if _arguments.flag("indexed", indexed) else None
        self._segment: int | None = None
        self._worker = Worker("hubwire audit pruning")

    @property
    def is_at_work(self) -> bool:
        """Whether it looks at the log by itself: to prune it, or to write the floor down beside it."""
        return self.retention is not None and (self.retention.is_limited or self.retention.days_min > 0)

    def appended(self, segment: int) -> None:
        """Records were appended to this segment."""
        if self._indexer is not None:
            self._indexer.appended(segment, self._log.segment_bytes)
        if self.is_at_work and segment != self._segment and not self._worker.is_at_work:
            self._segment = segment
            self._worker.start(self._prune)

    async def _prune(self) -> None:
        assert self.retention is not None
        try:
            await self.pruner.prune(
                self.retention, by="retention", reason=None, is_dry_run=False, floor=self.retention.days_min
            )
            self.failure = None
        except PruningEnded:  # by close(): that is no failure, and the next opening finishes what was begun
            return
        except Exception as error:  # noqa: BLE001 - it is counted and logged, and the log goes on
            self.errors += 1
            self.failure = error
            _log.failure("an audit log could not be pruned", error, log=self._log.path)
        self._segment = self._log.segment  # its own record may have begun one

    async def close(self) -> None:
        """End a pruning under way at its next step."""
        await self.pruner.close()
        if self._indexer is not None:
            await self._indexer.close()
        self._segment = None

    async def finish(self, seconds: float) -> None:
        """Index what the closed log has, in so many seconds at most."""
        if self._indexer is not None:
            await self._indexer.finish(seconds)


class Prunable:
    """What can be called on an audit log about how long its records are kept."""

    path: str
    _store: KnowledgeStore
    _place: Place
    _keeper: Keeper
    _redaction: Redaction
    _signature: Signature

    async def prune(
        self,
        *,
        dry_run: bool = False,
        retention: Retention | None = None,
        by: str | None = None,
        reason: str | None = None,
    ) -> Pruning:
        """Remove the oldest segments that the retention does not keep; return what went, and what stays all the same.

        The record ``log.pruned`` is in the log before, with where it begins then and the ``h`` before that, so that
        :meth:`verify` knows the rest for the whole. It removes whole segments, never one of the two newest, none
        younger than ``days_min``, and none while the log is held. Before they are removed they are read: damage raises
        :class:`~hubwire.errors.LogDamaged`, and nothing goes. A crash or a cancellation leaves a log that is whole; the
        next pruning finishes. Readers that stand in what goes get :class:`~hubwire.errors.HistoryGone`.

        ``dry_run`` only reads, also beside another writer. ``retention`` is another one than that of the log, whose
        floor holds all the same. ``by`` and ``reason`` are written down, redacted as records are. Raises
        :class:`~hubwire.errors.ConfigurationError` without a retention, and what :meth:`append` raises.
        """
        chosen = self._chosen(retention)
        if type(dry_run) is not bool:
            raise ConfigurationError(f"prune(): dry_run is True or False, not {type(dry_run).__name__}")
        by = self._redaction.words(_arguments.words("prune(): by", by, is_optional=True))
        reason = self._redaction.words(_arguments.words("prune(): reason", reason, is_optional=True))
        own = self._keeper.retention
        return await self._explained(
            self._keeper.pruner.prune(
                chosen, by=by, reason=reason, is_dry_run=dry_run, floor=None if own is None else own.days_min
            )
        )

    def _chosen(self, retention: object) -> Retention:
        own = self._keeper.retention
        if retention is None:
            if own is None:
                raise ConfigurationError(
                    f"prune(): the log {self.path} has no retention; give one, such as retention=Retention(days=183)"
                )
            return own
        if type(retention) is not Retention:
            raise ConfigurationError(f"prune(): retention is a Retention, not {type(retention).__name__}")
        days_min = max(retention.days_min, 0 if own is None else own.days_min)
        return attrs.evolve(retention, days_min=days_min)

    async def says_pruned(self, *, before: int | None = None) -> bool:
        """Return whether the log, up to the record ``before``, says of all that is gone that it was pruned.

        For ``hubwire repair``, which may have to cut off the record that does: see :meth:`say_pruned_again`.
        """
        first = (await read_kept(self._store, self.path)).first
        return first == 0 or await self._keeper.pruner.is_said(first, before=before)

    async def say_pruned_again(self, reason: str, *, by: str) -> bool:
        """Write a record ``log.pruned`` once more, if the log begins later than with record 0, and none says so.

        It is taken from what is kept beside the log, and says only where the log begins; return whether it was written.
        For ``hubwire repair``. Raises what :meth:`append` raises.
        """
        reason = self._redaction.words(_arguments.words("say_pruned_again(): reason", reason)) or ""
        by = self._redaction.words(_arguments.words("say_pruned_again(): by", by)) or ""
        return await self._explained(self._keeper.pruner.say_again(by, reason))

    async def hold(self, reason: str, *, name: str = "hold", by: str | None = None) -> None:
        """Keep all records, whatever the retention says, until :meth:`release` is called with the same name.

        It holds also over restarts, and for ``hubwire prune``. The log says so in a record ``log.held``. ``reason`` and
        ``by`` are redacted as records are: name a person by an id where who it was has to be known. A pruning under way
        ends first. Raises :class:`~hubwire.errors.InvalidRecord` if there is a hold of this name, and what
        :meth:`append` raises.
        """
        reason = _arguments.words("hold(): reason", reason)
        name = _arguments.words("hold(): name", name)
        by = _arguments.words("hold(): by", by, is_optional=True)
        said = self._redaction.words(reason) or "", self._redaction.words(by)
        await self._explained(self._keeper.pruner.hold(name, *said))

    async def hold_beside(self, reason: str, *, name: str = "hold", by: str | None = None) -> int | None:
        """Keep all records of a log that another program may have open, as :meth:`hold` does where none has.

        It counts at once: each pruning looks for it before it removes anything. That program takes it into the log, as
        a record ``log.held``, when it prunes, holds or releases next; :meth:`holds` names it from now on. Return None;
        or, where a pruning had begun before, the index of the first record that is kept for certain: those before it
        may go. The other program has to be of a version that has this method.

        Raises :class:`~hubwire.errors.InvalidRecord` if there is a hold of this name.
        """
        reason = _arguments.words("hold_beside(): reason", reason)
        name = _arguments.words("hold_beside(): name", name)
        by = _arguments.words("hold_beside(): by", by, is_optional=True)
        said = self._redaction.words(reason) or "", self._redaction.words(by)
        return await self._keeper.pruner.hold_beside(name, *said)

    async def release(self, reason: str, *, name: str = "hold", by: str | None = None) -> None:
        """Release the hold of this name, for a reason that is written down in a record ``log.released``.

        Raises :class:`~hubwire.errors.NotFound` if there is none, and what :meth:`append` raises.
        """
        reason = _arguments.words("release(): reason", reason)
        name = _arguments.words("release(): name", name)
        by = _arguments.words("release(): by", by, is_optional=True)
        said = self._redaction.words(reason) or "", self._redaction.words(by)
        await self._explained(self._keeper.pruner.release(name, *said))

    async def holds(self) -> tuple[Hold, ...]:
        """Return the holds that are on the log, the oldest first. It only reads."""
        return (await read_keeping(self._store, self.path)).holds

    @property
    def prune_errors(self) -> int:
        """How many prunings by the log's own retention have failed; each is logged, and the next one tries again."""
        return self._keeper.errors

    @property
    def problem(self) -> str | None:
        """What the log does not do, and what to do; None if all is well. The health of its hub says it, too."""
        failure = self._keeper.failure
        if failure is None:
            return self._signature.problem
        return (
            f"cannot prune the log {self.path}, which keeps more than its retention says: {failure}; the next segment"
            " that is sealed tries again"
        )

    async def _explained(self, work: Awaitable[T]) -> T:
        try:
            result = await work
        except AlreadyRunning as error:
            raise self._place.explained(error) from error
        return result


def retention_of(value: Any) -> Retention | None:
    """Return the retention of a log."""
    if value is None or type(value) is Retention:
        return value
    raise ConfigurationError(
        f"retention is a Retention, such as Retention(days=365), or None, not {type(value).__name__}"
    )
