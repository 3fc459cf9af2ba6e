"""Each format is read back by the library of those who made the format: counts and contents are equal."""

from __future__ import annotations

import asyncio
import base64
import csv
import gzip
import hashlib
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import jsonschema_rs
import pytest
from cloudevents.core.formats.json import JSONFormat
from google.protobuf import json_format
from ocsf_json_schema import (  # type: ignore[import-untyped] # it has no types
    OcsfJsonSchemaEmbedded,
    get_ocsf_schema,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

from hubwire import codec
from hubwire.cli import main
from hubwire.cloudevents import from_cloudevent
from hubwire.errors import ConfigurationError
from hubwire.exports import CloudEvents, Csv, Ecs, Format, Jsonl, Ocsf, Otlp, Parquet, export_now
from hubwire.exports.csv import plain
from hubwire.exports.ocsf import _CLASS as CLASSES, VERSION
from hubwire.log import Record
from hubwire.stores import FileStore
from support.exports import TRACEPARENT, make_log, read_log

RECORDED = Path(__file__).parents[2] / "shared" / "data" / "airline.jsonl.gz"
CONVERSATIONS = 40
"""How many of the recorded conversations: with all 200 it is the same, and takes minutes."""

SHAPES_MAX = 20
"""How many events of one shape are held against a schema, which takes its time."""

LOG = ("d", "h", "c")


def work_log(path: Path) -> list[Record]:
    async def make() -> list[Record]:
        store = await make_log(path)
        try:
            return await read_log(store)
        finally:
            await store.aclose()

    return asyncio.run(make())


def recorded_log(path: Path) -> list[Record]:
    """Import recorded conversations, and return the records of the audit log."""
    if not RECORDED.exists():
        pytest.skip(f"there are no recorded conversations at {RECORDED}")
    file = path / "recorded.jsonl"
    with gzip.open(RECORDED) as recorded:
        file.write_bytes(b"".join(next(recorded) for _ in range(CONVERSATIONS)))
    with pytest.raises(SystemExit) as end:
        main(["import", str(file), "--format", "openai-chat", "--store", str(path / "store")])
    assert end.value.code == 0

    async def read() -> list[Record]:
        store = FileStore(path / "store")
        try:
            return await read_log(store)
        finally:
            await store.aclose()

    return asyncio.run(read())


@pytest.fixture(scope="module", params=[work_log, pytest.param(recorded_log, marks=pytest.mark.slow)])
def records(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    made: list[Record] = request.param(tmp_path_factory.mktemp("log"))
    assert len(made) > 50
    return made


def fields_of(records: list[Record]) -> list[dict[str, Any]]:
    return [codec.decode_fields(record.line) for record in records]


def exported(records: list[Any], format_: Format) -> bytes:
    return b"".join(export_now(records, format_, redactor=None))


def lines(records: list[Any], format_: Format) -> Iterator[Any]:
    return map(json.loads, exported(records, format_).decode().removesuffix("\n").split("\n"))


# --- JSON Lines and CSV ---------------------------------------------------------------------------------------------


def test_json_lines_hold_the_records(records: list[Record]) -> None:
    assert list(lines(records, Jsonl())) == fields_of(records)


def test_csv_holds_the_records(records: list[Record]) -> None:
    table = csv.DictReader(io.StringIO(exported(records, Csv()).decode(), newline=""))
    found = []
    for row in table:
        fields: dict[str, Any] = {name: plain(cell) for name, cell in row.items() if cell != "" and name != "data"}
        fields |= {name: int(fields[name]) for name in ("seq", "d") if name in fields}
        found.append(fields | json.loads(row["data"] or "{}"))
    assert found == fields_of(records)


# --- CloudEvents ----------------------------------------------------------------------------------------------------


def test_their_package_reads_the_cloud_events(records: list[Record]) -> None:
    messages = exported(records, CloudEvents()).removesuffix(b"\n").split(b"\n")
    assert len(messages) == len(records)
    for message, fields in zip(messages, fields_of(records), strict=True):
        read = JSONFormat().read(None, message)
        assert (read.get_type(), read.get_specversion()) == (fields["kind"], "1.0")
        assert read.get_extension("hash") == fields["h"]
        if "seq" in fields:
            assert codec.encode(from_cloudevent(message)) == codec.encode(
                codec.decode(codec.encode_fields({k: v for k, v in fields.items() if k not in LOG}))
            )


# --- OCSF -----------------------------------------------------------------------------------------------------------

FINGERPRINT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["algorithm_id", "value"],
    "properties": {
        "algorithm": {"type": "string"},
        "algorithm_id": {"const": 3},
        "value": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    },
}
ATTESTATION = {
    "type": "object",
    "additionalProperties": False,
    "required": ["fingerprint", "chain_uid"],
    "properties": {
        "chain_uid": {"type": "string"},
        "fingerprint": FINGERPRINT,
        "prev_event": {
            "type": "object",
            "additionalProperties": False,
            "required": ["uid"],
            "properties": {"uid": {"type": "string"}, "type_uid": {"type": "integer"}, "fingerprint": FINGERPRINT},
        },
    },
}
AI_AGENT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["uid"],
    "properties": {
        "uid": {"type": "string"},
        "name": {"type": "string"},
        "instance_uid": {"type": "string"},
        "ai_model": {
            "type": "object",
            "additionalProperties": False,
            "required": ["ai_provider", "name"],
            "properties": {"name": {"type": "string"}, "ai_provider": {"type": "string"}},
        },
    },
}
"""What OCSF 1.9 adds to 1.8, the newest version of which the package has the schema."""


