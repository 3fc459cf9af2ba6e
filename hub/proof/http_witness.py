"""The client of a witness, as C2SP has it: https://c2sp.org/tlog-witness."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..clock import SystemClock
from ..errors import CheckpointInvalid, ConfigurationError, WitnessDisagrees, WitnessFailed
from ._posting import Answer, NoAnswer, address_of, post
from .cosigning import as_witness_key, cosignatures
from .note import Checkpoint, Note, NoteSignature, VerifierKey
from .witnesses import WitnessRequest, more_than, other_than

if TYPE_CHECKING:
    from ssl import SSLContext

    from ..ports import Clock
else:
    SSLContext = Clock = object

__all__ = ("ADD_CHECKPOINT", "SIZE_TYPE", "HttpWitness", "submission")

ADD_CHECKPOINT = "/add-checkpoint"
SIZE_TYPE = "text/x.tlog.size"
_SIZE = re.compile(rb"(0|[1-9]\d{0,18})\n?")
_SECONDS_MAX = 10.0
_ANSWER_BYTES_MAX = 16 * 1024
_ROUNDS_MAX = 3
"""So often a size is asked with: another one may have told the witness of the log meanwhile."""
_AHEAD_SECONDS_MAX = 3600
"""A cosignature of a later time is not believed: the clocks of two machines differ, and not by so much."""


def submission(old: int, proof: Sequence[bytes], note: Note) -> bytes:
    """Return the body of a request: a checkpoint, and the proof that it goes on from ``old`` records."""
    lines = "".join(f"{b64encode(each).decode()}\n" for each in proof)
    return f"old {old}\n{lines}\n{note}".encode()


class _KeyNotKnown(WitnessFailed):
    """The witness knows the log by another key."""


class HttpWitness:
    """A witness at a URL, which cosigns checkpoints: ``hubwire witness`` is one, and others speak the same.

    What it returns is checked: the cosignature has to hold by ``vkey``, and its time must not be an hour ahead. It
    follows no redirect, and reads at most 16 KB within ``seconds_max``.
    """

    def __init__(
        self,
        url: str,
        vkey: VerifierKey | str,
        *,
        name: str | None = None,
        seconds_max: float = _SECONDS_MAX,
        ssl_context: SSLContext | None = None,
        clock: Clock | None = None,
    ) -> None:
        """``url`` is the one before ``/add-checkpoint``, and ``vkey`` the verifier key of the witness.

        ``ssl_context`` is one with a certificate authority of yours, for ``https``; ``clock`` says how late it is.
        Raises :class:`~hubwire.errors.ConfigurationError`, and :class:`~hubwire.errors.CheckpointInvalid` for a key
        that is none of a witness.
        """
        self._address = address_of("HttpWitness()", url)
        self._vkey = as_witness_key(vkey)
        if type(seconds_max) not in (int, float) or not 0 < seconds_max <= 3600:
            raise ConfigurationError("HttpWitness(): seconds_max is a number of seconds, above 0 and up to 3,600")
        if name is not None and (type(name) is not str or not name or not name.isprintable()):
            raise ConfigurationError("HttpWitness(): name is a line of text")
        if ssl_context is not None and not hasattr(ssl_context, "wrap_bio"):
            raise ConfigurationError(f"HttpWitness(): ssl_context is an SSLContext, not {type(ssl_context).__name__}")
        if clock is not None and not callable(getattr(clock, "now_ns", None)):
            raise ConfigurationError(f"HttpWitness(): clock is a Clock, not {type(clock).__name__}")
        self._name = self._vkey.name if name is None else name
        self._seconds_max = float(seconds_max)
        self._ssl = ssl_context
        self._clock: Clock = SystemClock() if clock is None else clock
        self._seen: dict[str, int] = {}
        """How many records of each log it has cosigned last, as far as it is known here."""

    def __repr__(self) -> str:
        return f"HttpWitness({self._address.origin!r}, {str(self._vkey)!r})"

    @property
    def name(self) -> str:
        """By what people know it: the name of its key."""
        return self._name

    @property
    def vkey(self) -> VerifierKey:
        """The key by which it cosigns."""
        return self._vkey

    async def witness(self, request: WitnessRequest) -> NoteSignature:
        """Have a checkpoint cosigned; where its key is not known, those before by which the log handed over to it."""
        try:
            return await self._cosigned(request)
        except _KeyNotKnown:
            handovers = [] if request.handovers is None else await request.handovers()
            if not await self._hand_over(handovers):
                raise
        return await self._cosigned(request)

    async def _hand_over(self, handovers: Sequence[WitnessRequest]) -> bool:
        """Show the witness the hand-overs that it has not seen; return whether there was one that it took."""
        is_taken = False
        for each in handovers:
            if each.checkpoint.size <= self._seen.get(each.checkpoint.origin, -1):
                continue
            try:
                await self._cosigned(each)
            except WitnessDisagrees as error:
                if error.size <= each.checkpoint.size:
                    raise
            except _KeyNotKnown:  # one of before the key that it was given
                continue
            else:
                is_taken = True
        return is_taken

    async def _cosigned(self, request: WitnessRequest) -> NoteSignature:
        checkpoint = request.checkpoint
        old = self._seen.get(checkpoint.origin, 0)
        old = old if old <= checkpoint.size else 0  # it says then what it has seen
        for _ in range(_ROUNDS_MAX):
            proof = await request.prove(old) if 0 < old < checkpoint.size else ()
            answer = await self._ask(submission(old, proof, request.note))
            if answer.status == 200:
                cosigned = self._checked(answer, checkpoint)
                self._seen[checkpoint.origin] = checkpoint.size
                return cosigned
            if answer.status == 422:
                raise other_than(self._shown, old, checkpoint)
            if answer.status != 409:
                raise self._refused(answer, checkpoint)
            old = self._seen_instead(answer, old, checkpoint)
        raise WitnessFailed(f"{self._shown} names another size each time; is it told of the log by another hub, too?")

    @property
    def _shown(self) -> str:
        return f"the witness {self._name!r:.120} at {self._address.origin}"

    async def _ask(self, body: bytes) -> Answer:
        try:
            return await post(
                self._address,
                ADD_CHECKPOINT,
                body,
                content_type="text/plain; charset=utf-8",
                seconds=self._seconds_max,
                bytes_max=_ANSWER_BYTES_MAX,
                ssl=self._ssl,
            )
        except NoAnswer as error:
            raise WitnessFailed(f"{self._shown} {error}") from error

    def _checked(self, answer: Answer, checkpoint: Checkpoint) -> NoteSignature:
        try:
            note = Note.parse(checkpoint.text.encode() + b"\n" + answer.body)
            found = cosignatures(note, [self._vkey])
        except CheckpointInvalid as error:
            raise WitnessFailed(f"{self._shown} has answered what is no cosignature: {error!s:.200}") from error
        if not found or note.text != checkpoint.text:
            raise WitnessFailed(
                f"{self._shown} has answered without a cosignature of {self._vkey} that holds; is that its key?"
            )
        if found[0].at_seconds > self._clock.now_ns() // 1_000_000_000 + _AHEAD_SECONDS_MAX:
            raise WitnessFailed(
                f"{self._shown} has cosigned for a time that is more than an hour ahead; its clock is wrong, or the"
                " one here"
            )
        return found[0].line

    def _seen_instead(self, answer: Answer, old: int, checkpoint: Checkpoint) -> int:
        """Return how many records it says it has seen."""
        match = _SIZE.fullmatch(answer.body) if answer.content_type == SIZE_TYPE else None
        size = None if match is None else int(match[1])
        if size is not None and size > checkpoint.size:
            raise more_than(self._shown, size, checkpoint)
        if old == checkpoint.size and size in (None, old):
            raise other_than(self._shown, old, checkpoint)
        if size is None or size == old:
            raise WitnessFailed(f"{self._shown} has answered 409 without a size that tells what it has seen")
        return size

    def _refused(self, answer: Answer, checkpoint: Checkpoint) -> WitnessFailed:
        status, what = answer.status, answer.body[:200].decode("utf-8", "replace").strip()
        said = f" ({what!r:.200})" if what else ""
        if status == 404:
            return WitnessFailed(
                f"{self._shown} does not know the log {checkpoint.origin!r:.120}, or is not at that URL: give its"
                f" operator the verifier key of the log{said}"
            )
        if status == 403:
            return _KeyNotKnown(
                f"{self._shown} knows the log {checkpoint.origin!r:.120} by another key: give its operator the"
                f" verifier key that the log has now{said}"
            )
        if 300 <= status < 400:
            return WitnessFailed(
                f"{self._shown} redirects ({status}), which is not followed; give the URL that is meant"
            )
        return WitnessFailed(f"{self._shown} has answered with {status}{said}")
