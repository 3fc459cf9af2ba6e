"""What is said of a command that could not be carried out, in one line, and its exit code."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from cyclopts import Argument, CycloptsError, MissingArgumentError

from ..errors import CheckpointInvalid, ConfigurationError, HubError
from .failures import CommandFailed
from .output import complain

__all__ = ("FAILED", "MISUSED", "failed", "misuse")

FAILED = 1
MISUSED = 2
_NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def misuse(error: CycloptsError) -> str:
    """Return what is wrong with the words of a command, and where to read on."""
    verb = " ".join(("hubwire", *(error.command_chain or ())))
    if not isinstance(error, MissingArgumentError) or error.argument is None:
        return f"{error} (see {verb} --help)"
    nearest = str(error).partition("requires an argument.")[2].strip()
    unknown = [each for each in error.unused_tokens or () if each.startswith("-")]
    said = nearest or (f"It has no option {unknown[0]}." if unknown else "")
    needs = f"{verb} needs {error.argument.name}{_meaning(error.argument)}"
    return " ".join(filter(None, (needs, said, f"(see {verb} --help)")))


def _meaning(argument: Argument) -> str:
    """Return what an argument is, as its help says, behind a colon: a name in capitals says little."""
    said = (argument.parameter.help or "").strip().removesuffix(".")
    is_word = said[1:2].islower() or said[1:2] == " "  # and no JSON
    return f": {said[0].lower() if is_word else said[0]}{said[1:]}." if said else "."


def failed(error: Exception) -> int:
    """Print an error in one line, if it is one that a user can act on; return the exit code."""
    leaves = list(_leaves(error))
    if any(isinstance(leaf, BrokenPipeError) for leaf in leaves):
        raise BrokenPipeError
    for leaf in leaves:
        if isinstance(leaf, (HubError, CommandFailed)):
            complain(leaf)
            if isinstance(leaf, CommandFailed):
                return leaf.exit_code
            return MISUSED if isinstance(leaf, (ConfigurationError, CheckpointInvalid)) else FAILED
    if isinstance(leaves[0], OSError):
        complain(_of_system(leaves[0]))
        return FAILED
    raise error


def _of_system(error: OSError) -> str:
    """Return what the system refused; what has no name and cannot be written is the output."""
    if error.filename is None and error.errno in _NOT_WRITTEN:
        return f"the standard output cannot be written ({error.strerror}); make room there, or write to another place"
    return str(error)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
