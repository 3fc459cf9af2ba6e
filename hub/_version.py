"""The version of the installed distribution."""

from __future__ import annotations

from functools import cache

__all__ = ("installed_version",)


@cache
def installed_version() -> str:
    """Return the version; the metadata is read when it is asked for, not at import."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - 15 ms that an import need not cost

    try:
        return version("hubwire")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0+unknown"
