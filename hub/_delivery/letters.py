"""Dead letters of listeners, on their way from a failure to where they are kept.

No listener and no commit waits here but a DURABLE listener for its own letter. One task writes them all, when there
are any: those that come meanwhile are written together.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio.abc import TaskGroup

from .._foreign.guards import text_of
from ..errors import HubClosed
from ..own_log import OwnLog
from ..ports import Clock, Journal
from .announcements import Announcements
from .duty import Duty
from .overflows import Overflows

if TYPE_CHECKING:
    from .letter import DeadLetterPolicy, DeadLetterStatistics  # imported with the first letter
    from .letter_box import LetterBox
    from .letter_lines import Death, Head

__all__ = ("Letters",)

_log = OwnLog("hub")

T = TypeVar("T")

WAITING_MAX = 1000
"""How many letters of BEST_EFFORT listeners wait for a store that fails; beyond, the oldest are lost."""

_FOLDER = "dead-letters"
_REQUESTS = "requests/"

_DROPS_SECONDS = 1.0
_AGAIN_SECONDS = 1.0
REQUESTS_SECONDS = 10.0
"""How often a hub that has dead letters looks for requests of the command line."""


class _Act:
    """What a task wants to be done with the letters, after those that died before."""

    def __init__(self, act: Callable[[LetterBox], Awaitable[Any]]) -> None:
        self.act = act
        self.done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()


class Letters:
    """All dead letters of one hub's listeners."""

    def __init__(self, journal: Journal | None, clock: Clock, announcements: Announcements) -> None:
        self.policy: DeadLetterPolicy | None = None
        """None: as :class:`~hubwire.DeadLetterPolicy` has it by default."""
        self.take_requests: Callable[[], Awaitable[None]] | None = None
        """Does what the command line has asked for."""
        self.has_others: Callable[[], bool] = bool
        """Tells whether there are dead letters elsewhere that the command line may ask for."""
        self._journal = journal
        self._clock = clock
        self._announcements = announcements
        self._tasks: TaskGroup | None = None
        self._box: LetterBox | None = None
        """None before the first letter, or the first look."""
        self._loading = asyncio.Lock()
        self._deaths: list[tuple[Death, asyncio.Future[None] | None]] = []
        """Letters to be stored, and who waits for it."""
        self._acts: list[_Act] = []
        self._overflows = Overflows()
        self._is_working = False
        self._has_ended = False
        self._news = asyncio.Event()
        """Set when the task that waits to try again has more to do."""
        self._has_some = asyncio.Event()
        """Set when there is a dead letter that the command line may ask for."""
        self._counts = {"retried": 0, "discarded": 0, "dropped": 0, "lost": 0}
        self._owed_dropped = 0
        self._error: str | None = None

    # -- what dies --

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def put(self, death: Death) -> None:
        """Store a letter soon."""
        if len(self._deaths) >= WAITING_MAX:
            self._lose_oldest()  # the store does not answer
        self._deaths.append((death, None))
        self._work_soon()

    def _lose_oldest(self) -> None:
        """Give up the letter that has waited longest, and for which no listener waits."""
        for number, (_, done) in enumerate(self._deaths):
            if done is None:
                del self._deaths[number]
                self._counts["lost"] += 1
                return

    async def store(self, death: Death) -> None:
        """Store a letter; raise why it could not be stored."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._deaths.append((death, done))
        self._work_soon()
        await done

    def overflowed(self, attachment: str, duty: Duty, count: int, first_seq: int, last_seq: int) -> None:
        """Note what a mailbox has dropped; all that it drops in a second is one letter."""
        if not self._overflows and self._tasks is not None:
            self._tasks.start_soon(self._gather_overflows)
        self._overflows.add(attachment, duty, count, first_seq, last_seq)

    async def _gather_overflows(self) -> None:
        await self._clock.sleep(_DROPS_SECONDS)
        self._put_overflows()

    def _put_overflows(self) -> None:
        for death in self._overflows.take(self.now_ns()) if self._overflows else ():
            self.put(death)

    # -- the task that writes --

    def start(self, tasks: TaskGroup) -> None:
        """The hub has a group for its tasks."""
        self._tasks = tasks

    def _work_soon(self) -> None:
        self._news.set()
        self._has_some.set()
        if not self._is_working and self._tasks is not None and not self._has_ended:
            self._is_working = True
            self._tasks.start_soon(self._work)

    async def _work(self) -> None:
        try:
            while self._deaths or self._acts:
                deaths, self._deaths = self._deaths, []
                acts, self._acts = self._acts, []
                self._news.clear()
                try:
                    await self._put_all(deaths)
                    deaths = []
                    for act in acts:
                        await self._do(act)
                except BaseException:
                    self._acts = [*acts, *self._acts]
                    self._deaths = [*deaths, *self._deaths]
                    raise
                if self._deaths and self._error is not None:
                    with anyio.move_on_after(_AGAIN_SECONDS):
                        await self._news.wait()
        finally:
            self._is_working = False

    async def _put_all(self, deaths: list[tuple[Death, asyncio.Future[None] | None]]) -> None:
        if not deaths:
            return
        try:
            box = await self.box()
            gone = await box.put([death for death, _ in deaths])
        except Exception as error:  # noqa: BLE001 - the hub goes on: each waits, or its listener is suspended
            self._failed(deaths, error)
            return
        self._error = None
        for _, done in deaths:
            if done is not None and not done.done():
                done.set_result(None)
        self.removed(gone, "dropped")

    def _failed(self, deaths: list[tuple[Death, asyncio.Future[None] | None]], error: Exception) -> None:
        """Tell those that wait; let the others wait for the next time, as many as may."""
        self._error = text_of(error)
        _log.problem("dead letters cannot be stored", error)
        waiting: list[tuple[Death, asyncio.Future[None] | None]] = []
        for death, done in deaths:
            if done is None:
                waiting.append((death, None))
            elif not done.done():
                done.set_exception(error)
        lost = max(0, len(waiting) - WAITING_MAX)
        self._counts["lost"] += lost
        self._deaths = [*waiting[lost:], *self._deaths]

    async def _do(self, act: _Act) -> None:
        try:
            answer = await act.act(await self.box())
        except Exception as error:  # noqa: BLE001 - it is for the task that waits
            if not act.done.done():
                act.done.set_exception(error)
        else:
            if not act.done.done():
                act.done.set_result(answer)

    # -- for commands --

    async def do(self, act: Callable[[LetterBox], Awaitable[T]]) -> T:
        """Have this done with the box, after all that has died until now was stored, if it could be."""
        if self._has_ended or self._tasks is None:
            raise HubClosed("the hub is not running; its dead letters are kept where its journal is")
        self._put_overflows()
        wanted = _Act(act)
        self._acts.append(wanted)
        self._work_soon()
        answer: T = await wanted.done
        return answer

    async def box(self) -> LetterBox:
        """Return the box, with what an earlier hub has kept."""
        async with self._loading:
            if self._box is None:
                box = self._make_box()
                gone = await box.load()
                self._box = box
                self.removed(gone, "dropped")
                for problem in box.files.problems:
                    _log.problem("dead letters are not as they were written", problem=problem)
            return self._box

    def _make_box(self) -> LetterBox:
        from .letter import DeadLetterPolicy  # noqa: PLC0415 - most hubs have no letters
        from .letter_box import LetterBox  # noqa: PLC0415
        from .letter_files import LetterFiles, Lines  # noqa: PLC0415

        policy = self.policy or DeadLetterPolicy()
        journal = self._journal
        files = Lines() if journal is None else LetterFiles(journal, bytes_max=policy.bytes_max)
        return LetterBox(files, policy, self._clock)

    def removed(self, heads: Iterable[Head], outcome: str) -> None:
        """Count and announce letters that are kept no longer."""
        by_attachment: dict[str, list[Head]] = {}
        for head in heads:
            self._counts[outcome] += 1
            if outcome == "dropped" and head.is_owed:
                self._owed_dropped += 1
            by_attachment.setdefault(head.attachment, []).append(head)
        for name, gone in by_attachment.items():
            for head in gone:
                self._announcements.letter_removed(name, outcome, head.seq)
            if outcome == "dropped":
                _log.problem("dead letters were dropped: there are too many, or they are too old", listener=name)

    # -- life --

    async def run(self) -> None:
        """Look for what an earlier hub has kept, and, while there are letters, for requests of the command line."""
        assert self._journal is not None
        store, folder = self._journal.store, f"{self._journal.path}/{_FOLDER}"
        while True:
            try:
                names = await store.list(folder)
                if any(name != _REQUESTS for name in names):
                    await self.box()
                if _REQUESTS in names and self.take_requests is not None:
                    await self.take_requests()
                if not self._deaths:
                    self._error = None
            except Exception as error:  # noqa: BLE001 - the hub goes on, and looks again
                self._error = text_of(error)
                _log.problem("dead letters cannot be looked for", error)
            if not self._box and not self.has_others() and self._error is None:
                self._has_some.clear()
                await self._has_some.wait()
            await self._clock.sleep(REQUESTS_SECONDS)

    def wake(self) -> None:
        """There is a dead letter elsewhere, which the command line may ask for."""
        self._has_some.set()

    async def settle(self, deadline: float) -> None:
        """Store what is not stored yet, until ``deadline``, in the loop's time."""
        self._put_overflows()
        if not self._deaths and not self._acts and not self._is_working:
            return

        async def nothing(_: LetterBox) -> None:
            return

        with anyio.move_on_at(deadline):
            await self.do(nothing)

    def end(self) -> None:
        """The hub has ended: no task waits any more."""
        self._has_ended = True
        if unstored := len(self._deaths) + len(self._overflows):
            _log.problem("dead letters were not stored before the hub ended", count=unstored)
        closed = HubClosed("the hub was closed; what becomes of the dead letter is known at its next start")
        for act in self._acts:
            if not act.done.done():
                act.done.set_exception(closed)
        for _, done in self._deaths:
            if done is not None and not done.done():
                done.set_exception(closed)
                done.exception()  # its listener may have been cancelled before

    # -- reports --

    def statistics(self, inbox: int, *, is_wanted: bool = False, prefix: str = "") -> DeadLetterStatistics | None:
        """Return the numbers; None where there never was a letter, unless they are wanted even so.

        ``inbox`` is how many are kept of inboxes. With a ``prefix``, what is kept of listeners whose names begin so.
        """
        if self._box is None and not (self._deaths or self._overflows or self._error or is_wanted):
            return None
        from .letter import DeadLetterStatistics  # noqa: PLC0415 - most hubs have no letters

        box = self._box
        if prefix:
            return _statistics_of([] if box is None else box.heads(), prefix, inbox)
        ends = None if box is None else box.ends()
        by_attachment, by_reason = ({}, {}) if box is None else box.counts()
        return DeadLetterStatistics(
            kept=0 if box is None else len(box),
            size_bytes=0 if box is None else box.size_bytes,
            inbox=inbox,
            by_attachment=by_attachment,
            by_reason=by_reason,
            oldest_at=None if ends is None else ends[0].first_at,
            newest_at=None if ends is None else ends[1].first_at,
            waiting=len(self._deaths) + len(self._overflows),
            damaged=0 if box is None else box.files.damaged,
            last_error=self._error,
            **self._counts,
        )

    def problems(self) -> list[str]:
        """Return what is owed to listeners and was given up, or cannot be kept."""
        found = []
        if self._box is not None:
            found += [
                f"listener {name!r} is owed {count} events, which are dead letters: mend what it failed at, then await"
                f" hub.dead_letters.retry_all(attachment={name!r}), or discard them"
                for name, count in self._box.owed()
            ]
            found += self._box.files.problems
            if self._box.untidy is not None:
                found.append(f"old files of dead letters cannot be deleted: {self._box.untidy}")
        if self._owed_dropped:
            found.append(
                f"{self._owed_dropped} dead letters of DURABLE listeners were dropped, being too many or too old"
            )
        if self._error is not None:
            found.append(f"dead letters cannot be stored or read: {self._error}")
        return found

    def notes(self) -> tuple[str, ...]:
        """Return what is no problem, and worth knowing."""
        if self._box is None:
            return ()
        rest = len(self._box) - sum(count for _, count in self._box.owed())
        if not rest:
            return ()
        return (f"{rest} dead letters are kept that are owed to no listener: await hub.dead_letters.list()",)


def _statistics_of(heads: Sequence[Head], prefix: str, inbox: int) -> DeadLetterStatistics:
    """Return the numbers of the letters of some listeners; what is counted for the hub alone is 0."""
    from .letter import DeadLetterStatistics  # noqa: PLC0415 - most hubs have no letters

    own = [each for each in heads if each.attachment.startswith(prefix)]
    return DeadLetterStatistics(
        kept=len(own),
        size_bytes=0,
        inbox=inbox,
        by_attachment=dict(Counter(each.attachment for each in own)),
        by_reason=dict(Counter(each.reason for each in own)),
        oldest_at=own[0].first_at if own else None,
        newest_at=own[-1].first_at if own else None,
        waiting=0,
        retried=0,
        discarded=0,
        dropped=0,
        lost=0,
        damaged=0,
        last_error=None,
    )
