"""LiteLLM: calls of models become events of a hub.

::

    recorder = litellm.record(hub)  # hears all calls of the process; recorder.close() ends it

It captures every call of ``completion`` and its like, sync and async, streamed or not: messages, answer, tokens, cost,
and errors. A fallback is a call of its own, an answer from a cache one with ``cache_hit``, and a call that failed
before a model was called ``error.raised``. LiteLLM knows models and no agents: a call belongs to the agent that the
code around it belongs to, as the handler of an actor or ``hubwire.scope``, and else to ``agent`` of ``record``.
``metadata={"agent": "planner"}`` of a call names another.

What LiteLLM shows to no callback: that a call was cancelled, or its stream not read to the end (both are recorded as
abandoned when the recorder is closed, or room is needed), the pieces of a stream in order, and what the tools do that
an answer asks for. It reports from threads and tasks of its own, so an end may come after what follows it in the
program.

Tested with litellm 1.110.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from .. import Hub, HubThread
from ._opening import imported, opened
from .recorder import Recorder

__all__ = ("record",)

_LISTS: Final = (
    "callbacks",
    "input_callback",
    "success_callback",
    "failure_callback",
    "_async_input_callback",
    "_async_success_callback",
    "_async_failure_callback",
)
"""LiteLLM copies what is in the first into the others."""

_OPEN_MAX: Final = 20_000
_ENDED_MAX: Final = 1_000

_numbers = itertools.count(1)


def record(hub: Hub | HubThread, **settings: Any) -> Recorder:
    """Record in a hub all calls of models that this process makes with LiteLLM, until the recorder is closed.

    ``settings`` are those of :class:`~hubwire.runtimes.Recorder`. Called again for the same hub, it returns the same
    recorder, and refuses other settings.
    """
    module: Any = imported("litellm", "litellm")

    def install(recorder: Recorder) -> Callable[[], object]:
        logger = _logger(recorder)
        module.callbacks.append(logger)

        def undo() -> None:
            for name in _LISTS:
                there: Any = getattr(module, name, None)
                if isinstance(there, list) and logger in there:
                    there.remove(logger)

        return undo

    recorder: Recorder = opened(hub, "litellm", install, settings)
    return recorder


def _logger(recorder: Recorder) -> Any:
    base: Any = imported("litellm.integrations.custom_logger", "litellm").CustomLogger
    calls = _Calls(recorder)

    class HubwireLogger(base):  # type: ignore[misc]  # its class is known when it is installed
        """Tells a recorder of calls. What it misses in a call is left out: it never raises."""

        def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
            calls.tell(calls.begin, model, messages, kwargs)

        def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
            calls.tell(calls.end, kwargs, response_obj, start_time, end_time)

        def log_failure_event(
            self,
            kwargs: Any,
            response_obj: Any,  # noqa: ARG002 - it is passed by name
            start_time: Any,  # noqa: ARG002
            end_time: Any,
        ) -> None:
            calls.tell(calls.fail, kwargs, end_time)

        async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
            calls.tell(calls.end, kwargs, response_obj, start_time, end_time)

        async def async_log_failure_event(
            self,
            kwargs: Any,
            response_obj: Any,  # noqa: ARG002 - it is passed by name
            start_time: Any,  # noqa: ARG002
            end_time: Any,
        ) -> None:
            calls.tell(calls.fail, kwargs, end_time)

    logger = HubwireLogger()
    logger.recorder = f"{id(recorder)}"  # LiteLLM takes those of one class for one where their fields are equal
    return logger


class _Calls:
    """The calls of models that LiteLLM tells a recorder of, from any thread.

    A call is known by its id, and by the details of it, an object that stays the same from its beginning to its end:
    programs give several calls one id, and a fallback is a call with the id and the details of the one that failed.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._lock = threading.RLock()
        self._open: dict[tuple[str, int], str] = {}
        """The keys of those that have begun and not ended, the oldest first."""
        self._ended: dict[tuple[str, int], None] = {}
        """Those that have ended lately: some ends are told twice."""

    def tell(self, tell: Callable[..., object], *given: Any) -> None:
        """Tell of a call, and let LiteLLM go on whatever happens."""
        if self._recorder.is_closed:
            return
        try:
            tell(*given)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - LiteLLM would log it, or hand it to the caller
            self._recorder.failed(tell.__name__, error)

    def begin(self, model: Any, messages: Any, kwargs: Any, at: float | None = None) -> str:
        call = _call_of(kwargs)
        with self._lock:
            if (key := self._open.get(call)) is not None:
                return key  # its client tries again
            self._ended.pop(call, None)
            key = self._open[call] = f"{call[0]}:{next(_numbers)}"
            if len(self._open) > _OPEN_MAX:
                del self._open[next(iter(self._open))]
        self._recorder.begin_model(
            key,
            model if isinstance(model, str) else "",
            agent=_agent_of(kwargs),
            request=messages,
            at=at,
        )
        return key

    def end(self, kwargs: Any, response: Any, began: Any, at: Any) -> None:
        key, is_told = self._ending(kwargs)
        if is_told:
            return
        if key is None:  # it was answered from a cache, or is one that LiteLLM tells of only now
            said = kwargs.get("messages") or kwargs.get("input")
            key = self.begin(kwargs.get("model"), said, kwargs, _time(began))
            self._ending(kwargs)
        usage = getattr(response, "usage", None)
        self._recorder.end(
            key,
            _answer(response),
            input_tokens=_number(getattr(usage, "prompt_tokens", None)),
            output_tokens=_number(getattr(usage, "completion_tokens", None)),
            cost_usd=_number(kwargs.get("response_cost")),
            extra=_extra(usage, kwargs),
            at=_time(at),
        )

    def fail(self, kwargs: Any, at: Any) -> None:
        key, is_told = self._ending(kwargs)
        if is_told:
            return
        error = kwargs.get("exception") or "the call of the model failed"
        if key is None:  # it failed before a model was called
            where = {"model": kwargs.get("model"), "call_id": kwargs.get("litellm_call_id")}
            self._recorder.error(error, agent=_agent_of(kwargs), where=where)
        else:
            self._recorder.fail(key, error, at=_time(at))

    def _ending(self, kwargs: Any) -> tuple[str | None, bool]:
        """Return the key of a call that ends, and whether its end was told before."""
        call = _call_of(kwargs)
        with self._lock:
            key = self._open.pop(call, None)
            is_told = key is None and call in self._ended
            self._ended[call] = None
            if len(self._ended) > _ENDED_MAX:
                del self._ended[next(iter(self._ended))]
        return key, is_told


