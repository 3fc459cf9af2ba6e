"""Section 8 of the design, "records": one event, one line of JSON, and back."""

from __future__ import annotations

import json
import typing
from itertools import count
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

import hubwire.events
from hubwire import Event, GenericEvent, UnknownEvent, codec
from hubwire.context import EMPTY
from hubwire.errors import InvalidRecord
from hubwire.events import AgentRegistered, EnvelopePosted, FrozenDict, ListenerFailed, ToolCompleted, evolve
from hubwire.events._stamp import stamp
from support.shapes import Shaped, a_value_of, an_event_of, shipped_kinds

AT = "2026-11-21T09:30:00.000001Z"


def stamped(event: Event, seq: int = 7) -> Event:
    return stamp(event, seq=seq, id="an id", at=AT, hub="a hub", context=EMPTY, bytes_max=1 << 20)


def fields_of(body: bytes) -> dict[str, Any]:
    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert [key for key, _ in pairs] == sorted({key for key, _ in pairs})
        return dict(pairs)

    fields = json.loads(body, object_pairs_hook=check)
    assert isinstance(fields, dict)
    return fields


# --- events there and back --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [False, True], ids=["bare", "full"])
@pytest.mark.parametrize("cls", [*shipped_kinds(), Shaped], ids=lambda cls: cls.__name__)
def test_every_kind_is_read_back_as_written(cls: type[Event], header: bool) -> None:
    made = stamped(an_event_of(cls, header=header))
    body = codec.encode(made)
    fields = fields_of(body)
    assert {"seq": 7, "id": "an id", "at": AT, "hub": "a hub", "kind": cls.kind}.items() <= fields.items()
    read = codec.decode(body)
    assert type(read) is cls
    assert read == made
    assert codec.encode(evolve(read)) == body


@pytest.mark.parametrize("cls", shipped_kinds(), ids=lambda cls: cls.__name__)
def test_fields_with_defaults_may_be_left_out(cls: type[Event]) -> None:
    hints = typing.get_type_hints(cls)
    needed = {field.name for field in attrs.fields(cls) if field.default is attrs.NOTHING}
    made = stamped(cls(**{name: a_value_of(hints[name]) for name in needed}))
    assert codec.decode(codec.encode(made)) == made


def test_empty_context_is_not_written() -> None:
    """All other fields are, also those that are None."""
    body = codec.encode(stamped(ToolCompleted(tool="t", call_id="c")))
    assert body == (
        b'{"at":"2026-11-21T09:30:00.000001Z","call_id":"c","duration_ms":null,"hub":"a hub","id":"an id",'
        b'"kind":"tool.completed","result":null,"seq":7,"tool":"t"}'
    )


def test_given_empty_values_are_written() -> None:
    """An empty text, tuple or dictionary that was given is not the same as none."""
    fields = fields_of(codec.encode(stamped(ToolCompleted(tool="", call_id="", result=(), tenant="", metadata={}))))
    assert (fields["tenant"], fields["metadata"], fields["result"]) == ("", {}, [])


def test_depth_is_written_if_not_zero() -> None:
    around = evolve(EMPTY, depth=2, causation_id="the cause")
    made = stamp(GenericEvent(kind="a.b"), seq=1, id="i", at=AT, hub="h", context=around, bytes_max=1 << 20)
    assert fields_of(codec.encode(made))["depth"] == 2
    assert codec.decode(codec.encode(made)) == made


def test_a_generic_event_is_read_back() -> None:
    made = stamped(GenericEvent(kind="user.came", data={"b": {"d": 1, "c": [1.0, None]}, "a": "\u2028"}))
    read = codec.decode(codec.encode(made))
    assert type(read) is GenericEvent
    assert read == made
    assert type(read.data) is FrozenDict


def test_an_event_is_encoded_once() -> None:
    made = stamped(GenericEvent(kind="user.came"))
    assert codec.encode(made) is codec.encode(made)


