"""A browser, and a hub with its dashboard in a thread of its own: tests drive both, and look."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio.from_thread
import pytest

from hubwire import Hub
from hubwire.approvals import ApprovalPolicy
from hubwire.events import Event, GenericEvent, ToolCalled, ToolFailed
from hubwire.listeners import AuditLog, dashboard
from hubwire.listeners.dashboard import Access, Dashboard, Person
from hubwire.stores import FileStore

__all__ = (
    "TOKENS",
    "VIEWS",
    "Alone",
    "Looking",
    "Served",
    "asleep",
    "chromium",
    "failed",
    "free_port",
    "gate",
    "numbered",
    "served",
)

VIEWS = ("live", "agents", "channels", "runs", "approvals", "listeners", "log")
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


@contextmanager
def asleep(browser: Any) -> Iterator[None]:
    """Stop all processes of a browser meanwhile, as if its machine slept."""
    asked = browser.new_browser_cdp_session()
    numbers = [each["id"] for each in asked.send("SystemInfo.getProcessInfo")["processInfo"]]
    asked.detach()
    for number in numbers:
        os.kill(number, signal.SIGSTOP)
    try:
        yield
    finally:
        for number in numbers:
            os.kill(number, signal.SIGCONT)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Served:
    """A hub on a store, with a dashboard at an address; both can be ended, and begun again."""

    def __init__(self, portal: anyio.from_thread.BlockingPortal, make: Callable[[], Hub], **settings: Any) -> None:
        self.portal = portal
        self.port = free_port()
        self.hub: Hub
        self._make = make
        self._settings = {"access": Access(PEOPLE), "name": "airline", **settings}
        self._hubs: Any = None
        self._servings: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        self._hubs = self.portal.wrap_async_context_manager(self._make())
        self.hub = self._hubs.__enter__()
        self.serve()

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
def served(kept: Path | Callable[[], Hub], **settings: Any) -> Iterator[Served]:
    """Have a hub live in a thread of its own, with its dashboard: one with a store at a path, or as it is made."""

    def with_store() -> Hub:
        assert isinstance(kept, Path)
        store = FileStore(kept)
        return Hub(store, listeners=[AuditLog(store)])

    with anyio.from_thread.start_blocking_portal("asyncio") as portal:
        found = Served(portal, with_store if isinstance(kept, Path) else kept, **settings)
        found.start()
        try:
            yield found
        finally:
            found.stop()


PROGRAM = """
import sys, time
import anyio
from hubwire import Hub
from hubwire.events import GenericEvent
from hubwire.listeners import AuditLog
from hubwire.listeners.dashboard import Access, Dashboard, Person
from hubwire.stores import FileStore

async def main(path, port, token):
    store, number = FileStore(path), 0
    ann = Person(name="ann", role="operate", token=token, contents=True)
    access = Access([ann], sessions_file=f"{path}.sessions")
    async with Hub(store, listeners=[AuditLog(store)]) as hub, Dashboard(hub, access=access).serve(port=int(port)):
        print("ready", flush=True)
        async for line in anyio.wrap_file(sys.stdin):
            count, rate = map(int, line.split())
            began, used = time.monotonic(), time.process_time()
            for first in range(0, count, 100):
                events = [GenericEvent(kind="order.placed", data={"number": first + each}) for each in range(100)]
                last = (await hub.emit_many(events))[-1]
                await anyio.sleep(max(0, began + (first + 100) / rate - time.monotonic()))
            print(last.seq, (time.process_time() - used) / (time.monotonic() - began), flush=True)

