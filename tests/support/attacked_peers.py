"""The same attacks on the logs of others: what each of them sees, by what its own verifier is given."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from .attackers import CAUGHT, HALF, UNSEEN

__all__ = ("COMPARED", "PEERS", "attacked", "comparison", "sees")

WAYS = ("log", "key", "earlier", "newest")
"""What a verifier has: the log alone, its key, what was kept of its first half, and of all of it."""

COMPARED = (
    "edit", "edit-chained", "edit-unsigned", "edit-own-key", "delete", "reorder", "cut", "cut-replay", "delete-all",
    "rewrite", "rewrite-newer", "cut-sign", "add", "restore",
)  # fmt: skip
"""The attacks that can be done on the logs of all."""

Fields = dict[str, Any]
Records = list[Fields]


class Peer(ABC):
    """A log of others: a file of JSON Lines."""

    name: ClassVar[str]
    module: ClassVar[str]
    file: Path
    half: bytes
    """The file when it had half of its records: what a backup has."""

    @abstractmethod
    def __init__(self, root: Path) -> None:
        """Make a log in two halves, and keep what verifiers have of it."""

    @abstractmethod
    def text(self, record: Fields) -> str:
        """Return what a record says, by which the attacks find it."""

    @abstractmethod
    def changed(self, record: Fields) -> Fields:
        """Return a record that says another thing."""

    def added(self, record: Fields) -> Fields:
        """Return another record, made like this one."""
        return self.changed(record)

    @abstractmethod
    def chained(self, records: Records, key: str | None) -> Records:
        """Make chain and hashes anew; signed by ``today``'s key, an ``own`` one, by ``none``, or as it was: None."""

    @abstractmethod
    def is_believed(self, way: str) -> bool:
        """Return what its own verifier says."""


def lines_of(file: Path) -> Records:
    return [json.loads(line) for line in file.read_text().splitlines() if line]


def place_of(peer: Peer, records: Records, number: int) -> int:
    return next(at for at, record in enumerate(records) if peer.text(record) == f"payment {number}")


class Halo(Peer):
    """halo-record: a chain, no key, and a witness that keeps counts and heads."""

    name = "halo-record"
    module = "halo_record"

    def __init__(self, root: Path) -> None:
        from halo_record import Notary, Recorder, load_records

        self.file, self._load = root / "log.jsonl", load_records
        recorder, notary = Recorder(str(self.file)), Notary(str(root / "witness.jsonl"))
        for number in range(HALF):
            recorder.append(self._made(number))
        self.half = self.file.read_bytes()
        self._earlier = notary.witness(lines_of(self.file))
        for number in range(HALF, 2 * HALF):
            recorder.append(self._made(number))
        self._newest = notary.witness(lines_of(self.file))

    def _made(self, number: int) -> dict[str, Any]:
        from halo_record import build

        made: dict[str, Any] = build(
            "tool_call", "security", tool="pay", tool_input=f"payment {number}", subject={"id": "acme", "name": "Acme"}
        )
        return made

    def text(self, record: dict[str, Any]) -> str:
        return str(record["action"]["input"]["summary"])

    def changed(self, record: dict[str, Any]) -> dict[str, Any]:
        made = self._made(999)
        return {**record, "action": made["action"]}

    def added(self, record: dict[str, Any]) -> dict[str, Any]:
        return self._made(999)

    def chained(self, records: Records, key: str | None) -> Records:
        from halo_record import GENESIS_PREV, compute_hash

        previous, made = GENESIS_PREV, Records()
        for record in records:
            fields = json.loads(json.dumps(record))
            fields["integrity"]["prev_hash"] = previous
            fields["integrity"]["hash"] = previous = compute_hash(fields, previous)
            made.append(fields)
        return made

    def is_believed(self, way: str) -> bool:
        from halo_record import verify_completeness, verify_log

        if not self.file.exists() or not verify_log(str(self.file), out=lambda *_, **__: None):
            return False
        kept = {"earlier": [self._earlier], "newest": [self._earlier, self._newest]}.get(way)
        if kept is None:
            return bool(lines_of(self.file))
        return verify_completeness(lines_of(self.file), kept, expected_subject="acme")["ok"] is not False


