"""The verb ``hubwire prove``, and its arguments."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

__all__ = ("prove",)


def prove(
    event: Annotated[
        str | None,
        Parameter(
            allow_leading_hyphen=True,
            help="The event's seq or its id, the place of a record as index:7, or index:-1 for the last one.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        Parameter(
            allow_leading_hyphen=True,
            help="A directory, or the URL of a store: file:///data. It may also stand before the event.",
        ),
    ] = None,
    /,
    *,
    out: Annotated[
        str | None, Parameter(allow_leading_hyphen=True, help="A new file for the proof: record-7.tlog-proof.")
    ] = None,
    no_line: Annotated[bool, Parameter(help="Leave the record itself out of the proof.")] = False,
    check: Annotated[str | None, Parameter(help="Check this proof instead; no store is needed.")] = None,
    vkey: Annotated[
        str | None, Parameter(help="With --check: the verifier key of the log, from who keeps it, or a file with it.")
    ] = None,
    line: Annotated[
        str | None, Parameter(help="With --check: a file with the record; by default the one in the proof.")
    ] = None,
    log: Annotated[str | None, Parameter(name="--log", help="The log within the store; by default /audit.")] = None,
    archive: Annotated[
        str | None, Parameter(help="The archive of the log, a directory or a URL: what was moved there is read, too.")
    ] = None,
) -> None:
    """Write a proof that a record is in a signed log, which can be checked without the log; or check one.

    The record is in the proof as it is stored. Exits with 1 if a proof does not hold.
    """
    from .prove import check_proof, misused, prove

    if check is not None:
        misused(given={"an event": event, "--out": out, "--log": log, "--archive": archive}, with_="--check")
        check_proof(check, vkey, line)
        return
    misused(given={"--vkey": vkey, "--line": line}, with_="no --check")
    prove(event, target, out=out, has_line=not no_line, log=log, archive=archive)
