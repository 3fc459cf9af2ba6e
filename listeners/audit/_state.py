"""What a verifier remembers of a log that it has read, so that it reads only what came since."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any, Self, get_type_hints

import attrs
import msgspec

from hubwire import codec
from hubwire.errors import CheckpointInvalid, InvalidRecord, NewerVersion
from hubwire.proof import Tree, VerifierKey

from ._promise import Promise

__all__ = ("VerifierState",)

_VERSION = 1


@attrs.frozen(kw_only=True)
class VerifierState:
    """What was known of a log when it was verified last: kept by who verifies, and never beside the log.

    Given to :func:`examine`, the records that it speaks of are not read again: those after them have to follow them,
    which also proves that the log was only appended to. ``to_text`` and ``parse`` give and take what a file holds.
    """

    path: str
    first_record: int
    """The record with which the log began."""
    records: int
    h: str
    """``h`` of the last of them."""
    durable: int
    """``d`` of the last of them."""
    events: int
    first_seq: int | None
    last_seq: int | None
    hub: str | None
    promise: Promise | None
    """Which events the log was to hold there."""
    tree: Tree | None = attrs.field(eq=False, repr=False)
    """The tree over them, if the log is signed."""
    keys: tuple[VerifierKey, ...] = ()
    """The keys that were trusted there, the newest last."""
    signed: int | None = None
    """How many records were signed by them."""
    forked: str | None = None
    """The newest fork that the log has said of itself, if there was one."""

    at: str | None = None
    """The time of the last of them."""
    is_closed: bool = False
    """Whether that is a heartbeat which says that the log is closed."""

    def to_text(self) -> str:
        """Return what a file holds, with a checksum."""
        edge = [] if self.tree is None else [b64encode(b"".join(each)).decode() for each in self.tree.edge]
        fields = attrs.asdict(self, recurse=False) | {
            "promise": None if self.promise is None else self.promise.to_fields(),
            "keys": list(map(str, self.keys)),
            "edge": edge if self.tree is not None or not self.records else ["none"],
        }
        del fields["tree"]
        return codec.encode_marker(fields, version=_VERSION).decode()

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Return the state that a file holds.

        Raises :class:`~hubwire.errors.InvalidRecord` if it is none, or was changed, and
        :class:`~hubwire.errors.NewerVersion`.
        """
        fields = codec.decode_marker(text.encode() if isinstance(text, str) else text)
        if fields.pop("v") > _VERSION:
            raise NewerVersion("the state of the verifier was written by a newer version of hubwire; use that one")
        try:
            fields = {"forked": None, "at": None, "is_closed": False, **fields}
            msgspec.convert(fields, _Fields)
            edge = fields.pop("edge")
            fields["tree"] = None if edge == ["none"] else Tree(fields["records"], list(map(_hashes, edge)))
            fields["keys"] = tuple(map(VerifierKey.parse, fields["keys"]))
        except (msgspec.ValidationError, ValueError, CheckpointInvalid) as error:
            raise InvalidRecord(f"it is no state of a verifier: {error}") from error
        promise = fields.pop("promise")
        return cls(**fields, promise=None if promise is None else Promise.from_fields(promise))


_TYPES = get_type_hints(VerifierState) | {"promise": dict[str, Any] | None, "keys": list[str], "edge": list[str]}
del _TYPES["tree"]
_Fields = msgspec.defstruct("_Fields", _TYPES.items(), forbid_unknown_fields=True)
"""What is in a file: the edge of the tree, and text for what JSON does not have."""


def _hashes(text: str) -> list[bytes]:
    content = b64decode(text, validate=True)
    return [content[at : at + 32] for at in range(0, len(content), 32)]
