"""Rows -> wish: defaults, fall-backs, refusals."""

from __future__ import annotations

import pytest
from tests.support.fake_switch import FakeReplica

from netloom import OVS_VERSION
from netloom.datapath.offload import OffloadSettings
from netloom.ofproto.settings import ALL_VERSIONS, BundleSettings
from netloom.protocols.bond import BondSettings
from netloom.protocols.lldp import LldpSettings
from netloom.vswitchd.desired import read_wish
from netloom.vswitchd.wish import BridgeWish, InterfaceWish, LimitsWish, Wish


def only_bridge(replica: FakeReplica) -> BridgeWish:
    (bridge,) = read_wish(replica).bridges
    return bridge


def problems(wish: Wish) -> list[str]:
    return [text for _, _, text in wish.problems]


def bundle(**columns: object) -> tuple[BundleSettings, list[str]]:
    replica = FakeReplica()
    replica.add_bridge("br0", replica.add_port("p1", **columns))  # type: ignore[arg-type]
    wish = read_wish(replica)
    ports = {port.name: port for port in wish.bridges[0].ports}
    return ports["p1"].bundle, problems(wish)


def test_an_empty_database_wishes_for_nothing() -> None:
    assert read_wish(FakeReplica()) == Wish()


def test_a_plain_bridge_has_the_defaults_of_the_manual() -> None:
    replica = FakeReplica()
    replica.add_bridge("br0")
    bridge = only_bridge(replica)
    assert bridge.datapath_type == "system"
    settings = bridge.settings
    assert settings.fail_mode == "standalone"
    assert settings.protocols == ALL_VERSIONS
    assert (settings.mac_aging_time_s, settings.mac_table_size) == (300, 8192)
    assert bridge.ports[0].interfaces == (InterfaceWish(name="br0", type="internal"),)


def test_bridges_and_ports_are_sorted_by_name() -> None:
    replica = FakeReplica()
    replica.add_bridge("m", replica.add_port("z"), replica.add_port("b"))
    replica.add_bridge("a")
    wish = read_wish(replica)
    assert [bridge.name for bridge in wish.bridges] == ["a", "m"]
    assert [port.name for port in wish.bridges[1].ports] == ["b", "m", "z"]


@pytest.mark.parametrize("name", ["br/5", "a\\b", ""])
def test_a_bridge_whose_name_is_no_file_name_is_ignored(name: str) -> None:
    replica = FakeReplica()
    replica.add_bridge(name, local=False)
    replica.add_bridge("good")
    wish = read_wish(replica)
    assert [bridge.name for bridge in wish.bridges] == ["good"]
    assert problems(wish) == [f'ignoring bridge with invalid name "{name}"']


def test_a_tag_makes_an_access_port() -> None:
    settings, complaints = bundle(tag=(10,))
    assert (settings.vlan_mode, settings.tag, settings.trunks) == ("access", 10, frozenset())
    assert complaints == []


def test_trunks_beside_a_tag_are_ignored_with_a_warning() -> None:
    settings, complaints = bundle(tag=(10,), trunks=(1, 2))
    assert (settings.vlan_mode, settings.trunks) == ("access", frozenset())
    assert complaints == ["port p1: ignoring trunks in favor of implicit vlan"]


def test_a_port_without_tag_is_a_trunk() -> None:
    settings, _ = bundle(trunks=(1, 2))
    assert (settings.vlan_mode, settings.tag, settings.trunks) == ("trunk", -1, {1, 2})


def test_a_trunk_has_no_tag_even_if_the_row_has() -> None:
    settings, _ = bundle(vlan_mode=("trunk",), tag=(7,))
    assert (settings.vlan_mode, settings.tag) == ("trunk", -1)


@pytest.mark.parametrize("mode", ["access", "native-tagged", "native-untagged", "dot1q-tunnel"])
def test_a_mode_without_tag_has_vlan_0(mode: str) -> None:
    settings, _ = bundle(vlan_mode=(mode,))
    assert (settings.vlan_mode, settings.tag) == (mode, 0)


