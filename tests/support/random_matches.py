"""Random matches as text, most of them sensible."""

from __future__ import annotations

import random
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

Maker = Callable[[random.Random], str]


def _either(rng: random.Random, value: str, mask: str) -> str:
    return value if rng.random() < 0.6 else f"{value}/{mask}"


def _mac(rng: random.Random) -> str:
    masks = ("ff:ff:ff:00:00:00", "01:00:00:00:00:00", rng.randbytes(6).hex(":"))
    return _either(rng, rng.randbytes(6).hex(":"), rng.choice(masks))


def _ip4(rng: random.Random) -> str:
    masks = (str(rng.randrange(33)), "255.255.255.0", "255.0.255.0")
    return _either(rng, str(IPv4Address(rng.getrandbits(32))), rng.choice(masks))


def _ip6(rng: random.Random) -> str:
    address = str(IPv6Address(rng.getrandbits(128)))
    value = rng.choice((address, "::1", "fe80::", "::ffff:1.2.3.4", "1:0:0:2::", "::"))
    return _either(rng, value, rng.choice((str(rng.randrange(129)), "ffff::ffff", "ffff:ffff::")))


def _number(bits: int) -> Maker:
    def make(rng: random.Random) -> str:
        value = rng.choice((0, 1, rng.getrandbits(bits), (1 << bits) - 1))
        return hex(value) if bits > 64 else rng.choice((str(value), hex(value)))

    return make


def _masked(bits: int) -> Maker:
    number = _number(bits)
    return lambda rng: _either(rng, number(rng), number(rng))


def _one_of(*values: str) -> Maker:
    return lambda rng: rng.choice(values)


ANYWHERE: dict[str, Maker] = {
    "tun_id": _masked(64), "metadata": _masked(64), "pkt_mark": _masked(32),
    "ct_mark": _masked(32), "ct_zone": _number(16), "ct_label": _masked(128),
    "ct_state": _one_of("+trk", "+trk+est-inv", "-trk", "+new-est+rel-rpl+inv+trk-snat+dnat",
                        "trk", "new|trk", "0x21", "0x21/0x23", "0/0x20", "0"),
    "tun_src": _ip4, "tun_dst": _ip4, "tun_ipv6_src": _ip6, "tun_gbp_id": _masked(16),
    "tun_flags": _one_of("oam", "+oam", "-oam", "0", "1"),
    "in_port": _one_of("1", "LOCAL", "65279", "controller", "4294967294", "ANY"),
    "dl_src": _mac, "dl_dst": _mac, "eth_src": _mac,
    "dl_vlan": _one_of("5", "0", "4095", "0xffff"), "dl_vlan_pcp": _one_of("0", "3", "7"),
    "vlan_tci": _masked(16), "vlan_pcp": _one_of("3"),
    "vlan_vid": _one_of("0x1005", "0x1000/0x1000", "0", "0x1fff", "0x1003/0x1007"),
    "reg0": _masked(32), "reg15": _masked(32), "xreg1": _masked(64), "xxreg2": _masked(128),
    "reg3[4..7]": _number(4), "conj_id": _number(32), "dp_hash": _masked(32),
    "actset_output": _one_of("1", "LOCAL", "3"),
}  # fmt: skip
IP: dict[str, Maker] = {
    "nw_tos": _number(8), "ip_dscp": _number(6), "nw_ecn": _number(2), "nw_ttl": _number(8),
    "nw_frag": _one_of("no", "yes", "first", "later", "not_later", "NO"),
}  # fmt: skip
IPV4: dict[str, Maker] = {**IP, "nw_src": _ip4, "nw_dst": _ip4, "ip_src": _ip4}
IPV6: dict[str, Maker] = {**IP, "ipv6_src": _ip6, "ipv6_dst": _ip6, "ipv6_label": _masked(20)}
PORTS: dict[str, Maker] = {"tp_src": _masked(16), "tp_dst": _masked(16)}

KINDS: dict[str, dict[str, Maker]] = {
    "": {}, "eth": {}, "dl_type=0x1234": {}, "dl_type=0x800": IPV4, "ip4": IPV4, "ip6": IPV6,
    "ip": {**IPV4, "nw_proto": _number(8)}, "ipv6": {**IPV6, "nw_proto": _number(8)},
    "tcp": {**IPV4, **PORTS, "tcp_flags": _one_of(
        "+syn-ack", "syn|ack", "0x12/0x3f", "0", "0xfff", "+ns+[200]", "0x800", "[400]")},
    "udp": {**IPV4, "udp_src": _masked(16), "udp_dst": _masked(16)},
    "sctp": {**IPV4, "sctp_dst": _masked(16)},
    "icmp": {**IPV4, "icmp_type": _number(8), "icmp_code": _number(8)},
    "tcp6": {**IPV6, **PORTS}, "udp6": {**IPV6, **PORTS}, "sctp6": {**IPV6, **PORTS},
    "icmp6": {**IPV6, "icmp_type": _number(8), "icmpv6_type": _one_of("128", "135", "136")},
    "icmp6,icmpv6_type=135,icmpv6_code=0": {
        **IPV6, "nd_target": _ip6, "nd_sll": _mac, "nd_reserved": _number(32)},
    "icmp6,icmpv6_type=136,icmpv6_code=0": {"nd_target": _ip6, "nd_tll": _mac},
    "arp": {"arp_op": _number(8), "arp_spa": _ip4, "arp_tpa": _ip4, "arp_sha": _mac,
            "arp_tha": _mac, "nw_src": _ip4},
    "rarp": {"arp_op": _one_of("3"), "arp_sha": _mac},
    "mpls": {"mpls_label": _number(20), "mpls_tc": _number(3), "mpls_bos": _number(1),
             "mpls_ttl": _number(8)},
    "mplsm": {"mpls_label": _number(20)},
    "dl_type=0x894f": {
        "nsh_flags": _masked(8), "nsh_ttl": _number(6), "nsh_mdtype": _one_of("1", "2"),
        "nsh_np": _number(8), "nsh_spi": _number(24), "nsh_si": _number(8),
        "nsh_c1": _masked(32), "nsh_c4": _masked(32)},
}  # fmt: skip


def random_match(rng: random.Random) -> str:
    """The text of a match; about one in twelve has fields without their prerequisites."""
    kind = rng.choice(list(KINDS))
    words = [kind] if kind else []
    makers = dict(KINDS[kind])
    if rng.random() < 0.08:
        makers |= rng.choice((PORTS, IPV4, IPV6, IP))
    for name in rng.sample(list(ANYWHERE), rng.randrange(4)):
        words.append(f"{name}={ANYWHERE[name](rng)}")
    for name in rng.sample(list(makers), min(len(makers), rng.randrange(4))):
        words.append(f"{name}={makers[name](rng)}")
    return ",".join(words)
