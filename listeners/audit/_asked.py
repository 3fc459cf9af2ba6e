"""What an examination is asked: what is expected of the log, and how much of it is to be said."""

from __future__ import annotations

from typing import Any

import attrs

from hubwire.errors import CheckpointInvalid, ConfigurationError, LogDamaged
from hubwire.log import Head
from hubwire.proof import Checkpoint, Note, VerifierKey

from ._state import VerifierState
from ._witnessed import NO_WITNESSES, TrustedWitnesses

__all__ = ("Asked", "checked_keys", "checked_state", "shorter_than")


@attrs.frozen
class Asked:
    """The arguments of an examination that were checked."""

    head: Head | None = None
    vkey: VerifierKey | None = None
    checkpoint: Note | None = None
    gap_seconds_max: float | None = None
    all_faults: bool = False
    state: VerifierState | None = None
    witnesses: TrustedWitnesses = NO_WITNESSES
    timestamp_roots: tuple[Any, ...] = ()


def checked_keys(vkey: object, expected: object) -> tuple[VerifierKey | None, Note | None]:
    """Return the key, and the checkpoint that is expected: signed by the key, if there is one.

    Raises :class:`~hubwire.errors.CheckpointInvalid`.
    """
    key = vkey if vkey is None or type(vkey) is VerifierKey else VerifierKey.parse(vkey)
    if expected is None:
        return key, None
    if type(expected) not in (Note, str, bytes):
        raise ConfigurationError(f"expect_checkpoint is a Note, or its text, not {type(expected).__name__}")
    note = expected if type(expected) is Note else Note.parse(expected)
    checkpoint = Checkpoint.parse(note.text)
    if key is not None and checkpoint.origin != key.name:
        raise CheckpointInvalid(
            f"the checkpoint that is expected is one of {checkpoint.origin!r:.80}, and the key is that of"
            f" {key.name!r:.80}: it is another log, or the log was forked since; without the key, records and"
            " checkpoint are compared all the same"
        )
    return key, note


def checked_state(state: object, path: str) -> VerifierState | None:
    """Return what is remembered of the log at ``path``."""
    if state is None:
        return None
    if type(state) is not VerifierState:
        raise ConfigurationError(f"state is a VerifierState, of an earlier examination, not {type(state).__name__}")
    if state.path != path:
        raise ConfigurationError(
            f"the state is that of the log {state.path:.80}, not of {path}: give it the one of this"
        )
    return state


def shorter_than(state: VerifierState, path: str) -> LogDamaged:
    """Return the error for a log that has lost records since it was examined."""
    return LogDamaged(
        f"the log {path} had {state.records:,} records when it was verified last, and has less: the end was cut off, or"
        " it was restored from an older copy",
        path=path,
    )
