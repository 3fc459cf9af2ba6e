"""JetStreamServers: what the nodes of a cluster share, on NATS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio

from hubwire.ports import KnowledgeStore
from hubwire.standby import Lease

from ._line import Line
from ._link import JetStreamLink
from .journal import JetStreamJournal

__all__ = ("JetStreamServers", "JetStreamSigns")

_SUBJECT = "hw._nodes"
_HEARD_MAX = 10_000
_WAIT_SECONDS = 5.0


class JetStreamServers:
    """The journals, leases, links and signs of a :class:`hubwire.cluster.Cluster`, whose arguments these are."""

    def __init__(
        self,
        servers: str,
        *,
        store: KnowledgeStore,
        single_server: bool = False,
        monitoring: str | None = None,
        assert_sync_always: bool = False,
        options: dict[str, Any] | None = None,
    ) -> None:
        self._servers = servers
        self._options = options
        self._settings: dict[str, Any] = {
            "store": store,
            "single_server": single_server,
            "monitoring": monitoring,
            "assert_sync_always": assert_sync_always,
            "options": options,
        }
        self.journal("checked")  # so that what cannot be is refused here

    def journal(self, name: str) -> JetStreamJournal:
        return JetStreamJournal(self._servers, name, **self._settings)

    def lease(self, name: str) -> Lease:
        return self.journal(name).lease()

    def link(self, name: str) -> JetStreamLink:
        return JetStreamLink(self._servers, name, options=self._options)

    def signs(self) -> JetStreamSigns:
        return JetStreamSigns(self._servers, self._options)


class JetStreamSigns:
    """A :class:`~hubwire.ports.ClusterSigns`: published at ``hw._nodes``, and not stored."""

    def __init__(self, servers: str, options: dict[str, Any] | None = None) -> None:
        self._line = Line("JetStreamSigns()", servers, "nodes", _SUBJECT, _WAIT_SECONDS, dict(options or {}))

    async def say(self, body: bytes) -> None:
        await self._line.connected()
        await self._line.publish(body)

    async def heard(self) -> AsyncIterator[bytes]:
        send, receive = anyio.create_memory_object_stream[bytes](_HEARD_MAX)

        def taken(body: bytes) -> None:
            if send.statistics().current_buffer_used < _HEARD_MAX:
                send.send_nowait(body)

        await self._line.connected()
        subscription = await self._line.listen(taken)
        try:
            async with send, receive:
                async for body in receive:
                    yield body
        finally:
            await self._line.unsubscribe(subscription)

    async def aclose(self) -> None:
        await self._line.aclose()
