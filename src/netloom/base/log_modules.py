"""The names of log modules that Open vSwitch's programs know, as `vlog/list` prints them.

A user may name a module (`-vMODULE`, `vlog/set`) before ours is imported, and scripts name modules
of Open vSwitch that have no counterpart here; those log nothing.
"""

from __future__ import annotations

#: Of every program.
_LIBRARY = (
    "backtrace", "bundle", "command_line", "conntrack", "conntrack_tp", "coverage", "ct_dpif",
    "daemon", "daemon_unix", "dns_resolve", "dpdk", "dpif", "dpif_lookup_autovalidator",
    "dpif_lookup_generic", "dpif_mfex_extract_study", "dpif_netdev", "dpif_netdev_extract",
    "dpif_netdev_impl", "dpif_netdev_lookup", "dpif_netlink", "dpif_netlink_rtnl", "entropy",
    "fatal_signal", "flow", "hmap", "ipf", "jsonrpc", "lockfile", "memory", "meta_flow",
    "native_tnl", "netdev", "netdev_afxdp", "netdev_linux", "netdev_offload",
    "netdev_offload_tc", "netdev_vport", "netlink", "netlink_conntrack", "netlink_notifier",
    "netlink_socket", "nx_match", "odp_execute", "odp_execute_impl", "odp_util", "ofp_actions",
    "ofp_bundle", "ofp_connection", "ofp_errors", "ofp_flow", "ofp_group", "ofp_match",
    "ofp_meter", "ofp_monitor", "ofp_msgs", "ofp_packet", "ofp_port", "ofp_protocol",
    "ofp_queue", "ofp_table", "ofp_util", "ovs_numa", "ovs_rcu", "ovs_replay", "ovs_router",
    "ovs_thread", "ovsdb_cs", "ovsdb_error", "ovsdb_idl", "ox_stat", "pmd_perf", "poll_loop",
    "process", "reconnect", "route_table", "sha1", "signals", "socket_util", "socket_util_unix",
    "stream", "stream_fd", "stream_replay", "stream_ssl", "stream_tcp", "stream_unix", "svec",
    "tc", "timeval", "unixctl", "userspace_tso", "util", "uuid", "vlog",
)  # fmt: skip

#: Of `ovs-vswitchd` alone.
_SWITCH = (
    "bfd", "bond", "bridge", "bundles", "cfm", "collectors", "connmgr", "fail_open", "in_band",
    "ipfix", "lacp", "lldp", "lldpd", "lldpd_structs", "netdev_dummy", "netflow", "ofproto",
    "ofproto_dpif", "ofproto_dpif_mirror", "ofproto_dpif_monitor", "ofproto_dpif_rid",
    "ofproto_dpif_upcall", "ofproto_dpif_xlate", "ofproto_xlate_cache", "ovs_lldp", "pcap",
    "rconn", "rstp", "rstp_sm", "sflow", "stp", "system_stats", "tunnel", "vconn",
    "vconn_stream", "vswitchd",
)  # fmt: skip

#: Of the programs that hold a database.
_DATABASE = (
    "ovsdb", "ovsdb_file", "ovsdb_jsonrpc_server", "ovsdb_log", "ovsdb_monitor", "ovsdb_rbac",
    "ovsdb_util", "raft", "raft_rpc", "relay", "replication", "storage", "transaction",
    "transaction_forward", "trigger",
)  # fmt: skip

_OF_PROGRAM = {
    "ovs-vswitchd": _SWITCH,
    "ovsdb-server": (*_DATABASE, "ovsdb_server"),
    "ovsdb-client": (*_DATABASE, "ovsdb_client"),
    "ovsdb-tool": (*_DATABASE, "ovsdb_tool"),
    "ovs-vsctl": ("db_ctl_base", "vsctl"),
    "vtep-ctl": ("db_ctl_base", "vtep_ctl"),
    "ovs-ofctl": ("ofctl", "vconn", "vconn_stream"),
    "ovs-dpctl": ("dpctl",),
    "ovs-testcontroller": ("controller", "learning_switch", "rconn", "vconn", "vconn_stream"),
}


def modules_of(program: str) -> tuple[str, ...]:
    """The modules that users of `program` may name."""
    return _LIBRARY + _OF_PROGRAM.get(program, ())
