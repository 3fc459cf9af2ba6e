"""The corpus of redaction: 600 texts and records with a secret, in 40 families, and 6,000 texts without one.

It is generated, with the same result every time: so no file of the repository holds what looks like a secret. The
harmless texts are lines of this repository's code and documentation, log lines, and data of all kinds that look a
little like a secret: hashes, times, versions, prices, ids.
"""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

ROOT = Path(__file__).resolve().parents[1]

POSITIVES_A_FAMILY = 15
NEGATIVES = 6000

LOWER = string.ascii_lowercase
ALNUM = string.ascii_letters + string.digits
URL_SAFE = f"{ALNUM}-_"
HEX = "0123456789abcdef"

Random = random.Random


@attrs.frozen
class Positive:
    family: str
    value: Any
    """A text, or a record."""
    secret: str
    """What must not be in it afterwards; and what is around it, in its text, stays."""


# --- secrets --------------------------------------------------------------------------------------------------------


def drawn(rng: Random, letters: str, count: int) -> str:
    """Return random letters, with one of each kind that there is among them, so that no text of one kind results."""
    kinds = [
        kind for kind in (string.ascii_lowercase, string.ascii_uppercase, string.digits) if set(kind) & set(letters)
    ]
    few = [rng.choice(sorted(set(kind) & set(letters))) for kind in kinds]
    rest = few + [rng.choice(letters) for _ in range(count - len(few))]
    rng.shuffle(rest)
    if rest[0] in "-_":
        rest[0] = "a"
    return "".join(rest)


def digits(rng: Random, count: int, *, first: str = "123456789") -> str:
    return rng.choice(first) + "".join(rng.choice(string.digits) for _ in range(count - 1))


def with_luhn(body: str) -> str:
    total = 0
    for index, digit in enumerate(reversed(body)):
        number = int(digit) * (2 if index % 2 == 0 else 1)
        total += number - 9 if number > 9 else number
    return f"{body}{-total % 10}"


def card(rng: Random) -> str:
    start, length = rng.choice(
        [
            ("4", 16),
            ("51", 16),
            ("55", 16),
            ("2221", 16),
            ("34", 15),
            ("37", 15),
            ("6011", 16),
            ("3528", 16),
            ("36", 14),
        ]
    )
    number = with_luhn(start + "".join(rng.choice(string.digits) for _ in range(length - len(start) - 1)))
    gap = rng.choice(["", "", " ", "-"])
    if length == 16:
        return gap.join(number[place : place + 4] for place in range(0, 16, 4))
    return gap.join((number[:4], number[4:10], number[10:])) if length == 15 else number


def iban(rng: Random) -> str:
    forms = {
        "CH": "n" * 5 + "c" * 12,
        "DE": "n" * 18,
        "ES": "n" * 20,
        "FR": "n" * 10 + "c" * 11 + "nn",
        "GB": "aaaa" + "n" * 14,
        "IT": "a" + "n" * 10 + "c" * 12,
        "NL": "aaaa" + "n" * 10,
        "NO": "n" * 11,
    }
    country, form = rng.choice(sorted(forms.items()))
    kinds = {"n": string.digits, "a": string.ascii_uppercase, "c": string.digits + string.ascii_uppercase}
    body = "".join(rng.choice(kinds[kind]) for kind in form)
    check = 98 - int("".join(str(int(each, 36)) for each in f"{body}{country}00")) % 97
    number = f"{country}{check:02}{body}"
    return " ".join(number[place : place + 4] for place in range(0, len(number), 4)) if rng.random() < 0.5 else number


def ssn(rng: Random) -> str:
    return f"{rng.randrange(1, 665):03}-{rng.randrange(1, 100):02}-{rng.randrange(1, 10_000):04}"