def test_the_native_vlan_is_among_the_trunks() -> None:
    settings, _ = bundle(vlan_mode=("native-untagged",), tag=(5,), trunks=(1, 2))
    assert settings.trunks == {1, 2, 5}


def test_all_trunks_stay_all_trunks_with_a_native_vlan() -> None:
    settings, _ = bundle(vlan_mode=("native-untagged",), tag=(5,))
    assert settings.trunks == frozenset()


def test_an_unknown_mode_falls_back_to_trunk() -> None:
    settings, complaints = bundle(vlan_mode=("bogus",), tag=(5,))
    assert (settings.vlan_mode, settings.tag) == ("trunk", -1)
    assert complaints == ["port p1: unknown VLAN mode bogus, falling back to trunk mode"]


def test_customer_vlans_count_on_a_tunnel_port_only() -> None:
    assert bundle(vlan_mode=("dot1q-tunnel",), tag=(5,), cvlans=(1,))[0].cvlans == {1}
    assert bundle(vlan_mode=("native-tagged",), tag=(5,), cvlans=(1,))[0].cvlans == frozenset()


def test_bad_keys_of_other_config_are_named_and_replaced() -> None:
    settings, complaints = bundle(other_config={"qinq-ethtype": "x", "priority-tags": "y"})
    assert (settings.qinq_ethtype, settings.priority_tags) == (0x88A8, "no-tag")
    assert [text.partition(": ")[2].split(" ")[0] for text in complaints] == [
        "other_config:qinq-ethtype:",
        "other_config:priority-tags:",
    ]


def test_good_keys_of_other_config_are_taken() -> None:
    config = {"qinq-ethtype": "802.1q", "priority-tags": "always"}
    settings, complaints = bundle(other_config=config)
    assert (settings.qinq_ethtype, settings.priority_tags) == (0x8100, "always")
    assert complaints == []


def patch(options: dict[str, str]) -> InterfaceWish:
    replica = FakeReplica()
    interface = {"type": "patch", "options": options}
    replica.add_bridge("br0", replica.add_port("pa", interface))
    found = only_bridge(replica).interface("pa")
    assert found is not None
    return found


def test_a_patch_port_has_a_peer_and_an_address() -> None:
    wish = patch({"peer": "pb"})
    assert (wish.peer, wish.error, len(wish.mac)) == ("pb", None, 17)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, "pa: patch type requires valid 'peer' argument"),
        ({"peer": "pa"}, "pa: patch peer must not be self"),
        ({"peer": "pb", "x": "y"}, "pa: patch type takes only a 'peer' argument"),
    ],
)
def test_a_bad_patch_port_is_refused_as_in_open_vswitch(
    options: dict[str, str], error: str
) -> None:
    assert patch(options).error == error


@pytest.mark.parametrize("name", ["ovs-netdev", "genev_sys", "vxlan_sys_4789"])
def test_a_reserved_name_is_refused_and_only_the_log_says_why(name: str) -> None:
    replica = FakeReplica()
    replica.add_bridge("br0", replica.add_port(name))
    found = only_bridge(replica).interface(name)
    assert found is not None
    assert found.error == ""
    complaint = f"could not create interface {name}, name is reserved"
    assert ("warn", "bridge", complaint) in read_wish(replica).problems


def test_a_bond_has_the_settings_of_its_port() -> None:
    replica = FakeReplica()
    members = [replica.add("Interface", name=name) for name in ("e1", "e2")]
    port = replica.add("Port", name="bond0", interfaces=tuple(row.uuid for row in members),
                       bond_mode=("balance-slb",), bond_updelay=30,
                       other_config={"bond-rebalance-interval": "50"})  # fmt: skip
    replica.add_bridge("br0", port)
    bundle = next(p.bundle for p in read_wish(replica).bridges[0].ports if p.name == "bond0")
    assert bundle.bond == BondSettings("balance-slb", updelay_ms=30, rebalance_ms=1_000)
    assert bundle.members == ("e1", "e2")


