"""Types that annotations name and that a module does not import: they are imported when they are looked up.

A module says ``if TYPE_CHECKING:`` for those who check types, and ``else:`` for those who read annotations at run time,
as :func:`typing.get_type_hints` does for frameworks. So what few programs use is imported by none that does not.
"""

from __future__ import annotations

from typing import Any, ForwardRef

__all__ = ("late_type",)


def late_type(module: str, name: str) -> Any:
    """Return what stands for a type in annotations: evaluated, it is that of this name in the module."""
    return ForwardRef(f"__import__({module!r}, fromlist=[{name!r}]).{name}")
