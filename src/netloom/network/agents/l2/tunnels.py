"""Flows of the tunnel bridge.

From the integration bridge (table 2): unicast goes by table 20 to the one host that has the
receiver, the rest by table 22 to every host that takes part in the network. What is learned from
arriving packets (table 10) stands in table 20 for five minutes, below what the service told.
Table 21 answers ARP for machines of other hosts.

With population (`populate`) the service's word fills 20, 21 and 22; without, 22 floods to every
host and 20 only learns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from netloom.network.agents.flow import LEARNED_COOKIE, Flow
from netloom.network.agents.l2.values import TUNNEL_TABLES, LocalNetwork, Wish

LEARN_S = 300


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
