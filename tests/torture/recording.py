"""A file system in memory that records what is done to it: by FUSE, so that the program is any program.

Run as a process of its own: ``python -P -m torture.recording MOUNT RECORDING``. It ends when it is unmounted.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from .disk import ROOT, Op, store

__all__ = ("SAID", "recorded", "why_no_fuse")

SAID = "said"
"""The file in the uppermost directory to which a program writes what it says: so it is in order with the rest."""

_MOUNT_SECONDS_MAX = 20


@cache
def why_no_fuse() -> str | None:
    """Return why no file system can be mounted here; None if one can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse is not there, or may not be opened"
    if not shutil.which("fusermount3"):
        return "fuse3 is not installed"
    try:
        import mfusepy  # noqa: F401 - it looks for the library when it is imported
    except (ImportError, OSError) as error:
        return f"mfusepy cannot be used: {error}"
    return None


@dataclass
class _Inode:
    number: int
    mode: int
    content: bytearray = field(default_factory=bytearray)
    names: dict[str, int] = field(default_factory=dict)
    links: int = 1


class _Recorder:
    """The operations that FUSE calls. A file handle is the number of its inode, so that one without a name works."""

    use_ns = True

    def __init__(self, fails_at: int) -> None:
        self.ops: list[Op] = []
        self._inodes = {ROOT: _Inode(ROOT, stat.S_IFDIR | 0o700, links=2)}
        self._fails_at = fails_at
        """Which sync of a file fails; 0 for none."""
        self._syncs = 0

    def _note(self, *op: Any) -> None:
        self.ops.append(Op(*op))

    def _find(self, path: str | None, fh: int | None = None) -> _Inode:
        if fh:
            return self._inodes[fh]
        inode = self._inodes[ROOT]
        for name in (path or "").split("/"):
            if name:
                if name not in inode.names:
                    raise OSError(errno.ENOENT, "")
                inode = self._inodes[inode.names[name]]
        return inode

    def _place(self, path: str) -> tuple[_Inode, str]:
        folder, _, name = path.rpartition("/")
        return self._find(folder), name

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        inode = self._find(path, fh)
        return {
            "st_ino": inode.number,
            "st_mode": inode.mode,
            "st_nlink": inode.links,
            "st_size": len(inode.content),
            "st_uid": os.getuid(),
            "st_gid": os.getgid(),
        }

    def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, int], int]]:
        found = [self._inodes[number] for number in self._find(path, fh).names.values()]
        states = [{"st_mode": inode.mode, "st_ino": inode.number} for inode in found]
        return [(name, state, 0) for name, state in zip(self._find(path, fh).names, states, strict=True)]

    def _make(self, path: str, mode: int) -> int:
        folder, name = self._place(path)
        number = max(self._inodes) + 1
        self._inodes[number] = _Inode(number, mode)
        folder.names[name] = number
        self._note("make", number, int(stat.S_ISDIR(mode)))
        self._note("name", folder.number, 0, b"", ((name, number),))
        return number

    def create(self, path: str, mode: int, _fi: Any = None) -> int:
        return self._make(path, stat.S_IFREG | stat.S_IMODE(mode))

    def mkdir(self, path: str, mode: int) -> int:
        self._make(path, stat.S_IFDIR | stat.S_IMODE(mode))
        return 0

    def open(self, path: str, flags: int) -> int:
        inode = self._find(path)
        if flags & os.O_TRUNC:
            self.truncate(path, 0)
        return inode.number

    def opendir(self, path: str) -> int:
        return self._find(path).number

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._find(path, fh).content[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        inode = self._find(path, fh)
        inode.content.extend(bytes(max(0, offset - len(inode.content))))
        inode.content[offset : offset + len(data)] = data
        if inode.number == self._inodes[ROOT].names.get(SAID):
            self._note("say", 0, 0, data)
        else:
            self._note("write", inode.number, offset, data)
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        inode = self._find(path, fh)
        del inode.content[length:]
        inode.content.extend(bytes(length - len(inode.content)))
        self._note("truncate", inode.number, length)
        return 0

    def fsync(self, path: str, _datasync: int, fh: int) -> int:
        number = self._find(path, fh).number
        self._syncs += 1
        if self._syncs == self._fails_at:
            self._note("fail", number)
            raise OSError(errno.EIO, "")
        self._note("sync", number)
        return 0

    def fsyncdir(self, path: str, _datasync: int, fh: int) -> int:
        self._note("sync", self._find(path, fh).number)
        return 0

    def link(self, target: str, source: str) -> int:
        inode, (folder, name) = self._find(source), self._place(target)
        if name in folder.names:
            raise OSError(errno.EEXIST, "")
        inode.links += 1
        folder.names[name] = inode.number
        self._note("name", folder.number, 0, b"", ((name, inode.number),))
        return 0

    def unlink(self, path: str) -> int:
        folder, name = self._place(path)
        self._find(path).links -= 1
        del folder.names[name]
        self._note("name", folder.number, 0, b"", ((name, 0),))
        return 0

    def rmdir(self, path: str) -> int:
        if self._find(path).names:
            raise OSError(errno.ENOTEMPTY, "")
        return self.unlink(path)

    def rename(self, old: str, new: str) -> int:
        (folder, name), (other, new_name) = self._place(old), self._place(new)
        if folder is not other:
            raise OSError(errno.EXDEV, "")
        if new_name in folder.names:
            self._find(new).links -= 1
        number = folder.names[new_name] = folder.names.pop(name)
        self._note("name", folder.number, 0, b"", ((name, 0), (new_name, number)))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        inode = self._find(path)
        inode.mode = stat.S_IFMT(inode.mode) | stat.S_IMODE(mode)
        return 0

    def utimens(self, _path: str, _times: Any = None) -> int:
        return 0

    def statfs(self, _path: str) -> dict[str, int]:
        return {"f_bsize": 4096, "f_frsize": 4096, "f_blocks": 1 << 20, "f_bfree": 1 << 19, "f_bavail": 1 << 19}


@contextmanager
def recorded(folder: Path, *, fails_at: int = 0) -> Iterator[tuple[Path, Path]]:
    """Mount a new file system; give its place, and the file in which the recording is when it is unmounted."""
    mount, recording = folder / "mount", folder / "recording"
    mount.mkdir(exist_ok=True)
    command = [sys.executable, "-P", "-m", "torture.recording", str(mount), str(recording), str(fails_at)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + _MOUNT_SECONDS_MAX
        while not mount.is_mount():
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                raise RuntimeError(f"cannot mount a file system: {process.communicate()[1][-500:]}")
            time.sleep(0.01)
        yield mount, recording
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(mount)], check=False, capture_output=True)
        process.communicate(timeout=_MOUNT_SECONDS_MAX)


def main(mount: str, recording: str, fails_at: str) -> None:
    """Be the file system until it is unmounted; then write the recording."""
    from mfusepy import FUSE

    recorder = _Recorder(int(fails_at))
    options = {"use_ino": True, "hard_remove": True, "direct_io": True}
    times = {"attr_timeout": 0, "entry_timeout": 0, "negative_timeout": 0}
    FUSE(recorder, mount, foreground=True, nothreads=True, **options, **times)
    store(recorder.ops, Path(recording))


if __name__ == "__main__":
    main(*sys.argv[1:])
