"""The road under a native tunnel: route, neighbour, headers, and the bridge that they lead through.

A packet for a tunnel gets its outer headers by `tnl_push`, and is then one that the route's device
sends: it goes through the tables of that device's bridge as any packet from its local port does. If
nobody knows the Ethernet address of the next hop, the packet is dropped and a question (ARP, or
neighbour solicitation, RFC 4861) is sent in its place; the answer, on its way to the bridge's own
port, is noticed here (`terminate`), as are packets that are some tunnel's: these get `tnl_pop`.
"""

from __future__ import annotations

from netloom.datapath import actions as dp
from netloom.datapath.drop_reasons import drop_number
from netloom.flow.address import format_mac
from netloom.flow.fields import SLOT
from netloom.flow.mapped import address_bytes, format_mapped, ipv4_of, is_ipv4, map_ipv4
from netloom.netdev.tunnel_config import TunnelConfig, row_over_ipv6
from netloom.ofproto.encapsulated import encapsulated
from netloom.ofproto.ports import OfPort
from netloom.ofproto.translate.context import Context
from netloom.ofproto.translate.crossing import go_on_at
from netloom.ofproto.translate.tunnel_header import build_header
from netloom.ofproto.tunnels import tunnel_dst, tunnel_src
from netloom.ofproto.underlay import Underlay
from netloom.ofproto.underlay.routes import next_hop
from netloom.ofproto.uplinks import HostNeighbourWanted
from netloom.packet import build

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_MARK: Final = SLOT["pkt_mark"]
_DL_TYPE: Final = SLOT["dl_type"]
_NW_PROTO: Final = SLOT["nw_proto"]
_NW_SRC: Final = SLOT["nw_src"]
_NW_DST: Final = SLOT["nw_dst"]
_ARP_SHA: Final = SLOT["arp_sha"]
_ARP_THA: Final = SLOT["arp_tha"]
_DL_SRC: Final = SLOT["dl_src"]
_DL_DST: Final = SLOT["dl_dst"]
_IPV6_SRC: Final = SLOT["ipv6_src"]
_IPV6_DST: Final = SLOT["ipv6_dst"]
_ND_TARGET: Final = SLOT["nd_target"]
_TP_SRC: Final = SLOT["tp_src"]
_TP_DST: Final = SLOT["tp_dst"]
_BROADCAST: Final = b"\xff" * 6
_ARP: Final = 0x0806
_IP: Final = 0x0800
_IPV6: Final = 0x86DD
_ICMPV6: Final = 58
_ND_SOLICIT: Final = 135
_ND_ADVERT: Final = 136
#: A question that was not answered is asked again after so long, if packets keep coming.
ASK_AGAIN_MS: Final = 1_000

#: The slots of an Ethernet frame with IP and ports in a key.
_OUTER: Final = sum(
    SLOT[name].mask
    for name in (
        "dl_src", "dl_dst", "dl_type", "vlan_tci", "vlan_tpid", "vlan1_tci", "vlan1_tpid",
        "packet_type", "nw_src", "nw_dst", "ipv6_src", "ipv6_dst", "ipv6_label", "nw_frag",
        "nw_tos", "nw_ttl", "nw_proto", "tp_src", "tp_dst", "tcp_flags",
    )
)  # fmt: skip


class NeighbourUsed:
    """Keeps a neighbour that packets are sent to."""

    __slots__ = ("address", "bridge", "underlay")

    def __init__(self, underlay: Underlay, bridge: str, address: int) -> None:
        self.underlay = underlay
        self.bridge = bridge
        self.address = address

    def credit(self, n_packets: int, n_bytes: int, used_ms: int) -> None:
        self.underlay.neighbours.touch(self.bridge, self.address, used_ms)


class NeighbourWanted:
    """Asks again for a neighbour while packets for it are dropped."""

    __slots__ = ("address", "asked_ms", "mac", "port", "source")

    def __init__(self, port: OfPort, mac: int, source: int, address: int, now_ms: int) -> None:
        self.port = port
        self.mac = mac
        self.source = source
        self.address = address
        self.asked_ms = now_ms

    def ask(self, now_ms: int) -> None:
        self.asked_ms = now_ms
        packet = _question(self.mac, self.source, self.address)
        self.port.bridge.send_from(self.port.number, packet, now_ms)

    def credit(self, n_packets: int, n_bytes: int, used_ms: int) -> None:
        if used_ms >= self.asked_ms + ASK_AGAIN_MS:
            self.ask(used_ms)


