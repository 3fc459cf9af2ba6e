"""Changes of a FileStore's files: the system hints where to look, and comparing states finds what has changed.

Hints are not enough by themselves: the system does not report files that are created in a directory too new to be
watched, it may lose reports, and on a network file system it sees only this machine. So a hint only says where to look;
every change is found by comparing a file's state with the previous one, and from time to time all files are compared
without a hint. Where the system cannot watch (a root that does not exist yet, too few inotify watches,
``WATCHFILES_FORCE_POLLING``) they are compared so often that no hint is needed.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

from hubwire.forks import register_at_fork
from hubwire.own_log import OwnLog

from ._watch import PendingPaths, is_at_or_below

__all__ = ("FileChanges", "Watcher")

State = tuple[int, int, int]
Look = Callable[[Iterable[str]], Awaitable[Mapping[str, State]]]
"""Returns the state of every file at or below some paths."""

_STEP_MILLISECONDS = 10
_BATCH_MILLISECONDS = 50
"""Hints that come within a step of each other are passed on together, but not later than this."""

_SWEEP_SECONDS = 5.0

_log = OwnLog("stores")


class FileChanges:
    """The changes that one subscription has not received yet."""

    def __init__(self, top: str, look: Look) -> None:
        self._top = top
        self._look = look
        self._known: dict[str, State] = {}
        self._hints = PendingPaths()
        self._loop = asyncio.get_running_loop()

    async def take_baseline(self) -> None:
        """Look at every file for the first time: later states are compared with these."""
        self._known = dict(await self._look([self._top]))

    def hint(self, paths: Iterable[str]) -> bool:
        """Say where to look; return False if the loop is closed. Works in any thread."""
        hints = {path if is_at_or_below(path, self._top) else self._top for path in paths if self._concerns(path)}
        try:
            if hints:
                self._loop.call_soon_threadsafe(self._take, hints)
        except RuntimeError:
            return False
        return True

    def _concerns(self, path: str) -> bool:
        return is_at_or_below(path, self._top) or is_at_or_below(self._top, path)

    def _take(self, hints: set[str]) -> None:
        for hint in hints:
            self._hints.add(hint)

    async def next_changes(self) -> list[str]:
        """Return the files that have changed, as soon as there may be any."""
        hints = set(await self._hints.take())
        found = await self._look(hints)
        changed = [path for path, state in found.items() if self._known.get(path) != state]
        self._known.update(found)
        if hints - found.keys():  # directories, or files that were deleted
            gone = [path for path in self._known if path not in found and not hints.isdisjoint(_at_and_above(path))]
            for path in gone:
                del self._known[path]
            changed += gone
        return sorted(changed)


class Watcher:
    """A thread that hints at changes anywhere below a root, for as long as there is a subscription."""

    def __init__(self, root: Callable[[], str], poll_seconds: float) -> None:
        self._root = root
        self._poll_seconds = poll_seconds
        self._reset()
        register_at_fork(self)
        _alive.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._subscriptions: set[FileChanges] = set()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def add(self, changes: FileChanges) -> None:
        """Hint to a subscription from now on: first at all files, as soon as the thread watches or polls."""
        with self._lock:
            self._subscriptions.add(changes)
            if len(self._subscriptions) == 1:
                stopping = self._stopping = threading.Event()
                self._thread = threading.Thread(target=self._run, args=(stopping,), name="hubwire-watch", daemon=True)
                self._thread.start()

    def remove(self, changes: FileChanges) -> None:
        """Stop hinting to a subscription; the thread stops with the last one."""
        with self._lock:
            self._subscriptions.discard(changes)
            if not self._subscriptions:
                self._stopping.set()

    def wait_stopped(self) -> None:
        """Return when the thread has stopped, if it is stopping. Blocks."""
        if self._stopping.is_set() and self._thread is not None:
            self._thread.join()

    def stop(self) -> None:
        """Stop the thread, even with subscriptions. Blocks."""
        self._stopping.set()
        self.wait_stopped()

    def after_fork_in_child(self) -> None:
        """Start over in a forked process: the thread and the subscriptions are the parent's."""
        self._reset()

    def _run(self, stopping: threading.Event) -> None:
        is_polling = bool(os.environ.get("WATCHFILES_FORCE_POLLING"))
        is_reported = False
        while not stopping.is_set():
            if not is_polling:
                try:
                    self._watch(stopping)
                except FileNotFoundError:
                    pass  # The root was not created yet, or was deleted.
                except (OSError, RuntimeError) as error:
                    if not is_reported:
                        is_reported = True
                        _log.problem("store.watch_failed", error, root=self._root())
            self._hint(["/"])
            stopping.wait(self._poll_seconds)

    def _watch(self, stopping: threading.Event) -> None:
        """Pass on the hints of the system, for as long as the root stays the same directory."""
        from watchfiles._rust_notify import RustNotify  # noqa: PLC0415 - only programs that watch pay for it

        root = self._root()
        with RustNotify([root], False, False, 0, True, True) as system:
            watched = _identity(root)
            self._hint(["/"])
            while not stopping.is_set() and _identity(root) == watched:
                seen = system.watch(_BATCH_MILLISECONDS, _STEP_MILLISECONDS, int(_SWEEP_SECONDS * 1000), stopping)
                self._hint(["/"] if isinstance(seen, str) else _store_paths((path for _, path in seen), root))

    def _hint(self, hints: Iterable[str]) -> None:
        hints = list(hints)
        with self._lock:
            subscriptions = list(self._subscriptions)
        for changes in subscriptions:
            if not changes.hint(hints):
                self.remove(changes)


def _identity(root: str) -> tuple[int, int]:
    status = os.stat(root)  # noqa: PTH116 - a Path adds only cost
    return status.st_dev, status.st_ino


def _store_paths(paths: Iterable[str], root: str) -> Iterator[str]:
    """Turn paths of the system into paths of the store, without the store's own files."""
    for path in paths:
        below = path[len(root.rstrip("/")) :] if is_at_or_below(path, root) else "/"  # another spelling of the root
        if not any(element.endswith("@") for element in below.split("/")):
            yield below or "/"


def _at_and_above(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]
    yield "/"


_alive: weakref.WeakSet[Watcher] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    # A thread in foreign code that the interpreter leaves behind at its end may bring down the process.
    for watcher in list(_alive):
        watcher.stop()