def test_an_interface_of_two_ports_belongs_to_the_first() -> None:
    replica = FakeReplica()
    interface = replica.add("Interface", name="e1")
    ports = [replica.add("Port", name=name, interfaces=(interface.uuid,)) for name in "ba"]
    replica.add_bridge("br0", *ports)
    wish = read_wish(replica)
    assert [port.name for port in wish.bridges[0].ports] == ["a", "br0"]
    assert problems(wish) == [
        "bridge br0: interface e1 of port b is already used by port a of bridge br0"
    ]


def test_the_last_number_of_a_port_is_asked_for_again() -> None:
    replica = FakeReplica()
    replica.add_bridge(
        "br0",
        replica.add_port("kept", {"ofport": (7,)}),
        replica.add_port("asked", {"ofport": (7,), "ofport_request": (9,)}),
        replica.add_port("failed", {"ofport": (-1,)}),
    )
    bridge = only_bridge(replica)
    numbers = {
        port.name: (port.interfaces[0].ofport, port.interfaces[0].ofport_requested)
        for port in bridge.ports
    }
    assert numbers == {
        "asked": (9, True),
        "br0": (0, False),
        "failed": (0, False),
        "kept": (7, False),
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("01:00:00:00:00:01", "cannot set MAC address to multicast address 01:00:00:00:00:01"),
        ("00:00:00:00:00:00", "cannot set MAC address to zero"),
        ("zzz", 'ignoring bad other_config:hwaddr "zzz"'),
    ],
)
def test_a_bad_bridge_address_is_ignored(text: str, problem: str) -> None:
    replica = FakeReplica()
    replica.add_bridge("br0", other_config={"hwaddr": text})
    wish = read_wish(replica)
    assert wish.bridges[0].hwaddr == ""
    assert problems(wish) == [f"bridge br0: {problem}"]


def test_the_local_ports_address_is_the_bridges_business() -> None:
    replica = FakeReplica()
    local = replica.add_port("br0", {"type": "internal", "mac": ("02:00:00:00:00:01",)})
    replica.add_bridge("br0", local, local=False)
    wish = read_wish(replica)
    assert wish.bridges[0].ports[0].interfaces[0].mac == ""
    assert problems(wish) == [
        "interface br0: ignoring mac in Interface record (use Bridge record to set local port's "
        "mac)"
    ]


def test_numbers_out_of_range_are_clamped_and_garbage_is_named() -> None:
    replica = FakeReplica()
    config = {"mac-aging-time": "1", "mac-table-size": "many", "forward-bpdu": "true"}
    replica.add_bridge("br0", other_config=config)
    wish = read_wish(replica)
    settings = wish.bridges[0].settings
    assert (settings.mac_aging_time_s, settings.mac_table_size) == (15, 8192)
    assert settings.forward_bpdu
    assert problems(wish) == [
        'bridge br0: other_config:mac-table-size: "many" is no number, using 8192'
    ]


def test_ports_with_lldp_say_what_the_auto_attach_rows_of_all_bridges_say() -> None:
    replica = FakeReplica()
    row = replica.add("AutoAttach", system_name="here", system_description="", mappings={9: 2})
    on, off = (
        replica.add_port(name, {"lldp": {"enable": value}})
        for name, value in (("p1", "true"), ("p2", "false"))
    )
    replica.add_bridge("br0", on, off)
    replica.add_bridge("br1", auto_attach=(row.uuid,))
    wishes = {i.name: i.lldp for b in read_wish(replica).bridges for p in b.ports
              for i in p.interfaces}  # fmt: skip
    assert wishes["p1"] == LldpSettings("here", f"openvswitch {OVS_VERSION}", ((9, 2),))
    assert wishes["p2"] is None


def test_keys_that_mean_nothing_here_are_named_unless_off() -> None:
    replica = FakeReplica()
    config = {"dpdk-init": "true", "anything": "else"}
    replica.add("Open_vSwitch", bridges=(), other_config=config)
    assert problems(read_wish(replica)) == [
        "other_config:dpdk-init is not supported by this version"
    ]