class Mnestiq(Peer):
    """mnestiq: a chain, signed checkpoints in the file, and a head that is kept elsewhere."""

    name = "mnestiq"
    module = "mnestiq"

    def __init__(self, root: Path) -> None:
        from mnestiq import FileSink, Recorder
        from mnestiq.keys import generate_private_key

        self.file = root / "log.jsonl"
        self._keys = {"today": generate_private_key(), "own": generate_private_key()}
        heads: Records = []
        recorder = Recorder(
            FileSink(self.file),
            agent_id="agent",
            signing_key=self._keys["today"],
            checkpoint_every=10_000,
            sandbox_id=None,
            on_checkpoint=heads.append,
        )
        with recorder.run() as run:
            for number in range(HALF):
                run.note(f"payment {number}")
            recorder.checkpoint()
            self.half = self.file.read_bytes()
            for number in range(HALF, 2 * HALF):
                run.note(f"payment {number}")
        recorder.close()
        self._earlier, self._newest = heads[0], heads[-1]

    def text(self, record: dict[str, Any]) -> str:
        return str((record.get("attributes") or {}).get("message"))

    def changed(self, record: dict[str, Any]) -> dict[str, Any]:
        return {**record, "attributes": {**record["attributes"], "message": "payment 999"}}

    def chained(self, records: Records, key: str | None) -> Records:
        from mnestiq.hashing import GENESIS_HASH, record_hash

        previous, made, pending = GENESIS_HASH, Records(), Records()
        for record in records:
            if record["kind"] == "checkpoint" and (key == "none" or not pending):
                continue
            fields = {**record, "seq": len(made), "prev_hash": previous}
            if record["kind"] == "checkpoint":
                self._sign(fields, pending, key)
                pending = Records()
            fields["record_hash"] = previous = record_hash(fields)
            made.append(fields)
            if record["kind"] != "checkpoint":
                pending.append(fields)
        if pending and key in self._keys and made:  # what was cut or added at the end is signed, too
            fields = {**self._earlier, "seq": len(made), "prev_hash": previous, "ts": made[-1]["ts"]}
            self._sign(fields, pending, key)
            fields["record_hash"] = record_hash(fields)
            made.append(fields)
        return made

    def _sign(self, fields: dict[str, Any], pending: Records, key: str | None) -> None:
        import base64

        from mnestiq.hashing import digest_bytes, signing_payload
        from mnestiq.keys import key_id
        from mnestiq.merkle import merkle_root
        from mnestiq.signers import as_signer

        fields["covers"] = {"from_seq": pending[0]["seq"], "to_seq": pending[-1]["seq"]}
        root = merkle_root([digest_bytes(each["record_hash"]) for each in pending])
        fields["merkle_root"] = f"sha256:{root.hex()}"
        if key in self._keys:
            signer = as_signer(self._keys[key])
            fields |= {"public_key": signer.public_key, "key_id": key_id(signer.public_key)}
            fields["signature"] = base64.b64encode(signer.sign(signing_payload(fields))).decode()

    def is_believed(self, way: str) -> bool:
        from mnestiq.keys import public_key_b64
        from mnestiq.verify import verify_file

        if not self.file.exists():
            return False
        keys = () if way == "log" else (public_key_b64(self._keys["today"]),)
        head = {"earlier": self._earlier, "newest": self._newest}.get(way)
        return bool(verify_file(self.file, keys, head).ok)


