"""What doctor and repair know of signed logs: whether the log goes on from its newest checkpoint, and what follows."""

from __future__ import annotations

import shlex

from ..errors import CheckpointInvalid
from ..ports import KnowledgeStore

__all__ = ("advice_to_fork", "is_checkpoint", "refuse_copy", "trouble_with_checkpoint")


async def trouble_with_checkpoint(store: KnowledgeStore, log: str, records: int) -> str | None:
    """Return why a log of so many records does not go on from its newest checkpoint; None if it may, or has none.

    Whether the records are those that were signed is seen when they are verified, or signed.
    """
    from hubwire.listeners.audit import newest_checkpoint

    try:
        newest = await newest_checkpoint(store, log)
    except CheckpointInvalid as error:
        return str(error)
    if newest is None or newest.size <= records:
        return None
    return (
        f"the log {log} has {records} records, and its checkpoint speaks of {newest.size}: a program that signs"
        " it refuses to go on"
    )


def advice_to_fork(target: str, log: str) -> str:
    """Return what can be done about it."""
    return (
        "restore the whole store from the newest backup; or go on with what is here, as another log, which says so:"
        f" hubwire log fork {shlex.quote(target)} --log {shlex.quote(log)} --key FILE --reason '...' --dry-run"
    )


async def refuse_copy(store: KnowledgeStore, log: str) -> None:
    """Raise :class:`~hubwire.errors.ConfigurationError` if a log is a redacted copy: nothing in it is changed."""
    from hubwire.listeners.audit.stand_ins import refuse_copy as refuse

    await refuse(store, log)


def is_checkpoint(path: str, log: str) -> bool:
    """Return whether a file says how many records of a log were signed: it outlives them."""
    return path == f"{log}/checkpoint" or path.startswith((f"{log}/checkpoints/", f"{log}/forks/"))
