"""Records of actions, 16 bytes each, and why there may be none."""

from __future__ import annotations

from netloom.datapath.ebpf.spec import ACTION, OP


class Uncompilable(Exception):
    """An action that the kernel programs cannot do; the text says which."""


class OnlyWhole(Uncompilable):
    """The same, of all actions of the flow: what the programs did before could not be gone on
    with."""


def record(op: str, a8: int = 0, a16: int = 0, a32: int = 0, a64: int = 0) -> bytes:
    """One action as the programs read it (`spec.OPERATIONS`)."""
    return ACTION.pack(OP[op], a8, a16, a32, a64)


def swapped(number: int, n_bytes: int) -> int:
    """A number in network byte order, as the machine holds it."""
    return int.from_bytes(number.to_bytes(n_bytes, "big"), "little")
