"""What carries commands between hubs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

__all__ = ("CommandLink",)


class CommandLink(Protocol):
    """Carries the commands of hubs that follow to the hub that leads, and the answers back: see ``hub.connect(link)``.

    A link belongs to one journal: all hubs over it have links to each other, and no other hub has. It need not be
    reliable. What it loses is asked again; what it delivers twice, or late, or in another order, is known by its
    number. What it changes is not noticed: give it a transport that checks what it carries, as TCP does.
    """

    @property
    def bytes_max(self) -> int:
        """How long a request may be, and an answer."""

    async def request(self, body: bytes, seconds: float) -> bytes:
        """Have a request answered by the hub that serves now.

        Raises ``ConnectionRefusedError`` if no hub serves: then the request has reached none, for certain. Raises
        ``TimeoutError`` if there is no answer within so many seconds, or another ``OSError`` if the connection breaks:
        then it may have. The request is made again, here or by a link made anew. Cancelled, it waits no longer.
        """

    def serve(self, handler: Callable[[bytes], Awaitable[bytes]]) -> AbstractAsyncContextManager[None]:
        """Call ``handler`` with each request, several at a time, for as long as the block is entered.

        Its answer goes to who asked, if that still waits. It does not raise, and may be cancelled when the block is
        left; what was asked is not answered then. A connection that breaks is made anew by the link.
        """

    async def aclose(self) -> None:
        """Give up the connection: called by the hub at its end. Cancelled, or late, it does no harm."""
