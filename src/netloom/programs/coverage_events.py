"""The counters that daemons have from the start (`coverage/show`).

Whoever reads a counter by name gets an answer before the first event. Some events of Open vSwitch
cannot happen here, because what they count is not there (`NEVER`, with the reason): they stay 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.base.counters import Counters

if TYPE_CHECKING:
    from netloom.vswitchd.switch import Switch

#: What ovs-vswitchd counts: name -> when.
COUNTED = {
    "bridge_reconfigure": "the configuration of the database was applied",
    "conntrack_full": "a connection was not kept, as there are too many",
    "conntrack_invalid_fragment": "a fragment was tracked that cannot be put together",
    "conntrack_invalid_header": "a packet was tracked whose headers are broken",
    "conntrack_invalid_icmp": "an ICMP message was tracked that belongs to nothing",
    "conntrack_invalid_state": "a packet was tracked that cannot be in the state of its connection",
    "conntrack_invalid_tcp_flags": "the same, because of its TCP flags",
    "conntrack_l3csum_checked": "its IP checksum was looked at, as no device had done so",
    "conntrack_l3csum_err": "a packet was tracked whose IP checksum is wrong",
    "conntrack_l4csum_checked": "the same of its transport checksum",
    "conntrack_l4csum_err": "a packet was tracked whose transport checksum is wrong",
    "conntrack_lookup_natted_miss": (
        "a packet was translated before, by a connection that is not there any more"
    ),
    "conntrack_nat_exhausted": (
        "a connection was not kept, as no address and port to translate to are left"
    ),
    "conntrack_tcp_seq_chk_bypass": (
        "a segment was not held against the window, by `dpctl/ct-disable-tcp-seq-chk`"
    ),
    "conntrack_tcp_seq_chk_failed": "a segment was tracked that is not in the window",
    "conntrack_zone_full": "a connection was not kept, as its zone has too many",
    "datapath_drop_invalid_bond": "dropped: the bond to be spread over is not there",
    "datapath_drop_invalid_port": "dropped: the port to leave by is not there",
    "datapath_drop_invalid_tnl_port": "dropped: the tunnel that it came in by is not there",
    "datapath_drop_meter": "dropped by a meter",
    "datapath_drop_nsh_decap_error": "dropped: its service header is broken",
    "datapath_drop_recirc_error": "dropped: it came back too often",
    "datapath_drop_rx_invalid_packet": (
        "dropped: shorter than an Ethernet header, or longer than any packet"
    ),
    "datapath_drop_tunnel_pop_error": "dropped: its tunnel headers are broken",
    "datapath_drop_tunnel_push_error": "dropped: no headers could be put in front of it",
    "datapath_drop_upcall_error": "dropped: too many packets without a flow wait",
    "datapath_drop_userspace_action_error": (
        "dropped: too many packets wait, of those that an action sends up"
    ),
    "dp_packet_batch_grow": "a batch of packets became longer, by the 32 that it holds at first",
    "dp_packet_gso": "a packet was cut into segments, here and not by a device",
    "dpif_destroy": "a data path lost its last bridge",
    "dpif_execute": (
        "a packet was executed that is no miss: one of a controller, of the switch's own, or slow"
    ),
    "dpif_flow_del": "a flow of a data path was removed",
    "dpif_flow_flush": "all flows of a data path were removed (`dpctl/del-flows`)",
    "dpif_flow_get": "a flow of a data path was asked for (`dpctl/get-flow`)",
    "dpif_flow_put": "a flow of a data path was changed, or added by hand; not the flows of misses",
    "dpif_meter_del": "a meter was removed",
    "dpif_meter_get": "what a meter has counted was asked for",
    "dpif_meter_set": "a meter was made or changed",
    "dpif_netdev_output_grow_queues": "the same of a batch that waits for a port",
    "dpif_port_add": "a port was added to a data path",
    "dpif_port_del": "a port was removed from a data path",
    "drop_action_bridge_not_found": (
        "dropped: the bridge that it came from, or goes to, is not there"
    ),
    "drop_action_congestion": (
        "dropped: a tunnel's packet that met congestion, of a sender that does not know of such"
    ),
    "drop_action_forwarding_disabled": "dropped: its port does not forward (spanning tree)",
    "drop_action_invalid_tunnel_metadata": "dropped: its tunnel's options are broken",
    "drop_action_no_recirculation_context": "dropped: it came back to what is forgotten",
    "drop_action_of_pipeline": "dropped by flows: none matches, or it has no actions",
    "drop_action_recirculation_conflict": "dropped: it would have to come back to two places",
    "drop_action_recursion_too_deep": (
        "dropped: tables, patch ports or groups lead in too many circles"
    ),
    "drop_action_stack_too_deep": "dropped: too much was pushed",
    "drop_action_too_many_mpls_labels": "dropped: more labels than can be",
    "drop_action_too_many_resubmit": "dropped: too many tables were looked up",
    "drop_action_tunnel_header_build_failed": "dropped: its tunnel cannot carry what it is",
    "drop_action_tunnel_neigh_cache_miss": (
        "dropped: nobody knows yet who is next on its tunnel's way"
    ),
    "drop_action_tunnel_output_no_ethernet": (
        "dropped: the device that its tunnel leaves by has no Ethernet address"
    ),
    "drop_action_tunnel_routing_failed": "dropped: there is no way to its tunnel's end",
    "drop_action_unsupported_packet_type": "dropped: nobody forwards what it is",
    "dumped_new_flow": "a flow was found in a data path that somebody else has put there",
    "flow_extract": "a packet was read once more: the switch's own, or sent up by an action",
    "handler_duplicate_upcall": (
        "a packet had no flow in the data path, and when it was dealt with it had"
    ),
    "ipf_l3csum_checked": "its checksum was looked at, as no device had done so",
    "ipf_l3csum_err": "a fragment was tracked whose IP checksum is wrong",
    "ipf_stuck_frag_list_purged": "fragments were thrown away whose packet nobody completed",
    "lockfile_lock": "a file of a database was locked (by ovsdb-server)",
    "mac_learning_evicted": "an address was forgotten for another",
    "mac_learning_expired": "an address was forgotten, being too old",
    "mac_learning_learned": "an address was learned",
    "mac_learning_moved": "an address was learned on another port than before",
    "mac_learning_static_none_move": (
        "an address that `fdb/add` holds at its port was seen at another"
    ),
    "mcast_snooping_expired": "a member of a multicast group was forgotten, being too old",
    "mcast_snooping_learned": "a multicast group was learned",
    "miniflow_extract_ipv4_pkt_len_error": "a packet came in whose IPv4 header has wrong lengths",
    "miniflow_extract_ipv4_pkt_too_short": "a packet came in that ends inside of its IPv4 header",
    "miniflow_extract_ipv6_pkt_len_error": "a packet came in whose IPv6 header has wrong lengths",
    "miniflow_extract_ipv6_pkt_too_short": "a packet came in that ends inside of its IPv6 header",
    "native_tnl_l3csum_checked": "the outer IP checksum of a packet from a tunnel was looked at",
    "native_tnl_l3csum_err": "it, or what a device says of it, is wrong",
    "native_tnl_l4csum_checked": "the outer UDP checksum of a packet from a tunnel was looked at",
    "native_tnl_l4csum_err": "it, or what a device says of it, is wrong",
    "netdev_get_stats": "the counters of a device were asked for",
    "netdev_received": "a batch of packets came in at a port",
    "netdev_sent": "a batch of packets was sent by a port",
    "ofmonitor_pause": "a controller did not read: its flow monitors were told to wait",
    "ofmonitor_resume": "it read again: they were told what they had missed",
    "ofproto_dpif_expired": "an OpenFlow flow was removed, being too old",
    "ofproto_flush": "all OpenFlow flows of a bridge were removed, because of its fail mode",
    "ofproto_packet_out": "a controller sent a packet",
    "ofproto_queue_req": "a controller asked for what queues have counted",
    "ofproto_recv_openflow": "an OpenFlow message came in",
    "ofproto_update_port": "a port came, went or changed its state",
    "packet_in_overflow": (
        "more packets for controllers than can be kept (here they are sent at once)"
    ),
    "poll_zero_timeout": "a turn of the main loop had to follow at once",
    "pstream_open": "a socket was listened on",
    "rconn_discarded": "an OpenFlow message was not sent, as its connection was lost",
    "rconn_overflow": "a packet for a controller was lost, as it does not read",
    "rconn_queued": "an OpenFlow message was to be sent",
    "rconn_sent": "an OpenFlow message was sent",
    "rev_bond": "flows were translated again: a bond changed",
    "rev_flow_table": "the same: OpenFlow tables or groups changed",
    "rev_mac_learning": "the same: addresses were learned or forgotten",
    "rev_mcast_snooping": "the same: multicast groups were learned or forgotten",
    "rev_port_toggled": "the same: a link came or went",
    "rev_reconfigure": "the same: something was configured",
    "rev_rstp": "the same: the rapid spanning tree changed",
    "rev_stp": "the same: the spanning tree changed",
    "revalidate_missed_dp_flow": "a flow was not found in a data path that was put there",
    "revalidate_missing_dp_flow": "such a flow was forgotten",
    "stream_open": "a connection was called",
    "txn_aborted": "a transaction was given up",
    "txn_error": "a transaction failed in the database",
    "txn_incomplete": "a transaction was sent to the database",
    "txn_not_locked": "a transaction was not sent, as another process is the switch",
    "txn_success": "a transaction succeeded",
    "txn_try_again": "a transaction met another's change",
    "txn_unchanged": "there was nothing to tell the database",
    "txn_uncommitted": "a transaction was found that nobody had sent",
    "unixctl_received": "a command of `ovs-appctl` came in",
    "unixctl_replied": "a command of `ovs-appctl` was answered",
    "upcall_flow_limit_hit": "a packet's flow was not installed, as there are too many",
    "upcall_flow_limit_kill": "all flows were removed, as there were twice too many",
    "vconn_open": "a controller was called",
    "vconn_received": "an OpenFlow message came in, greetings included",
    "vconn_sent": "an OpenFlow message was sent, greetings included",
    "xlate_actions": "the pipeline was walked through for a packet or a flow",
    "xlate_actions_oversize": "a walk came to more actions than a flow can have",
    "xlate_actions_too_many_output": "a walk came to more than 1,000 outputs",
}
#: Reason -> names of events of Open vSwitch that cannot happen here.
NEVER = {
    "hash tables and their buckets are the interpreter's": (
        "ccmap_expand", "ccmap_shrink", "cmap_expand", "cmap_shrink", "hindex_expand",
        "hindex_pathological", "hindex_reserve", "hindex_shrink", "hmap_expand",
        "hmap_pathological", "hmap_reserve", "hmap_shrink", "miniflow_malloc", "util_xalloc",
    ),
    "one thread does everything: nobody waits for a lock, or meets another's work": (
        "datapath_drop_lock_error", "dumped_duplicate_flow", "seq_change",
        "ukey_dp_change", "ukey_replace_contention", "upcall_ukey_contention",
        "upcall_ukey_replace", "vhost_tx_contention",
    ),
    "packets are looked up again one by one": ("dpif_netdev_recirc_big_batch",),
    "the event loop keeps its descriptors from turn to turn": ("poll_create_node",),
    "there are no AF_XDP devices": (
        "afxdp_cq_empty", "afxdp_cq_skip", "afxdp_fq_full", "afxdp_tx_full",
    ),
    "devices of the host are followed by netlink, not asked one by one": (
        "netdev_arp_lookup", "netdev_get_ethtool", "netdev_get_hwaddr", "netdev_get_ifindex",
        "netdev_set_ethtool", "netdev_set_hwaddr", "ofproto_reinit_ports",
    ),
    "netlink is spoken by a library": (
        "netlink_overflow", "netlink_received", "netlink_recv_jumbo", "netlink_sent", "nln_changed",
    ),
    "devices have no part in it": (
        "netdev_add_router", "netdev_push_header_drops", "netdev_send_prepare_drops",
        "netdev_set_policing",
    ),
    "the data path does all actions by itself, and keeps no packets to be purged": (
        "dpif_execute_with_help", "dpif_purge",
    ),
    "samples always fit": ("datapath_drop_sample_error",),
    "a device of Linux that leaves a checksum says where it is": (
        "netdev_linux_invalid_l4_csum", "netdev_linux_unknown_l4_csum",
    ),
    "all packets are cut into whole segments": ("dp_packet_partial_gso",),
    "flows run in hardware of dummies only, which hands all packets back whole": (
        "datapath_drop_hw_post_process", "datapath_drop_hw_post_process_consumed",
        "tc_netlink_malformed_reply",
    ),
    "locks are the database server's, which holds them for good": (
        "lockfile_error", "lockfile_unlock",
    ),
    "the switch starts no processes": ("process_start",),
}  # fmt: skip


#: What only a switch can count; the other counters are in every daemon.
_OF_SWITCHES = (
    "bridge_", "dumped_", "handler_", "mac_learning_", "mcast_", "ofmonitor_", "ofproto_",
    "packet_in_", "rconn_", "rev_", "revalidate_", "upcall_", "vconn_", "xlate_",
)  # fmt: skip


#: The same of ovsdb-server alone.
NEVER_OF_SERVERS = {
    "transactions of relays and entries of clusters are not counted": (
        "raft_entry_serialize", "txn_forward_cancel", "txn_forward_complete", "txn_forward_create",
        "txn_forward_sent",
    ),
}  # fmt: skip


def names() -> list[str]:
    """Of all counters of ovs-vswitchd."""
    return [*COUNTED, *(name for never in NEVER.values() for name in never)]


def declare_server_events(counters: Counters) -> None:
    """Have the counters of ovsdb-server."""
    counters.declare(name for name in names() if not name.startswith(_OF_SWITCHES))
    counters.declare(name for never in NEVER_OF_SERVERS.values() for name in never)


def declare_events(counters: Counters, switch: Switch) -> None:
    """Have the counters of ovs-vswitchd, and those of `switch` followed."""
    counters.declare(names())
    counters.counter("bridge_reconfigure").follow(lambda: switch.n_reconfigured)
    for name in names():
        if name.startswith("txn_"):
            _follow_transactions(counters, switch, name)


def _follow_transactions(counters: Counters, switch: Switch, name: str) -> None:
    status = name.removeprefix("txn_").replace("_", " ")
    counters.counter(name).follow(lambda: switch.transactions(status))
