"""The messages of errors, as the code words them: what a reader of the troubleshooting page has on the screen."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import hubwire.errors

__all__ = ("errors", "messages", "section")


def errors() -> list[str]:
    """Return the names of all errors."""
    found = {name: getattr(hubwire.errors, name) for name in hubwire.errors.__all__}
    return [name for name, each in found.items() if isinstance(each, type) and issubclass(each, Exception)]


def section(name: str) -> str:
    """Return the messages of one error as Markdown."""
    found = messages().get(name, [])
    return "\n".join(["**Messages.**", "", *(f"- {_code(message)}" for message in found)])


@cache
def messages() -> dict[str, list[str]]:
    """Return the messages of each error, sorted; ``…`` stands for what is put in when it is raised."""
    found: dict[str, set[str]] = {name: set() for name in errors()}
    for node in _calls():
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in found and node.args and (text := _text(node.args[0])):
            found[name].add(text)
    return {name: sorted(texts, key=str.casefold) for name, texts in found.items()}


def _calls() -> Iterator[ast.Call]:
    spec = find_spec("hubwire")
    assert spec is not None
    for folder in spec.submodule_search_locations or ():
        for path in _sources(Path(folder)):
            yield from (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def _sources(folder: Path) -> Iterator[Path]:
    """Return the modules below a folder, also behind links: a checkout is a farm of them while one works on it."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name != "testing":
            yield from _sources(path)
        elif path.suffix == ".py":
            yield path


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        return "".join(map(str, parts))
    return ""


def _code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"
