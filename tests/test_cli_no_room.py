"""A disk that is full: what could not be written is named, in one line, and nothing of it is left."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest
from test_cli_read import COMMAND

from hubwire.listeners import AuditLog
from hubwire.stores import FileStore

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store")

    async def make() -> None:
        audit = AuditLog(FileStore(path))
        for begin in range(0, 3000, 500):
            records = [{"kind": "a.b", "n": n, "text": "filling " * 20} for n in range(begin, begin + 500)]
            await asyncio.gather(*map(audit.append, records))
        await audit.aclose()

    asyncio.run(make())
    return path


@pytest.mark.parametrize(
    "words",
    ["--help", "query --help", "--version", "tail S", "query S", "query S -o table", "stats S", "verify S"],
)
def test_an_output_that_is_full_is_named(words: str, store: Path) -> None:
    arguments = [str(store) if word == "S" else word for word in words.split()]
    with Path("/dev/full").open("wb") as full:
        run = subprocess.run([*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, check=False)
    assert run.returncode == 1
    said = b"hubwire: the standard output cannot be written (No space left on device); make room there, "
    assert run.stderr.startswith(said), run.stderr
    assert run.stderr.count(b"\n") == 1


@pytest.mark.parametrize("blocks", [100, 1700])
@pytest.mark.parametrize("verb", [["sql", "STORE", "select 1"], ["export", "STORE", "--format", "parquet"]])
def test_a_temporary_folder_that_is_full_is_named(verb: list[str], blocks: int, store: Path, tmp_path: Path) -> None:
    """With a limit to the size of files, in blocks of 512 bytes: rows do not fit, or what DuckDB makes of them."""
    words = [str(store) if word == "STORE" else word for word in verb]
    run = subprocess.run(
        ["/bin/sh", "-c", f'ulimit -f {blocks}; exec "$@"', "sh", *COMMAND, *words],
        capture_output=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        check=False,
    )
    assert (run.returncode, run.stdout) == (1, b"")
    assert run.stderr.count(b"\n") == 1, run.stderr
    assert str(tmp_path).encode() in run.stderr, run.stderr
    assert list(tmp_path.iterdir()) == []
