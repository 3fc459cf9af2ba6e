"""What only one check refuses: without that check, each of these would be taken."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import stat
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire.errors import CheckpointInvalid, ConfigurationError, WitnessDisagrees, WitnessFailed
from hubwire.proof import (
    Checkpoint,
    FunctionWitness,
    HttpWitness,
    KeyChain,
    KeySigner,
    Note,
    StoreWitness,
    VerifierKey,
    Witness,
    WitnessKey,
    WitnessPolicy,
    WitnessRequest,
    WitnessServer,
    as_signer,
    handover_line,
    signing_server,
)
from hubwire.proof._posting import address_of
from hubwire.proof.note import key_id
from hubwire.proof.signing_server import SignedState, SigningServer
from hubwire.proof.tree import EMPTY_ROOT
from hubwire.stores import MemoryStore

pytest.importorskip("cryptography")

NAME = "example.org/hub/audit"
OTHER = "example.org/hub/other"
LOG = KeySigner.new(NAME)
WITNESS = WitnessKey.new("witness.example.org/w1")
URL = "http://127.0.0.1:1"
ROOT = b64encode(bytes(32)).decode()
KEPT = StoreWitness(MemoryStore())


class ReadOnly:
    """A store that takes nothing."""

    async def read_bytes(self, path: str) -> bytes | None:
        """There is none."""


class Signs:
    """A signer of any key."""

    def __init__(self, vkey: Any) -> None:
        self.vkey = vkey

    async def sign(self, request: Any) -> None:
        """It signs nothing."""


def vkey_of(kind: int, size: int) -> str:
    """The text of a key of any kind and size, whose id is right."""
    public = bytes(size)
    return f"{NAME}+{key_id(NAME, kind, public).hex()}+{b64encode(bytes([kind]) + public).decode()}"


def secret_of(kind: int, size: int) -> str:
    return f"PRIVATE+KEY+{vkey_of(kind, size)}"


def signed(checkpoint: Checkpoint, *keys: KeySigner) -> Note:
    return Note(checkpoint.text, tuple(key.signature(checkpoint.text.encode()) for key in keys))


def cosigned(state: Path, checkpoint: Checkpoint, key: KeySigner) -> None:
    """Have the first checkpoint of a log cosigned."""
    witness = Witness(WITNESS, state, [key.vkey], begins=True)
    assert anyio.run(witness.add_checkpoint, submitted(0, checkpoint, key)).status == 200
    witness.close()


def submitted(old: int, checkpoint: Checkpoint, key: KeySigner = LOG) -> bytes:
    return f"old {old}\n\n{signed(checkpoint, key)}".encode()


# --- arguments ------------------------------------------------------------------------------------------------------

LONG = "https://a.example.org/" + "a" * 2000
REFUSED: list[tuple[str, Callable[[Any], object], list[Any]]] = [
    ("url", lambda url: address_of("x", url), [LONG, "https://a/b c", "https://a/\x7f", "https://a%41/", "https://ä/"]),
    ("seconds_max", lambda odd: HttpWitness(URL, WITNESS.vkey, seconds_max=odd), [0, -1, 3601, 1e9, "5", True, None]),
    ("name", lambda odd: HttpWitness(URL, WITNESS.vkey, name=odd), [5, "", "a\nb", b"x"]),
    ("ssl_context", lambda odd: HttpWitness(URL, WITNESS.vkey, ssl_context=odd), [5, "x", object()]),
    ("clock", lambda odd: HttpWitness(URL, WITNESS.vkey, clock=odd), [5, "x", object()]),
    ("seconds", lambda odd: WITNESS.cosign("x\n", odd), [-1, 1 << 63, 1.0, True, None]),
    ("state of a witness", lambda odd: Witness(WITNESS, odd, begins=True), ["", "a\0b", 5, None, b"x"]),
    ("key is a WitnessKey", lambda odd: Witness(odd, "/none/there", begins=True), [LOG, str(WITNESS.vkey), None]),
    ("clock", lambda odd: Witness(WITNESS, "/none/there", clock=odd), [5, "x", object()]),
    ("logs are", lambda odd: Witness(WITNESS, "/none/there", odd), [[LOG.vkey] * 100_001, "x", None, 5]),
    ("host is", lambda odd: WitnessServer(WITNESS, "/none/there", host=odd), [5, "", "a\nb", None]),
    ("port is", lambda odd: WitnessServer(WITNESS, "/none/there", port=odd), [-1, 65_536, "80", True]),
    ("on_missing is", lambda odd: WitnessPolicy([KEPT], on_missing=odd), ["shut", 5, None]),
    ("grace_seconds is", lambda odd: WitnessPolicy([KEPT], grace_seconds=odd), [-1, math.inf, "5", True]),
    ("seconds_max is", lambda odd: WitnessPolicy([KEPT], seconds_max=odd), [0, -1, math.nan, "5"]),
    ("witnesses are", lambda odd: WitnessPolicy([odd]), [5, StoreWitness, StoreWitness(MemoryStore()).name]),
    ("name is", lambda odd: StoreWitness(MemoryStore(), name=odd), ["", "a\nb", "x" * 1000, 5]),
    ("function is", FunctionWitness, [5, str, None]),
    ("store is", StoreWitness, [5, MemoryStore, object(), ReadOnly()]),
    ("the name of a log", lambda odd: KeySigner(odd, bytes(32)), ["", "a b", "a+b", "a\u202eb", "x" * 256, 5]),
    ("the vkey of a signer", lambda odd: as_signer(Signs(odd)), [str(LOG.vkey), WITNESS.vkey, None]),
    ("a signer has a vkey", as_signer, [KeySigner, "audit.key", 5]),
    ("32 bytes", lambda odd: KeySigner(NAME, odd), ["x" * 32, bytes(31), None]),
    ("another kind", KeySigner.parse, [secret_of(7, 32), secret_of(1, 31), secret_of(1, 33)]),
    ("another kind", VerifierKey.parse, [vkey_of(7, 32), vkey_of(1, 31), vkey_of(4, 33), vkey_of(1, 0)]),
    ("at most 65,536 characters", Note.parse, [f"a\n\n{LOG.signature(b'a')}".rjust(70_000, "x"), b"x" * 70_000]),
    ("at most 100 signatures", Note.parse, ["a\n\n" + str(LOG.signature(b"a")) * 101]),
    (
        "no checkpoint",
        Checkpoint.parse,
        [f"{NAME}\n3\n{ROOT}\n\nx\n", f"{NAME}\n3\n{'A' * 40}\n", f"{NAME}\n03\n{ROOT}\n"],
    ),
    ("is not witnessed", lambda odd: Witness(WITNESS, "/none/there", [odd]), [WITNESS.vkey, str(WITNESS.vkey)]),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_an_argument_that_cannot_be_is_refused_by_its_name(number: int) -> None:
    name, make, odd = REFUSED[number]
    for each in odd:
        with pytest.raises((ConfigurationError, CheckpointInvalid), match=name):
            make(each)


# --- one request ----------------------------------------------------------------------------------------------------


async def _answered(content: bytes, *, ends: bool, size: int = 5) -> Any:
    """Ask a server that answers so, and ends the connection, or keeps it."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.partition(b"Content-Length: ")[2].partition(b"\r")[0]))
        writer.write(content)
        await writer.drain()
        if not ends:
            await done.wait()
        writer.close()

    async def prove(_: int) -> list[bytes]:
        return []

    note = signed(Checkpoint(NAME, size, bytes(32)), LOG)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        witness = HttpWitness(f"http://127.0.0.1:{port}", WITNESS.vkey, seconds_max=20)
        try:
            return await witness.witness(WitnessRequest(note, Checkpoint.parse(note.text), prove, False))
        finally:
            done.set()


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_an_answer_that_has_no_body_is_not_waited_for(status: bytes) -> None:
    with anyio.fail_after(15), pytest.raises(WitnessFailed, match=status[:3].decode()):
        await _answered(b"HTTP/1.1 %b\r\n\r\n" % status, ends=False)


