"""Copies of a log from which contents and records are withheld, and whose proofs hold.

Lines are byte for byte those of the log, so that its tree and its checkpoints are those of the copy. An erasable
content that is not opened is a line of its page that says so. In the place of a record that is withheld stands
``{"$withheld": {"leaf": ..., "seq": ...}, "d": ..., "h": ...}``: the hash of its line in the tree, and its ``d`` and
``h``. The file ``copy`` says that the log is a copy: nothing is appended to it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from itertools import islice
from typing import Any

import attrs

from hubwire import codec
from hubwire.clock import SystemClock, timestamp
from hubwire.erasable import COMMITTED, WITHHELD, Page, commitments_of, gone_line, page_path, read_page
from hubwire.errors import AlreadyExists, ConfigurationError, InvalidRecord, LogDamaged
from hubwire.log import LogReader, Record, log_exists, read_kept, segment_path
from hubwire.patterns import Patterns
from hubwire.ports import KnowledgeStore, normalize_path
from hubwire.proof import Tree, TreeHashes, leaf_hash
from hubwire.text_store import TextStore
from hubwire.waking import Slices

from . import _arguments
from ._beginning import read_marked
from ._erasing import whole_fields
from ._subscribers import is_own
from .blobs import blob_of
from .stand_ins import Leaves

__all__ = ("CopyMark", "RedactedCopy", "redacted_copy")

_VERSION = 1
_MANY = 100_000
_SLICE_SECONDS = 0.002


@attrs.frozen(kw_only=True)
class RedactedCopy:
    """What a copy has, and what it has not."""

    path: str
    records: int
    """How many records it has, withheld ones among them."""
    opened: int
    """How many erasable contents it has."""
    withheld: int
    """How many erasable contents are withheld: their records have commitments."""
    gone: int
    """How many were erased before, or are missing."""
    withheld_records: int
    """How many records are withheld: their leaf hashes stand in their places."""
    unmet: tuple[str, ...] = ()
    """What of ``opened``, ``withheld`` and ``withheld_kinds`` no record has met: for that, nothing was done."""


@attrs.frozen
class CopyMark:
    """What the file of a copy says of it."""

    at: str
    by: str | None

    @classmethod
    async def read(cls, store: KnowledgeStore, path: str) -> CopyMark | None:
        """Return what a log says of itself; None if it is no copy."""
        try:
            fields = await read_marked(store, f"{path}/copy")
        except InvalidRecord:
            return cls("a time that is not known", None)
        return None if fields is None else cls(str(fields.get("at")), fields.get("by"))

    def __str__(self) -> str:
        return f"a redacted copy, made at {self.at}{f' by {self.by}' if self.by else ''}"


async def redacted_copy(
    store: KnowledgeStore | TextStore,
    target: KnowledgeStore | TextStore,
    *,
    path: str = "/audit",
    opened: Iterable[str] = (),
    withheld: Iterable[int] = (),
    withheld_kinds: Iterable[str] | None = None,
    by: str | None = None,
) -> RedactedCopy:
    """Copy a log without some of its contents, to be handed out: its proofs hold, and it says what is withheld.

    All erasable contents are withheld but those of the fields in ``opened``: ``"content"`` in all records,
    ``"7:content"`` in the record with index 7. ``withheld`` are the indexes of records that are withheld as a whole,
    and ``withheld_kinds`` patterns of such kinds; the log's own records stay. Of a record that is withheld the copy
    proves that there was one at its place. Its hash is there, without a salt: a record whose every byte can be guessed
    can be found out by it, and an erasable content cannot. What is not erasable in a record that stays is in the copy.
    Look at :attr:`RedactedCopy.unmet` before it is handed out: a kind that was misspelt withholds nothing.

    ``by`` is written into the copy. Checkpoints and hashes come along; holds, indexes and journals do not. It only
    reads ``store``, also beside the log's writer. Raises :class:`~hubwire.errors.AlreadyExists` if there is a log at
    the path of the target, and :class:`~hubwire.errors.LogDamaged` for an erasable content that was altered.
    """
    source, out = _arguments.store_for(store), _arguments.store_for(target)
    path = normalize_path(path)
    choice = _Choice(
        _texts("opened", opened),
        frozenset(_numbers(withheld)),
        None if withheld_kinds is None else Patterns(withheld_kinds, any_text=True),
    )
    by = _arguments.words("redacted_copy(): by", by, is_optional=True)
    if not await log_exists(source, path):
        raise ConfigurationError(f"redacted_copy(): there is no log at {path}; is it the path that the log has?")
    if await out.list(path):
        raise AlreadyExists(f"redacted_copy(): there are files at {path} of the target; name another place", path=path)
    copying = _Copying(source, out, path, choice)
    mark = {"at": timestamp(SystemClock().now_ns()), "by": by, "opened": sorted(choice.opened)}
    await out.write(f"{path}/copy", codec.encode_marker(mark, version=_VERSION))
    await copying.files()
    await copying.records()
    return copying.report


@attrs.frozen
class _Choice:
    opened: frozenset[str]
    records: frozenset[int]
    kinds: Patterns | None

    def opens(self, index: int, field: str) -> bool:
        return field in self.opened or f"{index}:{field}" in self.opened

    def withholds(self, record: Record, fields: dict[str, Any]) -> bool:
        if is_own(fields):  # what the log says of itself holds its segments, batches and keys together
            return False
        kind = fields.get("kind")
        return record.index in self.records or (
            self.kinds is not None and type(kind) is str and self.kinds.matches(kind)
        )


class _Unmet:
    """What of a choice no record has met yet."""

    def __init__(self, choice: _Choice) -> None:
        self._fields = set(choice.opened)
        self._indexes = set(choice.records)
        kinds = () if choice.kinds is None else choice.kinds.patterns
        self._kinds = {each: Patterns(each, any_text=True) for each in kinds}

    @property
    def all(self) -> tuple[str, ...]:
        return (*sorted(self._fields), *map(str, sorted(self._indexes)), *self._kinds)

    def content(self, index: int, field: str) -> None:
        """There is an erasable content, in a record that stays."""
        if self._fields:
            self._fields -= {field, f"{index}:{field}"}

    def withheld(self, index: int, fields: dict[str, Any]) -> None:
        """A record is withheld."""
        self._indexes.discard(index)
        kind = fields.get("kind")
        if self._kinds and type(kind) is str:
            self._kinds = {each: pattern for each, pattern in self._kinds.items() if not pattern.matches(kind)}


def _texts(name: str, value: Any) -> frozenset[str]:
    try:
        texts = None if isinstance(value, (str, bytes)) else list(islice(iter(value), _MANY + 1))
    except Exception:  # noqa: BLE001 - the object is its caller's
        texts = None
    if texts is None or len(texts) > _MANY or not all(type(text) is str for text in texts):
        raise ConfigurationError(f"redacted_copy(): {name} are names of fields, such as ['content', '7:data.email']")
    return frozenset(texts)


def _numbers(value: Any) -> list[int]:
    try:
        numbers = list(islice(iter(value), _MANY + 1))
    except Exception as error:
        raise ConfigurationError(
            f"redacted_copy(): withheld are indexes of records, not {type(value).__name__}"
        ) from error
    if len(numbers) > _MANY or not all(type(each) is int and each >= 0 for each in numbers):
        raise ConfigurationError(f"redacted_copy(): withheld are up to {_MANY:,} indexes of records, from 0")
    return numbers


class _Copying:
    """One copy on its way."""

    def __init__(self, source: KnowledgeStore, out: KnowledgeStore, path: str, choice: _Choice) -> None:
        self.report = RedactedCopy(path=path, records=0, opened=0, withheld=0, gone=0, withheld_records=0)
        self._source = source
        self._out = out
        self._path = path
        self._choice = choice
        self._pages: dict[str, Page] = {}
        self._lines: dict[str, list[bytes]] = {}
        """Of pages, that are not written yet."""
        self._tree: Tree | None = None
        self._unmet = _Unmet(choice)
        self._leaves: list[bytes] = []
        """Of the records that were read, and are not in the tree yet."""

    async def files(self) -> None:
        """Copy what lies beside the records: before these, so that none of it is ahead of them."""
        path = self._path
        names = ["witnessed", "checkpoint", "clean", "pruned", "kept"]
        names += [f"checkpoints/{name}" for name in await self._source.list(f"{path}/checkpoints")]
        is_pruned = (await read_kept(self._source, path)).first > 0
        if is_pruned:
            names += [f"tree/{name}" for name in await self._source.list(f"{path}/tree")]
        for name in names:
            content = None if name.endswith("/") else await self._source.read_bytes(f"{path}/{name}")
            if content is not None:
                await self._out.write(f"{path}/{name}", content)
        if not is_pruned and await self._out.exists(f"{path}/checkpoint"):
            self._tree = Tree()

    async def records(self) -> None:
        """Copy the records, and the contents that are opened."""
        slices = Slices(_SLICE_SECONDS)
        reader = LogReader(self._source, self._path)
        leaves = await Leaves.of_log(self._source, self._path)
        while records := await reader.read():
            lines = []
            for record in records:
                await slices.cut()
                lines.append(await self._line(record, leaves))
            for name, some in self._lines.items():
                await self._out.append(page_path(self._path, name), b"".join(some))
            self._lines = {}
            content = b"".join([line + b"\n" for line in lines])
            await self._out.append(segment_path(self._path, reader.segment), content)
            self.report = attrs.evolve(self.report, records=reader.index)
            await self._keep_tree()
        self.report = attrs.evolve(self.report, unmet=self._unmet.all)

    async def _keep_tree(self) -> None:
        leaves, self._leaves = self._leaves, []
        if self._tree is not None:
            before = self._tree.size
            self._tree.extend(leaves)
            await TreeHashes(self._out, self._path).append(self._tree.take_grown(), before)

    async def _line(self, record: Record, leaves: Leaves) -> bytes:
        """Copy what belongs to a record; return the line that the copy has."""
        withheld = leaves.stand_in(record)
        self._leaves.append(leaf_hash(record.line) if withheld is None else withheld.leaf)
        if withheld is not None:  # from the copy that is copied
            self._count(withheld_records=1)
            return record.line
        fields = codec.decode_fields(record.body)
        if self._choice.withholds(record, fields):
            self._count(withheld_records=1)
            self._unmet.withheld(record.index, fields)
            seq = fields.get("seq")
            leaf = b64encode(self._leaves[-1]).decode()
            durable, chain = codec.seal_of(record.line)
            held = codec.encode_fields({"$withheld": {"leaf": leaf, "seq": seq if type(seq) is int else None}})
            return codec.seal(held, durable, chain)
        if (blob := blob_of(fields)) is not None:
            await self._out.write(f"{self._path}/{blob.name}", await blob.read(self._source, self._path))
        if COMMITTED in record.line:
            await self._contents(record)
        return record.line

    async def _contents(self, record: Record) -> None:
        for each in commitments_of(await whole_fields(self._source, self._path, record.body) or {}):
            page = await self._page(each.page, each.digest)
            try:
                content = page.content(each)
            except InvalidRecord as error:
                raise LogDamaged(
                    f"record {record.index} of the log {self._path}: {error}. It is not handed out",
                    path=page_path(self._path, each.page),
                ) from error
            self._unmet.content(record.index, each.field)
            if each.digest in page.gone:
                self._count(**{"withheld" if page.gone[each.digest][0] == WITHHELD else "gone": 1})
                line = gone_line(each.digest, *page.gone[each.digest])
            elif content is None:
                self._count(gone=1)
                continue
            elif self._choice.opens(record.index, each.field):
                self._count(opened=1)
                line = b"%b %b\n" % (each.digest.encode(), page.contents[each.digest])
            else:
                self._count(withheld=1)
                line = gone_line(each.digest, WITHHELD, b"{}")
            self._lines.setdefault(each.page, []).append(line)

    async def _page(self, name: str, digest: str) -> Page:
        page = self._pages.get(name)
        if page is None or (digest not in page.contents and digest not in page.gone):
            page = await read_page(self._source, self._path, name) or Page()
            if len(self._pages) >= 8:  # records that follow each other are in the same page, or the next
                self._pages.pop(next(iter(self._pages)))
            self._pages[name] = page
        return page

    def _count(self, **more: int) -> None:
        counts = {name: getattr(self.report, name) + number for name, number in more.items()}
        self.report = attrs.evolve(self.report, **counts)
