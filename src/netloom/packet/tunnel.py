"""The headers of tunnels behind IP: VXLAN (RFC 7348, with group policy and generic protocol),
Geneve (RFC 8926), GRE (RFC 2784, 2890), ERSPAN types II and III over GRE, GTP-U (3GPP TS 29.281),
and segment routing over IPv6 (RFC 8754).

`read_*` take a packet and the offset behind its IP header and return what the header says
(`Outer`), or None for one that is broken or none of ours. `build_*` make the bytes from the UDP or
GRE header on, with length, source port and checksum still to be filled in by whoever sends
(`finish_tunnel`), because they differ from packet to packet.
"""

from __future__ import annotations

from collections.abc import Sequence

from netloom.base.record import Record
from netloom.packet.checksum import checksum, pseudo_sum, transport_checksum
from netloom.packet.headers import ETH_LEN, ETH_TYPE_ERSPAN1, ETH_TYPE_TEB, UDP, UDP_LEN

ETH_TYPE_ERSPAN2 = 0x22EB
#: Flags of the VXLAN header, as its first word.
VXLAN_VNI = 0x08000000
VXLAN_GPE, VXLAN_GBP = 0x04000000, 0x80000000
VXLAN_GBP_DONT_LEARN, VXLAN_GBP_POLICY_APPLIED = 0x40, 0x08
VXLAN_LEN = 8
GENEVE_LEN, GENEVE_MAX_OPTIONS = 8, 252
GENEVE_OAM, GENEVE_CRITICAL = 0x80, 0x40
GRE_CSUM, GRE_KEY, GRE_SEQ = 0x8000, 0x2000, 0x1000
#: Of GRE's flags these may be set, and the version must be 0.
_GRE_KNOWN = GRE_CSUM | GRE_KEY | GRE_SEQ
GTPU_LEN, GTPU_DEFAULT_FLAGS, GTPU_TPDU = 8, 0x30, 255
_GTPU_OPTIONAL = 0x07
#: Where the outer IP header of a built header stands.
IP_OFFSET = ETH_LEN
#: What segment routing carries, by the protocol in its header; the kind of that header.
SRV6_PROTOCOLS = {4: 0x0800, 41: 0x86DD}
SRV6_ROUTING_TYPE = 4
#: In the flow label's place: where the label comes from.
SRV6_COPIES_LABEL, SRV6_COMPUTES_LABEL = 0, 2
#: Next protocols of VXLAN's generic protocol extension: number -> Ethernet type.
GPE_PROTOCOLS = {1: 0x0800, 2: 0x86DD, 3: ETH_TYPE_TEB, 4: 0x894F}


class Outer(Record):
    """What a tunnel's own header said: `tun_id`, its length from behind the IP header, the
    Ethernet type of what is inside (TEB: a frame). `has_key`: is `tun_id` the sender's?"""

    length: int
    eth_type: int = ETH_TYPE_TEB
    tun_id: int = 0
    has_key: bool = True
    has_csum: bool = False
    oam: bool = False
    gbp_id: int = 0
    gbp_flags: int = 0
    options: bytes = b""
    erspan_ver: int = 0
    erspan_idx: int = 0
    erspan_dir: int = 0
    erspan_hwid: int = 0
    gtpu_flags: int = 0
    gtpu_msgtype: int = 0


# Reading


def read_vxlan(data: bytes, at: int, has_gpe: bool = True) -> Outer | None:
    """`at` is the offset of the UDP header, as for all of these."""
    start = at + UDP_LEN
    if len(data) < start + VXLAN_LEN:
        return None
    flags = int.from_bytes(data[start : start + 4], "big")
    vni = int.from_bytes(data[start + 4 : start + 8], "big")
    if vni & 0xFF:
        return None
    length = UDP_LEN + VXLAN_LEN
    if flags & VXLAN_GPE:
        if flags & 0x33000000 or not flags & VXLAN_VNI or not has_gpe:
            return None
        eth_type = GPE_PROTOCOLS.get(flags & 0xFF)
        return None if eth_type is None else Outer(length, eth_type, vni >> 8)
    if flags & VXLAN_GBP and flags & VXLAN_VNI:
        return Outer(length, tun_id=vni >> 8, gbp_id=flags & 0xFFFF, gbp_flags=flags >> 16 & 0x48)
    return Outer(length, tun_id=vni >> 8) if flags == VXLAN_VNI else None


