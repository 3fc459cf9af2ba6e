"""``hubwire keys``: the keys that sign audit logs."""

from __future__ import annotations

from pathlib import Path

import anyio
import attrs

from hubwire.listeners.audit import AuditLog

from ..errors import AlreadyRunning, CheckpointInvalid, ConfigurationError
from ..ports import KnowledgeStore
from ..proof import Checkpoint, KeyChain, KeySigner, Note, WitnessKey, wipe_key
from .failures import CommandFailed
from .output import complain, escape, plural, say
from .prune import InUse, check_unused
from .target import AUDIT, find_log, open_target

__all__ = ("new", "rotate", "show")

_BY = "hubwire keys rotate"


def new(name: str, out: str, *, is_witness: bool = False) -> None:
    """Make a key, and print the verifier key alone: it can be taken into a variable."""
    key = WitnessKey.new(name) if is_witness else KeySigner.new(name)
    key.to_file(out)
    say(str(key.vkey))
    complain(f"the key is in {escape(out)}, for its owner alone; the line above is the verifier key, for all who check")


def show(file: str) -> None:
    """Print the verifier key of a key file."""
    try:
        vkey = KeySigner.from_file(file).vkey
    except CheckpointInvalid as error:
        try:
            vkey = WitnessKey.from_file(file).vkey
        except CheckpointInvalid:
            raise error from None
    say(str(vkey))


def rotate(old: str, target: str, *, to: str, reason: str | None, is_kept: bool, log: str | None) -> None:
    """Hand a log over from the key in ``old`` to that in ``to``, and wipe the former."""
    if Path(old).absolute() == Path(to).absolute():
        raise ConfigurationError(f"keys rotate: {old} is the old key and cannot be the new one, too; name another file")
    new = KeySigner.from_file(to) if Path(to).exists() else None
    handing = _Handing(None if new is not None and _is_wiped(old) else KeySigner.from_file(old), new, old, to, reason)
    anyio.run(handing.hand_over, target, log)
    if is_kept:
        say(escape(f"{old} was left; it signs nothing for this log any more"))
    elif Path(old).exists():
        wipe_key(old)
        say(escape(f"{old} was written over and removed"))


@attrs.frozen
class _Handing:
    """The change from one key to another."""

    old: KeySigner | None
    """None: it was wiped by a run before."""
    new: KeySigner | None
    """None: it is made when the log is known to be the old one's."""
    of: str
    to: str
    reason: str | None

    async def hand_over(self, target: str, log: str | None) -> None:
        """Hand over, unless a run before has come so far."""
        store = open_target(target)
        try:
            path = await find_log(store, log or AUDIT, target)
            if await self._is_done(store, path):
                say(escape(f"{path} was handed over to the key in {self.to} before"))
            elif self.old is None:
                raise CommandFailed(f"{self.of} is no key any more, and {path} is not signed with the one in {self.to}")
            else:
                await self._hand_over(store, path, self.old)
        finally:
            await store.aclose()

    async def _is_done(self, store: KnowledgeStore, path: str) -> bool:
        """Return whether the log shows that the one key has handed over to the other."""
        if self.new is None:
            return False
        if self.old is None:
            newest = await store.read_bytes(f"{path}/checkpoint")
            return newest is not None and Note.parse(newest).signed_by(self.new.vkey)
        archived = [f"{path}/checkpoints/{each}" for each in await store.list(f"{path}/checkpoints") if each.isdigit()]
        contents = [await store.read_bytes(name) for name in (f"{path}/checkpoint", *archived)]
        chain = KeyChain(self.old.vkey, [Note.parse(each) for each in contents if each is not None])
        return len(chain.epochs) > 1 and chain.key == self.new.vkey

    async def _hand_over(self, store: KnowledgeStore, path: str, old: KeySigner) -> None:
        if await store.read_bytes(f"{path}/checkpoint") is None:
            raise CommandFailed(f"the log {path} was never signed, so that it has no key to be handed over from")
        advice = (
            f"call it in that program, await audit.rotate_key(KeySigner.from_file({self.to!r})); or stop it, and try"
            " again"
        )
        await check_unused(store, path, advice)
        audit = AuditLog(store, path=path, signer=old)
        try:
            await audit.checkpoint()  # before a key is made: the old one has to be that of the log
            new = self.new
            if new is None:
                new = await anyio.to_thread.run_sync(_made, old.vkey.name, self.to)
            note = await audit.rotate_key(new, by=_BY, reason=self.reason)
        except AlreadyRunning as error:
            raise InUse(f"{error}. For the log {path}: {advice}") from error
        finally:
            await audit.aclose()
        size = Checkpoint.parse(note.text).size
        say(escape(f"{path} goes on with the key in {self.to} after {plural(size, 'record')}"))
        say("its verifier key, for all who check:")
        say(str(new.vkey))


def _is_wiped(file: str) -> bool:
    """Return whether a key is gone, or all zeros: a run before was killed while it wiped it."""
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(4096)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return bool(content) and not any(content)


def _made(name: str, file: str) -> KeySigner:
    key = KeySigner.new(name)
    key.to_file(file)
    return key
