"""Where commands keep what they have read, so that the next one need not read it again."""

from __future__ import annotations

import os
from pathlib import Path

from hubwire.stores import FileStore

from ..errors import HubError
from ..ports import KnowledgeStore

__all__ = ("KEEP_NOTHING", "cache_in")

KEEP_NOTHING = "none"


def cache_in(folder: str | None) -> KnowledgeStore | None:
    """Return where it is kept: by default, the directory for caches of whoever calls the command; None: nowhere."""
    if folder == KEEP_NOTHING:
        return None
    if folder is not None:
        return FileStore(folder)
    caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return FileStore((caches if caches.is_absolute() else Path.home() / ".cache") / "hubwire")
    except (RuntimeError, OSError, HubError):  # there is no such directory: each start reads the log
        return None
