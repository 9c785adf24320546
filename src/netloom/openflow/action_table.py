"""Numbers of actions and instructions: one table, versions as columns.

Columns are OpenFlow 1.0 to 1.5: a plain number is a standard action type, `n` before it a subtype
of Nicira's experimenter actions, `o` of the ONF's; `-` is "not in this version"; `=` "as before";
the last column holds for all that follow. `3+` stays readable in later versions although those
write something else; `n46!` is written but not read. The actions for debugging, which Open vSwitch
reads with --enable-dummy only, are always read. Numbers: OpenFlow 1.0-1.5, ovs-actions(7).

The second table gives the layout of actions that are nothing but numbers: the class, its
attributes, and the struct after the action's header (4 bytes, or 10 for experimenter actions).
"""

from __future__ import annotations

from netloom.openflow import actions as a
from netloom.openflow.messages import NX_VENDOR_ID, ONF_VENDOR_ID

_NUMBERS = """
OUTPUT            0
GROUP             n40 22
SET_VLAN_VID      1 1+ -
SET_VLAN_PCP      2 2+ -
STRIP_VLAN        3 18
PUSH_VLAN         - 17
SET_DL_SRC        4 3+ -
SET_DL_DST        5 4+ -
SET_NW_SRC        6 5+ -
SET_NW_DST        7 6+ -
SET_NW_TOS        8 7+ -
SET_NW_ECN        - 8+ -
SET_TP_SRC        9 9+ -
SET_TP_DST        10 10+ -
SET_MPLS_LABEL    n30 13+ -
SET_MPLS_TC       n31 14+ -
SET_MPLS_TTL      n25 15
DEC_MPLS_TTL      n26 16
PUSH_MPLS         n23 19
POP_MPLS          n24 20
ENQUEUE           11 -
SET_QUEUE         n4 21
SET_NW_TTL        - 23
DEC_NW_TTL        n18 24
SET_FIELD         - = 25
COPY_FIELD        - = = o3200 = 28
METER             - = = = = 29
RESUBMIT          n1
SET_TUNNEL        n2
POP_QUEUE         n5
REG_MOVE          n6 = = = = -
REG_LOAD          n7 = = = = -
NOTE              n8
SET_TUNNEL64      n9
RESUBMIT_TABLE    n14
OUTPUT_REG        n15
EXIT              n17
CONTROLLER        n20
DEC_TTL_CNT_IDS   n21
WRITE_METADATA    n22
STACK_PUSH        n27
STACK_POP         n28
OUTPUT_REG2       n32
REG_LOAD2         n33 = = = = -
CONJUNCTION       n34
CONTROLLER2       n37
OUTPUT_TRUNC      n39
CLONE             n42
RESUBMIT_TABLE_CT n44
MULTIPATH         n10
BUNDLE            n12
BUNDLE_LOAD       n13
LEARN             n16
FIN_TIMEOUT       n19
SAMPLE            n29
CT                n35
NAT               n36
SAMPLE2           n38
SAMPLE3           n41
CT_CLEAR          n43
LEARN2            n45
ENCAP             n46! = = n46
DECAP             n47! = = n47
DEC_NSH_TTL       n48! = = n48
CHECK_PKT_LARGER  n49
DELETE_FIELD      n50
SAMPLE4           n51
DEBUG_SLOW        n254
DEBUG_RECIRC      n255
"""

#: Actions of numbers only: name, class, attributes, struct after the header. Where the versions
#: differ in layout, code in `action_decode` and `action_encode` does it.
_LAYOUTS = """
GROUP          Group          group_id    I
SET_VLAN_VID   SetVlanVid     vid         H2x
SET_VLAN_PCP   SetVlanPcp     pcp         B3x
PUSH_VLAN      PushVlan       ethertype   H2x
SET_MPLS_LABEL SetMplsLabel   label       I
SET_MPLS_TC    SetMplsTc      tc          B3x
SET_MPLS_TTL   SetMplsTtl     ttl         B3x
DEC_MPLS_TTL   DecMplsTtl     -           4x
PUSH_MPLS      PushMpls       ethertype   H2x
POP_MPLS       PopMpls        ethertype   H2x
SET_QUEUE      SetQueue       queue       I
DEC_NW_TTL     DecTtl         -           4x
METER          Meter          meter_id    I
POP_QUEUE      PopQueue       -           6x
EXIT           Exit           -           6x
CT_CLEAR       CtClear        -           6x
DEC_NSH_TTL    DecNshTtl      -           6x
FIN_TIMEOUT    FinTimeout     idle_timeout,hard_timeout HH2x
DECAP          Decap          packet_type I
DEBUG_SLOW     DebugSlow      -           6x
DEBUG_RECIRC   DebugRecirc    -           6x
"""

