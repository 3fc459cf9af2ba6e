"""What an actor keeps from one turn to the next, as its code sees it: JSON, or an object of a class of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from .. import messages
from .._state.actor_states import ActorState
from ..errors import CommandRejected, ConfigurationError, EventTooLarge
from ..events import canonical
from ..events._canonical import is_mark
from ..events._shown import shown, type_name
from ..own_log import OwnLog

__all__ = ("JSON", "StateKind", "TurnState", "kind_of")

_log = OwnLog("hub")


class StateKind:
    """How the state of an actor is read and written: as JSON, or as an object of ``cls``."""

    def __init__(self, cls: type | None = None) -> None:
        self._cls = cls

    def read(self, kept: ActorState | None) -> Any:
        """Return the state for a turn to change; without one, None or a new object.

        Raises :class:`~hubwire.errors.ConfigurationError` if what is kept does not fit the class.
        """
        if self._cls is None:
            return None if kept is None else _thawed(kept.value)
        if kept is None:
            return self._cls()
        state: Any
        try:
            state = messages.converter(is_strict=False).structure(kept.value, self._cls)
        except Exception as error:
            raise ConfigurationError(
                f"the state that agent {kept.agent_id} keeps does not fit {self._cls.__qualname__}:"
                f" {messages.where(error)}; give a new field a default, and a field that has changed another name"
            ) from error
        if lost := list(_lost(kept.value, canonical(state))):
            _log.problem(
                "the state of an actor has fields that its class has no more; they go when it is set again",
                agent=kept.agent_id,
                state=self._cls.__qualname__,
                fields=", ".join(lost[:10]),
            )
        return state

    def write(self, state: Any) -> Any:
        """Return the state as it is kept: frozen JSON. Raises :class:`CommandRejected` for what JSON cannot hold."""
        if state is None:
            return None
        try:
            value = canonical(state)
        except EventTooLarge as error:
            raise CommandRejected(f"turn.state: {error}") from None
        if self._cls is None:
            _check_plain(state)
        elif type(state) is not self._cls:
            raise CommandRejected(
                f"turn.state is an object of {self._cls.__qualname__}, or None for none, not {shown(state)}"
            )
        if (place := next(_marks(value, "state"), None)) is not None:
            raise CommandRejected(
                f"turn.{place} cannot be kept as JSON; keep numbers, text, lists and objects of these"
            )
        if self._cls is not None:
            self._check_reads(value, self._cls)
        return value

    @staticmethod
    def _check_reads(value: Any, cls: type) -> None:
        """Refuse now what the next turn could not read."""
        try:
            messages.converter(is_strict=False).structure(value, cls)
        except Exception as error:
            raise CommandRejected(
                f"turn.state does not fit {cls.__qualname__} as JSON: {messages.where(error)}; keep values of the"
                " types that its fields declare"
            ) from error


JSON = StateKind()


def kind_of(actor: Any) -> StateKind:
    """Return how the state of an actor is kept: its attribute ``state`` is a class, or it is JSON.

    Raises :class:`~hubwire.errors.ConfigurationError` for a class that cannot be one of states.
    """
    cls = getattr(actor, "state", None)
    if not isinstance(cls, type):
        if attrs.has(type(vars(type(actor)).get("state"))):
            raise ConfigurationError(f"{shown(actor)}: state is an attrs class, not {shown(cls)}; name the class alone")
        return JSON  # what else an actor calls its state is its own
    if not attrs.has(cls):
        raise ConfigurationError(
            f"{shown(actor)}: state is an attrs class, not {shown(cls)}; decorate it with @attrs.define, or leave it"
            " out for a state of JSON"
        )
    try:
        cls()
    except Exception as error:
        raise ConfigurationError(
            f"{shown(actor)}: {cls.__qualname__}() must make a new state ({type(error).__name__}); give its fields"
            " defaults"
        ) from error
    return StateKind(cls)


class TurnState:
    """The state of an actor in one turn: read when it is looked at first, and written if it is another one then."""

    def __init__(self, kind: StateKind, find: Any) -> None:
        self._kind = kind
        self._find = find
        self._is_seen = False
        self._kept: Any = None
        self._value: Any = None
        self.seen_seq: int = -1
        """The ``seq`` of the event that set what was read; -1 for none."""

    def get(self) -> Any:
        self._see()
        return self._value

    def set(self, value: Any) -> None:
        self._see()
        self._value = value

    def change(self) -> tuple[bool, Any]:
        """Return whether there is another state to keep, and that, frozen."""
        if not self._is_seen:
            return False, None
        value = self._kind.write(self._value)
        return value != self._kept, value

    def put(self, value: Any, seq: int) -> None:
        """The state is kept from now on, by the event ``seq``."""
        self._kept, self.seen_seq = value, -1 if value is None else seq

    def forget(self) -> None:
        """Read it again when it is looked at again."""
        self._is_seen = False

    def _see(self) -> None:
        if self._is_seen:
            return
        kept: ActorState | None = self._find()
        self._value = self._kind.read(kept)
        # A new object is no state before a turn has changed it.
        self._kept = self._kind.write(self._value) if kept is None else kept.value
        self.seen_seq = -1 if kept is None else kept.seq
        self._is_seen = True


def _thawed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _thawed(item) for key, item in value.items()}
    return [_thawed(item) for item in value] if isinstance(value, tuple) else value


def _check_plain(state: Any) -> None:
    """Refuse what would come back as another thing than was kept."""
    pending = [state]
    for _ in range(1_000_000):
        if not pending:
            return
        value = pending.pop()
        kind = type(value)
        if kind is dict or isinstance(value, Mapping):
            pending += value.values()
        elif kind in (list, tuple):
            pending += value
        elif value is not None and kind not in (str, int, float, bool):
            raise CommandRejected(
                f"turn.state holds JSON, not {shown(value)}; for an object, declare state = {type_name(value)} on the"
                " class of the actor"
            )
    raise CommandRejected("turn.state holds more than 1,000,000 values, or itself; keep less")


def _marks(value: Any, place: str) -> Iterator[str]:
    """Find what canonical has replaced, because JSON cannot hold it."""
    if is_mark(value):
        yield place
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _marks(item, f"{place}[{shown(key)}]")
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _marks(item, f"{place}[{number}]")


def _lost(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """Find the keys that are in one value and not in the other."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key, item in before.items():
            if key not in after:
                yield f"{place}{key}"
            else:
                yield from _lost(item, after[key], f"{place}{key}.")
    elif isinstance(before, tuple) and isinstance(after, tuple):
        for old, new in zip(before, after, strict=False):
            yield from _lost(old, new, place)
