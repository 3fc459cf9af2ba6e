"""What a verifier learns from cosignatures: up to which record, by whom, when; and what it is not told."""

from __future__ import annotations

from typing import Any

import pytest

from hubwire.errors import CheckpointInvalid, ConfigurationError
from hubwire.listeners.audit import AuditLog, Outcome, Verification, examine
from hubwire.proof import (
    KeySigner,
    Note,
    NoteSignature,
    VerifierKey,
    WitnessKey,
    WitnessPolicy,
    WitnessRequest,
)
from hubwire.stores import MemoryStore
from support.odd import ODD

pytest.importorskip("cryptography")

NAME = "example.org/hub/audit"
LOG = KeySigner.new(NAME)
KEYS = [WitnessKey.new(f"witness.example.org/{number}") for number in range(3)]
VKEYS = [key.vkey for key in KEYS]


class Cosigner:
    """Cosigns all that has at most so many records."""

    def __init__(self, key: WitnessKey, records_max: int) -> None:
        self._key = key
        self._records_max = records_max

    @property
    def name(self) -> str:
        return self._key.vkey.name

    @property
    def vkey(self) -> VerifierKey:
        return self._key.vkey

    async def witness(self, request: WitnessRequest) -> NoteSignature:
        assert request.checkpoint.size <= self._records_max
        return self._key.cosign(request.checkpoint.text, 1_700_000_000 + request.checkpoint.size)


async def seen(*records_max: int, sizes: tuple[int, ...] = (10, 20, 30)) -> MemoryStore:
    """A log that was told of at these sizes to witnesses which see up to so many records of it."""
    store = MemoryStore()
    witnesses = [Cosigner(key, most) for key, most in zip(KEYS, records_max, strict=False)]
    policy = WitnessPolicy(witnesses, interval_seconds=0.0)
    audit = AuditLog(store, signer=LOG, witnesses=policy, checkpoint_seconds=3600)
    records = 1  # log.opened
    for size in sizes:
        for _ in range(size - records):
            await audit.append({"kind": "work.done"})
        records = size
        await audit.checkpoint()
        if any(size <= most for most in records_max):
            await audit.witnessed()
    await audit.aclose()
    return store


async def judged(store: MemoryStore, *keys: VerifierKey, **given: Any) -> Verification:
    return await examine(store, vkey=LOG.vkey, witnesses=keys, **given)


async def test_each_witness_is_named_with_what_it_has_seen_and_when() -> None:
    found = await judged(await seen(30, 30), *VKEYS[:2])
    assert found.signer.outcome is Outcome.HOLDS
    assert found.signer.reason.endswith("and 2 of 2 witnesses have seen 30")
    for key in VKEYS[:2]:
        line = f"the cosignature of {key.name}+{key.id.hex()}: it had seen 30 records at 2023-11-14T22:13:50Z"
        assert line in found.signer.looked_at
    assert not [text for text in found.signer.not_looked_at if "anew" in text]


async def test_a_witness_is_not_said_to_have_signed_the_log() -> None:
    found = await examine(await seen(30, 30))
    assert found.signer.outcome is Outcome.UNKNOWN
    assert found.signer.reason == f"the log says that it is signed by {NAME}+{LOG.vkey.id.hex()}"


async def test_who_has_seen_more_has_seen_what_was_before() -> None:
    """One has seen 10, one 20 and one 30: two have seen 20."""
    store = await seen(10, 20, 30)
    for quorum, size in ((1, 30), (2, 20), (3, 10)):
        found = await judged(store, *VKEYS, witness_quorum=quorum)
        assert found.signer.outcome is Outcome.HOLDS
        assert found.signer.reason.endswith(f"seen {size}")
        rest = [text for text in found.signer.not_looked_at if "were written anew" in text]
        assert rest == ([] if size == 30 else [f"whether the records from {size} on were written anew: {FEW[quorum]}"])


FEW = {2: "too few witnesses have seen them yet", 3: "too few witnesses have seen them yet"}


async def test_a_log_that_too_few_have_seen_fails() -> None:
    store = await seen(30)
    found = await judged(store, *VKEYS[:2])
    assert found.signer.outcome is Outcome.FAILS
    assert found.signer.reason == "witnesses have not seen the log"
    assert "1 of the 2 witnesses" in found.signer.faults[0]
    assert f"no cosignature of {VKEYS[1].name}+" in found.signer.faults[0]
    assert (await judged(store, *VKEYS[:2], witness_quorum=1)).signer.outcome is Outcome.HOLDS
    other = WitnessKey.new(VKEYS[0].name).vkey
    assert (await judged(store, other)).signer.outcome is Outcome.FAILS


