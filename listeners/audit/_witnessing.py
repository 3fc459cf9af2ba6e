"""Witnessing: who is to see the checkpoints of a log is told of the newest one, beside the writing of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import anyio
import attrs

from hubwire.clock import timestamp
from hubwire.errors import NotWitnessed, WitnessDisagrees, WitnessFailed
from hubwire.guests import GuestTask
from hubwire.log import Log
from hubwire.own_log import OwnLog
from hubwire.ports import Clock, KnowledgeStore
from hubwire.proof import Checkpoint, CheckpointWitness, Note, NoteSignature, VerifierKey, WitnessPolicy, WitnessRequest

from ._guests import Worker
from ._handing_over import handovers_to_tell
from ._signing import Signing

__all__ = ("Witnessing",)

_log = OwnLog("audit")

_RETRY_SECONDS = 1.0
_RETRY_SECONDS_MAX = 60.0
_HURRY_SECONDS = 1.0
"""Between two times that the witnesses are asked out of turn: who is refused tries again at once."""
_REASON_CHARS_MAX = 300
_NAMED_MAX = 20


@attrs.define(eq=False)
class _Told:
    """A witness, and what it was told."""

    witness: CheckpointWitness
    name: str
    vkey: VerifierKey | None
    text: str = ""
    """The newest checkpoint of which it has taken note."""
    reason: str = ""
    """Why its last call has failed; empty if it has not."""
    failures: int = 0
    again_at: float = 0.0
    """By the loop's time."""
    disagrees: bool = False
    """It knows another log of this name: it is asked no more."""
    seen: int | None = None
    """How many records it has seen of that one."""
    guest: GuestTask | None = None

    def succeeded(self, text: str, again_at: float) -> None:
        self.text, self.reason, self.failures, self.again_at = text, "", 0, again_at

    def failed(self, reason: str, now: float) -> None:
        self.text, self.reason = "", reason
        self.again_at = now + min(_RETRY_SECONDS * 2 ** min(self.failures, 10), _RETRY_SECONDS_MAX)
        self.failures += 1


class _Outage:
    """Since when the newest checkpoint of a log is not witnessed, and whether that was told."""

    def __init__(self) -> None:
        self.since: float | None = None
        """By the loop's time; None while it is."""
        self.begun_at: str = ""
        self.is_declared: bool = False
        self.begun_records: int = 0

    def begin(self, now: float, at: str, records: int) -> None:
        if self.since is None:
            self.since, self.begun_at, self.begun_records = now, at, records

    def end(self) -> None:
        self.since, self.is_declared = None, False


