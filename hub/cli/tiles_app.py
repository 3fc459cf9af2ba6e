"""The verb ``hubwire tiles``, and its arguments."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

__all__ = ("tiles",)


def tiles(
    target: Annotated[str, Parameter(help="A directory, or the URL of a store: file:///data.")],
    directory: Annotated[str, Parameter(help="Where the files go: a new directory, or that of the last time.")],
    /,
    *,
    log: Annotated[str | None, Parameter(name="--log", help="The log within the store; by default /audit.")] = None,
) -> None:
    """Write a signed log as C2SP tiles, which any server of static files shows to the tools of others.

    All records are in them as they are stored. Called again, it writes what is new; exits with 1 if the log does not go
    on from what was written before.
    """
    from .tiles import tiles

    tiles(target, directory, log=log)
