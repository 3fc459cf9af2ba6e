"""A request of a person who may make it, and the places of the interface that answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import attrs
from starlette.requests import Request

from ._http import BODY_BYTES_MAX, Reply, json_body, refused
from ._parts import Parts
from .access import Person, Role

__all__ = ("Asked", "Endpoint", "Handler")

_PARAMETERS_MAX = 100
_CHARS_MAX = 2000


@attrs.frozen(kw_only=True)
class Asked:
    """A request of a person who may make it."""

    parts: Parts
    request: Request
    person: Person
    tenant: str | None
    """The only tenant whose events the answer may tell of; None: all."""
    contents: bool
    """Whether the person sees what agents say, and the arguments of tools."""

    @property
    def path(self) -> Mapping[str, str]:
        """The parts of the path that its pattern names."""
        found: Mapping[str, str] = self.request.path_params
        return found

    def text(self, name: str, default: str | None = None) -> str | None:
        """Return a parameter of the query; an empty one counts as none."""
        found = self.request.query_params.get(name)
        if found is None or found == "":
            return default
        if len(found) > _CHARS_MAX:
            raise refused(f"{name} has {len(found):,} characters, more than {_CHARS_MAX:,}", "shorten it")
        return str(found)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a parameter that can be given more than once, or with commas."""
        given = self.request.query_params.getlist(name)
        found = tuple(part for each in given for part in each.split(",") if part)
        if len(found) > _PARAMETERS_MAX or any(len(part) > _CHARS_MAX for part in found):
            raise refused(f"there is too much of {name}: {_PARAMETERS_MAX} at most", "give fewer")
        return found

    def whole(self, name: str, default: int, *, least: int = 0, most: int = 2**53) -> int:
        """Return a parameter that is a whole number."""
        given = self.text(name)
        if given is None:
            return default
        if not given.isascii() or not given.lstrip("-").isdigit() or len(given) > 20 or not least <= int(given) <= most:
            raise refused(f"{name}={given[:80]!r} is no whole number from {least:,} to {most:,}", f"{name}={default}")
        return int(given)

    def flag(self, name: str) -> bool:
        """Return a parameter that is 1 or 0."""
        given = self.text(name, "0")
        if given not in ("0", "1"):
            raise refused(f"{name} is 1 or 0", f"{name}=1")
        return given == "1"

    async def body(self, *, bytes_max: int = BODY_BYTES_MAX) -> dict[str, Any]:
        """Return the JSON object that the request holds; it has to come within ten seconds."""
        return await json_body(self.request, bytes_max)


Handler = Callable[[Asked], Awaitable[Reply]]


@attrs.frozen
class Endpoint:
    """A place of the interface: what answers it, and who may ask."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    """As Starlette has it: ``/api/board/agents/{id}``."""
    handler: Handler
    role: Role = "read"
    says: str = ""
    """What it answers, for ``openapi.json``."""
