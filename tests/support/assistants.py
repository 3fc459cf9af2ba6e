"""An assistant that has started ``hubwire mcp``: the client of the protocol's own library, and what it is told."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters, stdio_client
from mcp.types import TextContent

__all__ = ("BYTES_MAX", "Assistant", "assistant")

BYTES_MAX = 64 * 1024


class Assistant:
    """Calls the tools of one server."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Return the answer of a tool, after what is true of every one was checked."""
        is_error, text = await self.said(tool, **arguments)
        assert not is_error, text
        found: dict[str, Any] = json.loads(text)
        assert next(iter(found)) == "notice"
        return found

    async def fails(self, tool: str, **arguments: Any) -> str:
        """Return the error of a tool."""
        is_error, text = await self.said(tool, **arguments)
        assert is_error, text
        return text

    async def said(self, tool: str, **arguments: Any) -> tuple[bool, str]:
        result = await self.client.call_tool(tool, arguments)
        [content] = result.content
        assert isinstance(content, TextContent)
        check_harmless(content.text)
        return result.is_error, content.text


def check_harmless(text: str) -> None:
    """See that an answer is bounded, and that nothing in it moves a cursor or turns the direction of writing."""
    assert len(text.encode()) <= BYTES_MAX
    assert text.replace("\n", "").isprintable()


@asynccontextmanager
async def assistant(
    target: str | Path, *flags: str, token: str = "", mode: str = "auto", log: Any = None
) -> AsyncIterator[Assistant]:
    """Start ``hubwire mcp`` as a program, as assistants do, and connect to it."""
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-P", "-m", "hubwire", "mcp", str(target), *flags],
        env={**os.environ, "HUBWIRE_TOKEN": token},
    )
    async with Client(stdio_client(parameters, errlog=log or sys.stderr), mode=mode) as client:
        yield Assistant(client)
