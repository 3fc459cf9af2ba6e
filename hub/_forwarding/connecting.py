"""Connecting a hub to a link: it serves while it leads, and forwards while it follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from .._commit.phase import Phase
from .._face import Face
from .._foreign.arguments import Call, has_method
from .._late import Late
from .._parts import Parts
from ..errors import ConfigurationError
from ..ports import CommandLink
from .faces import Faces
from .route import Route
from .serving import Serving
from .table import COMMANDS

__all__ = ("Connection",)

_CONNECT = Call("hub.connect()", ConfigurationError)

_OF_FACES = ("agents", "channels", "inboxes", "tasks", "turns", "timers", "topics", "agent")


class Connection:
    """What a hub that is connected has besides: its other face, for while it follows."""

    def __init__(
        self, hub: Any, parts: Parts, link: CommandLink, is_following: Callable[[], bool] | None = None
    ) -> None:
        if not all(has_method(link, name) for name in ("request", "serve", "aclose")):
            raise _CONNECT.refusal("link", link, "a hubwire.ports.CommandLink", "give a JetStreamLink, for example")
        self._hub = hub
        self._parts = parts
        self._lifecycle = parts.lifecycle
        self._faces = Faces()
        self._faces.route = Route(parts, link, is_following or self._is_following, self._faces.of)
        self._has_followed = False
        self._methods = self._forwarded_methods()
        parts.core.at_end(self._faces.route.end)
        parts.feeds.made().add(_Served(parts, link, self.lead), Serving.name)
        if self._faces.route.is_following():
            self.follow()

    def parts(self) -> Parts:
        """Return the parts of the hub with the groups that forward."""
        parts, of = self._parts, self._faces.of
        groups = parts.groups
        forwarded = {field.name: of(getattr(groups, field.name)) for field in attrs.fields(type(groups))}
        return attrs.evolve(
            parts,
            groups=type(groups)(**forwarded),
            approvals=Late(lambda: of(parts.approvals.made())),
            dead_letters=Late(lambda: of(parts.dead_letters.made())),
        )

    def follow(self) -> None:
        """Give the hub its other face: it follows from now on."""
        self._hub._parts = self.parts()  # noqa: SLF001 - it is the hub's own connection
        vars(self._hub).update(self._methods)

    def lead(self) -> None:
        """Give it its own face: it leads."""
        self._hub._parts = self._parts  # noqa: SLF001 - as above
        for name in self._methods:
            vars(self._hub).pop(name, None)

    async def aclose(self) -> None:
        """Return when the link of a hub that has ended is given up."""
        await self._faces.route.aclose()

    def _is_following(self) -> bool:
        phase = self._lifecycle.phase
        self._has_followed = self._has_followed or phase is Phase.FOLLOWING
        return phase is Phase.FOLLOWING or (phase is Phase.STARTING and self._has_followed)

    def _forwarded_methods(self) -> dict[str, Any]:
        """Return what stands before the hub's own methods while it follows."""
        hub, kind = self._hub, type(self._hub)
        found = {name: self._forwarded(name, getattr(kind, name)).__get__(hub) for name in COMMANDS["hub"]}
        for name in ("acting_as", "for_tenant"):
            found[name] = self._seen(getattr(kind, name)).__get__(hub)
        return found

    def _forwarded(self, name: str, method: Any) -> Any:
        route, core = self._faces.route, self._parts.core

        async def forwarded(self: Any, *args: Any, **named: Any) -> Any:
            if not route.is_following():
                return await method(self, *args, **named)
            if name == "emit_many" and args:
                args = (list(args[0]), *args[1:])
            return await route.call(core, f"hub.{name}", None, args, named)

        forwarded.__name__ = name
        return forwarded

    def _seen(self, method: Any) -> Any:
        """Return what makes the hub as an agent or a tenant has it."""

        def seen(hub: Any, *args: Any, **named: Any) -> Any:
            return self._faced(method(hub, *args, **named))

        return seen

    def _faced(self, view: Face) -> Face:
        for name in _OF_FACES:
            if name in vars(view):
                setattr(view, name, self._faces.of(getattr(view, name)))
        return view


class _Served(Serving):
    """What the hub runs while it leads."""

    def __init__(self, parts: Parts, link: CommandLink, lead: Callable[[], None]) -> None:
        super().__init__(parts, link)
        self._lead = lead

    async def run(self, hub: Any) -> None:
        self._lead()
        await super().run(hub)