async def test_an_answer_that_ends_too_early_is_none() -> None:
    """Although it begins with a cosignature that holds."""
    text = Checkpoint(NAME, 5, bytes(32)).text
    line = str(WITNESS.cosign(text, 1_700_000_000)).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
    assert await _answered(head % len(line) + line, ends=True)
    with pytest.raises(WitnessFailed, match="in the middle of its answer"):
        await _answered(head % (len(line) + 1) + line, ends=True)


async def test_a_witness_that_has_cosigned_another_of_the_same_size_is_told() -> None:
    """It names the size that it was asked with: it has seen other records."""
    known = b"HTTP/1.1 409 Conflict\r\nContent-Type: text/x.tlog.size\r\nContent-Length: 1\r\n\r\n5"
    with pytest.raises(WitnessDisagrees, match="are not the first 5"):
        await _answered(known, ends=True)
    with pytest.raises(WitnessDisagrees, match="has seen 5 records"):
        await _answered(known, ends=True, size=4)


# --- witnesses ------------------------------------------------------------------------------------------------------


def test_the_state_of_one_log_is_not_that_of_another(tmp_path: Path) -> None:
    """A file that was renamed is what the witness has cosigned, and of another log."""
    other = KeySigner.new(OTHER)
    cosigned(tmp_path / "state", Checkpoint(NAME, 0, EMPTY_ROOT), LOG)
    cosigned(tmp_path / "other", Checkpoint(OTHER, 0, EMPTY_ROOT), other)
    [kept] = (tmp_path / "state").glob("*.checkpoint")
    [place] = (tmp_path / "other").glob("*.checkpoint")
    kept.replace(place)
    with pytest.raises(ConfigurationError, match="is not what"):
        Witness(WITNESS, tmp_path / "other", [other.vkey])


