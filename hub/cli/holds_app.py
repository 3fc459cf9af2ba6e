"""The verbs ``hubwire hold``, ``release`` and ``holds``, and their arguments."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from cyclopts import Parameter

__all__ = ("hold", "holds", "release")

Target = Annotated[str, Parameter(help="A directory, or the URL of a store: file:///data.")]
_HoldName = Annotated[str, Parameter(help="The name of the hold, of which a log may have several.")]
_By = Annotated[str | None, Parameter(help="Who says so; it becomes part of a record of the log.")]
_AuditLogPath = Annotated[str | None, Parameter(name="--log", help="The log within the store; by default /audit.")]


def hold(
    target: Target,
    /,
    *,
    reason: Annotated[str, Parameter(help="Why; it becomes part of a record of the log.")],
    name: _HoldName = "hold",
    by: _By = None,
    log: _AuditLogPath = None,
) -> None:
    """Keep all records of an audit log, whatever its retention says, until it is released.

    Also beside a program that has the log open: it counts at once, and that program writes it into the log later.
    """
    import anyio

    from .holds import hold

    anyio.run(partial(hold, target, reason, name=name, by=by, log=log))


def release(
    target: Target,
    /,
    *,
    reason: Annotated[str, Parameter(help="Why; it becomes part of a record of the log.")],
    name: _HoldName = "hold",
    by: _By = None,
    log: _AuditLogPath = None,
) -> None:
    """Release a hold, so that the retention of the log counts again.

    Exits with 1 if there is no hold of this name, or if a program has the log open.
    """
    import anyio

    from .holds import release

    anyio.run(partial(release, target, reason, name=name, by=by, log=log))


def holds(
    target: Target,
    /,
    *,
    json: Annotated[bool, Parameter(help="Print one JSON list.")] = False,
    log: _AuditLogPath = None,
) -> None:
    """Say which holds are on an audit log; also beside a program that has it open."""
    import anyio

    from .holds import holds

    anyio.run(partial(holds, target, log=log, as_json=json))
