"""A signed log goes on with another key.

The steps, each on the store before the next one begins:

1. The new signer signs what is stored now: one that does not is refused before the log says anything.
2. The record ``log.key_rotated`` names both keys.
3. A checkpoint over it names the new key, and both sign it. From here on the log is the new key's.
4. That checkpoint is put aside, where those that come do not take its place; an opening makes up for it.
"""

from __future__ import annotations

from functools import partial

import anyio

from hubwire.errors import CheckpointInvalid, ConfigurationError
from hubwire.log import Log
from hubwire.ports import KnowledgeStore
from hubwire.proof import Checkpoint, Note, Signer, WitnessRequest, as_signer, successor_of

from ._signing import Signing, archived_path, archived_sizes

__all__ = ("hand_over", "handovers_of", "handovers_to_tell")


async def handovers_of(store: KnowledgeStore, path: str) -> tuple[Note, ...]:
    """Return the checkpoints put aside that hand over to another key, in the order of their sizes."""
    found = []
    for size in await archived_sizes(store, path):
        content = await store.read_bytes(archived_path(path, size))
        try:
            note = Note.parse(content)
            if successor_of(Checkpoint.parse(note.text)) is not None:
                found.append(note)
        except CheckpointInvalid:  # it hands over to none; that it is damaged is for `verify` to say
            continue
    return tuple(found)


async def handovers_to_tell(
    signing: Signing, store: KnowledgeStore, path: str, newest: Checkpoint
) -> list[WitnessRequest]:
    """Return those up to the newest checkpoint, as a witness is told of them that has not seen them."""
    notes = [(note, Checkpoint.parse(note.text)) for note in await handovers_of(store, path)]
    return [
        WitnessRequest(note, checkpoint, partial(signing.prove, checkpoint.size), is_archived=True)
        for note, checkpoint in notes
        if checkpoint.origin == newest.origin and checkpoint.size < newest.size
    ]


async def hand_over(signing: Signing, log: Log, signer: object, *, by: str | None, reason: str | None) -> Note:
    """Hand a log over to a signer; return the checkpoint that both have signed."""
    new = as_signer(signer)
    async with signing.handing_over:
        await signing.ready()
        _check(signing.signer, new, log.path)
        await signing.try_out(new)
        old, vkey = signing.signer.vkey, new.vkey
        note = None
        # A checkpoint that was stored, and a signer that was not changed, would sign against each other.
        with anyio.CancelScope(shield=True):
            fields = {"old": str(old), "new": str(vkey), "by": by, "reason": reason}
            await log.append([log.own_record("log.key_rotated", **fields)])
            note = await signing.sign(is_archived=True, successor=new)
        assert note is not None
        return note


def _check(old: Signer, new: Signer, path: str) -> None:
    if new.vkey.name != old.vkey.name:
        raise ConfigurationError(
            f"rotate_key(): the log {path} is signed as {old.vkey.name!r:.120}, and the new key is of"
            f" {new.vkey.name!r:.120}: make one of the same name"
        )
    if new.vkey == old.vkey:
        raise ConfigurationError(f"rotate_key(): the log {path} is signed with the key {new.vkey} already")
