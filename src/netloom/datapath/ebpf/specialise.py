"""The lookup of the masks in use, as a program made for them.

The generic lookup (bpf/lookup.h) reads from tables, for each half word of each mask, where it lies
and which bits count. This program has all that in its instructions: load, mask, store, for each
half one after the other, then a lookup in the hash of the mask's size, and so on for each mask in
the order of their hits. It takes half the instructions. `nl_ingress` jumps to it by the table of
programs, where it is exchanged in one step, and it jumps on to `nl_found`.

What must hold: the program may know masks that are no more (it finds nothing under them), but not
miss one. So it is taken away before a mask comes, and made anew when masks have not changed for
a moment; meanwhile the generic lookup serves. Making one takes about a millisecond.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from struct import Struct, pack
from typing import NamedTuple

from netloom.base.log import get_logger
from netloom.datapath.ebpf.loader import Loaded
from netloom.datapath.ebpf.spec import (
    LOOKUP_PROGRAM,
    MASK,
    MASKED_AT,
    PROGRAMS,
    SIZE_CLASSES,
    SLOT_AT,
)
from netloom.datapath.ebpf.syscall import MAP_DELETE, MAP_UPDATE, address, bpf, prog_load

log = get_logger("dpif_netlink")

#: More masks than this are looked up by the generic way: jumps do not reach farther.
MAX_SPECIAL = 128
#: How long masks must not change before a program is made for them.
QUIET_MS = 250
_INSTRUCTION = Struct("<BBhi").pack
# Operations (Documentation/bpf/standardization/instruction-set.rst).
_LOAD_WIDE, _CALL, _EXIT, _JUMP, _IF_ZERO = 0x18, 0x85, 0x95, 0x05, 0x15
_MOVE, _MOVE_NUMBER, _ADD_NUMBER, _AND_NUMBER = 0xBF, 0xB7, 0x07, 0x54
_LOAD, _STORE, _STORE_NUMBER, _ATOMIC_ADD = 0x61, 0x63, 0x62, 0xDB
_MAP = 1
_LOOKUP_ELEMENT, _TAIL_CALL = 1, 12
_DROP = 2
_ALL = 0xFFFFFFFF
#: Where on the stack keys of arrays are.
_KEY_AT = -4
_CONTEXT, _SCRATCH, _STACK = 6, 7, 10


class SpecialMask(NamedTuple):
    """What a program knows of a mask: its number, the hash of its flows, (half word, bits) ..."""

    id: int
    size_class: int
    halves: Sequence[tuple[int, int]]


def _op(code: int, to: int = 0, source: int = 0, offset: int = 0, number: int = 0) -> bytes:
    number = number - (1 << 32) if number >= 1 << 31 else number
    return _INSTRUCTION(code, to | source << 4, offset, number)


def _wide(to: int, fd: int) -> bytes:
    return _op(_LOAD_WIDE, to, _MAP, 0, fd) + _op(0)


def _in_array(fd: int) -> bytes:
    """r0 = the entry of an array whose number is on the stack."""
    parts = _wide(1, fd), _op(_MOVE, 2, _STACK), _op(_ADD_NUMBER, 2, number=_KEY_AT)
    return b"".join(parts) + _op(_CALL, number=_LOOKUP_ELEMENT)


def _try_mask(mask: SpecialMask, fd: int) -> bytes:
    """r0 = where the mask's hash has the slot of the packet's flow; 0 if it has none."""
    parts = [_op(_STORE_NUMBER, _SCRATCH, offset=MASKED_AT, number=mask.id)]
    for number in range(SIZE_CLASSES[mask.size_class]):
        at = MASKED_AT + 4 + 4 * number
        if number >= len(mask.halves):
            parts.append(_op(_STORE_NUMBER, _SCRATCH, offset=at))
            continue
        index, bits = mask.halves[number]
        parts.append(_op(_LOAD, 1, _SCRATCH, 4 * index))
        if bits != _ALL:
            parts.append(_op(_AND_NUMBER, 1, number=bits))
        parts.append(_op(_STORE, _SCRATCH, 1, at))
    parts += [_wide(1, fd), _op(_MOVE, 2, _SCRATCH), _op(_ADD_NUMBER, 2, number=MASKED_AT)]
    return b"".join(parts) + _op(_CALL, number=_LOOKUP_ELEMENT)


def _length(code: bytes) -> int:
    return len(code) // 8


def program(masks: Sequence[SpecialMask], maps: dict[str, int]) -> bytes:
    """The instructions of the lookup; `maps` are descriptors."""
    go_on = b"".join(
        (
            _op(_MOVE, 1, _CONTEXT),
            _wide(2, maps["programs"]),
            _op(_MOVE_NUMBER, 3, number=PROGRAMS.index("nl_found")),
            _op(_CALL, number=_TAIL_CALL),
            _op(_MOVE_NUMBER, 0, number=_DROP),
            _op(_EXIT),
        )
    )
    hit = _in_array(maps["masks"])
    hit += _op(_IF_ZERO, 0, offset=2) + _op(_MOVE_NUMBER, 1, number=1)
    hit += _op(_ATOMIC_ADD, 0, 1, MASK.offsets["hits"])
    # From the last to the first, for jumps are told how far it is to the end.
    tail = _op(_JUMP, offset=_length(hit)) + hit + go_on
    to_hit = 1
    for mask in reversed(masks):
        found = _op(_LOAD, 1, 0) + _op(_STORE, _SCRATCH, 1, SLOT_AT)
        found += _op(_STORE_NUMBER, _STACK, offset=_KEY_AT, number=mask.id)
        found += _op(_JUMP, offset=to_hit)
        tried = _try_mask(mask, maps[f"keys_{mask.size_class}"])
        tried += _op(_IF_ZERO, 0, offset=_length(found)) + found
        tail = tried + tail
        to_hit += _length(tried)
    begin = _op(_MOVE, _CONTEXT, 1) + _op(_STORE_NUMBER, _STACK, offset=_KEY_AT)
    begin += _in_array(maps["scratch"]) + _op(_IF_ZERO, 0, offset=_length(tail))
    begin += _op(_MOVE, _SCRATCH, 0) + _op(_STORE_NUMBER, _SCRATCH, offset=SLOT_AT)
    return begin + tail


class SpecialLookup:
    """The program of one data path; there may be none at times."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._due_ms = 0
        self._is_wanted = True
        # What an earlier daemon left knows the masks that are adopted; it is made anew soon.
        self.is_there = False

    def changed(self, is_new: bool) -> None:
        """Masks were added (`is_new`: there must be no program from now on), removed or sorted."""
        if is_new:
            self.remove()
        self._is_wanted = True
        self._due_ms = 0

    def remove(self) -> None:
        """Have the generic lookup serve."""
        self.is_there = False
        key = ctypes.create_string_buffer(LOOKUP_PROGRAM.to_bytes(4, "little"), 4)
        try:
            bpf(MAP_DELETE, pack("<IIQQQ", self._loaded.maps["programs"], 0, address(key), 0, 0))
        except FileNotFoundError:
            return

    def run(self, masks: Callable[[], Sequence[SpecialMask]], now_ms: int) -> None:
        """Make the program, if masks have changed and are quiet now."""
        if not self._is_wanted:
            return
        if not self._due_ms:
            self._due_ms = now_ms + QUIET_MS
        elif now_ms >= self._due_ms:
            self._is_wanted = False
            self.make(masks())

    def make(self, masks: Sequence[SpecialMask]) -> None:
        """Make the program and put it into its place."""
        if not masks or len(masks) > MAX_SPECIAL:
            self.remove()
            return
        try:
            made = prog_load("nl_lookup", program(masks, self._loaded.maps), 0, b"")
        except OSError as error:
            log.warn("no special lookup: %s", error)
            return
        key = ctypes.create_string_buffer(LOOKUP_PROGRAM.to_bytes(4, "little"), 4)
        value = ctypes.create_string_buffer(made.to_bytes(4, "little"), 4)
        table = self._loaded.maps["programs"]
        bpf(MAP_UPDATE, pack("<IIQQQ", table, 0, address(key), address(value), 0))
        os.close(made)
        self.is_there = True
