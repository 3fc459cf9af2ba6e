"""``hubwire verify``: whether an audit log holds the records that were written."""

from __future__ import annotations

from hubwire.listeners.audit import verify as verify_log

from .output import say
from .target import AUDIT, find_log, open_target

__all__ = ("verify",)


async def verify(target: str, *, log: str | None) -> None:
    """Check every record; print how many there are. Raises :class:`~hubwire.errors.LogDamaged`."""
    store = open_target(target)
    try:
        verification = await verify_log(store, await find_log(store, log or AUDIT, target))
    finally:
        await store.aclose()
    say(f"events    {verification.events:,}")
    if verification.last_seq is not None:
        say(f"seq       {verification.first_seq} to {verification.last_seq}")
        say(f"hub       {verification.hub}")
    say(f"last h    {verification.chain}")
    say(f"verified {verification.records} records")
