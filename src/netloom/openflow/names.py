"""Words for numbers in messages, as they are printed."""

from __future__ import annotations

#: OFPR_*
REASONS = {
    0: "no_match",
    1: "action",
    2: "invalid_ttl",
    3: "action_set",
    4: "group",
    5: "packet_out",
    6: "explicit_miss",
    7: "implicit_miss",
}

#: OFPRR_*
REMOVED = {
    0: "idle",
    1: "hard",
    2: "delete",
    3: "group_delete",
    4: "meter_delete",
    5: "eviction",
}

#: OFPPR_*
PORT_REASONS = {0: "add", 1: "delete", 2: "modify"}

#: OFPCRR_*
ROLE_REASONS = {0: "primary_request", 1: "configuration_changed", 2: "experimenter_data_changed"}

#: OFPTR_*
TABLE_REASONS = {3: "vacancy_down", 4: "vacancy_up"}

#: OFPRFR_*
FORWARDED = {0: "group_mod_request", 1: "meter_mod_request"}

FRAGMENTS = {0: "normal", 1: "drop", 2: "reassemble", 3: "nx-match"}

COMMANDS = {0: "ADD", 1: "MOD", 2: "MOD_STRICT", 3: "DEL", 4: "DEL_STRICT"}

ROLES = {0: "nochange", 1: "equal", 2: "primary", 3: "secondary"}

PACKET_IN_FORMATS = {0: "standard", 1: "nxt_packet_in", 2: "nxt_packet_in2"}

#: Class of an action -> its keyword, for messages.
ACTION_NAMES = {
    "Output": "output", "OutputReg": "output_reg", "OutputTrunc": "output_trunc",
    "Controller": "controller", "Enqueue": "enqueue", "Group": "group",
    "SetField": "set_field", "Move": "move", "SetVlanVid": "set_vlan_vid",
    "SetVlanPcp": "set_vlan_pcp", "StripVlan": "strip_vlan", "PushVlan": "push_vlan",
    "PushMpls": "push_mpls", "PopMpls": "pop_mpls", "DecTtl": "dec_ttl",
    "SetMplsLabel": "set_mpls_label", "SetMplsTc": "set_mpls_tc",
    "SetMplsTtl": "set_mpls_ttl", "DecMplsTtl": "dec_mpls_ttl", "SetTunnelId": "set_tunnel",
    "SetQueue": "set_queue", "PopQueue": "pop_queue", "Push": "push", "Pop": "pop",
    "Resubmit": "resubmit", "Clone": "clone", "Note": "note", "Conjunction": "conjunction",
    "Exit": "exit", "Meter": "meter", "ClearActions": "clear_actions",
    "WriteActions": "write_actions", "WriteMetadata": "write_metadata",
    "GotoTable": "goto_table", "Multipath": "multipath", "Bundle": "bundle", "Learn": "learn",
    "FinTimeout": "fin_timeout", "Conntrack": "ct", "Nat": "nat", "CtClear": "ct_clear",
    "Encap": "encap", "Decap": "decap", "DecNshTtl": "dec_nsh_ttl",
    "DeleteField": "delete_field", "CheckPktLarger": "check_pkt_larger", "Sample": "sample",
    "DebugRecirc": "debug_recirc", "DebugSlow": "debug_slow", "UnrollXlate": "unroll_xlate",
}  # fmt: skip
