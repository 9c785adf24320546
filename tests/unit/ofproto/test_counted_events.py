"""What the pipeline counts: why packets are dropped, and what becomes of flows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from netloom.datapath.action_parse import parse_actions
from netloom.datapath.drop_reasons import PIPELINE_DROPS
from netloom.flow.compose import compose_packet
from netloom.flow.key import IN_PORT_MASK, RECIRC_ID_MASK
from netloom.flow.text import parse_flow

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch

PACKET = "udp,dl_src=00:00:00:00:00:0{0},dl_dst=00:00:00:00:00:0b,nw_ttl=9,udp_dst={1}"


@pytest.fixture
def switch() -> SmallSwitch:
    switch = SmallSwitch()
    switch.add_bridge("br0")
    for number in (1, 2):
        switch.add_port("br0", f"p{number}", number, {})
    return switch


def send(switch: SmallSwitch, port: str = "p1", source: int = 1, udp_dst: int = 7) -> None:
    packet = compose_packet(parse_flow(PACKET.format(source, udp_dst)))
    switch.devices.find(port).inject(packet)
    for _ in range(3):
        switch.backer.run()


def inject(switch: SmallSwitch, packet: bytes) -> None:
    switch.devices.find("p1").inject(packet)
    for _ in range(3):
        switch.backer.run()


def count(switch: SmallSwitch, name: str) -> int:
    return switch.counters.counter(name).total


def twice(tables: int, actions: str = "") -> str:
    """Tables that each look the next one up twice."""
    return "\n".join(
        f"table={table},actions={actions}resubmit(,{table + 1}),{actions}resubmit(,{table + 1})"
        for table in range(tables)
    )


DROPS = {
    "drop_action_of_pipeline": "actions=drop",
    "drop_action_recursion_too_deep": "actions=resubmit(,0)",
    "drop_action_too_many_resubmit": twice(14),
    "drop_action_stack_too_deep": twice(8, "push:NXM_NX_XXREG0[]," * 40),
    "drop_action_too_many_mpls_labels": f"actions={'push_mpls:0x8847,' * 4}2",
    "drop_action_unsupported_packet_type": "actions=encap(nsh),decap(),decap(),decap(),2",
}


@pytest.mark.parametrize(("name", "flows"), DROPS.items(), ids=list(DROPS))
def test_each_dropped_packet_is_counted_by_its_reason(
    switch: SmallSwitch, name: str, flows: str
) -> None:
    switch.replace_flows("br0", flows)
    for _ in range(3):
        send(switch)
    counted = {counter: count(switch, counter) for _, counter in PIPELINE_DROPS}
    assert counted[name] == sum(counted.values()) == 3
    assert not switch.devices.find("p2").sent


def test_a_packet_of_a_port_that_does_not_forward_is_counted(switch: SmallSwitch) -> None:
    switch.replace_flows("br0", "actions=2")
    switch.backer.bridges["br0"].ports_by_name["p1"].forwards = False
    send(switch)
    assert count(switch, "drop_action_forwarding_disabled") == 1


def test_a_packet_that_comes_back_to_nothing_is_counted(switch: SmallSwitch) -> None:
    port = switch.backer.bridges["br0"].ports_by_name["p1"].dp_port
    mask = IN_PORT_MASK | RECIRC_ID_MASK
    switch.dpif.flow_put(port, mask, parse_actions("recirc(0x77)"))
    send(switch)
    assert count(switch, "drop_action_no_recirculation_context") == 1


def test_a_packet_to_a_bond_that_is_not_there_is_counted(switch: SmallSwitch) -> None:
    port = switch.backer.bridges["br0"].ports_by_name["p1"].dp_port
    switch.dpif.flow_put(port, IN_PORT_MASK, parse_actions("lb_output(9)"))
    send(switch)
    assert count(switch, "datapath_drop_invalid_bond") == 1
    target = switch.backer.bridges["br0"].ports_by_name["p2"].dp_port
    switch.dpif.bonds.set(9, [target] * 256)
    send(switch)
    assert count(switch, "datapath_drop_invalid_bond") == 1
    assert len(switch.devices.find("p2").sent) == 1
    assert sum(switch.dpif.bonds.n_bytes(9)) > 0


def test_a_walk_that_comes_to_too_much_goes_on_packet_by_packet(switch: SmallSwitch) -> None:
    rewrite = "mod_dl_src:00:00:00:00:{0:02x}:01,2,resubmit(,{1}),mod_dl_src:00:00:00:00:{0:02x}:02"
    for n_tables, name in ((12, "oversize"), (9, "too_many_output")):
        switch.replace_flows("br0", "\n".join(
            f"table={table},actions={rewrite.format(table, table + 1)},2,resubmit(,{table + 1})"
            for table in range(n_tables)
        ))  # fmt: skip
        before = count(switch, f"xlate_actions_{name}")
        switch.devices.find("p2").sent.clear()
        send(switch)
        assert count(switch, f"xlate_actions_{name}") > before
        assert len(switch.devices.find("p2").sent) > 1_000
        assert "slow_path(action)" in switch.control("dpif/dump-flows", "br0")


def test_broken_ip_headers_are_counted_also_of_packets_with_flows(switch: SmallSwitch) -> None:
    macs, ipv6 = bytes(12), bytes.fromhex("6000000000501140") + bytes(32)
    packets = {
        "ipv4_pkt_too_short": macs + bytes.fromhex("0800 4500 001c"),
        "ipv4_pkt_len_error": macs + bytes.fromhex("0800 4500 00ff") + bytes(40),
        "ipv6_pkt_too_short": macs + bytes.fromhex("81000007 86dd") + ipv6[:30],
        "ipv6_pkt_len_error": macs + b"\x86\xdd" + ipv6 + bytes(8),
    }
    switch.replace_flows("br0", "actions=2")
    for name, packet in packets.items():
        for _ in range(3):
            inject(switch, packet)
        assert count(switch, f"miniflow_extract_{name}") == 3
    # A packet of no protocol may be quite right.
    inject(switch, macs + b"\x88\xcc" + bytes(30))
    inject(switch, macs + b"\x86\xdd" + bytes.fromhex("6000000000083b40") + bytes(40))
    assert sum(count(switch, f"miniflow_extract_{name}") for name in packets) == 12
    assert len(switch.devices.find("p2").sent) == 14


def test_flows_above_the_limit_are_counted_and_twice_too_many_removed(switch: SmallSwitch) -> None:
    switch.replace_flows("br0", "udp,udp_dst=1,actions=drop\npriority=0,actions=2")
    for port in range(2, 12):
        send(switch, udp_dst=1 << port)
    n_flows = switch.backer.revalidator.n_flows
    assert n_flows > 2
    switch.control("upcall/set-flow-limit", str(n_flows))
    send(switch, port="p2")
    assert count(switch, "upcall_flow_limit_hit") == 1
    switch.control("upcall/set-flow-limit", str(n_flows // 3))
    switch.backer.revalidator.sweep(switch.clock.now_ms())
    assert count(switch, "upcall_flow_limit_kill") == 1
    assert switch.backer.revalidator.n_flows == 0


def test_flows_of_others_are_corrected_or_go(switch: SmallSwitch) -> None:
    switch.replace_flows("br0", "actions=2")
    send(switch)
    (flow,) = switch.dpif.flow_dump()
    switch.dpif.flow_flush()
    switch.backer.revalidator.sweep(switch.clock.now_ms())
    switch.dpif.flow_put(flow.key + 76, flow.mask, parse_actions("1"))
    switch.dpif.flow_put(flow.key, flow.mask, parse_actions("1"))
    assert switch.backer.deadline() is not None
    send(switch)
    switch.backer.revalidator.sweep(switch.clock.now_ms())
    # One that nobody used is gone, one that was used does what the tables say from now on.
    (found,) = switch.dpif.flow_dump()
    assert (found.key, found.actions) == (flow.key, flow.actions)
    assert count(switch, "dumped_new_flow") == 1
    send(switch)
    assert len(switch.devices.find("p2").sent) == 2


def test_flows_that_others_remove_are_counted(switch: SmallSwitch) -> None:
    switch.replace_flows("br0", "actions=2")
    send(switch)
    switch.backer.revalidator.sweep(switch.clock.now_ms())
    switch.dpif.flow_flush()
    switch.backer.revalidator.sweep(switch.clock.now_ms())
    assert count(switch, "revalidate_missed_dp_flow") == 1
    assert count(switch, "revalidate_missing_dp_flow") == 1


def test_a_static_address_that_is_seen_elsewhere_is_counted_once_a_flow(
    switch: SmallSwitch,
) -> None:
    switch.replace_flows("br0", "actions=normal")
    switch.control("fdb/add", "br0", "p1", "0", "00:00:00:00:00:02")
    for _ in range(3):
        send(switch, "p2", source=2)
        switch.backer.revalidator.sweep(switch.clock.now_ms())
    assert count(switch, "mac_learning_static_none_move") == 1
    assert count(switch, "mac_learning_learned") == 0


def test_why_flows_are_translated_again_is_counted(switch: SmallSwitch) -> None:
    def reasons() -> dict[str, int]:
        return {
            counter.name: counter.total
            for counter in switch.counters.all()
            if counter.name.startswith("rev_") and counter.total
        }

    switch.backer.run()
    before = reasons()
    switch.add_flow("br0", "actions=normal")
    switch.backer.run()
    send(switch)
    switch.add_port("br0", "p3", 3, {})
    switch.backer.run()
    grown = {name: n - before.get(name, 0) for name, n in reasons().items()}
    assert grown == {"rev_flow_table": 1, "rev_mac_learning": 1, "rev_reconfigure": 1}
