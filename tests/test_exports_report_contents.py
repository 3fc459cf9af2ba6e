"""Erasable contents and cosignatures in reports, in a real browser: shown, and held against what was signed."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from test_cli_read import hubwire
from test_exports_report_signed import blockbuster, browser, in_thread, looks, reader, with_about

from hubwire.listeners.audit import AuditLog
from hubwire.proof import Checkpoint, KeySigner, Note, WitnessKey, WitnessPolicy, WitnessRequest
from hubwire.stores import FileStore
from support.reports import Reader, tampered

pytest.importorskip("cryptography")

__all__ = ("blockbuster", "browser", "reader")

pytestmark = pytest.mark.slow

KEY = KeySigner.new("example.org/hub/audit")
WITNESS, OTHER = WitnessKey.new("witness.example.org/w1"), WitnessKey.new("witness.example.org/w2")
SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"
SAID = "the patient has a cold <b>⟨&\u2028"


class Cosigner:
    name = "w1"
    vkey = WITNESS.vkey

    async def witness(self, request: WitnessRequest) -> Any:
        return WITNESS.cosign(request.checkpoint.text, 1_900_000_000)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed log of which contents are there, erased, and long; a witness has seen all but its end."""
    path = tmp_path_factory.mktemp("store")

    async def make() -> None:
        opened = FileStore(path)
        erasable = ["content", "data.street"]
        policy = WitnessPolicy([Cosigner()], interval_seconds=0.0)
        audit = AuditLog(opened, signer=KEY, erasable=erasable, redactor=None, witnesses=policy)
        for number in range(6):
            data = {"street": f"{number} High St", "ward": "north"}
            await audit.append({"kind": "note.taken", "content": f"{SAID} {number}", "data": data})
        await audit.append(
            {"kind": "note.taken", "content": "x" * 70_000, "data": {"street": "long", "filling": "y" * 70_000}}
        )
        await audit.append({"kind": "note.taken", "content": {"text": SECRET}})
        await audit.erase(records=2, by="dpo-4", basis="GDPR art. 17")
        await audit.witnessed()
        await audit.aclose()
        audit = AuditLog(opened, signer=KEY, erasable=erasable)
        await audit.append({"kind": "note.taken", "content": "late"})
        await audit.aclose()
        await opened.aclose()

    in_thread(make)
    return path


def made(store: Path, folder: Path, *words: str) -> bytes:
    file = folder / "made.html"
    arguments: tuple[str | Path, ...] = ("report", store, "-o", file, "--force", "--vkey", str(KEY.vkey), *words)
    with ThreadPoolExecutor(1) as thread:  # in this one the loop of the browser's driver runs
        run = thread.submit(hubwire, *arguments).result()
    assert run.returncode == 0, run.stderr
    return file.read_bytes()


def details(reader: Reader, place: int) -> str:
    reader.page.evaluate(f"location.hash = '#record-{place}'")
    reader.page.wait_for_selector(".drawer:not([hidden])")
    text: str = reader.page.inner_text(".drawer")
    return text


def change_contents(row: bytes, change: Any) -> bytes:
    """Change what a report has of the contents of a record."""
    parts = row.split(b"\t")
    contents = json.loads(parts[5])
    change(contents)
    return b"\t".join([*parts[:5], json.dumps(contents).encode()])


def with_odd(odd: bytes, rows: list[bytes]) -> list[bytes]:
    """Give a row contents that no report has."""
    return [*rows[:1], b"\t".join([*rows[1].split(b"\t")[:5], odd]), *rows[2:]]


# --- contents --------------------------------------------------------------------------------------------------------


def test_contents_are_shown_and_held_against_their_commitments(reader: Reader, store: Path, tmp_path: Path) -> None:
    reader.open(made(store, tmp_path, "--raw"))
    assert "16 erasable contents: " in reader.fact("contents")
    assert "14 here, and what the record committed to" in reader.fact("contents")
    assert "2 erased" in reader.fact("contents")
    assert "hold" in reader.fact("integrity")
    first = details(reader, 1)
    assert "content: here, and what the record committed to" in first
    assert "data.street: here, and what the record committed to" in first
    assert "the patient has a cold <b>⟨&" in first
    assert "$c" not in first
    gone = details(reader, 2)
    assert "content: erased" in gone
    assert " by dpo-4: GDPR art. 17⟩" in gone
    long = details(reader, 7)
    assert "data.street: here, and what the record committed to" in long
    assert "in the tree that was signed, at its place" in long


def test_a_content_that_was_changed_in_the_file_is_red(reader: Reader, store: Path, tmp_path: Path) -> None:
    content = made(store, tmp_path, "--raw")

    def harm(what: str) -> bytes:
        def change(contents: Any) -> None:
            if what == "text":
                contents["content"]["content"] = '"the patient is well"'
            elif what == "salt":
                contents["content"]["salt"] = base64.b64encode(bytes(32)).decode()
            elif what == "other":
                contents["content"] = contents["data.street"]
            else:
                contents["content"] = {"salt": "%", "content": "{"}

        return tampered(
            content, lambda rows: [change_contents(row, change) if n == 1 else row for n, row in enumerate(rows)]
        )

    for what in ("text", "salt", "other", "odd"):
        reader.open(harm(what))
        assert "1 not what the record committed to" in reader.fact("contents"), what
        assert "1 record is not what the chain says" in reader.fact("integrity"), what
        assert "content: not what the record committed to" in details(reader, 1), what