def test_what_hardware_is_to_run_is_said_for_all_and_for_single_interfaces() -> None:
    replica = FakeReplica()
    config = {"hw-offload": "TRUE", "hw-offload-priority": "dummy_x,dummy"}
    replica.add("Open_vSwitch", bridges=(), other_config=config)
    replica.add("Interface", name="p2", other_config={"hw-offload-priority": "none"})
    replica.add("Interface", name="p1", other_config={"hw-offload-priority": ""})
    replica.add("Interface", name="p3", other_config={})
    wish = read_wish(replica)
    orders = (("p1", ""), ("p2", "none"))
    assert wish.limits.offload == OffloadSettings(True, "dummy_x,dummy", orders)
    assert problems(wish) == []


@pytest.mark.parametrize(
    ("text", "n_vlans"), [(None, 1), ("0", 2), ("1", 1), ("2", 2), ("7", 2), ("x", 1)]
)
def test_as_many_tags_are_read_as_wished_and_there_can_be(text: str | None, n_vlans: int) -> None:
    replica = FakeReplica()
    config = {} if text is None else {"vlan-limit": text}
    replica.add("Open_vSwitch", bridges=(), other_config={**config, "max-idle": "5000"})
    assert read_wish(replica).limits == LimitsWish(n_vlans=n_vlans, max_idle_ms=5_000)


def controllers(*rows: dict[str, object]) -> tuple[Wish, list[str]]:
    replica = FakeReplica()
    made = [replica.add("Controller", **row) for row in rows]  # type: ignore[arg-type]
    replica.add_bridge("br0", controller=tuple(row.uuid for row in made))
    wish = read_wish(replica)
    return wish, problems(wish)


def test_a_controller_has_the_defaults_of_open_vswitch() -> None:
    wish, _ = controllers({"target": "tcp:127.0.0.1:6653"}, {"target": "ptcp:"})
    passive, active = wish.bridges[0].settings.controllers
    assert (active.type, active.max_backoff_ms, active.inactivity_probe_ms) == (
        "primary",
        8_000,
        5_000,
    )
    assert passive.type == "service"


def test_probes_can_be_switched_off() -> None:
    wish, _ = controllers({"target": "tcp:1.2.3.4", "inactivity_probe": (0,)})
    assert wish.bridges[0].settings.controllers[0].inactivity_probe_ms == 0


def test_a_controller_is_no_way_to_overwrite_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVS_RUNDIR", "/run/x")
    wish, complaints = controllers(
        {"target": "punix:/etc/passwd"},
        {"target": "unix:/run/x/../y"},
        {"target": "punix:/run/x/br0.mine"},
        {"target": "unix:/run/x/c.sock"},
        {"target": "unix:name"},
        {"target": "none"},
    )
    targets = [controller.target for controller in wish.bridges[0].settings.controllers]
    assert targets == ["punix:/run/x/br0.mine", "unix:/run/x/c.sock", "unix:name"]
    assert complaints == [
        'bridge br0: Not adding Unix domain socket controller "punix:/etc/passwd" due to '
        "possibility of overwriting local files. Instead, specify path in permitted format "
        '"punix:/run/x/br0.*" or connect to "unix:/run/x/br0.mgmt" (which is always available '
        "without special configuration).",
        'bridge br0: Not connecting to socket controller "unix:/run/x/../y" due to possibility for '
        'remote exploit.  Instead, specify socket in permitted directory "unix:/run/x/" or connect '
        'to "unix:/run/x/br0.mgmt" (which is always available without special configuration).',
        'br0: unsupported controller "none"',
    ]


def test_a_bridge_with_a_controller_has_a_local_port() -> None:
    replica = FakeReplica()
    controller = replica.add("Controller", target="tcp:127.0.0.1")
    replica.add_bridge("br0", local=False, controller=(controller.uuid,))
    replica.add_bridge("br1", local=False)
    wish = read_wish(replica)
    assert [len(bridge.ports) for bridge in wish.bridges] == [1, 0]
    assert problems(wish) == ["bridge br0: no port named br0, synthesizing one"]
