"""Copies of a store that a hub may be writing: which file is copied when, and the manifest that vouches for a copy.

A hub appends to its journal, then to its audit log, and keeps positions and snapshots of what is in the journal; then
it truncates the journal before what these need. So the segments of the journal are copied first, because they may be
gone soon, and what was added to them again with each of the others, because none of those may be ahead of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Iterable, Sequence

import msgspec

from .. import codec
from ..errors import InvalidRecord
from ..ports import KnowledgeStore
from .failures import CommandFailed

__all__ = (
    "MANIFEST",
    "VERSION",
    "Copied",
    "Manifest",
    "copy_live",
    "copy_verified",
    "files_below",
    "is_journal",
    "logs_at",
    "logs_in",
    "read_manifest",
    "why_contents_differ",
)

MANIFEST = "/backup.json"
VERSION = 1

_PIECE_BYTES = 8 << 20
_SEGMENT = re.compile(r"(?P<log>.*)/log/\d{20}\.jsonl")
_KEPT_BESIDE = re.compile(
    r"(?P<log>/.+?)/(?:(?P<file>clean|kept)|beside/(?:positions|snapshots)-\d+|snapshots/\d{20}(?:-\d+)?)"
)
_PAGE = re.compile(r"(?P<page>(?P<log>.*)/erasable/\d{20}-[0-9a-f]{8})(?P<other>\.e)?")
_REPLACED = ("/checkpoint", "/witnessed", "/~position")
"""What is replaced as a whole, and may be longer then."""
_MARKER = re.compile(rb'\{"before_bytes":\d|\{"chain":"|\d{1,20}\s*\Z')
"""How the files of a log that say where it ends and begins begin themselves."""


class Copied(msgspec.Struct, frozen=True):
    """A file of a copy."""

    path: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a copy holds, and when it was made."""

    version: int
    at: str
    files: tuple[Copied, ...]

    @property
    def size_bytes(self) -> int:
        """The size of all files."""
        return sum(file.size for file in self.files)

    def encode(self) -> bytes:
        """Return the content of the manifest, with a checksum over all of it."""
        body = msgspec.json.encode(self)
        return b'{"sha256":"%b","manifest":%b}\n' % (hashlib.sha256(body).hexdigest().encode(), body)


async def read_manifest(store: KnowledgeStore, name: str) -> Manifest:
    """Return the manifest of a copy. Raises :class:`CommandFailed` if there is none, or it is not as it was written."""
    content = await store.read_bytes(MANIFEST)
    if content is None:
        raise CommandFailed(
            f"there is no {MANIFEST} in {name}: it is not a backup, or one that was not finished; make it again"
        )
    try:
        sealed = msgspec.json.decode(content, type=_Sealed)
        version = msgspec.json.decode(sealed.manifest, type=_Versioned).version
        manifest = msgspec.json.decode(sealed.manifest, type=Manifest) if version <= VERSION else None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CommandFailed(f"{MANIFEST} in {name} is damaged ({error}); use another backup") from error
    if sealed.sha256 != hashlib.sha256(sealed.manifest).hexdigest():
        raise CommandFailed(f"{MANIFEST} in {name} is damaged (its checksum is another one); use another backup")
    if manifest is None:
        raise CommandFailed(f"{MANIFEST} in {name} is of version {version}: use a newer version of hubwire")
    return manifest


class _Sealed(msgspec.Struct):
    sha256: str
    manifest: msgspec.Raw


class _Versioned(msgspec.Struct):
    version: int


# --- what there is --------------------------------------------------------------------------------------------------


async def files_below(store: KnowledgeStore, path: str = "/") -> AsyncIterator[str]:
    """Iterate over the paths of all files of a store, in the order of their names."""
    for name in sorted(await store.list(path)):
        below = f"{path.rstrip('/')}/{name.rstrip('/')}"
        if name.endswith("/"):
            async for each in files_below(store, below):
                yield each
        else:
            yield below


def logs_in(paths: Iterable[str]) -> list[str]:
    """Return the paths of the logs that these files belong to."""
    return sorted({match["log"] for path in paths if (match := _SEGMENT.fullmatch(path))})


async def logs_at(store: KnowledgeStore, paths: Sequence[str]) -> list[str]:
    """Return the paths of the logs that these files belong to, also of those whose segments are all missing."""
    found = set(logs_in(paths))
    for path in paths:
        if (match := _KEPT_BESIDE.fullmatch(path)) and match["log"] not in found:
            # Other files may have these names, too, on a store that others use.
            is_ours = match["file"] is None or _MARKER.match(await store.read_bytes(path) or b"") is not None
            found |= {match["log"]} if is_ours else set()
    return sorted(found)


async def is_journal(store: KnowledgeStore, log: str, paths: Sequence[str]) -> bool:
    """Tell whether a log is a journal: a hub keeps files beside it, and its records have no chain."""
    if any(path.startswith((f"{log}/beside/", f"{log}/snapshots/")) for path in paths):
        return True
    for path in paths:
        if path.startswith(f"{log}/log/") and _SEGMENT.fullmatch(path):
            line = (await store.read_bytes(path, 0, _PIECE_BYTES) or b"").partition(b"\n")[0]
            try:
                return codec.unseal(line)[2] is None
            except InvalidRecord:
                continue
    return False


