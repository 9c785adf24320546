"""The bytes of sFlow version 5 (sflow.org, "sFlow Version 5", July 2004, and later structures).

All is XDR: words of 32 bits, texts with their length in front and filled up with zeros. A datagram
holds *samples*, of a packet or of counters, and a sample holds *elements*, each of a number that
says what it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct, pack
from typing import Final

from netloom.base.record import Record

#: Where samples come from: an interface (by ifIndex), or a part of the machine.
INTERFACE, ENTITY = 0, 2
#: An interface's number of so many outputs, or of none.
NO_OUTPUT: Final = 0x40000000 | 256
MANY_OUTPUTS: Final = 0x80000000
#: A counter that nobody keeps.
UNKNOWN: Final = 0xFFFFFFFF

_FLOW_SAMPLE, _COUNTERS_SAMPLE = 1, 2
#: In a label: it is the last.
_BOTTOM = 0x100
_HEADER, _EXTENDED_SWITCH, _EXTENDED_MPLS = 1, 1001, 1006
_TUNNEL_EGRESS, _TUNNEL_INGRESS, _VNI_EGRESS, _VNI_INGRESS = 1023, 1024, 1029, 1030
_GENERIC, _ETHERNET, _LACP, _OPENFLOW_PORT, _PORT_NAME = 1, 2, 7, 1004, 1005
_RESOURCES, _DATAPATH = 2203, 2207
_ETHERNET_PROTOCOL: Final = 1
_FCS_LEN: Final = 4
_ETHERNET_CSMACD: Final = 6
_IPV4, _IPV6 = 1, 2

_ELEMENT: Final = Struct(">II")
_FLOW: Final = Struct(">IIIIIIII")
_INTERFACE_COUNTERS: Final = Struct(">IIQIIQIIIIIIQIIIIII")
_TUNNEL: Final = Struct(">IIIIIIII")
_RESOURCE_COUNTERS: Final = Struct(">IIQQIIII")

#: A kind of element and its bytes.
Element = tuple[int, bytes]


class Source(Record):
    """What a sample is of: INTERFACE or ENTITY, and its number."""

    kind: int
    index: int

    @property
    def word(self) -> int:
        return self.kind << 24 | self.index & 0xFFFFFF


class FlowSample(Record):
    """A packet that was picked out. `input` and `output` are interfaces; tags are VLAN and priority
    as the packet came and as it leaves; `header` is what is told of its bytes."""

    input: int
    output: int
    length: int
    header: bytes
    tag_in: tuple[int, int] = (0, 0)
    tag_out: tuple[int, int] = (0, 0)
    more: tuple[Element, ...] = ()


class InterfaceCounters(Record):
    """Counters of an interface; -1 for what nobody counts. `direction`: 1 full duplex, 2 half;
    `status`: 1 administratively up, 2 there is a link."""

    index: int
    speed_bps: int
    direction: int
    status: int
    rx_bytes: int
    rx_packets: int
    rx_multicast: int
    rx_dropped: int
    rx_errors: int
    tx_bytes: int
    tx_packets: int
    tx_dropped: int
    tx_errors: int


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _elements(elements: Iterable[Element]) -> bytes:
    return b"".join(_ELEMENT.pack(kind, len(data)) + data for kind, data in elements)


def encode_flow_sample(
    sample: FlowSample, source: Source, sequence: int, rate: int, pool: int
) -> bytes:
    """A sample of a packet, one of `rate`, of `pool` that there were."""
    header = pack(">IIII", _ETHERNET_PROTOCOL, sample.length + _FCS_LEN, _FCS_LEN,
                  len(sample.header))  # fmt: skip
    elements = (
        (_EXTENDED_SWITCH, pack(">IIII", *sample.tag_in, *sample.tag_out)),
        (_HEADER, header + _padded(sample.header)),
        *sample.more,
    )
    head = _FLOW.pack(sequence & UNKNOWN, source.word, rate & UNKNOWN, pool & UNKNOWN, 0,
                      sample.input, sample.output, len(elements))  # fmt: skip
    return _elements(((_FLOW_SAMPLE, head + _elements(elements)),))


def encode_counters_sample(elements: list[Element], source: Source, sequence: int) -> bytes:
    """A sample of counters."""
    head = pack(">III", sequence & UNKNOWN, source.word, len(elements))
    return _elements(((_COUNTERS_SAMPLE, head + _elements(elements)),))


def encode_datagram_header(
    address: bytes, sub_id: int, sequence: int, uptime_ms: int, n_samples: int
) -> bytes:
    """What stands before the samples; `address` is the agent's, of 4 or 16 bytes."""
    kind = _IPV4 if len(address) == 4 else _IPV6
    words = pack(">IIII", sub_id & UNKNOWN, sequence & UNKNOWN, uptime_ms & UNKNOWN, n_samples)
    return pack(">II", 5, kind) + address + words


