"""What the redactor finds, what it leaves, and what it does with the values around."""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from hubwire import Event, GenericEvent, UnknownEvent, codec, event
from hubwire.errors import ConfigurationError
from hubwire.events import FrozenDict, evolve
from hubwire.redaction import FAMILIES, Finding, RedactionRule, Redactor
from support.odd import ODD

AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY"

FOUND = {
    "write to jane.doe+x@example.co.uk now": "write to [redacted:email] now",
    "call +1 415-555-0132 or 020 7946 0958": "call [redacted:phone] or [redacted:phone]",
    "card 4111 1111 1111 1111, 378282246310005": "card [redacted:card], [redacted:card]",
    "IBAN DE89 3704 0044 0532 0130 00 BIC": "IBAN [redacted:iban] BIC",
    "from 203.0.113.7 and 2001:db8::1": "from [redacted:ip] and [redacted:ip]",
    "ssn 123-45-6789": "ssn [redacted:id]",
    "DNI 12345678Z": "DNI [redacted:id]",
    f"AKIA{'IOSFODNN7EXAMPLE'} {AWS_SECRET}": "[redacted:aws] [redacted:aws]",
    "Authorization: Bearer abcdef123456": "Authorization: Bearer [redacted:bearer]",
    "Authorization: Basic dXNlcjpwYXNzd29yZA==": "Authorization: Basic [redacted:basic]",
    "postgres://admin:s3cr3t@db.example.com:5432/x": "postgres://[redacted:url]@db.example.com:5432/x",
    "Cookie: sid=abc123; theme=dark\nHost: x": "Cookie: [redacted:cookie]\nHost: x",
    "DB_PASSWORD=letmein": "DB_PASSWORD=[redacted:password]",
    "my password is Tr0ub4dor&3.": "my password is [redacted:password].",
    '{\\"password\\": \\"s3cret!!\\"}': '{\\"password\\": \\"[redacted:password]\\"}',
    "?sv=2020&sig=abc%2Bdefghijklmnop0123%3D&x=1": "?sv=2020&sig=[redacted:sas]&x=1",
}


@pytest.mark.parametrize("text", FOUND, ids=range(len(FOUND)))
def test_secrets_and_personal_data_are_replaced(text: str) -> None:
    assert Redactor().redact(text) == FOUND[text]


@pytest.mark.parametrize(
    "text",
    [
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8 at 1764400000 and 1764400000123",
        "id 0193f7a2-7abc-7def-8123-0123456789ab at 2026-11-29T07:50:26.123456Z",
        "2026-11-29 07:50:26,123 INFO [worker-3] fetched 17 pages in 0.0042 s",
        "version 1.2.3.4, v10.0.19041.1, Chrome/120.0.0.0, pip==23.2.1.4",
        "price 1,234.56 EUR and 12.99; order 123456789012",
        "icon@2x.png git@github.com:org/repo.git getty@tty1.service user@run.jsonl agent@notes.ipynb @pytest.fixture",
        'password = get_password() token: str = None, secret=os.environ["X"]',
        "std::vector<int> a::b; 127.0.0.1:8080 0.0.0.0",
        "max_tokens=4096, prompt_tokens: 1234567, token_type: bearer",
        "research-assistant-worker-3-of-the-team task_started_something_long",
        "Basic authentication and Bearer of news, basic understanding",
        "The token is invalid. password: required, password is incorrect",
        "rgb(255, 255, 255) 512 512 1024 10 20 30 40 50 60 70",
        "def login(password: str, token: Optional[str]) -> None",
    ],
    ids=range(14),
)
def test_what_only_looks_alike_stays(text: str) -> None:
    assert Redactor().redact(text) is text


def test_a_wrong_number_hides_no_right_one() -> None:
    assert Redactor().redact("001 4111 1111 1111 1111") == "001 [redacted:card]"
    assert Redactor().redact("AB12 3456 7890 DE89 3704 0044 0532 0130 00") == "AB12 3456 7890 [redacted:iban]"


def test_a_clean_value_is_returned_itself() -> None:
    value = {"kind": "task.started", "data": {"step": [1, 2.5, None, True], "note": "done"}}
    assert Redactor().redact(value) is value


APERION = """
password passwd pwd secret token access_token refresh_token id_token api_key apikey api_secret auth authorization
credential credentials private_key private_key_id client_secret ssn social_security credit_card card_number cvv cvc
phone phone_number mobile email address dob date_of_birth bank_account routing_number aws_access_key aws_secret_key
aws_session_token gcp_key azure_key connection_string session_id session_key cookie csrf_token
"""