def read_geneve(data: bytes, at: int) -> Outer | None:
    """`options` are raw."""
    start = at + UDP_LEN
    if len(data) < start + GENEVE_LEN:
        return None
    first, flags = data[start], data[start + 1]
    options = (first & 0x3F) * 4
    length = UDP_LEN + GENEVE_LEN + options
    eth_type = int.from_bytes(data[start + 2 : start + 4], "big")
    if first >> 6 or at + length > len(data) or eth_type != ETH_TYPE_TEB:
        return None
    return Outer(
        length,
        tun_id=int.from_bytes(data[start + 4 : start + 7], "big"),
        oam=bool(flags & GENEVE_OAM),
        options=data[start + GENEVE_LEN : at + length],
    )


def read_gtpu(data: bytes, at: int) -> Outer | None:
    """User data only; what manages the tunnel is none of ours."""
    start = at + UDP_LEN
    if len(data) < start + GTPU_LEN:
        return None
    flags, kind = data[start], data[start + 1]
    if flags >> 5 != 1:
        return None
    tun_id = int.from_bytes(data[start + 4 : start + 8], "big")
    length = UDP_LEN + GTPU_LEN
    if kind != GTPU_TPDU:
        return None
    if flags & _GTPU_OPTIONAL:
        length += 4
    inside = data[at + length : at + length + 1]
    eth_type = {4: 0x0800, 6: 0x86DD}.get(inside[0] >> 4) if inside else None
    if eth_type is None:
        return None
    return Outer(length, eth_type, tun_id, gtpu_flags=flags, gtpu_msgtype=kind)


def read_gre(data: bytes, at: int, end: int) -> Outer | None:
    """GRE; `end` is where the IP packet ends."""
    if len(data) < at + 4:
        return None
    flags = int.from_bytes(data[at : at + 2], "big")
    eth_type = int.from_bytes(data[at + 2 : at + 4], "big")
    if flags & ~_GRE_KNOWN:
        return None
    length = 4 + 4 * (flags & _GRE_KNOWN).bit_count()
    if at + length > len(data):
        return None
    pos = at + 4
    if flags & GRE_CSUM:
        if checksum(data[at:end]):
            return None
        pos += 4
    tun_id = int.from_bytes(data[pos : pos + 4], "big") if flags & GRE_KEY else 0
    return Outer(length, eth_type, tun_id, bool(flags & GRE_KEY), bool(flags & GRE_CSUM))


def read_srv6(data: bytes, at: int) -> Outer | None:
    """Segment routing's header (RFC 8754) at `at`, of a packet that is at its way's end."""
    if len(data) < at + 8 or data[at + 2] != SRV6_ROUTING_TYPE or data[at + 3]:
        return None
    length = 8 + 8 * data[at + 1]
    eth_type = SRV6_PROTOCOLS.get(data[at])
    if eth_type is None or at + length > len(data):
        return None
    return Outer(length, eth_type, has_key=False)


def read_erspan(data: bytes, at: int) -> Outer | None:
    """ERSPAN in GRE."""
    if len(data) < at + 4:
        return None
    flags = int.from_bytes(data[at : at + 2], "big")
    eth_type = int.from_bytes(data[at + 2 : at + 4], "big")
    if flags & ~_GRE_KNOWN or eth_type not in (ETH_TYPE_ERSPAN1, ETH_TYPE_ERSPAN2):
        return None
    start = at + 4 + (4 if flags & GRE_SEQ else 0)
    if not flags & GRE_SEQ or len(data) < start + 8:
        return None
    first = int.from_bytes(data[start : start + 4], "big")
    # Some hosts send the second version with the Ethernet type of the first.
    version, session = first >> 28, first & 0x3FF
    if version == 1:
        index = int.from_bytes(data[start + 4 : start + 8], "big") & 0xFFFFF
        return Outer(start + 8 - at, tun_id=session, erspan_ver=1, erspan_idx=index)
    if version != 2 or len(data) < start + 12:
        return None
    last = int.from_bytes(data[start + 10 : start + 12], "big")
    length = start + 12 - at + (8 if last & 1 else 0)
    if at + length > len(data):
        return None
    return Outer(
        length, tun_id=session, erspan_ver=2, erspan_dir=last >> 3 & 1, erspan_hwid=last >> 4 & 0x3F
    )


# Building


def build_udp(dst_port: int, with_csum: bool, payload: bytes) -> bytes:
    """A UDP header in front of a tunnel's; a checksum of 0xffff asks for one."""
    return UDP.pack(0, dst_port, 0, 0xFFFF if with_csum else 0) + payload


