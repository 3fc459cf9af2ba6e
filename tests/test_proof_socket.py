"""A signer in a process of its own: it signs what goes on, whoever asks, whatever becomes of it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from hubwire.errors import CheckpointInvalid, ConfigurationError, HubError, SigningFailed
from hubwire.listeners import AuditLog
from hubwire.proof import (
    Checkpoint,
    KeyChain,
    KeySigner,
    SigningRequest,
    SocketSigner,
    Tree,
    VerifierKey,
    consistency_ranges,
    handover_line,
    leaf_hash,
)
from hubwire.proof.signing_server import SignedState, SigningServer
from hubwire.stores import MemoryStore
from support.odd import Stranger

NAME = "example.org/hub/audit"
KEY = KeySigner.new(NAME)
LEAVES = [leaf_hash(b"%d" % number) for number in range(300)]
OTHERS = [leaf_hash(b"x%d" % number) for number in range(300)]


def root(leaves: Sequence[bytes]) -> bytes:
    tree = Tree()
    tree.extend(list(leaves))
    return tree.root()


def request(size: int, leaves: Sequence[bytes] = LEAVES, *lines: str, name: str = NAME) -> SigningRequest:
    """A request over so many leaves, whose proofs are true ones."""

    async def prove(old: int) -> Sequence[bytes]:
        if old > size:
            raise SigningFailed(f"there are {size} records, and not {old}")
        return [root(leaves[begin:end]) for begin, end in consistency_ranges(old, size)]

    return SigningRequest(Checkpoint(name, size, root(leaves[:size]), lines), prove)


@asynccontextmanager
async def server(
    tmp_path: Path, key: KeySigner = KEY, *, begins: bool = True, successor: VerifierKey | None = None, name: str = "s"
) -> AsyncIterator[SocketSigner]:
    """A signer in this process."""
    state: Any = await anyio.to_thread.run_sync(
        lambda: SignedState(str(tmp_path / f"{name}.state"), key, begins=begins)
    )
    signing = SigningServer(key, state, successor=successor)
    try:
        async with anyio.create_task_group() as tasks:
            await tasks.start(signing.serve, str(tmp_path / name))
            yield SocketSigner(tmp_path / name, key.vkey)
            tasks.cancel_scope.cancel()
    finally:
        state.close()


async def signs(signer: SocketSigner, asked: SigningRequest) -> bool:
    """Whether it signs; what it gives then is a signature."""
    try:
        signature = await signer.sign(asked)
    except SigningFailed:
        return False
    assert signer.vkey.holds(asked.text, signature)
    return True


async def test_it_signs_what_goes_on_and_nothing_else(tmp_path: Path) -> None:
    async with server(tmp_path) as signer:
        assert await signs(signer, request(0))
        assert await signs(signer, request(5))
        assert await signs(signer, request(5)), "again is no fork"
        assert await signs(signer, request(200))
        for size, leaves in ((199, LEAVES), (0, LEAVES), (200, OTHERS), (300, OTHERS), (5, OTHERS)):
            assert not await signs(signer, request(size, leaves))
        assert await signs(signer, request(201))
        assert not await signs(signer, request(202, name="example.org/other"))
        assert not await signs(signer, request(202, LEAVES, "another line"))


async def test_what_it_refuses_is_said(tmp_path: Path) -> None:
    async with server(tmp_path) as signer:
        await signer.sign(request(200))
        with pytest.raises(SigningFailed, match="refuses: the log has 5 records, and 200 were signed before"):
            await signer.sign(request(5))
        with pytest.raises(SigningFailed, match="does not go on from the 200 records"):
            await signer.sign(request(201, OTHERS))
        with pytest.raises(SigningFailed, match="this is another text"):
            await signer.sign(request(202, name="example.org/other"))


async def test_what_was_signed_is_known_after_a_restart(tmp_path: Path) -> None:
    async with server(tmp_path) as signer:
        await signer.sign(request(200))
    async with server(tmp_path, begins=False) as signer:
        assert not await signs(signer, request(201, OTHERS))
        assert not await signs(signer, request(7))
        assert await signs(signer, request(250))


async def test_a_state_that_is_older_than_the_log_catches_up(tmp_path: Path) -> None:
    """With what the older state has, that is all that can be asked for."""
    async with server(tmp_path) as signer:
        await signer.sign(request(50))
        old = await anyio.Path(tmp_path / "s.state").read_bytes()
        await signer.sign(request(200))
    await anyio.Path(tmp_path / "s.state").write_bytes(old)
    async with server(tmp_path, begins=False) as signer:
        assert not await signs(signer, request(49))
        assert not await signs(signer, request(200, LEAVES[:49] + OTHERS[49:]))
        assert await signs(signer, request(200))


def test_a_state_that_is_not_this_keys_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "state")
    with pytest.raises(ConfigurationError, match="--begin"):
        SignedState(path, KEY, begins=False)
    SignedState(path, KEY, begins=True).close()
    with pytest.raises(ConfigurationError, match="is there already"):
        SignedState(path, KEY, begins=True)
    good = Path(path).read_bytes()
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    for other in (KeySigner.new(NAME), KeySigner.new("example.org/other")):
        with pytest.raises(ConfigurationError, match="of another key"):
            SignedState(path, other, begins=False)
    dice = random.Random(3)
    for _ in range(60):
        at = dice.randrange(len(good))
        Path(path).write_bytes(good[:at] + bytes([good[at] ^ 1 << dice.randrange(8)]) + good[at + 1 :])
        with pytest.raises(ConfigurationError):
            SignedState(path, KEY, begins=False)
    for content in (b"", good[: len(good) // 2], b"\0" * 200):
        Path(path).write_bytes(content)
        with pytest.raises(ConfigurationError, match="damaged"):
            SignedState(path, KEY, begins=False)
    Path(path).write_bytes(good)
    held = SignedState(path, KEY, begins=False)
    with pytest.raises(ConfigurationError, match="another process signs"):
        SignedState(path, KEY, begins=False)
    held.close()
    with pytest.raises(ConfigurationError, match="cannot write"):
        SignedState(str(tmp_path / "none" / "state"), KEY, begins=True)


async def test_nothing_is_signed_that_cannot_be_kept(tmp_path: Path) -> None:
    async with server(tmp_path) as signer:
        await signer.sign(request(50))
        await anyio.Path(tmp_path / "s.state.part").mkdir()
        with pytest.raises(SigningFailed, match="cannot be kept"):
            await signer.sign(request(60))
        await anyio.Path(tmp_path / "s.state.part").rmdir()
        assert not await signs(signer, request(49))
        assert await signs(signer, request(51)), "60 was never signed"


async def test_two_clients_do_not_fork_it(tmp_path: Path) -> None:
    async with server(tmp_path) as signer:
        signed: list[tuple[int, bool]] = []

        async def ask(leaves: list[bytes], size: int) -> None:
            if await signs(signer, request(size, leaves)):
                signed.append((size, leaves is LEAVES))

        async with anyio.create_task_group() as tasks:
            for size in range(1, 60):
                tasks.start_soon(ask, LEAVES, size)
                tasks.start_soon(ask, OTHERS, size)
        assert len({is_first for _, is_first in signed}) == 1
        assert [size for size, _ in signed] == sorted(size for size, _ in signed)


async def test_a_proof_that_came_too_late_is_asked_for_again(tmp_path: Path) -> None:
    """From what was signed meanwhile."""
    async with server(tmp_path) as signer:
        await signer.sign(request(50))
        asked: list[int] = []
        slow = request(60)

        async def prove(old: int) -> Sequence[bytes]:
            asked.append(old)
            if len(asked) == 1:
                await signer.sign(request(55))
            return await slow.prove(old)

        assert await signs(signer, SigningRequest(slow.checkpoint, prove))
        assert asked == [50, 55]


async def test_a_program_that_is_taken_over_cannot_hand_over(tmp_path: Path) -> None:
    """Whoever runs the signer names the next key; it hands over to that one, once, and then signs no more."""
    thief, new = KeySigner.new(NAME), KeySigner.new(NAME)
    async with server(tmp_path, successor=new.vkey) as signer:
        await signer.sign(request(50))
        assert not await signs(signer, request(51, LEAVES, handover_line(thief.vkey)))
        assert not await signs(signer, request(51, LEAVES, handover_line(new.vkey), "another line"))
        assert await signs(signer, request(51, LEAVES, handover_line(new.vkey)))
        assert await signs(signer, request(51, LEAVES, handover_line(new.vkey))), "the answer may have been lost"
        assert not await signs(signer, request(52))
        assert not await signs(signer, request(51))
    async with server(tmp_path, begins=False) as signer:
        assert not await signs(signer, request(52))
    async with server(tmp_path, new, name="n") as signer:
        assert await signs(signer, request(50))
        assert await signs(signer, request(51, LEAVES, handover_line(new.vkey)))
        assert await signs(signer, request(52))


async def test_a_log_is_signed_and_rotated_by_two_processes(tmp_path: Path) -> None:
    new = KeySigner.new(NAME)
    store = MemoryStore()
    async with server(tmp_path, successor=new.vkey) as first, server(tmp_path, new, name="n") as second:
        audit = AuditLog(store, signer=first, checkpoint_seconds=3600)
        await audit.append({"kind": "note.taken"})
        await audit.checkpoint()
        await audit.append({"kind": "note.taken"})
        note = await audit.rotate_key(second)
        assert KeyChain(KEY.vkey, [note]).key == new.vkey
        await audit.append({"kind": "note.taken"})
        assert (await audit.checkpoint()).signed_by(new.vkey)
        await audit.aclose()
        forked = AuditLog(MemoryStore(), signer=second, checkpoint_seconds=3600)
        await forked.append({"kind": "note.taken"})
        with pytest.raises(SigningFailed, match="were signed before"):
            await forked.checkpoint()
        await forked.aclose()


async def test_a_log_goes_on_while_its_signer_is_away(tmp_path: Path) -> None:
    store = MemoryStore()
    audit = AuditLog(store, signer=SocketSigner(tmp_path / "s", KEY.vkey), checkpoint_seconds=3600)
    for _ in range(3):
        await audit.append({"kind": "note.taken"})
    with pytest.raises(SigningFailed, match="cannot be reached: No such file or directory; hubwire keys serve"):
        await audit.checkpoint()
    async with server(tmp_path):
        assert Checkpoint.parse((await audit.checkpoint()).text).size == 4
        await audit.aclose()


# --- hostile clients, and hostile signers ---------------------------------------------------------------------------


LINES = [
    b"",
    b"\n",
    b"{}\n",
    b"[]\n",
    b"null\n",
    b'{"checkpoint":7}\n',
    b'{"checkpoint":""}\n',
    b'{"checkpoint":"x","more":1}\n',
    b'{"checkpoint":"\\ud800\\n1\\nAAAA\\n"}\n',
    b'{"proof":[]}\n',
    b"\xff\xfe\n",
    b"[" * 60_000 + b"\n",
    b"x" * 200_000,
    msgspec.json.encode({"checkpoint": f"{NAME}\n{'9' * 5000}\n{'A' * 43}=\n"}) + b"\n",
    msgspec.json.encode({"checkpoint": Checkpoint(NAME, 9, bytes(32)).text + "\n"}) + b"\n",
]


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
async def test_a_hostile_client_gets_nothing_and_harms_nobody(line: bytes, tmp_path: Path) -> None:
    async with server(tmp_path) as signer:
        await signer.sign(request(50))
        answer = b""
        async with await anyio.connect_unix(tmp_path / "s") as stream:
            try:
                await stream.send(line)
                await stream.send_eof()
                while True:
                    answer += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError, OSError):
                pass
            assert b"signature" not in answer
        assert await signs(signer, request(51))


@pytest.mark.parametrize("proof", [[], ["AA=="], ["!"], [7], ["A" * 43 + "="] * 7, ["A" * 43 + "="] * 500, "x", None])
async def test_a_false_proof_is_refused(proof: object, tmp_path: Path) -> None:
    async with server(tmp_path) as signer:
        await signer.sign(request(50))
        async with await anyio.connect_unix(tmp_path / "s") as stream:
            await stream.send(msgspec.json.encode({"checkpoint": request(60).text.decode()}) + b"\n")
            assert await stream.receive() == b'{"prove":50}\n'
            await stream.send(msgspec.json.encode({"proof": proof}) + b"\n")
            assert (await stream.receive()).startswith(b'{"error":')
        assert await signs(signer, request(60))


async def test_many_who_connect_and_say_nothing_are_few(tmp_path: Path) -> None:
    """Those beyond a bound are sent away; when the others have gone, it signs."""
    async with server(tmp_path) as signer:
        silent = [await anyio.connect_unix(tmp_path / "s") for _ in range(100)]
        with anyio.fail_after(5):  # those who may stay have longer
            for stream in silent[20:]:
                with pytest.raises(anyio.EndOfStream):
                    await stream.receive()
        for stream in silent:
            await stream.aclose()
        for _ in range(1000):
            if await signs(signer, request(5)):
                break
        assert await signs(signer, request(6))


@pytest.mark.parametrize(
    "answers",
    [
        [b""],
        [b"\n"],
        [b"{}\n"],
        [b"7\n"],
        [b'{"prove":-1}\n'],
        [b'{"prove":"x"}\n'],
        [b'{"prove":1}\n'] * 9,
        [b'{"prove":' + b"9" * 30 + b"}\n"],
        [b'{"signature":""}\n'],
        [b'{"signature":"\\n\\n"}\n'],
        ['{"signature":"— a b"}\n'.encode()],
        ['{"signature":"— a AAAAAAA=\\n— a AAAAAAA="}\n'.encode()],
        [b'{"error":"' + b"\\u001b[31m" * 100 + b'"}\n'],
        [b"\xff\n"],
        [b"x" * 100_000],
    ],
    ids=range(15),
)
async def test_a_hostile_signer_is_reported(answers: list[bytes], tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # it may have hung up before
            for each in answers:
                await reader.readline()
                writer.write(each)
        writer.close()

    listening = await asyncio.start_unix_server(answer, tmp_path / "s")
    async with listening:
        with pytest.raises(HubError) as raised:
            await SocketSigner(tmp_path / "s", KEY.vkey).sign(request(5))
        assert len(str(raised.value)) < 1000


def test_a_socket_signer_is_made_of_a_path_and_a_key() -> None:
    assert SocketSigner("s", str(KEY.vkey)).vkey == KEY.vkey
    odd: Any
    for odd in (None, 7, b"s", "", "a\0b", Stranger()):
        with pytest.raises(ConfigurationError):
            SocketSigner(odd, KEY.vkey)
    for odd in (None, 7, "key", KEY, Stranger()):
        with pytest.raises(CheckpointInvalid):
            SocketSigner("s", odd)


# --- the command ----------------------------------------------------------------------------------------------------


class Process:
    """``hubwire keys serve`` in a process of its own."""

    def __init__(self, tmp_path: Path, *words: str) -> None:
        program = "import sys; from hubwire.cli import main; main(sys.argv[1:])"
        files = [str(tmp_path / "key"), "--socket", str(tmp_path / "s"), "--state", str(tmp_path / "state")]
        self.running = subprocess.Popen(
            [sys.executable, "-P", "-c", program, "keys", "serve", *files, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.running.stdout is not None
        self.vkey = self.running.stdout.readline().strip()
        """What it prints when it listens; nothing if it does not."""

    def end(self, how: signal.Signals) -> tuple[int, str]:
        self.running.send_signal(how)
        _, err = self.running.communicate(timeout=30)
        return self.running.returncode, err


@pytest.fixture
def start(tmp_path: Path) -> Any:
    KEY.to_file(tmp_path / "key")
    started: list[Process] = []

    def begin(*words: str) -> Process:
        started.append(Process(tmp_path, *words))
        return started[-1]

    yield begin
    for each in started:
        each.running.kill()
        each.running.communicate()


def asked(tmp_path: Path, *requests: SigningRequest) -> list[bool]:
    async def work() -> list[bool]:
        signer = SocketSigner(tmp_path / "s", KEY.vkey)
        return [await signs(signer, each) for each in requests]

    return anyio.run(work)


@pytest.mark.slow
def test_the_command_signs_for_its_owner_alone(tmp_path: Path, start: Callable[..., Process]) -> None:
    process = start("--begin")
    assert process.vkey == str(KEY.vkey)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
    assert asked(tmp_path, request(5), request(9), request(8)) == [True, True, False]
    second = start()
    assert (second.vkey, second.running.wait(30)) == ("", 2)
    code, err = process.end(signal.SIGTERM)
    assert (code, "PRIVATE" in err) == (0, False)
    assert not (tmp_path / "s").exists()
    again = start("--begin")
    assert (again.vkey, again.running.wait(30)) == ("", 2)
    assert start().vkey
    assert asked(tmp_path, request(8), request(10, OTHERS), request(10)) == [False, False, True]


@pytest.mark.slow
def test_a_killed_signer_has_kept_what_it_has_signed(tmp_path: Path, start: Callable[..., Process]) -> None:
    """At whatever moment: what it signs afterwards goes on from all that any client has got."""
    newest, dice = 0, random.Random(7)
    start("--begin").end(signal.SIGTERM)
    for _ in range(8):
        process = start()
        assert process.vkey, process.running.communicate()
        newest = anyio.run(asked_until_killed, tmp_path, process, newest, dice.uniform(0, 0.03))
        process.running.wait(30)
    assert newest >= 8
    assert start().vkey, "the socket that was left behind is taken away"
    others = request(newest + 2, OTHERS)
    assert asked(tmp_path, request(newest - 1), others, request(newest + 2)) == [False, False, True]


async def asked_until_killed(tmp_path: Path, process: Process, newest: int, seconds: float) -> int:
    """Ask for one checkpoint after the other, and kill the signer after some; return the newest that was signed."""
    signer = SocketSigner(tmp_path / "s", KEY.vkey)
    kill = threading.Timer(seconds, process.running.kill)
    assert await signs(signer, request(newest + 1))
    newest += 1
    kill.start()
    while await signs(signer, request(newest + 1)):
        newest += 1
    return newest


@pytest.mark.slow
def test_the_command_refuses_what_cannot_be(tmp_path: Path, start: Callable[..., Process]) -> None:
    (tmp_path / "file").write_text("mine")
    for words in (
        (),
        ("--begin", "--successor", "key"),
        ("--begin", "--group", "no such group"),
    ):
        process = start(*words)
        assert process.vkey == ""
        assert process.running.wait(30) in (1, 2)
        assert process.running.stderr is not None
        assert "Traceback" not in process.running.stderr.read()
        assert not (tmp_path / "state").exists()
    (tmp_path / "s").write_text("mine")
    process = start("--begin")
    assert (process.vkey, process.running.wait(30)) == ("", 2)
    assert (tmp_path / "s").read_text() == "mine"


def test_a_group_may_sign_if_that_is_said(tmp_path: Path, start: Callable[..., Process]) -> None:
    import grp

    process = start("--begin", "--group", grp.getgrgid(os.getgid()).gr_name)
    assert process.vkey
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660


async def test_a_client_that_reads_nothing_is_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a place of few, and what it is answered has to be kept somewhere."""
    monkeypatch.setattr("hubwire.proof.sockets._SENDING_SECONDS_MAX", 0.05)
    async with server(tmp_path) as signer:
        await signer.sign(request(50))
        line = msgspec.json.encode({"checkpoint": request(49).text.decode()}) + b"\n"
        async with await anyio.connect_unix(tmp_path / "s") as stream:
            with anyio.fail_after(20), pytest.raises(anyio.BrokenResourceError):
                while True:
                    await stream.send(line * 100)
        assert await signs(signer, request(51))
