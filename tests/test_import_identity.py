"""Identity is the item, not the file: what grew, was renamed or compressed brings only what is new."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from support.importing import chat, do_import, parts_of, records_of, topics_of

pytestmark = pytest.mark.slow  # each test runs hubs on disk

CALLS = {
    "messages": [
        {"role": "user", "content": "when?"},
        {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "find", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "09:30"},
    ],
    "info": {"seed": 7},
}


def lines(*items: Any) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


def write(path: Path, *items: Any) -> Path:
    path.write_bytes(lines(*items))
    return path


def opened(store: Path) -> list[dict[str, Any]]:
    return [record for record in records_of(store) if record.get("kind") == "channel.created"]


def test_a_file_that_grew_brings_its_new_items(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", chat("one", "two"), CALLS)
    assert do_import(file, tmp_path / "s")["there"] == 0
    write(file, chat("one", "two"), CALLS, chat("three"))
    accounts = do_import(file, tmp_path / "s")
    assert (accounts["parts"], accounts["there"]) == (11, 9)
    assert len(opened(tmp_path / "s")) == 3


FORMS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "renamed": ("b.jsonl", lambda content: content),
    "gzip": ("a.jsonl.gz", gzip.compress),
    "zstd": ("a.jsonl.zst", zstandard.ZstdCompressor().compress),
    "two frames": ("a", lambda content: b"".join(map(zstandard.ZstdCompressor().compress, (content[:9], content[9:])))),
    "UTF-16": ("a.txt", lambda content: content.decode().encode("utf-16")),
    "UTF-16 BE": ("a.txt", lambda content: b"\xfe\xff" + content.decode().encode("utf-16-be")),
    "UTF-32": ("a.txt", lambda content: content.decode().encode("utf-32")),
    "UTF-16, gzip": ("a.txt", lambda content: gzip.compress(content.decode().encode("utf-16"))),
    "UTF-8 with a mark": ("a.txt", lambda content: b"\xef\xbb\xbf" + content),
    "an array": ("a.json", lambda content: b"[" + b",\n ".join(content.splitlines()) + b"]"),
    "other spaces and order": (
        "a.jsonl",
        lambda content: b"\r\n".join(
            json.dumps(dict(reversed(json.loads(line).items())), indent=None, separators=(" , ", " : ")).encode()
            for line in content.splitlines()
        ),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_items_are_there_already_in_every_form(form: str, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", chat("één", "twee"), CALLS)
    do_import(file, tmp_path / "s")
    before = parts_of(tmp_path / "s")
    name, change = FORMS[form]
    other = tmp_path / "elsewhere" / name
    other.parent.mkdir()
    other.write_bytes(change(file.read_bytes()))
    accounts = do_import(other, tmp_path / "s")
    assert accounts["there"] == accounts["parts"] == 9
    assert parts_of(tmp_path / "s") == before


def test_equal_items_of_one_input_are_all_imported_once(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", *[chat("again")] * 3)
    do_import(file, tmp_path / "s")
    assert len(opened(tmp_path / "s")) == 3
    write(file, *[chat("again")] * 4)
    assert do_import(file, tmp_path / "s")["there"] == 6
    assert len(opened(tmp_path / "s")) == 4


def test_a_conversation_that_grew_goes_on_in_a_channel_of_its_own(tmp_path: Path) -> None:
    """The new channel names the one that it continues, and only what is new is said in it."""
    file, store = tmp_path / "chat.json", tmp_path / "s"
    file.write_text(json.dumps(chat("a", "b", state=1)))
    do_import(file, store)
    file.write_text(json.dumps(chat("a", "b", "c", "d", state=2)))
    accounts = do_import(file, store)
    assert (accounts["parts"], accounts["there"], accounts["grown"]) == (5, 2, 1)
    first, second = opened(store)
    assert second["labels"]["continues"] == first["channel_id"]
    assert (first["labels"]["state"], second["labels"]["state"]) == ("1", "2")
    assert [each["content"]["text"] for each in parts_of(store)] == ["a", "b", "c", "d"]
    again = do_import(file, store)
    assert (again["parts"], again["there"], again["grown"]) == (5, 5, 0)
    file.write_text(json.dumps(chat("a", "b", "c", "d", "e")))
    assert do_import(file, store)["grown"] == 1
    assert [each["content"]["text"] for each in parts_of(store)] == ["a", "b", "c", "d", "e"]


def test_lines_of_messages_are_one_conversation_that_grows(tmp_path: Path) -> None:
    file, store = tmp_path / "session.jsonl", tmp_path / "s"
    messages = chat("a", "b", "c")["messages"]
    file.write_bytes(lines(*messages[:2]))
    do_import(file, store)
    file.write_bytes(lines(*messages))
    assert do_import(file, store)["grown"] == 1
    assert topics_of(store) == {"#0 session.jsonl": ["a", "b", "c"]}


def test_beginnings_that_are_items_themselves_are_not_taken_for_older_versions(tmp_path: Path) -> None:
    """A data set may have a prompt and its completions side by side."""
    file, store = write(tmp_path / "a.jsonl", chat("p"), chat("p", "x"), chat("p", "y")), tmp_path / "s"
    assert do_import(file, store)["grown"] == 0
    assert len(parts_of(store)) == 5
    assert do_import(file, store)["there"] == 8


def test_a_beginning_from_another_input_is_not_continued(tmp_path: Path) -> None:
    do_import(write(tmp_path / "a.jsonl", chat("p")), tmp_path / "s")
    assert do_import(write(tmp_path / "b.jsonl", chat("p", "x")), tmp_path / "s")["grown"] == 0
    assert len(parts_of(tmp_path / "s")) == 3


def cut_journal_before(last: bytes, store: Path) -> None:
    """Make a store what it would be had its hub been killed just before a record, which has ``last`` in it."""
    (segment,) = (store / "journal" / "log").glob("*.jsonl")
    content = segment.read_bytes()
    segment.write_bytes(content[: content.rindex(b"\n", 0, content.index(last)) + 1])
    (store / "journal" / "clean").unlink()
    shutil.rmtree(store / "journal" / "beside")
    shutil.rmtree(store / "journal" / "snapshots", ignore_errors=True)
    shutil.rmtree(store / "audit")


@pytest.mark.parametrize("kind", ["conversation.imported", "envelope.posted", "tool.called", "tool.completed"])
def test_an_import_that_was_cut_short_goes_on(kind: str, tmp_path: Path) -> None:
    """It goes on with the next part of the conversation, whatever that is."""
    file, store = write(tmp_path / "a.jsonl", CALLS), tmp_path / "s"
    do_import(file, store)
    whole = [(each["kind"], each["source_id"]) for each in parts_of(store)]
    cut_journal_before(b'"kind":"%b"' % kind.encode(), store)
    accounts = do_import(file, store)
    assert accounts["there"] < accounts["parts"] == 6
    assert [(each["kind"], each["source_id"]) for each in parts_of(store)] == whole
    assert len(opened(store)) == 1
    assert do_import(file, store)["there"] == 6


def test_a_conversation_that_grew_while_its_import_was_cut_short_is_finished_first(tmp_path: Path) -> None:
    file, store = tmp_path / "chat.json", tmp_path / "s"
    file.write_text(json.dumps(chat("a", "b", "c")))
    do_import(file, store)
    cut_journal_before(b'"text":"b"', store)
    file.write_text(json.dumps(chat("a", "b", "c", "d")))
    assert do_import(file, store)["grown"] == 1
    assert [each["content"]["text"] for each in parts_of(store)] == ["a", "b", "c", "d"]
    first, second = opened(store)
    assert second["labels"]["continues"] == first["channel_id"]
    closed = [each["channel_id"] for each in records_of(store) if each.get("kind") == "channel.closed"]
    assert closed == [first["channel_id"], second["channel_id"]]
    assert do_import(file, store)["there"] == 5


def test_a_name_that_looks_like_a_person_is_known_again(tmp_path: Path) -> None:
    """The audit log does not show such a name."""
    file, store = tmp_path / "jane.doe@example.com.jsonl", tmp_path / "s"
    do_import(write(file, chat("a")), store)
    assert do_import(write(file, chat("a", "b")), store)["grown"] == 1


@pytest.mark.parametrize("messages", [1500])
def test_the_parts_of_a_long_conversation_are_in_their_order(messages: int, tmp_path: Path) -> None:
    """Many of them are on the way at once."""
    file = write(tmp_path / "long.jsonl", chat(*map(str, range(messages))))
    do_import(file, tmp_path / "s")
    assert topics_of(tmp_path / "s") == {"#0 long.jsonl": list(map(str, range(messages)))}


def test_the_syncs_of_an_import_do_not_grow_with_its_messages(tmp_path: Path) -> None:
    """Parts of a conversation share the appends of a wave: a message costs far less than one."""
    batches = []
    for count in (1000, 2000):
        file = write(tmp_path / f"{count}.jsonl", chat(*map(str, range(count))))
        do_import(file, tmp_path / str(count))
        (segment,) = (tmp_path / str(count) / "audit" / "log").glob("*.jsonl")
        # `d` tells how many records were durable when a record was written: it changes from append to append.
        batches.append(
            len({line.rpartition(b',"d":')[2].partition(b",")[0] for line in segment.read_bytes().splitlines()})
        )
    assert batches[1] <= 2.5 * batches[0]
    assert batches[1] < 200


def test_records_of_facts_are_known_one_by_one(tmp_path: Path) -> None:
    records = [
        {"at": f"2026-11-21T00:00:0{n}+00:00", "kind": "agent_registered", "agent_id": f"a{n}"} for n in range(3)
    ]
    file, store = write(tmp_path / "audit.jsonl", *records[:2]), tmp_path / "s"
    assert do_import(file, store)["there"] == 0
    write(file, *records, records[0])
    accounts = do_import(file, store)
    assert (accounts["parts"], accounts["there"]) == (4, 2)
    assert [each["agent_id"] for each in parts_of(store)] == ["a0", "a1", "a2", "a0"]
