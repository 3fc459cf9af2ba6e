"""Code in running text: where a narrow window may break it.

Not ``--expect-head`` at one of its hyphens, and the long name of a test between its words rather than in one.
"""

from __future__ import annotations

import re

__all__ = ("breakable",)

_INLINE = re.compile(r"(?<!<pre>)(?<!<span></span>)<code>([^<]*)</code>")
"""Code in running text; a block of code stands in ``<pre>``, and scrolls."""

_OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
_LONG = re.compile(r"[^\s]{30,}")
_JOINT = re.compile(r"/|::|_(?=[^\W_])")


def breakable(html: str) -> str:
    """Mark options, so that the style sheet can keep each in one piece, and where long names may be broken."""
    return _INLINE.sub(lambda code: f"<code>{_marked(code[1])}</code>", html)


def _marked(code: str) -> str:
    options = _OPTION.sub(r'<span class="option">\g<0></span>', code)
    if options != code:
        return options
    return _LONG.sub(lambda name: _JOINT.sub(r"\g<0><wbr>", name[0]), code)