def test_hand_made_records_are_sorted_and_one_line() -> None:
    """Keys are sorted at every level, and line separators are escaped."""
    body = codec.encode_fields({"b": {"d": 1, "c": {"f": 1, "e": 2}}, "a": "\u2028\u2029\u0085\x7f\n", "\u2028": 1})
    assert fields_of(body)["b"]["c"] == {"e": 2, "f": 1}
    assert body.decode().splitlines() == [body.decode()]
    assert b"\x7f" not in body


CLEAN = st.characters(exclude_categories=["Cs"])


# --- what a log adds --------------------------------------------------------------------------------------------------


@given(
    st.dictionaries(
        st.text(CLEAN).filter(lambda key: key not in ("d", "h")), st.integers(0, 9) | st.text('d":,{}h\\\n1')
    ),
    st.integers(0, 2**64),
    st.none() | st.text("abcXYZ019_-", min_size=22, max_size=22),
)
def test_unsealing_undoes_sealing(fields: dict[str, Any], durable: int, chain: str | None) -> None:
    body = codec.encode_fields({"at": AT, **fields})
    value = None if chain is None else chain.encode()
    line = codec.seal(body, durable, value)
    assert codec.unseal(line) == (body, durable, value)
    sealed = json.loads(line)
    assert sealed.pop("d") == durable
    assert sealed.pop("h", None) == chain
    assert list(json.loads(line))[-1] == ("d" if chain is None else "h")


def test_a_sealed_record_ends_in_d_and_h() -> None:
    assert codec.seal(b'{"a":1}', 12) == b'{"a":1,"d":12}'
    assert codec.seal(b'{"a":1}', 12, b"x" * 22) == b'{"a":1,"d":12,"h":"xxxxxxxxxxxxxxxxxxxxxx"}'


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b'{"a":1}',
        b'{"a":1,"d":1',
        b'{"a":1,"d":1}x',
        b'{"a":1,"d":1} ',
        b'{"a":1,"d":1}\n',
        b'{"a":1,"d":-1}',
        b'{"a":1,"d":1.0}',
        b'{"a":1,"d":}',
        b'{"a":1,"d":"1"}',
        b'{"a":1, "d":1}',
        b'{"a":1,"d":1,"h":""}',
        b'{"a":1,"d":1,"h":"xxxxxxxxxxxxxxxxxxxxx"}',
        b'{"a":1,"d":1,"h":"xxxxxxxxxxxxxxxxxxxxxxx"}',
        b'{"a":1,"d":1,"h":"xxxxxxxxxxxxxxxxxxxxx="}',
        b'{"a":1,"d":1,"z":"xxxxxxxxxxxxxxxxxxxxxx"}',
        b'{"a":1,"h":"xxxxxxxxxxxxxxxxxxxxxx","d":1}  ',
        b"\xff\xfe\0" * 100,
        "d".encode("utf-16"),
    ],
)
def test_a_line_without_a_seal_is_refused(line: bytes) -> None:
    with pytest.raises(InvalidRecord, match='does not end in "d" and "h"'):
        codec.unseal(line)


# --- what is not ours -------------------------------------------------------------------------------------------------

HEAD: dict[str, Any] = {"seq": 3, "id": "i", "at": AT, "hub": "h"}


def line_of(**fields: Any) -> bytes:
    return json.dumps(HEAD | fields).encode()


