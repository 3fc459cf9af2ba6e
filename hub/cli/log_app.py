"""The verbs of ``hubwire log``, and their arguments."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

__all__ = ("log",)

log: App = App(
    name="log",
    help="What an operator decides about a signed audit log.",
    help_format="plaintext",
    default_parameter=Parameter(negative=(), show_default=False),
)


@log.command
def fork(
    target: Annotated[str, Parameter(help="A directory, or the URL of a store: file:///data.")],
    /,
    *,
    reason: Annotated[str, Parameter(help="Why; it becomes a record of the log.")],
    key: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True,
            help="The file of the key that signs from now on, with another name: hubwire keys new makes it.",
        ),
    ],
    by: Annotated[str | None, Parameter(help="Who says so; it becomes part of the record.")] = None,
    log: Annotated[str | None, Parameter(name="--log", help="The log within the store; by default /audit.")] = None,
    dry_run: Annotated[bool, Parameter(negative="", help="Only say what would be done.")] = False,
) -> None:
    """Let a signed log go on that is refused: its newest records are lost, or its key is. The log says so for good.

    It goes on under the name of the new key, with the records that are there. Who verifies it is told of the fork, with
    the checkpoint that was given up. Exits with 1 if a program has the log open, or if a record is damaged: see repair.
    """
    import anyio

    from .forking import fork

    anyio.run(fork, target, key, reason, by, log, dry_run)
