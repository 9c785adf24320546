"""What the pipeline counts for `coverage/show`, by names of Open vSwitch.

One object of a backer, so that who counts has the counter at hand: an event costs one addition.
What is counted anyway is read from there (`Counter.follow`), and what a packet costs on the short
roads (`shortcuts`) is told by its batch. `docs/reference/counters.md` says what each one means.
"""

from __future__ import annotations

from netloom.base.counters import Counter, Counters

#: Why all flows have to be translated again.
RECONFIGURE, FLOW_TABLE, MAC_LEARNING = "rev_reconfigure", "rev_flow_table", "rev_mac_learning"
MCAST, BOND, PORT_TOGGLED = "rev_mcast_snooping", "rev_bond", "rev_port_toggled"
STP, RSTP = "rev_stp", "rev_rstp"
REASONS = (RECONFIGURE, FLOW_TABLE, MAC_LEARNING, MCAST, BOND, PORT_TOGGLED, STP, RSTP)


class MacEvents:
    """What happens to entries of MAC tables."""

    __slots__ = ("evicted", "expired", "held", "learned", "moved")

    def __init__(self, counters: Counters) -> None:
        self.learned = counters.counter("mac_learning_learned")
        self.expired = counters.counter("mac_learning_expired")
        self.evicted = counters.counter("mac_learning_evicted")
        self.moved = counters.counter("mac_learning_moved")
        #: A static address was seen elsewhere.
        self.held = counters.counter("mac_learning_static_none_move")


class Events:
    """See the module."""

    def __init__(self, counters: Counters) -> None:
        counter = counters.counter
        self.counters = counters
        self.macs = MacEvents(counters)
        self.translated: Counter = counter("xlate_actions")
        #: A translation that came to more actions than a flow may have.
        self.oversize: Counter = counter("xlate_actions_oversize")
        self.too_many_outputs: Counter = counter("xlate_actions_too_many_output")
        self.rules_expired: Counter = counter("ofproto_dpif_expired")
        self.rules_flushed: Counter = counter("ofproto_flush")
        self.requests: Counter = counter("ofproto_recv_openflow")
        self.packet_outs: Counter = counter("ofproto_packet_out")
        self.queue_requests: Counter = counter("ofproto_queue_req")
        self.ports_updated: Counter = counter("ofproto_update_port")
        #: A controller does not read: its packet is lost.
        self.packet_ins_lost: Counter = counter("rconn_overflow")
        self.monitors_paused: Counter = counter("ofmonitor_pause")
        self.monitors_resumed: Counter = counter("ofmonitor_resume")
        # Flows of the data path.
        self.flow_known: Counter = counter("handler_duplicate_upcall")
        self.limit_hit: Counter = counter("upcall_flow_limit_hit")
        self.limit_killed: Counter = counter("upcall_flow_limit_kill")
        self.flow_found: Counter = counter("dumped_new_flow")
        self.flow_missed: Counter = counter("revalidate_missed_dp_flow")
        self.flow_forgotten: Counter = counter("revalidate_missing_dp_flow")
        #: Packets of the switch's own, and those that came up by an action: read once more.
        self.extracted: Counter = counter("flow_extract")
        self.stats_read: Counter = counter("netdev_get_stats")
        # What is asked of the data path, beside the flows of misses.
        self.flow_put: Counter = counter("dpif_flow_put")
        self.flow_del: Counter = counter("dpif_flow_del")
        self.flow_get: Counter = counter("dpif_flow_get")
        self.destroyed: Counter = counter("dpif_destroy")
        self.port_add: Counter = counter("dpif_port_add")
        self.port_del: Counter = counter("dpif_port_del")
        self.meter_set: Counter = counter("dpif_meter_set")
        self.meter_get: Counter = counter("dpif_meter_get")
        self.meter_del: Counter = counter("dpif_meter_del")
        self._reasons = {name: counter(name) for name in REASONS}

    def revalidated(self, reason: str) -> None:
        """All flows are translated again, because of one of REASONS (or of what is not counted)."""
        if reason:
            self._reasons[reason].add()
