"""The mechanism driver `openvswitch`: binds ports where an Open vSwitch agent is alive."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from netloom.network.document import Change, Document
from netloom.network.ml2.interfaces import Binding, Segment
from netloom.network.settings import Settings

if TYPE_CHECKING:
    from netloom.network.store.transaction import Transaction

AGENT_TYPE = "Open vSwitch agent"
TUNNELS = frozenset({"gre", "vxlan", "geneve"})
BOUND_VNIC_TYPES = frozenset({"normal"})


class OpenvswitchDriver:
    """Chooses the first segment that an agent of the host can reach.

    An agent says what it reaches in its report: `tunnel_types` and `bridge_mappings`.
    """

    name = "openvswitch"
    postcommit_kinds: frozenset[str] = frozenset()

    def __init__(self, settings: Settings) -> None:
        self._filter = settings.enable_security_group

    def precommit(self, change: Change, tx: Transaction) -> None:
        """Agents hear of changes by watching; nothing to add."""

    def postcommit(self, change: Change) -> None:
        """Agents hear of changes by watching; nothing to add."""

    def bind(
        self, port: Document, segments: Sequence[Segment], agents: Sequence[Document]
    ) -> Binding | None:
        """Bind an ordinary port at a live agent; None if no agent reaches any segment."""
        if port.get("binding:vnic_type", "normal") not in BOUND_VNIC_TYPES:
            return None
        for agent in agents:
            if agent["agent_type"] != AGENT_TYPE or not agent["admin_state_up"]:
                continue
            configuration = agent.get("configurations") or {}
            for index, segment in enumerate(segments):
                if reaches(configuration, segment):
                    return Binding(index, "ovs", self._details(configuration))
        return None

    def _details(self, configuration: dict[str, Any]) -> MappingProxyType[str, Any]:
        return MappingProxyType(
            {
                "connectivity": "l2",
                "port_filter": self._filter,
                "ovs_hybrid_plug": bool(configuration.get("ovs_hybrid_plug", False)),
                "datapath_type": configuration.get("datapath_type", "system"),
                "bridge_name": configuration.get("integration_bridge", "br-int"),
                "bound_drivers": {"0": "openvswitch"},
            }
        )


def reaches(configuration: dict[str, Any], segment: Segment) -> bool:
    """Whether an agent with this configuration can put a port on the segment."""
    if segment.network_type in TUNNELS:
        return segment.network_type in configuration.get("tunnel_types", ())
    if segment.network_type in ("flat", "vlan"):
        return segment.physical_network in configuration.get("bridge_mappings", {})
    return segment.network_type == "local"
