"""A report: one HTML file of a log, or of a part of it, to hand to a person who has no hubwire.

The file holds the records as the bytes that they are in the log, compressed, and a page that shows them, filters them,
and computes their chain again in the browser of its reader. It asks for nothing from anywhere: its content security
policy names its own program and style by their digests, and forbids all else. Texts of records are never markup: they
stand in the file as base64, and come into the page as text.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from importlib.resources import files
from string import Template

import msgspec

from ..._foreign.arguments import Call
from ..._head import Head
from ..._version import installed_version
from ...errors import ConfigurationError
from ...proof.part import SignedPart
from .._format import Format
from .._record import ExportRecord

__all__ = ("Report",)

_REPORT = Call("Report()", ConfigurationError)
_SCRIPTS = (
    "signs",
    "reading",
    "contents",
    "notes",
    "tree",
    "model",
    "known",
    "signed",
    "witnesses",
    "kept",
    "overview",
    "timeline",
    "channels",
    "records",
    "main",
)
_HEAD = "a hubwire.log.Head"
_SIGNED = "a SignedPart, as hubwire.listeners.audit.signed_part() returns"
_TITLE_CHARS_MAX = 200
_HIDDEN = re.compile(r"[^\x20-\x7e]")
_JSON_IN_HTML = (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))


class Report(Format):
    """One HTML file of the records, which computes their chain again in the browser of its reader.

    * ``title``: what stands at its head.
    * ``selection``: in words, what the records were selected by; None if they are a whole log. A selection says so, and
      that its chain cannot be computed as one.
    * ``names``: names of agents and topics of channels by their ids, for ids whose names are not in the records.
    * ``head``: the head of the whole log, for a selection; a whole log has its own.

    * ``signed``: the checkpoint of a signed log, and the hashes of what is not shown of it, as
      :func:`hubwire.listeners.audit.signed_part` returns them. The browser then also checks the signature, and that
      each record is in the tree that was signed.

    Erasable contents that come with their records are shown, with their salts: the browser holds each against the
    commitment of its record.

    ``names``, ``head`` and ``signed`` are attributes, too, read when the export ends: they may be set until then.

    It says apart what is known of integrity, of completeness, of who has signed, and of redaction. All of the file is
    written as the records come; the reader's browser holds all of them, which is comfortable up to a hundred thousand.

    Raises :class:`~hubwire.errors.ConfigurationError` for a wrong argument.
    """

    media_type = "text/html; charset=utf-8"
    suffix = ".html"

    def __init__(
        self,
        title: str = "",
        *,
        selection: str | None = None,
        names: Mapping[str, str] | None = None,
        head: Head | None = None,
        signed: SignedPart | None = None,
    ) -> None:
        self._title = _REPORT.text("title", title)
        self._selection = _REPORT.text("selection", selection, is_optional=True)
        self.names: Mapping[str, str] = _names_of(names)
        self.head: Head | None = None if head is None else _REPORT.instance("head", head, Head, wanted=_HEAD)
        self.signed: SignedPart | None = (
            None if signed is None else _REPORT.instance("signed", signed, SignedPart, wanted=_SIGNED)
        )
        self._redaction: str | None = None
        self._records = 0
        self._last: ExportRecord | None = None

    def begin(self, redaction: str | None) -> bytes:
        self._redaction = redaction
        self._records, self._last = 0, None
        return _page(self._title).encode(errors="backslashreplace")

    def encode(self, records: Sequence[ExportRecord]) -> bytes:
        rows = b"".join(self._row(record) for record in records)
        packed = base64.b64encode(gzip.compress(rows, 6, mtime=0))
        return b'<script type="text/x-hubwire-records">%b</script>\n' % packed

    def _row(self, record: ExportRecord) -> bytes:
        self._records += 1
        previous = record.previous if record.previous is not None else self._previous(record)
        self._last = record
        parts = [
            b"" if record.index is None else b"%d" % record.index,
            b"" if not record.is_redacted else b"r" + base64.b64encode(record.leaf or b""),
            b"-" if previous is None else previous.encode(),
            record.line.replace(b"\t", b" "),
        ]
        if record.whole is not None or record.contents:
            parts.append((record.whole or b"").replace(b"\t", b" "))
        if record.contents:
            parts.append(msgspec.json.encode(record.contents))
        return b"\t".join(parts).replace(b"\n", b" ") + b"\n"

    def _previous(self, record: ExportRecord) -> str | None:
        """Return the chain value of the record before, where it is known from what came before."""
        if record.index == 0:
            return ""
        last = self._last
        if last is None or last.index is None or record.index != last.index + 1:
            return None
        return last.chain

    def end(self) -> Iterator[bytes]:
        about = {
            "records": self._records,
            "selection": self._selection,
            "redaction": self._redaction,
            "head": self._head(),
            "names": _names_of(self.names),
            "signed": _signed_fields(self.signed),
        }
        text = msgspec.json.encode(about).decode()
        for char, escaped in _JSON_IN_HTML:
            text = text.replace(char, escaped)
        yield b'<script type="application/json" id="about">%b</script>\n' % text.encode()
        yield b"<script>%b</script>\n</body>\n</html>\n" % _program().encode()

    def _head(self) -> str | None:
        if self._selection is not None:
            return None if self.head is None else str(self.head)
        last = self._last
        if last is None or last.index is None or last.chain is None:
            return None
        return str(Head(last.index + 1, last.chain))


def _signed_fields(part: SignedPart | None) -> dict[str, object] | None:
    if part is None:
        return None
    return {
        "checkpoint": str(part.note),
        "handovers": [str(note) for note in part.handovers],
        "hashes": None if part.hashes is None else base64.b64encode(part.hashes).decode(),
        "vkey": None if part.vkey is None else str(part.vkey),
        "witnessed": None if part.witnessed is None else str(part.witnessed),
        "witnesses": [str(key) for key in part.witnesses],
    }


def _names_of(given: object) -> dict[str, str]:
    names = {} if given is None else _REPORT.mapping("names", given, wanted="a mapping of names by ids")
    text = partial(_REPORT.text, "names", wanted="a mapping of names by ids, both text")
    return {text(key): text(name) for key, name in names.items()}


@cache
def _source(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def _program() -> str:
    parts = "".join(_source(f"{name}.js") for name in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


def _page(title: str) -> str:
    style = _source("page.css")
    policy = (
        "default-src 'none'",
        f"script-src '{_digest(_program())}'",
        f"style-src '{_digest(style)}'",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
    shown = title if title.isprintable() else _HIDDEN.sub(_escaped, title)
    shown = shown if len(shown) <= _TITLE_CHARS_MAX else f"{shown[:_TITLE_CHARS_MAX]}…"
    return Template(_source("page.html")).substitute(
        csp="; ".join(policy),
        style=style,
        title=html.escape(shown) or "A hubwire log",
        version=html.escape(installed_version()),
    )


def _digest(source: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    return char if char.isprintable() else f"\\u{ord(char):04x}"
