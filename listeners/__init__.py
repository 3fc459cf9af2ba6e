"""Listeners that ship with hubwire, a file or a package each."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return import_module(f".{name}", __name__)


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES, *(name for name in globals() if name.startswith("__"))})
