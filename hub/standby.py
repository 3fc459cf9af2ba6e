"""Standby: of several programs that are to run one hub, one does, and another goes on when it ends or dies.

.. code-block:: python

    hub = Hub(journal=journal)
    async with leading(journal.lease(), hub=hub):  # waits here while another program leads
        ...  # the hub leads; it is closed at the end of the block

A **lease** decides who tries, and nothing more: that two programs never both write is the journal's promise, which
refuses the one that it was taken from. So a lease needs no clock that two machines share. Its holder renews it; who
waits sees that it changes, and takes it when it has not changed for some seconds of its own clock. A holder that cannot
reach the lease goes on as long as its journal takes what it appends.

A hub whose journal can be followed, as one on JetStream can, is **warm** while it waits: it has all the state, can be
read, and takes the lead in milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import attrs

from ._commit.journaling import shared
from ._foreign.arguments import has_method
from ._foreign.guards import guarded_for_caller
from ._foreign.tasks import called
from .errors import AlreadyExists, ConfigurationError, HubClosed, HubError, StoreError
from .late_types import late_type
from .own_log import OwnLog
from .ports import KnowledgeStore, normalize_path
from .waking import start_later

if TYPE_CHECKING:
    from ._hub import Hub  # a lease alone needs none
else:
    Hub = late_type("hubwire._hub", "Hub")

__all__ = ("Lease", "LeaseEntry", "StoreLease", "leading")

_log = OwnLog("standby")

_RENEWALS = 4
"""So many times in the time after which it runs out, a lease is renewed, and looked at by who waits."""
_HURRY_SECONDS = 0.03
"""A lease whose holder has closed its hub is looked at so often: it is about to be released."""
_HOLDER_MAX = 200
_ENTRY_BYTES_MAX = 4096


@attrs.frozen
class LeaseEntry:
    """A lease as it stands."""

    number: int
    """It grows with each entry."""
    holder: str | None
    """Who holds it, in words; None: nobody, it was released."""


class Lease(Protocol):
    """A place where one entry follows another; of two who write at once, one is told that it came too late."""

    async def read(self) -> LeaseEntry | None:
        """Return the newest entry; None if there is none yet."""

    async def write(self, holder: str | None, after: int) -> bool:
        """Write the entry numbered ``after + 1``, and return True; return False if there is one of that number."""


@asynccontextmanager
async def leading(
    lease: Lease,
    *,
    hub: Hub | None = None,
    name: str | None = None,
    seconds: float = 2.0,
    grace_seconds: float = 0.8,
) -> AsyncIterator[None]:
    """Wait until no other program holds the lease, and hold it for the time of the block; release it at its end.

    A lease that was not renewed for ``seconds``, and for ``grace_seconds`` more, so that a holder that lives can do so
    again, is taken over. One that was released is taken at once. ``name`` is said to the others, and has to be another
    one in each program; by default host, process and some random letters. What fails in the block is raised from it,
    and the lease is released; a kill leaves it to run out. A lease that has ``aclose()`` is closed at the end.

    With a ``hub``, which is not started or follows, that hub leads in the block, and is closed before the lease is
    released. While it waits it follows, if its journal can be followed (:meth:`hubwire.Hub.follow`), and is started
    after the wait otherwise. If it cannot take its journal over, the lease is let go, and it waits again. What it
    fails with while it waits is raised.

    It does not end the block when another program has taken the lease: the journal does that, at the next append.
    Raises :class:`~hubwire.errors.ConfigurationError` for arguments that cannot be.
    """
    for argument, value in (("seconds", seconds), ("grace_seconds", grace_seconds)):
        if type(value) not in (int, float) or not 0 < value < math.inf:
            raise ConfigurationError(f"leading(): {argument} is a number of seconds above 0, not {value!r:.40}")
    if name is not None and (type(name) is not str or not 0 < len(name) <= _HOLDER_MAX or not name.isprintable()):
        raise ConfigurationError(f"leading(): name is printable text of 1 to {_HOLDER_MAX} characters, or None")
    if isinstance(lease, type) or not all(callable(getattr(lease, each, None)) for each in ("read", "write")):
        raise ConfigurationError(
            f"leading(): lease is one, such as StoreLease(store) or journal.lease(), not {type(lease).__name__}"
        )
    is_hub = hub is None or has_method(hub, "lead")
    if not is_hub or (hub is not None and hub.is_leading):
        what = "this one leads already" if is_hub else f"not {type(hub).__name__}"
        raise ConfigurationError(f"leading(): hub is a Hub that is not started, or follows; {what}")
    # In containers, two programs may have the same host and process.
    made = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
    holding = Holding(lease, name or made, seconds, grace_seconds)
    async with held(holding, hub):
        yield


@asynccontextmanager
async def held(holding: Holding, hub: Hub | None) -> AsyncIterator[None]:
    """As :func:`leading`, whose arguments are checked."""
    try:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(holding.let_go)
            if hub is None:
                await holding.take()
                holding.begin_to_renew()
            else:
                stack.push_async_exit(hub)
                await _lead(hub, holding)
            yield
    finally:
        with anyio.CancelScope(shield=True):
            await holding.close()


async def _lead(hub: Hub, holding: Holding) -> None:
    """Wait for the lease, and let the hub lead; it follows meanwhile, where it can."""
    if not hub.is_following and hub.journal is not None and shared(hub.journal) is not None:
        await hub.follow()
    while True:
        if not hub.is_following:
            await holding.take()
            holding.begin_to_renew()
            await hub.start()
            return
        await _take_following(hub, holding)
        holding.begin_to_renew()
        try:
            await hub.lead()
        except StoreError as error:
            if not hub.is_following:
                raise
            _log.problem("the journal cannot be taken over; the lease is let go, and waited for again", error)
            await holding.let_go()
            await holding.pause()
        else:
            return


async def _take_following(hub: Hub, holding: Holding) -> None:
    """Wait for the lease while the hub follows; raise what that ends with."""
    taking = start_later(holding.take(), name="hubwire lease")
    ending = start_later(hub.finished(), name="hubwire standby")
    hurrying = start_later(_hurry(hub, holding), name="hubwire standby")
    try:
        await asyncio.wait([taking, ending], return_when=asyncio.FIRST_COMPLETED)
        if not taking.done():
            raise ending.result() or HubClosed("the hub was closed while it waited for the lease")
        taking.result()
    finally:
        for each in (taking, ending, hurrying):
            each.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([taking, ending, hurrying])


async def _hurry(hub: Hub, holding: Holding) -> None:
    """Look at the lease at once when the hub that leads is closed: it is about to be released."""
    with suppress(HubError):  # it has ended, which is told elsewhere
        async for _ in hub.events(pattern="hub.stopped"):
            holding.hurry()


class Holding:
    """One program's part in a lease."""

    def __init__(
        self,
        lease: Lease,
        name: str,
        seconds: float,
        grace_seconds: float,
        defer: Callable[[str | None], float] | None = None,
    ) -> None:
        """``defer``: for how many seconds a lease that is free is left to others; it is given who had it last."""
        self._lease = lease
        self._name = name
        self._seconds = seconds
        self._grace_seconds = grace_seconds
        self._defer = defer
        self._is_taking = False
        self._number: int | None = None
        """Of the entry that this program has written; None if it does not hold the lease."""
        self._renewing: asyncio.Task[None] | None = None
        self._hurried_until = -math.inf
        self._hurried = anyio.Event()

    async def take(self) -> None:
        """Wait until the lease is free, and take it."""
        loop = asyncio.get_running_loop()
        seen, since, looked_at, is_away = -1, loop.time(), loop.time(), False
        free_at: float | None = None
        while True:
            asked_at = loop.time()
            try:
                entry = await guarded_for_caller(self._lease.read)
                number, holder = (0, None) if entry is None else (entry.number, entry.holder)
                if number != seen and holder is not None:
                    if seen == -1:
                        _log.detail("another program leads; waiting for its lease", holder=holder)
                    seen, since = number, loop.time()
                elif is_away or loop.time() - asked_at > self._seconds / _RENEWALS:
                    since += loop.time() - looked_at  # meanwhile its holder could not renew it, either
                is_away, looked_at = False, loop.time()
                is_free = holder is None or loop.time() - since > self._seconds + self._grace_seconds
                free_at = (free_at or loop.time()) if is_free else None
                if free_at is not None and self._is_left_to_others(free_at, holder):
                    self._hurried_until = loop.time() + self._seconds
                elif is_free and await self._taken(number):
                    return
            except (StoreError, OSError) as error:
                is_away = True
                _log.problem("a lease cannot be looked at; trying again", error)
            await self.pause()

    async def _taken(self, number: int) -> bool:
        self._is_taking = True
        try:
            if await guarded_for_caller(self._lease.write, self._name, number):
                self._number = number + 1
        finally:
            self._is_taking = False
        return self._number is not None

    @property
    def is_held(self) -> bool:
        """Whether this program has the lease, as far as it knows, or is about to."""
        return self._is_taking or self._number is not None

    def _is_left_to_others(self, free_at: float, holder: str | None) -> bool:
        return self._defer is not None and anyio.current_time() - free_at < self._defer(holder)

    async def pause(self) -> None:
        """Wait until the lease is to be looked at again."""
        loop = asyncio.get_running_loop()
        # Of many who wait, not all at the same moment.
        seconds = self._seconds / _RENEWALS * random.uniform(0.8, 1.2)  # noqa: S311
        if loop.time() < self._hurried_until:
            seconds = min(seconds, _HURRY_SECONDS)
        self._hurried = anyio.Event()
        with anyio.move_on_after(seconds):
            await self._hurried.wait()

    def hurry(self) -> None:
        """Look at the lease at once, and often for a while."""
        self._hurried_until = asyncio.get_running_loop().time() + self._seconds
        self._hurried.set()

    def begin_to_renew(self) -> None:
        self._renewing = start_later(self.renew(), name="hubwire lease")

    def forget(self) -> None:
        """Leave the lease to run out, as a kill does."""
        self._number = None

    async def let_go(self) -> None:
        """Renew no longer, and let another one take the lease at once."""
        renewing, self._renewing = self._renewing, None
        with anyio.CancelScope(shield=True):
            if renewing is not None:
                renewing.cancel()
                await asyncio.wait([renewing], timeout=self._seconds)
            await self.release()

    async def renew(self) -> None:
        """Renew the lease again and again, until another one has it."""
        while self._number is not None:
            await anyio.sleep(self._seconds / _RENEWALS)
            if (number := self._number) is None:
                return
            try:
                await guarded_for_caller(self._renew, number)
            except Exception as error:  # noqa: BLE001 - a lease harms no hub: the journal tells it when it has to end
                _log.problem("a lease cannot be renewed; the hub goes on while its journal takes events", error)

    async def _renew(self, number: int) -> None:
        if await self._lease.write(self._name, number):
            self._number = number + 1
            return
        entry = await self._lease.read()
        holder = None if entry is None else entry.holder
        if entry is not None and holder == self._name and entry.number == number + 1:
            self._number = number + 1  # its answer was lost
            return
        self._number = None
        _log.problem("another program has taken the lease; the hub goes on until its journal refuses it", holder=holder)

    async def release(self) -> None:
        """Let another one take the lease at once."""
        if self._number is None:
            return
        number, self._number = self._number, None
        try:
            await called(self._release, number, seconds=self._seconds, name="lease")
        except Exception as error:  # noqa: BLE001 - what the block has raised, or its good end, is not replaced
            _log.problem("a lease could not be released; it runs out", error)

    async def _release(self, number: int) -> None:
        if await self._lease.write(None, number):
            return
        entry = await self._lease.read()  # the answer to the last renewal may be one that was not waited for
        if entry is not None and entry.holder == self._name and entry.number == number + 1:
            await self._lease.write(None, number + 1)

    async def close(self) -> None:
        """Close a lease that can be closed."""
        if not has_method(self._lease, "aclose"):
            return
        try:
            await called(self._lease.aclose, seconds=self._seconds, name="lease")  # type: ignore[attr-defined]
        except Exception as error:  # noqa: BLE001 - as above
            _log.problem("a lease could not be closed", error)


