"""Subscriptions to changes: a task of the store's own that calls back, and polling for media that report no changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

import anyio

from hubwire.guests import GuestTask
from hubwire.own_log import OwnLog
from hubwire.ports import ChangeCallback
from hubwire.waking import start_later

__all__ = ("PendingPaths", "Polling", "Subscription", "is_at_or_below")

_log = OwnLog("stores")


def is_at_or_below(path: str, top: str) -> bool:
    """Return whether a normalised path is ``top`` or below it."""
    return top in (path, "/") or path.startswith(top + "/")


class Subscription:
    """Calls ``callback`` with each path that ``next_changes`` returns, until closed.

    The callback is a guest: what it raises ends its subscription and is logged, and :meth:`close` waits no longer than
    a second for one that swallows its cancellation.

    ``ended`` is called when that is over, for any reason; :meth:`close` then awaits ``after_close``.
    """

    def __init__(
        self,
        path: str,
        callback: ChangeCallback,
        next_changes: Callable[[], Awaitable[Iterable[str]]],
        ended: Callable[[Subscription], None],
        after_close: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._path = path
        self._callback = callback
        self._next_changes = next_changes
        self._after_close = after_close
        self._closing = False
        self._guest = GuestTask(f"callback of changes below {path}")
        self._task = start_later(self._deliver(), name=f"hubwire store changes below {path}")
        # Not at the end of the task's own code: a task that is cancelled before its first step runs none of it.
        self._task.add_done_callback(lambda _: ended(self))

    async def close(self) -> None:
        self._closing = True
        # A callback may close its own subscription; waiting for itself it would never return.
        if not self._task.done() and not self._guest.is_current:
            self._task.cancel()
            await asyncio.wait((self._task,))
            if self._after_close is not None:
                await self._after_close()

    async def _deliver(self) -> None:
        try:
            while not self._closing:
                for path in await self._next_changes():
                    await self._guest.call(self._callback, path)
                    if self._closing:
                        break
        except Exception as error:  # noqa: BLE001 - it is logged with its traceback, and ends this subscription
            _log.failure("store.subscription_failed", error, path=self._path)
        finally:
            self._guest.end()


class PendingPaths:
    """Paths that wait for their subscription: each once, in the order in which they came."""

    def __init__(self) -> None:
        self._paths: dict[str, None] = {}
        self._added = asyncio.Event()

    def add(self, path: str) -> None:
        self._paths[path] = None
        self._added.set()

    async def take(self) -> list[str]:
        """Return all pending paths, as soon as there is one."""
        await self._added.wait()
        self._added.clear()
        paths, self._paths = list(self._paths), {}
        return paths


class Polling:
    """Finds changes by comparing a snapshot (path to a value that differs after a change) with the previous one."""

    def __init__(
        self,
        take_snapshot: Callable[[], Awaitable[Mapping[str, object]]],
        first: Mapping[str, object],
        seconds: float,
    ) -> None:
        self._take_snapshot = take_snapshot
        self._last = first
        self._seconds = seconds

    async def next_changes(self) -> list[str]:
        await anyio.sleep(self._seconds)
        before, now = self._last, await self._take_snapshot()
        self._last = now
        return sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
