"""Attacks a signed log, and logs of others, and prints what is seen of it; with --write, into the documentation."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "attackers.md"
sys.path.insert(0, str(ROOT / "tests"))

from support.attackers import ATTACKS, measured, table, with_part  # noqa: E402 - beside the tests


async def ours() -> str:
    """Return the table of all attacks on a log of hubwire."""
    results = {}
    for attack in ATTACKS:
        with tempfile.TemporaryDirectory() as folder:
            results[attack.id] = await measured(attack, Path(folder))
    return table(results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the tables into docs/attackers.md")
    arguments = parser.parse_args()
    made = {"attacks": asyncio.run(ours())}
    for name, text in made.items():
        print(text)
        if arguments.write:
            PAGE.write_text(with_part(PAGE.read_text(), name, text))


if __name__ == "__main__":
    main()