def build_vxlan(tun_id: int, gbp: tuple[int, int] | None = None, gpe: int = 0) -> bytes:
    """`gbp` are id and flags of a group policy, `gpe` the next protocol's number (0: plain)."""
    flags = VXLAN_VNI
    if gbp is not None and any(gbp):
        flags |= VXLAN_GBP | (gbp[1] & 0x48) << 16 | gbp[0]
    if gpe:
        flags |= VXLAN_GPE | gpe
    return flags.to_bytes(4, "big") + (tun_id << 8 & 0xFFFFFFFF).to_bytes(4, "big")


def build_geneve(tun_id: int, options: bytes = b"", *, oam: bool = False) -> bytes:
    """`options` are whole, each a multiple of 4 bytes long."""
    flags = GENEVE_OAM if oam else 0
    if has_critical(options):
        flags |= GENEVE_CRITICAL
    head = bytes((len(options) // 4, flags)) + ETH_TYPE_TEB.to_bytes(2, "big")
    return head + (tun_id & 0xFFFFFF).to_bytes(3, "big") + b"\0" + options


def has_critical(options: bytes) -> bool:
    """Is one among the options that who does not know it must not ignore?"""
    return any(kind & 0x80 for _, kind, _ in split_options(options))


def split_options(options: bytes) -> list[tuple[int, int, bytes]]:
    """(class, type, data) of each Geneve option; what is broken off at the end is left out."""
    found = []
    at = 0
    while at + 4 <= len(options):
        length = 4 + (options[at + 3] & 0x1F) * 4
        if at + length > len(options):
            break
        klass = int.from_bytes(options[at : at + 2], "big")
        found.append((klass, options[at + 2], options[at + 4 : at + length]))
        at += length
    return found


def build_option(option_class: int, option_type: int, data: bytes) -> bytes:
    """`data` is a multiple of 4 bytes long."""
    return option_class.to_bytes(2, "big") + bytes((option_type, len(data) // 4)) + data


def build_gre(
    eth_type: int, *, csum: bool = False, key: int | None = None, seq: bool = False
) -> bytes:
    """`key` None: without one."""
    flags = (GRE_CSUM if csum else 0) | (GRE_SEQ if seq else 0)
    body = bytes(4) if csum else b""
    if key is not None:
        flags |= GRE_KEY
        body += (key & 0xFFFFFFFF).to_bytes(4, "big")
    body += bytes(4) if seq else b""
    return flags.to_bytes(2, "big") + eth_type.to_bytes(2, "big") + body


def build_erspan(ver: int, session: int, idx: int = 0, dir_: int = 0, hwid: int = 0) -> bytes:
    """GRE's header with sequence number and that of ERSPAN."""
    eth_type = ETH_TYPE_ERSPAN1 if ver == 1 else ETH_TYPE_ERSPAN2
    gre = build_gre(eth_type, seq=True)
    first = (ver << 28 | session & 0x3FF).to_bytes(4, "big")
    if ver == 1:
        return gre + first + idx.to_bytes(4, "big")
    return gre + first + bytes(6) + (hwid << 4 | dir_ << 3).to_bytes(2, "big")


def build_srv6(proto: int, segments: Sequence[bytes]) -> bytes:
    """The routing header of a packet that goes by `segments` (RFC 8754), of which the last stands
    first; `proto` is inside."""
    left = len(segments) - 1
    head = bytes((proto, 2 * len(segments), SRV6_ROUTING_TYPE, left, left, 0, 0, 0))
    return head + b"".join(reversed(segments))


def finish_srv6(packet: bytearray, flow_hash: int) -> None:
    """As `finish_tunnel`, of a packet with a routing header: its length, and the flow label as the
    number in its place says."""
    at = IP_OFFSET + 40
    packet[IP_OFFSET + 4 : IP_OFFSET + 6] = (len(packet) - at & 0xFFFF).to_bytes(2, "big")
    inner = at + 8 + 8 * packet[at + 1]
    how = packet[IP_OFFSET + 3]
    label = flow_hash & 0xFFFFF if how == SRV6_COMPUTES_LABEL else 0
    if how == SRV6_COPIES_LABEL and packet[inner] >> 4 == 6:
        label = int.from_bytes(packet[inner : inner + 4], "big") & 0xFFFFF
    first = int.from_bytes(packet[IP_OFFSET : IP_OFFSET + 4], "big") & ~0xFFFFF | label
    packet[IP_OFFSET : IP_OFFSET + 4] = first.to_bytes(4, "big")


def build_gtpu(tun_id: int, msgtype: int = 0) -> bytes:
    head = bytes((GTPU_DEFAULT_FLAGS, msgtype or GTPU_TPDU, 0, 0))
    return head + (tun_id & 0xFFFFFFFF).to_bytes(4, "big")


# Sending


def finish_tunnel(
    packet: bytearray,
    src_port: int,
    seq: int,
    is_gtpu: bool = False,
    now_ms: int = 0,
    puts_off: bool = False,
) -> None:
    """Fill in what depends on the packet: lengths, source port, sequence number, checksums. The
    headers in front of the payload are as built. `puts_off`: the checksums are filled by who sends
    the packet (one of UDP that is asked for stays not zero)."""
    ip = IP_OFFSET
    is_ipv4 = packet[ip] >> 4 == 4
    at = ip + (20 if is_ipv4 else 40)
    proto = packet[ip + 9] if is_ipv4 else packet[ip + 6]
    if is_ipv4:
        packet[ip + 2 : ip + 4] = (len(packet) - ip & 0xFFFF).to_bytes(2, "big")
        packet[ip + 10 : ip + 12] = b"\0\0"
        if not puts_off:
            packet[ip + 10 : ip + 12] = checksum(packet[ip : ip + 20]).to_bytes(2, "big")
        src, dst = bytes(packet[ip + 12 : ip + 16]), bytes(packet[ip + 16 : ip + 20])
    else:
        packet[ip + 4 : ip + 6] = (len(packet) - at & 0xFFFF).to_bytes(2, "big")
        src, dst = bytes(packet[ip + 8 : ip + 24]), bytes(packet[ip + 24 : ip + 40])
    if proto == 17:
        packet[at : at + 2] = src_port.to_bytes(2, "big")
        packet[at + 4 : at + 6] = (len(packet) - at & 0xFFFF).to_bytes(2, "big")
        if is_gtpu:
            # Its own length; and its checksum is always there.
            packet[at + 10 : at + 12] = (len(packet) - at - 16 & 0xFFFF).to_bytes(2, "big")
        if (packet[at + 6] | packet[at + 7] or is_gtpu) and not puts_off:
            packet[at + 6 : at + 8] = b"\0\0"
            value = transport_checksum(src, dst, proto, packet[at:])
            packet[at + 6 : at + 8] = value.to_bytes(2, "big")
    else:
        _finish_gre(packet, at, seq, now_ms, puts_off)


def has_sequence(header: bytes) -> bool:
    """Has the built header room for a sequence number?"""
    at = IP_OFFSET + (20 if header[IP_OFFSET] >> 4 == 4 else 40)
    proto = header[IP_OFFSET + 9] if header[IP_OFFSET] >> 4 == 4 else header[IP_OFFSET + 6]
    return proto == 47 and bool(header[at] << 8 & GRE_SEQ)


def has_checksum(header: bytes) -> bool:
    """Is the built header (of UDP or GRE) one with a checksum?"""
    at = IP_OFFSET + (20 if header[IP_OFFSET] >> 4 == 4 else 40)
    proto = header[IP_OFFSET + 9] if header[IP_OFFSET] >> 4 == 4 else header[IP_OFFSET + 6]
    if proto == 17:
        return bool(header[at + 6] | header[at + 7])
    return proto == 47 and bool(header[at] << 8 & GRE_CSUM)


def _finish_gre(packet: bytearray, at: int, seq: int, now_ms: int, puts_off: bool) -> None:
    flags = packet[at] << 8
    pos = at + 4
    if flags & GRE_CSUM:
        pos += 4
    if flags & GRE_KEY:
        pos += 4
    if flags & GRE_SEQ:
        packet[pos : pos + 4] = (seq & 0xFFFFFFFF).to_bytes(4, "big")
        if int.from_bytes(packet[at + 2 : at + 4], "big") == ETH_TYPE_ERSPAN2:
            # A time stamp in units of 100 microseconds.
            packet[pos + 8 : pos + 12] = (now_ms * 10 & 0xFFFFFFFF).to_bytes(4, "big")
    if flags & GRE_CSUM and not puts_off:
        packet[at + 4 : at + 8] = bytes(4)
        packet[at + 4 : at + 6] = checksum(packet[at:]).to_bytes(2, "big")


def udp_checksum_is_wrong(data: bytes, at: int, src: bytes, dst: bytes) -> bool:
    """Has the UDP datagram at `at` a checksum that does not fit? Its length is its header's."""
    if not data[at + 6] | data[at + 7]:
        return False
    end = at + int.from_bytes(data[at + 4 : at + 6], "big")
    return bool(checksum(data[at:end], pseudo_sum(src, dst, 17, end - at)))
