"""The Event class, and the decorator that declares a kind of event.

Making and stamping an event is the hottest path of the hub. A frozen attrs class of 25 fields costs 2.3 µs to make and
1.6 µs to copy, because each field goes through ``object.__setattr__``. So each kind is two classes with one layout: a
mutable attrs class, in which fields are set the fast way (0.8 and 0.4 µs), and its frozen subclass, which is what
everybody sees. An object is filled as the first and handed out as the second, by assigning its ``__class__``.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar, cast, dataclass_transform

import attrs

from ..errors import ConfigurationError, EventTooLarge
from ._canonical import INT_MAX, Freezer, PayloadTooLarge

if sys.version_info >= (3, 14):
    import annotationlib

__all__ = (
    "EMPTY",
    "Context",
    "Event",
    "GenericEvent",
    "UnknownEvent",
    "check_kind",
    "event",
    "evolve",
    "kind_class",
    "own_fields",
    "stamp",
)

E = TypeVar("E")

_KIND = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_RESERVED = frozenset({"d", "h", "kind", "command"})
_SHORT = 256
"""Text up to this length is not weighed: a kind would need thousands of such fields to become too large."""


@attrs.frozen(kw_only=True)
class Context:
    """What an event inherits at emit from where it is emitted: see :mod:`hubwire.context`."""

    tenant: str | None = None
    correlation_id: str | None = None
    traceparent: str | None = None
    causation_id: str | None = None
    depth: int = 0


EMPTY = Context()


def _fields(cls: type[Any]) -> tuple[attrs.Attribute[Any], ...]:
    fields: tuple[attrs.Attribute[Any], ...] = attrs.fields(cls)
    return fields


def _refuse(*_: object) -> NoReturn:
    raise attrs.exceptions.FrozenInstanceError


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(attrs.field,))
def _define(cls: type[E], *, slots: bool = True) -> type[E]:
    return attrs.define(slots=slots, kw_only=True, repr=False, eq=False)(cls)


@_define
class Event:
    """An immutable fact: a state transition that happened.

    Declare a kind with the :func:`event` decorator, or use :class:`GenericEvent`. The hub stamps a copy when it is
    emitted; until then the first four fields are empty.

    The header, on every event:

    * ``seq``: the hub's dense, gapless number, from 0;
    * ``id``: a UUIDv7;
    * ``at``: when it happened by the hub's clock, ISO 8601 in UTC with microseconds; never less than that of the event
      before;
    * ``hub``: the id of the hub;
    * ``kind``: two or more lower-case words joined by dots, the last in the past tense.

    The context, each None where it does not apply, and left out of the record then:

    * ``tenant``, ``correlation_id``, ``traceparent`` (W3C Trace Context): taken from :mod:`hubwire.context` if None;
    * ``source``, ``source_id``, ``occurred_at``: where it comes from, its id and its time there, when that is not this
      hub and now;
    * ``actor``: on whose behalf;
    * ``agent_id``, ``session_id``, ``turn_id``, ``channel_id``, ``task_id``: what it is about;
    * ``causation_id``: the ``id`` of the event whose handling emitted this one, and ``depth``, how many such steps lie
      before it, which the hub alone counts;
    * ``severity``: ``info``, ``warning`` or ``error``; ``outcome``: ``success``, ``failure`` or ``denied``;
    * ``metadata``: whatever else.
    """

    command: ClassVar[str | None] = None
    """The command that makes events of this kind, where a state machine owns it; None if anybody may emit it."""

    seq: int = -1
    id: str = ""
    at: str = ""
    hub: str = ""
    tenant: str | None = None
    source: str | None = None
    source_id: str | None = None
    occurred_at: str | None = None
    actor: str | None = None
    agent_id: str | None = None
    session_id: str | None = None
    turn_id: str | None = None
    channel_id: str | None = None
    task_id: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    severity: str | None = None
    outcome: str | None = None
    metadata: Mapping[str, Any] | None = None
    depth: int = 0
    _body: bytes | None = attrs.field(default=None, init=False, eq=False)
    _weight: int = attrs.field(default=0, init=False, eq=False)

    if TYPE_CHECKING:
        __attrs_attrs__: ClassVar[tuple[attrs.Attribute[Any], ...]]
        kind: ClassVar[str]  # of an instance, in GenericEvent and UnknownEvent

    # Written once for all kinds: attrs would compile one for each, and that is half the time of declaring a kind.
    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = (field.name for field in _fields(type(self)) if field.init)
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def __hash__(self) -> int:
        return hash((self.kind, self.seq, self.id))

    def __repr__(self) -> str:
        shown = [
            f"{field.name}={value!r}"
            for field in _fields(type(self))
            if field.init and not _is_same(value := getattr(self, field.name), field.default)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


def _is_same(value: Any, default: Any) -> bool:
    """Compare with a default, whatever the value's own class makes of comparing."""
    return value is default or (type(value) is type(default) and type(value) in (str, int, tuple) and value == default)


