"""Reports, opened in a real browser: what they compute, what they say, and that no text in them does a thing."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import html
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hubwire import codec
from hubwire.exports import ExportRecord, Report, export_now
from hubwire.log import Head, Record, chain_value
from support.exports import HOSTILE, make_log, read_log
from support.reports import BLOCK, Reader, opened_browser, tampered

SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"


def chained(number: int, make: Callable[[int], dict[str, Any]]) -> list[ExportRecord]:
    """Return the records of a log with a chain."""
    chain, records = b"", []
    for index in range(number):
        body = codec.encode_record(
            {"at": f"2026-01-01T10:{index // 60 % 60:02d}:{index % 60:02d}.000000Z", **make(index)}
        )
        chain = chain_value(chain, codec.seal(body, index))
        records.append(ExportRecord(codec.seal(body, index, chain), index))
    return records


def said(index: int) -> dict[str, Any]:
    return {"kind": "user.said", "seq": index, "text": f"word{index}", "agent_id": f"agent-{index % 3}"}


def report(records: list[Any], *, redactor: Any = None, **options: Any) -> bytes:
    return b"".join(export_now(records, Report("A log", **options), redactor=redactor))


@pytest.fixture(autouse=True)
def blockbuster() -> None:
    """The one loop of these tests is that of the browser's driver, for which they wait."""


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    async def make() -> list[Record]:
        store = await make_log(tmp_path_factory.mktemp("log"))
        try:
            return await read_log(store)
        finally:
            await store.aclose()

    with ThreadPoolExecutor(1) as thread:  # the driver of the browser has a loop in this one
        return thread.submit(asyncio.run, make()).result()


# --- the file -------------------------------------------------------------------------------------------------------


def test_no_text_of_a_record_stands_in_the_file(worked: list[Record]) -> None:
    """Records are Base64, names and titles are escaped: there is no markup but that of the page."""
    names = {text: text for text in HOSTILE}
    made = b"".join(export_now(worked, Report(HOSTILE[0], selection=HOSTILE[1], names=names)))
    for text in HOSTILE[:5]:
        assert text.encode() not in made
    assert made.lower().count(b"<script") == made.lower().count(b"</script") == len(BLOCK.findall(made)) + 2
    assert html.escape(HOSTILE[0]).encode() in made
    about = re.search(rb'<script type="application/json" id="about">(.*)</script>', made)
    assert about is not None
    assert json.loads(about[1])["names"] == names
    assert b"\xe2\x80\xa8" not in about[1]


def test_the_policy_names_the_program_and_the_style(worked: list[Record]) -> None:
    made = report(worked).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', made)
    program = re.search(r"<script>(.*?)</script>", made, re.DOTALL)
    style = re.search(r"<style>(.*?)</style>", made, re.DOTALL)
    assert policy
    assert program
    assert style
    for directive, source in (("script-src", program[1]), ("style-src", style[1])):
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy[1]
    assert policy[1].startswith("default-src 'none'; ")
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", made)


def test_a_file_holds_the_lines_of_the_log(worked: list[Record]) -> None:
    rows = [
        row.split(b"\t")
        for block in BLOCK.findall(report(worked))
        for row in gzip.decompress(base64.b64decode(block)).removesuffix(b"\n").split(b"\n")
    ]
    assert [row[3] for row in rows] == [record.line for record in worked]
    assert [int(row[0]) for row in rows] == [record.index for record in worked]


# --- in a browser ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from opened_browser()


@pytest.fixture
def reader(browser: Any, tmp_path: Path) -> Iterator[Reader]:
    made = Reader(browser, tmp_path)
    yield made
    made.context.close()
    assert made.trouble == []


pytestmark = pytest.mark.slow


def test_the_readers_browser_computes_the_chain_again(reader: Reader, worked: list[Record]) -> None:
    reader.open(report(worked, redactor="default"))
    total = len(worked)
    assert f"Computed again: {total} of {total} records hold" in reader.fact("integrity")
    assert f"Records 0 to {total - 1} are here, without a gap." in reader.fact("completeness")
    chain = worked[-1].chain
    assert chain is not None
    assert reader.page.inner_text("#head") == f"{total}:{chain.decode()}"
    assert "no record had to be changed" in reader.fact("redaction")