class Auditrail(Peer):
    """auditrail: a chain in which each record is signed, and anchors that a witness keeps."""

    name = "auditrail"
    module = "auditrail"

    def __init__(self, root: Path) -> None:
        from auditrail.anchor import anchor_ledger
        from auditrail.keys import Signer
        from auditrail.ledger import Ledger

        self.file, anchors = root / "log.jsonl", root / "anchors.jsonl"
        self._keys = {"today": Signer.generate(), "own": Signer.generate()}
        ledger = Ledger(self.file, signer=self._keys["today"], fsync=False)
        self._witness = {"earlier": root / "earlier.jsonl", "newest": root / "newest.jsonl"}
        for number in range(2 * HALF):
            if number == HALF:
                self.half = self.file.read_bytes()
                anchor_ledger(ledger, anchors, signer=self._keys["today"])
                self._witness["earlier"].write_bytes(anchors.read_bytes())
            ledger.record(
                agent_id="agent", session_id="s", policy_version="1", tool=f"payment {number}", categories=["internal"],
                args={}, decision="allow",
            )  # fmt: skip
        anchor_ledger(ledger, anchors, signer=self._keys["today"])
        self._witness["newest"].write_bytes(anchors.read_bytes())

    def text(self, record: dict[str, Any]) -> str:
        return str(record.get("tool"))

    def changed(self, record: dict[str, Any]) -> dict[str, Any]:
        return {**record, "tool": "payment 999"}

    def chained(self, records: Records, key: str | None) -> Records:
        from auditrail.ledger import GENESIS_HASH, TAG_RECORD, record_hash

        previous, made = GENESIS_HASH, Records()
        for record in records:
            fields = {**record, "seq": len(made), "prev_hash": previous}
            signature = fields.pop("sig", None)
            fields.pop("hash", None)
            if key == "none":
                fields.pop("key_id", None)
            elif key is not None:
                fields["key_id"] = self._keys[key].key_id
            fields["hash"] = previous = record_hash(previous, fields)
            if key in self._keys:
                fields["sig"] = self._keys[key].sign(TAG_RECORD, previous.encode("ascii"))
            elif key is None:
                fields["sig"] = signature
            made.append(fields)
        return made

    def is_believed(self, way: str) -> bool:
        from auditrail.verifier import verify_all

        if not self.file.exists():
            return False
        signer = self._keys["today"]
        keys = None if way == "log" else {signer.key_id: signer.public_hex}
        found = verify_all(self.file, public_keys=keys, witness_path=self._witness.get(way))
        return bool(found["status"] == "OK" and found["records"])


PEERS: tuple[type[Peer], ...] = (Halo, Mnestiq, Auditrail)


def attacked(peer: Peer, attack: str) -> None:
    """Do an attack on the log of a peer, as it is done on ours."""
    records = lines_of(peer.file)
    five, later = place_of(peer, records, 5), place_of(peer, records, HALF + 5)
    edited = [peer.changed(record) if at == five else record for at, record in enumerate(records)]
    newer = [peer.changed(record) if at == later else record for at, record in enumerate(records)]
    without = records[:five] + records[five + 1 :]
    exchanged = [*records[:five], records[five + 1], records[five], *records[five + 2 :]]
    match attack:
        case "delete-all":
            peer.file.unlink()
            return
        case "restore" | "cut-replay":
            peer.file.write_bytes(peer.half)
            return
        case "edit":
            made = edited
        case "cut":
            made = records[:-5]
        case _:
            made = peer.chained(
                {
                    "delete": without,
                    "reorder": exchanged,
                    "rewrite-newer": newer,
                    "cut-sign": records[:-5],
                    "add": [*records, peer.added(records[five])],
                }.get(attack, edited),
                {"edit-own-key": "own", "edit-unsigned": "none"}.get(attack, "today" if attack in SIGNED else None),
            )
    peer.file.write_text("".join(json.dumps(record, separators=(",", ":"), sort_keys=True) + "\n" for record in made))


SIGNED = ("rewrite", "rewrite-newer", "cut-sign", "add")


def sees(make: type[Peer], root: Path, attack: str | None) -> str:
    """Return the least that the verifier of a peer needs in order to see an attack."""
    peer = make(root)
    if attack is not None:
        attacked(peer, attack)
    return next((way for way in WAYS if not peer.is_believed(way)), UNSEEN)


def least(results: Sequence[str]) -> str:
    """Return the same of our own results."""
    ways = zip(("log", "key", "earlier", "earlier", "newest"), results, strict=True)
    return next((way for way, word in ways if word == CAUGHT), UNSEEN)


def is_there(make: type[Peer]) -> bool:
    return find_spec(make.module) is not None


def heading(make: type[Peer]) -> str:
    try:
        return f"{make.name} {version(make.name)}"
    except PackageNotFoundError:
        return str(make.name)


def comparison(ours: Mapping[str, Sequence[str]], theirs: Mapping[str, Mapping[str, str]]) -> str:
    """Return the rows for the documentation: by the heading of a peer and the ids of attacks."""
    rows = ["| attack | hubwire | " + " | ".join(theirs) + " |", "|---|---|" + "---|" * len(theirs)]
    for attack in COMPARED:
        cells = [least(ours[attack]), *(found[attack] for found in theirs.values())]
        rows.append(f"| `{attack}` | {' | '.join(f'**{cell}**' if cell == UNSEEN else cell for cell in cells)} |")
    return "\n".join(rows) + "\n"
