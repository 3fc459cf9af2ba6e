"""Reports as their readers have them: in a real browser, and changed after they were made."""

from __future__ import annotations

import base64
import gzip
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

__all__ = ("BLOCK", "Reader", "opened_browser", "tampered")

BLOCK = re.compile(rb'<script type="text/x-hubwire-records">([^<]*)</script>')


def opened_browser() -> Iterator[Any]:
    """Open a browser for tests, or skip them; for a fixture."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium here; apt-get install chromium")
    with playwright.sync_playwright() as driver:
        # As root, in a container, the sandbox of the browser has no rights to be made.
        options = ["--no-sandbox", "--host-resolver-rules=MAP report.test 127.0.0.1"]
        opened = driver.chromium.launch(executable_path=chromium, args=options)
        yield opened
        opened.close()


class Reader:
    """A reader of reports: a browser, and what it was asked for and has complained of."""

    def __init__(self, browser: Any, folder: Path) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
        self.page = self.context.new_page()
        self.folder = folder
        self.trouble: list[str] = []
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on("console", lambda message: self.trouble.append(message.text))
        self.page.on("dialog", lambda dialog: self.trouble.append(dialog.message))
        self.page.on("request", self._asked)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(("file:", "blob:")):
            self.trouble.append(f"asked for {request.url}")

    def open(self, content: bytes) -> Any:
        file = self.folder / "report.html"
        file.write_bytes(content)
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("html[data-checked], html[data-ready=failed]", state="attached")
        return self.page

    def view(self, name: str) -> Any:
        self.page.click(f"#tab-{name}")
        return self.page

    def fact(self, name: str) -> str:
        text: str = self.page.inner_text(f"#{name}")
        return text


def tampered(content: bytes, change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    """Return a report whose rows were changed after it was made."""

    def changed(match: re.Match[bytes]) -> bytes:
        rows = gzip.decompress(base64.b64decode(match[1])).removesuffix(b"\n").split(b"\n")
        packed = base64.b64encode(gzip.compress(b"".join(b"%b\n" % row for row in change(rows))))
        return b'<script type="text/x-hubwire-records">%b</script>' % packed

    return BLOCK.sub(changed, content)
