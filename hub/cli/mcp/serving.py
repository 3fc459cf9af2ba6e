"""``hubwire mcp``: the server, from its start to its end."""

from __future__ import annotations

import sys

import anyio

from ...errors import ConfigurationError
from ..failures import CommandFailed
from ..hub_client import is_hub
from ..output import complain, is_terminal
from . import stdio
from .reading import Reads
from .speaking import Speaker
from .tools import Tools

__all__ = ("serve",)


async def serve(target: str, log: str | None, port: int | None, keep: str | None = None, *, allow_decide: bool) -> None:
    """Serve an assistant on standard input and output until it closes them; with a port, there until Ctrl-C."""
    reads = await _opened(target, log, keep, allow_decide=allow_decide)
    speaker = Speaker(Tools(reads, may_decide=allow_decide))
    try:
        if port is not None:
            from .over_http import serve as serve_over_http

            await serve_over_http(speaker, port)
            return
        if is_terminal(sys.stdin):
            complain(
                f"serving {reads.name} by the Model Context Protocol on standard input and output: an assistant starts"
                " this command; `hubwire mcp --help` says how to add it. Ctrl-C ends it"
            )
        await stdio.serve(speaker)
    finally:
        await reads.aclose()


async def _opened(target: str, log: str | None, keep: str | None, *, allow_decide: bool) -> Reads:
    if not is_hub(target):
        if allow_decide:
            raise ConfigurationError(
                f"mcp: --allow-decide needs the address of a running hub, and {target} is a store, which is only read:"
                " name the address of its dashboard, which its program prints"
            )
        if "://" not in target and await anyio.Path(target).is_file():
            raise CommandFailed(f"{target} is a file, and a store is a directory: name the one that the hub writes to")
        from ..caches import cache_in
        from .log_reads import LogReads

        return LogReads(target, log, cache_in(keep))
    if log is not None:
        raise ConfigurationError(
            "mcp: --log is for a store, and the address of a hub was given; name its directory or store URL"
        )
    from .hub_reads import HubReads

    hub = HubReads(target)
    if allow_decide:
        try:
            await hub.check_may_decide()
        except BaseException:
            await hub.aclose()
            raise
    return hub
