"""The verb ``hubwire mcp``, and its arguments."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

__all__ = ("mcp",)


def mcp(
    target: Annotated[
        str, Parameter(help="A directory, the URL of a store, or the address of a running hub's dashboard.")
    ],
    /,
    *,
    allow_decide: Annotated[
        bool,
        Parameter(
            help="Also offer to approve and deny, as the person whose token is given: at a running hub's address, with"
            " a token of the role operate."
        ),
    ] = False,
    http: Annotated[
        int | None,
        Parameter(
            validator=Number(gte=0, lte=65_535),
            help="Serve at this port of this machine instead, for assistants that start nothing; 0 takes a free one.",
        ),
    ] = None,
    log: Annotated[
        str | None, Parameter(name="--log", help="The log within the store; by default /audit, else /journal.")
    ] = None,
    keep: Annotated[
        str | None,
        Parameter(
            help="The directory that keeps the boards of a long log, so that the next start has them at once; by"
            " default one for hubwire among your caches. They are redacted. 'none' keeps nothing."
        ),
    ] = None,
) -> None:
    """Let an assistant read what agents did: an MCP server on standard input and output, which the assistant starts.

    In Claude Code: claude mcp add hubwire -- hubwire mcp ./data. Its tools are board, tail, query, trail, show and
    approvals. It only reads, and redacts what is personal or secret.
    """
    import anyio

    from .mcp.serving import serve

    anyio.run(partial(serve, target, log, http, keep, allow_decide=allow_decide))