def national_id(rng: Random) -> str:
    born = f"{rng.randrange(100):02}{rng.randrange(1, 13):02}{rng.randrange(1, 29):02}"
    number = rng.randrange(10_000_000, 100_000_000)
    french = f"{rng.choice('12')}{born[:4]}{rng.randrange(1, 96):02}{rng.randrange(1000):03}{rng.randrange(1000):03}"
    cpf = [rng.randrange(10) for _ in range(9)]
    for length in (9, 10):
        cpf.append(sum((length + 1 - index) * cpf[index] for index in range(length)) * 10 % 11 % 10)
    text = "".join(map(str, cpf))
    ahv = f"756{rng.randrange(10**9):09}"
    last = -sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(ahv)) % 10
    return rng.choice(
        [
            f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}",
            f"{french}{97 - int(french) % 97:02}",
            f"{text[:3]}.{text[3:6]}.{text[6:9]}-{text[9:]}",
            f"756.{ahv[3:7]}.{ahv[7:11]}.{ahv[11:]}{last}",
            f"{born}-{with_luhn(born + f'{rng.randrange(1000):03}')[6:]}",
            f"{rng.choice(['AB', 'CE', 'JK', 'SR'])}{rng.randrange(10**6):06}{rng.choice('ABCD')}",
        ]
    )


def email(rng: Random) -> str:
    name = rng.choice(["jane", "j.doe", "maria_lopez", "o'neil", "wei.zhang+news", "x", "info", "björn"])
    host = rng.choice(["example", "mail.example", "acme-corp", "uni-bonn", "sub.domain.firm"])
    return f"{name}{rng.choice(['', str(rng.randrange(100))])}@{host}.{rng.choice(['com', 'org', 'de', 'co.uk', 'io'])}"


def phone_international(rng: Random) -> str:
    return rng.choice(
        [
            f"+1{rng.randrange(2, 10)}{digits(rng, 2)}{rng.randrange(2, 10)}{digits(rng, 6)}",
            f"+1 ({rng.randrange(200, 999)}) {rng.randrange(200, 999)}-{rng.randrange(10**4):04}",
            f"+49 {rng.randrange(30, 999)} {digits(rng, 7)}",
            f"+44 20 {rng.randrange(7000, 9000)} {rng.randrange(10**4):04}",
            f"+33 {rng.randrange(1, 8)} " + " ".join(f"{rng.randrange(100):02}" for _ in range(4)),
            f"+91 {rng.randrange(60_000, 99_999)} {rng.randrange(10**5):05}",
            f"+49{digits(rng, 10)}",
            f"+86 13{rng.randrange(10)} {rng.randrange(10**4):04} {rng.randrange(10**4):04}",
        ]
    )


def phone_national(rng: Random) -> str:
    area, exchange, rest = rng.randrange(200, 999), rng.randrange(200, 999), f"{rng.randrange(10**4):04}"
    return rng.choice(
        [
            f"({area}) {exchange}-{rest}",
            f"{area}-{exchange}-{rest}",
            f"{area}.{exchange}.{rest}",
            f"020 {rng.randrange(7000, 9000)} {rest}",
            f"0{rng.randrange(150, 179)}/{digits(rng, 7)}",
            f"0{rng.randrange(1, 8)} " + " ".join(f"{rng.randrange(100):02}" for _ in range(4)),
            f"030-{digits(rng, 7)}",
        ]
    )


def ipv4(rng: Random) -> str:
    return f"{rng.choice([10, 84, 172, 192, 203])}." + ".".join(str(rng.randrange(1, 255)) for _ in range(3))


def ipv6(rng: Random) -> str:
    groups = [f"{rng.randrange(1, 2**16):x}" for _ in range(8)]
    groups[0] = rng.choice(["2001", "2a02", "fd12", "fe80"])
    return ":".join(groups) if rng.random() < 0.5 else f"{groups[0]}:{groups[1]}::{groups[2]}"


def jwt(rng: Random) -> str:
    parts = [{"alg": "HS256", "typ": "JWT"}, {"sub": digits(rng, 10), "iat": 1_764_400_000}]
    coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*coded, drawn(rng, URL_SAFE, 43)])


def pem(rng: Random) -> str:
    kind = rng.choice(["RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"])
    lines = [drawn(rng, f"{ALNUM}+/", 64) for _ in range(4)]
    return "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----"])


def password(rng: Random) -> str:
    return rng.choice(["hunter", "Sommer", "s3cr3t", "Winter!", "correct"]) + drawn(rng, f"{ALNUM}!#%", 6) + "7"


# --- families -------------------------------------------------------------------------------------------------------

CARRIERS = (
    "the value is {} now",
    "2026-11-29 07:50:26 INFO worker-3: using {}",
    "{}",
    "curl failed for {} with status 401",
    'client = Client("{}")',
    "- {}\n- next",
    "export VALUE={}",
    "({})",
    "error: {}: permission denied",
)

Drawn = Callable[[Random], str]

