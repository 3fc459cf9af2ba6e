"""TenantAuditLogs: an audit log for each tenant of a hub, each with a chain of its own, written by one listener."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import anyio
import attrs

from hubwire import BaseHubListener, Duty, Event
from hubwire.errors import ConfigurationError, JournalBehind, LogDamaged
from hubwire.late_types import late_type
from hubwire.log import SEGMENT_BYTES, Head, Rotation
from hubwire.ports import Clock, KnowledgeStore, normalize_path
from hubwire.text_store import TextStore

from . import _arguments
from ._clocks import ClockFunction
from ._contents import ErasableFields
from ._erasable import Erased
from ._tenant_signers import TenantSigner, TenantSigners, TenantWitness, witnesses_for
from ._verdicts import Verification
from .audit_log import AuditLog
from .retention import Hold, Pruning, Retention

if TYPE_CHECKING:
    from hubwire import Attachment
    from hubwire.proof import CheckpointWitness, Note, Timestamper, WitnessPolicy
    from hubwire.redaction import Redactor
else:
    Attachment = late_type("hubwire", "Attachment")
    CheckpointWitness = late_type("hubwire.proof", "CheckpointWitness")
    Note = late_type("hubwire.proof", "Note")
    Timestamper = late_type("hubwire.proof", "Timestamper")
    WitnessPolicy = late_type("hubwire.proof", "WitnessPolicy")
    Redactor = late_type("hubwire.redaction", "Redactor")

__all__ = ("TenantAuditLogs", "TenantHeadCallback")

TenantHeadCallback = Callable[[str | None, Head], Awaitable[None]]

_TENANT = "{tenant}"
_OF_NONE = "~hub"
"""The folder of what is no tenant's: the name of none is written so."""
_POSITION = "~position"
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")
"""What stands in a folder's name as it is. Capitals do not: some file systems take them for small letters."""
_NAME_LENGTH_MAX = 150
_BEGINNING = 60
_AT_ONCE = 16
"""How many logs are written at a time."""
_POSITION_EVENTS = 4096
"""After so many events the position is written; after a crash, so many are looked at again."""


