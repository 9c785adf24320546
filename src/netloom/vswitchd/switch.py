"""The switch daemon without its sockets: the database's wishes in, bridges out, facts back.

`run` is called once per turn of the main loop and does, in this order: look whether this process
may act (the database lock), take over a changed configuration, follow devices, let connections
follow the bridges, write status. Everything is bounded by the size of the configuration, and almost
always nothing is to be done: then a turn costs a few comparisons.

What must hold: `cur_cfg` becomes `next_cfg` in the transaction that reports what became of that
configuration, so that `ovs-vsctl` knows it was applied; a lost connection to the database changes
nothing about the bridges; while another process holds the lock there are no bridges here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from netloom.base.log import ERR, RateLimit, get_logger
from netloom.netdev.device import DeviceFactory
from netloom.ovsdb.idl import Change, Idl
from netloom.vswitchd.apply import Applier, DataPaths, LiveBridge
from netloom.vswitchd.auto_attach import AttachedVlans
from netloom.vswitchd.desired import read_wish
from netloom.vswitchd.facts import Collector, ControllerFacts
from netloom.vswitchd.status import STATUS_INTERVAL_MS, StatusWriter, differing
from netloom.vswitchd.wish import NOTHING, Wish

if TYPE_CHECKING:
    from netloom.ovsdb.types import Datum
    from netloom.ovsdb.uuids import Uuid

log = get_logger("bridge")

LOCK = "ovs_vswitchd"

#: What is read and written of the database, by table.
TABLES: dict[str, tuple[str, ...]] = {
    "Open_vSwitch": (
        "bridges",
        "cur_cfg",
        "datapath_types",
        "datapaths",
        "dpdk_initialized",
        "dpdk_version",
        "iface_types",
        "manager_options",
        "next_cfg",
        "other_config",
        "ssl",
        "statistics",
    ),
    "Bridge": (
        "auto_attach",
        "controller",
        "datapath_id",
        "datapath_type",
        "datapath_version",
        "fail_mode",
        "flood_vlans",
        "flow_tables",
        "ipfix",
        "mcast_snooping_enable",
        "mirrors",
        "name",
        "netflow",
        "other_config",
        "ports",
        "protocols",
        "rstp_enable",
        "rstp_status",
        "sflow",
        "status",
        "stp_enable",
    ),
    "Port": (
        "bond_active_slave",
        "bond_downdelay",
        "bond_mode",
        "bond_updelay",
        "cvlans",
        "fake_bridge",
        "interfaces",
        "lacp",
        "mac",
        "name",
        "other_config",
        "protected",
        "qos",
        "rstp_statistics",
        "rstp_status",
        "statistics",
        "status",
        "tag",
        "trunks",
        "vlan_mode",
    ),
    "Interface": (
        "admin_state",
        "bfd",
        "bfd_status",
        "cfm_fault",
        "cfm_fault_status",
        "cfm_flap_count",
        "cfm_health",
        "cfm_mpid",
        "cfm_remote_mpids",
        "cfm_remote_opstate",
        "duplex",
        "error",
        "ifindex",
        "lacp_current",
        "ingress_policing_burst",
        "ingress_policing_kpkts_burst",
        "ingress_policing_kpkts_rate",
        "ingress_policing_rate",
        "link_resets",
        "link_speed",
        "link_state",
        "lldp",
        "mac",
        "mac_in_use",
        "mtu",
        "mtu_request",
        "name",
        "ofport",
        "ofport_request",
        "options",
        "other_config",
        "statistics",
        "status",
        "type",
    ),
    "Controller": (
        "connection_mode",
        "controller_burst_limit",
        "controller_queue_size",
        "controller_rate_limit",
        "enable_async_messages",
        "inactivity_probe",
        "is_connected",
        "local_gateway",
        "local_ip",
        "local_netmask",
        "max_backoff",
        "other_config",
        "role",
        "status",
        "target",
        "type",
    ),
    "Manager": ("connection_mode", "target"),
    "Datapath": ("ct_zone_default_limit", "ct_zones"),
    "CT_Zone": ("limit", "timeout_policy"),
    "CT_Timeout_Policy": ("timeouts",),
    "Flow_Table": ("flow_limit", "groups", "name", "overflow_policy", "prefixes"),
    "Mirror": (
        "filter",
        "name",
        "output_port",
        "output_vlan",
        "select_all",
        "select_dst_port",
        "select_src_port",
        "select_vlan",
        "snaplen",
        "statistics",
    ),
    "NetFlow": (
        "active_timeout",
        "add_id_to_interface",
        "engine_id",
        "engine_type",
        "targets",
    ),
    "sFlow": ("agent", "header", "polling", "sampling", "targets"),
    "IPFIX": (
        "cache_active_timeout",
        "cache_max_flows",
        "obs_domain_id",
        "obs_point_id",
        "other_config",
        "sampling",
        "stats_interval",
        "targets",
        "template_interval",
    ),
    "Flow_Sample_Collector_Set": ("bridge", "id", "ipfix", "local_group_id"),
    "AutoAttach": ("mappings", "system_description", "system_name"),
    "QoS": ("other_config", "queues", "type"),
    "Queue": ("dscp", "other_config"),
    "SSL": ("bootstrap_ca_cert", "ca_cert", "certificate", "private_key"),
}
#: Columns that this daemon writes: their changes are no wishes.
OWN_COLUMNS: dict[str, frozenset[str]] = {
    "Open_vSwitch": frozenset(
        {
            "cur_cfg",
            "datapath_types",
            "dpdk_initialized",
            "dpdk_version",
            "iface_types",
            "statistics",
        }
    ),
    "Bridge": frozenset({"datapath_id", "datapath_version", "status"}),
    "Port": frozenset({"bond_active_slave", "status", "statistics"}),
    "Interface": frozenset(
        {
            "admin_state",
            "bfd_status",
            "cfm_fault",
            "cfm_fault_status",
            "cfm_flap_count",
            "cfm_health",
            "cfm_remote_mpids",
            "cfm_remote_opstate",
            "duplex",
            "error",
            "ifindex",
            "lacp_current",
            "link_resets",
            "link_speed",
            "link_state",
            "mac_in_use",
            "mtu",
            "ofport",
            "statistics",
            "status",
        }
    ),
    "Mirror": frozenset({"statistics"}),
    "Controller": frozenset({"is_connected", "role", "status"}),
}


class Connections(ControllerFacts, Protocol):
    """The OpenFlow sockets of all bridges."""

    def follow(self, bridges: dict[str, LiveBridge]) -> None:
        """Open and close sockets, so that they are those that the bridges' settings ask for."""

    def changes(self) -> int:
        """A number that grows whenever a connection comes, goes or changes its role."""


