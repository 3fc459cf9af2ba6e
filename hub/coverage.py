"""What a part of a program that records sees, and what is hidden from it: so that a log can say what it cannot hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from ._values import Value
from .errors import ConfigurationError
from .events._shown import is_a, shown

__all__ = ("Coverage",)

_TEXT_MAX: Final = 500
_ITEMS_MAX: Final = 100


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Coverage(Value):
    """What a recorder, an adapter or a redactor declares of itself.

    It becomes part of the log: that of a recorder as the event ``recording.covered`` before the first of its events,
    that of a redactor in ``log.opened``. ``hubwire verify`` and the report show it. It is a declaration, and no proof.

    Raises :class:`~hubwire.errors.ConfigurationError` for what is no text, and for more than 100 texts or 500
    characters each.
    """

    source: str
    """What declares it: as ``source`` of its events, the name of a package."""
    version: str = ""
    """Of the package that is recorded, or of the rules; empty where it is not known."""
    captured: tuple[str, ...] = ()
    """What it records, or looks for: a few words each."""
    hidden: tuple[str, ...] = ()
    """What it cannot see, or does not look for."""

    def __attrs_post_init__(self) -> None:
        for name in ("source", "version"):
            object.__setattr__(self, name, _text(name, getattr(self, name)))
        if not self.source:
            raise ConfigurationError("Coverage(): source is the name of what declares it, not empty")
        for name in ("captured", "hidden"):
            object.__setattr__(self, name, _texts(name, getattr(self, name)))

    def to_fields(self) -> dict[str, Any]:
        """Return it as the fields of a record."""
        return {
            "source": self.source,
            "version": self.version,
            "captured": list(self.captured),
            "hidden": list(self.hidden),
        }

    @classmethod
    def from_fields(cls, fields: Any) -> Coverage | None:
        """Return what the fields of a record declare; None if they do not say it as they should."""
        if not is_a(fields, Mapping):
            return None
        try:
            return cls(**{name: fields[name] for name in ("source", "version", "captured", "hidden") if name in fields})
        except (ConfigurationError, TypeError):
            return None


def _text(name: str, value: object) -> str:
    if not is_a(value, str) or len(text := str.__str__(value)) > _TEXT_MAX:
        raise ConfigurationError(
            f"Coverage(): {name} is text of at most {_TEXT_MAX} characters, not {shown(value)}; say it in a few words"
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"Coverage(): {name} is text that UTF-8 can hold, not {shown(text)}") from None
    return text


def _texts(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, tuple | list) or len(value) > _ITEMS_MAX:
        raise ConfigurationError(
            f"Coverage(): {name} is a list of at most {_ITEMS_MAX} texts, not {shown(value)}; write ['model calls']"
        )
    items: Iterable[object] = value
    return tuple(_text(f"each of {name}", item) for item in items)
