"""Selection: which records are wanted. One form for programs, the command line, dashboards and exports."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Never

import attrs

from .._foreign.arguments import Call, is_a, nearest, shown
from .._values import Value
from ..clock import SystemClock
from ..errors import ConfigurationError
from ..events import Outcome, Severity
from ..patterns import Patterns
from ..ports import Clock
from ._moments import FIRST_INSTANT, LAST_INSTANT, moment, zone_of

__all__ = ("FIELDS", "Moment", "Selection", "Texts", "key_of")

Texts = str | Iterable[str]
"""One text, or several of which one has to be met."""

Moment = str | datetime
"""``2026-11-21T10:00Z``, ``-10m``, ``today``, or a datetime with a zone."""

FIELDS: dict[str, str] = {
    "agent": "agent_id",
    "channel": "channel_id",
    "task": "task_id",
    "turn": "turn_id",
    "session": "session_id",
    "tenant": "tenant",
    "correlation": "correlation_id",
    "actor": "actor",
    "source": "source",
    "topic": "topic",
    "outcome": "outcome",
    "severity": "severity",
}
"""The filters that are met by equal text, and the key of a record that each looks at."""

_CHOICES = {"outcome": tuple(map(str, Outcome)), "severity": tuple(map(str, Severity))}
_NAMES = ("kind", *FIELDS, "where", "text", "since", "until")
_CHARS_MAX = 4096
_VALUES_MAX = 1000
_KEYS_MAX = 64
_MADE = Call("Selection()", ConfigurationError)
_UNLIKELY = re.compile(r'["\\\x00-\x1f]')
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Selection(Value):
    """Which records are selected: those that meet every filter. An empty one takes all.

    :meth:`of` makes one, from what programs or people give. Each filter is met by one of its texts; a filter without
    texts is not asked. Instants are in microseconds since 1970.
    """

    kind: tuple[str, ...] = ()
    """Patterns over kinds: ``tool.*``. Records of strangers may call a kind what they like."""
    agent: tuple[str, ...] = ()
    """Of ``agent_id``: an id, a name with which an agent was registered, or the end of an id."""
    channel: tuple[str, ...] = ()
    """Of ``channel_id``: an id, the topic with which a channel was opened, or the end of an id."""
    task: tuple[str, ...] = ()
    turn: tuple[str, ...] = ()
    session: tuple[str, ...] = ()
    tenant: tuple[str, ...] = ()
    correlation: tuple[str, ...] = ()
    actor: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    topic: tuple[str, ...] = ()
    """Patterns over ``topic``: what was published on one, and the channel that was created with it. ``build.*``."""
    outcome: tuple[str, ...] = ()
    severity: tuple[str, ...] = ()
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Other keys, and the texts that each may have. ``data.order`` is the key ``order`` in the object ``data``."""
    text: str | None = None
    """Text in the record, in whatever case: in its JSON, keys included."""
    since: int | None = None
    """The first instant that is wanted."""
    until: int | None = None
    """The first instant that is not wanted any more."""
    shown: Callable[[bytes], bytes] | None = None
    """What makes of a line the one that its reader is shown: ``text`` has to be in both. None: it is shown as it is.

    Else whoever sees redacted records could find out, text by text, what was redacted.
    """

    def __attrs_post_init__(self) -> None:
        """Refuse fields of other types than :meth:`of` makes."""
        for name in ("kind", *FIELDS):
            texts = getattr(self, name)
            if type(texts) is not tuple or not all(type(text) is str for text in texts):
                raise _MADE.refusal(name, texts, "a tuple of texts", "make one by Selection.of()")
        if type(self.where) is not tuple or not all(map(_is_pair, self.where)):
            raise _MADE.refusal("where", self.where, "a tuple of pairs", "make one by Selection.of()")
        if self.text is not None and type(self.text) is not str:
            raise _MADE.refusal("text", self.text, "text, or None")
        if self.shown is not None and not callable(self.shown):
            raise _MADE.refusal("shown", self.shown, "a function of a line, or None")
        for name in ("since", "until"):
            instant = getattr(self, name)
            if instant is not None and not (type(instant) is int and FIRST_INSTANT <= instant <= LAST_INSTANT):
                raise _MADE.refusal(name, instant, "an instant, or None", "make one by Selection.of()")

    @classmethod
    def of(
        cls,
        *,
        kind: Texts | None = None,
        agent: Texts | None = None,
        channel: Texts | None = None,
        task: Texts | None = None,
        turn: Texts | None = None,
        session: Texts | None = None,
        tenant: Texts | None = None,
        correlation: Texts | None = None,
        actor: Texts | None = None,
        source: Texts | None = None,
        topic: Texts | None = None,
        outcome: Texts | None = None,
        severity: Texts | None = None,
        where: Mapping[str, Texts] | None = None,
        text: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        shown: Callable[[bytes], bytes] | None = None,
        zone: str | tzinfo | None = None,
        clock: Clock | None = None,
        call: str = "Selection.of()",
        **unknown: Never,
    ) -> Selection:
        """Return the selection that these filters are; None stands for a filter that is not asked.

        All may be texts, as they come from a command line or a URL. A filter of another name is refused, and the error
        names the nearest. ``since`` is inclusive, ``until`` exclusive; text without a zone is a time in ``zone``, by
        default UTC, as the records show it. ``-10m`` and ``today`` are seen from the present of ``clock``.
        ``shown`` returns a line as its reader sees it: ``text`` is looked for in that, too.
        ``call`` is how errors name the call to which the filters were given.

        Raises :class:`~hubwire.errors.ConfigurationError`, which says what is wrong with which filter.
        """
        given = dict(
            kind=kind, agent=agent, channel=channel, task=task, turn=turn, session=session, tenant=tenant,
            correlation=correlation, actor=actor, source=source, topic=topic, outcome=outcome, severity=severity,
            where=where, text=text, since=since, until=until, **unknown,
        )  # fmt: skip
        asked = Call(call, ConfigurationError)
        made = _selection_for(asked, given, zone=zone, clock=clock)
        if shown is None:
            return made
        if not callable(shown):
            raise asked.refusal("shown", shown, "a function of a line that returns one, or None")
        return attrs.evolve(made, shown=shown)

    @property
    def is_everything(self) -> bool:
        """Whether all records are selected."""
        return self == Selection()

    @property
    def since_at(self) -> datetime | None:
        """The first instant that is wanted, in UTC."""
        return None if self.since is None else _EPOCH + timedelta(microseconds=self.since)

    @property
    def until_at(self) -> datetime | None:
        """The first instant that is not wanted any more, in UTC."""
        return None if self.until is None else _EPOCH + timedelta(microseconds=self.until)


