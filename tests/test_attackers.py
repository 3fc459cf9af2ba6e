"""What attackers of a signed log can do, and what of it is seen: the table of the documentation is made by this."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubwire import Hub
from hubwire.errors import HubError, ProofInvalid
from hubwire.exports import Report, export_now
from hubwire.listeners.audit import AuditLog, examine, prove
from hubwire.log import LogReader
from hubwire.proof import InclusionProof, KeySigner
from hubwire.stores import FileStore, MemoryStore
from support.attackers import ATTACKS, NAME, Attack, measured, part_of, payment, said, signed_log, table

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
    assert row in table({each.id: ("?",) * 5 for each in ATTACKS} | {attack.id: await result_of(attack, tmp_path)}), REMAKE


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