def test_hostile_texts_are_shown_and_do_nothing(reader: Reader, worked: list[Record]) -> None:
    page = reader.open(b"".join(export_now(worked, Report(HOSTILE[0], selection=HOSTILE[1]))))
    assert page.title() == HOSTILE[0]
    for view in ("overview", "timeline", "channels", "records"):
        reader.view(view)
        assert page.evaluate("document.querySelectorAll('main :is(script, img, iframe, b b, style, link)').length") == 0
        assert page.title() == HOSTILE[0]
    for text in HOSTILE:
        page.fill(".search", text.split()[0])
        assert page.locator(".row").count() > 0
        page.locator(".row").last.click()
    page.fill(".search", "]]>")
    shown = page.locator(".row .gist").first.inner_text()
    assert "\\u202e" in shown
    assert "\\u2028" in shown
    assert "\u202e" not in page.evaluate("document.body.innerText")


def test_a_changed_record_is_named(reader: Reader) -> None:
    content = report(chained(100, said))
    page = reader.open(tampered(content, lambda rows: [row.replace(b"word77", b"word78") for row in rows]))
    assert "1 record is not what the chain says" in reader.fact("integrity")
    assert "record 77" in reader.fact("integrity")
    page.click("#integrity .link")
    assert "is not what its chain value stands for" in page.inner_text(".drawer")


def test_a_forged_record_breaks_the_next(reader: Reader) -> None:
    """It brings a chain value of its own, which its own content yields; the record behind it follows another."""
    records = chained(100, said)
    body = codec.encode_record({"kind": "user.said", "seq": 50, "text": "forged"})
    before = records[49].chain
    assert before is not None
    chain = chain_value(before.encode(), codec.seal(body, 50))
    records[50] = ExportRecord(codec.seal(body, 50, chain), 50)
    records[51] = ExportRecord(records[51].line, 51, previous=chained(100, said)[50].chain)
    reader.open(report(records))
    assert "1 record is not what the chain says" in reader.fact("integrity")
    assert "record 51" in reader.fact("integrity")


def test_a_missing_record_is_missed(reader: Reader) -> None:
    records = chained(20, said)
    reader.open(report([*records[:7], *records[8:]]))
    assert "Records are missing before record 8" in reader.fact("completeness")
    assert "19 records hold, the others cannot be" in reader.fact("integrity").replace("18 of ", "")


def test_a_file_that_was_cut_is_not_believed(reader: Reader) -> None:
    page = reader.open(tampered(report(chained(20, said)), lambda rows: rows[:-1]))
    assert "the file says that it holds 20 records, and 19 are in it" in page.inner_text("main")


def test_what_is_redacted_for_the_report_is_counted_apart(reader: Reader) -> None:
    records = chained(10, lambda index: said(index) | ({"note": SECRET} if index in (3, 4) else {}))
    content = report(records, redactor="default")
    page = reader.open(content)
    assert "8 of 10 records hold, the others cannot be" in reader.fact("integrity")
    assert "2 records were redacted for this report" in reader.fact("integrity")
    assert "2 records were changed" in reader.fact("redaction")
    reader.view("records")
    page.select_option("select >> nth=0", "?redacted")
    assert page.locator(".row").count() == 2
    raw = Reader(reader.context.browser, reader.folder)
    raw.open(report(records))
    assert "Not redacted" in raw.fact("redaction")
    assert "10 of 10" in raw.fact("integrity")


def test_a_selection_says_what_it_cannot_show(reader: Reader) -> None:
    records = chained(30, said)
    chosen = [
        ExportRecord(record.line, record.index, previous=records[index - 1].chain if index else "")
        for index, record in enumerate(records)
        if index % 3 == 1
    ]
    page = reader.open(
        report(chosen, selection="agent one", names={"agent-1": "one"}, head=Head(30, records[-1].chain or ""))
    )
    assert "Computed again: 10 of 10 records hold" in reader.fact("integrity")
    assert "only the whole log can show" in reader.fact("integrity")
    assert "A selection: 10 records" in reader.fact("completeness")
    assert page.inner_text("#head").startswith("30:")
    assert "one" in page.inner_text("table >> nth=0")


