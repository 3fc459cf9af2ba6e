"""Stores, which keep the journal, the audit log and all other data of a hub."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return import_module(f".{name}", __name__)


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES, *(name for name in globals() if name.startswith("__"))})
