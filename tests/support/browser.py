"""A browser, and a hub with its dashboard in a thread of its own: tests drive both, and look."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio.from_thread
import pytest

from hubwire import Hub
from hubwire.events import Event
from hubwire.listeners import AuditLog, dashboard
from hubwire.listeners.dashboard import Access, Dashboard, Person
from hubwire.stores import FileStore

__all__ = ("TOKENS", "Looking", "Served", "chromium", "free_port", "served")

T = TypeVar("T")

PAGE = Path(dashboard.__file__).resolve().parent / "_page"
TOKENS = {name: f"token-of-{name}-{'x' * 20}" for name in ("ann", "red", "eve")}
PEOPLE = (
    Person(name="ann", role="operate", token=TOKENS["ann"], contents=True),
    Person(name="red", role="read", token=TOKENS["red"], contents=True),
    Person(name="eve", role="read", token=TOKENS["eve"], contents=False),
)


@contextmanager
def chromium(*options: str) -> Iterator[Any]:
    """Open Debian's browser, or skip the test."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium here; apt-get install chromium")
    if not (PAGE / "index.html").exists():
        pytest.skip("the page is not built here: make page")
    with playwright.sync_playwright() as driver:
        # As root, in a container, the sandbox of the browser has no rights to be made.
        opened = driver.chromium.launch(executable_path=program, args=["--no-sandbox", *options])
        yield opened
        opened.close()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Served:
    """A hub on a store, with a dashboard at an address; both can be ended, and begun again."""

    def __init__(self, portal: anyio.from_thread.BlockingPortal, path: Path, **settings: Any) -> None:
        self.portal = portal
        self.port = free_port()
        self.hub: Hub
        self._path = path
        self._settings = {"access": Access(PEOPLE), "name": "airline", **settings}
        self._hubs: Any = None
        self._servings: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        self._hubs = self.portal.wrap_async_context_manager(self._lived())
        self.hub = self._hubs.__enter__()
        self.serve()

    def _lived(self) -> Hub:
        store = FileStore(self._path)
        return Hub(store, listeners=[AuditLog(store)])

    def serve(self) -> None:
        made = self.portal.call(lambda: Dashboard(self.hub, **self._settings))
        self._servings = self.portal.wrap_async_context_manager(made.serve(port=self.port))
        self._servings.__enter__()

    def stop_serving(self) -> None:
        servings, self._servings = self._servings, None
        if servings is not None:
            servings.__exit__(None, None, None)

    def stop(self) -> None:
        self.stop_serving()
        hubs, self._hubs = self._hubs, None
        if hubs is not None:
            hubs.__exit__(None, None, None)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function, async or not, in the loop of the hub."""
        return self.portal.call(function, *args)

    def emit(self, *events: Event) -> list[Event]:
        found: list[Event] = self.portal.call(self.hub.emit_many, events)
        return found


@contextmanager
def served(path: Path, **settings: Any) -> Iterator[Served]:
    """Have a hub live in a thread of its own, with its dashboard."""
    with anyio.from_thread.start_blocking_portal("asyncio") as portal:
        found = Served(portal, path, **settings)
        found.start()
        try:
            yield found
        finally:
            found.stop()


class Looking:
    """A person before a page: what it shows, and what the browser has complained of."""

    def __init__(self, browser: Any, *, width: int = 1440, height: int = 900, **settings: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height}, **settings)
        self.context.add_init_script(
            "addEventListener('securitypolicyviolation', e => console.error('CSP', e.violatedDirective, e.blockedURI))"
        )
        self.trouble: list[str] = []
        self.asked: list[str] = []
        self.page = self.tab()

    def tab(self) -> Any:
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.trouble.append(f"error {error}"))
        page.on("console", self._said)
        page.on("dialog", lambda dialog: self.trouble.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: self.asked.append(request.url))
        return page

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.trouble.append(f"{message.type} {message.text}")

    def open(self, served: Served, view: str = "live", person: str = "ann", query: str = "") -> Any:
        """Sign in, and open a view."""
        self.page.goto(f"{served.url}#token={TOKENS[person]}")
        self.page.get_by_role("navigation", name="Views").wait_for()
        self.go(view, query)
        return self.page

    def go(self, view: str, query: str = "") -> None:
        self.page.evaluate("hash => { location.hash = hash }", f"#/{view}{query}")
        self.page.locator("main section, main [role=region]").first.wait_for()

    def rows(self, page: Any = None) -> list[int]:
        """Return the numbers of the events that Live lists, as the eye meets them."""
        grid = (page or self.page).get_by_role("grid").first
        cells = grid.locator("[role=row] [role=gridcell]:nth-child(2)").all_inner_texts()
        return [int(each.replace(",", "")) for each in cells if each.replace(",", "").isdigit()]

    def wait(self, wanted: Callable[[], bool], seconds: float = 15.0) -> None:
        """Wait until what is seen is as wanted."""
        for _ in range(int(seconds / 0.1)):
            if wanted():
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(
            f"it did not come to be seen; the page says: {self.page.locator('body').inner_text()[:800]}"
        )

    def close(self) -> None:
        self.context.close()
