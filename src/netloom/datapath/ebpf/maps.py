"""Maps, as Python uses them: arrays mapped into memory, hashes filled in batches.

An array that the kernel shares (`SharedArray`) costs no system call to read or write; that is how
counters of all flows are read and actions are written.

Not to be compiled with mypyc: that drops a variable after its last use in the source, when the
kernel may still have the address of what it names.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from struct import Struct

from netloom.datapath.ebpf.spec import MapSpec
from netloom.datapath.ebpf.syscall import (
    MAP_DELETE,
    MAP_LOOKUP,
    MAP_LOOKUP_BATCH,
    MAP_UPDATE,
    MAP_UPDATE_BATCH,
    address,
    bpf,
)

_ELEMENT = Struct("<IIQQQ")
_BATCH = Struct("<QQQQIIQQ")
#: Flag of an update: there must be no such key.
_ONLY_NEW = 1


def _element(fd: int, key: int, value: int) -> ctypes.Array[ctypes.c_char]:
    """What calls about one element of a map are told: where its key and value are."""
    return ctypes.create_string_buffer(_ELEMENT.pack(fd, 0, key, value, 0), _ELEMENT.size)


def possible_cpus() -> int:
    """How many copies a per-CPU map has of each value."""
    text = Path("/sys/devices/system/cpu/possible").read_text().strip()
    return max(int(part.rpartition("-")[2]) for part in text.split(",")) + 1


class SharedArray:
    """An array map of the flag BPF_F_MMAPABLE: entry n is at `n * stride` of `view`."""

    def __init__(self, fd: int, spec: MapSpec) -> None:
        self.stride = spec.value_size + 7 & ~7
        page = mmap.PAGESIZE
        size = (self.stride * spec.max_entries + page - 1) // page * page
        self._memory = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self.view = memoryview(self._memory)

    def close(self) -> None:
        self.view.release()
        self._memory.close()


class HashMap:
    """A hash from keys to values of fixed sizes."""

    def __init__(self, fd: int, spec: MapSpec) -> None:
        self._fd = fd
        self._spec = spec
        self._key = ctypes.create_string_buffer(spec.key_size)
        self._value = ctypes.create_string_buffer(spec.value_size)
        self._attributes = _element(fd, address(self._key), address(self._value))
        # Deleting takes no value, and the kernel insists on that.
        self._by_key = _element(fd, address(self._key), 0)

    def put(self, key: bytes, value: bytes) -> None:
        """Raises OSError (E2BIG) when the map is full."""
        self._key.raw, self._value.raw = key, value
        bpf(MAP_UPDATE, self._attributes)

    def get(self, key: bytes) -> bytes | None:
        self._key.raw = key
        try:
            bpf(MAP_LOOKUP, self._attributes)
        except FileNotFoundError:
            return None
        return self._value.raw

    def put_new(self, key: bytes, value: bytes) -> None:
        """Raises FileExistsError where the key is."""
        self._key.raw, self._value.raw = key, value
        bpf(
            MAP_UPDATE,
            _ELEMENT.pack(self._fd, 0, address(self._key), address(self._value), _ONLY_NEW),
        )

    def put_many(self, keys: list[bytes], values: list[bytes]) -> None:
        """As many of both. Raises OSError."""
        n_rows = len(keys)
        if n_rows == 1:
            self.put(keys[0], values[0])
            return
        key_data, value_data = b"".join(keys), b"".join(values)
        key_buffer = ctypes.create_string_buffer(key_data, len(key_data))
        value_buffer = ctypes.create_string_buffer(value_data, len(value_data))
        bpf(
            MAP_UPDATE_BATCH,
            _BATCH.pack(0, 0, address(key_buffer), address(value_buffer), n_rows, self._fd, 0, 0),
        )

    def delete(self, key: bytes) -> bool:
        """Deleting what is not there does nothing, and is False."""
        self._key.raw = key
        try:
            bpf(MAP_DELETE, self._by_key)
        except FileNotFoundError:
            return False
        return True

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All pairs; those put or deleted meanwhile may or may not be seen."""
        spec = self._spec
        keys = ctypes.create_string_buffer(spec.key_size * spec.max_entries)
        values = ctypes.create_string_buffer(spec.value_size * spec.max_entries)
        cursor = ctypes.create_string_buffer(max(spec.key_size, 8))
        attributes = ctypes.create_string_buffer(
            _BATCH.pack(
                0, address(cursor), address(keys), address(values), spec.max_entries, self._fd, 0, 0
            )
        )
        # ENOENT is no error: there is nothing behind what was read.
        with suppress(FileNotFoundError):
            bpf(MAP_LOOKUP_BATCH, attributes)
        count = _BATCH.unpack_from(attributes.raw)[4]
        key_data, value_data = keys.raw, values.raw
        for n in range(count):
            yield (
                key_data[n * spec.key_size : (n + 1) * spec.key_size],
                value_data[n * spec.value_size : (n + 1) * spec.value_size],
            )


class PerCpuArray:
    """An array of which every CPU has its own."""

    def __init__(self, fd: int, spec: MapSpec) -> None:
        self._stride = spec.value_size + 7 & ~7
        self._cpus = possible_cpus()
        self._key = ctypes.create_string_buffer(4)
        self._value = ctypes.create_string_buffer(self._stride * self._cpus)
        self._attributes = _element(fd, address(self._key), address(self._value))

    def get(self, index: int) -> list[bytes]:
        """The values of all CPUs."""
        self._key.raw = index.to_bytes(4, "little")
        bpf(MAP_LOOKUP, self._attributes)
        data = self._value.raw
        return [data[n * self._stride : (n + 1) * self._stride] for n in range(self._cpus)]

    def total(self, index: int) -> int:
        """The sum over all CPUs, of values that are numbers."""
        return sum(int.from_bytes(value, "little") for value in self.get(index))
