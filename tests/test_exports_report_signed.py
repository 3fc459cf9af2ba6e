"""Reports of signed logs in a real browser: what it checks of signature and tree, and what is red after a change."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import pytest

from hubwire.exports import ExportRecord, Report, export_now
from hubwire.listeners.audit import AuditLog, Retention, prove, signed_part
from hubwire.log import LogReader, Record
from hubwire.proof import Checkpoint, InclusionProof, KeySigner, Note, SignedPart, handover_line, leaf_hash
from hubwire.stores import MemoryStore
from support.reports import BLOCK, Reader, opened_browser, tampered

pytest.importorskip("cryptography")

NAME = "example.org/hub/audit"
SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"


@attrs.frozen
class Signed:
    """A signed log, as its report is made of it."""

    records: list[Record]
    key: KeySigner
    store: MemoryStore
    notes: list[str]
    """The checkpoints, oldest first."""

    def part(self, shown: Any = None, **options: Any) -> SignedPart:
        numbers = [record.index for record in self.records] if shown is None else shown
        made: SignedPart = in_thread(lambda: signed_part(self.store, numbers, **options))
        assert made is not None
        return made


def in_thread(function: Callable[[], Any]) -> Any:
    """Run a coroutine beside the loop of the browser's driver."""

    async def run() -> Any:
        return await function()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(run())).result()


