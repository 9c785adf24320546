"""The headers of a native tunnel, by type: bytes from the tunnel fields of a key."""

from __future__ import annotations

from netloom.flow.fields import SLOT
from netloom.flow.mapped import address_bytes, is_ipv4
from netloom.netdev.tunnel_config import SRV6_FLOW_LABELS, TunnelConfig
from netloom.ofproto.translate.context import Context
from netloom.packet import build
from netloom.packet import tunnel as t
from netloom.packet.headers import ETH_TYPE_TEB, IPV4_DONT_FRAGMENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_TUN_ID: Final = SLOT["tun_id"]
_FLAGS: Final = SLOT["tun_flags"]
_TOS: Final = SLOT["tun_tos"]
_TTL: Final = SLOT["tun_ttl"]
_PACKET_TYPE: Final = SLOT["packet_type"]
_OAM: Final = 0x1
_DF: Final = 0x2
_CSUM: Final = 0x4
_KEY: Final = 0x8
#: What segment routing calls what it carries.
_SRV6_PROTOCOLS: Final = {eth_type: number for number, eth_type in t.SRV6_PROTOCOLS.items()}
#: Ethernet types that VXLAN's generic protocol extension has numbers for.
_GPE: Final = {eth_type: number for number, eth_type in t.GPE_PROTOCOLS.items()}


def build_header(
    context: Context, config: TunnelConfig, macs: tuple[int, int], ips: tuple[int, int]
) -> bytes | None:
    """Ethernet, IP and tunnel headers for the packet that the context holds; `macs` and `ips` are
    (to, from) and (from, to). None if there is no such header."""
    key = context.key
    payload = _srv6(key, config, ips) if config.type == "srv6" else _tunnel_header(context, config)
    if payload is None:
        return None
    if config.row.nw_proto == 17:
        payload = t.build_udp(config.dst_port, bool(_FLAGS.get(key) & _CSUM), payload)
    src, dst = address_bytes(ips[0]), address_bytes(ips[1])
    tos, ttl = _TOS.get(key), _TTL.get(key)
    if is_ipv4(ips[1]):
        frag = IPV4_DONT_FRAGMENT if _FLAGS.get(key) & _DF else 0
        packet = build.ipv4(src, dst, config.row.nw_proto, payload, ttl=ttl, tos=tos, frag=frag)
        # Lengths are the sender's to fill in, when there is a packet.
        packet = packet[:2] + bytes(2) + packet[4:10] + bytes(2) + packet[12:]
        eth_type = 0x0800
    else:
        packet = build.ipv6(src, dst, config.row.nw_proto, payload, hlimit=ttl, tclass=tos)
        if config.type == "srv6":
            # Of the label, what it is to be is told to whoever sends a packet.
            packet = (
                packet[:3] + bytes((SRV6_FLOW_LABELS.index(config.srv6_flowlabel),)) + packet[4:]
            )
        packet = packet[:4] + bytes(2) + packet[6:]
        eth_type = 0x86DD
    to, from_ = (mac.to_bytes(6, "big") for mac in macs)
    return build.ethernet(to, from_, eth_type, packet)


def _tunnel_header(context: Context, config: TunnelConfig) -> bytes | None:
    key = context.key
    type_, tun_id = config.type, _TUN_ID.get(key)
    packet_type = _PACKET_TYPE.get(key)
    eth_type = packet_type & 0xFFFF if packet_type else ETH_TYPE_TEB
    if type_ == "vxlan":
        gbp = (SLOT["tun_gbp_id"].get(key), SLOT["tun_gbp_flags"].get(key))
        if "gpe" not in config.exts:
            return t.build_vxlan(tun_id, gbp if "gbp" in config.exts else None)
        number = _GPE.get(eth_type)
        return None if number is None else t.build_vxlan(tun_id, gpe=number)
    if type_ == "geneve":
        options = context.bridge.tlv_table.pack(key)
        return t.build_geneve(tun_id, options, oam=bool(_FLAGS.get(key) & _OAM))
    if type_ in ("gre", "ip6gre"):
        flags = _FLAGS.get(key)
        return t.build_gre(
            eth_type, csum=bool(flags & _CSUM), key=tun_id if flags & _KEY else None, seq=config.seq
        )
    if type_ in ("erspan", "ip6erspan"):
        return _erspan(key, tun_id)
    if type_ == "gtpu":
        return t.build_gtpu(tun_id, SLOT["tun_gtpu_msgtype"].get(key))
    return None


def _srv6(key: int, config: TunnelConfig, ips: tuple[int, int]) -> bytes | None:
    """The routing header, which only IPv6 has, and in front of IP only."""
    segments = config.srv6_segs or ips[1:]
    proto = _SRV6_PROTOCOLS.get(_PACKET_TYPE.get(key) & 0xFFFF)
    if proto is None or is_ipv4(ips[1]) or segments[0] != ips[1]:
        return None
    return t.build_srv6(proto, [address_bytes(segment) for segment in segments])


def _erspan(key: int, tun_id: int) -> bytes | None:
    version, *values = (
        SLOT[f"tun_erspan_{word}"].get(key) for word in ("ver", "idx", "dir", "hwid")
    )
    return t.build_erspan(version, tun_id, *values) if version in (1, 2) else None