ALONE: Mapping[str, Drawn] = {
    "openai project": lambda rng: f"sk-proj-{drawn(rng, URL_SAFE, 74)}",
    "openai": lambda rng: f"sk-{drawn(rng, ALNUM, 48)}",
    "anthropic": lambda rng: f"sk-ant-api03-{drawn(rng, URL_SAFE, 93)}AA",
    "github": lambda rng: f"{rng.choice(['ghp', 'gho', 'ghu', 'ghs', 'ghr'])}_{drawn(rng, ALNUM, 36)}",
    "github fine-grained": lambda rng: f"github_pat_{drawn(rng, ALNUM, 22)}_{drawn(rng, ALNUM, 59)}",
    "gitlab": lambda rng: f"glpat-{drawn(rng, URL_SAFE, 20)}",
    "slack": lambda rng: f"xox{rng.choice('bpars')}-{digits(rng, 12)}-{digits(rng, 12)}-{drawn(rng, ALNUM, 24)}",
    "slack app": lambda rng: (
        f"xapp-1-A{drawn(rng, string.ascii_uppercase + string.digits, 10)}-{digits(rng, 13)}-" + drawn(rng, HEX, 64)
    ),
    "aws key id": lambda rng: rng.choice(["AKIA", "ASIA"]) + drawn(rng, string.ascii_uppercase + "234567", 16),
    "google": lambda rng: f"AIza{drawn(rng, URL_SAFE, 35)}",
    "stripe": lambda rng: f"{rng.choice(['sk', 'rk'])}_{rng.choice(['live', 'test'])}_{drawn(rng, ALNUM, 24)}",
    "npm": lambda rng: f"npm_{drawn(rng, ALNUM, 36)}",
    "pypi": lambda rng: f"pypi-AgEIcHlwaS5vcmc{drawn(rng, URL_SAFE, 120)}",
    "huggingface": lambda rng: f"hf_{drawn(rng, ALNUM, 34)}",
    "sendgrid": lambda rng: f"SG.{drawn(rng, URL_SAFE, 22)}.{drawn(rng, URL_SAFE, 43)}",
    "other services": lambda rng: rng.choice(
        [
            f"dop_v1_{drawn(rng, HEX, 64)}",
            f"shpat_{drawn(rng, HEX, 32)}",
            f"gsk_{drawn(rng, ALNUM, 52)}",
            f"{digits(rng, 10)}:AA{drawn(rng, URL_SAFE, 33)}",
            f"dapi{drawn(rng, HEX, 32)}",
        ]
    ),
    "jwt": jwt,
    "private key": pem,
    "email": email,
    "phone, international": phone_international,
    "phone, national": phone_national,
    "card": card,
    "iban": iban,
    "us ssn": ssn,
    "national id": national_id,
    "ipv4": ipv4,
    "ipv6": ipv6,
}


def named(rng: Random) -> Iterator[tuple[str, Any, str]]:
    """Yield one example of each family whose secret is told by what is around it."""
    secret = drawn(rng, f"{ALNUM}+/", 40)
    yield "aws secret", f"key AKIA{drawn(rng, string.ascii_uppercase, 16)} secret {secret}", secret
    secret = base64.b64encode(f"{rng.choice(['user', 'svc'])}:{password(rng)}".encode()).decode()
    yield "basic", rng.choice(["Authorization: Basic {}", "-H 'authorization: basic {}'"]).format(secret), secret
    secret = drawn(rng, URL_SAFE, rng.randrange(16, 40))
    yield "bearer", rng.choice(["Authorization: Bearer {}", '{{"Authorization": "Bearer {}"}}']).format(secret), secret
    secret = drawn(rng, ALNUM, 40) + "%3D"
    yield "sas", f"https://acme.blob.core.windows.net/data/x?sv=2024-11-04&sp=r&sig={secret}", secret
    secret = base64.b64encode(rng.randbytes(64)).decode()
    yield "connection string", f"AccountName=acme;AccountKey={secret};EndpointSuffix=core.windows.net", secret
    secret = drawn(rng, ALNUM, 26)
    yield (
        "cookie",
        rng.choice(["Cookie: sid={}; theme=dark", "Set-Cookie: session={}; HttpOnly"]).format(secret),
        secret,
    )
    secret = password(rng)
    yield "url", rng.choice(["postgres://app:{}@db:5432/x", "https://svc:{}@example.org/p"]).format(secret), secret
    secret = password(rng)
    forms = ['password = "{}"', "DB_PASSWORD={}", "pwd: {}", "?user=jane&password={}", "the password is {}"]
    yield "password in a text", rng.choice(forms).format(secret), secret
    secret = drawn(rng, ALNUM, 32)
    forms = ['api_key = "{}"', "X-API-Key: {}", '"apiKey": "{}"', "client_secret={}", "?access_token={}&x=1"]
    yield "key in a text", rng.choice(forms).format(secret), secret
    secret = "-".join(rng.choice(["apple", "river", "stone", "cloud", "green"]) for _ in range(4))
    yield "password by key", {rng.choice(["password", "dbPassword", "PGPASSWORD", "user.passwd"]): secret}, secret
    yield "token by key", {rng.choice(["accessToken", "X-Api-Key", "client_secret", "authToken"]): secret}, secret
    yield "person by key", {rng.choice(["homeAddress", "date_of_birth", "phoneNumber", "ssn"]): f"{secret} 5"}, secret
    secret = email(rng)
    text = json.dumps({"to": [json.dumps({"a": secret}, ensure_ascii=False)], "n": 1.10}, ensure_ascii=False)
    yield "json in a text", {"content": text}, secret


