"""Names: the ids of the agents and channels that a selection names."""

from __future__ import annotations

import re

from ..errors import ConfigurationError, InvalidRecord
from ._matching import Matcher, lines_with, whole_fields
from ._selection import Selection

__all__ = ("Naming", "names_in")

_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_IDS_MAX = 100_000

_NAMING = {"agent.registered": ("agent_id", "name"), "channel.created": ("channel_id", "topic")}
"""The kinds of records that name an id, and the keys of id and name."""

_NEEDLES = [f'"{kind}"'.encode() for kind in _NAMING]


class Naming:
    """The ids that the names in a selection stand for, as far as the records that name them were learnt."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._wanted = {"agent_id": _names(selection.agent), "channel_id": _names(selection.channel)}
        self._ids: dict[str, set[str]] = {"agent_id": set(), "channel_id": set()}

    @property
    def is_needed(self) -> bool:
        """Whether the selection has names, and not ids alone."""
        return any(self._wanted.values())

    def note(self, key: str, identifier: str, name: str) -> None:
        """An agent or a channel is called so."""
        if name in self._wanted[key]:
            self._ids[key].add(identifier)
            if len(self._ids[key]) > _IDS_MAX:
                raise ConfigurationError(f"more than {_IDS_MAX} ids are called {name[:80]!r}; select by id")

    def matcher(self) -> Matcher:
        """Return the matcher of the selection, by what was learnt so far."""
        return Matcher(self._selection, frozenset(self._ids["agent_id"]), frozenset(self._ids["channel_id"]))


def _names(texts: tuple[str, ...]) -> frozenset[str]:
    return frozenset(text for text in texts if not text.startswith("…") and not _ID.fullmatch(text))


def names_in(content: bytes) -> list[tuple[str, str, str]]:
    """Return what lines say about names: the key, the id, and the name."""
    found = []
    for _, line in lines_with(content, _NEEDLES):
        try:
            fields = whole_fields(line)
        except InvalidRecord:
            continue
        kind = fields.get("kind")
        if type(kind) is str and kind in _NAMING:
            key, called = _NAMING[kind]
            identifier, name = fields.get(key), fields.get(called)
            if type(identifier) is str and type(name) is str and name:
                found.append((key, identifier, name))
    return found
