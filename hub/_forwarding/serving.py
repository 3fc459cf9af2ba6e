"""The side that leads: carries out the commands of hubs that follow, each once, however often it is sent."""

from __future__ import annotations

import hashlib
import os
import socket
from collections import OrderedDict
from collections.abc import Mapping
from contextvars import Context as ContextVars
from functools import partial
from typing import Any

import anyio
import attrs
from anyio.abc import TaskGroup

from .. import context
from .._commands import Core
from .._parts import Parts
from .._state.followers import CommandResult
from .._version import installed_version
from ..errors import CommandRejected, HubClosed, HubFailed
from ..events import EnvelopePosted, Event, GenericEvent
from ..events._shown import shown
from ..own_log import OwnLog
from ..ports import CommandLink
from .failures import encode_failure
from .marking import Mark, marking
from .objects import Objects
from .results import at
from .table import COMMANDS
from .values import Unreadable, decode, encode
from .wire import VERSION, Request, bytes_max_of, read, read_part, write

__all__ = ("Serving",)

_log = OwnLog("hub")

_LIVE_MAX = 20_000
"""Of so many calls the answer is remembered in this process, besides those that are under way."""

_UNDER_WAY_MAX = 10_000

_WAIT_SECONDS_MAX = 30.0
_PLACE = {
    "agent_id": "agent",
    "session_id": "session",
    "turn_id": "turn",
    "channel_id": "channel",
    "task_id": "task",
    "tenant": "tenant",
    "correlation_id": "correlation_id",
    "traceparent": "traceparent",
}
"""What a context has that is text, and how a scope calls it."""


@attrs.define(eq=False, repr=False)
class _Call:
    """A call that was taken."""

    digest: str
    done: anyio.Event = attrs.Factory(anyio.Event)
    scope: anyio.CancelScope = attrs.Factory(anyio.CancelScope)
    reply: bytes = b""


