"""OpenTelemetry: the GenAI spans of any framework become events of a hub.

::

    recorder = opentelemetry.record(hub)  # listens to the tracer provider of the program

For frameworks that have no adapter here and do emit spans by the semantic conventions for generative AI, of any year:
``invoke_agent`` and ``create_agent`` are turns, ``chat``, ``text_completion``, ``generate_content`` and ``embeddings``
model calls, ``execute_tool`` tool calls. Other spans are passed over; what lies in them belongs to the nearest span
around them that is recorded.

What it cannot know: what a framework puts into no span; contents, unless the framework is told to put them into
attributes; approvals; a cancellation, which the SDK does not take for an error. A span that says what it is only at its
end is recorded then, with the times that it has. The spans of :class:`hubwire.listeners.OpenTelemetry`, which come from
a hub, are left out.

Tested with opentelemetry-sdk 1.30 to 1.45.
"""

from __future__ import annotations

import json
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from .. import Hub, HubThread
from ..errors import ConfigurationError
from ._opening import has_method, imported, opened
from .recorder import Recorder

__all__ = ("record",)

_TURNS = frozenset({"invoke_agent", "create_agent", "invoke_workflow"})
_MODELS = frozenset({"chat", "completion", "text_completion", "generate_content", "embeddings", "embedding"})
_TOOLS = frozenset({"execute_tool"})
_OWN_SCOPE = "hubwire"
_JSON_CHARS_MAX = 65_536
_PASSED_MAX = 10_000
"""How many open spans that are not recorded are remembered, for what lies in them."""
_RECORDED_MAX = 20_000
"""How many open spans that are recorded are remembered: there are frameworks that never end some."""


def record(hub: Hub | HubThread, *, provider: Any = None, **settings: Any) -> Recorder:
    """Record in a hub the GenAI spans of a tracer provider, by default that of the program.

    ``provider`` is a :class:`opentelemetry.sdk.trace.TracerProvider`. It has no way to take a processor away again, so
    one for all recorders stays there, which does nothing when they are closed. ``settings`` are those of
    :class:`~hubwire.runtimes.Recorder`. Called again for the same hub, it returns the same recorder, which hears
    another ``provider`` too, and refuses other settings.

    Raises :class:`~hubwire.errors.ConfigurationError` if the program has set no provider of the SDK.
    """
    imported("opentelemetry.sdk.trace", "opentelemetry")
    provider = imported("opentelemetry.trace", "opentelemetry").get_tracer_provider() if provider is None else provider
    if not has_method(provider, "add_span_processor"):
        raise ConfigurationError(
            f"opentelemetry.record() needs a TracerProvider of opentelemetry-sdk, not a {type(provider).__name__}; set"
            " one with opentelemetry.trace.set_tracer_provider(), or give provider=..."
        )

    def install(recorder: Recorder) -> None:
        _processor_at(provider).tell(recorder)

    recorder: Recorder = opened(hub, "opentelemetry", install, settings)
    install(recorder)  # one that was there already may have listened to another
    return recorder


_processors: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
"""The processor of each provider, which cannot be taken away again. Weak, and a processor knows no provider."""

_lock = threading.RLock()


def _processor_at(provider: Any) -> Any:
    """Return the processor of a provider, which has it from now on."""
    with _lock:
        try:
            there = _processors.get(provider)
        except TypeError:  # no class of the SDK's: it cannot be remembered
            there = None
        if there is None:
            there = _processor(imported("opentelemetry.sdk.trace", "opentelemetry"))
            provider.add_span_processor(there)
            with suppress(TypeError):
                _processors[provider] = there
        return there


def _processor(trace: Any) -> Any:
    base: Any = trace.SpanProcessor

    class HubwireSpanProcessor(base):  # type: ignore[misc]  # its class is known when it is installed
        """Tells recorders of spans. It stays at its provider, and without recorders it does nothing."""

        def __init__(self) -> None:
            self._told: tuple[_Spans, ...] = ()

        def tell(self, recorder: Recorder) -> None:
            """Tell a recorder of spans too, until it is closed."""
            with _lock:
                self._told = tuple(each for each in self._told if not each.recorder.is_closed)
                if any(each.recorder is recorder for each in self._told):
                    return
                self._told += (_Spans(recorder),)
            recorder.on_close(lambda: self.leave(recorder))

        def leave(self, recorder: Recorder) -> None:
            with _lock:
                self._told = tuple(each for each in self._told if each.recorder is not recorder)

        def on_start(self, span: Any, parent_context: Any = None) -> None:  # noqa: ARG002 - it is called so
            for each in self._told:
                each.started(span)

        def on_end(self, span: Any) -> None:
            for each in self._told:
                each.ended(span)

        def shutdown(self) -> None:
            for each in self._told:
                each.forget()

        def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - it is called so
            return True

    return HubwireSpanProcessor()


