"""The table of attacks as the documentation has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .attackers import ATTACKS, COLUMNS, UNSEEN

BEGIN, END = "<!-- measured: {} -->\n", "<!-- end -->"


def table(results: Mapping[str, Sequence[str]]) -> str:
    """Return the rows for the documentation, by the ids of attacks."""
    rows = ["| who | does | " + " | ".join(COLUMNS) + " | test |", "|---|---|" + "---|" * (len(COLUMNS) + 1)]
    for attack in ATTACKS:
        cells = [f"**{word}**" if word == UNSEEN else word for word in results[attack.id]]
        rows.append(f"| {attack.who} | {attack.what} | {' | '.join(cells)} | `{attack.id}` |")
    return "\n".join(rows) + "\n"


def part_of(page: str, name: str) -> str:
    """Return what stands in a page between the marks of this name."""
    begin = page.index(BEGIN.format(name)) + len(BEGIN.format(name))
    return page[begin : page.index(END, begin)]


def with_part(page: str, name: str, text: str) -> str:
    """Return a page with another text between the marks of this name."""
    return page.replace(BEGIN.format(name) + part_of(page, name) + END, BEGIN.format(name) + text + END)
