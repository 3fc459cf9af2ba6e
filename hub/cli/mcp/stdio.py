"""The transport of an assistant that has started the command: a message a line, on standard input and output.

Nothing else is written to the standard output: what prints there by mistake goes to the standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import anyio
from anyio import to_thread

from ..following.lines import LINE_BYTES_MAX
from ..following.pipes import StandardInput
from .speaking import INVALID_REQUEST, PARSE_ERROR, Speaker, encoded, failure

__all__ = ("serve",)

_AT_ONCE = 8
"""So many requests are answered at a time; others wait, and are not read."""
_PIECE_BYTES = 4096
"""A pipe that can be written takes so many without a wait."""


async def serve(speaker: Speaker) -> None:
    """Answer the requests on the standard input until it ends. Raises ``BrokenPipeError`` if no one reads."""
    output = os.dup(sys.stdout.fileno())
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        await _Conversation(speaker, output).run()
    finally:
        os.dup2(output, sys.stdout.fileno())
        os.close(output)


class _Conversation:
    """The requests of one client that are being answered."""

    def __init__(self, speaker: Speaker, output: int) -> None:
        self._speaker = speaker
        self._output = output
        self._writes = anyio.Lock()
        self._room = anyio.Semaphore(_AT_ONCE)
        self._going: dict[str | int, anyio.CancelScope] = {}

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            async for lines in StandardInput().batches():
                for line in lines:
                    if line.refusal is not None:
                        said = f"a message has more than {LINE_BYTES_MAX:,} bytes"
                        await self._write(failure(None, INVALID_REQUEST, said))
                    elif line.content.strip():
                        await self._take(line.content, tasks)

    async def _take(self, content: bytes, tasks: anyio.abc.TaskGroup) -> None:
        try:
            message = json.loads(content)
        except (ValueError, RecursionError):
            await self._write(failure(None, PARSE_ERROR, "a message is one JSON object a line, in UTF-8"))
            return
        if type(message) is not dict or message.get("jsonrpc") != "2.0":
            await self._write(failure(None, INVALID_REQUEST, 'a message is one object, with "jsonrpc": "2.0"'))
        elif "id" in message and "method" in message:
            await self._begin(message, tasks)
        elif message.get("method") == "notifications/cancelled":
            self._cancel(message.get("params"))
        # Other notifications tell what needs no answer; responses there are none to wait for.

    async def _begin(self, request: Mapping[str, Any], tasks: anyio.abc.TaskGroup) -> None:
        identifier = request["id"]
        if type(identifier) not in (str, int):
            await self._write(failure(None, INVALID_REQUEST, "the id of a request is text, or a whole number"))
        elif identifier in self._going:
            await self._write(failure(identifier, INVALID_REQUEST, "a request with this id is being answered"))
        else:
            await self._room.acquire()
            scope = self._going[identifier] = anyio.CancelScope()
            tasks.start_soon(self._answer, request, identifier, scope)

    async def _answer(self, request: Mapping[str, Any], identifier: str | int, scope: anyio.CancelScope) -> None:
        try:
            response = None
            with scope:
                response = await self._speaker.answer(request)
            if response is not None:  # a client that cancels it does not want an answer, and never gets half a line
                await self._write(response)
        finally:
            del self._going[identifier]
            self._room.release()

    def _cancel(self, params: Any) -> None:
        wanted = params.get("requestId") if type(params) is dict else None
        if type(wanted) in (str, int) and wanted in self._going:
            self._going[wanted].cancel()

    async def _write(self, message: Mapping[str, Any]) -> None:
        async with self._writes:
            rest = memoryview(encoded(message))
            while rest:
                with suppress(PermissionError):  # a file, for which no loop waits
                    await anyio.wait_writable(self._output)
                rest = rest[await to_thread.run_sync(os.write, self._output, rest[:_PIECE_BYTES]) :]
