"""The templates of IPFIX records (RFC 7011, section 3.4), as collectors of Open vSwitch know them.

A record says of packets what its template lists: numbers of information elements (IANA's registry,
or VMware's where a pair has 6876 in front) with their lengths. Which template that is follows from
what the packets are (`Kind`), and so does its number: there is one for each combination.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import pack
from typing import Final, NamedTuple

ETHERNET, VLAN = 0, 1
#: Network layers.
OTHER, IPV4, IPV6 = 0, 1, 2
#: Transport layers.
UNKNOWN, TCP, UDP, SCTP, ICMP = 0, 1, 2, 3, 4
_N_NETWORKS, _N_TRANSPORTS = 3, 5

FIRST_TEMPLATE: Final = 256
#: The template of what is told of the exporter itself.
EXPORTER_TEMPLATE: Final = 462
_VMWARE: Final = 6876
_VARIABLE: Final = 0xFFFF
_TEMPLATE_SET, _OPTIONS_SET = 2, 3

#: (number, length); VMware's are above 2**15.
_Elements = tuple[tuple[int, int], ...]


def _vmware(number: int) -> int:
    return 0x8000 | number


_COMMON: Final[_Elements] = ((138, 4), (61, 1), (56, 6), (80, 6), (256, 2), (240, 1))
_INGRESS: Final[_Elements] = ((10, 4), (368, 4), (82, _VARIABLE), (83, _VARIABLE))
_EGRESS: Final[_Elements] = ((14, 4), (369, 4), (82, _VARIABLE), (83, _VARIABLE))
_VLAN: Final[_Elements] = ((58, 2), (243, 2), (244, 1))
_IP: Final[_Elements] = ((60, 1), (192, 1), (4, 1), (195, 1), (196, 1), (5, 1))
_NETWORK: Final[tuple[_Elements, ...]] = ((), ((8, 4), (12, 4)), ((27, 16), (28, 16), (31, 4)))
_PORTS: Final[_Elements] = ((7, 2), (11, 2))
_ICMP: Final[tuple[_Elements, ...]] = ((), ((176, 1), (177, 1)), ((178, 1), (179, 1)))
_TUNNEL: Final[_Elements] = tuple(
    (_vmware(number), length)
    for number, length in (
        (893, 4), (894, 4), (895, 1), (896, 2), (897, 2), (891, 1), (892, _VARIABLE),
    )
)  # fmt: skip
_VIRTUAL_OBS_ID: Final[_Elements] = ((_vmware(898), _VARIABLE),)
#: Counters: of all packets, of IP, of TCP.
_COUNTS: Final[_Elements] = (
    (158, 4), (159, 4),
    *((number, 8) for number in (133, 135, 2, 86, 354, 355, 356, 357, 358, 19, 174, 352, 353)),
    (136, 1),
)  # fmt: skip
_IP_COUNTS: Final[_Elements] = tuple(
    (number, 8) for number in (132, 134, 1, 85, 198, 199, 25, 26, 20, 175)
)
_TCP_COUNTS: Final[_Elements] = tuple((number, 8) for number in (222, 219, 221, 220, 218, 223))
_EXPORTER: Final[_Elements] = ((144, 4), (167, 8))
#: How many elements of that say whom the others are about.
_N_SCOPES: Final = 1


class Kind(NamedTuple):
    """What packets of a record have in common: link, network and transport layer, whether they
    came or went by a tunnel, and whether it is told where they leave."""

    link: int
    network: int
    transport: int
    tunnel: bool
    egress: bool

    @property
    def number(self) -> int:
        """The number of the template."""
        place = (self.link * _N_NETWORKS + self.network) * _N_TRANSPORTS + self.transport
        return FIRST_TEMPLATE + place * 4 + 2 * self.tunnel + self.egress


def all_kinds() -> Iterator[Kind]:
    """Every kind that there is, by number."""
    for link in (ETHERNET, VLAN):
        for network in (OTHER, IPV4, IPV6):
            for transport in range(_N_TRANSPORTS if network else 1):
                for number in range(4):
                    yield Kind(link, network, transport, bool(number & 2), bool(number & 1))


def elements_of(kind: Kind, has_virtual_obs_id: bool) -> _Elements:
    """The elements of records of a kind."""
    found = _COMMON + _INGRESS
    if kind.egress:
        found += _EGRESS
    if kind.link == VLAN:
        found += _VLAN
    if kind.network:
        found += _IP + _NETWORK[kind.network]
    if kind.transport == ICMP:
        found += _ICMP[kind.network]
    elif kind.transport:
        found += _PORTS
    if kind.tunnel:
        found += _TUNNEL
    if has_virtual_obs_id:
        found += _VIRTUAL_OBS_ID
    found += _COUNTS
    if kind.network:
        found += _IP_COUNTS
    return found + _TCP_COUNTS if kind.transport == TCP else found


def _specifiers(elements: _Elements) -> bytes:
    return b"".join(
        pack(">HH", number, length) + (pack(">I", _VMWARE) if number & 0x8000 else b"")
        for number, length in elements
    )


def _set(number: int, body: bytes) -> bytes:
    return pack(">HH", number, 4 + len(body)) + body


def template_sets(has_virtual_obs_id: bool, full: int) -> Iterator[bytes]:
    """All templates, in sets that are ended as soon as they have `full` bytes or more."""
    body = b""
    for kind in all_kinds():
        elements = elements_of(kind, has_virtual_obs_id)
        body += pack(">HH", kind.number, len(elements)) + _specifiers(elements)
        if len(body) + 4 >= full:
            yield _set(_TEMPLATE_SET, body)
            body = b""
    if body:
        yield _set(_TEMPLATE_SET, body)


def exporter_template_set() -> bytes:
    """The template of what is told of the exporter."""
    head = pack(">HHH", EXPORTER_TEMPLATE, len(_EXPORTER), _N_SCOPES)
    return _set(_OPTIONS_SET, head + _specifiers(_EXPORTER))


def exporter_set(exporter_id: int, n_not_sent: int) -> bytes:
    """What is told of the exporter: which it is, and how many datagrams it could not send."""
    return _set(EXPORTER_TEMPLATE, pack(">IQ", exporter_id, n_not_sent))


def data_set(number: int, record: bytes) -> bytes:
    """One record of the template of that number."""
    return _set(number, record)
