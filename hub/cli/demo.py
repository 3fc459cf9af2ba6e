"""``hubwire demo``: agents at work, killed in the middle, started again, and a log that is complete.

The agents run in a process of their own (:mod:`hubwire.cli.scenario`). This process only reads: it follows the audit
log, as any other process can, from the first event to the last, across the kill.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, cast

import anyio
from anyio.abc import Process

from hubwire.listeners.audit import verify
from hubwire.stores import MemoryStore, open_store

from ..errors import ConfigurationError
from ..log import LogReader, Record, follow, log_exists
from ..ports import KnowledgeStore
from .demo_forgers import show_forgers
from .demo_serving import serve_team
from .failures import CommandFailed
from .output import Paint, is_terminal, say
from .pretty import Pretty
from .target import AUDIT, JOURNAL, fields_of

__all__ = ("DemoFailed", "demo")


class DemoFailed(CommandFailed):
    """A check of the demo failed."""


async def demo(
    store_url: str | None, *, tickets: int, pace: float, serves: bool = False, port: int | None = None
) -> None:
    """Run the demo on a store, by default in a temporary directory. Raises :class:`DemoFailed` if a check fails.

    With ``serves``, the team then goes on beside a dashboard until Ctrl-C, if the output is a terminal.
    """
    with _place(store_url) as url:
        store = _readable(url)
        try:
            if await log_exists(store, AUDIT) or await log_exists(store, JOURNAL):
                raise ConfigurationError(f"{url} holds logs already; give the demo an empty directory")
            show = _Show(store, url, tickets, pace)
            await show.run()
            await show.check()
            if serves and is_terminal(sys.stdout):
                await serve_team(store, port=port)
        finally:
            await store.aclose()


@contextmanager
def _place(store_url: str | None) -> Iterator[str]:
    if store_url is not None:
        yield store_url
        return
    with tempfile.TemporaryDirectory(prefix="hubwire-demo-") as directory:
        yield Path(directory).as_uri()


def _readable(url: str) -> KnowledgeStore:
    store = open_store(url)
    if isinstance(store, MemoryStore):
        raise ConfigurationError("the demo runs in two processes, which cannot share a memory store; use a directory")
    return store


class _Show:
    """One run of the demo."""

    def __init__(self, store: KnowledgeStore, url: str, tickets: int, pace: float) -> None:
        self._store = store
        self._url = url
        self._tickets = tickets
        self._pace = pace
        self._kill_after = max(tickets // 2, 1)
        self._paint = Paint(sys.stdout)
        self._pretty = Pretty(short_time=True)
        self._seen: list[Record] = []
        """The records that were on the screen before the kill."""
        self._killed_pid: int | None = None
        self._solved: Counter[int] = Counter()

    async def run(self) -> None:
        """Start the agents, show their events, kill them, start them again, and show the rest."""
        self._announce(f"Four agents work on {self._tickets} tickets, in a hub on {self._url}.")
        process = await self._start(hang_after=self._kill_after)
        # Its type says iterator, but it is a generator, and has a subscription to close.
        records = cast(AsyncGenerator[Record, None], follow(self._store, AUDIT, start=0))
        try:
            async with anyio.create_task_group() as tasks, aclosing(records):
                tasks.start_soon(self._fail_if_dead, process)
                async for record in records:
                    fields = fields_of(record) or {}
                    say(self._pretty.line(fields))
                    if self._killed_pid is None:
                        self._seen.append(record)
                        if self._is_moment_to_kill(fields):
                            await self._kill(process)
                            process = await self._start()
                            tasks.start_soon(self._fail_if_dead, process)
                    elif fields.get("kind") == "hub.started":
                        self._announce_recovery(fields)
                    elif fields.get("kind") == "hub.stopped":
                        break
                await process.wait()
                tasks.cancel_scope.cancel()
        finally:
            if process.returncode is None:
                process.kill()
                with anyio.CancelScope(shield=True):
                    await process.wait()

    async def _start(self, *, hang_after: int = 0) -> Process:
        arguments = [self._url, str(self._tickets), str(self._pace), str(hang_after)]
        return await anyio.open_process(
            [sys.executable, "-P", "-m", "hubwire.cli.scenario", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=None,
        )

    async def _fail_if_dead(self, process: Process) -> None:
        """Fail if the process has died of another cause than this demo: its events would never come."""
        code = await process.wait()
        if code != 0 and process.pid != self._killed_pid:
            raise DemoFailed(f"the agents' process ended with {code}, see above")

    def _is_moment_to_kill(self, fields: dict[str, Any]) -> bool:
        match fields:
            case {"kind": "ticket.solved", "ticket": int(ticket)}:
                self._solved[ticket] += 1
            case {"kind": "tool.called"}:
                return len(self._solved) >= self._kill_after
        return False

    async def _kill(self, process: Process) -> None:
        self._killed_pid = process.pid
        process.send_signal(signal.SIGKILL)
        await process.wait()
        self._announce(
            f"Killed process {process.pid} with SIGKILL, in the middle of a tool call; {len(self._seen)} records were"
            " on the screen. Starting it again …",
            self._paint.red,
        )

    def _announce_recovery(self, fields: dict[str, Any]) -> None:
        shown = sum("seq" in (fields_of(record) or {}) for record in self._seen)
        self._announce(
            f"Process {fields.get('pid')} has recovered {fields['seq']} events from the journal: the {shown} that were"
            f" on the screen and {fields['seq'] - shown} more. It goes on with #{fields['seq']}.",
            self._paint.green,
        )

    # -- the checks --

    async def check(self) -> None:
        """Read the logs back, and compare them."""
        verification = await verify(self._store, AUDIT)
        self._announce(f"The audit log is intact: seq, d and h are right in all events, 0 to {verification.last_seq}.")
        events = await self._compare_with_journal()
        if events != verification.events:
            raise DemoFailed(f"the journal has {events} events, the audit log {verification.events}")
        say(f"Journal and audit log hold the same {events} events, byte for byte.")
        await self._find_what_was_seen()
        say(f"All {len(self._seen)} records that were on the screen before the kill are in the log.")
        await self._count_solved()
        say(f"All {self._tickets} tickets were solved, each once.")
        await show_forgers(self._store, verification.head)
        say(self._paint.bold(f"verified {verification.records} records"))

    async def _compare_with_journal(self) -> int:
        journal, audit = _bodies(self._store, JOURNAL), _bodies(self._store, AUDIT)
        events = 0
        async with aclosing(journal), aclosing(audit):
            async for body in journal:
                if body != await anext(audit, None):
                    raise DemoFailed(f"event {events} is not the same in journal and audit log")
                events += 1
            if await anext(audit, None) is not None:
                raise DemoFailed(f"the audit log has more events than the {events} of the journal")
        return events

    async def _find_what_was_seen(self) -> None:
        seen = iter(self._seen)
        wanted = next(seen, None)
        reader = LogReader(self._store, AUDIT)
        while wanted is not None and (records := await reader.read()):
            for record in records:
                if record == wanted:
                    wanted = next(seen, None)
        if wanted is not None:
            raise DemoFailed(f"record {wanted.index} was on the screen, and is not in the log")

    async def _count_solved(self) -> None:
        self._solved.clear()
        reader = LogReader(self._store, AUDIT)
        while records := await reader.read():
            for record in records:
                self._is_moment_to_kill(fields_of(record) or {})
        if self._solved != Counter(range(1, self._tickets + 1)):
            raise DemoFailed(f"tickets were solved this often: {dict(self._solved)}")

    def _announce(self, text: str, style: Any = None) -> None:
        say("")
        say((style or self._paint.bold)(text))
        say("")


async def _bodies(store: KnowledgeStore, path: str) -> AsyncGenerator[bytes, None]:
    """Iterate over the events of a log as they were appended."""
    reader = LogReader(store, path)
    while records := await reader.read():
        for record in records:
            if "seq" in (fields_of(record) or {}):
                yield record.body