def test_the_head_that_a_reader_keeps_is_compared(reader: Reader) -> None:
    records = chained(30, said)
    page = reader.open(report(records))
    for given, answer in (
        (f"10:{records[9].chain}", "goes on from the head that you keep"),
        (f"10:{records[10].chain}", "Another log, or a changed one"),
        (f"99:{records[9].chain}", "is not in this file"),
        ("hello", "That is no head"),
    ):
        page.fill(".compare input", given)
        page.click(".compare button")
        assert answer in page.inner_text(".answer")
    assert "To be compared by you" in reader.fact("completeness")
    page.fill(".compare input", f"30:{records[-1].chain}")
    page.keyboard.press("Enter")
    assert "The same: up to here" in page.inner_text(".answer")
    assert "Complete, by the head that you keep" in reader.fact("completeness")


def test_a_head_makes_no_broken_log_complete(reader: Reader) -> None:
    records = chained(30, said)
    content = tampered(report(records), lambda rows: [row.replace(b"word7", b"wordx") for row in rows])
    page = reader.open(content)
    page.fill(".compare input", f"30:{records[-1].chain}")
    page.click(".compare button")
    assert "Complete, by" not in reader.fact("completeness")


def test_a_log_without_a_chain_proves_nothing(reader: Reader) -> None:
    lines = codec.seal_all([codec.encode_record(said(index)) for index in range(5)], 0, 0)
    reader.open(report([Record(index, line[:-1]) for index, line in enumerate(lines, 10)]))
    assert "a journal does not keep" in reader.fact("completeness")
    assert "missing" not in reader.fact("completeness")
    reader.open(report([Record(index, line[:-1]) for index, line in enumerate(lines)]))
    assert "Not provable: this log has no chain" in reader.fact("integrity")
    assert "there is no head to compare" in reader.fact("completeness")


def test_what_recorders_do_not_see_is_said(reader: Reader) -> None:
    evil = "<img src=x onerror=alert(1)>\u202e"
    opened = {
        "kind": "log.opened",
        "coverage": [{"source": "redaction", "version": "1", "hidden": ["prose", 1, None]}, 7],
    }
    covered = {"kind": "recording.covered", "runtime": evil, "version": [], "hidden": ["what a tool does", evil]}
    odd = {"kind": "recording.covered", "runtime": 7, "hidden": "all"}
    given: dict[int, dict[str, Any]] = {0: opened, 1: covered, 2: covered, 3: odd}
    reader.open(report(chained(10, lambda index: given.get(index) or said(index)), redactor=None))
    told = reader.fact("completeness")
    assert "redaction 1 does not see prose" in told
    assert told.count("does not see") == 2
    assert "does not see what a tool does, <img" in told


def test_a_log_that_was_pruned_says_where_it_begins(reader: Reader) -> None:
    before = chained(30, said)[9].chain
    pruned = {"kind": "log.pruned", "first": 10, "chain": before, "promise": {}, "last_seq": 9}
    reader.open(report(chained(30, lambda index: pruned if index == 20 else said(index))[10:]))
    assert "as its log.pruned records say" in reader.fact("completeness")
    assert "20 of 20 records hold" in reader.fact("integrity")


@pytest.mark.parametrize("more", [{"first": 9}, {"chain": "A" * 22}, {"seq": 20}], ids=str)
def test_a_log_without_its_beginning_is_not_taken_for_pruned(reader: Reader, more: dict[str, Any]) -> None:
    """No record says so: a ``log.pruned`` of another record, or one that is an event of a program, does not."""
    pruned = {"kind": "log.pruned", "first": 10, "chain": chained(30, said)[9].chain, "promise": {}, "last_seq": 9}
    records = chained(30, lambda index: {**pruned, **more} if index == 20 else said(index))[10:]
    reader.open(report(records))
    is_other = "chain" in more
    assert ("1 record is not what the chain says" in reader.fact("integrity")) == is_other
    assert ("Records are missing before record 10" in reader.fact("completeness")) != is_other


