"""What the documentation shows is true: its programs and commands are run, and print what stands below them.

The blocks of a page run in its order, in one directory:

* ``python``: a program. With ``title="first.py"`` it is saved under that name, and a ``console`` block runs it.
* ``text`` directly below a program: what it prints. A program without one prints nothing.
* ``<!-- needs: agents -->`` in a page: its programs import that module, and are not run where it is not installed.
* ``console``: a line that begins with ``$`` is a command, the lines below it are what it prints. Without such lines it
  may print anything. A command fails only where the next one is ``echo $?``.

``…`` stands for anything within a line; a line of it alone stands for any number of lines.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NEEDS = re.compile(r"^<!-- needs: ([\w.]+) -->$", re.MULTILINE)
NOT_RUN = (". ~/", "git ", "make ", "pip ", "python3 -m venv")
"""Commands that install or fetch something; a test of the documentation must not."""
SECONDS_MAX = 120


@attrs.frozen
class Block:
    language: str
    title: str
    text: str
    line: int
    output: str | None = None
    """What stands below it as its output."""


def blocks_of(text: str) -> list[Block]:
    """Return the blocks of a page; the output of a program is part of it."""
    found: list[Block] = []
    end = 0
    for fence in FENCE.finditer(text):
        line = text.count("\n", 0, fence.start()) + 1
        title = re.search(r'title="([^"]*)"', fence[2])
        is_output = (
            fence[1] == "text" and found and found[-1].language == "python" and not text[end : fence.start()].strip()
        )
        if is_output:
            found[-1] = attrs.evolve(found[-1], output=fence[3])
        else:
            found.append(Block(fence[1], title[1] if title else "", fence[3], line))
        end = fence.end()
    return found


def commands_of(block: Block) -> list[tuple[str, str | None]]:
    """Return the commands of a console block, each with what is shown as its output."""
    found: list[tuple[str, str | None]] = []
    for is_command, lines in groupby(block.text.splitlines(), lambda line: line.startswith("$ ")):
        if is_command:
            found += [(line[2:], None) for line in lines]
        else:
            found[-1] = (found[-1][0], "\n".join(lines) + "\n")
    return [each for each in found if not each[0].startswith(NOT_RUN)]


def is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False  # nor is the package that it would be in


_groups: list[int] = []
"""Of the processes that were started for a page, which may have left others in the background."""


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """A page whose program fails, or takes too long, leaves no process either."""
    yield
    while _groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(_groups.pop(), signal.SIGKILL)


def run(*command: str, directory: Path, errors: int = subprocess.STDOUT) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "COLUMNS": "100",
        "LC_ALL": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TERM": "dumb",
    }
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,
    )
    _groups.append(process.pid)
    out, told = process.communicate(timeout=SECONDS_MAX)
    return subprocess.CompletedProcess(command, process.returncode, out, told)


def run_console(block: Block, directory: Path) -> Iterator[tuple[str, str | None, str, int]]:
    """Run commands in one shell; return each with what it should print, what it printed, and its exit code."""
    commands = commands_of(block)
    script = "".join(f"{command}\nS=$?; printf '\\036%s\\036' $S; (exit $S)\n" for command, _ in commands)
    pieces = run("bash", "-c", script, directory=directory).stdout.split("\036")
    for (command, expected), printed, code in zip(commands, pieces[::2], pieces[1::2], strict=False):
        yield command, expected, printed, int(code)


def is_as_shown(printed: str, shown: str) -> bool:
    """Compare line by line; ``…`` stands for what differs from run to run."""
    pattern = "".join(
        "(?:.*\n)*" if line.strip() == "…" else re.escape(line.rstrip()).replace("…", ".*") + r"[ ]*\n"
        for line in shown.splitlines()
    )
    return re.fullmatch(pattern, printed if printed.endswith("\n") or not printed else printed + "\n") is not None


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT / "docs"))) for page in PAGES])
def test_blocks_of_page(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Each program and each command of a page does what the page shows."""
    text = page.read_text()
    if "ag2" in page.stem and find_spec("ag2") is None:
        pytest.skip("needs ag2, which the test extra installs")
    needed = NEEDS.findall(text)
    for module in needed:
        if not is_installed(module):
            pytest.skip(f"needs {module}, which an extra of its own installs")
    if "HUBWIRE_STORE" in text:
        request.getfixturevalue("monkeypatch").setenv("HUBWIRE_STORE", request.getfixturevalue("s3_url"))
    # What others warn of among themselves is not ours; LangChain shows its own warnings whatever `-W` says.
    warnings, errors = ("ignore", subprocess.PIPE) if needed else ("error", subprocess.STDOUT)
    for block in blocks_of(text):
        place = f"{page.relative_to(ROOT)}:{block.line}"
        if block.language == "python" and block.title:
            (tmp_path / block.title).write_text(block.text)
        elif block.language == "python":
            done = run(sys.executable, "-P", "-W", warnings, "-c", block.text, directory=tmp_path, errors=errors)
            assert done.returncode == 0, f"{place}\n{done.stdout}{done.stderr or ''}"
            assert is_as_shown(done.stdout, block.output or ""), f"{place} prints\n{done.stdout}"
        elif block.language == "console":
            results = list(run_console(block, tmp_path))
            assert len(results) == len(commands_of(block)), place
            for number, (command, shown, printed, code) in enumerate(results):
                may_fail = [each[0] for each in results[number + 1 : number + 2]] == ["echo $?"]
                assert code == 0 or may_fail, f"{place} $ {command}\n{printed}"
                assert shown is None or is_as_shown(printed, shown), f"{place} $ {command} prints\n{printed}"


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT / "docs"))) for page in PAGES])
def test_no_block_escapes(page: Path) -> None:
    """No program is indented, where it would not be found, and each that is saved is run."""
    text = page.read_text()
    assert re.findall(r"^[ \t>]+```(?:python|console)", text, re.MULTILINE) == []
    blocks = blocks_of(text)
    commands = [command for block in blocks if block.language == "console" for command, _ in commands_of(block)]
    saved = [block.title for block in blocks if block.language == "python" and block.title]
    assert [name for name in saved if not any(name in command for command in commands)] == []


def test_outputs_are_compared() -> None:
    """A comparison that accepts all proves nothing."""
    assert is_as_shown("a 1 b\nx\ny\nend\n", "a … b\n…\nend\n")
    assert is_as_shown("", "")
    assert not is_as_shown("a 1 c\n", "a … b\n")
    assert not is_as_shown("one\ntwo\n", "one\n")
    assert not is_as_shown("printed\n", "")