anyio.run(main, *sys.argv[1:])
"""


class Alone:
    """A hub with its dashboard in a process of its own, which can be killed."""

    def __init__(self, path: Path) -> None:
        self.port = free_port()
        self._path = path
        self._process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        command = [sys.executable, "-P", "-c", PROGRAM, str(self._path), str(self.port), TOKENS["ann"]]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._said() == "ready"

    def emit(self, count: int, rate: int = 1_000_000) -> tuple[int, float]:
        """Emit so many events at so many a second; return the last one's number, and how much of a core was used."""
        assert self._process.stdin
        self._process.stdin.write(f"{count} {rate}\n")
        self._process.stdin.flush()
        seq, share = self._said().split()
        return int(seq), float(share)

    def _said(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()


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
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: self.trouble.append(f"error {error}"))
        page.on("console", self._said)
        page.on("dialog", lambda dialog: self.trouble.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("response", self._answered)
        return page

    def _answered(self, answer: Any) -> None:
        if answer.status >= 400:
            self.trouble.append(f"{answer.status} of {answer.request.method} {answer.url[:300]}")

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.trouble.append(f"{message.type} {message.text}")

    def open(self, served: Served | Alone, view: str = "live", person: str = "ann", query: str = "") -> Any:
        """Sign in, and open a view."""
        self.page.goto(f"{served.url}#token={TOKENS[person]}")
        self.page.get_by_role("navigation", name="Views").wait_for()
        self.go(view, query)
        return self.page

    def go(self, view: str, query: str = "") -> None:
        """Show a view, and wait until it has what it shows."""
        self.page.evaluate("hash => { location.hash = hash }", f"#/{view}{query}")
        self.page.locator(f"section.view[aria-label={view.capitalize()}]").wait_for()
        self.page.locator("main").locator("[data-row], [data-stop], tbody tr, [role=row][id], .empty").first.wait_for()

    def select(self) -> None:
        """Open the first row of a view, or the next one, by the keyboard, and wait until it is seen."""
        before = self.page.evaluate("location.hash")
        self.page.keyboard.press("j")
        self.page.keyboard.press("Enter")
        if before.startswith("#/channels"):
            self.page.locator(".talk").first.wait_for()
        else:
            self.page.wait_for_function("before => location.hash !== before", arg=before)

    def rows(self, page: Any = None) -> list[int]:
        """Return the numbers of the events that Live lists, as the eye meets them: they are placed, not in order."""
        found: list[int] = (page or self.page).evaluate(ROWS)
        return found

    def is_whole(self, page: Any = None) -> bool:
        """Tell whether the rows that are drawn follow one another, none twice."""
        rows = self.rows(page)
        return rows == list(range(rows[0], rows[0] - len(rows), -1))

    def newest_gap(self) -> tuple[int, int, int, int]:
        """Return the row of the newest gap: the numbers of the rows above and below it, and what it says between."""
        above, words, below = self.page.evaluate(NEWEST_GAP)
        first, last = re.findall(r"\d+", words.replace(",", ""))[:2]
        return above, int(last), int(first), below

    def count(self, page: Any = None) -> int:
        """Return how many rows Live has, drawn or not."""
        return int((page or self.page).get_by_role("grid").get_attribute("aria-rowcount")) - 1

    def elsewhere(self) -> list[str]:
        """Return which requests went to another place than the server."""
        return [url for url in self.asked if not url.startswith(("http://127.0.0.1:", "blob:"))]

    def until_still(self) -> None:
        """Wait until the list no longer scrolls."""
        places: list[Any] = []

        def is_still() -> bool:
            places.append(self.page.get_by_role("grid").evaluate("grid => grid.scrollTop"))
            return len(places) > 3 and places[-1] == places[-2] == places[-3]

        self.wait(is_still)

    def wait(self, wanted: Callable[[], bool], seconds: float = 15.0) -> None:
        """Wait until what is seen is as wanted."""
        for _ in range(int(seconds / 0.05)):
            if wanted():
                return
            self.page.wait_for_timeout(50)
        body = self.page.locator("body").inner_text()
        raise AssertionError(f"it did not come to be seen: {self.rows()[:5]}; the page says: {body[:800]}")

    def violations(self, page: Any = None) -> list[str]:
        """Return what axe-core finds."""
        shown = page or self.page
        if not shown.evaluate("'axe' in window"):
            shown.evaluate(_axe())
        found = shown.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        return [json.dumps([each["id"], [node["html"][:200] for node in each["nodes"][:3]]]) for each in found]

    def close(self) -> None:
        self.context.close()


ROWS = """() => [...document.querySelectorAll('[role=grid] [role=row][id^=row-]')]
  .sort((one, other) => one.ariaRowIndex - other.ariaRowIndex).map(row => Number(row.id.slice(4)))"""


# As long as no event is missing above a row, its number and its place add up to the number of the newest one.
NEWEST_GAP = """async () => {
    const grid = document.querySelector('[role=grid]')
    const drawn = () => [...grid.querySelectorAll('[role=row][id^=row-]')].sort(
        (one, other) => one.ariaRowIndex - other.ariaRowIndex)
    const seqOf = row => Number(row.id.slice(4))
    const words = row => row.querySelector('b').textContent
    const numbers = row => words(row).replaceAll(',', '').match(/\\d+/g).map(Number)
    // A page that was too far behind twice has two rows for that, one above the other.
    const lastOf = row => row.matches('.row-gap') ? numbers(row)[1] : seqOf(row)
    const scroll = async top => {
        grid.scrollTop = top
        await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))
    }
    await scroll(0)
    const newest = seqOf(drawn()[0])
    let [low, high] = [0, grid.scrollHeight]
    while (high - low > 24) {
        const middle = (low + high) / 2
        await scroll(middle)
        const rows = drawn()
        const at = rows.findIndex(row => row.matches('.row-gap'))
        const isWhole = newest - seqOf(rows[0]) === rows[0].ariaRowIndex - 2
        if (isWhole && at > 0 && at < rows.length - 1)
            return [seqOf(rows[at - 1]), words(rows[at]), lastOf(rows[at + 1])]
        if (isWhole && at !== 0) low = middle
        else high = middle
    }
    throw new Error('there is no gap')
}"""


def _axe() -> str:
    found = pytest.importorskip("axe_playwright_python")
    return (Path(found.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def numbered(first: int, count: int, **fields: Any) -> list[Event]:
    return [
        GenericEvent(kind="order.placed", data={"number": number}, **fields) for number in range(first, first + count)
    ]


def failed(agent_id: str, message: str) -> list[Event]:
    call: dict[str, Any] = {"agent_id": agent_id, "tool": "book", "call_id": "1"}
    return [ToolCalled(**call), ToolFailed(**call, error_message=message)]


def gate(live: Served, arguments: dict[str, Any], policy: ApprovalPolicy | None = None) -> Any:
    """Let an agent ask for what a person has to approve; return the task that waits for it."""

    async def ask() -> Any:
        agent = await live.hub.agents.register("refunds")
        return live.hub.approvals.gate(agent, "refund", arguments=arguments, policy=policy)

    return live.portal.start_task_soon(asyncio.wait_for, live.call(ask), 60)
