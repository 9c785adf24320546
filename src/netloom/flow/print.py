"""Matches and flow keys as text, field by field in the order and the words of Open vSwitch.

The order is historical and scripts depend on it: metadata, protocol shorthand, registers, tunnel,
in_port, tags, Ethernet, network, transport. What is printed depends on the mask; a flow key is
printed through the mask of all the fields that such a packet has.
"""

from __future__ import annotations

from netloom.flow import numbers, value_text
from netloom.flow.address import (
    format_ipv4_masked,
    format_ipv6_masked,
    format_mac_masked,
)
from netloom.flow.fields import (
    FIELD,
    N_REGS,
    SLOT,
    SLOTS,
    TUN_METADATA,
    TUN_PRESENT_SHIFT,
    VLAN_CFI,
    Slot,
    option_mask,
)
from netloom.flow.match import Match
from netloom.flow.ports import format_port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

    Format = Callable[[int, int], str]
    MaskedFormat = Callable[[int, int, int], str]

_IP: Final = 0x0800
_IPV6: Final = 0x86DD
_ARP: Final = 0x0806
_RARP: Final = 0x8035
_NSH: Final = 0x894F

#: Ethernet type -> shorthand; with IP protocols that have one of their own.
_TYPE_WORDS: Final = {_IP: "ip", _IPV6: "ipv6", _ARP: "arp", _RARP: "rarp", 0x8847: "mpls",
               0x8848: "mplsm"}  # fmt: skip
_PROTO_WORDS: Final = {
    (_IP, 1): "icmp",
    (_IP, 6): "tcp",
    (_IP, 17): "udp",
    (_IP, 132): "sctp",
    (_IPV6, 58): "icmp6",
    (_IPV6, 6): "tcp6",
    (_IPV6, 17): "udp6",
    (_IPV6, 132): "sctp6",
}


def _hex_masked(value: int, mask: int, ones: int) -> str:
    """`0x5`, `0x5/0x7`; zero is `0`."""
    text = numbers.format_hex(value)
    return text if mask == ones else f"{text}/{numbers.format_hex(mask)}"


def _decimal_masked(value: int, mask: int, ones: int) -> str:
    """`5`, or `0x5/0x7`."""
    return str(value) if mask == ones else f"0x{value:x}/0x{mask:x}"


def _plain_hex_masked(value: int, mask: int, ones: int) -> str:
    """`0x5`, `0x5/0x7`; zero is `0x0`."""
    return f"0x{value:x}" if mask == ones else f"0x{value:x}/0x{mask:x}"


def _label_masked(value: int, mask: int) -> str:
    """IPv6's flow label: five digits."""
    text = f"0x{value:05x}"
    return text if mask & 0xFFFFF == 0xFFFFF else f"{text}/0x{mask:05x}"


def _lse(value: int, mask: int) -> str:
    """The label stack entries below the first."""
    return str(value) if mask == 0xFFFFFFFF else f"0x{value:08x}/0x{mask:08x}"


def _as_decimal(value: int, _mask: int) -> str:
    return str(value)


def _as_hex(value: int, _mask: int) -> str:
    return numbers.format_hex(value)


def _of_width(form: MaskedFormat, bits: int) -> Format:
    """`form` for values of `bits` bits."""
    ones = (1 << bits) - 1
    return lambda value, mask: form(value, mask, ones)


_hex32: Final = _of_width(_hex_masked, 32)
_hex64: Final = _of_width(_hex_masked, 64)
_hex128: Final = _of_width(_hex_masked, 128)
_dec8: Final = _of_width(_decimal_masked, 8)
_dec16: Final = _of_width(_decimal_masked, 16)
_dec32: Final = _of_width(_decimal_masked, 32)
_plain32: Final = _of_width(_plain_hex_masked, 32)


def _bits_of(*beginnings: str) -> int:
    """The bits of the slots whose names begin so."""
    return sum(slot.mask for slot in SLOTS if slot.name.startswith(beginnings))


