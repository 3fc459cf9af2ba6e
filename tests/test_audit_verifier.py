"""What a verifier of a signed log knows from before: a state, a checkpoint, and every fault that is asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import attrs
import pytest

from hubwire.errors import InvalidRecord
from hubwire.listeners.audit import AuditLog, Outcome, Retention, Verification, VerifierState, examine
from hubwire.proof import KeySigner
from hubwire.stores import MemoryStore

pytest.importorskip("cryptography")

FIRST = "/audit/log/00000000000000000000.jsonl"


@pytest.fixture(scope="module")
def key() -> KeySigner:
    return KeySigner.new("example.org/hub/audit")


async def fill(store: MemoryStore, numbers: Iterable[int], *, key: KeySigner | None, rotation: int = 1 << 20) -> None:
    audit = AuditLog(store, signer=key, rotation=rotation)
    for number in numbers:
        await audit.append({"kind": "work.done", "number": number})
    await audit.aclose()


async def state_of(store: MemoryStore, key: KeySigner | None = None) -> VerifierState:
    state = (await examine(store, vkey=None if key is None else key.vkey)).state
    assert state is not None
    return VerifierState.parse(state.to_text())


async def replace(store: MemoryStore, path: str, content: bytes | None) -> None:
    if content is None:
        await store.delete(path)
    else:
        await store.write(path, content)


async def files_of(store: MemoryStore, path: str = "/audit") -> AsyncIterator[str]:
    for name in await store.list(path):
        if name.endswith("/"):
            async for below in files_of(store, f"{path}/{name[:-1]}"):
                yield below
        else:
            yield f"{path}/{name}"


def failing(verification: Verification) -> list[str]:
    return [name for name, verdict in verification.verdicts.items() if verdict.outcome is Outcome.FAILS]


# --- a state ---------------------------------------------------------------------------------------------------------


async def test_a_log_signed_since_is_read_again(key: KeySigner) -> None:
    """The tree of what was read before is not taken from beside the log."""
    store = MemoryStore()
    await fill(store, range(10), key=None)
    state = await state_of(store)
    await fill(store, range(10, 20), key=key)
    found = await examine(store, vkey=key.vkey, state=state)
    assert failing(found) == []
    assert not any("looked at before" in each for each in found.integrity.not_looked_at)
    assert f"h, d, seq and hub of {found.records} records" in found.integrity.looked_at


async def test_a_signed_tree_over_other_records_is_found(key: KeySigner) -> None:
    """The key's holder signs a tree of which the records that were verified are no part."""
    store, other = MemoryStore(), MemoryStore()
    await fill(store, range(10), key=None)
    state = await state_of(store)
    await fill(other, range(100, 110), key=None)
    for each in (store, other):
        await fill(each, range(10, 20), key=key)
    for path in [
        "/audit/checkpoint",
        "/audit/tree/0",
        *[f"/audit/checkpoints/{name}" for name in await other.list("/audit/checkpoints")],
    ]:
        await replace(store, path, await other.read_bytes(path))
    assert failing(await examine(store, vkey=key.vkey, state=state)) == ["integrity", "signer"]
    found = await examine(other, vkey=key.vkey, state=state)
    assert failing(found) == ["integrity"]
    assert "when it was verified last" in found.integrity.faults[0]


async def test_a_log_cut_before_it_was_signed_is_found(key: KeySigner) -> None:
    store, short = MemoryStore(), MemoryStore()
    await fill(store, range(10), key=None)
    await fill(short, range(3), key=key)
    found = await examine(short, vkey=key.vkey, state=await state_of(store))
    assert failing(found) == ["integrity"]
    assert "and has less" in found.integrity.faults[0]


@pytest.mark.parametrize("is_signed", [False, True], ids=["unsigned", "signed"])
async def test_a_log_that_did_not_go_on_since_ends_where_its_marker_says(key: KeySigner, is_signed: bool) -> None:
    signer, store = key if is_signed else None, MemoryStore()
    await fill(store, range(10), key=signer)
    state = await state_of(store, signer)
    found = await examine(store, vkey=None if signer is None else key.vkey, state=state)
    assert found.completeness.outcome is Outcome.HOLDS
    assert "the marker of its last closing" in found.completeness.reason


async def test_no_contents_are_looked_at_where_none_came_since_a_state() -> None:
    store = MemoryStore()
    audit = AuditLog(store, erasable=["text"])
    await audit.append({"kind": "work.done", "text": "by Ann"})
    await audit.aclose()
    state = await state_of(store)
    audit = AuditLog(store)
    await audit.erase(records=1, by="dpo", basis="asked")
    await audit.aclose()
    found = await examine(store, state=state)
    assert failing(found) == []
    assert not [each for each in found.integrity.looked_at if "contents" in each]


async def test_a_log_whose_end_was_exchanged_since_is_found_by_its_marker() -> None:
    store, other = MemoryStore(), MemoryStore()
    await fill(store, range(10), key=None)
    await fill(other, range(100, 110), key=None)
    found = await examine(other, state=await state_of(store))
    assert failing(found) == ["integrity"]


