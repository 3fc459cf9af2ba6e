"""``hubwire webhook``: a small receiver that prints what arrives, and new secrets."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import attrs

from hubwire.listeners.webhook import new_key_pair, new_secret, verify

from ..cloudevents import from_cloudevent
from ..errors import ConfigurationError, HubError, InvalidRecord, SignatureInvalid
from ..events import Event
from .failures import CommandFailed
from .output import crop, escape, escape_json, is_terminal, say

__all__ = ("Listening", "listen", "print_secret")

_HEAD_BYTES_MAX = 64 * 1024
_BODY_BYTES_MAX = 16 * 1024 * 1024
_LENGTH = re.compile(r"[0-9]{1,20}")
_SECONDS_MAX = 30.0
"""How long one request may take to arrive, and a connection may be idle."""
_CONNECTIONS_MAX = 100
_PRETTY_CELLS_MAX = 2000
"""Of a line that goes to a file; on a terminal it is cut to the width."""


def print_secret(*, is_pair: bool) -> None:
    """Print a secret, or a pair of keys."""
    if not is_pair:
        say(new_secret())
        return
    private, public = new_key_pair()
    say(f"private, for Webhook(secret=...)  {private}")
    say(f"public, for receivers             {public}")


@attrs.frozen
class Listening:
    """What the receiver does with a message."""

    secrets: tuple[str, ...]
    status: int
    count_max: int | None
    as_json: bool

    def check(self) -> None:
        """Refuse what is no secret."""
        if self.secrets:
            try:
                verify(b"", {}, self.secrets)
            except SignatureInvalid:
                pass  # the secret is one, and nothing was signed
            except ConfigurationError as error:
                raise CommandFailed(str(error).replace("verify(): secret", "--secret")) from error


@attrs.frozen
class _Message:
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


async def listen(listening: Listening, host: str, port: int) -> None:
    """Print messages until there were enough of them."""
    listening.check()
    receiver = _Receiver(listening)
    try:
        server = await asyncio.start_server(receiver.serve, host, port, limit=_HEAD_BYTES_MAX)
    except OSError as error:
        raise CommandFailed(
            f"cannot listen on {host} port {port} ({error.strerror or error}); choose another with --port, or 0 for any"
        ) from error
    async with server:
        address, bound = server.sockets[0].getsockname()[:2]
        where = f"http://{f'[{address}]' if ':' in address else address}:{bound}/"
        say(f"hubwire: listening on {where}, for Webhook({where!r}, allow=[{address!r}], ...)", sys.stderr)
        if not listening.secrets:
            say("hubwire: signatures are not verified; give --secret to do so", sys.stderr)
        await receiver.done.wait()


class _Receiver:
    """Serves connections, and prints what comes on them."""

    def __init__(self, listening: Listening) -> None:
        self.done: asyncio.Event = asyncio.Event()
        self._listening = listening
        self._count = 0
        self._connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections <= _CONNECTIONS_MAX:
                await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, _Malformed):
            writer.write(_answer(400, keep=False))
        finally:
            self._connections -= 1
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not self.done.is_set():
            async with asyncio.timeout(_SECONDS_MAX):
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                except asyncio.IncompleteReadError:
                    return  # the connection was closed
                message = await _message(head, reader, writer)
            status = self._take(message)
            is_last = self._count == self._listening.count_max
            writer.write(_answer(status, keep=not is_last))
            await writer.drain()
            if is_last:
                self.done.set()

    def _take(self, message: _Message) -> int:
        """Print a message; return the status to answer."""
        self._count += 1
        verdict = _verdict(message, self._listening.secrets)
        if self._listening.as_json:
            say(escape_json(json.dumps(_fields(message, verdict), ensure_ascii=False)))
        else:
            cells = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else _PRETTY_CELLS_MAX
            for line in _lines(message, verdict):
                say(crop(escape(line), cells))
            if verdict.reason:
                say(f"    {escape(verdict.reason)}")
        return 401 if verdict.reason else self._listening.status


@attrs.frozen
class _Verdict:
    text: str
    reason: str = ""
    """Why it is refused."""


def _verdict(message: _Message, secrets: Iterable[str]) -> _Verdict:
    if not secrets:
        has_one = any(name.lower() == "webhook-signature" for name, _ in message.headers)
        return _Verdict("signature not verified" if has_one else "not signed")
    try:
        verify(message.body, message.headers, tuple(secrets))
    except SignatureInvalid as error:
        return _Verdict("SIGNATURE WRONG", str(error))
    return _Verdict("signature right")


def _event(message: _Message) -> Event | None:
    try:
        return from_cloudevent(message.body)
    except (HubError, InvalidRecord):
        return None


def _lines(message: _Message, verdict: _Verdict) -> Iterable[str]:
    event, headers = _event(message), {name.lower(): value for name, value in message.headers}
    size = f"{len(message.body):,} bytes"
    if event is None:
        kind = headers.get("content-type", "no content type")
        yield f"{verdict.text}  {message.method} {message.target}  {kind}  {size}"
        body = message.body.decode(errors="replace")
    else:
        number = f" #{event.seq}" if event.seq >= 0 else ""
        sent = headers.get("webhook-id", event.id or event.source_id or "")
        at = event.at or event.occurred_at or ""
        yield f"{verdict.text}  {event.kind}{number}  {at}  {size}  id {sent}  {message.target}"
        body = json.dumps(json.loads(message.body).get("data"), ensure_ascii=False)
    if body:
        yield f"    {body}"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _fields(message: _Message, verdict: _Verdict) -> Mapping[str, Any]:
    try:
        body: Any = json.loads(message.body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        body = message.body.decode(errors="replace")
    return {
        "method": message.method,
        "target": message.target,
        "verdict": verdict.text,
        **({"reason": verdict.reason} if verdict.reason else {}),
        "headers": {name.lower(): value for name, value in message.headers},
        "body": body,
    }


# --- HTTP -----------------------------------------------------------------------------------------------------------


class _Malformed(Exception):
    """What has come is no request, or too large."""


async def _message(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Message:
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1.") or not all(":" in line for line in lines):
        raise _Malformed
    headers = tuple((name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
    named = {name.lower(): value for name, value in headers}
    if named.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if named.get("transfer-encoding", "").lower() == "chunked":
        body = await _chunks(reader)
    else:
        length = named.get("content-length", "0")
        if not _LENGTH.fullmatch(length) or int(length) > _BODY_BYTES_MAX:
            raise _Malformed
        body = await reader.readexactly(int(length))
    return _Message(words[0], words[1], headers, body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        line = (await reader.readuntil(b"\r\n")).partition(b";")[0].strip()
        try:
            size = int(line[:9], 16)
        except ValueError as error:
            raise _Malformed from error
        if size < 0 or len(body) + size > _BODY_BYTES_MAX:
            raise _Malformed
        if not size:
            while (await reader.readuntil(b"\r\n")) != b"\r\n":
                pass
            return bytes(body)
        body += await reader.readexactly(size)
        await reader.readexactly(2)


def _answer(status: int, *, keep: bool) -> bytes:
    connection = "keep-alive" if keep else "close"
    return f"HTTP/1.1 {status} Noted\r\nContent-Length: 0\r\nConnection: {connection}\r\n\r\n".encode()