#: Most matches have nothing of these.
_METADATA_BITS: Final = _bits_of(
    "pkt_mark", "recirc_id", "dp_hash", "conj_id", "skb_priority", "actset_output", "ct_"
)
_REGISTER_BITS: Final = _bits_of("reg")
_TUNNEL_BITS: Final = _bits_of("tun_")
#: What only a frame has.
FRAME_BITS = 0
for _field in FIELD.values():
    if _field.prerequisite != "-":
        FRAME_BITS |= _field.mask
_NO_INNER_TAG: Final = VLAN_CFI << SLOT["vlan1_tci"].shift
_ETHERNET_BITS: Final = _bits_of("vlan_tci", "vlan1_tci", "dl_src", "dl_dst")
_MPLS_BITS: Final = _bits_of("mpls_")


class _Printer:
    """The words of one match, as they come."""

    __slots__ = ("mask", "option_bits", "port_names", "value", "words")

    def __init__(
        self, match: Match, port_names: Mapping[int, str] | None, option_bits: int
    ) -> None:
        self.value = match.value
        self.mask = match.mask
        self.port_names = port_names
        self.option_bits = option_bits
        self.words: list[str] = []

    def masked(self, slot: str) -> int:
        found: Slot = SLOT[slot]
        return self.mask >> found.shift & found.ones

    def get(self, slot: str) -> int:
        found: Slot = SLOT[slot]
        return self.value >> found.shift & found.ones

    def put(self, slot: str, form: Format, name: str = "") -> None:
        """Prints `slot` with `form` if anything of it is matched."""
        mask = self.masked(slot)
        if mask:
            self.words.append(f"{name or slot}={form(self.get(slot), mask)}")

    def put_port(self, slot: str) -> None:
        if self.masked(slot):
            self.words.append(f"{slot}={format_port(self.get(slot), self.port_names)}")


#: Options of tunnels are a multiple of so many bits; a switch knows how many each has, a message
#: tells of the bytes that were written only.
SWITCH_OPTION_BITS: Final = 32
MESSAGE_OPTION_BITS: Final = 8


def format_match(
    match: Match,
    port_names: Mapping[int, str] | None = None,
    priority: int | None = None,
    option_bits: int = MESSAGE_OPTION_BITS,
) -> str:
    """`match` as ovs-ofctl(8) prints it, such as `tcp,in_port=1,nw_src=10.0.0.0/8,tp_dst=80`; a
    match of everything is "". `priority` other than None comes first. A mask of ones is not
    printed for a tunnel's option if it has a multiple of `option_bits` bits."""
    out = _Printer(match, port_names, option_bits)
    if priority is not None:
        out.words.append(f"priority={priority}")
    if match.mask & _METADATA_BITS:
        _put_metadata(out)
    dl_type = _put_packet_type(out)
    dl_type, type_said, proto_said = _put_shorthand(out, dl_type)
    if match.mask & _REGISTER_BITS:
        for n in range(N_REGS):
            out.put(f"reg{n}", _hex32)
    if match.mask & _TUNNEL_BITS or match.mask >> TUN_PRESENT_SHIFT:
        _put_tunnel(out)
    out.put("metadata", _hex64)
    out.put_port("in_port")
    if match.mask & _ETHERNET_BITS:
        _put_vlans(out)
        out.put("dl_src", format_mac_masked)
        out.put("dl_dst", format_mac_masked)
    if not type_said and out.masked("dl_type"):
        out.words.append(f"dl_type=0x{dl_type:04x}")
    _put_network(out, dl_type, proto_said)
    if match.mask & _MPLS_BITS:
        _put_mpls(out)
    fragment_mask = out.masked("nw_frag") & 3
    if fragment_mask:
        out.words.append(f"nw_frag={value_text.format_frag(out.get('nw_frag'), fragment_mask)}")
    _put_transport(out, dl_type)
    return ",".join(out.words)