async def test_without_witnesses_cosignatures_are_not_looked_at() -> None:
    store = await seen(30)
    await store.write("/audit/witnessed", "nonsense")
    found = await judged(store)
    assert found.signer.outcome is Outcome.HOLDS
    assert not [text for text in found.signer.looked_at if "cosignature" in text]
    found = await judged(store, VKEYS[0])
    assert found.integrity.outcome is Outcome.FAILS
    assert "/audit/witnessed is damaged" in found.integrity.faults[0]


async def test_a_history_that_was_written_anew_is_not_the_one_that_was_seen() -> None:
    """Signed with the key of today, and with the cosignatures of the old one below it."""
    old, new = await seen(30), await seen(0)
    for name in ("checkpoint", "witnessed"):
        copied = Note.parse(await old.read(f"/audit/{name}"))
        there = Note.parse(await new.read("/audit/checkpoint"))
        forged = Note(there.text, (*there.signatures, *copied.signatures[1:]))
        await new.write(f"/audit/{name}", str(forged))
    found = await judged(new, VKEYS[0])
    assert found.signer.outcome is Outcome.FAILS
    assert (await judged(new)).signer.outcome is Outcome.HOLDS, "the log alone cannot know it"
    await new.write("/audit/witnessed", await old.read("/audit/witnessed") or "")
    found = await judged(new, VKEYS[0])
    assert found.integrity.outcome is Outcome.FAILS
    assert "are not those of its checkpoint /audit/witnessed" in found.integrity.faults[0]


async def test_cosignatures_of_another_log_count_for_nothing() -> None:
    """A witness has seen a log of another name, which has the same records."""
    store, other = await seen(0), KeySigner.new("example.org/other")
    there = Note.parse(await store.read("/audit/checkpoint"))
    text = there.text.replace(NAME, other.vkey.name)
    note = Note(text, (other.signature(text.encode()), KEYS[0].cosign(text, 5)))
    await store.write("/audit/witnessed", str(note))
    found = await judged(store, VKEYS[0])
    assert found.signer.outcome is Outcome.FAILS
    assert not [text for text in found.signer.looked_at if "cosignature" in text]


async def test_what_was_seen_before_the_state_is_not_a_fault() -> None:
    store = await seen(20)
    first = await judged(store, VKEYS[0])
    assert first.signer.outcome is Outcome.HOLDS
    found = await judged(store, VKEYS[0], state=first.state)
    assert found.signer.outcome is Outcome.HOLDS
    assert any("the 20 records that witnesses have seen were looked at before" in x for x in found.signer.not_looked_at)


async def test_what_was_put_back_is_shown_by_the_witness_itself() -> None:
    """An older copy has the cosignatures of its time: the verdict says so."""
    newest, older = await seen(30), MemoryStore()
    audit = AuditLog(older, signer=LOG, witnesses=[Cosigner(KEYS[0], 30)])
    await audit.append({"kind": "work.done"})
    await audit.witnessed()
    await audit.aclose()
    found = await judged(older, VKEYS[0])
    assert found.signer.outcome is Outcome.HOLDS
    assert any("put back to what it was then" in text for text in found.signer.not_looked_at)
    found = await judged(older, VKEYS[0], expect_checkpoint=await newest.read("/audit/witnessed"))
    assert found.completeness.outcome is Outcome.FAILS


async def test_a_log_that_is_not_signed_is_not_witnessed() -> None:
    store = MemoryStore()
    audit = AuditLog(store)
    await audit.append({"kind": "work.done"})
    await audit.aclose()
    found = await judged(store, VKEYS[0])
    assert found.signer.outcome is Outcome.FAILS
    assert found.signer.reason == "the log is not signed"


async def test_witnesses_that_cannot_be_are_refused() -> None:
    store = MemoryStore()
    with pytest.raises(ConfigurationError, match="give its verifier key, too"):
        await examine(store, witnesses=VKEYS)
    with pytest.raises(CheckpointInvalid, match="of a log, not of a witness"):
        await judged(store, LOG.vkey)
    for quorum in (0, 4, True, 1.5, "1", 10**5000):
        with pytest.raises(ConfigurationError, match="witness_quorum"):
            await judged(store, *VKEYS, witness_quorum=quorum)
    with pytest.raises(ConfigurationError, match="name them, too"):
        await judged(store, witness_quorum=1)


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
async def test_odd_witnesses_are_refused(odd: Any) -> None:
    for given in ({"witnesses": odd}, {"witnesses": [odd]}, {"witnesses": VKEYS, "witness_quorum": odd}):
        try:
            await examine(MemoryStore(), vkey=LOG.vkey, **given)
        except (ConfigurationError, CheckpointInvalid):
            pass