def _call_of(kwargs: Mapping[str, Any]) -> tuple[str, int]:
    return f"{kwargs.get('litellm_call_id')}", id(kwargs)


def _agent_of(kwargs: Mapping[str, Any]) -> str | None:
    return _text(_metadata(kwargs).get("agent"))


def _metadata(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    for holder in (kwargs.get("litellm_params"), kwargs):
        if isinstance(holder, Mapping) and isinstance(found := holder.get("metadata"), Mapping):
            return found
    return {}


def _answer(response: Any) -> Any:
    choices = getattr(response, "choices", None)
    if not choices:
        return None  # embeddings and pictures are no text
    message = choices[0].message
    calls = [
        {"id": each.id, "name": each.function.name, "arguments": each.function.arguments}
        for each in getattr(message, "tool_calls", None) or ()
    ]
    return {"content": message.content, "tool_calls": calls} if calls else message.content


def _extra(usage: Any, kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
    details = getattr(usage, "prompt_tokens_details", None)
    extra = {"cache_read_tokens": _number(getattr(details, "cached_tokens", None))}
    if kwargs.get("cache_hit") is True:
        extra["cache_hit"] = 1
    return {name: value for name, value in extra.items() if value} or None


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _time(at: Any) -> float | None:
    try:
        return float(at.timestamp())
    except (AttributeError, OSError, TypeError, ValueError):
        return None
