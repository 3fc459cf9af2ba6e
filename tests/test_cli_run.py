"""``hubwire run``: hubs of users, the signals that end them, and what is no hub; and how shells complete the words."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

pytestmark = pytest.mark.slow  # each test runs the command as a program

COMMAND = [sys.executable, "-P", "-m", "hubwire"]
FORMS = {
    "a hub": "hub = Hub(STORE)",
    "a factory": "async def hub():\n    return Hub(STORE)",
    "a factory that starts it": "async def hub():\n    made = Hub(STORE)\n    await made.start()\n    return made",
    "a plain function": "def hub():\n    return Hub(STORE)",
    "a context manager": """
@asynccontextmanager
async def hub():
    async with Hub(STORE) as made:
        yield made
""",
    "one with tasks": """
@asynccontextmanager
async def hub():
    async with Hub(STORE) as made, anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep_forever)
        yield made
        tasks.cancel_scope.cancel()
""",
}
HEAD = """
import anyio
from contextlib import asynccontextmanager
from pathlib import Path
from hubwire import Hub
from hubwire.stores import FileStore
STORE = FileStore(Path(__file__).parent / "store")
"""


class Running:
    """A ``hubwire run`` that is running."""

    def __init__(self, process: Process) -> None:
        assert process.stderr is not None
        assert process.stdout is not None
        self.process = process
        self.complaints = BufferedByteReceiveStream(process.stderr)
        self.lines = BufferedByteReceiveStream(process.stdout)

    async def until_it_runs(self) -> None:
        while b"runs; stop it with Ctrl-C" not in await self.complaints.receive_until(b"\n", 1 << 16):
            pass


@asynccontextmanager
async def running(*arguments: str | Path) -> AsyncIterator[Running]:
    process = await anyio.open_process([*COMMAND, "run", *map(str, arguments)], stderr=subprocess.PIPE)
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
        with anyio.CancelScope(shield=True):
            await process.aclose()


async def last_kind(root: Path) -> str:
    done = await anyio.run_process([*COMMAND, "tail", "-n", "1", str(root)], check=False)
    return done.stdout.decode().split()[3]


async def write(root: Path, text: str) -> Path:
    file = anyio.Path(root / "mine.py")
    await file.write_text(HEAD + text, encoding="utf-8")
    return Path(file)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(("given", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["term", "int"])
async def test_a_signal_closes_the_hub(tmp_path: Path, form: str, given: signal.Signals, code: int) -> None:
    file = await write(tmp_path, form)
    async with running(f"{file}:hub") as run:
        await run.until_it_runs()
        run.process.send_signal(given)
        assert await run.process.wait() == code
    assert await last_kind(tmp_path / "store") == "hub.stopped"


async def test_a_start_that_hangs_can_be_ended(tmp_path: Path) -> None:
    file = await write(tmp_path, "async def hub():\n    print('begun', flush=True)\n    await anyio.sleep_forever()")
    async with running(file) as run:
        await run.lines.receive_until(b"\n", 100)
        run.process.send_signal(signal.SIGTERM)
        assert await run.process.wait() == 0


async def test_a_dashboard_is_served_beside_the_hub(tmp_path: Path) -> None:
    file = await write(tmp_path, FORMS["a hub"])
    async with running(file, "--dashboard", "0") as run:
        await run.until_it_runs()
        address = (await run.lines.receive_until(b"\n", 1000)).decode()
        assert re.fullmatch(r"dashboard: http://127\.0\.0\.1:\d+/#token=\S+", address)
        run.process.send_signal(signal.SIGTERM)
        assert await run.process.wait() == 0


async def test_a_dashboard_may_be_reached_from_elsewhere(tmp_path: Path) -> None:
    file = await write(tmp_path, FORMS["a hub"])
    async with running(file, "--dashboard", "0", "--host", "0.0.0.0", "--insecure-i-know") as run:  # noqa: S104 - it is what is tried
        await run.until_it_runs()
        assert (await run.lines.receive_until(b"\n", 1000)).startswith(b"dashboard: http://0.0.0.0:")
        run.process.send_signal(signal.SIGTERM)
        assert await run.process.wait() == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--host", "0.0.0.0"), "--certfile and --keyfile for https, or --insecure-i-know"),  # noqa: S104 - likewise
        (("--certfile", "x.pem"), "--certfile and --keyfile, or neither"),
    ],
)
async def test_a_dashboard_that_cannot_be_served_is_refused_in_flags(
    tmp_path: Path, given: tuple[str, ...], said: str
) -> None:
    """Before the hub is started."""
    file = await write(tmp_path, FORMS["a hub"])
    done = await anyio.run_process([*COMMAND, "run", file, "--dashboard", "0", *given], check=False)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.decode().split())
    assert "insecure=True" not in done.stderr.decode()
    assert not await anyio.Path(tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        pytest.param("hub = 5", "hub", "is int, and has to be a Hub", id="a number"),
        pytest.param("async def hub(name): ...", "hub", "missing a required argument: 'name'", id="arguments"),
        pytest.param("async def mine(): ...", "hub", "has no 'hub'", id="another name"),
        pytest.param("async def hub(): ...", "hub", "is NoneType, and has to be", id="nothing"),
        pytest.param(
            "import asyncio\nasync def main(): ...\nasyncio.run(main())",
            "main",
            'below if __name__ == "__main__":',
            id="asyncio",
        ),
        pytest.param("async def main(): ...\nanyio.run(main)", "main", 'below if __name__ == "__main__":', id="anyio"),
        pytest.param("@asynccontextmanager\nasync def hub():\n    yield 5", "hub", "yield hub", id="a wrong value"),
    ],
)
async def test_what_is_no_hub_is_said(tmp_path: Path, text: str, name: str, said: str) -> None:
    file = await write(tmp_path, text)
    done = await anyio.run_process([*COMMAND, "run", f"{file}:{name}"], check=False)
    assert done.returncode in (1, 2)
    assert said in done.stderr.decode()
    assert b"Traceback" not in done.stderr


async def test_an_error_of_the_users_is_theirs(tmp_path: Path) -> None:
    file = await write(tmp_path, "1 / 0")
    done = await anyio.run_process([*COMMAND, "run", str(file)], check=False)
    assert b"cannot be imported" in done.stderr
    assert b"ZeroDivisionError" in done.stderr
    for missing in ("no/such.py", "no_such_module"):
        done = await anyio.run_process([*COMMAND, "run", missing], check=False)
        assert done.returncode == 1
        assert b"there is no " in done.stderr
        assert b"Traceback" not in done.stderr


# --- completion -----------------------------------------------------------------------------------------------------


def completed(shell: str, program: str, folder: Path) -> list[str]:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    script = subprocess.run([*COMMAND, "completion", shell], capture_output=True, check=True)
    path = folder / ("_hubwire" if shell == "zsh" else f"hubwire.{shell}")
    path.write_bytes(script.stdout)
    program = program.replace("SCRIPT", str(path)).replace("FOLDER", str(folder))
    done = subprocess.run([shell, "-c", program], capture_output=True, check=False, text=True)
    assert done.stderr == ""
    return done.stdout.split()


BASH = """
source SCRIPT
function=$(complete -p hubwire | sed 's/.*-F \\([^ ]*\\).*/\\1/')
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMPREPLY=()
  $function hubwire "${@: -1}" "${@: -2:1}"; echo "${COMPREPLY[@]}"; }
"""


def test_bash_completes_words(tmp_path: Path) -> None:
    lines = ["ta", "appro", "approvals ap", "tail --outc", "comp"]
    program = "\n".join([BASH, *(f"try hubwire {line}" for line in lines)])
    wanted = {"tail", "approvals", "approve", "--outcome", "completion"}
    assert wanted <= set(completed("bash", program, tmp_path))


def test_fish_completes_words(tmp_path: Path) -> None:
    found = completed("fish", "source SCRIPT; complete -C 'hubwire ta'; complete -C 'hubwire approvals de'", tmp_path)
    assert {"tail", "deny"} <= set(found)


def test_zsh_finds_and_loads_the_words(tmp_path: Path) -> None:
    program = (
        "fpath=(FOLDER $fpath); autoload -Uz compinit; compinit -u -D; autoload +X _hubwire; echo $_comps[hubwire]"
    )
    assert completed("zsh", program, tmp_path) == ["_hubwire"]
