"""bpf(2), as far as it is needed, through the C library's `syscall`.

Every function raises OSError with the kernel's reason. Structures are those of linux/bpf.h's
`union bpf_attr`; what is left out at their end the kernel takes for zero.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from struct import Struct, pack_into, unpack_from

_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
_NUMBER = _NUMBERS.get(platform.machine())

MAP_CREATE, MAP_LOOKUP, MAP_UPDATE, MAP_DELETE, MAP_NEXT_KEY, PROG_LOAD = range(6)
OBJ_PIN, OBJ_GET, PROG_TEST_RUN = 6, 7, 10
OBJ_GET_INFO, PROG_QUERY, BTF_LOAD = 15, 16, 18
MAP_LOOKUP_BATCH, MAP_UPDATE_BATCH, MAP_DELETE_BATCH = 24, 26, 27
LINK_CREATE, LINK_UPDATE, LINK_DETACH = 28, 29, 34

SCHED_CLS = 3
TCX_INGRESS = 46
#: Bytes of the verifier's log that are asked for when a program is refused.
LOG_BYTES = 1 << 24

_libc = ctypes.CDLL(None, use_errno=True)


def bpf(command: int, attributes: bytes | ctypes.Array[ctypes.c_char]) -> int:
    """One call; returns what the kernel returns (a descriptor, often)."""
    if _NUMBER is None:
        raise OSError(errno.ENOSYS, f"bpf(2) has no number on {platform.machine()}")
    buffer = (
        ctypes.create_string_buffer(attributes, len(attributes))
        if isinstance(attributes, bytes)
        else attributes
    )
    result = int(_libc.syscall(_NUMBER, command, buffer, len(buffer)))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def address(buffer: ctypes.Array[ctypes.c_char]) -> int:
    return ctypes.addressof(buffer)


_map_create = Struct("<IIIIIII16s")


def map_create(kind: int, key: int, value: int, entries: int, flags: int, name: str) -> int:
    """The descriptor of a new map."""
    label = name.encode()[:15]
    return bpf(MAP_CREATE, _map_create.pack(kind, key, value, entries, flags, 0, 0, label))


_prog_load = Struct("<IIQQIIQII16sIIIIQI")


class Refused(OSError):
    """The verifier did not accept a program; `log` is all that it said."""

    def __init__(self, code: int, name: str, log: str) -> None:
        super().__init__(code, f"{name}: {os.strerror(code)}")
        self.log = log


def prog_load(name: str, code: bytes, btf: int, functions: bytes) -> int:
    """Load a tc program; `functions` are the records of its functions (offset, BTF type)."""
    license_ = ctypes.create_string_buffer(b"GPL")
    instructions = ctypes.create_string_buffer(code, len(code))
    infos = ctypes.create_string_buffer(functions, max(len(functions), 1))

    def load(level: int, log: ctypes.Array[ctypes.c_char] | None) -> int:
        return bpf(
            PROG_LOAD,
            _prog_load.pack(
                SCHED_CLS, len(code) // 8, address(instructions), address(license_), level,
                len(log) if log is not None else 0, address(log) if log is not None else 0, 0, 0,
                name.encode()[:15], 0, 0, btf, 8, address(infos), len(functions) // 8,
            ),
        )  # fmt: skip

    try:
        return load(0, None)
    except OSError as error:
        log = ctypes.create_string_buffer(LOG_BYTES)
        try:
            return load(1, log)
        except OSError:
            raise Refused(error.errno or 0, name, log.value.decode(errors="replace")) from error


def btf_load(data: bytes) -> int:
    buffer = ctypes.create_string_buffer(data, len(data))
    return bpf(BTF_LOAD, Struct("<QQIIII").pack(address(buffer), 0, len(data), 0, 0, 0))


def obj_pin(fd: int, path: str) -> None:
    name = ctypes.create_string_buffer(path.encode())
    bpf(OBJ_PIN, Struct("<QII").pack(address(name), fd, 0))


def obj_get(path: str) -> int:
    name = ctypes.create_string_buffer(path.encode())
    return bpf(OBJ_GET, Struct("<QII").pack(address(name), 0, 0))


def link_create(program: int, ifindex: int, kind: int = TCX_INGRESS) -> int:
    """Attach a program to a device; it stays while the link's descriptor or pin does."""
    return bpf(LINK_CREATE, Struct("<IIIIIIQ").pack(program, ifindex, kind, 0, 0, 0, 0))