def test_their_schema_takes_the_ocsf_events(records: list[Record]) -> None:
    schemas = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.8.0"))
    validators: dict[int, tuple[jsonschema_rs.Validator, set[str]]] = {}
    attestation, agent = (jsonschema_rs.validator_for(schema) for schema in (ATTESTATION, AI_AGENT))
    shapes: Counter[tuple[Any, ...]] = Counter()
    for event, fields in zip(lines(records, Ocsf()), fields_of(records), strict=True):
        assert json.loads(event["raw_data"]) == fields
        assert event["metadata"]["version"] == VERSION
        uid = event["class_uid"]
        shape = (uid, event["activity_name"], *sorted(event))
        shapes[shape] += 1
        if shapes[shape] > SHAPES_MAX:
            continue
        attestation.validate(event.pop("attestation"))
        if "ai_agent" in event:
            agent.validate(event.pop("ai_agent"))
        if uid not in validators:
            validators[uid] = ocsf_validator(schemas, uid)
        validator, names = validators[uid]
        assert set(event) <= names
        validator.validate({name: value for name, value in event.items() if name != "metadata"})
    assert {6003, 3004, 6002} <= set(validators)


def ocsf_validator(schemas: Any, uid: int) -> tuple[jsonschema_rs.Validator, set[str]]:
    """Return what validates events of a class, without their metadata, which have a profile of 1.9; and their names."""
    schema = schemas.get_class_schema(schemas.lookup_class_name_from_uid(uid), [])
    names = set(schema["properties"])
    schema["required"].remove("metadata")
    return jsonschema_rs.validator_for(schema), names


