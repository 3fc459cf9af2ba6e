"""What can be called on an audit log about its proofs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from hubwire.errors import ConfigurationError
from hubwire.late_types import late_type
from hubwire.log import Log
from hubwire.ports import Clock, KnowledgeStore
from hubwire.proof import InclusionProof, Note, Signer, VerifierKey, WitnessPolicy
from hubwire.proof.cosigning import shown

from . import _arguments
from ._growing import GrowingTree
from ._handing_over import hand_over
from ._heartbeat import Heartbeat
from ._proving import prove
from ._redaction import Redaction
from ._signing import Signing, read_newest

if TYPE_CHECKING:
    from hubwire import Attachment

    from ._timestamping import Timestamping
    from ._witnessing import Witnessing
else:
    Attachment = late_type("hubwire", "Attachment")

__all__ = ("Provable", "Signature")


def policy_of(witnesses: object, signer: object) -> WitnessPolicy | None:
    """Return who witnesses a log."""
    if witnesses is None:
        return None
    policy = witnesses if type(witnesses) is WitnessPolicy else WitnessPolicy(witnesses)  # type: ignore[arg-type]
    if signer is None:
        raise ConfigurationError("witnesses see signed checkpoints: give the log a signer, too")
    return policy


class Signature:
    """The signing of a log, if it has a signer. What is not asked for is not imported, and costs nothing."""

    def __init__(
        self,
        signer: object,
        seconds: object,
        heartbeat_seconds: object,
        witnesses: object = None,
        timestamper: object = None,
    ) -> None:
        self.heartbeat = Heartbeat(heartbeat_seconds)
        self.signing: Signing | None = None
        self.witnessing: Witnessing | None = None
        self.timestamping: Timestamping | None = None
        self._timestamper = timestamper
        if timestamper is not None and signer is None:
            raise ConfigurationError("timestamper stamps signed checkpoints: give the log a signer, too")
        self._signer = signer
        self._policy = policy_of(witnesses, signer)
        self._store: KnowledgeStore | None = None
        self._log: Log | None = None
        self._seconds = _arguments.seconds("checkpoint_seconds", seconds)

    @property
    def on_lines(self) -> Callable[[int, bytes], None] | None:
        """What the log calls with its lines."""
        return None if self._signer is None else self._lines

    def _lines(self, first: int, content: bytes) -> None:
        assert self.signing is not None
        self.signing.lines(first, content)

    def begin(self, store: KnowledgeStore, log: Log, clock: Clock, redact: Callable[[str], str | None]) -> None:
        """The log is there."""
        self._store, self._log = store, log
        if self._signer is None:
            return
        self.signing = Signing(store, log, clock, self._signer, self._seconds)
        if self._policy is not None:
            from ._witnessing import Witnessing  # noqa: PLC0415 - few logs have witnesses

            self.witnessing = Witnessing(self._policy, self.signing, store, log, clock, redact)
            self.signing.on_signed.append(self.witnessing)
        if self._timestamper is not None:
            from ._timestamping import Timestamping, timestamper_of  # noqa: PLC0415 - few logs are timestamped

            self.timestamping = Timestamping(timestamper_of(self._timestamper), store, log)
            self.signing.on_signed.append(self.timestamping)

    @property
    def admit(self) -> Callable[[], Awaitable[None]] | None:
        """What is awaited before an event or a record of the caller's is appended; None if that is nothing."""
        is_closed = self._policy is not None and self._policy.on_missing == "closed"
        return self.witnessing.admit if self.witnessing is not None and is_closed else None

    @property
    def is_ready(self) -> bool:
        """Whether what is appended is added to the tree, if there is one."""
        return self.signing is None or self.signing.growing.tree is not None

    async def ready(self) -> None:
        """See that the log goes on from its newest checkpoint, before it is appended to."""
        if self.signing is not None and not self.signing.is_ready:
            await self.signing.ready()

    async def enter(self, words: Callable[[str], str | None]) -> None:
        """The log is open, on a hub: it has a heartbeat from now on, if it is signed."""
        await self.ready()
        if self.signing is not None and self._log is not None:
            self.heartbeat.begin(self.signing, self._log, words)

    async def keep_tree(self, first: int) -> None:
        """Keep the hashes of the records before ``first``, which are about to be removed, if the log is signed.

        Raises :class:`~hubwire.errors.ConfigurationError` if records would be removed that no checkpoint is over.
        """
        store, log = self._store, self._log
        assert store is not None
        assert log is not None
        if self.signing is not None:
            await self.signing.sign(is_archived=True)
            return
        newest = await read_newest(store, log.path)
        if newest is None:
            return
        if newest[1].size < first:
            raise ConfigurationError(
                f"the log {log.path} is signed up to record {newest[1].size}, and records up to {first} are to be"
                " pruned: who checks it later could not know them. Let the program prune it that has the key, or"
                " start and stop that once"
            )
        growing = GrowingTree(store, log.path)
        await growing.find(log.records, log.segment_bytes, newest[1])
        await growing.keep(is_due=True)

    @property
    def problem(self) -> str | None:
        """Why the newest records are not signed; None if all is well."""
        signing = self.signing
        if signing is None or signing.failure is None:
            others = (each.problem for each in (self.witnessing, self.timestamping) if each is not None)
            return next((each for each in others if each is not None), None)
        return (
            f"cannot sign the log {signing.path}: {signing.failure}; its newest records are stored, and can be changed"
            " by who can write to the store, until that works again"
        )

    async def close(self, seconds: float) -> None:
        """Sign what came last."""
        if self.signing is not None:
            await self.heartbeat.close(seconds)
            await self.signing.close(seconds)
        if self.witnessing is not None:
            await self.witnessing.close(seconds)
        if self.timestamping is not None:
            await self.timestamping.close(seconds)


