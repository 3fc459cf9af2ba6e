"""What mkdocstrings reads: Markdown, made of docstrings when a whole package is loaded, and defaults of attributes."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from defaults import default_of
from roles import to_markdown

griffe: Any = import_module("griffe")  # the type checkers run where it is not installed


class Roles(griffe.Extension):  # type: ignore[misc]  # see above
    """Rewrites the docstrings of a package, and the values of its attributes."""

    def on_package(self, *, pkg: Any, **_: Any) -> None:
        self._visit(pkg)

    def _visit(self, node: Any) -> None:
        if node.docstring is not None:
            node.docstring.value = to_markdown(node.docstring.value, lambda name: _resolve(node, name))
        if node.is_attribute and node.value is not None:
            written = str(node.value)
            if (default := default_of(written, node.labels)) != written:  # else it keeps its links
                node.value = default
        for member in node.members.values():
            if not member.is_alias:
                self._visit(member)


def _resolve(node: Any, name: str) -> str | None:
    """Return the whole name of what a docstring of ``node`` names: a member of it, or of what is around it."""
    if name.startswith("hubwire."):
        return name
    first, dot, rest = name.partition(".")
    scope = node
    while scope is not None:
        if first in scope.members:
            return f"{scope.members[first].canonical_path}{dot}{rest}"
        scope = scope.parent
    return None
