"""Show what has grown beyond what a person reads in one go. Taste, not law: the exit code is always 0.

The last list is the number that separates the code bases people admire from the ones they fear: fields of one object
that many of its methods touch.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("hub", "listeners", "stores", "tests")

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50
FIELD_METHODS_MAX = 4  # a field is shared if more methods touch it
SHARED_FIELDS_MAX = 3

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def main() -> None:
    files, functions, classes = [], [], []
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        source, name = path.read_text(), path.relative_to(ROOT)
        if (lines := source.count("\n")) > FILE_LINES_MAX:
            files.append((lines, f"{name}"))
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, FunctionNode) and (lines := length(node)) > FUNCTION_LINES_MAX:
                functions.append((lines, f"{name}:{node.lineno} {node.name}"))
            if isinstance(node, ast.ClassDef) and len(shared := list(shared_fields(node))) > SHARED_FIELDS_MAX:
                classes.append((len(shared), f"{name}:{node.lineno} {node.name}: {', '.join(shared)}"))
    show(f"files over {FILE_LINES_MAX} lines", files)
    show(f"functions over {FUNCTION_LINES_MAX} lines", functions)
    show(f"classes with over {SHARED_FIELDS_MAX} fields that over {FIELD_METHODS_MAX} methods touch", classes)


def length(node: FunctionNode) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def shared_fields(node: ast.ClassDef) -> Iterator[str]:
    methods = [child for child in node.body if isinstance(child, FunctionNode)]
    names = {method.name for method in methods}
    touched = Counter(field for method in methods for field in self_attributes(method) - names)
    return (field for field, count in touched.most_common() if count > FIELD_METHODS_MAX)


def self_attributes(method: FunctionNode) -> set[str]:
    attributes = (node for node in ast.walk(method) if isinstance(node, ast.Attribute))
    return {node.attr for node in attributes if isinstance(node.value, ast.Name) and node.value.id == "self"}


def show(title: str, found: list[tuple[int, str]]) -> None:
    print(f"{title}: {len(found) or 'none'}")
    for size, what in sorted(found, reverse=True):
        print(f"  {size:5} {what}")


if __name__ == "__main__":
    main()
