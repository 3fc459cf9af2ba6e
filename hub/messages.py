"""Typed content: classes that envelopes carry, and the methods of an actor that take them.

``@message`` declares a class of content; it is posted as it is, ``await channel.post(planner, Review("a.py"))``, and is
an object of its fields and its ``type`` in events and records. ``@handles(Review)`` marks the method of a
:class:`~hubwire.BaseActor` that takes it, and :func:`read` makes the object again where there is no actor.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast, dataclass_transform, overload

import attrs

from ._foreign.arguments import Call, is_a, shown
from ._foreign.guards import is_async
from .errors import ConfigurationError, ContentRefused
from .events import EnvelopePosted

if TYPE_CHECKING:
    import cattrs

__all__ = ("handles", "message", "read")

C = TypeVar("C")
A = TypeVar("A")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_MESSAGE = Call("@message", ConfigurationError)
_TYPE = "type"
_MARK = "__hubwire_handles__"
_DEFAULT = "__hubwire_by_content__"


@overload
def message(cls: type[C], /) -> type[C]: ...


@overload
def message(name: str, /) -> Callable[[type[C]], type[C]]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(attrs.field,))
def message(given: Any, /) -> Any:
    """Declare a class of content: ``@message class Review: file: str``, or ``@message("review.wanted")``.

    It becomes a frozen attrs class. What it is called, by default the name of the class, is in each envelope as the
    field ``type``: keep the name when you rename the class. Fields are what JSON holds, and further attrs classes.

    Raises :class:`~hubwire.errors.ConfigurationError` for an empty name, and for a field ``type``.
    """
    if is_a(given, type):
        return _declare(given, given.__name__)
    name = _MESSAGE.text("name", given, wanted="the name of the content, a text", is_empty_ok=False)
    return lambda cls: _declare(cls, name)


def _declare(cls: type[C], name: str) -> type[C]:
    if not is_a(cls, type):
        raise _MESSAGE.refusal("what is decorated", cls, "a class")
    own = vars(cls).get("__annotations__", {})
    if _TYPE in own or hasattr(cls, _TYPE):
        raise ConfigurationError(f"@message: {cls.__qualname__} has a field 'type', which names the content; rename it")
    cls.__annotations__ = {**own, _TYPE: str}
    setattr(cls, _TYPE, attrs.field(default=name, init=False, repr=False))
    return attrs.frozen(cls)


def name_of(kind: type) -> str | None:
    """Return what a class of content is called; None if ``@message`` did not declare it."""
    field = next((each for each in getattr(kind, "__attrs_attrs__", ()) if each.name == _TYPE and not each.init), None)
    return None if field is None else str(field.default)


def handles(kind: type[T], /) -> Callable[[Callable[[A, Any, T], Awaitable[None]]], Any]:
    """Let a method of an actor take the content of one class: ``async def review(self, turn, review)``.

    Content that does not fit the class, or for which there is no method, fails the turn with
    :class:`~hubwire.errors.ContentRefused`, and the envelope is dead-lettered at once: it would not fit the next time.

    Raises :class:`~hubwire.errors.ConfigurationError` if ``kind`` was not declared with :func:`message`, and, when the
    class of the actor is made, if two methods take the same, or there is an ``on_envelope`` besides.
    """
    if not is_a(kind, type) or name_of(kind) is None:
        raise ConfigurationError(
            f"@handles takes a class that @message has declared, not {shown(kind)}; write @handles(Review) for a class"
            " Review with @message"
        )

    def mark(method: Callable[[A, Any, T], Awaitable[None]]) -> Any:
        if not is_async(method):
            raise ConfigurationError(f"@handles: {shown(method)} must be a coroutine function: async def ...")
        _check_takes(method)
        setattr(method, _MARK, kind)
        return method

    return mark


def _check_takes(method: Callable[..., Any]) -> None:
    try:
        inspect.signature(method).bind("self", "turn", "content")
    except TypeError as error:
        raise ConfigurationError(
            f"@handles: {shown(method)} is called with the turn and the content ({error}); write async def"
            f" {method.__name__}(self, turn, content)"
        ) from error


def by_content(method: F) -> F:
    """Mark the ``on_envelope`` that leaves each content to the method that handles it."""
    setattr(method, _DEFAULT, True)
    return method


def takes_nothing(actor: object) -> bool:
    """Tell whether an actor leaves all contents to methods that handle them, and has none."""
    return getattr(getattr(actor, "on_envelope", None), _DEFAULT, False) is True and not handlers_of(type(actor))


def handlers_of(cls: type) -> Mapping[str, tuple[type, str]]:
    """Return, by the names of contents, their classes and the names of the methods of an actor that take them."""
    found: dict[str, tuple[type, str]] = {}
    for attribute, method in inspect.getmembers(cls, inspect.isfunction):
        kind = getattr(method, _MARK, None)
        if kind is None:
            continue
        name = cast(str, name_of(kind))
        if name in found:
            raise ConfigurationError(f"{cls.__qualname__}: {found[name][1]} and {attribute} both handle {name!r}")
        found[name] = kind, attribute
    return found


def read(kind: type[T], content: Any) -> T:
    """Return the object that was posted, from the content of an envelope.

    Values are not converted: a number is no text. Raises :class:`~hubwire.errors.ContentRefused` if the content is
    another one, or does not fit the class, and says where.
    """
    name = name_of(kind) if is_a(kind, type) else None
    if name is None:
        raise ConfigurationError(f"read() takes a class that @message has declared, not {shown(kind)}")
    if type_of(content) != name:
        raise ContentRefused(f"content of the type {name!r} is wanted, not {_described(content)}{_advice(content)}")
    try:
        return converter(is_strict=True).structure(content, kind)
    except Exception as error:
        raise ContentRefused(
            f"content of the type {name!r} does not fit {kind.__qualname__}: {where(error)}; let who posts it, and who"
            " reads it, have the same class"
        ) from error


def type_of(content: Any) -> str | None:
    """Return what a content says that it is; None if it does not."""
    found = content.get(_TYPE) if is_a(content, Mapping) else None
    return found if type(found) is str else None


def refusal_of(content: Any, known: Mapping[str, Any]) -> ContentRefused:
    """Return the error for content that no method of an actor takes."""
    return ContentRefused(
        f"this actor takes content of the types {', '.join(sorted(known))}, not {_described(content)}"
    )


def _described(content: Any) -> str:
    found = type_of(content)
    return shown(found) if found is not None else f"content of no type: {shown(content)}"


def _advice(content: Any) -> str:
    return "; read its .content" if is_a(content, EnvelopePosted) else ""


@functools.cache
def converter(*, is_strict: bool) -> cattrs.Converter:
    """Return what makes objects of JSON; it converts no values, and if it is strict, each field must be known."""
    import cattrs  # noqa: PLC0415 - programs without typed content do not wait for it
    from cattrs.gen import make_dict_structure_fn  # noqa: PLC0415

    made = cattrs.Converter(forbid_extra_keys=is_strict)
    for plain in (str, int, bool):
        made.register_structure_hook(plain, functools.partial(_exactly, plain))
    made.register_structure_hook(float, _number)

    def hook_of(kind: type) -> Callable[[Any, Any], Any]:
        structure: Callable[[Any, Any], Any] = make_dict_structure_fn(kind, made, _cattrs_forbid_extra_keys=is_strict)

        def take(content: Any, kind: Any) -> Any:
            if type_of(content) != name_of(kind):
                raise TypeError(f"content of the type {name_of(kind)!r} is wanted")
            return structure({key: value for key, value in content.items() if key != _TYPE}, kind)

        return take

    made.register_structure_hook_factory(lambda kind: name_of(kind) is not None, hook_of)
    return made


def _exactly(kind: type, value: Any, _: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} is wanted")
    return value


def _number(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError("float is wanted")
    return float(value)


def _said(error: BaseException, _: object) -> str:
    if isinstance(error, KeyError):
        return "required field missing"
    return str(error)


def where(error: BaseException) -> str:
    """Return in one line what did not fit: the innermost errors, and the fields that they are about."""
    import cattrs  # noqa: PLC0415

    if isinstance(error, cattrs.BaseValidationError):
        return "; ".join(dict.fromkeys(cattrs.transform_error(error, format_exception=_said)))[:500]
    return str(error)[:500]