class StoreLease:
    """A :class:`Lease` below ``path`` of a store: a file for each entry, which is created or not.

    Any store will do whose ``write(if_absent=True)`` two machines cannot both win: an object store, above all. Each
    renewal is a create and a delete: on S3, with ``leading(seconds=10)``, about 13 dollars a month.
    """

    def __init__(self, store: KnowledgeStore, path: str = "/lease") -> None:
        if isinstance(store, type) or not all(callable(getattr(store, each, None)) for each in ("write", "list")):
            raise ConfigurationError(f"StoreLease(): store is a store, not {type(store).__name__}")
        if type(path) is not str:
            raise ConfigurationError(f"StoreLease(): path is text, such as '/lease', not {type(path).__name__}")
        self._store = store
        self._path = normalize_path(path)

    def __repr__(self) -> str:
        return f"StoreLease({self._store!r:.200}, {self._path!r})"

    async def read(self) -> LeaseEntry | None:
        numbers = await self._numbers()
        while numbers:
            number = numbers.pop()
            content = await self._store.read_bytes(self._file(number))
            if content is not None:
                return LeaseEntry(number, _holder_in(content))
            numbers = await self._numbers()  # its holder has renewed it meanwhile
        return None

    async def write(self, holder: str | None, after: int) -> bool:
        entry = json.dumps({"holder": holder, "pid": os.getpid()})
        try:
            await self._store.write(self._file(after + 1), entry, if_absent=True)
        except AlreadyExists:
            return False
        numbers = await self._numbers()
        for number in numbers:
            if number <= after:
                await self._store.delete(self._file(number))
        # Who has seen an entry that is long gone may create one in the past.
        return not numbers or numbers[-1] <= after + 1

    async def _numbers(self) -> list[int]:
        names = await self._store.list(self._path)
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def _file(self, number: int) -> str:
        return f"{self._path}/{number:020}"


def _holder_in(content: bytes) -> str | None:
    """Return who an entry names; what cannot be read is held by who wrote it."""
    try:
        found: Any = json.loads(content[:_ENTRY_BYTES_MAX])["holder"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "?"
    return found if found is None or type(found) is str else "?"
