"""Options of commands in running text: a narrow window must not break ``--expect-head`` at one of its hyphens."""

from __future__ import annotations

import re

__all__ = ("whole",)

_INLINE = re.compile(r"(?<!<pre>)(?<!<span></span>)<code>([^<]*)</code>")
"""Code in running text; a block of code stands in ``<pre>``, and scrolls."""

_OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")


def whole(html: str) -> str:
    """Mark the options in code, so that the style sheet can keep each in one piece."""
    return _INLINE.sub(lambda code: _OPTION.sub(r'<span class="option">\g<0></span>', code[0]), html)
