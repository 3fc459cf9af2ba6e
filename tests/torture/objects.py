"""A log on an object store whose service fails: answers are lost, it is down for a while, or the program is killed.

The service is obstore's, in memory. Each of the requests of a run fails once in each of these ways, and what is there
then is judged: after each change of the service as a kill would have left it, and as the program leaves it that goes
on. Sealed segments are compacted meanwhile, contents are erased, and old segments are pruned.
"""

from __future__ import annotations

import asyncio
import io
import re
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, suppress
from pathlib import Path
from random import Random
from typing import Any

import attrs
from obstore.exceptions import GenericError
from obstore.store import MemoryStore as Service

from hubwire.stores.object import ObjectStore

from .judge import Acknowledged, judge
from .reports import Order, Report
from .work import OBJECTS, OPERATIONS, Say, faults_in, key, opened_on

__all__ = ("run",)

_HOW = ("refused", "lost", "down", "lost and down", "forbidden")
_CHANGING = ("put_async", "delete_async")
_TRANSIENT = "the server said: status code: 503"
_FOREVER = "the server said: status code: 403"

Objects = dict[str, tuple[bytes, dict[str, Any]]]
"""What a service has: contents and attributes, by key."""


def _objects_of(service: Service) -> Objects:
    found: Objects = {}
    for meta in service.list().collect():
        result = service.get(meta["path"])
        found[meta["path"]] = bytes(result.bytes()), dict(result.attributes)
    return found


def _service_of(objects: Objects) -> Service:
    service = Service()
    for name, (content, attributes) in objects.items():
        service.put(name, content, attributes=attributes, use_multipart=False)
    return service


@attrs.define
class Faulty:
    """Passes requests on to a service; one of them fails, and maybe those that come next."""

    inner: Service
    fails_at: int = -1
    how: str = ""
    requests: int = 0
    is_down: bool = False
    """Whether it is until the operation has failed."""
    changed: Callable[[], None] = attrs.field(default=lambda: None)
    """Called after each change."""

    async def _ask(self, name: str, *arguments: Any, **options: Any) -> Any:
        is_failing = self.requests == self.fails_at
        self.requests += 1
        if self.is_down or (is_failing and self.how == "refused"):
            raise GenericError(_TRANSIENT)
        if is_failing and self.how == "forbidden":
            raise GenericError(_FOREVER)
        if is_failing and self.how == "down":
            self.is_down = True
            raise GenericError(_TRANSIENT)
        result = await getattr(self.inner, name)(*arguments, **options)
        if name in _CHANGING:
            self.changed()
        if is_failing:
            self.is_down = self.how == "lost and down"
            raise GenericError(_TRANSIENT)
        return result

    async def get_async(self, *arguments: Any, **options: Any) -> Any:
        return await self._ask("get_async", *arguments, **options)

    async def put_async(self, *arguments: Any, **options: Any) -> Any:
        return await self._ask("put_async", *arguments, **options)

    async def list_with_delimiter_async(self, *arguments: Any, **options: Any) -> Any:
        return await self._ask("list_with_delimiter_async", *arguments, **options)

    async def delete_async(self, names: Any) -> None:
        """One after the other: a kill may come between any two."""
        for name in [names] if isinstance(names, str) else names:
            await self._ask("delete_async", [name])

    async def list(self, *arguments: Any, **options: Any) -> Any:
        is_failing = self.requests == self.fails_at
        self.requests += 1
        self.is_down |= is_failing and "down" in self.how
        if self.is_down or is_failing:
            raise GenericError(_FOREVER if self.how == "forbidden" else _TRANSIENT)
        async for chunk in self.inner.list(*arguments, **options):
            yield chunk


def _store(service: Any) -> ObjectStore:
    return ObjectStore(service, deadline_seconds=0.2, grace_seconds=0.0)


async def _compact(store: ObjectStore) -> None:
    for name in await store.uncompacted("/audit/log"):
        await store.compact(f"/audit/log/{name}")


