"""Bugs that are let into hubwire, one at a time: a harness that does not find them proves nothing.

Each is a function that changes hubwire in this process, as a mistake in its source would.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from obstore.exceptions import GenericError

from hubwire.listeners import AuditLog
from hubwire.listeners.audit import _beside, _erased, _erasing, _erasures, _records, _signed, _signing
from hubwire.log import _recovery, _segments
from hubwire.stores import FileStore, _compaction, _files, _objects, _posix, _tree

__all__ = ("BUGS", "Bug")

Bug = Callable[[], None]

BUGS: dict[str, dict[str, Bug]] = {"kills": {}, "calls": {}, "power": {}, "damage": {}, "objects": {}}
"""By harness and name."""


def _of(*harnesses: str) -> Callable[[Bug], Bug]:
    def add(bug: Bug) -> Bug:
        for harness in harnesses:
            BUGS[harness][bug.__name__] = bug
        return bug

    return add


def _put(owner: Any, name: str, value: Any) -> None:
    assert hasattr(owner, name), name
    setattr(owner, name, value)


# --- acknowledgements ------------------------------------------------------------------------------------------------


@_of("kills")
def acknowledges_before_it_writes() -> None:
    right, tasks = AuditLog.append, set[asyncio.Task[int]]()

    async def append(self: AuditLog, record: dict[str, Any]) -> int:
        if not self._log.records:
            return await right(self, record)
        index = self._log.records + len([task for task in tasks if not task.done()])
        tasks.add(asyncio.create_task(right(self, record)))
        return index

    _put(AuditLog, "append", append)


@_of("kills")
def appends_again_after_a_while() -> None:
    right, count = AuditLog.append, [0]

    async def append(self: AuditLog, record: dict[str, Any]) -> int:
        count[0] += 1
        if count[0] % 7 == 0:
            await right(self, record)
        return await right(self, record)

    _put(AuditLog, "append", append)


@_of("kills")
def writes_the_checkpoint_before_last() -> None:
    right, last = FileStore.write, dict[str, Any]()

    async def write(self: FileStore, path: str, content: str | bytes, **terms: Any) -> None:
        if path.endswith("/checkpoint"):
            content, last["note"] = last.get("note", content), content
        await right(self, path, content, **terms)

    _put(FileStore, "write", write)


@_of("kills")
def recovery_takes_the_last_record_for_torn() -> None:
    right: Any = vars(_segments)["inspect"]

    async def inspect(store: FileStore, path: str, **terms: Any) -> Any:
        segments = sorted(Path(store.root + path, "log").glob("*.jsonl"))  # noqa: ASYNC240 - a moment's work
        if segments and len(lines := segments[-1].read_bytes().splitlines(keepends=True)) > 2:
            segments[-1].write_bytes(b"".join(lines[:-1]))
        return await right(store, path, **terms)

    _put(_segments, "inspect", inspect)


@_of("calls")
def replaces_files_in_place() -> None:
    def replace(self: _files.Files, path: str, data: bytes, **_: Any) -> bool:
        with self._tree.parent(path, create=True) as (directory, name):
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=directory)
            for at in range(0, len(data), 40):
                os.write(fd, data[at : at + 40])
            os.close(fd)
        return True

    _put(_files.Files, "_replace", replace)


# --- errors ----------------------------------------------------------------------------------------------------------


@_of("calls")
def ignores_errors_of_syncing() -> None:
    right = _posix.sync_data

    def sync_data(fd: int) -> None:
        try:
            right(fd)
        except OSError:
            pass

    _put(_posix, "sync_data", sync_data)


@_of("calls")
def syncs_again_after_an_error() -> None:
    right = _posix.sync_data

    def sync_data(fd: int) -> None:
        try:
            right(fd)
        except OSError:
            right(fd)

    _put(_posix, "sync_data", sync_data)


@_of("calls")
def believes_that_writes_are_whole() -> None:
    _put(_posix, "write_all", os.write)


@_of("calls")
def leaves_what_a_full_disk_took() -> None:
    def undo(self: _files.Files, path: str, _: int, size: int, error: OSError) -> Exception:
        return self.failures.failed_write("append to", path, error, size)

    _put(_files.Files, "_undo_append", undo)


# --- erasing ---------------------------------------------------------------------------------------------------------


@_of("calls")
def erases_before_it_says_so() -> None:
    right = _erasing.Eraser._erase

    async def erase(self: Any, targets: Any, by: str, basis: str) -> Any:
        groups = [each for groups in targets.found.groups() for each in groups]
        own = {"at": "now", "by": by, "basis": basis, "erased": groups}
        said = _erasures.erasures_of(self._log.records, own)
        await self._carry_out([said])
        return await right(self, targets, by, basis)

    _put(_erasing.Eraser, "_erase", erase)


@_of("calls", "power")
def forgets_what_it_was_erasing() -> None:
    async def left(_: object) -> None:
        return None

    _put(_erasing.Eraser, "_left", left)


@_of("kills")
def leaves_the_old_file_of_a_page() -> None:
    right = FileStore.delete

    async def delete(self: FileStore, path: str) -> None:
        if "/erasable/" not in path:
            await right(self, path)

    _put(FileStore, "delete", delete)


# --- objects ---------------------------------------------------------------------------------------------------------


@_of("objects")
def deletes_parts_before_they_are_merged() -> None:
    async def compact(self: _compaction.Compaction, path: str) -> bool:
        parts = [part async for part in self._layout.parts(path)]
        end = max([0, *(part.end for part in parts)])
        content = b"".join([piece async for piece in self._pieces(path, end)])
        await self._objects.delete([self._layout.part_key(path, part.offset) for part in parts], path)
        await self._objects.put(self._layout.key(path), path, content)
        return True

    _put(_compaction.Compaction, "compact", compact)


@_of("objects")
def takes_an_error_for_a_lost_answer() -> None:
    right = _objects.Objects._until_certain

    async def until_certain(self: Any, doing: str, path: str, attempt: Any) -> Any:
        if doing != "write":
            return await right(self, doing, path, attempt)
        try:
            return await attempt()
        except GenericError:
            return None

    _put(_objects.Objects, "_until_certain", until_certain)


# --- what is on the medium -------------------------------------------------------------------------------------------


@_of("power")
def does_not_sync_appends() -> None:
    _put(_posix, "sync_data", lambda _: None)


@_of("power")
def acknowledges_before_it_syncs() -> None:
    def later(fd: int) -> None:
        os.fdatasync(fd)
        os.close(fd)

    def sync_data(fd: int) -> None:
        threading.Timer(0.05, later, [os.dup(fd)]).start()

    _put(_posix, "sync_data", sync_data)


@_of("power")
def signs_before_it_syncs() -> None:
    unsynced: list[int] = []
    right, sign = _posix.sync_data, _signing.Signing._signature

    def sync_data(fd: int) -> None:
        if "/log/" in str(Path(f"/proc/self/fd/{fd}").readlink()):
            unsynced.append(os.dup(fd))
        else:
            right(fd)

    async def signature(self: Any, signer: Any, request: Any) -> Any:
        made = await sign(self, signer, request)
        await self._store.write(_signing.newest_path(self.path), f"{request.text.decode()}\n{made}")
        _sync(unsynced, right)
        return made

    append = _files.Files.append

    def append_and_sync_before(self: _files.Files, path: str, data: bytes, expect: int | None) -> int:
        if b'"kind":"log.key_rotated"' not in data:  # the log says that by itself: no caller waits for it
            _sync(unsynced, right)
            size = append(self, path, data, expect)
            _sync(unsynced, right)
            return size
        return append(self, path, data, expect)

    _put(_posix, "sync_data", sync_data)
    _put(_files.Files, "append", append_and_sync_before)
    _put(_signing.Signing, "_signature", signature)


def _sync(unsynced: list[int], right: Callable[[int], None]) -> None:
    while unsynced:
        fd = unsynced.pop()
        right(fd)
        os.close(fd)


@_of("power")
def does_not_sync_directories() -> None:
    _put(_tree.Tree, "sync_entries", lambda *_: None)


@_of("power")
def does_not_sync_replacements() -> None:
    right = _posix.fill_replacement
    _put(_posix, "fill_replacement", lambda fd, data, *, sync: right(fd, data, sync=False))


@_of("power")
def does_not_sync_where_its_root_is() -> None:
    right = _posix.make_root
    _put(_posix, "make_root", lambda root, *, sync: right(root, sync=False))


@_of("power")
def goes_on_after_a_failed_sync() -> None:
    ignores_errors_of_syncing()


@_of("power")
def believes_the_page_cache_when_it_opens() -> None:
    _put(_posix, "write_through", lambda *_: None)


# --- damage ----------------------------------------------------------------------------------------------------------


@_of("damage")
def recovery_cuts_at_the_first_bad_line() -> None:
    _put(_recovery, "is_tear", lambda *_: True)
    _put(_recovery, "durable_claimed", lambda _: 0)
    right = _recovery._Inspector._judge_rest

    async def judge_rest(self: Any, path: str, content: bytes, _: int, refusal: Any, begun: Any) -> None:
        await right(self, path, content, 0, refusal, begun)

    _put(_recovery._Inspector, "_judge_rest", judge_rest)
    _put(_recovery._Inspector, "_ends_in_another_byte", lambda *_: False)


class _Same(bytes):
    """Equal to all."""

    __hash__ = bytes.__hash__

    def __eq__(self, _: object) -> bool:
        return True

    def __ne__(self, _: object) -> bool:
        return False


@_of("damage")
def verify_does_not_compare_the_chain() -> None:
    _put(_records, "chain_value", lambda *_: _Same())


@_of("damage")
def verify_does_not_look_at_checkpoints() -> None:
    async def begin(*_: object, **__: object) -> None:
        pass

    right = _signed.SignedChecks.verdict

    def verdict(self: Any, records: int, **terms: Any) -> Any:
        self.vkey = None
        return right(self, records, **terms)

    _put(_signed.SignedChecks, "begin", begin)
    _put(_signed.SignedChecks, "verdict", verdict)


@_of("damage")
def verify_does_not_look_at_long_records() -> None:
    async def check(*_: object) -> None:
        pass

    _put(_beside.Blobs, "check", check)


@_of("damage")
def verify_does_not_look_at_contents() -> None:
    async def look(*_: object) -> None:
        pass

    _put(_erased.ContentChecks, "look", look)
