"""Tunnels in translation: what a packet through one depends on, and the outer header of one that
goes into one.

What the outer header will be is written into the tunnel fields of the key: those that the tunnel's
configuration fixes are set, those that it leaves to the flow stay as actions set them. A data path
that does the rest gets them as `set(tunnel(...))`; for one that does not, `underlay` builds the
headers.
"""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.datapath import actions as dp
from netloom.flow.fields import SLOT
from netloom.flow.key import NW_TOS_SHIFT, NW_TTL_SHIFT, TUN_ID_SHIFT, TUNNEL_MASK
from netloom.flow.mapped import ipv4_of, is_ipv4
from netloom.netdev.tunnel import TunnelDevice
from netloom.netdev.tunnel_config import LEGACY_L3, TunnelConfig
from netloom.ofproto.ports import OfPort
from netloom.ofproto.tlv_table import packed_options
from netloom.ofproto.translate import underlay
from netloom.ofproto.translate.commit import commit
from netloom.ofproto.translate.context import Context
from netloom.ofproto.translate.sample_leaving import sample_leaving
from netloom.ofproto.tunnels import TUNNEL_DST_MASK, tunnel_dst

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

log: Final = get_logger("tunnel")

_TOS: Final = SLOT["tun_tos"]
_TTL: Final = SLOT["tun_ttl"]
_FLAGS: Final = SLOT["tun_flags"]
_SRC: Final = SLOT["tun_src"]
_DST: Final = SLOT["tun_dst"]
_SRC6: Final = SLOT["tun_ipv6_src"]
_DST6: Final = SLOT["tun_ipv6_dst"]
_DL_DST: Final = SLOT["dl_dst"]
_DL_SRC: Final = SLOT["dl_src"]
_TP_SRC: Final = SLOT["tun_tp_src"]
_TP_DST: Final = SLOT["tun_tp_dst"]
#: What a tunnel's configuration calls the fields of ERSPAN's header.
_ERSPAN: Final = {
    f"erspan_{word}": SLOT[f"tun_erspan_{word}"] for word in ("ver", "idx", "dir", "hwid")
}
_MARK: Final = SLOT["pkt_mark"]
_NW_TOS: Final = SLOT["nw_tos"]
_DL_TYPE: Final = SLOT["dl_type"]
_PACKET_TYPE: Final = SLOT["packet_type"]
_TUN_ID_MASK: Final = SLOT["tun_id"].mask
_OPTIONS_MASK: Final = SLOT["tun_opts"].mask | SLOT["tun_opt_present"].mask
_DSCP: Final = 0xFC
_ECN: Final = 0x3
_CE: Final = 0x3
_DF: Final = 0x2
_CSUM: Final = 0x4
_KEY: Final = 0x8
#: Flags that the tunnel's configuration decides.
_FIXED_FLAGS: Final = (_DF | _CSUM | _KEY) << _FLAGS.shift
_IP_TYPES: Final = frozenset({0x0800, 0x86DD})
#: What tells tunnels apart besides addresses; the key's flag says whether there is a key.
_RECEIVED: Final = _TUN_ID_MASK | _TOS.mask | _KEY << _FLAGS.shift


class TunnelReceived:
    """Counts packets that came out of a tunnel."""

    __slots__ = ("device",)

    def __init__(self, device: TunnelDevice) -> None:
        self.device = device

    def credit(self, n_packets: int, n_bytes: int, used_ms: int) -> None:
        self.device.rx_packets += n_packets
        self.device.rx_bytes += n_bytes


class TunnelSent:
    """Counts packets that went into a tunnel."""

    __slots__ = ("device",)

    def __init__(self, device: TunnelDevice) -> None:
        self.device = device

    def credit(self, n_packets: int, n_bytes: int, used_ms: int) -> None:
        self.device.tx_packets += n_packets
        self.device.tx_bytes += n_bytes


def _is_ip(key: int) -> bool:
    return key >> _DL_TYPE.shift & 0xFFFF in _IP_TYPES


def _is_ce(key: int) -> bool:
    """Did the underlay mark the packet as one that met congestion (RFC 6040)?"""
    return key >> _TOS.shift & _ECN == _CE and _is_ip(key)


def begin(context: Context) -> None:
    """A packet that came through a tunnel depends on who sent it, and on the key."""
    key = context.key
    if not key & TUNNEL_DST_MASK:
        return
    port = context.bridge.ports_by_number.get(context.in_port)
    if _PACKET_TYPE.get(key) and port is not None and port.is_layer3:
        # Tables see an Ethernet header, which the packet gets before it leaves.
        context.key = _DL_DST.put(_DL_SRC.put(_PACKET_TYPE.put(key, 0), 0), 0)
        context.pending_encap = True
    addresses = (_SRC.mask | _DST.mask) if _DST.get(key) else (_SRC6.mask | _DST6.mask)
    context.mask |= _RECEIVED | addresses
    if _is_ce(key):
        context.mask |= _ECN << NW_TOS_SHIFT


