"""What people read in the place of an erasable content that is not there: words, in lines and tables, not markers."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire._gone import in_words
from hubwire.cli import main
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import redacted_copy
from hubwire.stores import FileStore
from hubwire.words import Names, words_of
from support.erasable import SECRET

WHY = {"at": "2026-11-30T10:00:00.000Z", "by": "dpo-4", "basis": "GDPR art. 17", "record": 8}


def hubwire(*arguments: str | Path) -> tuple[int, str, str]:
    """Run the command within this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main([str(each) for each in arguments])
    assert isinstance(end.value.code, int)
    return end.value.code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a log in which was erased, and a copy of it from which the rest is withheld."""
    path = tmp_path_factory.mktemp("shown")

    async def write() -> None:
        store = FileStore(path / "store")
        audit = AuditLog(store, erasable={"note.*": ["content", "data.street"], "tool.called": ["arguments"]})
        for number in range(4):
            await audit.append(
                {
                    "kind": "note.taken",
                    "agent_id": f"agent-{number % 2}",
                    "content": {"text": f"{SECRET} {number}"},
                    "data": {"street": "1 High St", "ward": "north"},
                }
            )
        await audit.append(
            {"kind": "tool.called", "agent_id": "agent-1", "tool": "look", "arguments": {"name": SECRET}}
        )
        await audit.append({"kind": "envelope.posted", "agent_id": "agent-0", "content": {"text": "all is well"}})
        await audit.erase(agent="agent-1", by="dpo-4", basis="GDPR art. 17")
        await audit.aclose()
        await redacted_copy(store, FileStore(path / "copy"), by="dpo-4")
        await store.aclose()

    anyio.run(write)
    return path


@pytest.mark.parametrize("verb", [["tail", "-n", "all"], ["query"], ["query", "-o", "table"]])
def test_lines_and_tables_say_what_was_erased(log: Path, verb: list[str]) -> None:
    code, out, err = hubwire(*verb, log / "store")
    assert code == 0, err
    lines = [line for line in out.split("\n") if "agent-1" in line and ("note.taken" in line or "tool.called" in line)]
    assert len(lines) == 3
    for line in lines:
        assert " by dpo-4" in line or "table" in verb, line
        assert "⟨erased 20" in line
        assert "$erased" not in line
        assert '"$c"' not in line
    assert SECRET in out
    assert "$c" not in out


def test_lines_of_a_copy_say_what_is_withheld(log: Path) -> None:
    code, out, err = hubwire("tail", "-n", "all", log / "copy")
    assert code == 0, err
    assert out.count("⟨withheld from this copy⟩") == 4
    assert "$" not in out


def test_programs_are_given_the_record_as_before(log: Path) -> None:
    code, out, _ = hubwire("query", "-o", "jsonl", "--kind", "tool.called", log / "store")
    assert code == 0
    assert json.loads(out)["arguments"]["$erased"]["by"] == "dpo-4"
    code, out, _ = hubwire("query", "-o", "csv", "--kind", "tool.called", log / "store")
    assert "$erased" in out


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"$erased": WHY}, "⟨erased 2026-11-30 by dpo-4: GDPR art. 17⟩"),
        ({"$erased": {}}, "⟨erased⟩"),
        ({"$erased": {"at": 7, "by": None, "basis": ["x"]}}, "⟨erased⟩"),
        ({"$withheld": {}}, "⟨withheld from this copy⟩"),
        ({"$missing": {"len": 3}}, "⟨missing⟩"),
        ({"$altered": {"len": 3}}, "⟨altered: it is not what its record committed to⟩"),
        ({"$c": "x" * 44, "len": 1}, "⟨a content of 1 byte that is kept beside the log⟩"),
    ],
)
def test_each_mark_has_its_words(value: Any, words: str) -> None:
    assert in_words(value) == words
    assert in_words({"a": [value, {"b": value}]}) == {"a": [words, {"b": words}]}


@pytest.mark.parametrize(
    "value",
    [
        *(None, 1, "text", [], {}, {"a": 1}, {"$erased": "x"}, {"$erased": WHY, "more": 1}, {"$c": 1, "len": 2}),
        *({"$c": "x", "len": True}, {"$c": "x", "len": 1, "more": 2}, {"$redacted": {}}, [[[{"a": [1]}]]]),
    ],
    ids=range(13),
)
def test_what_is_no_mark_stays_the_same_object(value: Any) -> None:
    assert in_words(value) is value


def test_hostile_words_stay_in_their_line() -> None:
    """Signs that move a cursor are escaped, long words are cut, and depth is no matter."""
    fields = {"kind": "note.taken", "content": {"$erased": {"by": "\x1b[31m\n" + "x" * 5000, "basis": "\u202e"}}}
    words = words_of(fields, Names())
    assert "\x1b" not in words
    assert "\n" not in words
    assert len(words) <= 200
    deep: Any = {"$erased": WHY}
    for _ in range(400):
        deep = {"a": deep}
    in_words(deep)
    assert words_of({"kind": "x.y", "data": {"$c": "x", 1: 2}}, Names())


@pytest.mark.parametrize("place", ["-1", "index:-1"])
def test_the_last_record_is_shown_by_either_name(log: Path, place: str) -> None:
    code, out, err = hubwire("show", place, log / "store")
    assert code == 0, err
    assert json.loads(out)["kind"] == "record.erased"


@pytest.mark.parametrize("place", ["index:-0", "index:--1", "index:-99999", "index:x", "index:- 1"])
def test_a_place_that_is_none_is_refused_in_one_line(log: Path, place: str) -> None:
    code, out, err = hubwire("show", place, log / "store")
    assert code != 0
    assert out == ""
    assert err.count("\n") == 1
