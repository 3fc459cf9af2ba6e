"""What was probably meant by a filter that selects no record: a name, a topic or a kind that the log has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from ..errors import InvalidRecord
from ..events._declare import declared_kinds
from ..events._shown import nearest_name
from ..ports import KnowledgeStore
from ..query import names_of, query
from .output import escape
from .redacted import Shown

__all__ = ("meant", "meant_of")

_RECORDS_MAX = 100_000
_NAMES_MAX = 10_000
_TEXT_CHARS_MAX = 100
_WHAT = {"agent_id": "agent", "channel_id": "channel"}


async def meant(
    store: KnowledgeStore,
    path: str,
    as_shown: Shown,
    *,
    kinds: Iterable[str] = (),
    agents: Iterable[str] = (),
    channels: Iterable[str] = (),
) -> str:
    """Return what is to be said of names and kinds that no record has, each behind "; "; empty if all are known.

    The first 100,000 records are looked at, and all names of indexes. What is redacted is not suggested.
    """
    wanted = {"agent_id": tuple(agents), "channel_id": tuple(channels)}
    known = await _names(store, path, as_shown) if any(wanted.values()) else {}
    kinds = tuple(kinds)
    return meant_of(wanted, known, kinds, await _kinds(store, path) if any(map(_is_whole, kinds)) else ())


def meant_of(
    wanted: Mapping[str, tuple[str, ...]],
    known: Mapping[str, Mapping[str, str]],
    kinds: Iterable[str],
    known_kinds: Iterable[str],
) -> str:
    """Return the same for names and kinds that are known already; all declared kinds are known besides."""
    said = [*_of_names(wanted, known), *_of_kinds(kinds, {*declared_kinds(), *known_kinds})]
    return "".join(f"; {escape(each)}" for each in said)


async def _names(store: KnowledgeStore, path: str, as_shown: Shown) -> dict[str, dict[str, str]]:
    """Return the names of ids, for agents and for channels."""
    found: dict[str, dict[str, str]] = {key: {} for key in _WHAT}
    async for key, identifier, name in names_of(store, path, read_records_max=_RECORDS_MAX):
        if len(found[key]) < _NAMES_MAX:
            found[key][identifier] = str(as_shown.fields({"name": name})["name"])
    return found


async def _kinds(store: KnowledgeStore, path: str) -> set[str]:
    kinds = set[str]()
    kind: Any = None
    async for each in query(store, path, limit=_RECORDS_MAX):
        with suppress(InvalidRecord):
            kind = each.fields.get("kind")
        if isinstance(kind, str) and len(kinds) < _NAMES_MAX:
            kinds.add(kind)
    return kinds


def _of_names(wanted: Mapping[str, tuple[str, ...]], known: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for key, texts in wanted.items():
        for text in texts:
            end = text.removeprefix("…")
            if text in known[key].values() or any(each.endswith(end) for each in known[key]):
                continue
            yield f"no {_WHAT[key]} is called {text[:_TEXT_CHARS_MAX]!r}{_advice(text, known[key].values())}"


def _of_kinds(kinds: Iterable[str], known: set[str]) -> Iterator[str]:
    for kind in kinds:
        if _is_whole(kind) and kind not in known:
            yield f"no record is of kind {kind[:_TEXT_CHARS_MAX]!r}{_advice(kind, known)}"


def _is_whole(kind: str) -> bool:
    return "*" not in kind


def _advice(text: str, known: Iterable[str]) -> str:
    near = nearest_name(text[:_TEXT_CHARS_MAX], set(known))
    return "" if near is None else f"; did you mean {near}?"
