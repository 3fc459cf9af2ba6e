"""JSON Schemas of payloads, by the package ``jsonschema_rs``: the extra ``validation`` brings it.

It is called with frozen values, which are dictionaries and tuples. A schema is compiled once; what it refers to is in
the schema itself, or is a meta-schema of the standard: nothing is fetched and no file is read. Patterns run in linear
time, so that no text of a caller's holds up the loop; those that look around, or back, are refused with the schema.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from .._foreign.arguments import Call
from .._foreign.guards import clean, guarded_call, message_of

__all__ = ("Schema", "schema_of")

_INSTALL = "pip install 'hubwire[validation]'"
_VALUE = "the value"
_CHARS_MAX = 200
_KEYS_MAX = 20

Schema = Callable[[Any, int], Iterator[tuple[tuple[str, ...], str]]]
"""Yields, of a frozen value, the keys that lead to each fault, and what the schema says of it: so many at most."""


def schema_of(call: Call, schema: object) -> Schema:
    """Compile a schema. Raises :class:`~hubwire.errors.ConfigurationError` if it is none, or the package is missing."""
    try:
        engine: Any = importlib.import_module("jsonschema_rs")
    except ImportError as error:
        raise call.error(f"{call.name}: schema needs the package jsonschema-rs; {_INSTALL}") from error
    if schema is not True and schema is not False:
        schema = call.mapping("schema", schema, wanted="a JSON Schema: a mapping, or True or False")
    try:
        validator = guarded_call(
            engine.validator_for,
            schema,
            validate_formats=True,
            retriever=_refuse_to_fetch,
            pattern_options=engine.RegexOptions(),
            mask=_VALUE,
        )
    except Exception as error:
        reason = message_of(error).partition("\n")[0]
        raise call.error(f"{call.name}: schema is no JSON Schema that can be used: {reason}; correct it") from error
    return _Checking(validator)


class _Checking:
    def __init__(self, validator: Any) -> None:
        self._validator = validator

    def __call__(self, payload: Any, most: int) -> Iterator[tuple[tuple[str, ...], str]]:
        try:
            if guarded_call(self._validator.is_valid, payload):  # ten times quicker than to say why
                return
            faults = guarded_call(lambda: list(islice(self._validator.iter_errors(payload), most)))
        except Exception as error:  # noqa: BLE001 - what the package cannot look at is not known to be right
            yield (), f"a payload that the schema can be applied to ({message_of(error)[:_CHARS_MAX]})"
            return
        for fault in faults:
            keys = tuple(clean(str(each), _CHARS_MAX) for each in islice(fault.instance_path, _KEYS_MAX))
            yield keys, f"as the schema says ({clean(fault.message, _CHARS_MAX)})"


def _refuse_to_fetch(uri: str) -> Any:
    raise ValueError(f"{uri} is not fetched; write it into the schema, under $defs")
