"""Why a pipeline drops a packet: the number in the action `drop`, OpenFlow's word for it, and the
counter that `coverage/show` has. Numbers and names are Open vSwitch's.

A packet that matched a rule without actions is dropped for no reason but that rule: number 0.
"""

from __future__ import annotations

#: By number: what a trace calls it, and its counter.
PIPELINE_DROPS = (
    ("", "drop_action_of_pipeline"),
    ("Bridge not found", "drop_action_bridge_not_found"),
    ("Recursion too deep", "drop_action_recursion_too_deep"),
    ("Too many resubmits", "drop_action_too_many_resubmit"),
    ("Stack too deep", "drop_action_stack_too_deep"),
    ("No recirculation context", "drop_action_no_recirculation_context"),
    ("Recirculation conflict", "drop_action_recirculation_conflict"),
    ("Too many MPLS labels", "drop_action_too_many_mpls_labels"),
    ("Invalid tunnel metadata", "drop_action_invalid_tunnel_metadata"),
    ("Unsupported packet type", "drop_action_unsupported_packet_type"),
    ("Congestion Drop", "drop_action_congestion"),
    ("Forwarding is disabled", "drop_action_forwarding_disabled"),
    ("Tunnel routing failed", "drop_action_tunnel_routing_failed"),
    ("Tunnel output has no ethernet", "drop_action_tunnel_output_no_ethernet"),
    ("Tunnel neighbor cache miss", "drop_action_tunnel_neigh_cache_miss"),
    ("Tunnel header build failed", "drop_action_tunnel_header_build_failed"),
)
_NUMBERS = {text: number for number, (text, _) in enumerate(PIPELINE_DROPS)}


def drop_number(error: str) -> int:
    """The number for a translation's error; that of a rule without actions if it has none."""
    return _NUMBERS.get(error, 0)


def drop_counter(number: int) -> str:
    """The counter of a reason; one that is unknown counts as the pipeline's."""
    return PIPELINE_DROPS[number if number < len(PIPELINE_DROPS) else 0][1]