def output(context: Context, port: OfPort, config: TunnelConfig, is_cut: bool) -> None:
    """Put the headers on, as the key's tunnel fields have them, and send the packet on its way.
    The key is afterwards as before. One that `is_cut` comes in at the other bridge as a packet of
    its own, since only the data path knows how long it is."""
    underlay = context.bridge.backer.underlay
    key = context.key
    dst, src = tunnel_dst(key), tunnel_src(key)
    route = underlay.routes.lookup(dst, _MARK.get(key), src)
    device = _find_device(context, route.device) if route is not None else None
    if route is None or device is None:
        _drop(context, "Tunnel routing failed")
        context.warn("native tunnel routing failed")
        return
    src = src or route.source
    hop = next_hop(route, dst)
    context.detail(f"tunneling to {format_mapped(hop)} via {device.name}")
    own_mac = underlay.mac(device.name)
    if not own_mac:
        _drop(context, "Tunnel output has no ethernet")
        context.warn("tunnel output device lacks Ethernet address")
        return
    mac = underlay.neighbours.lookup(device.bridge.name, hop)
    backer = context.bridge.backer
    if mac is None:
        _drop(context, "Tunnel neighbor cache miss")
        context.detail(
            f"neighbor cache miss for {format_mapped(hop)} on bridge {device.bridge.name}, "
            f"sending {'ARP' if is_ipv4(hop) else 'ND'} request"
        )
        wanted = (
            HostNeighbourWanted(backer.uplinks, device.name, hop)
            if device.bridge.is_uplink
            else NeighbourWanted(device, own_mac, src, hop, context.now_ms)
        )
        context.credits.append(wanted)
        # Open vSwitch asks for a trace, too.
        if context.side_effects or context.recorder is not None:
            wanted.ask(context.now_ms)
        return
    context.credits.append(NeighbourUsed(underlay, device.bridge.name, hop))
    context.detail(
        f"tunneling from {format_mac(own_mac)} {format_mapped(src)}"
        f" to {format_mac(mac)} {format_mapped(hop)}"
    )
    header = build_header(context, config, (mac, own_mac), (src, dst))
    if header is None:
        _drop(context, "Tunnel header build failed")
        context.warn("native tunnel header build failed")
        return
    type_number = (config.row if is_ipv4(dst) else row_over_ipv6(config.row)).number
    push = dp.TunnelPush(port.dp_port, device.dp_port, type_number, header)
    if is_cut and not device.bridge.is_uplink:
        _emit_apart(context, [push, dp.Recirc(0)])
        return
    _go_on(context, push, device, _outer_key(key, config, (mac, own_mac), (src, dst)))


def _find_device(context: Context, name: str) -> OfPort | None:
    """The port that is the device `name`: a bridge's own, any other, or an uplink."""
    bridges = context.bridge.backer.bridges
    bridge = bridges.get(name)
    if bridge is not None and name in bridge.ports_by_name:
        return bridge.ports_by_name[name]
    backer = context.bridge.backer
    return backer.find_port(name) or backer.uplinks.ports.get(name)


def _outer_key(key: int, config: TunnelConfig, macs: tuple[int, int], ips: tuple[int, int]) -> int:
    """What the packet looks like from outside."""
    src, dst = ips
    outer = key & ~_OUTER
    outer |= macs[0] << _DL_DST.shift | macs[1] << _DL_SRC.shift
    if is_ipv4(dst):
        outer |= _IP << _DL_TYPE.shift
        outer |= ipv4_of(src) << _NW_SRC.shift | ipv4_of(dst) << _NW_DST.shift
    else:
        outer |= _IPV6 << _DL_TYPE.shift | src << _IPV6_SRC.shift | dst << _IPV6_DST.shift
    outer |= SLOT["tun_tos"].get(key) << SLOT["nw_tos"].shift
    outer |= SLOT["tun_ttl"].get(key) << SLOT["nw_ttl"].shift
    outer |= _outer_proto(key, config) << _NW_PROTO.shift
    outer |= SLOT["tun_tp_src"].get(key) << _TP_SRC.shift
    return outer | config.dst_port << _TP_DST.shift


def _outer_proto(key: int, config: TunnelConfig) -> int:
    """What a data path takes for the protocol of the packet in its tunnel."""
    *first, last = config.row.known_by
    return first[0] if first and _DL_TYPE.get(key) == _IP else last


def _go_on(context: Context, push: dp.TunnelPush, device: OfPort, outer: int) -> None:
    """Emit `push` and what the device's bridge does with the result, apart from what follows."""
    if device.bridge.is_uplink:
        _emit_apart(context, [push, dp.Output(device.dp_port)])
        return
    saved = (context.key, context.base, context.mask, context.side_effects, context.has_packet)
    is_last, actions = context.is_last, context.actions
    context.actions = [push]
    context.key = context.base = outer
    context.blur()
    context.side_effects = context.has_packet = False
    n_credits = len(context.credits)
    go_on_at(context, device)
    context.credits[n_credits:] = encapsulated(context.credits[n_credits:], len(push.header))
    inner, context.actions = context.actions, actions
    (context.key, context.base, context.mask, context.side_effects, context.has_packet) = saved
    context.is_last = is_last
    # Where the other bridge sends it nowhere, nothing is pushed.
    if len(inner) > 1:
        _emit_apart(context, inner)


