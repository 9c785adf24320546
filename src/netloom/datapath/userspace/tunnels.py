"""Tunnels in the data path in Python: headers on, headers off, with or without Ethernet.

A `tnl_push` puts ready headers in front of the packet and fills in what differs from packet to
packet; its UDP source port is a hash of the inner connection, so that the underlay can spread
connections. A `tnl_pop` checks the outer headers, keeps what they said as the tunnel fields of the
key, and hands the inner packet back to be looked up as one from the tunnel's port.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netloom.datapath import actions as dp
from netloom.datapath.userspace.too_long import LEAST_IPV4, answer
from netloom.datapath.userspace.unfinished import close_tunnel, open_tunnel, segment
from netloom.flow.extract import extract_key
from netloom.flow.fields import SLOT
from netloom.flow.hashes import hash_five_tuple
from netloom.flow.key import (
    PACKET_TYPE_SHIFT,
    TUN_DST_SHIFT,
    TUN_ID_SHIFT,
    TUN_IPV6_DST_SHIFT,
    TUN_IPV6_SRC_SHIFT,
    TUN_SRC_SHIFT,
    make_key,
)
from netloom.netdev.device import Packet
from netloom.netdev.tunnel_config import TYPES_BY_NUMBER
from netloom.packet import tunnel as t
from netloom.packet.checksum import checksum
from netloom.packet.encapsulated import find_inside
from netloom.packet.headers import ETH_LEN, ETH_TYPE_TEB, IPV4_LEN, IPV6_LEN
from netloom.packet.marks import GRE, IP_BAD, IP_PARTIAL, L4_BAD, L4_PARTIAL, TUNNELS
from netloom.packet.offload import pushed
from netloom.packet.parse import parse, walk_extensions

if TYPE_CHECKING:
    from netloom.datapath.userspace.execute import Execution, Step

DROP_PUSH = "datapath_drop_tunnel_push_error"
DROP_POP = "datapath_drop_tunnel_pop_error"
DROP_TUNNEL_PORT = "datapath_drop_invalid_tnl_port"
#: Checksums of packets from tunnels that were looked at here, and those that are wrong.
IP_CHECKED, IP_WRONG = "native_tnl_l3csum_checked", "native_tnl_l3csum_err"
UDP_CHECKED, UDP_WRONG = "native_tnl_l4csum_checked", "native_tnl_l4csum_err"
#: IPv6's number of a routing header.
_ROUTING = 43
#: UDP source ports of tunnels unless told otherwise (`tnl/egress_port_range`).
SOURCE_PORTS = (32768, 61000)

_CSUM, _KEY, _OAM = 0x4, 0x8, 0x1
_OPTIONS, _OPTIONS_LENGTH = SLOT["tun_opts"], SLOT["tun_opt_present"]
_FIELDS = (
    "gbp_id", "gbp_flags", "erspan_ver", "erspan_idx", "erspan_dir", "erspan_hwid", "gtpu_flags",
    "gtpu_msgtype",
)  # fmt: skip
_IP, _IPV6 = 0x0800, 0x86DD
#: Tunnels whose senders are told about packets that are too long.
_TELLING = frozenset({"vxlan", "geneve", "gre", "ip6gre"})


def source_port(key: int, ports: tuple[int, int]) -> int:
    """The UDP port that a packet with `key` is sent from inside a tunnel."""
    low, high = ports
    return (hash_five_tuple(key, 0) * (high - low) >> 32) + low


def compile_tell(action: dp.TunnelPush, way: int) -> list[Step]:
    """The step before `tnl_push`, of a packet whose sender may have to be told that it is too long
    for the device of port `way`."""
    header = action.header
    kind = TYPES_BY_NUMBER.get(action.type)
    if kind is None or kind.name not in _TELLING:
        return []

    def tell(execution: Execution) -> bool:
        outlet, packet, offload = execution.outlet, execution.frozen(), execution.offload
        length = len(packet.data)
        if offload is not None and offload.gso_size:
            length = min(length, offload.hdr_len + offload.gso_size)
        if length < LEAST_IPV4:
            return False
        mtu = outlet.mtu(way)
        if not mtu or len(header) + length <= mtu + ETH_LEN:
            return False
        headers = execution.parsed()
        told = answer(packet.data, headers, mtu + ETH_LEN - len(header) - max(headers.l3, ETH_LEN))
        if told is None:
            return False
        outside = bytearray(_turned(header) + told)
        t.finish_tunnel(
            outside, source_port(execution.key, outlet.source_ports), 0, False, outlet.now_ms()
        )
        found = pop_tunnel(bytes(outside), kind.name)
        if found is None:
            return False
        inner, key = found
        key = extract_key(inner, 0, key | action.tunnel_port)
        outlet.recirculate(Packet(inner), key, execution.depth + 1)
        return True

    return [tell]


def _turned(header: bytes) -> bytes:
    """The headers of a tunnel, from its other end to here."""
    size, at = (4, 26) if header[12:14] == b"\x08\0" else (16, 22)
    middle, end = at + size, at + 2 * size
    ethernet = header[6:12] + header[:6] + header[12:at]
    return ethernet + header[middle:end] + header[at:middle] + header[end:]


def compile_push(action: dp.TunnelPush) -> list[Step]:
    """The step of `tnl_push`."""
    header = action.header
    out_port = SLOT["in_port"].put(0, action.out_port)
    kind = TYPES_BY_NUMBER.get(action.type)
    counts = kind is not None and t.has_sequence(header)
    is_ipv4, has_sum = header[12:14] == b"\x08\0", t.has_checksum(header)
    # GRE's is over all, and nobody fills it later but who cuts the packet.
    is_over_all = has_sum and kind is not None and TUNNELS.get(kind.name) == GRE

    def push(execution: Execution) -> bool:
        outlet = execution.outlet
        if is_over_all and execution.offload is not None and not execution.offload.gso_size:
            segment(execution)
        offload = execution.offload
        packet = bytearray(header + execution.frozen().data)
        if kind is None or len(packet) > 0xFFFF + ETH_LEN:
            outlet.drop(DROP_PUSH)
            return True
        if kind.name == "srv6":
            t.finish_srv6(packet, hash_five_tuple(execution.key, 0))
        else:
            seq = outlet.next_sequence(action.tunnel_port) if counts else 0
            port = source_port(execution.key, outlet.source_ports)
            if outlet.hardware is not None:
                port = outlet.hardware.source_port(execution) or port
            is_gtpu = kind.name == "gtpu"
            t.finish_tunnel(packet, port, seq, is_gtpu, outlet.now_ms(), offload is not None)
            if offload is not None:
                offload = pushed(offload, len(header), kind.name, is_ipv4, has_sum)
        execution.replace(Packet(bytes(packet), offload))
        execution.key = out_port
        return False

    if kind is None or counts or not _is_known_to_devices(header, kind.name):
        return [segment, push]
    return [close_tunnel, push]


def _is_known_to_devices(header: bytes, type_: str) -> bool:
    """Can a packet behind these headers be finished by who sends it?"""
    if type_ not in TUNNELS:
        return False
    whole = bytearray(header + bytes(64))
    t.finish_tunnel(whole, 0, 0)
    return find_inside(bytes(whole), parse(whole))[0] == len(header)


def compile_pop(action: dp.TunnelPop) -> list[Step]:
    """The steps of `tnl_pop`, which ends a list of actions."""
    port = action.port

    def pop(execution: Execution) -> bool:
        outlet = execution.outlet
        type_ = outlet.tunnel_type(port)
        if type_ is None:
            outlet.drop(DROP_TUNNEL_PORT)
            return True
        known = 0 if execution.offload is None else execution.offload.marks
        found = pop_tunnel(execution.frozen().data, type_, known, outlet.note)
        if found is None:
            outlet.drop(DROP_POP)
            return True
        inner, key = found
        key = extract_key(inner, 0, key | port)
        outlet.recirculate(Packet(inner), key, execution.depth + 1)
        return True

    return [open_tunnel, pop]


def _ignore(event: str) -> None:
    """Count nothing."""


def pop_tunnel(
    data: bytes, type_: str, known: int = 0, note: Callable[[str], None] = _ignore
) -> tuple[bytes, int] | None:
    """The packet inside `data`, and the key's tunnel fields and packet type; None if `data` is no
    sound packet of a tunnel of that type. `known` is what a device said of the checksums in front
    (`packet.marks`), `note` counts looks at them."""
    eth_type = int.from_bytes(data[12:14], "big")
    if eth_type == _IP and not _has_right_header(data, known, note):
        return None
    outer = _read_ip(data, eth_type, is_srv6=type_ == "srv6")
    if outer is None:
        return None
    # What lies behind the end of the outer packet stays, as padding.
    at, end, src, dst, proto, tos, ttl = outer
    is_udp = proto == 17
    if is_udp and (len(data) < at + 8 or not _has_right_sum(data, at, src + dst, known, note)):
        return None
    said = _read_tunnel(data, at, end, type_, proto)
    if said is None:
        return None
    flags = (_KEY if said.has_key else 0) | (_OAM if said.oam else 0)
    ports = (0, 0)
    if is_udp:
        flags |= _CSUM if data[at + 6] | data[at + 7] else 0
        ports = (int.from_bytes(data[at : at + 2], "big"),
                 int.from_bytes(data[at + 2 : at + 4], "big"))  # fmt: skip
    flags |= _CSUM if said.has_csum else 0
    key = (
        make_key(tun_flags=0, tun_tp_src=ports[0], tun_tp_dst=ports[1], tun_tos=tos, tun_ttl=ttl)
        | flags << SLOT["tun_flags"].shift
        | said.tun_id << TUN_ID_SHIFT
    )
    key |= _addresses(src, dst)
    for name in _FIELDS:
        if value := getattr(said, name):
            key |= value << SLOT[f"tun_{name}"].shift
    if said.options:
        key = pack_options(key, said.options)
    if said.eth_type != ETH_TYPE_TEB:
        key |= (1 << 16 | said.eth_type) << PACKET_TYPE_SHIFT
    return data[at + said.length :], key


def _has_right_header(data: bytes, known: int, note: Callable[[str], None]) -> bool:
    """Is the checksum of the IPv4 header right, as far as it says how long it is?"""
    length = (data[ETH_LEN] & 0xF) * 4 if len(data) > ETH_LEN else 0
    is_right = known & IP_PARTIAL != IP_BAD
    if not known & IP_PARTIAL:
        note(IP_CHECKED)
        is_right = length >= IPV4_LEN and not checksum(data[ETH_LEN : ETH_LEN + length])
    if not is_right:
        note(IP_WRONG)
    return is_right


def _has_right_sum(
    data: bytes, at: int, ends: bytes, known: int, note: Callable[[str], None]
) -> bool:
    """The same of the UDP header at `at`, between these addresses, if it has one."""
    if not data[at + 6] | data[at + 7]:
        return True
    is_right = known & L4_PARTIAL != L4_BAD
    if not known & L4_PARTIAL:
        note(UDP_CHECKED)
        size = len(ends) // 2
        is_right = not t.udp_checksum_is_wrong(data, at, ends[:size], ends[size:])
    if not is_right:
        note(UDP_WRONG)
    return is_right


def pack_options(key: int, options: bytes) -> int:
    """`key` with raw Geneve options, as data paths carry them: the bytes at the start of the slot
    `tun_opts`, their number in `tun_opt_present`."""
    value = int.from_bytes(options.ljust(_OPTIONS.n_bytes, b"\0"), "big")
    return _OPTIONS_LENGTH.put(_OPTIONS.put(key, value), len(options))


def unpack_options(key: int) -> bytes:
    """The raw options of a data path's key."""
    length = _OPTIONS_LENGTH.get(key)
    return _OPTIONS.get(key).to_bytes(_OPTIONS.n_bytes, "big")[:length]


