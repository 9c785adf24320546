"""Data-path flows as text: `in_port(1),eth(src=..,dst=..),eth_type(0x0800),ipv4(frag=no)`.

The syntax of ovs-dpctl(8), of ofproto/trace for a data-path flow, and of netdev-dummy/receive. A
flow is a key and a mask; in_port is a data-path port number. The printer shows what the mask
covers, or everything with `verbose`, where the values of wildcarded members are those of the packet
that made the flow: so it takes a key and a mask, not a `Match`, which has forgotten them.
"""

from __future__ import annotations

from collections.abc import Mapping

from netloom.flow import numbers
from netloom.flow.address import (
    format_ipv4,
    format_ipv6,
    format_mac,
)
from netloom.flow.fields import KEY_MASK, SLOT
from netloom.flow.key import MAX_VLANS
from netloom.flow.odp_options import format_options
from netloom.flow.odp_table import ATTRIBUTE_MASKS, ATTRIBUTES, Member
from netloom.flow.print import is_neighbour_discovery

_FRAGMENTS = ("no", "first", "<error>", "later")
_VLAN_TYPES = (0x8100, 0x88A8)
_PLAIN = {"ipv4": format_ipv4, "ipv6": format_ipv6, "mac": format_mac}
#: Attributes that are printed even if nothing of them is matched: they nest.
_NESTED = frozenset({"nsh", "tunnel"})
_TRANSPORT = {6: "tcp", 17: "udp", 132: "sctp"}
_TUN_FLAGS = numbers.TUN_FLAG_NAMES
#: The flags that stand in tunnel(flags(..)).
_TUN_FLAGS_MASK = 0xE
_TUN_KEY = 0x8
_ETH_TYPE_MIN = 0x600
#: Metadata in their order.
_METADATA = (
    "recirc_id", "dp_hash", "skb_priority", "tunnel", "in_port", "skb_mark", "ct_state",
    "ct_zone", "ct_mark", "ct_label", "ct_tuple",
)  # fmt: skip
#: Of a version of ERSPAN's header: the fields that it has, and how their values are printed.
_ERSPAN_FIELDS = {
    1: (("idx", "{:#x}".format),),
    2: (("dir", str), ("hwid", numbers.format_hex)),
}


class _Printer:
    __slots__ = ("key", "mask", "port_names", "verbose")

    def __init__(
        self, key: int, mask: int, port_names: Mapping[int, str] | None, verbose: bool
    ) -> None:
        self.key = key
        self.mask = mask
        self.port_names = port_names
        self.verbose = verbose

    def shows(self, name: str) -> bool:
        return self.verbose or name in _NESTED or bool(self.mask & ATTRIBUTE_MASKS[name])

    def attribute(self, name: str) -> str:
        return f"{name}({self.members(name)})"

    def members(self, name: str) -> str:
        words = []
        for member in ATTRIBUTES[name]:
            mask = member.get(self.mask)
            if not mask and (member.form == "frag" or name in _NESTED or not self.verbose):
                continue
            text = self.value(member, mask)
            words.append(f"{member.word}={text}" if member.word else text)
        return ",".join(words)

    def value(self, member: Member, mask: int) -> str:
        value = member.get(self.key)
        form = member.form
        if form in _PLAIN:
            text = _PLAIN[form](value)
            return text if mask == member.ones else f"{text}/{_PLAIN[form](mask)}"
        if form == "frag":
            if mask != member.ones:
                return f"error: partial mask not supported for frag ({mask:#x})"
            return _FRAGMENTS[value]
        if form == "tcp_flags":
            return numbers.format_flags_masked(value, mask, numbers.TCP_FLAG_NAMES, member.ones)
        if form == "ct_state":
            if self.verbose:
                return _masked(numbers.format_hex(value), mask, member.ones)
            # The data path's word has 32 bits, of which no mask covers all.
            return numbers.format_flags_masked(value, mask, numbers.CT_STATE_NAMES, member.ones)
        if form == "port" and mask == member.ones:
            name = self.port_names.get(value) if self.port_names else None
            return str(value) if name is None else name
        if form == "type":
            return f"0x{value:04x}" + ("" if mask == member.ones else f"/0x{mask:04x}")
        if form == "byte":
            return str(value) if mask == member.ones else f"0x{value:02x}/0x{mask:02x}"
        if form == "word":
            return f"0x{value:x}" + ("" if mask == member.ones else f"/0x{mask:08x}")
        if form == "op" and value == member.ones:
            value = 0xFFFF  # all ones of a mask are all ones of 16 bits, and keys go the same way
        if form == "hex0":
            text = f"{value:#x}"
        else:
            text = numbers.format_hex(value) if form == "hex" else str(value)
        return _masked(text, mask, member.ones)