class Switch:
    """See the module. `ready` becomes true when the first configuration is applied and told."""

    def __init__(
        self,
        idl: Idl,
        devices: DeviceFactory,
        datapaths: DataPaths,
        connections: Connections,
        pid: int = 0,
        read_machine: Callable[[], dict[str, str]] = dict,
    ) -> None:
        self.applier = Applier(devices, datapaths)
        self.wish: Wish = NOTHING
        self.ready = False
        self._idl = idl
        self._devices = devices
        self._datapaths = datapaths
        self._connections = connections
        self._pid = pid
        #: What there is to tell of the machine.
        self._read_machine = read_machine
        self._machine: dict[str, str] = {}
        self._collector = Collector(idl, self.applier, connections)
        self._attached = AttachedVlans(idl)
        self._writer = StatusWriter(idl)
        self._wish_is_stale = True
        self._is_configured = False
        #: How often the configuration was applied.
        self.n_reconfigured = 0
        #: The configuration that was applied last, by its number.
        self._applied_cfg: int | None = None
        #: Devices are looked at no more often than status is written, however they flap.
        self._devices_changed = False
        self._look_due_ms = 0
        self._status_is_stale = True
        self._status_due_ms = 0
        self._counters_due_ms = 0
        #: Once a minute is enough.
        self._standing_by_limit = RateLimit(1, 1)
        self._versions = (-1, -1, -1)
        idl.set_lock(LOCK)

    # -- one turn ------------------------------------------------------------------------

    def run(self, now_ms: int) -> None:
        """Do what there is to do now."""
        if self._idl.is_lock_contended:
            self._stand_by()
            return
        self._note_changes()
        self._devices_changed |= self.applier.device_events()
        if self._may_act and self._wish_is_stale:
            self._reconfigure()
        elif self._is_configured and self._devices_changed and now_ms >= self._look_due_ms:
            self._follow_devices(now_ms)
        if self._may_act and self._is_configured:
            self._tell(now_ms)

    def deadline(self) -> int | None:
        """When `run` has to be called next, if nothing happens before."""
        if not self._is_configured:
            return None
        due: list[int] = []
        if self._devices_changed:
            due.append(self._look_due_ms)
        # Without the database, or while it has not answered, nothing can be written: its next
        # message wakes us.
        if self._may_act and not self._writer.busy:
            due.append(self._counters_due_ms)
            if self._status_is_stale:
                due.append(self._status_due_ms)
        return min(due, default=None)

    def transactions(self, status: str) -> int:
        """How often a transaction was found to be in that state."""
        return self._writer.outcomes.get(status, 0)

    def close(self, leaves: bool = True) -> None:
        """Remove all bridges; the database keeps what it was told. Queues of devices stay, unless
        nobody is to come after."""
        self.applier.close(leaves)
        self._connections.follow({})

    @property
    def _may_act(self) -> bool:
        """Whether the database can be read and written. While it cannot, bridges stay: a lost
        connection says nothing about them."""
        return self._idl.synced and self._idl.has_lock

    def _stand_by(self) -> None:
        """Another process is the switch. Leave everything to it until it is gone."""
        log.log_rl(
            ERR,
            self._standing_by_limit,
            "another ovs-vswitchd process is running, disabling this process (pid %d) until it "
            "goes away",
            self._pid,
        )
        if self.applier.bridges:
            self.close()
        self._wish_is_stale = True
        self._is_configured = False

    # -- configuration -------------------------------------------------------------------

    def _note_changes(self) -> None:
        changes = self._idl.take_changes()
        if changes and _concern_wish(changes):
            self._wish_is_stale = True
        elif changes:
            # Somebody else may have written to the columns that are ours.
            self._status_is_stale = True

    def _reconfigure(self) -> None:
        self.n_reconfigured += 1
        wish = read_wish(self._idl)
        self._complain(wish)
        if wish.stats_interval_ms != self.wish.stats_interval_ms:
            self._counters_due_ms = 0
        self.wish = wish
        self._wish_is_stale = False
        self._is_configured = True
        self.applier.apply(wish)
        self._connections.follow(self.applier.bridges)
        self._applied_cfg = next(
            (root.integer("next_cfg") for root in self._idl.rows("Open_vSwitch")), None
        )
        self._status_is_stale = True
        self._status_due_ms = 0

    def _complain(self, wish: Wish) -> None:
        """Log what is wrong with the wish, once for as long as it is."""
        known = set(self.wish.problems)
        for level, module, text in wish.problems:
            if (level, module, text) not in known:
                logger = get_logger(module)
                {"err": logger.err, "warn": logger.warn, "info": logger.info}[level]("%s", text)

    def _follow_devices(self, now_ms: int) -> None:
        self._devices_changed = False
        self._look_due_ms = now_ms + STATUS_INTERVAL_MS
        self.applier.refresh()
        if self.applier.errors:
            self.applier.apply(self.wish)

    # -- status --------------------------------------------------------------------------

    def _tell(self, now_ms: int) -> None:
        trees = sum(live.bridge.status_version for live in self.applier.bridges.values())
        versions = (self.applier.version, self._connections.changes(), trees)
        if versions != self._versions:
            self._versions = versions
            self._status_is_stale = True
        with_counters = now_ms >= self._counters_due_ms
        if self._writer.busy:
            return
        if self._writer.failed:
            self._writer.failed = False
            self._attached.undo()
            self._status_is_stale = True
        if with_counters or (self._status_is_stale and now_ms >= self._status_due_ms):
            self._write(now_ms, with_counters)
        # Ready is who has told: nothing more to write, and what was written is confirmed.
        if not (self._status_is_stale or self._writer.busy or self._writer.failed):
            self.ready = True

    def _write(self, now_ms: int, with_counters: bool) -> None:
        self._status_is_stale = False
        self._status_due_ms = now_ms + STATUS_INTERVAL_MS
        if with_counters:
            self._counters_due_ms = now_ms + self.wish.stats_interval_ms
            self.applier.refresh()
        if not self.wish.tells_of_machine:
            self._machine = {}
        elif with_counters or not self._machine:
            self._machine = self._read_machine()
        changes = self._collector.differences(now_ms, with_counters)
        for port, columns in self._attached.differences(self.wish.mappings).items():
            changes.setdefault(port, {}).update(columns)
        for root in self._idl.rows("Open_vSwitch")[:1]:
            different = differing(root, self._root_columns())
            if different:
                changes[root] = different
        self._writer.write(changes)

    def _root_columns(self) -> dict[str, Datum]:
        columns: dict[str, Datum] = {
            "datapath_types": tuple(sorted(self._datapaths.types())),
            "iface_types": tuple(sorted(self._devices.types() | {"patch"})),
            "dpdk_initialized": False,
            "dpdk_version": ("none",),
            "statistics": dict(sorted(self._machine.items())),
        }
        if self._applied_cfg is not None:
            columns["cur_cfg"] = self._applied_cfg
        return columns


def _concern_wish(changes: dict[str, dict[Uuid, Change]]) -> bool:
    """Whether any change is more than an echo of what this daemon wrote."""
    for table, rows in changes.items():
        own = OWN_COLUMNS.get(table, frozenset())
        for change in rows.values():
            if change.old is None or change.new is None or change.columns() - own:
                return True
    return False