def _put_metadata(out: _Printer) -> None:
    out.put("pkt_mark", _hex32)
    out.put("recirc_id", _hex32)
    out.put("dp_hash", _hex32)
    out.put("conj_id", _as_decimal)
    out.put("skb_priority", _as_hex)
    out.put_port("actset_output")
    if mask := out.masked("ct_state"):
        # All 32 bits demanded says no more than the eight that there are.
        mask = mask & 0xFF if mask & 0xFF == 0xFF else mask
        text = numbers.format_flags_masked(
            out.get("ct_state"), mask, numbers.CT_STATE_NAMES, numbers.CT_STATE_MASK
        )
        out.words.append(f"ct_state={text}")
    out.put("ct_zone", _dec16)
    out.put("ct_mark", _hex32)
    out.put("ct_label", _hex128)
    out.put("ct_nw_src", format_ipv4_masked)
    out.put("ct_ipv6_src", format_ipv6_masked)
    out.put("ct_nw_dst", format_ipv4_masked)
    out.put("ct_ipv6_dst", format_ipv6_masked)
    if out.masked("ct_nw_proto"):
        out.put("ct_nw_proto", _as_decimal)
        out.put("ct_tp_src", _dec16)
        out.put("ct_tp_dst", _dec16)


def _put_packet_type(out: _Printer) -> int:
    """Prints the packet type unless it is Ethernet, which goes without saying except in megaflows
    (which match recirc_id); returns the Ethernet type."""
    dl_type = out.get("dl_type")
    if not out.masked("packet_type"):
        if out.mask & FRAME_BITS and out.masked("recirc_id"):
            out.words.append("eth")
        return dl_type
    packet_type = out.get("packet_type")
    if packet_type or out.masked("packet_type") != 0xFFFFFFFF:
        out.words.append(f"packet_type={value_text.format_packet_type(packet_type)}")
    elif out.masked("recirc_id"):
        out.words.append("eth")
    return packet_type & 0xFFFF if packet_type >> 16 == 1 else dl_type


def _put_shorthand(out: _Printer, dl_type: int) -> tuple[int, bool, bool]:
    """Prints `tcp` and its like: (Ethernet type, whether that is said, whether nw_proto is)."""
    if not out.masked("dl_type"):
        return dl_type, False, False
    if out.masked("nw_proto") and (dl_type, out.get("nw_proto")) in _PROTO_WORDS:
        out.words.append(_PROTO_WORDS[dl_type, out.get("nw_proto")])
        return dl_type, True, True
    if dl_type in _TYPE_WORDS:
        out.words.append(_TYPE_WORDS[dl_type])
        return dl_type, True, False
    return dl_type, False, False


def _put_tunnel(out: _Printer) -> None:
    out.put("tun_id", _hex64)
    out.put("tun_src", format_ipv4_masked)
    out.put("tun_dst", format_ipv4_masked)
    out.put("tun_ipv6_src", format_ipv6_masked)
    out.put("tun_ipv6_dst", format_ipv6_masked)
    out.put("tun_gbp_id", _dec16)
    out.put("tun_gbp_flags", _as_hex)
    out.put("tun_tos", lambda value, _: f"{value:x}")
    out.put("tun_ttl", _as_decimal)
    out.put("tun_erspan_ver", _as_decimal)
    version = out.get("tun_erspan_ver")
    if version == 1:
        out.put("tun_erspan_idx", _as_hex)
    elif version == 2:
        out.put("tun_erspan_dir", _as_decimal)
        out.put("tun_erspan_hwid", _as_hex)
    out.put("tun_gtpu_flags", lambda value, _: f"{value:#x}" if value else "0", "gtpu_flags")
    out.put("tun_gtpu_msgtype", _as_decimal, "gtpu_msgtype")
    if mask := out.masked("tun_flags") & numbers.TUN_FLAGS_MASK:
        flags = out.get("tun_flags") & mask
        text = numbers.format_flags_masked(
            flags, mask, numbers.TUN_FLAG_NAMES, numbers.TUN_FLAGS_MASK
        )
        out.words.append(f"tun_flags={text}")
    if out.mask >> TUN_PRESENT_SHIFT:
        _put_options(out)


