"""The judge of erasable contents: what was acknowledged is on its page, and what was erased is in no file at all.

As `judge.py`, it has a reader of its own and knows no code of hubwire.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ("Contents", "judge_contents", "secret")

_SECRET = re.compile(rb"secret of ([\w/]+)[.]")


def secret(name: str) -> str:
    """Return the content of the record of this name: no part of it that shows whose it is is in another one."""
    return f"secret of {name}. " * 40


@dataclass
class Contents:
    """What a program was told of erasable contents, over all its lives."""

    names: dict[int, str] = field(default_factory=dict)
    """The name of the record at an index, whose content was acknowledged."""
    going: set[int] = field(default_factory=set)
    """The records of which an erasure was begun: they have their contents, or a record says that they have not."""
    gone: set[int] = field(default_factory=set)
    """Those of which it was acknowledged."""

    def hear(self, line: dict[str, Any]) -> None:
        """Take in a line of a program."""
        match line:
            case {"did": "append_content", "index": int(index), "name": str(name)}:
                self.names[index] = name
            case {"will": "erase", "records": list(indexes)}:
                self.going |= set(indexes)
            case {"did": "erase", "records": list(indexes)}:
                self.gone |= set(indexes)


@dataclass
class _Records:
    """What the records of the log say of contents."""

    pages: dict[int, tuple[str, str]] = field(default_factory=dict)
    """The page and the commitment of the content of a record."""
    erased: dict[int, int] = field(default_factory=dict)
    """The record that says of another one that its content was erased."""

    def add(self, index: int, fields: dict[str, Any]) -> None:
        if "$c" in fields:
            self.pages[index] = fields["$c"]["page"], fields["content"]["$c"]
        if fields.get("kind") == "record.erased":
            for group in fields["erased"]:
                for first, last in group["records"]:
                    self.erased |= dict.fromkeys(range(first, last + 1), index)


def judge_contents(
    root: Path, first: int, records: Iterable[tuple[int, dict[str, Any]]], told: Contents, *, is_settled: bool
) -> list[str]:
    """Return what is wrong with the contents of the audit log below ``root``, which begins with record ``first``."""
    said = _Records()
    for index, fields in records:
        said.add(index, fields)
    left = _left(root)
    there = dict(_on_pages(root / "audit" / "erasable"))
    faults = []
    for index, name in told.names.items():
        if index < first or index not in said.pages:
            continue  # it was pruned; or is not there, which is a fault of the log
        record, content = said.erased.get(index), there.get(said.pages[index])
        is_whole = content == json.dumps(secret(name)).encode()
        if content is not None and not is_whole:
            faults.append(f"the content of record {index} was changed")
        if index in told.gone and record is None:
            faults.append(f"the content of record {index} was erased, and no record says so")
        if name in left and (index in told.gone or (record is not None and is_settled)):
            faults.append(f"the content of record {index} was erased, and is in {left[name]}")
        if not is_whole and record is None:
            faults.append(f"the content of record {index} is not there, and no record says that it was erased")
        if record is not None and index not in told.going:
            faults.append(f"record {record} says that the content of record {index} was erased: nobody did that")
    unnamed = {place for place in there.keys() - set(said.pages.values()) if place[0] not in _to_be_pruned(root)}
    if is_settled and unnamed:
        faults.append(f"{len(unnamed)} contents are there that no record names: {min(unnamed)}")
    return faults


def _to_be_pruned(root: Path) -> list[str]:
    """Return the pages that a pruning which was begun has not cleared: the next one does."""
    note = root / "audit" / "pruned"
    fields: dict[str, Any] = json.loads(note.read_bytes()) if note.exists() else {"done": True}
    return [] if fields["done"] else list(fields["pages"])


def _left(root: Path) -> dict[str, Path]:
    """Return the names of all records of whose contents a part is in a file, whatever file that is."""
    found: dict[str, Path] = {}
    for file in root.rglob("*"):
        if file.is_file():
            found |= {name.decode(): file for name in set(_SECRET.findall(file.read_bytes()))}
    return found


def _on_pages(folder: Path) -> Iterator[tuple[tuple[str, str], bytes]]:
    """Return the contents that hold, by page and commitment. A page may be in two files."""
    for file in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not re.fullmatch(r"\d{20}-[0-9a-f]{8}([.]e)?", file.name):
            continue  # the rest of a write that was not finished
        for line in file.read_bytes().split(b"\n")[:-1]:
            digest, salt, content = (*line.split(b" ", 2), b"", b"")[:3]
            if re.fullmatch(rb"[\w+/]{43}=", salt):  # else it is erased, or torn
                made = hashlib.sha256(b"hub-commit-v1" + base64.b64decode(salt) + content).digest()
                if base64.b64encode(made) == digest:
                    yield (file.name.removesuffix(".e"), digest.decode()), content
