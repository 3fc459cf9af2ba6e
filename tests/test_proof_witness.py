"""A witness: it cosigns what goes on, whoever asks, and what it answers is what C2SP says."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from hubwire.errors import CheckpointInvalid, ConfigurationError, HubError, WitnessDisagrees, WitnessFailed
from hubwire.proof import (
    Checkpoint,
    FunctionWitness,
    HttpWitness,
    KeySigner,
    Note,
    StoreWitness,
    Tree,
    VerifierKey,
    WitnessKey,
    WitnessPolicy,
    WitnessRequest,
    WitnessServer,
    consistency_ranges,
    cosignatures,
    leaf_hash,
)
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock
from support.odd import Stranger

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
        with pytest.raises(WitnessFailed, match="does not know the log 'example.org/other'.*verifier key of the log"):
            await client.witness(request(3, key=KeySigner.new("example.org/other")))
        with pytest.raises(WitnessFailed, match="by another key"):
            await client.witness(request(120, key=KeySigner.new(NAME)))
        with pytest.raises(WitnessFailed, match="without a cosignature of .* that holds; is that its key"):
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