def positives(seed: int = 1) -> Iterator[Positive]:
    rng = random.Random(seed)
    for family, make in ALONE.items():
        for number in range(POSITIVES_A_FAMILY):
            secret = make(rng)
            text = CARRIERS[number % len(CARRIERS)].format(secret)
            value = (text, {"message": text, "n": number}, [text], {"data": {"items": [{"text": text}]}})[number % 4]
            yield Positive(family, value, secret)
    for _ in range(POSITIVES_A_FAMILY):
        for family, value, secret in named(rng):
            yield Positive(family, value, secret)


# --- what is harmless -----------------------------------------------------------------------------------------------


def uuid(rng: Random) -> str:
    text = "".join(rng.choice(HEX) for _ in range(32))
    return f"{text[:8]}-{text[8:12]}-7{text[13:16]}-a{text[17:20]}-{text[20:]}"


def stamp(rng: Random) -> str:
    day = f"2026-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"
    time = f"{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}"
    return rng.choice(
        [f"{day}T{time}.{rng.randrange(10**6):06}Z", f"{day} {time},{rng.randrange(1000):03}", f"[{day} {time}]"]
    )


DATA: tuple[Drawn, ...] = (
    lambda rng: f"commit {''.join(rng.choice(HEX) for _ in range(40))}",
    lambda rng: f"sha256:{''.join(rng.choice(HEX) for _ in range(64))}",
    lambda rng: f"md5 {''.join(rng.choice(HEX) for _ in range(32))}  file.tar.gz",
    lambda rng: f"request {uuid(rng)} took {rng.random():.4f} s",
    lambda rng: f"at {rng.randrange(1_600_000_000, 1_800_000_000)}",
    lambda rng: f"at {rng.randrange(1_600_000_000_000, 1_800_000_000_000)} ms",
    lambda rng: f"t={rng.randrange(1_600_000_000, 1_800_000_000)}.{rng.randrange(10**6):06}",
    lambda rng: f"version {rng.randrange(20)}.{rng.randrange(20)}.{rng.randrange(20)}.{rng.randrange(9999)}",
    lambda rng: f"numpy=={rng.randrange(3)}.{rng.randrange(30)}.{rng.randrange(9)}",
    lambda rng: f"Mozilla/5.0 (X11) Chrome/{rng.randrange(90, 130)}.0.{rng.randrange(9999)}.{rng.randrange(255)}",
    lambda rng: f"total {rng.randrange(1, 999)},{rng.randrange(1000):03}.{rng.randrange(100):02} EUR",
    lambda rng: f"price: {rng.randrange(1, 99_999)}.{rng.randrange(100):02}",
    lambda rng: f"order {digits(rng, rng.randrange(5, 13))} shipped",
    lambda rng: f"id={digits(rng, 18, first='1')}",
    lambda rng: f"task_{drawn(rng, LOWER + string.digits, 12)} started",
    lambda rng: f"agent researcher-{rng.randrange(99)}-{drawn(rng, HEX, 6)} joined",
    lambda rng: f"http://localhost:{rng.randrange(1024, 65535)}/v1/items?limit={rng.randrange(100)}",
    lambda rng: f"https://example.org/{drawn(rng, LOWER, 8)}/{digits(rng, 6)}.html#L{rng.randrange(999)}",
    lambda rng: f"{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02} +{rng.random():.6f}",
    lambda rng: f"mac {':'.join(f'{rng.randrange(256):02x}' for _ in range(6))}",
    lambda rng: f"0x{rng.randrange(2**48):012x}",
    lambda rng: f"prompt_tokens={rng.randrange(99_999)} completion_tokens={rng.randrange(9999)} max_tokens: 4096",
    lambda rng: f"token_type: bearer, expires_in: {rng.randrange(9999)}",
    lambda rng: f"rgb({rng.randrange(256)}, {rng.randrange(256)}, {rng.randrange(256)})",
    lambda rng: f"{rng.randrange(9999)} {rng.randrange(9999)} {rng.randrange(9999)} {rng.randrange(9999)}",
    lambda rng: f"lat {rng.uniform(-90, 90):.6f}, lon {rng.uniform(-180, 180):.6f}",
    lambda rng: (
        f"ISBN 978-{rng.randrange(10)}-{rng.randrange(100, 999)}-{rng.randrange(10_000, 99_999)}-{rng.randrange(10)}"
    ),
    lambda rng: f"JIRA-{rng.randrange(99_999)} ABC{rng.randrange(999)} RFC {rng.randrange(9999)}",
    lambda rng: (
        f"-rw-r--r-- 1 root root {rng.randrange(9_999_999)} Nov {rng.randrange(1, 30)} 07:5{rng.randrange(10)} a.txt"
    ),
    lambda rng: f"pid {rng.randrange(99_999)} rss {rng.randrange(999_999)} kB cpu {rng.random() * 100:.1f}%",
)