async def test_a_witness_that_is_stopped_cosigns_nothing_that_waits_in_line(tmp_path: Path) -> None:
    witness = await anyio.to_thread.run_sync(lambda: Witness(WITNESS, tmp_path / "state", [LOG.vkey], begins=True))
    async with witness._one_by_one:
        waiting = asyncio.ensure_future(witness.add_checkpoint(submitted(0, Checkpoint(NAME, 0, EMPTY_ROOT))))
        await asyncio.sleep(0)
        witness.close()
    assert (await waiting).status == 503


@pytest.mark.parametrize("body", ["old 0\n\n", b"old 0\n" + b"x" * 65_536, None])
async def test_what_is_no_request_of_bytes_is_refused(body: Any, tmp_path: Path) -> None:
    witness = await anyio.to_thread.run_sync(lambda: Witness(WITNESS, tmp_path / "state", [LOG.vkey], begins=True))
    answer = await witness.add_checkpoint(body)
    assert (answer.status, "at most 65,536 bytes" in answer.body) == (400, True)
    await witness.aclose()


# --- on the disk before it is given away ----------------------------------------------------------------------------


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is synced and what is renamed, in its order, by the last part of its name."""
    found: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        found.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().suffix or 'directory'}")
        fsync(descriptor)

    def replaced(self: Path, target: Path) -> Path:
        found.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    return found


def test_what_a_witness_cosigns_is_on_the_disk_before(tmp_path: Path, steps: list[str]) -> None:
    """And so is its directory, when it is made."""
    cosigned(tmp_path / "state", Checkpoint(NAME, 0, EMPTY_ROOT), LOG)
    assert steps == ["sync directory", "sync .part", "rename", "sync directory"]


def test_what_a_signer_signs_is_on_the_disk_before(tmp_path: Path, steps: list[str]) -> None:
    SignedState(str(tmp_path / "state"), LOG, begins=True).close()
    assert steps == ["sync .part", "rename", "sync directory"]


def test_the_state_of_a_signer_is_of_the_log_of_its_key(tmp_path: Path) -> None:
    """A checkpoint of another log is no state, although the key has signed it."""
    SignedState(str(tmp_path / "state"), LOG, begins=True).close()
    (tmp_path / "state").write_text(str(signed(Checkpoint(OTHER, 0, EMPTY_ROOT), LOG)))
    with pytest.raises(ConfigurationError, match="of another key"):
        SignedState(str(tmp_path / "state"), LOG, begins=False)


# --- a signer at a socket -------------------------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path: Path) -> Iterator[SignedState]:
    found = SignedState(str(tmp_path / "state"), LOG, begins=True)
    yield found
    found.close()


async def test_who_says_nothing_to_a_signer_is_sent_away(
    state: SignedState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, or where it is asked for a proof. The socket is gone with the signer."""
    monkeypatch.setattr(signing_server, "_SECONDS_MAX", 0.1)
    place = tmp_path / "socket"
    request = b'{"checkpoint":"%s\\n%d\\n%s\\n"}\n'
    async with anyio.create_task_group() as tasks:
        await tasks.start(SigningServer(LOG, state).serve, str(place))
        with anyio.fail_after(20):
            reader, writer = await asyncio.open_unix_connection(place)
            assert await reader.read() == b""
            writer.close()
            reader, writer = await asyncio.open_unix_connection(place)
            writer.write(request % (NAME.encode(), 1, ROOT.encode()))
            assert b"signature" in await reader.readline()
            writer.write(request % (NAME.encode(), 2, ROOT.encode()))
            assert await reader.readline() == b'{"prove":1}\n'
            assert await reader.read() == b""
            writer.close()
        tasks.cancel_scope.cancel()
    assert not await anyio.Path(place).exists()


