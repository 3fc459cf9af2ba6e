"""What is on a disk changes by itself: bits flip, sectors turn to zeros, files end early, or are missing.

Two things may not happen then: that verify finds all as it was, and that a start loses an acknowledged record without
a word. The records that are there are compared with those that were written, by the judge.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

import attrs

from hubwire.errors import HubError
from hubwire.listeners.audit import examine
from hubwire.stores import MemoryStore

from .judge import Acknowledged, judge
from .reports import Order, Report
from .work import OPERATIONS, SCRIPTS, Say, faults_of, key, opened, reopen, work

__all__ = ("run",)

SECTOR = 512
_SCRIPT = (*SCRIPTS["log"], *["append_content"] * 5, "erase", "append_aside", "checkpoint")
Files = dict[str, bytes]

_DERIVED = ("/audit/tree/", "/audit/clean", "/audit/pruned")
"""What says nothing of its own: it is made anew from the records, or only vouches for them."""


_RECORDS = ("/audit/log/", "/audit/blob/", "/audit/erasable/")


@attrs.frozen
class Image:
    """The files of a log, and what was acknowledged of it."""

    name: str
    files: Files
    told: Acknowledged
    is_closed: bool


@attrs.frozen
class Damage:
    """One change of one file."""

    path: str
    how: str
    at: int

    def to(self, files: Files) -> Files:
        """Return the files with it."""
        content = bytearray(files[self.path])
        if self.how == "missing":
            return {path: each for path, each in files.items() if path != self.path}
        if self.how == "cut":
            del content[self.at :]
        elif self.how == "zeros":
            end = min(self.at + SECTOR, len(content))
            content[self.at : end] = bytes(end - self.at)
        else:
            content[self.at // 8] ^= 1 << self.at % 8
        return {**files, self.path: bytes(content)}

    def __str__(self) -> str:
        return f"{self.how} at {self.at} of {self.path}"


def _files(root: Path) -> Files:
    return {f"/{file.relative_to(root)}": file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()}


def _image(root: Path, name: str) -> Image:
    """Have a log written, and closed or not."""
    shutil.rmtree(root, ignore_errors=True)
    told = Acknowledged(str(key(0).vkey))
    asyncio.run(work(root, "0", told.hear, _SCRIPT, has_hub=False))
    if name == "open":
        # In a child, which ends without a word. Its last records are in no checkpoint.
        asyncio.run(_leave_open(root, told.hear))
    files = {path: content for path, content in _files(root).items() if not path.endswith("@")}
    faults = judge(root, told)
    assert not faults, faults
    return Image(name, files, told, name == "closed")


async def _leave_open(root: Path, say: Say) -> None:
    copy = root.with_name("left")
    async with opened(root, "1", say, has_hub=False) as worker:
        for name in ("append_long", "append", "append_many", "append"):
            await OPERATIONS[name](worker)
        head = worker.audit.head
        assert head is not None
        while not _is_marked(root, head.records):  # noqa: ASYNC110 - the log marks its end when it is idle
            await asyncio.sleep(0.01)
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(root, copy)
    shutil.rmtree(root)
    copy.rename(root)


def _is_marked(root: Path, records: int) -> bool:
    """Return whether the marker of the audit log vouches for so many records."""
    marker = root / "audit" / "clean"
    return marker.exists() and json.loads(marker.read_bytes())["records"] == records


def _kinds(image: Image) -> Iterator[tuple[str, str, range]]:
    """Return a file, a kind of harm, and the places at which it may be done."""
    for path, content in image.files.items():
        # Without a file beside the records verify knows less, and says so: that is no damage.
        yield from [(path, "missing", range(1))] if path.startswith(_RECORDS) else []
        yield path, "flip", range(len(content) * 8)
        yield path, "zeros", range(0, len(content), SECTOR)
        yield path, "cut", range(len(content))


def run(folder: Path, order: Order) -> Report:
    """Damage logs so often, at random; or in each way at each place."""
    report, chance = Report("damage"), Random(order.seed)
    for name in ("closed", "open"):
        image = _image(folder / "image", name)
        kinds = [kind for kind in _kinds(image) if _is_like(order.like, name, *kind)]
        number = sum(len(places) for _, _, places in kinds)
        report.count(f"places of the {name} log", number)
        for damage in _chosen(kinds, order.rounds // 2, chance) if order.rounds else _all(kinds):
            files = damage.to(image.files)
            if files == image.files or not re.search(order.like, f"{name}: {damage}"):
                continue
            report.step(order.rounds or number)
            report.found(f"{name}: {damage}", _try(image, damage, files, folder / "root", report))
            if order.is_bugged and report.faults:
                return report.end()
    return report.end()


def _is_like(like: str, name: str, path: str, how: str, places: range) -> bool:
    """Return whether one of these harms is meant: without looking at each, of which there are millions."""
    return any(re.search(like, f"{name}: {Damage(path, how, at)}") for at in places[:1]) or (
        "at" in like and any(re.search(like, f"{name}: {Damage(path, how, at)}") for at in places)
    )


def _all(kinds: Iterable[tuple[str, str, range]]) -> Iterator[Damage]:
    return (Damage(path, how, at) for path, how, places in kinds for at in places)


def _chosen(kinds: Iterable[tuple[str, str, range]], number: int, chance: Random) -> Iterator[Damage]:
    """Choose some, of each kind as many: of the places most are in long records, and most harms are flips."""
    folders: dict[tuple[str, str], list[tuple[str, range]]] = {}
    for path, how, places in kinds:
        if places:
            folders.setdefault((path.rpartition("/")[0], how), []).append((path, places))
    seen: set[Damage] = set()
    for kind in itertools.islice(itertools.cycle(list(folders)), 20 * number):
        (path, places), at = chance.choice(folders[kind]), chance.random()
        damage = Damage(path, kind[1], places[int(at * len(places))])
        if damage not in seen and len(seen) < number:
            seen.add(damage)
            yield damage


def _try(image: Image, damage: Damage, files: Files, root: Path, report: Report) -> list[str]:
    shutil.rmtree(root, ignore_errors=True)
    for path, content in files.items():
        file = Path(f"{root}{path}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    faults = []
    is_reported = asyncio.run(_is_reported(files))
    report.count("reported by verify", is_reported)
    if not is_reported and not damage.path.startswith(_DERIVED) and not _is_excused(image, damage):
        faults.append("verify finds all as it was")
    told = _again(image.told)
    try:
        asyncio.run(reopen(root, told.hear, has_hub=False))
    except HubError:
        report.count("refused by a start")
        return faults
    except Exception as error:  # noqa: BLE001 - it is a fault
        return [*faults, f"a start ends with {error!r}"]
    # A start reads the end of a log. What is damaged before that it leaves as it is, and verify goes on to report it.
    found = judge(root, told, is_settled=True)
    if found and not asyncio.run(_is_reported(_files(root))):
        faults += [f"a start went on, verify finds nothing, and {each}" for each in found]
    return faults


def _again(told: Acknowledged) -> Acknowledged:
    """Return what was told, to be added to."""
    return Acknowledged(
        told.vkey,
        dict(told.names),
        checkpoints=dict(told.checkpoints),
        contents=copy.deepcopy(told.contents),
        may_prune=told.may_prune,
    )


def _is_tail(image: Image, damage: Damage) -> bool:
    """Return whether this cuts off whole records that neither marker nor checkpoint vouches for: none knows of them."""
    return not image.is_closed and damage.how == "cut" and damage.path == max(p for p in image.files if "/log/" in p)


def _is_excused(image: Image, damage: Damage) -> bool:
    return _is_tail(image, damage) or _is_said_elsewhere(image, damage)


def _is_said_elsewhere(image: Image, damage: Damage) -> bool:
    """Return whether this changes only what a page says of erased contents: what counts is what the log says."""
    if "/erasable/" not in damage.path or damage.how == "missing":
        return False
    content = image.files[damage.path]
    at = damage.at // 8 if damage.how == "flip" else damage.at
    first = content.find(b"= - ")
    return first >= 0 and at > content.rfind(b"\n", 0, first)


async def _is_reported(files: Files) -> bool:
    """Return whether verify reports a fault: with the key, and with nothing else that was kept."""
    store = MemoryStore()
    for path, content in files.items():
        await store.write(path, content)
    try:
        found = await examine(store, vkey=str(key(0).vkey))
    except HubError:
        return True
    return bool(faults_of(found))