def receive(context: Context) -> bool:
    """Let the mark of congestion go on inside; False if the packet cannot carry it, or has options
    that cannot be read, and must be dropped for that. Counts the packet."""
    port = context.bridge.ports_by_number.get(context.in_port)
    if port is not None and port.tunnel is not None:
        context.credits.append(TunnelReceived(port.tunnel))
    if context.key & _OPTIONS_MASK and not context.bridge.tlv_table.can_read(context.key):
        context.mask |= _OPTIONS_MASK
        context.fail("Invalid Geneve tunnel metadata")
        return False
    if context.key & TUNNEL_DST_MASK and _is_ce(context.key):
        if not context.key >> NW_TOS_SHIFT & _ECN:
            log.warn_rl("dropping tunnel packet marked ECN CE but is not ECN capable")
            return False
        context.key |= _CE << NW_TOS_SHIFT
    return True


def send(context: Context, config: TunnelConfig) -> None:
    """Write the outer header into the key."""
    key = context.key
    if not config.local_flow:
        key = _SRC6.put(_SRC.put(key, 0), 0) | _address(config.local_ip, _SRC.shift, _SRC6.shift)
    if not config.remote_flow:
        key = _DST6.put(_DST.put(key, 0), 0) | _address(config.remote_ip, _DST.shift, _DST6.shift)
    # The source port was that of a tunnel that the packet came through.
    key = _TP_DST.put(_TP_SRC.put(key, 0), config.dst_port)
    if not config.out_key_flow:
        key = key & ~_TUN_ID_MASK | config.out_key << TUN_ID_SHIFT
    is_ip = _is_ip(key)
    ttl, tos = config.ttl, config.tos
    if config.ttl_inherit and is_ip:
        context.mask |= 0xFF << NW_TTL_SHIFT
        ttl = key >> NW_TTL_SHIFT & 0xFF
    inner_tos = key >> NW_TOS_SHIFT & 0xFF
    if config.tos_inherit and is_ip:
        context.mask |= _DSCP << NW_TOS_SHIFT
        tos = inner_tos & _DSCP
    if is_ip:
        context.mask |= _ECN << NW_TOS_SHIFT
        # A packet that met congestion is one that can say so, no more, on its next road.
        tos |= 2 if inner_tos & _ECN == _CE else inner_tos & _ECN
    flags = (_DF if config.dont_fragment else 0) | (_KEY if config.has_out_key else 0)
    flags |= _CSUM if config.sends_csum(over_ipv6=not _DST.get(key)) else 0
    key = _TOS.put(_TTL.put(key, ttl), tos) & ~_FIXED_FLAGS | flags << _FLAGS.shift
    for word, slot in _ERSPAN.items():
        if not getattr(config, f"{word}_flow"):
            key = slot.put(key, getattr(config, word))
    if config.egress_pkt_mark is not None:
        key = _MARK.put(key, config.egress_pkt_mark)
        context.mask |= _MARK.mask
    context.key = key


def _address(address: int, shift: int, shift6: int) -> int:
    return ipv4_of(address) << shift if is_ipv4(address) else address << shift6


def output_to_tunnel(
    context: Context, port: OfPort, device: TunnelDevice, is_cut: bool = False
) -> bool:
    """Send into the tunnel `device`, which is `port`, a packet that is shorter by then, if it
    `is_cut`; False if it was decided not to."""
    config = device.config
    context.cannot_repeat()
    packet_type = _PACKET_TYPE.get(context.key)
    if config.pt_mode == LEGACY_L3 and not packet_type:
        context.key = _PACKET_TYPE.put(context.key, 1 << 16 | _DL_TYPE.get(context.key))
    tunnel = context.key & TUNNEL_MASK
    send(context, config)
    if tunnel_dst(context.key) == tunnel_dst(context.first_key):
        context.warn("Not tunneling to our own address")
        context.key = _PACKET_TYPE.put(context.key, packet_type)
        return False
    context.credits.append(TunnelSent(device))
    if context.bridge.backer.pushes_tunnels:
        context.detail("output to native tunnel")
        commit(context)
        if context.bridge.exporters is not None and context.bridge.backer.dpif.in_kernel:
            # Exporters are told of what the kernel puts into tunnels, as by Open vSwitch.
            sample_leaving(context, port)
        underlay.output(context, port, config, is_cut)
    else:
        context.detail("output to kernel tunnel")
        commit_tunnel(context, config)
        commit(context)
        if context.bridge.exporters is not None:
            sample_leaving(context, port)
        context.emit(dp.Output(port.dp_port))
    context.key = context.key & ~TUNNEL_MASK | tunnel
    context.key = _PACKET_TYPE.put(context.key, packet_type)
    return True


def commit_tunnel(context: Context, config: TunnelConfig) -> None:
    """Have the data path know the outer header, with what this type of tunnel has in it."""
    key = context.key & ~_OPTIONS_MASK
    if config.type == "geneve":
        key |= packed_options(context.bridge.tlv_table.pack(key))
    if not (key ^ context.base) & TUNNEL_MASK:
        return
    mask = TUNNEL_MASK
    if not _FLAGS.get(key) & _KEY:
        mask &= ~_TUN_ID_MASK
    context.emit(dp.Set("tunnel", key & mask, mask))
    context.base = context.base & ~TUNNEL_MASK | key & TUNNEL_MASK
