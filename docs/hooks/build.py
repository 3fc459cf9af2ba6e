"""What the build adds to Markdown: pictures, parts of pages that are made from the code, and breaks in long names."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import catalogue
import inline
import lives
import messages
import pictures
import wings

MADE = re.compile(r"^<!-- made: (\w+) ?(\w*) -->$", re.MULTILINE)
"""What a page says where a part of it is made from the code."""

FOREIGN = re.compile(r"""<(?:(?:script|img|iframe|source)[^>]+src|link[^>]+href)=["']?(?:https?:)?//""")


def on_config(config: Any) -> Any:
    """Let fences named ``picture`` be pictures."""
    superfences = config.mdx_configs.setdefault("pymdownx.superfences", {})
    superfences["custom_fences"] = [
        {"name": "picture", "class": "picture", "format": pictures.fence, "validator": pictures.validate}
    ]
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put what is made from the code where a page asks for it."""
    return MADE.sub(lambda found: _made(found[1], found[2]), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Keep options of commands in one piece, and break long names at their words."""
    return inline.breakable(html)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse a page that loads what is not in the site: it has to work without a network."""
    if found := FOREIGN.search(output):
        raise SystemExit(f"{page.file.src_uri} loads something from elsewhere: {found[0]}")
    return output


def _made(what: str, about: str) -> str:
    match what:
        case "events":
            return catalogue.catalogue()
        case "lives":
            return lives.lives()
        case "messages":
            return messages.section(about)
        case "rooms":
            return wings.rooms()
        case "storeys":
            return wings.storeys()
        case "wings":
            return wings.wings()
    raise SystemExit(f"a page asks for {what!r}, which nothing makes")