def link_update(link: int, program: int) -> None:
    """Put another program in place of the attached one, at once and without a gap."""
    bpf(LINK_UPDATE, Struct("<IIII").pack(link, program, 0, 0))


_QUERY_BYTES = 128


def count_programs(ifindex: int, kind: int) -> int:
    """How many programs are attached to a device; 0 on kernels that know no such attachment."""
    # As long as newer kernels write into it.
    attributes = ctypes.create_string_buffer(Struct("<II").pack(ifindex, kind), _QUERY_BYTES)
    try:
        bpf(PROG_QUERY, attributes)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return 0
        raise
    (count,) = unpack_from("<I", attributes, 24)
    return int(count)


_test_run = Struct("<IIIIQQIIIIQQ")
_run_head, _run_times = Struct("<IIII").pack_into, Struct("<II").pack_into
_run_result = Struct("<I").unpack_from


def test_run(
    program: int, packet: bytes, context: bytes = b"", repeat: int = 1
) -> tuple[int, bytes, int]:
    """Run a program on `packet`, with the first bytes of its `__sk_buff` given: (what it returned,
    the packet afterwards, nanoseconds per run)."""
    room = len(packet) + 512
    given, output = (
        ctypes.create_string_buffer(packet, len(packet)),
        ctypes.create_string_buffer(room),
    )
    ctx = ctypes.create_string_buffer(context, max(len(context), 1))
    attributes = ctypes.create_string_buffer(80)
    _test_run.pack_into(
        attributes, 0, program, 0, len(packet), room, address(given), address(output), repeat, 0,
        len(context), 0, address(ctx) if context else 0, 0,
    )  # fmt: skip
    bpf(PROG_TEST_RUN, attributes)
    _, value, _, size = unpack_from("<IIII", attributes, 0)
    (duration,) = unpack_from("<I", attributes, 36)
    return value, output.raw[:size], duration


class Runner:
    """Runs one program on data of up to `n_bytes`, again and again."""

    def __init__(self, program: int, n_bytes: int) -> None:
        self._data = ctypes.create_string_buffer(n_bytes)
        self._attributes = ctypes.create_string_buffer(80)
        self._head = (program, 0, n_bytes, 0)
        _test_run.pack_into(
            self._attributes, 0, program, 0, n_bytes, 0, address(self._data), 0, 1, 0, 0, 0, 0, 0
        )

    def run(self, data: bytes, repeat: int = 1) -> int:
        """What the program returns, the last of so many times. One that is run more than once has
        to know by itself where it is: a signal may make it begin anew."""
        attributes = self._attributes
        self._data.raw = data
        while True:
            # The kernel writes sizes into it.
            _run_head(attributes, 0, *self._head)
            _run_times(attributes, 32, repeat, 0)
            try:
                bpf(PROG_TEST_RUN, attributes)
            except InterruptedError:
                continue
            return int(_run_result(attributes, 4)[0])


def info(fd: int, size: int) -> bytes:
    """The kernel's description of a map, program or link, `size` bytes at most."""
    buffer = ctypes.create_string_buffer(size)
    attributes = ctypes.create_string_buffer(16)
    pack_into("<IIQ", attributes, 0, fd, size, address(buffer))
    bpf(OBJ_GET_INFO, attributes)
    (got,) = unpack_from("<I", attributes, 4)
    return buffer.raw[:got]
