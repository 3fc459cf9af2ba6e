"""A signer in another process: the key is there, and what it has signed last, so that this process cannot fork a log.

They speak lines of JSON over a Unix socket. The log's process sends ``{"checkpoint": text}``. The signer answers with
``{"prove": size}`` if it has signed another checkpoint before, and gets ``{"proof": [hash, …]}`` in base64; in the end
it sends ``{"signature": line}``, as notes have it, or ``{"error": text}``.
"""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from pathlib import Path
from typing import Any

import msgspec

from ..errors import CheckpointInvalid, ConfigurationError, SigningFailed
from .note import Note, NoteSignature, VerifierKey
from .signer import SigningRequest

__all__ = ("LINE_BYTES_MAX", "Lines", "SocketSigner")

LINE_BYTES_MAX = 65_536
_SECONDS_MAX = 25.0
"""The log waits for 30: what failed is to be said here, where it is known what."""
_SENDING_SECONDS_MAX = 10.0
_ROUNDS_MAX = 5
"""So often a proof is asked for: another process may have signed meanwhile."""


class _Answer(msgspec.Struct):
    prove: int | None = None
    signature: str | None = None
    error: str | None = None


class Lines:
    """A connection as lines of JSON, none longer than it may be."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, **fields: Any) -> None:
        """Send one line. Raises ``TimeoutError`` if the other side does not read what was sent."""
        self._writer.write(msgspec.json.encode(fields) + b"\n")
        async with asyncio.timeout(_SENDING_SECONDS_MAX):
            await self._writer.drain()

    async def receive(self) -> bytes:
        """Return the next line. Raises what asyncio raises for an end, and for a line that is too long."""
        return await self._reader.readuntil(b"\n")

    def close(self) -> None:
        """End the connection; what was sent still arrives."""
        self._writer.close()


class SocketSigner:
    """Signs by the process that ``hubwire keys serve`` is, over its Unix socket.

    That process has the key and keeps the last checkpoint that it has signed: it refuses one that does not go on from
    that, whatever the program of the log is made to ask for. A signer that is not there, or refuses, stops nothing: the
    log is not healthy, and tries again.
    """

    def __init__(self, path: str | os.PathLike[str], vkey: VerifierKey | str) -> None:
        """``path`` is the socket, and ``vkey`` the verifier key of the key that is there, as it prints it.

        Raises :class:`~hubwire.errors.ConfigurationError` and :class:`~hubwire.errors.CheckpointInvalid` for what
        cannot be; whether the process is there is seen when it is asked to sign.
        """
        self._vkey = vkey if type(vkey) is VerifierKey else VerifierKey.parse(vkey)
        given = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
        if type(given) is not str or not given or "\0" in given:
            raise ConfigurationError(f"SocketSigner(): path is that of a Unix socket, not {path!r:.80}")
        self._path = Path(given)

    def __repr__(self) -> str:
        return f"SocketSigner({str(self._path)!r}, {str(self._vkey)!r})"

    @property
    def vkey(self) -> VerifierKey:
        """The public key."""
        return self._vkey

    async def sign(self, request: SigningRequest) -> NoteSignature:
        """Return the signature that the process has given. Raises :class:`~hubwire.errors.SigningFailed`."""
        try:
            async with asyncio.timeout(_SECONDS_MAX):
                lines = Lines(*await asyncio.open_unix_connection(str(self._path), limit=LINE_BYTES_MAX))
                try:
                    return await self._ask(lines, request)
                finally:
                    lines.close()
        except TimeoutError as error:
            raise self._failed(f"has not answered within {_SECONDS_MAX:.0f} seconds") from error
        except asyncio.IncompleteReadError as error:
            raise self._failed("has ended the connection") from error
        except OSError as error:
            raise self._failed(f"cannot be reached: {error.strerror or error}; hubwire keys serve runs it") from error
        except (msgspec.MsgspecError, UnicodeDecodeError, asyncio.LimitOverrunError, CheckpointInvalid) as error:
            raise self._failed(f"has answered what no signer answers ({error!s:.200})") from error

    async def _ask(self, lines: Lines, request: SigningRequest) -> NoteSignature:
        await lines.send(checkpoint=request.text.decode())
        for _ in range(_ROUNDS_MAX):
            answer = msgspec.json.decode(await lines.receive(), type=_Answer)
            if answer.error is not None:
                raise self._failed(f"refuses: {answer.error[:300]}")
            if answer.signature is not None:
                signatures = Note.parse(f"{request.checkpoint.text}\n{answer.signature}\n").signatures
                if len(signatures) != 1:
                    break
                return signatures[0]
            if answer.prove is None or answer.prove < 0:
                break
            proof = await request.prove(answer.prove)
            await lines.send(proof=[b64encode(each).decode() for each in proof])
        raise self._failed("has answered what no signer answers, or asks without an end")

    def _failed(self, what: str) -> SigningFailed:
        return SigningFailed(f"the signer at {str(self._path)!r} {what}")
