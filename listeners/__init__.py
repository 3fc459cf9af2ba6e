"""Listeners that ship with hubwire, a file or a package each."""

from __future__ import annotations

from .audit import AuditLog
from .live import LiveTail, Missed
from .log import StructLog
from .metrics import Metrics
from .skills import Skills

__all__ = ("AuditLog", "LiveTail", "Metrics", "Missed", "Skills", "StructLog")
