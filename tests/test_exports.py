"""Exports as a library: what goes in, what comes out, and what a format of one's own may do."""

from __future__ import annotations

import csv
import io
import tracemalloc
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from hubwire import GenericEvent, Hub, codec
from hubwire.errors import ConfigurationError
from hubwire.exports import CloudEvents, Csv, ExportRecord, Format, Jsonl, Report, export, export_now
from hubwire.exports.csv import neutral, plain
from hubwire.log import Record, chain_value
from hubwire.redaction import Redactor
from hubwire.stores import MemoryStore
from support.exports import FORMULAS, make_log, read_log
from support.odd import ODD

SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"


def exported(records: Iterable[Any], format_: Format, **options: Any) -> bytes:
    return b"".join(export_now(records, format_, **options))


def rows(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


def sealed(fields: dict[str, Any], durable: int = 0, previous: bytes = b"") -> bytes:
    """Return the line of a record in a log with a chain."""
    body = codec.encode_record(fields)
    return codec.seal(body, durable, chain_value(previous, codec.seal(body, durable)))


# --- JSON Lines -----------------------------------------------------------------------------------------------------


async def test_json_lines_are_the_log_byte_for_byte(tmp_path: Path) -> None:
    store = await make_log(tmp_path)
    content = b"".join([piece async for piece in export(await read_log(store), Jsonl())])
    assert content == await store.read_bytes("/audit/log/00000000000000000000.jsonl")
    await store.aclose()


def test_a_long_record_is_exported_whole() -> None:
    line = sealed({"kind": "a.b", "cut": {"blob": "b", "bytes": 1, "sha256": "0" * 64}})
    record = ExportRecord(line, 3, codec.encode_fields({"kind": "a.b", "text": "long"}))
    fields = codec.decode_fields(exported([record], Jsonl(), redactor=None))
    assert (fields["text"], fields["cut"]["blob"], fields["d"]) == ("long", "b", 0)


# --- CSV ------------------------------------------------------------------------------------------------------------


def test_no_cell_is_a_formula_and_all_read_back() -> None:
    records = [{"kind": "a.b", "seq": number, "text": text} for number, text in enumerate(FORMULAS)]
    head, *cells = rows(exported(records, Csv(["seq", "text"])))
    assert head == ["seq", "text"]
    assert [plain(text) for _, text in cells] == list(FORMULAS)
    for _, text in cells:
        assert text.lstrip()[:1] not in tuple("=+-@\t\r\n＝＋－＠")


@given(st.text())
def test_every_text_comes_back_from_its_cell(text: str) -> None:
    assert plain(neutral(text)) == text


def test_names_of_columns_are_no_formulas_either() -> None:
    assert rows(exported([{"=1": "x"}], Csv(["=1"]))) == [["'=1"], ["x"]]


def test_numbers_stay_numbers_and_objects_are_json() -> None:
    record = {"kind": "a.b", "number": -5, "yes": True, "list": [1, "=1"], "none": None, "float": 1.5}
    cells = rows(exported([record], Csv(["number", "yes", "list", "none", "float", "missing"])))[1]
    assert cells == ["-5", "true", '[1,"=1"]', "", "1.5", ""]


def test_a_path_goes_into_a_field_and_a_whole_name_wins() -> None:
    record = {"content": {"text": "inner"}, "a.b": "whole", "a": {"b": "inner"}}
    assert rows(exported([record], Csv(["content.text", "a.b", "content.text.more"])))[1] == ["inner", "whole", ""]


def test_a_value_of_another_type_than_its_column_is_in_data() -> None:
    record = {"seq": "no number", "agent_id": 5, "kind": "a.b", "data": {"x": 1}, "own": None}
    head, cells = rows(exported([record], Csv()))
    row = dict(zip(head, cells, strict=True))
    assert (row["seq"], row["agent_id"], row["kind"]) == ("", "", "a.b")
    assert codec.decode_fields(row["data"].encode()) == {
        "seq": "no number",
        "agent_id": 5,
        "data": {"x": 1},
        "own": None,
    }


@pytest.mark.parametrize("columns", [[], "seq", b"kind", {"seq": 1}, 5, ["seq", 5], [""], ["a", "a"], ["\ud800"]])
def test_columns_that_are_no_names_are_refused(columns: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^Csv\(\): columns is "):
        Csv(columns)


# --- what goes in ---------------------------------------------------------------------------------------------------


async def test_events_of_a_hub_are_exported_too() -> None:
    async with Hub(MemoryStore()) as hub:
        event = await hub.emit(GenericEvent(kind="user.said", data={"text": "hi"}))
    assert exported([event], Jsonl()) == codec.encode(event) + b"\n"


def test_what_a_log_has_added_to_a_record_is_its_end_again() -> None:
    line = sealed({"kind": "a.b", "zone": 1})
    assert exported([codec.decode_fields(line)], Jsonl()) == line + b"\n"
    assert exported([Record(0, line)], Jsonl()) == line + b"\n"


def test_a_damaged_line_is_exported_and_said_to_be_damaged() -> None:
    damaged = Record(0, b'{"kind":"a.b\xff')
    assert exported([damaged], Jsonl()) == b'{"kind":"a.b\xff\n'
    assert '{"$damaged":"{\\"kind\\":\\"a.b\\\\xff"}' in plain(rows(exported([damaged], Csv()))[1][12])


@pytest.mark.parametrize("given_", [5, "text", b"bytes", None, object(), [1], {"kind": object}])
def test_records_that_are_none_are_refused_or_marked(given_: Any) -> None:
    """What JSON cannot hold becomes a marked substitute, as in an event."""
    if isinstance(given_, dict):
        assert b'"$' in exported([given_], Jsonl())
        return
    with pytest.raises(ConfigurationError, match=r"^export\(\): records is "):
        exported([given_], Jsonl())


def test_a_mapping_that_raises_is_refused() -> None:
    class Hostile(dict[str, Any]):
        def keys(self) -> Any:
            raise ValueError("no")

        __iter__ = keys

    with pytest.raises(ConfigurationError, match="records"):
        exported([Hostile(a=1)], Jsonl())


@pytest.mark.parametrize("given_", [None, 5, "text", Jsonl, {"kind": "a.b"}])
def test_arguments_of_an_export_are_checked(given_: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"export_now\(\): format is "):
        exported([], given_)
    if not isinstance(given_, type):
        with pytest.raises(ConfigurationError, match=r"export_now\(\): records is "):
            exported(given_, Jsonl())
    with pytest.raises(ConfigurationError, match="redactor"):
        exported([], Jsonl(), redactor=5)


@pytest.mark.parametrize("number", range(len(ODD)))
async def test_odd_arguments_raise_errors_of_ours(number: int) -> None:
    made = ODD[number]
    for make in (
        lambda: Csv(made()),
        lambda: CloudEvents(made()),
        lambda: Report(made()),
        lambda: Report(selection=made()),
        lambda: Report(names=made()),
        lambda: Report(head=made()),
        lambda: exported([made()], Jsonl()),
        lambda: exported([], made()),
        lambda: exported([], Jsonl(), redactor=made()),
    ):
        try:
            make()
        except ConfigurationError:
            continue
    with suppress(ConfigurationError), suppress_hostile():
        exported(made(), Jsonl())


@contextmanager
def suppress_hostile() -> Iterator[None]:
    """What the iterator of the records raises comes out as it is."""
    try:
        yield
    except RuntimeError as error:
        if "hostile" not in str(error):
            raise


# --- redaction ------------------------------------------------------------------------------------------------------


def test_an_export_is_redacted_unless_asked_otherwise() -> None:
    line = sealed({"kind": "a.b", "note": SECRET, "password": "hunter2"})
    for format_ in (Jsonl(), Csv(), CloudEvents()):
        assert SECRET.encode() not in exported([Record(0, line)], format_)
        assert b"hunter2" not in exported([Record(0, line)], format_)
        assert SECRET.encode() in exported([Record(0, line)], format_, redactor=None)
    own = exported([Record(0, line)], Jsonl(), redactor=Redactor(without=["password"]))
    assert b"hunter2" in own


def test_a_damaged_line_and_a_long_record_are_redacted_too() -> None:
    whole = codec.encode_fields({"kind": "a.b", "note": SECRET})
    records = [ExportRecord(f'{{"note":"{SECRET}'.encode()), ExportRecord(sealed({"kind": "a.b"}), 0, whole)]
    assert SECRET.encode() not in exported(records, Jsonl())


def test_redaction_leaves_the_records_that_were_given() -> None:
    record = {"kind": "a.b", "note": {"text": SECRET}}
    exported([record], Jsonl())
    assert record == {"kind": "a.b", "note": {"text": SECRET}}


# --- formats of one's own -------------------------------------------------------------------------------------------


class Counting(Format):
    """A format of one's own: the number of records."""

    closed = 0

    def begin(self, redaction: str | None) -> bytes:
        self.count = 0
        return b"n="

    def encode(self, records: Sequence[ExportRecord]) -> bytes:
        self.count += len(records)
        return b""

    def end(self) -> Iterator[bytes]:
        yield str(self.count).encode()

    def close(self) -> None:
        self.closed += 1


async def test_a_format_of_ones_own_is_a_method() -> None:
    counting = Counting()
    assert exported([{"kind": "a.b"}] * 1201, counting) == b"n=1201"
    assert b"".join([piece async for piece in export([{"kind": "a.b"}] * 3, counting)]) == b"n=3"
    assert counting.closed == 2


@pytest.mark.parametrize("where", ["begin", "encode", "end", "close"])
@pytest.mark.parametrize("what", [ValueError("no"), SystemExit(3), GeneratorExit(), "text", 5], ids=repr)
async def test_a_format_that_misbehaves_harms_only_its_export(where: str, what: Any) -> None:
    """An error that is no Exception comes out as one, and close is called in any case."""

    def misbehave(self: Format, *_: object) -> Any:
        if isinstance(what, BaseException):
            raise what
        return what

    bad = type("Bad", (Counting,), {where: misbehave})()
    if where == "close" and not isinstance(what, BaseException):
        return
    if where == "end" and what == "text":
        pass
    with pytest.raises(Exception):  # noqa: B017 - that it is an Exception is the promise
        exported([{"kind": "a.b"}], bad)
    with pytest.raises(Exception):  # noqa: B017
        _ = [piece async for piece in export([{"kind": "a.b"}], bad)]
    if where != "close":
        assert bad.closed == 2


async def test_an_export_that_is_left_closes_its_format() -> None:
    counting = Counting()
    pieces = export([{"kind": "a.b"}], counting)
    assert await anext(pieces) == b"n="
    await pieces.aclose()  # type: ignore[attr-defined] # it is a generator
    assert counting.closed == 1


async def test_what_the_records_raise_comes_out() -> None:
    async def failing() -> AsyncIterator[dict[str, Any]]:
        yield {"kind": "a.b"}
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        _ = [piece async for piece in export(failing(), Jsonl())]


# --- size -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("make", [Jsonl, Csv, CloudEvents, Report])
def test_memory_stays_flat_over_a_hundred_thousand_records(make: type[Format]) -> None:
    line = sealed({"kind": "user.said", "text": "x" * 200, "agent_id": "a"})
    number = 100_000 if make is Jsonl else 20_000
    records = (ExportRecord(line, index) for index in range(number))
    tracemalloc.start()
    try:
        size = sum(len(piece) for piece in export_now(records, make(), redactor=None))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > number
    assert peak < 8_000_000
