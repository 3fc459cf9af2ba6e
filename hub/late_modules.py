"""Modules of a package that are its attributes, each imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ("late_modules",)


def late_modules(
    namespace: dict[str, Any], modules: Collection[str]
) -> tuple[Callable[[str], ModuleType], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for the package whose ``globals()`` these are."""
    package: str = namespace["__name__"]

    def get(name: str) -> ModuleType:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return import_module(f".{name}", package)

    def names() -> list[str]:
        own = (name for name in namespace if name.startswith("__"))
        return sorted({*own, *namespace["__all__"], *modules})

    return get, names
