"""The side that follows: sends a command until it is answered, and waits until its own state has what it led to."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import anyio
import attrs

from .._commands import Core
from .._commands.exact import exact
from .._commit.journaling import shared
from .._foreign.arguments import Call
from .._foreign.guards import class_name, guarded, guarded_call, guarded_for_caller, text_of
from .._parts import Parts
from ..approvals import Approval
from ..context import current
from ..errors import AskFailed, CommandRejected, EventTooLarge, ForwardingFailed
from ..events import Event, HubStarted
from ..own_log import OwnLog
from ..ports import CommandLink
from ..waking import start_later
from .failures import decode_failure
from .objects import Objects
from .sessions import Session, Sessions
from .values import Unreadable, decode, encode
from .wire import VERSION, Reply, bytes_max_of, read, read_part, write

__all__ = ("Route",)

_log = OwnLog("hub")

SILENT_SECONDS_MAX = 30.0
"""How long a command is sent again while no hub answers."""

_WAIT_SECONDS = 2.0
"""After so long the hub that leads answers that a call is under way: so it is known that it lives."""

_GRACE_SECONDS = 1.0
_PAUSE_SECONDS = 0.05
_SOON_SECONDS = 0.25
"""When another hub begins to lead it is asked so soon again: it may not serve yet, and the one before never answer."""
_SEEN = frozenset({"arguments", "hints"})
"""Arguments of approvals of which an approver has to see all."""
_MARGIN_BYTES = 1024
"""What is in a request besides the call."""
_LEAVING_SECONDS_MAX = 1.0
_CLOSING_SECONDS_MAX = 2.5


class _LedAnew(Exception):
    """Another hub has begun to lead."""


@attrs.define(eq=False, repr=False)
class _Heard:
    """Who has answered last."""

    host: str = ""
    pid: int = 0
    at: float = 0.0

    def __str__(self) -> str:
        if not self.pid:
            return "none has answered since this hub was connected"
        seconds = anyio.current_time() - self.at
        return f"the last one that did is process {self.pid} on {self.host}, {seconds:.1f} s ago"


class Route:
    """The way of the commands of one hub to the hub that leads."""

    def __init__(
        self,
        parts: Parts,
        link: CommandLink,
        is_following: Callable[[], bool],
        faced: Callable[[Any], Any],
        *,
        silent_seconds_max: float = SILENT_SECONDS_MAX,
    ) -> None:
        self.is_following: Callable[[], bool] = is_following
        """Whether another hub leads, as far as this one knows."""
        self._parts = parts
        self._link = link
        self._faced = faced
        self._silent_seconds_max = silent_seconds_max
        self._sessions = Sessions()
        self._heard = _Heard()
        self._self = {"host": socket.gethostname(), "pid": os.getpid()}
        self._telling: set[asyncio.Task[None]] = set()
        self._followed = None if parts.journal is None else shared(parts.journal)
        self._asking: set[anyio.CancelScope] = set()
        """Of the calls that wait for an answer."""
        parts.core.on_applied(HubStarted, self._led_anew)

    # -- a command --

    async def call(self, core: Core, name: str, on: Any, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """Have a command carried out; return what it returns there, when this hub has seen what it led to."""
        lifecycle = self._parts.lifecycle
        lifecycle.check_not_failed()
        lifecycle.check_here()
        content = self._content(core, name, on, args, named)
        session = self._sessions.present()
        number = session.take()
        try:
            reply = await self._answer(session, number, name, content)
        except asyncio.CancelledError:
            self._tell(self._request(session, number, "cancel"))
            raise
        finally:
            if (over := self._sessions.done(session, number)) is not None:
                self._tell(self._request(over, 0, "leave"))
        await self._until_here(reply.seq)
        objects = Objects(self._parts, core, self._faced)
        try:
            value = read_part(reply.value)
            if reply.what == "done":
                return await self._result(core, name, value, objects)
            failure = decode_failure(value, objects)
        except Unreadable as error:
            raise self._failed(name, f"its answer cannot be read: {error}", may_have_happened=True) from error
        raise failure

    def _content(self, core: Core, name: str, on: Any, args: Sequence[Any], named: Mapping[str, Any]) -> bytes:
        for each in (*args, *named.values()):
            if type(each).__name__ == "ApprovalPolicy":
                raise CommandRejected(
                    f"{name}: {class_name(each)} has code in it, which is not sent to the hub that leads; give the"
                    " policy to the hubs themselves, as Hub(approvals=...)"
                )
        if name.startswith("approvals."):  # what is sent says all, so that it is seen here whether there is more
            named = {key: exact(Call(name), key, each) if key in _SEEN else each for key, each in named.items()}
        around, acting = current(), core.acting
        call: dict[str, Any] = {"name": name, "args": [encode(each) for each in args]}
        if on is not None:
            call["on"] = encode(on)
        if named:
            call["named"] = {key: encode(each) for key, each in named.items()}
        if acting.agent_id is not None or acting.tenancy is not None:
            call["acting"] = {"agent_id": acting.agent_id, "tenant": acting.tenant}
        place = attrs.asdict(around, filter=lambda field, value: field.init and value not in (None, 0))
        if place:
            call["around"] = place
        content = write(call)
        most = bytes_max_of(self._link) - _MARGIN_BYTES
        if len(content) > most:
            raise EventTooLarge(
                f"{name} has {len(content)} bytes of arguments, more than the {most} that"
                " commands of a hub that follows may have; store the payload elsewhere, and pass a reference",
                kind="",
                size_bytes=len(content),
                limit_bytes=most,
            )
        return content

    def _request(self, session: Session, number: int, what: str) -> dict[str, Any]:
        return {
            "v": VERSION,
            "what": what,
            "session": session.id,
            "number": number,
            "first": session.first,
            "opens": not session.is_known,
            "wait": _WAIT_SECONDS,
            "hub": self._parts.core.hub_id,
            **self._self,
        }

    async def _answer(self, session: Session, number: int, name: str, content: bytes) -> Reply:
        """Send a command until there is an answer, to whichever hub leads then."""
        since, was_sent, why = anyio.current_time(), False, ""
        seconds = seconds_max = _WAIT_SECONDS + _GRACE_SECONDS
        while True:
            body = write(self._request(session, number, "call"))[:-1] + b',"call":' + content + b"}"
            try:
                answer = await self._asked_of_leader(body, seconds)
                seconds = seconds_max
            except _LedAnew as error:
                was_sent, why, seconds = True, str(error), _SOON_SECONDS
            except ConnectionRefusedError:
                why = why or "none takes commands"
            except Exception as error:  # noqa: BLE001 - whatever a link raises, it may have sent it
                was_sent, why = True, text_of(error)
                seconds = min(2 * seconds, seconds_max)
            else:
                reply = self._read(name, answer)
                if reply.what in ("done", "failed", "pending"):
                    self._heard = _Heard(reply.host, reply.pid, anyio.current_time())
                    self._sessions.note(session)
                    since, was_sent = anyio.current_time(), True
                    if reply.what == "pending":
                        continue
                    return reply
                if reply.what == "refused":
                    raise self._failed(name, reply.why, may_have_happened=was_sent)
                if reply.what == "gone":
                    self._sessions.end(session)
                    raise self._failed(name, reply.why, may_have_happened=was_sent)
                why = reply.why
            if anyio.current_time() - since > self._silent_seconds_max:
                seconds = anyio.current_time() - since
                raise self._failed(name, f"no hub has answered for {seconds:.1f} s ({why}); {self._heard}", was_sent)
            await anyio.sleep(_PAUSE_SECONDS)
            if self._parts.pipeline.ring.committed.ended:
                raise self._parts.core.end_error(f"the hub was closed while it waited for the answer to {name}")

    async def _asked_of_leader(self, body: bytes, seconds: float) -> bytes:
        """Ask; raise :class:`_LedAnew` when another hub begins to lead: the one that was asked may never answer."""
        with anyio.CancelScope() as scope:
            self._asking.add(scope)
            try:
                return await self._asked(body, seconds)
            finally:
                self._asking.discard(scope)
        raise _LedAnew("another hub leads now")

    def _led_anew(self, event: HubStarted) -> None:
        del event
        end = anyio.current_time() + _SOON_SECONDS  # an answer that is on its way is waited for
        for scope in self._asking:
            scope.deadline = min(scope.deadline, end)

    async def _asked(self, body: bytes, seconds: float) -> bytes:
        """Ask by the link, which is code of others, and may not keep to the time."""
        with anyio.fail_after(seconds + _GRACE_SECONDS):
            return await guarded_for_caller(self._link.request, body, seconds)

    def _read(self, name: str, answer: bytes) -> Reply:
        try:
            reply = read(answer, Reply)
        except Unreadable as error:
            raise self._failed(name, f"the answer cannot be read: {error}", may_have_happened=True) from error
        if reply.v > VERSION:
            raise self._failed(
                name, f"the answer is of version {reply.v}, and this hub knows {VERSION}: upgrade it", True
            )
        return reply

    def _failed(self, name: str, why: str, may_have_happened: bool = False) -> ForwardingFailed:  # noqa: FBT001, FBT002
        what = "it is not known whether it has happened" if may_have_happened else "nothing has happened"
        return ForwardingFailed(
            f"{name} was not carried out by the hub that leads: {why}; {what}", may_have_happened=may_have_happened
        )

    # -- its result --

    async def _until_here(self, seq: int) -> None:
        """Return when this hub has the events up to this one, or has come to its end. They are committed."""
        committed = self._parts.pipeline.ring.committed
        if committed.value <= seq:
            self._tell_journal(seq + 1)
            await committed.wait_beyond(seq)

    def _tell_journal(self, seq: int) -> None:
        """Let the journal not wait until it hears that the events below this one are committed: an answer says so."""
        if self._followed is None:
            return
        try:
            guarded_call(self._followed.committed, seq)
        except Exception as error:  # noqa: BLE001 - it hears of it in its own way
            _log.detail("the journal that is followed took no notice of what is committed", reason=text_of(error))

    async def _result(self, core: Core, name: str, value: Any, objects: Objects) -> Any:
        if type(value) is not dict or not ("is" in value or "kept" in value):
            raise Unreadable("it has no result")
        found = value["is"] if "is" in value else value["kept"]
        mark = found.get("$") if type(found) is dict else None
        if mark in ("at", "all"):
            events = [await self._event(name, seq) for seq in self._places(found)]
            return events if mark == "all" else events[0]
        if type(found) is dict and "interrupted" in found:
            self._interrupted(name)
        if type(found) is dict and "gate" in found:
            return await self._passed(core, found["gate"])
        return decode(found, objects)

    def _interrupted(self, name: str) -> NoReturn:
        text = "the hub that has led was replaced by another one while the call was under way, which has begun"
        if name == "hub.ask":
            raise AskFailed(f"no answer will come: {text}; ask again")
        raise self._failed(name, text, may_have_happened=True)

    async def _passed(self, core: Core, approval_id: Any) -> Approval:
        """Return an approval for which another hub has begun to wait."""
        approval: Approval = await self.call(core, "approvals.wait", None, (approval_id,), {})
        if not approval.was_used:
            await self.call(core, "approvals.use", None, (approval_id,), {})
        return approval

    def _places(self, found: Mapping[str, Any]) -> range:
        """Return the ``seq`` of the events to which an answer refers. This hub has them, or they are none."""
        seq, count = found.get("seq"), found.get("count", 1)
        if type(seq) is not int or type(count) is not int or seq < 0 or count < 1:
            raise Unreadable("events are known by their numbers")
        if seq + count > self._parts.pipeline.ring.applied.value:
            raise Unreadable(f"there is no event {seq + count - 1}")
        return range(seq, seq + count)

    async def _event(self, name: str, seq: int) -> Event:
        event = await self._parts.core.event_at(seq)
        if event is None:
            raise self._failed(
                name, f"it was carried out, as event {seq}, which is not held any more", may_have_happened=True
            )
        return event

    # -- what no task waits for --

    def _tell(self, request: dict[str, Any]) -> None:
        """Send what needs no answer: who is cancelled does not wait for it."""
        self._keep(start_later(self._told(write(request)), name="hubwire telling the hub that leads"))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _told(self, body: bytes) -> None:
        try:
            await self._asked(body, _LEAVING_SECONDS_MAX)
        except Exception as error:  # noqa: BLE001 - it is forgotten there in an hour
            _log.detail("the hub that leads was not told of a call that was given up", reason=text_of(error))

    def end(self) -> None:
        """The hub is closed or has failed: its sessions are over, and the link is not needed any more."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return  # its loop is gone
        requests = [self._request(session, 0, "leave") for session in self._sessions.all_known()]
        self._keep(start_later(self._left(requests), name="hubwire leaving the hub that leads"))

    async def _left(self, requests: Sequence[dict[str, Any]]) -> None:
        with anyio.move_on_after(_LEAVING_SECONDS_MAX):
            for request in requests:
                await self._told(write(request))
        try:
            with anyio.fail_after(_CLOSING_SECONDS_MAX):
                await guarded(self._link.aclose)
        except Exception as error:  # noqa: BLE001 - nothing is lost by it
            _log.problem("a link was not given up", error)

    async def aclose(self) -> None:
        """Return when nothing is under way, of a hub that has ended; in time, whatever the link does."""
        if self._telling:
            await asyncio.wait(set(self._telling), timeout=_LEAVING_SECONDS_MAX + _CLOSING_SECONDS_MAX)
