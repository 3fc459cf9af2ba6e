"""Numbers of persons: cards, accounts, phone numbers, national ids."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ._checks import PERSONAL_IDS, digits_of, iban_form, is_card, is_iban
from ._tokens import Span
from ._windows import each, is_in

__all__ = ("is_card_number", "labelled", "lettered", "numbers")

_BEFORE = r"(?<![\w-])(?<![0-9][.,])"
_AFTER = r"(?!\w)(?!-\w)(?!\.[0-9])"
_END = r"(?![\w-])"
_NO_ROW_BEFORE = r"(?<![0-9] )(?<![0-9][:/])"
_NO_ROW_AFTER = r"(?! [0-9])(?![:/][0-9])"

_IDS_WITH_SEPARATORS = ("us", "be", "br", "ch", "kr", "se", "fr")
_IDS_IN_GROUPS = ("in", "ca")
_IDS_WITH_LETTERS = ("it", "mx", "gb", "es-nie")
_IDS_WITH_LAST_LETTER = ("es", "fi", "cl", "cn")


def _ids(countries: tuple[str, ...], after: str) -> str:
    return "|".join([f"(?P<id_{each.replace('-', '_')}>{PERSONAL_IDS[each].form}){after}" for each in countries])


_CARD = (
    "[1-6][0-9]{3}(?P<gap>[ -])[0-9]{4}(?P=gap)[0-9]{4}(?P=gap)[0-9]{1,7}"
    "|3[0-9]{3}(?P<gap_of_15>[ -])[0-9]{6}(?P=gap_of_15)[0-9]{4,5}"
)

_PHONE = (
    r"(?:1[-. ])?(?:\([2-9][0-9]{2}\)[ -]?|[2-9][0-9]{2}[-. ])[2-9][0-9]{2}[-. ][0-9]{4}"  # North America
    r"|0[1-9](?P<gap_of_fr>[ .-])[0-9]{2}(?:(?P=gap_of_fr)[0-9]{2}){3}"
    r"|0[1-9]-[0-9]{8}|0[1-9]-[0-9]{4}-[0-9]{4}"
    r"|(?:\(0[1-9][0-9]{0,4}\) ?|0[1-9][0-9]{1,4}[ /-]|0[1-9][0-9]{1,4} [/-] )[0-9]{2,8}(?:[ -][0-9]{2,8}){0,3}"
    r"|00[1-9][0-9]{0,2}[ -][0-9]{1,4}(?:[ -]?[0-9]{2,8}){1,4}"
    r"|1[3-9][0-9](?P<gap_of_cn>[ -])[0-9]{4}(?P=gap_of_cn)[0-9]{4}"
)
"""National numbers, which have separators."""

NUMBER = re.compile(
    rf"{_BEFORE}(?=(?:[ ().\-/]{{0,2}}[0-9]){{9}})(?:(?P<card>{_CARD}){_AFTER}|(?P<bare>[0-9]{{13,19}}){_AFTER}"
    rf"|{_ids(_IDS_WITH_SEPARATORS, _AFTER)}"
    rf"|{_NO_ROW_BEFORE}(?:{_ids(_IDS_IN_GROUPS, _NO_ROW_AFTER + _AFTER)})"
    rf"|(?P<phone>{_NO_ROW_BEFORE}(?:{_PHONE}){_NO_ROW_AFTER}){_AFTER})",
    re.ASCII,
)

INTERNATIONAL = re.compile(
    r"\+(?<![\w+]\+)\(?[0-9](?:(?:\(0\)|[ .\-/()]{0,2})[0-9]){7,14}(?<=[0-9]{2})"
    rf"(?!\w)(?!\.[0-9]){_NO_ROW_AFTER}",
    re.ASCII,
)

_CALLING_CODES = frozenset(
    "1 7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 "
    "81 82 84 86 90 91 92 93 94 95 98".split()
)
_CALLING_DECADES = frozenset("21 22 23 24 25 26 29 35 37 38 42 50 59 67 68 69 80 85 87 88 96 97 99".split())

LETTERED = re.compile(
    rf"(?<![\w-])(?:(?P<iban>{iban_form()})|{_ids(_IDS_WITH_LETTERS, _END)})",
    re.ASCII,
)

LETTER_LAST = re.compile(rf"(?<![\w.-])(?:{_ids(_IDS_WITH_LAST_LETTER, _END)})", re.ASCII)

_NUMBER_AHEAD, _LETTERED_AHEAD, _LETTER_LAST_AHEAD = (
    re.compile(f"(?={pattern.pattern})", re.ASCII) for pattern in (NUMBER, LETTERED, LETTER_LAST)
)

PHONE_LABEL = re.compile(
    r"\b(?:tele?(?:phone|fon|f)?|phone|mobile?|cell(?:ular)?|fax|call|whatsapp|sms|text|dial|ring|handy|portable|"
    r"contact)\b"
    r"[.:#]?[ \t]{0,2}(?:(?:number|no|nr|me|us|him|her|them|is|at|on|:|=|#)[.:]?[ \t]{0,2}){0,3}[\"']?"
    r"([+(]?[0-9](?:[ .\-/()]{0,2}[0-9]){6,14})(?!\w)(?!\.[0-9])(?!-\w)",
    re.IGNORECASE | re.ASCII,
)
ID_LABEL = re.compile(
    r"\b(?:ssn|social security|national insurance|national id|tax id|tin|pesel|cpf|bsn|dni|nie|nif|nino|aadhaar|"
    r"passport|driver'?s? licen[cs]e|steuer-?id|steueridentifikationsnummer|codice fiscale|personnummer|tckn|"
    r"tc kimlik|sin|curp|identity card|fødselsnummer|cnp|egn|amka|id number)\b[ \t]{0,2}"
    r"(?:(?:number|no|nr|nummer|is|:|=|#)[.:]?[ \t]{0,2}){0,3}[\"']?"
    r"(?-i:([A-Z]{0,4}[0-9](?:[ .-]?[0-9A-Z]){5,17}))(?!\w)",
    re.IGNORECASE,
)
_MANY_DIGITS = re.compile(r"[ \t:#=.(+\"'A-Z](?<![0-9][.:])[0-9](?:[ ().\-/]{0,2}[0-9A-Z]){5}", re.ASCII)


_GROUP = re.compile(r"[^0-9A-Za-z]*[0-9A-Za-z]++", re.ASCII)


def numbers(text: str) -> Iterator[Span]:
    """Yield cards, ids and phone numbers, told by their form, and most by a check digit, too."""
    yield from _right(_NUMBER_AHEAD, text, _family_of_number)
    if "+" in text:
        for found in each(INTERNATIONAL, text):
            if _is_international(digits_of(found[0])):
                yield *found.span(), "phone"


def lettered(text: str) -> Iterator[Span]:
    """Yield accounts, and ids that have letters."""
    yield from _right(_LETTERED_AHEAD, text, _family_of_lettered)
    yield from _right(_LETTER_LAST_AHEAD, text, _family_of_lettered)


def labelled(text: str) -> Iterator[Span]:
    """Yield numbers after a word that says what they are."""
    if is_in(_MANY_DIGITS, text):
        for pattern, family in ((PHONE_LABEL, "phone"), (ID_LABEL, "id")):
            for found in each(pattern, text):
                yield *found.span(1), family


def _right(pattern: re.Pattern[str], text: str, family_of: Callable[[str, str], str | None]) -> Iterator[Span]:
    """Yield what has the form and is right; in what is not right, the next group of digits may begin another.

    The pattern looks ahead at what has the form, so that one search finds all of it, also where it overlaps: in a text
    of nothing else, a search for each takes several times as long. And each is checked once, however often it is there.
    """
    known: dict[tuple[str, str], str | None] = {}
    least = 0
    for found in each(pattern, text):
        start = found.start()
        if start < least:
            continue
        kind = found.lastgroup or ""
        what = kind, found[kind]
        try:
            family = known[what]
        except KeyError:
            family = known[what] = family_of(*what)
        if family is not None:
            least = found.end(kind)
            yield start, least, family
        elif not text[start].isalnum():  # else none begins before the group ends
            group = _GROUP.match(text, start)
            least = found.end(kind) if group is None else group.end()


def _family_of_lettered(kind: str, text: str) -> str | None:
    if kind != "iban":
        return "id" if _is_id(kind, text) else None
    return "iban" if is_iban(text.replace(" ", "").replace("-", "")) else None


def _is_id(group: str, text: str) -> bool:
    return PERSONAL_IDS[group.removeprefix("id_").replace("_", "-")].is_right(text)


def _family_of_number(kind: str, text: str) -> str | None:
    if kind == "phone":
        return "phone" if 9 <= len(digits_of(text)) <= 15 else None
    if kind == "card":
        return "card" if is_card(text.replace(text[4], "")) else None
    if kind != "bare":
        return "id" if _is_id(kind, text) else None
    if is_card(text):
        return "card"
    is_id = (len(text) == 15 and text[0] in "12" and _is_id("fr", text)) or (
        len(text) == 18 and text[6:8] in ("19", "20") and _is_id("cn", text)
    )
    return "id" if is_id else None


def _is_international(digits: str) -> bool:
    if not 8 <= len(digits) <= 15 or digits[0] == "0":
        return False
    if digits[0] == "1":
        return len(digits) == 11 and digits[1] in "23456789"
    return digits[0] == "7" or digits[:2] in _CALLING_CODES or digits[:2] in _CALLING_DECADES


def is_card_number(number: int) -> bool:
    """Tell whether a whole number is that of a card."""
    return 10**12 <= number < 10**19 and is_card(str(number))
