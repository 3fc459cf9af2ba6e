"""``hubwire witness``: who sees the checkpoints of logs of others."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

import anyio

from ..errors import ConfigurationError
from ..proof import VerifierKey, WitnessKey, WitnessServer
from .output import complain, escape, plural, say

__all__ = ("witness",)


def witness(key: str, state: str, listen: str, logs: Sequence[str], *, begins: bool) -> None:
    """Serve until a signal."""
    host, port = _place_of(listen)
    if not logs:
        raise ConfigurationError("witness: name the logs that it witnesses, each by --log VKEY")
    keys = [_key_of(each) for each in logs]
    server = WitnessServer(WitnessKey.from_file(key), state, keys, host=host, port=port, begins=begins)
    anyio.run(_serve, server)


def _place_of(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port[:6]) > 65_535:
        raise ConfigurationError(f"witness: --listen is an address and a port, as 127.0.0.1:8441, not {listen!r:.80}")
    return host.removeprefix("[").removesuffix("]"), int(port[:6])


def _key_of(text: str) -> VerifierKey:
    """Return the key that an option is, or that is in the file which it names."""
    try:
        content = Path(text).read_text(encoding="utf-8") if Path(text).is_file() else text
    except (OSError, ValueError):  # it is too long for a name, or no text
        content = text
    return VerifierKey.parse(content)


async def _serve(server: WitnessServer) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with server:
            logs = server.witness.logs
            say(str(server.vkey))
            complain(escape(f"witnesses {plural(len(logs), 'log')} at {server.url} by the key above:"))
            for origin, size in logs.items():
                complain(escape(f"{origin}, on from {plural(size, 'record')}"))
            complain("stop it with Ctrl-C")
            async for _ in signals:
                break
