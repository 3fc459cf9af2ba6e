"""A disk: what a program has done to it, in order, and what of that may be there after the loss of power.

What was synced is there. Of what was written since, each write may be there or not, or some of its sectors of 512
bytes, with zeros where the others should be. Names are there as their directory had them when it was synced, with the
first few changes since; the sync of a file makes no name durable. What was written before a sync that failed may be
there or not for ever: no later sync vouches for it, as on Linux, where its pages count as clean.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

__all__ = ("ROOT", "Medium", "Op", "load", "store")

SECTOR = 512
ROOT = 1
"""The inode of the uppermost directory."""


@dataclass(frozen=True)
class Op:
    """One change of a disk, or what the program has said in between."""

    kind: str
    """One of ``make``, ``name``, ``write``, ``truncate``, ``sync``, ``fail`` (a sync), ``say``."""
    inode: int = 0
    """What it changes: a directory for ``name``."""
    at: int = 0
    """Where it writes; the size to which it truncates; whether it makes a directory."""
    data: bytes = b""
    names: tuple[tuple[str, int], ...] = ()
    """The names that change in a directory, at once, and the inodes that they have then; 0 for none."""


def store(ops: list[Op], file: Path) -> None:
    """Write a recording to a file."""
    lines = [[op.kind, op.inode, op.at, base64.b64encode(op.data).decode(), op.names] for op in ops]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def load(file: Path) -> list[Op]:
    """Read a recording."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [Op(k, i, at, base64.b64decode(data), tuple((n, o) for n, o in names)) for k, i, at, data, names in lines]


@dataclass
class _Node:
    """A file or a directory: what is on the medium, and what may be."""

    is_folder: bool
    content: bytearray = field(default_factory=bytearray)
    names: dict[str, int] = field(default_factory=dict)
    pending: list[Op] = field(default_factory=list)
    """What no sync was asked for."""
    stuck: list[Op] = field(default_factory=list)
    """What a sync has failed for."""


Choice = Callable[[int], int]
"""Says, of so many changes of the names of a directory, how many are there."""


class Medium:
    """What is on the medium after some operations."""

    def __init__(self) -> None:
        self._nodes: dict[int, _Node] = {ROOT: _Node(is_folder=True)}

    def do(self, op: Op) -> None:
        """Take the next operation."""
        match op.kind:
            case "make":
                self._nodes[op.inode] = _Node(is_folder=bool(op.at))
            case "name":
                self._nodes[op.inode].pending.append(op)
            case "write" | "truncate":
                node = self._nodes[op.inode]
                node.stuck = [rest for each in node.stuck for rest in _without(each, op)]
                node.pending.append(op)
            case "sync":
                node = self._nodes[op.inode]
                for each in node.pending:
                    _apply(node.content, node.names, each)
                node.pending = []
            case "fail":
                node = self._nodes[op.inode]
                if not node.is_folder:
                    node.stuck, node.pending = [*node.stuck, *node.pending], []

    def states(self, chance: Random, number: int) -> Iterator[dict[str, bytes]]:
        """Return what may be on the medium when the power goes now: the least, the most, and some at random."""
        yield self._state(lambda _: 0, lambda _, __: None)
        yield self._state(lambda count: count, lambda content, op: _apply(content, {}, op))
        for _ in range(number):
            yield self._state(lambda count: chance.randint(0, count), lambda content, op: _tear(content, op, chance))

    def _state(self, names: Choice, write: Callable[[bytearray, Op], Any]) -> dict[str, bytes]:
        """Return the files that are there, by path."""
        found: dict[str, bytes] = {}
        contents: dict[int, bytes] = {}

        def walk(inode: int, path: str) -> None:
            node = self._nodes[inode]
            if not node.is_folder:
                if inode not in contents:
                    content = bytearray(node.content)
                    for op in (*node.stuck, *node.pending):
                        write(content, op)
                    contents[inode] = bytes(content)
                found[path] = contents[inode]
                return
            there = dict(node.names)
            for op in node.pending[: names(len(node.pending))]:
                _apply(bytearray(), there, op)
            for name, child in there.items():
                walk(child, f"{path}/{name}")

        walk(ROOT, "")
        return found


def _apply(content: bytearray, names: dict[str, int], op: Op) -> None:
    if op.kind == "name":
        for name, inode in op.names:
            names.pop(name, None)
            if inode:
                names[name] = inode
    elif op.kind == "truncate":
        del content[op.at :]
        content.extend(bytes(op.at - len(content)))
    else:
        content.extend(bytes(max(0, op.at - len(content))))
        content[op.at : op.at + len(op.data)] = op.data


def _tear(content: bytearray, op: Op, chance: Random) -> None:
    """Apply an operation, or a part of it, or nothing."""
    luck = chance.random()
    if luck < 1 / 3:
        return
    if luck < 2 / 3 or op.kind == "truncate":
        _apply(content, {}, op)
        return
    end = op.at + len(op.data)
    there = [at for at in range(op.at - op.at % SECTOR, end, SECTOR) if chance.random() < 0.5]
    if chance.random() < 0.5:
        content.extend(bytes(max(0, end - len(content))))  # the size is there, and some of the content not
    for at in there:
        begin, stop = max(at, op.at), min(at + SECTOR, end)
        _apply(content, {}, Op("write", at=begin, data=op.data[begin - op.at : stop - op.at]))


def _without(old: Op, new: Op) -> Iterator[Op]:
    """Return what is left of a write when another one has written over it."""
    if old.kind != "write" or new.kind != "write":
        if not (new.kind == "truncate" and old.kind == "write" and old.at >= new.at):
            yield old
        return
    begin, end, new_end = old.at, old.at + len(old.data), new.at + len(new.data)
    if begin < new.at:
        yield Op("write", old.inode, begin, old.data[: new.at - begin])
    if end > new_end:
        at = max(begin, new_end)
        yield Op("write", old.inode, at, old.data[at - begin :])
