"""A spool: a directory in which processes leave events, for a hub to take in, each once.

:class:`Spool` writes, in any process, thread and program, with a hub or without one. :class:`SpoolFeed` takes what is
there into a hub. :func:`read_status` looks at a directory. Names are imported when they are first used: a process that
leaves one event does not wait for the rest.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # as of `typing`, which takes longer to import than a line takes to write
if TYPE_CHECKING:
    from typing import Any

    from ._feed import SpoolFeed as SpoolFeed
    from ._spool import Spool as Spool, SpoolStatistics as SpoolStatistics
    from ._status import SpoolFile as SpoolFile, SpoolStatus as SpoolStatus, read_status as read_status

__all__ = ("Spool", "SpoolFeed", "SpoolFile", "SpoolStatistics", "SpoolStatus", "read_status")

_NAMES = {
    "Spool": "_spool",
    "SpoolFeed": "_feed",
    "SpoolFile": "_status",
    "SpoolStatistics": "_spool",
    "SpoolStatus": "_status",
    "read_status": "_status",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _NAMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f".{_NAMES[name]}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
