"""Numbers that stand in records of the programs for what only Python knows.

They are of one process: packets that an earlier one's programs sent up carry numbers that mean
nothing any more, which the tag of the process in them tells. Flows come and go with numbers of
their own, so from time to time those that no flow uses any more are forgotten (`tidy`): what is
kept here grows no further than the flows do, and a number that is in use is never given to
something else.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from netloom.datapath import actions as dp
from netloom.datapath.ebpf.maps import SharedArray
from netloom.datapath.ebpf.spec import MAX_TEMPLATES, TEMPLATE, TEMPLATE_BYTES
from netloom.flow.mapped import map_ipv4

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

#: Below the two bits that say what a number is for: the tag of the process, and the number itself.
_TAG_BITS, _NUMBER_BITS = 8, 22
_TAGS: Final = 1 << _TAG_BITS
_NUMBERS: Final = (1 << _NUMBER_BITS) - 1
#: Numbers, and templates, that may be there before the first look which of them are in use.
_FEW: Final = 1 << 16
_MANY_TEMPLATES: Final = MAX_TEMPLATES * 3 // 4
_IP_AT: Final = 14
_UDP_PROTO: Final = 17


class Registry:
    """Actions that bring packets up, lists of actions to be done here, headers of tunnels.
    `earlier` are numbers in flows of earlier processes."""

    def __init__(
        self,
        templates: SharedArray,
        policy_number: Callable[[str], int | None],
        earlier: Iterable[int] = (),
    ) -> None:
        self._tag = _free_tag(earlier) << _NUMBER_BITS
        self._userspace: dict[int, dp.Userspace] = {}
        self._lists: dict[int, dp.DpActions] = {}
        self._numbers: dict[object, int] = {}
        self._last = 0
        self._tidy_at = _FEW
        self._templates = templates
        self._headers = _read_templates(templates)
        self._free_templates = deque(
            sorted(set(range(MAX_TEMPLATES)) - set(self._headers.values()))
        )
        self._tidy_templates_at = _MANY_TEMPLATES
        #: Type of the tunnels at each of their ports.
        self.tunnels: dict[int, int] = {}
        #: The range of UDP source ports of tunnels, as tuple of both ends.
        self.source_ports = (0, 0)
        #: The number of a policy of timeouts, by its name; None if there is none left.
        self.policy_number = policy_number

    def _number(self, what: object) -> int:
        number = self._numbers.get(what)
        if number is None:
            # Never 0, which means that there is none, and none that is in use.
            while True:
                self._last = self._last % _NUMBERS + 1
                number = self._tag | self._last
                if number not in self._lists and number not in self._userspace:
                    break
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

    @property
    def is_crowded(self) -> bool:
        """Whether it is time for `tidy`."""
        n_headers = len(self._headers)
        return len(self._numbers) >= self._tidy_at or n_headers >= self._tidy_templates_at

    def tidy(self, numbers: set[int], templates: set[int]) -> None:
        """Forget what is in none of the sets, which are those in use by flows."""
        self._numbers = {what: n for what, n in self._numbers.items() if n in numbers}
        self._userspace = {n: what for n, what in self._userspace.items() if n in numbers}
        self._lists = {n: what for n, what in self._lists.items() if n in numbers}
        self._tidy_at = max(_FEW, 2 * len(self._numbers))
        unused = [name for name, number in self._headers.items() if number not in templates]
        # Last of all: packets that are on their way may still get the headers of a flow that went.
        self._free_templates.extend(self._headers.pop(name) for name in unused)
        room = MAX_TEMPLATES - len(self._headers)
        self._tidy_templates_at = max(_MANY_TEMPLATES, MAX_TEMPLATES - room // 4)

    def add_header(self, header: bytes) -> int | None:
        """The number of the template of a tunnel's headers; None if there is no room for it or the
        programs cannot finish it."""
        name = (header, self.source_ports)
        number = self._headers.get(name)
        if number is None:
            shape = _shape(header)
            if shape is None or not self._free_templates:
                return None
            number = self._headers[name] = self._free_templates.popleft()
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


def _free_tag(earlier: Iterable[int]) -> int:
    """One that is in none of these numbers, if there is one."""
    used = {number >> _NUMBER_BITS & _TAGS - 1 for number in earlier}
    first = os.getpid()
    return next((tag % _TAGS for tag in range(first, first + _TAGS) if tag % _TAGS not in used), 0)


def _destination(header: bytes) -> int:
    """The outer destination, mapped."""
    if header[_IP_AT] >> 4 == 6:
        return int.from_bytes(header[_IP_AT + 24 : _IP_AT + 40], "big")
    return map_ipv4(int.from_bytes(header[_IP_AT + 16 : _IP_AT + 20], "big"))


def _read_templates(templates: SharedArray) -> dict[tuple[bytes, tuple[int, int]], int]:
    """The templates that are there: flows of an earlier process may still use them."""
    found: dict[tuple[bytes, tuple[int, int]], int] = {}
    for number in range(MAX_TEMPLATES):
        start = number * templates.stride
        length, low, high, *_ = TEMPLATE.unpack_from(templates.view, start)
        if not length:
            # They are given in order.
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


def has_udp_checksum(header: bytes) -> bool:
    """Whether these are the headers of a tunnel in UDP with checksums."""
    shape = _shape(header)
    return shape is not None and bool(shape[1] and shape[2])
