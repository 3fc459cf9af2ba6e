"""Checksums and plausible forms: what tells a card, an account or an id of a person from any other number."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import attrs

__all__ = ("digits_of", "is_card", "is_iban", "luhn")

_NOT_DIGITS = re.compile(r"[^0-9]+")

_SINGLE = bytes.maketrans(b"0123456789", bytes(range(10)))
_DOUBLED = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))
"""A digit twice, and the digits of that added up."""


def digits_of(text: str) -> str:
    return _NOT_DIGITS.sub("", text)


def luhn(digits: str) -> bool:
    """Tell whether the last digit is the check digit of the others by ISO/IEC 7812."""
    data = digits.encode()
    return (sum(data[-1::-2].translate(_SINGLE)) + sum(data[-2::-2].translate(_DOUBLED))) % 10 == 0


_ISSUED = re.compile(
    r"4[0-9]{12}(?:[0-9]{3}){0,2}"
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"
    r"|3[47][0-9]{13}|(?:1800|2131)[0-9]{11}"
    r"|(?:6011|65[0-9]{2}|64[4-9][0-9]|352[89]|35[3-8][0-9])[0-9]{12}(?:[0-9]{3})?"
    r"|62[0-9]{14,17}"
    r"|(?:30[0-5]|36[0-9]|38[0-9]|39[0-9])[0-9]{11}"
    r"|(?:50|56|57|58|63|67)[0-9]{14}(?:[0-9]{2,3})?"
)
"""The first digits that issuers have, each with as many as their cards have."""


def is_card(digits: str) -> bool:
    """Tell whether this is the number of a payment card: digits of an issuer, of its length, with a right last one."""
    return _ISSUED.fullmatch(digits) is not None and luhn(digits) and len(set(digits)) > 1


_IBAN_LENGTHS: Mapping[str, int] = {
    country[:2]: int(country[2:])
    for country in (
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
        "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
        "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
        "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
        "YE30"
    ).split()
}
"""From the IBAN registry of SWIFT."""


_IBAN_DIGITS = {ord(letter): str(number) for number, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 10)}


def iban_form() -> str:
    """Return a pattern for IBANs, with spaces or without: each country with as many characters as it has."""
    countries: dict[int, list[str]] = {}
    for country, length in _IBAN_LENGTHS.items():
        countries.setdefault(length, []).append(country)
    some = [f"(?:{'|'.join(names)})[0-9]{{2}}(?:[ -]?[A-Z0-9]){{{n - 4}}}" for n, names in sorted(countries.items())]
    return f"(?=[A-Z]{{2}}[0-9]{{2}})(?:{'|'.join(some)})(?![A-Za-z0-9])"


def is_iban(compact: str) -> bool:
    """Tell whether this is an IBAN, without spaces and in upper case: its length and its remainder are right."""
    if len(compact) != _IBAN_LENGTHS.get(compact[:2]):
        return False
    # Most have no letters but those of the country: then one text is made of three, and none of each character.
    moved = compact[4:] if compact[4:].isdecimal() else compact[4:].translate(_IBAN_DIGITS)
    return int(moved + compact[:4].translate(_IBAN_DIGITS)) % 97 == 1


# --- ids of persons -------------------------------------------------------------------------------------------------


def _weighted(digits: str, weights: tuple[int, ...]) -> int:
    return sum([int(digit) * weight for digit, weight in zip(digits, weights, strict=False)])


def _is_date(month: str, day: str, *, month_max: int = 12) -> bool:
    return 1 <= int(month) <= month_max and 1 <= int(day) <= 31


def _us(text: str) -> bool:
    area, group, serial = text[:3], text[4:6], text[7:]
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _gb(text: str) -> bool:
    letters = text[:2]
    return letters not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")


_LETTERS_OF_SPAIN = "TRWAGMYFPDXBNJZSQVHLCKE"


def _es(text: str) -> bool:
    compact = text.replace("-", "")
    number = {"X": "0", "Y": "1", "Z": "2"}.get(compact[0], compact[0]) + compact[1:-1]
    return compact[-1] == _LETTERS_OF_SPAIN[int(number) % 23]


_ODD_OF_ITALY = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        map(
            int, "1 0 5 7 9 13 15 17 19 21 1 0 5 7 9 13 15 17 19 21 2 4 18 20 11 3 6 8 12 14 16 10 22 25 24 23".split()
        ),
        strict=True,
    )
)


def _it(text: str) -> bool:
    odd = sum([_ODD_OF_ITALY[each] for each in text[0:15:2]])
    even = sum([int(each) if each.isdigit() else ord(each) - 65 for each in text[1:15:2]])
    return chr(65 + (odd + even) % 26) == text[15]


def _fr(text: str) -> bool:
    compact = re.sub(r"[ .]", "", text).upper().replace("2A", "19").replace("2B", "18")
    return len(compact) == 15 and compact.isdigit() and int(compact[:13]) % 97 == 97 - int(compact[13:])


def _be(text: str) -> bool:
    digits = digits_of(text)
    rest = int(digits[9:])
    return _is_date(digits[2:4], digits[4:6]) and any(
        97 - int(century + digits[:9]) % 97 == rest for century in ("", "2")
    )


def _br(text: str) -> bool:
    digits = digits_of(text)
    first = _weighted(digits, (10, 9, 8, 7, 6, 5, 4, 3, 2)) * 10 % 11 % 10
    second = _weighted(digits, (11, 10, 9, 8, 7, 6, 5, 4, 3, 2)) * 10 % 11 % 10
    return len(set(digits)) > 1 and digits[9:] == f"{first}{second}"


def _ch(text: str) -> bool:
    digits = digits_of(text)
    return (_weighted(digits, (1, 3) * 6) + int(digits[12])) % 10 == 0


def _cl(text: str) -> bool:
    compact = re.sub(r"[.-]", "", text).upper()
    rest = 11 - sum([int(digit) * (2 + index % 6) for index, digit in enumerate(reversed(compact[:-1]))]) % 11
    return compact[-1] == {11: "0", 10: "K"}.get(rest, str(rest))


def _cn(text: str) -> bool:
    compact = text.upper()
    rest = _weighted(compact, (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)) if compact[:17].isdigit() else -1
    return _is_date(compact[10:12], compact[12:14]) and compact[17] == "10X98765432"[rest % 11]


def _fi(text: str) -> bool:
    return (
        _is_date(text[2:4], text[:2]) and text[10] == "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(text[:6] + text[7:10]) % 31]
    )


def _se_or_dk(text: str) -> bool:
    """Ids of Sweden have a check digit, those of Denmark, of the same form, have none any more."""
    digits = digits_of(text)[-10:]
    day = int(digits[4:6])
    is_swedish = _is_date(digits[2:4], str(day - 60 if day > 60 else day)) and luhn(digits)
    return is_swedish or (len(text) == 11 and _is_date(text[2:4], text[:2]))


def _kr(text: str) -> bool:
    digits = digits_of(text)
    rest = (11 - _weighted(digits, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10
    return _is_date(digits[2:4], digits[4:6]) and rest == int(digits[12])


_VERHOEFF_TIMES = tuple(
    tuple(int(each) for each in row)
    for row in (
        "0123456789 1234067895 2340178956 3401289567 4012395678 5987604321 6598710432 7659821043 8765932104 9876543210"
    ).split()
)
_VERHOEFF_PLACES = tuple(
    tuple(int(each) for each in row)
    for row in "0123456789 1576283094 5803796142 8916043527 9453126870 4286573901 2793806415 7046913258".split()
)


def _in(text: str) -> bool:
    check = 0
    for index, digit in enumerate(reversed(digits_of(text))):
        check = _VERHOEFF_TIMES[check][_VERHOEFF_PLACES[index % 8][int(digit)]]
    return check == 0


def _ca(text: str) -> bool:
    digits = digits_of(text)
    return digits[0] not in "08" and luhn(digits)


def _mx(text: str) -> bool:
    letters = "0123456789ABCDEFGHIJKLMN&OPQRSTUVWXYZ"
    rest = sum([letters.index(each) * (18 - index) for index, each in enumerate(text[:17])]) % 10
    return _is_date(text[6:8], text[8:10]) and text[17] == str((10 - rest) % 10)


@attrs.frozen(eq=False, repr=False)
class PersonalId:
    """A national id of persons: its form, and whether a text of this form is one."""

    form: str
    is_right: Callable[[str], bool]


PERSONAL_IDS: Mapping[str, PersonalId] = {
    "us": PersonalId(r"[0-9]{3}-[0-9]{2}-[0-9]{4}", _us),
    "be": PersonalId(r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}", _be),
    "br": PersonalId(r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", _br),
    "ch": PersonalId(r"756\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}", _ch),
    "cl": PersonalId(r"[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}-[0-9Kk]", _cl),
    "cn": PersonalId(r"[1-9][0-9]{5}(?:19|20)[0-9]{9}[0-9Xx]", _cn),
    "es": PersonalId(r"[0-9]{8}-?[A-Z]", _es),
    "fi": PersonalId(r"[0-9]{6}[-+A][0-9]{3}[0-9A-Y]", _fi),
    "fr": PersonalId(r"[12] ?[0-9]{2} ?(?:0[1-9]|1[0-2]) ?(?:[0-9]{2}|2[AB]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}", _fr),
    "in": PersonalId(r"[2-9][0-9]{3} [0-9]{4} [0-9]{4}", _in),
    "kr": PersonalId(r"[0-9]{6}-[1-8][0-9]{6}", _kr),
    "se": PersonalId(r"(?:19|20)?[0-9]{6}[-+][0-9]{4}", _se_or_dk),
    "ca": PersonalId(r"[0-9]{3}-[0-9]{3}-[0-9]{3}", _ca),
    "es-nie": PersonalId(r"[XYZ]-?[0-9]{7}-?[A-Z]", _es),
    "gb": PersonalId(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?: ?[0-9]{2}){3} ?[A-D]", _gb),
    "it": PersonalId(r"[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z]", _it),
    "mx": PersonalId(r"[A-Z]{4}[0-9]{6}[HMX][A-Z]{5}[A-Z0-9][0-9]", _mx),
}
"""By country. Left out are ids of eleven or thirteen digits alone (de, no, pl, tr, za): any number may be one."""
