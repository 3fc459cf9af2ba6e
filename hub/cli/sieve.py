"""Which records a tail shows: those that its filters select, with the outcome and the text that is looked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import get_args

from ..errors import ConfigurationError
from ..log import Record
from ..query import Selection
from ..query._matching import BadLine
from ..query._names import Naming, names_in
from ..words import Names, Outcome, holds_name, outcome_of
from .pretty import Pretty
from .redacted import Shown
from .target import fields_of

__all__ = ("OUTCOMES", "Sieve")

OUTCOMES = get_args(Outcome)
_ALSO = {"success": "ok", "failure": "failed"}
"""How records say it themselves."""


class Sieve:
    """Tells record by record which are selected, learning on the way how agents and channels are called.

    ``outcomes`` are those of :func:`hubwire.words.outcome_of`. ``grep`` are regular expressions of which
    one has to be found, ``exclude`` those of which none may be: in the line that is printed for people, uncut, or in
    the record itself, as it is shown.
    """

    def __init__(
        self,
        selection: Selection,
        shown: Shown,
        *,
        outcomes: Sequence[str] = (),
        grep: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> None:
        self.selection: Selection = selection
        self.names: Names = Names()
        self._shown_as = shown
        self._naming = Naming(selection)
        self._matcher = self._naming.matcher()
        self._outcomes = frozenset(_ALSO.get(each, each) for each in outcomes)
        self._grep = _compiled("--grep", grep)
        self._exclude = _compiled("--exclude", exclude)
        self._pretty = Pretty(self.names)

    @property
    def is_everything(self) -> bool:
        """Whether all records are selected."""
        return self._matcher.is_everything and not (self._outcomes or self._grep or self._exclude)

    @property
    def is_by_name(self) -> bool:
        """Whether the names of agents or channels have to be known before."""
        return self._naming.is_needed

    def note(self, key: str, identifier: str, name: str) -> None:
        """An agent (``agent_id``) or a channel (``channel_id``) is called so."""
        kind, called = ("agent.registered", "name") if key == "agent_id" else ("channel.created", "topic")
        shown = self._shown_as.fields({"kind": kind, key: identifier, called: name})
        self.names.learn(shown)
        if self._naming.is_needed:
            for each in {name, str(shown[called])}:
                self._naming.note(key, identifier, each)
            self._matcher = self._naming.matcher()

    def learn(self, record: Record) -> None:
        """Learn what a record says of names."""
        if holds_name(record.line):
            for each in names_in(record.line):
                self.note(*each)

    def takes(self, record: Record) -> bool:
        """Tell whether a record is selected, after learning from it."""
        self.learn(record)
        if self.is_everything:
            return True
        try:
            return self._matcher.takes(record.line) and self.passes(record)
        except BadLine:
            return False

    def passes(self, record: Record) -> bool:
        """Tell whether a record that is selected has the outcome and the text that is looked for besides."""
        if not (self._outcomes or self._grep or self._exclude):
            return True
        shown = self._shown_as.record(record)
        fields = fields_of(shown)
        if self._outcomes and (fields is None or outcome_of(fields) not in self._outcomes):
            return False
        texts = [shown.line.decode(errors="backslashreplace")]
        if fields is not None:
            texts.append(self._pretty.whole(fields))
        return (not self._grep or _is_found(self._grep, texts)) and not _is_found(self._exclude, texts)


def _is_found(patterns: Sequence[re.Pattern[str]], texts: Sequence[str]) -> bool:
    return any(each.search(text) for each in patterns for text in texts)


def _compiled(option: str, patterns: Sequence[str]) -> list[re.Pattern[str]]:
    found = []
    for each in patterns:
        try:
            found.append(re.compile(each))
        except (re.error, RecursionError, OverflowError) as error:
            raise ConfigurationError(
                f"{option} is a regular expression, and {each[:80]!r} is none: {error}; write \\ before a sign that"
                " stands for itself"
            ) from error
    return found
