"""A link between the hubs of one process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

__all__ = ("LocalLink",)


class LocalLink:
    """Carries commands between hubs that run in one event loop: give the same link to all of them.

    So a program that follows and takes over is tested without a server: see :class:`hubwire.ports.CommandLink`.
    """

    def __init__(self, *, bytes_max: int = 1024 * 1024) -> None:
        self.bytes_max: int = bytes_max
        """How long a request may be, and an answer."""
        self._handlers: list[Callable[[bytes], Awaitable[bytes]]] = []

    async def request(self, body: bytes, seconds: float) -> bytes:
        """Have it answered by the hub that serves; by the one that came last, if there are several."""
        if not self._handlers:
            raise ConnectionRefusedError("no hub serves this link")
        with anyio.fail_after(seconds):
            return await self._handlers[-1](body)

    @asynccontextmanager
    async def serve(self, handler: Callable[[bytes], Awaitable[bytes]]) -> AsyncIterator[None]:
        """Serve for as long as the block is entered."""
        self._handlers.append(handler)
        try:
            yield
        finally:
            self._handlers.remove(handler)

    async def aclose(self) -> None:
        """Do nothing: other hubs have the same link."""
