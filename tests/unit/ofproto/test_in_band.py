"""In-band control: the rules that let the switch reach its controllers through itself."""

from __future__ import annotations

import pytest
from tests.support.openflow_bench import FakeSwitch

from netloom.flow.print import format_match
from netloom.ofproto.connmgr import ConnectionManager
from netloom.ofproto.settings import BridgeSettings, ControllerSettings
from netloom.openflow import messages as m

MAC = "fa:ee:85:8a:17:49"


def controller(target: str, mode: str = "in-band", kind: str = "primary") -> ControllerSettings:
    return ControllerSettings(target, kind, connection_mode=mode)


def rules_of(settings: BridgeSettings) -> list[str]:
    """Priority, match and actions of the hidden rules in the first table."""
    switch = FakeSwitch()
    manager = ConnectionManager(switch)
    manager.configure(settings, 0)
    return hidden(switch)


def hidden(switch: FakeSwitch) -> list[str]:
    return sorted(
        f"{rule.priority} {format_match(rule.match)} {rule.actions!r}"
        for rule in switch.tables.rules(hidden=True)
        if rule.table_id == 0 and rule.is_hidden
    )


def settings(*controllers: ControllerSettings, **more: object) -> BridgeSettings:
    return BridgeSettings("br0", 1, "secure", controllers=controllers, **more)  # type: ignore[arg-type]


def matches(rules: list[str]) -> list[str]:
    return [" ".join(rule.split(" ")[:2]) for rule in rules]


def test_own_dhcp_and_arp_and_the_controllers_arp_and_tcp_get_through() -> None:
    assert matches(rules_of(settings(controller("tcp:1.2.3.4:6633")))) == [
        f"180000 udp,in_port=LOCAL,dl_src={MAC},tp_src=68,tp_dst=67",
        f"180001 arp,dl_dst={MAC},arp_op=2",
        f"180002 arp,dl_src={MAC},arp_op=1",
        "180005 arp,arp_tpa=1.2.3.4,arp_op=2",
        "180006 arp,arp_spa=1.2.3.4,arp_op=1",
        "180007 tcp,nw_dst=1.2.3.4,tp_dst=6633",
        "180008 tcp,nw_src=1.2.3.4,tp_src=6633",
    ]


def test_ports_default_to_those_of_openflow_and_of_ovsdb() -> None:
    wish = settings(controller("ssl:1.2.3.4"), in_band_managers=("tcp:4.4.4.4",))
    found = matches(rules_of(wish))
    assert "180007 tcp,nw_dst=1.2.3.4,tp_dst=6653" in found
    assert "180007 tcp,nw_dst=4.4.4.4,tp_dst=6640" in found


@pytest.mark.parametrize(
    "one",
    [
        controller("tcp:1.2.3.4", "out-of-band"),
        controller("tcp:[::1]:6653"),
        controller("unix:/run/c.sock"),
        controller("ptcp:6653:127.0.0.1"),
    ],
)
def test_controllers_that_need_no_rules_get_none(one: ControllerSettings) -> None:
    assert rules_of(settings(one)) == []


def test_service_controllers_are_reached_in_band_too() -> None:
    service = controller("tcp:1.2.3.4", kind="service")
    assert rules_of(settings(service)) == rules_of(settings(controller("tcp:1.2.3.4"))) != []


def test_disabled_in_band_control_makes_no_rules() -> None:
    assert rules_of(settings(controller("tcp:1.2.3.4"), disable_in_band=True)) == []


def test_queue_applies_to_every_rule() -> None:
    found = rules_of(settings(controller("tcp:1.2.3.4"), in_band_queue=3))
    assert len(found) == 7
    assert all("SetQueue" in rule for rule in found)


def test_rules_go_when_the_controller_goes_and_survive_a_flush() -> None:
    switch = FakeSwitch()
    manager = ConnectionManager(switch)
    manager.configure(settings(controller("tcp:1.2.3.4"), controller("tcp:1.2.3.5")), 0)
    assert len(hidden(switch)) == 11
    manager.configure(settings(controller("tcp:1.2.3.5")), 0)
    assert len(hidden(switch)) == 7
    manager.configure(settings(), 0)
    assert hidden(switch) == []


def test_controller_cannot_delete_them() -> None:
    switch = FakeSwitch()
    manager = ConnectionManager(switch)
    manager.configure(settings(controller("tcp:1.2.3.4")), 0)
    switch.tables.apply(m.FlowMod(m.OFPFC_DELETE), 0)
    assert len(hidden(switch)) == 7


def test_arp_of_the_next_router_gets_through_and_follows_its_address() -> None:
    switch = FakeSwitch()
    manager = ConnectionManager(switch)
    switch.next_hops[0x01020304] = 0x0000_0000_00AA
    manager.configure(settings(controller("tcp:1.2.3.4"), controller("tcp:1.2.3.5")), 0)
    assert [rule for rule in matches(hidden(switch)) if rule[:6] in ("180003", "180004")] == [
        "180003 arp,dl_dst=00:00:00:00:00:aa,arp_op=2",
        "180004 arp,dl_src=00:00:00:00:00:aa,arp_op=1",
    ]
    # One of them is not known: it is looked for again soon.
    assert manager.deadline() == 1_000
    switch.next_hops = {0x01020304: 0xBB, 0x01020305: 0xBB}
    manager.run(999)
    assert "180003 arp,dl_dst=00:00:00:00:00:aa,arp_op=2" in matches(hidden(switch))
    manager.run(1_000)
    assert [rule for rule in matches(hidden(switch)) if rule[:6] in ("180003", "180004")] == [
        "180003 arp,dl_dst=00:00:00:00:00:bb,arp_op=2",
        "180004 arp,dl_src=00:00:00:00:00:bb,arp_op=1",
    ]
    assert manager.deadline() == 11_000


def test_host_is_not_asked_for_next_hops_without_in_band_control() -> None:
    switch = FakeSwitch()
    manager = ConnectionManager(switch)
    manager.configure(settings(controller("tcp:1.2.3.4", "out-of-band")), 0)
    assert manager.deadline() is None
