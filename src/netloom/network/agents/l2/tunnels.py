"""Flows of the tunnel bridge.

From the integration bridge (table 2): unicast goes by table 20 to the one host that has the
receiver, the rest by table 22 to every host that takes part in the network. What is learned from
arriving packets (table 10) stands in table 20 for five minutes, below what the service told.
Table 21 answers ARP and neighbour solicitations for machines of other hosts; what asks whether an
address is free (IPv6, from nobody) goes to all.

With population (`populate`) the service's word fills 20, 21 and 22; without, 22 floods to every
host and 20 only learns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from netloom.network.agents.flow import LEARNED_COOKIE, Flow
from netloom.network.agents.l2.values import TUNNEL_TABLES, LocalNetwork, Wish

LEARN_S = 300
SOLICITATION = "icmp6,icmp_type=135,icmp_code=0"
ADVERTISEMENT = "icmp6,icmp_type=136,icmp_code=0"
#: Flags of an advertisement (RFC 4861, 4.4): asked for, and to be believed before what was known;
#: and that it is a router's, without which hosts would no longer send to it.
ASKED_FOR, ROUTER = 0x6000_0000, 0x8000_0000
TARGET_ADDRESS = 2


@dataclass(frozen=True, slots=True)
class TunnelBridge:
    """The OpenFlow ports of br-tun: the patch port, and (type, address) -> tunnel."""

    patch: int
    tunnels: Mapping[tuple[str, str], int]
    populate: bool
    arp_responder: bool


def tunnel_flows(wish: Wish, bridge: TunnelBridge) -> list[Flow]:
    """All flows of the tunnel bridge."""
    flows = list(_base(bridge))
    for (kind, _), ofport in bridge.tunnels.items():
        flows.append(Flow(0, 1, f"in_port={ofport}", f"goto_table:{TUNNEL_TABLES[kind]}"))
    for network in wish.networks:
        if network.network_type in TUNNEL_TABLES:
            flows += _network(wish, network, bridge)
    return flows


def _base(bridge: TunnelBridge) -> Iterator[Flow]:
    multicast = "01:00:00:00:00:00/01:00:00:00:00:00"
    yield Flow(0, 1, f"in_port={bridge.patch}", "goto_table:2")
    yield Flow(0, 0, "", "drop")
    yield Flow(2, 0, "dl_dst=00:00:00:00:00:00/01:00:00:00:00:00", "goto_table:20")
    yield Flow(2, 0, f"dl_dst={multicast}", "goto_table:22")
    if bridge.arp_responder:
        yield Flow(2, 1, "arp,dl_dst=ff:ff:ff:ff:ff:ff", "goto_table:21")
        asked = f"{SOLICITATION},dl_dst=33:33:ff:00:00:00/ff:ff:ff:00:00:00"
        yield Flow(2, 1, asked, "goto_table:21")
        yield Flow(21, 2, f"{SOLICITATION},ipv6_src=::", "goto_table:22")
    for table in TUNNEL_TABLES.values():
        yield Flow(table, 0, "", "drop")
    yield Flow(
        10,
        1,
        "",
        f"learn(table=20,hard_timeout={LEARN_S},priority=1,cookie={LEARNED_COOKIE:#x},"
        "NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:0->NXM_OF_VLAN_TCI[],"
        "load:NXM_NX_TUN_ID[]->NXM_NX_TUN_ID[],output:OXM_OF_IN_PORT[]),"
        f"output:{bridge.patch}",
    )
    yield Flow(20, 0, "", "goto_table:22")
    yield Flow(21, 0, "", "goto_table:22")
    yield Flow(22, 0, "", "drop")


def _network(wish: Wish, network: LocalNetwork, bridge: TunnelBridge) -> Iterator[Flow]:
    kind, vlan = network.network_type, network.vlan
    tunnel_id = f"{network.segmentation_id:#x}"
    into = f"push_vlan:0x8100,set_field:{vlan | 0x1000}->vlan_vid,goto_table:10"
    yield Flow(TUNNEL_TABLES[kind], 1, f"tun_id={tunnel_id}", into)
    leave = f"pop_vlan,set_field:{tunnel_id}->tun_id"
    if not bridge.populate:
        everyone = [ofport for (one, _), ofport in sorted(bridge.tunnels.items()) if one == kind]
        yield from _flood(vlan, leave, everyone)
        return
    flood = []
    for endpoint in dict(wish.behind).get(network.id, ()):
        ofport = bridge.tunnels.get((kind, endpoint.address))
        if ofport is None:
            continue
        flood.append(ofport)
        for mac in sorted({mac for mac, _ in endpoint.entries}):
            match = f"dl_vlan={vlan},dl_dst={mac}"
            yield Flow(20, 2, match, f"{leave},output:{ofport}")
        if bridge.arp_responder:
            for mac, address in endpoint.entries:
                if "." in address:
                    yield _arp_answer(vlan, mac, address)
                elif address:
                    flags = ROUTER if address in endpoint.routers else 0
                    yield from _neighbour_answer(vlan, mac, address, ASKED_FOR | flags)
    yield from _flood(vlan, leave, flood)


def _flood(vlan: int, leave: str, ofports: list[int]) -> Iterator[Flow]:
    if ofports:
        outputs = ",".join(f"output:{ofport}" for ofport in ofports)
        yield Flow(22, 1, f"dl_vlan={vlan}", f"{leave},{outputs}")


def _arp_answer(vlan: int, mac: str, address: str) -> Flow:
    actions = (
        "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
        f"set_field:{mac}->eth_src",
        "set_field:2->arp_op",
        "move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[]",
        "move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[]",
        f"set_field:{mac}->arp_sha",
        f"set_field:{address}->arp_spa",
        "in_port",
    )
    # Only requests: a machine that announces its own address must be heard by the others.
    match = f"arp,dl_vlan={vlan},arp_tpa={address},arp_op=1"
    return Flow(21, 1, match, ",".join(actions))


def _neighbour_answer(vlan: int, mac: str, address: str, flags: int) -> Iterator[Flow]:
    """A solicitation becomes an advertisement. That takes two flows, as an address of a target
    can be set only in what is an advertisement already."""
    become = (
        "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
        f"set_field:{mac}->eth_src",
        "move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[]",
        f"set_field:{address}->ipv6_src",
        f"set_field:{flags}->nd_reserved",
        f"set_field:{TARGET_ADDRESS}->nd_options_type",
        "set_field:136->icmpv6_type",
        "resubmit(,21)",
    )
    target = f"dl_vlan={vlan},nd_target={address}"
    yield Flow(21, 1, f"{SOLICITATION},{target}", ",".join(become))
    answer = f"set_field:{mac}->nd_tll,in_port"
    yield Flow(21, 1, f"{ADVERTISEMENT},{target}", answer)
