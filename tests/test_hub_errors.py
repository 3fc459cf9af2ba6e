"""Every error that a caller can see is in hubwire.errors, on a branch that says who must act."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import pytest

import hubwire
from hubwire import Hub, errors
from hubwire.channel_types import Conversation, Manifest

BRANCHES = (errors.CallerError, errors.OperatorError)
ROOTS = {errors.HubError, *BRANCHES}
SIGNALS = {
    "hubwire._delivery.handling.Failed",
    "hubwire.listeners.audit._pruning.PruningEnded",
    "hubwire.proof.http_witness._KeyNotKnown",
    "hubwire.query._index.NoIndex",
}
"""Signals within a package: none leaves it but as the public error that it derives from."""


def exceptions() -> Iterator[type[BaseException]]:
    """All exception classes that the modules of the package define, outside of hubwire.errors."""
    for module in walk_packages(hubwire.__path__, "hubwire."):
        if module.name in ("hubwire.errors", "hubwire.__main__"):
            continue
        for value in vars(import_module(module.name)).values():
            if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__ == module.name:
                yield value


def public_errors() -> list[type[errors.HubError]]:
    return [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, errors.HubError)]


def is_private(cls: type[BaseException]) -> bool:
    """Tell whether a class is private to its module or its package; all below the command is the command's own."""
    if cls.__module__.startswith("hubwire.cli."):
        return True
    names = [*cls.__module__.split("."), cls.__name__]
    return any(name.startswith("_") for name in names)


def test_no_error_is_defined_elsewhere() -> None:
    """A class derived from HubError elsewhere would be an error that callers see and cannot import."""
    derived = {f"{cls.__module__}.{cls.__name__}" for cls in exceptions() if issubclass(cls, errors.HubError)}
    assert derived <= SIGNALS


def test_other_exceptions_are_private() -> None:
    """An exception that is no HubError is a signal inside the package, and its name says so."""
    assert [cls for cls in exceptions() if not is_private(cls)] == []


@pytest.mark.parametrize("cls", [cls for cls in public_errors() if cls not in ROOTS])
def test_an_error_is_on_one_branch(cls: type[errors.HubError]) -> None:
    assert sum(issubclass(cls, branch) for branch in BRANCHES) == 1


def test_every_error_is_public() -> None:
    assert sorted(cls.__name__ for cls in public_errors()) == sorted({*errors.__all__} - {"Fault"})


@pytest.mark.parametrize("cls", public_errors())
def test_an_error_says_when_it_is_raised(cls: type[errors.HubError]) -> None:
    """The troubleshooting page of the documentation is made of these docstrings."""
    assert cls.__doc__ is not None
    assert cls.__doc__.partition("\n")[0].endswith((".", ":"))
    assert "__doc__" in vars(cls)


class Broken(Conversation):
    name = "broken"

    def begin(self, manifest: Manifest) -> Any:
        raise ZeroDivisionError("oh")


async def test_a_channel_type_that_raises_is_named() -> None:
    hub = Hub()
    hub.channels.register_type(Broken())
    async with hub:
        agent = await hub.agents.register("one")
        with pytest.raises(errors.ChannelTypeFailed, match="'broken' version 1 failed in begin") as refusal:
            await hub.channels.open([agent], type="broken")
    assert isinstance(refusal.value.__cause__, ZeroDivisionError)
