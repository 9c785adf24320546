"""Flows of the integration bridge around the filters, and of provider bridges.

On the integration bridge every network has a VLAN of its own, local to the host. Provider bridges
translate between it and what is on the wire: another VLAN, or none. `patches` are the OpenFlow
ports of patch ports: (on the integration bridge, on the provider bridge).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netloom.network.agents.flow import Flow
from netloom.network.agents.l2 import filtering
from netloom.network.agents.l2.values import DEAD_VLAN, LocalNetwork, Wish

#: Provider network -> OpenFlow ports of its patch ports, here and there.
Patches = Mapping[str, tuple[int, int]]


def integration_flows(wish: Wish, patches: Patches, number: filtering.Number) -> list[Flow]:
    """All flows of the integration bridge."""
    flows = [
        Flow(0, 65535, f"dl_vlan={DEAD_VLAN}", "drop"),
        Flow(0, 0, "", "goto_table:58"),
        *(Flow(table, 0, "", "drop") for table in (23, 24)),
        *(Flow(table, 0, "", f"goto_table:{nxt}") for table, nxt in ((58, 59), (59, 60))),
        Flow(60, 1, "", "NORMAL"),
        *filtering.base_flows(),
        *(Flow(0, 65534, f"in_port={ofport}", "drop") for _, ofport in wish.dead),
    ]
    for physical, (here, _) in patches.items():
        flows.append(Flow(0, 2, f"in_port={here}", "drop"))
        flows += [
            Flow(0, 3, f"in_port={here},{_outside(network)}", _come_in(network))
            for network in wish.networks
            if network.physical_network == physical
        ]
    return flows + guarded_flows(wish, number)


def guarded_flows(wish: Wish, number: filtering.Number) -> list[Flow]:
    """Flows of ports and of the groups that their rules name."""
    flows: list[Flow] = []
    shared: dict[filtering.Sharing, None] = {}
    for port in wish.ports:
        flows += filtering.port_flows(port, number)
        if port.filtered:
            for rule in port.rules:
                if rule.group is not None:
                    shared[filtering.sharing(port, rule)] = None
    return flows + filtering.member_flows(shared, dict(wish.members), number)


def _outside(network: LocalNetwork) -> str:
    if network.network_type == "vlan":
        return f"dl_vlan={network.segmentation_id}"
    return "vlan_tci=0x0000/0x1fff"


def _come_in(network: LocalNetwork) -> str:
    push = "" if network.network_type == "vlan" else "push_vlan:0x8100,"
    return f"{push}set_field:{network.vlan | 0x1000}->vlan_vid,goto_table:58"


def provider_flows(networks: Iterable[LocalNetwork], physical: str, patch: int) -> list[Flow]:
    """All flows of a provider bridge; `patch` leads to the integration bridge."""
    flows = [Flow(0, 2, f"in_port={patch}", "drop"), Flow(0, 0, "", "NORMAL")]
    for network in networks:
        if network.physical_network != physical:
            continue
        if network.network_type == "vlan":
            leave = f"set_field:{network.segmentation_id | 0x1000}->vlan_vid"
        else:
            leave = "pop_vlan"
        match = f"in_port={patch},dl_vlan={network.vlan}"
        flows.append(Flow(0, 4, match, f"{leave},NORMAL"))
    return flows


class Numbers:
    """Numbers of conjunctions: the same for the same, never reused while the agent lives."""

    def __init__(self) -> None:
        self._given: dict[filtering.Sharing, int] = {}

    def __call__(self, one: filtering.Sharing) -> int:
        return self._given.setdefault(one, 8 * (len(self._given) + 1))
