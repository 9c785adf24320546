"""From a flow key to a packet that has it: the inverse of `extract`.

Used where somebody names a flow and means a packet: ofproto/trace with -generate,
netdev-dummy/receive, ovs-ofctl compose-packet. The bytes are those that Open vSwitch makes: header
fields of which the key says nothing are zero, lengths and checksums are right (SCTP's is zero), and
TCP, UDP and echo messages carry 64 bytes, 0 to 63, unless told otherwise. What a key cannot say
(options, extension headers, labels past the third) is not there.
"""

from __future__ import annotations

from netloom.flow.fields import SLOT
from netloom.flow.key import DL_TYPE_NONE, FRAG_ANY, FRAG_LATER
from netloom.packet import build
from netloom.packet.checksum import checksum, pseudo_sum
from netloom.packet.headers import (
    CHECKSUM_OFFSET,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_IGMP,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    IPV4_MORE_FRAGMENTS,
    NSH,
    SCTP,
    TCP,
    TCP_FIN,
    TCP_RST,
    TCP_SYN,
    UDP,
    UDP_LEN,
)

#: What follows the transport header of a made packet.
DEFAULT_PAYLOAD = bytes(range(64))

#: Offset, in units of 8 bytes, that a made later fragment has.
_LATER_OFFSET = 100


def compose_packet(key: int, length: int | None = None, payload: bytes = DEFAULT_PAYLOAD) -> bytes:
    """A packet with the flow `key`. With a `length` it carries no `payload` but zeros up to that
    length, which belong to it if it is an IP packet; shorter than its headers it cannot be."""
    if length is None:
        return _compose(key, payload, 0)
    packet = _compose(key, b"", 0)
    if length <= len(packet):
        return packet
    return _compose(key, b"", length - len(packet)).ljust(length, b"\0")


def _compose(key: int, payload: bytes, extra: int) -> bytes:
    packet_type = SLOT["packet_type"].get(key)
    dl_type = SLOT["dl_type"].get(key) or packet_type & 0xFFFF
    inner = _network(key, dl_type, payload, extra)
    if packet_type:
        return inner
    dst, src = _bytes(key, "dl_dst"), _bytes(key, "dl_src")
    if dl_type == DL_TYPE_NONE:
        return dst + src + (14 + extra).to_bytes(2, "big") + bytes(extra)
    tags = [
        (SLOT[f"{name}_tpid"].get(key), SLOT[f"{name}_tci"].get(key))
        for name in ("vlan", "vlan1")
        if SLOT[f"{name}_tci"].get(key) & 0x1000
    ]
    return build.ethernet(dst, src, dl_type, inner, [(tpid or 0x8100, tci) for tpid, tci in tags])


def _bytes(key: int, name: str) -> bytes:
    slot = SLOT[name]
    return slot.get(key).to_bytes(slot.n_bytes, "big")


def _network(key: int, dl_type: int, payload: bytes, extra: int) -> bytes:
    if dl_type == 0x0800:
        return _ipv4(key, payload, extra)
    if dl_type == 0x86DD:
        return _ipv6(key, payload, extra)
    if dl_type in (0x0806, 0x8035):
        return _arp(key)
    if dl_type in (0x8847, 0x8848):
        return _labels(key)
    if dl_type == 0x894F:
        return _nsh(key)
    return b""


def _arp(key: int) -> bytes:
    op = SLOT["nw_proto"].get(key)
    if op not in (1, 2):
        return build.arp(op, bytes(6), bytes(4), bytes(6), bytes(4))
    return build.arp(
        op, _bytes(key, "arp_sha"), _bytes(key, "nw_src"), _bytes(key, "arp_tha"),
        _bytes(key, "nw_dst"),
    )  # fmt: skip


def _labels(key: int) -> bytes:
    out = b""
    for n in range(3):
        lse = SLOT[f"mpls_lse{n}"].get(key)
        out += lse.to_bytes(4, "big")
        if lse & 0x100:
            break
    return out


def _nsh(key: int) -> bytes:
    md_type = SLOT["nsh_mdtype"].get(key)
    context = b"".join(_bytes(key, f"nsh_c{n}") for n in range(1, 5)) if md_type == 1 else b""
    words = (8 + len(context)) // 4
    first = SLOT["nsh_flags"].get(key) << 12 | SLOT["nsh_ttl"].get(key) << 6 | words
    return NSH.pack(first, md_type, SLOT["nsh_np"].get(key), SLOT["nsh_path"].get(key)) + context


