"""Changes of a FileStore's files: the system tells where to look, and looking tells what has changed.

What the system tells is not enough by itself: it says nothing of files that come to be in a directory that is too new
to be watched, it may lose news, and on a network file system it knows nothing of other machines. So it is taken for a
hint at most; every change is found by comparing a file's state with the one before, and now and then everything is
looked at without a hint. Where nothing can be watched (a root that does not exist yet, too few inotify watches,
``WATCHFILES_FORCE_POLLING``) that happens so often that it does as well.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

from hubwire.forks import register_at_fork

from ._watch import is_at_or_below

__all__ = ("FileChanges", "Watcher")

State = tuple[int, int, int]
Look = Callable[[Iterable[str]], Awaitable[Mapping[str, State]]]
"""Returns the state of every file at or below some paths."""

_STEP_MILLISECONDS = 10
_BATCH_MILLISECONDS = 50
"""News that come within a step of each other are told together, but not later than this."""

_SWEEP_SECONDS = 5.0


class FileChanges:
    """What one subscription has still to be told."""

    def __init__(self, top: str, look: Look) -> None:
        self._top = top
        self._look = look
        self._known: dict[str, State] = {}
        self._hints: set[str] = set()
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def begin(self) -> None:
        """Look at everything for the first time: changes count from here on."""
        self._known = dict(await self._look([self._top]))

    def hint(self, paths: Iterable[str]) -> bool:
        """Have somebody look there; False if nobody can any more, the loop being closed. Works in any thread."""
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
        self._hints |= hints
        self._wake.set()

    async def next_changes(self) -> list[str]:
        """Return the files that have changed, as soon as there may be any."""
        await self._wake.wait()
        self._wake.clear()
        hints, self._hints = self._hints, set()
        found = await self._look(hints)
        changed = [path for path, state in found.items() if self._known.get(path) != state]
        self._known.update(found)
        if hints - found.keys():  # directories, or files that are gone
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
        self._begin()
        register_at_fork(self)
        _alive.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._subscriptions: set[FileChanges] = set()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def add(self, changes: FileChanges) -> None:
        """Hint to a subscription from now on: at everything, as soon as the thread watches, or polls."""
        with self._lock:
            self._subscriptions.add(changes)
            if len(self._subscriptions) == 1:
                self._stop = threading.Event()
                self._thread = threading.Thread(target=self._run, args=(self._stop,), name="hubwire-watch", daemon=True)
                self._thread.start()

    def remove(self, changes: FileChanges) -> None:
        """Hint to a subscription no more; tell the thread to end if it was the last."""
        with self._lock:
            self._subscriptions.discard(changes)
            if not self._subscriptions:
                self._stop.set()

    def wait_ended(self) -> None:
        """Return when the thread has ended, if it was told to. Blocks."""
        if self._stop.is_set() and self._thread is not None:
            self._thread.join()

    def end(self) -> None:
        """End the thread, whoever is subscribed. Blocks."""
        self._stop.set()
        self.wait_ended()

    def after_fork_in_child(self) -> None:
        """Begin anew in a forked process: the thread, and who is subscribed, are its parent's."""
        self._begin()

    def _run(self, stop: threading.Event) -> None:
        is_polling = bool(os.environ.get("WATCHFILES_FORCE_POLLING"))
        is_told = False
        while not stop.is_set():
            if not is_polling:
                try:
                    self._watch(stop)
                except FileNotFoundError:
                    pass  # Nothing was written yet, or everything was deleted.
                except (OSError, RuntimeError):
                    if not is_told:
                        is_told = True
                        _tell_of_polling(self._root())
            self._hint(["/"])
            stop.wait(self._poll_seconds)

    def _watch(self, stop: threading.Event) -> None:
        """Hint at what the system tells, for as long as the root stays the same directory."""
        from watchfiles._rust_notify import RustNotify  # noqa: PLC0415 - only who watches pays for it

        root = self._root()
        with RustNotify([root], False, False, 0, True, True) as system:
            watched = _identity(root)
            self._hint(["/"])
            while not stop.is_set() and _identity(root) == watched:
                told = system.watch(_BATCH_MILLISECONDS, _STEP_MILLISECONDS, int(_SWEEP_SECONDS * 1000), stop)
                self._hint(["/"] if isinstance(told, str) else _store_paths((path for _, path in told), root))

    def _hint(self, hints: Iterable[str]) -> None:
        hints = list(hints)
        with self._lock:
            subscriptions = list(self._subscriptions)
        for changes in subscriptions:
            if not changes.hint(hints):
                self.remove(changes)


def _identity(root: str) -> tuple[int, int]:
    status = os.stat(root)  # noqa: PTH116 - a Path has nothing to add
    return status.st_dev, status.st_ino


def _store_paths(paths: Iterable[str], root: str) -> Iterator[str]:
    """Turn paths of the system into the store's, leaving out its own files."""
    for path in paths:
        below = path[len(root.rstrip("/")) :] if is_at_or_below(path, root) else "/"  # another spelling of the root
        if not any(element.endswith("@") for element in below.split("/")):
            yield below or "/"


def _at_and_above(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]
    yield "/"


def _tell_of_polling(root: str) -> None:
    import structlog  # noqa: PLC0415 - it imports rich: 0.1 s that most programs need not spend

    structlog.get_logger("hubwire.stores").warning("store.watch_failed", root=root, exc_info=True)


_alive: weakref.WeakSet[Watcher] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    # A thread in foreign code that the interpreter leaves behind at its end may bring down the process.
    for watcher in list(_alive):
        watcher.end()
