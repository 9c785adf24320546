"""Ring buffers (Documentation/bpf/ringbuf.rst), read in place.

A record has a header of 8 bytes, and the reader's position tells the kernel what is free again.
"""

from __future__ import annotations

import mmap

from netloom.datapath.ebpf.spec import RINGBUF, MapSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_RING_BUSY: Final = 1 << 31
_RING_DISCARDED: Final = 1 << 30
_RING_LENGTH: Final = _RING_DISCARDED - 1
_RING_HEADER: Final = 8


class Ring:
    """The reading end of a ring buffer."""

    def __init__(self, fd: int, spec: MapSpec) -> None:
        assert spec.type == RINGBUF
        page, size = mmap.PAGESIZE, spec.max_entries
        self.fd = fd
        self._mask = size - 1
        self._consumer = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        # The data is mapped twice, one behind the other, so no record is ever in two pieces.
        self._producer = mmap.mmap(
            fd, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page
        )
        self._position = memoryview(self._consumer).cast("Q")
        self._end = memoryview(self._producer)[:8].cast("Q")
        self._data = memoryview(self._producer)[page:]
        self._headers = self._data.cast("I")

    def is_empty(self) -> bool:
        return self._position[0] >= self._end[0]

    def drain(self, limit: int) -> list[bytes]:
        """Up to `limit` records, oldest first; they are free for the kernel afterwards."""
        records: list[bytes] = []
        position = self._position[0]
        while len(records) < limit and position < self._end[0]:
            at = position & self._mask
            header = self._headers[at >> 2]
            if header & _RING_BUSY:
                break
            length = header & _RING_LENGTH
            if not header & _RING_DISCARDED:
                start = at + _RING_HEADER
                records.append(bytes(self._data[start : start + length]))
            position += length + _RING_HEADER + 7 & ~7
        self._position[0] = position
        return records

    def close(self) -> None:
        for view in (self._position, self._end, self._headers, self._data):
            view.release()
        self._consumer.close()
        self._producer.close()