class Provable:
    """What can be called on an audit log about its proofs."""

    path: str
    _signature: Signature
    _store: KnowledgeStore
    _log: Log
    _redaction: Redaction

    def bind(self, hub: object) -> None:
        """Take the hub of which a heartbeat says what is attached. The hub calls it."""
        self._signature.heartbeat.bind(hub)

    def beat_for(self, attachment: Attachment) -> None:
        """Have a heartbeat for what this log is a part of: several logs of one listener."""
        self._signature.heartbeat.attached(attachment)

    @property
    def vkey(self) -> VerifierKey | None:
        """The public key by which others check the log; None if it is not signed."""
        signing = self._signature.signing
        return None if signing is None else signing.signer.vkey

    @property
    def checkpoint_errors(self) -> int:
        """How many checkpoints were not signed and stored; each time the log tries again."""
        signing = self._signature.signing
        return 0 if signing is None else signing.errors

    async def checkpoint(self) -> Note:
        """Sign all that is stored now, and return the checkpoint: kept elsewhere, it proves what the log was.

        It is in the file ``checkpoint`` of the log when it returns, and among its ``checkpoints``. Raises
        :class:`~hubwire.errors.ConfigurationError` if the log has no signer, :class:`~hubwire.errors.SigningFailed`,
        and what :meth:`append` raises.
        """
        signing = self._signature.signing
        if signing is None:
            raise ConfigurationError(
                f"checkpoint(): the log {self.path} has no signer; give it one, as in"
                " AuditLog(store, signer=KeySigner.from_file('audit.key'))"
            )
        return await signing.sign(is_archived=True)

    @property
    def witness_errors(self) -> int:
        """How many calls of witnesses have failed; each is asked again."""
        witnessing = self._signature.witnessing
        return 0 if witnessing is None else witnessing.errors

    @property
    def timestamp_errors(self) -> int:
        """How many times a checkpoint was not timestamped; the newest one is tried again."""
        timestamping = self._signature.timestamping
        return 0 if timestamping is None else timestamping.errors

    async def witnessed(self, index: int | None = None, *, seconds: float = 30.0) -> Note:
        """Wait until enough witnesses have seen the record numbered ``index``, by default all that is stored now.

        Return the newest checkpoint that they have seen, with their cosignatures. It asks them at once. Raises
        :class:`~hubwire.errors.NotWitnessed` if they have not within ``seconds``: the record is stored all the same;
        :class:`~hubwire.errors.ConfigurationError` if the log has no witnesses, or not that record; and what
        :meth:`checkpoint` raises.
        """
        witnessing, signing = self._signature.witnessing, self._signature.signing
        if witnessing is None or signing is None:
            raise ConfigurationError(f"witnessed(): the log {self.path} has no witnesses; AuditLog(witnesses=...)")
        if index is not None and (type(index) is not int or index < 0):
            raise ConfigurationError(f"witnessed(): index is the number of a record, not {shown(index)}")
        seconds = _arguments.seconds("witnessed(): seconds", seconds)
        await signing.ready()
        records = self._log.records if index is None else index + 1
        if records > self._log.records:
            raise ConfigurationError(
                f"witnessed(): the log {self.path} has {self._log.records} records, and none numbered {index}"
            )
        return await witnessing.wait_for(records, seconds)

    async def prove(self, index: int, *, with_line: bool = True) -> InclusionProof:
        """Return a proof that the record numbered ``index`` is in the log; as :func:`prove` does.

        A log with a signer signs first, if no checkpoint has the record yet.
        """
        signing = self._signature.signing
        if signing is not None and type(index) is int and index >= 0:
            await signing.ready()
            if signing.newest is None or index >= signing.newest.size:
                await signing.sign()
        return await prove(self._store, index, path=self.path, with_line=with_line)

    async def rotate_key(self, signer: Signer, *, by: str | None = None, reason: str | None = None) -> Note:
        """Go on with a new key, and return the checkpoint that says so: the present key and the new one sign it.

        The log says so in a record, ``log.key_rotated``; that is under the checkpoint, which is stored and put aside
        when this returns. From then on ``signer`` signs alone, and the file of the old key can be wiped: see
        :func:`hubwire.proof.wipe_key`. Whoever was given the old key finds the new one by
        :class:`hubwire.proof.KeyChain`; give the new one to all all the same. After a crash the log opens with the old
        key as long as the checkpoint is not stored, with the new one afterwards, and an error says which. ``by`` and
        ``reason`` are written down, redacted as records are.

        Raises :class:`~hubwire.errors.ConfigurationError` if the log has no signer, or ``signer`` is none, has another
        name or the same key; :class:`~hubwire.errors.SigningFailed` if one of them does not sign: the old key goes on;
        and what :meth:`append` raises.
        """
        signing = self._signature.signing
        if signing is None:
            raise ConfigurationError(
                f"rotate_key(): the log {self.path} has no signer, and so no key to hand over from"
            )
        by = self._redaction.words(_arguments.words("rotate_key(): by", by, is_optional=True))
        reason = self._redaction.words(_arguments.words("rotate_key(): reason", reason, is_optional=True))
        return await hand_over(signing, self._log, signer, by=by, reason=reason)
