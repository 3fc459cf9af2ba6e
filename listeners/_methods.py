"""What can be done with a guest: asked without letting it do harm."""

from __future__ import annotations

from hubwire.guests import failure_of

__all__ = ("has_methods",)


def has_methods(candidate: object, *names: str) -> bool:
    """Tell whether an object, no class, has these methods; one that raises when it is asked has none."""
    try:
        return not issubclass(type(candidate), type) and all(callable(getattr(candidate, name)) for name in names)
    except BaseException as error:  # noqa: BLE001 - its attributes are its own code
        failure_of(error)  # raises what is a person's: Ctrl-C
        return False
