"""The verb ``hubwire erase``, and its arguments."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from cyclopts import Parameter

__all__ = ("erase",)


def erase(
    target: Annotated[str, Parameter(help="A directory, or the URL of a store: file:///data.")],
    /,
    *,
    by: Annotated[str | None, Parameter(help="Who erases; it becomes part of a record of the log.")] = None,
    basis: Annotated[str | None, Parameter(help="On what basis; it becomes part of a record of the log.")] = None,
    seq: Annotated[tuple[int, ...], Parameter(help="Of the event with this number; may be given again.")] = (),
    record: Annotated[tuple[int, ...], Parameter(help="Of the record at this place; may be given again.")] = (),
    agent: Annotated[str | None, Parameter(help="Of an agent: its id or name.")] = None,
    channel: Annotated[str | None, Parameter(help="Of a channel: its id or topic.")] = None,
    task: Annotated[str | None, Parameter(help="Of a task.")] = None,
    session: Annotated[str | None, Parameter(help="Of a session.")] = None,
    tenant: Annotated[str | None, Parameter(help="Of a tenant.")] = None,
    correlation: Annotated[str | None, Parameter(help="Of one correlation id.")] = None,
    actor: Annotated[str | None, Parameter(help="Of an actor.")] = None,
    field: Annotated[tuple[str, ...], Parameter(help="Only this field: content, data.email; by default all.")] = (),
    again: Annotated[
        bool,
        Parameter(
            help="Erase again what the log says was erased, as after a restore; without choosing. With --by and --basis"
            " also say it again of what is gone, where the log has lost the record."
        ),
    ] = False,
    json: Annotated[bool, Parameter(help="Print one JSON object.")] = False,
    log: Annotated[str | None, Parameter(name="--log", help="The log within the store; by default /audit.")] = None,
) -> None:
    """Erase contents of an audit log whose fields are erasable; the log says so, and its proofs stay.

    Of several filters each has to be met. It also says where the same content may be that it does not reach. Exits with
    1 if a program has the log open, or if the log is held.
    """
    import anyio

    from .erase import Chosen, erase

    filters = {
        "agent": agent,
        "channel": channel,
        "task": task,
        "session": session,
        "tenant": tenant,
        "correlation": correlation,
        "actor": actor,
    }
    given = {name: value for name, value in filters.items() if value is not None}
    chosen = Chosen(records=record, seqs=seq, filters=given, fields=field)
    anyio.run(partial(erase, target, chosen, by=by, basis=basis, is_again=again, log=log, as_json=json))
