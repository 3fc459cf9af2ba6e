"""Records as they are written: what looks through them quickly misses nothing that a walk would find."""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import random
import sys
import weakref
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from hubwire import Event, GenericEvent, Hub, codec, event
from hubwire.errors import ConfigurationError
from hubwire.events import evolve
from hubwire.events._canonical import freeze_json
from hubwire.redaction import RedactionRule, Redactor
from hubwire.redaction._names import _NAMES, _TAILS
from hubwire.redaction._quick import Quick
from hubwire.redaction._walk import Walk
from support.house import ROOT

WORDS = (  # noqa: SIM905 - a list of words is read more easily as text
    "password is passport tel phone token Bearer Basic Authorization: Cookie: sig= &sig= AccountKey= https:// :// @ "
    "\\n sk- ghp_ eyJ AKIA 2001:db8:: ::ffff: +49 +1 IBAN DE89 GB 0x version v1. 127.0.0.1 é 中 contraseña= apiKey: "
    "'pwd'= pin:"
).split()
SIGNS = "{}[]\":\\,=@.-_/ \n07afsk'AK()+#%&?<>\t\r\x01\u2028\x7f\u0085é"
KEYS = [name for names in _NAMES.values() for name in names.split()]
NUMBERS = [1, 17, 4111111111111111, 4111111111111112, 1764400000000, 10**17, -4111111111111111, 3.5, None, True]


@pytest.fixture(scope="module")
def corpus() -> Iterator[Any]:
    folder = str(ROOT / "benchmarks")
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("redaction_corpus")
    finally:
        sys.path.remove(folder)


@pytest.fixture(scope="module")
def quick() -> Quick:
    pytest.importorskip("re2")
    found = Redactor()._quick
    assert found is not None
    return found


@pytest.fixture(scope="module")
def slow() -> Redactor:
    with mock.patch.dict(sys.modules, {"re2": None}):
        return Redactor()


class Made:
    """Random records, most of them near a finding."""

    def __init__(self, corpus: Any, seed: int) -> None:
        self.rng = random.Random(seed)
        self.secrets: list[str] = [each.secret for each in corpus.positives()]
        self.harmless: list[str] = list(corpus.negatives())[:800]

    def record(self) -> dict[Any, Any]:
        return {self.key(): self.value(self.rng.choice([0, 3, 4]))}

    def text(self, depth: int = 0) -> str:
        rng = self.rng
        part = rng.random()
        if part < 0.3:
            pieces = rng.choices([*WORDS, *SIGNS, *self.secrets], k=rng.randrange(1, 6))
            return rng.choice(["", " ", "\n", "\t"]).join(pieces)
        if part < 0.5:
            return rng.choice(self.harmless)
        if part < 0.6:
            return rng.choice(KEYS)
        if part < 0.7 and depth < 3:
            inner = json.dumps(self.value(depth + 1), ensure_ascii=rng.random() < 0.5)
            return rng.choice(["", " ", "\n", "\r", "\t"]) + inner + rng.choice(["", " ", "\n"])
        return rng.choice(["ok", "fine", "x", "the build", "17"])

    def key(self) -> str:
        rng, part = self.rng, self.rng.random()
        if part < 0.3:
            name = rng.choice(KEYS)
            forms = [name, name.upper(), name.title(), "".join(map(str.title, name.split("_"))), f"user_{name}"]
            forms += [name.replace("_", rng.choice("-. /'\"\n{:é")), f"user{name.title()}", f"x{name}", f"{name}_12"]
            forms += [name + rng.choice(["_", "-", ""]) + rng.choice(sorted(_TAILS)), f"{name}s", f"{name.title()}Hash"]
            return rng.choice(forms)
        if part < 0.4:
            return self.text(3)
        return rng.choice(
            [
                "value",
                "name",
                "key",
                "header",
                "field",
                "a",
                "note",
                "n",
                "$bytes",
                "$map",
                "prompt_tokens",
                "session_id",
                "data",
            ]
        )

    def value(self, depth: int = 0) -> Any:
        part = self.rng.random()
        if depth > 3 or part < 0.5:
            return self.text(depth)
        if part < 0.6:
            return self.rng.choice(NUMBERS)
        if part < 0.8:
            return {self.key(): self.value(depth + 1) for _ in range(self.rng.randrange(1, 4))}
        return [self.value(depth + 1) for _ in range(self.rng.randrange(4))]


@pytest.mark.parametrize("seed", range(2))
def test_a_line_called_clean_has_no_finding(corpus: Any, quick: Quick, slow: Redactor, seed: int) -> None:
    """In keys, values, texts of JSON and substitutes, whatever the encoder escapes."""
    made, clean = Made(corpus, seed), 0
    for _ in range(2500):
        line = codec.encode_record(made.record())
        if not quick.line_may_hold(line):
            clean += 1
            fields = freeze_json(codec.decode_fields(line))
            assert Walk(slow).value(fields) is fields, line
    assert clean > 500


