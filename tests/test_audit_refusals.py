"""What only one check of a verification, a standby or a timestamp refuses."""

from __future__ import annotations

import asyncio
import math
import ssl
from pathlib import Path
from typing import Any

import pytest

from hubwire import codec
from hubwire.errors import ConfigurationError, NewerVersion, ProofInvalid, TimestampFailed
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import VerifierState, examine
from hubwire.proof import KeySigner, Timestamper, WitnessKey
from hubwire.standby import Holding, LeaseEntry
from hubwire.stores import MemoryStore
from support.tsa import make_authority

pytest.importorskip("cryptography")

LOG = KeySigner.new("example.org/hub/audit")
WITNESSES = [WitnessKey.new(f"w{number}").vkey for number in range(3)]

# --- verification ---------------------------------------------------------------------------------------------------

WRONG: list[tuple[str, dict[str, Any]]] = [
    ("progress is", {"progress": 5}),
    ("expect_head is", {"expect_head": 5}),
    ("expect_records is", {"expect_records": -1}),
    ("expect_records is", {"expect_records": "5"}),
    ("expect_records is", {"expect_records": True}),
    ("share is", {"share": 0.0}),
    ("share is", {"share": 1.5}),
    ("share is", {"share": "1"}),
    ("gap_seconds_max is", {"gap_seconds_max": 0}),
    ("gap_seconds_max is", {"gap_seconds_max": math.inf}),
    ("gap_seconds_max is", {"gap_seconds_max": "5"}),
    ("all_faults is", {"all_faults": 1}),
    ("witnesses are a list", {"witnesses": str(WITNESSES[0])}),
    ("witnesses are at most", {"witnesses": WITNESSES * 4000, "vkey": LOG.vkey}),
    ("name them, too", {"witness_quorum": 1, "vkey": LOG.vkey}),
    ("witness_quorum is", {"witnesses": WITNESSES, "witness_quorum": 0, "vkey": LOG.vkey}),
    ("witness_quorum is", {"witnesses": WITNESSES, "witness_quorum": 4, "vkey": LOG.vkey}),
    ("witness_quorum is", {"witnesses": WITNESSES, "witness_quorum": "2", "vkey": LOG.vkey}),
    ("give its verifier key", {"witnesses": WITNESSES}),
]


async def test_what_a_verification_cannot_be_asked_is_refused_by_its_name() -> None:
    for words, settings in WRONG:
        with pytest.raises(ConfigurationError, match=words):
            await examine(MemoryStore(), **settings)


async def test_a_state_of_a_newer_version_is_not_believed() -> None:
    store = MemoryStore()
    log = AuditLog(store, signer=LOG)
    await log.append({"kind": "note.taken"})
    await log.aclose()
    found = await examine(store, vkey=LOG.vkey)
    assert found.state is not None
    text = found.state.to_text()
    assert VerifierState.parse(text).records == 2
    fields = codec.decode_marker(text.encode())
    newer = codec.encode_marker({name: each for name, each in fields.items() if name != "v"}, version=fields["v"] + 1)
    with pytest.raises(NewerVersion):
        VerifierState.parse(newer)


# --- timestamps -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    pytest.importorskip("rfc3161_client")
    directory: Path = tmp_path_factory.mktemp("tsa") / "good"
    make_authority(directory)
    return (directory / "root.pem").read_bytes()


def test_what_a_timestamper_cannot_be_made_of_is_refused_by_its_name(root: bytes) -> None:
    odd: list[tuple[str, Any]] = [
        *(("interval_seconds", each) for each in (-1, 1e9, "5", True, math.nan)),
        *(("seconds_max", each) for each in (0, -1, "5", None)),
        *(("ssl_context", each) for each in (5, "x")),
    ]
    for name, each in odd:
        with pytest.raises(ConfigurationError, match=name):
            Timestamper("https://tsa.example.org", root, **{name: each})
    Timestamper("https://tsa.example.org", root, ssl_context=ssl.create_default_context(), interval_seconds=0)
    with pytest.raises(ConfigurationError, match="one of them holds no certificate"):
        Timestamper("https://tsa.example.org", [root, b"x"])


async def test_what_cannot_be_stamped_is_refused(root: bytes) -> None:
    for odd in (b"", "text", None):
        with pytest.raises(ConfigurationError, match="content is bytes"):
            await Timestamper("http://127.0.0.1:1", root).stamp(odd)  # type: ignore[arg-type]


REJECTED = b"\x30\x05\x30\x03\x02\x01\x02"
"""A response of RFC 3161 without a token: its status is 2."""


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", "answered with 500"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n" + REJECTED, "rejected"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "no timestamp|does not hold"),
    ],
    ids=["status", "rejected", "none"],
)
async def test_what_an_authority_refuses_is_said(root: bytes, answer: bytes, words: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.partition(b"Content-Length: ")[2].partition(b"\r")[0]))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TimestampFailed, match=words):
            await Timestamper(f"http://127.0.0.1:{port}", root).stamp(b"x")


class PanicException(BaseException):
    """What native code raises where it has met what it did not expect."""


@pytest.mark.parametrize(("error", "raised"), [(KeyboardInterrupt, KeyboardInterrupt), (PanicException, ProofInvalid)])
def test_a_panic_is_a_timestamp_that_does_not_hold(
    error: type[BaseException], raised: type[BaseException], monkeypatch: pytest.MonkeyPatch, root: bytes
) -> None:
    """And what is meant for the program is none."""
    import rfc3161_client

    from hubwire.proof.timestamps import certificates_of, checked

    def raising(_: bytes) -> Any:
        raise error

    monkeypatch.setattr(rfc3161_client, "decode_timestamp_response", raising)
    with pytest.raises(raised):
        checked(REJECTED, b"x", certificates_of("test", root))


# --- standby --------------------------------------------------------------------------------------------------------


class Entries:
    """A lease that counts what is written."""

    def __init__(self, entry: LeaseEntry | None, *, takes: bool = False) -> None:
        self.entry = entry
        self.takes = takes
        self.written: list[tuple[str | None, int]] = []

    async def read(self) -> LeaseEntry | None:
        return self.entry

    async def write(self, holder: str | None, after: int) -> bool:
        self.written.append((holder, after))
        return self.takes


def held(lease: Entries, number: int | None) -> Holding:
    holding = Holding(lease, "a", 2.0, 0.8)
    holding._number = number
    return holding


@pytest.mark.parametrize(
    ("entry", "number"),
    [(LeaseEntry(6, "a"), 6), (LeaseEntry(9, "a"), None), (LeaseEntry(6, "b"), None), (None, None)],
    ids=["its answer was lost", "of another of that name", "another", "none"],
)
async def test_a_renewal_that_came_too_late_is_the_end_unless_it_is_there(
    entry: LeaseEntry | None, number: int | None
) -> None:
    holding = held(Entries(entry), 5)
    await holding._renew(5)
    assert holding._number == number


@pytest.mark.parametrize(
    ("entry", "written"),
    [
        (LeaseEntry(6, "a"), [(None, 5), (None, 6)]),
        (LeaseEntry(9, "a"), [(None, 5)]),
        (LeaseEntry(6, "b"), [(None, 5)]),
        (None, [(None, 5)]),
    ],
    ids=["its answer was lost", "of another of that name", "another", "none"],
)
async def test_only_what_is_held_is_released(entry: LeaseEntry | None, written: list[Any]) -> None:
    lease = Entries(entry)
    await held(lease, 5).release()
    assert lease.written == written
    free = Entries(entry)
    await held(free, None).release()
    assert free.written == []