class TenantAuditLogs(BaseHubListener):
    """Appends every event of a hub to the audit log of its tenant: an :class:`AuditLog` each, with a chain of its own.

    ``path`` says where: ``{tenant}`` is an element of it, and stands for the tenant's name, in small letters, digits,
    ``_`` and ``-`` as it is, in all else as ``%`` and hex digits; a long one is cut, and has a digest. So no name leads
    out of the folder, and no two to one log: :meth:`path_of` says it. Events of no tenant are in the log ``~hub``.

    It is REQUIRED, as an audit log is: an event is acknowledged when its record is stored, each is in its log exactly
    once, in order, also after a crash. How far all of them are is written to ``~position``, beside them, never too far:
    after a crash the hub gives the events since then again, and each log leaves out those that it has.

    ``open_max``: so many logs are open at a time; the others are closed, with a clean mark, and opened again at their
    next event. ``redactor``, ``rotation``, ``retention``, ``archive``, ``clock``, ``head_seconds`` and ``erasable`` are
    those of :class:`AuditLog` for each: so each is redacted by default, and prunes itself by the retention while it is
    open. ``on_head`` gets the tenant, None for ``~hub``, and the head. ``signer`` is a function that gets the tenant,
    or None, and returns the signer of that log, each time that the log is opened; its name has the tenant's element of
    the path as one of its own, ``example.org/hub/acme``, because a name stands for one log. ``witnesses`` see the
    checkpoints of all of them, a :class:`~hubwire.proof.WitnessPolicy` or a list; or those that a function of the
    tenant, or None, returns: a :class:`~hubwire.proof.StoreWitness` is one of one log. ``timestamper`` is that of each.
    A log that is closed because others are used has its last checkpoint seen before. The heartbeat of the hub is in
    ``~hub``. The command line takes each log by its path: ``hubwire verify STORE --log /audit/acme``.

    Arguments that cannot be raise :class:`~hubwire.errors.ConfigurationError`. Entering raises what opening an
    :class:`AuditLog` raises, and :class:`~hubwire.errors.LogDamaged` where the position is lost or unreadable.
    """

    duty = Duty.REQUIRED
    since = "start"

    def __init__(
        self,
        store: KnowledgeStore | TextStore,
        *,
        path: str = "/audit/{tenant}",
        redactor: Redactor | Literal["default"] | None = "default",
        rotation: Rotation | int = SEGMENT_BYTES,
        retention: Retention | None = None,
        archive: KnowledgeStore | None = None,
        clock: Clock | ClockFunction | None = None,
        on_head: TenantHeadCallback | None = None,
        head_seconds: float = 60.0,
        signer: TenantSigner | None = None,
        checkpoint_seconds: float = 1.0,
        heartbeat_seconds: float | None = 3600.0,
        witnesses: WitnessPolicy | Sequence[CheckpointWitness] | TenantWitness | None = None,
        timestamper: Timestamper | None = None,
        erasable: ErasableFields | None = None,
        open_max: int = 64,
    ) -> None:
        self._folder, self._rest = _parts_of(path)
        if type(open_max) is not int or open_max < 1:
            raise ConfigurationError(f"open_max is how many logs are open at a time, 1 or more, not {open_max!r:.80}")
        if on_head is not None:
            _arguments.function("on_head", on_head)
        self._store = _arguments.store_for(store)
        self._open_max = open_max
        self._on_head = on_head
        self._settings: dict[str, Any] = {
            "redactor": redactor,
            "rotation": rotation,
            "retention": retention,
            "archive": archive,
            "clock": clock,
            "head_seconds": head_seconds,
            "checkpoint_seconds": checkpoint_seconds,
            "heartbeat_seconds": heartbeat_seconds,
            "timestamper": timestamper,
            "erasable": erasable,
        }
        self._signers = TenantSigners(signer, _element_of)
        self._witnesses = witnesses
        self._own = self._log_of(None)  # its arguments are checked here
        self._logs: OrderedDict[str, AuditLog] = OrderedDict()
        """Those that are open, by tenant; the one used last at the end."""
        self._opening = anyio.Lock()
        self._lent: Counter[str] = Counter()
        """How many calls from outside the hub are at work on a log, which is not closed for others meanwhile."""
        self._is_entered = False
        self._closed = _Numbers()
        """Of the logs that were closed since."""
        self._last: tuple[int, str, str] | None = None
        """The ``seq``, the id and the hub of the last event in the logs."""
        self._kept: tuple[int, str, str] | None = None
        """The same as it was written."""
        self._overlaps: dict[str | None, tuple[int, str | None]] = {}
        """Of logs that a crash has left ahead of the position: the last event in them, which comes again."""

    def __repr__(self) -> str:
        return f"TenantAuditLogs({self._store!r:.200}, path={self.path_of(None).replace(_OF_NONE, _TENANT)!r})"

    def path_of(self, tenant: str | None) -> str:
        """Return where the log of a tenant is on the store; of None, that of events of no tenant."""
        if tenant is not None and type(tenant) is not str:
            raise ConfigurationError(f"a tenant is known by its name, a text, or is None, not {tenant!r:.80}")
        return normalize_path(f"{self._folder}/{_element_of(tenant)}/{self._rest}")

    @property
    def open_logs(self) -> int:
        """How many logs of tenants are open now."""
        return len(self._logs)

    # -- on a hub --

    def bind(self, hub: object) -> None:
        """Take the hub of which the heartbeat in ``~hub`` says what is attached. The hub calls it."""
        self._own.bind(hub)

    def bind_attachment(self, attachment: Attachment) -> None:
        """Take the attachment. The hub calls it."""
        self._own.beat_for(attachment)

    async def __aenter__(self) -> Self:
        await self._own.__aenter__()  # it is never closed before the others: so they have one writer
        try:
            self._last = self._kept = await self._read_position()
            if self._last is None:
                await self._write_position()
            self._note_overlap(None, self._own)
            self._is_entered = True
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._own.aclose()
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def last_seq(self) -> int | None:
        """Return the ``seq`` up to which the logs have all events for certain, as it was written; None for none."""
        return None if self._kept is None else self._kept[0]

    def last_id(self) -> str | None:
        """Return the id of the event of :meth:`last_seq`."""
        return None if self._kept is None else self._kept[1]

    @property
    def hub_id(self) -> str | None:
        """The id of the hub whose events are in the logs; None if they hold none."""
        return None if self._kept is None else self._kept[2]

    async def on_events(self, events: Sequence[Event]) -> None:
        """Append events, each to the log of its tenant. They are on disk when it returns; if it raises, some are."""
        groups: dict[str | None, list[Event]] = {}
        for event in events:
            groups.setdefault(event.tenant, []).append(event)
        if (own := groups.pop(None, None)) is not None:
            self._check_overlap(None, own)
            await self._own.on_events(own)
        tenants = [name for name in groups if name is not None]
        for first in range(0, len(tenants), min(_AT_ONCE, self._open_max)):
            await self._append(tenants[first : first + min(_AT_ONCE, self._open_max)], groups)
        last = events[-1]
        self._last = last.seq, last.id, last.hub
        if self._kept is None or last.seq - self._kept[0] >= _POSITION_EVENTS:
            await self._write_position()

    async def _append(self, tenants: Sequence[str], groups: dict[str | None, list[Event]]) -> None:
        """Append to a few logs, side by side. The first failure is raised when the others are done, too."""
        logs = [await self._opened(tenant, tenants) for tenant in tenants]
        for tenant in tenants:
            self._check_overlap(tenant, groups[tenant])
        failures: list[Exception] = []

        async def append(log: AuditLog, events: list[Event]) -> None:
            try:
                await log.on_events(events)
            except Exception as error:  # noqa: BLE001 - it is raised below
                failures.append(error)

        if len(logs) == 1:
            await logs[0].on_events(groups[tenants[0]])
            return
        async with anyio.create_task_group() as tasks:
            for tenant, log in zip(tenants, logs, strict=True):
                tasks.start_soon(append, log, groups[tenant])
        if failures:
            raise failures[0]

    async def _opened(self, tenant: str, needed: Iterable[str]) -> AuditLog:
        """Return an open log; close those that were used least, but for the ``needed``."""
        log = self._logs.get(tenant)
        if log is not None:
            self._logs.move_to_end(tenant)
            return log
        async with self._opening:  # a call from outside the hub may be opening one, too
            if (log := self._logs.get(tenant)) is not None:
                return log
            for other in [each for each in self._logs if each not in needed and not self._lent[each]]:
                if len(self._logs) < self._open_max:
                    break
                await self._close(other)
            log = self._log_of(tenant)
            await log.__aenter__()
            self._logs[tenant] = log
        self._note_overlap(tenant, log)
        return log

    async def _close(self, tenant: str) -> None:
        log = self._logs[tenant]
        try:
            await log.aclose()
        finally:
            del self._logs[tenant]
            self._closed.add(log)

    def _note_overlap(self, tenant: str | None, log: AuditLog) -> None:
        last = log.last_seq()
        if last is not None and last > (-1 if self._last is None else self._last[0]):
            self._overlaps[tenant] = last, log.last_id()

    def _check_overlap(self, tenant: str | None, events: Sequence[Event]) -> None:
        """Refuse events of another history: one of them has to be the last that the log has, as it is there."""
        if tenant not in self._overlaps:
            return
        last, last_id = self._overlaps[tenant]
        for event in events:
            if event.seq < last:
                continue
            if event.seq > last or (last_id is not None and event.id != last_id):
                raise JournalBehind(
                    f"the audit log {self.path_of(tenant)} has event {last} ({last_id}), and the hub's journal has"
                    f" another one: it was restored from an older copy, or belongs to another hub. Give the hub the"
                    " store that belongs to the logs"
                )
            del self._overlaps[tenant]
            return

    def _log_of(self, tenant: str | None) -> AuditLog:
        on_head = None if self._on_head is None else partial(self._on_head, tenant)
        path, signer = self.path_of(tenant), self._signers.signer_of(tenant)
        witnesses = witnesses_for(tenant, self._witnesses)
        return AuditLog(self._store, path=path, on_head=on_head, signer=signer, witnesses=witnesses, **self._settings)

    async def aclose(self) -> None:
        """Write how far the logs are, mark them as cleanly closed, and close them."""
        self._is_entered = False
        if self._last != self._kept:
            await self._write_position()
        async with self._opening:
            while self._logs:
                await self._close(next(reversed(self._logs)))
        await self._own.aclose()

    # -- how it does --

    @property
    def withheld(self) -> int:
        """Of how many events the contents were left out, because they could not be redacted; of all logs together."""
        return self._numbers().withheld

    @property
    def head_errors(self) -> int:
        """How many calls of ``on_head`` have failed."""
        return self._numbers().head_errors

    @property
    def checkpoint_errors(self) -> int:
        """How many checkpoints were not signed and stored; each time the log tries again."""
        return self._numbers().checkpoint_errors

    @property
    def witness_errors(self) -> int:
        """How many calls of witnesses have failed; each is asked again while its log is open."""
        return self._numbers().witness_errors

    @property
    def timestamp_errors(self) -> int:
        """How many times a checkpoint was not timestamped; the newest one of a log is tried again while it is open."""
        return self._numbers().timestamp_errors

    @property
    def prune_errors(self) -> int:
        """How many prunings of logs by their retention have failed; each is logged, and the next one tries again."""
        return self._numbers().prune_errors

    @property
    def problem(self) -> str | None:
        """What one of the logs that are open does not do, and what to do; None if all is well."""
        troubles = (log.problem for log in (self._own, *self._logs.values()))
        return next((each for each in troubles if each is not None), None)

    def _numbers(self) -> _Numbers:
        numbers = attrs.evolve(self._closed)
        for log in (self._own, *self._logs.values()):
            numbers.add(log)
        return numbers

    # -- how long records are kept --

    async def prune(
        self,
        tenant: str | None,
        *,
        dry_run: bool = False,
        retention: Retention | None = None,
        by: str | None = None,
        reason: str | None = None,
    ) -> Pruning:
        """Remove the oldest segments of one log that the retention does not keep: see :meth:`AuditLog.prune`."""
        async with self._borrowed(tenant) as log:
            return await log.prune(dry_run=dry_run, retention=retention, by=by, reason=reason)

    async def erase(self, tenant: str | None, *, by: str, basis: str, **chosen: Any) -> Erased:
        """Erase contents of the log of a tenant, as :meth:`AuditLog.erase` does; ``chosen`` are its other arguments."""
        async with self._borrowed(tenant) as log:
            return await log.erase(by=by, basis=basis, **chosen)

    async def hold(self, tenant: str | None, reason: str, *, name: str = "hold", by: str | None = None) -> None:
        """Keep all records of one log until they are released: see :meth:`AuditLog.hold`."""
        async with self._borrowed(tenant) as log:
            await log.hold(reason, name=name, by=by)

    async def release(self, tenant: str | None, reason: str, *, name: str = "hold", by: str | None = None) -> None:
        """Release a hold of one log: see :meth:`AuditLog.release`."""
        async with self._borrowed(tenant) as log:
            await log.release(reason, name=name, by=by)

    async def holds(self, tenant: str | None) -> tuple[Hold, ...]:
        """Return the holds that are on one log: see :meth:`AuditLog.holds`. It only reads."""
        return await AuditLog(self._store, path=self.path_of(tenant)).holds()

    @asynccontextmanager
    async def _borrowed(self, tenant: str | None) -> AsyncIterator[AuditLog]:
        """Lend the log of a tenant to a call from outside the hub: the one that is open, which has one writer."""
        self.path_of(tenant)  # what is no tenant is refused
        if not self._is_entered:
            log = self._log_of(tenant)
            try:
                yield log
            finally:
                with anyio.CancelScope(shield=True):
                    await log.aclose()
        elif tenant is None:
            yield self._own
        else:
            self._lent[tenant] += 1
            try:
                yield await self._opened(tenant, (tenant,))
            finally:
                self._lent[tenant] -= 1
                if not self._lent[tenant]:
                    del self._lent[tenant]

    # -- its proofs --

    async def checkpoint(self, tenant: str | None) -> Note:
        """Sign all that is stored now of one log, and return the checkpoint: see :meth:`AuditLog.checkpoint`."""
        async with self._borrowed(tenant) as log:
            return await log.checkpoint()

    async def witnessed(self, tenant: str | None, index: int | None = None, *, seconds: float = 30.0) -> Note:
        """Wait until enough witnesses have seen a record of one log: see :meth:`AuditLog.witnessed`."""
        async with self._borrowed(tenant) as log:
            return await log.witnessed(index, seconds=seconds)

    # -- the position --

    async def _write_position(self) -> None:
        last = self._last
        fields: dict[str, Any] = {} if last is None else {"seq": last[0], "id": last[1], "hub": last[2]}
        await self._store.write(self._position_path, _signed(fields))
        self._kept = last

    async def _read_position(self) -> tuple[int, str, str] | None:
        path = self._position_path
        data = await self._store.read_bytes(path)
        if data is None:
            if self._own.last_seq() is None:
                return None
            raise LogDamaged(
                f"there are audit logs of tenants below {self._folder or '/'}, and no {path}, which says how far they"
                " are; restore it from a backup, with the logs",
                path=path,
                byte_offset=0,
            )
        try:
            fields = dict(json.loads(data))
            del fields["d"]
            if _signed(fields).encode() != data:
                raise ValueError  # noqa: TRY301 - it is reported as what cannot be read is
            return (int(fields["seq"]), str(fields["id"]), str(fields["hub"])) if fields else None
        except (ValueError, TypeError, KeyError):
            raise LogDamaged(
                f"{path} is damaged: it says how far the audit logs of tenants are; restore it from a backup, with the"
                " logs",
                path=path,
                byte_offset=0,
            ) from None

    @property
    def _position_path(self) -> str:
        return f"{self._folder}/{_POSITION}"

    # -- reading --

    async def read_all(self, tenant: str | None) -> list[dict[str, Any]]:
        """Return the records of a tenant, as :meth:`AuditLog.read_all`; none if it has no log."""
        return await AuditLog(self._store, path=self.path_of(tenant)).read_all()

    async def verify(self, tenant: str | None, *, expect_head: Head | str | None = None) -> Verification:
        """Check the log of a tenant, as :func:`hubwire.listeners.audit.verify` does."""
        return await AuditLog(self._store, path=self.path_of(tenant)).verify(expect_head=expect_head)


