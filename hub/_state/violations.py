"""Violations that a handler of the program's own follows up.

Each: ``violated -- called --> in hand -- handled | given up --> (absent)``, or ``-- failed --> waiting -- called -->``.

A violation outlives its channel here: what is to be told of it, or done about it elsewhere, is owed all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import attrs

from .._values import Value
from ..events import (
    Event,
    ExpectationHandled,
    ExpectationHandlerCalled,
    ExpectationHandlerFailed,
    ExpectationViolated,
)
from .evaluators import ON_VIOLATION
from .moments import deadline_ns

__all__ = ("ViolationEntry", "Violations")

Key = tuple[str, int]
"""Of a violation: its channel, and its number there."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ViolationEntry(Value):
    """A violation that its handler has still to follow up."""

    violated: ExpectationViolated
    attempts: int = 0
    """How many calls of the handler count: of one that has begun and not ended, no more is known."""
    due_ns: int = 0
    """Before when it is not called again."""


class Violations:
    """The violations for which handlers of the program are still to be called, in the order in which they came."""

    entry_types: ClassVar[tuple[type, ...]] = (ViolationEntry,)

    def __init__(self) -> None:
        self._entries: dict[Key, ViolationEntry] = {}

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        return {
            ExpectationViolated: self._violated,
            ExpectationHandlerCalled: self._called,
            ExpectationHandled: self._handled,
            ExpectationHandlerFailed: self._failed,
        }

    def snapshot(self) -> Sequence[ViolationEntry]:
        return tuple(self._entries.values())

    def restore(self, entries: Sequence[ViolationEntry]) -> None:
        for entry in entries:
            self._entries[key_of(entry.violated)] = entry

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[ViolationEntry]:
        return iter(tuple(self._entries.values()))

    def find(self, key: Key) -> ViolationEntry | None:
        """Return a violation if it has still to be followed up."""
        return self._entries.get(key)

    # -- commands --

    def called(self, entry: ViolationEntry) -> list[Event]:
        return [ExpectationHandlerCalled(**_about(entry), attempt=entry.attempts + 1)]

    def handled(self, entry: ViolationEntry) -> list[Event]:
        return [ExpectationHandled(**_about(entry), attempts=entry.attempts)]

    def failed(
        self, entry: ViolationEntry, reason: str, *, attempts: int, retry_seconds: float | None, is_final: bool
    ) -> list[Event]:
        return [
            ExpectationHandlerFailed(
                **_about(entry), attempts=attempts, reason=reason, retry_seconds=retry_seconds, is_final=is_final
            )
        ]

    # -- applying --

    def _violated(self, event: ExpectationViolated) -> None:
        if event.on_violation not in ON_VIOLATION:
            self._entries[key_of(event)] = ViolationEntry(violated=event)

    def _called(self, event: ExpectationHandlerCalled) -> None:
        self._change(event, attempts=event.attempt)

    def _handled(self, event: ExpectationHandled) -> None:
        self._entries.pop(key_of(event), None)

    def _failed(self, event: ExpectationHandlerFailed) -> None:
        if event.is_final:
            self._entries.pop(key_of(event), None)
            return
        self._change(event, attempts=event.attempts, due_ns=deadline_ns(event.at, event.retry_seconds or 0.0))

    def _change(self, event: Any, **changes: Any) -> None:
        if (entry := self._entries.get(key := key_of(event))) is not None:
            self._entries[key] = attrs.evolve(entry, **changes)


def key_of(event: Any) -> Key:
    """Return the key of the violation that an event is about."""
    return event.channel_id or "", event.number


def _about(entry: ViolationEntry) -> dict[str, Any]:
    violated = entry.violated
    return {
        "channel_id": violated.channel_id,
        "causation_id": violated.id,
        "expectation": violated.expectation,
        "number": violated.number,
        "handler": violated.on_violation,
    }
