"""Keys and tokens that services issue: they begin with letters by which they can be told.

Each is looked for from a sign that all of its family have, and only where a run of its characters begins. So no
character of a text is looked at more than a few times, in any text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ._windows import each

__all__ = ("Span", "plain", "private_keys", "separated")

Span = tuple[int, int, str]
"""Where a finding begins and ends, and its family."""

SEPARATED: tuple[tuple[str, str, str], ...] = (
    ("anthropic", "sk-", r"ant-[\w-]{16,}+"),
    ("openai", "sk-", r"(?:proj|svcacct|admin|service|None|or)-[\w-]{16,}+"),
    ("openai", "sk-", r"(?=[A-Za-z]{0,20}[0-9])(?=[0-9]{0,20}[A-Za-z])[A-Za-z0-9]{16,}+[\w-]{0,}+"),
    ("openai", "sk-", r"(?=[\w-]{0,24}?[A-Za-z0-9]{20})[\w-]{20,}+"),
    ("stripe", "sk_ rk_ pk_", r"(?:live|test|prod)_[A-Za-z0-9]{10,}+"),
    ("stripe", "whsec_", r"[A-Za-z0-9+/=]{16,}+"),
    ("key", "sk_ pk_", r"(?=[A-Za-z]{0,20}[0-9])[A-Za-z0-9]{20,}+"),
    ("github", "ghp_ gho_ ghu_ ghs_ ghr_", r"\w{30,}+"),
    ("github", "github_pat_", r"\w{22,}+"),
    ("gitlab", "glpat- gldt- glrt- glcbt- glptt- glft- glsoat- glagent-", r"[\w.-]{16,}+"),
    ("slack", "xoxa- xoxb- xoxc- xoxd- xoxe- xoxo- xoxp- xoxr- xoxs-", r"(?=[A-Za-z-]{0,40}[0-9])[\w%-]{10,}+"),
    ("slack", "xapp-", r"[0-9]-[\w-]{16,}+"),
    ("npm", "npm_", r"(?=[A-Za-z]{0,40}[0-9])[A-Za-z0-9]{30,}+"),
    ("pypi", "pypi-", r"(?:AgE[\w-]{16,}+|[\w-]{50,}+)"),
    ("huggingface", "hf_", r"[A-Za-z0-9]{30,}+"),
    ("google", "GOCSPX-", r"[\w-]{20,}+"),
    ("service", "dop_v1_ doo_v1_ dor_v1_", r"[a-f0-9]{32,}+"),
    ("service", "shpat_ shpca_ shppa_ shpss_ shpua_", r"[a-fA-F0-9]{32,}+"),
    ("service", "sq0atp- sq0csp- sq0idp-", r"[\w-]{20,}+"),
    ("service", "gsk_ xai- pplx- lin_api_ lin_oauth_ ntn_", r"[A-Za-z0-9]{32,}+"),
    ("service", "r8_", r"[A-Za-z0-9]{30,}+"),
    ("service", "secret_", r"(?=[A-Za-z]{0,40}[0-9])[A-Za-z0-9]{40,}+"),
    ("service", "glsa_ sntrys_ sntryu_", r"[\w+/=-]{32,}+"),
    ("service", "NRAK- NRII- NRJS-", r"[A-Za-z0-9]{20,}+"),
    ("service", "PMAK-", r"[a-f0-9]{24}-[a-f0-9]{34}"),
    ("service", "tskey-", r"[a-z]{2,10}-[\w-]{16,}+"),
    ("service", "sbp_ rubygems_", r"[a-f0-9]{40,}+"),
    ("service", "figd_ dckr_pat_ dckr_oat_ pscale_tkn_ pscale_pw_", r"[\w-]{20,}+"),
    ("service", "key-", r"[0-9a-f]{32}(?![0-9A-Za-z])"),
    ("service", "AGE-SECRET-KEY-", r"1[0-9A-Z]{40,}+"),
)
"""Family, how it begins, and what follows; letters are those of ASCII."""


def _separated() -> tuple[re.Pattern[str], list[str]]:
    """Return what finds all of these from the separator at which their beginning ends, and the family of each group.

    Most separators are those of other words. So their last letter is looked at first, and then whether enough follows.
    """
    by_end: dict[str, list[tuple[str, str]]] = {}
    for family, prefixes, body in SEPARATED:
        for prefix in prefixes.split():
            alternative = f"(?<={prefix})(?<![A-Za-z0-9_-]{prefix})({body})"
            by_end.setdefault(prefix[-2:], []).append((alternative, family))
    ends = [f"(?<={end})(?:{'|'.join([each for each, _ in some])})" for end, some in by_end.items()]
    families = [family for some in by_end.values() for _, family in some]
    return re.compile(rf"[-_](?=[\w+/=.%-]{{10}})(?:{'|'.join(ends)})", re.ASCII), families


_SEPARATED_PATTERN, _SEPARATED_FAMILIES = _separated()
_PREFIX_LENGTH_MAX = 16


_PLAIN: tuple[tuple[str, str, str], ...] = (
    ("aws", "AKIA", r"AKIA(?<![A-Za-z0-9]AKIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("aws", "ASIA", r"ASIA(?<![A-Za-z0-9]ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("aws", "ABIA", r"ABIA(?<![A-Za-z0-9]ABIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("aws", "ACCA", r"ACCA(?<![A-Za-z0-9]ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("google", "AIza", r"AIza(?<![\w-]AIza)[\w-]{30,}+"),
    ("google", "ya29.", r"ya29\.(?<![\w-]ya29\.)[\w.-]{20,}+"),
    ("jwt", "eyJ", r"eyJ(?<![\w-]eyJ)[\w-]{5,}+\.[\w-]{5,}+(?:\.[\w-]{0,}+){0,3}"),
    ("sendgrid", "SG.", r"SG\.(?<![\w-]SG\.)[\w-]{16,}+\.[\w-]{30,}+"),
    ("vault", "hvs.", r"hvs\.(?<![\w-]hvs\.)[\w-]{20,}+"),
    ("service", "dapi", r"dapi(?<![\w-]dapi)[0-9a-f]{32}(?![0-9A-Za-z])"),
    ("service", "ATATT3", r"ATATT3(?<![\w-]ATATT3)[\w=-]{30,}+"),
    ("service", ":AA", r"(?<![\w-])[0-9]{8,10}:AA[\w-]{33}(?![\w-])"),
    ("service", "-us", r"(?<![\w-])[0-9a-f]{32}-us[0-9]{1,2}(?![\w-])"),
    ("service", "dp.", r"dp\.(?<![\w-]dp\.)(?:pt|st|ct|sa)\.[\w.-]{30,}+"),
    ("slack", "hooks.slack", r"(?<=hooks\.slack\.com/)(?:services|workflows)/[\w/-]{20,}+"),
    ("service", "/webhooks/", r"(?<=/webhooks/)[0-9]{15,22}/[\w-]{40,}+"),
)

PLAIN = tuple((family, sign, re.compile(pattern, re.ASCII)) for family, sign, pattern in _PLAIN)

_OF_PARTS = frozenset({"eyJ", "SG."})
"""Those of parts of any length, so that only what follows the first one tells whether they are any."""

_AWS_SECRET = re.compile(
    r"(?<![A-Za-z0-9/+=])(?=[A-Za-z/+]{0,39}[0-9])(?=[a-z0-9/+]{0,39}[A-Z])(?=[A-Z0-9/+]{0,39}[a-z])"
    r"[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])",
    re.ASCII,
)

_PEM_BEGIN = re.compile(r"-----BEGIN ([A-Z0-9 ]{0,30}+)-----", re.ASCII)
_PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,30}+-----", re.ASCII)
_PEM_BODY = re.compile(r"(?:[A-Za-z0-9+/=:, \t\r\n-]|\\[nr])*+", re.ASCII)


def separated(text: str) -> Iterator[Span]:
    """Yield tokens whose beginning ends with a separator."""
    for found in each(_SEPARATED_PATTERN, text):
        yield _start_of(text, found.start()), found.end(), _SEPARATED_FAMILIES[(found.lastindex or 1) - 1]


def plain(text: str) -> Iterator[Span]:
    """Yield all other tokens; and beside a key id of AWS, what may be its secret."""
    for family, sign, pattern in PLAIN:
        if sign in text:
            spans = [(*found.span(), family) for found in each(pattern, text, looks_for_space=sign in _OF_PARTS)]
            yield from spans
            if spans and family == "aws":
                for secret in each(_AWS_SECRET, text):
                    yield *secret.span(), "aws"


def _start_of(text: str, separator: int) -> int:
    """Return where the run begins in which the beginning of a token ends."""
    start = separator
    least = max(0, separator - _PREFIX_LENGTH_MAX)
    while start > least and (text[start - 1].isalnum() or text[start - 1] in "-_"):
        start -= 1
    return start


def private_keys(text: str) -> Iterator[Span]:
    """Yield private keys, with their end or, where that is cut off, without."""
    place = 0
    while (begin := _PEM_BEGIN.search(text, place)) is not None:
        place = begin.end()
        if "PRIVATE KEY" in begin[1]:
            body = _PEM_BODY.match(text, place)
            last = place if body is None else body.end()
            end = _PEM_END.search(text, place, last)
            place = last if end is None else end.end()
            yield begin.start(), place, "private_key"
