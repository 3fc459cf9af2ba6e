"""Erasable contents of records that go to an archive: all of them were erased, and the archive says so, too."""

from __future__ import annotations

from collections import OrderedDict

from hubwire.erasable import Page, commitments_of, contents_in, page_path, read_page
from hubwire.errors import ConfigurationError, StoreError
from hubwire.ports import KnowledgeStore

from ._erasing import records_in, whole_fields

__all__ = ("ArchivedContents",)

_PAGES_MAX = 8
"""So many pages are gathered: records that follow each other are in the same one, or the next."""


class ArchivedContents:
    """Writes into an archive why contents are not there, by the pages of the log: salt and content never go there."""

    def __init__(self, store: KnowledgeStore, archive: KnowledgeStore, path: str) -> None:
        self._store = store
        self._archive = archive
        self._path = path
        self._gone: OrderedDict[str, Page] = OrderedDict()
        self._pages: OrderedDict[str, tuple[Page, set[str]]] = OrderedDict()

    async def take(self, begin: int, end: int) -> None:
        """Take what is said of the contents of these records.

        Raises :class:`~hubwire.errors.ConfigurationError` at the first that is there: no erasure would reach it.
        """
        async for record in records_in(self._store, self._path, [(begin, end - 1)]):
            whole = await whole_fields(self._store, self._path, record.body)
            for each in commitments_of(whole or {}):
                page, there = await self._page(each.page)
                if each.digest in there:
                    raise ConfigurationError(
                        f"record {record.index} of the log {self._path} is to be pruned, and its content of"
                        f" {each.field!r:.80} is there: no erasure would reach it in the archive"
                        f" {self._archive!r:.200}. Nothing was pruned. Erase the contents of what is pruned before,"
                        " by erase() or hubwire erase;"
                        " or make a copy without contents by hubwire redact, and prune this log without an archive"
                    )
                if each.digest in page.gone:
                    self._gone.setdefault(each.page, Page()).gone[each.digest] = page.gone[each.digest]
            while len(self._gone) > _PAGES_MAX:
                await self._write(*self._gone.popitem(last=False))
        while self._gone:
            await self._write(*self._gone.popitem(last=False))

    async def _page(self, name: str) -> tuple[Page, set[str]]:
        """Return a page, and the contents that are in one of its files."""
        if name not in self._pages:
            page = await read_page(self._store, self._path, name) or Page()
            self._pages[name] = page, await contents_in(self._store, self._path, name)
            if len(self._pages) > _PAGES_MAX:
                self._pages.popitem(last=False)
        return self._pages[name]

    async def _write(self, name: str, page: Page) -> None:
        """Add to a page of the archive: an earlier pruning may have taken other records of it."""
        file = page_path(self._path, name)
        there = await self._archive.read_bytes(file)
        whole = Page(there or b"")
        whole.merge(page)
        content = whole.encode()
        if content == there:
            return
        await self._archive.write(file, content)
        if await self._archive.read_bytes(file) != content:
            raise StoreError(f"{file} was read back from the archive as another content; nothing was pruned")