def test_an_unknown_kind_keeps_its_bytes() -> None:
    body = (
        b' {"seq": 3, "kind":"tomorrow.came", "x": {"b":1.50, "a":"\\u00e9"}, "tenant":"t","hub":"h","id":"i","at":"n"}'
    )
    read = codec.decode(body)
    assert type(read) is UnknownEvent
    assert (read.seq, read.kind, read.tenant, read.hub, read.id, read.at) == (3, "tomorrow.came", "t", "h", "i", "n")
    assert read.fields == {"x": {"a": "é", "b": 1.5}}
    assert codec.encode(read) == body
    assert codec.decode(codec.encode(read)) == read


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": 5},
        {"name": None},
        {"name": ["x"]},
        {"name": {"first": "x"}},
        {},
        {"name": "x", "capabilities": "abc"},
        {"name": "x", "capabilities": {"a": 1}},
        {"name": "x", "capabilities": None},
        {"name": "x", "tenant": 5},
        {"name": "x", "metadata": []},
        {"name": "x", "depth": "1"},
        {"name": "x", "id": 5},
    ],
)
def test_a_known_kind_in_another_shape_is_unknown(wrong: Any) -> None:
    """It becomes an UnknownEvent, which is written back byte for byte."""
    body = line_of(kind="agent.registered", **wrong)
    read = codec.decode(body)
    assert type(read) is UnknownEvent
    assert read.kind == "agent.registered"
    assert codec.encode(read) == body


@pytest.mark.parametrize(
    ("cls", "wrong"),
    [
        (EnvelopePosted, {"envelope_id": "e", "content": 1, "recipients": "abc"}),
        (EnvelopePosted, {"envelope_id": "e", "recipients": []}),
        (ListenerFailed, {"listener": "l", "reason": "r", "error_type": "", "error_message": "", "event_seq": 1.0}),
        (ToolCompleted, {"tool": "t", "call_id": "c", "duration_ms": "fast"}),
        (ToolCompleted, {"tool": "t", "call_id": "c", "duration_ms": True}),
        (Shaped, {"text": "t", "number": True}),
        (Shaped, {"text": "t", "flag": 1}),
        (Shaped, {"text": "t", "real": "1"}),
        (Shaped, {"text": "t", "table": []}),
        (Shaped, {"text": "t", "items": {}}),
        (Shaped, {"text": "t", "level": "middle"}),
        (Shaped, {"text": "t", "either": 1.5}),
    ],
    ids=str,
)
def test_types_are_checked_on_reading(cls: type[Event], wrong: dict[str, Any]) -> None:
    assert type(codec.decode(line_of(kind=cls.kind, **wrong))) is UnknownEvent


def test_unresolvable_annotations_are_read_back() -> None:
    """Linters make people write `if TYPE_CHECKING: from collections.abc import Mapping`: at run time it is
    unresolvable.
    """
    source = """
from __future__ import annotations

@hubwire.event("codec_tests.typed_elsewhere")
class TypedElsewhere(hubwire.Event):
    amount: int
    details: NotImportedAtRunTime[str] | None = None
"""
    namespace: dict[str, Any] = {"hubwire": hubwire, "__name__": __name__}
    exec(compile(source, "typed_elsewhere", "exec", dont_inherit=True), namespace)  # noqa: S102 - its text is above
    cls = namespace["TypedElsewhere"]
    for made in (stamped(cls(amount=1, details={"a": [1]})), stamped(cls(amount=2))):
        read = codec.decode(codec.encode(made))
        assert type(read) is cls
        assert read == made
    assert type(codec.decode(line_of(kind=cls.kind, details=1))) is UnknownEvent


def test_a_whole_number_may_stand_for_a_float() -> None:
    read = codec.decode(line_of(kind="tool.completed", tool="t", call_id="c", duration_ms=3))
    assert isinstance(read, ToolCompleted)
    assert read.duration_ms == 3


def test_unknown_fields_are_left_to_the_bytes() -> None:
    """A field that this version of a program does not know is not in the event, but in what it is encoded to."""
    body = line_of(kind=Shaped.kind, text="x", mood="good", d=5, h="x")
    read = codec.decode(body)
    assert read == Shaped(text="x", items=(), **HEAD)  # type: ignore[arg-type]
    assert codec.encode(read) == body


def test_unknown_fields_of_owned_kinds_are_another_shape() -> None:
    """A state machine would miss what they say."""
    assert codec.decode(line_of(kind="agent.registered", name="x", d=5, h="x")) == AgentRegistered(name="x", **HEAD)
    assert type(codec.decode(line_of(kind="agent.registered", name="x", mood="good"))) is UnknownEvent


