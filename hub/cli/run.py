"""``hubwire run``: a hub of the user's own, until a signal ends it; its dashboard beside it, if that is asked for."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import attrs
from anyio.abc import TaskStatus

from .. import Hub
from ..errors import ConfigurationError, HubClosed, HubError
from .failures import CommandFailed
from .output import complain, say

__all__ = ("Dashboards", "run")

INTERRUPTED = 130
_ATTRIBUTE = "hub"
_FORMS = "a Hub, an async function that returns one, or an async context manager whose value is one"


@attrs.frozen(kw_only=True)
class Dashboards:
    """How the dashboard of a hub is served."""

    port: int
    host: str
    host_names: tuple[str, ...]
    show_content: bool
    certfile: str | None
    keyfile: str | None
    insecure: bool


async def run(target: str, *, dashboard: Dashboards | None, is_standby: bool = False) -> int:
    """Run the hub that ``FILE.py:NAME`` or ``module:NAME`` is until a signal; return the exit code.

    SIGTERM closes the hub, as Ctrl-C does; a second one ends the program as it is. ``is_standby``: it leads when no
    other program runs it any more; until then it follows, and has a dashboard, if its journal can be followed. Raises
    what the hub failed with.
    """
    if dashboard is not None:
        _check(dashboard)
    found = _attribute(target)
    ending = _Ending()
    async with anyio.create_task_group() as tasks:
        await tasks.start(ending.listen, tasks.cancel_scope)
        async with AsyncExitStack() as stack:
            hub = await stack.enter_async_context(_hub_of(found, target, is_standby=is_standby))
            if dashboard is not None:
                await _serve(stack, hub, dashboard)
            if hub.is_following and is_standby:
                await stack.enter_async_context(_leading(hub, target))
            complain(f"{target} runs; stop it with Ctrl-C")
            await ending.wait(hub)
            if ending.signal is not None:
                complain(f"{ending.signal.name}: closing the hub")
        tasks.cancel_scope.cancel()
    return INTERRUPTED if ending.signal == signal.SIGINT else 0


class _Ending:
    """What ends the run: a signal, or the hub itself."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._is_over = anyio.Event()
        self._is_running = False

    async def listen(self, scope: anyio.CancelScope, *, task_status: TaskStatus[None]) -> None:
        """Wait for the first signal; the next one does what it does in any program."""
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for each in signals:
                self.signal = signal.Signals(each)
                break
        if self._is_running:
            self._is_over.set()
        else:
            scope.cancel()

    async def wait(self, hub: Hub) -> None:
        """Wait for a signal, or for the end of the hub. Raises what it failed with."""
        self._is_running = True

        async def watch() -> None:
            if (failure := await hub.finished()) is not None:
                raise failure
            self._is_over.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await self._is_over.wait()
            tasks.cancel_scope.cancel()


def _check(settings: Dashboards) -> None:
    """Refuse what cannot be served before the hub is started."""
    from .serve import check_host

    check_host("run", settings.host, settings.certfile, insecure=settings.insecure)
    if (settings.certfile is None) is not (settings.keyfile is None):
        raise ConfigurationError("run: give --certfile and --keyfile, or neither")


async def _serve(stack: AsyncExitStack, hub: Hub, settings: Dashboards) -> None:
    from hubwire.listeners.dashboard import Dashboard

    dashboard = Dashboard(hub, show_content=settings.show_content, hosts=settings.host_names)
    serving = dashboard.serve(
        host=settings.host,
        port=settings.port,
        certfile=settings.certfile,
        keyfile=settings.keyfile,
        insecure=settings.insecure,
    )
    say(f"dashboard: {await stack.enter_async_context(serving)}")


# --- what the user has written --------------------------------------------------------------------------------------


def _attribute(target: str) -> Any:
    """Return what a name in a file, or in a module, stands for."""
    place, colon, name = target.rpartition(":")
    if not colon or not place or name.endswith(".py"):
        place, name = target, _ATTRIBUTE
    module = _from_file(Path(place)) if place.endswith(".py") or "/" in place else _from_module(place)
    found: Any = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            known = sorted(each for each, value in vars(module).items() if _may_be_hub(value))
            there = f"; {place} has {', '.join(known[:5])}" if known else ""
            raise CommandFailed(f"{place} has no {name!r}: it is to be {_FORMS}{there}") from error
    return found


