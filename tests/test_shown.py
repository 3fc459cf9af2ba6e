"""What objects show of themselves at a prompt, and what modules say that they have."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest

import hubwire
import hubwire.listeners
import hubwire.runtimes
import hubwire.stores
import hubwire.testing
from hubwire import Board, Hub, HubThread, RuleArbiter, StoreJournal
from hubwire.errors import ConfigurationError
from hubwire.listeners import LiveTail, Metrics, Skills
from hubwire.listeners.dashboard import Dashboard
from hubwire.redaction import Redactor
from hubwire.runtimes import AgentActor, Recorder
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock

SECRET = "hunter2-is-the-secret"


class SecretStore(MemoryStore):
    """A store of a program's own, which shows what it should not."""

    def __repr__(self) -> str:
        return f"SecretStore(password={SECRET!r})"


class RaisingStore(MemoryStore):
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


async def answer(*_: Any) -> str:
    return ""


def test_public_objects_show_themselves_in_one_line(tmp_path: Path) -> None:
    hub = Hub(FileStore(tmp_path))
    groups = ("agents", "approvals", "channels", "dead_letters", "inboxes", "tasks", "timers", "topics", "turns")
    shown = [
        *(hub, HubThread(hub), Recorder(hub, source="mine"), AgentActor("planner", answer), MemoryStore()),
        *(LiveTail(), Metrics(), Skills(), Board(), Board(tenant="a"), hub.matcher("a.*"), RuleArbiter({})),
        *(StoreJournal(FileStore(tmp_path)), Redactor(), ManualClock(), Dashboard(hub), Dashboard(hub).serve()),
        *(getattr(hub, name) for name in groups),
    ]
    for each in shown:
        text = repr(each)
        assert "\n" not in text
        assert " object at 0x" not in text, text
        assert len(text) < 400, text
    for name in groups:
        text = repr(getattr(hub, name))
        assert text.startswith(f"<hub.{name}: ")
        assert all(hasattr(getattr(hub, name), each) for each in text[:-1].partition(": ")[2].split(", "))


async def test_a_hub_shows_its_state_and_where_its_journal_is(tmp_path: Path) -> None:
    hub = Hub(FileStore(tmp_path))
    assert (
        repr(hub) == f"<Hub new, on FileStore({str(tmp_path)!r}, Durability.FSYNC): agents=0, channels=0, listeners=0>"
    )
    async with hub:
        await hub.agents.register("ann")
        assert repr(hub).startswith(f"<Hub {hub.id} open, on FileStore(")
        assert "agents=1" in repr(hub)
        recorder = Recorder(hub, source="mine")
        assert repr(recorder).startswith("<Recorder of mine open, 0 events")
        recorder.close()
        assert repr(recorder).startswith("<Recorder of mine closed, ")
    assert " stopped, " in repr(hub)
    assert repr(Hub()) == "<Hub new, in memory alone: agents=0, channels=0, listeners=0>"


def test_what_a_store_of_others_shows_is_not_shown() -> None:
    for store, name in ((SecretStore(), "SecretStore"), (RaisingStore(), "RaisingStore")):
        text = repr(Hub(store))
        assert text.startswith(f"<Hub new, on a {name}: "), text
        assert SECRET not in text
    assert SECRET not in repr(Redactor(mode="pseudonym", key=SECRET.encode() * 2))


@pytest.mark.parametrize("entered", ["with", "ExitStack"])
def test_a_hub_that_is_entered_without_async_says_what_to_write(entered: str) -> None:
    hub: Any = Hub()
    with pytest.raises(ConfigurationError, match=r"write 'async with hub:' .* or 'with HubThread\(hub\):'"):
        if entered == "with":
            with hub:
                pass
        else:
            with ExitStack() as stack:
                stack.enter_context(hub)
    with HubThread(hub) as thread:
        assert thread.hub is hub


async def test_a_hub_is_still_entered_by_async_with() -> None:
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(Hub())
        assert hub.id


PACKAGES = {"runtimes": {"recorder", "verdict"}, "listeners": set[str](), "stores": set[str]()}


@pytest.mark.parametrize("package", PACKAGES)
def test_dir_lists_the_modules_there_are(package: str) -> None:
    """They are attributes, and not imported before."""
    module = importlib.import_module(f"hubwire.{package}")
    there = {each.name for each in pkgutil.iter_modules(module.__path__) if not each.name.startswith("_")}
    public = {each for each in dir(module) if not each.startswith("_")}
    assert public == {*module.__all__, *(there - PACKAGES[package])}
    for name in public:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'langraph'"):
        module.langraph  # noqa: B018 - looking it up is the point
    program = f"import sys, hubwire.{package} as it; dir(it); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert "hubwire.runtimes.langgraph" not in done.stdout
    assert "hubwire.listeners.dashboard" not in done.stdout


def test_dir_of_the_package_lists_what_is_public_and_no_more() -> None:
    listed = dir(hubwire)
    assert {"Hub", "listeners", "stores", "testing", "runtimes", "errors"} <= set(listed)
    assert [each for each in listed if each.startswith("_") and not each.startswith("__")] == []
    assert not {"Any", "annotations", "import_module", "TYPE_CHECKING"} & set(listed)
    for each in listed:
        assert getattr(hubwire, each, None) is not None or each == "__path__"
    program = "import hubwire; print(hubwire.listeners.AuditLog.__name__, hubwire.stores.FileStore.__name__)"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "AuditLog FileStore\n"
