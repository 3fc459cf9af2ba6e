"""The files with erasable contents of one log, while it is written: appended in groups, and written anew to erase.

One append is under way at a time, and what comes meanwhile is in the next one. A page that was begun by an earlier
opening is never appended to: a crash may have torn its end. The steps of an erasure in a page: the page without the
content is written under its other name, then the old file is deleted. So no crash takes another content away, on no
store, and what is erased is gone from both files when the call returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence, Set as AbstractSet
from functools import partial
from os import urandom
from typing import Any

from hubwire import codec
from hubwire.erasable import ERASED, Page, page_files, page_path, read_page
from hubwire.errors import LogDamaged, StoreError
from hubwire.ports import EagerStore, KnowledgeStore

from ._guests import Worker
from ._one_by_one import OneByOne

__all__ = ("PAGE_BYTES", "Pages")

PAGE_BYTES = 256 * 1024
"""A page that has as many is not appended to: to erase in it is to write all of it."""

_BATCH_BYTES = 1024 * 1024

_Waiting = tuple[bytes, "asyncio.Future[str]", AbstractSet[str]]


class Pages:
    """The pages of one log."""

    def __init__(self, store: KnowledgeStore, path: str, records: Callable[[], int]) -> None:
        """``records`` returns how many records the log has: a page is named by that, so that names sort by age."""
        self.rewriting: OneByOne = OneByOne()
        """Entered by who writes a page anew."""
        self.abandoned: dict[str, set[str]] = {}
        """Contents, by their pages, whose caller was cancelled before they were durable: no record names them."""
        self._store = store
        self._path = path
        self._records = records
        self._worker = Worker("hubwire audit contents")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[_Waiting] = []
        self._under_way: asyncio.Future[None] | None = None
        self._page: str | None = None
        """The page that is appended to; None: the next append begins one."""
        self._size = 0

    # -- appending --

    async def put(self, lines: bytes, digests: AbstractSet[str]) -> str:
        """Append lines to a page; return its name. They are durable when it returns, in the order of the calls.

        Cancelling ends the wait, not the write: the contents with these digests are :attr:`abandoned` then.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # what was begun in a loop that has ended is not known
            self._loop, self._waiting, self._under_way, self._page = loop, [], None, None
        done: asyncio.Future[str] = loop.create_future()
        self._waiting.append((lines, done, digests))
        if self._under_way is None:
            self._begin()
        try:
            return await done
        except asyncio.CancelledError:
            if not done.cancelled() and done.exception() is None:  # it came when they were durable already
                self.abandon(done.result(), digests)
            raise

    def abandon(self, page: str, digests: AbstractSet[str]) -> None:
        """No record names these contents, nor will one."""
        if digests:
            self.abandoned.setdefault(page, set()).update(digests)

    def _begin(self) -> None:
        batch, size = [], 0
        while self._waiting and size < _BATCH_BYTES:
            batch.append(self._waiting.pop(0))
            size += len(batch[-1][0])
        content = b"".join([lines for lines, _, _ in batch])
        self._under_way = asyncio.get_running_loop().create_future()
        if self._page is not None and self._size < PAGE_BYTES:
            page, before = self._page, self._size
            self._size += len(content)
            file, done = page_path(self._path, page), partial(self._end, page, batch)
            if isinstance(self._store, EagerStore):
                try:
                    self._store.begin_append(file, content, expect=before, done=done)
                except Exception as error:  # noqa: BLE001 - the calls that wait raise it
                    self._end(page, batch, None, error)
            else:
                self._worker.start(partial(self._write, self._store.append(file, content, expect=before), done))
        else:
            page = self._page = f"{self._records():020d}-{urandom(4).hex()}"
            self._size = len(content)
            writing = self._store.write(page_path(self._path, page), content, if_absent=True)
            self._worker.start(partial(self._write, writing, partial(self._end, page, batch)))

    async def _write(self, writing: Any, done: Callable[[int | None, BaseException | None], None]) -> None:
        try:
            await writing
        except BaseException as error:
            done(None, error)
            if not isinstance(error, Exception):
                raise
        else:
            done(None, None)

    def _end(self, page: str, batch: Sequence[_Waiting], _: int | None, error: BaseException | None) -> None:
        if error is not None and page == self._page:
            self._page = None  # its end is not known
        for _lines, done, digests in batch:
            if error is not None or done.done():  # what has failed may be there all the same
                self.abandon(page, digests)
            if done.done():
                continue
            if done.get_loop().is_closed():
                continue
            if error is None:
                done.set_result(page)
            elif isinstance(error, Exception):
                done.set_exception(error)
            else:
                done.set_exception(StoreError("the loop ended while erasable contents were written", path=self._path))
        under_way, self._under_way = self._under_way, None
        if self._waiting:
            self._begin()
        if under_way is not None and not under_way.done():
            under_way.set_result(None)

    async def seal(self) -> None:
        """Return when no page that is there now is appended to any more."""
        self._page = None
        if self._under_way is not None and self._loop is asyncio.get_running_loop():
            await asyncio.wait([self._under_way])

    # -- what there is --

    async def names(self) -> list[str]:
        """Return the names of all pages, the oldest first."""
        found = await self._store.list(f"{self._path}/erasable")
        return sorted({name.removesuffix(".e") for name in found if not name.endswith("/")})

    # -- writing anew --

    async def erase(
        self, page: str, why: Mapping[str, Mapping[str, Any]], *, anew: AbstractSet[str] = frozenset()
    ) -> tuple[int, int]:
        """Take contents out of a page, and leave a line that says why in the place of each.

        Return how many were there, and their bytes. May be called again: what is gone stays gone, for the first reason;
        for this one, if it is among ``anew`` and was erased.
        """
        async with self.rewriting:
            await self.seal()
            found, older = await self._read(page)
            if found is None:
                return 0, 0
            left = sum(digest in older.contents and digest not in found.contents for digest in why)
            taken = {digest: found.contents.pop(digest) for digest in why if digest in found.contents}
            said = {digest: codec.encode_fields(why[digest]) for digest in taken if digest not in found.gone}
            for digest in anew & found.gone.keys():
                what, before = found.gone[digest]
                if what == ERASED and before != (words := codec.encode_fields(why[digest])):
                    said[digest] = words
            found.gone |= {digest: (ERASED, words) for digest, words in said.items()}
            if taken or said:
                first, second = page_files(self._path, page)
                there, other = (first, second) if await self._store.exists(first) else (second, first)
                await self._store.write(other, found.encode(), if_absent=True)
                await self._store.delete(there)
            return left + len(taken), sum(map(len, taken.values()))

    async def keep_only(self, page: str, digests: set[str], pending: AbstractSet[str] = frozenset()) -> None:
        """Take all contents out of a page but these, and those that are pending; one with none of them is deleted."""
        found = await read_page(self._store, self._path, page)
        if found is None:
            return
        if not digests and pending.isdisjoint(found.contents):
            async with self.rewriting:
                await self.seal()
                for file in page_files(self._path, page):
                    await self._store.delete(file)
        else:
            others = found.contents.keys() - digests - pending
            if others or await self._is_in_two_files(page):  # of these the older one has what was taken out
                await self.erase(page, {digest: {} for digest in others})

    async def _is_in_two_files(self, page: str) -> bool:
        first, second = page_files(self._path, page)
        return await self._store.exists(first) and await self._store.exists(second)

    async def _read(self, page: str) -> tuple[Page | None, Page]:
        """Return a page that is in one file, and the older file of it, if there was one.

        Where a crash came before the old one was deleted, it is now. The newer one has all that is in the older, or
        says of it that it is gone.
        """
        first, second = page_files(self._path, page)
        of_first, of_second = [await self._store.read_bytes(file) for file in (first, second)]
        if of_first is None or of_second is None:
            content = of_second if of_first is None else of_first
            return None if content is None else Page(content), Page()
        pages = Page(of_first), Page(of_second)
        both = Page(of_first)
        both.merge(pages[1])
        for one, older, file in ((pages[1], pages[0], first), (pages[0], pages[1], second)):
            if one.contents == both.contents and one.gone.keys() == both.gone.keys():
                await self._store.delete(file)
                return one, older
        raise LogDamaged(
            f"{first} and {second} are one page of erasable contents, and neither has all that is in the other: they"
            " are from two copies of the log. Keep the files of one copy",
            path=first,
        )
