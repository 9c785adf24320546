"""What the kernel must have for the programs, each asked for by a call that changes nothing.

`missing` names what stands in the way in the words of an administrator; `features` is the listing
of `dpif/show-dp-features`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from mmap import PAGESIZE
from struct import pack

from netloom.datapath.ebpf.spec import (
    ARRAY,
    HASH,
    MMAPABLE,
    NO_PREALLOC,
    PERCPU_ARRAY,
    PROG_ARRAY,
    RINGBUF,
)
from netloom.datapath.ebpf.syscall import btf_load, link_create, map_create, prog_load

#: A type of BTF and its string: without any, the kernel has nothing to accept.
_BTF_MAGIC, _BTF_HEADER_BYTES, _KIND_INT = 0xEB9F, 24, 1
#: `r0 = 0; exit`.
_PASS = pack("<BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)
#: No device has this index.
_NO_DEVICE = 0


def _map(kind: int, key: int, value: int, entries: int, flags: int = 0) -> Callable[[], int]:
    return lambda: map_create(kind, key, value, entries, flags, "nl_probe")


def _btf() -> int:
    strings = b"\0int\0"
    types = pack("<IIII", 1, _KIND_INT << 24, 4, 32)
    sizes = (0, len(types), len(types), len(strings))
    return btf_load(
        pack("<HBBIIIII", _BTF_MAGIC, 1, 0, _BTF_HEADER_BYTES, *sizes) + types + strings
    )


def _program() -> int:
    return prog_load("nl_probe", _PASS, 0, b"")


#: What a data path cannot do without.
_NEEDED: tuple[tuple[str, Callable[[], int]], ...] = (
    ("eBPF programs for traffic control", _program),
    ("eBPF type information (BTF)", _btf),
    ("eBPF arrays in shared memory", _map(ARRAY, 4, 8, 1, MMAPABLE)),
    ("eBPF arrays per CPU", _map(PERCPU_ARRAY, 4, 8, 1)),
    ("eBPF hash maps that grow", _map(HASH, 4, 4, 1, NO_PREALLOC)),
    ("eBPF tail calls", _map(PROG_ARRAY, 4, 4, 1)),
    ("eBPF ring buffers", _map(RINGBUF, 0, 0, PAGESIZE)),
)


def _has(probe: Callable[[], int]) -> bool:
    try:
        os.close(probe())
    except OSError:
        return False
    return True


def _has_tcx() -> bool:
    """A kernel that does not know this kind of link says so before it looks for the device."""
    try:
        program = _program()
    except OSError:
        return False
    try:
        os.close(link_create(program, _NO_DEVICE))
    except OSError as error:
        return error.errno == errno.ENODEV
    finally:
        os.close(program)
    return True


def features() -> tuple[tuple[str, bool], ...]:
    """Title of each feature, and whether the kernel has it and lets us use it. Without links to
    devices, which came with Linux 6.6, filters of a queueing discipline do their job."""
    needed = tuple((title, _has(probe)) for title, probe in _NEEDED)
    return (*needed, ("eBPF links to devices (tcx)", _has_tcx()))


def is_permitted() -> bool:
    """Whether this process may use eBPF at all, as far as the kernel has it."""
    try:
        os.close(_map(ARRAY, 4, 8, 1)())
    except OSError as error:
        return error.errno not in (errno.EPERM, errno.EACCES)
    return True


def missing() -> list[str]:
    """The features that a data path cannot do without and that are not there."""
    return [title for title, probe in _NEEDED if not _has(probe)]
