"""JSON Schemas in rules for events: compiled once, applied to payloads, and nothing is fetched for them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from hubwire import Event, GenericEvent, Hub, event
from hubwire.errors import ConfigurationError, EventInvalid
from hubwire.validation import EventRule, Validation

pytest.importorskip("jsonschema_rs", reason="JSON Schemas need the extra 'validation'")

ORDER: dict[str, Any] = {
    "type": "object",
    "required": ["customer", "amount"],
    "properties": {
        "customer": {"type": "string", "minLength": 1},
        "amount": {"type": "number", "minimum": 0},
        "at": {"type": "string", "format": "date-time"},
        "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
    },
    "$defs": {"item": {"type": "object", "required": ["sku"], "properties": {"sku": {"pattern": "^[a-z]+-[0-9]+$"}}}},
}


@event("validation_schemas.ordered")
class Ordered(Event):
    customer: str
    amount: float
    items: tuple[str, ...] = ()


def order(**data: Any) -> GenericEvent:
    return GenericEvent(kind="order.placed", data=data)


def faults(schema: Any, given: Event) -> list[tuple[str, str, str]]:
    found = Validation(EventRule("*", schema=schema)).faults(given)
    return [(each.path, each.wanted, each.given) for each in found]


def test_a_payload_is_as_its_schema_says() -> None:
    right = order(customer="c", amount=1.5, items=[{"sku": "a-1"}, {"sku": "b-2"}], at="2026-01-01T00:00:00Z")
    assert faults(ORDER, right) == []


def test_a_schema_says_every_fault() -> None:
    """Where it is, and what it was; the sentence of the schema does not repeat the value, which may be secret."""
    wrong = order(customer="", items=[{"sku": "a-1"}, {"sku": "s3cret"}, 5], at="yesterday")
    found = {path: (wanted, given) for path, wanted, given in faults(ORDER, wrong)}
    assert sorted(found) == ["data", "data.at", "data.customer", "data.items.1.sku", "data.items.2"]
    assert found["data"][0] == 'as the schema says ("amount" is a required property)'
    assert found["data.items.1.sku"][1] == "'s3cret'"
    assert "s3cret" not in "".join(wanted for wanted, _ in found.values())
    assert found["data.items.2"][1] == "5"


async def test_a_schema_refuses_and_lets_pass() -> None:
    strict, warn = EventRule("order.*", schema=ORDER), EventRule("*", schema={"maxProperties": 2}, mode="warn")
    async with Hub(validation=Validation(strict, warn)) as hub:
        with pytest.raises(EventInvalid, match="as the schema says"):
            await hub.emit(order(customer="c"))
        await hub.emit(order(customer="c", amount=1, more=True))
        assert hub.statistics().events_questioned == 1


def test_a_schema_is_for_the_own_fields_of_a_declared_kind() -> None:
    """Not for its header; a tuple is an array."""
    schema = {**ORDER, "properties": {"items": {"type": "array", "minItems": 1}}, "additionalProperties": False}
    schema["properties"] |= {"customer": True, "amount": {"type": "number"}}
    assert faults(schema, Ordered(customer="c", amount=1.0, items=("a",), source="s")) == []
    assert [each[0] for each in faults(schema, Ordered(customer="c", amount=1.0))] == ["items"]


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**80, -(2**80), "\ud800", {1: 2}, {1, 2}, b"x", object(), {"a": {"b": ()}}]
)
def test_values_that_json_cannot_hold_are_what_is_committed(value: Any) -> None:
    """Marked substitutes: a schema may name them, and none raises."""
    assert faults(True, order(x=value)) == []
    faults({"properties": {"x": {"type": "integer"}}}, order(x=value))
    faults({"properties": {"amount": {"type": "integer"}}}, Ordered(customer="\ud800", amount=float("nan")))


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "objct"}, "is not valid"),
        ({"pattern": "("}, 'is not a "regex"'),
        ({"pattern": "(?=a)b"}, 'is not a "regex"'),
        ({"$ref": "#/$defs/nowhere"}, "does not exist"),
        ({"$ref": "https://schemas.invalid/x.json"}, "is not fetched; write it into the schema"),
        ({"$ref": "file:///etc/passwd"}, "is not fetched; write it into the schema"),
        ({"$schema": "https://schemas.invalid/x"}, "Unknown meta-schema"),
        ({"minimum": object()}, "Unsupported type"),
        (5, "schema is a JSON Schema: a mapping, or True or False, not 5"),
        ("{}", "schema is a JSON Schema: a mapping"),
        ([{}], "schema is a JSON Schema: a mapping"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(schema: Any, text: str) -> None:
    """When the rule is made, not when the first event comes."""
    with pytest.raises(ConfigurationError, match=r"EventRule\(\): schema") as caught:
        EventRule("*", schema=schema)
    assert text in str(caught.value)
    assert len(str(caught.value)) < 1500


def test_a_schema_without_end_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["not"] = endless
    with pytest.raises(ConfigurationError, match="Recursion limit"):
        EventRule("*", schema=endless)


@contextmanager
def serving(asked: list[str]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/schema.json"
        finally:
            server.shutdown()
            thread.join()


def test_nothing_is_fetched_for_a_schema(tmp_path: Path) -> None:
    """Neither by what it refers to, nor by its id, nor from the disk."""
    asked: list[str] = []
    (tmp_path / "schema.json").write_text("{}")
    with serving(asked) as address:
        for schema in (
            {"$ref": address},
            {"$ref": "other.json", "$id": address},
            {"properties": {"x": {"$dynamicRef": address}}},
            {"$ref": (tmp_path / "schema.json").as_uri()},
        ):
            with pytest.raises(ConfigurationError):
                EventRule("*", schema=schema)
    assert asked == []


def test_a_schema_is_compiled_once() -> None:
    """What is done to the mapping later changes nothing."""
    schema: dict[str, Any] = {"required": ["x"]}
    rules = Validation(EventRule("*", schema=schema))
    schema["required"].append("y")
    assert rules.faults(order(x=1)) == ()


def test_a_pattern_takes_linear_time() -> None:
    """The one that takes other engines hours for such a text."""
    rules = Validation(EventRule("*", schema={"properties": {"x": {"pattern": "^(a+)+$"}}}))
    before = time.process_time()
    assert len(rules.faults(order(x="a" * 50_000 + "!"))) == 1
    assert time.process_time() - before < 30


def test_faults_of_a_large_payload_are_bounded() -> None:
    schema = {"properties": {"x": {"items": {"type": "string"}}}}
    found = Validation(EventRule("*", schema=schema)).faults(order(x=list(range(10_000))))
    assert len(found) == 100


def test_without_the_package_a_schema_says_what_to_install() -> None:
    """Rules without a schema do without it."""
    program = """
import sys
sys.modules["jsonschema_rs"] = None
from hubwire import GenericEvent
from hubwire.validation import EventRule, Validation
assert len(Validation(EventRule("*", required=["source"])).faults(GenericEvent(kind="a.b"))) == 1
try:
    EventRule("*", schema={})
except Exception as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert "schema needs the package jsonschema-rs; pip install 'hubwire[validation]'" in done.stdout
