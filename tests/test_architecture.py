"""The house rules that a machine can check. A rule never seen to fail proves nothing: each has its bad houses."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import hubwire
from support.house import (
    ROOT,
    House,
    Rule,
    banned,
    cycles,
    foreign_privates,
    impurities_of_state,
    read_house,
    swallowed_exceptions,
    undeclared_imports,
    upward_arrows,
    wrong_arrows,
    wrong_exports,
    wrong_shipment,
    wrong_spellings,
)

# --- the rules hold -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def our_house() -> House:
    return read_house(ROOT)


def assert_holds(rule: Rule, house: House) -> None:
    found = rule(house)
    assert not found, "\n".join(dict.fromkeys(found))


@pytest.mark.slow
def test_the_three_folders_keep_their_arrows(our_house: House) -> None:
    """Listeners and stores import the hub alone, and the hub imports neither."""
    assert_holds(wrong_arrows, our_house)


def test_private_modules_stay_in_their_package(our_house: House) -> None:
    assert_holds(foreign_privates, our_house)


def test_imports_inside_the_hub_go_downwards(our_house: House) -> None:
    assert_holds(upward_arrows, our_house)


def test_imports_are_spelled_by_one_rule(our_house: House) -> None:
    """Imports are relative inside a package, and absolute across packages."""
    assert_holds(wrong_spellings, our_house)


def test_no_import_cycles(our_house: House) -> None:
    """Imports for the type checker count, too."""
    assert_holds(cycles, our_house)


def test_state_machines_are_pure(our_house: House) -> None:
    """They know events and errors only, and never suspend."""
    assert_holds(impurities_of_state, our_house)


def test_every_import_is_a_declared_dependency(our_house: House) -> None:
    """The package imports only what its users install."""
    assert_holds(undeclared_imports, our_house)


@pytest.mark.slow
def test_bans_hold(our_house: House) -> None:
    """What is banned is used only where it is allowed."""
    assert_holds(banned, our_house)


@pytest.mark.slow
def test_no_handler_swallows_every_exception(our_house: House) -> None:
    assert_holds(swallowed_exceptions, our_house)


def test_every_public_module_exports_its_names(our_house: House) -> None:
    """`__all__` is a tuple of names that the module has."""
    assert_holds(wrong_exports, our_house)


def test_the_wheel_has_exactly_our_files() -> None:
    installed = Path(hubwire.__file__).resolve().parent
    if installed == ROOT / "hub":
        pytest.skip("hubwire is installed editable: there is no wheel to compare; `make test` installs one")
    assert wrong_shipment(ROOT, installed) == []


# --- and are seen to fail -------------------------------------------------------------------------------------------


Files = Mapping[str, str]


BAD_HOUSES: Mapping[str, tuple[Rule, Files, str]] = {
    "a listener imports a store": (
        wrong_arrows,
        {"listeners/live.py": "from hubwire.stores.file import FileStore", "stores/file.py": ""},
        "listeners/live.py:1 may not import hubwire.stores.file",
    ),
    "a store imports a listener": (
        wrong_arrows,
        {"stores/file.py": "import hubwire.listeners.live", "listeners/live.py": ""},
        "stores/file.py:1 may not import hubwire.listeners.live",
    ),
    "the hub imports a store, in a function": (
        wrong_arrows,
        {"hub/_hub.py": "def f():\n    from hubwire import stores", "stores/__init__.py": ""},
        "hub/_hub.py:2 may not import hubwire.stores",
    ),
    "a listener imports the command line": (
        wrong_arrows,
        {"listeners/live.py": "from hubwire.cli.tail import follow", "hub/cli/tail.py": ""},
        "listeners/live.py:1 may not import hubwire.cli.tail",
    ),
    "the hub imports the command line": (
        wrong_arrows,
        {"hub/_hub.py": "from .cli import main", "hub/cli/__init__.py": ""},
        "hub/_hub.py:1 may not import hubwire.cli",
    ),
    "a listener imports a private module of the hub": (
        foreign_privates,
        {"listeners/live.py": "from hubwire._commit import ring", "hub/_commit/ring.py": ""},
        "listeners/live.py:1 imports hubwire._commit.ring, which is private",
    ),
    "a store imports a module below a private package of the hub": (
        foreign_privates,
        {"stores/file.py": "from hubwire._state.tasks import Task", "hub/_state/tasks.py": ""},
        "stores/file.py:1 imports hubwire._state.tasks.Task, which is private",
    ),
    "a store imports a private name of a public module": (
        foreign_privates,
        {"stores/file.py": "from hubwire.ports import _check", "hub/ports.py": ""},
        "stores/file.py:1 imports hubwire.ports._check, which is private",
    ),
    "a wing imports one above it": (
        upward_arrows,
        {"hub/_commit/pipeline.py": "from .._delivery.duty import Duty", "hub/_delivery/duty.py": ""},
        "hub/_commit/pipeline.py:1 imports hubwire._delivery.duty: hubwire._delivery is not below hubwire._commit",
    ),
    "a wing imports one beside it": (
        upward_arrows,
        {"hub/_foreign/guards.py": "from ..log import Log", "hub/log/__init__.py": ""},
        "hub/_foreign/guards.py:1 imports hubwire.log: hubwire.log is not below hubwire._foreign",
    ),
    "a module stands in the corridor": (
        upward_arrows,
        {"hub/_helpers.py": "from .errors import HubError", "hub/errors.py": ""},
        "hub/_helpers.py has no place in STOREYS",
    ),
    "an absolute import inside a package": (
        wrong_spellings,
        {"hub/log.py": "from hubwire.ports import Clock", "hub/ports.py": ""},
        "hub/log.py:1 imports hubwire.ports: inside a package relative, across packages absolute",
    ),
    "a relative import across packages": (
        wrong_spellings,
        {"listeners/audit/__init__.py": "from ...ports import Clock", "hub/ports.py": ""},
        "listeners/audit/__init__.py:1 imports hubwire.ports: inside a package relative, across packages absolute",
    ),
    "a listener imports what only the tests install": (
        undeclared_imports,
        {"listeners/audit/_ag2.py": "def f():\n    from autogen.network import Hub"},
        "listeners/audit/_ag2.py:2 imports autogen, which no user is told to install",
    ),
    "a cycle, one half of which is for the type checker": (
        cycles,
        {
            "hub/events/__init__.py": "if TYPE_CHECKING:\n    from ..ports import Clock",
            "hub/ports.py": "from .events import Event",
        },
        "hubwire.events is imported by hubwire.ports is imported by hubwire.events",
    ),
    "a module imports from the package that imports it": (
        cycles,
        {"hub/__init__.py": "from ._hub import Hub", "hub/_hub.py": "from . import VERSION"},
        "hubwire is imported by hubwire._hub is imported by hubwire",
    ),
    "a state machine imports a port": (
        impurities_of_state,
        {"hub/_state/tasks.py": "from ..ports import Clock", "hub/ports.py": ""},
        "hub/_state/tasks.py:1 imports hubwire.ports: not events, errors or attrs",
    ),
    "a state machine imports anyio": (
        impurities_of_state,
        {"hub/_state/tasks.py": "import anyio"},
        "hub/_state/tasks.py:1 imports anyio: not events, errors or attrs",
    ),
    "a state machine looks at the time": (
        impurities_of_state,
        {"hub/_state/tasks.py": "import time"},
        "hub/_state/tasks.py:1 imports time: not events, errors or attrs",
    ),
    "a state machine can suspend": (
        impurities_of_state,
        {"hub/_state/tasks.py": "async def decide(): ..."},
        "hub/_state/tasks.py:1 is async: a decision never suspends",
    ),
    "a listener looks at the time, under another name": (
        banned,
        {"listeners/live.py": "import datetime as dt\nat = dt.datetime.now(dt.UTC)"},
        "listeners/live.py:2 uses datetime.datetime.now: ask the Clock, so that a test can move the time",
    ),
    "a listener passes the time on": (
        banned,
        {"listeners/live.py": "from time import time as now\nfield(factory=now)"},
        "listeners/live.py:2 uses time.time: ask the Clock, so that a test can move the time",
    ),
    "a task without an owner": (
        banned,
        {"hub/_commit/ring.py": "import asyncio\nasyncio.create_task(main())"},
        (
            "hub/_commit/ring.py:2 uses asyncio.create_task: start it in a task group, so that its exception has an"
            " owner; where none fits, by start_later"
        ),
    ),
    "a task of the loop, which may be eager": (
        banned,
        {"stores/_watch.py": "import asyncio\nasyncio.get_running_loop().create_task(main())"},
        (
            "stores/_watch.py:2 uses ….create_task: start it in a task group, so that its exception has an owner;"
            " where none fits, by start_later"
        ),
    ),
    "a task that begins later, and has no owner": (
        banned,
        {"hub/_commit/ring.py": "from ..waking import start_later\nstart_later(main())"},
        "hub/_commit/ring.py:2 uses start_later: start it in a task group, so that its exception has an owner",
    ),
    "records split at every kind of line end": (
        banned,
        {"hub/log.py": "content.splitlines()"},
        'hub/log.py:1 uses content.splitlines: split bytes on b"\\n": splitlines() cuts at U+2028 too',
    ),
    "a library that prints": (
        banned,
        {"hub/_hub.py": "print(1)", "hub/cli/tail.py": "print(1)"},
        "hub/_hub.py:1 uses print: return it, or log it by OwnLog: a library does not write to the user's terminal",
    ),
    "except Exception: pass": (
        swallowed_exceptions,
        {"hub/_hub.py": "try:\n    f()\nexcept (OSError, Exception):\n    pass\nexcept ValueError:\n    pass"},
        "hub/_hub.py:3 swallows every exception: name those that may be, or tell",
    ),
    "suppress(Exception)": (
        swallowed_exceptions,
        {"hub/_hub.py": "from contextlib import suppress\nwith suppress(Exception):\n    f()"},
        "hub/_hub.py:2 swallows every exception: name those that may be, or tell",
    ),
    "a public module without __all__": (
        wrong_exports,
        {"hub/log.py": "class Log: ...", "hub/_commit/ring.py": "class Ring: ..."},
        "hub/log.py is public and has no __all__ that is a tuple of strings",
    ),
    "an __all__ that is a list": (
        wrong_exports,
        {"hub/log.py": "__all__ = ['Log']\nclass Log: ..."},
        "hub/log.py is public and has no __all__ that is a tuple of strings",
    ),
    "an __all__ with a name too many": (
        wrong_exports,
        {"hub/log.py": "__all__ = ('Log', 'Segment')\nif True:\n    class Log: ..."},
        "hub/log.py exports Segment, which it does not have",
    ),
}


def build(root: Path, files: Files) -> Path:
    for name, source in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(source, encoding="utf-8")
    return root


@pytest.mark.parametrize(("rule", "files", "complaint"), BAD_HOUSES.values(), ids=BAD_HOUSES)
def test_a_house_that_breaks_a_rule_is_reported(rule: Rule, files: Files, complaint: str, tmp_path: Path) -> None:
    assert rule(read_house(build(tmp_path, files))) == [complaint]


def test_every_rule_has_a_bad_house() -> None:
    rules = {wrong_arrows, upward_arrows, foreign_privates, wrong_spellings, cycles, impurities_of_state}
    rules |= {undeclared_imports, banned, swallowed_exceptions, wrong_exports}
    assert {rule for rule, _, _ in BAD_HOUSES.values()} == rules


def test_importing_an_own_module_is_not_a_cycle(tmp_path: Path) -> None:
    """A package that is imported by way of its own module is not a cycle."""
    house = build(
        tmp_path,
        {
            "hub/__init__.py": "from ._hub import Hub",
            "hub/_hub.py": "from . import events\nfrom .events import tasks\nfrom .events.tasks import Task",
            "hub/events/__init__.py": "from .tasks import Task",
            "hub/events/tasks.py": "from .. import errors",
            "hub/errors.py": "",
        },
    )
    assert cycles(read_house(house)) == []


def test_a_wrong_wheel_is_reported(tmp_path: Path) -> None:
    """A wheel that lacks a file, or keeps a deleted one, is reported."""
    checkout = build(tmp_path / "checkout", {"hub/log.py": "", "hub/py.typed": "", "stores/file.py": ""})
    installed = build(tmp_path / "hubwire", {"log.py": "", "stores/file.py": "", "stores/old.py": ""})
    assert wrong_shipment(checkout, installed) == ["not in the wheel: py.typed", "in the wheel alone: stores/old.py"]


BAD_TESTS = """
import os, sys, time, types

async def test_that_sleeps(): time.sleep(0)

async def test_that_syncs(): os.fsync(1)

def test_that_imports_a_folder(): sys.modules["stores.file"] = types.ModuleType("stores.file")
"""


@pytest.mark.slow
def test_a_run_with_bad_tests_fails(tmp_path: Path) -> None:
    """A run fails if a test blocks the loop or imports a folder of the checkout by its bare name."""
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    tests = build(tmp_path, {"test_bad.py": BAD_TESTS})
    pytest_here = [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", "-c", f"{ROOT}/pyproject.toml"]
    run = subprocess.run([*pytest_here, "--rootdir", tests, tests], capture_output=True, text=True, check=False)
    assert run.returncode == pytest.ExitCode.TESTS_FAILED
    assert "Blocking call to time.sleep" in run.stdout
    assert "Blocking call to os.fsync" in run.stdout
    assert "imported from the checkout, not as hubwire: stores" in run.stdout