def _ipv4(key: int, payload: bytes, extra: int) -> bytes:
    frag = SLOT["nw_frag"].get(key)
    word = 0
    if frag & FRAG_ANY:
        word = IPV4_MORE_FRAGMENTS | (_LATER_OFFSET if frag & FRAG_LATER else 0)
    src, dst = _bytes(key, "nw_src"), _bytes(key, "nw_dst")
    proto = SLOT["nw_proto"].get(key)
    return build.ipv4(
        src, dst, proto, _transport(key, src, dst, payload, extra),
        ttl=SLOT["nw_ttl"].get(key), tos=SLOT["nw_tos"].get(key), frag=word,
    )  # fmt: skip


def _ipv6(key: int, payload: bytes, extra: int) -> bytes:
    src, dst = _bytes(key, "ipv6_src"), _bytes(key, "ipv6_dst")
    return build.ipv6(
        src, dst, SLOT["nw_proto"].get(key), _transport(key, src, dst, payload, extra),
        hlimit=SLOT["nw_ttl"].get(key), tclass=SLOT["nw_tos"].get(key),
        label=SLOT["ipv6_label"].get(key),
    )  # fmt: skip


def _transport(key: int, src: bytes, dst: bytes, payload: bytes, extra: int) -> bytes:
    proto = SLOT["nw_proto"].get(key)
    if SLOT["nw_frag"].get(key) & FRAG_LATER:
        return bytes(extra)
    segment = _segment(key, proto, payload)
    if segment:
        segment += bytes(extra)
        return _with_checksum(segment, src, dst, proto)
    return bytes(extra)


def _segment(key: int, proto: int, payload: bytes) -> bytes:
    """The transport header with its payload; length and checksum not filled in."""
    src, dst = SLOT["tp_src"].get(key), SLOT["tp_dst"].get(key)
    if proto == IPPROTO_TCP:
        flags = SLOT["tcp_flags"].get(key) & 0xFFF
        header = TCP.pack(src, dst, 0, 0, 0x5000 | flags, 0, 0, 0)
        return header if flags & (TCP_SYN | TCP_FIN | TCP_RST) else header + payload
    if proto == IPPROTO_UDP:
        return UDP.pack(src, dst, 0, 0) + payload
    if proto == IPPROTO_SCTP:
        return SCTP.pack(src, dst, 0, 0)
    kind_and_code = bytes((src & 0xFF, dst & 0xFF))
    if proto == IPPROTO_ICMP:
        message = kind_and_code + bytes(6)
        return message + payload if src in (0, 8) and not dst else message
    if proto == IPPROTO_IGMP:
        return kind_and_code + bytes(2) + _bytes(key, "igmp_group")
    if proto == IPPROTO_ICMPV6:
        return _icmpv6(key, kind_and_code + bytes(2), payload)
    return b""


def _icmpv6(key: int, header: bytes, payload: bytes) -> bytes:
    kind, code = header[0], header[1]
    if not code and kind in (135, 136):
        message = header + _bytes(key, "igmp_group") + _bytes(key, "nd_target")
        for option, name in ((1, "arp_sha"), (2, "arp_tha")):
            if SLOT[name].get(key):
                message += bytes((option, 1)) + _bytes(key, name)
        return message
    header += bytes(4)
    return header + payload if not code and kind in (128, 129) else header


def _with_checksum(segment: bytes, src: bytes, dst: bytes, proto: int) -> bytes:
    if proto == IPPROTO_SCTP:
        return segment
    data = bytearray(segment)
    if proto == IPPROTO_UDP:
        data[4:6] = min(max(len(data), UDP_LEN), 0xFFFF).to_bytes(2, "big")
    start = 0
    if proto not in (IPPROTO_ICMP, IPPROTO_IGMP):
        start = pseudo_sum(src, dst, proto, len(data))
    value = checksum(data, start)
    if proto == IPPROTO_UDP and not value:
        value = 0xFFFF
    at = CHECKSUM_OFFSET[proto]
    data[at : at + 2] = value.to_bytes(2, "big")
    return bytes(data)