class _Spans:
    """Spans of all threads, as they begin and end."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder: Final = recorder
        self._lock = threading.RLock()  # a span may begin in a signal handler, or in __del__
        self._recorded: dict[str, None] = {}
        """The keys of those that were recorded when they began, the oldest first."""
        self._passed: dict[str, str | None] = {}
        """Of those that are open and not recorded, what they belong to."""

    def started(self, span: Any) -> None:
        try:
            if not self.recorder.is_closed:
                self._started(span)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a processor that raises would end the framework's call
            self.recorder.failed("on_start", error)

    def ended(self, span: Any) -> None:
        try:
            if not self.recorder.is_closed:
                self._ended(span)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001
            self.recorder.failed("on_end", error)

    def forget(self) -> None:
        with self._lock:
            self._recorded.clear()
            self._passed.clear()

    def _started(self, span: Any) -> None:
        if _is_own(span):
            return
        key, parent = _key_of(span.context), self._above(span)
        operation = _operation_of(span)
        with self._lock:
            if operation is None:
                self._passed[key] = parent
                if len(self._passed) > _PASSED_MAX:
                    del self._passed[next(iter(self._passed))]
                return
            self._recorded[key] = None
            if len(self._recorded) > _RECORDED_MAX:
                del self._recorded[next(iter(self._recorded))]  # should it end yet, its beginning is there already
        self._begin(key, parent, operation, span)

    def _ended(self, span: Any) -> None:
        if _is_own(span):
            return
        key, parent = _key_of(span.context), self._above(span)
        with self._lock:
            was_recorded = key in self._recorded
            self._recorded.pop(key, None)
            self._passed.pop(key, None)
        if not was_recorded:
            operation = _operation_of(span)
            if operation is None:
                return
            self._begin(key, parent, operation, span)
        attributes = span.attributes or {}
        at = _seconds(span.end_time)
        if (failure := _failure_of(span, attributes)) is not None:
            self.recorder.fail(key, failure[1], kind=failure[0], at=at)
            return
        self.recorder.end(
            key,
            _first(attributes, "gen_ai.tool.call.result", "gen_ai.output.messages", "gen_ai.completion"),
            input_tokens=_first(attributes, "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
            output_tokens=_first(attributes, "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
            cost_usd=_first(attributes, "gen_ai.usage.cost", "operation.cost"),
            model=_first(attributes, "gen_ai.response.model", "gen_ai.request.model"),
            extra=_extra_of(attributes),
            at=at,
        )

    def _begin(self, key: str, parent: str | None, operation: str, span: Any) -> None:
        attributes, at = span.attributes or {}, _seconds(span.start_time)
        agent = _first(attributes, "gen_ai.agent.name", "gen_ai.agent.id")
        said = _first(attributes, "gen_ai.input.messages", "gen_ai.prompt")
        session = _first(attributes, "gen_ai.conversation.id", "session.id")
        if operation in _TURNS:
            agent = agent or _rest_of_name(span)
            self.recorder.begin_turn(key, agent=agent, parent=parent, prompt=said, session=session, at=at)
        elif operation in _MODELS:
            model = _first(attributes, "gen_ai.request.model") or _rest_of_name(span)
            self.recorder.begin_model(key, model, agent=agent, parent=parent, request=said, at=at)
        else:
            self.recorder.begin_tool(
                key,
                _first(attributes, "gen_ai.tool.name") or _rest_of_name(span) or "tool",
                agent=agent,
                parent=parent,
                arguments=_object(_first(attributes, "gen_ai.tool.call.arguments")),
                call_id=_first(attributes, "gen_ai.tool.call.id"),
                at=at,
            )

    def _above(self, span: Any) -> str | None:
        """Return the key of the nearest span around this one that is recorded."""
        key = None if span.parent is None or span.parent.is_remote else _key_of(span.parent)
        with self._lock:
            for _ in range(1000):
                if key is None or key not in self._passed:
                    break
                key = self._passed[key]
        return key


def _key_of(context: Any) -> str:
    return f"{context.trace_id:032x}:{context.span_id:016x}"


def _operation_of(span: Any) -> str | None:
    attributes = span.attributes or {}
    operation = attributes.get("gen_ai.operation.name")
    if operation is None:
        operation = str(span.name).partition(" ")[0]  # by the conventions, a name begins with the operation
        if operation not in ("chat", "execute_tool", "invoke_agent", "text_completion", "generate_content"):
            is_model = "gen_ai.request.model" in attributes or "llm.request.type" in attributes
            return "chat" if is_model else None
    return operation if operation in _TURNS | _MODELS | _TOOLS else None


def _rest_of_name(span: Any) -> str:
    return str(span.name).partition(" ")[2]


def _first(attributes: Mapping[str, Any], *names: str) -> Any:
    for name in names:
        if (value := attributes.get(name)) is not None:
            return value
    return None


def _object(value: Any) -> Any:
    """Return what an attribute says: objects are in attributes as JSON texts."""
    if type(value) is str and value.startswith("{") and len(value) <= _JSON_CHARS_MAX:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _failure_of(span: Any, attributes: Mapping[str, Any]) -> tuple[str, str] | None:
    kind = attributes.get("error.type")
    if kind is None and span.status.status_code.name != "ERROR":
        return None
    message = span.status.description or ""
    for event in span.events:
        if event.name == "exception" and event.attributes:
            kind = kind or event.attributes.get("exception.type")
            message = str(event.attributes.get("exception.message") or message)
    return str(kind or "Error"), message


def _extra_of(attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    names = {"gen_ai.provider.name": "provider", "gen_ai.system": "provider", "gen_ai.response.id": "response_id"}
    names["gen_ai.response.finish_reasons"] = "finish_reasons"
    extra = {to: attributes[name] for name, to in names.items() if name in attributes}
    return extra or None


def _seconds(time_ns: int | None) -> float | None:
    return None if time_ns is None else time_ns / 1e9


def _is_own(span: Any) -> bool:
    scope = span.instrumentation_scope
    return scope is not None and str(scope.name).partition(".")[0] == _OWN_SCOPE
