"""The id of a flow: 128 bits that only its key and mask decide."""

from __future__ import annotations

from hashlib import blake2b

from netloom.flow.fields import KEY_BYTES


def flow_ufid(key: int, mask: int) -> int:
    """A 128-bit hash of key and mask."""
    data = key.to_bytes(KEY_BYTES, "big") + mask.to_bytes(KEY_BYTES, "big")
    return int.from_bytes(blake2b(data, digest_size=16).digest(), "big")