@pytest.mark.parametrize("key", APERION.split())
def test_keys_of_aperion_name_their_value(key: str) -> None:
    made = Redactor().redact({key: "plain words", "other": "plain words"})
    assert made[key].startswith("[redacted:")
    assert made["other"] == "plain words"


@pytest.mark.parametrize(
    "key",
    [
        "userPassword",
        "X-Api-Key",
        "AWS_SECRET_ACCESS_KEY",
        "dbpassword",
        "password2",
        "password_hash",
        "Set-Cookie",
        "stripeSecretKey",
        "homeAddress",
        "customer.email",
        "HTTPAuthorization",
        "contraseña",
        "x-forwarded-for",
    ],
)
def test_compound_names_are_read_by_words(key: str) -> None:
    assert Redactor().redact({key: "plain words"})[key].startswith("[redacted:")


@pytest.mark.parametrize(
    "key",
    [
        "prompt_tokens",
        "max_tokens",
        "token_count",
        "token_type",
        "memory_address",
        "secretary",
        "author",
        "passenger",
        "password_policy",
        "password_reset_at",
        "monkey",
        "keyboard",
        "compass",
        "emailed",
        "credit_card_4421486",
    ],
)
def test_harmless_names_say_nothing(key: str) -> None:
    assert Redactor().redact({key: "plain words"})[key] == "plain words"


def test_only_leaves_below_a_name_are_replaced() -> None:
    value = {"credentials": {"user": "jane", "ports": [22, 80], "is_set": True, "none": None}}
    assert Redactor().redact(value) == {
        "credentials": {
            "user": "[redacted:secret]",
            "ports": ["[redacted:secret]", "[redacted:secret]"],
            "is_set": True,
            "none": None,
        }
    }


def test_numbers_below_a_name_may_be_counts() -> None:
    assert Redactor().redact({"token": 7, "pin": 1234}) == {"token": 7, "pin": "[redacted:password]"}


def test_a_schema_of_a_secret_stays() -> None:
    schema = {"properties": {"password": {"type": "string", "minLength": 8}}}
    assert Redactor().redact(schema) is schema


def test_a_name_may_be_beside_its_value() -> None:
    made = Redactor().redact([{"name": "password", "value": "plain"}, {"name": "colour", "value": "plain"}])
    assert made == [{"name": "password", "value": "[redacted:password]"}, {"name": "colour", "value": "plain"}]


def test_all_containers_are_gone_into() -> None:
    mail, shown = "j@example.com", "[redacted:email]"
    value: dict[Any, Any] = {
        "list": [mail],
        "tuple": (1, mail),
        "set": {mail},
        "bytes": f"x {mail}".encode(),
        "bytearray": bytearray(mail.encode()),
        mail: 1,
        (1, mail): 2,
        "card": 4111111111111111,
        "error": ValueError(mail),
    }
    assert Redactor().redact(value) == {
        "list": [shown],
        "tuple": (1, shown),
        "set": {shown},
        "bytes": f"x {shown}".encode(),
        "bytearray": bytearray(shown.encode()),
        shown: 1,
        (1, shown): 2,
        "card": "[redacted:card]",
        "error": {"$object": "builtins.ValueError", "text": shown},
    }


