"""The redactor: what decides for a value, and for an event, what of it may be shown."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from .. import codec
from ..coverage import Coverage
from ..errors import ConfigurationError, HubError
from ..events import Event
from ..events._canonical import FrozenDict, freeze_json
from ..events._shown import shown
from ..own_log import OwnLog
from ._arguments import items, refusal
from ._coverage import coverage_by
from ._events import (
    STAMP,
    Made,
    is_as_written,
    is_own_kind,
    line_of,
    looked_at,
    names_of,
    unread_of,
    values_of,
    with_changes,
    withheld,
)
from ._names import LENGTH_MAX, Names
from ._numbers import is_card_number
from ._pseudonyms import merged, placeholders_in
from ._quick import quick
from ._settings import FAMILIES, left_out, replacement_of, rules_of, stamp_of
from ._text import LENGTH_MIN, findings
from ._tokens import Span
from ._walk import Path, Walk
from .rules import Finding, RedactionRule, rule_of

__all__ = ("FAMILIES", "Redactor")

_KEYS_KNOWN_MAX = 4096

_JSON = re.compile(r"(?:^|\n)[ \t]*[{\[]")

_PLAIN = frozenset({float, bool, type(None)})
_SMALL = 10**12 - 1
"""No number up to this is that of a card."""

_DEPTH_PLAIN_MAX = 12
_SHORT = 64
"""Of the kind and the time of a record that is withheld."""

_NEVER_PLAIN = frozenset({"value", "$bytes", "$map"})
"""Keys whose value is not what it seems: ``{"name": "password", "value": "..."}``, and marked substitutes."""


_BATCH = "Redactor.redact_events"
_LINES = "Redactor.redact_lines"

_log = OwnLog("redaction")


class _NotPlain(Exception):
    """A value has a part that the quick way does not know."""


class Redactor:
    """Replaces what is personal or secret in a value by the name of its family: ``[redacted:email]``.

    It looks at keys, by name (``password``, ``userEmail``, ``X-Api-Key``), and at keys and values, by form: keys and
    tokens of services, e-mail and IP addresses, phone numbers, cards, accounts, national ids, and secrets that a text
    names (``password=...``). It goes into all containers, bytes, objects with fields, and texts of JSON.

    * ``rules``: rules of one's own, beside those of the package.
    * ``without``: families of the package that are left as they are: ``["ip"]``; see :data:`FAMILIES`.
    * ``mode``: ``"replace"``, or ``"pseudonym"``: then ``[email:hkbfmgpdlneaoijc]`` stands for a value and, with the
      same ``key``, for each that is equal; without the key it cannot be read or guessed.
    * ``key``: at least 16 random bytes, for pseudonyms.

    What was redacted is not changed by being redacted again. It takes linear time for any text. A redactor can
    be used by many threads. Raises :class:`~hubwire.errors.ConfigurationError` for a wrong argument.
    """

    def __init__(
        self,
        *,
        rules: Iterable[RedactionRule] = (),
        without: Iterable[str] = (),
        mode: Literal["replace", "pseudonym"] = "replace",
        key: bytes | None = None,
    ) -> None:
        self._own = rules_of(rules)
        left = left_out(without)
        self._without = frozenset(left)
        self._replacement = replacement_of(mode, key)
        self._names = Names(set(FAMILIES) - self._without, {rule.name: rule.keys for rule in self._own if rule.keys})
        self._families: dict[str, str | None] = {}
        """What is known of names of keys."""
        self._plain: set[str] = set()
        """Keys that name no family, and hold no finding."""
        self._quick = quick(self._names)
        self._fast = None if self._own else self._quick
        """What looks through records as they are written: RE2 finds all that may be one, but for rules of one's own."""
        self._may_hold = self._holds if self._quick is None else self._quick.may_hold
        self.length_min: int = 0 if self._own else LENGTH_MIN
        self.stamp: str = stamp_of(self._own, left, mode, key)
        """By which rules: the same for redactors that find the same and show it alike."""
        # What a function finds may depend on what its stamp does not show.
        self._events = Made() if any(rule.find for rule in self._own) else Made.of(self.stamp)
        self._named_kinds: dict[type[Event], bool] = {}
        self._failures = 0

    def __repr__(self) -> str:
        return f"<Redactor: {len(self._own)} rules of its own, {self._failures} failures>"  # no key, no rule

    @property
    def failures(self) -> int:
        """How often a value was withheld as a whole, because a rule, or an object that was read, raised."""
        return self._failures

    @property
    def coverage(self) -> Coverage:
        """What it looks for, and what it cannot find: ``log.opened`` of an audit log that uses it says so."""
        return coverage_by(self.stamp, self._own, self._without)

    @classmethod
    def shared(cls) -> Redactor:
        """Return the redactor without arguments that the parts of hubwire share: they share its work, too."""
        return _shared()

    # -- the calls --

    def redact(self, value: Any) -> Any:
        """Return the value without what is personal or secret in it.

        The value itself, if it has no finding; else a copy, of the same classes where these are plain containers,
        texts or bytes, and in the form that events have where they are not. Where a rule raises, the value is
        withheld: ``{"$redacted": "ValueError"}`` is returned, and ``failures`` counts it. It never raises.
        """
        try:
            if self.is_clean(value):
                return value
            return Walk(self).value(value)
        except KeyboardInterrupt:  # it is meant for the program
            raise
        except BaseException as error:  # noqa: BLE001 - what cannot be redacted must not be let out
            return FrozenDict({"$redacted": self._failed(error)})

    def redact_event(self, event: Event) -> Event:
        """Return the event without what is personal or secret in its fields, its context and its metadata.

        The event itself, if it has no finding; else ``metadata["redacted"]`` says by which rules. ``seq``, ``id``,
        ``at``, ``hub``, ``kind`` and the cause stay; names of the hub's own fields are no hint. Where a rule raises,
        the payload is withheld, and the event stays: a :class:`~hubwire.GenericEvent` of its kind, with
        ``{"$redacted": "ValueError"}``. The work is done once for all that ask one redactor about the same event soon
        after each other, and so is encoding what is returned.

        Raises :class:`~hubwire.errors.ConfigurationError` for what is no event.
        """
        if not isinstance(event, Event):
            raise ConfigurationError(f"Redactor.redact_event: event is an event, not {shown(event)}; or call redact()")
        quick = self._fast
        if quick is not None and event._body is not None and not quick.line_may_hold(line_of(event)):  # noqa: SLF001
            return event
        return self._events.get(event, self._made_event)

    def redact_events(self, events: Sequence[Event]) -> list[Event]:
        """Return the committed events of a hub, each as :meth:`redact_event` returns it, by one search for all.

        It is several times as quick, because it looks through what they are written as; encoding them is done here,
        and then once. Raises :class:`~hubwire.errors.ConfigurationError` for what is no event.
        """
        given: Any = events
        made: list[Event] = list(given if type(given) in (list, tuple) else items(_BATCH, "events", given, "events"))
        quick = self._fast
        lines: list[bytes] = []
        places: list[int] = []
        for place, event in enumerate(made):
            if quick is not None and is_as_written(event):
                lines.append(line_of(event))
                places.append(place)
            else:
                made[place] = self.redact_event(event)
        for found in () if quick is None else quick.suspects(lines):
            event = made[places[found]]
            made[places[found]] = self._events.get(event, self._made_event)
        return made

    def redact_line(self, line: bytes) -> bytes:
        """Return a record, which :mod:`hubwire.codec` wrote as one object of JSON, redacted.

        The same bytes if it has no finding; else an object in which ``redacted`` says by which rules. An event is
        redacted as :meth:`redact_event` does it. Of a record that had to be withheld its kind and its time stay. It
        never raises for bytes: what is no record is withheld, where it may hold a finding.

        Raises :class:`~hubwire.errors.ConfigurationError` for what is not bytes.
        """
        if type(line) is not bytes:
            raise refusal("Redactor.redact_line", "line", line, "the bytes of a record")
        if self._fast is not None and not self._fast.line_may_hold(line):
            return line
        return self._made_line(line)

    def redact_lines(self, lines: Sequence[bytes]) -> list[bytes]:
        """Return records, each as :meth:`redact_line` returns it, by one search for all: that is twice as quick.

        Raises :class:`~hubwire.errors.ConfigurationError` for what is not bytes.
        """
        given: Any = lines
        made: list[bytes] = list(
            given if type(given) is list else items(_LINES, "lines", given, "the bytes of records")
        )
        for line in made:
            if type(line) is not bytes:
                raise refusal(_LINES, "lines", line, "the bytes of records")
        suspects = range(len(made)) if self._fast is None else self._fast.suspects(made)
        for place in suspects:
            made[place] = self._made_line(made[place])
        return made

    def _made_line(self, line: bytes) -> bytes:
        try:
            fields = freeze_json(codec.decode_fields(line))
            if type(fields.get("seq")) is int and type(fields.get("kind")) is str:
                event = codec.decode(line)
                return line if (shown := self.redact_event(event)) is event else codec.encode(shown)
        except (HubError, RecursionError) as error:
            return codec.encode_fields({"$redacted": self._failed(error), STAMP: self.stamp})
        made = self.redact(fields)
        if made is fields:
            return line
        if "$redacted" in made:  # it was withheld: what happened, and when, stays
            made = {**made, **{key: fields[key] for key in ("kind", "at") if _is_short(fields.get(key))}}
        return codec.encode_fields({STAMP: self.stamp, **made})

    def _made_event(self, event: Event) -> Event:
        try:
            if not self._has_named_fields(type(event)) and self.is_clean(values_of(event)):
                return self._with_looked_at_bytes(event)
            context, own = looked_at(event)
            walk = Walk(self)
            changes = {name: made for name, value in context.items() if (made := walk.value(value)) is not value}
            if own:
                made_own = Walk(self).value(own)
                changes |= {name: made_own[name] for name, value in own.items() if made_own[name] is not value}
            return with_changes(event, changes, self.stamp) if changes else self._with_looked_at_bytes(event)
        except KeyboardInterrupt:  # it is meant for the program
            raise
        except BaseException as error:  # noqa: BLE001 - what cannot be redacted must not be let out
            return withheld(event, self._failed(error), self.stamp)

    def _with_looked_at_bytes(self, event: Event) -> Event:
        """Return the event; without the bytes it was read from, if there is a finding where its class has no field."""
        unread = unread_of(event)
        if not unread or self.redact(unread) is unread:
            return event
        return with_changes(event, {}, self.stamp)

    def _failed(self, error: BaseException) -> str:
        """Count and log that a value is withheld, and return the name of the error."""
        self._failures += 1
        name = type(error).__name__
        # Not the error's text, which may quote the value.
        _log.failure(
            "a value is withheld, because it could not be redacted; try the rule with Redactor.find()",
            rule=rule_of(error) or "none",
            error_type=name,
        )
        return name

    def _has_named_fields(self, kind: type[Event]) -> bool:
        """Tell whether a kind of event of an application has a field whose name says what it is."""
        has_them = self._named_kinds.get(kind)
        if has_them is None:
            has_them = not is_own_kind(kind) and any(map(self.family_of, names_of(kind)))
            self._named_kinds[kind] = has_them
        return has_them

    def find(self, value: Any) -> tuple[Finding, ...]:
        """Return what would be replaced, and where, in the order of the value. Raises what a rule raises."""
        found: list[Finding] = []

        def add(family: str, path: Path, start: int, end: int) -> None:
            found.append(Finding(family, path, start, end))

        Walk(self, add).value(value)
        return tuple(found)

    # -- what a walk asks --

    def spans(self, text: str) -> list[Span]:
        """Return where findings are in a text: start, end and family, in order and without overlaps."""
        if len(text) < self.length_min:
            return []
        if self._quick is None:
            spans = findings(text, self.family_of)
        else:
            spans = findings(text, self.family_of, self._quick.wanted(text)) if self._quick.may_hold(text) else []
        if self._without:
            spans = [span for span in spans if span[2] not in self._without]
        if not self._own:
            return spans
        taken = placeholders_in(text)
        for rule in self._own:
            found = rule.spans(text)
            spans += [span for span in found if not any(start < span[1] and span[0] < end for start, end in taken)]
        return merged(spans)

    def family_of(self, key: str) -> str | None:
        """Return the family of the values that a key of this name has; None if the name tells none."""
        try:
            return self._families[key]
        except KeyError:
            family = self._names.family_of(key)
            if len(key) <= LENGTH_MAX:
                if len(self._families) >= _KEYS_KNOWN_MAX:
                    self._families.clear()
                self._families[key] = family
            return family

    def replacement(self, family: str, value: str) -> str:
        """Return what stands in the place of a value."""
        return self._replacement(family, value)

    # -- the quick way --

    def is_clean(self, value: Any) -> bool:
        """Tell whether a value has no finding for certain: one search through its texts, and a look at its keys."""
        may_hold = self._may_hold
        texts: list[str] = []
        try:
            self._gather(value, texts, 0)
        except _NotPlain:
            return False
        if may_hold("\n".join(texts)):
            return False
        return not self._own or not any(rule.spans(text) for text in texts for rule in self._own)

    def _holds(self, text: str) -> bool:
        return _JSON.search(text) is not None or len(findings(text, self.family_of)) > 0

    def _gather(self, value: Any, texts: list[str], depth: int) -> None:
        """Gather the texts of a value, and refuse one that has to be walked through."""
        kind = type(value)
        if kind is dict or kind is FrozenDict:
            plain = self._plain
            for key, item in value.items():
                if key not in plain:
                    self._look_at(key)
                kind = type(item)
                if kind is str:
                    texts.append(item)
                elif kind is int:
                    if item > _SMALL and is_card_number(item):
                        raise _NotPlain
                elif kind not in _PLAIN:
                    if depth > _DEPTH_PLAIN_MAX:
                        raise _NotPlain
                    self._gather(item, texts, depth + 1)
        elif kind is list or kind is tuple:
            if depth > _DEPTH_PLAIN_MAX:
                raise _NotPlain
            for item in value:
                kind = type(item)
                if kind is str:
                    texts.append(item)
                elif kind not in _PLAIN:
                    self._gather(item, texts, depth + 1)
        elif kind is str:
            texts.append(value)
        elif kind is int:
            if value > _SMALL and is_card_number(value):
                raise _NotPlain
        elif kind not in _PLAIN:
            raise _NotPlain

    def _look_at(self, key: Any) -> None:
        """Take down a key that names no family and holds no finding; refuse another."""
        if type(key) is not str or len(key) > LENGTH_MAX or key in _NEVER_PLAIN or self.family_of(key) is not None:
            raise _NotPlain
        if self.spans(key):
            raise _NotPlain
        if len(self._plain) >= _KEYS_KNOWN_MAX:
            self._plain.clear()
        self._plain.add(key)


def _is_short(value: object) -> bool:
    return type(value) is str and len(value) <= _SHORT


@functools.cache
def _shared() -> Redactor:
    return Redactor()
