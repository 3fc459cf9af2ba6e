"""What a page shows as the value of an attribute: its default, and nothing of how the code comes to it."""

from __future__ import annotations

import ast
from collections.abc import Collection

__all__ = ("default_of",)


def default_of(value: str, labels: Collection[str]) -> str | None:
    """Return what stands behind the ``=`` of an attribute; None for what tells a reader nothing.

    ``value`` is how the code writes it, ``labels`` where it does: what ``__init__`` sets is no default.
    """
    if "class-attribute" not in labels and "instance-attribute" in labels:
        return None
    if value.startswith("_"):
        return None
    if not value.lstrip("(").lstrip().startswith("attrs.field("):
        return value
    call = ast.parse(value.strip(), mode="eval").body
    given = {each.arg: ast.unparse(each.value) for each in call.keywords} if isinstance(call, ast.Call) else {}
    return f"{given['factory']}()" if "factory" in given else given.get("default")
