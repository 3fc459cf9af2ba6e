"""JetStreamLink: commands of hubs that follow, over request and reply of NATS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from hubwire.errors import ConfigurationError
from hubwire.waking import start_later

from ._line import Line

__all__ = ("JetStreamLink",)

_PAUSE_SECONDS = 0.05


class JetStreamLink:
    """A :class:`~hubwire.ports.CommandLink` over the servers of a :class:`JetStreamJournal`.

    ``servers``, ``name`` and ``options`` are those of the journal. Nothing is stored; the subject is
    ``hw.cmd.<name>``. It connects with the first command, or when its hub begins to lead. A server that dies costs
    the time of a reconnection; ``wait_seconds``: how long the first connection may take.
    """

    def __init__(
        self, servers: str, name: str, *, wait_seconds: float = 5.0, options: dict[str, Any] | None = None
    ) -> None:
        if not isinstance(options, dict | None):
            raise ConfigurationError(
                f"JetStreamLink(): options are arguments of nats.connect, in a dict, not {type(options).__name__}"
            )
        self.name: str = name
        self._line = Line("JetStreamLink()", servers, name, f"hw.cmd.{name}", wait_seconds, dict(options or {}))

    def __repr__(self) -> str:
        return f"JetStreamLink({self._line!s})"

    @property
    def bytes_max(self) -> int:
        """What the servers take; as long as there is no connection, what they take by default."""
        return self._line.bytes_max

    async def request(self, body: bytes, seconds: float) -> bytes:
        """Ask the hub that serves now."""
        await self._line.connected()
        return await self._line.request(body, seconds)

    @asynccontextmanager
    async def serve(self, handler: Callable[[bytes], Awaitable[bytes]]) -> AsyncIterator[None]:
        """Answer requests; as long as no server is reached, try again."""
        tasks: set[asyncio.Task[None]] = set()
        serving = start_later(self._served(handler, tasks), name=f"hubwire serving {self.name}")
        try:
            yield
        finally:
            serving.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.wait([serving, *tasks])

    async def _served(self, handler: Callable[[bytes], Awaitable[bytes]], tasks: set[asyncio.Task[None]]) -> None:
        async def answered(body: bytes, reply: Callable[[bytes], Awaitable[None]]) -> None:
            await reply(await handler(body))

        def taken(body: bytes, reply: Callable[[bytes], Awaitable[None]]) -> None:
            task = start_later(answered(body, reply), name=f"hubwire answering {self.name}")
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        subscription = None
        while subscription is None:
            try:
                await self._line.connected()
                subscription = await self._line.subscribe(taken)
            except OSError:
                await asyncio.sleep(_PAUSE_SECONDS)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self._line.unsubscribe(subscription)

    async def aclose(self) -> None:
        """Close the connection; called by the hub at its end."""
        await self._line.aclose()