def _masked(text: str, mask: int, ones: int) -> str:
    return text if mask == ones else f"{text}/{numbers.format_hex(mask)}"


def format_odp_flow(
    key: int,
    mask: int = KEY_MASK,
    port_names: Mapping[int, str] | None = None,
    verbose: bool = False,
    vlan_limit: int = MAX_VLANS,
    in_kernel: bool = False,
) -> str:
    """The flow `key`/`mask` as dpctl/dump-flows prints it (`verbose` is its -m). Without a mask, a
    whole key. `port_names` are by data-path port number; `vlan_limit` is how many tags it reads.
    People know flows `in_kernel` by `eth()` instead of a packet type."""
    out = _Printer(key, mask, port_names, verbose)
    words = _format_metadata(out)
    is_ethernet = not SLOT["packet_type"].get(key)
    has_packet_type = not in_kernel and out.shows("packet_type")
    if has_packet_type:
        words.append(out.attribute("packet_type"))
    if is_ethernet:
        if out.shows("eth"):
            words.append(out.attribute("eth"))
        elif not has_packet_type:
            words.append("eth()")
    words.append(_format_frame(out, _tags(key)[:vlan_limit] if is_ethernet else []))
    return ",".join(word for word in words if word)


def _format_metadata(out: _Printer) -> list[str]:
    words = []
    key = out.key
    has_tunnel = SLOT["tun_dst"].get(key) or SLOT["tun_ipv6_dst"].get(key)
    dl_type = SLOT["dl_type"].get(key)
    tuple_type = {0x0800: "ct_tuple4", 0x86DD: "ct_tuple6"}.get(dl_type)
    for name in _METADATA:
        if name == "tunnel":
            if has_tunnel:
                words.append(_format_tunnel(out))
        elif name == "ct_tuple":
            if tuple_type and SLOT["ct_nw_proto"].get(key) and out.shows(tuple_type):
                words.append(out.attribute(tuple_type))
        elif out.shows(name):
            words.append(out.attribute(name))
    return words


def _format_tunnel(out: _Printer) -> str:
    """tunnel(): only members that are in the packet's tunnel and matched; ttl in any case."""
    words = []
    flags, mask = SLOT["tun_flags"].get(out.key), SLOT["tun_flags"].get(out.mask)
    shown = {"ttl", "tun_id"}
    if not flags & _TUN_KEY and not SLOT["tun_id"].get(out.key):
        # That a tunnel without a key has none is not said.
        shown = {"ttl"}
        mask = mask if mask == SLOT["tun_flags"].ones else mask & ~_TUN_KEY
    for member in ATTRIBUTES["tunnel"]:
        member_mask = member.get(out.mask)
        if member_mask and (member.get(out.key) or member.word in shown):
            words.append(f"{member.word}={out.value(member, member_mask)}")
    gbp_id, gbp_flags = SLOT["tun_gbp_id"].get(out.key), SLOT["tun_gbp_flags"].get(out.key)
    if (gbp_id or gbp_flags) and SLOT["tun_gbp_id"].get(out.mask):
        words.append(f"vxlan(gbp(id={gbp_id},flags={numbers.format_hex(gbp_flags)}))")
    if options := format_options(out.key, out.mask):
        words.append(options)
    words += [text for text in (_format_erspan(out), _format_gtpu(out)) if text]
    if mask & 1 and flags & 1:
        words.append("oam")
    text = _format_tunnel_flags(flags & _TUN_FLAGS_MASK, mask)
    if text:
        words.append(f"flags({text})")
    return f"tunnel({','.join(words)})"


