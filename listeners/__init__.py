"""Listeners that ship with hubwire, a file or a package each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubwire.late_modules import late_modules

from .audit import AuditLog
from .live import LiveTail, Missed
from .log import StructLog
from .metrics import Metrics
from .skills import Skills

__all__ = ("AuditLog", "LiveTail", "Metrics", "Missed", "Skills", "StructLog")

_MODULES = (
    "audit",
    "dashboard",
    "families",
    "hub_metrics",
    "live",
    "log",
    "metrics",
    "opentelemetry",
    "prometheus",
    "pushed",
    "skills",
    "webhook",
)
"""The modules of listeners, each imported when it is asked for."""

if not TYPE_CHECKING:  # checkers know no module before it is imported
    __getattr__, __dir__ = late_modules(globals(), _MODULES)