def test_a_batch_is_searched_as_its_lines_are(corpus: Any, quick: Quick) -> None:
    made = Made(corpus, 3)
    for _ in range(150):
        lines = [codec.encode_record(made.record()) for _ in range(made.rng.randrange(20))]
        assert quick.suspects(lines) == [place for place, line in enumerate(lines) if quick.line_may_hold(line)]


def test_one_suspect_among_clean_lines_is_found(corpus: Any, quick: Quick) -> None:
    made, clean, suspects = Made(corpus, 4), list[bytes](), list[bytes]()
    while len(suspects) < 400:
        line = codec.encode_record(made.record())
        (suspects if quick.line_may_hold(line) else clean).append(line)
    assert len(clean) > 100
    for number, suspect in enumerate(suspects):
        lines = made.rng.choices(clean, k=9)
        assert quick.suspects(lines) == []
        lines.insert(number % 10, suspect)
        assert quick.suspects(lines) == [number % 10]


def test_many_lines_are_redacted_as_each_is(corpus: Any) -> None:
    made = Made(corpus, 5)
    lines = [codec.encode_record(made.record()) for _ in range(300)]
    lines += [b"", b"jane@example.com", b"\\", b'{"a":"b\\']
    alone, together = Redactor(), Redactor()
    before = list(lines)
    assert together.redact_lines(lines) == [alone.redact_line(line) for line in lines]
    assert together.redact_lines(tuple(lines)) == together.redact_lines(lines)
    assert lines == before
    assert together.redact_lines([]) == []
    own = Redactor(rules=[RedactionRule("x", keys=["b"])])
    assert own.redact_lines(lines[:50]) == [own.redact_line(line) for line in lines[:50]]


@pytest.mark.parametrize(
    "record",
    [
        {"note": 'said "no" to\nall of\tit', "path": "a/b"},
        {"arguments": '{"to": "paris", "n": 3}'},
        {"at": "2026-11-29T07:50:26.123456Z", "commit": "9fceb02d0ae598e95dc970b74767f19372d61af8", "n": 1764400000000},
        {"id": "0193f7a2-7abc-7def-8123-0123456789ab", "version": "1.2.3", "price": "12.90 EUR", "author": "x"},
        {"opinion": "good", "hotel": "x", "consider": 1, "tokenizer": "bpe", "secretary": "x"},
        {"name": "count", "value": 3},
    ],
    ids=range(6),
)
def test_harmless_records_pass_quickly(quick: Quick, record: dict[str, Any]) -> None:
    assert not quick.line_may_hold(codec.encode_record(record))


SECRET = "jane@example.com"


HIDDEN: list[Any] = ["\x01" + SECRET, "\u2028" + SECRET, f'"{SECRET}"', f"\\{SECRET}", f"\\n{SECRET}\\"]
HIDDEN += [SECRET.encode(), {SECRET: 1}, {1: SECRET}, [("k", SECRET)]]
HIDDEN += [json.dumps({"a": [SECRET]}), json.dumps(json.dumps([f"\n{SECRET}"]))]


@pytest.mark.parametrize("value", HIDDEN, ids=range(len(HIDDEN)))
def test_escapes_hide_nothing(value: Any) -> None:
    line = codec.encode_record({"a": value})
    made = Redactor().redact_line(line)
    assert SECRET not in json.dumps(json.loads(made), ensure_ascii=False)
    assert codec.decode_fields(made)["redacted"] == "hubwire/1"
    assert Redactor().redact_line(made) is made


def test_a_clean_line_is_returned_itself() -> None:
    line = codec.encode_record({"a": "clean", "n": 1})
    assert Redactor().redact_line(line) is line
    assert Redactor(rules=[RedactionRule("x", keys=["b"])]).redact_line(line) is line


@pytest.mark.parametrize(
    "line", [b"", b"jane@example.com", b'{"a":"jane@example.com"', b'["jane@example.com"]', b"\xff@a.de"]
)
def test_what_is_no_record_is_withheld(line: bytes) -> None:
    redactor = Redactor(rules=[RedactionRule("none", keys=["b"])])
    made = codec.decode_fields(redactor.redact_line(line))
    assert made == {"$redacted": "InvalidRecord", "redacted": redactor.stamp}
    assert redactor.failures == 1


def test_the_line_of_an_event_is_redacted_as_the_event() -> None:
    asked = GenericEvent(kind="user.asked", data={"email": SECRET}, seq=3, session_id="s", id="i", at="t", hub="h")
    line = codec.encode(asked)
    assert codec.decode(Redactor().redact_line(line)) == Redactor().redact_event(asked)


async def events_of(*data: dict[str, Any], session_id: str | None = None) -> list[Any]:
    async with Hub() as hub:
        return [await hub.emit(GenericEvent(kind="a.said", data=each, session_id=session_id)) for each in data]


