"""Listeners that ship with hubwire, a file or a package each."""

from __future__ import annotations

from .audit import AuditLog

__all__ = ("AuditLog",)
