"""Lives: every phase or state with a table of legal moves in the code, as pictures and tables.

A module that has such a table names it ``MOVES``, keyed by an enumeration; each member says below itself what it means.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from roles import absolute, to_markdown

__all__ = ("draw", "lives", "tables")

Moves = Mapping[Enum, frozenset[Enum]]
JOINED = {"╮": "┬", "╭": "┬", "┤": "┼", "├": "┼", "╯": "┴", "╰": "┴"}
"""What a line's turn becomes where another line from the same box goes on."""
LANE = 3
"""The columns from one line beside the boxes to the next."""


def lives() -> str:
    """Return a section for each table: its picture, and what each state means."""
    return "\n".join(line for title, moves in tables() for line in _section(title, moves))


def tables() -> list[tuple[str, Moves]]:
    """Return every table of moves in the package, each with the name of its module."""
    spec = find_spec("hubwire")
    assert spec is not None
    root = Path(next(iter(spec.submodule_search_locations or ())))
    names = sorted(".".join(path.relative_to(root).with_suffix("").parts) for path in _files(root))
    return [(name, import_module(f"hubwire.{name}").MOVES) for name in names]


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir() and path.name != "__pycache__":
            yield from _files(path)
        elif path.suffix == ".py" and "\nMOVES: Mapping[" in path.read_text():
            yield path


def _section(module: str, moves: Moves) -> Iterator[str]:
    states = list(moves)
    kind = type(states[0])
    meanings = _meanings(kind)
    yield from ("", f"## {kind.__name__} {{#{kind.__name__}}}", "")
    yield from (f"`hubwire.{module}`: {_prose(inspect.getdoc(kind))}", "")
    places = {state: place for place, state in enumerate(states)}
    names = [str(state.value) for state in states]
    if picture := draw(names, {(places[state], places[other]) for state in states for other in moves[state]}):
        title = f"The states of {kind.__name__}: {', '.join(names)}"
        yield from (f'```picture title="{title}" mark="{",".join(names)}"', *picture, "```", "")
    yield from ("| | meaning | may be followed by |", "|---|---|---|")
    for state, others in moves.items():
        following = ", ".join(f"`{other.value}`" for other in sorted(others, key=lambda each: places[each]))
        yield f"| `{state.value}` | {_prose(meanings.get(state.name))} | {following or '–'} |"


def draw(names: Sequence[str], moves: set[tuple[int, int]]) -> list[str]:
    """Draw boxes below each other. A move to the next one is an arrow down; all others are lines beside the boxes.

    Those ahead are on the right; on the left are those back, and those ahead to a box which lines leave on the right.
    Lines with the same end join. Returns no lines where one would have to leave a box where another one arrives.
    """
    ahead = {move for move in moves if move[1] > move[0] + 1}
    left_by = {source for source, _ in ahead}
    on_the_left = {move for move in moves if move[1] < move[0]} | {move for move in ahead if move[1] in left_by}
    on_the_right = ahead - on_the_left
    for beside in (on_the_right, on_the_left):
        if {source for source, _ in beside} & {target for _, target in beside}:
            return []
    ends = sorted({end for _, end in on_the_right}, reverse=True)
    returns = sorted({end for _, end in on_the_left})
    inner = max(map(len, names)) + 2
    left = LANE * len(returns) + 2 * bool(returns) + 1
    right = left + inner + 1
    middle = (left + right) // 2
    canvas = [[" "] * (right + LANE * len(ends) + 3) for _ in range(4 * len(names) - 1)]
    for place, name in enumerate(names):
        for offset, text in enumerate((f"╭{'─' * inner}╮", f"│{name:^{inner}}│", f"╰{'─' * inner}╯")):
            canvas[4 * place + offset][left : right + 1] = text
        if (place, place + 1) in moves:
            canvas[4 * place + 2][middle], canvas[4 * place + 3][middle] = "┬", "▼"
    for lane, end in enumerate(ends):
        sources = [source for source, target in on_the_right if target == end]
        _connect(canvas, right, right + LANE * (lane + 1), sources, end)
    for lane, end in enumerate(returns):
        sources = [source for source, target in on_the_left if target == end]
        _connect(canvas, left, left - LANE * (lane + 1), sources, end)
    return ["".join(row).rstrip() for row in canvas]


def _connect(canvas: list[list[str]], edge: int, lane: int, sources: Sequence[int], end: int) -> None:
    """Draw a line from the sides of some boxes along a lane to the side of another one."""
    step = 1 if lane > edge else -1
    rows = [4 * place + 1 for place in (*sources, end)]
    for row in range(min(rows) + 1, max(rows)):
        canvas[row][lane] = "│"
    for row in rows:
        for column in range(edge + step, lane, step):
            if canvas[row][column] == " ":
                canvas[row][column] = "─"
            else:  # another line that leaves the same box; a line that only passes by stays as it is
                canvas[row][column] = JOINED.get(canvas[row][column], canvas[row][column])
        first, between, last = "╮┤╯" if step > 0 else "╭├╰"
        canvas[row][lane] = first if row == min(rows) else last if row == max(rows) else between
    for place in sources:
        canvas[4 * place + 1][edge] = "├" if step > 0 else "┤"
    canvas[4 * end + 1][edge + step] = "◄" if step > 0 else "►"


def _meanings(kind: type[Enum]) -> dict[str, str]:
    """Return what stands below each member of an enumeration, by its name."""
    classes = (each for each in ast.walk(ast.parse(inspect.getsource(kind))) if isinstance(each, ast.ClassDef))
    node = next(classes)
    found = {}
    for member, text in zip(node.body, node.body[1:], strict=False):
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            target = member.targets[0]
            assert isinstance(target, ast.Name)
            found[target.id] = str(text.value.value)
    return found


def _prose(text: str | None) -> str:
    return to_markdown(" ".join((text or "").split()), absolute)