CODE: tuple[str, ...] = (
    "password = getpass.getpass()",
    "def login(user: str, password: str, token: str | None = None) -> Session:",
    'token = os.environ["API_TOKEN"]',
    "secret = settings.secret_key.get_secret_value()",
    "headers = {'Authorization': f'Bearer {token}'}",
    "if not check_password(password, user.password_hash): raise Unauthorized",
    'parser.add_argument("--api-key", help="the key of the service")',
    "api_key: str = Field(default=..., repr=False)",
    "self.token = token or self._load_token()",
    "key=lambda item: item.key",
    "import key_manager as keys",
    "from .auth import authorize, AuthError",
    "git clone git@github.com:acme/widget.git",
    "@pytest.fixture(scope='module')",
    "std::vector<std::string> parts = absl::StrSplit(text, ',');",
    "docker run -p 8080:80 -e PASSWORD=$PASSWORD image:1.2.3",
    "const url = `https://${user}:${password}@${host}/`;",
    "SELECT token, email FROM users WHERE id = $1",
    "raise ValueError('the password is too short')",
    "x = matrix_a@matrix_b.T",
    "url(r'^users/(?P<pk>[0-9]+)/$', view)",
    "bind 0.0.0.0:8000; listen 127.0.0.1:9000; mask 255.255.255.0",
    "icon@2x.png sprite@3x.webp getty@tty1.service",
    "assert response.cookies['session'] is None",
    "sk-learn-contrib sk-estimator-doc-link css-sk-toggleable-label",
)


def lines_of_the_repository() -> list[str]:
    """Return lines of code and documentation, in the order of their files."""
    files = sorted([*(ROOT / "hub").rglob("*.py"), *(ROOT / "stores").rglob("*.py"), *(ROOT / "docs").rglob("*.md")])
    return [
        line
        for file in files
        if "redaction" not in file.relative_to(ROOT).as_posix()
        for line in file.read_text(encoding="utf-8").split("\n")
        if len(line) > 20
    ]


def negatives(seed: int = 2) -> Iterator[str]:
    rng = random.Random(seed)
    real = lines_of_the_repository()
    for number in range(NEGATIVES):
        if number % 3 == 0:
            yield rng.choice(real)
        elif number % 3 == 1:
            yield f"{stamp(rng)} {rng.choice(['INFO', 'DEBUG', 'WARN'])} {rng.choice(DATA)(rng)}"
        else:
            yield rng.choice(CODE) if number % 4 == 0 else rng.choice(DATA)(rng)


def texts_of(value: Any) -> Iterator[str]:
    """Yield all texts of a record, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item)
