"""Collects facts for all rows: which column of which row ought to have which value now.

Reads the replica (which rows there are) and `Applier` and the connections (what is); `status` says
how facts become columns. Nothing is sent from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from netloom.base.record import replace
from netloom.netdev.tunnel_config import TYPES
from netloom.ofproto.settings import ControllerStatus
from netloom.ofproto.trees import BridgeTreeStatus
from netloom.ovsdb.idl import Idl
from netloom.ovsdb.row import Row
from netloom.vswitchd import status
from netloom.vswitchd.apply import Applier, LiveBridge, LiveInterface

if TYPE_CHECKING:
    from netloom.ovsdb.types import Datum

    Columns = dict[str, Datum]

#: Devices without the counters of a kernel device, by Interface type.
DUMMY_TYPES = frozenset({"dummy", "dummy-internal", "dummy-pmd"}) | frozenset(TYPES)


class ControllerFacts(Protocol):
    """How controllers' connections fare."""

    def status(self, bridge: str, target: str, now_ms: int) -> ControllerStatus | None:
        """None for a controller that does not exist or only listens."""


class Collector:
    """The wished contents of the columns that this daemon owns."""

    def __init__(self, idl: Idl, applier: Applier, controllers: ControllerFacts) -> None:
        self._idl = idl
        self._applier = applier
        self._controllers = controllers

    def differences(self, now_ms: int, with_counters: bool) -> dict[Row, Columns]:
        """Columns to be written, by row; counters and times only `with_counters`."""
        found: dict[Row, Columns] = {}
        for root in self._idl.rows("Open_vSwitch")[:1]:
            for bridge in self._idl.refs(root, "bridges"):
                self._add_bridge(found, bridge, now_ms, with_counters)
        return found

    def _add_bridge(
        self, found: dict[Row, Columns], row: Row, now_ms: int, with_counters: bool
    ) -> None:
        live = self._applier.bridges.get(row.text("name"))
        number = 0 if live is None else live.datapath_id
        shortfall = "" if live is None else self._applier.shortfall(live)
        tree = BridgeTreeStatus() if live is None else live.bridge.bridge_status()
        _note(found, row, status.bridge_columns(number, shortfall, dict(tree.status)))
        _note(found, row, {"rstp_status": dict(tree.rstp_status)})
        for controller in self._idl.refs(row, "controller"):
            self._add_controller(found, row, controller, now_ms, with_counters)
        for mirror in self._idl.refs(row, "mirrors"):
            if with_counters or not mirror.mapping("statistics"):
                counts = None if live is None else live.bridge.mirror_stats(str(mirror.uuid))
                _note(found, mirror, status.mirror_columns(counts))
        for port in self._idl.refs(row, "ports"):
            if live is not None and (with_counters or live.bridge.status_version):
                _note(found, port, status.port_columns(live.bridge.port_status(port.text("name"))))
                active = live.bridge.active_member(port.text("name"))
                _note(found, port, {"bond_active_slave": (active,) if active else ()})
            for interface in self._idl.refs(port, "interfaces"):
                columns = self._interface(live, interface, with_counters)
                _note(found, interface, columns)

    # -- controllers ---------------------------------------------------------------------

    def _add_controller(
        self,
        found: dict[Row, Columns],
        bridge: Row,
        row: Row,
        now_ms: int,
        with_counters: bool,
    ) -> None:
        now = self._controllers.status(bridge.text("name"), row.text("target"), now_ms)
        columns = status.controller_columns(now)
        if not with_counters and now is not None:
            timeless = replace(now, sec_since_connect=-1, sec_since_disconnect=-1, packet_ins=())
            if _without_times(row) == status.controller_columns(timeless):
                return
        _note(found, row, columns)

    # -- interfaces ----------------------------------------------------------------------

    def _interface(self, live: LiveBridge | None, row: Row, with_counters: bool) -> Columns:
        name = row.text("name")
        port = None if live is None else live.interfaces.get(name)
        if live is None or port is None:
            owner = self._applier.find(name)
            if owner is not None:
                # Another bridge got it first; its own visit tells.
                return {}
            error = self._applier.errors.get(name)
            if live is None or error is None:
                return status.absent_columns()
            return status.failed_columns(error)
        if port.device is None:
            columns = status.patch_columns(
                port.ofport, port.wish.mac, self._patch_error(live, port)
            )
        else:
            assert port.state is not None
            # The kernel's data path leaves nothing to devices that we would know of, nor do TAPs.
            tells = live.wish.datapath_type != "system" and port.device.type != "tap"
            columns = status.state_columns(port.ofport, port.state, tells_offloads=tells)
        columns |= status.link_columns(live.bridge.link_status(name))
        if with_counters or not row.mapping("statistics"):
            stats = live.bridge.device_stats(name)
            if stats is not None:
                is_kernel = port.device is not None and port.device.type not in DUMMY_TYPES
                columns |= status.statistics_column(stats, is_kernel)
        return columns

    def _patch_error(self, live: LiveBridge, port: LiveInterface) -> str:
        """Why packets find no way out of a patch port; "" if they do."""
        peer = port.wish.peer
        for bridge in self._applier.bridges.values():
            other = bridge.interfaces.get(peer)
            if other is not None and bridge.wish.datapath_type == live.wish.datapath_type:
                if other.wish.peer == port.wish.name:
                    return ""
                break
        return f"No usable peer '{peer}' exists in '{live.wish.datapath_type}' datapath."


def _without_times(row: Row) -> Columns:
    """The row's columns as they would be without times and counts."""
    shown = row.mapping("status")
    return {
        "is_connected": row.flag("is_connected"),
        "role": row.data.get("role", ()),
        "status": {
            k: v for k, v in shown.items() if not k.startswith(("sec_since_", "packet-in-"))
        },
    }


def _note(found: dict[Row, Columns], row: Row, columns: Columns) -> None:
    different = status.differing(row, columns)
    if different:
        found.setdefault(row, {}).update(different)
