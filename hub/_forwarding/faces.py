"""The objects of a hub that follows: the same classes, with commands that go to the hub that leads.

The classes are made for each hub that is connected; a hub that is not has none of them, and its objects ask nothing.
When the hub comes to lead, objects that were made before work on: they carry commands out then as others do.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Coroutine
from typing import Any, cast

from .._commands import Delivery
from .route import Route
from .table import COMMANDS, MADE_HERE, PREFIXES

__all__ = ("Faces",)


class Faces:
    """Makes the objects of one hub."""

    def __init__(self) -> None:
        self.route: Route
        """Where commands go; given before anything is made."""
        self._classes: dict[type, type] = {}

    def of(self, thing: Any) -> Any:
        """Return an object with these commands: itself if it is a handle, else a copy; all else as it is."""
        kind = type(thing)
        if kind in (list, tuple):
            return kind(self.of(each) for each in thing)
        prefix = PREFIXES.get(kind.__name__)
        if prefix is None or prefix == "hub" or getattr(kind, "_is_face", False):
            return thing
        face = self._classes.get(kind)
        if face is None:
            face = self._classes[kind] = self._made(kind, prefix)
        thing = copy.copy(thing) if prefix in _GROUPS else thing
        object.__setattr__(thing, "__class__", face)
        return thing

    def _made(self, kind: type, prefix: str) -> type:
        members: dict[str, Any] = {
            "__slots__": (),
            "__module__": kind.__module__,
            "__qualname__": kind.__qualname__,
            "__doc__": kind.__doc__,
            "_is_face": True,
        }
        is_group = prefix in _GROUPS
        for name in COMMANDS[prefix]:
            members[name] = self.forwarding(f"{prefix}.{name}", getattr(kind, name), is_group=is_group)
        for name in MADE_HERE.get(prefix, ()):
            members[name] = self._facing(getattr(kind, name))
        if prefix == "inbox":
            members["__anext__"] = self._facing_later(cast(Any, kind).__anext__)
        if prefix == "delivery":
            members["ack"] = self._acking(members["ack"])
        return type(kind.__name__, (kind,), members)

    def forwarding(self, name: str, method: Callable[..., Coroutine[Any, Any, Any]], *, is_group: bool) -> Any:
        """Return a method that is carried out by the hub that leads."""
        route, of = self.route, self.of

        @functools.wraps(method)
        async def forwarded(self: Any, *args: Any, **named: Any) -> Any:
            if not route.is_following():
                return of(await method(self, *args, **named))
            core = getattr(self, "_core", None) or self._inboxes._core  # noqa: SLF001 - of dead letters
            return await route.call(core, name, None if is_group else self, args, named)

        return forwarded

    def _facing(self, method: Callable[..., Any]) -> Any:
        of = self.of

        @functools.wraps(method)
        def made(self: Any, *args: Any, **named: Any) -> Any:
            return of(method(self, *args, **named))

        return made

    def _facing_later(self, method: Callable[..., Coroutine[Any, Any, Any]]) -> Any:
        of = self.of

        @functools.wraps(method)
        async def made(self: Any) -> Any:
            return of(await method(self))

        return made

    def _acking(self, method: Callable[..., Coroutine[Any, Any, bool]]) -> Any:
        @functools.wraps(method)
        async def ack(self: Delivery) -> bool:
            is_acked = await method(self)
            self.is_acked = self.is_acked or is_acked
            return is_acked

        return ack


_GROUPS = frozenset(prefix for name, prefix in PREFIXES.items() if name.endswith("Commands"))
