"""``hubwire log fork``: a signed log that is refused goes on under another name, and says so."""

from __future__ import annotations

import anyio

from hubwire.listeners import audit

from ..errors import AlreadyRunning
from ..proof import Checkpoint, KeySigner
from .output import escape, plural, say
from .prune import InUse, check_unused
from .target import AUDIT, find_log, open_target

__all__ = ("fork",)

_BY = "an operator with hubwire log fork"
_STOP_IT = "stop that program, and try again"


async def fork(target: str, key: str, reason: str, by: str | None, log: str | None, dry_run: bool) -> None:
    """Fork a log, or with ``dry_run`` say what that would give up. Raises :class:`InUse`."""
    signer = await anyio.to_thread.run_sync(KeySigner.from_file, key)
    store = open_target(target)
    try:
        path = await find_log(store, log or AUDIT, target)
        await check_unused(store, path, _STOP_IT)
        made = await audit.fork(store, path, signer=signer, reason=reason, by=by or _BY, dry_run=dry_run)
    except AlreadyRunning as error:
        raise InUse(f"{error}: {_STOP_IT}") from error
    finally:
        await store.aclose()
    _print(made, key, signer)


def _print(made: audit.Fork, key: str, signer: KeySigner) -> None:
    old, would = made.old, "would go on" if made.note is None else "goes on"
    say(escape(f"{made.path} {would} as {made.origin} from record {made.record} on, with the key in {key}"))
    signed = f"{old.origin} had signed {plural(old.size, 'record')}"
    if made.seen is not None:
        what = "all of them are there, but records that came after are lost" if made.is_continuous else "some are lost"
        say(escape(f"{signed}; {what}: {made.seen}; log.forked says so to all who verify"))
    elif made.is_continuous:
        say(escape(f"{signed}; all of them are there"))
    else:
        say(escape(f"{signed}; what is there is not what it had signed, and log.forked says so to all who verify"))
    if made.note is None:
        say("nothing was changed: leave --dry-run out to do it")
        return
    size = Checkpoint.parse(made.note.text).size
    say(f"its first checkpoint is over {plural(size, 'record')}; the verifier key, for all who check:")
    say(str(signer.vkey))