async def test_of_a_log_that_has_less_than_a_state_what_is_there_is_looked_at(key: KeySigner) -> None:
    """All of it, as without a state: so it is known who has signed that, and which checkpoint was put back."""
    store = MemoryStore()
    await fill(store, range(3), key=key)
    older = {path: await store.read_bytes(path) async for path in files_of(store)}
    await fill(store, range(3, 10), key=key)
    state = await state_of(store, key)
    for path in [path async for path in files_of(store)]:
        await replace(store, path, older.get(path))
    found = await examine(store, vkey=key.vkey, state=state)
    assert failing(found) == ["integrity", "completeness"]
    assert found.signer.outcome is Outcome.HOLDS
    assert found.records < state.records
    assert f"first {found.records:,} of {found.records:,} records" in found.signer.reason


@pytest.mark.parametrize("is_signed", [False, True], ids=["unsigned", "signed"])
async def test_a_log_pruned_past_a_state_is_not_blamed(key: KeySigner, is_signed: bool) -> None:
    signer, store = key if is_signed else None, MemoryStore()
    await fill(store, range(5), key=signer)
    state = await state_of(store)
    audit = AuditLog(store, signer=signer, rotation=1000)
    for number in range(100):
        await audit.append({"kind": "work.done", "number": number})
    await audit.prune(retention=Retention(segments_max=2))
    await audit.aclose()
    found = await examine(store, state=state)
    assert failing(found) == []
    assert any("whether it goes on from what was verified last" in each for each in found.integrity.not_looked_at)


async def test_a_state_file_has_just_the_fields_of_a_state(key: KeySigner) -> None:
    store = MemoryStore()
    await fill(store, range(300), key=key)
    state = (await examine(store, vkey=key.vkey)).state
    assert state is not None
    again = VerifierState.parse(state.to_text())
    assert again == state
    assert again.tree is not None
    assert state.tree is not None
    assert again.tree.root() == state.tree.root()
    wrong: Any = [1]
    for name in attrs.fields_dict(VerifierState):
        if name not in ("tree", "keys", "promise", "hub", "path", "signed"):
            with pytest.raises(InvalidRecord, match="no state of a verifier"):
                VerifierState.parse(attrs.evolve(state, **{name: wrong}).to_text())


# --- checkpoints kept, and put back -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tree", ["kept", "lost", "flipped"])
async def test_a_checkpoint_older_than_the_state_is_compared(key: KeySigner, tree: str) -> None:
    store, other = MemoryStore(), MemoryStore()
    await fill(store, range(300), key=key)
    await fill(other, range(1, 301), key=key)
    kept, foreign = await store.read("/audit/checkpoint"), await other.read("/audit/checkpoint")
    await fill(store, range(300, 700), key=key)
    state = await state_of(store, key)
    await fill(store, range(700, 710), key=key)
    content = await store.read_bytes("/audit/tree/0") or b""
    if tree != "kept":
        await store.write("/audit/tree/0", b"" if tree == "lost" else b"\xff" + content[1:])
    found = await examine(store, vkey=key.vkey, state=state, expect_checkpoint=kept)
    assert failing(found) == []
    assert "whether the records from 301 on were written anew" in found.integrity.not_looked_at
    found = await examine(store, vkey=key.vkey, state=state, expect_checkpoint=foreign)
    assert failing(found) == ["integrity"]
    assert "not those of the checkpoint that was kept" in found.integrity.faults[0]


async def test_records_changed_since_are_found_where_hashes_lack(key: KeySigner) -> None:
    store = MemoryStore()
    await fill(store, range(20), key=key)
    kept = await store.read("/audit/checkpoint")
    await fill(store, range(20, 30), key=key)
    state = await state_of(store, key)
    await store.write("/audit/tree/0", b"")
    content = await store.read_bytes(FIRST) or b""
    await store.write(FIRST, content.replace(b'"number":7', b'"number":8'))
    found = await examine(store, vkey=key.vkey, state=state, expect_checkpoint=kept)
    assert failing(found) == ["integrity"]


async def pruned(key: KeySigner) -> tuple[MemoryStore, str]:
    """Return a log that was pruned, and a checkpoint of what is gone."""
    store = MemoryStore()
    audit = AuditLog(store, signer=key, rotation=1000)
    await audit.append({"kind": "work.done"})
    kept = str(await audit.checkpoint())
    for number in range(100):
        await audit.append({"kind": "work.done", "number": number})
    await audit.prune(retention=Retention(segments_max=2))
    await audit.aclose()
    return store, kept


async def test_a_checkpoint_of_pruned_records_is_compared(key: KeySigner) -> None:
    store, kept = await pruned(key)
    other = MemoryStore()
    await fill(other, (7,), key=key)
    foreign = await other.read("/audit/checkpoint")
    assert failing(await examine(store, vkey=key.vkey, expect_checkpoint=kept)) == []
    assert failing(await examine(store, vkey=key.vkey, expect_checkpoint=foreign)) == ["integrity"]