class Witnessing:
    """Tells the witnesses of one log: each of the newest checkpoint alone, one call at a time, again if it failed."""

    def __init__(
        self,
        policy: WitnessPolicy,
        signing: Signing,
        store: KnowledgeStore,
        log: Log,
        clock: Clock,
        redact: Callable[[str], str | None],
    ) -> None:
        self.policy = policy
        self.errors: int = 0
        """How many calls of witnesses have failed."""
        self.witnessed: Note | None = None
        """The newest checkpoint that enough of them have seen, with their cosignatures."""
        self._interval_seconds = min(policy.interval_seconds, policy.grace_seconds / 2)
        """So that a log whose witnesses answer is never unwitnessed."""
        self._told = [_Told(each, each.name, each.vkey) for each in policy.witnesses]
        self._signing = signing
        self._store = store
        self._log = log
        self._clock = clock
        self._redact = redact
        self._newest: WitnessRequest | None = None
        self._outage = _Outage()
        self._timer: asyncio.TimerHandle | None = None
        self._worker = Worker("hubwire audit witnessing")
        self._rounds = 0
        """How many rounds have ended."""
        self._hurried_at = float("-inf")
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def problem(self) -> str | None:
        """Why the log is not witnessed; None if all is well."""
        if not self._outage.is_declared:
            return None
        what = "takes nothing more" if self.policy.on_missing == "closed" else "goes on"
        return f"the log {self._log.path} is not witnessed since {self._outage.begun_at}, and {what}: {self._why()}"

    def _why(self) -> str:
        failing = [
            f"{each.name}: {each.reason or 'it was not asked yet'}" for each in self._told if not self._has(each)
        ]
        return (
            f"{self.policy.quorum} of {len(self._told)} witnesses have to see a checkpoint, and these have not:"
            f" {'; '.join(failing[:_NAMED_MAX])}"
        )

    def _has(self, told: _Told) -> bool:
        return self._newest is not None and told.text == self._newest.note.text

    # -- what is to be told --

    def signed(self, note: Note, checkpoint: Checkpoint, *, is_archived: bool) -> None:
        """Take the newest checkpoint. It is stored."""
        before = self._newest
        if before is not None and before.note.text == note.text:
            is_archived = is_archived or before.is_archived
            self._newest = attrs.evolve(before, note=note, is_archived=is_archived)
        else:
            prove = partial(self._signing.prove, checkpoint.size)
            handovers = partial(handovers_to_tell, self._signing, self._store, self._log.path, checkpoint)
            self._newest = WitnessRequest(note, checkpoint, prove, is_archived, handovers)
            now = timestamp(self._clock.now_ns())
            self._outage.begin(asyncio.get_running_loop().time(), now, checkpoint.size)
        self._plan()

    def _plan(self) -> None:
        """Have those told that are to be told, when they may be."""
        loop = asyncio.get_running_loop()
        moments = [each.again_at for each in self._told if not self._has(each) and not each.disagrees]
        if self._outage.since is not None and not self._outage.is_declared:
            moments.append(self._outage.since + self.policy.grace_seconds)
        if self._worker.is_at_work or not moments or self._newest is None:
            return
        self._stop_timer()
        self._timer = loop.call_at(max(min(moments), loop.time()), self._begin)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> None:
        self._timer = None
        if self._log.is_open and not self._worker.is_at_work:
            self._worker.start(self._tell)

    # -- one round --

    async def _tell(self, *, is_urgent: bool = False) -> None:
        try:
            newest, now = self._newest, asyncio.get_running_loop().time()
            if newest is not None:
                async with anyio.create_task_group() as tasks:
                    for each in self._told:
                        if not self._has(each) and not each.disagrees and (is_urgent or each.again_at <= now):
                            tasks.start_soon(self._ask, each, newest)
                await self._look_at_outage()
        finally:
            self._rounds += 1
            self._wake()
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._log.is_open:
            self._plan()

    async def _ask(self, told: _Told, request: WitnessRequest) -> None:
        loop = asyncio.get_running_loop()
        try:
            signature = await self._answer(told, request)
            added = [] if signature is None else [signature]
            told.succeeded(request.note.text, loop.time() + self._interval_seconds)
            await self._seen(request, added)
        except Exception as error:  # noqa: BLE001 - it is counted and told, and the log goes on
            self.errors += 1
            reason = f"{error!s:.{_REASON_CHARS_MAX}}" or type(error).__name__
            if not isinstance(error, WitnessFailed):
                reason = f"{type(error).__name__}: {reason}"
            told.failed(reason, loop.time())
            if isinstance(error, WitnessDisagrees):
                self._disagreed(told, error)

    async def _answer(self, told: _Told, request: WitnessRequest) -> NoteSignature | None:
        if told.guest is not None and told.guest.is_still_running:
            raise WitnessFailed("its last call was cancelled, and goes on all the same")
        told.guest = GuestTask(f"the witness {told.name:.80}")
        try:
            ask: Callable[[WitnessRequest], Awaitable[object]] = told.witness.witness
            answer = await told.guest.call(ask, request, seconds=self.policy.seconds_max)
        finally:
            told.guest.end()
        if told.vkey is None:
            return None
        if type(answer) is not NoteSignature or not told.vkey.holds(request.note.text.encode(), answer):
            raise WitnessFailed(f"it returned what is no cosignature of {told.vkey} that holds")
        return answer

    async def _seen(self, request: WitnessRequest, added: Sequence[NoteSignature]) -> None:
        """A witness has seen a checkpoint."""
        is_enough = sum(each.text == request.note.text for each in self._told) >= self.policy.quorum
        if added or is_enough:
            note = await self._signing.cosigned(request.note, added, is_enough=is_enough)
            if is_enough:
                self.witnessed = note
                self._end_outage(request)
            self._wake()

    def _end_outage(self, request: WitnessRequest) -> None:
        newest, was_declared = self._newest, self._outage.is_declared
        assert newest is not None
        self._outage.end()
        if newest.note.text != request.note.text:
            now = timestamp(self._clock.now_ns())
            self._outage.begin(asyncio.get_running_loop().time(), now, request.checkpoint.size)
        if was_declared:
            _log.detail("an audit log is witnessed again", log=self._log.path)

    # -- what is wrong --

    def _disagreed(self, told: _Told, error: WitnessDisagrees) -> None:
        told.disagrees = True
        told.seen = error.size if type(error.size) is int and 0 <= error.size < 2**63 else None
        _log.failure("a witness knows another history of an audit log", log=self._log.path, why=str(error))
        if sum(each.disagrees for each in self._told) >= self.policy.quorum:
            self._signing.refusal = f"{error}. No more checkpoint is signed"

    async def _look_at_outage(self) -> None:
        """Say once that the log is not witnessed, when it was so for long enough; or will not be."""
        outage = self._outage
        if outage.since is None or outage.is_declared:
            return
        left = len(self._told) - sum(each.disagrees for each in self._told)
        is_over = asyncio.get_running_loop().time() >= outage.since + self.policy.grace_seconds
        if not is_over and left >= self.policy.quorum:
            return
        outage.is_declared = True
        _log.failure("an audit log is not witnessed", log=self._log.path, why=self._why())
        fields = {
            "since": outage.begun_at,
            "records": outage.begun_records,
            "quorum": self.policy.quorum,
            "on_missing": self.policy.on_missing,
            "witnesses": [
                {
                    "name": each.name,
                    "reason": self._redact(each.reason),
                    **({} if each.seen is None else {"seen": each.seen}),
                }
                for each in self._told
                if not self._has(each)
            ][:_NAMED_MAX],
        }
        try:
            if self._log.is_open:
                await self._log.append([self._log.own_record("log.unwitnessed", **fields)])
        except Exception as error:  # noqa: BLE001 - who appends next meets it himself
            _log.failure("an audit log could not say that it is not witnessed", error, log=self._log.path)

    # -- those who wait --

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for each in waiters:
            if not each.done() and not each.get_loop().is_closed():
                each.set_result(None)

    async def _changed(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiters.append(future)
        await asyncio.wait([future], timeout=max(seconds, 0))

    def _hurry(self) -> None:
        """Ask all now that have not seen the newest checkpoint, unless that is being done, or was a moment ago."""
        now = asyncio.get_running_loop().time()
        if not self._worker.is_at_work and self._log.is_open and now - self._hurried_at >= _HURRY_SECONDS:
            self._hurried_at = now
            self._stop_timer()
            self._worker.start(partial(self._tell, is_urgent=True))

    async def admit(self) -> None:
        """Let an append pass, or refuse it: of a log that is closed without its witnesses."""
        if not self._outage.is_declared:
            return
        loop, rounds = asyncio.get_running_loop(), self._rounds
        end, was_at_work = loop.time() + self.policy.seconds_max, self._worker.is_at_work
        self._hurry()
        while self._outage.is_declared and loop.time() < end and self._worker.is_at_work:
            await self._changed(end - loop.time())
            if self._rounds > rounds and was_at_work:  # that one was not asked for by this append
                was_at_work, rounds = False, self._rounds
                self._hurry()
        if self._outage.is_declared:
            raise NotWitnessed(
                f"the log {self._log.path} was not appended to, because it is not witnessed since"
                f" {self._outage.begun_at}: {self._why()}"
            )

    async def wait_for(self, records: int, seconds: float) -> Note:
        """Wait until so many records are witnessed; return the checkpoint, with its cosignatures."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self.witnessed is None or Checkpoint.parse(self.witnessed.text).size < records:
            self._signing.check_not_refused()
            if self._signing.newest is None or self._signing.newest.size < records:
                await self._signing.sign()
            if loop.time() >= end:
                raise NotWitnessed(
                    f"the first {records} records of the log {self._log.path} are stored, and not witnessed after"
                    f" {seconds:g} seconds: {self._why()}"
                )
            self._hurry()
            await self._changed(min(end - loop.time(), _HURRY_SECONDS))
        return self.witnessed

    # -- the end --

    async def close(self, seconds: float) -> None:
        """Have the last checkpoint seen, in so many seconds at most."""
        self._stop_timer()
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        is_done = await self._worker.finish(seconds)
        if is_done and self._outage.since is not None:
            self._hurried_at = float("-inf")
            self._hurry()
            await self._worker.finish(max(end - loop.time(), 0))
        self._stop_timer()
        self._newest = None
        self._outage.end()
        self._wake()
