"""Recorder: turns what an agent runtime says, in its own threads and loops, into events of a hub."""

from __future__ import annotations

import functools
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Self

import anyio
import attrs

from .. import FeedState, Hub, HubThread
from ..clock import SystemClock
from ..errors import ConfigurationError, HubClosed
from ..forks import register_at_fork
from ..own_log import OwnLog
from ..redaction import Redactor
from ._bringing import Bringing
from ._capture import CUT, captured, error_message, error_type, key_text, short_text, size_of
from ._place import place
from ._queue import ENTRY_BYTES, Entry, Grade, Queue
from ._settings import (
    APPROVAL_CHARS,
    CONTENT_CHARS,
    MARGIN_CHARS,
    PREVIEW_CHARS,
    flag,
    hub_of,
    name_of,
    numbers_of,
    redactor_of,
    seconds_of,
    time_ns_of,
    whole_of,
)
from ._stream import Stream
from .verdict import Verdict

__all__ = ("Recorder", "RecorderStatistics")

P = ParamSpec("P")

_log = OwnLog("runtimes")

_time_of_day = SystemClock()


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


def _harmless(method: Callable[Concatenate[Recorder, P], None]) -> Callable[Concatenate[Recorder, P], None]:
    """Let a method return whatever happens in it: the runtime that calls it must go on."""

    @functools.wraps(method)
    def harmless(self: Recorder, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - an object of the runtime may raise anything when it is read
            self.failed(method.__name__, error)

    return harmless


class Recorder:
    """Records the runs of an agent runtime in a hub. All adapters in :mod:`hubwire.runtimes` are made of it.

    Its methods are sync, may be called from any thread and any event loop, return in microseconds, never wait, and
    never raise: whatever is wrong with the hub, the runtime goes on. What they say waits in a queue until the hub
    takes it in, in order. While the hub is slow or stopped the queue fills, and what is least important is left out
    first: progress of streams, then model and tool calls, then turns; approvals last, and no end of what was begun.
    It is counted, :meth:`Hub.health` says so, and ``recording.dropped`` when there is room again.

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
    ) -> None:
        self._hub = hub_of(hub)
        self.source: Final = name_of("source", source)
        self._chars = CONTENT_CHARS if flag("content", content) else PREVIEW_CHARS
        self._queue = Queue(whole_of("queue_max", queue_max), whole_of("queue_bytes_max", queue_bytes_max))
        self._stream_seconds = seconds_of("stream_seconds", stream_seconds)
        self._streams: dict[str, Stream] = {}
        self._failures = 0
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
        )
        register_at_fork(self)
        self._handle = self._hub.feed(self._bringing)
        weakref.finalize(self, _let_go, self._queue, self._bringing).atexit = False

    # -- what begins and ends --

    @_harmless
    def begin_turn(
        self,
        key: str,
        *,
        agent: str | None = None,
        parent: str | None = None,
        prompt: Any = None,
        session: str | None = None,
        correlation: str | None = None,
        at: float | None = None,
    ) -> None:
        """An agent begins a turn. One without a ``parent`` begins a run. ``at``: when, in seconds of the epoch.

        ``correlation``: the ``correlation_id`` of a run that begins in code that has none, where several runs belong
        together; by default, its key.
        """
        self._begin(
            "turn",
            Grade.TURN,
            key,
            parent,
            at,
            agent=agent,
            session=session,
            correlation=correlation,
            prompt=self._copy(prompt),
        )

    @_harmless
    def begin_model(
        self,
        key: str,
        model: str = "",
        *,
        agent: str | None = None,
        parent: str | None = None,
        request: Any = None,
        call_id: str | None = None,
        at: float | None = None,
    ) -> None:
        """An agent calls a model.

        Of a list of messages, only the last one is recorded unless contents are: those before it were recorded already.
        """
        if self._chars == PREVIEW_CHARS and type(request) in (list, tuple) and len(request) > 1:
            request = [f"{CUT} {len(request) - 1} before", request[-1]]
        self._begin(
            "model", Grade.CALL, key, parent, at, agent=agent, name=model, call_id=call_id, request=self._copy(request)
        )

    @_harmless
    def begin_tool(
        self,
        key: str,
        tool: str,
        *,
        agent: str | None = None,
        parent: str | None = None,
        arguments: Any = None,
        call_id: str | None = None,
        is_held: bool = False,
        held_seconds: float | None = None,
        at: float | None = None,
    ) -> None:
        """An agent calls a tool. ``is_held``: there is no event before :meth:`release` or the end.

        That is for runtimes that report a call before a person has been asked whether it may be made: what is said in
        between stands before it, and with :meth:`discard` it was never made. ``held_seconds``: it is released by itself
        when it has been held back for so long, to within a second.
        """
        self._begin(
            "tool",
            Grade.CALL,
            key,
            parent,
            at,
            agent=agent,
            name=tool,
            call_id=call_id,
            is_held=bool(is_held),
            **numbers_of({"held_seconds": held_seconds}),
            arguments=self._copy(arguments),
        )

    @_harmless
    def end(
        self,
        key: str,
        result: Any = None,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cost_usd: float | None = None,
        model: str | None = None,
        extra: Mapping[str, Any] | None = None,
        at: float | None = None,
    ) -> None:
        """A turn, model call or tool call has ended well, with this content, answer or result.

        Tokens and cost of a model call are added up in its turns. ``model``: the one that answered, where the beginning
        did not say. ``extra``: further numbers of it, for the metadata.
        """
        numbers = {"input_tokens": input_tokens, "output_tokens": output_tokens, "cost_usd": cost_usd}
        extra = None if extra is None else captured(extra, CONTENT_CHARS)
        self._end("end", key, at, result=self._copy(result), name=model, extra=extra, **numbers_of(numbers))

    @_harmless
    def fail(self, key: str, error: object, *, kind: str | None = None, at: float | None = None) -> None:
        """A turn, model call or tool call has ended with an error: an exception, or a text. ``kind``: its class."""
        self._end("fail", key, at, error_type=short_text(kind) or error_type(error), error_message=error_message(error))

    @_harmless
    def release(self, key: str) -> None:
        """A tool call that was held back is being made."""
        self._put("release", Grade.END, key, None)

    @_harmless
    def discard(self, key: str, reason: str = "") -> None:
        """A tool call that was held back was never made; what is recorded already is recorded as abandoned."""
        self._end("discard", key, None, reason=short_text(reason))

    # -- what happens in between --

    @_harmless
    def stream(self, key: str, text: str) -> None:
        """A piece of a model's answer has come. The first is recorded, and then how far it is, now and then."""
        now = time.monotonic()
        stream = self._streams.get(key)
        is_first = stream is None
        if stream is None:
            if not self._queue.is_open(key):
                return
            stream = self._streams[key] = Stream(now)
            if len(self._streams) > _STREAMS_MAX:
                self._streams.pop(next(iter(self._streams)), None)  # the end of that one has not come
        stream.add(text)
        if not is_first and now < stream.told_at + self._stream_seconds:
            return
        stream.told_at = now
        said = {"pieces": stream.pieces, "characters": stream.characters, "text": stream.tail}
        self._put("progress", Grade.PROGRESS, key, key, **said)

    @_harmless
    def usage(
        self,
        key: str,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cost_usd: float | None = None,
    ) -> None:
        """Add tokens and cost to what is open under this key, where they are told apart from its end."""
        numbers = {"input_tokens": input_tokens, "output_tokens": output_tokens, "cost_usd": cost_usd}
        self._put("usage", Grade.TURN, key, None, **numbers_of(numbers))

    @_harmless
    def hand_over(self, from_agent: str, to_agent: str, *, parent: str | None = None, reason: str = "") -> None:
        """One agent hands its work to another."""
        to = short_text(to_agent, default="agent")
        self._put("hand_over", Grade.TURN, "", parent, agent=from_agent, to=to, reason=self._copy(reason))

    @_harmless
    def error(self, error: object, *, parent: str | None = None, agent: str | None = None, where: Any = None) -> None:
        """There was an error that ends no turn and no call."""
        said = {"error_type": error_type(error), "error_message": error_message(error), "where": self._copy(where)}
        self._put("error", Grade.TURN, "", parent, agent=agent, **said)

    @_harmless
    def fact(self, kind: str, data: Mapping[str, Any], *, agent: str | None = None, parent: str | None = None) -> None:
        """Something else has happened: a :class:`~hubwire.GenericEvent` of this ``kind``, as ``"ag2.channel.opened"``.

        Each field of ``data`` is cut and redacted as contents are. Without ``agent`` and ``parent`` it is no agent's.
        """
        fields = {name: self._copy(value) for name, value in data.items() if type(name) is str}
        self._put("fact", Grade.CALL, "", parent, agent=agent, kind=short_text(kind), data=fields)

    # -- approvals --

    @_harmless
    def record_verdict(
        self,
        key: str,
        action: str,
        *,
        arguments: Any = None,
        is_passed: bool,
        approver: str = "operator",
        reason: str = "",
        agent: str | None = None,
        parent: str | None = None,
    ) -> None:
        """A person was asked in the runtime's own dialog, and has answered: question, answer and verdict are recorded.

        ``key`` is unique for the question; said twice, it is recorded once.
        """
        self._put(
            "verdict",
            Grade.APPROVAL,
            key,
            parent,
            agent=agent,
            action=short_text(action, default="tool"),
            arguments=captured(arguments, APPROVAL_CHARS),
            is_passed=is_passed is True,
            approver=short_text(approver, default="operator"),
            reason=captured(str(reason), 10_000),
        )

    async def decide(
        self, key: str, action: str, arguments: Any = None, *, agent: str | None = None, parent: str | None = None
    ) -> Verdict:
        """Ask for approval in the hub, and wait for the verdict, in any event loop.

        It is asked after all that was recorded before. ``key`` is unique for the question: asked again, also by
        another process after a restart, it is the same question, and has its verdict. A hub that cannot be asked, or
        ends while this waits, approves nothing: the verdict says why. Cancelled, the question stays.
        """
        return await self._bringing.decide(self._asked(key, action, arguments, agent, parent))

    def decide_blocking(
        self, key: str, action: str, arguments: Any = None, *, agent: str | None = None, parent: str | None = None
    ) -> Verdict:
        """Likewise for a thread that may wait. In the hub's own event loop it approves nothing, and says so at once."""
        return self._bringing.decide_blocking(self._asked(key, action, arguments, agent, parent))

    def _asked(self, key: str, action: str, arguments: Any, agent: str | None, parent: str | None) -> Future[str]:
        future: Future[str] = Future()
        before = self._queue.dropped_total
        self._put(
            "ask",
            Grade.APPROVAL,
            key,
            parent,
            agent=agent,
            action=short_text(action, default="tool"),
            arguments=captured(arguments, APPROVAL_CHARS),
            future=future,
        )
        if self._queue.dropped_total > before and not future.done():
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
                except Exception as error:  # noqa: BLE001 - the others are to be taken away too
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
            raise HubClosed("the hub of the recorder is not running: use it inside 'async with hub:'")
        if self._queue.is_closed:
            return self._bringing.ending()
        self._put("mark", Grade.END, "", None, future=mark)
        return mark

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

    @property
    def is_whole(self) -> bool:
        """Whether contents are recorded whole; else an adapter need not prepare more than the last message."""
        return self._chars != PREVIEW_CHARS

    @property
    def is_closed(self) -> bool:
        """Whether it records no more."""
        return self._queue.is_closed

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

    # -- entries --

    def _copy(self, value: Any) -> Any:
        return None if value is None else captured(value, self._chars + MARGIN_CHARS)

    def _begin(self, step: str, grade: Grade, key: str, parent: str | None, at: float | None, **fields: Any) -> None:
        if (entry := self._entry(step, key, parent, at, fields)) is not None:
            self._queue.begin(entry, grade)

    def _end(self, step: str, key: str, at: float | None, **fields: Any) -> None:
        self._streams.pop(key, None)
        if (entry := self._entry(step, key, None, at, fields)) is not None:
            self._queue.end(entry)

    def _put(self, step: str, grade: Grade, key: str, parent: str | None, **fields: Any) -> None:
        if (entry := self._entry(step, key, parent, None, fields)) is not None:
            self._queue.put(entry, grade)

    def _entry(self, step: str, key: str, parent: str | None, at: float | None, fields: dict[str, Any]) -> Entry | None:
        size = ENTRY_BYTES
        for name in tuple(fields):
            value = fields[name]
            if value is None:
                del fields[name]
            elif name in _NAMES:
                fields[name] = short_text(value)
            elif type(value) in (str, dict, list):
                size += size_of(value)
        wall, tick = _time_of_day.now_ns(), time.monotonic_ns()
        if at is not None and (told := time_ns_of(at)) is not None:
            wall, tick = told, tick - (wall - told)
        parent = None if parent is None else key_text(parent)
        key = key if step in _WITHOUT_KEY else key_text(key)
        context = place() if parent is None and step not in _OF_SPANS else None
        return Entry(step, key, parent, wall, tick, context, fields, size)

    def failed(self, method: str, error: BaseException) -> None:
        """Count what has failed in a callback of an adapter, and must not reach the runtime; the first is logged."""
        self._failures += 1
        if self._failures == 1:
            _log.problem("a recorder could not record", error, source=self.source, method=method)


def _let_go(queue: Queue, bringing: Bringing) -> None:
    """Take nothing more, and let the hub take in the rest: of a recorder that was closed, or that no code has."""
    queue.close()
    bringing.close()


_CLOSE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.2

_STREAMS_MAX: Final = 10_000

_NAMES = frozenset({"agent", "name", "call_id", "correlation", "session"})

_OF_SPANS = frozenset({"end", "fail", "discard", "release", "progress", "usage", "mark"})
"""What is said of that which has begun, where the context is known from."""

_WITHOUT_KEY = frozenset({"hand_over", "error", "fact", "mark"})
