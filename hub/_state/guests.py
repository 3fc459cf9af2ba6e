"""Calls of code that is not the hub's, by the state machines: channel types and evaluators, which are synchronous."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import ChannelTypeFailed, CommandRejected
from ..events import canonical
from ..events._shown import is_a, type_name
from .channel_types import ChannelType, Manifest

__all__ = ("TEXT_MAX", "ask_agents", "ask_at_deadline", "ask_reason", "ask_result", "call_type", "cut", "text_of")

T = TypeVar("T")

TEXT_MAX = 1000
"""How many characters of what a guest says are kept: an event with more might be too large to be put."""


def text_of(error: BaseException) -> str:
    """Return what an error says, cut; its class may be a guest's, and fail in any way when it is asked."""
    try:
        text = str(error)
    except BaseException as again:  # noqa: BLE001 - it must not become an error of the hub's
        text = f"(its text raised {type(again).__name__})"
    return cut(text) if isinstance(error, CommandRejected) else cut(f"{type(error).__name__}: {text}")


def cut(text: str) -> str:
    """Return the text, or its beginning if it is long."""
    return text if len(text) <= TEXT_MAX else f"{text[: TEXT_MAX - 1]}…"


def call_type(method: Callable[..., T], manifest: Manifest, *args: Any) -> T:
    """Call a method of a channel type.

    Raises :class:`~hubwire.errors.ChannelTypeFailed` if the method raises any error but a ``CommandRejected``.
    """
    try:
        return method(manifest, *args)
    except CommandRejected:
        raise
    except BaseException as error:
        raise _failed(method, manifest, text_of(error)) from error


def ask_reason(method: Callable[..., str | None], manifest: Manifest, *args: Any) -> str | None:
    """Call a method of a channel type that answers with a reason, or None. Raises as :func:`call_type` does."""
    reason = call_type(method, manifest, *args)
    if reason is None:
        return None
    if is_a(reason, str):
        return cut(str.__str__(reason))
    raise _failed(method, manifest, f"it answered a {type_name(reason)}, which is neither a text nor None")


def ask_agents(method: Callable[..., tuple[str, ...] | None], manifest: Manifest, *args: Any) -> tuple[str, ...] | None:
    """Call a method of a channel type that answers with ids of agents, or None. Raises as :func:`call_type` does."""
    agents = call_type(method, manifest, *args)
    if agents is None:
        return None
    if type(agents) in (tuple, list) and all(is_a(each, str) for each in agents):
        return tuple(map(str.__str__, agents))
    raise _failed(method, manifest, f"it answered a {type_name(agents)}, which is no tuple of agent ids")


def ask_at_deadline(channel_type: ChannelType, manifest: Manifest, *args: Any) -> str | None:
    """Call ``at_deadline`` of a channel type, if it has one. Raises as :func:`call_type` does."""
    method = getattr(channel_type, "at_deadline", None)
    return None if method is None else ask_reason(method, manifest, *args)


def ask_result(channel_type: ChannelType, manifest: Manifest, *args: Any) -> Any:
    """Call ``result`` of a channel type, if it has one; return the frozen answer. Raises as :func:`call_type` does."""
    method = getattr(channel_type, "result", None)
    return None if method is None else canonical(call_type(method, manifest, *args))


def _failed(method: object, manifest: Manifest, text: str) -> ChannelTypeFailed:
    return ChannelTypeFailed(
        f"channel type {manifest.type!r} version {manifest.version} failed in"
        f" {getattr(method, '__name__', 'a method')} ({text}); mend it"
    )