async def signed_log(count: int, *, secret: int | None = None, unsigned: int = 0) -> Signed:
    store, key = MemoryStore(), KeySigner.new(NAME)
    audit = AuditLog(store, signer=key, redactor=None, checkpoint_seconds=3600)
    notes, step = [], min(count // 2, 1000)
    for begin, end in [(at, min(at + step, count)) for at in range(0, count, step)]:
        await audit.append_many(
            [
                {"kind": "user.said", "text": f"word{number} {SECRET if number == secret else ''}"}
                for number in range(begin, end)
            ]
        )
        notes.append(str(await audit.checkpoint()))
    if unsigned:
        await audit.append_many([{"kind": "user.said", "text": "late"} for _ in range(unsigned)])
    records: list[Record] = []
    reader = LogReader(store, "/audit")
    while found := await reader.read():
        records += found
    return Signed(records, key, store, notes)


@pytest.fixture(scope="module")
def log() -> Signed:
    made: Signed = in_thread(lambda: signed_log(100))
    return made


@pytest.fixture(autouse=True)
def blockbuster() -> None:
    """The one loop of these tests is that of the browser's driver, for which they wait."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from opened_browser()


@pytest.fixture
def reader(browser: Any, tmp_path: Path) -> Iterator[Reader]:
    made = Reader(browser, tmp_path)
    yield made
    made.context.close()
    assert made.trouble == []


def report(records: list[Any], part: SignedPart, *, redactor: Any = None, **options: Any) -> bytes:
    return b"".join(export_now(records, Report("A log", signed=part, **options), redactor=redactor))


def chosen(log: Signed, numbers: list[int]) -> list[ExportRecord]:
    return [
        ExportRecord(log.records[at].line, at, previous=(log.records[at - 1].chain or b"").decode() if at else "")
        for at in numbers
    ]


def with_about(content: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """Return a report whose signed part was changed after it was made."""

    def changed(match: re.Match[bytes]) -> bytes:
        about = json.loads(match[1])
        change(about["signed"])
        return b'<script type="application/json" id="about">%b</script>' % json.dumps(about).encode().replace(
            b"<", b"\\u003c"
        )

    return re.sub(rb'<script type="application/json" id="about">(.*)</script>', changed, content)


def flipped(text: str, at: int) -> str:
    """Return base64 in which one character stands for another bit."""
    return text[:at] + ("B" if text[at] == "A" else "A") + text[at + 1 :]


pytestmark = pytest.mark.slow


def looks(reader: Reader) -> dict[str, str]:
    """Return the look of each step: good, odd or bad."""
    found: dict[str, str] = reader.page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('.step')].map((e) => [e.id.slice(5), e.className.slice(5)]))"
    )
    return found


# --- what holds ------------------------------------------------------------------------------------------------------


def test_the_browser_checks_signature_and_tree(reader: Reader, log: Signed) -> None:
    page = reader.open(report(log.records, log.part(vkey=log.key.vkey)))
    assert f"Signed: {len(log.records)} records, by the key in this file" in reader.fact("signer")
    assert looks(reader) == {"signature": "good", "tree": "good", "key": "odd"}
    checkpoint = Checkpoint.parse(log.part().note.text)
    assert page.inner_text("#root") == base64.b64encode(checkpoint.root).decode()
    assert page.inner_text("#vkey") == str(log.key.vkey)
    assert "whether the owner of the key wrote it all anew" in reader.fact("signer")


def test_a_key_of_the_reader_is_compared(reader: Reader, log: Signed) -> None:
    page = reader.open(report(log.records, log.part()))
    assert "To be checked by you" in reader.fact("signer")
    assert looks(reader) == {"signature": "odd", "tree": "good", "key": "odd"}
    page.fill("#own-key", str(log.key.vkey)[:-4])
    page.click("#signer .compare button")
    page.wait_for_selector("#signer-answer:not(:empty)")
    assert "no verifier key" in page.inner_text("#signer-answer")
    page.fill("#own-key", f" {log.key.vkey}\n")
    page.keyboard.press("Enter")
    page.wait_for_selector("#step-key.good")
    assert "by the key that you gave" in reader.fact("signer")
    page.fill("#own-key", str(KeySigner.new(NAME).vkey))
    page.keyboard.press("Enter")
    page.wait_for_selector("#step-signature.bad")
    assert "Not signed by the key that you gave" in reader.fact("signer")
    assert looks(reader)["tree"] == "good"


@pytest.mark.parametrize("numbers", [[0], [101], [3, 4, 5, 64, 101], [7, 50]], ids=str)
def test_a_selection_is_shown_to_be_in_the_log(reader: Reader, log: Signed, numbers: list[int]) -> None:
    part = log.part(numbers, vkey=log.key.vkey)
    content = report(chosen(log, numbers), part, selection="some")
    assert b"word31" not in gzip.decompress(base64.b64decode(BLOCK.findall(content)[0]))
    reader.open(content)
    assert looks(reader) == {"signature": "good", "tree": "good", "key": "odd"}
    assert f"the text of {len(log.records) - len(numbers)} records of the log: not in this file" in reader.fact(
        "signer"
    )


def test_a_redacted_record_is_shown_by_its_place(reader: Reader) -> None:
    log: Signed = in_thread(lambda: signed_log(40, secret=7))
    page = reader.open(report(log.records, log.part(vkey=log.key.vkey), redactor="default"))
    assert looks(reader)["tree"] == "good"
    assert SECRET not in page.content()
    assert "the text of 1 record that was redacted for this file" in reader.fact("signer")
    reader.view("records")
    page.select_option("select >> nth=0", "?redacted")
    page.locator(".row").first.click()
    assert "its text was redacted" in page.inner_text(".drawer")


def test_a_forged_text_that_is_called_redacted_is_not_called_shown(reader: Reader, log: Signed) -> None:
    """Whoever forges a file can say so of any record: then its place alone is shown, and the page counts that."""
    content = report(log.records, log.part(vkey=log.key.vkey))

    def forge(rows: list[bytes]) -> list[bytes]:
        index, _, previous, line = rows[77].split(b"\t")
        flags = b"r" + base64.b64encode(leaf_hash(line))
        return [*rows[:77], b"\t".join([index, flags, previous, line.replace(b"word", b"sword")]), *rows[78:]]

    reader.open(tampered(content, forge))
    assert "the text of 1 record that was redacted for this file: only the place is shown" in reader.fact("signer")
    assert "cannot be held against the chain" in reader.fact("integrity")


def test_what_came_after_the_checkpoint_is_not_called_signed(reader: Reader) -> None:
    log: Signed = in_thread(lambda: signed_log(40, unsigned=5))
    page = reader.open(report(log.records, log.part(vkey=log.key.vkey)))
    late = len(log.records) - Checkpoint.parse(Note.parse(log.notes[-1]).text).size
    assert f"Signed: {len(log.records) - late} of {len(log.records)} records" in reader.fact("signer")
    assert f"{late} records that came after the checkpoint" in reader.fact("signer")
    reader.view("records")
    page.fill(".search", "late")
    page.locator(".row").last.click()
    assert "not signed yet" in page.inner_text(".drawer")


def test_a_pruned_log_is_shown_by_the_hashes_that_it_keeps(reader: Reader) -> None:
    async def pruned() -> Signed:
        store, key = MemoryStore(), KeySigner.new(NAME)
        async with AuditLog(store, signer=key, rotation=2000, retention=Retention(segments_max=2)) as audit:
            for number in range(100):
                await audit.append({"kind": "user.said", "text": f"word{number}"})
            await audit.prune()
        records: list[Record] = []
        reader = LogReader(store, "/audit")
        while found := await reader.read():
            records += found
        return Signed(records, key, store, [])

    log: Signed = in_thread(pruned)
    assert log.records[0].index > 20
    reader.open(report(log.records, log.part(vkey=log.key.vkey)))
    assert looks(reader)["tree"] == "good"
    assert "hashes of others" in reader.fact("signer")


def test_a_key_that_was_handed_over_is_followed(reader: Reader) -> None:
    first, second = KeySigner.new(NAME), KeySigner.new(NAME)

    async def rotated() -> Signed:
        store = MemoryStore()
        async with AuditLog(store, signer=first) as audit:
            await audit.append({"kind": "user.said", "text": "before"})
            await audit.rotate_key(second)
            await audit.append({"kind": "user.said", "text": "after"})
        return Signed(await LogReader(store, "/audit").read(), second, store, [])

    log: Signed = in_thread(rotated)
    content = report(log.records, log.part(vkey=first.vkey))
    reader.open(content)
    assert f"to which {first.vkey.id.hex()} handed over" in reader.fact("signer")
    assert looks(reader)["signature"] == "good"
    reader.open(with_about(content, lambda signed: signed["handovers"].clear()))
    assert looks(reader)["signature"] == "bad"


def test_a_key_that_hands_over_to_itself_is_not_followed(reader: Reader, log: Signed) -> None:
    """A forger signs a hand-over from the true key to its own, with its own; the true key has not."""
    forger = KeySigner.new(NAME)
    checkpoint = Checkpoint.parse(log.part().note.text)
    text = attrs.evolve(checkpoint, extensions=(handover_line(forger.vkey),)).text
    handover = Note(text, (forger.signature(text.encode()),))
    signed = Note(checkpoint.text, (forger.signature(checkpoint.text.encode()),))
    part = SignedPart(signed, log.part().hashes, (handover,), log.key.vkey)
    reader.open(report(log.records, part))
    assert looks(reader)["signature"] == "bad"
    both = Note(text, (log.key.signature(text.encode()), forger.signature(text.encode())))
    reader.open(report(log.records, attrs.evolve(part, handovers=(both,))))
    assert looks(reader)["signature"] == "good"


def test_the_proof_of_a_record_can_be_saved_and_holds(reader: Reader, log: Signed) -> None:
    """The package itself checks what the page has made."""
    page = reader.open(report(chosen(log, [3, 64]), log.part([3, 64]), selection="some"))
    reader.view("records")
    page.locator(".row").last.click()
    with page.expect_download() as download:
        page.click(".drawer button:has-text('Save its proof')")
    assert download.value.suggested_filename == "64.tlog-proof"
    text = Path(download.value.path()).read_text()
    assert text == str(in_thread(lambda: prove(log.store, 64)))
    assert InclusionProof.parse(text).verify(log.records[64].line, log.key.vkey).size == len(log.records)


def test_what_a_reader_keeps_is_compared(reader: Reader, log: Signed) -> None:
    page = reader.open(report(log.records, log.part(vkey=log.key.vkey)))
    proof = str(in_thread(lambda: prove(log.store, 9)))
    other: Signed = in_thread(lambda: signed_log(100))
    foreign = KeySigner.new(NAME)
    forged = Checkpoint(NAME, 20, b"x" * 32).text
    for content, answer in (
        (log.notes[0], "are those of the checkpoint that you keep. It is signed by"),
        (log.notes[1], "are those of the checkpoint that you keep"),
        (other.notes[0], "Its signature is not one of that key"),
        (f"{forged}\n{log.key.signature(forged.encode())}", "Another log, or a changed one"),
        (f"{forged}\n{foreign.signature(forged.encode())}", "Its signature is not one of that key"),
        (proof, "The proof holds, and record 9 in this file is the same, to the byte"),
        (proof.replace("index 9", "index 8"), "The proof does not hold"),
        (str(in_thread(lambda: prove(other.store, 9))), "Its signature is not one of that key"),
        ("hello", "It is no signed note"),
        ("c2sp.org/tlog-proof@v1\nindex x\n\n", "It is no proof"),
    ):
        page.set_input_files("#own-file", {"name": "kept", "mimeType": "text/plain", "buffer": content.encode()})
        page.wait_for_function("(t) => document.querySelector('#signer-answer').textContent.includes(t)", arg=answer)


# --- what does not ---------------------------------------------------------------------------------------------------


def test_a_changed_record_is_red(reader: Reader, log: Signed) -> None:
    content = report(log.records, log.part(vkey=log.key.vkey))
    page = reader.open(tampered(content, lambda rows: [row.replace(b"word77", b"word78") for row in rows]))
    assert "These are not the records that were signed" in reader.fact("signer")
    assert looks(reader) == {"signature": "good", "tree": "bad", "key": "odd"}
    page.click("#step-tree .link")
    assert "word78" in page.inner_text(".drawer")
    assert "is not what its chain value stands for" in page.inner_text(".drawer")
    assert "Save its proof" not in page.inner_text(".drawer")


def test_a_flipped_bit_of_the_signature_is_red(reader: Reader, log: Signed) -> None:
    def flip(signed: dict[str, Any]) -> None:
        body, _, last = signed["checkpoint"].rstrip("\n").rpartition(" ")
        signed["checkpoint"] = f"{body} {flipped(last, 40)}\n"

    reader.open(with_about(report(log.records, log.part(vkey=log.key.vkey)), flip))
    assert "The signature does not hold" in reader.fact("signer")
    assert looks(reader) == {"signature": "bad", "tree": "good", "key": "odd"}


def test_a_flipped_bit_of_a_hash_is_red(reader: Reader, log: Signed) -> None:
    content = report(chosen(log, [3, 64]), log.part([3, 64], vkey=log.key.vkey), selection="some")
    reader.open(with_about(content, lambda signed: signed.update(hashes=flipped(signed["hashes"], 99))))
    assert "These are not the records that were signed" in reader.fact("signer")
    assert looks(reader) == {"signature": "good", "tree": "bad", "key": "odd"}
    assert "a hash of records that are not here was changed" in reader.fact("signer")


def test_another_root_or_size_is_red(reader: Reader, log: Signed) -> None:
    content = report(log.records, log.part(vkey=log.key.vkey))

    def other_root(signed: dict[str, Any]) -> None:
        rows = signed["checkpoint"].split("\n")
        rows[2] = flipped(rows[2], 5)
        signed["checkpoint"] = "\n".join(rows)

    reader.open(with_about(content, other_root))
    assert looks(reader) == {"signature": "bad", "tree": "bad", "key": "odd"}
    for size in (len(log.records) - 1, len(log.records) + 1, 2**49):

        def other_size(signed: dict[str, Any], size: int = size) -> None:
            rows = signed["checkpoint"].split("\n")
            rows[1] = str(size)
            signed["checkpoint"] = "\n".join(rows)

        reader.open(with_about(content, other_size))
        assert looks(reader) == {"signature": "bad", "tree": "bad", "key": "odd"}


def test_a_foreign_key_is_red(reader: Reader, log: Signed) -> None:
    other = KeySigner.new(NAME)
    reader.open(report(log.records, log.part(vkey=other.vkey)))
    assert "Not signed by the key in this file" in reader.fact("signer")
    assert looks(reader) == {"signature": "bad", "tree": "good", "key": "odd"}


def test_a_log_that_was_written_anew_does_not_yield_the_root(reader: Reader, log: Signed) -> None:
    """Its chain holds, and the signature of the checkpoint, which is that of the log before."""
    other: Signed = in_thread(lambda: signed_log(100))
    reader.open(report(other.records, log.part(vkey=log.key.vkey)))
    assert "102 of 102" in reader.fact("integrity").replace(str(len(log.records)), "102")
    assert looks(reader) == {"signature": "good", "tree": "bad", "key": "odd"}
    assert "records were written anew" in reader.fact("signer")


@pytest.mark.parametrize(
    "change",
    [
        {"checkpoint": "hello"},
        {"checkpoint": "<b>\n5\nAAAA\n\n— x y\n"},
        {"vkey": "<img src=x onerror=alert(1)>+00000000+AAAA"},
        {"handovers": ["x"]},
        {"hashes": "AAAA"},
    ],
    ids=str,
)
def test_a_damaged_part_is_red_and_the_rest_is_shown(reader: Reader, log: Signed, change: dict[str, Any]) -> None:
    page = reader.open(
        with_about(report(log.records, log.part(vkey=log.key.vkey)), lambda signed: signed.update(change))
    )
    assert page.get_attribute("html", "data-signed") == "bad"
    assert "records hold" in reader.fact("integrity")
    assert page.locator("#signer img").count() == 0


def test_a_browser_without_ed25519_says_so(reader: Reader, log: Signed) -> None:
    reader.page.add_init_script(
        "const real = SubtleCrypto.prototype.importKey;"
        "SubtleCrypto.prototype.importKey = function (form, key, what, ...rest) {"
        " return what.name === 'Ed25519' ? Promise.reject(new DOMException('no', 'NotSupportedError'))"
        " : real.call(this, form, key, what, ...rest) }"
    )
    reader.open(report(log.records, log.part(vkey=log.key.vkey)))
    assert "Not checked here: this browser does not know Ed25519" in reader.fact("signer")
    assert "hubwire verify --vkey" in reader.fact("signer")
    assert looks(reader) == {"signature": "odd", "tree": "good", "key": "odd"}


def test_an_unsigned_log_says_that_it_is(reader: Reader, log: Signed) -> None:
    reader.open(b"".join(export_now(log.records, Report("A log"), redactor=None)))
    assert "Not signed" in reader.fact("signer")


def test_ten_thousand_records_are_proved(reader: Reader) -> None:
    log: Signed = in_thread(lambda: signed_log(10_000))
    page = reader.open(report(log.records, log.part(vkey=log.key.vkey)))
    assert f"Signed: {len(log.records):,} records" in reader.fact("signer")
    reader.view("records")
    assert page.locator(".row").count() < 80
