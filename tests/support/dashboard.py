"""A dashboard on loopback, and clients of it, for tests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import attrs
import httpcore2  # noqa: F401 - the first client imports it, and that would hold up the loop
import httpx2

from hubwire.listeners.dashboard import Dashboard

__all__ = ("Frame", "Frames", "sign_in", "signed_in", "stranger")


@asynccontextmanager
async def stranger(dashboard: Dashboard, **settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """Serve a dashboard; the value is a client that has not signed in."""
    async with (
        dashboard.serve(port=0, **settings) as url,
        httpx2.AsyncClient(base_url=url.partition("#")[0], timeout=20, trust_env=False, verify=False) as client,
    ):
        yield client


@asynccontextmanager
async def signed_in(dashboard: Dashboard, token: str | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    """Serve a dashboard; the value is a client that has signed in by a token, by default the one that was made."""
    async with stranger(dashboard) as client:
        await sign_in(client, token or dashboard.access.made_token or "")
        yield client


async def sign_in(client: httpx2.AsyncClient, token: str) -> dict[str, Any]:
    client.headers["Sec-Fetch-Site"] = "same-origin"  # as a browser says it
    answer = await client.post("api/session", json={"token": token})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@attrs.frozen
class Frame:
    """A message of a stream."""

    event: str
    data: Any
    id: str | None = None


class Frames:
    """The messages of a stream, read as they come."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self.last_id: str | None = None
        self._lines = answer.aiter_lines()

    @classmethod
    @asynccontextmanager
    async def of(
        cls, client: httpx2.AsyncClient, path: str = "api/stream", *, after: str | None = None
    ) -> AsyncIterator[Frames]:
        headers = {} if after is None else {"Last-Event-ID": after}
        async with client.stream("GET", path, headers=headers) as answer:
            if answer.status_code != 200:
                await answer.aread()
            assert answer.status_code == 200, answer.text
            yield cls(answer)

    async def next(self) -> Frame | None:
        """Return the next message; None at the end."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            elif "data" in fields:
                self.last_id = fields.get("id", self.last_id)
                return Frame(fields.get("event", "message"), json.loads(fields["data"]), fields.get("id"))
            else:
                fields.clear()
        return None

    async def of_event(self, *events: str) -> Frame:
        """Return the next message with such an event; others are passed over."""
        with anyio.fail_after(20):
            while (frame := await self.next()) is not None:
                if frame.event in events:
                    return frame
        raise AssertionError(f"the stream has ended without {events}")

    async def rows(self, until_seq: int) -> list[dict[str, Any]]:
        """Return all rows up to one of this number."""
        found: list[dict[str, Any]] = []
        while not found or found[-1]["seq"] < until_seq:
            found += (await self.of_event("rows", "events")).data
        return found
