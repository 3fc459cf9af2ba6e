"""What the nodes of a cluster share, in one process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from ..errors import ConfigurationError
from ..ports import KnowledgeStore
from ..standby import StoreLease
from .links import LocalLink
from .memory_journal import MemoryHistory, MemorySharedJournal

__all__ = ("MemoryServers",)

_HEARD_MAX = 10_000


class MemoryServers:
    """Stands for the servers of a :class:`hubwire.cluster.Cluster`: give the same to all nodes of a test.

    ``store`` keeps the snapshots and the leases, such as ``MemoryStore()``.
    """

    def __init__(self, store: KnowledgeStore) -> None:
        MemoryHistory(store)  # refuses what is no store
        self._store = store
        self._histories: dict[str, MemoryHistory] = {}
        self._links: dict[str, LocalLink] = {}
        self._ears: list[MemoryObjectSendStream[bytes]] = []

    def journal(self, name: str) -> MemorySharedJournal:
        """Return a new object for the journal of the hub of this name."""
        if type(name) is not str:
            raise ConfigurationError(f"MemoryServers.journal(): name is text, not {type(name).__name__}")
        if name not in self._histories:
            self._histories[name] = MemoryHistory(self._store, beat_seconds=0.2)
        journal = MemorySharedJournal(self._histories[name])
        journal.path = f"/hubs/{name}"  # its snapshots are its own
        return journal

    def lease(self, name: str) -> StoreLease:
        """Return its lease."""
        return StoreLease(self._store, f"/leases/{name}")

    def link(self, name: str) -> LocalLink:
        """Return what carries its commands."""
        return self._links.setdefault(name, LocalLink())

    def signs(self) -> MemorySigns:
        """Return how the nodes hear of each other."""
        return MemorySigns(self._ears)


class MemorySigns:
    """Signs of nodes in one process."""

    def __init__(self, ears: list[MemoryObjectSendStream[bytes]]) -> None:
        self._ears = ears

    async def say(self, body: bytes) -> None:
        for ear in self._ears:
            if ear.statistics().current_buffer_used < _HEARD_MAX:
                ear.send_nowait(body)

    async def heard(self) -> AsyncIterator[bytes]:
        send, receive = anyio.create_memory_object_stream[bytes](_HEARD_MAX)
        self._ears.append(send)
        try:
            async with send, receive:
                async for body in receive:
                    yield body
        finally:
            self._ears.remove(send)

    async def aclose(self) -> None:
        return
