"""Proof: what shows to others that a log is what it was, and who says so.

The records of a log are the leaves of a Merkle tree as RFC 6962 has it. A checkpoint is its root, and how many records
it is over, signed as C2SP has it; so that tools which hubwire has not written can check it. :mod:`~hubwire.proof.tree`
is pure; :class:`TreeHashes` is where the tree is kept; a :class:`Signer` signs.
"""

from __future__ import annotations

from ..errors import CheckpointInvalid, HashesMissing, LogRolledBack, ProofInvalid
from .cosigning import Cosignature, WitnessKey, cosignatures, with_cosignatures
from .handover import KeyChain, handover_line, successor_of
from .hashes import TreeHashes
from .http_witness import HttpWitness
from .inclusion import InclusionProof
from .note import Checkpoint, Note, NoteSignature, VerifierKey
from .part import SignedPart, absent_ranges
from .signer import FunctionSigner, KeySigner, Signer, SigningRequest, as_signer, wipe_key
from .sockets import SocketSigner
from .tiles import ENTRY_BYTES_MAX, bundle, tile_path, tile_widths, unbundled
from .timestamps import Timestamp, Timestamper, check_timestamp
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
from .witness import Witness, WitnessAnswer
from .witness_server import WitnessServer
from .witnesses import CheckpointWitness, FunctionWitness, StoreWitness, WitnessPolicy, WitnessRequest

__all__ = (
    "EMPTY_ROOT",
    "ENTRY_BYTES_MAX",
    "TILE_WIDTH",
    "Checkpoint",
    "CheckpointInvalid",
    "CheckpointWitness",
    "Cosignature",
    "FunctionSigner",
    "FunctionWitness",
    "HashesMissing",
    "HttpWitness",
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
    "StoreWitness",
    "Timestamp",
    "Timestamper",
    "Tree",
    "TreeHashes",
    "VerifierKey",
    "Witness",
    "WitnessAnswer",
    "WitnessKey",
    "WitnessPolicy",
    "WitnessRequest",
    "WitnessServer",
    "absent_ranges",
    "as_signer",
    "bundle",
    "check_timestamp",
    "consistency_ranges",
    "cosignatures",
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
    "with_cosignatures",
)
