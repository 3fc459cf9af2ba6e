"""Listeners of any form behind one face: objects with ``on_events``, objects with some hooks, functions.

All that is read or called of a listener goes through here, guarded.
"""

from __future__ import annotations

import inspect
from types import MethodType, NoneType
from typing import Any

from .._foreign.guards import class_name, clean, expect, guarded_call, message_of, repr_of, text_of
from .._head import Head
from ..errors import ConfigurationError
from ..events._shown import is_a, nearest_name
from ..listener import HOOKS, BaseHubListener, from_hooks
from .forms import Batches, Composed, Form, OneByOne, Surroundings
from .functions import InLoop, InThread, LooksAhead, OnLoop

__all__ = ("Adapted", "is_same", "name_of")

_SEQ_MAX = 2**62
"""No hub will ever number so far; a position beyond is a mistake of the listener."""

_PROBLEM_CHARS_MAX = 1000

_OF_ACTORS = frozenset({"on_envelope", "on_start", "on_stop"})
"""One object may be a listener and an actor."""


class Adapted:
    """A listener of any form. What the port leaves open is found out here.

    Raises :class:`~hubwire.errors.ConfigurationError` if ``candidate`` cannot listen.
    """

    def __init__(self, candidate: Any, *, in_loop: bool = False) -> None:
        """``in_loop``: a sync function is quick, and is called on the event loop."""
        self.candidate: Any = candidate
        self._in_loop = in_loop
        self.name: str = name_of(candidate)
        self.form: Form = self._form(candidate, in_loop=in_loop)
        self.keeps_position: bool = self._has("last_seq")
        """Whether the listener says how far its own effects go."""
        self.surroundings: Surroundings
        """Known once it is being attached."""

    def connect(self, surroundings: Surroundings) -> None:
        """The listener is being attached."""
        self.surroundings = surroundings
        self.form.connect(surroundings)

    def another(self) -> Adapted:
        """Return the same listener, to be called side by side with this one."""
        other = Adapted(self.candidate, in_loop=self._in_loop)
        other.connect(self.surroundings)
        return other

    # -- what it is --

    def _form(self, candidate: Any, *, in_loop: bool) -> Form:
        if issubclass(type(candidate), type):
            raise ConfigurationError(f"{self.name} is a class; attach an instance of it")
        if is_a(candidate, BaseHubListener):
            self._check_async("on_events", "on_event", *HOOKS)
            self._check_hooks()
            if type(candidate).on_events is BaseHubListener.on_events and "on_events" not in vars(candidate):
                form: Form = OneByOne(candidate.on_event)
            else:
                form = Batches(candidate.on_events)
        elif self._has("on_events"):
            self._check_async("on_events")
            form = Batches(self._read("on_events"))
        elif hooks := [name for name in HOOKS if self._has(name)]:
            self._check_async(*hooks)
            self._check_hooks()
            form = OneByOne(from_hooks(candidate).on_event)
        elif is_a(candidate, Composed):
            form = candidate.composed()
        elif callable(candidate):
            self._check_call(candidate, self.name, ("event",))
            self._check_no_generator(candidate)
            if _is_async(candidate) or _is_async(_call_of(type(candidate))):
                form = LooksAhead(candidate, ahead) if (ahead := self._ahead()) else OnLoop(candidate)
            else:
                return InLoop(candidate) if in_loop else InThread(candidate, self.name)
        else:
            self._check_hooks()
            raise ConfigurationError(
                f"{repr_of(candidate)} cannot listen: it has neither on_events nor one of the hooks of"
                f" BaseHubListener ({', '.join(HOOKS)}), and is not a function"
            )
        if in_loop:
            raise ConfigurationError(f"listener {self.name!r} is not a sync function; omit in_loop=True")
        return form

    def _ahead(self) -> Any:
        """Return what the function is told by which events come; None if it does not want to know."""
        if not hasattr(type(self.candidate), "look_ahead"):
            return None
        if _is_async(look_ahead := self._read("look_ahead")):
            raise ConfigurationError(
                f"{repr_of(self.candidate)}.look_ahead must not be async: def look_ahead(self, events)"
            )
        self._check_call(look_ahead, "look_ahead", ("events",))
        return look_ahead

    def _check_async(self, *names: str) -> None:
        for name in names:
            if not _is_async(method := self._read(name)):
                raise ConfigurationError(
                    f"{repr_of(self.candidate)}.{name} must be a coroutine function: async def {name}(...)"
                )
            ours = getattr(BaseHubListener, name)
            if type(method) is not MethodType or method.__func__ is not ours:
                self._check_call(method, name, tuple(inspect.signature(ours).parameters)[1:])

    def _check_call(self, method: Any, name: str, arguments: tuple[str, ...]) -> None:
        """Refuse what cannot be called as the hub does: it would fail at each event."""
        try:
            signature = guarded_call(inspect.signature, method)
        except Exception:  # noqa: BLE001 - Python does not know it, as of what is written in C: the first call shows
            return
        try:
            guarded_call(signature.bind, *arguments)
        except Exception as error:
            raise ConfigurationError(
                f"listener {self.name!r} cannot be attached: {name} is called as {name}({', '.join(arguments)})"
                f" ({message_of(error)})"
            ) from error

    def _check_no_generator(self, function: Any) -> None:
        """Refuse a function that yields: a call of it makes a generator, and runs none of its code."""
        for each in (function, _call_of(type(function))):
            if guarded_call(inspect.isgeneratorfunction, each) or guarded_call(inspect.isasyncgenfunction, each):
                raise ConfigurationError(
                    f"listener {self.name!r} cannot be attached: it is a generator, so a call of it runs none of its"
                    " code; write it without yield"
                )

    def _check_hooks(self) -> None:
        """Refuse a method that looks like a hook and is none: it would never be called."""
        for name in sorted(_own_names(type(self.candidate))):
            if not name.startswith("on_") or name in ("on_events", "on_event", *HOOKS) or name in _OF_ACTORS:
                continue
            if (near := nearest_name(name, HOOKS, cutoff=0.75)) is not None:
                raise ConfigurationError(
                    f"listener {self.name!r} has {name}, which is no hook and would never be called; did you mean"
                    f" {near}? Override on_event for what has no hook of its own"
                )

    def _has(self, name: str) -> bool:
        return self._read(name) is not None

    def _read(self, name: str) -> Any:
        """Return an attribute, None if there is none."""
        try:
            return guarded_call(getattr, self.candidate, name, None)
        except Exception as error:
            raise ConfigurationError(
                f"listener {self.name!r} cannot be attached: reading its {name} failed ({text_of(error)})"
            ) from error

    # -- what it says --

    def declared(self, name: str, default: Any) -> Any:
        """Return what the listener says of itself: its ``pattern``, ``duty`` or ``since``."""
        value = self._read(name)
        return default if value is None else value

    def hub_id(self) -> str | None:
        """Return the id of the hub whose events the listener holds, None if it holds none or does not say.

        Raises what the listener raises, and ``TypeError`` for another answer.
        """
        answer = guarded_call(getattr, self.candidate, "hub_id", None)
        return expect(answer, (str, NoneType), "the id of a hub, or None")

    def last_seq(self) -> int | None:
        """Return the position that the listener keeps itself; None if it keeps none, or holds no event yet.

        Raises what the listener raises, and ``TypeError`` or ``ValueError`` for an answer that is no position.
        """
        if not self.keeps_position:
            return None
        given = guarded_call(self.candidate.last_seq)
        if inspect.iscoroutine(given):
            given.close()
        answer = expect(given, (int, NoneType), "the seq of an event, or None")
        if answer is not None and not -1 <= answer < _SEQ_MAX:
            raise ValueError(f"last_seq() returned {repr_of(answer)}, which no event can have")
        return None if answer is None else int(answer)

    def last_id(self) -> str | None:
        """Return the id of the event of :meth:`last_seq`; None if the listener does not know.

        Raises what the listener raises, and ``TypeError`` for another answer.
        """
        if not self._has("last_id"):
            return None
        return expect(guarded_call(self.candidate.last_id), (str, NoneType), "the id of an event, or None")

    # -- what it does --

    def bind(self, hub: object) -> None:
        """Give the listener its hub. Raises :class:`~hubwire.errors.ConfigurationError` if it fails at that."""
        if (bind := self._read("bind")) is None:
            return
        try:
            if _is_async(bind):
                raise ConfigurationError("it must not be async: def bind(self, hub)")  # noqa: TRY301
            guarded_call(bind, hub)
        except Exception as error:
            raise ConfigurationError(
                f"listener {self.name!r} cannot be attached: its bind(hub) failed ({text_of(error)})"
            ) from error

    def bind_attachment(self, attachment: object) -> None:
        """Give the listener its attachment, if it wants it. Raises like :meth:`bind`."""
        if (bind := self._read("bind_attachment")) is None:
            return
        try:
            guarded_call(bind, attachment)
        except Exception as error:
            raise ConfigurationError(
                f"listener {self.name!r} cannot be attached: its bind_attachment() failed ({text_of(error)})"
            ) from error

    @property
    def head(self) -> Head | None:
        """The head of the log that the listener writes; None if it writes none, or none yet."""
        try:
            head = guarded_call(getattr, self.candidate, "head", None)
        except Exception:  # noqa: BLE001 - the attribute is the listener's code; without an answer there is no head
            return None
        return head if isinstance(head, Head) else None

    @property
    def withheld(self) -> int:
        """Of how many events the listener has left out the contents, as it says; 0 if it does not say."""
        try:
            count = expect(guarded_call(getattr, self.candidate, "withheld", 0), int, "a number")
        except Exception:  # noqa: BLE001 - the attribute is the listener's code, and most listeners have none
            return 0
        return max(count, 0)

    @property
    def problem(self) -> str | None:
        """What the listener owes and does not do, as it says; None if it does not say."""
        try:
            said = guarded_call(getattr, self.candidate, "problem", None)
        except Exception:  # noqa: BLE001 - the attribute is the listener's code, and most listeners have none
            return None
        return clean(str.__str__(said), _PROBLEM_CHARS_MAX) if is_a(said, str) and str.__str__(said) else None

    async def enter(self) -> None:
        if hasattr(type(self.candidate), "__aenter__"):
            await self.candidate.__aenter__()

    async def leave(self) -> None:
        if hasattr(type(self.candidate), "__aexit__"):
            await self.candidate.__aexit__(None, None, None)


def name_of(candidate: Any) -> str:
    """Return the name of a listener that was given none: that of its function or class, as printable text."""
    try:
        name: Any = guarded_call(getattr, candidate, "__name__", None)
    except Exception:  # noqa: BLE001 - then it is called like its class
        name = None
    text = (clean(name, 200) if issubclass(type(name), str) else "") or class_name(candidate)
    return "".join(each if each.isprintable() else "?" for each in text)


def is_same(one: object, other: object) -> bool:
    """Tell whether these are one function; a method is another object each time it is looked up. Calls no ``==``."""
    if type(one) is MethodType and type(other) is MethodType:
        return one.__func__ is other.__func__ and one.__self__ is other.__self__
    return one is other


def _is_async(function: Any) -> bool:
    return guarded_call(inspect.iscoroutinefunction, function)


def _call_of(kind: type) -> Any:
    """Return the method by which objects of a class are called, inherited or not; None if there is none."""
    return next((vars(each)["__call__"] for each in kind.__mro__ if "__call__" in vars(each)), None)


def _own_names(kind: type) -> set[str]:
    return {name for each in kind.__mro__ for name in vars(each)}