#: Actions of 1.0 and 1.1 that set one field: name -> field, struct after the header.
SET_ONE = {
    "SET_DL_SRC": ("eth_src", "6s6x"),
    "SET_DL_DST": ("eth_dst", "6s6x"),
    "SET_NW_SRC": ("ip_src", "I"),
    "SET_NW_DST": ("ip_dst", "I"),
    "SET_NW_TOS": ("nw_tos", "B3x"),
    "SET_NW_ECN": ("nw_ecn", "B3x"),
    "SET_NW_TTL": ("nw_ttl", "B3x"),
    "SET_TP_SRC": ("tcp_src", "H2x"),
    "SET_TP_DST": ("tcp_dst", "H2x"),
}
#: Field -> the action of SET_ONE that sets it.
SET_ONE_BY_FIELD = {
    "eth_src": "SET_DL_SRC", "eth_dst": "SET_DL_DST", "ip_src": "SET_NW_SRC",
    "ip_dst": "SET_NW_DST", "nw_tos": "SET_NW_TOS", "nw_ecn": "SET_NW_ECN",
    "nw_ttl": "SET_NW_TTL", "tcp_src": "SET_TP_SRC", "tcp_dst": "SET_TP_DST",
    "udp_src": "SET_TP_SRC", "udp_dst": "SET_TP_DST",
    "sctp_src": "SET_TP_SRC", "sctp_dst": "SET_TP_DST",
}  # fmt: skip

OFPAT_EXPERIMENTER = 0xFFFF

OFPIT_GOTO_TABLE = 1
OFPIT_WRITE_METADATA = 2
OFPIT_WRITE_ACTIONS = 3
OFPIT_APPLY_ACTIONS = 4
OFPIT_CLEAR_ACTIONS = 5
OFPIT_METER = 6

_VENDORS = {"n": NX_VENDOR_ID, "o": ONF_VENDOR_ID}
#: (vendor, type) of an action.
Number = tuple[int, int]


def _read_numbers() -> tuple[dict[str, tuple[Number | None, ...]], dict[tuple[int, int, int], str]]:
    write: dict[str, tuple[Number | None, ...]] = {}
    read: dict[tuple[int, int, int], str] = {}
    for row in _NUMBERS.strip().split("\n"):
        name, *columns = row.split()
        numbers: list[Number | None] = []
        kept: Number | None = None
        unread = False
        columns += ["="] * (6 - len(columns))
        for version, text in enumerate(columns, 1):
            if text == "=":
                number = numbers[-1]
            elif text == "-":
                number = None
            else:
                number = _VENDORS.get(text[0], 0), int(text.strip("no+!"))
                unread = text.endswith("!")
                if text.endswith("+"):
                    kept = number
            numbers.append(number)
            for readable in (number, kept):
                if readable is not None and not unread:
                    read[version, *readable] = name
        write[name] = tuple(numbers)
    return write, read


#: NUMBERS[name][version - 1] is what to write; NAMES[version, vendor, type] what was read.
NUMBERS, NAMES = _read_numbers()

Layout = tuple[type[a.Action], tuple[str, ...], str]


def _read_layouts() -> dict[str, Layout]:
    table: dict[str, Layout] = {}
    for row in _LAYOUTS.strip().split("\n"):
        name, kind, attributes, layout = row.split()
        names = () if attributes == "-" else tuple(attributes.split(","))
        table[name] = (getattr(a, kind), names, ">" + layout)
    return table


LAYOUTS: dict[str, Layout] = _read_layouts()
#: Class -> its row of LAYOUTS.
LAYOUT_OF: dict[type[a.Action], str] = {row[0]: name for name, row in LAYOUTS.items()}
