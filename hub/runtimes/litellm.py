"""LiteLLM: calls of models become events of a hub.

::

    recorder = litellm.record(hub)  # hears all calls of the process; recorder.close() ends it

It captures every call of ``completion`` and its like, sync and async, streamed or not: messages, answer, tokens, cost,
and errors. LiteLLM knows models and no agents: a call belongs to the agent that the code around it belongs to, as the
handler of an actor or ``hubwire.scope``, and else to ``agent`` of ``record``. ``metadata={"agent": "planner"}`` of a
call names another.

What LiteLLM shows to no callback: that a call was cancelled, or its stream not read to the end (both are recorded as
abandoned when the recorder is closed, or room is needed), the pieces of a stream in order, and what the tools do that
an answer asks for. It reports from threads and tasks of its own, so an end may come after what follows it in the
program.

Tested with litellm 1.110.
"""

from __future__ import annotations

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

    class HubwireLogger(base):  # type: ignore[misc]  # its class is known when it is installed
        """Tells a recorder of calls. What it misses in a call is left out: it never raises."""

        def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
            _guarded(_begin, recorder, model, messages, kwargs)

        def log_success_event(
            self,
            kwargs: Any,
            response_obj: Any,
            start_time: Any,  # noqa: ARG002 - it is passed by name
            end_time: Any,
        ) -> None:
            _guarded(_end, recorder, kwargs, response_obj, end_time)

        def log_failure_event(
            self,
            kwargs: Any,
            response_obj: Any,  # noqa: ARG002 - it is passed by name
            start_time: Any,  # noqa: ARG002
            end_time: Any,
        ) -> None:
            _guarded(_fail, recorder, kwargs, end_time)

        async def async_log_success_event(
            self,
            kwargs: Any,
            response_obj: Any,
            start_time: Any,  # noqa: ARG002 - it is passed by name
            end_time: Any,
        ) -> None:
            _guarded(_end, recorder, kwargs, response_obj, end_time)

        async def async_log_failure_event(
            self,
            kwargs: Any,
            response_obj: Any,  # noqa: ARG002 - it is passed by name
            start_time: Any,  # noqa: ARG002
            end_time: Any,
        ) -> None:
            _guarded(_fail, recorder, kwargs, end_time)

    logger = HubwireLogger()
    logger.recorder = f"{id(recorder)}"  # LiteLLM takes those of one class for one where their fields are equal
    return logger


def _guarded(tell: Callable[..., None], *given: Any) -> None:
    try:
        tell(*given)
    except Exception as error:  # noqa: BLE001 - LiteLLM would log it, or hand it to the caller
        given[0].failed(tell.__name__, error)


def _begin(recorder: Recorder, model: Any, messages: Any, kwargs: Mapping[str, Any]) -> None:
    metadata = _metadata(kwargs)
    recorder.begin_model(
        _key(kwargs),
        model if isinstance(model, str) else "",
        agent=_text(metadata.get("agent")),
        request=messages,
    )


def _end(recorder: Recorder, kwargs: Mapping[str, Any], response: Any, at: Any) -> None:
    usage = getattr(response, "usage", None)
    recorder.end(
        _key(kwargs),
        _answer(response),
        input_tokens=_number(getattr(usage, "prompt_tokens", None)),
        output_tokens=_number(getattr(usage, "completion_tokens", None)),
        cost_usd=_number(kwargs.get("response_cost")),
        extra=_extra(usage, kwargs),
        at=_time(at),
    )


def _fail(recorder: Recorder, kwargs: Mapping[str, Any], at: Any) -> None:
    error = kwargs.get("exception") or "the call of the model failed"
    recorder.fail(_key(kwargs), error, at=_time(at))


def _key(kwargs: Mapping[str, Any]) -> str:
    return f"{kwargs.get('litellm_call_id')}"


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