def test_a_record_that_lost_its_chain_value_is_wrong(reader: Reader) -> None:
    records = chained(30, said)
    body = codec.encode_record({"kind": "user.said", "seq": 7, "text": "forged"})
    records[7] = ExportRecord(codec.seal(body, 7), 7)
    reader.open(report(records))
    assert "1 record is not what the chain says" in reader.fact("integrity")
    assert "record 7" in reader.fact("integrity")


def test_a_kept_head_is_not_that_of_a_log_that_was_written_anew(reader: Reader) -> None:
    """The file still names the head of the log, and all its records hold."""
    records = chained(30, said)
    anew = chained(30, lambda index: {**said(index), "text": "forged"} if index == 7 else said(index))
    rows = [
        row for block in BLOCK.findall(report(anew)) for row in gzip.decompress(base64.b64decode(block)).splitlines()
    ]
    page = reader.open(tampered(report(records), lambda _: rows))
    assert "30 of 30 records hold" in reader.fact("integrity")
    assert "written anew" in reader.fact("integrity")
    page.fill(".compare input", f"30:{records[-1].chain}")
    page.click(".compare button")
    assert "the file was changed" in page.inner_text(".answer")
    assert "Complete, by" not in reader.fact("completeness")


@pytest.mark.parametrize("records", [[], [{"kind": "own.made"}], [Record(0, b'{"kind":"a.b\xff')], [{}]], ids=str)
def test_records_from_no_log_are_shown_too(reader: Reader, records: list[Any]) -> None:
    page = reader.open(report(records))
    assert ("There is no record" in reader.fact("integrity")) == (not records)
    for view in ("timeline", "channels", "records"):
        reader.view(view)
    assert page.locator(".row").count() == len(records)


ODD_TYPES: list[Any] = [5, [{"toString": 1}], {"toString": None, "valueOf": 3}]
STRANGERS: list[dict[str, Any]] = [
    {"kind": "approval.requested", "approval_id": "a", "agent_id": "x", "action": "d", "channel_id": "c"},
    {"kind": "approval.approved", "approval_id": "a", "approvers": ["x"], "reason": "r", "risk_level": "high"},
    {"kind": "envelope.posted", "envelope_id": "e", "agent_id": "x", "channel_id": "c", "audience": ["y"]},
    {"kind": "agent.registered", "agent_id": "x", "name": "n", "capabilities": ["c"]},
    {"kind": "tool.failed", "call_id": "1", "tool": "t", "error_message": "m", "duration_ms": 1},
    {"kind": "model.completed", "agent_id": "x", "model": "m", "input_tokens": 1, "output_tokens": 1},
]


@pytest.mark.parametrize("odd", ODD_TYPES, ids=str)
def test_no_type_of_a_field_makes_a_report_unreadable(reader: Reader, odd: Any) -> None:
    """Records of strangers may have an object where a text should be, and one of which JavaScript makes no text."""
    records = [{"at": "2026-01-01T00:00:00Z", **given} for given in STRANGERS]
    records += [{**given, name: odd} for given in list(records) for name in given]
    records += [{**records[0], "kind": kind, "call_id": "1"} for kind in ("constructor", "toString.x", "__proto__.y")]
    page = reader.open(report(records))
    for view in ("overview", "timeline", "channels", "records"):
        reader.view(view)
    page.locator(".row").nth(7).click()
    assert json.loads(page.inner_text(".drawer pre")) == json.loads(codec.encode_record(records[7]))


