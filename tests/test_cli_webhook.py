"""``hubwire webhook``: a receiver to try webhooks with, and secrets."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hubwire import GenericEvent, Hub
from hubwire.listeners.webhook import Webhook, new_key_pair, new_secret
from hubwire.stores import MemoryStore

pytestmark = pytest.mark.slow  # each test runs the command as a program

COMMAND = [sys.executable, "-P", "-m", "hubwire", "webhook"]


async def run(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    printed, complained = await process.communicate()
    assert process.returncode is not None
    return process.returncode, printed.decode(), complained.decode()


class Listener:
    """The command at work."""

    def __init__(self, process: Any, url: str) -> None:
        self.url = url
        self._process = process

    async def line(self) -> str:
        return str((await self._process.stdout.readline()).decode().rstrip("\n"))

    async def ended(self) -> int:
        return int(await self._process.wait())


@asynccontextmanager
async def listening(*arguments: str) -> AsyncIterator[Listener]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "listen",
        "--port",
        "0",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    first = (await process.stderr.readline()).decode()
    found = re.search(r"listening on (http://127\.0\.0\.1:\d+/), for Webhook\(", first)
    assert found, first
    try:
        yield Listener(process, found[1])
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def send(url: str, secret: Any, count: int = 1, **settings: Any) -> Webhook:
    async with Hub(MemoryStore()) as hub:
        webhook = Webhook(url, secret=secret, pattern="order.*", allow=["127.0.0.1"], **settings)
        await hub.attach(webhook).ready()
        for n in range(count):
            await hub.emit(GenericEvent(kind="order.placed", data={"item": "\x1b[31mbook", "n": n}))
        await hub.flush()
    return webhook


async def test_what_arrives_is_printed_with_its_verdict() -> None:
    secret = new_secret()
    async with listening("--secret", secret, "-n", "3") as listener:
        webhook = await send(listener.url, secret, count=2)
        assert webhook.statistics().delivered == 2
        for n in range(2):
            assert re.match(
                r"signature right  order\.placed #\d+  20\d\d-\S+Z  \d+ bytes  id \S+  /$", await listener.line()
            )
            assert await listener.line() == f'    {{"item": "\\u001b[31mbook", "n": {n}}}'
        webhook = await send(listener.url, new_secret())
        assert (webhook.statistics().refused, webhook.statistics().last_status) == (1, 401)
        assert (await listener.line()).startswith("SIGNATURE WRONG  order.placed #")
        await listener.line()
        assert (await listener.line()).startswith("    no signature of the message fits the secret")
        assert await listener.ended() == 0


async def test_with_json_each_message_is_an_object() -> None:
    private, public = new_key_pair()
    async with listening("-o", "json", "--secret", public) as listener:
        await send(listener.url, private, body="plain")
        message = json.loads(await listener.line())
    assert message["verdict"] == "signature right"
    assert message["body"]["data"] == {"item": "\x1b[31mbook", "n": 0}
    assert message["headers"]["content-type"] == "application/json"


@pytest.mark.parametrize("body", [b'{"x": NaN}', b'{"x": Infinity}', b"[" * 5000])
async def test_a_body_that_is_no_json_is_text(body: bytes) -> None:
    """NaN too, which Python reads: what is printed is JSON for all readers."""
    async with listening("-o", "json") as listener:
        _, writer = await asyncio.open_connection("127.0.0.1", int(listener.url.rpartition(":")[2].rstrip("/")))
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        assert json.loads(await listener.line())["body"] == body.decode()
        writer.close()


async def test_another_status_can_be_tried() -> None:
    async with listening("--status", "422") as listener:
        webhook = await send(listener.url, new_secret())
        assert webhook.statistics().last_status == 422
        assert (await listener.line()).startswith("signature not verified  order.placed")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /x?y HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 00000000000099999999999\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: " + b"0" * 5000 + b"\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"hello\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"x" * 100_000, 400),
    ],
    ids=range(10),
)
async def test_what_is_no_webhook_is_answered_too(request_: bytes, status: int) -> None:
    async with listening() as listener:
        port = int(listener.url.rpartition(":")[2].rstrip("/"))
        for _ in range(2):  # it goes on after it
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request_)
            assert (await reader.readline()).startswith(f"HTTP/1.1 {status} ".encode())
            writer.close()


async def test_secrets_are_new_each_time() -> None:
    (code, one, _), (_, other, _) = await run("secret"), await run("secret")
    assert code == 0
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=\n", one)
    assert one != other
    code, pair, _ = await run("secret", "--ed25519")
    assert re.fullmatch(r"private, .* whsk_\S+\npublic, .* whpk_\S+\n", pair)


async def test_what_cannot_work_is_one_line_that_says_what_to_do() -> None:
    code, _, complaint = await run("listen", "--secret", "hello")
    assert (code, complaint.count("\n")) == (1, 1)
    assert "--secret begins with none of whsec_" in complaint
    assert "hello" not in complaint
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _, complaint = await run("listen", "--port", str(taken.getsockname()[1]))
    assert (code, complaint.count("\n")) == (1, 1)
    assert "choose another with --port" in complaint
