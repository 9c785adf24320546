"""The field table: every field that a flow can match or set, and where it lies in a flow key.

A flow key is one Python integer. Its bytes, most significant first (`key.to_bytes(KEY_BYTES,
"big")`), are the C struct that the kernel programs use, every member in network byte order. So
the value of a field is `key >> shift & ones`, a number that needs no byte swap; a CIDR prefix is
the upper bits of its field; a mask is an integer of the same layout; `key & mask` is one
operation. Python's cost of hashing and comparing follows the highest bit that is set, hence the
members that nearly every flow matches lie at the low end and the rare, long ones at the top.

Three tables, written once; codecs, text syntax, classifier, data-path keys, the C header and the
documentation are derived from them:

* `SLOTS`: the members of the struct, top to bottom, with the stage of the classifier's lookup
  that each belongs to (0 metadata, 1 Ethernet, 2 network, 3 transport).
* `FIELDS`: the match fields of ovs-fields(7), each a view of bits of one slot. Several fields may
  view the same bits (ARP's addresses are IPv4's, ICMP's type is a source port): prerequisites
  tell them apart, as `eth_type` and `nw_proto` are part of the key.
* `PREREQUISITES`: what a flow must match for a field to mean anything.

The TLV options of tunnels (`tun_metadata0` to 63) stand above the key (TUN_PRESENT_SHIFT): they
exist in matches and in translation only. A bridge's TLV table says which bytes of the slot
`tun_opts`, which data paths know, they are.

Numbers: OpenFlow 1.0-1.5, and ovs-fields(7) for the extensions.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_SLOTS: Final = """
tun_opts 256 0
tun_opt_present 8 0
tun_ipv6_src 16 0
tun_ipv6_dst 16 0
tun_id 8 0
tun_src 4 0
tun_dst 4 0
tun_flags 2 0
tun_tp_src 2 0
tun_tp_dst 2 0
tun_tos 1 0
tun_ttl 1 0
tun_gbp_id 2 0
tun_gbp_flags 1 0
tun_erspan_ver 1 0
tun_erspan_idx 4 0
tun_erspan_dir 1 0
tun_erspan_hwid 1 0
tun_gtpu_flags 1 0
tun_gtpu_msgtype 1 0
pad_tunnel 4 0
nsh_flags 1 3
nsh_ttl 1 3
nsh_mdtype 1 3
nsh_np 1 3
nsh_path 4 3
nsh_c1 4 3
nsh_c2 4 3
nsh_c3 4 3
nsh_c4 4 3
ct_ipv6_src 16 2
ct_ipv6_dst 16 2
ct_label 16 0
nd_target 16 3
arp_sha 6 3
pad_arp_sha 2 3
arp_tha 6 3
pad_arp_tha 2 3
mpls_lse0 4 1
mpls_lse1 4 1
mpls_lse2 4 1
mpls_lse3 4 1
ipv6_src 16 2
ipv6_dst 16 2
ct_nw_src 4 2
ct_nw_dst 4 2
ct_tp_src 2 3
ct_tp_dst 2 3
ct_nw_proto 1 0
pad_ct 3 0
@REGS@
metadata 8 0
skb_priority 4 0
dp_hash 4 0
actset_output 4 0
conj_id 4 0
pkt_mark 4 0
packet_type 4 0
ct_mark 4 0
ct_state 4 0
ct_zone 2 0
pad_zone 2 0
ipv6_label 4 2
igmp_group 4 3
pad_igmp 4 3
tcp_flags 2 3
pad_flags 2 3
nw_ttl 1 2
nw_frag 1 2
nw_tos 1 2
nw_proto 1 2
tp_src 2 3
tp_dst 2 3
pad_tp 4 3
nw_src 4 2
nw_dst 4 2
vlan1_tpid 2 1
vlan1_tci 2 1
vlan_tpid 2 1
vlan_tci 2 1
dl_src 6 1
pad_src 2 1
dl_dst 6 1
dl_type 2 1
recirc_id 4 0
in_port 4 0
"""

#: name/alias, slot[:low bit:bits], bytes on the wire, text form, M(askable) W(ritable),
#: prerequisite, support in OpenFlow 1.0 and 1.1 (e exact, c CIDR, m any mask), code points.
_FIELDS: Final = """
dp_hash           dp_hash          4  hex         M- -      -- NXM_NX_DP_HASH=35 NXOXM_ET_DP_HASH=0
recirc_id         recirc_id        4  decimal     -- -      -- NXM_NX_RECIRC_ID=36
conj_id           conj_id          4  decimal     -- -      -- NXM_NX_CONJ_ID=37
tun_id/tunnel_id  tun_id           8  hex         MW -      -- OXM_OF_TUNNEL_ID=38@1.3 NXM_NX_TUN_ID=16
tun_src           tun_src          4  ipv4        MW -      -- NXM_NX_TUN_IPV4_SRC=31
tun_dst           tun_dst          4  ipv4        MW -      -- NXM_NX_TUN_IPV4_DST=32
tun_ipv6_src      tun_ipv6_src     16 ipv6        MW -      -- NXM_NX_TUN_IPV6_SRC=109
tun_ipv6_dst      tun_ipv6_dst     16 ipv6        MW -      -- NXM_NX_TUN_IPV6_DST=110
tun_gbp_id        tun_gbp_id       2  decimal     MW -      -- NXM_NX_TUN_GBP_ID=38
tun_gbp_flags     tun_gbp_flags    1  hex         MW -      -- NXM_NX_TUN_GBP_FLAGS=39
tun_erspan_ver    tun_erspan_ver   1  decimal     MW -      -- NXOXM_ET_ERSPAN_VER=12
tun_erspan_idx    tun_erspan_idx   4  hex         MW -      -- NXOXM_ET_ERSPAN_IDX=11
tun_erspan_dir    tun_erspan_dir   1  decimal     MW -      -- NXOXM_ET_ERSPAN_DIR=13
tun_erspan_hwid   tun_erspan_hwid  1  hex         MW -      -- NXOXM_ET_ERSPAN_HWID=14
tun_gtpu_flags    tun_gtpu_flags   1  hex         M- -      -- NXOXM_ET_GTPU_FLAGS=15
tun_gtpu_msgtype  tun_gtpu_msgtype 1  decimal     M- -      -- NXOXM_ET_GTPU_MSGTYPE=16
tun_flags         tun_flags        2  tun_flags   MW -      -- NXM_NX_TUN_FLAGS=104
tun_ttl           tun_ttl          1  decimal     -- -      --
tun_tos           tun_tos          1  decimal     -- -      --
in_port           in_port          2  port10      -W -      ee NXM_OF_IN_PORT=0
in_port_oxm       in_port          4  port        -W -      -e OXM_OF_IN_PORT=0@1.2
skb_priority      skb_priority     4  hex         -- -      --
pkt_mark          pkt_mark         4  hex         MW -      -- NXM_NX_PKT_MARK=33
actset_output     actset_output    4  port        -- -      -- ONFOXM_ET_ACTSET_OUTPUT=43@1.3 OXM_OF_ACTSET_OUTPUT=43@1.5
packet_type       packet_type      4  packet_type -- -      -- OXM_OF_PACKET_TYPE=44@1.5
ct_state          ct_state         4  ct_state    M- -      -- NXM_NX_CT_STATE=105
ct_zone           ct_zone          2  hex         -- -      -- NXM_NX_CT_ZONE=106
ct_mark           ct_mark          4  hex         MW -      -- NXM_NX_CT_MARK=107
ct_label          ct_label         16 hex         MW -      -- NXM_NX_CT_LABEL=108
ct_nw_src         ct_nw_src        4  ipv4        M- ct     -- NXM_NX_CT_NW_SRC=120
ct_nw_dst         ct_nw_dst        4  ipv4        M- ct     -- NXM_NX_CT_NW_DST=121
ct_ipv6_src       ct_ipv6_src      16 ipv6        M- ct     -- NXM_NX_CT_IPV6_SRC=122
ct_ipv6_dst       ct_ipv6_dst      16 ipv6        M- ct     -- NXM_NX_CT_IPV6_DST=123
ct_nw_proto       ct_nw_proto      1  decimal     -- ct     -- NXM_NX_CT_NW_PROTO=119
ct_tp_src         ct_tp_src        2  decimal     M- ct     -- NXM_NX_CT_TP_SRC=124
ct_tp_dst         ct_tp_dst        2  decimal     M- ct     -- NXM_NX_CT_TP_DST=125
metadata          metadata         8  hex         MW -      -m OXM_OF_METADATA=2@1.2
eth_src/dl_src    dl_src           6  ethernet    MW eth    em OXM_OF_ETH_SRC=4@1.2 NXM_OF_ETH_SRC=2
eth_dst/dl_dst    dl_dst           6  ethernet    MW eth    em OXM_OF_ETH_DST=3@1.2 NXM_OF_ETH_DST=1
eth_type/dl_type  dl_type          2  hex         -- eth    ee OXM_OF_ETH_TYPE=5@1.2 NXM_OF_ETH_TYPE=3
vlan_vid          vlan_tci:0:13    2  decimal     MW eth    ee OXM_OF_VLAN_VID=6@1.2
vlan_pcp          vlan_tci:13:3    1  decimal     -W vlan   ee OXM_OF_VLAN_PCP=7@1.2
vlan_tci          vlan_tci         2  hex         MW eth    ee NXM_OF_VLAN_TCI=4
dl_vlan           vlan_tci:0:12    2  decimal     -W eth    ee
dl_vlan_pcp       vlan_tci:13:3    1  decimal     -W eth    ee
mpls_label        mpls_lse0:12:20  4  decimal     -W mpls   -e OXM_OF_MPLS_LABEL=34@1.2
mpls_tc           mpls_lse0:9:3    1  decimal     -W mpls   -e OXM_OF_MPLS_TC=35@1.2
mpls_bos          mpls_lse0:8:1    1  decimal     -- mpls   -- OXM_OF_MPLS_BOS=36@1.3
mpls_ttl          mpls_lse0:0:8    1  decimal     -W mpls   -- NXM_NX_MPLS_TTL=30
ip_src/nw_src     nw_src           4  ipv4        MW ipv4   cm OXM_OF_IPV4_SRC=11@1.2 NXM_OF_IP_SRC=7
ip_dst/nw_dst     nw_dst           4  ipv4        MW ipv4   cm OXM_OF_IPV4_DST=12@1.2 NXM_OF_IP_DST=8
ipv6_src          ipv6_src         16 ipv6        MW ipv6   -- OXM_OF_IPV6_SRC=26@1.2 NXM_NX_IPV6_SRC=19
ipv6_dst          ipv6_dst         16 ipv6        MW ipv6   -- OXM_OF_IPV6_DST=27@1.2 NXM_NX_IPV6_DST=20
ipv6_label        ipv6_label       4  hex         MW ipv6   -- OXM_OF_IPV6_FLABEL=28@1.2 NXM_NX_IPV6_LABEL=27
nw_proto/ip_proto nw_proto         1  decimal     -- ip     ee OXM_OF_IP_PROTO=10@1.2 NXM_OF_IP_PROTO=6
nw_ttl            nw_ttl           1  decimal     -W ip     -- NXM_NX_IP_TTL=29
ip_frag/nw_frag   nw_frag          1  frag        M- ip     -- NXM_NX_IP_FRAG=26
nw_tos            nw_tos           1  decimal     -W ip     ee NXM_OF_IP_TOS=5
ip_dscp           nw_tos:2:6       1  decimal     -W ip     ee OXM_OF_IP_DSCP=8@1.2
nw_ecn/ip_ecn     nw_tos:0:2       1  decimal     -W ip     -e OXM_OF_IP_ECN=9@1.2 NXM_NX_IP_ECN=28
arp_op            nw_proto         2  decimal     -W arp    ee OXM_OF_ARP_OP=21@1.2 NXM_OF_ARP_OP=15
arp_spa           nw_src           4  ipv4        MW arp    cm OXM_OF_ARP_SPA=22@1.2 NXM_OF_ARP_SPA=16
arp_tpa           nw_dst           4  ipv4        MW arp    cm OXM_OF_ARP_TPA=23@1.2 NXM_OF_ARP_TPA=17
arp_sha           arp_sha          6  ethernet    MW arp    -- OXM_OF_ARP_SHA=24@1.2 NXM_NX_ARP_SHA=17
arp_tha           arp_tha          6  ethernet    MW arp    -- OXM_OF_ARP_THA=25@1.2 NXM_NX_ARP_THA=18
nsh_flags         nsh_flags        1  decimal     MW nsh    -- NXOXM_NSH_FLAGS=1
nsh_ttl           nsh_ttl          1  decimal     -W nsh    -- NXOXM_NSH_TTL=10
nsh_mdtype        nsh_mdtype       1  decimal     -- nsh    -- NXOXM_NSH_MDTYPE=2
nsh_np            nsh_np           1  decimal     -- nsh    -- NXOXM_NSH_NP=3
nsh_spi/nsp       nsh_path:8:24    4  hex         -W nsh    -- NXOXM_NSH_SPI=4
nsh_si/nsi        nsh_path:0:8     1  decimal     -W nsh    -- NXOXM_NSH_SI=5
nsh_c1/nshc1      nsh_c1           4  hex         MW nsh    -- NXOXM_NSH_C1=6
nsh_c2/nshc2      nsh_c2           4  hex         MW nsh    -- NXOXM_NSH_C2=7
nsh_c3/nshc3      nsh_c3           4  hex         MW nsh    -- NXOXM_NSH_C3=8
nsh_c4/nshc4      nsh_c4           4  hex         MW nsh    -- NXOXM_NSH_C4=9
tcp_src/tp_src    tp_src           2  decimal     MW tcp    ee OXM_OF_TCP_SRC=13@1.2 NXM_OF_TCP_SRC=9
tcp_dst/tp_dst    tp_dst           2  decimal     MW tcp    ee OXM_OF_TCP_DST=14@1.2 NXM_OF_TCP_DST=10
tcp_flags         tcp_flags        2  tcp_flags   M- tcp    -- ONFOXM_ET_TCP_FLAGS=42@1.3 OXM_OF_TCP_FLAGS=42@1.5 NXM_NX_TCP_FLAGS=34
udp_src           tp_src           2  decimal     MW udp    ee OXM_OF_UDP_SRC=15@1.2 NXM_OF_UDP_SRC=11
udp_dst           tp_dst           2  decimal     MW udp    ee OXM_OF_UDP_DST=16@1.2 NXM_OF_UDP_DST=12
sctp_src          tp_src           2  decimal     MW sctp   -e OXM_OF_SCTP_SRC=17@1.2
sctp_dst          tp_dst           2  decimal     MW sctp   -e OXM_OF_SCTP_DST=18@1.2
icmp_type         tp_src           1  decimal     -W icmp   ee OXM_OF_ICMPV4_TYPE=19@1.2 NXM_OF_ICMP_TYPE=13
icmp_code         tp_dst           1  decimal     -W icmp   ee OXM_OF_ICMPV4_CODE=20@1.2 NXM_OF_ICMP_CODE=14
icmpv6_type       tp_src           1  decimal     -W icmp6  -- OXM_OF_ICMPV6_TYPE=29@1.2 NXM_NX_ICMPV6_TYPE=21
icmpv6_code       tp_dst           1  decimal     -W icmp6  -- OXM_OF_ICMPV6_CODE=30@1.2 NXM_NX_ICMPV6_CODE=22
nd_target         nd_target        16 ipv6        MW nd     -- OXM_OF_IPV6_ND_TARGET=31@1.2 NXM_NX_ND_TARGET=23
nd_sll            arp_sha          6  ethernet    MW nd_sol -- OXM_OF_IPV6_ND_SLL=32@1.2 NXM_NX_ND_SLL=24
nd_tll            arp_tha          6  ethernet    MW nd_adv -- OXM_OF_IPV6_ND_TLL=33@1.2 NXM_NX_ND_TLL=25
nd_reserved       igmp_group       4  decimal     -W nd     -- ERICOXM_OF_ICMPV6_ND_RESERVED=1
nd_options_type   tcp_flags        1  decimal     -W nd     -- ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE=2
"""  # noqa: E501

N_REGS: Final = 32
# Not final: mypyc would work out `TUN_OPTIONS_MASK`, and breaks at numbers of its size.
N_TUN_METADATA = 64
#: Bytes that all mapped TLV options of a switch share in a key.
TUN_OPTS_BYTES: Final = 256

#: Present in `vlan_tci` of every packet that has a tag; on the wire the bit is CFI (or DEI).
VLAN_CFI: Final = 0x1000

#: NXM and OXM code points: prefix of the name -> (class, experimenter id or 0).
CLASSES: Final = {
    "NXM_OF_": (0x0000, 0),
    "NXM_NX_": (0x0001, 0),
    "ERICOXM_OF_": (0x1000, 0),
    "OXM_OF_PKT_REG": (0x8001, 0),
    "OXM_OF_": (0x8000, 0),
    "NXOXM_ET_": (0xFFFF, 0x00002320),
    "NXOXM_NSH_": (0xFFFF, 0x005AD650),
    "ONFOXM_ET_": (0xFFFF, 0x4F4E4600),
}

#: Prerequisite -> alternatives; an alternative is a tuple of (slot, value, mask) that must match.
#: A transport header exists only in packets that are not later fragments: for those names the
#: match must not demand nw_frag=later (`TRANSPORT`); Open vSwitch does not ask that of ICMP.
_IP: Final = ((("dl_type", 0x0800, 0xFFFF),), (("dl_type", 0x86DD, 0xFFFF),))
_Alternative = tuple[tuple[str, int, int], ...]


def _over_ip(proto: int) -> tuple[_Alternative, ...]:
    return tuple((*alternative, ("nw_proto", proto, 0xFF)) for alternative in _IP)


_ICMP6: _Alternative = (("dl_type", 0x86DD, 0xFFFF), ("nw_proto", 58, 0xFF))
_ND_SOLICIT: _Alternative = (*_ICMP6, ("tp_src", 135, 0xFFFF), ("tp_dst", 0, 0xFFFF))
_ND_ADVERT: _Alternative = (*_ICMP6, ("tp_src", 136, 0xFFFF), ("tp_dst", 0, 0xFFFF))

PREREQUISITES: dict[str, tuple[_Alternative, ...]] = {
    "-": (),
    "eth": ((("packet_type", 0, 0xFFFFFFFF),),),
    "vlan": ((("packet_type", 0, 0xFFFFFFFF), ("vlan_tci", VLAN_CFI, VLAN_CFI)),),
    "mpls": ((("dl_type", 0x8847, 0xFFFF),), (("dl_type", 0x8848, 0xFFFF),)),
    "ipv4": ((("dl_type", 0x0800, 0xFFFF),),),
    "ipv6": ((("dl_type", 0x86DD, 0xFFFF),),),
    "ip": _IP,
    "arp": ((("dl_type", 0x0806, 0xFFFF),), (("dl_type", 0x8035, 0xFFFF),)),
    "nsh": ((("dl_type", 0x894F, 0xFFFF),),),
    "tcp": _over_ip(6),
    "udp": _over_ip(17),
    "sctp": _over_ip(132),
    "icmp": ((("dl_type", 0x0800, 0xFFFF), ("nw_proto", 1, 0xFF)),),
    "icmp6": (_ICMP6,),
    "nd": (_ND_SOLICIT, _ND_ADVERT),
    "nd_sol": (_ND_SOLICIT,),
    "nd_adv": (_ND_ADVERT,),
    # New, established, related, reply, snat or dnat; `prerequisites.ct_entry_matched` knows more.
    "ct": tuple(((("ct_state", 1 << bit, 1 << bit),)) for bit in (0, 1, 2, 3, 6, 7)),
}
TRANSPORT: Final = frozenset({"tcp", "udp", "sctp"})


class Slot:
    """A member of the key: `bits` wide, its least significant bit at bit `shift` of the key."""

    __slots__ = ("bits", "mask", "n_bytes", "name", "ones", "shift", "stage")

    def __init__(self, name: str, n_bytes: int, shift: int, stage: int) -> None:
        self.name = name
        self.n_bytes = n_bytes
        self.bits = 8 * n_bytes
        self.shift = shift
        self.ones = (1 << self.bits) - 1
        #: All bits of the slot, in place.
        self.mask = self.ones << shift
        #: Stage of the staged lookup: 0 metadata, 1 Ethernet, 2 network, 3 transport.
        self.stage = stage

    def get(self, key: int) -> int:
        return key >> self.shift & self.ones

    def put(self, key: int, value: int) -> int:
        """`key` with this slot set to `value`."""
        return key & ~self.mask | value << self.shift

    def __repr__(self) -> str:
        return f"<slot {self.name}>"


def _class_of(name: str) -> tuple[int, int]:
    """What `CLASSES` says of the longest prefix of the name of a code point."""
    if name.startswith("OXM_OF_PKT_REG"):
        return CLASSES["OXM_OF_PKT_REG"]
    return CLASSES[name[: name.index("_", name.index("_") + 1) + 1]]


class CodePoint:
    """One NXM or OXM number of a field; `version` is 0x01.. (OpenFlow wire version) or 0 for NXM.

    `header(hasmask)` is the 32-bit TLV header of ovs-fields(7); an experimenter field (`vendor`
    nonzero) is followed by the 32-bit experimenter id, which its length counts."""

    __slots__ = ("klass", "n_bytes", "name", "number", "vendor", "version")

    def __init__(self, name: str, number: int, n_bytes: int, version: int) -> None:
        self.name = name
        self.klass, self.vendor = _class_of(name)
        self.number = number
        self.n_bytes = n_bytes
        self.version = version

    def header(self, hasmask: bool = False) -> int:
        length = self.n_bytes * (2 if hasmask else 1) + (4 if self.vendor else 0)
        return self.klass << 16 | self.number << 9 | hasmask << 8 | length

    def __repr__(self) -> str:
        return f"<{self.name} {self.klass:#06x}:{self.number}>"


class Field:
    """A match field: a named view of `bits` bits of `slot`, `shift` bits up the key.

    `value = key >> field.shift & field.ones` (nw_tos's `ones` lack the two low bits, which are
    ECN's). `n_bytes` is its length on the wire; `limit` is the largest value that it may have (an
    ICMP type lies in the 16 bits of a port). `form` is the text form (decimal, hex, ipv4, ipv6,
    ethernet, frag, port, port10, tcp_flags, ct_state, tun_flags, packet_type). `of10` and `of11`
    say what the fixed-length matches of these versions can express: "" nothing, "e" exact, "c" CIDR
    masks, "m" any mask. `implied` are key bits that a match on the field also demands (the CFI bit
    of `dl_vlan` and its like): match them with value 1. A `dynamic` field has no place until a TLV
    table maps it.
    """

    __slots__ = (
        "alias", "bits", "codes", "form", "id", "implied", "limit", "mask", "maskable", "n_bytes",
        "name", "of10", "of11", "ones", "prerequisite", "shift", "slot", "writable",
    )  # fmt: skip

    def __init__(self, row: str, number: int) -> None:
        names, place, n_bytes, self.form, flags, self.prerequisite, old, *codes = row.split()
        self.name, _, self.alias = names.partition("/")
        slot_name, *view = place.split(":")
        low, bits = (int(view[0]), int(view[1])) if view else (0, 0)
        self.slot = SLOT[slot_name]
        self.id = number
        self.n_bytes = int(n_bytes)
        wide = self.n_bytes > self.slot.n_bytes and self.name.startswith("x")
        self.bits = bits or (8 * self.n_bytes if wide else self.slot.bits)
        if self.slot.name == "tun_opts":
            self.bits = 8 * self.n_bytes
            number = int(self.name.removeprefix("tun_metadata"))
            shift = TUN_PRESENT_SHIFT + N_TUN_METADATA + number * self.bits
            self.slot = Slot(self.name, self.n_bytes, shift, 0)
        self.bits = min(self.bits, _NARROW.get(self.name, self.bits))
        self.shift = self.slot.shift + low
        self.ones = (1 << self.bits) - 1 & ~_UNUSED.get(self.name, 0)
        self.limit = min(self.ones, (1 << 8 * self.n_bytes) - 1)
        #: All bits of the field, in place in a key.
        self.mask: int = self.ones << self.shift
        self.maskable = flags[0] == "M"
        self.writable = flags[1] == "W"
        self.of10 = old[0].strip("-")
        self.of11 = old[1].strip("-")
        self.implied = VLAN_CFI << SLOT["vlan_tci"].shift if self.name in _IMPLY_CFI else 0
        self.codes: tuple[CodePoint, ...] = tuple(
            [_code_point(code, self.n_bytes) for code in codes]
        )

    @property
    def width(self) -> int:
        """Bits of the field as flows name them in `[a..b]`; `bits` is what a key has of it."""
        return _WIDTHS.get(self.name) or min(self.bits, 8 * self.n_bytes)

    @property
    def dynamic(self) -> bool:
        return self.slot.name.startswith("tun_metadata")

    def get(self, key: int) -> int:
        return key >> self.shift & self.ones

    def put(self, key: int, value: int) -> int:
        """`key` with this field set to `value` (which must fit)."""
        return key & ~self.mask | value << self.shift

    def __repr__(self) -> str:
        return f"<field {self.name}>"


#: Fields whose width in flow text is neither that of their place nor that of their bytes.
_WIDTHS: Final = {"arp_op": 16, "ct_state": 32, "vlan_vid": 12}
#: Fields that use fewer bits than their place offers.
_NARROW: Final = {
    "ct_state": 8,
    "ip_frag": 2,
    "tcp_flags": 12,
    "ipv6_label": 20,
    "tun_erspan_ver": 4,
    "tun_erspan_idx": 20,
    "tun_erspan_dir": 1,
    "tun_erspan_hwid": 6,
    "tun_flags": 1,
}
#: Low bits that belong to the field and to nothing that it means: nw_tos leaves ECN alone.
_UNUSED: Final = {"nw_tos": 0x3}
_IMPLY_CFI: Final = frozenset({"dl_vlan", "dl_vlan_pcp", "vlan_pcp"})


def _code_point(text: str, n_bytes: int) -> CodePoint:
    name, _, rest = text.partition("=")
    number, _, version = rest.partition("@")
    return CodePoint(name, int(number), n_bytes, int(version[2:]) + 1 if version else 0)


def _lay_out_slots() -> dict[str, Slot]:
    rows = [line.split() for line in _SLOTS.split("\n") if line]
    at = next(i for i, row in enumerate(rows) if row == ["@REGS@"])
    rows[at : at + 1] = [[f"reg{n}", "4", "0"] for n in range(N_REGS)]
    slots = {}
    shift = 0
    for name, n_bytes, stage in reversed(rows):
        slots[name] = Slot(name, int(n_bytes), shift, int(stage))
        shift += 8 * int(n_bytes)
    return slots


def _register_rows() -> list[str]:
    """reg0-31, and the wider registers: each starts at its last 32-bit register and covers those
    before it, the first being the most significant."""
    rows = [
        f"reg{n} reg{n} 4 hex MW - -- "
        + (f"NXM_NX_REG{n}={n}" if n < 16 else f"NXOXM_ET_REG{n}={n + 1}")
        for n in range(N_REGS)
    ]
    rows += [f"xreg{n} reg{2 * n + 1} 8 hex MW - -- OXM_OF_PKT_REG{n}={n}@1.3"
             for n in range(N_REGS // 2)]  # fmt: skip
    rows += [
        f"xxreg{n} reg{4 * n + 3} 16 hex MW - -- "
        + (f"NXM_NX_XXREG{n}={111 + n}" if n < 4 else f"NXOXM_ET_XXREG{n}={29 + n}")
        for n in range(N_REGS // 4)
    ]
    return rows


def _tun_metadata_rows() -> list[str]:
    return [f"tun_metadata{n} tun_opts 124 hex MW - -- NXM_NX_TUN_METADATA{n}={40 + n}"
            for n in range(N_TUN_METADATA)]  # fmt: skip


def _read_fields() -> tuple[Field, ...]:
    rows = [line for line in _FIELDS.split("\n") if line]
    at = next(i for i, row in enumerate(rows) if row.startswith("metadata "))
    rows[at + 1 : at + 1] = _register_rows()
    at = next(i for i, row in enumerate(rows) if row.startswith("tun_flags "))
    rows[at:at] = _tun_metadata_rows()
    return tuple(Field(row, number) for number, row in enumerate(rows))


SLOT: dict[str, Slot] = _lay_out_slots()
SLOTS: tuple[Slot, ...] = tuple(reversed(SLOT.values()))
KEY_BYTES: Final = sum(slot.n_bytes for slot in SLOTS)
KEY_MASK: Final = (1 << 8 * KEY_BYTES) - 1
#: Where tunnel options stand while a packet is translated: above the key, one bit for each that it
#: has, then their values. Keys and masks of data paths end below.
TUN_PRESENT_SHIFT: Final = 8 * KEY_BYTES

FIELDS: tuple[Field, ...] = _read_fields()
#: By name and by alias.
FIELD: dict[str, Field] = {name: field for field in FIELDS
                           for name in (field.name, field.alias) if name}  # fmt: skip

#: The fields of tunnel options, by number.
TUN_METADATA: tuple[Field, ...] = tuple(FIELD[f"tun_metadata{n}"] for n in range(N_TUN_METADATA))


#: By number and length: see `option_field`.
_OPTION_FIELDS: dict[tuple[int, int], Field] = {}


def option_field(number: int, n_bytes: int) -> Field:
    """The field of a tunnel option which is `n_bytes` long, by a switch's TLV table, where messages
    name it; always the same object."""
    found = _OPTION_FIELDS.get((number, n_bytes))
    if found is None:
        row, (code,) = _tun_metadata_rows()[number], TUN_METADATA[number].codes
        found = Field(row, TUN_METADATA[number].id)
        found.codes = (CodePoint(code.name, code.number, n_bytes, code.version),)
        _OPTION_FIELDS[number, n_bytes] = found
    return found


def option_present(field: Field) -> int:
    """The bit of a key that says that it has the option `field`."""
    return 1 << TUN_PRESENT_SHIFT + int(field.name.removeprefix("tun_metadata"))


def option_mask(value: int) -> int:
    """All bits of a tunnel option with `value`, as long as nothing tells how long it is."""
    return (1 << 32 * max(1, (value.bit_length() + 31) // 32)) - 1


#: (class, experimenter, number) of every code point -> (field, code point).
BY_CODE: dict[tuple[int, int, int], tuple[Field, CodePoint]] = {
    (code.klass, code.vendor, code.number): (field, code)
    for field in FIELDS
    for code in field.codes
}

#: Everything that stands above the key.
TUN_OPTIONS_MASK: Final = ((1 << N_TUN_METADATA * (1 + 8 * 124)) - 1) << TUN_PRESENT_SHIFT


def _stage_masks() -> tuple[int, ...]:
    masks = [TUN_OPTIONS_MASK, 0, 0, 0]
    for slot in SLOTS:
        masks[slot.stage] |= slot.mask
    for stage in (1, 2, 3):
        masks[stage] |= masks[stage - 1]
    return tuple(masks)


#: stage -> mask of all slots up to and including that stage.
STAGE_MASKS: tuple[int, ...] = _stage_masks()
