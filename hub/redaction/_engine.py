"""RE2, which is a dependency where there are wheels of it. It has no types, so it is imported by name."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ("engine",)


def engine() -> Any:
    """Return the module ``re2``; None where it is not installed."""
    try:
        return importlib.import_module("re2")
    except ImportError:
        return None
