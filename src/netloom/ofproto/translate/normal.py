"""NORMAL: a learning switch with VLANs (IEEE 802.1Q; ovs-vswitchd.conf.db(5), Port table)."""

from __future__ import annotations

from netloom.flow.address import format_mac
from netloom.flow.fields import SLOT, VLAN_CFI
from netloom.ofproto.bundle import PCP, Bundle, Tags, read_tag
from netloom.ofproto.mac_table import MacTable
from netloom.ofproto.settings import BundleSettings
from netloom.ofproto.translate import multicast
from netloom.ofproto.translate.commit import TAGS_MASK, with_tags
from netloom.ofproto.translate.context import Context
from netloom.ofproto.translate.output import output_to
from netloom.ofproto.translate.spread import spread
from netloom.protocols.bond import DROP, DROP_IF_MOVED
from netloom.telemetry.netflow import FLOOD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_DL_SRC: Final = SLOT["dl_src"]
_DL_DST: Final = SLOT["dl_dst"]
_DL_TYPE: Final = SLOT["dl_type"]
_TAGS: Final = ((SLOT["vlan_tpid"], SLOT["vlan_tci"]), (SLOT["vlan1_tpid"], SLOT["vlan1_tci"]))
_LOOKED_AT: Final = _DL_SRC.mask | _DL_DST.mask | (0xFFF | VLAN_CFI) << SLOT["vlan_tci"].shift
_VLAN_TCI: Final = SLOT["vlan_tci"]
_NW_SRC: Final = SLOT["nw_src"]
_NW_DST: Final = SLOT["nw_dst"]
_NW_PROTO: Final = SLOT["nw_proto"]
_BROADCAST: Final = 0xFFFFFFFFFFFF

#: Group addresses that bridges keep to themselves (IEEE 802.1Q, table 8-1) or that only switches
#: speak to one another: prefix bits and value.
_RESERVED: Final = (
    (0xFFFFFFFFFFF0, 0x0180C2000000),
    (0xFFFFFFFFFFFF, 0x00E02B000000),
    (0xFFFFFFFFFFFF, 0x00E02B000004),
    (0xFFFFFFFFFFFF, 0x00E02B000006),
    (0xFFFFFFFFFFFF, 0x01000C000000),
    (0xFFFFFFFFFFFF, 0x01000CCCCCCC),
    (0xFFFFFFFFFFFF, 0x01000CCCCCCD),
    (0xFFFFFFFFFFFF, 0x01000CCDCDCD),
    (0xFFFFFFFFFFF0, 0x01000CCCCCC0),
)


RESERVED_OUIS: Final = frozenset(value >> 24 for _, value in _RESERVED)

#: Where a packet-out without a port comes from: carries every VLAN, as a trunk.
NOWHERE: Final = Bundle(BundleSettings("nowhere", ()))


class MacRefresh:
    """Keeps what NORMAL learned from a flow's packets from ageing while they flow.

    A flow that is removed because its port is, or is in another VLAN now, had packets that are only
    counted afterwards: they teach nothing any more.
    """

    __slots__ = ("bundle", "mac", "macs", "settings", "vlan")

    def __init__(self, macs: MacTable[Bundle], mac: int, vlan: int, bundle: Bundle) -> None:
        self.macs = macs
        self.mac = mac
        self.vlan = vlan
        self.bundle = bundle
        self.settings = bundle.settings

    def credit(self, n_packets: int, n_bytes: int, used_ms: int) -> None:
        if self.bundle.members and self.bundle.settings is self.settings:
            self.macs.learn(self.mac, self.vlan, self.bundle, used_ms, is_again=True)


def normal(context: Context) -> None:
    """Learn the source, send to the port of the destination or to all (see the module)."""
    context.mask |= _LOOKED_AT
    context.is_last = False
    key = context.key
    bundle = _input_bundle(context)
    if bundle is None:
        return
    tags = key_tags(key)
    if bundle.name in context.bridge.mirrors.outputs:
        context.warn(
            f"dropping packet received on port {bundle.name}, which is reserved exclusively for "
            "mirroring"
        )
        return
    refusal = bundle.refusal(tags[0].vid)
    if refusal:
        context.report_error(refusal)
        context.warn("disallowed VLAN VID for this input port, dropping")
        return
    inside = bundle.input_tags(tags)
    if is_reserved(_DL_DST.get(key)):
        context.cannot_repeat()
    if is_reserved(_DL_DST.get(key)) and not context.bridge.settings.forward_bpdu:
        context.detail("packet has reserved destination MAC, dropping")
        return
    if bundle.bond is not None and not _bond_admits(context, bundle, inside[0].vid):
        return
    _learn(context, bundle, inside[0].vid)
    _forward(context, bundle, inside)


def key_tags(key: int) -> Tags:
    """The two outer tags of a packet."""
    outer, inner = (read_tag(tpid.get(key), tci.get(key)) for tpid, tci in _TAGS)
    return outer, inner


def _input_bundle(context: Context) -> Bundle | None:
    port = context.bridge.ports_by_number.get(context.in_port)
    if port is not None and port.bundle is not None:
        return port.bundle
    if port is None and context.in_port >= 0xFFFFFF00:
        # A packet-out that names no port comes from nowhere: nothing is learned from it.
        return NOWHERE
    if port is None:
        context.report_error(f"received packet on unknown port {context.in_port}")
    context.warn("no input bundle, dropping")
    return None


