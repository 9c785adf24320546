"""Numbers that stand in records of the programs for what only Python knows.

They are of one process: packets that an earlier one's programs sent up carry numbers that mean
nothing any more, which the number of the process in them tells.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from netloom.datapath import actions as dp
from netloom.datapath.ebpf.maps import SharedArray
from netloom.datapath.ebpf.spec import MAX_TEMPLATES, TEMPLATE, TEMPLATE_BYTES
from netloom.flow.mapped import map_ipv4

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_PROCESS_BITS: Final = 0x3FFF
_NUMBER_BITS: Final = 0xFFFF
_IP_AT: Final = 14
_UDP_PROTO: Final = 17


class Registry:
    """Actions that bring packets up, lists of actions to be done here, headers of tunnels."""

    def __init__(self, templates: SharedArray, policy_number: Callable[[str], int | None]) -> None:
        self._process = (os.getpid() & _PROCESS_BITS) << 16
        self._userspace: dict[int, dp.Userspace] = {}
        self._lists: dict[int, dp.DpActions] = {}
        self._numbers: dict[object, int] = {}
        self._templates = templates
        self._headers = _read_templates(templates)
        #: Type of the tunnels at each of their ports.
        self.tunnels: dict[int, int] = {}
        #: The range of UDP source ports of tunnels, as tuple of both ends.
        self.source_ports = (0, 0)
        #: The number of a policy of timeouts, by its name; None if there is none left.
        self.policy_number = policy_number

    def _number(self, what: object) -> int:
        number = self._numbers.get(what)
        if number is None:
            # Never 0, which means that there is none.
            number = self._process | len(self._numbers) + 1 & _NUMBER_BITS
            self._numbers[what] = number
        return number

    def add_userspace(self, action: dp.Userspace) -> int:
        number = self._number(action)
        self._userspace[number] = action
        return number

    def userspace(self, number: int) -> dp.Userspace | None:
        return self._userspace.get(number)

    def add_list(self, actions: dp.DpActions) -> int:
        number = self._number(actions)
        self._lists[number] = actions
        return number

    def list(self, number: int) -> dp.DpActions | None:
        return self._lists.get(number)

    def add_header(self, header: bytes) -> int | None:
        """The number of the template of a tunnel's headers; None if there is no room for it or the
        programs cannot finish it."""
        name = (header, self.source_ports)
        number = self._headers.get(name)
        if number is None:
            shape = _shape(header)
            if shape is None or len(self._headers) >= MAX_TEMPLATES:
                return None
            number = self._headers[name] = len(self._headers)
            words = header.ljust(TEMPLATE_BYTES, b"\0")
            data = TEMPLATE.pack(
                len(header), *self.source_ports, *shape,
                *(int.from_bytes(words[at : at + 8], "little") for at in range(0, len(words), 8)),
            )  # fmt: skip
            start = number * self._templates.stride
            self._templates.view[start : start + len(data)] = data
        return number

    def next_hops(self, numbers: Iterable[int]) -> Sequence[tuple[int, int]]:
        """(outer destination, Ethernet address that packets for it are sent to) of templates."""
        wanted = set(numbers)
        return [
            (_destination(header), int.from_bytes(header[:6], "big"))
            for (header, _), number in self._headers.items()
            if number in wanted
        ]


def _destination(header: bytes) -> int:
    """The outer destination, mapped."""
    if header[_IP_AT] >> 4 == 6:
        return int.from_bytes(header[_IP_AT + 24 : _IP_AT + 40], "big")
    return map_ipv4(int.from_bytes(header[_IP_AT + 16 : _IP_AT + 20], "big"))


def _read_templates(templates: SharedArray) -> dict[tuple[bytes, tuple[int, int]], int]:
    """The templates that are there: flows of an earlier process may still use them."""
    found = {}
    for number in range(MAX_TEMPLATES):
        start = number * templates.stride
        length, low, high, *_ = TEMPLATE.unpack_from(templates.view, start)
        if not length:
            break
        at = start + TEMPLATE.offsets["header"]
        found[bytes(templates.view[at : at + length]), (low, high)] = number
    return found


def _shape(header: bytes) -> tuple[int, int, int] | None:
    """(is IPv6, is UDP, has a checksum) of headers that the programs can put on: nothing in them
    depends on the packet but lengths, the source port and the checksum."""
    if len(header) > TEMPLATE_BYTES or len(header) < _IP_AT + 24:
        return None
    is_ipv6 = header[_IP_AT] >> 4 == 6
    behind = _IP_AT + (40 if is_ipv6 else 20)
    proto = header[_IP_AT + 6] if is_ipv6 else header[_IP_AT + 9]
    if len(header) < behind + 4:
        return None
    if proto == _UDP_PROTO:
        return int(is_ipv6), 1, int(any(header[behind + 6 : behind + 8]))
    # Sequence numbers are user space's.
    return None if header[behind] & 0x10 else (int(is_ipv6), 0, header[behind] >> 7)
