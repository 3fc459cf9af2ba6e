"""For tests: yours and hubwire's own."""

from __future__ import annotations

from .clock import ManualClock
from .recorder import Recorder

__all__ = ("ManualClock", "Recorder")