def test_other_objects_stay_where_clean() -> None:
    value = {"at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "error": ValueError("x")}
    assert Redactor().redact(value) is value


def test_keys_that_become_equal_are_kept_apart() -> None:
    made = Redactor().redact({"a@example.com": 1, "b@example.com": 2, "[redacted:email]": 3})
    assert sorted(made.values()) == [1, 2, 3]
    assert all(key.startswith("[redacted:email]") for key in made)


def test_json_in_a_text_keeps_its_form() -> None:
    text = '{"price": 1.10,  "n":1e5, "l": ["j@example.com", {"apiKey": "x", "pin": 12}], "u": "\\u0041"}'
    made = Redactor().redact({"text": text})["text"]
    assert made == (
        '{"price": 1.10,  "n":1e5, "l": ["[redacted:email]", '
        '{"apiKey": "[redacted:key]", "pin": "[redacted:password]"}], "u": "\\u0041"}'
    )


def test_json_is_read_through_its_escapes() -> None:
    inner = json.dumps({"a": json.dumps(["mail\\nj\\u0040example.com\nsk-proj-" + "abcDEF0123456789abcdef"])})
    hidden = inner.replace("@", "\\u0040")
    assert "abcDEF" not in Redactor().redact(hidden)
    assert Redactor().redact('["j\\u0040example.com"]') == '["[redacted:email]"]'


def test_a_key_given_twice_in_json_hides_nothing() -> None:
    assert "hunter2" not in Redactor().redact('{"a": "j@example.com", "password": "hunter2", "password": ""}')


def test_cycles_and_depth_are_withheld() -> None:
    value: list[Any] = ["j@example.com"]
    value.append(value)
    assert Redactor().redact(value) == ["[redacted:email]", "[redacted:depth]"]
    deep: Any = "j@example.com"
    for _ in range(10_000):
        deep = [deep]
    assert "example" not in repr(Redactor().redact([deep]))[:10_000]


def test_shared_parts_are_made_once() -> None:
    """A structure that refers to its parts a billion times over takes no longer than its parts."""
    value: Any = ["j@example.com"]
    for _ in range(40):
        value = [value, value]
    made = Redactor().redact(value)
    assert made[0] is made[1]


def test_redacting_again_changes_nothing() -> None:
    value = {"text": " ; ".join(FOUND), "password": "x", "l": list(FOUND)}
    for redactor in (Redactor(), Redactor(mode="pseudonym", key=b"k" * 16)):
        made = redactor.redact(value)
        assert redactor.redact(made) == made


def test_findings_say_where_and_not_what() -> None:
    found = Redactor().find({"a": [{"password": "x"}, "hi j@example.com"]})
    assert found == (Finding("password", ("a", 0, "password"), 0, 1), Finding("email", ("a", 1), 3, 16))
    assert "example" not in repr(found)


def test_families_can_be_left_out() -> None:
    text = "j@example.com at 203.0.113.7"
    assert Redactor(without=["ip"]).redact(text) == "[redacted:email] at 203.0.113.7"
    assert Redactor(without=["password"]).redact({"password": "x"}) == {"password": "x"}


def test_pseudonyms_of_equal_values_are_equal() -> None:
    redactor = Redactor(mode="pseudonym", key=b"k" * 16)
    first, second, third = redactor.redact(["j@example.com", {"email": "J@Example.com"}, "k@example.com"])
    assert first == second["email"] != third
    assert first.startswith("[email:")
    assert redactor.redact("4111 1111 1111 1111") == redactor.redact("4111-1111-1111-1111")
    assert Redactor(mode="pseudonym", key=b"l" * 16).redact("j@example.com") != first


def test_stamps_tell_rules_apart() -> None:
    key = b"k" * 16
    redactors = [
        Redactor(),
        Redactor(without=["ip"]),
        Redactor(rules=[RedactionRule("employee", keys=["employee_id"])]),
        Redactor(mode="pseudonym", key=key),
        Redactor(mode="pseudonym", key=b"l" * 16),
    ]
    assert len({each.stamp for each in redactors}) == len(redactors)
    assert Redactor(mode="pseudonym", key=key).stamp == redactors[3].stamp


# --- rules of one's own ---------------------------------------------------------------------------------------------


def test_own_rules_find_beside_those_of_the_package() -> None:
    def badges(text: str) -> Iterable[tuple[int, int]]:
        place = text.find("badge ")
        return [] if place < 0 else [(place + 6, place + 10)]

    redactor = Redactor(rules=[RedactionRule("badge", find=badges, keys=["badge_no"])])
    assert redactor.redact("badge 1234 of j@example.com") == "badge [redacted:badge] of [redacted:email]"
    assert redactor.redact({"badgeNo": 7, "x": "badge abcd"}) == {"badgeNo": 7, "x": "badge [redacted:badge]"}
    assert redactor.redact({"badgeNo": "seven"}) == {"badgeNo": "[redacted:badge]"}


def test_own_patterns_take_linear_time() -> None:
    pytest.importorskip("re2")
    redactor = Redactor(
        rules=[RedactionRule("employee", pattern=r"EMP-(\d{6})"), RedactionRule("slow", pattern=r"(?:a+)+\$")]
    )
    assert redactor.redact("EMP-123456") == "EMP-[redacted:employee]"
    text = "a" * 100_000
    assert redactor.redact(text) is text


@pytest.mark.parametrize("pattern", ["(", "", "a*", "(?<=a)b", "a" * 2000], ids=range(5))
def test_patterns_that_cannot_be_are_refused(pattern: str) -> None:
    pytest.importorskip("re2")
    with pytest.raises(ConfigurationError, match="pattern") as refused:
        RedactionRule("x", pattern=pattern)
    assert ": b" not in str(refused.value)  # RE2 says what is wrong in bytes


def test_a_pattern_needs_re2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(ConfigurationError, match="pip install google-re2"):
        RedactionRule("employee", pattern="EMP")


@pytest.mark.parametrize("text", FOUND, ids=range(len(FOUND)))
def test_the_same_is_found_without_re2(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with_it = Redactor().redact([text])
    monkeypatch.setitem(sys.modules, "re2", None)
    assert Redactor().redact([text]) == with_it == [FOUND[text]]


class Stop(BaseException):
    pass


def raising(_: str) -> list[tuple[int, int]]:
    raise Stop


def endless(_: str) -> Iterable[tuple[int, int]]:
    while True:
        yield 0, 1


BAD_RULES: dict[str, Any] = {
    "raises": raising,
    "endless": endless,
    "none": lambda _: None,
    "beyond": lambda text: [(0, len(text) + 1)],
    "negative": lambda _: [(-1, 1)],
    "backward": lambda _: [(2, 1)],
    "texts": lambda _: ["ab"],
    "floats": lambda _: [(0.0, 1.0)],
    "matches": re.compile("words").finditer,
    "triples": lambda _: [(0, 1, 2)],
}


@pytest.mark.parametrize("find", BAD_RULES.values(), ids=BAD_RULES)
def test_a_failing_rule_withholds_the_value(find: Any) -> None:
    redactor = Redactor(rules=[RedactionRule("bad", find=find)])
    made = redactor.redact({"a": "secret words"})
    assert list(made) == ["$redacted"]
    assert "secret" not in repr(made)
    assert redactor.failures == 1
    assert redactor.redact({"n": 1}) == {"n": 1} or redactor.failures == 2


@pytest.mark.parametrize("name", ["none", "texts", "matches", "triples"])
def test_find_says_what_a_rule_returns(name: str) -> None:
    redactor = Redactor(rules=[RedactionRule("bad", find=BAD_RULES[name])])
    with pytest.raises(ValueError, match=r"the rule 'bad' returned .*: find returns pairs of"):
        redactor.find({"a": "secret words"})


def test_an_interrupt_is_for_the_program() -> None:
    def interrupted(_: str) -> list[tuple[int, int]]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Redactor(rules=[RedactionRule("x", find=interrupted)]).redact("text")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rules": "email"}, "rules is a list of RedactionRule"),
        ({"rules": [1]}, "rules is a list of RedactionRule"),
        ({"rules": [RedactionRule("a", keys=["b"]), RedactionRule("a", keys=["c"])]}, "two rules have the name"),
        ({"without": "ip"}, "without is a list"),
        ({"without": ["emial"]}, "did you mean email"),
        ({"mode": "hash"}, "mode is"),
        ({"mode": "pseudonym"}, "16 random bytes"),
        ({"mode": "pseudonym", "key": b"short"}, "16 random bytes"),
        ({"key": b"k" * 16}, "key is for mode"),
    ],
    ids=range(9),
)
def test_wrong_arguments_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Redactor(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "Bad Name", "keys": ["x"]},
        {"name": "x"},
        {"name": "x", "find": 1},
        {"name": "x", "keys": "abc"},
        {"name": "x", "keys": [1]},
        {"name": "x", "keys": ["--"]},
        {"name": "x", "keys": 5},
    ],
    ids=range(7),
)
def test_wrong_rules_are_refused(arguments: Any) -> None:
    with pytest.raises(ConfigurationError, match="RedactionRule"):
        RedactionRule(**arguments)


