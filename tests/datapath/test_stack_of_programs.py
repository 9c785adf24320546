"""What the programs keep on the stack fits also where the kernel counts generously: Linux 6.1 gives
512 bytes to all functions that call one another, in steps of 32. A step is left for what comes."""

from __future__ import annotations

from struct import iter_unpack

import pytest
from tests.support.kernel_programs import require_programs

from netloom.datapath.ebpf.loader import OBJECT
from netloom.datapath.ebpf.objectfile import ObjectFile
from netloom.datapath.ebpf.spec import PROGRAMS

pytestmark = pytest.mark.root
STEP = 32
STACK_BYTES = 512 - STEP
FRAME = 10
#: Classes of operations, and those that make addresses in the frame.
LOAD, STORE, STORE_NUMBER = 1, 3, 2
MOVE, ADD_NUMBER = 0xBF, 0x07


def frame_bytes(code: bytes) -> int:
    """How far below its frame a function reaches."""
    deepest = 0
    addresses: dict[int, int] = {}
    for operation, registers, offset, number in iter_unpack("<BBhi", code):
        to, source = registers & 15, registers >> 4
        kind = operation & 7
        if (kind in (STORE, STORE_NUMBER) and to == FRAME) or (kind == LOAD and source == FRAME):
            deepest = max(deepest, -offset)
        elif operation == MOVE:
            addresses.pop(to, None)
            if source == FRAME:
                addresses[to] = 0
        elif operation == ADD_NUMBER and to in addresses:
            addresses[to] += number
            deepest = max(deepest, -addresses[to])
    return deepest


@pytest.fixture(scope="module")
def functions() -> ObjectFile:
    require_programs()
    return ObjectFile(OBJECT)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_longest_chain_of_calls_fits(functions: ObjectFile, program: str) -> None:
    def deepest(name: str) -> tuple[int, list[str]]:
        function = functions.functions[name]
        callees = {r.name for r in function.relocations if r.name in functions.functions}
        below, chain = max((deepest(callee) for callee in callees), default=(0, []))
        own = max(-(-frame_bytes(function.code) // STEP), 1) * STEP
        return own + below, [f"{name} {own}", *chain]

    size, chain = deepest(program)
    assert size <= STACK_BYTES, chain