def tunnel_element(
    is_egress: bool, protocol: int, addresses: tuple[int, int], ports: tuple[int, int], tos: int
) -> Element:
    """The outer header of a tunnel by IPv4; its length is not known. Collectors know Open vSwitch
    for writing the bytes of ports in the wrong order, and put that right."""
    swapped = ((port & 0xFF) << 8 | port >> 8 for port in ports)
    data = _TUNNEL.pack(0, protocol, *addresses, *swapped, 0, tos)
    return (_TUNNEL_EGRESS if is_egress else _TUNNEL_INGRESS, data)


def vni_element(is_egress: bool, vni: int) -> Element:
    """The key of a tunnel."""
    return (_VNI_EGRESS if is_egress else _VNI_INGRESS, pack(">I", vni & UNKNOWN))


def mpls_element(labels: tuple[int, ...]) -> Element:
    """The label stack of a packet that leaves, outermost first (only the last is marked as such);
    its next hop is not known, and the stack that it came with is in its header."""
    stack = [label & ~_BOTTOM for label in labels]
    stack[-1] |= _BOTTOM
    return (_EXTENDED_MPLS, pack(f">IIII{len(stack)}I", _IPV4, 0, 0, len(stack), *stack))


def interface_element(counters: InterfaceCounters) -> Element:
    """Counters that every interface has."""
    c = counters
    wide, narrow = UNKNOWN << 32 | UNKNOWN, UNKNOWN
    data = _INTERFACE_COUNTERS.pack(
        c.index & narrow, _ETHERNET_CSMACD, c.speed_bps & wide, c.direction, c.status,
        c.rx_bytes & wide, c.rx_packets & narrow, c.rx_multicast & narrow, UNKNOWN,
        c.rx_dropped & narrow, c.rx_errors & narrow, UNKNOWN,
        c.tx_bytes & wide, c.tx_packets & narrow, UNKNOWN, UNKNOWN,
        c.tx_dropped & narrow, c.tx_errors & narrow, 0,
    )  # fmt: skip
    return (_GENERIC, data)


def ethernet_element(counters: tuple[int, ...]) -> Element:
    """The 13 counters of IEEE 802.3 interfaces, -1 for those that nobody keeps."""
    return (_ETHERNET, pack(">13I", *(count & UNKNOWN for count in counters)))


def lacp_element(
    systems: tuple[int, int], aggregator: int, states: tuple[int, int, int, int],
    counts: tuple[int, ...],
) -> Element:  # fmt: skip
    """LACP of a link: both systems, the aggregator's interface, states of both ends (asked for and
    actual), and the eight counters of its messages."""
    ends = b"".join(system.to_bytes(6, "big") + bytes(2) for system in systems)
    words = pack(">I4B8I", aggregator & UNKNOWN, *states, *(count & UNKNOWN for count in counts))
    return (_LACP, ends + words)


def openflow_port_element(datapath_id: int, number: int) -> Element:
    """Which port of which switch it is."""
    return (_OPENFLOW_PORT, pack(">QI", datapath_id, number))


def port_name_element(name: str) -> Element:
    """What the port is called."""
    data = name.encode()
    return (_PORT_NAME, pack(">I", len(data)) + _padded(data))


def datapath_element(counts: tuple[int, int, int, int, int, int]) -> Element:
    """Packets that met a flow, missed and were lost, masks looked at, flows, masks."""
    return (_DATAPATH, pack(">6I", *(count & UNKNOWN for count in counts)))


def resources_element(user_ms: int, system_ms: int, memory: int) -> Element:
    """What the switch takes of the machine: CPU time, bytes of memory. Limits and descriptors are
    not told."""
    words = (user_ms & UNKNOWN, system_ms & UNKNOWN, memory, 0, 0, 0, 0, 0)
    return (_RESOURCES, _RESOURCE_COUNTERS.pack(*words))
