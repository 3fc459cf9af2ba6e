"""Stores, which keep the journal, the audit log and all other data of a hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubwire.late_modules import late_modules

from .durability import Durability
from .file import FileStore
from .memory import MemoryStore
from .url import open_store

__all__ = ("Durability", "FileStore", "MemoryStore", "open_store")

_MODULES = (
    "archived",
    "compressed",
    "durability",
    "file",
    "followed",
    "jetstream",
    "measured",
    "memory",
    "object",
    "s3",
    "url",
)
"""The modules of stores, each imported when it is asked for."""

if not TYPE_CHECKING:  # checkers know no module before it is imported
    __getattr__, __dir__ = late_modules(globals(), _MODULES)