async def _work(service: Faulty, say: Say) -> None:
    """Do what the script says, and go on after what fails."""
    store = _store(service)
    with suppress(Exception):  # to open and to close it may fail, too
        async with opened_on(store, "0", say) as worker:
            for name in OBJECTS:
                try:
                    await (_compact(store) if name == "compact" else OPERATIONS[name](worker))
                except Exception as error:  # noqa: BLE001 - it is said
                    say({"failed": f"{name}: {error!r}"[:300]})
                    service.is_down = False  # it is up again
    service.is_down = False


async def _reopen(objects: Objects, say: Say) -> tuple[Service, list[str]]:
    """Open what is there, go on, and close it; return it, and what hubwire finds in it."""
    service = _service_of(objects)
    store = _store(service)
    async with opened_on(store, "after", say) as worker:
        for name in ("append", "checkpoint"):
            await OPERATIONS[name](worker)
    return service, await faults_in(store)


async def _put_down(service: Service, root: Path) -> None:
    """Write the files of a store to a directory, and the objects that they are made of beside them."""
    shutil.rmtree(root, ignore_errors=True)
    store = _store(service)

    async def walk(path: str) -> None:
        for name in await store.list(path):
            below = f"{path.rstrip('/')}/{name.rstrip('/')}"
            if name.endswith("/"):
                await walk(below)
            else:
                file = root / below[1:]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(await store.read_bytes(below) or b"")

    await walk("/")
    (root / "objects").mkdir(parents=True)
    for number, (content, _) in enumerate(_objects_of(service).values()):
        (root / "objects" / str(number)).write_bytes(content)


def _judge(root: Path, objects: Objects, lines: list[dict[str, Any]], *, is_killed: bool) -> list[str]:
    told = Acknowledged(str(key(0).vkey))
    for line in lines:
        told.hear(line)
    faults: list[str] = []
    if not is_killed:
        asyncio.run(_put_down(_service_of(objects), root))
        faults += judge(root, told)
    try:
        service, found = asyncio.run(_reopen(objects, told.hear))
    except Exception as error:  # noqa: BLE001 - it is a fault
        return [*faults, f"it cannot be opened again: {error!r}"]
    asyncio.run(_put_down(service, root))
    return faults + judge(root, told, is_settled=True) + found


def _fail(root: Path, how: str, number: int) -> list[str]:
    said: list[dict[str, Any]] = []
    faulty = Faulty(Service(), number, how)
    asyncio.run(_work(faulty, said.append))
    return _judge(root, _objects_of(faulty.inner), said, is_killed=False)


def run(folder: Path, order: Order) -> Report:
    """Let so many requests fail, each in a run of its own, or all of them, and kill at each change."""
    report = Report("objects")
    root = folder / "root"
    states: list[tuple[Objects, int]] = []
    lines: list[dict[str, Any]] = []
    service = Faulty(Service())
    service.changed = lambda: states.append((_objects_of(service.inner), len(lines)))
    asyncio.run(_work(service, lines.append))
    assert order.is_bugged or not any("failed" in line for line in lines), lines
    report.count("requests", service.requests)
    report.count("changes", len(states))
    rounds: list[tuple[str, int]] = [("killed", number) for number in range(len(states))]
    rounds += [(how, number) for how in _HOW for number in range(service.requests)]
    rounds = [each for each in rounds if re.search(order.like, f"{each[0]} at {each[1]}")]
    if order.rounds:
        rounds = Random(order.seed).sample(rounds, min(order.rounds, len(rounds)))
    for how, number in rounds:
        report.step(len(rounds))
        report.count(how)
        with redirect_stderr(io.StringIO()):  # a log that fails tells its operator why, at length
            if how == "killed":
                objects, heard = states[number]
                faults = _judge(root, objects, lines[:heard], is_killed=True)
            else:
                faults = _fail(root, how, number)
        report.found(f"{how} at {number}", faults)
        if order.is_bugged and report.faults:
            break
    return report.end()
