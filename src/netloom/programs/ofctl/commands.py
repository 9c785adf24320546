"""The commands of `ovs-ofctl`: what they are called with and where they are."""

from __future__ import annotations

#: name, least and most arguments, `w` if it changes the switch, module.function.
#: Modules are those of this package.
_COMMANDS = """
show 1 1 r dumps.show usage:switch
monitor 1 3 r monitor.monitor usage:switch [misslen] [invalid_ttl] [watch:[...]]
snoop 1 1 r monitor.snoop usage:switch
dump-desc 1 1 r dumps.dump_desc usage:switch
dump-tables 1 1 r dumps.dump_tables usage:switch
dump-table-features 1 1 r dumps.dump_table_features usage:switch
dump-table-desc 1 1 r tables.dump_table_desc usage:switch
dump-flows 1 2 r dumps.dump_flows usage:switch
dump-aggregate 1 2 r dumps.dump_aggregate usage:switch
queue-stats 1 3 r dumps.queue_stats usage:switch [port [queue]]
queue-get-config 1 3 r dumps.queue_get_config usage:switch [port [queue]]
add-flow 2 2 w flows.add_flow usage:switch flow
add-flows 2 2 w flows.add_flows usage:switch file
mod-flows 2 2 w flows.mod_flows usage:switch flow
del-flows 1 2 w flows.del_flows usage:switch [flow]
replace-flows 2 2 w compare.replace_flows usage:switch file
diff-flows 2 2 w compare.diff_flows usage:source1 source2
add-meter 2 2 w meters.add_meter usage:switch meter
mod-meter 2 2 w meters.mod_meter usage:switch meter
del-meter 1 2 w meters.del_meters usage:switch meter
del-meters 1 2 w meters.del_meters usage:switch
dump-meter 1 2 r meters.dump_meters usage:switch meter
dump-meters 1 2 r meters.dump_meters usage:switch
meter-stats 1 2 r meters.meter_stats usage:switch [meter]
meter-features 1 1 r meters.meter_features usage:switch
packet-out 2 -1 w flows.packet_out usage:switch "in_port=<port> packet=<hex data> actions=..."
dump-ports 1 2 r dumps.dump_ports usage:switch [port]
dump-ports-desc 1 2 r dumps.dump_ports_desc usage:switch [port]
mod-port 3 3 w ports.mod_port usage:switch iface act
mod-table 3 3 w tables.mod_table usage:switch mod
get-frags 1 1 r ports.get_frags usage:switch
set-frags 2 2 w ports.set_frags usage:switch frag_mode
probe 1 1 r echo.probe usage:target
ping 1 2 r echo.ping usage:target [n]
benchmark 3 3 r echo.benchmark usage:target n count
dump-ipfix-bridge 1 1 r nicira.dump_ipfix_bridge usage:switch
dump-ipfix-flow 1 1 r nicira.dump_ipfix_flow usage:switch
ct-flush-zone 2 2 r nicira.ct_flush_zone usage:switch zone
ct-flush 1 6 r nicira.ct_flush usage:switch [zone=N] [mark=X[/M]] [labels=Y[/N]] [ct-orig-tuple [ct-reply-tuple]]
ofp-parse 1 1 w debug.ofp_parse usage:file
ofp-parse-pcap 1 -1 w packets.ofp_parse_pcap usage:pcap
add-group 1 2 w groups.add_group usage:switch group
add-groups 2 2 w groups.add_groups usage:switch file
mod-group 1 2 w groups.mod_group usage:switch group
del-groups 1 2 w groups.del_groups usage:switch [group]
insert-buckets 1 2 w groups.insert_buckets usage:switch [group]
remove-buckets 1 2 w groups.remove_buckets usage:switch [group]
dump-groups 1 2 r groups.dump_groups usage:switch [group]
dump-group-stats 1 2 r groups.dump_group_stats usage:switch [group]
dump-group-features 1 1 r groups.dump_group_features usage:switch
bundle 2 2 w bundles.bundle usage:switch file
add-tlv-map 2 2 r nicira.add_tlv_map usage:switch map
del-tlv-map 1 2 r nicira.del_tlv_map usage:switch [map]
dump-tlv-map 1 1 r nicira.dump_tlv_map usage:switch
help 0 -1 r debug.print_help usage:
list-commands 0 -1 r debug.list_commands usage:
parse-flow 1 1 w debug.parse_flow usage:
parse-flows 1 1 w debug.parse_flows usage:
parse-group 1 1 w groups.parse_group usage:
parse-nx-match 0 0 w matches.parse_nx_match usage:
parse-nxm 0 0 w matches.parse_nx_match usage:
parse-oxm 1 1 w matches.parse_oxm usage:
parse-actions 1 1 w debug.parse_action_bytes usage:
parse-instructions 1 1 w debug.parse_instruction_bytes usage:
parse-ofp10-match 0 0 w matches.parse_ofp10_match usage:
parse-ofp11-match 0 0 w matches.parse_ofp11_match usage:
parse-pcap 1 -1 w packets.parse_pcap usage:
check-vlan 2 2 w matches.check_vlan usage:
print-error 1 1 w debug.print_error usage:
encode-error-reply 2 2 w debug.encode_error_reply usage:
ofp-print 1 2 w debug.ofp_print usage:
encode-hello 1 1 w debug.encode_hello usage:
parse-key-value 1 -1 w debug.parse_key_value usage:
compose-packet 1 2 r packets.compose_packet usage:
parse-packet 0 0 w packets.parse_packet usage:
"""  # noqa: E501


class Command:
    """One row: `least` and `most` count arguments (`most` -1: any number)."""

    __slots__ = ("function", "least", "most", "name", "usage", "writes")

    def __init__(self, row: str) -> None:
        head, _, self.usage = row.partition(" usage:")
        self.name, least, most, mode, self.function = head.split()
        self.least = int(least)
        self.most = int(most)
        self.writes = mode == "w"


def all_commands() -> list[Command]:
    return [Command(row) for row in _COMMANDS.strip().split("\n")]


def find_command(name: str) -> Command | None:
    """The command `name`, reading no more of the table than needed."""
    at = _COMMANDS.find(f"\n{name} ") if name and " " not in name else -1
    if at < 0:
        return None
    return Command(_COMMANDS[at + 1 : _COMMANDS.index("\n", at + 1)])
