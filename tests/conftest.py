from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.request import Request, urlopen

import hypothesis
import pytest
import structlog
from blockbuster import BlockBuster, BlockBusterFunction, blockbuster_ctx

from hubwire.testing import ManualClock, Recorder, history

# A machine that is busy is not a failure; the timeout per test stays.
hypothesis.settings.register_profile("hubwire", deadline=None)
hypothesis.settings.load_profile("hubwire")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--forwarded",
        action="store_true",
        help="give the commands of each test to a hub that follows the test's own: see support.followers",
    )


@pytest.fixture(autouse=True)
def _forwarded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``--forwarded``, let the tests of a module have their hubs by way of others that follow them."""
    if request.config.getoption("--forwarded") and hasattr(request.module, "Hub"):
        from support.followers import ForwardedHub, history_without_followers, is_of_one_hub, without_followers

        if reason := is_of_one_hub(request.node):
            pytest.skip(reason)
        monkeypatch.setattr(request.module, "Hub", ForwardedHub)
        monkeypatch.setattr(Recorder, "on_events", without_followers)
        if getattr(request.module, "history", None) is history:
            monkeypatch.setattr(request.module, "history", history_without_followers)


def pytest_configure() -> None:
    """Let Ctrl-C end what tests start: the processes that pytest-xdist runs them in ignore it, and pass that on."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What the contract of adapters does in two processes imports the framework in each; many runs take their time."""
    for item in items:
        if item.name.startswith("test_a_process_that_was_killed_in_a_run"):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(400))
        elif item.name.startswith("test_many_runs_leave_nothing"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def anyio_backend() -> str | tuple[str, dict[str, Any]]:
    """Asyncio; with ``HUBWIRE_TEST_EAGER_TASKS`` in the environment, on a loop whose tasks begin when they are made."""
    return ("asyncio", {"loop_factory": eager_loop}) if os.environ.get("HUBWIRE_TEST_EAGER_TASKS") else "asyncio"


def eager_loop() -> asyncio.AbstractEventLoop:
    if sys.version_info < (3, 12):
        pytest.exit("eager tasks need Python 3.12 or newer; unset HUBWIRE_TEST_EAGER_TASKS", returncode=2)
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    """Fail a test in which the package or the test itself blocks the event loop.

    Code of others is judged by who called it. A test that has to block takes this fixture and allows one function:
    ``blockbuster.functions["os.stat"].can_block_in("test_store_file.py", "look")``.
    """
    tests = ModuleType("tests")
    tests.__path__ = [str(Path(__file__).parent)]
    ours: list[str | ModuleType] = ["hubwire", "hubwire.listeners", "hubwire.stores", tests]
    with blockbuster_ctx(ours) as blockbuster:
        # What a store is most likely to do in the loop by mistake, and BlockBuster does not watch by itself.
        for name in ("os.fsync", "os.fdatasync", "fcntl.flock"):
            blockbuster.functions[name] = BlockBusterFunction(None, name, scanned_modules=ours).activate()
        # structlog's console shows the source beside a traceback. A program that logs to a machine does not read it.
        blockbuster.functions["os.stat"].can_block_in("rich/traceback.py", "_render_stack")
        yield blockbuster


@pytest.fixture(autouse=True)
def structlog_defaults() -> Iterator[None]:
    """Leave no test the configuration of another: the command configures structlog for its whole process."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def patient_health(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no hub be ill because the machine is busy: a loop stands still also where its process gets no time."""
    monkeypatch.setattr("hubwire._health.LAG_SECONDS", 30.0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded conversations beside the checkout."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the recorded conversations of {folder}, which is not there")
    return folder


MOTO = """
import logging, sys, threading
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.server import ThreadedMotoServer

# S3 decides a conditional put at once. moto looks first and writes then: of two threads that do so, both would win.
one_at_a_time, call = threading.Lock(), DomainDispatcherApplication.__call__

def call_alone(*arguments):
    with one_at_a_time:
        return call(*arguments)

DomainDispatcherApplication.__call__ = call_alone
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="session")
def _s3_url() -> Iterator[str]:
    if url := os.environ.get("HUBWIRE_TEST_S3"):
        yield url
        return
    command = (sys.executable, "-P", "-c", MOTO)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        endpoint = f"http://127.0.0.1:{process.stdout.readline().strip()}"
        with urlopen(Request(f"{endpoint}/bucket", method="PUT")):  # noqa: S310 - it is ours
            yield f"s3://bucket?endpoint={endpoint}&region=us-east-1"
        process.communicate("")


@pytest.fixture
def s3_url(_s3_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of an S3 server on loopback, as a store URL without a prefix.

    The server is moto's, unless the environment names another in ``HUBWIRE_TEST_S3``, and its credentials.
    """
    if "HUBWIRE_TEST_S3" not in os.environ:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return _s3_url


@pytest.fixture
def prefix() -> str:
    """A prefix in a bucket that no other test uses."""
    return f"/{uuid.uuid4().hex}"


@pytest.fixture(scope="session", autouse=True)
def _only_the_installed_package_was_imported() -> Iterator[None]:
    """A module of the checkout beside its double of the package would be a second class of everything."""
    yield
    found = sorted({name.partition(".")[0] for name in sys.modules} & {"hub", "listeners", "stores"})
    assert not found, f"imported from the checkout, not as hubwire: {', '.join(found)}; is the checkout on sys.path?"
