"""Security groups and anti-spoofing as flows of the integration bridge.

What a machine sends passes 71 (are the addresses its own?), 72 (do its rules allow it?) and 73 (is
the receiver on this host?); what it receives passes 81 (conversation of the host: ARP, discovery,
DHCP) and 82 (rules). 91 and 92 count what was accepted, 93 drops, 94 forwards. Registers: reg5 the
OpenFlow port of the machine in question, reg6 the VLAN of its network, which is its conntrack zone.

A rule allows packets of new connections and of established ones, looked at anew for each packet:
when a rule goes, its connections' next packet finds no rule, and marks the connection as dead
(ct_mark 1), so that it does not come back either way.

A rule with a remote group is a conjunction of (addresses of the group) and (port, protocol). All
rules that name one group in one direction share a number, as their first halves are the same; a
member that comes or goes changes one flow per network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address

from netloom.network.agents.flow import Flow
from netloom.network.agents.l2.values import LocalPort
from netloom.network.watch.derive import Rule

ZONE = "zone=NXM_NX_REG6[0..15]"
COMMIT = f"ct(commit,{ZONE})"
MARK_DEAD = f"ct(commit,{ZONE},exec(set_field:0x1->ct_mark))"
TRANSPORT = {6: "tcp", 17: "udp", 132: "sctp"}
NEW, ESTABLISHED = "ct_state=+new-est", "ct_state=+est-rel-rpl"
#: Neighbour discovery and multicast listeners, which every host needs.
DISCOVERY = (130, 135, 136)

#: (VLAN, remote group, direction, ethertype)
Sharing = tuple[int, str, str, str]
Number = Callable[[Sharing], int]


def base_flows() -> list[Flow]:
    """What holds without any port."""
    return [
        Flow(71, 110, "ct_state=+trk", "ct_clear,resubmit(,71)"),
        *(Flow(table, 0, "", "drop") for table in (71, 72, 73, 81, 82, 92, 93)),
        *(Flow(table, 50, "ct_state=+inv+trk", "resubmit(,93)") for table in (72, 82)),
        Flow(91, 1, "", "resubmit(,94)"),
        Flow(94, 1, "", "NORMAL"),
    ]


def port_flows(port: LocalPort, number: Number) -> list[Flow]:
    """The flows of one port."""
    vlan, reg5 = port.network.vlan, f"reg5={port.ofport:#x}"
    load = f"set_field:{port.ofport:#x}->reg5,set_field:{vlan:#x}->reg6"
    if not port.filtered:
        return [
            Flow(60, 100, f"in_port={port.ofport}", f"{load},resubmit(,73)"),
            Flow(73, 80, reg5, "resubmit(,94)"),
        ]
    flows = [Flow(60, 100, f"in_port={port.ofport}", f"{load},resubmit(,71)")]
    for mac in sorted({port.mac, *(mac for mac, _ in port.addresses)}):
        into = f"{load},pop_vlan,resubmit(,81)"
        flows.append(Flow(60, 90, f"dl_vlan={vlan},dl_dst={mac}", into))
        here = f"set_field:{port.ofport:#x}->reg5,resubmit(,81)"
        flows.append(Flow(73, 100, f"reg6={vlan:#x},dl_dst={mac}", here))
    flows += _own_addresses(port, reg5)
    flows += _egress_rest(reg5)
    flows += _ingress_basics(port, reg5)
    for table in (72, 82):
        flows += _connection_states(table, port, reg5)
    for rule in port.rules:
        flows += _plain_rule(port, rule, reg5)
    flows += _shared_rules(port, reg5, number)
    return flows


def _own_addresses(port: LocalPort, reg5: str) -> Iterator[Flow]:
    """Table 71: what the machine may send, as whom."""
    sender = f"{reg5},in_port={port.ofport}"
    for mac in sorted({port.mac, *(mac for mac, _ in port.addresses)}):
        me = f"{sender},dl_src={mac}"
        yield Flow(71, 80, f"udp,{me},nw_src=0.0.0.0,tp_src=68,tp_dst=67", "resubmit(,73)")
        # Duplicate address detection asks before it has an address.
        yield Flow(71, 95, f"icmp6,{me},ipv6_src=::,icmp_type=135", "resubmit(,94)")
    for mac, address in sorted({*port.addresses, (port.mac, link_local(port.mac))}):
        me = f"{sender},dl_src={mac}"
        if ":" in address:
            ipv6 = f"{me},ipv6_src={address}"
            for kind in (130, 133, 135):
                yield Flow(71, 95, f"icmp6,{ipv6},icmp_type={kind}", "resubmit(,94)")
            target = f"icmp6,{me},icmp_type=136,nd_target={address}"
            yield Flow(71, 95, target, "resubmit(,94)")
            yield Flow(71, 80, f"udp6,{ipv6},tp_src=546,tp_dst=547", "resubmit(,73)")
            yield Flow(71, 65, f"ipv6,{ipv6}", f"ct(table=72,{ZONE})")
        else:
            arp = f"arp,{me},arp_sha={mac},arp_spa={address}"
            yield Flow(71, 95, arp, "resubmit(,94)")
            yield Flow(71, 80, f"udp,{me},nw_src={address},tp_src=68,tp_dst=67", "resubmit(,73)")
            yield Flow(71, 65, f"ip,{me},nw_src={address}", f"ct(table=72,{ZONE})")


def _egress_rest(reg5: str) -> Iterator[Flow]:
    """No machine is a DHCP server or a router for the others."""
    yield Flow(71, 75, f"udp,{reg5},tp_src=67,tp_dst=68", "resubmit(,93)")
    yield Flow(71, 75, f"udp6,{reg5},tp_src=547,tp_dst=546", "resubmit(,93)")
    yield Flow(71, 96, f"icmp6,{reg5},icmp_type=134", "resubmit(,93)")
    yield Flow(71, 10, reg5, "ct_clear,resubmit(,93)")
    for protocol in ("ip", "ipv6"):
        yield Flow(73, 90, f"{NEW},{protocol},{reg5}", f"{COMMIT},resubmit(,91)")
    yield Flow(73, 80, reg5, "resubmit(,94)")


def _ingress_basics(port: LocalPort, reg5: str) -> Iterator[Flow]:
    """Table 81: what a machine needs to hear, and the way to the rules."""
    out = f"output:{port.ofport}"
    yield Flow(81, 100, f"arp,{reg5}", out)
    for kind in (*DISCOVERY, 134):
        yield Flow(81, 100, f"icmp6,{reg5},icmp_type={kind}", out)
    yield Flow(81, 95, f"udp,{reg5},tp_src=67,tp_dst=68", out)
    yield Flow(81, 95, f"udp6,{reg5},tp_src=547,tp_dst=546", out)
    for protocol in ("ip", "ipv6"):
        yield Flow(81, 90, f"ct_state=-trk,{protocol},{reg5}", f"ct(table=82,{ZONE})")
    yield Flow(81, 80, f"ct_state=+trk,{reg5}", "resubmit(,82)")


def _connection_states(table: int, port: LocalPort, reg5: str) -> Iterator[Flow]:
    """What connections may without a rule, and what becomes of those that lost theirs."""
    accept = "resubmit(,94)" if table == 72 else f"output:{port.ofport}"
    alive = f"ct_zone={port.network.vlan},ct_mark=0,{reg5}"
    yield Flow(table, 51, f"ct_mark=0x1,{reg5}", "resubmit(,93)")
    yield Flow(table, 50, f"ct_state=+est-rel+rpl,{alive}", accept)
    yield Flow(table, 50, f"ct_state=-new-est+rel-inv,{alive}", accept)
    yield Flow(table, 40, f"ct_state=-est,{reg5}", "resubmit(,93)")
    for protocol in ("ip", "ipv6"):
        yield Flow(table, 40, f"ct_state=+est,{protocol},{reg5}", MARK_DEAD)


def _accept(port: LocalPort, direction: str) -> tuple[int, tuple[tuple[str, str], ...]]:
    """The table of a direction, and per state what is done with an allowed packet."""
    if direction == "egress":
        return 72, ((ESTABLISHED, "resubmit(,73)"), (NEW, "resubmit(,73)"))
    out = f"output:{port.ofport}"
    return 82, ((ESTABLISHED, out), (NEW, f"{COMMIT},{out},resubmit(,92)"))


def _plain_rule(port: LocalPort, rule: Rule, reg5: str) -> Iterator[Flow]:
    if rule.group is not None:
        return
    table, states = _accept(port, rule.direction)
    field = _field(rule.direction, rule.ethertype)
    remotes = [f",{field}={prefix}" for prefix in rule.remote or ()] or [""]
    for traffic in traffic_matches(rule):
        for remote in remotes:
            for state, actions in states:
                yield Flow(table, 77, f"{state},{_one(traffic, reg5)}{remote}", actions)


def _one(traffic: str, reg5: str) -> str:
    protocol, _, rest = traffic.partition(",")
    return f"{protocol},{reg5},{rest}" if rest else f"{protocol},{reg5}"


def _shared_rules(port: LocalPort, reg5: str, number: Number) -> Iterator[Flow]:
    """The halves of conjunctions that name the port, and what they lead to."""
    halves: dict[tuple[int, str], set[int]] = {}
    for rule in port.rules:
        if rule.group is None:
            continue
        shared = number(sharing(port, rule))
        table, states = _accept(port, rule.direction)
        ip = "ip" if rule.ethertype == "IPv4" else "ipv6"
        for state, actions in states:
            match = f"conj_id={shared},{state},{ip},{reg5}"
            yield Flow(table, 70, match, f"set_field:{shared:#x}->reg7,{actions}")
        for traffic in traffic_matches(rule):
            halves.setdefault((table, _one(traffic, reg5)), set()).add(shared)
    for (table, match), numbers in sorted(halves.items()):
        yield Flow(table, 70, match, _halves(numbers, 2))


def sharing(port: LocalPort, rule: Rule) -> Sharing:
    """What rules have in common that share a conjunction."""
    return port.network.vlan, rule.group or "", rule.direction, rule.ethertype


def member_flows(
    shared: Iterable[Sharing], members: dict[tuple[str, str], tuple[str, ...]], number: Number
) -> list[Flow]:
    """The halves of conjunctions that name addresses of groups."""
    halves: dict[tuple[int, str], set[int]] = {}
    for one in shared:
        vlan, group, direction, ethertype = one
        table = 72 if direction == "egress" else 82
        field = _field(direction, ethertype)
        ip = "ip" if ethertype == "IPv4" else "ipv6"
        for prefix in members.get((group, ethertype), ()):
            key = (table, f"{ip},reg6={vlan:#x},{field}={prefix}")
            halves.setdefault(key, set()).add(number(one))
    return [Flow(table, 70, match, _halves(ids, 1)) for (table, match), ids in halves.items()]


def _halves(numbers: set[int], half: int) -> str:
    return ",".join(f"conjunction({number},{half}/2)" for number in sorted(numbers))


def _field(direction: str, ethertype: str) -> str:
    side = "src" if direction == "ingress" else "dst"
    return f"nw_{side}" if ethertype == "IPv4" else f"ipv6_{side}"


def traffic_matches(rule: Rule) -> list[str]:
    """Protocol and ports of a rule as matches, the protocol's word first."""
    six = rule.ethertype == "IPv6"
    suffix = "6" if six else ""
    protocol = rule.protocol
    if not protocol:
        return ["ipv6" if six else "ip"]
    if protocol == (58 if six else 1) or (six and protocol == 1):
        return [_icmp(rule, "icmp" + suffix)]
    word = TRANSPORT.get(protocol)
    if word is None:
        return [f"{'ipv6' if six else 'ip'},nw_proto={protocol}"]
    if rule.port_min is None or (rule.port_min <= 0 and rule.port_max == 0xFFFF):
        return [word + suffix]
    high = rule.port_min if rule.port_max is None else rule.port_max
    return [f"{word}{suffix},tp_dst={ports}" for ports in port_masks(rule.port_min, high)]


def _icmp(rule: Rule, word: str) -> str:
    if rule.port_min is not None:
        word += f",icmp_type={rule.port_min}"
        if rule.port_max is not None:
            word += f",icmp_code={rule.port_max}"
    return word


def port_masks(low: int, high: int) -> list[str]:
    """The fewest value/mask pairs that make up the range of ports."""
    found = []
    while low <= high:
        size = low & -low if low else 0x10000
        while low + size - 1 > high:
            size >>= 1
        found.append(str(low) if size == 1 else f"{low:#x}/{0x10000 - size:#x}")
        low += size
    return found


def link_local(mac: str) -> str:
    """The address that a machine makes of its MAC address (RFC 4291, appendix A)."""
    octets = [int(part, 16) for part in mac.split(":")]
    octets[0] ^= 2
    words = bytes([*octets[:3], 0xFF, 0xFE, *octets[3:]])
    return str(ip_address(b"\xfe\x80" + bytes(6) + words))