async def test_a_checkpoint_that_cannot_be_compared_is_not_known(key: KeySigner) -> None:
    store, kept = await pruned(key)
    state = await state_of(store, key)
    await store.write("/audit/tree/0", b"")
    found = await examine(store, vkey=key.vkey, state=state, expect_checkpoint=kept)
    assert found.integrity.outcome is Outcome.UNKNOWN
    assert "could not be compared" in found.integrity.reason


@pytest.mark.parametrize("is_gone", [False, True], ids=["older", "gone"])
@pytest.mark.parametrize("known", ["archive", "state"])
async def test_an_older_checkpoint_put_back_is_found(key: KeySigner, known: str, is_gone: bool) -> None:
    store = MemoryStore()
    await fill(store, range(10), key=key)
    old = await store.read_bytes("/audit/checkpoint")
    await fill(store, range(10), key=key)
    state = await state_of(store, key) if known == "state" else None
    await replace(store, "/audit/checkpoint", None if is_gone else old)
    if known == "state":
        for name in await store.list("/audit/checkpoints"):
            await store.delete(f"/audit/checkpoints/{name}")
    found = await examine(store, vkey=key.vkey, state=state)
    assert "completeness" in failing(found)
    assert "restore it from a copy" in found.completeness.faults[0]


async def test_what_no_log_can_show_of_its_end_is_said(key: KeySigner) -> None:
    """An older copy of all that there is ends where it should: only what is kept elsewhere shows it."""
    store = MemoryStore()
    await fill(store, range(10), key=key)
    found = await examine(store, vkey=key.vkey)
    assert "its newest checkpoint" in found.completeness.reason
    (unseen,) = [each for each in found.completeness.not_looked_at if "put back from an older copy" in each]
    for each in ("log, checkpoints, marker and journal", "checkpoint or a head kept elsewhere", "state", "witness"):
        assert each in unseen
    again = await examine(store, vkey=key.vkey, state=found.state)
    assert any("behind the 11 records that were verified before" in each for each in again.completeness.not_looked_at)
    kept = await store.read("/audit/checkpoint")
    known = await examine(store, vkey=key.vkey, expect_checkpoint=kept)
    assert not any("older copy" in each for each in known.completeness.not_looked_at)


# --- all faults -------------------------------------------------------------------------------------------------------


DAMAGES: dict[str, Callable[[list[bytes]], None]] = {
    "garbage": lambda lines: lines.__setitem__(5, b"\xff\0garbage"),
    "empty": lambda lines: lines.__setitem__(5, b""),
    "list": lambda lines: lines.__setitem__(5, b"[1,2]"),
    "checksum": lambda lines: lines.__setitem__(5, b'{"a":1,"d":1,"c":"00000000"}'),
    "merged": lambda lines: lines.__setitem__(slice(5, 7), [lines[5] + lines[6]]),
    "split": lambda lines: lines.__setitem__(slice(5, 6), [lines[5][:20], lines[5][20:]]),
    "removed": lambda lines: lines.__delitem__(5),
    "last": lambda lines: lines.__setitem__(-2, b'{"a":1,"d":1,"c":"00000000"}'),
    "first": lambda lines: lines.__setitem__(0, b'{"a":1,"d":1,"c":"00000000"}'),
    "cut": lambda lines: lines.__delitem__(slice(10, None)),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_all_faults_are_named_whatever_the_lines_are(key: KeySigner, damage: str) -> None:
    """Of two segments that are damaged in the same way, both; and no more faults than there is damage."""
    store = MemoryStore()
    await fill(store, range(60), key=key, rotation=2000)
    segments = sorted(await store.list("/audit/log"))
    assert len(segments) == 4
    for name in (segments[0], segments[2]):
        lines = (await store.read_bytes(f"/audit/log/{name}") or b"").split(b"\n")
        DAMAGES[damage](lines)
        await store.write(f"/audit/log/{name}", b"\n".join(lines))
    found = await examine(store, vkey=key.vkey, all_faults=True)
    first, third = (int(segments[at].removesuffix(".jsonl")) for at in (0, 2))
    named = " ".join(found.integrity.faults)
    assert f"{first:020}" in named
    assert f"{third:020}" in named
    assert 2 <= len(found.integrity.faults) <= 8
    assert found.records == 64
    assert found.state is None
    assert found.signer.outcome is not Outcome.HOLDS
    assert "marker beside the log says" not in named
    assert len((await examine(store, vkey=key.vkey)).integrity.faults) <= 2


async def test_all_faults_of_a_whole_log_are_none(key: KeySigner) -> None:
    store = MemoryStore()
    await fill(store, range(60), key=key, rotation=2000)
    found = await examine(store, vkey=key.vkey, all_faults=True)
    assert [verdict.outcome for verdict in found.verdicts.values()] == [Outcome.HOLDS] * 3
