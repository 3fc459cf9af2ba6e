"""The house of the code, as it stands: its wings with what they are for, and its storeys."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from roles import absolute, to_markdown

__all__ = ("rooms", "storeys", "storeys_of", "wings")

ROOT = Path(__file__).resolve().parents[2]


def wings() -> str:
    """Return a table of the packages of the hub: each with the first sentence of what it says of itself."""
    lines = [f"| `hub/{path.name}/` | {_purpose(path / '__init__.py')} |" for path in _entries() if path.is_dir()]
    return "\n".join(["| wing | is for |", "|---|---|", *lines])


def rooms() -> str:
    """Return a table of the public modules of the hub that are files."""
    files = [path for path in _entries() if path.suffix == ".py" and not path.name.startswith("_")]
    lines = [f"| `hubwire.{path.stem}` | {_purpose(path)} |" for path in files]
    return "\n".join(["| module | is for |", "|---|---|", *lines])


def storeys() -> str:
    """Return a picture of the storeys, from the roof down, as `tests/test_architecture.py` holds the code to them."""
    rows = [line for places in storeys_of(ROOT / "tests" / "test_architecture.py") for line in _storey(places)]
    title = "The storeys of the hub, from the roof down; imports point downwards only"
    return "\n".join([f'```picture title="{title}"', *rows, "```"])


def storeys_of(path: Path) -> tuple[tuple[str, ...], ...]:
    """Return the storeys that an architecture test names: each is a row of places that stand side by side."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "STOREYS":
            assert node.value is not None
            found: tuple[tuple[str, ...], ...] = ast.literal_eval(node.value)
            return found
    raise SystemExit(f"{path} has no STOREYS any more; let docs/hooks/wings.py read what holds the arrows now")


def _storey(places: tuple[str, ...]) -> Iterator[str]:
    """Draw one storey: what has an underscore is a wing or a room of its own, all else is public."""
    names = [name.removeprefix("hubwire.") for name in places]
    tops, middles, bottoms = "┌─┐", "│ │", "└─┘"
    heavy = ("┏━┓", "┃ ┃", "┗━┛")
    styles = [heavy if name.startswith("_") else (tops, middles, bottoms) for name in names]
    widths = [len(name) + 2 for name in names]
    yield " ".join(f"{top[0]}{top[1] * width}{top[2]}" for (top, _, _), width in zip(styles, widths, strict=True))
    yield " ".join(f"{side[0]} {name} {side[2]}" for (_, side, _), name in zip(styles, names, strict=True))
    yield " ".join(f"{end[0]}{end[1] * width}{end[2]}" for (_, _, end), width in zip(styles, widths, strict=True))


def _entries() -> list[Path]:
    """Return the modules and packages of the hub, which are all of the package but its listeners and stores."""
    spec = find_spec("hubwire")
    assert spec is not None
    folder = Path(next(iter(spec.submodule_search_locations or ())))
    others = {"listeners", "stores", "__init__.py", "__pycache__", "py.typed"}
    return sorted(path for path in folder.iterdir() if path.name not in others)


def _purpose(path: Path) -> str:
    """Return the first sentence of a module's docstring."""
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    sentence = " ".join(docstring.partition("\n\n")[0].split())
    return to_markdown(sentence.partition(". ")[0].rstrip(".") + ".", absolute)