def _learn(context: Context, bundle: Bundle, vlan: int) -> None:
    if bundle is NOWHERE:
        return
    macs, source = context.bridge.macs, _DL_SRC.get(context.key)
    gratuitous = _is_gratuitous_arp(context)
    if context.side_effects and macs.learn(
        source,
        vlan,
        bundle,
        context.now_ms,
        gratuitous_arp=gratuitous,
        is_bond=len(bundle.members) > 1,
    ):
        context.detail(f"learned that {format_mac(source)} is on port {bundle.name} in VLAN {vlan}")
    if macs.may_learn(source, vlan):
        context.credits.append(MacRefresh(macs, source, vlan, bundle))


def _is_gratuitous_arp(context: Context) -> bool:
    """An ARP that only announces its sender (RFC 5227, 3)."""
    key = context.key
    if _DL_TYPE.get(key) != 0x0806 or _DL_DST.get(key) != _BROADCAST:
        return False
    context.mask |= _NW_PROTO.mask
    if _NW_PROTO.get(key) == 2:
        return True
    if _NW_PROTO.get(key) != 1:
        return False
    context.mask |= _NW_SRC.mask | _NW_DST.mask
    return _NW_SRC.get(key) == _NW_DST.get(key)


def _forward(context: Context, bundle: Bundle, inside: Tags) -> None:
    mcast = context.bridge.mcast
    if mcast is not None:
        context.cannot_repeat()
    if mcast is not None and multicast.concerns(context.key):
        multicast.forward(context, mcast, bundle, inside, _flood, send)
        return
    context.mac_lookups.append((context.bridge.name, _DL_DST.get(context.key), inside[0].vid))
    entry = context.bridge.macs.lookup(_DL_DST.get(context.key), inside[0].vid)
    if context.log is not None:
        target = entry.bundle if entry is not None else None
        context.log.normal(context, bundle, inside[0].vid, target)
    if entry is None:
        context.detail("no learned MAC for destination, flooding")
        _flood(context, bundle, inside)
    elif entry.bundle is bundle:
        context.detail("learned port is input port, dropping")
    else:
        context.detail("forwarding to learned port")
        send(context, entry.bundle, inside)


def _flood(context: Context, source: Bundle, inside: Tags) -> None:
    """Send everywhere but back."""
    reserved = context.bridge.mirrors.outputs
    for other in list(context.bridge.bundles.values()):
        if other is source or other.name in reserved:
            continue
        if other.is_floodable and other.carries(inside):
            send(context, other, inside)
    if context.sampling is not None:
        context.sampling.output = FLOOD


def _bond_admits(context: Context, bundle: Bundle, vlan: int) -> bool:
    """May a packet come in on this member of a bond? If not, it is a copy, or an echo."""
    assert bundle.bond is not None
    port = context.bridge.ports_by_number[context.in_port]
    verdict = bundle.bond.admits(port.name, _DL_DST.get(context.key))
    if verdict == DROP:
        context.detail("bonding refused admissibility, dropping")
        return False
    if verdict == DROP_IF_MOVED:
        entry = context.bridge.macs.lookup(_DL_SRC.get(context.key), vlan)
        if entry is not None and entry.bundle is not bundle:
            is_locked = context.now_ms < entry.lock_until_ms
            if is_locked or not _is_gratuitous_arp(context):
                context.detail("SLB bond thinks this packet looped back, dropping")
                return False
    return True


def _member(context: Context, bundle: Bundle, vlan: int) -> int:
    """The port by which a packet leaves; -1 for none."""
    if bundle.bond is None:
        return bundle.members[0].number
    context.cannot_repeat()
    if bundle.bond.recirculates:
        return spread(context, bundle)
    chosen = bundle.bond.choose(_DL_SRC.get(context.key), vlan)
    if chosen is None:
        return -1
    name, bucket = chosen
    if bucket is not None:
        context.credits.append(bucket)
    return next((port.number for port in bundle.members if port.name == name), -1)


def send(context: Context, bundle: Bundle, inside: Tags) -> None:
    """Send with the tags that `bundle` has on its wire; the key stays as it was."""
    if not bundle.members:
        return
    tci = _VLAN_TCI.get(context.key)
    wire = bundle.output_tags(inside, tci & PCP if tci & VLAN_CFI else 0)
    if tci & VLAN_CFI and not wire[0].vid and bundle.settings.priority_tags == "if-nonzero":
        # It is the priority that decides whether there is a tag.
        context.mask |= PCP << _VLAN_TCI.shift
    tags = []
    for number, tag in enumerate(wire):
        wire_tci = bundle.wire_tci(tag, outermost=number == 0)
        if not wire_tci:
            break
        tags.append((tag.tpid or 0x8100, wire_tci))
    saved = context.key
    context.key = with_tags(saved, tags)
    number = _member(context, bundle, inside[0].vid)
    if number >= 0:
        output_to(context, number)
    # The tags are as before; what a tunnel has set beside them stays.
    context.key = context.key & ~TAGS_MASK | saved & TAGS_MASK


def is_reserved(mac: int) -> bool:
    """Is this a group address that a bridge does not forward?"""
    return mac >> 24 in RESERVED_OUIS and any(mac & mask == value for mask, value in _RESERVED)
