"""The columns of an Interface row that watch its link: `bfd`, CFM's, `lldp`."""

from __future__ import annotations

from typing import Any, Protocol

from netloom import OVS_VERSION
from netloom.flow.address import parse_ipv4
from netloom.ovsdb.row import Row
from netloom.protocols.bfd import BfdSettings
from netloom.protocols.cfm import CfmSettings
from netloom.protocols.lldp import LldpSettings
from netloom.vswitchd.addresses import parse_mac


class Replica(Protocol):
    """What rows refer to."""

    def refs(self, row: Row, column: str) -> list[Row]: ...


_USUAL = BfdSettings()
_MAX_MPID = 8_191
#: It has a byte in packets.
_MAX_MULT = 255


def read_bfd(config: dict[str, str]) -> BfdSettings | None:
    """How the interface is watched, if it is; what makes no sense is as if it were not there."""
    if config.get("enable") != "true":
        return None
    min_rx = _number(config, "min_rx", _USUAL.min_rx_ms)
    decay = _number(config, "decay_min_rx", 0)
    return BfdSettings(
        min_rx_ms=min_rx,
        min_tx_ms=_number(config, "min_tx", _USUAL.min_tx_ms),
        decay_min_rx_ms=decay if decay >= min_rx else 0,
        mult=_mult(config),
        forwarding_if_rx=config.get("forwarding_if_rx") == "true",
        cpath_down=config.get("cpath_down") == "true",
        check_tunnel_key=config.get("check_tnl_key") == "true",
        local_src_mac=_mac(config, "bfd_local_src_mac", 0),
        local_dst_mac=_mac(config, "bfd_local_dst_mac", _USUAL.local_dst_mac),
        remote_dst_mac=_mac(config, "bfd_remote_dst_mac", 0),
        src_ip=_ip(config, "bfd_src_ip", _USUAL.src_ip),
        dst_ip=_ip(config, "bfd_dst_ip", _USUAL.dst_ip),
        oam=config.get("oam") == "true",
    )


def read_cfm(mpid: int | None, config: dict[str, str]) -> CfmSettings | None:
    """The interface's maintenance point, if it has one whose number may be."""
    extended = config.get("cfm_extended") == "true"
    if mpid is None or mpid < 1 or (not extended and mpid > _MAX_MPID):
        return None
    vlan = _number(config, "cfm_ccm_vlan", 0)
    return CfmSettings(
        mpid=mpid,
        interval_ms=_number(config, "cfm_interval", 1_000),
        extended=extended,
        demand=config.get("cfm_demand") == "true",
        opup=config.get("cfm_opstate", "up") == "up",
        vlan=-1 if config.get("cfm_ccm_vlan") == "random" else vlan & 0xFFF,
        pcp=_number(config, "cfm_ccm_pcp", 0) & 7,
    )


def read_auto_attach(replica: Replica, root: Row) -> LldpSettings:
    """What ports say of the switch by LLDP: as in Open vSwitch, all of them the same, whichever
    bridge has the row."""
    name, description = "", f"openvswitch {OVS_VERSION}"
    mappings: dict[tuple[int, int], None] = {}
    for bridge in sorted(replica.refs(root, "bridges"), key=lambda row: row.text("name")):
        for row in replica.refs(bridge, "auto_attach"):
            name = row.text("system_name") or name
            description = row.text("system_description") or description
            pairs: Any = row.get("mappings") or {}
            mappings.update(dict.fromkeys(sorted(pairs.items())))
    return LldpSettings(name, description, tuple(mappings))


def _number(config: dict[str, str], key: str, default: int) -> int:
    text = config.get(key, "")
    return max(int(text), 1) if text.isascii() and text.isdigit() else default


def _mult(config: dict[str, str]) -> int:
    """After how many intervals of silence a session is down: what a packet can say."""
    text = config.get("mult", "")
    mult = int(text) if text.isascii() and text.isdigit() else 0
    return mult if 1 <= mult <= _MAX_MULT else _USUAL.mult


def _mac(config: dict[str, str], key: str, default: int) -> int:
    mac = parse_mac(config.get(key, ""))
    return default if mac is None else int.from_bytes(mac, "big")


def _ip(config: dict[str, str], key: str, default: int) -> int:
    address = parse_ipv4(config.get(key, ""))
    return default if address is None else address
