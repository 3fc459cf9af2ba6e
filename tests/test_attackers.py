"""What attackers of a signed log can do, and what of it is seen: the table of the documentation is made by this."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from hubwire import GenericEvent, Hub
from hubwire.errors import HubError, ProofInvalid
from hubwire.exports import Report, export_now
from hubwire.listeners.audit import AuditLog, examine, prove
from hubwire.log import LogReader
from hubwire.proof import InclusionProof, KeySigner
from hubwire.stores import FileStore, MemoryStore
from support.attack_table import part_of, table
from support.attacked_peers import COMPARED, PEERS, heading, is_there, least, sees
from support.attackers import ATTACKS, NAME, Attack, measured, payment, said, signed_log

pytest.importorskip("cryptography")

ROOT = Path(__file__).parents[1]
PAGE_TEXT = (ROOT / "docs" / "attackers.md").read_text()
REMAKE = "docs/attackers.md says another thing than what was measured: python benchmarks/attackers.py --write"

_results: dict[str, tuple[str, ...]] = {}


async def result_of(attack: Attack, root: Path) -> tuple[str, ...]:
    """Return what was measured, once in a process."""
    if attack.id not in _results:
        _results[attack.id] = await measured(attack, root)
    return _results[attack.id]


@pytest.mark.parametrize("is_rotated", [False, True])
async def test_a_log_that_was_not_attacked_is_believed(tmp_path: Path, is_rotated: bool) -> None:
    assert set(await said(await signed_log(tmp_path, is_rotated=is_rotated))) == {"–"}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
async def test_what_is_seen_of_an_attack(attack: Attack, tmp_path: Path) -> None:
    """Its row of the documentation says just that."""
    row = next(row for row in part_of(PAGE_TEXT, "attacks").splitlines() if row.endswith(f"`{attack.id}` |"))
    assert row in table({each.id: ("?",) * 5 for each in ATTACKS} | {attack.id: await result_of(attack, tmp_path)}), (
        REMAKE
    )


def test_the_page_has_the_rows_of_all_attacks() -> None:
    ids = [row.split("`")[-2] for row in part_of(PAGE_TEXT, "attacks").splitlines()[2:]]
    assert ids == [attack.id for attack in ATTACKS], REMAKE


async def test_a_change_to_what_was_signed_is_caught_by_all_who_have_kept_it(tmp_path: Path) -> None:
    """Whoever keeps the newest checkpoint sees every attack but those on what was never in the log."""
    unseen = []
    for number, attack in enumerate(ATTACKS):
        if (await result_of(attack, tmp_path / str(number)))[-1] == "–":
            unseen.append(attack.id)
    assert unseen == ["add", "not-recorded"]


# --- beside others --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_what_others_see_of_the_same_attacks(peer: Any, tmp_path: Path) -> None:
    """Each by its own verifier; the page says just that."""
    if not is_there(peer):
        pytest.skip(f"{peer.name} is not installed: pip install '.[bench]'")
    place = column(part_of(PAGE_TEXT, "peers"), heading(peer))
    for attack in (None, *COMPARED):
        folder = tmp_path / str(attack)
        folder.mkdir()
        assert sees(peer, folder, attack) == ("–" if attack is None else place[attack]), (attack, REMAKE)


async def test_the_column_of_our_own_log_is_that_of_the_other_table(tmp_path: Path) -> None:
    place = column(part_of(PAGE_TEXT, "peers"), "hubwire")
    for attack in ATTACKS:
        if attack.id in COMPARED:
            assert least(await result_of(attack, tmp_path / attack.id)) == place[attack.id], (attack.id, REMAKE)


def column(part: str, name: str) -> dict[str, str]:
    """Return the cells of one column, by the ids of attacks."""
    rows = [[cell.strip(" *`") for cell in row.strip("|").split("|")] for row in part.splitlines()]
    place = rows[0].index(name)
    return {row[0]: row[place] for row in rows[2:]}


# --- what no check of a log sees ------------------------------------------------------------------------------------


async def lines_of(store: FileStore | MemoryStore) -> list[bytes]:
    reader, lines = LogReader(store, "/audit"), []
    while records := await reader.read():
        lines += [record.line for record in records]
    return lines


async def test_a_reader_cannot_hand_on_a_changed_record() -> None:
    store, key = MemoryStore(), KeySigner.new(NAME)
    async with AuditLog(store, signer=key) as audit:
        await audit.append_many([payment(number) for number in range(10)])
    proof = InclusionProof.parse(str(await prove(store, 4)))
    line = (await lines_of(store))[4]
    assert proof.verify(line, key.vkey).size == len(await lines_of(store))
    with pytest.raises(ProofInvalid, match="changed, to the byte"):
        proof.verify(line.replace(b'"sum":', b'"sum":1', 1), key.vkey)


async def test_a_part_that_is_handed_on_says_so() -> None:
    store = MemoryStore()
    async with AuditLog(store) as audit:
        await audit.append_many([payment(number) for number in range(10)])
    records = await LogReader(store, "/audit").read()
    report = Report("Payments", selection="kind payment.made")
    made = await to_thread.run_sync(lambda: b"".join(export_now(records, report)))
    assert b'"selection":"kind payment.made"' in made


async def test_a_backup_is_read_by_its_thief(tmp_path: Path) -> None:
    scene = await signed_log(tmp_path)
    assert b"payment.made" in await to_thread.run_sync(
        lambda: b"".join(file.read_bytes() for file in scene.backup.rglob("*.jsonl"))
    )


async def test_time_without_the_log_is_made_up_for() -> None:
    """The journal has what the log was not there for; where that is gone, too, verify notes the gap."""
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        await hub.agents.register("planner")
    async with Hub(store) as hub:
        await hub.emit(GenericEvent(kind="payment.made", data={"sum": 9}))
    async with Hub(store, listeners=[AuditLog(store)]):
        pass
    assert [line for line in await lines_of(store) if b"payment.made" in line]
    assert (await examine(store)).holds


async def test_what_no_one_recorded_is_in_no_log() -> None:
    """An agent that acts past the hub leaves no event, and the log is whole."""
    store, key = MemoryStore(), KeySigner.new(NAME)
    async with Hub(store, listeners=[AuditLog(store, signer=key)]) as hub:
        await hub.agents.register("intern")  # which then calls a bank, and no hub
    assert (await examine(store, vkey=key.vkey)).holds


async def test_a_lie_is_recorded_as_it_was_told() -> None:
    store, key = MemoryStore(), KeySigner.new(NAME)
    async with Hub(store, listeners=[AuditLog(store, signer=key)]) as hub:
        intern = await hub.agents.register("intern")
        boss = await hub.agents.register("boss")
        channel = await hub.channels.open([intern, boss])
        mine = hub.acting_as(intern).channels.get(channel.id)
        await mine.post(intern, {"text": "all tests have passed"}, to=[boss])
    assert (await examine(store, vkey=key.vkey)).holds
    assert [line for line in await lines_of(store) if b"all tests have passed" in line]


@pytest.mark.parametrize("kind", ["log.pruned", "log.opened", "log.key_rotated", "log.batch_begun"])
async def test_an_agent_cannot_write_in_the_name_of_the_log(kind: str) -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        intern = await hub.agents.register("intern")
        with pytest.raises(HubError, match=kind):
            await hub.acting_as(intern).emit(GenericEvent(kind=kind, data={"first": 3}))
    assert (await examine(store)).pruned is None


async def test_an_agent_cannot_speak_as_another() -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        intern = await hub.agents.register("intern")
        boss = await hub.agents.register("boss")
        channel = await hub.channels.open([intern, boss])
        mine = hub.acting_as(intern).channels.get(channel.id)
        with pytest.raises(HubError, match="boss"):
            await mine.post(boss, {"text": "pay them"}, to=[intern])
    assert not [line for line in await lines_of(store) if b"pay them" in line and b"envelope.posted" in line]


def test_the_page_names_tests_that_exist() -> None:
    here, tests = set(globals()), {path.name for path in (ROOT / "tests").glob("test_*.py")}
    named = re.findall(r"`(?:tests/[a-z_]+\.py::)?(test_[a-z_]+(?:\.py)?)`", PAGE_TEXT)
    assert len(named) > 8
    assert [name for name in named if name not in here | tests] == []
