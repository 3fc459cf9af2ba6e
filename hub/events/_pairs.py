"""The pair of classes behind each kind of event: a mutable one and its frozen subclass, of one layout.

Making and stamping an event is the hottest path of the hub. A frozen attrs class of 25 fields costs 2.3 µs to make and
1.6 µs to copy, because each field goes through ``object.__setattr__``. In a mutable attrs class fields are set the fast
way (0.8 and 0.4 µs). So an object is filled as the mutable class and handed out as the frozen one, by assigning its
``__class__``. All code outside sees the frozen class alone.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast, dataclass_transform

import attrs

from ..errors import ConfigurationError

if sys.version_info >= (3, 14):
    import annotationlib

__all__ = (
    "alias_of",
    "declared_fields",
    "default_of",
    "define",
    "fields_of",
    "frozen_pair",
    "is_argument",
    "is_pair",
    "pair",
    "set_class",
)

E = TypeVar("E")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(attrs.field,))
def define(cls: type[E], *, slots: bool = True, defaults: Mapping[str, Any] | None = None) -> type[E]:
    """Make a mutable attrs class; a type checker sees it frozen, as the other class of its pair is.

    ``defaults`` are other ones of inherited fields.
    """
    transform = partial(_with_defaults, defaults) if defaults else None
    return attrs.define(slots=slots, kw_only=True, repr=False, eq=False, field_transformer=transform)(cls)


def _with_defaults(
    defaults: Mapping[str, Any], _: type[Any], fields: list[attrs.Attribute[Any]]
) -> list[attrs.Attribute[Any]]:
    return [field.evolve(default=defaults[field.name]) if field.name in defaults else field for field in fields]


if TYPE_CHECKING:

    @dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(attrs.field,))
    def frozen_pair(cls: type[E]) -> type[E]:
        """Replace a declaration by the frozen class of its pair."""

else:

    def frozen_pair(cls: type[E]) -> type[E]:
        """Replace a declaration by the frozen class of its pair."""
        return pair(cls, declared_fields(cls))


def fields_of(cls: type[Any]) -> tuple[attrs.Attribute[Any], ...]:
    """Return the attrs fields of a class."""
    fields: tuple[attrs.Attribute[Any], ...] = attrs.fields(cls)
    return fields


# --- the declaration ------------------------------------------------------------------------------------------------

_Field = type(attrs.field())
_Factory: Any = attrs.Factory
_NO_DEFAULT = object()


def declared_fields(cls: type[Any]) -> dict[str, Any]:
    """Return the names that a class body annotates as fields, and the values that it assigns to them."""
    body = vars(cls)
    if sys.version_info >= (3, 14):
        annotations = annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    else:
        annotations = body.get("__annotations__", {})
    own = {name: body.get(name, _NO_DEFAULT) for name, hint in annotations.items() if "ClassVar" not in str(hint)}
    if bare := sorted(name for name, value in body.items() if isinstance(value, _Field) and name not in own):
        raise ConfigurationError(f"{cls.__qualname__} declares {', '.join(bare)} without a type; annotate it")
    return own


def is_argument(default: Any) -> bool:
    """Tell whether a field with this default can be given when the event is made."""
    return not isinstance(default, _Field) or bool(cast(Any, default).init)


def default_of(default: Any) -> Any:
    """Return the default that a declaration gives a field, by assigning it or by ``attrs.field``."""
    return cast(Any, default)._default if isinstance(default, _Field) else default  # noqa: SLF001 - attrs has no other


def alias_of(default: Any) -> Any:
    """Return the name by which a field is given when an event is made; None for its own."""
    return cast(Any, default).alias if isinstance(default, _Field) else None


# --- the mutable class ----------------------------------------------------------------------------------------------


class _LazyFields:
    """Fields and ``__init__`` of a kind, which attrs makes at the first use.

    That takes 0.7 ms; a program imports a hundred kinds, and uses a few.
    """

    def __init__(self, declaration: type[Any], defaults: Mapping[str, Any] | None) -> None:
        self._declaration = declaration
        self.frozen: type[Any]
        self._defaults = defaults

    def __get__(self, _: object, cls: type[Any]) -> tuple[attrs.Attribute[Any], ...]:
        open_class: Any = next(each for each in cls.__mro__ if "__attrs_attrs__" in vars(each))
        with _making:
            if vars(open_class)["__attrs_attrs__"] is self:
                made: Any = define(self._declaration, slots=False, defaults=self._defaults)
                open_class.__init__ = made.__init__
                open_class.__attrs_attrs__ = made.__attrs_attrs__
                if (init := _compiled_init(made, open_class, self.frozen)) is not None:
                    self.frozen.__init__ = init
        return fields_of(open_class)


_making = threading.Lock()
"""Threads make events too, and attrs may see a declaration only once."""


def _init_when_made(self: Any, *args: Any, **kwargs: Any) -> None:
    fields_of(type(self))
    self.__init__(*args, **kwargs)


def _compiled_init(made: Any, open_class: type[Any], frozen: type[Any]) -> Callable[..., None] | None:
    """Return one function that does what ``init`` of :func:`pair` and that of attrs do; None if there is more to do.

    To hand all arguments on from one to the other takes as long as to set the fields.
    """
    fields, init = fields_of(made), vars(made).get("__init__")
    if init is None or not init.__code__.co_filename.startswith("<attrs generated"):
        return None
    if any(hasattr(made, name) for name in ("__attrs_pre_init__", "__attrs_post_init__")):
        return None
    if any(field.converter or field.validator or (field.init and not field.kw_only) for field in fields):
        return None
    # In dunders, because the arguments have the names of fields, whatever those are.
    namespace: dict[str, Any] = {
        "__set_class__": set_class,
        "__open__": open_class,
        "__frozen__": frozen,
        "__not_given__": _NO_DEFAULT,
    }
    arguments: list[str] = []
    lines = ["    __set_class__(self, __open__)"]
    # A call looks for each name from the left: the kind's own fields are given more often than the others.
    own = [field for field in fields if not cast(Any, field).inherited]
    for field in (*own, *(field for field in fields if field not in own)):
        name, default = field.name, field.default
        value = str(field.alias) if field.init else f"__default_{name}__"
        namespace[f"__default_{name}__"] = default
        if isinstance(default, _Factory):
            if default.takes_self:
                return None
            namespace[f"__default_{name}__"] = default.factory
            arguments += [f"{value}=__not_given__"] if field.init else []
            made_now = f"__default_{name}__()"
            value = f"{made_now} if {value} is __not_given__ else {value}" if field.init else made_now
        elif field.init:
            arguments.append(value if default is attrs.NOTHING else f"{value}=__default_{name}__")
        lines.append(f"    self.{name} = {value}")
    lines.append("    self.__class__ = __frozen__")
    exec("\n".join([f"def __init__(self, *, {', '.join(arguments)}):", *lines]), namespace)  # noqa: S102 - of declared fields
    compiled: Callable[..., None] = namespace["__init__"]
    compiled.__qualname__ = f"{open_class.__qualname__}.__init__"
    compiled.__module__ = open_class.__module__
    return compiled


def _open_class(declaration: type[Any], own: Iterable[str], defaults: Mapping[str, Any] | None) -> type[Any]:
    """Return the class that ``declaration`` describes, with slots for its fields."""
    left_out = {"__dict__", "__weakref__", *own}
    body = {name: value for name, value in vars(declaration).items() if name not in left_out}
    body |= {
        "__slots__": tuple(own),
        "__qualname__": declaration.__qualname__,
        "__init__": _init_when_made,
        "__attrs_attrs__": _LazyFields(declaration, defaults),
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


# --- the frozen class -----------------------------------------------------------------------------------------------

set_class = object.__dict__["__class__"].__set__
"""Assigns ``__class__`` to what refuses to have an attribute set."""


def pair(declaration: type[E], own: Iterable[str], defaults: Mapping[str, Any] | None = None) -> Any:
    """Make both classes of a declaration whose own fields these are; return the frozen one.

    ``defaults`` are those of inherited fields that have another one in this class.
    """
    open_class = _open_class(declaration, own, defaults)

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        set_class(self, open_class)
        self.__init__(*args, **kwargs)
        self.__class__ = frozen

    frozen = type(
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
    if (parameters := vars(open_class).get("__parameters__")) is not None:
        type.__setattr__(frozen, "__parameters__", parameters)  # a generic class takes those of its bases that it names
    vars(open_class)["__attrs_attrs__"].frozen = frozen
    return frozen


def is_pair(cls: type[Any]) -> bool:
    """Tell whether this is the frozen class of a pair; the mutable one is the next in its ``__mro__``."""
    return cls.__setattr__ is _refuse


def _refuse(*_: object) -> NoReturn:
    raise attrs.exceptions.FrozenInstanceError


def _refuse_subclass(cls: type[Any], /, **_: object) -> NoReturn:
    raise ConfigurationError(
        f"{cls.__qualname__} inherits from a kind of event: kinds do not inherit from each other, but all from Event"
    )


def _reduce(self: Any) -> tuple[Any, ...]:
    return _unpickle, (type(self), {field.name: getattr(self, field.name) for field in fields_of(type(self))})


def _unpickle(cls: type[E], values: dict[str, Any]) -> E:
    return cls(**{name: value for name, value in values.items() if not name.startswith("_")})
