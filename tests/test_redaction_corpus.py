"""How much of the corpus of `make redaction` is found, and how much that is harmless is taken."""

from __future__ import annotations

import gzip
import importlib
import json
import random
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubwire.redaction import Redactor
from hubwire.redaction._text import findings
from support.house import ROOT

CHECKSUMMED = {"card", "iban", "national id"}
BY_KEY = {"password by key", "token by key", "person by key"}


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    folder = str(ROOT / "benchmarks")
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("redaction")
    finally:
        sys.path.remove(folder)


def test_the_corpus_has_its_size(bench: Any) -> None:
    corpus = importlib.import_module("redaction_corpus")
    positives = list(corpus.positives())
    assert len(positives) == 600
    assert len({each.family for each in positives}) == 40
    assert not any(bench.is_hidden(each.secret, "\n".join(corpus.texts_of(each.value))) for each in positives)
    assert len(list(corpus.negatives())) == 6000
    assert positives == list(corpus.positives())


@pytest.mark.parametrize("extra", [True, False], ids=["with re2", "without"])
def test_recall_and_precision_are_high(bench: Any, monkeypatch: pytest.MonkeyPatch, *, extra: bool) -> None:
    if extra:
        pytest.importorskip("re2")
    else:
        monkeypatch.setitem(sys.modules, "re2", None)
    score = bench.score(Redactor())
    recalls = {family: score.found[family] / given for family, given in score.given.items()}
    assert all(recalls[family] >= 0.99 for family in CHECKSUMMED | BY_KEY), recalls
    assert all(recall >= 0.9 for recall in recalls.values()), recalls
    assert score.recall >= 0.99, [each.value for each in score.missed]
    assert score.precision >= 0.98, score.wrong


WORDS = """
password is passport tel phone token Bearer Basic Authorization: Cookie: sig= &sig= AccountKey= https:// :// @ %40 \\n
sk- ghp_ eyJ AKIA 2001:db8:: ::ffff: +49 +1 IBAN DE89 GB 0x version v1. 127.0.0.1 é 中 contraseña= apiKey: 'pwd'= pin:
"""
SIGNS = "{}[]\":\\,=@.-_/ \n07afsk'AK()+#%&?<>"


def test_the_quick_pass_misses_nothing(bench: Any) -> None:
    """What RE2 says a text may hold is at least what is found in it."""
    pytest.importorskip("re2")
    corpus = importlib.import_module("redaction_corpus")
    redactor = Redactor()
    quick = redactor._quick
    assert quick is not None
    rng = random.Random(5)
    pieces = [*WORDS.split(), *SIGNS, *(each.secret for each in corpus.positives())]
    for _ in range(3000):
        text = rng.choice(["", "", " ", "\n"]).join(rng.choices(pieces, k=rng.randrange(1, 7)))
        found = findings(text, redactor.family_of)
        assert not found or quick.may_hold(text), text
        assert findings(text, redactor.family_of, quick.wanted(text)) == found, text


SHAPES = ["a", "a@", "1 ", "12345678 ", "sk-", "eyJ", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "password=", "a="]
SHAPES += [
    "password='",
    "cookie: a=b;",
    "://a",
    "::",
    "2001:",
    "DE12 ",
    '{"a":',
    "0170 ",
    "Bearer ",
    "\\",
    "tel 1",
    "+1",
    "4111 1111 ",
    "GT12 ",
    "pin: ",
    "secret is ",
    "api key: ",
    "1:2:3:4:5:6:7:8 ",
    "a@b.de ",
]


@pytest.mark.slow
@pytest.mark.parametrize("extra", [True, False], ids=["with re2", "without"])
def test_hostile_texts_take_linear_time(monkeypatch: pytest.MonkeyPatch, *, extra: bool) -> None:
    """What is sixteen times as long takes less than sixty times as long; it would be 256 if it were quadratic."""
    if extra:
        pytest.importorskip("re2")
    else:
        monkeypatch.setitem(sys.modules, "re2", None)
    redactor = Redactor()

    def seconds(text: str) -> float:
        taken = []
        for _ in range(3):
            start = time.process_time()
            redactor.redact(text)
            taken.append(time.process_time() - start)
        return min(taken)

    for shape in SHAPES:
        short, long = (shape * (length // len(shape)) for length in (4_000, 64_000))
        assert seconds(long) < 60 * max(seconds(short), 0.0002), shape


PERSONAL = re.compile(
    r'"(email|dob|first_name|last_name|address1|address2|city|country|province|state|zip)": "[^"]*"'
    r"|(dob|date of birth)\W{1,6}([0-9-]{10}|\[redacted:birth\])",
    re.IGNORECASE,
)
"""What is personal in the recorded conversations, in their texts of JSON and in prose."""


@pytest.mark.slow
def test_recorded_conversations_keep_all_else(shared_data: Path) -> None:
    """Flights, times, prices, reservations, payments and what was said stay as they are."""
    redactor = Redactor()
    texts = changed = 0
    for line in gzip.decompress((shared_data / "airline.jsonl.gz").read_bytes()).split(b"\n")[:-1]:
        for message in json.loads(line)["traj"]:
            texts += 1
            text = message["content"] or ""
            made = redactor.redact(text)
            if made is not text:
                changed += 1
                assert PERSONAL.sub("", made) == PERSONAL.sub("", text)
                assert "@" not in made
    assert texts == 5308
    assert 100 < changed < 1000


IBANS = ["DE89370400440532013000", "GB29NWBK60161331926819", "NO9386011117947", "MT84MALT011000012345MTLCAST001S"]
IBANS += ["GT82TRAJ01020000001210029690", "FR1420041010050500013M02606", "BR9700360305000010009795493P1"]


@pytest.mark.parametrize("number", IBANS)
def test_accounts_of_any_length_are_found(number: str) -> None:
    """In groups and without, with upper-case words behind, and not with a letter too many or a wrong digit."""
    redactor = Redactor()
    groups = " ".join(number[start : start + 4] for start in range(0, len(number), 4))
    for text in (number, groups, groups.replace(" ", "-")):
        assert redactor.redact(f"to {text}, please") == "to [redacted:iban], please"
        assert redactor.redact(f"{text} BIC DEUTDEFF") == "[redacted:iban] BIC DEUTDEFF"
    wrong = number[:2] + f"{(int(number[2:4]) + 1) % 100:02}" + number[4:]
    for text in (wrong, f"{number}X", f"X{number}"):
        assert "[redacted:iban]" not in redactor.redact(f"to {text}, please")


CARDS = (
    "4111111111111111 4222222222222 5555555555554444 2223003122003222 378282246310005 6011111111111117 3530111333300000"
)
CARDS += " 30569309025904 36227206271667 6200000000000005 6304000000000000 4035501000000008"


@pytest.mark.parametrize("number", CARDS.split())
def test_cards_of_each_issuer_are_found(number: str) -> None:
    redactor = Redactor()
    assert redactor.redact(f"card {number}.") == "card [redacted:card]."
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert redactor.redact(f"card {wrong}.") == f"card {wrong}."
