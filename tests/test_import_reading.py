"""Inputs that are packed, odd or hostile: each is read, or refused in one line that says what to do."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings, strategies as st

from hubwire.cli.importing.conversation import BadItem, Envelope
from hubwire.cli.importing.decoding import NotJson, encoded, parse_json
from hubwire.cli.importing.format import Options
from hubwire.cli.importing.formats import FORMATS, NotRecognised, parse, recognise
from hubwire.cli.importing.opening import open_source
from hubwire.cli.importing.reading import InputUnreadable, Item
from support.importing import chat

TWO = [chat("a", "b"), chat("c")]


def lines(*items: Any) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


def texts(path: Path, format_name: str = "openai-chat") -> list[list[Any]]:
    """Return the texts of each conversation, by the format that is named."""
    with open_source(str(path), format_name) as source:
        made = [each for item in source.items() for each in parse(FORMATS[format_name], item)]
    return [[part.content.get("text") for part in each.parts if isinstance(part, Envelope)] for each in made]


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# --- any form, under any name ---------------------------------------------------------------------------------------

DOCUMENTS = {
    "lines": lines(*TWO),
    "lines with CRLF": lines(*TWO).replace(b"\n", b"\r\n"),
    "an array": json.dumps(TWO).encode(),
    "an array over lines": json.dumps(TWO, indent=1).encode(),
    "an array with NaN": b'[{"messages": [{"role": "user", "content": "a", "x": NaN},'
    b' {"role": "user", "content": "b"}]}, {"messages": [{"role": "user", "content": "c"}]} ]',
    "blank lines first": b"\n \n" + lines(*TWO),
}
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda content: content,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "UTF-16": lambda content: content.decode().encode("utf-16"),
    "UTF-16 in zstd": lambda content: zstandard.ZstdCompressor().compress(content.decode().encode("utf-16")),
}


@pytest.mark.parametrize("name", ["x", "x.jsonl", "x.json", "x.txt", "x.gz", "x.jsonl.zst"])
@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("document", DOCUMENTS)
def test_an_input_is_read_whatever_it_is_called(document: str, packing: str, name: str, tmp_path: Path) -> None:
    assert texts(written(tmp_path / name, PACKINGS[packing](DOCUMENTS[document]))) == [["a", "b"], ["c"]]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=8), min_size=1, max_size=4), st.sampled_from(sorted(PACKINGS)), st.booleans())
def test_every_text_comes_through(said: list[str], packing: str, is_escaped: bool) -> None:
    content = json.dumps([chat(text) for text in said], ensure_ascii=is_escaped).encode(errors="surrogatepass")
    if not is_escaped and any("\ud800" <= char <= "\udfff" for text in said for char in text):
        return  # no UTF-8
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"hubwire-{os.getpid()}.json"  # noqa: S108 - a name of our own
    try:
        assert texts(written(path, PACKINGS[packing](content))) == [[text] for text in said]
    finally:
        path.unlink()


# --- JSON that parsers take differently -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 2}', "has the key 'a' twice in one object, and only one of the values could be kept"),
        ('[{"b": {"c": 1, "c": 1}}]', "has the key 'c' twice"),
        ("1" * 4301, "has a whole number of 4,301 digits, and 4,300 can be read"),
        ("[" * 100_000, "is not JSON: it is nested too deep"),
        ('{"a":' * 100_000, "is not JSON: it is nested too deep"),
        ('{"a": }', "is not JSON: expecting value at character 6"),
        ("[1] 2", "is not JSON: extra data at character 4"),
        ("", "is not JSON: expecting value at character 0"),
        ("1e" + "9" * 30, "has the number 1e999999999999999999999999999999, which is beyond all that can be read"),
    ],
    ids=["a key twice", "a key twice inside", "digits", "arrays", "objects", "no value", "more", "empty", "exponent"],
)
def test_what_would_be_lost_is_refused(text: str, reason: str) -> None:
    with pytest.raises(NotJson, match=re.escape(reason)):
        parse_json(text)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(NotJson, match="is not JSON: byte 1 is not UTF-8"):
        parse_json(b'"\xff"')


@pytest.mark.parametrize(
    "number",
    ["0.1", "-0.0", "1e3", "1e400", "0.30000000000000004", "0.1000000000000000055511151231257827", "1E-400", "12"],
)
def test_numbers_stay_what_they_are(number: str) -> None:
    """One that a float cannot hold stays a decimal, with all of its digits."""
    value = parse_json(number)
    assert float(number) == float(value)
    assert str(value) == number or float(str(value)) == float(number)
    if number.startswith("0.1000"):
        assert str(value) == number
    if number in ("1e400", "1E-400"):
        assert str(value) == number.replace("e4", "E+4")


def test_values_that_differ_have_different_identities() -> None:
    values = ["NaN", "null", "1", "1.0", '"1"', "[]", "{}", '""', '"\\ud800"', '"\\ufffd"', "1e400", '"1E+400"', "true"]
    assert len({encoded(parse_json(value)) for value in values}) == len(values)


# --- hostile inputs -------------------------------------------------------------------------------------------------

CUT = zstandard.ZstdCompressor().compress(lines(*TWO) * 99)
UNREADABLE = {
    "gzip cut off": (gzip.compress(lines(*TWO) * 99)[:60], "x is damaged or cut off"),
    "gzip with a wrong checksum": (gzip.compress(lines(*TWO))[:-8] + b"\0" * 8, "x is damaged or cut off"),
    "zstd cut off": (CUT[:-3], "x is damaged or cut off: its last frame has no end"),
    "zstd damaged": (CUT[:9] + b"\xff\xff" + CUT[11:], "x is damaged or cut off"),
    "UTF-16 cut off": (lines(*TWO).decode().encode("utf-16")[:-1], "x is damaged or cut off: it begins as utf-16"),
    "UTF-16 with half a character": (b"\xff\xfe\x00\xd8a\x00", "x is damaged or cut off: it begins as utf-16"),
    "a zip archive": (b"PK\x03\x04rest", "x is no text but a zip archive: unpack it"),
    "a Parquet file": (b"PAR1rest", "x is no text but a Parquet file: write it as JSON Lines"),
    "a picture": (b"\x89PNG\r\n", "x is no text but a picture"),
    "SQLite without a store": (b"SQLite format 3\0rest", "x is no text but an SQLite database"),
    "an array cut off": (b'[{"messages": [', "x is not a JSON document"),
    "an array with more behind it": (b'[{"messages": [], "x": NaN}] rest', "x is not a JSON document"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_damaged_input_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    content, reason = UNREADABLE[name]
    with pytest.raises(InputUnreadable, match=re.escape(reason)) as refusal:
        texts(written(tmp_path / "x", content))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "content", [random.Random(1).randbytes(4096), b"\0" * 4096, b"hello\n", b"\xff" * 10], ids=count()
)
def test_what_is_no_json_has_no_format(content: bytes, tmp_path: Path) -> None:
    with open_source(str(written(tmp_path / "x", content)), "auto") as source, pytest.raises(NotRecognised) as refusal:
        recognise(source, Options())
    assert "x has none of the formats that are known (item 1 is not JSON" in str(refusal.value)
    assert "--format" in str(refusal.value)


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"[]", b" [ ] ", b"\xef\xbb\xbf", b"\xff\xfe", gzip.compress(b"")], ids=count()
)
def test_an_empty_input_has_no_items(content: bytes, tmp_path: Path) -> None:
    with open_source(str(written(tmp_path / "x", content)), "auto") as source:
        assert recognise(source, Options()) is None


def test_a_directory_is_refused_unless_it_is_a_store(tmp_path: Path) -> None:
    with pytest.raises(InputUnreadable, match="is a directory; name a file in it"), open_source(str(tmp_path), "auto"):
        pass


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero"])
def test_a_device_is_refused(path: str) -> None:
    with pytest.raises(InputUnreadable, match="is a device, which may have no end"), open_source(path, "auto"):
        pass


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(InputUnreadable, match="cannot be read"), open_source("a\0b", "auto"):
        pass


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    """It is copied, because an import reads its input twice."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(gzip.compress(lines(*TWO)),))
    writer.start()
    assert texts(path) == [["a", "b"], ["c"]]
    writer.join()


