"""A witness: it cosigns what goes on, whoever asks, and what it answers is what C2SP says."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from hubwire.errors import ConfigurationError, HubError, WitnessDisagrees, WitnessFailed
from hubwire.proof import (
    Checkpoint,
    FunctionWitness,
    HttpWitness,
    KeySigner,
    Note,
    StoreWitness,
    Tree,
    Witness,
    WitnessKey,
    WitnessPolicy,
    WitnessRequest,
    WitnessServer,
    consistency_ranges,
    cosignatures,
    leaf_hash,
    witness as witness_module,
    witness_server,
)
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock
from support import until
from support.odd import ODD
from support.tsa import openssl

pytest.importorskip("cryptography")

NAME = "example.org/hub/audit"
LOG = KeySigner.new(NAME)
WITNESS = WitnessKey.new("witness.example.org/w1")
LEAVES = [leaf_hash(b"%d" % number) for number in range(300)]
OTHERS = [leaf_hash(b"x%d" % number) for number in range(300)]


def root(leaves: Sequence[bytes]) -> bytes:
    tree = Tree()
    tree.extend(list(leaves))
    return tree.root()


def signed(size: int, leaves: Sequence[bytes] = LEAVES, *, key: KeySigner = LOG, lines: tuple[str, ...] = ()) -> Note:
    text = Checkpoint(key.vkey.name, size, root(leaves[:size]), lines).text
    return Note(text, (key.signature(text.encode()),))


def proof(old: int, size: int, leaves: Sequence[bytes] = LEAVES) -> list[bytes]:
    return [root(leaves[begin:end]) for begin, end in consistency_ranges(old, size)]


def request(
    size: int, leaves: Sequence[bytes] = LEAVES, *, key: KeySigner = LOG, is_archived: bool = False
) -> WitnessRequest:
    async def prove(old: int) -> Sequence[bytes]:
        assert old <= size
        return proof(old, size, leaves)

    note = signed(size, leaves, key=key)
    return WitnessRequest(note, Checkpoint.parse(note.text), prove, is_archived)


def body(old: int, note: Note | str, hashes: Sequence[bytes] = ()) -> bytes:
    return f"old {old}\n{''.join(b64encode(each).decode() + chr(10) for each in hashes)}\n{note}".encode()


@asynccontextmanager
async def served(tmp_path: Path, *, begins: bool = True, **given: Any) -> AsyncIterator[WitnessServer]:
    logs = given.pop("logs", [LOG.vkey])
    server = await anyio.to_thread.run_sync(
        lambda: WitnessServer(WITNESS, tmp_path / "state", logs, begins=begins, **given)
    )
    async with server:
        yield server


async def asked(server: WitnessServer, content: bytes) -> tuple[int, str, str]:
    async with await anyio.to_thread.run_sync(httpx2.AsyncClient) as client:  # it reads certificates
        answer = await client.post(f"{server.url}/add-checkpoint", content=content)
    return answer.status_code, answer.headers["content-type"], answer.text


async def test_each_checkpoint_that_goes_on_is_cosigned(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        client = HttpWitness(server.url, str(server.vkey))
        for size in (0, 1, 5, 5, 255, 256, 257, 300):
            line = await client.witness(request(size))
            (found,) = cosignatures(Note(signed(size).text, (line,)), [WITNESS.vkey])
            assert abs(found.at_seconds - asyncio.get_running_loop().time()) > 0
            assert server.witness.logs == {NAME: size}


async def test_statuses_are_those_of_the_specification(tmp_path: Path) -> None:
    thief, stranger = KeySigner.new(NAME), KeySigner.new("example.org/other")
    async with served(tmp_path) as server:
        assert (await asked(server, body(0, signed(5))))[0] == 200
        for status, content in (
            (404, body(5, signed(7, key=stranger), proof(5, 7))),
            (403, body(5, signed(7, key=thief), proof(5, 7))),
            (400, body(9, signed(7))),
            (422, body(5, signed(7, OTHERS), proof(5, 7, OTHERS))),
            (422, body(5, signed(7), proof(5, 7)[:-1])),
            (422, body(5, signed(7))),
            (400, b""),
            (400, b"old 5\n\n"),
            (400, body(5, signed(7), [b"short"])),
            (400, b"old 05" + body(5, signed(7), proof(5, 7))[5:]),
            (400, body(5, signed(7), proof(5, 7)).replace(b"old", b"new")),
            (400, body(5, signed(7), [b"x" * 32] * 64)),
            (400, body(5, "no note\n")),
            (400, body(5, "\xff\n")),
        ):
            assert (await asked(server, content))[0] == status, content
            assert server.witness.logs == {NAME: 5}
        size = (409, "text/x.tlog.size", "5\n")
        assert await asked(server, body(0, signed(7))) == size
        assert await asked(server, body(4, signed(7), proof(4, 7))) == size
        assert await asked(server, body(5, signed(5, OTHERS))) == size
        assert await asked(server, body(2, signed(3), proof(2, 3))) == size
        status, kind, line = await asked(server, body(5, signed(7), proof(5, 7)))
        assert (status, kind) == (200, "text/plain; charset=utf-8")
        assert cosignatures(Note.parse(f"{signed(7).text}\n{line}"), [WITNESS.vkey])


async def test_the_client_tells_what_has_happened(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        client = HttpWitness(server.url, server.vkey)
        await client.witness(request(100))
        for size, leaves, message in (
            (99, LEAVES, "has seen 100 records .* which has 99: it was restored"),
            (100, OTHERS, "has seen 100 records .* are not the first 100 of the 100"),
            (120, OTHERS, "has seen 100 records .* are not the first 100 of the 120"),
        ):
            for each in (client, HttpWitness(server.url, server.vkey)):
                with pytest.raises(WitnessDisagrees, match=message) as caught:
                    await each.witness(request(size, leaves))
                assert caught.value.size == 100
        with pytest.raises(WitnessFailed, match=r"does not know the log 'example.org/other'.*verifier key of the log"):
            await client.witness(request(3, key=KeySigner.new("example.org/other")))
        with pytest.raises(WitnessFailed, match="by another key"):
            await client.witness(request(120, key=KeySigner.new(NAME)))
        with pytest.raises(WitnessFailed, match=r"without a cosignature of .* that holds; is that its key"):
            await HttpWitness(server.url, WitnessKey.new("witness.example.org/w1").vkey).witness(request(120))
        with pytest.raises(WitnessFailed, match="is not at that URL"):
            await HttpWitness(f"{server.url}/elsewhere", server.vkey).witness(request(120))
    with pytest.raises(WitnessFailed, match="cannot be reached"):
        await client.witness(request(130))


async def test_what_was_cosigned_is_known_after_a_restart(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await HttpWitness(server.url, server.vkey).witness(request(200))
    async with served(tmp_path, begins=False) as server:
        client = HttpWitness(server.url, server.vkey)
        with pytest.raises(WitnessDisagrees):
            await client.witness(request(201, OTHERS))
        with pytest.raises(WitnessDisagrees):
            await client.witness(request(7))
        await client.witness(request(250))


# --- the client, and servers that mean no good ----------------------------------------------------------------------


Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def behaving(behave: Behave, *, secured: Any = None, trusted: Any = None) -> AsyncIterator[HttpWitness]:
    """A server that does as it is told, and a client of it that waits half a second."""
    tasks: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            await behave(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=secured)
    try:
        url = f"{'http' if secured is None else 'https'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        seconds = 0.5 if secured is None else 20
        yield HttpWitness(url, WITNESS.vkey, seconds_max=seconds, ssl_context=trusted)
    finally:
        server.close()
        for each in tasks:
            if each is not None:
                each.cancel()


def answering(content: bytes) -> Behave:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(content)
        await writer.drain()
        await asyncio.sleep(60)

    return behave


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    pass


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


def plain(status: str, body: str, *, kind: str = "text/plain") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}".encode()


GOOD = str(WITNESS.cosign(signed(5).text, 1_700_000_000))
AHEAD = str(WITNESS.cosign(signed(5).text, 4_000_000_000))
SIZE = "text/x.tlog.size"
MISBEHAVING: list[tuple[Behave, str]] = [
    (hang, "not answered within 0.5 seconds"),
    (end, "ended the connection|cannot be reached"),
    (drip, "not answered within 0.5 seconds"),
    (flood, "more than 16,384 bytes"),
    (answering(b"\x00\xff" * 100 + b"\r\n\r\n"), "no HTTP"),
    (answering(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 10_000), "too long"),
    (answering(b"HTTP/1.1 100 Continue\r\n\r\n" * 100), "without an end"),
    (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"), "more than 16,384 bytes"),
    (answering(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"), "a length that is none"),
    (answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "a part without a size"),
    (answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n"), "more than 16,384 bytes"),
    (answering(plain("302 Found\r\nLocation: http://127.0.0.1:1/", "")), "redirects"),
    (answering(plain("500 Oh", "\x1b[31mred")), "answered with 500"),
    (answering(plain("200 OK", "")), "no cosignature"),
    (answering(plain("200 OK", "hello\n")), "no cosignature"),
    (answering(plain("200 OK", AHEAD)), "more than an hour ahead"),
    (answering(plain("200 OK", GOOD.replace("A", "B"))), "no cosignature|without a cosignature"),
    (answering(plain("200 OK", f"\n{GOOD}")), "without a cosignature"),
    (
        answering(plain("200 OK", f"more\n\n{WITNESS.cosign(f'{signed(5).text}' + chr(10) + 'more' + chr(10), 5)}")),
        "holds",
    ),
    (answering(plain("200 OK", str(LOG.signature(signed(5).text.encode())))), "without a cosignature"),
    (answering(plain("409 Conflict", "")), "409 without a size"),
    (answering(plain("409 Conflict", "3\n")), "409 without a size"),
    (answering(plain("409 Conflict", "03\n", kind=SIZE)), "409 without a size"),
    (answering(plain("409 Conflict", "-3\n", kind=SIZE)), "409 without a size"),
    (answering(plain("409 Conflict", "9" * 30, kind=SIZE)), "409 without a size"),
    (answering(plain("409 Conflict", "0\n", kind=SIZE)), "409 without a size"),
    (answering(plain("409 Conflict", "3\n", kind=SIZE)), "409 without a size|another size"),
]


@pytest.mark.parametrize(("behave", "message"), MISBEHAVING, ids=range(len(MISBEHAVING)))
async def test_a_witness_that_misbehaves_is_a_failure_in_time(behave: Behave, message: str) -> None:
    with anyio.fail_after(10):
        async with behaving(behave) as witness:
            with pytest.raises(WitnessFailed, match=message) as caught:
                await witness.witness(request(5))
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()
    assert type(caught.value) is WitnessFailed


async def test_parts_and_strange_signatures_are_taken() -> None:
    """As servers send them: in chunks, and with the cosignatures of others beside the one that counts."""
    others = "".join(str(WitnessKey.new(f"w{number}").cosign(signed(5).text, 5)) for number in range(20))
    body = f"{others}{GOOD}".encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:100], body[100:]))
    content = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    async with behaving(answering(content)) as witness:
        assert str(await witness.witness(request(5))) == GOOD


def certified(directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a server speaks TLS by, and what a client trusts it by."""
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    key = ("-newkey", "rsa:2048", "-nodes", "-keyout", "s.key", "-out", "s.pem", "-days", "365")
    openssl(directory, "req", "-x509", *key, *subject)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / "s.pem", directory / "s.key")
    return server, ssl.create_default_context(cafile=str(directory / "s.pem"))


