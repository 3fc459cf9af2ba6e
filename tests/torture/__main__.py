"""The command: `python -P -m torture`, with the folder of the tests on PYTHONPATH; `make torture` calls it."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from . import calls, damage, kills, objects, power
from .bugs import BUGS
from .reports import Order, Report

Harness = Callable[[Path, Order], Report]

HARNESSES: dict[str, tuple[Harness, int]] = {
    "kills": (kills.run, 1000),
    "calls": (calls.run, 0),
    "power": (power.run, 5000),
    "damage": (damage.run, 3000),
    "objects": (objects.run, 0),
}
"""What runs it in a folder; and how many rounds are the whole test."""


def main(arguments: list[str]) -> int:
    """Run harnesses, print a table, and return 1 if one has found a fault."""
    parser = argparse.ArgumentParser(prog="torture", description="Harm logs on purpose; see docs/reliability.md.")
    parser.add_argument("harness", nargs="*", help=f"of {', '.join(HARNESSES)}; by default all of them")
    parser.add_argument("--rounds", type=int, help="how many, of each harness; 0 for all there are")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--like", default="", help="only harms in whose names this regular expression is found")
    parser.add_argument("--bug", help="let a bug into hubwire first: the harness has to find it")
    parser.add_argument("--json", type=Path, help="write what was found to this file, too")
    parser.add_argument("--folder", type=Path, help="where to work; by default /dev/shm, which is quick")
    given = parser.parse_args(arguments)
    names = given.harness or list(HARNESSES)
    if unknown := [name for name in names if name not in HARNESSES]:
        parser.error(f"there is no harness {unknown[0]!r}; there are {', '.join(HARNESSES)}")
    if given.bug is not None:
        if len(names) != 1 or given.bug not in BUGS[names[0]]:
            parser.error(f"name one harness, and a bug of its: {', '.join(BUGS[names[0]])}")
        BUGS[names[0]][given.bug]()
    memory = Path("/dev/shm")  # noqa: S108 - in it is a folder of a random name
    reports = []
    for name in names:
        harness, rounds = HARNESSES[name]
        with tempfile.TemporaryDirectory(dir=given.folder or (memory if memory.is_dir() else None)) as folder:
            rounds = rounds if given.rounds is None else given.rounds
            report = harness(Path(folder), Order(rounds, given.seed, given.like, given.bug is not None))
        reports.append(report)
        sys.stdout.write("\n".join(report.lines()) + "\n")
        sys.stdout.flush()
        if given.json is not None:
            given.json.write_text(json.dumps([each.to_json() for each in reports], indent=1) + "\n")
    return int(any(report.faults for report in reports))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
