"""A search: the pieces of a log that may hold what is wanted, and what is found in each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from .. import codec
from ..erasable import Opener
from ..errors import LogDamaged
from ..log import Place, count_sound, segment_path
from ..ports import KnowledgeStore
from ._cursor import Cursor, check_cursor, check_index
from ._looked import Looked
from ._matching import BadLine, Matcher, is_object
from ._names import Naming, names_in
from ._pieces import Piece, Pieces
from ._plans import Plans, Wanted
from ._selection import Selection

__all__ = ("Search", "names_of")

T = TypeVar("T")


class Search:
    """Looks through one log for one selection."""

    def __init__(self, store: KnowledgeStore, path: str, selection: Selection, looked: Looked) -> None:
        self.opener: Opener = Opener(store, path)
        self._store = store
        self._path = path
        self._selection = selection
        self._looked = looked

    async def matcher(self) -> Matcher:
        """Return what tells which lines are selected: the names in the selection are looked up in the whole log."""
        named = Naming(self._selection)
        if named.is_needed:
            async for key, identifier, name in names_of(self._store, self._path, self._looked):
                named.note(key, identifier, name)
        return named.matcher()

    async def found(
        self, matcher: Matcher, after: Cursor | None = None, *, newest_first: bool = False
    ) -> AsyncIterator[tuple[Place, bytes]]:
        """Iterate over places and lines of the selected records."""
        looks_inside = self._selection.text is not None or bool(self._selection.where)

        def find(piece: Piece) -> list[tuple[Place, bytes]]:
            place = piece.place
            if looks_inside:
                self._looked.cut += piece.content.count(b'"cut":{"blob":')
            return [
                (Place(place.segment, place.index + number, place.offset + begin), line)
                for number, begin, line in matcher.find(piece.content, piece.records)
            ]

        async for matches in self.each(find, matcher, after, newest_first=newest_first):
            self._looked.undated = matcher.undated
            for match in reversed(matches) if newest_first else matches:
                yield match

    async def each(
        self, look: Callable[[Piece], T], matcher: Matcher, after: Cursor | None = None, *, newest_first: bool = False
    ) -> AsyncIterator[T]:
        """Iterate over what ``look`` returns for each piece that may hold what is selected.

        ``look`` raises :class:`BadLine` at what is no record. Of a piece with damage in it, what is before that is
        looked at; then it raises.
        """
        before = behind = None
        if after is not None:
            before, behind = await check_cursor(self._store, self._path, after)
        try:
            async for result in self._each(look, matcher, before, behind, newest_first=newest_first):
                yield result
        except LogDamaged:
            if after is not None:  # it may be that the cursor is wrong, and not the log
                await check_index(self._store, self._path, after)
            raise

    async def _each(
        self,
        look: Callable[[Piece], T],
        matcher: Matcher,
        before: Place | None,
        behind: Place | None,
        *,
        newest_first: bool,
    ) -> AsyncIterator[T]:
        wanted = Wanted.of(self._selection.since, self._selection.until, matcher.keys)
        pieces = Pieces(self._store, self._path, self._looked, wanted)
        async for piece in pieces.backward(before) if newest_first else pieces.forward(behind):
            try:
                _check_sums(piece)
                result = look(piece)
            except BadLine as bad:
                is_torn = await self._is_torn(pieces, piece, bad.number)
                if (good := _lines_before(piece, bad.number)) is not None and (is_torn or not newest_first):
                    self._looked.records += good.records
                    yield look(good)
                if not is_torn:
                    raise self._damaged(piece, bad) from bad
                self._looked.unread_bytes += len(piece.content) + 1 - (0 if good is None else len(good.content) + 1)
                continue
            self._looked.records += piece.records
            yield result

    async def _is_torn(self, pieces: Pieces, piece: Piece, number: int) -> bool:
        """Tell whether no record follows a line that is none: a crash may leave such an end."""
        if (await pieces.segments())[-1] != piece.place.segment:
            return False
        lines = piece.content.split(b"\n")[number + 1 :]
        if any(map(is_object, lines)):
            return False
        async for later in Pieces(self._store, self._path, Looked()).forward(piece.end):
            if any(map(is_object, later.content.split(b"\n"))):
                return False
        return True

    def _damaged(self, piece: Piece, bad: BadLine) -> LogDamaged:
        good = _lines_before(piece, bad.number)
        place = piece.place if good is None else good.end
        path = segment_path(self._path, place.segment)
        return LogDamaged(
            f"{path} is damaged at byte {place.offset}, record {place.index}: {bad}. What is before it can be read with"
            " a limit; restore the segment from a copy",
            path=path,
            byte_offset=place.offset,
        )


def _lines_before(piece: Piece, number: int) -> Piece | None:
    """Return the first lines of a piece; None for no line."""
    if not number:
        return None
    return Piece.of(piece.place, b"\n".join(piece.content.split(b"\n")[:number]))


def _check_sums(piece: Piece) -> None:
    """Check the lines of a log whose lines have checksums. Raises :class:`BadLine`."""
    if codec.has_checksum(piece.content.partition(b"\n")[0]):
        count, _, error = count_sound(piece.content.split(b"\n"), piece.place.index, is_due=True)
        if error is not None:
            raise BadLine(count, error) from error


async def names_of(
    store: KnowledgeStore, path: str, looked: Looked | None = None, *, read_records_max: int | None = None
) -> AsyncIterator[tuple[str, str, str]]:
    """Iterate over what the log at ``path`` says of names: ``agent_id`` or ``channel_id``, the id, and the name.

    From indexes, and from the segments that have none; of these it reads ``read_records_max`` records at most. What is
    damaged there names none, and is reported when it is read itself.
    """
    pieces = Pieces(store, path, Looked())
    plans = Plans(store, path, Looked() if looked is None else looked)
    segments = await pieces.segments()
    read = 0
    for first in segments:
        is_last, place = first == segments[-1], Place(first, first)
        if (known := await plans.named(first, segments[-1])) is not None:
            for each in known.names:
                yield each
            if known.is_whole:
                continue
            place = known.end
        async for piece in pieces.forward(place) if is_last else pieces.of_segment(place):
            if read_records_max is not None and read >= read_records_max:
                break
            read += piece.records
            for each in names_in(piece.content):
                yield each
