"""What a Neutron agent puts on br-int for a few ports: security groups by connection tracking.

Shape and number of the flows (tables, priorities, masks, conjunctions) are those of a real agent
with the openvswitch firewall; the addresses are of this benchmark.
"""

from __future__ import annotations

N_PORTS = 4
#: All ports are in the network with this local VLAN.
VLAN = 1
#: Members of the security group that a rule names.
MEMBERS = ("10.11.0.6", "10.11.0.11", "10.11.0.53", "10.12.0.167")
MEMBERS6 = ("fd00:12::31:d569", "fd00:12::fc:a8a7")
#: A range of ports, as the agent cuts it into masks.
PORT_MASKS = ("0x20/0xffe0", "0x18/0xfff8", "0x16/0xfffe", "0x40/0xfff0", "80")
ZONE = "zone=NXM_NX_REG6[0..15]"
MARK = f"ct(commit,{ZONE},exec(set_field:0x1->ct_mark))"

COMMON = """\
priority=65535,dl_vlan=4095 actions=drop
priority=0 actions=goto_table:58
table=23,priority=0 actions=drop
table=24,priority=0 actions=drop
table=30,priority=0 actions=goto_table:58
table=31,priority=0 actions=goto_table:58
table=58,priority=0 actions=goto_table:59
table=59,priority=0 actions=goto_table:60
table=60,priority=1 actions=NORMAL
table=62,priority=3 actions=NORMAL
table=71,priority=110,ct_state=+trk actions=ct_clear,resubmit(,71)
table=71,priority=0 actions=drop
table=72,priority=50,ct_state=+inv+trk actions=resubmit(,93)
table=72,priority=0 actions=drop
table=73,priority=0 actions=drop
table=81,priority=0 actions=drop
table=82,priority=50,ct_state=+inv+trk actions=resubmit(,93)
table=82,priority=0 actions=drop
table=91,priority=1 actions=resubmit(,94)
table=92,priority=0 actions=drop
table=93,priority=0 actions=drop
table=94,priority=1 actions=NORMAL
"""


def mac_of(port: int) -> str:
    return f"fa:16:3e:00:00:{port:02x}"


def address_of(port: int) -> str:
    return f"10.11.0.{port}"


def agent_flows() -> str:
    flows = COMMON.splitlines()
    for port in range(1, N_PORTS + 1):
        flows += _anti_spoofing(port) + _egress(port) + _ingress(port) + _group_rules(port)
    return "\n".join([*flows, *_members()]) + "\n"


def _anti_spoofing(port: int) -> list[str]:
    """Tables 60 and 71: the port's own addresses only."""
    mac, reg = mac_of(port), f"reg5={port},in_port={port}"
    own = f"{reg},dl_src={mac}"
    linklocal, wide = f"fe80::f816:3eff:fe00:{port:x}", f"fd00:12::f816:3eff:fe00:{port:x}"
    load = f"set_field:{port}->reg5,set_field:{VLAN}->reg6"
    flows = [
        f"table=60,priority=100,in_port={port} actions={load},resubmit(,71)",
        f"table=60,priority=90,dl_vlan={VLAN},dl_dst={mac} actions={load},pop_vlan,resubmit(,81)",
    ]
    head = "table=71,priority"
    for source in (linklocal, wide):
        flows += [
            f"{head}=95,icmp6,{own},ipv6_src={source},icmp_type={kind} actions=resubmit(,94)"
            for kind in (130, 133, 135)
        ]
        flows += [
            f"{head}=95,icmp6,{reg},icmp_type=136,nd_target={source} actions=resubmit(,94)",
            f"{head}=65,ipv6,{own},ipv6_src={source} actions=ct(table=72,{ZONE})",
            f"{head}=80,udp6,{own},ipv6_src={source},tp_src=546,tp_dst=547 actions=resubmit(,73)",
        ]
    address = address_of(port)
    return [
        *flows,
        f"{head}=95,arp,{own},arp_spa={address} actions=resubmit(,94)",
        f"{head}=95,rarp,{own} actions=resubmit(,94)",
        f"{head}=65,ip,{own},nw_src={address} actions=ct(table=72,{ZONE})",
        f"{head}=80,udp,{own},nw_src={address},tp_src=68,tp_dst=67 actions=resubmit(,73)",
        f"{head}=80,udp,{own},nw_src=0.0.0.0,tp_src=68,tp_dst=67 actions=resubmit(,73)",
        f"{head}=70,udp,{reg},tp_src=67,tp_dst=68 actions=resubmit(,93)",
        f"{head}=70,udp6,{reg},tp_src=547,tp_dst=546 actions=resubmit(,93)",
        f"{head}=70,icmp6,{reg},icmp_type=134 actions=resubmit(,93)",
        f"{head}=10,{reg} actions=ct_clear,resubmit(,93)",
    ]


