"""The programs fit into the stack that Linux 6.1 has, also when they are loaded on a newer one."""

from __future__ import annotations

import struct

import pytest
from tests.support.kernel_programs import require_programs

from netloom.datapath.ebpf.loader import OBJECT
from netloom.datapath.ebpf.objectfile import ObjectFile
from netloom.datapath.ebpf.spec import PROGRAMS

#: Of all functions that call one another; each takes a multiple of what 6.1 rounds up to.
MAX_STACK_BYTES, FRAME_BYTES, MAX_FRAMES = 512, 32, 8
#: Classes of instructions that load and store, and `add` to a register that is a copy of r10.
_LOAD, _STORES, _ADD, _MOVE, _FRAME = 1, (2, 3), 0x07, 0xBF, 10


def frame(code: bytes) -> int:
    """How far down a function reaches in its frame."""
    depth, copied = 1, -1
    for at in range(0, len(code), 8):
        op, registers, offset, number = struct.unpack_from("<BBhi", code, at)
        target, source = registers & 15, registers >> 4
        if (op & 7 == _LOAD and source == _FRAME) or (op & 7 in _STORES and target == _FRAME):
            depth = max(depth, -offset)
        if op == _ADD and target == copied:
            depth = max(depth, -number)
        copied = target if op == _MOVE and source == _FRAME else -1
    return depth


@pytest.mark.root
@pytest.mark.parametrize("program", PROGRAMS)
def test_functions_that_call_one_another_fit_into_the_stack(program: str) -> None:
    require_programs()
    functions = ObjectFile(OBJECT).functions
    known: dict[str, tuple[int, int]] = {}

    def worst(name: str) -> tuple[int, int]:
        """Bytes and frames of the deepest way down from a function."""
        if name not in known:
            function = functions[name]
            called = {row.name for row in function.relocations if row.name in functions}
            below = [worst(other) for other in called]
            own = -(-frame(function.code) // FRAME_BYTES) * FRAME_BYTES
            known[name] = (
                own + max((size for size, _ in below), default=0),
                1 + max((count for _, count in below), default=0),
            )
        return known[name]

    size, count = worst(program)
    assert size <= MAX_STACK_BYTES
    assert count <= MAX_FRAMES