@attrs.define
class _Numbers:
    """What is counted of some logs, together."""

    withheld: int = 0
    head_errors: int = 0
    prune_errors: int = 0
    checkpoint_errors: int = 0
    witness_errors: int = 0
    timestamp_errors: int = 0

    def add(self, log: AuditLog) -> None:
        self.withheld += log.withheld
        self.head_errors += log.head_errors
        self.prune_errors += log.prune_errors
        self.checkpoint_errors += log.checkpoint_errors
        self.witness_errors += log.witness_errors
        self.timestamp_errors += log.timestamp_errors


def _parts_of(path: object) -> tuple[str, str]:
    """Return what stands before the tenant in a path, and what stands after it."""
    if type(path) is not str or path.split("/").count(_TENANT) != 1 or path.count("{") != 1:
        raise ConfigurationError(
            f"path is where the logs are on their store, with {_TENANT} as one of its elements, such as"
            f" '/audit/{_TENANT}', not {path!r:.80}"
        )
    before, _, after = path.partition(_TENANT)
    folder = normalize_path(before)
    return "" if folder == "/" else folder, after.strip("/")


def _element_of(tenant: str | None) -> str:
    """Return the element of a path that stands for a tenant."""
    return _OF_NONE if tenant is None else _written(tenant)


def _written(tenant: str) -> str:
    """Return the folder of a tenant: one element of a path, different for each name."""
    data = tenant.encode(errors="surrogatepass")
    written = "".join(chr(byte) if chr(byte) in _SAFE else f"%{byte:02x}" for byte in data)
    if 0 < len(written) <= _NAME_LENGTH_MAX:
        return written
    return f"{written[:_BEGINNING]}~{hashlib.sha256(data).hexdigest()}"


def _signed(fields: dict[str, Any]) -> str:
    """Return fields as a line with a digest: half a line, or a flipped bit, is told from it."""
    text = json.dumps(fields, sort_keys=True)
    return json.dumps({**fields, "d": hashlib.sha256(text.encode()).hexdigest()[:32]}, sort_keys=True)
