"""Annotations of all public calls can be read at run time, as frameworks do that call what they are given."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
import typing
from collections.abc import Iterator
from typing import Any

import pytest

import hubwire
from hubwire import ActorHandle, Hub
from hubwire.late_types import late_type


def public_modules() -> list[str]:
    """Return the modules that anyone may import; those of the command are for the command."""
    found = [each.name for each in pkgutil.walk_packages(hubwire.__path__, "hubwire.")]
    inside = [name for name in found if any(part.startswith("_") for part in name.split("."))]
    return ["hubwire", *(name for name in found if name not in inside and not name.startswith("hubwire.cli"))]


def calls_of(name: str, thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield what has annotations: a function, or a class, its methods and its properties."""
    if inspect.isclass(thing):
        yield name, thing
        for each, member in inspect.getmembers(thing):
            if each.startswith("_") and each != "__init__":
                continue
            static = inspect.getattr_static(thing, each)
            call = static.fget if isinstance(static, property) else member
            if inspect.isfunction(call) or inspect.ismethod(call):
                yield f"{name}.{each}", call
    elif inspect.isfunction(thing):
        yield name, thing


@pytest.mark.parametrize("module", public_modules())
def test_annotations_of_public_names_can_be_read(module: str) -> None:
    try:
        found = importlib.import_module(module)
    except ImportError as error:  # of an extra that is not installed
        pytest.skip(str(error))
    failures = []
    for name in getattr(found, "__all__", ()):
        for path, call in calls_of(name, getattr(found, name)):
            try:
                typing.get_type_hints(call)
            except Exception as error:  # noqa: BLE001 - all of them are reported together
                failures.append(f"{module}.{path}: {error!r}")
    assert not failures, "\n".join(failures)


def test_a_late_type_is_imported_when_it_is_looked_up() -> None:
    """And not with the module that names it in an annotation."""
    program = (
        "import sys, typing\nfrom hubwire import Hub\nassert 'hubwire._actors.handles' not in sys.modules\n"
        "hints = typing.get_type_hints(Hub.spawn)\nassert 'hubwire._actors.handles' in sys.modules\n"
        "print(hints['return'].__name__)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "ActorHandle\n"
    assert typing.get_type_hints(Hub.spawn)["return"] is ActorHandle


def test_a_late_type_stands_in_any_annotation() -> None:
    names = {"Handle": late_type("hubwire", "ActorHandle")}

    def call() -> None: ...

    call.__annotations__ = {"one": "Handle | None", "rest": "list[Handle]", "return": "dict[str, Handle]"}
    hints = typing.get_type_hints(call, names, names)
    assert hints == {"one": ActorHandle | None, "rest": list[ActorHandle], "return": dict[str, ActorHandle]}