def _drop(context: Context, why: str) -> None:
    """The packet's copy for the tunnel goes nowhere; the data path counts it."""
    _emit_apart(context, [dp.DropReason(drop_number(why))])


def _emit_apart(context: Context, inner: list[dp.DpAction]) -> None:
    """Emit actions that change the packet, which what follows is to have as it was."""
    if context.is_last:
        for action in inner:
            context.emit(action)
    else:
        context.emit(dp.Clone(tuple(inner)))


def receive(context: Context) -> None:
    """A packet has come in at an uplink."""
    underlay = context.bridge.backer.underlay
    context.has_begun = True
    context.cannot_repeat()
    number, context.mask = underlay.listeners.lookup(context.key, context.mask)
    if number is not None:
        context.emit(dp.TunnelPop(number))


def terminate(context: Context, port: OfPort) -> int | None:
    """Is a packet that goes out of `port`, to a device with addresses of its own, a tunnel's? If
    so, the data-path port of that tunnel. If not, learn from it who has which address."""
    backer = context.bridge.backer
    underlay = backer.underlay
    if not (backer.pushes_tunnels and backer.tunnels and underlay.addresses(port.name)):
        return None
    dl_type = _DL_TYPE.get(context.key)
    is_icmpv6 = dl_type == _IPV6 and _NW_PROTO.get(context.key) == _ICMPV6
    if underlay.listeners or dl_type == _ARP or is_icmpv6:
        context.cannot_repeat()
    number, context.mask = underlay.listeners.lookup(context.key, context.mask)
    if number is None:
        if dl_type == _ARP:
            _learn_from_arp(context, underlay)
        elif is_icmpv6 and _is_for(context, underlay, _IPV6_DST.get(context.key)):
            _learn_from_advertisement(context, underlay)
    elif context.side_effects and dl_type in (_IP, _IPV6):
        key = context.key
        src = map_ipv4(_NW_SRC.get(key)) if dl_type == _IP else _IPV6_SRC.get(key)
        underlay.neighbours.set(context.bridge.name, src, _DL_SRC.get(key), context.now_ms)
    return number


def _is_for(context: Context, underlay: Underlay, address: int) -> bool:
    """Is this an address of the bridge or of one of its ports? Such answers it may have asked
    for."""
    return any(
        address == own
        for name in (context.bridge.name, *context.bridge.ports_by_name)
        for own, _ in underlay.addresses(name)
    )


def _learn_from_arp(context: Context, underlay: Underlay) -> None:
    """From replies to this bridge, and from announcements (RFC 5227)."""
    key = context.key
    if not _is_announcement(context):
        if not _is_for(context, underlay, map_ipv4(_NW_DST.get(key))):
            return
        context.mask |= _NW_PROTO.mask
        if _NW_PROTO.get(key) != 2:
            return
    context.mask |= _ARP_SHA.mask
    if not _ARP_SHA.get(key):
        return
    context.mask |= _NW_SRC.mask
    if context.side_effects:
        underlay.neighbours.set(
            context.bridge.name, map_ipv4(_NW_SRC.get(key)), _ARP_SHA.get(key), context.now_ms
        )


def _is_announcement(context: Context) -> bool:
    context.mask |= _NW_SRC.mask | _NW_DST.mask
    return _NW_SRC.get(context.key) == _NW_DST.get(context.key)


def _learn_from_advertisement(context: Context, underlay: Underlay) -> None:
    key = context.key
    context.mask |= _NW_PROTO.mask | _TP_DST.mask
    if _TP_DST.get(key):
        return
    context.mask |= _TP_SRC.mask
    if _TP_SRC.get(key) != _ND_ADVERT:
        return
    context.mask |= _ARP_THA.mask
    if not _ARP_THA.get(key):
        return
    context.mask |= _IPV6_SRC.mask | _IPV6_DST.mask | _ND_TARGET.mask
    if context.side_effects:
        underlay.neighbours.set(
            context.bridge.name, _ND_TARGET.get(key), _ARP_THA.get(key), context.now_ms
        )


def _question(mac: int, source: int, address: int) -> bytes:
    """Who has `address`? Tell `source`, who is at `mac`."""
    own, src, wanted = mac.to_bytes(6, "big"), address_bytes(source), address_bytes(address)
    if is_ipv4(address):
        request = build.arp(1, own, src, bytes(6), wanted)
        return build.ethernet(_BROADCAST, own, _ARP, request)
    group = bytes.fromhex("ff02000000000000000000 01ff".replace(" ", "")) + wanted[-3:]
    body = bytes(4) + wanted + b"\x01\x01" + own
    message = build.icmpv6(src, group, _ND_SOLICIT, 0, body)
    packet = build.ipv6(src, group, _ICMPV6, message, hlimit=255)
    return build.ethernet(b"\x33\x33" + group[-4:], own, _IPV6, packet)