def _put_options(out: _Printer) -> None:
    """What the TLV options of the tunnel are."""
    absent = (out.mask & ~out.value) >> TUN_PRESENT_SHIFT
    present = (out.mask & out.value) >> TUN_PRESENT_SHIFT
    for number, field in enumerate(TUN_METADATA):
        if absent >> number & 1:
            out.words.append(f"{field.name}=NP")
            continue
        mask = out.mask >> field.shift & field.ones
        if mask:
            value = numbers.format_hex(out.value >> field.shift & field.ones)
            is_exact = not mask & mask + 1 and mask.bit_length() % out.option_bits == 0
            out.words.append(f"{field.name}={value}" + ("" if is_exact else f"/{mask:#x}"))
        elif present >> number & 1:
            out.words.append(field.name)


def _put_vlans(out: _Printer) -> None:
    for slot, suffix in (("vlan_tci", ""), ("vlan1_tci", "1")):
        mask = out.masked(slot)
        if not mask:
            return
        tci = out.get(slot)
        vid_mask, pcp_mask = mask & 0x0FFF, mask & 0xE000
        whole = vid_mask in (0, 0x0FFF) and pcp_mask in (0, 0xE000) and vid_mask | pcp_mask
        if mask & VLAN_CFI and tci & VLAN_CFI and whole:
            if vid_mask:
                out.words.append(f"dl_vlan{suffix}={tci & 0x0FFF}")
            if pcp_mask:
                out.words.append(f"dl_vlan_pcp{suffix}={tci >> 13}")
        elif mask == 0xFFFF:
            out.words.append(f"vlan_tci{suffix}=0x{tci:04x}")
        else:
            out.words.append(f"vlan_tci{suffix}=0x{tci:04x}/0x{mask:04x}")


def _put_network(out: _Printer, dl_type: int, proto_said: bool) -> None:
    is_arp = dl_type in (_ARP, _RARP)
    if dl_type == _IPV6:
        out.put("ipv6_src", format_ipv6_masked)
        out.put("ipv6_dst", format_ipv6_masked)
        out.put("ipv6_label", _label_masked)
    elif is_arp:
        out.put("nw_src", format_ipv4_masked, "arp_spa")
        out.put("nw_dst", format_ipv4_masked, "arp_tpa")
    elif dl_type == _NSH:
        _put_nsh(out)
    else:
        out.put("nw_src", format_ipv4_masked)
        out.put("nw_dst", format_ipv4_masked)
    if not proto_said:
        out.put("nw_proto", _as_decimal, "arp_op" if is_arp else "nw_proto")
    if is_arp:
        out.put("arp_sha", format_mac_masked)
        out.put("arp_tha", format_mac_masked)
    tos_mask = out.masked("nw_tos")
    if tos_mask & 0xFC:
        out.words.append(f"nw_tos={out.get('nw_tos') & 0xFC}")
    if tos_mask & 0x03:
        out.words.append(f"nw_ecn={out.get('nw_tos') & 0x03}")
    out.put("nw_ttl", _as_decimal)


def _put_nsh(out: _Printer) -> None:
    if flags_mask := out.masked("nsh_flags"):
        flags = out.get("nsh_flags")
        exact = flags_mask == 0xFF
        out.words.append(
            f"nsh_flags={flags}" if exact else f"nsh_flags=0x{flags:02x}/0x{flags_mask:02x}"
        )
    out.put("nsh_ttl", _dec8)
    out.put("nsh_mdtype", _dec8)
    out.put("nsh_np", _dec8)
    path, mask = out.get("nsh_path"), out.masked("nsh_path")
    if mask >> 8:
        out.words.append(f"nsh_spi={_plain_hex_masked(path >> 8, mask >> 8, 0xFFFFFF)}")
    if mask & 0xFF:
        out.words.append(f"nsh_si={_decimal_masked(path & 0xFF, mask & 0xFF, 0xFF)}")
    if out.get("nsh_mdtype") == 1:
        for n in range(1, 5):
            out.put(f"nsh_c{n}", _plain32)