def _refuse_init(self: Event, *_: object, **__: object) -> NoReturn:
    name = type(self).__name__
    raise ConfigurationError(f'{name} is not a kind of event; declare it with @event("..."), or use GenericEvent')


Event.__init__ = _refuse_init  # type: ignore[method-assign]

_HEADER = tuple(field.name for field in _fields(Event))
_STAMPED = ("seq", "id", "at", "hub")
_INHERITED = ("tenant", "correlation_id", "traceparent", "causation_id")

_kinds: dict[str, type[Event]] = {}
_stampers: dict[type[Event], Callable[..., Event]] = {}


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(attrs.field,))
def event(kind: str, *, command: str | None = None) -> Callable[[type[E]], type[E]]:
    """Declare a kind of event: ``@event("billing.charged") class Charged(Event): amount: int``.

    Fields hold what JSON holds: text, integers, numbers, booleans, None, mappings and tuples of them. ``command`` names
    the command that alone makes such events, if a state machine owns them. Raises
    :class:`~hubwire.errors.ConfigurationError` for a bad or taken kind, or a field name that records reserve.
    """
    check_kind(kind)

    def declare(cls: type[E]) -> type[E]:
        frozen = _freeze_class(cls)
        frozen.kind = kind
        frozen.command = command
        taken = _kinds.get(kind)
        if taken is not None and (taken.__module__, taken.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ConfigurationError(f"kind {kind!r} is declared by {taken.__module__}.{taken.__qualname__} already")
        _kinds[kind] = frozen
        return frozen  # type: ignore[return-value]

    return declare


def check_kind(kind: str) -> None:
    """Raise :class:`~hubwire.errors.ConfigurationError` unless ``kind`` is spelt as kinds are."""
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise ConfigurationError(f"{kind!r} is no kind of event: two or more lower-case words joined by dots are")


def kind_class(kind: str) -> type[Event] | None:
    """Return the class that declares ``kind``, or None if it is not declared in this process."""
    return _kinds.get(kind)


def evolve(event: E, **changes: Any) -> E:
    """Return a copy of an event with some fields changed: ``attrs.evolve`` under a name that type checkers accept."""
    return cast(E, attrs.evolve(cast(Any, event), **changes))


def field_names(cls: type[Event]) -> tuple[str, ...]:
    """Return the names of all fields that can be given: header, context, and the kind's own."""
    return tuple(field.name for field in _fields(cls) if field.init)


def own_fields(cls: type[Event]) -> tuple[str, ...]:
    """Return the names of the fields that are the kind's own: neither header nor context."""
    return tuple(field.name for field in _fields(cls) if field.name not in _HEADER)


def _freeze_class(cls: type[Any]) -> type[Event]:
    """Make the pair of classes that the module's docstring describes; return the frozen one."""
    if Event not in cls.__bases__:
        raise ConfigurationError(
            f"{cls.__qualname__} must inherit from Event itself: kinds do not inherit from each other"
        )
    own = _declared_fields(cls)
    if clash := sorted(name for name in own if name in _HEADER or name in _RESERVED):
        raise ConfigurationError(
            f"{cls.__qualname__} declares {', '.join(clash)}, which every event or record has already; rename it"
        )
    if hidden := sorted(name for name, default in own.items() if name.startswith("_") or not _is_argument(default)):
        raise ConfigurationError(
            f"{cls.__qualname__} declares {', '.join(hidden)}, but every field of an event is public, and an argument"
            " when it is made; rename it, or make it a property"
        )
    return _pair(cls, own)


_Declared = type(attrs.field())
_NO_DEFAULT = object()


def _declared_fields(cls: type[Any]) -> dict[str, Any]:
    """Return the names that a class body annotates as fields, and what it assigns to them."""
    body = vars(cls)
    if sys.version_info >= (3, 14):
        annotations = annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    else:
        annotations = body.get("__annotations__", {})
    own = {name: body.get(name, _NO_DEFAULT) for name, hint in annotations.items() if "ClassVar" not in str(hint)}
    if bare := sorted(name for name, value in body.items() if isinstance(value, _Declared) and name not in own):
        raise ConfigurationError(f"{cls.__qualname__} declares {', '.join(bare)} without a type; annotate it")
    return own


def _is_argument(default: Any) -> bool:
    return not isinstance(default, _Declared) or bool(cast(Any, default).init)


def _refuse_subclass(cls: type[Event], /, **_: object) -> NoReturn:
    raise ConfigurationError(
        f"{cls.__qualname__} inherits from a kind of event: kinds do not inherit from each other, but all from Event"
    )


_set_class = object.__dict__["__class__"].__set__


class _LazyFields:
    """Fields and ``__init__`` of a kind, which attrs makes when somebody first asks for one of them.

    That takes 0.7 ms; a program imports a hundred kinds, and uses a few.
    """

    def __init__(self, declaration: type[Any]) -> None:
        self._declaration = declaration

    def __get__(self, _: object, cls: type[Event]) -> tuple[attrs.Attribute[Any], ...]:
        open_class: Any = next(each for each in cls.__mro__ if "__attrs_attrs__" in vars(each))
        with _making:
            if vars(open_class)["__attrs_attrs__"] is self:
                made: Any = _define(self._declaration, slots=False)
                open_class.__init__ = made.__init__
                open_class.__attrs_attrs__ = made.__attrs_attrs__
        return _fields(open_class)


_making = threading.Lock()
"""Threads make events too, and attrs may see a declaration only once."""


def _init_when_made(self: Event, *args: Any, **kwargs: Any) -> None:
    _fields(type(self))
    self.__init__(*args, **kwargs)  # type: ignore[misc]


def _open_class(declaration: type[Any], own: Iterable[str]) -> type[Any]:
    """Return the class that ``declaration`` describes, with slots for its fields."""
    left_out = {"__dict__", "__weakref__", *own}
    body = {name: value for name, value in vars(declaration).items() if name not in left_out}
    body |= {
        "__slots__": tuple(own),
        "__qualname__": declaration.__qualname__,
        "__init__": _init_when_made,
        "__attrs_attrs__": _LazyFields(declaration),
    }
    metaclass: Any = type(declaration)
    made: type[Any] = metaclass(declaration.__name__, declaration.__bases__, body)
    # super() without arguments finds its class in a cell of the method.
    for value in body.values():
        function = getattr(value, "__func__", getattr(value, "fget", value))
        for cell in getattr(function, "__closure__", None) or ():
            if cell.cell_contents is declaration:
                cell.cell_contents = made
    return made


def _pair(declaration: type[Any], own: Iterable[str]) -> type[Event]:
    open_class = _open_class(declaration, own)

    def init(self: Event, *args: Any, **kwargs: Any) -> None:
        _set_class(self, open_class)
        self.__init__(*args, **kwargs)  # type: ignore[misc]
        self.__class__ = frozen

    frozen: type[Event] = type(
        open_class.__name__,
        (open_class,),
        {
            "__slots__": (),
            "__module__": open_class.__module__,
            "__qualname__": open_class.__qualname__,
            "__doc__": open_class.__doc__,
            "__init__": init,
            "__init_subclass__": classmethod(_refuse_subclass),
            "__setattr__": _refuse,
            "__delattr__": _refuse,
            "__reduce__": _reduce,
            "__copy__": lambda self: self,
            "__deepcopy__": lambda self, _: self,
        },
    )
    return frozen


def _reduce(self: Event) -> tuple[Any, ...]:
    return _unpickle, (type(self), {field.name: getattr(self, field.name) for field in _fields(type(self))})


def _unpickle(cls: type[Event], values: dict[str, Any]) -> Event:
    return cls(**{name: value for name, value in values.items() if not name.startswith("_")})


def stamp(event: Event, seq: int, id: str, at: str, hub: str, context: Context, bytes_max: int) -> Event:  # noqa: A002
    """Return a stamped copy: numbered, dated, in its context, its payload canonical and frozen.

    Raises :class:`~hubwire.errors.EventTooLarge` if its JSON would certainly be longer than ``bytes_max``; otherwise
    ``_weight`` tells whether it could be.
    """
    cls = type(event)
    try:
        stamper = _stampers[cls]
    except KeyError:
        stamper = _stampers[cls] = _compile_stamper(cls)
    try:
        return stamper(event, seq, id, at, hub, context, bytes_max)
    except PayloadTooLarge as error:
        raise EventTooLarge(
            f"event {event.kind!r} has more than {bytes_max} bytes of payload; store it elsewhere and emit a reference",
            kind=event.kind,
            size_bytes=error.size_bytes,
            limit_bytes=bytes_max,
        ) from None


def _compile_stamper(cls: type[Event]) -> Callable[..., Event]:
    """Compile the copying of one class: a loop over names and ``getattr`` would take three times as long."""
    lines = [
        "def stamp(event, seq, id, at, hub, context, bytes_max):",
        "    copy = new(open_class)",
        "    copy.seq = seq; copy.id = id; copy.at = at; copy.hub = hub; copy._body = None",
        "    freezer = None",
    ]
    for field in _fields(cls):
        name = field.name
        if name in _STAMPED or not field.init:
            continue
        if name == "depth":
            lines.append("    copy.depth = context.depth")
            continue
        lines.append(f"    value = event.{name}")
        if name in _INHERITED:
            lines.append(f"    if value is None: value = context.{name}")
        # A header that is no text would be read back as an unknown event, so it becomes text.
        is_text = name in _HEADER and name != "metadata"
        scalar = "kind is bool or kind is int and -INT_MAX <= value <= INT_MAX or kind is tuple and not value"
        lines += [
            "    if value is not None:",
            "        kind = type(value)",
            "        if kind is str:",
            "            known = len(value) <= SHORT and value.isascii()",
            "        else:",
            f"            known = {False if is_text else scalar}",
            "        if not known:",
            "            freezer = freezer or Freezer(bytes_max)",
            f"            value = freezer.{'freeze_text' if is_text else 'freeze'}(value)",
            f"    copy.{name} = value",
        ]
    lines += [
        "    copy._weight = freezer.weight if freezer else 0",
        "    copy.__class__ = frozen_class",
        "    return copy",
    ]
    namespace: dict[str, Any] = {
        "new": object.__new__,
        "open_class": cls.__mro__[1],
        "frozen_class": cls,
        "Freezer": Freezer,
        "INT_MAX": INT_MAX,
        "SHORT": _SHORT,
    }
    exec("\n".join(lines), namespace)  # noqa: S102 - the names in it are those of declared fields
    stamper: Callable[..., Event] = namespace["stamp"]
    return stamper


if TYPE_CHECKING:

    @dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(attrs.field,))
    def _frozen_kind(cls: type[E]) -> type[E]: ...

else:

    def _frozen_kind(cls: type[Any]) -> type[Event]:
        return _pair(cls, _declared_fields(cls))


@_frozen_kind
class GenericEvent(Event):
    """An event of a kind that nobody declared: ``GenericEvent(kind="user.login", data={"ip": "10.0.0.1"})``."""

    kind: str  # type: ignore[misc]
    data: Mapping[str, Any] = attrs.field(factory=dict)


@_frozen_kind
class UnknownEvent(Event):
    """What reading a record gives whose kind is not declared here, or not in this shape. It cannot be emitted.

    ``fields`` holds what is neither header nor context. Encoding it gives back the bytes it was read from.
    """

    kind: str  # type: ignore[misc]
    fields: Mapping[str, Any] = attrs.field(factory=dict)
    body: bytes = b""