async def test_a_batch_of_events_is_redacted_as_each_is() -> None:
    redactor = Redactor()
    events = await events_of({"a": "clean"}, {"a": SECRET}, {"token": "abc"}, {"prompt_tokens": 3}, {"b": {"c": "x"}})
    made = redactor.redact_events(events)
    assert [new is old for new, old in zip(made, events, strict=True)] == [True, False, False, True, True]
    assert made == [Redactor().redact_event(each) for each in events]
    assert redactor.redact_events(events)[1] is made[1]
    assert redactor.redact_events([]) == []


async def test_a_session_is_no_finding_but_one_in_a_payload_is(quick: Quick) -> None:
    plain, inner = await events_of({"a": "clean"}, {"session_id": "abc"}, session_id="s1")
    redactor = Redactor()
    assert redactor.redact_events([plain, inner])[0] is plain
    made = redactor.redact_event(inner)
    assert isinstance(made, GenericEvent)
    assert (made.session_id, made.data["session_id"]) == ("s1", "[redacted:session]")


async def test_an_event_made_by_hand_is_walked_through() -> None:
    """Its payload is not canonical, so its line would not show what is in it."""
    by_hand = GenericEvent(kind="a.said", data={"x": SECRET.encode()}, seq=1)
    (made,) = Redactor().redact_events([by_hand])
    assert isinstance(made, GenericEvent)
    assert SECRET.encode() not in made.data["x"]
    (stamped,) = await events_of({"a": "clean"})
    (changed,) = Redactor().redact_events([evolve(stamped, data={"a": SECRET})])
    assert isinstance(changed, GenericEvent)
    assert changed.data["a"] == "[redacted:email]"


async def test_redactors_with_equal_rules_share_their_work() -> None:
    (emitted,) = await events_of({"a": SECRET})
    assert Redactor().redact_event(emitted) is Redactor().redact_event(emitted)
    by_key = Redactor(mode="pseudonym", key=b"k" * 16), Redactor(mode="pseudonym", key=b"l" * 16)
    assert by_key[0].redact_event(emitted) != by_key[1].redact_event(emitted)
    functions = [Redactor(rules=[RedactionRule("own", find=lambda _: [])]) for _ in range(2)]
    assert functions[0].redact_event(emitted) is not functions[1].redact_event(emitted)


def test_a_text_in_a_substitute_is_no_bytes() -> None:
    """``$bytes`` of the application's own need not be Base64."""
    frozen = freeze_json({"$bytes": f"ñ {SECRET}"})
    assert Redactor().redact(frozen) == {"$bytes": "ñ [redacted:email]"}


@pytest.mark.parametrize("odd", [None, 1, "text", {}, object(), bytearray(b"{}")], ids=range(6))
def test_what_is_no_line_is_refused(odd: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Redactor\.redact_line: line is the bytes of a record, not"):
        Redactor().redact_line(odd)


@pytest.mark.parametrize("odd", [None, 1, "text", b"{}", itertools.repeat(b"{}"), [b"{}", "{}"], [None]], ids=range(7))
def test_what_are_no_lines_is_refused(odd: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Redactor\.redact_lines: lines is the bytes of records"):
        Redactor().redact_lines(odd)


@pytest.mark.parametrize("odd", [None, 1, "text", object(), itertools.repeat(1), [1], [None]], ids=range(7))
def test_what_are_no_events_is_refused(odd: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Redactor\.redact_event"):
        Redactor().redact_events(odd)


def test_what_a_redactor_remembers_is_bounded() -> None:
    """Keys that it has seen, and events that it has made; these are forgotten with the last redactor of their rules."""
    redactor = Redactor(mode="pseudonym", key=b"0" * 16)
    for number in range(10_000):
        redactor.redact({f"key {number} of many": 1})
    for number in range(2_000):
        redactor.redact_event(GenericEvent(kind="a.said", data={"text": SECRET}, seq=number))
    assert len(redactor._plain) <= 4096
    assert len(redactor._families) <= 4096
    assert len(redactor._events._held) <= 1024
    made = weakref.ref(redactor._events)
    del redactor
    gc.collect()
    assert made() is None


@event("shelf.noted")
class Noted(Event):
    prompt: str


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("kind", ["shelf.noted", "turn.started", "a.said"])
def test_a_field_that_its_class_does_not_have_hides_nothing(kind: str, *, changed: bool) -> None:
    """An event of another version is written as the bytes it was read from."""
    fields = {"at": "t", "hub": "h", "id": "i", "seq": 3, "kind": kind, "turn_id": "t", "note": SECRET}
    read = codec.decode(codec.encode_fields({**fields, "prompt": SECRET if changed else "clean"}))
    assert SECRET.encode() in codec.encode(read)
    (made,) = Redactor().redact_events([read])
    assert type(made) is type(read)
    assert SECRET.encode() not in codec.encode(made)
    clean = codec.decode(codec.encode_fields({**fields, "prompt": "1.2.3.4", "note": "call +1 or 0170"}))
    assert Redactor().redact_event(clean) is clean
