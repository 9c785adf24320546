"""What the switch's database says: bridges, ports and their interfaces, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netloom.ovsdb.idl import Idl
from netloom.ovsdb.row import Row

#: What an agent follows of the database.
WANTED: dict[str, tuple[str, ...]] = {
    "Open_vSwitch": ("bridges", "cur_cfg", "next_cfg", "other_config"),
    "Bridge": ("name", "ports", "datapath_type", "fail_mode"),
    "Port": ("name", "interfaces", "tag", "other_config"),
    "Interface": ("name", "type", "options", "ofport", "external_ids"),
}
#: What the agent writes into `other_config` of a port; other people's keys are their business.
OWN_CONFIG = frozenset({"net_uuid", "network_type", "physical_network", "segmentation_id", "tag"})


@dataclass(frozen=True, slots=True)
class PortFact:
    """A port with its one interface; `ofport` is 0 until the switch has given it a number."""

    name: str
    tag: int | None
    type: str
    ofport: int
    iface_id: str
    options: tuple[tuple[str, str], ...] = ()
    other_config: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class BridgeFact:
    """A bridge and its ports by name."""

    name: str
    datapath_type: str
    fail_mode: str
    ports: Mapping[str, PortFact]

    def ofport(self, name: str) -> int:
        """The OpenFlow port of a port; 0 if there is none (yet)."""
        port = self.ports.get(name)
        return port.ofport if port is not None else 0


Facts = Mapping[str, BridgeFact]


def read_facts(idl: Idl, bridges: set[str]) -> dict[str, BridgeFact]:
    """These bridges, as far as they are there."""
    return {
        row.text("name"): BridgeFact(
            row.text("name"),
            row.text("datapath_type"),
            row.opt_text("fail_mode") or "",
            {port.text("name"): _port(idl, port) for port in idl.refs(row, "ports")},
        )
        for row in idl.rows("Bridge")
        if row.text("name") in bridges
    }


def _port(idl: Idl, row: Row) -> PortFact:
    interfaces = idl.refs(row, "interfaces")
    if len(interfaces) != 1:
        return PortFact(row.text("name"), row.opt_int("tag"), "bond", 0, "")
    interface = interfaces[0]
    external = interface.mapping("external_ids")
    config = row.mapping("other_config")
    return PortFact(
        row.text("name"),
        row.opt_int("tag"),
        interface.text("type"),
        max(0, interface.opt_int("ofport") or 0),
        external.get("iface-id", ""),
        tuple(sorted(interface.mapping("options").items())),
        tuple(sorted((key, value) for key, value in config.items() if key in OWN_CONFIG)),
    )
