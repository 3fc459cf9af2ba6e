"""How much of the corpus of `make redaction` is found, and how much that is harmless is taken."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from hubwire.redaction import Redactor
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