def _format_erspan(out: _Printer) -> str:
    """What ERSPAN's header has, which only those of a known version have."""
    version = SLOT["tun_erspan_ver"]
    fields = _ERSPAN_FIELDS.get(version.get(out.key))
    if fields is None or not version.get(out.mask):
        return ""
    words = [f"ver={_masked(str(version.get(out.key)), version.get(out.mask), version.ones)}"]
    for word, form in fields:
        slot = SLOT[f"tun_erspan_{word}"]
        if mask := slot.get(out.mask):
            words.append(f"{word}={_masked(form(slot.get(out.key)), mask, slot.ones)}")
    return f"erspan({','.join(words)})"


def _format_gtpu(out: _Printer) -> str:
    """What GTP-U's header has, if there is one."""
    flags, kind = SLOT["tun_gtpu_flags"], SLOT["tun_gtpu_msgtype"]
    if not flags.get(out.key) or not kind.get(out.key):
        return ""
    words = []
    if mask := flags.get(out.mask):
        words.append(f"flags={_masked(numbers.format_hex(flags.get(out.key)), mask, flags.ones)}")
    if mask := kind.get(out.mask):
        words.append(f"msgtype={_masked(str(kind.get(out.key)), mask, kind.ones)}")
    return f"gtpu({','.join(words)})" if words else ""


def _format_tunnel_flags(flags: int, mask: int) -> str:
    if not mask & _TUN_FLAGS_MASK:
        return ""
    exact = mask == SLOT["tun_flags"].ones
    mask = mask if exact else mask & _TUN_FLAGS_MASK
    return numbers.format_flags_masked(flags, mask, _TUN_FLAGS, SLOT["tun_flags"].ones)


def _tags(key: int) -> list[str]:
    """Names of the tags that a flow of `key` shows: a frame of a tag's type that breaks off there
    shows that tag too, with nothing in it."""
    tags = []
    for name in ("vlan", "vlan1"):
        tci = SLOT[f"{name}_tci"].get(key)
        if not tci and SLOT["dl_type"].get(key) not in _VLAN_TYPES:
            break
        tags.append(name)
        if not tci:
            break
    return tags


def _format_frame(out: _Printer, tags: list[str]) -> str:
    """From the Ethernet type on, inside the encap() of each tag."""
    if not tags:
        return ",".join(_format_payload(out))
    name, *inner_tags = tags
    tci = SLOT[f"{name}_tci"].get(out.key)
    tpid = SLOT[f"{name}_tpid"].get(out.key) if tci else SLOT["dl_type"].get(out.key)
    words = [f"eth_type(0x{tpid:04x})"]
    tci_mask = SLOT[f"{name}_tci"].get(out.mask)
    if out.verbose or tci_mask:
        words.append(f"vlan({_format_tci(tci, tci_mask, out.verbose)})")
    has_inner = tci and (inner_tags or SLOT["dl_type"].get(out.key) >= _ETH_TYPE_MIN)
    inner = _format_frame(out, inner_tags) if has_inner else ""
    words.append(f"encap({inner})")
    return ",".join(words)


def _format_tci(tci: int, mask: int, verbose: bool) -> str:
    words = []
    for word, low, ones in (("vid", 0, 0xFFF), ("pcp", 13, 7)):
        value, bits = tci >> low & ones, mask >> low & ones
        if verbose or value or bits:
            words.append(f"{word}={value}" + ("" if bits == ones else f"/{bits:#x}"))
    if not tci & 0x1000:
        words.append("cfi=0")
    return ",".join(words)