def test_a_changed_long_record_is_seen(reader: Reader) -> None:
    whole = codec.encode_record({"kind": "own.made", "text": "x" * 100_000})
    cut = {"blob": "blob/x.json", "bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
    short = chained(1, lambda _: {"kind": "own.made", "cut": cut})[0]
    reader.open(report([ExportRecord(short.line, 0, whole)]))
    assert "1 of 1 records hold" in reader.fact("integrity")
    for forged in (
        whole.replace(b"xxx", b"xyx", 1),
        whole[:-1] + b',"cut":null}',
        whole[:-1] + b',"cut":{"sha256":"x"}}',
    ):
        reader.open(report([ExportRecord(short.line, 0, forged)]))
        assert "is not what the chain says" in reader.fact("integrity")


def test_ten_thousand_records_are_a_few_rows(reader: Reader) -> None:
    page = reader.open(report(chained(10_000, said)))
    assert "10,000 of 10,000 records hold" in reader.fact("integrity")
    reader.view("records")
    assert page.locator(".row").count() < 80
    page.fill(".search", "word9999")
    assert page.inner_text(".tools .count") == "1 of 10,000 records"
    page.fill(".search", "")
    page.evaluate("document.querySelector('.rows').scrollTop = 1e9")
    page.wait_for_selector(".row:has-text('9,999')")


def test_the_keys_of_a_reader_work(reader: Reader) -> None:
    page = reader.open(report(chained(50, said)))
    page.keyboard.press("/")
    page.keyboard.type("word1")
    assert page.inner_text(".tools .count") == "11 of 50 records"
    page.keyboard.press("Escape")
    page.focus(".rows")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("j")
    assert '"word10"' in page.inner_text(".drawer")
    page.keyboard.press("Escape")
    assert not page.is_visible(".drawer")


def test_the_records_can_be_taken_out_again(reader: Reader, worked: list[Record]) -> None:
    """A reader who trusts no page saves the lines, and computes the chain with a tool of his own."""
    page = reader.open(report(worked))
    reader.view("records")
    with page.expect_download() as saved:
        page.click("text=Save as JSON Lines")
    content = Path(saved.value.path()).read_bytes()
    assert content == b"".join(b"%b\n" % record.line for record in worked)


def test_a_page_that_cannot_compute_says_so(browser: Any) -> None:
    """Over plain http a browser gives pages no SHA-256, but for those of its own machine."""
    content = report(chained(3, said))

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", Report.media_type)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server, ThreadPoolExecutor(1) as thread:
        thread.submit(server.serve_forever)
        context = browser.new_context()
        try:
            page = context.new_page()
            page.goto(f"http://report.test:{server.server_address[1]}/")
            page.wait_for_selector("html[data-checked=unable]", state="attached")
            assert "Not checked: this browser does not compute SHA-256 here" in page.inner_text("#integrity")
            page.click("#tab-records")
            assert page.locator(".row").count() == 3
        finally:
            context.close()
            server.shutdown()


def test_a_link_names_a_record(reader: Reader) -> None:
    page = reader.open(report(chained(500, said)))
    page.goto(f"{page.url.partition('#')[0]}#record-321")
    page.wait_for_selector(".drawer:has-text('word321')")
    page.keyboard.press("Escape")
    reader.view("timeline")
    assert page.url.endswith("#timeline")
    page.reload()
    page.wait_for_selector("#tab-timeline[aria-current=page]")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Any, tmp_path: Path, worked: list[Record], scheme: str) -> None:
    """Axe is a program of its own, which the policy of the page forbids: it is let in for this."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = browser.new_context(bypass_csp=True, color_scheme=scheme)
    page = context.new_page()
    (tmp_path / "report.html").write_bytes(report(worked))
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_selector("html[data-checked]", state="attached")
    for view in ("overview", "timeline", "channels", "records"):
        page.click(f"#tab-{view}")
        if view == "records":
            page.locator(".row").nth(12).click()
        found = axe.run(page)
        assert found.violations_count == 0, found.generate_report()
    context.close()


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_fits_its_screen(reader: Reader, worked: list[Record], width: int, scheme: str) -> None:
    page = reader.page
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=scheme)
    reader.open(report(worked))
    for view in ("overview", "timeline", "channels", "records"):
        reader.view(view)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(15, 17, 20)"
    assert dark == (scheme == "dark")
    page.click("#theme")
    assert (page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(15, 17, 20)") != dark
