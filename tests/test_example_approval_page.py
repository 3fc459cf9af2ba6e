"""The example of a web page on which a person decides, used as a person's browser would use it."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "approve_on_a_page.py"


class Browser:
    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self.process = process
        self.address = address
        self.origin = "http://" + urlsplit(address).netloc

    async def get(self, address: str | None = None) -> str:
        return await asyncio.to_thread(self._open, Request(address or self.address))  # noqa: S310 - it is the page

    async def submit(self, form: dict[str, str]) -> str:
        return await asyncio.to_thread(self._open, Request(f"{self.origin}/answer", urlencode(form).encode()))  # noqa: S310 - likewise

    def _open(self, request: Request) -> str:
        with urlopen(request, timeout=30) as answer:  # noqa: S310 - likewise
            assert answer.headers["Cache-Control"] == "no-store"
            text: str = answer.read().decode()
            return text

    async def questions(self) -> dict[str, dict[str, str]]:
        """Return the forms on the page when both questions are there, by what they ask."""
        while True:
            found = forms_of(await self.get())
            if len(found) == 2:
                return found

    async def line(self) -> str:
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode().strip()


def forms_of(text: str) -> dict[str, dict[str, str]]:
    """Return the hidden fields of each form, by the action that it is about."""
    cards = re.findall(r"<article.*?</article>", text, re.DOTALL)
    return {
        re.findall(r"<h2>.*?<code>(.*?)</code>", card)[0]: dict(
            re.findall(r'<input type="hidden" name="(.*?)" value="(.*?)">', card)
        )
        for card in cards
    }


@asynccontextmanager
async def example(directory: Path) -> AsyncIterator[Browser]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-W", "error", str(EXAMPLE), str(directory), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        while not (line := (await process.stdout.readline()).decode()).startswith("decide at "):
            assert line, "the example has ended"
        yield Browser(process, line.split()[-1])
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.slow
async def test_a_person_decides_on_a_page(tmp_path: Path) -> None:
    """What an agent wrote is no markup; a wrong key, a large form and a stale question change nothing."""
    async with example(tmp_path) as browser:
        assert await browser.line() == "list_files: approved without a question: risk low needs no challenge"
        forms = await browser.questions()
        text = await browser.get()
        assert "The site is down &lt;now&gt;" in text
        assert "critical 1.00" in text
        assert "times 1.2 in staging" in text
        mail, drop = forms["send_mail"], forms["drop_table"]
        for wrong in ({**mail, "key": "guess"}, {**mail, "key": ""}):
            with pytest.raises(HTTPError, match="403"):
                await browser.submit({**wrong, "verdict": "yes"})
        with pytest.raises(HTTPError, match="403"):
            await browser.get(browser.origin)
        with pytest.raises(HTTPError, match="413"):
            await browser.submit({**mail, "reason": "x" * 70_000})
        stale = await browser.submit({**mail, "digest": "0", "verdict": "yes"})
        assert "is another one now" in stale
        assert len(forms_of(stale)) == 2
        assert "is recorded" in await browser.submit({**mail, "verdict": "yes", "reason": "go"})
        assert await browser.line() == "send_mail: approved by ann"
        assert "is recorded" in await browser.submit({**drop, "verdict": "no", "reason": "never"})
        assert await browser.line() == "drop_table: denied. never"
        assert await browser.process.wait() == 0


@pytest.mark.slow
async def test_the_questions_of_the_page_survive_a_kill(tmp_path: Path) -> None:
    """After it they are the same ones, and a verdict is given once."""
    async with example(tmp_path) as browser:
        before = await browser.questions()
        await browser.submit({**before["send_mail"], "verdict": "yes"})
    async with example(tmp_path) as browser:
        while "drop_table" not in (forms := forms_of(await browser.get())):
            continue
        assert list(forms) == ["drop_table"]
        assert forms["drop_table"]["id"] == before["drop_table"]["id"]
        await browser.submit({**forms["drop_table"], "verdict": "back", "reason": "make a backup"})
        lines = {await browser.line() for _ in range(3)}
        assert "drop_table: returned. make a backup" in lines
        assert "send_mail: approved by ann" in lines
        assert await browser.process.wait() == 0
