"""A query: the selected records of a log, one after the other."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Self

import attrs

from .._foreign.arguments import Call, has_method
from .._values import Value
from ..erasable import COMMITTED
from ..errors import ConfigurationError
from ..log import Place
from ..ports import KnowledgeStore, normalize_path
from ._cursor import Cursor
from ._looked import Looked
from ._matching import whole_fields
from ._search import Search
from ._selection import Selection

__all__ = ("Found", "Query", "query", "search_for")


@attrs.frozen(eq=False, repr=False)
class Found(Value):
    """A record that was found."""

    place: Place
    """Where it is."""
    line: bytes
    """Its line in the log, without the line feed."""
    opened: bytes | None = None
    """The line with the erasable contents that are there; None where it has none."""

    @property
    def shown(self) -> bytes:
        """The line as it is shown: with the erasable contents that are there."""
        return self.line if self.opened is None else self.opened

    @property
    def index(self) -> int:
        """Its number in the log, from 0."""
        return self.place.index

    @property
    def fields(self) -> dict[str, Any]:
        """The fields as they were appended: without those that the log adds, ``d`` and ``h``. Decoded at each call.

        In the place of an erasable content that is not there any more stands why: ``{"$erased": {"by": ...}}``.
        """
        return whole_fields(self.shown)

    @property
    def cursor(self) -> str:
        """Where it is, as text that can stand in a URL: a query goes on after it."""
        return str(Cursor.at(self.place, self.line))


def query(
    store: KnowledgeStore,
    path: str = "/audit",
    selection: Selection | None = None,
    *,
    after: str | None = None,
    limit: int | None = None,
    newest_first: bool = False,
    with_contents: bool = True,
    call: str = "query()",
) -> Query:
    """Return the selected records of the log at ``path``: an async iterator of :class:`Found`.

    It only reads, so the log may be written meanwhile: to its present end. ``after`` is the cursor of a record, behind
    which it begins, in its direction. ``limit`` is how many records come at most. ``with_contents``: each is given with
    the erasable contents that are there; without them it is quicker, and its :attr:`Found.shown` is its line. Memory
    stays constant, and between pieces of 256 KiB the loop runs on. ``call`` is how errors name the call that was made.

    Raises :class:`~hubwire.errors.ConfigurationError` for what cannot be, and :class:`~hubwire.errors.InvalidCursor`
    for text that is no cursor. Reading raises :class:`~hubwire.errors.LogDamaged`, with segment and byte, at
    a line that is no record; :class:`~hubwire.errors.InvalidCursor` if the cursor is of another history;
    and :class:`~hubwire.errors.HistoryGone` if what it would read is pruned.
    """
    asked = Call(call, ConfigurationError)
    looked = Looked()
    return Query(
        search_for(asked, store, path, selection, looked),
        looked,
        after=None if after is None else Cursor.parse(after),
        limit=asked.whole("limit", limit, is_optional=True),
        newest_first=asked.flag("newest_first", newest_first),
        with_contents=asked.flag("with_contents", with_contents),
    )


def search_for(call: Call, store: Any, path: Any, selection: Any, looked: Looked) -> Search:
    """Return the search that was asked for by a call, whose errors name it."""
    chosen = Selection() if selection is None else call.instance("selection", selection, Selection)
    if not has_method(store, "read_bytes"):
        raise call.refusal("store", store, "a KnowledgeStore", "write FileStore('./data'), or open_store(url)")
    return Search(store, normalize_path(call.text("path", path)), chosen, looked)


class Query:
    """The selected records of a log, as an async iterator of :class:`Found`; :func:`query` makes it."""

    def __init__(
        self,
        search: Search,
        looked: Looked,
        *,
        after: Cursor | None,
        limit: int | None,
        newest_first: bool,
        with_contents: bool = True,
    ) -> None:
        self.looked: Looked = looked
        """What was looked at so far, and what was not."""
        self._left = limit
        self._last: Found | None = None
        self._opener = search.opener if with_contents else None
        self._results = _run(search, after, newest_first=newest_first)

    @classmethod
    def over(cls, search: Search, looked: Looked) -> Query:
        """Return the query of all that a search finds."""
        return cls(search, looked, after=None, limit=None, newest_first=False)

    @property
    def cursor(self) -> str | None:
        """The cursor of the record that came last; None before the first."""
        return None if self._last is None else self._last.cursor

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Found:
        if self._left == 0:
            await self.aclose()
            raise StopAsyncIteration
        place, line = await anext(self._results)
        if self._left is not None:
            self._left -= 1
        opened = line
        if self._opener is not None and COMMITTED in line:
            opened = await self._opener.line(line)
        self._last = found = Found(place, line, None if opened is line else opened)
        return found

    async def aclose(self) -> None:
        """Stop reading. May be called again; a query that is not read to its end needs no closing."""
        await self._results.aclose()


async def _run(
    search: Search, after: Cursor | None, *, newest_first: bool
) -> AsyncGenerator[tuple[Place, bytes], None]:
    matcher = await search.matcher()
    async for found in search.found(matcher, after, newest_first=newest_first):
        yield found
