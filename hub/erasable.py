"""Erasable contents: a record has a salted commitment in their place, a file beside the log has salt and content.

A record with commitments has the key ``$c``: ``{"fields": [...], "page": ...}``. Each of the fields, a name or names
joined by dots, has as its value ``{"$c": commitment, "len": bytes}``. A commitment is the base64 of the SHA-256 over
``hub-commit-v1``, a salt of 32 random bytes, and the content, which is JSON. What is not all of this is no commitment,
but a value of a caller's own.

A page is the file ``<log>/erasable/<page>``. Each of its lines is a commitment, and behind that the base64 of the salt
and the content; or a sign and an object that says why both are not there: ``erased``, or ``withheld`` from a copy. A
page in which was erased is written anew under its other name, ``<page>.e`` or the first one again, before the old file
is deleted: so that a crash takes no other content away.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error, b2a_base64
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from os import urandom
from typing import Any, NamedTuple

import attrs
import msgspec

from . import codec
from .errors import InvalidRecord
from .log import Record
from .ports import KnowledgeStore

__all__ = (
    "COMMITTED",
    "DIGEST_CHARS",
    "ERASED",
    "WITHHELD",
    "Commitment",
    "Opener",
    "Page",
    "commit",
    "commitments_of",
    "contents_in",
    "files_of_page",
    "gone_line",
    "is_page",
    "page_files",
    "page_path",
    "read_page",
    "value_at",
    "with_value_at",
)

COMMITTED = b'"$c":'
"""What is in the line of a record with commitments; perhaps in others, too."""

ERASED = "erased"
WITHHELD = "withheld"
_SIGNS = {b"-": ERASED, b"~": WITHHELD}
_SIGN_OF = {name: sign for sign, name in _SIGNS.items()}

_DOMAIN = b"hub-commit-v1"
_SALT_BYTES = 32
_COMMITMENT = re.compile(r"[A-Za-z0-9+/]{43}=")
_PAGE_NAME = re.compile(r"\d{20}-[0-9a-f]{8}")
DIGEST_CHARS = 44


class Commitment(NamedTuple):
    """What a record has in the place of a content."""

    field: str
    digest: str
    size: int
    """How many bytes of JSON the content has."""
    page: str


def committed(salt: bytes, content: bytes) -> bytes:
    """Return the commitment to a content, as base64."""
    return b64encode(sha256(_DOMAIN + salt + content).digest())


def commit(content: bytes) -> tuple[bytes, bytes]:
    """Return what takes the place of a content in its record, as JSON, and the line of its page."""
    salt = urandom(_SALT_BYTES)
    digest = b2a_base64(sha256(_DOMAIN + salt + content).digest(), newline=False)
    line = b"%b %b %b\n" % (digest, b2a_base64(salt, newline=False), content)
    return b'{"$c":"%b","len":%d}' % (digest, len(content)), line


def gone_line(digest: str, what: str, why: bytes) -> bytes:
    """Return the line of a page for a content that is not there any more; ``why`` is an object as JSON."""
    return b"%b %b %b\n" % (digest.encode(), _SIGN_OF[what], why)


# --- records --------------------------------------------------------------------------------------------------------


def commitments_of(fields: Mapping[str, Any]) -> list[Commitment]:
    """Return the commitments of a record; none if what it has under their key was not written by a log."""
    own = fields.get("$c")
    if not isinstance(own, dict) or len(own) != 2:  # not by patterns: it is asked of each record of a log
        return []
    names, page = own.get("fields"), own.get("page")
    if type(names) is not list or type(page) is not str or not _PAGE_NAME.fullmatch(page):
        return []
    found = []
    for name in names:
        if type(name) is str:
            if (each := _commitment(fields, name, page)) is None:
                return []
            found.append(each)
    return found


def is_page(name: str) -> bool:
    """Tell whether this is the name of a page, and no other path."""
    return _PAGE_NAME.fullmatch(name) is not None


def _commitment(fields: Mapping[str, Any], name: str, page: str) -> Commitment | None:
    value = value_at(fields, name) if "." in name else fields.get(name)
    if not isinstance(value, dict) or len(value) != 2:
        return None
    digest, size = value.get("$c"), value.get("len")
    if type(digest) is not str or type(size) is not int or not _COMMITMENT.fullmatch(digest):
        return None
    return Commitment(name, digest, size, page)


def value_at(fields: Mapping[str, Any], name: str) -> Any:
    """Return the value of a field, a name or names joined by dots; None if it is not there."""
    value: Any = fields
    for part in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def with_value_at(fields: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """Return a copy of the fields with another value at one that is there."""
    first, _, rest = name.partition(".")
    return {**fields, first: with_value_at(fields[first], rest, value) if rest else value}


# --- pages ----------------------------------------------------------------------------------------------------------


def page_path(path: str, page: str) -> str:
    """Return the first of the two files that a page may be."""
    return f"{path}/erasable/{page}"


def page_files(path: str, page: str) -> tuple[str, str]:
    """Return the two files that a page may be."""
    first = page_path(path, page)
    return first, f"{first}.e"


class Page:
    """The lines of a page, by their commitments."""

    def __init__(self, content: bytes = b"") -> None:
        self.contents: dict[str, bytes] = {}
        """What is behind the commitments whose contents are there: not checked yet."""
        self.gone: dict[str, tuple[str, bytes]] = {}
        """What is said of those whose contents are not: ``erased`` or ``withheld``, and why, as JSON."""
        self.damaged: int = 0
        """How many lines are none of a page."""
        self._add(content)

    def _add(self, content: bytes) -> None:
        *lines, rest = content.split(b"\n")
        self.damaged += bool(rest)
        for line in lines:
            digest, after = line[:DIGEST_CHARS].decode("ascii", "replace"), line[DIGEST_CHARS:]
            if not _COMMITMENT.fullmatch(digest) or after[:1] != b" ":
                self.damaged += 1
            elif (what := _SIGNS.get(after[1:2])) is not None and after[2:3] == b" ":
                self.gone[digest] = what, after[3:]
            else:
                self.contents[digest] = after[1:]

    def merge(self, other: Page) -> None:
        """Take what another file of the same page says: a content that is gone in one of them is gone."""
        self.contents |= other.contents
        self.gone |= other.gone
        self.damaged += other.damaged
        for digest in self.gone:
            self.contents.pop(digest, None)

    def why(self, digest: str) -> dict[str, Any]:
        """Return why a content is not there, as its page says; empty if that cannot be read."""
        try:
            return codec.decode_fields(self.gone[digest][1])
        except InvalidRecord:
            return {}

    def content(self, commitment: Commitment) -> bytes | None:
        """Return a content that is there. Raises :class:`~hubwire.errors.InvalidRecord` if it is another one."""
        found = self.contents.get(commitment.digest)
        if found is None:
            return None
        salt, _, content = found.partition(b" ")
        try:
            decoded = b64decode(salt, validate=True)
            is_same = committed(decoded, content) == commitment.digest.encode() and b64encode(decoded) == salt
        except (Base64Error, ValueError):
            is_same = False
        if not is_same or len(content) != commitment.size:
            raise InvalidRecord(
                f"the erasable content of {commitment.field!r} in page {commitment.page} is not what its record"
                " committed to: it was altered; restore the page from a copy"
            )
        return content

    def encode(self) -> bytes:
        """Return the page as a file."""
        there = [b"%b %b\n" % (digest.encode(), rest) for digest, rest in self.contents.items()]
        return b"".join([*there, *[gone_line(digest, what, why) for digest, (what, why) in self.gone.items()]])


# --- reading --------------------------------------------------------------------------------------------------------

_PAGES_MAX = 8
"""How many pages are remembered: records that follow each other are in the same one, or the next."""

_ATTEMPTS = 3
"""A page that is written anew between the reads of its two files may be seen in neither."""

_PAGE_SECONDS = 1.0
"""So long a page is remembered: what was erased meanwhile is not shown for longer."""


async def read_page(store: KnowledgeStore, path: str, page: str) -> Page | None:
    """Return a page of a log, of both files where a crash has left both; None if there is none."""
    for _ in range(_ATTEMPTS):
        if found := await files_of_page(store, path, page):
            for other in found[1:]:
                found[0].merge(other)
            return found[0]
    return None


async def contents_in(store: KnowledgeStore, path: str, page: str) -> set[str]:
    """Return the commitments whose contents are in a file of a page, also where its other file says they are gone."""
    return {digest for file in await files_of_page(store, path, page) for digest in file.contents}


async def files_of_page(store: KnowledgeStore, path: str, page: str) -> list[Page]:
    """Return what each file of a page says that is there: both, where a crash has left both."""
    contents = [await store.read_bytes(file) for file in page_files(path, page)]
    return [Page(content) for content in contents if content is not None]


class Opener:
    """Puts the contents of one log back into its records."""

    def __init__(self, store: KnowledgeStore, path: str) -> None:
        self._store = store
        self._path = path
        self._pages: OrderedDict[str, tuple[float, Page]] = OrderedDict()

    async def records(self, records: Sequence[Record]) -> list[Record]:
        """Return records with their contents, for who shows them: those lines are not the ones of the log."""
        return [await self.record(record) if COMMITTED in record.line else record for record in records]

    async def record(self, record: Record) -> Record:
        """Return a record with its contents; itself if it has none."""
        line = await self.line(record.line)
        return record if line is record.line else attrs.evolve(record, line=line)

    async def line(self, line: bytes) -> bytes:
        """Return the line of a record with its contents; itself if it has none. It keeps ``d`` and ``h``."""
        if COMMITTED not in line:
            return line
        try:
            body = codec.body_of(line)
            opened = await self.body(body)
        except InvalidRecord:  # a stranger's, or damaged: it is shown as it is
            return line
        return line if opened is body else opened[:-1] + line[len(body) - 1 :]

    async def body(self, body: bytes) -> bytes:
        """Return a record with its contents; itself if it has none."""
        if COMMITTED not in body:
            return body
        fields = codec.decode_fields(body)
        opened = await self.fields(fields)
        return body if opened is fields else codec.encode_fields(opened)

    async def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of a record with its contents; the same if it has none."""
        commitments = commitments_of(fields) if "$c" in fields else []
        if not commitments:
            return fields
        opened = {name: value for name, value in fields.items() if name != "$c"}
        for commitment in commitments:
            opened = with_value_at(opened, commitment.field, await self._value(commitment))
        return opened

    async def salted(self, body: bytes) -> dict[str, dict[str, Any]]:
        """Return what shows of each erasable content of a record that it is the one which was committed to, by field.

        That is ``{"salt": base64, "content": JSON}``; or ``{"gone": ...}`` of one that is not there: ``"erased"`` or
        ``"withheld"``, with ``"why"``, ``"missing"`` or ``"altered"``.
        """
        if COMMITTED not in body:
            return {}
        found = {}
        for commitment in commitments_of(codec.decode_fields(body)):
            found[commitment.field] = _salted(await self._page(commitment), commitment)
        return found

    async def _value(self, commitment: Commitment) -> Any:
        return _shown(await self._page(commitment), commitment)

    async def _page(self, commitment: Commitment) -> Page:
        now = asyncio.get_running_loop().time()
        until, page = self._pages.get(commitment.page, (0.0, None))
        if page is None or until < now or not _has(page, commitment):  # it may have grown, or been erased in
            page = await read_page(self._store, self._path, commitment.page) or Page()
            self._pages.pop(commitment.page, None)
            self._pages[commitment.page] = now + _PAGE_SECONDS, page
            if len(self._pages) > _PAGES_MAX:
                self._pages.popitem(last=False)
        return page


def _has(page: Page, commitment: Commitment) -> bool:
    return commitment.digest in page.contents or commitment.digest in page.gone


def _salted(page: Page, commitment: Commitment) -> dict[str, Any]:
    """Return a content with its salt, or what became of it."""
    if commitment.digest in page.gone:
        return {"gone": page.gone[commitment.digest][0], "why": page.why(commitment.digest)}
    try:
        content = page.content(commitment)
        if content is not None:
            salt = page.contents[commitment.digest].partition(b" ")[0]
            return {"salt": salt.decode(), "content": content.decode()}
    except (InvalidRecord, UnicodeDecodeError):
        return {"gone": "altered"}
    return {"gone": "missing"}


def _shown(page: Page, commitment: Commitment) -> Any:
    """Return a content, or what is shown in its place."""
    if commitment.digest in page.gone:
        return {f"${page.gone[commitment.digest][0]}": page.why(commitment.digest)}
    try:
        content = page.content(commitment)
        if content is not None:
            return msgspec.json.decode(content)
    except (InvalidRecord, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {"$altered": {"len": commitment.size}}
    return {"$missing": {"len": commitment.size}}