async def test_a_signer_takes_no_place_that_is_taken(state: SignedState, tmp_path: Path) -> None:
    """But that of a signer that was killed."""
    place = tmp_path / "socket"
    await anyio.Path(place).write_text("mine")
    with pytest.raises(ConfigurationError, match="is no socket"):
        await SigningServer(LOG, state).serve(str(place))
    assert await anyio.Path(place).read_text() == "mine"
    await anyio.Path(place).unlink()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(place))
    async with anyio.create_task_group() as tasks:
        await tasks.start(SigningServer(LOG, state).serve, str(place))
        assert stat.S_IMODE((await anyio.Path(place).stat()).st_mode) == 0o600
        with pytest.raises(ConfigurationError, match="another process listens"):
            await SigningServer(LOG, state).serve(str(place))
        shared = tmp_path / "shared"
        await tasks.start(partial(SigningServer(LOG, state).serve, str(shared), group=os.getgid()))
        assert stat.S_IMODE((await anyio.Path(shared).stat()).st_mode) == 0o660
        tasks.cancel_scope.cancel()


# --- keys that follow one another -----------------------------------------------------------------------------------


def test_a_hand_over_counts_from_where_the_key_before_it_counts() -> None:
    first, second, third, stranger = (KeySigner.new(NAME) for _ in range(4))
    begun = signed(Checkpoint(NAME, 10, bytes(32), (handover_line(second.vkey),)), first, second)
    chain = KeyChain(first.vkey, [begun])
    early = Checkpoint(NAME, 5, bytes(32), (handover_line(third.vkey),))
    chain.follow(signed(early, second, third), early)
    assert chain.key == second.vkey
    foreign = Checkpoint(NAME, 20, bytes(32), (handover_line(third.vkey),))
    chain.follow(signed(foreign, stranger, third), foreign)
    assert chain.key == second.vkey


def test_a_checkpoint_of_another_log_is_not_signed_by_the_key_of_this_one() -> None:
    checkpoint = Checkpoint(OTHER, 3, bytes(32))
    note = signed(checkpoint, LOG)
    assert note.signed_by(LOG.vkey)
    assert KeyChain(LOG.vkey).signer_of(note, checkpoint) is None
