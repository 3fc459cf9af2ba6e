"""What recorders and redactors have declared in a log: what they capture, and what is hidden from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubwire.coverage import Coverage

__all__ = ("COVERED", "Declared")

COVERED = "recording.covered"
_DECLARED_MAX = 1_000


class Declared:
    """The newest declaration of each source and version, in the order in which they came."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Coverage] = {}

    def covered(self, fields: Mapping[str, Any]) -> None:
        """Take what a ``recording.covered`` declares."""
        self._add({**fields, "source": fields.get("runtime")})

    def _add(self, fields: Any) -> None:
        """Take a declaration; what is none is passed over: any program may write one."""
        found = Coverage.from_fields(fields)
        if found is not None and len(self._found) < _DECLARED_MAX:
            self._found[found.source, found.version] = found

    def opened(self, fields: Mapping[str, Any]) -> None:
        """Take what a ``log.opened`` declares."""
        declared = fields.get("coverage")
        for each in declared[:_DECLARED_MAX] if isinstance(declared, list | tuple) else ():
            self._add(each)

    @property
    def all(self) -> tuple[Coverage, ...]:
        return tuple(self._found.values())
