"""Proof: what shows to others that a log is what it was, and who says so.

The records of a log are the leaves of a Merkle tree as RFC 6962 has it. A checkpoint is its root, and how many records
it is over, signed as C2SP has it; so that tools which hubwire has not written can check it. :mod:`~hubwire.proof.tree`
is pure; :class:`TreeHashes` is where the tree is kept; a :class:`Signer` signs.
"""

from __future__ import annotations

from ..errors import CheckpointInvalid, HashesMissing, LogRolledBack, ProofInvalid
from .handover import KeyChain, handover_line, successor_of
from .hashes import TreeHashes
from .inclusion import InclusionProof
from .note import Checkpoint, Note, NoteSignature, VerifierKey
from .part import SignedPart, absent_ranges
from .signer import FunctionSigner, KeySigner, Signer, SigningRequest, as_signer, wipe_key
from .sockets import SocketSigner
from .tiles import ENTRY_BYTES_MAX, bundle, tile_path, tile_widths, unbundled
from .tree import (
    EMPTY_ROOT,
    TILE_WIDTH,
    Tree,
    consistency_ranges,
    inclusion_ranges,
    is_consistent,
    is_included,
    leaf_hash,
    node_hash,
    subtrees,
)

__all__ = (
    "EMPTY_ROOT",
    "ENTRY_BYTES_MAX",
    "TILE_WIDTH",
    "Checkpoint",
    "CheckpointInvalid",
    "FunctionSigner",
    "HashesMissing",
    "InclusionProof",
    "KeyChain",
    "KeySigner",
    "LogRolledBack",
    "Note",
    "NoteSignature",
    "ProofInvalid",
    "SignedPart",
    "Signer",
    "SigningRequest",
    "SocketSigner",
    "Tree",
    "TreeHashes",
    "VerifierKey",
    "absent_ranges",
    "as_signer",
    "bundle",
    "consistency_ranges",
    "handover_line",
    "inclusion_ranges",
    "is_consistent",
    "is_included",
    "leaf_hash",
    "node_hash",
    "subtrees",
    "successor_of",
    "tile_path",
    "tile_widths",
    "unbundled",
    "wipe_key",
)
