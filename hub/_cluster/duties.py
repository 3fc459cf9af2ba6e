"""Which listeners a hub of a cluster can have: any node may come to lead it, and calls them then."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from .._delivery.duty import Duty
from .._foreign.arguments import is_a
from .._foreign.guards import class_name, guarded_call
from ..errors import ConfigurationError

__all__ = ("check_duties",)

_DEPTH = 3


def check_duties(listeners: Iterable[Any]) -> None:
    """Raise :class:`~hubwire.errors.ConfigurationError` for a REQUIRED listener that keeps files on one machine.

    The node that leads next does not find there what the one before has written.
    """
    file = getattr(sys.modules.get("hubwire.stores.file"), "FileStore", None)
    if file is None:
        return  # there is no such store in this program
    for listener in listeners:
        if _duty_of(listener) is Duty.REQUIRED and _has(listener, file, _DEPTH):
            raise ConfigurationError(
                f"cluster.hub(): listener {class_name(listener)} is REQUIRED, and has its files on the disk of this"
                " machine: another node that leads would not have them. Give it a store that every node reaches, as by"
                " open_store('s3://bucket/audit')"
            )


def _duty_of(listener: Any) -> object:
    try:
        return guarded_call(getattr, listener, "duty", None)
    except Exception:  # noqa: BLE001 - of a stranger, which the hub refuses
        return None


def _has(thing: Any, kind: type, depth: int) -> bool:
    """Tell whether an object holds one of this class, or one that it holds does."""
    if is_a(thing, kind):
        return True
    if not depth:
        return False
    held = _dict_of(thing)
    return type(held) is dict and any(_has(each, kind, depth - 1) for each in tuple(held.values()))


def _dict_of(thing: Any) -> object:
    try:
        return guarded_call(getattr, thing, "__dict__", None)
    except Exception:  # noqa: BLE001 - as above
        return None
