"""What the log tells of packets that are not forwarded as their flows say, and of flows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch

from netloom.base.log import CONSOLE, DBG, vlog
from netloom.datapath.actions import Output
from netloom.datapath.dpif_log import execute
from netloom.flow.compose import compose_packet
from netloom.flow.extract import extract_key
from netloom.flow.key import SKB_PRIORITY_SHIFT, make_key
from netloom.flow.text import parse_flow
from netloom.ofproto.translate import translate

PACKET = compose_packet(parse_flow("udp,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:0b"))


@pytest.fixture
def switch() -> Iterator[SmallSwitch]:
    levels = vlog.levels()
    for module in ("ofproto_dpif_xlate", "ofproto_dpif_upcall", "dpif"):
        vlog.logger(module).honor_rate_limits = False
    switch = SmallSwitch()
    switch.add_bridge("br0")
    for number in (1, 2):
        switch.add_port("br0", f"p{number}", number, {})
    yield switch
    vlog.set_levels(levels)
    vlog.set_rate_limits([], True)


def inject(switch: SmallSwitch) -> None:
    switch.devices.find("p1").inject(PACKET)
    for _ in range(3):
        switch.backer.run()


def test_an_error_names_the_bridge_and_the_packet(
    switch: SmallSwitch, capsys: pytest.CaptureFixture[str]
) -> None:
    switch.replace_flows("br0", "actions=pop:NXM_NX_REG0[],output:2")
    switch.control("ofproto/trace", "br0", "in_port=1,udp")
    assert capsys.readouterr().err == ""
    inject(switch)
    line = capsys.readouterr().err
    text = "|ofproto_dpif_xlate|WARN|stack underflow on bridge br0 while processing udp,in_port=1,"
    assert text in line and line.count("\n") == 1


def test_the_tunnel_that_a_packet_came_through_is_not_told(
    switch: SmallSwitch, capsys: pytest.CaptureFixture[str]
) -> None:
    switch.replace_flows("br0", "actions=pop:NXM_NX_REG0[],output:2")
    key = extract_key(PACKET, 1) | make_key(tun_src=0x0A000001, tun_dst=0x0A000002, tun_id=7)
    translate(switch.backer.bridges["br0"], key, 1_000, packet=PACKET)
    assert "while processing udp,in_port=1,vlan_tci=0x0000," in capsys.readouterr().err


def test_the_way_of_a_packet_that_goes_around_is_told(
    switch: SmallSwitch, capsys: pytest.CaptureFixture[str]
) -> None:
    switch.replace_flows("br0", "actions=resubmit(,0)")
    inject(switch)
    told = capsys.readouterr().err
    assert "|ofproto_dpif_xlate|WARN|over max translation depth 64 on bridge br0" in told
    assert "|ofproto_dpif_upcall|WARN|Flow: udp,in_port=1," in told
    # One for each table that it entered, and one that was too much.
    assert told.count("resubmit(,0)\n") == 65
    assert "Translation failed (Recursion too deep), packet is dropped." in told


def test_a_flow_that_changes_is_told_with_all_its_fields(
    switch: SmallSwitch, capsys: pytest.CaptureFixture[str]
) -> None:
    switch.replace_flows("br0", "actions=output:2")
    inject(switch)
    vlog.set_level(DBG, "dpif", CONSOLE)
    switch.replace_flows("br0", "actions=IN_PORT")
    switch.backer.run()
    changed = [line for line in capsys.readouterr().err.splitlines() if "put[modify]" in line]
    assert len(changed) == 1
    assert "|dpif|DBG|dummy@ovs-dummy: put[modify] ufid:" in changed[0]
    assert "ipv4(src=0.0.0.0/0.0.0.0," in changed[0] and changed[0].endswith(", actions:1")


def test_a_flow_that_goes_is_told_with_what_it_counted(
    switch: SmallSwitch, capsys: pytest.CaptureFixture[str]
) -> None:
    switch.replace_flows("br0", "actions=output:2")
    inject(switch)
    inject(switch)
    vlog.set_level(DBG, "dpif", CONSOLE)
    switch.backer.revalidator.purge()
    (line,) = capsys.readouterr().err.splitlines()
    assert "|dpif|DBG|dummy@ovs-dummy: flow_del ufid:" in line
    assert " , packets:1, bytes:106, used:" in line


def test_what_else_is_asked_of_a_data_path_is_told(
    switch: SmallSwitch, capsys: pytest.CaptureFixture[str]
) -> None:
    vlog.set_level(DBG, "dpif", CONSOLE)
    switch.add_port("br0", "p3", 3, {})
    execute(switch.backer.dpif, PACKET, 5 << SKB_PRIORITY_SHIFT, (Output(2),))
    told = [line.partition("dummy@ovs-dummy: ")[2] for line in
            capsys.readouterr().err.splitlines()]  # fmt: skip
    assert told[0] == "added p3 as port 3"
    assert told[1].startswith("execute 2 on packet udp,")
    assert len(switch.devices.find("p2").sent) == 1


def test_a_change_of_a_flow_that_others_removed_fails_and_it_is_forgotten(
    switch: SmallSwitch, capsys: pytest.CaptureFixture[str]
) -> None:
    switch.replace_flows("br0", "actions=output:2")
    inject(switch)
    switch.backer.dpif.flow_flush()
    switch.replace_flows("br0", "actions=IN_PORT")
    switch.backer.run()
    (line,) = capsys.readouterr().err.splitlines()
    failure = "failed to put[modify] (No such file or directory) ufid:"
    assert f"|dpif|WARN|dummy@ovs-dummy: {failure}" in line and line.endswith(", actions:1")
    assert switch.backer.revalidator.n_flows == 0
    inject(switch)
    assert len(switch.devices.find("p1").sent) == 1


def test_after_a_pause_changes_are_looked_at_before_what_flows_counted(
    switch: SmallSwitch, capsys: pytest.CaptureFixture[str]
) -> None:
    switch.replace_flows("br0", "actions=output:2")
    inject(switch)
    switch.control("revalidator/pause")
    switch.backer.dpif.flow_flush()
    switch.clock.advance(5_000)
    switch.control("revalidator/resume")
    switch.backer.run()
    assert switch.backer.revalidator.n_flows == 1
    switch.replace_flows("br0", "actions=IN_PORT")
    switch.backer.run()
    assert "failed to put[modify]" in capsys.readouterr().err