def test_a_content_that_is_redacted_for_a_report_comes_without_its_salt(
    reader: Reader, store: Path, tmp_path: Path
) -> None:
    content = made(store, tmp_path)
    page = reader.open(content)
    assert "7 redacted for this report: cannot be computed" in reader.fact("contents")
    assert "For this report, 7 records were changed" in reader.fact("redaction")
    shown = details(reader, 8)
    assert "content: redacted for this report" in shown
    assert SECRET not in page.content()
    assert "data.street: redacted for this report" in details(reader, 1)
    assert "holds: its chain value was computed again" in details(reader, 1), "a commitment says nothing"


def test_odd_contents_of_a_file_never_leave_their_place(reader: Reader, store: Path, tmp_path: Path) -> None:
    """A key that all objects have, a list, a number: the page says what is wrong, and works."""
    content = made(store, tmp_path)
    for odd in (b"[]", b"7", b"{", b'{"content":7}', b'{"__proto__":{"gone":"erased"},"content":{"gone":"toString"}}'):
        changed = tampered(content, partial(with_odd, odd))
        page = reader.open(changed)
        assert page.evaluate("({}).gone") is None
        details(reader, 1)


# --- witnesses -------------------------------------------------------------------------------------------------------


def test_cosignatures_are_checked_by_the_keys_in_the_file(reader: Reader, store: Path, tmp_path: Path) -> None:
    reader.open(made(store, tmp_path, "--witness", str(WITNESS.vkey), "--witness", str(OTHER.vkey)))
    found = looks(reader)
    assert (found["witness-0"], found["witness-1"]) == ("good", "odd")
    said = reader.page.inner_text("#step-witness-0")
    assert "has seen 10 records at 2030-03-17T17:46:40Z, by the key of it in this file" in said
    assert "whether the owner of the key wrote the records from 10 on anew" in reader.fact("signer")
    assert "wrote it all anew" not in reader.fact("signer")


def test_without_keys_it_says_who_is_said_to_have_seen_it(reader: Reader, store: Path, tmp_path: Path) -> None:
    reader.open(made(store, tmp_path))
    assert looks(reader)["witnesses"] == "odd"
    assert f"{WITNESS.vkey.name}+" in reader.page.inner_text("#step-witnesses")
    reader.page.fill("#own-key", str(WITNESS.vkey))
    reader.page.keyboard.press("Enter")
    reader.page.wait_for_selector("#step-witness-0.good")
    assert "by the key that you gave" in reader.page.inner_text("#step-witness-0")
    assert looks(reader)["signature"] == "good"
    assert "witnesses" not in looks(reader)


def test_a_witness_that_has_seen_another_log_makes_it_red(reader: Reader, store: Path, tmp_path: Path) -> None:
    content = made(store, tmp_path, "--witness", str(WITNESS.vkey))

    def another(signed: dict[str, Any]) -> None:
        text = Checkpoint(KEY.vkey.name, 9, bytes(32)).text
        signed["witnessed"] = str(Note(text, (KEY.signature(text.encode()), WITNESS.cosign(text, 1_900_000_000))))

    def forged(signed: dict[str, Any]) -> None:
        note = Note.parse(signed["witnessed"])
        thief = WitnessKey.new(WITNESS.vkey.name).cosign(note.text, 1_900_000_000)
        false = thief.__class__(thief.name, WITNESS.vkey.id, thief.signature)
        signed["witnessed"] = str(Note(note.text, (*note.signatures[:1], false)))

    def later(signed: dict[str, Any]) -> None:
        note = Note.parse(signed["witnessed"])
        (own,) = [each for each in note.signatures if each.key_id == WITNESS.vkey.id]
        moved = own.__class__(own.name, own.key_id, (1_800_000_000).to_bytes(8, "big") + own.signature[8:])
        signed["witnessed"] = str(Note(note.text, (*note.signatures[:1], moved)))

    reader.open(with_about(content, another))
    assert looks(reader)["witness-0"] == "bad"
    assert "A witness has seen other records of this log" in reader.fact("signer")
    for change in (forged, later):
        reader.open(with_about(content, change))
        assert looks(reader)["witness-0"] == "bad"
        assert "does not hold" in reader.page.inner_text("#step-witness-0")


def test_of_a_selection_it_is_said_what_cannot_be_computed(reader: Reader, store: Path, tmp_path: Path) -> None:
    reader.open(made(store, tmp_path, "--kind", "note.taken", "--witness", str(WITNESS.vkey)))
    assert looks(reader)["witness-0"] == "odd"
    assert "cannot be computed from what is in this file" in reader.page.inner_text("#step-witness-0")
    assert looks(reader)["tree"] == "good"