def _format_payload(out: _Printer) -> list[str]:
    dl_type = SLOT["dl_type"].get(out.key)
    if dl_type < _ETH_TYPE_MIN:
        if not SLOT["dl_type"].get(out.mask):
            return []
        return [f"eth_type(0/0x{SLOT['dl_type'].get(out.mask):04x})"]
    words = [out.attribute("eth_type")] if out.shows("eth_type") else []
    if dl_type in _VLAN_TYPES:
        return words
    network = {0x0800: "ipv4", 0x86DD: "ipv6", 0x0806: "arp", 0x8035: "arp", 0x894F: "nsh"}
    if dl_type in (0x8847, 0x8848):
        if text := _format_mpls(out):
            words.append(text)
    elif (name := network.get(dl_type)) is not None and out.shows(name):
        words.append(out.attribute(name))
    if dl_type in (0x0800, 0x86DD) and not SLOT["nw_frag"].get(out.key) & 2:
        words += _format_transport(out, dl_type)
    return words


def _format_mpls(out: _Printer) -> str:
    lses = []
    for n in range(3):
        slot = SLOT[f"mpls_lse{n}"]
        lses.append((slot.get(out.key), slot.get(out.mask)))
        if lses[-1][0] & 0x100:
            break
    else:
        lses = lses[: sum(1 for lse, _ in lses if lse)]
    if not out.verbose and not any(mask for _, mask in lses):
        return ""
    if not lses:
        return "mpls((bad key length 0)"  # a packet that breaks off behind its Ethernet type
    exact = all(mask == 0xFFFFFFFF for _, mask in lses)
    words = []
    for lse, mask in lses:
        for word, low, bits, prefix in (
            ("label", 12, 20, "0x"), ("tc", 9, 3, ""), ("ttl", 0, 8, "0x"), ("bos", 8, 1, ""),
        ):  # fmt: skip
            ones = (1 << bits) - 1
            masked = "" if exact else f"/{prefix}{mask >> low & ones:x}"
            words.append(f"{word}={lse >> low & ones}{masked}")
    return f"mpls({','.join(words)})"


def _format_transport(out: _Printer, dl_type: int) -> list[str]:
    proto = SLOT["nw_proto"].get(out.key)
    names = []
    if proto in _TRANSPORT:
        names.append(_TRANSPORT[proto])
        flags = ATTRIBUTE_MASKS["tcp_flags"]
        if proto == 6 and (out.key | out.mask) & flags:
            names.append("tcp_flags")
    elif dl_type == 0x0800 and proto == 1:
        names.append("icmp")
    elif dl_type == 0x86DD and proto == 58:
        names.append("icmpv6")
        type_mask, code_mask = SLOT["tp_src"].get(out.mask), SLOT["tp_dst"].get(out.mask)
        if is_neighbour_discovery(out.key):
            if type_mask & code_mask & 0xFF == 0xFF:
                names.append("nd")
            elif out.verbose:
                out = _Printer(out.key, out.mask & ~ATTRIBUTE_MASKS["nd"], None, True)
                names.append("nd")
    return [out.attribute(name) for name in names if out.shows(name)]


def format_odp_attribute(name: str, key: int, mask: int) -> str:
    """One attribute, as it stands in `set(...)`: `eth(dst=00:11:22:33:44:55)`."""
    out = _Printer(key, mask, None, False)
    if name == "tunnel":
        return _format_tunnel(out)
    if name == "vlan":
        slot = SLOT["vlan_tci"]
        return f"vlan({_format_tci(slot.get(key), slot.get(mask), False)})"
    if name == "mpls":
        return f"mpls({_format_one_label(SLOT['mpls_lse0'].get(key), SLOT['mpls_lse0'].get(mask))})"
    return out.attribute(name)


def _format_one_label(lse: int, mask: int) -> str:
    words = []
    for word, low, bits, prefix in (
        ("label", 12, 20, "0x"), ("tc", 9, 3, ""), ("ttl", 0, 8, "0x"), ("bos", 8, 1, ""),
    ):  # fmt: skip
        ones = (1 << bits) - 1
        masked = "" if mask == 0xFFFFFFFF else f"/{prefix}{mask >> low & ones:x}"
        words.append(f"{word}={lse >> low & ones}{masked}")
    return ",".join(words)
