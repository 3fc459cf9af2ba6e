"""What the README and the examples say is true: they are run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON_BLOCKS = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
HUBWIRE_COMMANDS = re.findall(r"^\$ (hubwire [^#\n]*)", (ROOT / "README.md").read_text(), re.MULTILINE)
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))
OUTPUTS = [["envelope.acked", "envelope.posted", "envelope.posted", "the build: fixed"]]


def run(*command: str, directory: Path) -> str:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    # A hub that fails is logged: one example lets a second hub take over.
    assert not done.stderr or done.stderr.startswith(("a hub has failed", "a listener has failed"))
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(PYTHON_BLOCKS)))
def test_a_python_block_of_the_readme_prints_what_it_seems_to(number: int, tmp_path: Path) -> None:
    for _ in range(2):  # a second run finds the data of the first one
        lines = run(sys.executable, "-P", "-W", "error", "-c", PYTHON_BLOCKS[number], directory=tmp_path).splitlines()
        assert sorted(lines) == sorted(OUTPUTS[number])


@pytest.mark.slow
def test_the_commands_of_the_readme_work_on_what_its_first_block_leaves(tmp_path: Path) -> None:
    run(sys.executable, "-P", "-c", PYTHON_BLOCKS[0], directory=tmp_path)
    hubwire = shutil.which("hubwire", path=str(Path(sys.executable).parent))
    assert hubwire is not None
    assert len(HUBWIRE_COMMANDS) == 6
    for command in HUBWIRE_COMMANDS:
        if command.startswith("hubwire serve"):  # it goes on until it is stopped
            served = [hubwire, *command.split()[1:], "--port", "0"]
            with subprocess.Popen(served, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as server:
                assert server.stdout is not None
                assert server.stdout.readline().startswith("http://127.0.0.1:")
                server.terminate()
        else:
            assert run(hubwire, *command.split()[1:], directory=tmp_path)


def test_every_example_is_listed() -> None:
    listed = re.findall(r"\[([\w.]+)\]\(\1\)", (ROOT / "examples" / "README.md").read_text())
    assert listed == [example.name for example in EXAMPLES]


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_twice_in_one_place(
    example: Path, tmp_path: Path, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "ag2" in example.stem and find_spec("ag2") is None:
        pytest.skip("needs ag2, which the test extra installs")
    monkeypatch.setenv("HUBWIRE_STORE", s3_url.replace("?", f"/{example.stem}?"))
    assert run(sys.executable, "-P", "-W", "error", str(example), directory=tmp_path)
    assert run(sys.executable, "-P", "-W", "error", str(example), directory=tmp_path)
