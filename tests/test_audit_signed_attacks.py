"""What an attacker of a signed log does, and who notices: the log itself, its signer, a reader with the key, or none.

Each attack is made on a log of 30 records with checkpoints at 11, 21 and 31; it is then opened by its signer, which
has to refuse it or leave nothing worse, and examined: by its own content, with the key, and with a checkpoint that
was kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from hubwire.errors import HubError
from hubwire.listeners.audit import AuditLog, Outcome, Verification, examine
from hubwire.proof import Checkpoint, KeySigner, Note, Tree, leaf_hash
from hubwire.stores import MemoryStore

pytest.importorskip("cryptography")

NAME = "example.org/hub/audit"
FIRST = "/audit/log/00000000000000000000.jsonl"
NEWEST = "/audit/checkpoint"
KEY, THIEF = KeySigner.new(NAME), KeySigner.new(NAME)

Attack = Callable[[MemoryStore], Awaitable[None]]


async def victim(key: KeySigner = KEY, factor: int = 1) -> MemoryStore:
    store = MemoryStore()
    for start in (0, 10, 20):
        audit = AuditLog(store, signer=key)
        await audit.append_many([{"kind": "work.done", "number": (start + each) * factor} for each in range(9)])
        await audit.aclose()
    return store


async def lines_of(store: MemoryStore) -> list[bytes]:
    return (await store.read_bytes(FIRST) or b"").split(b"\n")[:-1]


async def put_lines(store: MemoryStore, lines: list[bytes]) -> None:
    await store.write(FIRST, b"".join(line + b"\n" for line in lines))


async def rewritten(key: KeySigner | None) -> MemoryStore:
    """Return another history of the same length, with a chain and marker of its own."""
    store = MemoryStore()
    for start in (0, 10, 20):
        audit = AuditLog(store, signer=key)
        await audit.append_many([{"kind": "work.done", "number": -(start + each)} for each in range(9)])
        await audit.aclose()
    return store


async def take(store: MemoryStore, other: MemoryStore, *paths: str) -> None:
    for path in paths:
        content = await other.read_bytes(path)
        if content is not None:
            await store.write(path, content)


async def copy_all(store: MemoryStore, other: MemoryStore) -> None:
    await store.delete("/audit")
    for folder in ("/audit", "/audit/log", "/audit/tree", "/audit/checkpoints"):
        for name in await other.list(folder):
            if not name.endswith("/"):
                await take(store, other, f"{folder}/{name}")


async def edit(store: MemoryStore) -> None:
    await put_lines(store, [line.replace(b'"number":21', b'"number":99') for line in await lines_of(store)])


async def delete_one(store: MemoryStore) -> None:
    lines = await lines_of(store)
    await put_lines(store, lines[:5] + lines[6:])


async def reorder(store: MemoryStore) -> None:
    lines = await lines_of(store)
    await put_lines(store, [*lines[:5], lines[6], lines[5], *lines[7:]])


async def cut_tail(store: MemoryStore) -> None:
    await put_lines(store, (await lines_of(store))[:-3])


async def cut_tail_and_marker(store: MemoryStore) -> None:
    await cut_tail(store)
    await store.delete("/audit/clean")


async def rewrite_without_key(store: MemoryStore) -> None:
    await take(store, await rewritten(None), FIRST, "/audit/clean")


async def rewrite_with_other_key(store: MemoryStore) -> None:
    await copy_all(store, await rewritten(THIEF))


async def rewrite_with_the_key(store: MemoryStore) -> None:
    await copy_all(store, await rewritten(KEY))


async def old_checkpoint(store: MemoryStore) -> None:
    names = sorted(await store.list("/audit/checkpoints"))
    await store.write(NEWEST, await store.read_bytes(f"/audit/checkpoints/{names[0]}") or b"")


async def old_checkpoint_alone(store: MemoryStore) -> None:
    await old_checkpoint(store)
    for name in sorted(await store.list("/audit/checkpoints"))[1:]:
        await store.delete(f"/audit/checkpoints/{name}")


async def old_checkpoint_and_other_records(store: MemoryStore) -> None:
    """The records after the older checkpoint are written anew, with a chain of their own."""
    size = Checkpoint.parse(Note.parse(await store.read_bytes(NEWEST)).text).size
    names = sorted(await store.list("/audit/checkpoints"))
    first = Checkpoint.parse(Note.parse(await store.read_bytes(f"/audit/checkpoints/{names[0]}")).text)
    await put_lines(store, (await lines_of(store))[: first.size])
    await store.delete("/audit/clean")
    await store.delete("/audit/tree")
    forged = AuditLog(store)
    await forged.append_many([{"kind": "work.done", "number": -each} for each in range(size - first.size)])
    await forged.aclose()
    await old_checkpoint(store)


async def no_newest(store: MemoryStore) -> None:
    await store.delete(NEWEST)


async def no_checkpoints_at_all(store: MemoryStore) -> None:
    await store.delete(NEWEST)
    await store.delete("/audit/checkpoints")


async def flipped(store: MemoryStore, place: int) -> None:
    content = bytearray(await store.read_bytes(NEWEST) or b"")
    content[place] ^= 1
    await store.write(NEWEST, bytes(content))


async def flipped_root(store: MemoryStore) -> None:
    await flipped(store, len(NAME) + 10)


async def flipped_name(store: MemoryStore) -> None:
    await flipped(store, 3)


async def flipped_signature(store: MemoryStore) -> None:
    await flipped(store, -20)


async def flipped_archive(store: MemoryStore) -> None:
    path = f"/audit/checkpoints/{min(await store.list('/audit/checkpoints'))}"
    content = bytearray(await store.read_bytes(path) or b"")
    content[len(NAME) + 2] ^= 1
    await store.write(path, bytes(content))


async def some_archives_gone(store: MemoryStore) -> None:
    for name in sorted(await store.list("/audit/checkpoints"))[:-1]:
        await store.delete(f"/audit/checkpoints/{name}")


async def flipped_tree(store: MemoryStore) -> None:
    content = bytearray(await store.read_bytes("/audit/tree/0") or b"")
    content[40] ^= 1
    await store.write("/audit/tree/0", bytes(content))


async def no_tree(store: MemoryStore) -> None:
    await store.delete("/audit/tree")


async def appended_without_key(store: MemoryStore) -> None:
    forged = AuditLog(store)
    await forged.append({"kind": "work.done", "number": 666})
    await forged.aclose()


async def renamed_archive(store: MemoryStore) -> None:
    """A checkpoint under the number of another size."""
    names = sorted(await store.list("/audit/checkpoints"))
    await store.write(
        f"/audit/checkpoints/{int(names[0]) + 1:020}", await store.read_bytes(f"/audit/checkpoints/{names[0]}") or b""
    )


async def forged_fork(store: MemoryStore) -> None:
    """Whoever can write to the store goes on under a key of his own."""
    from hubwire.listeners.audit import fork

    await fork(store, signer=KeySigner.new("example.org/another"), reason="of course")


async def older_copy_of_all(store: MemoryStore) -> None:
    old = MemoryStore()
    audit = AuditLog(old, signer=KEY)
    await audit.append_many([{"kind": "work.done", "number": each} for each in range(9)])
    await audit.aclose()
    lines = (await lines_of(store))[: len(await lines_of(old))]
    await copy_all(store, old)
    assert len(lines) == 11


# attack: whether its signer refuses to open it; what fails without the key, with it, and with a kept checkpoint
OPENS, REFUSED = True, False
CASES: dict[str, tuple[Attack, bool, list[str], list[str], list[str]]] = {
    # The opening does not read all records: it believes those that it had hashed, and signs their hashes. So the
    # change is found whenever the log is read.
    "edit": (edit, OPENS, ["integrity"], ["integrity"], ["integrity"]),
    "delete": (delete_one, REFUSED, ["integrity"], ["integrity"], ["integrity"]),
    "reorder": (reorder, OPENS, ["integrity"], ["integrity"], ["integrity"]),
    "cut": (cut_tail, REFUSED, ["completeness"], ["completeness"], ["completeness"]),
    "cut and marker": (cut_tail_and_marker, REFUSED, ["completeness"], ["completeness"], ["completeness"]),
    "rewrite without key": (
        rewrite_without_key,
        REFUSED,
        ["integrity"],
        ["integrity", "signer"],
        ["integrity", "signer"],
    ),
    "rewrite with another key": (rewrite_with_other_key, REFUSED, [], ["signer"], ["integrity", "signer"]),
    "rewrite with the key": (rewrite_with_the_key, OPENS, [], [], ["integrity"]),
    "old checkpoint": (old_checkpoint, OPENS, ["completeness"], ["completeness"], ["completeness"]),
    "old checkpoint alone": (old_checkpoint_alone, OPENS, [], [], []),
    "old checkpoint, other records": (
        old_checkpoint_and_other_records,
        REFUSED,
        ["integrity", "completeness"],
        ["integrity", "completeness"],
        ["integrity", "completeness"],
    ),
    "newest gone": (no_newest, OPENS, ["completeness"], ["completeness"], ["completeness"]),
    "all gone": (no_checkpoints_at_all, OPENS, [], ["signer"], ["signer"]),
    "root flipped": (flipped_root, REFUSED, ["integrity"], ["integrity"], ["integrity"]),
    "name flipped": (flipped_name, REFUSED, [], ["signer"], ["signer"]),
    "signature flipped": (flipped_signature, REFUSED, [], ["signer"], ["signer"]),
    "archive flipped": (flipped_archive, OPENS, ["integrity"], ["integrity"], ["integrity"]),
    "archives gone": (some_archives_gone, OPENS, [], [], []),
    "archive renamed": (renamed_archive, OPENS, ["integrity"], ["integrity"], ["integrity"]),
    "tree flipped": (flipped_tree, OPENS, [], [], []),
    "tree gone": (no_tree, OPENS, [], [], []),
    "appended": (appended_without_key, OPENS, [], [], []),
    "fork": (forged_fork, REFUSED, [], ["signer"], ["signer"]),
    "older copy": (older_copy_of_all, OPENS, [], [], ["completeness"]),
}


def failing(verification: Verification) -> list[str]:
    return [name for name, verdict in verification.verdicts.items() if verdict.outcome is Outcome.FAILS]


@pytest.mark.parametrize("case", CASES)
async def test_who_notices_an_attack(case: str) -> None:
    attack, opens, alone, with_key, with_kept = CASES[case]
    store = await victim()
    kept = await store.read(NEWEST)
    await attack(store)
    assert failing(await examine(store)) == alone
    assert failing(await examine(store, vkey=KEY.vkey)) == with_key
    assert failing(await examine(store, vkey=KEY.vkey, expect_checkpoint=kept)) == with_kept
    before = await store.read_bytes(FIRST)
    audit = AuditLog(store, signer=KEY)
    try:
        await audit.append({"kind": "work.done"})
        has_opened = True
    except HubError:
        has_opened = False
    await audit.aclose()
    assert has_opened is opens
    if not has_opened:
        assert await store.read_bytes(FIRST) == before


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][1] is OPENS])
async def test_a_signer_that_goes_on_signs_what_is_there(case: str) -> None:
    """And never over what a checkpoint that is still there contradicts."""
    store = await victim()
    await CASES[case][0](store)
    audit = AuditLog(store, signer=KEY)
    await audit.append({"kind": "work.done"})
    await audit.aclose()
    newest = Checkpoint.parse(Note.parse(await store.read_bytes(NEWEST)).text)
    tree = Tree()
    tree.extend([leaf_hash(line) for line in await lines_of(store)])
    assert newest.size == tree.size
    if newest.root != tree.root():
        assert case in ("edit", "reorder")
        assert "integrity" in failing(await examine(store, vkey=KEY.vkey))