def _selection_for(call: Call, given: Mapping[str, Any], *, zone: Any = None, clock: Clock | None = None) -> Selection:
    """Return the selection that was given to a call, whose errors name it."""
    for name in given:
        if name not in _NAMES:
            advice = nearest(name, _NAMES)
            raise ConfigurationError(
                f"{call.name}: there is no filter {shown(name)}; there are {', '.join(_NAMES)}"
                f"{f'; {advice}' if advice else '; write where={...} for another key of the records'}"
            )
    given = {name: value for name, value in given.items() if value is not None}
    made: dict[str, Any] = {name: _texts(call, name, given[name]) for name in ("kind", *FIELDS) if name in given}
    for name in ("kind", "topic"):
        if name in made:
            Patterns(made[name], any_text=True)
    if "where" in given:
        made["where"] = _where(call, given["where"])
    if "text" in given:
        made["text"] = _bounded(call, "text", given["text"])
    if "since" in given or "until" in given:
        within = zone_of(call, zone)
        now = (SystemClock() if clock is None else clock).now_ns() // 1000
        for name in ("since", "until"):
            if name in given:
                made[name] = moment(call, name, given[name], now=now, zone=within)
        if "since" in made and "until" in made and made["since"] >= made["until"]:
            raise ConfigurationError(
                f"{call.name}: until is exclusive and has to be after since; no time is between {shown(given['since'])}"
                f" and {shown(given['until'])}"
            )
    elif zone is not None:
        zone_of(call, zone)
    return Selection(**made)


def _bounded(call: Call, argument: str, value: Any) -> str:
    text = call.text(argument, value, is_empty_ok=False)
    if len(text) > _CHARS_MAX:
        raise call.refusal(argument, text, f"text of at most {_CHARS_MAX} characters")
    return text


def key_of(call: Call, argument: str, value: Any) -> str:
    """Return a key of records, or a path of keys."""
    key = _bounded(call, argument, value)
    if _UNLIKELY.search(key):
        raise call.refusal(argument, key, "a key of records, without quotes, backslashes and control characters")
    return key


def _texts(call: Call, argument: str, value: Any) -> tuple[str, ...]:
    values = (value,) if is_a(value, str) else call.items(argument, value, of="texts", most=_VALUES_MAX)
    if not values:
        raise call.refusal(argument, value, "a text, or several", "leave it out if it is not to be asked")
    texts = tuple(dict.fromkeys(_bounded(call, argument, each) for each in values))
    if (choices := _CHOICES.get(argument)) is not None:
        for each in texts:
            if each not in choices:
                advice = nearest(each, choices) or f"write where={{{argument!r}: {shown(each)}}} for the word of others"
                raise call.refusal(argument, each, f"one of {', '.join(choices)}", advice)
    return texts


def _is_pair(value: Any) -> bool:
    if type(value) is not tuple or len(value) != 2 or type(value[0]) is not str or type(value[1]) is not tuple:
        return False
    return all(type(text) is str for text in value[1])


def _where(call: Call, value: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    mapping = call.mapping("where", value, wanted='a mapping of keys to texts, as {"fact_id": "f-1"}')
    if len(mapping) > _KEYS_MAX:
        raise call.refusal("where", value, f"a mapping of at most {_KEYS_MAX} keys")
    pairs = [
        (key_of(call, "a key of where", key), _texts(call, f"where[{shown(key)}]", mapping[key])) for key in mapping
    ]
    return tuple(sorted(pairs))
