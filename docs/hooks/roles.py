"""Docstrings name each other as Sphinx does, ``:class:`~hubwire.errors.StoreFull` ``: the site needs links."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ("absolute", "to_markdown")

ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`(~?)([\w.]+)`")
BLOCK = re.compile(r"^( *)\.\. code-block:: (\w+)\n\n((?:\1    .*\n|\n)+)", re.MULTILINE)
LITERAL = re.compile(r"(?<=\S)::$", re.MULTILINE)

Resolve = Callable[[str], str | None]
"""Returns the whole name of what a docstring calls by a shorter one; None if it is not found."""


def to_markdown(text: str, resolve: Resolve) -> str:
    """Return a docstring as Markdown, with a link where the site has a place for what is named."""

    def link(found: re.Match[str]) -> str:
        is_short, name = found[1] == "~", found[2]
        shown = f"`{name.rpartition('.')[2] if is_short else name.removeprefix('hubwire.')}`"
        whole = resolve(name)
        return shown if whole is None else f'<autoref identifier="{whole}" optional>{shown}</autoref>'

    text = BLOCK.sub(_fenced, text + "\n").rstrip("\n")
    return ROLE.sub(link, LITERAL.sub(":", text))


def absolute(name: str) -> str | None:
    """Resolve a name that is whole already."""
    return name if name.startswith("hubwire.") else None


def _fenced(found: re.Match[str]) -> str:
    indent, language = found[1], found[2]
    lines = [line.removeprefix(f"{indent}    ") for line in found[3].strip("\n").split("\n")]
    return "\n".join(f"{indent}{line}".rstrip() for line in (f"```{language}", *lines, "```")) + "\n\n"
