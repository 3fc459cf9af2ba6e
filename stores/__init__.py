"""Stores, which keep the journal, the audit log and all other data of a hub."""

from __future__ import annotations

from .durability import Durability
from .file import FileStore
from .memory import MemoryStore
from .url import open_store

__all__ = ("Durability", "FileStore", "MemoryStore", "open_store")