def _put_mpls(out: _Printer) -> None:
    lse, mask = out.get("mpls_lse0"), out.masked("mpls_lse0")
    if mask & 0xFFFFF000:
        out.words.append(f"mpls_label={lse >> 12}")
    if mask & 0xE00:
        out.words.append(f"mpls_tc={lse >> 9 & 7}")
    if mask & 0xFF:
        out.words.append(f"mpls_ttl={lse & 0xFF}")
    if mask & 0x100:
        out.words.append(f"mpls_bos={lse >> 8 & 1}")
    out.put("mpls_lse1", _lse)
    out.put("mpls_lse2", _lse)


def _put_transport(out: _Printer, dl_type: int) -> None:
    proto = out.get("nw_proto")
    is_icmp6 = dl_type == _IPV6 and proto == 58
    if (dl_type == _IP and proto == 1) or is_icmp6:
        out.put("tp_src", _dec16, "icmp_type")
        out.put("tp_dst", _dec16, "icmp_code")
    else:
        out.put("tp_src", _dec16)
        out.put("tp_dst", _dec16)
    if is_icmp6:
        out.put("nd_target", format_ipv6_masked)
        out.put("arp_sha", format_mac_masked, "nd_sll")
        out.put("arp_tha", format_mac_masked, "nd_tll")
        out.put("igmp_group", _dec32, "nd_reserved")
        out.put("tcp_flags", _dec16, "nd_options_type")
    elif dl_type in (_IP, _IPV6) and proto == 6 and (mask := out.masked("tcp_flags")):
        text = numbers.format_flags_masked(
            out.get("tcp_flags"), mask & 0xFFF, numbers.TCP_FLAG_NAMES, numbers.TCP_FLAGS_MASK
        )
        out.words.append(f"tcp_flags={text}")


_ETHERNET: Final = ("dl_dst", "dl_src", "dl_type", "vlan_tci", "vlan_tpid")
#: Printed in a flow if not zero: these come with a packet rather than stand in it.
_CONTEXT: Final = (
    "skb_priority", "pkt_mark", "ct_state", "ct_zone", "ct_mark", "ct_label", "recirc_id",
    "dp_hash", "in_port", "metadata", *(f"reg{n}" for n in range(N_REGS)),
)  # fmt: skip
_TUNNEL: Final = tuple(
    name for name in SLOT if name.startswith("tun_") and not name.startswith("tun_opt")
)  # fmt: skip
_TRANSPORT_PROTOS: Final = frozenset({1, 2, 6, 17, 58, 132})
_TUN_KEY: Final = 0x8
_CT_ADDRESSES: Final = {_IP: ("ct_nw_src", "ct_nw_dst"), _IPV6: ("ct_ipv6_src", "ct_ipv6_dst")}
_CT_ENTRY: Final = 0x01 | 0x02 | 0x08


def mask_for_packet(key: int) -> int:
    """The mask of all fields that a packet with `key` has: its headers' fields, the context that
    always exists (ct_state, in_port, recirc_id ...), and its tunnel's if it came through one."""
    is_ethernet = not SLOT["packet_type"].get(key)
    names = ["packet_type", *_CONTEXT, *(_ETHERNET if is_ethernet else ())]
    if SLOT["vlan_tci"].get(key):
        names += ["vlan1_tci", "vlan1_tpid"]
    if SLOT["tun_dst"].get(key) or SLOT["tun_ipv6_dst"].get(key):
        names += [name for name in _TUNNEL if name != "tun_id"]
        if SLOT["tun_flags"].get(key) & _TUN_KEY:
            names.append("tun_id")
    elif SLOT["tun_id"].get(key):
        names.append("tun_id")
    names += _network_names(key)
    mask = 0
    if present := key >> TUN_PRESENT_SHIFT:
        for n, field in enumerate(TUN_METADATA):
            if present >> n & 1:
                value = field.get(key)
                mask |= option_mask(value) << field.shift
    for name in names:
        mask |= SLOT[name].mask
    return mask