def test_a_generic_event_spelled_otherwise_keeps_its_bytes() -> None:
    body = b'{"seq":1, "kind":"user.came", "data":{"b":1.50,"a":"\\u00e9"}}'
    read = codec.decode(body)
    assert type(read) is GenericEvent
    assert read.data == {"a": "é", "b": 1.5}
    assert codec.encode(read) == body
    assert fields_of(codec.encode(stamped(read)))["data"] == {"a": "é", "b": 1.5}


def test_generic_events_have_data_and_no_more() -> None:
    """An undeclared kind with a dictionary `data` alone is a generic event; with any other field it is unknown."""
    assert type(codec.decode(line_of(kind="user.came", data={"a": 1}))) is GenericEvent
    assert type(codec.decode(line_of(kind="user.came", data={"a": 1}, more=1))) is UnknownEvent
    assert type(codec.decode(line_of(kind="user.came", data=[1]))) is UnknownEvent
    assert type(codec.decode(line_of(kind="user.came"))) is UnknownEvent


def test_events_that_were_read_are_frozen() -> None:
    for body in (line_of(kind="user.came", data={"a": [{"b": 1}]}), line_of(kind="x.y", z={"a": [{"b": 1}]})):
        read: Any = codec.decode(body)
        inner = read.data if isinstance(read, GenericEvent) else read.fields["z"]
        with pytest.raises(TypeError):
            inner["a"][0]["b"] = 2


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "not JSON"),
        (b"x", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a":1}{"a":1}', "not JSON"),
        (b'{"a":NaN}', "not JSON"),
        (b'{"a":"\xff"}', "not JSON"),
        (b'{"a":"\0"}', "not JSON"),
        (b'{"a":"\\ud800"}', "not JSON"),
        (b'{"\xff":1}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "not JSON"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "not JSON"),
        (b"[]", "not an object"),
        (b"null", "not an object"),
        (b'"text"', "not an object"),
        (b"{}", 'no "kind" or no "seq"'),
        (b'{"kind":"a.b"}', 'no "kind" or no "seq"'),
        (b'{"seq":1}', 'no "kind" or no "seq"'),
        (b'{"kind":5,"seq":1}', 'no "kind" or no "seq"'),
        (b'{"kind":"a.b","seq":"1"}', 'no "kind" or no "seq"'),
        (b'{"kind":"a.b","seq":1.0}', 'no "kind" or no "seq"'),
        (b'{"kind":"a.b","seq":true}', 'no "kind" or no "seq"'),
        (b'{"kind":"a.b","seq":null}', 'no "kind" or no "seq"'),
    ],
    ids=map(str, count()),
)
def test_invalid_records_are_refused_with_a_glimpse(body: bytes, complaint: str) -> None:
    """The message says what is wrong and shows the beginning of the record."""
    with pytest.raises(InvalidRecord, match=complaint) as caught:
        codec.decode(body)
    assert repr(body[:20])[2:-1] in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("levels", [100, 300, 450, 500, 600, 700, 800, 900, 950, 990, 1000, 1100, 3000])
def test_nesting_is_read_or_refused(levels: int) -> None:
    """However deep a record is nested, reading it returns or raises InvalidRecord."""
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        body = b'{"data":' + opening * levels + b"1" + closing * levels + b',"kind":"a.b","seq":1}'
        try:
            read = codec.decode(body)
        except InvalidRecord:
            assert levels > 300
        else:
            assert codec.encode(read) == body


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for read in (codec.decode, codec.decode_fields, codec.unseal):
        try:
            read(body)
        except InvalidRecord:
            pass


@given(st.data())
def test_a_changed_line_is_read_or_refused(data: st.DataObject) -> None:
    body = bytearray(codec.encode(stamped(an_event_of(ToolCompleted, header=True))))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        codec.decode(bytes(body))
    except InvalidRecord:
        pass
