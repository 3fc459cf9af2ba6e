"""Pictures made from text: box-drawing characters in, SVG out.

A picture is drawn in the Markdown of its page, in a fence named ``picture``, so that any editor shows and changes it.
Each character is one cell. Lines, corners and arrow heads (``►◄▲▼``) become paths, closed boxes get a ground,
and all else is text. Light boxes (``┌┐``, ``╭╮``) are parts, heavy ones (``┏┓``) are what the picture is about, double
ones (``╔╗``) are on disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

__all__ = ("fence", "overview", "render", "validate")

DOCS = Path(__file__).resolve().parents[1]

WIDTH = 10
"""Of a cell; it is twice as high, as in most fonts."""
HEIGHT = 20
SHOWN_WIDTH = 7.8
"""Of a cell on the page, in pixels, where there is room."""
RADIUS = 4

N, E, S, W = 1, 2, 4, 8
LINES = {
    "─": E | W, "│": N | S, "┌": E | S, "┐": W | S, "└": N | E, "┘": N | W,
    "├": N | E | S, "┤": N | S | W, "┬": E | S | W, "┴": N | E | W, "┼": N | E | S | W,
    "╭": E | S, "╮": W | S, "╰": N | E, "╯": N | W,
    "━": E | W, "┃": N | S, "┏": E | S, "┓": W | S, "┗": N | E, "┛": N | W,
    "┠": N | E | S, "┨": N | S | W, "┯": E | S | W, "┷": N | E | W,
    "═": E | W, "║": N | S, "╔": E | S, "╗": W | S, "╚": N | E, "╝": N | W,
    "╟": N | E | S, "╢": N | S | W, "╤": E | S | W, "╧": N | E | W,
    "┄": E | W, "┆": N | S,
}  # fmt: skip
HEADS = {"►": (W, "M2 5 L10 10 L2 15 Z"), "◄": (E, "M8 5 L0 10 L8 15 Z")}
HEADS |= {"▲": (S, "M1 11 L5 1 L9 11 Z"), "▼": (N, "M1 9 L5 19 L9 9 Z")}
STYLES = (("heavy", "━┃┏┓┗┛┠┨┯┷"), ("disk", "═║╔╗╚╝╟╢╤╧"), ("dashed", "┄┆"))
CORNERS = {E | S, W | S, N | E, N | W}

STYLESHEET = """
  text { fill: #1f2328; font: 16px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
  .mark { fill: #3545a8; font-weight: bold }
  .ground { fill: #ffffff; stroke: #d0d7de }
  .line { stroke: #57606a; stroke-width: 1.3; fill: none; stroke-linecap: round }
  .line.heavy { stroke: #4051b5; stroke-width: 1.8 }
  .line.disk { stroke: #8a6d1b; stroke-width: 1.8 }
  .line.dashed { stroke-dasharray: 3 4 }
  .head { fill: #57606a }
  .box { fill: #f6f8fa } .box.heavy { fill: #e8eafc } .box.disk { fill: #fbf1d5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .mark { fill: #a9b6ff }
    .ground { fill: #161b22; stroke: #30363d }
    .line { stroke: #8b949e } .line.heavy { stroke: #8c9eff } .line.disk { stroke: #d4b35a } .head { fill: #8b949e }
    .box { fill: #21262d } .box.heavy { fill: #262b4f } .box.disk { fill: #3a3219 }
  }
"""
"""Of a picture that stands alone; on the site, ``stylesheets/extra.css`` has the colours."""


def validate(language: str, inputs: dict[str, str], options: dict[str, str], attrs: dict[str, str], md: Any) -> bool:  # noqa: ARG001
    """Take ``title`` (needed: it is what a screen reader says) and ``mark`` (words to be stressed) from a fence."""
    options.update(inputs)
    return "title" in inputs and set(inputs) <= {"title", "mark"}


def fence(source: str, language: str, css_class: str, options: dict[str, str], md: Any, **_: Any) -> str:  # noqa: ARG001
    """Return what a fence becomes on the page."""
    return f'<figure class="{css_class}">{render(source, **options)}</figure>'


def render(source: str, title: str, mark: str = "", *, stylesheet: str = "") -> str:
    """Return a picture as an SVG element."""
    rows = source.strip("\n").split("\n")
    columns = max(map(len, rows))
    grid = [row.ljust(columns) for row in rows]
    width, height = columns * WIDTH, len(grid) * HEIGHT
    ground = f'<rect class="ground" x="-19" y="-19" width="{width + 38}" height="{height + 38}" rx="10"/>'
    margin = 20 if stylesheet else 0
    view = f"{-margin} {-margin} {width + 2 * margin} {height + 2 * margin}"
    shown = round((width + 2 * margin) * SHOWN_WIDTH / WIDTH)
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="{view}"',
            f' width="{shown}" style="min-width: min({shown}px, 34rem)">',  # narrower, it could not be read
            f"<title>{escape(title)}</title>",
            f"<style>{stylesheet}</style>{ground}" if stylesheet else "",
            *_boxes(grid),
            *_lines(grid),
            *_texts(grid, mark),
            "</svg>",
        ]
    )


def overview() -> str:
    """Return the picture of the first page as a file for the README, which brings its ground and its colours."""
    text = (DOCS / "index.md").read_text()
    found = re.search(r'^```picture title="([^"]*)" mark="([^"]*)"\n(.*?)^```$', text, re.DOTALL | re.MULTILINE)
    assert found is not None
    return render(found[3], found[1], found[2], stylesheet=STYLESHEET) + "\n"


def _style(character: str) -> str:
    return next((name for name, characters in STYLES if character in characters), "light")


def _at(grid: list[str], row: int, column: int) -> str:
    return grid[row][column] if 0 <= row < len(grid) and 0 <= column < len(grid[row]) else " "


def _boxes(grid: list[str]) -> Iterator[str]:
    """Give every closed box its ground, the outer ones first."""
    found = [box for row, line in enumerate(grid) for column in range(len(line)) if (box := _box(grid, row, column))]
    for height, width, row, column, style in sorted(found, reverse=True):
        x, y = column * WIDTH + WIDTH // 2, row * HEIGHT + HEIGHT // 2
        size = f'width="{width * WIDTH}" height="{height * HEIGHT}"'
        yield f'<rect class="box {style}" x="{x}" y="{y}" {size} rx="{RADIUS}"/>'


def _box(grid: list[str], row: int, column: int) -> tuple[int, int, int, int, str] | None:
    """Return the size, the place and the style of the box whose upper left corner is here, if there is one."""
    if LINES.get(grid[row][column]) != E | S:
        return None
    right = _follow(lambda step: _at(grid, row, column + step), E | W, W | S)
    bottom = _follow(lambda step: _at(grid, row + step, column), N | S, N | E)
    if right is None or bottom is None:
        return None
    down = _follow(lambda step: _at(grid, row + step, column + right), N | S, N | W)
    along = _follow(lambda step: _at(grid, row + bottom, column + step), E | W, N | W)
    return (bottom, right, row, column, _style(grid[row][column])) if (down, along) == (bottom, right) else None


def _follow(at: Callable[[int], str], along: int, corner: int) -> int | None:
    """Return how many steps it is along a side to its corner; None if the side ends before."""
    step = 1
    while (lines := LINES.get(at(step), 0)) & along == along:
        step += 1
    return step if lines == corner else None


def _lines(grid: list[str]) -> Iterator[str]:
    paths: dict[str, list[str]] = {}
    for row, line in enumerate(grid):
        for column, character in enumerate(line):
            x, y = column * WIDTH, row * HEIGHT
            if character in HEADS:
                side, path = HEADS[character]
                paths.setdefault("head", []).append(_moved(path, x, y))
                paths.setdefault("line light", []).append(_stub(side, x, y))
            elif LINES.get(character) in CORNERS:
                paths.setdefault(f"line {_style(character)}", []).append(_corner(LINES[character], x, y))
    for style, path in (*_runs(grid, E, W), *_runs(list(map("".join, zip(*grid, strict=True))), S, N)):
        paths.setdefault(f"line {style}", []).append(path)
    for style in sorted(paths, reverse=True):  # arrow heads come last, above the lines of boxes
        yield f'<path class="{style}" d="{"".join(paths[style])}"/>'


def _runs(grid: list[str], ahead: int, back: int) -> Iterator[tuple[str, str]]:
    """Return the straight lines along the rows of a grid, each in one piece: seams between cells would show.

    For the columns of a picture the grid is turned, and so are ``ahead`` and ``back``.
    """
    length, across, command = (WIDTH, HEIGHT, "H") if ahead == E else (HEIGHT, WIDTH, "V")
    for number, line in enumerate(grid):
        place = number * across + across // 2
        ends: dict[str, int] = {}
        starts: dict[str, int] = {}
        for column, character in enumerate(f"{line} "):
            lines, style = LINES.get(character, 0), _style(character)
            if lines in CORNERS or not lines & (ahead | back):
                lines = 0
            start = column * length + (0 if lines & back else length // 2)
            end = (column + 1) * length - (0 if lines & ahead else length // 2)
            for other in tuple(starts):
                if not lines or other != style or start > ends[other]:
                    first = f"{starts[other]} {place}" if ahead == E else f"{place} {starts[other]}"
                    yield other, f"M{first}{command}{ends.pop(other)}"
                    del starts[other]
            if lines:
                starts.setdefault(style, start)
                ends[style] = end


def _moved(path: str, x: int, y: int) -> str:
    return re.sub(r"(\d+) (\d+)", lambda point: f"{x + int(point[1])} {y + int(point[2])}", path)


def _stub(side: int, x: int, y: int) -> str:
    """Return the line from the edge of a cell to the foot of an arrow head."""
    ends = {W: ((0, 10), (3, 10)), E: ((10, 10), (7, 10)), S: ((5, 20), (5, 10)), N: ((5, 0), (5, 10))}
    (x0, y0), (x1, y1) = ends[side]
    return f"M{x + x0} {y + y0}L{x + x1} {y + y1}"


def _corner(lines: int, x: int, y: int) -> str:
    middle_x, middle_y = x + WIDTH // 2, y + HEIGHT // 2
    edge_y = y if lines & N else y + HEIGHT
    edge_x = x if lines & W else x + WIDTH
    near_y = middle_y - RADIUS if lines & N else middle_y + RADIUS
    return f"M{middle_x} {edge_y}V{near_y}Q{middle_x} {middle_y} {edge_x} {middle_y}"


def _texts(grid: list[str], mark: str) -> Iterator[str]:
    drawn = re.escape("".join([*LINES, *HEADS]))
    words = [re.escape(word) for word in mark.split(",") if word]
    marked = re.compile(rf"(?<![\w./])(?:{'|'.join(words)})(?![\w.])") if words else None
    for row, line in enumerate(grid):
        for run in re.finditer(rf"[^\s{drawn}]+(?: [^\s{drawn}]+)*", line):
            for text, start, is_marked in _pieces(run[0], marked):
                yield _text(text, run.start() + start, row, is_marked=is_marked)


def _pieces(text: str, marked: re.Pattern[str] | None) -> Iterator[tuple[str, int, bool]]:
    """Return a run of text in pieces, with their places in it: those to be stressed, and what is between them."""
    end = 0
    for found in marked.finditer(text) if marked is not None else ():
        yield from _trimmed(text[end : found.start()], end)
        yield found[0], found.start(), True
        end = found.end()
    yield from _trimmed(text[end:], end)


def _trimmed(text: str, start: int) -> Iterator[tuple[str, int, bool]]:
    if trimmed := text.strip():
        yield trimmed, start + text.index(trimmed), False


def _text(text: str, column: int, row: int, *, is_marked: bool) -> str:
    place = f'x="{column * WIDTH}" y="{row * HEIGHT + 15}" textLength="{len(text) * WIDTH}"'
    style = ' class="mark"' if is_marked else ""
    return f'<text{style} {place} lengthAdjust="spacingAndGlyphs">{escape(text)}</text>'


if __name__ == "__main__":
    (DOCS / "pictures" / "hubwire.svg").write_text(overview())
