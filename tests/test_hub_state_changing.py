"""Changed copies of entries are those that attrs would make."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from hubwire._state import State
from hubwire._state.changing import changed

ENTRY_TYPES = [cls for machine in State().machines.values() for cls in machine.entry_types]


@pytest.mark.parametrize("cls", ENTRY_TYPES, ids=lambda cls: str(cls.__name__))
def test_a_changed_entry_is_what_attrs_makes(cls: Any) -> None:
    """For each class of entries, with one field changed."""
    names = [field.name for field in attrs.fields(cls) if field.init]
    entry = cls(**{name: f"the {name}" for name in names}) if not _converts(cls) else None
    if entry is None:
        pytest.skip("it checks its fields")
    for name in names:
        copy = changed(entry, {name: "another"})
        assert copy == attrs.evolve(entry, **{name: "another"})
        assert copy is not entry
        assert getattr(entry, name) == f"the {name}"


def _converts(cls: Any) -> bool:
    return any(field.validator or field.converter for field in attrs.fields(cls))


def test_a_class_that_checks_its_fields_goes_on_checking() -> None:
    """A copy that is compiled would pass its validators by."""

    @attrs.frozen
    class Checked:
        number: int = attrs.field(validator=attrs.validators.instance_of(int))

    assert changed(Checked(1), {"number": 2}) == Checked(2)
    with pytest.raises(TypeError):
        changed(Checked(1), {"number": "2"})