def _addresses(src: bytes, dst: bytes) -> int:
    from_, to = int.from_bytes(src, "big"), int.from_bytes(dst, "big")
    if len(src) == 4:
        return from_ << TUN_SRC_SHIFT | to << TUN_DST_SHIFT
    return from_ << TUN_IPV6_SRC_SHIFT | to << TUN_IPV6_DST_SHIFT


def _read_ip(
    data: bytes, eth_type: int, is_srv6: bool
) -> tuple[int, int, bytes, bytes, int, int, int] | None:
    """Offset behind the IP header and its extensions, of which a tunnel with segment routing is one
    itself, end of the packet, addresses, protocol, TOS and TTL."""
    at = ETH_LEN
    if eth_type == _IP and len(data) >= at + IPV4_LEN:
        if data[at] != 0x45:
            return None
        end = at + int.from_bytes(data[at + 2 : at + 4], "big")
        behind = at + IPV4_LEN
        src, dst = data[at + 12 : at + 16], data[at + 16 : at + 20]
        proto, tos, ttl = data[at + 9], data[at + 1], data[at + 8]
    elif eth_type == _IPV6 and len(data) >= at + IPV6_LEN:
        behind = at + IPV6_LEN
        end = behind + int.from_bytes(data[at + 4 : at + 6], "big")
        src, dst = data[at + 8 : at + 24], data[at + 24 : at + 40]
        ttl, tos = data[at + 7], int.from_bytes(data[at : at + 2], "big") >> 4 & 0xFF
        proto = data[at + 6]
        if not is_srv6:
            found = walk_extensions(data, behind, min(end, len(data)), proto)
            if found is None or found[2]:
                return None
            behind, proto, _ = found
    else:
        return None
    return None if not behind <= end <= len(data) else (behind, end, src, dst, proto, tos, ttl)


def _read_tunnel(data: bytes, at: int, end: int, type_: str, proto: int) -> t.Outer | None:
    if proto == 47:
        if type_ in ("erspan", "ip6erspan"):
            return t.read_erspan(data, at)
        return t.read_gre(data, at, end)
    if type_ == "srv6":
        return t.read_srv6(data, at) if proto == _ROUTING else None
    if proto != 17:
        return None
    if type_ == "vxlan":
        return t.read_vxlan(data, at)
    if type_ == "geneve":
        return t.read_geneve(data, at)
    return t.read_gtpu(data, at) if type_ == "gtpu" else None
