"""What an exception of code that is not ours says, whatever its own methods do."""

from __future__ import annotations

__all__ = ("said",)


def said(error: BaseException) -> str:
    """Return what an exception says, without its class, as plain text of one line; it raises none."""
    try:
        return " ".join(str.__str__(str(error)).split())
    except BaseException as failure:  # noqa: BLE001 - its class is a guest's, and it is told what came of it
        return f"(its text raised {type.__dict__['__name__'].__get__(type(failure))})"
