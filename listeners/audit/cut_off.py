"""What is left of records that are cut off a log: their contents, and what they had said of contents of others.

For ``hubwire repair``. All of it may be done again after a crash.
"""

from __future__ import annotations

from hubwire import codec
from hubwire.clock import SystemClock
from hubwire.erasable import Page, commitments_of, contents_in, page_files, read_page
from hubwire.errors import LogDamaged
from hubwire.log import Log
from hubwire.ports import KnowledgeStore

from ._erasing import Eraser, gone_in, records_before, whole_fields
from ._old_contents import page_of
from ._pages import Pages
from ._redaction import Redaction

__all__ = ("contents_behind", "erasures_behind", "say_erased_again", "take_out")


async def contents_behind(store: KnowledgeStore, path: str, end: int | None) -> dict[str, bytes]:
    """Return the lines, by their pages, of contents that no record before ``end`` names; None: the end of the log."""
    pages = Pages(store, path, lambda: 0)
    unnamed = {page: await contents_in(store, path, page) for page in await pages.names()}
    if not unnamed:
        return {}
    async for record in records_before(store, path, end):
        try:
            whole = await whole_fields(store, path, record.body) or {}
        except LogDamaged:  # the file of a long record is missing: it may name any content of its page
            unnamed.pop(page_of(codec.decode_fields(record.body)) or "", None)
            continue
        for each in commitments_of(whole):
            unnamed.get(each.page, set()).discard(each.digest)
    return {page: await _lines(store, path, page, digests) for page, digests in unnamed.items() if digests}


async def _lines(store: KnowledgeStore, path: str, page: str, digests: set[str]) -> bytes:
    lines = Page()
    for file in page_files(path, page):
        contents = Page(await store.read_bytes(file) or b"").contents
        lines.contents |= {digest: rest for digest, rest in contents.items() if digest in digests}
    return lines.encode()


async def take_out(store: KnowledgeStore, path: str) -> None:
    """Take out what no record of the log names. No program may have it open."""
    pages = Pages(store, path, lambda: 0)
    for page, lines in (await contents_behind(store, path, None)).items():
        there = await read_page(store, path, page) or Page()
        await pages.keep_only(page, (there.contents.keys() | there.gone.keys()) - Page(lines).contents.keys())


async def erasures_behind(store: KnowledgeStore, path: str, end: int, *, is_cut: bool) -> int:
    """Return of how many contents only records from ``end`` on say, or said, that they were erased."""
    return (await gone_in(store, path, since=end, before=None if is_cut else end)).unsaid.contents


async def say_erased_again(store: KnowledgeStore, path: str, end: int, *, by: str, basis: str) -> None:
    """Say again what records from ``end`` on had said was erased, by a record ``record.erased``."""
    words = Redaction("default").words
    log = Log(store, path, clock=SystemClock(), chained=True, announce_opening=True)
    eraser = Eraser(store, log, None)
    try:
        await eraser.ready()
        await eraser.say_again(words(by) or "", words(basis) or "", since=end)
    finally:
        await log.aclose()
