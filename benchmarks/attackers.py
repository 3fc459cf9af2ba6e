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

from support.attack_table import table, with_part  # noqa: E402
from support.attacked_peers import COMPARED, PEERS, comparison, heading, is_there, sees  # noqa: E402 - beside the tests
from support.attackers import ATTACKS, measured  # noqa: E402


async def ours() -> dict[str, tuple[str, ...]]:
    """Return what is seen of all attacks on a log of hubwire."""
    results = {}
    for attack in ATTACKS:
        with tempfile.TemporaryDirectory() as folder:
            results[attack.id] = await measured(attack, Path(folder))
    return results


def theirs() -> dict[str, dict[str, str]]:
    """Return what is seen of attacks on the logs of those who are installed; say who is not."""
    results: dict[str, dict[str, str]] = {}
    for peer in PEERS:
        if not is_there(peer):
            print(f"{heading(peer)} is not installed: pip install '.[bench]'", file=sys.stderr)
            continue
        found = results.setdefault(heading(peer), {})
        for attack in COMPARED:
            with tempfile.TemporaryDirectory() as folder:
                found[attack] = sees(peer, Path(folder), attack)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the tables into docs/attackers.md")
    arguments = parser.parse_args()
    own, others = asyncio.run(ours()), theirs()
    for name, text in {"attacks": table(own), "peers": comparison(own, others)}.items():
        print(text)
        if arguments.write and (name == "attacks" or len(others) == len(PEERS)):
            PAGE.write_text(with_part(PAGE.read_text(), name, text))


if __name__ == "__main__":
    main()
