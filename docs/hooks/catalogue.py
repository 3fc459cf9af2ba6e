"""The event catalogue: every kind that ships, as the code declares it."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from itertools import groupby
from types import ModuleType
from typing import Any, TypeGuard

import attrs
from roles import absolute, to_markdown

from hubwire import events
from hubwire.events import Event

__all__ = ("catalogue", "kinds")


def kinds() -> list[type[Any]]:
    """Return the class of every kind that ships, in the order of its file and its place there."""
    found = [each for name in events.__all__ if isinstance(each := getattr(events, name), type)]
    declared = [each for each in found if issubclass(each, Event) and isinstance(getattr(each, "kind", None), str)]
    return sorted(declared, key=lambda each: (each.__module__, _line(each)))


def catalogue() -> str:
    """Return the catalogue as Markdown: a section for each domain, below it one for each kind."""
    domains = groupby(kinds(), inspect.getmodule)
    return "\n".join(line for module, classes in domains for line in _domain(module, classes))


def _domain(module: ModuleType | None, classes: Iterator[type[Any]]) -> Iterator[str]:
    assert module is not None
    title, _, intro = inspect.getdoc(module).partition(": ")  # type: ignore[union-attr] # every module has one
    yield from ("", f"## {title}", "", _prose(intro[:1].upper() + intro[1:]), "")
    documented = _documented(module)
    for each in classes:
        yield from (f"### {each.kind} {{#{each.kind}}}", "", _maker(each), "", _prose(inspect.getdoc(each) or ""), "")
        yield from _fields(each, documented)


def _maker(kind: type[Any]) -> str:
    declared = f"`hubwire.events.{kind.__name__}`"
    grave = f" · severity `{severity}`" if (severity := attrs.fields_dict(kind)["severity"].default) else ""
    if kind.command is None:
        return f"{declared} · emitted by your code: `await hub.emit({kind.__name__}(...))`{grave}"
    maker = kind.command if kind.command.startswith("the hub") else f"`{kind.command}`"
    return f"{declared} · made by {maker}{grave}"


def _fields(kind: type[Any], documented: dict[tuple[str, str], str]) -> Iterator[str]:
    header = {field.name for field in attrs.fields(Event)}
    own = [field for field in attrs.fields(kind) if field.name not in header]
    if not own:
        return
    notes = {field.name: _prose(documented.get((kind.__name__, field.name), "")).replace("\n", " ") for field in own}
    has_notes = any(notes.values())
    yield "| field | type | default |" + " |" * has_notes
    yield "|---|---|---|" + "---|" * has_notes
    for field in own:
        default = "*needed*" if field.default is attrs.NOTHING else f"`{field.default!r}`"
        note = f" {notes[field.name]} |" if has_notes else ""
        # Resolved already, if a program has asked attrs for the types of this class.
        shown = field.type if isinstance(field.type, str) else inspect.formatannotation(field.type)
        yield f"| `{field.name}` | `{shown}` | {default} |{note}"
    yield ""


def _documented(module: ModuleType) -> dict[tuple[str, str], str]:
    """Return what stands below fields as their docstrings, by class and field."""
    found = {}
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if not isinstance(node, ast.ClassDef):
            continue
        for field, text in zip(node.body, node.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and _is_text(text):
                found[node.name, field.target.id] = inspect.cleandoc(ast.literal_eval(text.value))
    return found


def _is_text(node: ast.stmt) -> TypeGuard[ast.Expr]:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _line(kind: type[Any]) -> int:
    source = inspect.getsource(sys.modules[kind.__module__])
    place = re.search(rf"^class {kind.__name__}\b", source, re.MULTILINE)
    assert place is not None
    return place.start()


def _prose(text: str) -> str:
    return to_markdown(text, absolute)
