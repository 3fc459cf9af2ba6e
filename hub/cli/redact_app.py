"""The verb ``hubwire redact``, and its arguments."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from cyclopts import Parameter

__all__ = ("redact",)


def redact(
    target: Annotated[str, Parameter(help="A directory, or the URL of a store: file:///data.")],
    /,
    *,
    out: Annotated[str, Parameter(allow_leading_hyphen=True, help="A new directory for the copy.")],
    opened: Annotated[
        tuple[str, ...],
        Parameter(
            name="--open", help="An erasable field that stays readable: content, or 7:content in the record at place 7."
        ),
    ] = (),
    withhold: Annotated[
        tuple[int, ...], Parameter(help="The place of a record that is withheld as a whole; may be given again.")
    ] = (),
    withhold_kind: Annotated[
        tuple[str, ...], Parameter(help="A kind whose records are withheld as a whole: tool.*; may be given again.")
    ] = (),
    by: Annotated[str | None, Parameter(help="Who makes the copy; it is written into it.")] = None,
    json: Annotated[bool, Parameter(help="Print one JSON object.")] = False,
    log: Annotated[str | None, Parameter(name="--log", help="The log within the store; by default /audit.")] = None,
) -> None:
    """Copy an audit log without its erasable contents, or some of them, to hand it out: its proofs hold.

    Lines, checkpoints and hashes are those of the log, so that hubwire verify --vkey checks the copy, and says what is
    withheld. The log may be written meanwhile.
    """
    import anyio

    from .redact import redact

    anyio.run(
        partial(
            redact, target, out, opened=opened, withheld=withhold, withheld_kinds=withhold_kind, by=by, log=log,
            as_json=json,
        )
    )  # fmt: skip