def _may_be_hub(value: Any) -> bool:
    return isinstance(value, Hub) or (inspect.isfunction(value) and value.__module__ != "contextlib")


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise CommandFailed(f"there is no file {path}; write hubwire run FILE.py:{_ATTRIBUTE}")
    # As for a program that is run by its path: what lies beside it can be imported.
    sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(path.stem.replace("-", "_"), path)
    if spec is None or spec.loader is None:
        raise CommandFailed(f"{path} is no Python file; write hubwire run FILE.py:{_ATTRIBUTE}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with _told(str(path)):
        spec.loader.exec_module(module)
    return module


def _from_module(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        with _told(name):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise
        raise CommandFailed(f"there is no module {name}, nor a file; write hubwire run FILE.py:{_ATTRIBUTE}") from error


class _told:  # noqa: N801 - it reads as a verb
    """Says of which file it was that importing has failed; its own traceback follows."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, RuntimeError) and _runs_a_loop(error):
            raise CommandFailed(
                f"{self._name} runs an event loop while it is imported; write the line that does, such as"
                ' asyncio.run(main()), below if __name__ == "__main__":'
            ) from error
        if isinstance(error, Exception) and not isinstance(error, (ModuleNotFoundError, HubError)):
            complain(f"{self._name} cannot be imported:")


def _runs_a_loop(error: RuntimeError) -> bool:
    """Whether a loop was to be run within ours: asyncio and anyio say so in words alone."""
    text = str(error)
    return "cannot be called from a running event loop" in text or text.startswith("Already running asyncio")


@asynccontextmanager
async def _hub_of(found: Any, target: str, *, is_standby: bool) -> AsyncIterator[Hub]:
    """Start the hub that was found, if it is not running, and close it at the end."""
    made = found
    if callable(found) and not isinstance(found, Hub) and not hasattr(found, "__aenter__"):
        _check_arguments(found, target)
        made = found()
    if inspect.isawaitable(made):
        made = await made
    if isinstance(made, Hub):
        async with _standing_by(made, target) if is_standby else _started(made):
            yield made
        return
    if is_standby:
        raise ConfigurationError(
            f"run: --standby needs a Hub that is not started, or a function that returns one; {target} is"
            f" {type(made).__name__}: write async with hubwire.standby.leading(...) in it"
        )
    if not hasattr(made, "__aenter__"):
        raise ConfigurationError(f"run: {target} is {type(made).__name__}, and has to be {_FORMS}")
    async with made as hub:
        if not isinstance(hub, Hub):
            raise ConfigurationError(
                f"run: the value of the context manager {target} is {type(hub).__name__}, and has to be the Hub:"
                " yield hub"
            )
        yield hub


@asynccontextmanager
async def _standing_by(hub: Hub, target: str) -> AsyncIterator[None]:
    """Have the hub follow, where its journal can be followed; else wait until no other program runs it."""
    journal = hub.journal
    if journal is None:
        raise ConfigurationError(f"run: {target} keeps nothing, so that no other program could go on with it")
    if await _is_started(hub):
        raise ConfigurationError(f"run: {target} is running already, and --standby would have it wait; do not start it")
    if not hasattr(journal, "follow"):
        async with _leading(hub, target):
            yield
        return
    try:
        await hub.follow()
        yield
    finally:
        await hub.aclose()


@asynccontextmanager
async def _leading(hub: Hub, target: str) -> AsyncIterator[None]:
    """Wait until no other program runs the hub, and have it lead then."""
    from ..standby import StoreLease, leading

    journal = hub.journal
    assert journal is not None
    lease = journal.lease() if hasattr(journal, "lease") else StoreLease(journal.store, f"{journal.path}/lease")
    what = "follows, and stands by" if hub.is_following else "stands by"
    complain(f"{target} {what} until no other program runs it")
    async with leading(lease, hub=hub):
        yield


@asynccontextmanager
async def _started(hub: Hub) -> AsyncIterator[None]:
    if not await _is_started(hub):
        await hub.start()
    try:
        yield
    finally:
        await hub.aclose()


async def _is_started(hub: Hub) -> bool:
    try:
        with anyio.move_on_after(0):
            await hub.finished()
    except HubClosed:  # there is no end to wait for before the start
        return False
    return True


def _check_arguments(function: Any, target: str) -> None:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise ConfigurationError(f"run: {target} is called without arguments, and has {error}") from error
    except ValueError:  # one without a signature, as those of C have
        return