@pytest.mark.parametrize("argument", ["rules", "without", "mode", "key"])
def test_odd_arguments_are_refused_or_taken(argument: str) -> None:
    for make in ODD:
        arguments: dict[str, Any] = {"mode": "pseudonym"} if argument == "key" else {}
        with suppress(ConfigurationError):
            Redactor(**arguments, **{argument: make()})


@pytest.mark.parametrize("argument", ["name", "pattern", "find", "keys"])
def test_odd_rules_are_refused_or_taken(argument: str) -> None:
    for make in ODD:
        with suppress(ConfigurationError):
            RedactionRule(**{"name": "odd", "keys": ["odd"], argument: make()})


def test_odd_values_are_redacted() -> None:
    """What raises an exception while it is read is shown as such; what raises another is withheld."""
    for make in ODD:
        made = REDACTOR.redact({"odd": make(), "mail": "j@example.com"})
        assert "$redacted" in made or made["mail"] == "[redacted:email]"


def test_families_are_named_once() -> None:
    assert len(set(FAMILIES)) == len(FAMILIES)


# --- events ---------------------------------------------------------------------------------------------------------


@event("shop.paid")
class Paid(Event):
    password: str = ""
    note: str = ""
    amounts: Any = None


def test_a_clean_event_is_returned_itself() -> None:
    noted = GenericEvent(kind="task.noted", data={"note": "done"}, session_id="s-1", metadata={"n": 1})
    assert Redactor().redact_event(noted) is noted