def _stage(path: str, journals: Sequence[str], logs: Sequence[str]) -> int:
    """Return the number of the stage in which a file is copied."""
    log = next((log for log in (*journals, *logs) if path.startswith(f"{log}/")), None)
    is_segment = log is not None and path.startswith(f"{log}/log/")
    if log in journals:
        return 0 if path == f"{log}/kept" else 1 if is_segment else 2
    if log is not None and path.startswith(f"{log}/index/") and path.endswith(".growing"):
        return 3  # Once: it is replaced, and covers no more of its segment than is copied of that later.
    if log is not None and path in {f"{log}/{name}" for name in ("clean", "kept", "pruned", "holds")}:
        # Once: a pruning replaces them. The segments that they speak of are copied before, or after.
        return 3
    if log is not None and path.startswith((f"{log}/tree/", f"{log}/checkpoints/", f"{log}/witnessed")):
        return 3  # Once: they speak of no more records than are copied of the segments later.
    if path.endswith("/~position"):
        return 3  # Once: it says how far the logs of tenants are, which are copied further later.
    if log is not None and path == f"{log}/checkpoint":
        return 6  # The newest one, which is never older than those that were put aside: copied after these.
    # Blobs are written before the records that refer to them, so they are copied after these.
    return 4 if is_segment else 5


_ORDER = ((4, 5), (0, 1), (2, 1), (3,), (6,), (4, 1), (5,), (1,))
"""The stages; between two groups it is looked what there is now. A marker may speak of a segment that is just begun.

Most of the audit logs is copied before all else, so that little is left to copy until the journal is truncated."""


# --- copying --------------------------------------------------------------------------------------------------------


async def copy_live(source: KnowledgeStore, target: KnowledgeStore) -> list[Copied]:
    """Copy a store while a hub may write it; return what was copied. Files that are deleted meanwhile are left out."""
    copies: dict[str, _Copy] = {}
    for stages in _ORDER:
        paths = [path async for path in files_below(source) if path != MANIFEST]
        journals = [log for log in logs_in(paths) if await is_journal(source, log, paths)]
        logs = [log for log in logs_in(paths) if log not in journals]
        for stage in stages:
            for path in paths:
                if _stage(path, journals, logs) == stage:
                    copy = copies.setdefault(path, _Copy(source, target, path))
                    await copy.extend(whole_lines=bool(_SEGMENT.fullmatch(path)))
    return [copies[path].copied() for path in sorted(copies) if copies[path].is_there]


async def why_contents_differ(source: KnowledgeStore, target: KnowledgeStore, files: Sequence[Copied]) -> str | None:
    """Return why erasable contents of a copy are not those that the store has now; None if they are.

    Contents that were erased meanwhile would be in the copy all the same, or be gone there without a record of that.
    """
    pages = [(file, match) for file in files if (match := _PAGE.fullmatch(file.path)) is not None]
    again = {match["page"] for _, match in pages if match["other"]}
    doubled = {match["page"] for _, match in pages if not match["other"]} & again
    for file, match in pages:
        if await source.read_bytes(file.path, 0, file.size) != await target.read_bytes(file.path):
            return f"contents were erased from {match['page']} meanwhile"
        if match["page"] in doubled and await _has_grown(source, match["log"], files):
            return f"contents are being erased from {match['page']}"
    return None


async def _has_grown(source: KnowledgeStore, log: str, files: Sequence[Copied]) -> bool:
    """Tell whether a log has records that were not copied."""
    sizes = {file.path: file.size for file in files}
    for name in await source.list(f"{log}/log"):
        if await source.size(f"{log}/log/{name}") != sizes.get(f"{log}/log/{name}"):
            return True
    return False


async def copy_verified(source: KnowledgeStore, target: KnowledgeStore, manifest: Manifest, name: str) -> None:
    """Copy the files of a manifest. Raises :class:`CommandFailed` if one is not what the manifest says."""
    for file in manifest.files:
        copy = _Copy(source, target, file.path)
        await copy.extend(whole_lines=False)
        if not copy.is_there or copy.copied() != file:
            what = "is not as it was copied" if copy.is_there else "is missing"
            raise CommandFailed(f"{file.path} of the backup {name} {what}; use another backup")


class _Copy:
    """A copy of one file, which may be extended when the file has grown."""

    def __init__(self, source: KnowledgeStore, target: KnowledgeStore, path: str) -> None:
        self.is_there: bool = False
        self._source = source
        self._target = target
        self._path = path
        self._size = 0
        self._digest = hashlib.sha256()

    def copied(self) -> Copied:
        return Copied(self._path, self._size, self._digest.hexdigest())

    async def extend(self, *, whole_lines: bool) -> None:
        """Copy what is not copied yet, in pieces; ``whole_lines`` leaves out a last line that has no end yet."""
        size = await self._source.size(self._path)
        if self.is_there and size == self._size:
            return
        if size is not None and whole_lines:
            size = await _end_of_lines(self._source, self._path, size)
        if size is None:
            return
        while self._size < size or not self.is_there:
            # A file that is replaced as a whole may be longer by now: what is read at once is one of them, whole.
            is_replaced = self._path.endswith(_REPLACED) and size < _PIECE_BYTES
            end = None if is_replaced else min(size, self._size + _PIECE_BYTES)
            piece = await self._source.read_bytes(self._path, self._size, end)
            if not piece and (end is None or end > self._size):
                return  # truncation deletes files while they are copied
            if self.is_there:
                await self._target.append(self._path, piece or b"", expect=self._size)
            else:
                await self._target.write(self._path, piece or b"", if_absent=True)
            self.is_there = True
            self._digest.update(piece or b"")
            self._size += len(piece or b"")
            if is_replaced:
                return


async def _end_of_lines(store: KnowledgeStore, path: str, size: int) -> int:
    """Return where the last whole line of a file ends."""
    while size:
        start = max(0, size - _PIECE_BYTES)
        piece = await store.read_bytes(path, start, size) or b""
        if (feed := piece.rfind(b"\n")) >= 0:
            return start + feed + 1
        size = start
    return 0