class Serving:
    """Serves a link while the hub leads; given to the hub as a feed."""

    name = "commands"

    def __init__(self, parts: Parts, link: CommandLink) -> None:
        self._parts = parts
        self._link = link
        self._core = parts.core
        self._followers = parts.state.followers
        self._tasks: TaskGroup | None = None
        self._calls: OrderedDict[tuple[str, int], _Call] = OrderedDict()
        self._under_way = 0
        self._is_closing = False
        self._over: anyio.Event | None = None
        """Set when no call is under way any more, of a hub that is about to close."""
        self._self = {"host": socket.gethostname(), "pid": os.getpid()}

    # -- as a feed --

    async def run(self, hub: Any) -> None:
        """Serve until the hub closes."""
        del hub
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                async with self._link.serve(self.handle):
                    await anyio.sleep_forever()
            finally:
                self._tasks = None

    async def finish(self) -> None:
        """Take no more calls, and let those that were taken come to their ends."""
        self._is_closing = True
        if self._under_way:
            self._over = anyio.Event()
            await self._over.wait()

    # -- requests --

    async def handle(self, body: bytes) -> bytes:
        """Return the answer to a request. It changes nothing unless the request is whole and of this version."""
        try:
            request = read(body, Request)
            if request.v > VERSION:
                return self._refused(f"the request is of version {request.v}, and this hub knows {VERSION}: upgrade it")
            return await self._answered(request)
        except Unreadable as error:
            return self._refused(f"the request cannot be read: {error}")
        except (HubClosed, HubFailed) as error:
            return self._reply("again", why=str(error))
        except CommandRejected as error:
            return self._refused(str(error))

    async def _answered(self, request: Request) -> bytes:
        core, hub_id = self._core, self._core.hub_id
        if request.hub and request.hub != hub_id:
            return self._refused(f"this is hub {hub_id}, and the request is for hub {shown(request.hub)}")
        if not _is_session(request.session) or request.number < 0:
            raise Unreadable("a session is named by 32 hex digits, and a number is not negative")
        if not core.is_open or self._is_closing or self._tasks is None:
            return self._reply("again", why="the hub that was asked is closing, or does not lead")
        if request.what == "call":
            return await self._call(request)
        if request.what == "cancel":
            if (call := self._calls.get((request.session, request.number))) is not None:
                call.scope.cancel()
        elif request.what == "leave":
            await core.execute(lambda: self._followers.leave(request.session))
        else:
            return self._refused(f"{shown(request.what)} is nothing that this hub does: upgrade it")
        return self._reply("done")

    async def _call(self, request: Request) -> bytes:
        key, content = (request.session, request.number), bytes(request.call)
        digest = hashlib.blake2b(content, digest_size=8).hexdigest()
        call = self._calls.get(key)
        if call is None:
            if request.session not in self._followers:
                if not request.opens:
                    return self._reply("gone", why="the session is not known: an hour has passed without a command")
                await self._join(request)
            kept = self._followers.find(*key)
            if kept is not None:
                return await self._again(kept, digest)
            if self._followers.is_forgotten(*key):
                return self._refused(f"what came of command {request.number} is not known any more")
        call = self._calls.get(key)  # joining may have taken a while
        if call is None:
            name = self._checked_name(content)
            call = self._begun(key, name, digest, content)
        elif call.digest != digest:
            return self._two_callers(request.number)
        with anyio.move_on_after(min(max(request.wait, 0.0), _WAIT_SECONDS_MAX)):
            await call.done.wait()
        return call.reply if call.done.is_set() else self._reply("pending")

    async def _join(self, request: Request) -> None:
        now_ns = self._parts.pipeline.ingress.time.now_ns()
        host = request.host[:255]
        pid = request.pid if 0 <= request.pid < 1 << 31 else 0
        await self._core.execute(lambda: self._followers.join(request.session, host, pid, now_ns))

    def _checked_name(self, content: bytes) -> str:
        given = read_part(content)
        name = given.get("name") if type(given) is dict else None
        if type(name) is not str:
            raise Unreadable("the call has no name")
        group, _, method = name.partition(".")
        if method not in COMMANDS.get(group, ()):
            raise CommandRejected(
                f"this hub, of hubwire {installed_version()}, has no command {shown(name)}: upgrade the hub that leads"
            )
        return name

    def _two_callers(self, number: int) -> bytes:
        return self._refused(
            f"number {number} of this session was another command: two programs use one session, such as a process"
            " and its fork; nothing has happened"
        )

    async def _again(self, kept: CommandResult, digest: str) -> bytes:
        """Return what came of a command that was carried out before, here or by the hub that led then."""
        if kept.digest != digest:
            return self._two_callers(kept.number)
        await self._core.until_committed(kept.seq)
        value = kept.result.get("is") if isinstance(kept.result, Mapping) else None
        return self._reply("done", value={"kept": value}, seq=kept.seq)

    # -- calls --

    def _begun(self, key: tuple[str, int], name: str, digest: str, content: bytes) -> _Call:
        tasks = self._tasks
        if tasks is None or self._under_way >= _UNDER_WAY_MAX:
            raise HubClosed("the hub has more commands of others under way than it takes; ask again")
        call = self._calls[key] = _Call(digest)
        self._under_way += 1
        while len(self._calls) > _LIVE_MAX + self._under_way:
            oldest, found = next(iter(self._calls.items()))
            if not found.done.is_set():
                self._calls.move_to_end(oldest)
                continue
            del self._calls[oldest]
        mark = Mark(*key, name, digest)
        # No context of the link's: what the command says of its own counts.
        ContextVars().run(partial(tasks.start_soon, self._run, call, mark, content, name=f"hubwire {name}"))
        return call

    async def _run(self, call: _Call, mark: Mark, content: bytes) -> None:
        key = (mark.follower_id, mark.number)
        try:
            with call.scope:
                call.reply = await self._carried_out(mark, content)
        except (HubClosed, HubFailed) as error:
            if self._core.is_open:
                call.reply = self._failed(mark, error)
        finally:
            self._under_way -= 1
            if not call.reply:  # cancelled, or the hub ends: who asks again is answered by the state
                self._calls.pop(key, None)
                call.reply = self._reply("again", why="the call was cancelled, or the hub ends")
            call.done.set()
            if self._over is not None and not self._under_way:
                self._over.set()

    async def _proved(self, mark: Mark) -> None:
        """Return when what was decided counts: it has committed, or no other hub has taken over before."""
        if mark.last >= 0:
            await self._core.until_committed(mark.last)
        elif not self._core.is_ours():
            await self._core.prove_ours()

    async def _carried_out(self, mark: Mark, content: bytes) -> bytes:
        core = marking(self._core, mark)
        try:
            given = read_part(content)
            method, args, named = self._resolved(core, mark.name, given)
            with _around(given.get("around")):
                result = await method(*args, **named)
            await self._proved(mark)
            return self._done(mark, result)
        except (HubClosed, HubFailed):
            raise
        except Unreadable as error:
            return self._refused(f"the call {mark.name} cannot be read: {error}")
        except Exception as error:  # noqa: BLE001 - the caller gets it
            await self._proved(mark)
            return self._failed(mark, error)

    def _resolved(self, core: Core, name: str, given: Any) -> tuple[Any, list[Any], dict[str, Any]]:
        acting = given.get("acting") or {}
        tenant, agent_id = acting.get("tenant"), acting.get("agent_id")
        for each in (tenant, agent_id):
            if each is not None and type(each) is not str:
                raise Unreadable("who acts is named by text")
        if tenant is not None:
            if (on_tenant := self._parts.state.agents.on_tenant) is not None:
                on_tenant()
            core = core.as_tenant(tenant)
        if agent_id is not None:
            core = core.as_one(agent_id)
        objects = Objects(self._parts, core)
        group, _, method = name.partition(".")
        on = given.get("on")
        target = objects.group(group) if on is None else decode(on, objects)
        if on is not None and type(target).__name__.lower() != group:
            raise Unreadable(f"{name} is no command of a {type(target).__name__}")
        args, named = decode(given.get("args", []), objects), decode(given.get("named", {}), objects)
        if type(args) is not list or type(named) is not dict or not all(type(key) is str for key in named):
            raise Unreadable("arguments are a list and an object")
        return getattr(target, method), args, named

    # -- answers --

    def _done(self, mark: Mark, result: Any) -> bytes:
        value = self._reference(result)
        seq = max(mark.last, self._parts.pipeline.ring.committed.value - 1)
        return self._reply("done", value={"is": value}, seq=seq)

    def _reference(self, result: Any) -> Any:
        """Return a result as a value; an event of this hub by its ``seq``: the caller has it, too."""
        if isinstance(result, Event) and result.seq >= 0 and result.hub == self._core.hub_id:
            is_whole = not (isinstance(result, EnvelopePosted) and not result.at)  # see Posting.posted_before
            return at(result.seq) if is_whole else encode(result)
        if type(result) is list and result and isinstance(result[0], Event) and result[0].seq >= 0:
            return at(result[0].seq, len(result))
        return encode(result)

    def _failed(self, mark: Mark, error: Exception) -> bytes:
        seq = max(mark.last, self._parts.pipeline.ring.committed.value - 1)
        return self._reply("failed", value=encode_failure(error), seq=seq)

    def _refused(self, why: str) -> bytes:
        return self._reply("refused", why=why[:2000])

    def _reply(self, what: str, *, value: Any = None, seq: int = -1, why: str = "") -> bytes:
        content = write(value)
        about = {"v": VERSION, "what": what, "seq": seq, "why": why, **self._self}
        body = write(about)[:-1] + b',"value":' + content + b"}"
        if len(body) <= bytes_max_of(self._link):
            return body
        why = f"the command was carried out, and its answer of {len(body)} bytes is more than the link carries"
        return write({**about, "what": "refused", "why": why})


def _is_session(session: str) -> bool:
    return len(session) == 32 and all(each in "0123456789abcdef" for each in session)


def _around(given: Any) -> Any:
    """Return the scope in which a command is carried out: the context of the code that has given it."""
    given = given if type(given) is dict else {}
    cause_id, depth = given.get("causation_id"), given.get("depth")
    if type(cause_id) is str and type(depth) is int and depth > 0:
        context.cause(GenericEvent(kind="follower.caused", id=cause_id, depth=depth - 1))
    return context.scope(**{told: given[name] for name, told in _PLACE.items() if type(given.get(name)) is str})
