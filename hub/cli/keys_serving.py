"""``hubwire keys serve``: the process that has the key of a log."""

from __future__ import annotations

import grp
import signal

import anyio

from ..errors import ConfigurationError
from ..proof import KeySigner, VerifierKey
from ..proof.signing_server import SignedState, SigningServer
from .output import complain, escape, plural, say

__all__ = ("serve",)


def serve(file: str, socket: str, state: str, *, begins: bool, successor: str | None, group: str | None) -> None:
    """Serve until a signal."""
    key = KeySigner.from_file(file)
    next_key = None if successor is None else VerifierKey.parse(successor)
    gid = None if group is None else _gid_of(group)
    kept = SignedState(state, key, begins=begins)
    try:
        anyio.run(_serve, SigningServer(key, kept, successor=next_key), socket, gid, key, kept)
    finally:
        kept.close()


def _gid_of(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise ConfigurationError(f"keys serve: there is no group {group!r:.80}") from error


async def _serve(server: SigningServer, socket: str, gid: int | None, key: KeySigner, kept: SignedState) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as tasks:

            async def run(*, task_status: anyio.abc.TaskStatus[None]) -> None:
                await server.serve(socket, group=gid, task_status=task_status)

            await tasks.start(run)
            say(str(key.vkey))
            signed = plural(kept.checkpoint.size, "record")
            complain(escape(f"signs at {socket} for the key above, on from {signed}; stop it with Ctrl-C"))
            async for _ in signals:
                tasks.cancel_scope.cancel()
                break
