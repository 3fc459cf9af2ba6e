"""Value classes are cheap to import, and are what attrs would have made of them."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import attrs
import pytest

from hubwire._values import Shown, Value


@attrs.frozen(eq=False, repr=False)
class Lean(Value):
    name: str
    number: float = 1.0
    note: str = attrs.field(default="", eq=False)
    secret: str = attrs.field(default="", repr=False)


@attrs.frozen(eq=False, repr=False)
class Other(Lean):
    pass


@attrs.frozen
class Full:
    name: str
    number: float = 1.0
    note: str = attrs.field(default="", eq=False)
    secret: str = attrs.field(default="", repr=False)


@attrs.frozen(eq=False, repr=False)
class Seen(Shown):
    name: str


VALUES = [("a",), ("a", 2), ("a", 1, "n"), ("a", 1, "", "s"), ("b",), ("a", float("nan")), ("b", 1.0, "x", "s")]


@pytest.mark.parametrize("left", VALUES)
@pytest.mark.parametrize("right", VALUES)
def test_values_are_equal_as_attrs_makes_them(left: tuple[object, ...], right: tuple[object, ...]) -> None:
    """Equality, inequality and hashes leave out what its fields leave out; NaN equals nothing."""
    lean, full = (Lean(*left), Lean(*right)), (Full(*left), Full(*right))  # type: ignore[arg-type]
    assert (lean[0] == lean[1], lean[0] != lean[1]) == (full[0] == full[1], full[0] != full[1])
    if lean[0] == lean[1]:
        assert hash(lean[0]) == hash(lean[1])
    assert repr(lean[0]) == repr(full[0]).replace("Full", "Lean")


def test_values_of_two_classes_differ() -> None:
    """A subclass with the same fields is another value, and another thing is none."""
    assert Lean("a") != Other("a")
    assert Lean("a") != "a"
    assert {Lean("a"), Other("a"), Lean("a")} == {Lean("a"), Other("a")}


def test_copies_of_a_value_equal_it() -> None:
    lean = Lean("a", 2.0, "n", "s")
    assert copy.deepcopy(lean) == attrs.evolve(lean) == pickle.loads(pickle.dumps(lean)) == lean  # noqa: S301 - ours
    assert not hasattr(lean, "__dict__")


def test_what_is_only_shown_keeps_its_identity() -> None:
    assert repr(Seen("a")) == "Seen(name='a')"
    assert Seen("a") != Seen("a")


PROGRAM = """
import sys, hubwire
hubwire.Hub
for name, module in sorted(sys.modules.items()):
    for cls in list(vars(module).values()) if name.startswith("hubwire") else ():
        if isinstance(cls, type) and cls.__module__ == name:
            for method in ("__eq__", "__hash__", "__repr__"):
                code = getattr(vars(cls).get(method), "__code__", None)
                if code is not None and code.co_filename.startswith("<attrs generated"):
                    print(f"{name}.{cls.__qualname__}.{method}")
"""


def test_importing_the_hub_compiles_few_comparisons() -> None:
    """Each costs every program that has a hub half a millisecond: values inherit theirs from ``hubwire._values``."""
    done = subprocess.run([sys.executable, "-P", "-c", PROGRAM], capture_output=True, text=True, check=True)
    compiled = done.stdout.split()
    assert len(compiled) <= 20, f"let these inherit them from hubwire._values: {compiled}"