def test_ocsf_events_are_a_chain_of_their_own(records: list[Record]) -> None:
    """Whoever has the exported file alone can compute it: RFC 8785 over all but the fingerprint."""
    previous = None
    for event in lines(records, Ocsf()):
        attestation = event["attestation"]
        fingerprint = attestation.pop("fingerprint")
        canonical = json.dumps(event, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
        assert hashlib.sha256(canonical).hexdigest() == fingerprint["value"]
        assert event["raw_data_hash"]["value"] == hashlib.sha256(event["raw_data"].encode()).hexdigest()
        if previous is None:
            assert "prev_event" not in attestation
        else:
            assert attestation["prev_event"]["fingerprint"] == previous
        previous = fingerprint


# --- ECS ------------------------------------------------------------------------------------------------------------

ECS: dict[str, str] = {
    "@timestamp": r"\d{4}-\d\d-\d\dT[\d:.]+Z",
    "ecs.version": r"\d+\.\d+\.\d+",
    "message": r".*",
    "log.level": r"info|warning|error",
    "event.kind": r"event",
    "event.action": r".+",
    "event.module": r"hubwire",
    "event.dataset": r"hubwire\..+",
    "event.outcome": r"success|failure|unknown",
    "event.id": r".+",
    "event.sequence": r"\d+",
    "event.hash": r"[\w-]{22}",
    "event.category": r"api|iam|session|configuration|process",
    "event.type": r"start|end|creation|deletion|allowed|denied|error|info",
    "event.duration": r"\d+",
    "event.reason": r".+",
    "event.original": r"\{.*\}",
    "observer.product": r"hubwire",
    "observer.vendor": r"hubwire",
    "observer.type": r"hub",
    "observer.serial_number": r".+",
    "user.id": r".+",
    "user.name": r".+",
    "organization.id": r".+",
    "trace.id": r"[0-9a-f]{32}",
    "span.id": r"[0-9a-f]{16}",
    "error.message": r".+",
    "error.type": r".+",
}
"""The fields of ECS 9 that are used, and what they may hold; ``labels.*`` are texts."""


def test_ecs_documents_have_fields_of_ecs_alone(records: list[Record]) -> None:
    seen = set()
    for document, fields in zip(lines(records, Ecs()), fields_of(records), strict=True):
        assert json.loads(document["event"]["original"]) == fields
        for name, value in flat(document):
            seen.add(name)
            if name.startswith("labels."):
                assert isinstance(value, str)
            else:
                assert re.fullmatch(ECS[name], str(value), re.DOTALL), name
        assert "agent" not in document  # that is the shipper there
    assert {"user.name", "event.sequence", "event.hash"} <= seen


def flat(document: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            for each in value if isinstance(value, list) else [value]:
                yield f"{prefix}{name}", each


# --- OTLP -----------------------------------------------------------------------------------------------------------


def test_their_messages_read_the_otlp_records(records: list[Record]) -> None:
    found: list[Any] = []
    for request in lines(records, Otlp()):
        ids: list[Any] = []
        for log in (each for scope in request["resourceLogs"][0]["scopeLogs"] for each in scope["logRecords"]):
            ids.append(log.get("traceId"))
            for name in ("traceId", "spanId"):  # OTLP writes them in hexadecimal, JSON of protobuf in Base64
                if name in log:
                    log[name] = base64.b64encode(bytes.fromhex(log[name])).decode()
        read = json_format.ParseDict(request, LogsData())
        logs = read.resource_logs[0].scope_logs[0].log_records
        assert [log.trace_id.hex() or None for log in logs] == ids
        found += logs
    assert len(found) == len(records)
    for log, fields in zip(found, fields_of(records), strict=True):
        assert value_of(log.body) == fields
        assert log.event_name == fields["kind"]
        attributes = {each.key: value_of(each.value) for each in log.attributes}
        if "seq" in fields:
            assert attributes["hub.seq"] == fields["seq"]
        if fields.get("traceparent") == TRACEPARENT:
            assert (log.trace_id.hex(), log.span_id.hex()) == (TRACEPARENT[3:35], TRACEPARENT[36:52])
        if fields["kind"] == "tool.called":
            assert attributes["gen_ai.tool.name"] == fields["tool"]


def value_of(value: Any) -> Any:
    which = value.WhichOneof("value")
    if which == "kvlist_value":
        return {each.key: value_of(each.value) for each in value.kvlist_value.values}
    if which == "array_value":
        return [value_of(each) for each in value.array_value.values]
    return None if which is None else getattr(value, which)


# --- Parquet --------------------------------------------------------------------------------------------------------


def test_duckdb_reads_the_parquet_table(records: list[Record], tmp_path: Path) -> None:
    file = tmp_path / "events.parquet"
    file.write_bytes(exported(records, Parquet()))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        relation = connection.execute(f"SELECT * FROM '{file}'")  # noqa: S608 - a path of the test
        names = [each[0] for each in relation.description]
        types = {each[0]: str(each[1]) for each in relation.description}
        rows = [dict(zip(names, row, strict=True)) for row in relation.fetchall()]
    assert (types["seq"], types["time"], types["kind"]) == ("BIGINT", "TIMESTAMP WITH TIME ZONE", "VARCHAR")
    found = []
    for row, fields in zip(rows, fields_of(records), strict=True):
        assert row["time"].strftime("%Y-%m-%dT%H:%M:%S.%fZ") == fields["at"]
        data = json.loads(row.pop("data") or "{}")
        del row["time"]
        found.append({name: value for name, value in row.items() if value is not None} | data)
    assert found == fields_of(records)


def test_an_empty_export_is_a_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "none.parquet"
    file.write_bytes(exported([], Parquet()))
    with duckdb.connect() as connection:
        assert connection.execute(f"SELECT count(*) FROM '{file}'").fetchone() == (0,)  # noqa: S608
    assert [exported([], each()) for each in (Jsonl, CloudEvents, Ocsf, Ecs, Otlp)] == [b""] * 5


@pytest.mark.parametrize(
    "at",
    [
        "2026-11-21T10:00:00.500000Z",
        "2026-W47-6T10:00:00.5",
        "20261121T100000.5Z",
        "2026-11-21T10:00:00,5",
        "2026-11-21T10:00:30.5+00:00:30",
        "2026-11-22T09:59:00.5+23:59",
    ],
)
def test_parquet_has_each_time_that_a_record_has(at: str, tmp_path: Path) -> None:
    """Also in a form that DuckDB does not read; ``at`` is as it was."""
    duckdb = pytest.importorskip("duckdb")
    file = tmp_path / "events.parquet"
    file.write_bytes(exported([{"kind": "own.made", "at": at}], Parquet()))
    with duckdb.connect() as connection:
        rows = connection.execute('SELECT "at", epoch_us("time") FROM read_parquet(?)', [str(file)]).fetchall()
    assert rows == [(at, 1_795_255_200_500_000)]


def test_parquet_names_the_extra_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'hubwire\[query\]'"):
        exported([], Parquet())


# --- all ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Jsonl, Csv, CloudEvents, Ocsf, Ecs, Otlp, Parquet])
def test_records_of_strangers_are_exported_by_all(make: type[Format]) -> None:
    """A record has no field that it must have, and each field may be of any type."""
    odd: list[Any] = [None, True, 5, -1, 2**70, 1.5, "", "x", [], [1], {}, {"a": None}, "2026-13-45T99:99:99Z"]
    names: tuple[str, ...] = (
        "seq",
        "id",
        "at",
        "kind",
        "hub",
        "agent_id",
        "traceparent",
        "severity",
        "outcome",
        "d",
        "h",
        "data",
    )
    names += ("content", "tool", "reason", "duration_ms", "input_tokens", "name", "topic", "action", "$damaged")
    given = [{name: value} for name in names for value in odd]
    given += [{"kind": kind, **{name: odd[at % len(odd)] for at, name in enumerate(names[4:])}} for kind in KINDS]
    assert exported([*given, {}, Record(3, b"not JSON \xff")], make())


KINDS = [f"{domain}.x" for domain in ("agent", "tool", "model", "approval", "hub", "channel", "turn", "own", "token")]


FAR = ["9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+05:00", "9999-12-31T23:30:00-08:00"]


@pytest.mark.parametrize("at", FAR)
@pytest.mark.parametrize("make", [Jsonl, Csv, CloudEvents, Ocsf, Ecs, Otlp, Parquet])
def test_a_time_at_the_end_of_the_calendar_is_exported(make: type[Format], at: str) -> None:
    """Two of them are in no calendar, by their zone; for OTLP, whose field ends before, their time is not known."""
    made = b"".join(export_now([{"kind": "a.b", "at": at, "seq": 1}], make()))
    assert made
    if make is Otlp:
        read = json_format.Parse(made, LogsData())
        assert read.resource_logs[0].scope_logs[0].log_records[0].time_unix_nano == 0


def test_the_reference_says_the_class_of_each_kind() -> None:
    page = Path(__file__).parents[1] / "docs" / "reference" / "exports.md"
    rows = re.findall(r"^\| (`.*`) \| [\w ]+, (\d+) \|$", page.read_text(), re.MULTILINE)
    said = {kind: int(uid) for kinds, uid in rows for kind in re.findall(r"`(\w+)`", kinds)}
    assert said == {kind: uid for kind, (uid, _) in CLASSES.items()}
