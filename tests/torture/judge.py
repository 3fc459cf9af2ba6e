"""The judge: reads what a process has left on a disk, and says what of its acknowledgements is not true.

It has a reader of its own, of the standard library and `cryptography`: no fault of hubwire's code hides itself here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from binascii import crc32
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .contents import Contents, judge_contents

__all__ = ("Acknowledged", "Note", "judge")

_SEGMENT = re.compile(r"(\d{20})\.jsonl")
_SEALED = re.compile(rb'(.*),"d":(\d+)(?:,"h":"([\w-]{22})"|,"c":"([0-9a-f]{8})")\}', re.DOTALL)


@dataclass
class Acknowledged:
    """All that a program was told, over all its lives: none of it may become untrue."""

    vkey: str
    """The key that the judge was given before the first life; others count by hand-overs from it."""
    names: dict[int, str] = field(default_factory=dict)
    """The name of the record at an index of the audit log."""
    events: dict[int, str] = field(default_factory=dict)
    """The name of the event of a `seq`."""
    checkpoints: dict[int, bytes] = field(default_factory=dict)
    """The root over so many records."""
    agents: set[str] = field(default_factory=set)
    contents: Contents = field(default_factory=Contents)
    """What it was told of erasable contents."""
    may_prune: bool = False
    """Whether a pruning was begun: then the log may begin later than with record 0."""
    leaves: dict[int, bytes] = field(default_factory=dict)
    """The hashes of acknowledged records, as the judge has seen them: they never change."""
    faults: list[str] = field(default_factory=list)
    """What is untrue of what a program has said of itself."""

    def hear(self, line: dict[str, Any]) -> None:
        """Take in a line of a program."""
        self.contents.hear(line)
        match line:
            case {"did": "append" | "append_content", "index": int(index), "name": str(name)}:
                self.names[index] = name
            case {"did": "append_many", "index": int(index), "names": list(names)}:
                self.names |= dict(enumerate(names, index))
            case {"did": "emit", "seq": int(seq), "name": str(name)}:
                self.events[seq] = name
            case {"did": "register", "name": str(name)}:
                self.agents.add(name)
            case {"did": "checkpoint" | "rotate_key", "note": str(text)}:
                size, root = Note(text.encode()).checkpoint
                if self.checkpoints.setdefault(size, root) != root:
                    self.faults.append(f"two checkpoints of {size} records have different roots")
            case {"will": "prune"}:
                self.may_prune = True
            case {"agents": list(names)} if lost := self.agents - set(names):
                self.faults.append(f"the hub started without {len(lost)} agents that were registered: {min(lost)}")

    @property
    def size(self) -> int:
        """How many records the audit log has at least."""
        return max([0, *self.checkpoints, *(index + 1 for index in self.names)])


class Note:
    """A signed note: its text, and its signatures."""

    def __init__(self, content: bytes) -> None:
        text, separator, rest = content.decode().rpartition("\n\n")
        if not separator or not rest.endswith("\n"):
            raise ValueError("it is no signed note")
        self.text = text + "\n"
        self._lines = rest[:-1].split("\n")

    @property
    def checkpoint(self) -> tuple[int, bytes]:
        """How many records it is over, and their root."""
        _, size, root, *_ = self.text.split("\n")
        return int(size), base64.b64decode(root, validate=True)

    @property
    def successor(self) -> str | None:
        """The key to which it hands over."""
        lines = [line for line in self.text.split("\n") if line.startswith("successor ")]
        return lines[0].removeprefix("successor ") if lines else None

    def is_signed_by(self, vkey: str) -> bool:
        """Return whether a signature of this key is under it, and holds."""
        name, number, encoded = vkey.split("+", 2)
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(encoded)[1:])
        for line in self._lines:
            mark, named, signed = line.split(" ")
            raw = base64.b64decode(signed, validate=True)
            if (mark, named, raw[:4].hex()) == ("—", name, number):
                try:
                    public.verify(raw[4:], self.text.encode())
                except InvalidSignature:
                    continue
                return True
        return False


def roots(leaves: Iterable[bytes], sizes: Sequence[int]) -> dict[int, bytes]:
    """Return the roots of RFC 6962 over the first so many leaves."""
    wanted, found = set(sizes), {}
    stack: list[tuple[int, bytes]] = []
    for count, leaf in enumerate([b"", *leaves]):
        if count:
            stack.append((0, leaf))
            while len(stack) > 1 and stack[-1][0] == stack[-2][0]:
                (level, left), (_, right) = stack[-2:]
                stack[-2:] = [(level + 1, _node(left, right))]
        if count in wanted:
            root = stack[-1][1] if stack else hashlib.sha256().digest()
            for _, left in reversed(stack[:-1]):
                root = _node(left, root)
            found[count] = root
    return found


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


@dataclass
class _Log:
    """One log as it is on the disk."""

    first: int = 0
    lines: list[bytes] = field(default_factory=list)
    """Those that are good; the number of the first is `first`."""
    rest: bytes = b""
    """What is behind them."""
    faults: list[str] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.first + len(self.lines)

    def fields(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, line in enumerate(self.lines, self.first):
            yield index, json.loads(line)


def _read(folder: Path) -> _Log:
    log = _Log()
    if (folder / "kept").exists():
        log.first = json.loads((folder / "kept").read_bytes())["first"]
    found = sorted((folder / "log").iterdir()) if (folder / "log").is_dir() else []
    segments = {int(match[1]): file for file in found if (match := _SEGMENT.fullmatch(file.name))}
    segments = {first: file for first, file in segments.items() if first >= log.first}
    chain: bytes | None = b"" if not log.first else None
    for number, (first, file) in enumerate(segments.items()):
        if first != log.end:
            log.faults.append(f"{file.name} follows {log.end} records")
            return log
        chain = _read_segment(log, file, chain)
        if log.rest and number < len(segments) - 1:
            log.faults.append(f"{file.name} is damaged at record {log.end}, and is not the last segment")
            return log
    _leave_batch(log)
    return log


def _read_segment(log: _Log, file: Path, chain: bytes | None) -> bytes | None:
    content, at = file.read_bytes(), 0
    for line in content.split(b"\n")[:-1]:
        match = _SEALED.fullmatch(line)
        if match is None or not _is_next(match, chain, log.end):
            break
        chain = match[3] or b""
        log.lines.append(line)
        at += len(line) + 1
    log.rest = content[at:]
    return chain


def _is_next(match: re.Match[bytes], chain: bytes | None, index: int) -> bool:
    body, durable, h, checksum = match.groups()
    suffix = b',"d":' + durable
    if int(durable) > index:
        return False
    if h is None:
        return crc32(body + b"}", crc32(suffix) ^ index) == int(checksum, 16)
    digest = hashlib.sha256((chain or b"") + body + suffix + b"}").digest()
    # The first record of a pruned log follows one that is gone.
    return chain is None or base64.urlsafe_b64encode(digest[:16])[:22] == h


def _leave_batch(log: _Log) -> None:
    """Leave a batch at the end, of which not all records are there: it was not acknowledged."""
    for index, fields in reversed(list(log.fields())):
        if fields.get("kind") == "log.batch_begun" and index + 1 + fields["records"] > log.end:
            log.rest = b"\n".join(log.lines[index - log.first :]) + b"\n" + log.rest
            del log.lines[index - log.first :]
            return


def judge(root: Path, told: Acknowledged, *, is_settled: bool = False) -> list[str]:
    """Return what is wrong with the logs below `root`. `is_settled`: whether all was closed, and no tear is left."""
    faults, told.faults = told.faults, []
    try:
        audit = _read(root / "audit")
        faults += audit.faults or _judge_audit(root / "audit", audit, told)
        journal = _read(root / "journal")
        faults += journal.faults or _judge_journal(journal, told)
        faults += judge_contents(root, audit.first, audit.fields(), told.contents, is_settled=is_settled)
    except (ValueError, KeyError, OSError, binascii.Error) as error:
        return [*faults, f"what is there cannot be read: {type(error).__name__}: {error}"]
    for name, log in (("audit", audit), ("journal", journal)):
        if is_settled and log.rest:
            faults.append(f"the {name} log has {len(log.rest)} bytes behind its end: {log.rest[:40]!r}")
    return faults


def _judge_audit(folder: Path, log: _Log, told: Acknowledged) -> list[str]:
    faults, seen = [], dict[str, int]()
    if log.first and not told.may_prune:
        faults.append(f"the log begins with record {log.first}, and was not pruned")
    names: dict[int, str | None] = {}
    seqs: list[int] = []
    pruned: set[int] = set()
    for index, fields in log.fields():
        name = names[index] = fields.get("name") or (fields.get("data") or {}).get("name")
        if isinstance(name, str):
            if name in seen:
                faults.append(f"{name} is there twice, at {seen[name]} and {index}")
            seen[name] = index
        if isinstance(fields.get("seq"), int):
            seqs.append(fields["seq"])
            if (said := told.events.get(fields["seq"])) is not None and said != name:
                faults.append(f"event {fields['seq']} is {name}, and was acknowledged as {said}")
        if isinstance(cut := fields.get("cut"), dict) and not _is_whole(folder / cut["blob"], cut["sha256"]):
            faults.append(f"the rest of record {index} is missing, or was changed")
        if fields.get("kind") == "log.pruned":
            pruned.add(fields["first"])
    if log.first and log.first not in pruned:
        faults.append(f"the log begins with record {log.first}, and no record says so")
    for index, said in told.names.items():
        if index >= log.first and names.get(index) != said:
            faults.append(f"record {index} was acknowledged as {said}, and is {names.get(index, 'not there')}")
    if seqs != list(range(seqs[0], seqs[0] + len(seqs)) if seqs else []):
        faults.append("the events are not in order")
    if (last := max(told.events, default=-1)) > (seqs[-1] if seqs else -1):
        faults.append(f"event {last} was acknowledged, and the log ends with {seqs[-1:]}")
    return faults + _judge_tree(folder, log, told)


def _is_whole(file: Path, digest: str) -> bool:
    return file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() == digest


def _judge_tree(folder: Path, log: _Log, told: Acknowledged) -> list[str]:
    """Judge the checkpoints, and that no acknowledged record has changed since the judge saw it first."""
    leaves = {i: hashlib.sha256(b"\0" + line).digest() for i, line in enumerate(log.lines, log.first)}
    known = range(log.first, min(log.end, told.size))
    changed = [index for index in known if told.leaves.setdefault(index, leaves[index]) != leaves[index]]
    faults = [f"record {index} has changed" for index in changed]
    if log.end < told.size:
        faults.append(f"the log ends with {log.end} records, and had {told.size}")
        return faults
    stored = (folder / "tree" / "0").read_bytes() if (folder / "tree" / "0").exists() else b""
    before = [told.leaves.get(i, stored[32 * i : 32 * i + 32]) for i in range(log.first)]
    found = sorted((folder / "checkpoints").iterdir()) if (folder / "checkpoints").is_dir() else []
    notes = [Note(file.read_bytes()) for file in found if not file.name.endswith("@")]
    newest = Note((folder / "checkpoint").read_bytes()) if (folder / "checkpoint").exists() else None
    notes += [newest] if newest is not None else []
    said = [(note, *note.checkpoint) for note in notes]
    sizes = [size for _, size, _ in said]
    if max(sizes, default=0) > log.end:
        return [*faults, f"a checkpoint is over {max(sizes)} records, and {log.end} are there"]
    are = roots([*before, *leaves.values()], [*sizes, *told.checkpoints])
    keys = _keys(told.vkey, [note for note, _, _ in said])
    for note, size, root in said:
        if are[size] != root:
            faults.append(f"the checkpoint of {size} records has another root")
        if not any(begin <= size <= end and note.is_signed_by(key) for begin, end, key in keys):
            faults.append(f"the checkpoint of {size} records is not signed by the key of its time")
    for size, root in told.checkpoints.items():
        if are.get(size) != root:
            faults.append(f"the checkpoint of {size} records, which was acknowledged, is not over these records")
    if told.checkpoints and (newest is None or newest.checkpoint[0] < max(told.checkpoints)):
        faults.append(f"the checkpoint of {max(told.checkpoints)} records was rolled back")
    return faults


def _keys(vkey: str, notes: Sequence[Note]) -> list[tuple[int, float, str]]:
    """Return the keys that count: each from one size to another."""
    keys: list[tuple[int, float, str]] = [(0, float("inf"), vkey)]
    for note in sorted(notes, key=lambda each: each.checkpoint[0]):
        (size, _), key = note.checkpoint, note.successor
        begin, _, before = keys[-1]
        if key is not None and key != before and note.is_signed_by(before) and note.is_signed_by(key):
            keys[-1:] = [(begin, size, before), (size, float("inf"), key)]
    return keys


def _judge_journal(log: _Log, told: Acknowledged) -> list[str]:
    events = {fields["seq"]: fields for _, fields in log.fields() if isinstance(fields.get("seq"), int)}
    if list(events) != sorted(events) or len(events) != max(events, default=-1) - min(events, default=0) + 1:
        return ["the events of the journal are not in order"]
    begin = min(events, default=0)
    lost = [seq for seq in told.events if seq >= begin and seq not in events]
    return [f"event {min(lost)} was acknowledged, and is not in the journal"] if lost else []