def test_fields_context_and_metadata_are_redacted() -> None:
    paid = Paid(
        password="plain",
        note="for j@example.com",
        amounts=FrozenDict({"10.99": 4111111111111111}),
        actor="j@example.com",
        session_id="plain",
        metadata=FrozenDict({"k@example.com": "x", "apiKey": "plain"}),
        seq=7,
        id="0193f7a2-7abc-7def-8123-0123456789ab",
    )
    made = Redactor().redact_event(paid)
    assert made == Paid(
        password="[redacted:password]",
        note="for [redacted:email]",
        amounts=FrozenDict({"10.99": "[redacted:card]"}),
        actor="[redacted:email]",
        session_id="plain",
        metadata=FrozenDict({"[redacted:email]": "x", "apiKey": "[redacted:key]", "redacted": "hubwire/1"}),
        seq=7,
        id="0193f7a2-7abc-7def-8123-0123456789ab",
    )
    assert b"example" not in codec.encode(made)
    assert codec.decode(codec.encode(made)) == made
    assert Redactor().redact_event(made) is made


def test_an_unknown_event_is_written_anew() -> None:
    line = codec.encode_fields({"kind": "gone.kind_made", "seq": 3, "mail": "j@example.com", "n": 1})
    made = Redactor().redact_event(codec.decode(line))
    assert isinstance(made, UnknownEvent)
    assert json.loads(codec.encode(made)) == {
        "kind": "gone.kind_made",
        "seq": 3,
        "mail": "[redacted:email]",
        "metadata": {"redacted": "hubwire/1"},
        "n": 1,
    }


def test_an_event_is_redacted_once() -> None:
    calls: list[str] = []

    def counted(text: str) -> list[tuple[int, int]]:
        calls.append(text)
        return []

    redactor = Redactor(rules=[RedactionRule("none", find=counted)])
    noted = GenericEvent(kind="task.noted", data={"note": "for j@example.com"})
    first, before = redactor.redact_event(noted), len(calls)
    assert redactor.redact_event(noted) is first
    assert len(calls) == before > 0


def test_a_failing_rule_keeps_the_event() -> None:
    redactor = Redactor(rules=[RedactionRule("bad", find=raising)])
    noted = GenericEvent(kind="task.noted", data={"note": "secret"}, seq=5, id="x", actor="jane", causation_id="y")
    made = redactor.redact_event(noted)
    assert made == evolve(
        noted, data={"$redacted": "Stop"}, actor=None, metadata=FrozenDict({"redacted": redactor.stamp})
    )
    assert redactor.failures == 1


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="event is an event"):
        Redactor().redact_event({})  # type: ignore[arg-type]


# --- any value ------------------------------------------------------------------------------------------------------


SECRETS = ["j@example.com", "AKIA" + "IOSFODNN7EXAMPLE", "4111 1111 1111 1111", "ghp_" + "a1B2" * 9, "203.0.113.77"]

REDACTOR = Redactor()

SIGNS = "{}[]\":\\,=@.-_:/ \n0123456789abkse'"

hostile_texts = st.text() | st.text(SIGNS, max_size=60) | st.sampled_from([*SECRETS, *FOUND])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | hostile_texts | st.binary(max_size=20) | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(hostile_texts | st.integers(), inner, max_size=4)
        | st.tuples(inner, inner)
        | st.frozensets(hostile_texts, max_size=3)
        | inner.map(lambda value: json.dumps(value, default=str, skipkeys=True))
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=200)
@given(values)
def test_any_value_is_redacted_for_good(value: Any) -> None:
    made = REDACTOR.redact(value)
    assert REDACTOR.failures == 0
    again = REDACTOR.redact(made)
    assert again is made or repr(again) == repr(made)


@settings(deadline=None, max_examples=200)
@given(hostile_texts, st.sampled_from(SECRETS), hostile_texts, st.integers(0, 3))
def test_a_secret_between_words_is_hidden(before: str, secret: str, after: str, form: int) -> None:
    text = f"{before} and {secret} or {after}"
    value: Any = [text, {"a": [text]}, json.dumps({"a": text}), text.encode(errors="replace")][form]
    assert secret not in str(REDACTOR.redact(value))
