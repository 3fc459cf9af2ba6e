"""The verb ``hubwire witness``, and its arguments."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

__all__ = ("witness",)


def witness(
    *,
    key: Annotated[
        str,
        Parameter(allow_leading_hyphen=True, help="The file of its key: hubwire keys new NAME --witness --out FILE."),
    ],
    state: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True, help="The directory that keeps what was cosigned; never restore an older one."
        ),
    ],
    listen: Annotated[
        str, Parameter(help="Where it listens, by default 127.0.0.1:8441; port 0 takes a free one.")
    ] = "127.0.0.1:8441",
    log: Annotated[
        tuple[str, ...],
        Parameter(help="The verifier key of a log that it witnesses, or a file with it. Can be repeated."),
    ] = (),
    begin: Annotated[bool, Parameter(help="Make that directory: the witness has never cosigned.")] = False,
) -> None:
    """Witness the logs of others, until Ctrl-C: cosign each checkpoint that goes on from the one before, by HTTP.

    A log that is rolled back, or written anew by who has its key, gets no cosignature any more. It speaks the protocol
    of https://c2sp.org/tlog-witness; put a server of HTTPS before it.
    """
    from .witness import witness

    witness(key, state, listen, log, begins=begin)
