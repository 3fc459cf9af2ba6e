"""The verbs of ``hubwire keys``, and their arguments."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

__all__ = ("keys",)

Target = Annotated[str, Parameter(help="A directory, or the URL of a store: file:///data.")]
LogPath = Annotated[str | None, Parameter(name="--log", help="The log within the store; by default /audit.")]
KeyFile = Annotated[str, Parameter(help="The file of a key, as new has written it.")]

keys: App = App(
    name="keys",
    help="Make, show and change the keys that sign audit logs.",
    help_format="plaintext",
    default_parameter=Parameter(negative=(), show_default=False),
)


@keys.command
def new(
    name: Annotated[str, Parameter(help="The name of the log, which others know it by: example.org/hub/audit.")],
    /,
    *,
    out: Annotated[str, Parameter(allow_leading_hyphen=True, help="The new file for the key; it is never printed.")],
    witness: Annotated[bool, Parameter(help="The key is for a witness of logs of others, not for a log.")] = False,
) -> None:
    """Make a key of Ed25519 for a log, in a new file of mode 0600, and print the verifier key for those who check."""
    from .keys import new

    new(name, out, is_witness=witness)


@keys.command
def show(file: KeyFile, /) -> None:
    """Print the verifier key of a key file: it is given to all who check the log, and signs nothing."""
    from .keys import show

    show(file)


@keys.command
def rotate(
    old: Annotated[str, Parameter(help="The file of the key that signs the log now; it is wiped at the end.")],
    target: Target,
    /,
    *,
    to: Annotated[str, Parameter(allow_leading_hyphen=True, help="The file of the new key; made if it is not there.")],
    reason: Annotated[str | None, Parameter(help="Why; it becomes part of a record of the log.")] = None,
    keep: Annotated[bool, Parameter(help="Leave the file of the old key: another log is signed with it, too.")] = False,
    log: LogPath = None,
) -> None:
    """Let a log go on with a new key: both keys sign that, then the file of the old one is written over and removed.

    The same command finishes what was interrupted. Exits with 1 if a program has the log open.
    """
    from .keys import rotate

    rotate(old, target, to=to, reason=reason, is_kept=keep, log=log)


@keys.command
def serve(
    file: KeyFile,
    /,
    *,
    socket: Annotated[str, Parameter(help="The Unix socket at which it signs.")],
    state: Annotated[str, Parameter(help="The file that keeps what was signed last; never restore an older one.")],
    begin: Annotated[bool, Parameter(help="Make that file: the key has never signed.")] = False,
    successor: Annotated[
        str | None, Parameter(help="The verifier key to which this one may hand over; without it, to none.")
    ] = None,
    group: Annotated[
        str | None, Parameter(help="Let this group use the socket, too: the hub runs as another user.")
    ] = None,
) -> None:
    """Sign for a hub in another process, by SocketSigner, until Ctrl-C: nothing that is not a continuation.

    A program that is taken over can then not sign another history, and cannot read the key if it is of another user.
    """
    from .keys_serving import serve

    serve(file, socket, state, begins=begin, successor=successor, group=group)
