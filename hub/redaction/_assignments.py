"""Secrets that a text names: ``password=...``, ``"api_key": "..."``, ``Authorization: Bearer ...``, ``://user:password@``."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator

from ._tokens import Span
from ._windows import each, is_in

__all__ = ("assignments", "schemes", "signatures", "told", "userinfo")

ASSIGNED = re.compile(
    r"(?<![\w.$-])([^\W\d][\w.-]{1,80})(?:\\{0,8}[\"'`])?\]?[ \t]{0,4}(?:=>|:=|=(?!=)|:(?!:))[ \t]{0,4}(?![=:/\s])"
)
_SIGN = re.compile(r"=|:(?<![0-9]:)|:(?![0-9]{2})")
"""A sign between a name and its value; a time of day has none."""

SPACED = re.compile(
    r"\b(credit card|card number|security code|api key|access key|secret key|private key|date of birth|account number|"
    r"routing number|bank account|client secret|access token|auth token|one-time password|verification code)"
    r"(?: is |:| =|=)[ \t]{0,4}",
    re.IGNORECASE,
)
PROSE = re.compile(
    r"\b(password|passcode|passwort|pin|passphrase|api key|secret|token)[ \t](?:is|was|ist) "
    r"(?=[\"'`]?[^\s\"'`\d!@#$%^&*]*+[\d!@#$%^&*])",
    re.IGNORECASE,
)
"""What follows is looked at as well: in most prose it is a word, and no secret."""

_QUOTE_SIGNS = "\"'`\\"
_QUOTE = re.compile(r"(\\{0,8})([\"'`])")
_QUOTED = {quote: re.compile(rf"((?:[^{quote}\\\n]|\\.)*+){quote}") for quote in "\"'`"}
_UNQUOTED = re.compile(r"[^\s\"'`<>(){}\[\],;&|\\]++")

_WORD = re.compile(r"[^\s\"'`]++")

_COOKIE = re.compile(r"[\w.!#$&+^|~-]{1,128}=[^\s;=]")
_COOKIES_END = re.compile(r"[\"'`\r\n<>{}\[\]]|\\[rn]")

_PLACEHOLDER = re.compile(
    r"[\[<{$%*(]|x{3,}$|\.{3}|…|#|-+$|your|my[-_ ]|change[-_]?me|(?:none|null|nil|true|false|undefined|string|str|int|"
    r"bool|bytes|optional|required|hidden|redacted|example|password|passwd|secret|token|object|number|text|any|self|os|env|"
    r"config|settings|yes|no|on|off|enabled|disabled|basic|bearer|invalid|expired|missing|default|unknown|empty|function|"
    r"authorization|auth|key|value|test|n/a|oauth2?|jwt|saml|ldap|kerberos|the|a|an|reset|changed|incorrect|wrong|not)"
    r"(?![\w+/=-])",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"[0-9.]+$|[A-Za-z_][\w]*(?:\.[A-Za-z_]\w*)+$|[A-Za-z_]+$|[A-Z_][A-Z0-9_]*$|[a-z]+(?:_[a-z0-9]+)+$|[a-z]+(?:-[a-z]+)+$"
)
_DIGIT = re.compile(r"\d")
_NUMERAL = re.compile(r"[0-9.]+")
_DATE = re.compile(r"[0-9]{1,4}[-./ ][0-9]{1,2}[-./ ][0-9]{1,4}")

SECRETS = frozenset({"password", "secret", "token", "key", "auth", "session", "cookie"})


def assignments(text: str, family_of: Callable[[str], str | None]) -> Iterator[Span]:
    """Yield the values after names and signs: ``password=...``; what was read as one value is not read again."""
    if not is_in(_SIGN, text):
        return
    read = 0
    for found in each(ASSIGNED, text):
        if found.start() >= read and (family := family_of(found[1])) is not None:
            read, is_one, span = _value_after(text, found, family)
            if is_one:
                yield *span, family


def told(text: str, family_of: Callable[[str], str | None]) -> Iterator[Span]:
    """Yield the values after names of several words, and of those that prose tells: ``the password is ...``."""
    read = 0
    for found in each(SPACED, text):
        family = family_of(found[1].replace(" ", "_").replace("-", "_"))
        if found.start() >= read and family is not None:
            read, is_one, span = _value_after(text, found, family)
            if is_one:
                yield *span, family
    for found in each(PROSE, text, looks_for_space=True):
        value = _WORD.match(text, found.end() + (text[found.end() : found.end() + 1] in "\"'`"))
        if value is not None and _is_odd(shown := value[0].rstrip(".!?:")):
            yield value.start(), value.start() + len(shown), "password"


_Value = tuple[int, bool, tuple[int, int]]
"""Up to where a text was read, whether that is a secret, and where this begins and ends."""


def _value_after(text: str, found: re.Match[str], family: str) -> _Value:
    place = found.end()
    if text[place : place + 1] in _QUOTE_SIGNS:
        quoted = _quoted(text, place)
        if quoted is not None:
            return quoted[1], _is_quoted_value(text[quoted[0] : quoted[1]], family), quoted
        place += text[place : place + 1] != "\\"  # what was cut off has no second sign
    value = _UNQUOTED.match(text, place)
    if value is None:
        return place, False, (place, place)
    if family == "cookie":
        return _cookies_at(text, value.start())
    if family == "auth":
        return _credentials_at(text, value)
    shown = value[0].rstrip(".!?:")
    is_call = text[value.end() : value.end() + 1] in ("(", "[", "{")
    is_tight = found[0].endswith("=") and not found[0].endswith(" =")
    is_one = not is_call and _is_plain_value(shown, family, found[1], is_tight=is_tight)
    return value.end(), is_one, (place, place + len(shown))


def _cookies_at(text: str, start: int) -> _Value:
    """All cookies of a line: their names are told by the site, and may be secret, too."""
    stop = _COOKIES_END.search(text, start)
    end = len(text) if stop is None else stop.start()
    return end, _COOKIE.match(text, start, end) is not None, (start, end)


def _credentials_at(text: str, value: re.Match[str]) -> _Value:
    """What follows ``Authorization:``, with a scheme before it or without."""
    if text[value.end() : value.end() + 1] == " " and value[0].isalpha():
        rest = _UNQUOTED.match(text, value.end() + 1)
        return (
            value.end(),
            rest is not None and _is_odd(rest[0]),
            (value.end(), value.end()) if rest is None else rest.span(),
        )
    is_one = len(value[0]) >= 8 and _is_odd(value[0]) and not _CODE.match(value[0])
    return value.end(), is_one, value.span()


def _quoted(text: str, place: int) -> tuple[int, int] | None:
    """Return where the text between two quotation marks begins and ends; they may be escaped, inside another text."""
    mark = _QUOTE.match(text, place)
    if mark is None:
        return None
    if mark[1]:
        end = text.find(mark[0], mark.end())
        return None if end < 0 else (mark.end(), end)
    inner = _QUOTED[mark[2]].match(text, mark.end())
    return None if inner is None else inner.span(1)


def _is_quoted_value(value: str, family: str) -> bool:
    if family not in SECRETS:
        return _is_of_family(value, family)
    if len(value) < 4 or _PLACEHOLDER.match(value):
        return False
    if " " in value.strip() and family != "cookie":
        return (
            family == "password"
            and value.count(" ") > 2
            and value == value.lower()
            and value.replace(" ", "").isalpha()
        )
    if family in ("password", "cookie"):
        return True
    return len(value) >= 8 and _is_odd(value) and not _NUMERAL.fullmatch(value)


def _is_plain_value(value: str, family: str, key: str, *, is_tight: bool) -> bool:
    if family not in SECRETS:
        return _is_of_family(value, family)
    if len(value) < 4 or _PLACEHOLDER.match(value):
        return False
    if _CODE.match(value):
        is_setting = is_tight and (key.isupper() or key[:1].isupper())
        return is_setting and family in ("password", "secret") and len(value) >= 6 and "." not in value
    if family == "password":
        return len(value) >= 4
    return len(value) >= 8 and _is_odd(value)


def _is_of_family(value: str, family: str) -> bool:
    if family == "birth":
        return _DATE.match(value) is not None
    if family == "card":
        return len(value) in (3, 4) and value.isdigit()
    return family in ("account", "id", "phone") and 5 <= len(value) <= 40 and sum(map(str.isdigit, value)) >= 5


def _is_odd(value: str) -> bool:
    """Tell whether a text is not a word: it has a digit or a sign among its letters."""
    if len(value) >= 6 and value[-1] in "!@#$%^&*" and value.isascii():
        return True
    return (
        len(value) >= 4 and _DIGIT.search(value) is not None and not value.isdigit() and not _PLACEHOLDER.match(value)
    )


# --- headers and addresses ------------------------------------------------------------------------------------------

SCHEME = re.compile(r"\b(?:(bearer)|(basic))[ \t]{1,4}([\w.~+/=:-]{6,}+)", re.IGNORECASE | re.ASCII)
USERINFO = re.compile(r"(?<=://)([^\s/?\"'<>]{1,256})@(?=[\w\[])")
SIGNED = re.compile(
    r"(?<=[?&;])(?:sig|signature|x-amz-signature|x-goog-signature|x-amz-security-token|awsaccesskeyid|hmac)=([\w%+/=-]{16,}+)",
    re.IGNORECASE | re.ASCII,
)


def schemes(text: str) -> Iterator[Span]:
    """Yield what follows ``Bearer`` and ``Basic``."""
    for found in each(SCHEME, text):
        value = found[3].rstrip(".:")
        if _is_basic(value) if found[2] else _is_bearer(value):
            yield found.start(3), found.start(3) + len(value), "basic" if found[2] else "bearer"


def userinfo(text: str) -> Iterator[Span]:
    """Yield user and password before the host of an address."""
    for found in each(USERINFO, text):
        user, colon, password = found[1].partition(":")
        is_given = found[1][0] not in "[{$<%" and password[:1] not in ("[", "{", "$", "<", "%", "*")
        if is_given and ((colon and password) or len(user) >= 20):
            yield found.start(1), found.end(1), "url"


def signatures(text: str) -> Iterator[Span]:
    """Yield what signs an address: with it, it opens without a password."""
    for found in each(SIGNED, text):
        yield found.start(1), found.end(1), "sas"


def _is_bearer(value: str) -> bool:
    return len(value) >= 24 or (len(value) >= 8 and any(map(str.isdigit, value)))


def _is_basic(value: str) -> bool:
    if len(value) < 8 or len(value) % 4 == 1:
        return False
    try:
        decoded = base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        return False
    return b":" in decoded and decoded.isascii()
