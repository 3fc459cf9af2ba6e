"""Prints how much of the corpus the redactor finds, by family, and what it takes wrongly: ``make redaction``."""

from __future__ import annotations

import sys
from collections import Counter

import attrs
from redaction_corpus import ALONE, NEGATIVES, Positive, negatives, positives, texts_of
from rich.console import Console
from rich.table import Table

from hubwire.redaction import Redactor


@attrs.define
class Score:
    """What was found of the corpus."""

    given: Counter[str] = attrs.Factory(Counter)
    found: Counter[str] = attrs.Factory(Counter)
    missed: list[Positive] = attrs.Factory(list)
    wrong: list[str] = attrs.Factory(list)
    """The harmless texts that were changed, and those around a secret."""

    @property
    def precision(self) -> float:
        return self.found.total() / (self.found.total() + len(self.wrong))

    @property
    def recall(self) -> float:
        return self.found.total() / self.given.total()


def score(redactor: Redactor) -> Score:
    result = Score()
    for each in positives():
        result.given[each.family] += 1
        before, after = "\n".join(texts_of(each.value)), "\n".join(texts_of(redactor.redact(each.value)))
        if is_hidden(each.secret, after):
            result.found[each.family] += 1
        else:
            result.missed.append(each)
        first, _, last = before.partition(each.secret)
        if each.family in ALONE and not (after.startswith(first) and after.endswith(last)):
            result.wrong.append(before)
    result.wrong += [text for text in negatives() if redactor.redact(text) != text]
    return result


PIECE = 8
"""So many characters of a secret in a row are a leak."""


def is_hidden(secret: str, text: str) -> bool:
    """Tell whether no piece of a secret is in a text; the first and the last line of a private key are none."""
    lines = [line for line in secret.split("\n") if "-----" not in line]
    pieces = [line[place : place + PIECE] for line in lines for place in range(max(1, len(line) - PIECE + 1))]
    return not any(piece in text for piece in pieces)


def main() -> None:
    result = score(Redactor())
    table = Table("family", "given", "found", "recall", title="The corpus of redaction")
    for family, given in result.given.items():
        found = result.found[family]
        table.add_row(family, str(given), str(found), f"{found / given:.2f}")
    console = Console()
    console.print(table)
    console.print(
        f"recall {result.recall:.3f} of {result.given.total()}, precision {result.precision:.3f}: "
        f"{len(result.wrong)} of {NEGATIVES} harmless texts were changed"
    )
    if "--all" in sys.argv[1:]:
        for each in result.missed:
            console.print(f"missed: {each.family}: {each.value!r}", markup=False, soft_wrap=True)
        for text in result.wrong:
            console.print(f"wrong: {text}\n    -> {Redactor().redact(text)}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
