"""Recorder: turns what an agent runtime says, in its own threads and loops, into events of a hub."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, Self

import anyio
import attrs

from .. import FeedState, Hub, HubThread
from ..coverage import Coverage
from ..errors import ConfigurationError, HubClosed
from ..forks import register_at_fork
from ..redaction import Redactor
from ._bringing import Bringing
from ._capture import captured, short_text
from ._coverages import coverage_for
from ._queue import Grade, Queue
from ._settings import (
    APPROVAL_CHARS,
    CONTENT_CHARS,
    PREVIEW_CHARS,
    flag,
    hub_of,
    name_of,
    redactor_of,
    seconds_of,
    whole_of,
)
from ._telling import Telling
from ._unheard import RUN_IT, say_when_unheard
from .verdict import Verdict

__all__ = ("Recorder", "RecorderStatistics")


@attrs.frozen(kw_only=True)
class RecorderStatistics:
    """What a recorder did."""

    waiting: int
    """How many entries the hub has not taken in yet."""
    open: int
    """How many turns, model calls and tool calls have begun and not ended."""
    events: int
    """How many events it has put."""
    dropped: int
    """How many calls it had no room for, or came when it was closed."""
    refused: int
    """How many events the hub refused."""
    replays: int
    """How many beginnings were left out because they were recorded already."""
    failures: int
    """How many calls of its methods failed inside: they returned all the same."""


class Recorder(Telling):
    """Records the runs of an agent runtime in a hub. All adapters in :mod:`hubwire.runtimes` are made of it.

    Its methods are sync, may be called from any thread and any event loop, return in microseconds, never wait, and
    never raise: whatever is wrong with the hub, the runtime goes on. What they say waits in a queue until the hub
    takes it in, in order. While the hub is slow or stopped the queue fills, and what is least important is left out
    first: progress of streams, then model and tool calls, then turns; approvals last, and no end of what was begun.
    It is counted; :meth:`Hub.health` says so until ``recording.dropped`` does, when there is room again.

    ``key`` names a turn or call in this recorder: the run id or span id of the runtime, unique for good; ``parent`` is
    the key of what it belongs to. A key that comes again is a replay, and makes no second event. Ends are held back
    for up to five seconds until what belongs to them has ended; what never ends is recorded as abandoned. In the
    events a key is the ``turn_id``; ``call_id`` is the id that the model gave a call, and unique in its run.

    * ``hub``: a :class:`~hubwire.Hub`, started or not, or a :class:`~hubwire.HubThread`.
    * ``source``: the name of the runtime, ``source`` of all events.
    * ``agent``: whose runs they are where the runtime does not say. Agents are registered when they first occur.
    * ``content``: record prompts, answers, arguments and results whole, up to 65,536 characters each. By default, their
      first 200 characters. Both are redacted by ``redactor``, by default that of the package. The arguments of
      approvals are there in full, because a person has to see what is decided.
    * ``coverage``: what it captures of the runtime, and what the runtime hides: it is ``recording.covered`` before the
      first event, so that the log says it. Adapters declare their own; None: no event says it.
    * ``session``: ``session_id`` of what has no session of its own. ``tenant``: whose hub it is.

    Context (correlation, trace, tenant, channel, task) is that of the code in which a run begins.

    Raises :class:`~hubwire.errors.ConfigurationError` for a setting that cannot work.
    """

    def __init__(
        self,
        hub: Hub | HubThread,
        *,
        source: str,
        agent: str = "agent",
        content: bool = False,
        session: str | None = None,
        tenant: str | None = None,
        redactor: Redactor | None = None,
        queue_max: int = 10_000,
        queue_bytes_max: int = 32 * 1024 * 1024,
        stream_seconds: float = 5.0,
        coverage: Coverage | None = None,
    ) -> None:
        self._hub = hub_of(hub)
        super().__init__(
            name_of("source", source),
            Queue(whole_of("queue_max", queue_max), whole_of("queue_bytes_max", queue_bytes_max)),
            chars_max=CONTENT_CHARS if flag("content", content) else PREVIEW_CHARS,
            stream_seconds=seconds_of("stream_seconds", stream_seconds),
        )
        self._undo: list[Callable[[], object]] = []
        self._lock = threading.RLock()  # it may be closed in a signal handler, or by its own callback
        self._bringing = Bringing(
            self._queue,
            source=self.source,
            agent=name_of("agent", agent),
            session=None if session is None else name_of("session", session),
            tenant=None if tenant is None else name_of("tenant", tenant),
            redactor=redactor_of(redactor),
            chars_max=self._chars,
            coverage=coverage_for(coverage, source),
        )
        register_at_fork(self)
        self._handle = self._bringing.crossing.handle = self._hub.feed(self._bringing)
        say_when_unheard(self._bringing, self._queue, self.source)
        weakref.finalize(self, _let_go, self._queue, self._bringing).atexit = False

    def __repr__(self) -> str:
        told = self.statistics()
        state = "closed" if self.is_closed else "open"
        counts = f"{told.events} events, {told.waiting} waiting, {told.dropped} dropped"
        return f"<{type(self).__name__} of {self.source} {state}, {counts}: {self._hub!r}>"

    # -- approvals --

    async def decide(
        self, key: str, action: str, arguments: Any = None, *, agent: str | None = None, parent: str | None = None
    ) -> Verdict:
        """Ask for approval in the hub, and wait for the verdict, in any event loop.

        It is asked after all that was recorded before. ``key`` is unique for the question: asked again, also by
        another process after a restart, it is the same question, and has its verdict. A hub that cannot be asked, or
        ends while this waits, approves nothing, and a key that is none is not asked: the verdict says why. Cancelled,
        the question stays.
        """
        return await self._bringing.decide(self._asked(key, action, arguments, agent, parent))

    def decide_blocking(
        self, key: str, action: str, arguments: Any = None, *, agent: str | None = None, parent: str | None = None
    ) -> Verdict:
        """Likewise for a thread that may wait. In the hub's own event loop it approves nothing, and says so at once."""
        return self._bringing.decide_blocking(self._asked(key, action, arguments, agent, parent))

    def _asked(self, key: str, action: str, arguments: Any, agent: str | None, parent: str | None) -> Future[str]:
        future: Future[str] = Future()
        if not self._hub.id:  # it would wait for a start that may never come
            future.set_exception(HubClosed(f"the hub is not running: ask inside {RUN_IT}"))
            return future
        try:
            is_put = self._put(
                "ask",
                Grade.APPROVAL,
                key,
                parent,
                agent=agent,
                action=short_text(action, default="tool"),
                arguments=captured(arguments, APPROVAL_CHARS),
                future=future,
            )
        except Exception as error:  # noqa: BLE001 - what cannot be asked is not approved, and the verdict says why
            future.set_exception(error)
        else:
            if not is_put:
                future.set_exception(ConfigurationError("the recorder is closed, or its queue is full"))
        return future

    # -- its end --

    def on_close(self, undo: Callable[[], object]) -> None:
        """Call this when the recorder is closed: what takes the runtime's callbacks away again."""
        with self._lock:
            if not self._queue.is_closed:
                self._undo.append(undo)
                return
        undo()

    def close(self) -> None:
        """Take the callbacks away, and let the hub take in what waits. May be called again, from any thread.

        It does not wait for the hub: :meth:`aclose` does. What is open is recorded as abandoned.
        """
        while self._undo:  # one of them may give another
            with self._lock:
                undo, self._undo = self._undo, []
            for each in undo:
                try:
                    each()
                except KeyboardInterrupt:
                    _let_go(self._queue, self._bringing)
                    raise
                except BaseException as error:  # noqa: BLE001 - the others are to be taken away too
                    self.failed("close", error)
        _let_go(self._queue, self._bringing)

    async def aclose(self) -> None:
        """Likewise, and return when the hub has taken in what waited. Works in any event loop."""
        self.close()
        with anyio.move_on_after(_CLOSE_SECONDS):
            while self._hub.id and self._handle.state is not FeedState.ENDED:
                with anyio.move_on_after(_LOOK_SECONDS):  # a hub that closes meanwhile may never have called the feed
                    await self._bringing.closed()
                    return

    async def flush(self) -> None:
        """Return when the hub has committed all that was recorded until now. Works in any event loop.

        Raises what the hub failed with, or :class:`~hubwire.errors.HubClosed`.
        """
        await self._bringing.flush(self._mark())

    def flush_blocking(self, timeout: float | None = None) -> None:
        """Likewise for a thread that may wait, at most ``timeout`` seconds: then ``TimeoutError``."""
        self._bringing.flush_blocking(self._mark(), timeout)

    def _mark(self) -> Future[Any]:
        mark: Future[Any] = Future()
        if not self._hub.id:
            raise HubClosed(f"the hub of the recorder is not running: use it inside {RUN_IT}")
        if self._put("mark", Grade.MARK, "", None, future=mark):
            return mark
        return self._bringing.ending()  # it is closed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def hub(self) -> Hub:
        """The hub that it records in."""
        return self._hub

    def statistics(self) -> RecorderStatistics:
        """Return every number there is, at once."""
        bringing = self._bringing
        return RecorderStatistics(
            waiting=len(self._queue),
            open=self._queue.open_keys,
            events=bringing.events,
            dropped=self._queue.dropped_total,
            refused=bringing.refused,
            replays=bringing.replays + self._queue.replays,
            failures=self._failures,
        )

    def after_fork_in_child(self) -> None:
        """A child has no part in the hub of its parent."""
        self._queue = Queue(1, 1)
        self._queue.close()
        self._lock = threading.RLock()
        self._bringing.leave()


def _let_go(queue: Queue, bringing: Bringing) -> None:
    """Take nothing more, and let the hub take in the rest: of a recorder that was closed, or that no code has."""
    queue.close()
    bringing.close()


_CLOSE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.2
