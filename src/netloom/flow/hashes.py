"""Hashes of flows, number for number those of Open vSwitch.

Which link, bucket or member a connection is put on follows from these numbers alone, so a switch
that takes over from Open vSwitch moves no connection. Two families, both public: MurmurHash3's
rounds for words (`add_word`, `finish`), and Bob Jenkins' lookup3 for bytes (`jenkins`).

What is hashed are the words of a flow as they lie in a little-endian machine's memory, in network
byte order: hence the swaps. Numbers are 32 bits wide throughout.
"""

from __future__ import annotations

from collections.abc import Callable

from netloom.flow.key import (
    DL_DST_SHIFT,
    DL_SRC_SHIFT,
    DL_TYPE_SHIFT,
    NW_DST_SHIFT,
    NW_FRAG_SHIFT,
    NW_PROTO_SHIFT,
    NW_SRC_SHIFT,
    PACKET_TYPE_SHIFT,
    TP_DST_SHIFT,
    TP_SRC_SHIFT,
    VLAN_TCI_SHIFT,
    mask_of,
    shift_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_ONES: Final = 0xFFFFFFFF
_IPV6_SRC: Final = shift_of("ipv6_src")
_IPV6_DST: Final = shift_of("ipv6_dst")
_VLAN1_TCI: Final = shift_of("vlan1_tci")
_ALL_128: Final = (1 << 128) - 1
_IP: Final = 0x0800
_IPV6: Final = 0x86DD
_ARP: Final = 0x0806
_TCP: Final = 6
_UDP: Final = 17
_SCTP: Final = 132
_WITH_PORTS: Final = frozenset({_TCP, _UDP, _SCTP, 1, 58})


# Words


def add_word(state: int, word: int) -> int:
    """One round."""
    word = word * 0xCC9E2D51 & _ONES
    word = (word << 15 | word >> 17) & _ONES
    state ^= word * 0x1B873593 & _ONES
    state = (state << 13 | state >> 19) & _ONES
    return state * 5 + 0xE6546B64 & _ONES


def finish(state: int, size: int) -> int:
    """The hash of all that was added; `size` is of the input in bytes, or another seasoning."""
    state ^= size
    state = (state ^ state >> 16) * 0x85EBCA6B & _ONES
    state = (state ^ state >> 13) * 0xC2B2AE35 & _ONES
    return state ^ state >> 16


def hash_pair(first: int, second: int) -> int:
    """The hash of two words."""
    return finish(add_word(add_word(first, 0), second), 8)


def hash_quad(number: int) -> int:
    """The hash of a number of 64 bits."""
    return finish(add_word(add_word(0, number & _ONES), number >> 32), 8)


def hash_bytes(data: bytes, basis: int) -> int:
    """The hash of some bytes, a last word filled up with zeros."""
    state = basis
    for at in range(0, len(data), 4):
        state = add_word(state, int.from_bytes(data[at : at + 4], "little"))
    return finish(state, len(data))


def _swap(number: int, n_bytes: int) -> int:
    return int.from_bytes(number.to_bytes(n_bytes, "big"), "little")


# Bytes


def _rotate(word: int, bits: int) -> int:
    return (word << bits | word >> 32 - bits) & _ONES


def jenkins(data: bytes, basis: int) -> int:
    """lookup3 of some bytes."""
    a = b = c = 0xDEADBEEF + len(data) + basis & _ONES
    end = len(data)
    at = 0
    while end - at >= 12:
        x, y, z = _three(data[at : at + 12])
        a, b, c = _mix(a + x & _ONES, b + y & _ONES, c + z & _ONES)
        at += 12
    if at == end:
        return c
    x, y, z = _three(data[at:].ljust(12, b"\0"))
    return _final(a + x & _ONES, b + y & _ONES, c + z & _ONES)


def _three(data: bytes) -> tuple[int, int, int]:
    number = int.from_bytes(data, "little")
    return number & _ONES, number >> 32 & _ONES, number >> 64


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    a, c = a - c & _ONES ^ _rotate(c, 4), c + b & _ONES
    b, a = b - a & _ONES ^ _rotate(a, 6), a + c & _ONES
    c, b = c - b & _ONES ^ _rotate(b, 8), b + a & _ONES
    a, c = a - c & _ONES ^ _rotate(c, 16), c + b & _ONES
    b, a = b - a & _ONES ^ _rotate(a, 19), a + c & _ONES
    c, b = c - b & _ONES ^ _rotate(b, 4), b + a & _ONES
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    c = (c ^ b) - _rotate(b, 14) & _ONES
    a = (a ^ c) - _rotate(c, 11) & _ONES
    b = (b ^ a) - _rotate(a, 25) & _ONES
    c = (c ^ b) - _rotate(b, 16) & _ONES
    a = (a ^ c) - _rotate(c, 4) & _ONES
    b = (b ^ a) - _rotate(a, 14) & _ONES
    return (c ^ b) - _rotate(b, 24) & _ONES


# Flows


def _macs(key: int) -> int:
    return (key >> DL_SRC_SHIFT ^ key >> DL_DST_SHIFT) & 0xFFFFFFFFFFFF


def _vlans(key: int) -> int:
    return (key >> VLAN_TCI_SHIFT ^ key >> _VLAN1_TCI) & 0xFFF


def _ports(key: int) -> int:
    return (key >> TP_SRC_SHIFT ^ key >> TP_DST_SHIFT) & 0xFFFF


def _addresses(key: int) -> int:
    return (key >> NW_SRC_SHIFT ^ key >> NW_DST_SHIFT) & _ONES


def _addresses6(key: int) -> int:
    return (key >> _IPV6_SRC ^ key >> _IPV6_DST) & _ALL_128


def hash_symmetric_l4(key: int, basis: int) -> int:
    """Of Ethernet addresses, VLANs, network addresses and the ports of TCP and SCTP; the same in
    both directions."""
    dl_type = key >> DL_TYPE_SHIFT & 0xFFFF
    proto = key >> NW_PROTO_SHIFT & 0xFF
    addresses = bytes(16)
    ports = 0
    if dl_type == _IP:
        addresses = _addresses(key).to_bytes(4, "big") + bytes(12)
    elif dl_type == _IPV6:
        addresses = _addresses6(key).to_bytes(16, "big")
    else:
        proto = 0
    if proto in (_TCP, _SCTP):
        ports = _ports(key)
    words = dl_type << 32 | _vlans(key) << 16 | ports
    macs = _macs(key).to_bytes(6, "big")
    return jenkins(addresses + words.to_bytes(6, "big") + macs + bytes((proto, 0, 0, 0)), basis)


def hash_symmetric_l2(key: int, basis: int) -> int:
    """Of Ethernet addresses, VLANs and type."""
    if key >> PACKET_TYPE_SHIFT & _ONES:
        return 0
    head = (key >> DL_TYPE_SHIFT & 0xFFFF) << 16 | _vlans(key)
    data = head.to_bytes(4, "big") + _macs(key).to_bytes(6, "big") + bytes(2)
    state = basis
    for word in _three(data):
        state = add_word(state, word)
    return finish(state, basis)


def _add_addresses(key: int, state: int) -> int | None:
    """`state` with both addresses added; None if the packet has none."""
    dl_type = key >> DL_TYPE_SHIFT & 0xFFFF
    if dl_type == _IP:
        return add_word(state, _swap(_addresses(key), 4))
    if dl_type != _IPV6:
        return None
    return _add_words(state, _swap(_addresses6(key), 16), 4)


def _add_words(state: int, number: int, n_words: int) -> int:
    for at in range(n_words):
        state = add_word(state, number >> 32 * at & _ONES)
    return state


def _symmetric_l3l4(key: int, basis: int, protocols: tuple[int, ...]) -> int:
    state = _add_addresses(key, basis)
    if state is None:
        return hash_symmetric_l2(key, basis)
    proto = key >> NW_PROTO_SHIFT & 0xFF
    state = add_word(state, proto)
    if proto in protocols and not key >> NW_FRAG_SHIFT & 3:
        state = add_word(state, _swap(_ports(key), 2))
    return finish(state, basis)


def hash_symmetric_l3l4(key: int, basis: int) -> int:
    """Of network addresses, protocol, and the ports of TCP and SCTP."""
    return _symmetric_l3l4(key, basis, (_TCP, _SCTP))


def hash_symmetric_l3l4_udp(key: int, basis: int) -> int:
    """The same with the ports of UDP."""
    return _symmetric_l3l4(key, basis, (_TCP, _SCTP, _UDP))


def hash_symmetric_l3(key: int, basis: int) -> int:
    """Of network addresses and the Ethernet type."""
    dl_type = key >> DL_TYPE_SHIFT & 0xFFFF
    addresses = bytes(16)
    if dl_type == _IP:
        addresses = _addresses(key).to_bytes(4, "big") + bytes(12)
    elif dl_type == _IPV6:
        addresses = _addresses6(key).to_bytes(16, "big")
    return jenkins(addresses + dl_type.to_bytes(2, "big") + bytes(2), basis)


def hash_eth_src(key: int, basis: int) -> int:
    return jenkins((key >> DL_SRC_SHIFT & 0xFFFFFFFFFFFF).to_bytes(6, "big"), basis)


def _hash_address(shift4: int, shift6: int) -> Callable[[int, int], int]:
    def hash_address(key: int, basis: int) -> int:
        dl_type = key >> DL_TYPE_SHIFT & 0xFFFF
        if dl_type == _IP:
            return jenkins((key >> shift4 & _ONES).to_bytes(4, "big"), basis)
        if dl_type == _IPV6:
            return jenkins((key >> shift6 & _ALL_128).to_bytes(16, "big"), basis)
        return basis

    return hash_address


hash_nw_src = _hash_address(NW_SRC_SHIFT, _IPV6_SRC)
hash_nw_dst = _hash_address(NW_DST_SHIFT, _IPV6_DST)


def hash_five_tuple(key: int, basis: int) -> int:
    """Of addresses (of IP or ARP), protocol and ports, not symmetric: what receive-side scaling
    hashes a packet to."""
    dl_type = key >> DL_TYPE_SHIFT & 0xFFFF
    state = basis
    if dl_type in (_IP, _ARP):
        state = add_word(state, _swap(key >> NW_SRC_SHIFT & _ONES, 4))
        state = add_word(state, _swap(key >> NW_DST_SHIFT & _ONES, 4))
    elif dl_type == _IPV6:
        state = _add_words(state, _swap(key >> _IPV6_SRC & _ALL_128, 16), 4)
        state = _add_words(state, _swap(key >> _IPV6_DST & _ALL_128, 16), 4)
    else:
        return finish(state, 42)
    proto = key >> NW_PROTO_SHIFT & 0xFF
    state = add_word(state, proto)
    if proto in _WITH_PORTS:
        ports = (key >> TP_SRC_SHIFT & 0xFFFF) << 16 | key >> TP_DST_SHIFT & 0xFFFF
        state = add_word(state, _swap(ports, 4))
    return finish(state, 42)


#: By the numbers of `openflow.action_choice.HASH_FIELDS`.
FIELD_HASHES: tuple[Callable[[int, int], int], ...] = (
    hash_eth_src,
    hash_symmetric_l4,
    hash_symmetric_l3l4,
    hash_symmetric_l3l4_udp,
    hash_nw_src,
    hash_nw_dst,
    hash_symmetric_l3,
)

_ETH: Final = mask_of("dl_src") | mask_of("dl_dst")
_NW: Final = {
    _IP: (mask_of("nw_src"), mask_of("nw_dst")),
    _IPV6: (mask_of("ipv6_src"), mask_of("ipv6_dst")),
}
_PROTO: Final = mask_of("nw_proto")
_PORTS: Final = mask_of("tp_src") | mask_of("tp_dst")
_ICMP_PORTS: Final = 0xFF << TP_SRC_SHIFT | 0xFF << TP_DST_SHIFT
_VIDS: Final = 0x1FFF << VLAN_TCI_SHIFT | 0x1FFF << _VLAN1_TCI


def hashed_bits(key: int, fields: int) -> int:
    """The bits of a packet's key that its hash by `fields` depends on, in place."""
    source, destination = _NW.get(key >> DL_TYPE_SHIFT & 0xFFFF, (0, 0))
    proto = key >> NW_PROTO_SHIFT & 0xFF
    if fields == 0:
        return mask_of("dl_src")
    if fields in (4, 5):
        return source if fields == 4 else destination
    addresses = source | destination
    if fields == 6:
        return addresses
    if fields == 1:
        bits = _ETH | addresses | _VIDS
        if addresses:
            bits |= _PROTO
            if proto != _UDP:
                bits |= _ICMP_PORTS if proto == 1 else _PORTS
        return bits
    if not addresses:
        return 0
    protocols = (_TCP, _SCTP, _UDP) if fields == 3 else (_TCP, _SCTP)
    has_ports = proto in protocols and not key >> NW_FRAG_SHIFT & 3
    return addresses | _PROTO | (_PORTS if has_ports else 0)