async def test_a_certificate_is_checked(tmp_path: Path) -> None:
    server, trusted = await anyio.to_thread.run_sync(certified, tmp_path)
    async with behaving(answering(plain("200 OK", GOOD)), secured=server, trusted=trusted) as witness:
        assert str(await witness.witness(request(5))) == GOOD
    async with behaving(answering(plain("200 OK", GOOD)), secured=server) as witness:
        with pytest.raises(WitnessFailed, match=r"cannot be reached.*certificate verify failed"):
            await witness.witness(request(5))


# --- the server, and clients that mean no good ----------------------------------------------------------------------


async def raw(server: WitnessServer, content: bytes, *, ends: bool = False) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(content)
    if ends:
        writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.slow
async def test_requests_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness_server, "_SECONDS_MAX", 0.3)
    head = b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\n"
    async with served(tmp_path) as server:
        for content, status in (
            (b"nonsense\r\n\r\n", 400),
            (b"\x16\x03\x01" * 100 + b"\r\n\r\n", 400),
            (head + b"x: y\r\n" * 5000, 400),
            (head + b"\r\n", 411),
            (head + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 411),
            (head + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
            (head + b"Content-Length: 65537\r\n\r\n", 413),
            (head + b"Content-Length: 999999999999\r\n\r\n", 413),
            (b"GET /add-checkpoint HTTP/1.1\r\n\r\n", 405),
            (b"GET / HTTP/1.1\r\n\r\n", 404),
            (b"POST /add-checkpoint/ HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 404),
            (head + b"Content-Length: 0\r\n\r\n", 400),
        ):
            assert (await raw(server, content)).startswith(b"HTTP/1.1 %d " % status), content[:80]
        assert await raw(server, head + b"Content-Length: 30\r\n\r\n") == b"", "it waits for the body in vain"
        assert await raw(server, b"POST") == b""
        assert await raw(server, b"", ends=True) == b""
        good = body(0, signed(5))
        whole = head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(good) + good
        answer = await raw(server, whole)
        assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_one_connection_takes_many_requests(tmp_path: Path) -> None:
    async with served(tmp_path) as server, await anyio.to_thread.run_sync(httpx2.AsyncClient) as client:
        for size in range(50):
            old = max(size - 1, 0)
            content = body(old, signed(size), proof(old, size) if old else ())
            answer = await client.post(f"{server.url}/add-checkpoint", content=content)
            assert answer.status_code == 200
        assert server.witness.logs == {NAME: 49}


async def test_too_many_connections_are_closed(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        port = int(server.url.rpartition(":")[2])
        open_ones = [await asyncio.open_connection("127.0.0.1", port) for _ in range(64)]
        await until(lambda: len(server._clients) == 64)
        with pytest.raises((ConnectionError, WitnessFailed)):
            await HttpWitness(server.url, server.vkey, seconds_max=5).witness(request(3))
        for _, writer in open_ones:
            writer.close()
        await until(lambda: not server._clients)
        await HttpWitness(server.url, server.vkey).witness(request(3))


async def test_of_many_at_once_one_history_is_cosigned(tmp_path: Path) -> None:
    """Two histories race for the same place: all that is cosigned is of one."""
    async with served(tmp_path) as server:
        cosigned: list[tuple[int, bool]] = []

        async def post(size: int, leaves: Sequence[bytes]) -> None:
            try:
                await HttpWitness(server.url, server.vkey).witness(request(size, leaves))
            except WitnessFailed:
                return
            cosigned.append((size, leaves is LEAVES))

        async with anyio.create_task_group() as tasks:
            for size in range(1, 16):
                tasks.start_soon(post, size, LEAVES)
                tasks.start_soon(post, size, OTHERS)
        assert cosigned
        assert len({is_ours for _, is_ours in cosigned}) == 1


# --- the state ------------------------------------------------------------------------------------------------------


def state(tmp_path: Path, *, begins: bool = False, key: WitnessKey = WITNESS) -> Witness:
    return Witness(key, tmp_path / "state", [LOG.vkey], begins=begins)


def only(tmp_path: Path) -> Path:
    (file,) = (tmp_path / "state").glob("*.checkpoint")
    return file


def test_a_state_that_is_not_there_or_is_anothers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no state .* begins=True"):
        state(tmp_path)
    first = state(tmp_path, begins=True)
    with pytest.raises(ConfigurationError, match="another witness has the state"):
        state(tmp_path)
    first.close()
    with pytest.raises(ConfigurationError, match="is there already"):
        state(tmp_path, begins=True)
    again = state(tmp_path)
    assert anyio.run(again.add_checkpoint, body(0, signed(5))).status == 200
    again.close()
    with pytest.raises(ConfigurationError, match=r"is not what .* has cosigned"):
        state(tmp_path, key=WitnessKey.new(WITNESS.vkey.name))
    file = only(tmp_path)
    good = file.read_bytes()
    for at in range(0, len(good), 7):
        file.write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
        try:
            found = state(tmp_path)
        except ConfigurationError as error:
            assert "the state" in str(error)  # noqa: PT017 - most do, and what does not has to be the same
        else:  # the signature of the log: it was checked when it came
            note = found.newest(NAME)
            assert note is not None
            assert note.text == signed(5).text
            found.close()
    for content in (b"", good[:-1], good[:40], good + b"x", bytes(len(good))):
        file.write_bytes(content)
        with pytest.raises(ConfigurationError, match="the state"):
            state(tmp_path)
    file.write_bytes(good)
    assert state(tmp_path).logs == {NAME: 5}


async def test_what_cannot_be_kept_is_not_cosigned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(tmp_path) as server:
        await HttpWitness(server.url, server.vkey).witness(request(3))

        def fail(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(witness_module.WitnessState, "write", fail)
        status, _, text = await asked(server, body(3, signed(5), proof(3, 5)))
        assert (status, "—" in text) == (500, False)
        monkeypatch.undo()
        assert (await asked(server, body(3, signed(5), proof(3, 5))))[0] == 200


async def test_the_time_of_a_witness_never_goes_back(tmp_path: Path) -> None:
    clock, times = ManualClock(), []
    async with served(tmp_path, clock=clock) as server:
        for size, move in ((1, 0), (2, 100), (3, -50), (4, 60)):
            clock.step(move)
            answer = await server.witness.add_checkpoint(body(size - 1, signed(size), proof(size - 1, size)))
            (found,) = cosignatures(Note.parse(f"{signed(size).text}\n{answer.body}"), [WITNESS.vkey])
            times.append(found.at_seconds)
    assert times == sorted(times)
    assert times[2] == times[1] == times[0] + 100


async def test_a_log_that_changes_its_key_is_known_by_both(tmp_path: Path) -> None:
    new = KeySigner.new(NAME)
    async with served(tmp_path, logs=[LOG.vkey, str(new.vkey)]) as server:
        await HttpWitness(server.url, server.vkey).witness(request(3))
        await HttpWitness(server.url, server.vkey).witness(request(5, key=new))
        assert server.witness.logs == {NAME: 5}


async def keep(_: str) -> None:
    """Keep nothing."""


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_odd_arguments_are_refused(odd: Any, tmp_path: Path) -> None:
    """Nothing is made then, and the error says what is wanted."""
    for make in (
        lambda: HttpWitness(odd, WITNESS.vkey),
        lambda: HttpWitness("http://127.0.0.1:1", odd),
        lambda: HttpWitness("http://127.0.0.1:1", WITNESS.vkey, seconds_max=odd),
        lambda: HttpWitness("http://127.0.0.1:1", WITNESS.vkey, name=odd),
        lambda: HttpWitness("http://127.0.0.1:1", WITNESS.vkey, clock=odd),
        lambda: HttpWitness("http://127.0.0.1:1", WITNESS.vkey, ssl_context=odd),
        lambda: WitnessPolicy(odd),
        lambda: WitnessPolicy([odd]),
        lambda: FunctionWitness(odd),
        lambda: FunctionWitness(keep, name=odd),
        lambda: StoreWitness(odd),
        lambda: StoreWitness(MemoryStore(), odd),
        lambda: Witness(odd, tmp_path / "state"),
        lambda: Witness(WITNESS, tmp_path / "state", odd),
        lambda: Witness(WITNESS, tmp_path / "state", [odd]),
        lambda: Witness(WITNESS, tmp_path / "state", begins=odd),
        lambda: Witness(WITNESS, tmp_path / "state", clock=odd),
        lambda: WitnessServer(WITNESS, tmp_path / "state", host=odd),
        lambda: WitnessServer(WITNESS, tmp_path / "state", port=odd),
        lambda: WitnessKey.new(odd),
        lambda: WitnessKey.parse(odd),
        lambda: WITNESS.cosign(signed(1).text, odd),
    ):
        try:
            make()
        except HubError:
            pass
    assert not (tmp_path / "state").exists()


async def test_a_copy_is_never_written_over_by_another_history() -> None:
    store = MemoryStore()
    witness = StoreWitness(store, "/copies")
    for size in (0, 5, 100, 100):
        await witness.witness(request(size, is_archived=size == 5))
    for size, leaves, message in (
        (99, LEAVES, "it was restored"),
        (100, OTHERS, "not the first"),
        (120, OTHERS, "not"),
    ):
        with pytest.raises(WitnessDisagrees, match=message):
            await witness.witness(request(size, leaves))
    with pytest.raises(WitnessFailed, match="give this log another path"):
        await witness.witness(request(300, key=KeySigner.new("example.org/other")))
    assert await store.read("/copies/checkpoint") == str(signed(100))
    assert await store.list("/copies/checkpoints") == [f"{5:020}"]
    await store.write("/copies/checkpoint", "nonsense")
    with pytest.raises(WitnessFailed, match="is damaged"):
        await witness.witness(request(120))
