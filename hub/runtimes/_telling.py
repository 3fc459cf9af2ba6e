"""What an agent runtime says to a recorder, in its own threads and loops, as entries of a queue."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from ..clock import SystemClock
from ..events import canonical
from ..own_log import OwnLog
from ..provenance import provenance as stated
from ._capture import CUT, KEY_CHARS_MAX, captured, error_message, error_type, key_text, short_text, size_of
from ._place import place
from ._queue import ENTRY_BYTES, Entry, Grade, Queue
from ._settings import APPROVAL_CHARS, CONTENT_CHARS, MARGIN_CHARS, PREVIEW_CHARS, numbers_of, time_ns_of
from ._stream import Stream

__all__ = ("Telling",)

P = ParamSpec("P")
T = TypeVar("T", bound="Telling")

_log = OwnLog("runtimes")

_time_of_day = SystemClock()

_STREAMS_MAX: Final = 10_000

_FACT_FIELDS_MAX: Final = 100
_FACT_CHARS_MAX: Final = 4 * CONTENT_CHARS

_NAMES = frozenset({"agent", "name", "call_id", "correlation", "session"})

_WITHOUT_KEY = frozenset({"hand_over", "error", "fact", "mark"})


def _harmless(method: Callable[Concatenate[T, P], None]) -> Callable[Concatenate[T, P], None]:
    """Let a method return whatever happens in it: the runtime that calls it must go on."""

    @functools.wraps(method)
    def harmless(self: T, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - an object of the runtime may raise anything when it is read
            self.failed(method.__name__, error)

    return harmless


class Telling:
    """The side of a recorder that its runtime calls: each method makes an entry, and returns whatever happens in it."""

    def __init__(self, source: str, queue: Queue, *, chars_max: int, stream_seconds: float) -> None:
        self.source: Final = source
        self._queue = queue
        self._chars = chars_max
        self._stream_seconds = stream_seconds
        self._streams: dict[str, Stream] = {}
        self._failures = 0

    @property
    def is_whole(self) -> bool:
        """Whether contents are recorded whole; else an adapter need not prepare more than the last message."""
        return self._chars != PREVIEW_CHARS

    @property
    def is_closed(self) -> bool:
        """Whether it records no more."""
        return self._queue.is_closed

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
        provenance: Iterable[str] | None = None,
        at: float | None = None,
    ) -> None:
        """An agent begins a turn. One without a ``parent`` begins a run. ``at``: when, in seconds of the epoch.

        ``provenance``: where the prompt comes from, as far as the runtime knows: see :mod:`hubwire.provenance`.

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
            provenance=None if provenance is None else self._stated(provenance),
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
            is_cut = type(request[0]) is str and request[0].startswith(CUT)  # by the adapter, which has counted
            request = request if is_cut else [f"{CUT} {len(request) - 1} before", request[-1]]
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
        provenance: Iterable[str] | None = None,
        at: float | None = None,
    ) -> None:
        """A turn, model call or tool call has ended well, with this content, answer or result.

        ``provenance``: where the content comes from, as far as the runtime knows: see :mod:`hubwire.provenance`.
        Tokens and cost of a model call are added up in its turns. ``model``: the one that answered, where the beginning
        did not say. ``extra``: further numbers of it, for the metadata.
        """
        numbers = {"input_tokens": input_tokens, "output_tokens": output_tokens, "cost_usd": cost_usd}
        more = None if extra is None else captured(extra, CONTENT_CHARS)
        said = numbers_of(numbers) if type(more) is not dict else {**numbers_of(numbers), "extra": more}
        if provenance is not None:
            said["provenance"] = self._stated(provenance)
        self._end("end", key, at, result=self._copy(result), name=model, **said)

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
        if type(key) is not str or len(key) > KEY_CHARS_MAX:
            key = key_text(key)
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

        Each field of ``data`` is cut and redacted as contents are, by its name, too; of more than a hundred, or many
        that are long, the first are recorded. Without ``agent`` and ``parent`` it is no agent's. A kind that is
        declared, or the hub's own, is refused by the hub.
        """
        fields: dict[str, Any] = {}
        left = _FACT_CHARS_MAX
        for name, value in data.items():
            if len(fields) >= _FACT_FIELDS_MAX or left <= 0:
                fields[CUT] = "others were left out"
                break
            copy = captured(value, min(self._chars + MARGIN_CHARS, left))
            fields[short_text(name, default="?")] = copy
            left -= size_of(copy)
        self._put("fact", Grade.CALL, "", parent, agent=agent, kind=short_text(kind), data=fields)

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
            reason=_as_text(captured(reason, 10_000)),
        )

    # -- entries --

    def _stated(self, words: Any) -> dict[str, tuple[str, ...]] | None:
        """Return the metadata that says where contents come from; None, and it is counted, for what says no such."""
        try:
            return stated(*words)
        except Exception as error:  # noqa: BLE001 - what was begun or has ended is recorded all the same
            self.failed("provenance", error)
            return None

    def _copy(self, value: Any) -> Any:
        return None if value is None else captured(value, self._chars + MARGIN_CHARS)

    def _begin(self, step: str, grade: Grade, key: str, parent: str | None, at: float | None, **fields: Any) -> None:
        self._queue.begin(self._entry(step, key, parent, at, fields), grade)

    def _end(self, step: str, key: str, at: float | None, **fields: Any) -> None:
        entry = self._entry(step, key, None, at, fields)
        self._streams.pop(entry.key, None)
        self._queue.end(entry)

    def _put(self, step: str, grade: Grade, key: str, parent: str | None, **fields: Any) -> bool:
        return self._queue.put(self._entry(step, key, parent, None, fields), grade)

    def _entry(self, step: str, key: str, parent: str | None, at: float | None, fields: dict[str, Any]) -> Entry:
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
        return Entry(step, key, parent, wall, tick, place() if parent is None else None, fields, size)

    def failed(self, method: str, error: BaseException) -> None:
        """Count what has failed in a callback of an adapter, and must not reach the runtime; the first is logged."""
        self._failures += 1
        if self._failures == 1:
            _log.problem("a recorder could not record", error, source=self.source, method=method)


def _as_text(value: Any) -> str:
    return value if type(value) is str else "" if value is None else canonical(value)