def test_a_message_that_is_longer_than_an_event_is_refused(tmp_path: Path) -> None:
    long = chat("x" * (9 << 20))
    path = written(tmp_path / "x", lines(long))
    with pytest.raises(BadItem, match="message 0 is longer than an event may be"):
        texts(path)


def test_a_conversation_may_be_longer_than_an_event(tmp_path: Path) -> None:
    path = written(tmp_path / "x", lines(chat(*["x" * (1 << 20)] * 40)))
    assert [len(each) for each in texts(path)] == [40]


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed, a few bytes may be endless: no more than the bound is read of them."""
    monkeypatch.setattr("hubwire.cli.importing.reading._ITEM_BYTES_MAX", 1 << 20)
    path = written(tmp_path / "x", gzip.compress(b'{"messages": "' + b"x" * (4 << 20)))
    with pytest.raises(InputUnreadable, match=r"line 1 has more than 1,048,576 bytes, the most that is read"):
        texts(path)


def test_an_input_of_another_program_is_never_opened_as_a_store(tmp_path: Path) -> None:
    """A database without the table of a store of AG2 is no store."""
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t (a)")
    with pytest.raises(InputUnreadable, match="an SQLite database"), open_source(str(path), "auto"):
        pass


def test_an_item_is_refused_and_never_crashes_an_import() -> None:
    """Any JSON value is a conversation of a format, or refused with words."""

    @settings(max_examples=300, deadline=None)
    @given(st.sampled_from(sorted(FORMATS)), VALUES)
    def check(name: str, value: Any) -> None:
        for each in FORMATS.values():
            each.recognises(value, Options())
            each.recognises({"messages": [value], "contents": [value], "conversations": [value]}, Options())
        with contextlib.suppress(BadItem):
            parse(FORMATS[name], Item(0, "item 1", json.dumps(value).encode()))

    check()


WORDS = st.sampled_from(
    [
        "role",
        "content",
        "user",
        "assistant",
        "tool",
        "type",
        "text",
        "tool_calls",
        "id",
        "name",
        "function",
        "arguments",
        "messages",
        "contents",
        "parts",
        "from",
        "value",
        "conversations",
        "human",
        "gpt",
        "lc",
        "kwargs",
        "data",
        "input",
        "output",
        "call_id",
        "message",
        "tool_use",
        "tool_result",
        "request",
        "response",
        "candidates",
        "resourceSpans",
        "scopeSpans",
        "spans",
        "attributes",
        "key",
        "stringValue",
        "kind",
        "at",
        "agent_registered",
        "path",
        "wal",
        "metadata",
        "names",
        "channel",
        "record",
        "system",
        "tool_call_ids",
        "tool_call_id",
        "function_call",
        "functionCall",
        "functionResponse",
        "reasoning",
    ]
)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters(exclude_categories=()), max_size=4),
        WORDS,
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(WORDS, st.text(max_size=3)), inner, max_size=4)
    ),
    max_leaves=14,
)


@pytest.mark.slow
def test_the_command_says_what_it_recognised(tmp_path: Path) -> None:
    path = written(tmp_path / "talk", lines(*TWO))
    command = [sys.executable, "-P", "-m", "hubwire", "import", str(path), "--store", str(tmp_path / "s")]
    run = subprocess.run(command, capture_output=True, check=True, text=True)
    assert run.stderr == "talk is openai-chat: messages with roles\n"
    assert run.stdout.startswith("2 channels, 3 envelopes,")