def _network_names(key: int) -> list[str]:
    packet_type = SLOT["packet_type"].get(key)
    dl_type = packet_type & 0xFFFF if packet_type else SLOT["dl_type"].get(key)
    names: list[str] = []
    if dl_type == _IP:
        names += ["nw_src", "nw_dst", "ct_nw_src", "ct_nw_dst"]
    elif dl_type == _IPV6:
        names += ["ipv6_src", "ipv6_dst", "ipv6_label"]
        if is_neighbour_discovery(key):
            names += ["arp_sha", "arp_tha", "nd_target"]
        else:
            names += ["ct_ipv6_src", "ct_ipv6_dst"]
    elif dl_type in (_ARP, _RARP):
        return ["nw_src", "nw_dst", "nw_proto", "arp_sha", "arp_tha"]
    elif dl_type in (0x8847, 0x8848):
        for n in range(3):
            names.append(f"mpls_lse{n}")
            if SLOT[names[-1]].get(key) & 0x100:
                break
        return names
    elif SLOT["dl_type"].get(key) == _NSH:
        names += ["nsh_flags", "nsh_ttl", "nsh_mdtype", "nsh_np", "nsh_path"]
        names += [f"nsh_c{n}" for n in range(1, 5)]
    else:
        return names
    names += ["nw_frag", "nw_tos", "nw_ttl", "nw_proto", "ct_nw_proto", "ct_tp_src", "ct_tp_dst"]
    proto = SLOT["nw_proto"].get(key)
    if not SLOT["nw_frag"].get(key) & 2 and proto in _TRANSPORT_PROTOS:
        names += ["tp_src", "tp_dst"]
        if proto == 6:
            names.append("tcp_flags")
        elif proto == 2:
            names.append("igmp_group")
    return names


def is_neighbour_discovery(key: int) -> bool:
    """Whether the packet is a neighbour solicitation or advertisement."""
    return (
        SLOT["dl_type"].get(key) == _IPV6
        and SLOT["nw_proto"].get(key) == 58
        and SLOT["tp_src"].get(key) in (135, 136)
        and SLOT["tp_dst"].get(key) == 0
        and not SLOT["nw_frag"].get(key) & 2
    )


def format_flow(key: int, port_names: Mapping[int, str] | None = None) -> str:
    """A flow key with all fields that its packet has, as ofproto/trace prints after `Flow: `.
    Context that is zero goes unsaid."""
    mask = mask_for_packet(key)
    for name in _CONTEXT:
        if not SLOT[name].get(key):
            mask &= ~SLOT[name].mask
    if not SLOT["tun_dst"].get(key) and not SLOT["tun_ipv6_dst"].get(key):
        # What came through no tunnel has no options, whatever a flow has written.
        mask &= (1 << TUN_PRESENT_SHIFT) - 1
    if not SLOT["ct_state"].get(key) & _CT_ENTRY or not SLOT["ct_nw_proto"].get(key):
        # Open vSwitch takes back what an Ethernet type says, not what a packet type does.
        addresses = _CT_ADDRESSES.get(SLOT["dl_type"].get(key), ())
        for name in (*addresses, "ct_nw_proto", "ct_tp_src", "ct_tp_dst"):
            mask &= ~SLOT[name].mask
    return format_match(Match(key, mask), port_names, None, SWITCH_OPTION_BITS)


def format_megaflow(match: Match, port_names: Mapping[int, str] | None = None) -> str:
    """A megaflow as ofproto/trace prints after `Megaflow: `. It always matches recirc_id and the
    packet type, whether the match's mask says so or not; that there is no second tag it never
    says."""
    always = SLOT["recirc_id"].mask | SLOT["packet_type"].mask
    tci = SLOT["vlan1_tci"].mask
    untold = tci if match.mask & tci == _NO_INNER_TAG and not match.value & tci else 0
    widest = Match(match.value, match.mask & ~untold | always)
    return format_match(widest, port_names, None, SWITCH_OPTION_BITS)