def _by_state(table: int, port: int, out: str) -> list[str]:
    """What both directions say about connections that no rule has let through."""
    head, reg = f"table={table},priority", f"reg5={port}"
    zone = f"ct_zone={VLAN},ct_mark=0,{reg}"
    return [
        f"{head}=50,ct_mark=0x1,{reg} actions=resubmit(,93)",
        f"{head}=50,ct_state=+est-rel+rpl,{zone} actions={out}",
        f"{head}=50,ct_state=-new-est+rel-inv,{zone} actions={out}",
        f"{head}=40,ct_state=-est,{reg} actions=resubmit(,93)",
        f"{head}=40,ct_state=+est,ip,{reg} actions={MARK}",
        f"{head}=40,ct_state=+est,ipv6,{reg} actions={MARK}",
    ]


def _egress(port: int) -> list[str]:
    """Tables 72 and 73: all that the machine sends is let out."""
    reg, flows = f"reg5={port}", []
    for ip in ("ip", "ipv6"):
        flows += [
            f"table=72,priority=74,ct_state=+est-rel-rpl,{ip},{reg} actions=resubmit(,73)",
            f"table=72,priority=74,ct_state=+new-est,{ip},{reg} actions=resubmit(,73)",
            f"table=73,priority=90,ct_state=+new-est,{ip},{reg} "
            f"actions=ct(commit,{ZONE}),resubmit(,91)",
        ]
    return [
        *flows,
        *_by_state(72, port, "resubmit(,94)"),
        f"table=73,priority=100,reg6={VLAN},dl_dst={mac_of(port)} "
        f"actions=set_field:{port}->reg5,resubmit(,81)",
        f"table=73,priority=80,{reg} actions=resubmit(,94)",
    ]


def _ingress(port: int) -> list[str]:
    """Table 81: what needs no rule, and the rest to the connection tracker."""
    head, reg, out = "table=81,priority", f"reg5={port}", f"output:{port}"
    return [
        f"{head}=100,arp,{reg} actions={out}",
        *(
            f"{head}=100,icmp6,{reg},icmp_type={kind} actions={out}"
            for kind in (130, 134, 135, 136)
        ),
        f"{head}=95,udp,{reg},tp_src=67,tp_dst=68 actions={out}",
        f"{head}=95,udp6,{reg},tp_src=547,tp_dst=546 actions={out}",
        f"{head}=90,ct_state=-trk,ip,{reg} actions=ct(table=82,{ZONE})",
        f"{head}=90,ct_state=-trk,ipv6,{reg} actions=ct(table=82,{ZONE})",
        f"{head}=80,ct_state=+trk,{reg} actions=resubmit(,82)",
    ]


def _group_rules(port: int) -> list[str]:
    """Table 82: the rules of the security group."""
    reg, out = f"reg5={port}", f"output:{port}"
    commit = f"ct(commit,{ZONE}),{out},resubmit(,92)"
    states = (("+est-rel-rpl", out), ("+new-est", commit))
    flows = []
    for number, (state, actions) in enumerate(states):
        flows += [
            f"table=82,priority=77,ct_state={state},tcp,{reg},nw_src=203.0.113.0/24,tp_dst={mask} "
            f"actions={actions}"
            for mask in PORT_MASKS
        ]
        flows.append(f"table=82,priority=75,ct_state={state},icmp,{reg} actions={actions}")
        for ip, conj_id in (("ipv6", 16 + number), ("ip", 24 + number)):
            head = f"table=82,priority=70,ct_state={state},{ip},{reg}"
            flows += [
                f"{head} actions=conjunction({conj_id},2/2)",
                f"{head},conj_id={conj_id} actions=set_field:{conj_id}->reg7,{actions}",
            ]
    return [*flows, *_by_state(82, port, out)]


def _members() -> list[str]:
    """Table 82: who the other members of the group are."""
    return [
        f"table=82,priority=70,ct_state={state},{ip},reg6={VLAN},{field}={member} "
        f"actions=conjunction({first + number},1/2)"
        for number, state in enumerate(("+est-rel-rpl", "+new-est"))
        for ip, field, members, first in (
            ("ip", "nw_src", MEMBERS, 24), ("ipv6", "ipv6_src", MEMBERS6, 16))
        for member in members
    ]  # fmt: skip
